"""The words of the contract as a person reads them, in Chinese and English.

Owns: one name in each language for every number of every enumeration that a person may see, short enough for a table,
readable inside a sentence. A test holds it against the contract, so that no number is ever shown bare. Pure: the rules
fill the texts of reasons with it. Refuses: sentences (those of grading come with the answer, signed).
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from wugan.adapter.v1 import vocabulary_pb2 as a
from wugan.federation.v1 import vocabulary_pb2 as f

Language: TypeAlias = Literal["zh", "en"]
"""What every text that people see exists in."""


class Word(NamedTuple):
    """One name in both languages."""

    zh: str
    en: str

    def said(self, language: Language) -> str:
        """The name in a language."""
        return self.zh if language == "zh" else self.en


DEPARTMENTS: dict[int, Word] = {
    a.DEPARTMENT_PUBLIC_SECURITY: Word("公安", "public security"),
    a.DEPARTMENT_CIVIL_AFFAIRS: Word("民政", "civil affairs"),
    a.DEPARTMENT_COURTS: Word("法院", "courts"),
    a.DEPARTMENT_JUSTICE: Word("司法行政", "justice"),
    a.DEPARTMENT_HEALTH_INSURANCE: Word("医保", "health insurance"),
    a.DEPARTMENT_HEALTH: Word("卫生健康", "health"),
    a.DEPARTMENT_TRANSPORT: Word("交通", "transport"),
    a.DEPARTMENT_BANKS: Word("银行", "banks"),
    a.DEPARTMENT_FACE_AUTHENTICATION: Word("认证核查", "face authentication and visits"),
    a.DEPARTMENT_SOCIAL_INSURANCE: Word("社会保险经办", "social insurance"),
}

KINDS: dict[int, Word] = {
    a.EVIDENCE_KIND_CHECKPOINT_FACE: Word("卡口人脸", "checkpoint face record"),
    a.EVIDENCE_KIND_CHECKPOINT_VEHICLE: Word("卡口车辆", "checkpoint vehicle record"),
    a.EVIDENCE_KIND_HOTEL_STAY: Word("旅馆住宿", "hotel stay"),
    a.EVIDENCE_KIND_IDENTITY_CARD_ISSUED: Word("居民身份证办理", "identity card issued"),
    a.EVIDENCE_KIND_BORDER_CROSSING: Word("出入境", "border crossing"),
    a.EVIDENCE_KIND_OLD_AGE_SUBSIDY: Word("高龄津贴领取", "old-age subsidy collected"),
    a.EVIDENCE_KIND_CORRECTION_CHECK_IN: Word("社区矫正报到", "community-correction check-in"),
    a.EVIDENCE_KIND_OUTPATIENT: Word("门诊结算", "outpatient settlement"),
    a.EVIDENCE_KIND_INPATIENT: Word("住院结算", "inpatient settlement"),
    a.EVIDENCE_KIND_PHARMACY: Word("药店购药结算", "pharmacy settlement"),
    a.EVIDENCE_KIND_REMOTE_SETTLEMENT: Word("异地就医结算", "remote-place settlement"),
    a.EVIDENCE_KIND_MEDICAL_REGISTRATION: Word("挂号", "medical registration"),
    a.EVIDENCE_KIND_HOSPITAL_STAY: Word("在院", "hospital stay"),
    a.EVIDENCE_KIND_VACCINATION: Word("接种", "vaccination"),
    a.EVIDENCE_KIND_HEALTH_CHECK: Word("健康体检", "health check"),
    a.EVIDENCE_KIND_HEALTH_CODE_TEST: Word("核酸检测", "health-code test"),
    a.EVIDENCE_KIND_RAIL_TRAVEL: Word("铁路出行", "rail travel"),
    a.EVIDENCE_KIND_AIR_TRAVEL: Word("民航出行", "air travel"),
    a.EVIDENCE_KIND_BUS_TRAVEL: Word("公路客运出行", "coach travel"),
    a.EVIDENCE_KIND_CITIZEN_CARD: Word("市民卡使用", "citizen-card use"),
    a.EVIDENCE_KIND_TELLER_WITHDRAWAL: Word("柜面取款", "teller withdrawal"),
    a.EVIDENCE_KIND_SELF_SERVICE_WITHDRAWAL: Word("自助设备取款", "self-service withdrawal"),
    a.EVIDENCE_KIND_BALANCE_MOVEMENT: Word("账户变动", "balance movement"),
    a.EVIDENCE_KIND_FACE_CHECK: Word("人脸认证通过", "face check passed"),
    a.EVIDENCE_KIND_HOME_VISIT: Word("上门核查见到本人", "home visit with the person seen"),
    a.EVIDENCE_KIND_OWN_CERTIFICATION: Word("社保资格认证通过", "own certification passed"),
    a.EVIDENCE_KIND_HOUSEHOLD_CANCELLED_DEATH: Word("死亡注销户口", "household registration cancelled by death"),
    a.EVIDENCE_KIND_DEATH_CERTIFICATE: Word("死亡医学证明", "death certificate"),
    a.EVIDENCE_KIND_CREMATION: Word("火化", "cremation"),
    a.EVIDENCE_KIND_BURIAL: Word("安葬", "burial"),
    a.EVIDENCE_KIND_DEATH_SETTLEMENT: Word("医保死亡结算", "death settlement"),
    a.EVIDENCE_KIND_VISIT_FOUND_DEAD: Word("上门核查发现死亡", "home visit found dead"),
    a.EVIDENCE_KIND_DEATH_REPORT: Word("死亡线索", "report of a death"),
    a.EVIDENCE_KIND_DECLARED_DEAD: Word("宣告死亡", "declared dead"),
    a.EVIDENCE_KIND_DEATH_DECLARATION_REVOKED: Word("撤销死亡宣告", "declaration of death revoked"),
    a.EVIDENCE_KIND_DECLARED_MISSING: Word("宣告失踪", "declared missing"),
    a.EVIDENCE_KIND_MISSING_DECLARATION_REVOKED: Word("撤销失踪宣告", "declaration of absence revoked"),
    a.EVIDENCE_KIND_REPORTED_MISSING: Word("走失、失踪报案", "reported missing"),
    a.EVIDENCE_KIND_FOUND: Word("走失、失踪人员找回", "missing person found"),
    a.EVIDENCE_KIND_DETAINED: Word("羁押", "detained"),
    a.EVIDENCE_KIND_SENTENCE: Word("判决", "sentence"),
    a.EVIDENCE_KIND_IMPRISONED: Word("收监", "imprisoned"),
    a.EVIDENCE_KIND_COMMUTATION: Word("减刑", "commutation"),
    a.EVIDENCE_KIND_PAROLE: Word("假释", "parole"),
    a.EVIDENCE_KIND_RELEASE: Word("刑满释放", "release"),
    a.EVIDENCE_KIND_MEDICAL_RELEASE: Word("暂予监外执行", "temporary release for medical treatment"),
    a.EVIDENCE_KIND_RETURNED_TO_PRISON: Word("撤销假释、收监执行", "returned to prison"),
    a.EVIDENCE_KIND_MARRIAGE: Word("结婚登记", "marriage"),
    a.EVIDENCE_KIND_DIVORCE: Word("离婚登记", "divorce"),
    a.EVIDENCE_KIND_ADOPTION: Word("被收养登记", "adoption"),
    a.EVIDENCE_KIND_EMIGRATED: Word("出国定居", "emigrated"),
    a.EVIDENCE_KIND_HOUSEHOLD_MOVED: Word("户口迁出", "household moved"),
    a.EVIDENCE_KIND_RESIDENCE_MOVED: Word("居住地变更", "residence moved"),
    a.EVIDENCE_KIND_RE_EMPLOYMENT: Word("再就业", "re-employment"),
    a.EVIDENCE_KIND_DUPLICATE_BENEFIT: Word("重复领取待遇", "benefit drawn elsewhere"),
    a.EVIDENCE_KIND_ACCOUNT_FROZEN: Word("账户冻结", "account frozen"),
    a.EVIDENCE_KIND_ACCOUNT_CLOSED: Word("账户销户", "account closed"),
}

PENALTIES: dict[int, Word] = {
    a.PENALTY_KIND_FIXED_TERM: Word("有期徒刑", "fixed-term imprisonment"),
    a.PENALTY_KIND_LIFE: Word("无期徒刑", "life imprisonment"),
    a.PENALTY_KIND_DEATH: Word("死刑", "death penalty"),
    a.PENALTY_KIND_DEATH_SUSPENDED: Word("死刑缓期二年执行", "death penalty with a two-year reprieve"),
    a.PENALTY_KIND_CRIMINAL_DETENTION: Word("拘役", "criminal detention"),
    a.PENALTY_KIND_PUBLIC_SURVEILLANCE: Word("管制", "public surveillance"),
    a.PENALTY_KIND_SUSPENDED_SENTENCE: Word("缓刑", "suspended sentence"),
}

STRENGTHS: dict[int, Word] = {
    a.STRENGTH_LEAD: Word("线索", "lead"),
    a.STRENGTH_WEAK: Word("弱", "weak"),
    a.STRENGTH_ACCOUNT: Word("账户", "account"),
    a.STRENGTH_REAL_NAME: Word("实名", "real name"),
    a.STRENGTH_IN_PERSON: Word("本人到场核验", "seen in person"),
}

PURPOSES: dict[int, Word] = {
    a.PURPOSE_CERTIFICATION: Word("资格认证", "certification"),
    a.PURPOSE_CHANGE_MONITORING: Word("动态监测", "change monitoring"),
    a.PURPOSE_OVERPAYMENT_RECOVERY: Word("多发追回", "overpayment recovery"),
    a.PURPOSE_DISPUTE_REVIEW: Word("异议复核", "dispute review"),
    a.PURPOSE_AUDIT: Word("审计监督", "audit"),
}

DOCUMENTS: dict[int, Word] = {
    a.DOCUMENT_KIND_RESIDENT_IDENTITY: Word("居民身份证", "resident identity card"),
    a.DOCUMENT_KIND_HMT_RESIDENCE_PERMIT: Word(
        "港澳台居民居住证", "residence permit for Hong Kong, Macau and Taiwan residents"
    ),
    a.DOCUMENT_KIND_HM_TRAVEL_PERMIT: Word(
        "港澳居民来往内地通行证", "mainland travel permit for Hong Kong and Macau residents"
    ),
    a.DOCUMENT_KIND_TW_TRAVEL_PERMIT: Word("台湾居民来往大陆通行证", "mainland travel permit for Taiwan residents"),
    a.DOCUMENT_KIND_FOREIGN_PERMANENT_RESIDENT: Word("外国人永久居留身份证", "foreigner's permanent resident card"),
    a.DOCUMENT_KIND_PASSPORT: Word("护照", "passport"),
}

BENEFITS: dict[int, Word] = {
    f.BENEFIT_TYPE_EMPLOYEE_PENSION: Word("企业职工基本养老保险", "enterprise employees' pension"),
    f.BENEFIT_TYPE_PUBLIC_INSTITUTION_PENSION: Word(
        "机关事业单位基本养老保险", "public-institution employees' pension"
    ),
    f.BENEFIT_TYPE_RESIDENT_PENSION: Word("城乡居民基本养老保险", "urban and rural residents' pension"),
    f.BENEFIT_TYPE_UNEMPLOYMENT: Word("失业保险金", "unemployment benefit"),
    f.BENEFIT_TYPE_WORK_INJURY: Word("工伤保险长期待遇（伤残津贴、生活护理费）", "long-term work-injury benefit"),
    f.BENEFIT_TYPE_WORK_DEATH_DEPENDANT: Word("因工死亡供养亲属抚恤金", "work-death dependants' allowance"),
    f.BENEFIT_TYPE_NON_WORK_DEATH_DEPENDANT: Word("非因工死亡供养亲属待遇", "non-work-death dependants' allowance"),
}

STATUSES: dict[int, Word] = {
    f.SURVIVAL_STATUS_ALIVE_STRONG: Word("生存（强）", "alive (strong)"),
    f.SURVIVAL_STATUS_ALIVE_MEDIUM: Word("生存（中）", "alive (medium)"),
    f.SURVIVAL_STATUS_ALIVE_WEAK: Word("生存（弱）", "alive (weak)"),
    f.SURVIVAL_STATUS_DECEASED: Word("死亡", "deceased"),
    f.SURVIVAL_STATUS_DECEASED_SUSPECTED: Word("疑似死亡", "death suspected"),
    f.SURVIVAL_STATUS_MISSING: Word("失踪", "missing"),
    f.SURVIVAL_STATUS_CONFLICT: Word("信息冲突", "conflicting records"),
    f.SURVIVAL_STATUS_UNKNOWN: Word("查无此人", "not known"),
}

FLAGS: dict[int, Word] = {
    f.ENTITLEMENT_FLAG_REMARRIED: Word("再婚", "remarried"),
    f.ENTITLEMENT_FLAG_IMPRISONED: Word("服刑", "imprisoned"),
    f.ENTITLEMENT_FLAG_PAROLED: Word("假释", "paroled"),
    f.ENTITLEMENT_FLAG_MEDICAL_RELEASE: Word("暂予监外执行", "released for medical treatment"),
    f.ENTITLEMENT_FLAG_DETAINED: Word("羁押", "detained"),
    f.ENTITLEMENT_FLAG_DUPLICATE_BENEFIT: Word("重复领取", "duplicate benefit"),
    f.ENTITLEMENT_FLAG_IDENTITY_CONFLICT: Word("身份冲突", "identity conflict"),
    f.ENTITLEMENT_FLAG_IDENTITY_LINKED: Word("号码已变更或关联", "number changed or linked"),
    f.ENTITLEMENT_FLAG_RE_EMPLOYED: Word("再就业", "re-employed"),
    f.ENTITLEMENT_FLAG_AGED_OUT: Word("年满十八周岁", "turned eighteen"),
    f.ENTITLEMENT_FLAG_ADOPTED: Word("被收养", "adopted"),
    f.ENTITLEMENT_FLAG_EMIGRATED: Word("出国定居", "emigrated"),
    f.ENTITLEMENT_FLAG_MISUSE_AFTER_DEATH: Word("死亡后仍有使用记录", "used after death"),
    f.ENTITLEMENT_FLAG_DEATH_DECLARATION_REVOKED: Word("死亡宣告已撤销", "death declaration revoked"),
    f.ENTITLEMENT_FLAG_MOVED: Word("已迁往他省", "moved"),
}

PROPOSALS: dict[int, Word] = {
    f.CERTIFICATION_STATUS_CERTIFIED: Word("已认证", "certified"),
    f.CERTIFICATION_STATUS_NEEDS_FACE: Word("待人脸认证", "needs a face check"),
    f.CERTIFICATION_STATUS_NEEDS_VISIT: Word("待上门核查", "needs a visit"),
    f.CERTIFICATION_STATUS_SUSPECT: Word("疑点待核（30 日内）", "suspect: verify within 30 days"),
    f.CERTIFICATION_STATUS_STOP_PROPOSED: Word("拟停发", "stop proposed"),
    f.CERTIFICATION_STATUS_STOPPED: Word("已停发", "stopped"),
    f.CERTIFICATION_STATUS_RESTORED: Word("已恢复", "restored"),
}

DUPLICATES: dict[int, Word] = {
    f.DUPLICATE_KIND_TWICE: Word("同一号码重复登记", "same number twice"),
    f.DUPLICATE_KIND_OTHER_NUMBER: Word("新旧号码为同一人", "one person, two numbers"),
    f.DUPLICATE_KIND_OTHER_NAME: Word("同号不同名", "one number, two names"),
    f.DUPLICATE_KIND_OTHER_FACE: Word("一张脸对应多人", "one face, two people"),
    f.DUPLICATE_KIND_OTHER_UNIT: Word("其他经办机构已认证", "certified at another agency"),
    f.DUPLICATE_KIND_OTHER_MEMBER: Word("外省重复领取", "draws in another province, too"),
}

OUTCOMES: dict[int, Word] = {
    f.SOURCE_OUTCOME_ANSWERED: Word("已答复", "answered"),
    f.SOURCE_OUTCOME_SILENT: Word("未在时限内答复", "not there in time"),
    f.SOURCE_OUTCOME_UNAVAILABLE: Word("无法连接", "could not be reached"),
    f.SOURCE_OUTCOME_FAULTY: Word("答复无效", "answered wrongly"),
}


REFUSALS: dict[int, Word] = {
    f.REFUSAL_REASON_INVALID_ARGUMENT: Word("填报项有误", "a field is wrong"),
    f.REFUSAL_REASON_INVALID_ID_NUMBER: Word("证件号码有误", "wrong identity number"),
    f.REFUSAL_REASON_UNKNOWN_BENEFIT: Word("险种无法识别", "unknown benefit"),
    f.REFUSAL_REASON_PURPOSE_NOT_PERMITTED: Word("对方未授权该查询目的", "purpose not permitted there"),
    f.REFUSAL_REASON_BENEFIT_NOT_PERMITTED: Word("对方未授权该险种", "benefit not permitted there"),
    f.REFUSAL_REASON_MEMBER_NOT_PERMITTED: Word("对方未授权本单位查询", "not permitted to ask there"),
    f.REFUSAL_REASON_UNKNOWN_REGION: Word("行政区划代码无法识别", "unknown region"),
    f.REFUSAL_REASON_NOT_SERVED: Word("对方无此类数据来源", "no source there for such a question"),
    f.REFUSAL_REASON_ENVELOPE_MALFORMED: Word("报文格式有误", "malformed message"),
    f.REFUSAL_REASON_ENVELOPE_UNSUPPORTED: Word("报文版本不受支持", "version of the message not supported"),
    f.REFUSAL_REASON_ENVELOPE_EXPIRED: Word("报文已过期", "message out of date"),
    f.REFUSAL_REASON_ENVELOPE_REPLAYED: Word("报文重复", "message came twice"),
    f.REFUSAL_REASON_ENVELOPE_REJECTED: Word("报文未通过验证", "message did not verify"),
    f.REFUSAL_REASON_WRONG_RECIPIENT: Word("报文接收方不符", "message for somebody else"),
    f.REFUSAL_REASON_PEER_MISMATCH: Word("连接身份与发送方不符", "connection is not the sender's"),
    f.REFUSAL_REASON_STRANGER: Word("不在成员目录中", "not in the directory"),
    f.REFUSAL_REASON_TOO_LARGE: Word("超出允许的大小", "too large"),
    f.REFUSAL_REASON_OVERLOADED: Word("对方繁忙", "overloaded"),
    f.REFUSAL_REASON_DEADLINE_EXCEEDED: Word("未在时限内答复", "not answered in time"),
    f.REFUSAL_REASON_PARTNER_UNAVAILABLE: Word("对方网关无法连接", "gateway could not be reached"),
    f.REFUSAL_REASON_PARTNER_FAULTY: Word("对方答复无效", "answer not valid"),
    f.REFUSAL_REASON_DIRECTORY_EXPIRED: Word("成员目录已过期", "directory out of date"),
    f.REFUSAL_REASON_SHUTTING_DOWN: Word("网关正在停止", "gateway shutting down"),
    f.REFUSAL_REASON_INTERNAL: Word("内部错误", "internal error"),
    f.REFUSAL_REASON_QUOTA_EXCEEDED: Word("超出查询额度", "quota used up"),
    f.REFUSAL_REASON_DELIVERY_EXPIRED: Word("投递已过期", "delivery out of date"),
    f.REFUSAL_REASON_DELIVERY_SUPERSEDED: Word("已有更新的投递", "superseded by a later delivery"),
}
"""Short, for tables and sums; where one person is refused, the refusal brings its own text."""


SIGNALS: dict[str, Word] = {
    "sequential": Word("号码连续", "numbers in sequence"),
    "roster": Word("超出名册规模", "more people than the roster explains"),
    "odd-hours": Word("非工作时间大量查询", "many people at odd hours"),
    "unknown": Word("大量查无此人", "many people whom nobody knows"),
    "overlap": Word("名册重合异常", "far too many people in common"),
}
"""What raises a harvesting alarm, by its name on the record."""


def signal(name: str) -> Word:
    """The word for what raised an alarm; one of a later version is shown as itself."""
    return SIGNALS.get(name) or Word(name, name)


def word(table: dict[int, Word], number: int) -> Word:
    """The word for a number; a number of a later version of the contract is shown as itself."""
    return table.get(number) or Word(f"（{number}）", f"({number})")


def refusal_name(number: int) -> str:
    """A reason for refusal as the contract names it, e.g. "NOT_SERVED"; none is ""."""
    return f.RefusalReason.Name(f.RefusalReason.ValueType(number)).removeprefix("REFUSAL_REASON_") if number else ""
