"""The columns of the files and their headings, and the words that only results need, in both languages.

Owns: which file has which columns, in which order, how wide, how shown. Refuses: the words of the contract
(gateway/wording.py).
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from gateway.wording import Language, Word
from wugan.federation.v1 import vocabulary_pb2 as words


class Shown(Enum):
    """How a column is shown."""

    TEXT = "text"
    NUMBER = "number"
    DAY = "day"
    MONTH = "month"
    MONEY = "money"
    """Fen, shown as yuan."""


class Heading(NamedTuple):
    """A column of a file: its name inside, its headings, how it is shown, its width in characters on a sheet."""

    name: str
    zh: str
    en: str
    shown: Shown = Shown.TEXT
    width: int = 12

    def text(self, language: Language) -> str:
        """The heading in a language."""
        return self.zh if language == "zh" else self.en


REGISTERED: Final = Word("在册", "registered")
REPEATED: Final = Word("在册（重复）", "registered (repeated)")
DATA_COMPARISON: Final = Word("数据比对", "data comparison")
YES: Final = Word("是", "yes")
NO_ANSWER: Final = Word("未获答复", "not answered")
NOBODY_ASKED: Final = Word(
    "未查询：居住地在本省，或所属省份未接入", "not asked: lives in the own province, or in one that takes no part"
)
UNASSIGNED: Final = Word("未分配网格", "no grid unit")

MARKS: Final[dict[int, Word]] = {
    0: Word("未获答复", "not answered"),
    words.SURVIVAL_STATUS_ALIVE_STRONG: Word("强", "strong"),
    words.SURVIVAL_STATUS_ALIVE_MEDIUM: Word("中", "medium"),
    words.SURVIVAL_STATUS_ALIVE_WEAK: Word("弱", "weak"),
    words.SURVIVAL_STATUS_DECEASED: Word("死亡", "deceased"),
    words.SURVIVAL_STATUS_DECEASED_SUSPECTED: Word("存疑", "doubtful"),
    words.SURVIVAL_STATUS_MISSING: Word("存疑", "doubtful"),
    words.SURVIVAL_STATUS_CONFLICT: Word("存疑", "doubtful"),
    words.SURVIVAL_STATUS_UNKNOWN: Word("不明", "not known"),
}
"""认证标记: how far traces overlap; where there is no such grade, what stands in its place."""

TASKS: Final[dict[int, Word]] = {
    words.SURVIVAL_STATUS_DECEASED_SUSPECTED: Word("核实是否在世", "establish whether the person lives"),
    words.SURVIVAL_STATUS_MISSING: Word("核实是否走失、失踪", "establish whether the person is missing"),
    words.SURVIVAL_STATUS_CONFLICT: Word("核实身份与生存状况", "establish identity and survival"),
}
"""What a visit to a SUSPECT is for. A work list says no more than that: the traces are not the visitor's to know."""
SEE: Final = Word("上门见到本人", "see the person at home")
FACE: Final = Word("远程人脸认证", "face check by phone")
ENTITLEMENT: Final = Word("核实待遇资格", "establish the entitlement")

_PERSON: Final = (
    Heading("row", "行号", "row", Shown.NUMBER, 8),
    Heading("reference", "业务编号", "reference", width=14),
    Heading("unit", "经办机构", "unit", width=16),
    Heading("id_number", "证件号码", "identity number", width=21),
    Heading("name", "姓名", "name", width=10),
    Heading("benefit_name", "险种", "benefit", width=22),
)

RESULT: Final = (
    Heading("row", "行号", "row", Shown.NUMBER, 8),
    Heading("reference", "业务编号", "reference", width=14),
    Heading("unit", "经办机构", "unit", width=16),
    Heading("grid_unit", "网格", "grid unit", width=16),
    Heading("id_number", "证件号码", "identity number", width=21),
    Heading("name", "姓名", "name", width=10),
    Heading("benefit_name", "险种", "benefit", width=22),
    Heading("residence", "居住地", "residence", width=12),
    Heading("registered", "底数", "registered", width=10),
    Heading("certification_status", "认证状态", "certification status", width=18),
    Heading("mark", "认证标记", "mark", width=9),
    Heading("source", "认证来源", "source", width=10),
    Heading("certified_on", "认证时间", "time", Shown.DAY, 11),
    Heading("grade", "生存状态", "survival status", width=11),
    Heading("entitlement", "待遇资格情形", "entitlement facts", width=16),
    Heading("reasons", "理由", "reasons", width=60),
    Heading("evidence_departments", "证据部门", "departments with evidence", width=18),
    Heading("evidence_newest_on", "最近证据日期", "newest evidence", Shown.DAY, 12),
    Heading("last_trace", "最近活动日期", "last trace", Shown.DAY, 12),
    Heading("decided", "认定死亡日期", "death decided on", Shown.DAY, 12),
    Heading("valid_until", "结果有效至", "valid until", Shown.DAY, 11),
    Heading("verify_by", "核实期限", "verify by", Shown.DAY, 11),
    Heading("effective_month", "拟停发起始月", "no entitlement from", Shown.MONTH, 12),
    Heading("overpaid_months", "多发月数", "months overpaid", Shown.NUMBER, 9),
    Heading("overpaid_net_fen", "应追回金额（元）", "to recover (yuan)", Shown.MONEY, 14),
    Heading("incomplete", "答复不完整", "incomplete", width=10),
    Heading("not_answered_why", "未获答复原因", "why not answered", width=18),
    Heading("asked", "查询省份", "asked", width=16),
    Heading("silent_sources", "未答复来源", "did not answer", width=18),
    Heading("chunk", "批次", "chunk", Shown.NUMBER, 7),
)
"""results.csv and results.xlsx. `chunk` is where messages.csv names the answers."""

STOP: Final = (
    *_PERSON,
    Heading("grid_unit", "网格", "grid unit", width=16),
    Heading("residence", "居住地", "residence", width=12),
    Heading("grade", "生存状态", "survival status", width=11),
    Heading("entitlement", "待遇资格情形", "entitlement facts", width=16),
    Heading("effective_month", "拟停发起始月", "no entitlement from", Shown.MONTH, 12),
    Heading("decided", "认定死亡日期", "death decided on", Shown.DAY, 12),
    Heading("reasons", "理由", "reasons", width=60),
    Heading("evidence_departments", "证据部门", "departments with evidence", width=18),
    Heading("evidence_rows", "证据条数", "rows of evidence", Shown.NUMBER, 9),
    Heading("overpaid_net_fen", "应追回金额（元）", "to recover (yuan)", Shown.MONEY, 14),
    Heading("incomplete", "答复不完整", "incomplete", width=10),
    Heading("chunk", "批次", "chunk", Shown.NUMBER, 7),
    Heading("decision", "决定", "decision", width=12),
    Heading("decision_why", "决定理由", "decision reason", width=30),
    Heading("decided_by", "决定人", "decided by", width=10),
)
"""The last three are for the official to fill in; `wugan roster decide` reads them."""

EVIDENCE: Final = (
    Heading("row", "行号", "row", Shown.NUMBER, 8),
    Heading("id_number", "证件号码", "identity number", width=21),
    Heading("name", "姓名", "name", width=10),
    Heading("member_name", "答复省份", "answered by", width=16),
    Heading("department_name", "部门", "department", width=14),
    Heading("kind_name", "证据", "evidence", width=22),
    Heading("observed", "日期", "date", Shown.DAY, 11),
    Heading("available", "入库日期", "known since", Shown.DAY, 11),
    Heading("strength_name", "强度", "strength", width=12),
    Heading("place", "地区", "region", width=12),
    Heading("from", "起", "from", Shown.DAY, 11),
    Heading("until", "止", "until", Shown.DAY, 11),
    Heading("detail_name", "刑罚种类", "penalty", width=14),
    Heading("source_reference", "来源编号", "source reference", width=18),
)

OVERPAYMENT: Final = (
    *_PERSON,
    Heading("certification_status", "认证状态", "certification status", width=18),
    Heading("effective_month", "多发起始月", "overpaid from", Shown.MONTH, 11),
    Heading("last_paid_month", "最后发放月", "last month paid", Shown.MONTH, 11),
    Heading("overpaid_months", "多发月数", "months", Shown.NUMBER, 9),
    Heading("monthly_fen", "月待遇（元）", "monthly (yuan)", Shown.MONEY, 12),
    Heading("overpaid_gross_fen", "多发金额（元）", "overpaid (yuan)", Shown.MONEY, 14),
    Heading("overpaid_offset_fen", "个人账户抵扣（元）", "offset by account (yuan)", Shown.MONEY, 16),
    Heading("overpaid_net_fen", "应追回金额（元）", "to recover (yuan)", Shown.MONEY, 14),
)

OVERPAYMENT_SUMS: Final = (
    Heading("benefit", "险种", "benefit", width=34),
    Heading("people", "人数", "recipients", Shown.NUMBER, 10),
    Heading("overpaid_months", "多发月数", "months", Shown.NUMBER, 10),
    Heading("overpaid_gross_fen", "多发金额（元）", "overpaid (yuan)", Shown.MONEY, 16),
    Heading("overpaid_offset_fen", "个人账户抵扣（元）", "offset by account (yuan)", Shown.MONEY, 18),
    Heading("overpaid_net_fen", "应追回金额（元）", "to recover (yuan)", Shown.MONEY, 16),
)

FINDING: Final = (Heading("finding", "发现", "finding", width=26), *_PERSON, Heading("what", "说明", "what", width=60))

UNANSWERED: Final = (
    *_PERSON,
    Heading("residence", "居住地", "residence", width=12),
    Heading("not_answered_why", "未获答复原因", "why not answered", width=22),
    Heading("asked", "查询省份", "asked", width=20),
    Heading("silent_sources", "未答复来源", "did not answer", width=20),
)

WORK: Final = (
    Heading("row", "行号", "row", Shown.NUMBER, 8),
    Heading("grid_unit", "网格", "grid unit", width=16),
    Heading("name", "姓名", "name", width=10),
    Heading("id_shown", "证件号码", "identity number", width=21),
    Heading("benefit_name", "险种", "benefit", width=22),
    Heading("residence", "居住地", "residence", width=12),
    Heading("task", "核查事项", "task", width=20),
    Heading("verify_by", "核实期限", "verify by", Shown.DAY, 11),
    Heading("outcome", "核查结果", "outcome", width=12),
    Heading("outcome_on", "核查日期", "date", width=11),
    Heading("outcome_by", "核查人", "by", width=10),
    Heading("outcome_note", "备注", "note", width=24),
)
"""One line for each person to see. The last four are for the visitor to fill in; `wugan roster decide` reads them."""

WORK_INDEX: Final = (
    Heading("list", "类别", "list", width=10),
    Heading("grid_unit", "网格", "grid unit", width=24),
    Heading("people", "人数", "people", Shown.NUMBER, 8),
    Heading("file", "文件", "file", width=40),
)

MESSAGE: Final = (
    Heading("chunk", "批次", "chunk", Shown.NUMBER, 7),
    Heading("member", "成员", "member", width=20),
    Heading("message_id", "消息编号", "message id", width=34),
    Heading("question_digest", "问题摘要", "question digest", width=66),
    Heading("made_at_ms", "形成时间（毫秒）", "made at (ms)", Shown.NUMBER, 16),
    Heading("rules_version", "规则版本", "rules version", width=12),
    Heading("rules_digest", "规则摘要", "rules digest", width=66),
    Heading("cached", "此前取得", "given again", width=9),
)

STANDING: Final = (
    *_PERSON,
    Heading("grid_unit", "网格", "grid unit", width=16),
    Heading("registered", "底数", "registered", width=10),
    Heading("certification_status", "认证状态", "certification status", width=18),
    Heading("mark", "认证标记", "mark", width=9),
    Heading("source", "认证来源", "source", width=10),
    Heading("certified_on", "认证时间", "time", Shown.DAY, 11),
    Heading("last_act", "最近登记", "last recorded", width=16),
    Heading("last_on", "登记事项日期", "date", Shown.DAY, 11),
    Heading("who", "经办人", "official", width=10),
    Heading("by", "核查人", "by", width=10),
    Heading("why", "理由", "reason", width=30),
    Heading("stopped_from", "停发起始月", "stop from", Shown.MONTH, 11),
    Heading("resumes", "恢复发放月", "resume from", Shown.MONTH, 11),
    Heading("months", "补发月数", "months paid back", Shown.NUMBER, 9),
    Heading("amount_fen", "补发金额（元）", "paid back (yuan)", Shown.MONEY, 14),
    Heading("finding", "提示", "finding", width=30),
)
"""How those about whom something was decided stand now."""

LATENESS: Final = (
    Heading("department_name", "部门", "department", width=14),
    Heading("kind_name", "数据项", "item", width=18),
    Heading("records", "记录数", "records", Shown.NUMBER, 9),
    Heading("median_days", "迟到天数（中位）", "days late (median)", Shown.NUMBER, 12),
    Heading("p90_days", "迟到天数（九成以内）", "days late (9 in 10)", Shown.NUMBER, 14),
    Heading("longest_days", "最长（天）", "longest (days)", Shown.NUMBER, 11),
    Heading("months", "多付月数", "months paid meanwhile", Shown.NUMBER, 12),
    Heading("cost_fen", "多付金额（元）", "paid meanwhile (yuan)", Shown.MONEY, 14),
)
"""How late departments told of what ends a benefit."""

FIRST_OF_ALL: Final = Word("最早到达的记录", "the first of all records")

FINDINGS: Final = {
    "REPEATED": Word("名册内重复", "repeated in the roster"),
    "SEVERAL_BENEFITS": Word("一人多险种", "one person, several benefits"),
    "SEVERAL_NAMES": Word("一号多名", "one number, several names"),
    "IDENTITY_LINKED": Word("号码变更或关联", "number changed or linked"),
    "IDENTITY_CONFLICT": Word("身份冲突", "identity conflict"),
    "DUPLICATE_BENEFIT": Word("异地重复领取", "drawn elsewhere, too"),
    "CERTIFIED_TWICE": Word("重复认证", "certified twice"),
    "CONFLICT": Word("信息冲突", "conflicting records"),
    "MISUSE_AFTER_DEATH": Word("死亡后仍有使用记录", "used after death"),
}
"""What is not in order with a person or the roster, beside the certification."""

DECISION_WORDS: Final = {
    "APPROVE_STOP": Word("同意停发", "stop approved"),
    "REJECT_STOP": Word("不予停发", "stop rejected"),
}
"""What an official may decide on a proposed stop; the choices of the stop list."""

OUTCOME_WORDS: Final = {
    "PASSED": Word("通过", "passed"),
    "FOUND_DEAD": Word("已死亡", "found dead"),
    "NOT_FOUND": Word("未找到", "not found"),
    "REFUSED": Word("拒绝", "refused"),
}
"""What a visitor or a face check may report; the choices of the work lists."""
