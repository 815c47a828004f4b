"""The kinds of life in the demo world, what the evidence can tell about each, and what it cannot.

Owns: the table of cases: how often each occurs, what a perfect reader of the evidence would answer, which answers are
still right, which flags must be raised, and what nobody can know from the evidence. Scoring reads it together with
the truth. Refuses: judging by itself. It is written from the field's rules (docs/glossary.md), not from the grading
code, so that the one can be held against the other.

Two promises hold for every case, and `tests/unit/demo` keeps them: no living person has DECEASED among the right
answers; and no living person's history looks like an undisputed death. That leaves out of the world one thing that
happens in life: a death registered by mistake for someone who has left no trace since. No evidence tells that from a
death.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

STRONG, MEDIUM, WEAK = "ALIVE_STRONG", "ALIVE_MEDIUM", "ALIVE_WEAK"
DECEASED, SUSPECTED = "DECEASED", "DECEASED_SUSPECTED"
MISSING, CONFLICT, UNKNOWN = "MISSING", "CONFLICT", "UNKNOWN"
REFUSED = "REFUSED"
"""Not a SurvivalStatus: the question itself must be refused, because of the number written in the roster."""

ALIVE: Final = (STRONG, MEDIUM, WEAK)


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of life.

    Args:
        label: its name, as in the truth file.
        weight: how many in 10,000 people, beyond the one that every world has.
        expected: the answer of a perfect reader: a SurvivalStatus without prefix, or REFUSED.
        right: every answer that is not wrong, `expected` first.
        flags: EntitlementFlags without prefix that an answer must raise.
        alive: whether the person is alive.
        group: which benefits and ages occur: "any", "pension", "spouse", "child", "unemployment".
        people: how many people one instance needs.
        cannot_know_en: what the evidence cannot tell, "" where it tells all.
        cannot_know_zh: the same in Chinese.
    """

    label: str
    weight: int
    expected: str
    right: tuple[str, ...]
    flags: tuple[str, ...] = ()
    alive: bool = True
    group: str = "any"
    people: int = 1
    cannot_know_en: str = ""
    cannot_know_zh: str = ""


def _living(
    label: str, weight: int, *right: str, flags: str = "", group: str = "any", en: str = "", zh: str = ""
) -> Case:
    return Case(label, weight, right[0], right, tuple(flags.split()), group=group, cannot_know_en=en, cannot_know_zh=zh)


def _dead(label: str, weight: int, *right: str, flags: str = "", en: str = "", zh: str = "") -> Case:
    return Case(label, weight, right[0], right, tuple(flags.split()), alive=False, cannot_know_en=en, cannot_know_zh=zh)


_PAIRED = Case(
    "number_shared",
    10,
    CONFLICT,
    (CONFLICT, UNKNOWN),
    ("IDENTITY_CONFLICT",),
    people=2,
    cannot_know_en="Which of the two people a record belongs to where it carries no name.",
    cannot_know_zh="未记载姓名的记录属于两人中的哪一人。",
)

CASES: Final[tuple[Case, ...]] = (
    # What `make demo` shows comes first, so that the smallest world has it.
    _living("active", 6600, STRONG),
    _living("moderate", 900, MEDIUM, WEAK),
    _living("quiet", 400, WEAK, MEDIUM),
    _dead("died_recorded_at_once", 220, DECEASED),
    _dead("died_recorded_late", 90, DECEASED),
    _dead(
        "died_only_reported",
        15,
        SUSPECTED,
        en="Whether the report is true: no department has confirmed it.",
        zh="线索是否属实：尚无部门确认。",
    ),
    _dead("died_card_used_after", 20, CONFLICT, flags="MISUSE_AFTER_DEATH"),
    _living("reported_missing", 10, MISSING, en="Whether the missing person lives.", zh="失踪人员是否在世。"),
    _living(
        "unknown_person",
        10,
        UNKNOWN,
        en="Anything: no department asked knows this number, alive or dead.",
        zh="一切：被询问的部门均查无此号码，无从判断生死。",
    ),
    _living("remarried_dependant", 25, STRONG, MEDIUM, flags="REMARRIED", group="spouse"),
    _living("paroled", 15, STRONG, MEDIUM, flags="PAROLED", group="pension"),
    _living("number_changed", 40, STRONG, MEDIUM, flags="IDENTITY_LINKED"),
    _PAIRED,
    _dead(
        "died_unreported_burial",
        25,
        WEAK,
        MEDIUM,
        UNKNOWN,
        en="The death: the burial was never reported and the relatives go on withdrawing. Only a visit tells.",
        zh="死亡事实：安葬未上报，亲属仍按月取款，只有上门核查才能发现。",
    ),
    # Living people.
    _living("traveller", 300, STRONG),
    _living("local_resident", 250, STRONG),
    _living("bedridden_pharmacy_only", 40, WEAK, MEDIUM),
    _living("registered_only", 40, WEAK, UNKNOWN),
    _living("face_checked", 60, MEDIUM, STRONG),
    _living("moved_within_cycle", 80, MEDIUM, WEAK, STRONG, flags="MOVED"),
    _living("residence_unknown", 60, STRONG, MEDIUM),
    _living("emigrated", 15, WEAK, MEDIUM, UNKNOWN, flags="EMIGRATED"),
    _living("re_employed", 20, STRONG, MEDIUM, flags="RE_EMPLOYED", group="unemployment"),
    _living("duplicate_benefit", 20, STRONG, MEDIUM, flags="DUPLICATE_BENEFIT", group="pension"),
    _living("account_frozen", 10, STRONG, MEDIUM),
    _living("account_closed", 10, STRONG, MEDIUM),
    _living("twice_in_roster", 15, STRONG, MEDIUM),
    # Numbers and names as rosters have them.
    _living("number_fifteen_digits", 40, STRONG, MEDIUM, group="pension"),
    _living("number_lower_x", 40, STRONG, MEDIUM),
    _living("number_full_width", 20, STRONG, MEDIUM),
    _living("number_blanks", 20, STRONG, MEDIUM),
    _living("number_wrong_check", 15, REFUSED),
    _living("several_registrations", 10, STRONG, MEDIUM, flags="IDENTITY_LINKED"),
    _living("name_rare", 25, STRONG, MEDIUM),
    _living("name_variant", 25, STRONG, MEDIUM),
    _living("name_minority", 25, STRONG, MEDIUM),
    # Deaths.
    _dead("number_changed_died", 10, DECEASED, flags="IDENTITY_LINKED"),
    _dead("died_one_department", 40, DECEASED),
    _dead("died_month_end", 15, DECEASED),
    _dead("death_dates_differ", 15, DECEASED),
    _dead("died_found_by_visit", 10, SUSPECTED, DECEASED),
    _dead("died_recorded_very_late", 10, SUSPECTED, DECEASED),
    _dead("died_insurance_settlement_only", 10, SUSPECTED, DECEASED),
    _dead(
        "died_not_yet_known",
        30,
        STRONG,
        MEDIUM,
        WEAK,
        en="The death: it happened days ago and no department has it yet.",
        zh="死亡事实：刚刚发生，各部门均尚未登记。",
    ),
    _dead("declared_dead", 10, DECEASED, SUSPECTED, en="Whether the person really died.", zh="本人是否真正死亡。"),
    # Living people said to be dead.
    _living(
        "false_death_report_active",
        10,
        CONFLICT,
        SUSPECTED,
        *ALIVE,
        en="Whether the report or the traces are wrong, until someone looks.",
        zh="线索与活动轨迹何者有误，须经核查。",
    ),
    _living(
        "false_death_report_quiet",
        10,
        SUSPECTED,
        CONFLICT,
        en="Whether the report is true: nothing contradicts it.",
        zh="线索是否属实：没有相反的证据。",
    ),
    _living(
        "wrongly_cancelled",
        10,
        CONFLICT,
        SUSPECTED,
        en="Whether the record is wrong or someone uses the papers of the dead.",
        zh="是登记有误还是他人冒用死者证件。",
    ),
    _living("declared_dead_revoked", 8, STRONG, MEDIUM, flags="DEATH_DECLARATION_REVOKED"),
    _living(
        "declared_dead_found_alive",
        8,
        CONFLICT,
        SUSPECTED,
        en="Whether it is the declared person who came back: the court has not revoked the declaration.",
        zh="出现者是否为被宣告死亡者本人：法院尚未撤销宣告。",
    ),
    _living("declared_missing", 10, MISSING, en="Whether the missing person lives.", zh="失踪人员是否在世。"),
    _living("missing_declaration_revoked", 8, STRONG, MEDIUM),
    _living("reported_missing_found", 8, STRONG, MEDIUM),
    # Dependants.
    _living("remarried_divorced", 8, STRONG, MEDIUM, flags="REMARRIED", group="spouse"),
    _living("adopted_dependant", 8, STRONG, MEDIUM, flags="ADOPTED", group="child"),
    _living("dependant_minor", 40, STRONG, MEDIUM, group="child"),
    _living("dependant_turned_18", 30, STRONG, MEDIUM, flags="AGED_OUT", group="child"),
    _living("dependant_turned_18_month_end", 5, STRONG, MEDIUM, flags="AGED_OUT", group="child"),
    _living("dependant_born_29_february", 5, STRONG, MEDIUM, group="child"),
    # Sentences.
    _living("imprisoned", 20, WEAK, MEDIUM, STRONG, flags="IMPRISONED", group="pension"),
    _living("sentence_commuted", 8, WEAK, MEDIUM, STRONG, flags="IMPRISONED", group="pension"),
    _living("sentence_commuted_released", 8, STRONG, MEDIUM, group="pension"),
    _living("parole_revoked", 6, WEAK, MEDIUM, STRONG, flags="IMPRISONED", group="pension"),
    _living(
        "parole_not_supplied",
        6,
        WEAK,
        MEDIUM,
        STRONG,
        flags="IMPRISONED",
        group="pension",
        en="The parole: the prison has not passed it on yet.",
        zh="假释事实：监狱尚未报送。",
    ),
    _living("medical_release", 6, STRONG, MEDIUM, WEAK, flags="MEDICAL_RELEASE", group="pension"),
    _living("suspended_sentence", 8, STRONG, MEDIUM, group="pension"),
    _living("detained", 8, STRONG, MEDIUM, WEAK, flags="DETAINED", group="pension"),
    _living("released", 8, STRONG, MEDIUM, group="pension"),
    # One living person as two people of two numbers, whom two provinces pay: no register links them, but the face does.
    Case("face_shared", 6, STRONG, (STRONG, MEDIUM), group="pension", people=2),
)
"""Every case, those that the demo shows first."""

BY_LABEL: Final[dict[str, Case]] = {case.label: case for case in CASES}
INDEX: Final[dict[str, int]] = {case.label: index for index, case in enumerate(CASES)}


def as_far_as_read(case: Case, *, death_known: bool) -> tuple[str, ...]:
    """Every answer that is not wrong about somebody of whom a department cannot speak, the best first: nobody is strong
    then, and of whom no other department has the death it is not known.
    """
    if not case.alive and not death_known and DECEASED in case.right:
        return WEAK, MEDIUM, UNKNOWN
    return tuple(dict.fromkeys(MEDIUM if status == STRONG else status for status in case.right))


SHOWCASE: Final[tuple[str, ...]] = (
    "active",
    "moderate",
    "quiet",
    "died_recorded_at_once",
    "died_recorded_late",
    "died_only_reported",
    "died_card_used_after",
    "reported_missing",
    "unknown_person",
    "remarried_dependant",
    "paroled",
    "number_changed",
    "number_shared",
    "died_unreported_burial",
)
"""One of each kind of answer, in the order in which they are best told."""

SMALLEST_COMPLETE_WORLD: Final = sum(case.people for case in CASES)
"""People that a world needs to hold every case; smaller worlds hold the first of the table."""

_PENSIONS: Final = ("EMPLOYEE_PENSION", "PUBLIC_INSTITUTION_PENSION")
_DEPENDANTS: Final = ("WORK_DEATH_DEPENDANT", "NON_WORK_DEATH_DEPENDANT")
ENDED_BY: Final[dict[str, tuple[str, ...]]] = {
    "REMARRIED": _DEPENDANTS,
    "ADOPTED": _DEPENDANTS,
    "AGED_OUT": _DEPENDANTS,
    "RE_EMPLOYED": (*_DEPENDANTS, "UNEMPLOYMENT"),
    "EMIGRATED": ("UNEMPLOYMENT",),
    "IMPRISONED": (*_PENSIONS, *_DEPENDANTS, "RESIDENT_PENSION", "UNEMPLOYMENT"),
    "DETAINED": _PENSIONS,
}
"""EntitlementFlag → benefits which that fact ends or suspends, by the field's rules; those of the gateways are held
against it."""
