"""What the summary page calls benefits and states, short enough for one sheet, and the colours it gives them."""

from __future__ import annotations

from typing import Final

from gateway.printed import AMBER, BLUE, GREEN, GREY, RED, VIOLET
from gateway.roster.results import headings
from gateway.wording import PROPOSALS, Word
from wugan.federation.v1 import vocabulary_pb2 as words

CERTIFICATIONS: Final = (
    (words.CERTIFICATION_STATUS_CERTIFIED, GREEN),
    (words.CERTIFICATION_STATUS_NEEDS_FACE, BLUE),
    (words.CERTIFICATION_STATUS_NEEDS_VISIT, AMBER),
    (words.CERTIFICATION_STATUS_SUSPECT, VIOLET),
    (words.CERTIFICATION_STATUS_STOP_PROPOSED, RED),
    (0, GREY),
)
"""Every status that is proposed, in the order shown, with its colour; 0: no answer."""
GRADES: Final = (
    (words.SURVIVAL_STATUS_ALIVE_STRONG, GREEN),
    (words.SURVIVAL_STATUS_ALIVE_MEDIUM, "#74ae8f"),
    (words.SURVIVAL_STATUS_ALIVE_WEAK, AMBER),
    (words.SURVIVAL_STATUS_DECEASED, RED),
    (words.SURVIVAL_STATUS_DECEASED_SUSPECTED, "#d98880"),
    (words.SURVIVAL_STATUS_MISSING, VIOLET),
    (words.SURVIVAL_STATUS_CONFLICT, "#6f4a9c"),
    (words.SURVIVAL_STATUS_UNKNOWN, "#5f7386"),
    (0, GREY),
)
"""The same of the states of survival."""
SHORT: Final[dict[int, Word]] = {
    words.BENEFIT_TYPE_EMPLOYEE_PENSION: Word("企业职工养老", "employees' pension"),
    words.BENEFIT_TYPE_PUBLIC_INSTITUTION_PENSION: Word("机关事业养老", "public institutions"),
    words.BENEFIT_TYPE_RESIDENT_PENSION: Word("城乡居民养老", "residents' pension"),
    words.BENEFIT_TYPE_UNEMPLOYMENT: Word("失业保险金", "unemployment"),
    words.BENEFIT_TYPE_WORK_INJURY: Word("工伤长期待遇", "work injury"),
    words.BENEFIT_TYPE_WORK_DEATH_DEPENDANT: Word("因工供养亲属", "work-death dep."),
    words.BENEFIT_TYPE_NON_WORK_DEATH_DEPENDANT: Word("非因工供养亲属", "other dependants"),
}
"""Benefits, short enough for the first column of a table."""
STATES: Final[dict[int, Word]] = {
    **PROPOSALS,
    words.CERTIFICATION_STATUS_SUSPECT: Word("疑点待核", "suspect"),
    0: headings.NO_ANSWER,
}
"""Certification, as charts and Chinese tables name it."""
BRIEF: Final[dict[int, Word]] = {
    words.CERTIFICATION_STATUS_NEEDS_FACE: Word("待人脸认证", "face"),
    words.CERTIFICATION_STATUS_NEEDS_VISIT: Word("待上门核查", "visit"),
    words.CERTIFICATION_STATUS_SUSPECT: Word("疑点待核", "suspect"),
    words.CERTIFICATION_STATUS_STOP_PROPOSED: Word("拟停发", "stop"),
    0: Word("未获答复", "no answer"),
}
"""The same for the head of a table in English."""
