"""The field's tables: what each department's evidence is worth, and what each fact does to each benefit. Whoever
changes one in the rule file says so here, too, and raises the file's version.
"""

import re
from pathlib import Path

import pytest
from rules_world import BOOK, TODAY, graded, row

from gateway.rules.book import BENEFITS, Effect
from gateway.rules.kinds import DEPARTMENTS, FIRST_EVENT, FLAGS, KINDS, STRENGTH_SLOTS, STRENGTHS, Role

TRACES = """
kind                     strength   at most    days after a death  used  of
CHECKPOINT_FACE          REAL_NAME  REAL_NAME   0  -    PUBLIC_SECURITY
CHECKPOINT_VEHICLE       WEAK       WEAK        0  -    PUBLIC_SECURITY
HOTEL_STAY               REAL_NAME  REAL_NAME   0  -    PUBLIC_SECURITY
IDENTITY_CARD_ISSUED     IN_PERSON  IN_PERSON   0  -    PUBLIC_SECURITY
BORDER_CROSSING          REAL_NAME  IN_PERSON   0  -    PUBLIC_SECURITY
OLD_AGE_SUBSIDY          WEAK       IN_PERSON  31  use  CIVIL_AFFAIRS
CORRECTION_CHECK_IN      IN_PERSON  IN_PERSON   0  -    JUSTICE
OUTPATIENT               REAL_NAME  REAL_NAME   3  use  HEALTH_INSURANCE
INPATIENT                REAL_NAME  REAL_NAME  30  use  HEALTH_INSURANCE
PHARMACY                 WEAK       WEAK        0  use  HEALTH_INSURANCE
REMOTE_SETTLEMENT        REAL_NAME  REAL_NAME  30  use  HEALTH_INSURANCE
MEDICAL_REGISTRATION     ACCOUNT    REAL_NAME   0  use  HEALTH
HOSPITAL_STAY            REAL_NAME  IN_PERSON   3  -    HEALTH
VACCINATION              REAL_NAME  IN_PERSON   0  -    HEALTH
HEALTH_CHECK             REAL_NAME  IN_PERSON   0  -    HEALTH
HEALTH_CODE_TEST         REAL_NAME  REAL_NAME   0  -    HEALTH
RAIL_TRAVEL              REAL_NAME  REAL_NAME   0  -    TRANSPORT
AIR_TRAVEL               REAL_NAME  IN_PERSON   0  -    TRANSPORT
BUS_TRAVEL               REAL_NAME  REAL_NAME   0  -    TRANSPORT
CITIZEN_CARD             WEAK       ACCOUNT     0  use  TRANSPORT
TELLER_WITHDRAWAL        ACCOUNT    IN_PERSON   0  use  BANKS
SELF_SERVICE_WITHDRAWAL  ACCOUNT    ACCOUNT     0  use  BANKS
BALANCE_MOVEMENT         WEAK       WEAK       31  use  BANKS
FACE_CHECK               IN_PERSON  IN_PERSON   0  -    FACE_AUTHENTICATION SOCIAL_INSURANCE
HOME_VISIT               IN_PERSON  IN_PERSON   0  -    FACE_AUTHENTICATION SOCIAL_INSURANCE
OWN_CERTIFICATION        REAL_NAME  IN_PERSON   0  -    SOCIAL_INSURANCE
"""
EVENTS = """
kind                         role                  the person was there  of
HOUSEHOLD_CANCELLED_DEATH    DEATH_CONFIRMED   -      PUBLIC_SECURITY
DEATH_CERTIFICATE            DEATH_CONFIRMED   -      HEALTH
CREMATION                    DEATH_CONFIRMED   -      CIVIL_AFFAIRS
BURIAL                       DEATH_SUPPORTED   -      CIVIL_AFFAIRS
DEATH_SETTLEMENT             DEATH_SUPPORTED   -      HEALTH_INSURANCE
VISIT_FOUND_DEAD             DEATH_SUPPORTED   -      FACE_AUTHENTICATION SOCIAL_INSURANCE
DEATH_REPORT                 DEATH_LEAD        -
DECLARED_DEAD                DEATH_CONFIRMED   -      PUBLIC_SECURITY CIVIL_AFFAIRS COURTS
DEATH_DECLARATION_REVOKED    DEATH_REVOKED     there  PUBLIC_SECURITY CIVIL_AFFAIRS COURTS
DECLARED_MISSING             MISSING_DECLARED  -      PUBLIC_SECURITY COURTS
MISSING_DECLARATION_REVOKED  MISSING_REVOKED   there  PUBLIC_SECURITY COURTS
REPORTED_MISSING             MISSING_REPORTED  -      PUBLIC_SECURITY
FOUND                        FOUND             there  PUBLIC_SECURITY CIVIL_AFFAIRS
DETAINED                     PENAL             there  PUBLIC_SECURITY
SENTENCE                     PENAL             -      COURTS
IMPRISONED                   PENAL             there  JUSTICE
COMMUTATION                  PENAL             -      COURTS JUSTICE
PAROLE                       PENAL             -      COURTS JUSTICE
RELEASE                      PENAL             -      PUBLIC_SECURITY JUSTICE
MEDICAL_RELEASE              PENAL             -      COURTS JUSTICE
RETURNED_TO_PRISON           PENAL             there  COURTS JUSTICE
MARRIAGE                     FLAG              there  CIVIL_AFFAIRS
DIVORCE                      DIVORCE           there  CIVIL_AFFAIRS
ADOPTION                     FLAG              -      CIVIL_AFFAIRS
EMIGRATED                    FLAG              -      PUBLIC_SECURITY
HOUSEHOLD_MOVED              MOVED             -      PUBLIC_SECURITY
RESIDENCE_MOVED              MOVED             -      PUBLIC_SECURITY
RE_EMPLOYMENT                FLAG              -      SOCIAL_INSURANCE
DUPLICATE_BENEFIT            FLAG              -      SOCIAL_INSURANCE
ACCOUNT_FROZEN               NOTE              -      BANKS
ACCOUNT_CLOSED               NOTE              -      BANKS
"""
ROLES = {number: name for name, number in vars(Role).items() if name.isupper()}
NAMES = {number: name for name, number in STRENGTHS.items()}
WORDS = {
    "death": "",
    "remarried": "REMARRIED",
    "adopted": "ADOPTED",
    "of age": "AGED_OUT",
    "employed": "RE_EMPLOYED",
    "re-employed": "RE_EMPLOYED",
    "imprisoned": "IMPRISONED",
    "detained": "DETAINED",
    "drawn elsewhere": "DUPLICATE_BENEFIT",
    "emigrated": "EMIGRATED",
}
TITLES = {
    "employees', public-institution pension": ["EMPLOYEE_PENSION", "PUBLIC_INSTITUTION_PENSION"],
    "residents' pension": ["RESIDENT_PENSION"],
    "unemployment": ["UNEMPLOYMENT"],
    "work injury": ["WORK_INJURY"],
    "dependants": ["WORK_DEATH_DEPENDANT", "NON_WORK_DEATH_DEPENDANT"],
}


def table(text: str) -> dict[str, list[str]]:
    return {line.split()[0]: line.split()[1:] for line in text.strip().splitlines()[1:]}


def originators(kind: int) -> list[str]:
    return [name for name, number in DEPARTMENTS.items() if BOOK.kinds.originates[kind, number]]


def test_what_each_trace_is_worth():
    found = {}
    for name, kind in KINDS.items():
        if kind < FIRST_EVENT:
            cell = kind * STRENGTH_SLOTS
            usual, most = (NAMES[int(BOOK.kinds.strength[cell + at])] for at in (0, STRENGTHS["IN_PERSON"]))
            used = "use" if BOOK.kinds.use[kind] else "-"
            found[name] = [usual, most, str(BOOK.kinds.lag_days[kind]), used, *originators(kind)]
    assert found == table(TRACES)


def test_what_each_event_does():
    found = {}
    for name, kind in KINDS.items():
        if kind >= FIRST_EVENT:
            there = "there" if BOOK.kinds.presence[kind] else "-"
            found[name] = [ROLES[int(BOOK.kinds.role[kind])], there, *originators(kind)]
    assert found == table(EVENTS)


def test_what_ends_suspends_or_doubts_a_benefit_is_what_the_documentation_says():
    page = Path(__file__).parents[3].joinpath("docs/rules.md").read_text("utf-8")
    lines = page.split("| benefit | ends |")[1].split("\n\n")[0].splitlines()[2:]
    told = {}
    for line in lines:
        title, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        effects = [{WORDS[word] for word in re.split(r", ", cell) if word != "–"} - {""} for cell in cells[:3]]
        told |= dict.fromkeys(TITLES[title], effects)
    always = {"IDENTITY_CONFLICT", "IDENTITY_LINKED", "MISUSE_AFTER_DEATH", "DEATH_DECLARATION_REVOKED"}
    found = {
        benefit: [
            {name for name, flag in FLAGS.items() if BOOK.effects[number, flag] == effect} - always
            for effect in (Effect.ENDS, Effect.SUSPENDS, Effect.REVIEW)
        ]
        for benefit, number in BENEFITS.items()
    }
    assert found == told


@pytest.mark.parametrize(
    ("rows", "until"),
    [
        ([row("CREMATION", 3)], 90),
        ([row("DEATH_REPORT", 3)], 7),
        ([row("REPORTED_MISSING", 3)], 7),
        ([row("CREMATION", 30), row("PHARMACY", 3)], 7),
        ([], 7),
        ([row("RAIL_TRAVEL", 3)], 30),
    ],
)
def test_how_long_an_answer_may_be_relied_on(rows, until):
    day = graded(*rows).valid_until
    assert (TODAY.fromisoformat(day) - TODAY).days == until


def test_how_long_it_may_be_relied_on_that_nobody_knows_a_person():
    assert graded(known=False).valid_until == "2026-05-28"


@pytest.mark.parametrize(
    ("ago", "status"), [(90, "ALIVE_MEDIUM"), (91, "ALIVE_WEAK"), (180, "ALIVE_WEAK"), (365, "ALIVE_WEAK")]
)
def test_points_halve_and_halve_again_with_age(ago, status):
    # 200 + 100 points are needed: an account trace that is fresh, and a weak one of this age
    assert graded(row("SELF_SERVICE_WITHDRAWAL", 5), row("CITIZEN_CARD", ago)).status == status


@pytest.mark.parametrize(
    ("ages", "status"),
    [
        ((180, 180, 180), "ALIVE_MEDIUM"),  # 100 of each
        ((180, 180, 181), "ALIVE_WEAK"),  # 50 of the last
        ((5, 365, 365), "ALIVE_MEDIUM"),  # 200 + 50 + 50
        ((5, 365, 366), "ALIVE_WEAK"),
    ],
)
def test_of_three_accounts_each_counts_by_its_age(ages, status):
    departments = ("BANKS", "HEALTH", "TRANSPORT")
    rows = [row("SELF_SERVICE_WITHDRAWAL", ago, of) for ago, of in zip(ages, departments, strict=True)]
    assert graded(*rows).status == status
