"""The lives of the cases (`gateway.demo.cases`), one function a group, each writing its people's histories into the
ledger.

Owns: what happens, when, where, and when whom is told. Refuses: what anyone concludes from it.

All days count back from the as-of day, so that the world looks the same whenever it is made. Deaths set
`People.died_on`; after that day a history holds only what the case is about.
"""

from __future__ import annotations

import numpy as np

from gateway.demo.calendar import month_end
from gateway.demo.cases import CASES, STRONG
from gateway.demo.histories import OTHER, WINDOW_DAYS, Ledger, Rows
from gateway.demo.starts import starts_of, widowed
from wugan.adapter.v1 import vocabulary_pb2 as words

_APART = frozenset(
    {
        "residence_unknown",
        "missing_declaration_revoked",
        "reported_missing_found",
        "medical_release",
        "detained",
    }
)
"""Living people whom the evidence shows well, but whose ordinary traces are written elsewhere below."""

_BUSY = (
    frozenset(case.label for case in CASES if case.alive and case.expected == STRONG)
    | {"number_wrong_check", "number_shared", "false_death_report_active"}
) - _APART
"""Living people who go about all through the cycle."""


def write_lives(ledger: Ledger) -> None:
    """Write down everybody's history, in a fixed order of groups."""
    for group in (_ordinary, _quiet, _moved, _deaths, _late_deaths, _hidden_deaths, _said_dead, _missing):
        group(ledger)
    for group in (_dependants, _sentences, _outside_prison, _changes, _first_marriages):
        group(ledger)


def _of(ledger: Ledger, *labels: str) -> Rows:
    return ledger.people.of(*labels)


def _goes_about(ledger: Ledger, who: Rows) -> None:
    ledger.go_about(who, ledger.as_of_on - WINDOW_DAYS, ledger.as_of_on)
    ledger.keep_fresh(who)


def _ordinary(ledger: Ledger) -> None:
    _goes_about(ledger, _of(ledger, *sorted(_BUSY)))
    travellers = _of(ledger, "traveller")
    for kind in (words.EVIDENCE_KIND_HOTEL_STAY, words.EVIDENCE_KIND_AIR_TRAVEL, words.EVIDENCE_KIND_RAIL_TRAVEL):
        rows = np.repeat(travellers, 3)
        ledger.add(rows, kind, ledger.days_ago(rows, 5, 300), at=ledger.rng.choice(ledger.places, rows.size))
    ledger.add(travellers, words.EVIDENCE_KIND_BORDER_CROSSING, ledger.days_ago(travellers, 10, 200))
    one_face = _of(ledger, "face_shared")
    ledger.add(one_face, words.EVIDENCE_KIND_FACE_CHECK, ledger.days_ago(one_face, 10, 80))
    twofold = _of(ledger, "several_registrations")
    # The health department still knows the second registration.
    ledger.add(twofold, words.EVIDENCE_KIND_VACCINATION, ledger.days_ago(twofold, 20, 80), held=OTHER)


def _quiet(ledger: Ledger) -> None:
    moderate = _of(ledger, "moderate")
    on = ledger.days_ago(moderate, 100, 165)
    by_rail = ledger.rng.random(moderate.size) < 0.5
    ledger.add(moderate[by_rail], words.EVIDENCE_KIND_RAIL_TRAVEL, on[by_rail])
    ledger.add(moderate[~by_rail], words.EVIDENCE_KIND_OUTPATIENT, on[~by_rail])
    ledger.add(moderate, words.EVIDENCE_KIND_PHARMACY, ledger.days_ago(moderate, 180, 350))
    quiet = _of(ledger, "quiet")
    ledger.add(quiet, words.EVIDENCE_KIND_PHARMACY, ledger.days_ago(quiet, 190, 330))
    ledger.add(quiet, words.EVIDENCE_KIND_CITIZEN_CARD, ledger.days_ago(quiet, 200, 340))
    bedridden = np.repeat(_of(ledger, "bedridden_pharmacy_only"), 11)
    ledger.add(bedridden, words.EVIDENCE_KIND_PHARMACY, ledger.days_ago(bedridden, 3, 340))
    checked = _of(ledger, "face_checked")
    ledger.add(checked, words.EVIDENCE_KIND_FACE_CHECK, ledger.days_ago(checked, 10, 80))


def _moved(ledger: Ledger) -> None:
    people = ledger.people
    movers = _of(ledger, "moved_within_cycle", "residence_unknown")
    before, day = people.earlier_home[movers], people.moved_on[movers]
    ledger.go_about(movers, ledger.as_of_on - WINDOW_DAYS, day - 1, at=before)
    ledger.go_about(movers, day, ledger.as_of_on)
    ledger.keep_fresh(movers)
    known = _of(ledger, "moved_within_cycle")
    by_household = ledger.rng.random(known.size) < 0.3
    for kind, rows in (
        (words.EVIDENCE_KIND_HOUSEHOLD_MOVED, known[by_household]),
        (words.EVIDENCE_KIND_RESIDENCE_MOVED, known[~by_household]),
    ):
        ledger.add(
            rows, kind, people.moved_on[rows], at=people.earlier_home[rows], detail=people.home[rows], delay=(1, 20)
        )


def _die(ledger: Ledger, label: str, least: int, most: int, *, lived: bool = True) -> Rows:
    """Set the day of death of a case's people, from `least` to `most` days ago; they went about until the day
    before.
    """
    who = _of(ledger, label)
    day = ledger.days_ago(who, least, most)
    ledger.people.died_on[who] = month_end(day) if label == "died_month_end" else day
    if lived:
        ledger.go_about(who, ledger.as_of_on - WINDOW_DAYS, ledger.people.died_on[who] - 2)
    return who


def _deaths(ledger: Ledger) -> None:
    died_on = ledger.people.died_on
    who = _die(ledger, "died_recorded_at_once", 25, 330)
    in_hospital = who[ledger.rng.random(who.size) < 0.4]
    ledger.add(in_hospital, words.EVIDENCE_KIND_HOSPITAL_STAY, died_on[in_hospital] - 6)
    ledger.add(who, words.EVIDENCE_KIND_DEATH_CERTIFICATE, died_on[who])
    ledger.add(who, words.EVIDENCE_KIND_CREMATION, died_on[who] + 3)
    ledger.add(who, words.EVIDENCE_KIND_BURIAL, died_on[who] + 20, delay=(1, 15))
    ledger.add(who, words.EVIDENCE_KIND_HOUSEHOLD_CANCELLED_DEATH, died_on[who])
    ledger.add(who, words.EVIDENCE_KIND_DEATH_SETTLEMENT, died_on[who])

    who = _die(ledger, "died_month_end", 60, 330)
    ledger.add(who, words.EVIDENCE_KIND_DEATH_CERTIFICATE, died_on[who])
    ledger.add(who, words.EVIDENCE_KIND_HOUSEHOLD_CANCELLED_DEATH, died_on[who])

    who = _die(ledger, "number_changed_died", 30, 300)
    ledger.add(who, words.EVIDENCE_KIND_DEATH_CERTIFICATE, died_on[who])
    ledger.add(who, words.EVIDENCE_KIND_CREMATION, died_on[who] + 2)

    who = _die(ledger, "died_one_department", 30, 330)
    cremated = ledger.rng.random(who.size) < 0.6
    ledger.add(who[cremated], words.EVIDENCE_KIND_CREMATION, died_on[who[cremated]] + 2)
    ledger.add(who[~cremated], words.EVIDENCE_KIND_DEATH_CERTIFICATE, died_on[who[~cremated]])

    who = _die(ledger, "died_card_used_after", 90, 320)
    ledger.add(who, words.EVIDENCE_KIND_DEATH_CERTIFICATE, died_on[who])
    ledger.add(who, words.EVIDENCE_KIND_CREMATION, died_on[who] + 3)
    for kind, days in (
        (words.EVIDENCE_KIND_PHARMACY, 12),
        (words.EVIDENCE_KIND_OUTPATIENT, 33),
        (words.EVIDENCE_KIND_PHARMACY, 61),
    ):
        ledger.add(who, kind, died_on[who] + days)


def _late_deaths(ledger: Ledger) -> None:
    died_on = ledger.people.died_on
    who = _die(ledger, "died_recorded_late", 220, 390)
    ledger.add(who, words.EVIDENCE_KIND_CREMATION, died_on[who] + 3, delay=(2, 10))
    ledger.add(who, words.EVIDENCE_KIND_HOUSEHOLD_CANCELLED_DEATH, died_on[who], delay=(120, 200))

    who = _die(ledger, "death_dates_differ", 60, 320)
    ledger.add(who, words.EVIDENCE_KIND_DEATH_CERTIFICATE, died_on[who])
    wrong = died_on[who] + ledger.rng.integers(9, 26, who.size)
    ledger.add(who, words.EVIDENCE_KIND_HOUSEHOLD_CANCELLED_DEATH, wrong)

    who = _die(ledger, "died_recorded_very_late", 450, 600, lived=False)
    ledger.add(who, words.EVIDENCE_KIND_HOUSEHOLD_CANCELLED_DEATH, died_on[who], delay=(380, 440))


def _hidden_deaths(ledger: Ledger) -> None:
    people, died_on = ledger.people, ledger.people.died_on
    who = _die(ledger, "died_unreported_burial", 420, 900, lived=False)
    monthly = np.repeat(who, 13)
    months_ago = np.tile(np.arange(13), who.size)
    ledger.add(
        monthly, words.EVIDENCE_KIND_SELF_SERVICE_WITHDRAWAL, ledger.as_of_on - 9 - 30 * months_ago, delay=(1, 5)
    )

    who = _die(ledger, "died_not_yet_known", 1, 6)
    ledger.keep_fresh(who, least=9)

    who = _die(ledger, "died_only_reported", 60, 250)
    reported = people.died_on[who] + ledger.rng.integers(10, 40, who.size)
    ledger.add(who, words.EVIDENCE_KIND_DEATH_REPORT, reported, delay=(1, 10))

    who = _die(ledger, "died_insurance_settlement_only", 40, 300)
    ledger.add(who, words.EVIDENCE_KIND_DEATH_SETTLEMENT, died_on[who])

    who = _die(ledger, "died_found_by_visit", 60, 300)
    visited = died_on[who] + ledger.rng.integers(15, 50, who.size)
    ledger.add(who, words.EVIDENCE_KIND_VISIT_FOUND_DEAD, visited, delay=(0, 3))

    who = _die(ledger, "declared_dead", 1_900, 2_600, lived=False)
    ledger.add(who, words.EVIDENCE_KIND_DECLARED_DEAD, ledger.days_ago(who, 60, 500), delay=(5, 20))


def _said_dead(ledger: Ledger) -> None:
    who = _of(ledger, "false_death_report_active")
    ledger.add(who, words.EVIDENCE_KIND_DEATH_REPORT, ledger.days_ago(who, 60, 90))

    who = _of(ledger, "false_death_report_quiet")
    reported = ledger.days_ago(who, 20, 60)
    ledger.go_about(who, ledger.as_of_on - WINDOW_DAYS, reported - 40)
    ledger.add(who, words.EVIDENCE_KIND_DEATH_REPORT, reported)

    who = _of(ledger, "wrongly_cancelled")
    ledger.add(who, words.EVIDENCE_KIND_HOUSEHOLD_CANCELLED_DEATH, ledger.days_ago(who, 120, 200))
    _goes_about(ledger, who)

    who = _of(ledger, "declared_dead_revoked")
    ledger.add(who, words.EVIDENCE_KIND_DECLARED_DEAD, ledger.days_ago(who, 1_000, 1_400))
    ledger.add(who, words.EVIDENCE_KIND_DEATH_DECLARATION_REVOKED, ledger.days_ago(who, 405, 500))

    who = _of(ledger, "declared_dead_found_alive")
    ledger.add(who, words.EVIDENCE_KIND_DECLARED_DEAD, ledger.days_ago(who, 700, 1_000))
    ledger.go_about(who, ledger.as_of_on - 60, ledger.as_of_on)
    ledger.keep_fresh(who)


def _missing(ledger: Ledger) -> None:
    who = _of(ledger, "declared_missing")
    ledger.add(who, words.EVIDENCE_KIND_DECLARED_MISSING, ledger.days_ago(who, 50, 700), delay=(3, 20))

    who = _of(ledger, "missing_declaration_revoked")
    ledger.add(who, words.EVIDENCE_KIND_DECLARED_MISSING, ledger.days_ago(who, 600, 900))
    back = ledger.days_ago(who, 150, 250)
    ledger.add(who, words.EVIDENCE_KIND_MISSING_DECLARATION_REVOKED, back)
    ledger.go_about(who, back + 1, ledger.as_of_on)
    ledger.keep_fresh(who)

    who = _of(ledger, "reported_missing")
    reported = ledger.days_ago(who, 20, 110)
    ledger.go_about(who, ledger.as_of_on - WINDOW_DAYS, reported - 3)
    ledger.add(who, words.EVIDENCE_KIND_REPORTED_MISSING, reported, delay=(0, 1))

    who = _of(ledger, "reported_missing_found")
    reported = ledger.days_ago(who, 150, 220)
    ledger.go_about(who, ledger.as_of_on - WINDOW_DAYS, reported - 3)
    ledger.add(who, words.EVIDENCE_KIND_REPORTED_MISSING, reported, delay=(0, 1))
    found = reported + ledger.rng.integers(1, 12, who.size)
    ledger.add(who, words.EVIDENCE_KIND_FOUND, found, delay=(0, 1))
    ledger.go_about(who, found + 1, ledger.as_of_on)
    ledger.keep_fresh(who)


def _dependants(ledger: Ledger) -> None:
    who = _of(ledger, "remarried_dependant")
    ledger.add(who, words.EVIDENCE_KIND_MARRIAGE, ledger.days_ago(who, 40, 500), delay=(1, 20))
    who = _of(ledger, "remarried_divorced")
    ledger.add(who, words.EVIDENCE_KIND_MARRIAGE, ledger.days_ago(who, 400, 700), delay=(1, 20))
    ledger.add(who, words.EVIDENCE_KIND_DIVORCE, ledger.days_ago(who, 60, 300), delay=(1, 20))
    who = _of(ledger, "adopted_dependant")
    ledger.add(who, words.EVIDENCE_KIND_ADOPTION, ledger.days_ago(who, 40, 400), delay=(1, 20))


def _first_marriages(ledger: Ledger) -> None:
    """To the worker who died: in the same register as a second one, which it must not be taken for."""
    who = widowed(ledger.people)
    before = 400 + who * 613 % 4_000
    ledger.add(
        who, words.EVIDENCE_KIND_MARRIAGE, starts_of(ledger.people, who, ledger.as_of_on) - before, delay=(1, 20)
    )


def _sentence(ledger: Ledger, label: str, since: tuple[int, int], days_left: int, penalty: int) -> Rows:
    """A judgment and, for a fixed term, prison; `since`: begun so many days ago, `days_left`: last day, from the
    as-of day.
    """
    who = _of(ledger, label)
    begun = ledger.days_ago(who, *since)
    until = ledger.as_of_on + days_left
    ledger.add(
        who, words.EVIDENCE_KIND_SENTENCE, begun + 20, detail=penalty, from_on=begun, until_on=until, delay=(5, 15)
    )
    if penalty == words.PENALTY_KIND_FIXED_TERM:
        ledger.add(who, words.EVIDENCE_KIND_IMPRISONED, begun + 30, from_on=begun + 30, until_on=until, delay=(2, 15))
    return who


def _sentences(ledger: Ledger) -> None:
    as_of, term = ledger.as_of_on, words.PENALTY_KIND_FIXED_TERM
    _sentence(ledger, "imprisoned", (500, 900), 900, term)

    who = _sentence(ledger, "sentence_commuted", (1_200, 1_500), 400, term)
    ledger.add(who, words.EVIDENCE_KIND_COMMUTATION, ledger.days_ago(who, 40, 200), until_on=as_of + 60)

    who = _sentence(ledger, "parole_revoked", (900, 1_100), 500, term)
    paroled = ledger.days_ago(who, 250, 350)
    ledger.add(who, words.EVIDENCE_KIND_PAROLE, paroled, from_on=paroled)
    checked_in = np.repeat(paroled, 3) + np.tile((20, 50, 80), who.size)
    ledger.add(np.repeat(who, 3), words.EVIDENCE_KIND_CORRECTION_CHECK_IN, checked_in)
    returned = ledger.days_ago(who, 60, 120)
    ledger.add(who, words.EVIDENCE_KIND_RETURNED_TO_PRISON, returned, from_on=returned)

    # Paroled, but the prison has told nobody: nothing to write down, and on parole the person keeps quiet.
    _sentence(ledger, "parole_not_supplied", (700, 900), 300, term)

    who = _of(ledger, "detained")
    since = ledger.days_ago(who, 20, 60)
    ledger.go_about(who, as_of - WINDOW_DAYS, since - 1)
    ledger.add(who, words.EVIDENCE_KIND_CHECKPOINT_FACE, since - 3)
    ledger.add(who, words.EVIDENCE_KIND_OUTPATIENT, since - 6)
    ledger.add(who, words.EVIDENCE_KIND_DETAINED, since, from_on=since, delay=(0, 3))


def _outside_prison(ledger: Ledger) -> None:
    as_of, term = ledger.as_of_on, words.PENALTY_KIND_FIXED_TERM
    who = _sentence(ledger, "sentence_commuted_released", (1_200, 1_500), 200, term)
    ledger.add(who, words.EVIDENCE_KIND_COMMUTATION, ledger.days_ago(who, 450, 600), until_on=as_of - 420)
    ledger.add(who, words.EVIDENCE_KIND_RELEASE, as_of - 419, from_on=as_of - 419)

    who = _sentence(ledger, "released", (1_200, 1_500), -430, term)
    ledger.add(who, words.EVIDENCE_KIND_RELEASE, as_of - 429, from_on=as_of - 429)

    who = _sentence(ledger, "paroled", (1_200, 1_500), 250, term)
    ledger.add(who, words.EVIDENCE_KIND_PAROLE, as_of - 410, from_on=as_of - 405, delay=(10, 40))
    for label in ("paroled", "suspended_sentence"):
        monthly = np.repeat(_of(ledger, label), 12)
        on = as_of - 4 - 30 * np.tile(np.arange(12), monthly.size // 12)
        ledger.add(monthly, words.EVIDENCE_KIND_CORRECTION_CHECK_IN, on)
    _sentence(ledger, "suspended_sentence", (420, 450), 200, words.PENALTY_KIND_SUSPENDED_SENTENCE)

    who = _sentence(ledger, "medical_release", (600, 900), 500, term)
    since = ledger.days_ago(who, 40, 80)
    ledger.add(who, words.EVIDENCE_KIND_MEDICAL_RELEASE, since, from_on=since, until_on=as_of + 100)
    ledger.add(who, words.EVIDENCE_KIND_HOSPITAL_STAY, since + 2)
    ledger.add(who, words.EVIDENCE_KIND_INPATIENT, since + 20)
    ledger.add(who, words.EVIDENCE_KIND_CORRECTION_CHECK_IN, since + 25)


def _changes(ledger: Ledger) -> None:
    who = _of(ledger, "emigrated")
    left = ledger.days_ago(who, 200, 360)
    ledger.go_about(who, ledger.as_of_on - WINDOW_DAYS, left - 1)
    ledger.add(who, words.EVIDENCE_KIND_BORDER_CROSSING, left)
    ledger.add(who, words.EVIDENCE_KIND_EMIGRATED, left + 5, delay=(10, 60))

    who = _of(ledger, "re_employed")
    ledger.add(who, words.EVIDENCE_KIND_RE_EMPLOYMENT, ledger.days_ago(who, 40, 150), delay=(5, 35))

    who = _of(ledger, "duplicate_benefit")
    since = ledger.days_ago(who, 200, 1_500)
    ledger.add(who, words.EVIDENCE_KIND_DUPLICATE_BENEFIT, since, detail=ledger.people.home[who] // 10_000 * 10_000)

    for label, kind in (
        ("account_frozen", words.EVIDENCE_KIND_ACCOUNT_FROZEN),
        ("account_closed", words.EVIDENCE_KIND_ACCOUNT_CLOSED),
    ):
        who = _of(ledger, label)
        ledger.add(who, kind, ledger.days_ago(who, 20, 200))
