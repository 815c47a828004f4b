"""The words of acts and sources in both languages, and what an official may write for them in a file.

Owns: words. Refuses: which act is allowed when (gateway.rules.deciding).
"""

from __future__ import annotations

from typing import Final

from gateway.roster.results.headings import DATA_COMPARISON, DECISION_WORDS, OUTCOME_WORDS
from gateway.rules.deciding import Act, Source
from gateway.wording import Word

ACTS: Final[dict[int, Word]] = {
    Act.APPROVE_STOP: DECISION_WORDS["APPROVE_STOP"],
    Act.REJECT_STOP: DECISION_WORDS["REJECT_STOP"],
    Act.PROPOSE_STOP: Word("提出停发", "stop proposed by an official"),
    Act.RESTORE: Word("恢复发放", "restored"),
    Act.FACE_PASSED: Word("人脸认证通过", "face check passed"),
    Act.VISIT_PASSED: Word("上门见到本人", "seen at home"),
    Act.STAFF_PASSED: Word("工作人员认证通过", "certified by staff"),
    Act.FOUND_DEAD: OUTCOME_WORDS["FOUND_DEAD"],
    Act.NOT_FOUND: OUTCOME_WORDS["NOT_FOUND"],
    Act.REFUSED: OUTCOME_WORDS["REFUSED"],
}
SOURCES: Final[dict[int, Word]] = {
    Source.NONE: Word("", ""),
    Source.DATA_COMPARISON: DATA_COMPARISON,
    Source.FACE: Word("人脸认证", "face check"),
    Source.VISIT: Word("上门核查", "visit"),
    Source.STAFF: Word("工作人员认证", "staff"),
}
ALREADY: Final = Word("本周期内已认证，不得重复认证", "certified already in this cycle; a second time is refused")
SEEN_WHILE_STOPPED: Final = Word(
    "已停发人员认证通过，请核实并决定是否恢复", "seen alive while stopped: verify, and decide on restoring"
)
SEEN_WHILE_PROPOSED: Final = Word("拟停发人员认证通过，请核实", "seen alive although a stop is proposed: verify")
