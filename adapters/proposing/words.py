"""What columns, tables and codes are called in departments' systems, and what that usually means.

Owns: word lists in Chinese, pinyin initials and English. A word of Chinese is looked for anywhere in a name; others
must be a whole part of it (`id` in `patient.idCard`). Refuses: looking at values of people.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from wugan.adapter.v1 import vocabulary_pb2 as words

Words = tuple[str, ...]

IDENTITY: Final[Words] = (
    "身份证", "身份号码", "证件号", "证件号码", "社会保障号", "sfzh", "sfzhm", "sfz", "gmsfhm", "zjhm", "zjh",
    "idcard", "idno", "idnumber", "certno", "aac002", "id_card", "id_no", "cert_no", "certificate_no",
)  # fmt: skip
NOT_THE_PERSON: Final[Words] = (
    "经办", "申请人", "代办", "委托", "联系人", "操作", "配偶", "父", "母", "监护", "收养人", "原告", "法官", "医师", "医生",
    "agent", "operator", "contact", "spouse", "guardian",
)  # fmt: skip
OLD: Final[Words] = ("原", "旧", "曾用", "old", "former", "previous", "yzjhm", "ysfzh", "ysfhm", "ysfzhm")
NEW: Final[Words] = ("现", "新", "new", "current", "xzjhm", "xsfzh", "xsfhm")
NAME: Final[Words] = (
    "姓名", "名称", "逝者", "被告人", "被申请人", "被收养人", "旅客", "xm", "name", "username", "realname", "fullname", "aac003",
    "passenger", "psn_name", "cust_name",
)  # fmt: skip
AVAILABLE: Final[Words] = (
    "录入", "入库", "上报", "推送", "更新", "导出", "上传", "报送", "登记时间", "采集", "接收", "修改", "rksj", "gxsj", "gxrq", "lrsj",
    "lrrq", "djsj", "input", "update", "updated", "updt", "upload", "uploaded", "recorded", "created", "insert", "batch",
    "recv", "received", "sync", "load", "issued", "signed", "opt", "aae036",
)  # fmt: skip
OBSERVED: Final[Words] = (
    "发生", "死亡", "火化", "安葬", "结算", "就诊", "入院", "出行", "乘车", "出发", "认证", "生效", "判决", "发放", "交易", "登记日期",
    "接种", "体检", "报到", "取款", "通过", "办理", "日期", "时间", "fssj", "fsrq", "bdrq", "occurred", "event", "setl", "die",
    "death", "departed", "visit", "auth", "pay", "txn", "aae030", "on", "at", "date", "time", "rq", "sj",
)  # fmt: skip
DATE_ENDINGS: Final = ("rq", "sj", "date", "time", "_at", "_on", "日", "日期", "时间")
FROM: Final[Words] = ("起日", "起始", "开始", "刑期起", "qsrq", "start", "begin", "from")
UNTIL: Final[Words] = ("止日", "截止", "终止", "刑期止", "届满", "zzrq", "jzrq", "jsrq", "end", "until", "expire")
BIRTH: Final[Words] = ("出生", "生日", "csrq", "birth", "birthday", "dob")
REGION: Final[Words] = (
    "区划", "地区", "行政区", "所在地", "qh", "xzqh", "dqdm", "dwqh", "area", "areacode", "division", "divisioncode", "region",
    "city", "citycode", "admdvs", "aab301",
)  # fmt: skip
OTHER_PLACE: Final[Words] = (
    "迁往",
    "另一",
    "对方",
    "去往",
    "迁入地",
    "qwdqh",
    "qwxzqh",
    "destination",
    "aab359",
    "other",
)
REFERENCE: Final[Words] = (
    "编号", "流水", "案号", "登记号", "证号", "单号", "bh", "lsh", "ref", "seq", "serial", "no", "id", "ticket", "recordid",
)  # fmt: skip
TYPE: Final[Words] = (
    "类型", "类别", "业务", "事项", "种类", "方式", "刑种", "结果", "标志", "标识", "原因", "险种", "性别", "lx", "lb", "fs", "zl", "type",
    "kind", "code", "mode", "result", "outcome", "way", "channel", "bdlx", "bdlb", "gjlx", "sblx", "jg", "category",
)  # fmt: skip
TYPE_ENDINGS: Final = ("lx", "lb", "yy", "zl", "fs")
"""Of pinyin initials: 类型, 类别, 原因, 种类, 方式; whatever stands before them (`ywlx`, `zxyy`)."""
STATUS: Final[Words] = (
    "状态", "有效", "删除", "作废", "注销标", "zt", "bz", "scbz", "yxbz", "status", "state", "flag", "valid", "deleted", "vali", "del",
)  # fmt: skip
PENALTY: Final[Words] = ("刑种", "刑罚种类", "xz", "penalty", "sentence_type")

OF_THE_PERSON: Final[tuple[tuple[Words, str, str], ...]] = (
    (("性别", "sex", "gender", "xb", "xbdm"), "sex, GB/T 2261.1", "性别，GB/T 2261.1"),
    (("民族", "nation", "ethnic", "mzdm"), "ethnic group, GB/T 3304", "民族，GB/T 3304"),
    (("婚姻状况", "marital"), "marital status, GB/T 2261.2", "婚姻状况，GB/T 2261.2"),
    (("学历", "education"), "education, GB/T 4658", "学历，GB/T 4658"),
    (("电话", "手机", "联系方式", "phone", "mobile", "tel"), "telephone", "电话"),
    (("住址", "地址", "address"), "address", "地址"),
    (BIRTH, "day of birth, told by the number", "出生日期，号码中已有"),
)
"""What departments hold of a person and evidence does not need: left where it is."""
VALID: Final = {"有效": True, "正常": True, "已乘车": True, "成功": True, "通过": True, "BOARDED": True, "SIGNED": True,
    "PASS": True, "删除": False, "作废": False, "无效": False, "撤销": False, "冲正": False, "退票": False, "已退票": False,
    "未乘车": False, "失败": False, "REFUNDED": False, "CANCELLED": False, "VOID": False, "FAIL": False, "FAILED": False,
}  # fmt: skip
"""Values of a status that say whether a row counts at all."""
PENALTIES: Final = {
    "有期徒刑": "FIXED_TERM",
    "无期徒刑": "LIFE",
    "死刑": "DEATH",
    "死缓": "DEATH_SUSPENDED",
    "死刑缓期二年执行": "DEATH_SUSPENDED",
    "拘役": "CRIMINAL_DETENTION",
    "管制": "PUBLIC_SURVEILLANCE",
    "缓刑": "SUSPENDED_SENTENCE",
}
MEDICAL_TYPES: Final = {
    "11": "OUTPATIENT",
    "14": "OUTPATIENT",
    "21": "INPATIENT",
    "41": "PHARMACY",
    "52": "ignore",
}
"""Codes of `med_type` (医疗类别), as in the template of health insurance."""


DEPARTMENTS: Final[dict[int, Words]] = {
    words.DEPARTMENT_PUBLIC_SECURITY: ("公安", "户籍", "户口", "ga", "gazk", "rkxx"),
    words.DEPARTMENT_CIVIL_AFFAIRS: ("民政", "殡葬", "mz"),
    words.DEPARTMENT_COURTS: ("法院", "案号", "court"),
    words.DEPARTMENT_JUSTICE: ("司法", "监狱", "矫正", "sf", "jygl"),
    words.DEPARTMENT_HEALTH_INSURANCE: ("医保", "psn", "setl", "psn_certno", "admdvs"),
    words.DEPARTMENT_HEALTH: ("医院", "卫生", "卫健", "encounter", "patient"),
    words.DEPARTMENT_TRANSPORT: ("交通", "铁路", "客运", "keyun", "passenger"),
    words.DEPARTMENT_BANKS: ("银行", "账户", "bank", "txn", "cust"),
    words.DEPARTMENT_FACE_AUTHENTICATION: ("人脸", "刷脸", "网格", "face"),
    words.DEPARTMENT_SOCIAL_INSURANCE: ("社保", "参保", "aac002", "aac003", "aae030"),
}
"""What the names of a department's files, tables and columns have in them. `aac002` and its like are how
social insurance names its fields."""


class Meaning(NamedTuple):
    """What a word of a table, column or code means.

    Args:
        kind: EvidenceKind.
        strength: usual Strength.
        words: by which it is recognised.
    """

    kind: int
    strength: int
    words: Words


_W, _A, _R, _P = words.STRENGTH_WEAK, words.STRENGTH_ACCOUNT, words.STRENGTH_REAL_NAME, words.STRENGTH_IN_PERSON

MEANINGS: Final[tuple[Meaning, ...]] = (
    Meaning(words.EVIDENCE_KIND_CREMATION, _R, ("火化", "cremation", "cremations", "cremate", "cremated", "hh")),
    Meaning(words.EVIDENCE_KIND_BURIAL, _R, ("安葬", "公墓", "墓", "burial", "bury", "cemetery")),
    Meaning(words.EVIDENCE_KIND_DEATH_CERTIFICATE, _R, ("死亡医学证明", "死亡证明", "death_cert", "deathcertificate", "deathcertificates", "dateofdeath", "death_certificate", "deaths")),
    Meaning(words.EVIDENCE_KIND_DEATH_SETTLEMENT, _R, ("死亡结算", "死亡待遇", "丧葬", "die", "psn_death_setl")),
    Meaning(words.EVIDENCE_KIND_HOUSEHOLD_CANCELLED_DEATH, _R, ("死亡注销", "户口注销", "户口变动", "hkbd", "zxrq")),
    Meaning(words.EVIDENCE_KIND_DEATH_DECLARATION_REVOKED, _R, ("撤销死亡宣告", "撤销宣告死亡")),
    Meaning(words.EVIDENCE_KIND_MISSING_DECLARATION_REVOKED, _R, ("撤销失踪宣告", "撤销宣告失踪")),
    Meaning(words.EVIDENCE_KIND_DECLARED_DEAD, _R, ("宣告死亡",)),
    Meaning(words.EVIDENCE_KIND_DECLARED_MISSING, _R, ("宣告失踪",)),
    Meaning(words.EVIDENCE_KIND_REPORTED_MISSING, _R, ("走失", "失踪")),
    Meaning(words.EVIDENCE_KIND_FOUND, _R, ("找回", "寻回")),
    Meaning(words.EVIDENCE_KIND_DIVORCE, _P, ("离婚", "divorce")),
    Meaning(words.EVIDENCE_KIND_MARRIAGE, _P, ("结婚", "婚姻", "marriage", "hy_register")),
    Meaning(words.EVIDENCE_KIND_ADOPTION, _R, ("收养", "adoption")),
    Meaning(words.EVIDENCE_KIND_OLD_AGE_SUBSIDY, _W, ("高龄", "津贴", "subsidy")),
    Meaning(words.EVIDENCE_KIND_REMOTE_SETTLEMENT, _R, ("异地就医", "异地结算", "remote", "rem_setl_d", "rem_setl", "mdtrt_admdvs")),
    Meaning(words.EVIDENCE_KIND_PHARMACY, _W, ("购药", "药店", "pharmacy")),
    Meaning(words.EVIDENCE_KIND_INPATIENT, _R, ("住院", "inpatient")),
    Meaning(words.EVIDENCE_KIND_OUTPATIENT, _R, ("门诊", "结算", "outpatient", "setl", "setl_d")),
    Meaning(words.EVIDENCE_KIND_HOSPITAL_STAY, _R, ("入院", "在院", "hospital")),
    Meaning(words.EVIDENCE_KIND_MEDICAL_REGISTRATION, _A, ("挂号", "就诊", "encounter", "registration")),
    Meaning(words.EVIDENCE_KIND_VACCINATION, _P, ("接种", "疫苗", "vaccination", "vaccine")),
    Meaning(words.EVIDENCE_KIND_HEALTH_CHECK, _P, ("体检", "healthcheck")),
    Meaning(words.EVIDENCE_KIND_HEALTH_CODE_TEST, _R, ("核酸",)),
    Meaning(words.EVIDENCE_KIND_RAIL_TRAVEL, _R, ("铁路", "火车", "高铁", "出行", "cyjl", "rail", "train", "journey", "ticket")),
    Meaning(words.EVIDENCE_KIND_AIR_TRAVEL, _R, ("民航", "航班", "航空", "flight", "air")),
    Meaning(words.EVIDENCE_KIND_BUS_TRAVEL, _R, ("客运", "长途", "bus", "coach")),
    Meaning(words.EVIDENCE_KIND_CITIZEN_CARD, _W, ("市民卡", "公交", "刷卡", "smk", "citizen", "card")),
    Meaning(words.EVIDENCE_KIND_ACCOUNT_FROZEN, _R, ("冻结", "frozen")),
    Meaning(words.EVIDENCE_KIND_ACCOUNT_CLOSED, _R, ("销户", "closed")),
    Meaning(words.EVIDENCE_KIND_SELF_SERVICE_WITHDRAWAL, _A, ("自助取款", "自助", "atm")),
    Meaning(words.EVIDENCE_KIND_TELLER_WITHDRAWAL, _A, ("取款", "柜面", "teller", "withdrawal", "txn")),
    Meaning(words.EVIDENCE_KIND_BALANCE_MOVEMENT, _W, ("账户变动", "balance")),
    Meaning(words.EVIDENCE_KIND_VISIT_FOUND_DEAD, _P, ("发现死亡",)),
    Meaning(words.EVIDENCE_KIND_HOME_VISIT, _P, ("上门", "走访", "visit")),
    Meaning(words.EVIDENCE_KIND_FACE_CHECK, _P, ("人脸认证", "刷脸", "face", "auth_log", "facecheck")),
    Meaning(words.EVIDENCE_KIND_OWN_CERTIFICATION, _R, ("资格认证", "认证", "certification")),
    Meaning(words.EVIDENCE_KIND_RE_EMPLOYMENT, _R, ("再就业", "参保登记", "就业", "参保日期", "employment")),
    Meaning(words.EVIDENCE_KIND_DUPLICATE_BENEFIT, _R, ("重复领取", "duplicate")),
    Meaning(words.EVIDENCE_KIND_MEDICAL_RELEASE, _R, ("暂予监外", "保外就医")),
    Meaning(words.EVIDENCE_KIND_RETURNED_TO_PRISON, _P, ("收监执行", "撤销假释")),
    Meaning(words.EVIDENCE_KIND_COMMUTATION, _R, ("减刑",)),
    Meaning(words.EVIDENCE_KIND_PAROLE, _R, ("假释",)),
    Meaning(words.EVIDENCE_KIND_RELEASE, _P, ("刑满释放", "释放")),
    Meaning(words.EVIDENCE_KIND_IMPRISONED, _P, ("收监", "服刑", "监狱", "罪犯", "prison", "xfzx", "zf")),
    Meaning(words.EVIDENCE_KIND_DETAINED, _P, ("羁押", "看守所")),
    Meaning(words.EVIDENCE_KIND_SENTENCE, _R, ("判决", "刑种", "刑期", "刑罚", "sentence")),
    Meaning(words.EVIDENCE_KIND_CORRECTION_CHECK_IN, _P, ("矫正", "报到", "sqjz")),
    Meaning(words.EVIDENCE_KIND_CHECKPOINT_VEHICLE, _W, ("卡口车辆", "过车", "车牌")),
    Meaning(words.EVIDENCE_KIND_CHECKPOINT_FACE, _R, ("卡口", "抓拍", "轨迹", "gjxx", "kk", "checkpoint")),
    Meaning(words.EVIDENCE_KIND_HOTEL_STAY, _R, ("旅馆", "住宿", "旅店", "酒店", "lgrz", "lgzs", "hotel")),
    Meaning(words.EVIDENCE_KIND_BORDER_CROSSING, _R, ("出入境", "crj", "crjjl", "border")),
    Meaning(words.EVIDENCE_KIND_IDENTITY_CARD_ISSUED, _P, ("身份证办理", "证件办理", "证件受理", "zjsl", "zjbl")),
    Meaning(words.EVIDENCE_KIND_EMIGRATED, _R, ("出国定居", "定居国外")),
    Meaning(words.EVIDENCE_KIND_HOUSEHOLD_MOVED, _R, ("迁出", "户口迁移", "迁往")),
    Meaning(words.EVIDENCE_KIND_RESIDENCE_MOVED, _R, ("居住地变更", "居住证")),
    Meaning(words.EVIDENCE_KIND_DEATH_REPORT, words.STRENGTH_LEAD, ("死亡", "去世", "death", "dead")),
)  # fmt: skip
"""From the particular to the general: of two that fit a code, the first counts."""


def parts_of(name: str) -> list[str]:
    """The parts of a name in small letters, and the whole without separators: `patient.idCard` → patient, id, card …"""
    pieces = [piece for piece in re.split(r"[^A-Za-z0-9]+", name) if piece]
    parts = [part.lower() for piece in pieces for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", piece)]
    return [*parts, *(piece.lower() for piece in pieces), name.lower().strip("^")]


def called_type(name: str) -> bool:
    """Whether a column is called a type, a reason or a manner: what its codes mean may change what a row is."""
    return bool(spoken(name, TYPE)) or any(part.endswith(TYPE_ENDINGS) for part in parts_of(name) if part.isascii())


def spoken(name: str, listed: Words) -> int:
    """How well a name fits a list of words: characters of the longest that fits; 0: none."""
    parts = set(parts_of(name))
    best = 0
    for word in listed:
        if word.isascii():
            best = max(best, len(word) if word in parts or ("_" in word and word in name.lower()) else 0)
        elif word in name:
            best = max(best, 3 * len(word))
    return best
