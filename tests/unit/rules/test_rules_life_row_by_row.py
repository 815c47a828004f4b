"""Death and disappearance judged once more, one person and one row at a time, as docs/rules.md tells it; the columns of
the rules come to the same, whatever the evidence."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from rules_world import BOOK, Row, civil, graded, row

from gateway.rules.kinds import DEPARTMENTS, FIRST_EVENT, KINDS, STRENGTH_SLOTS, STRENGTHS, Role

TODAY = civil(0)
GRACE, LATE, WITHIN = BOOK.death.grace_days, BOOK.death.late_after_days, BOOK.death.supported_within_days
VITAL = [name for name, kind in KINDS.items() if 0 < BOOK.kinds.role[kind] <= Role.FOUND]
SEEN = [
    "OLD_AGE_SUBSIDY",
    "MARRIAGE",
    "DETAINED",
    "FACE_CHECK",
    "RAIL_TRAVEL",
    "PHARMACY",
    "INPATIENT",
    "TELLER_WITHDRAWAL",
]

rows = st.builds(
    lambda kind, ago, lag, department, strength: row(
        kind, ago, department, known=None if lag is None else max(0, (ago or 0) - lag), strength=strength
    ),
    st.one_of(st.sampled_from(VITAL), st.sampled_from(VITAL[:3]), st.sampled_from(SEEN)),
    st.one_of(st.integers(-1, 12), st.integers(360, 372), st.none()),
    st.one_of(st.none(), st.sampled_from([0, 1, LATE, LATE + 1])),
    st.sampled_from(["", "", "", "COURTS", "CIVIL_AFFAIRS", "BANKS"]),
    st.sampled_from(["", "", "", "LEAD", "WEAK", "REAL_NAME", "IN_PERSON"]),
)


def role_of(r: Row) -> int:
    return int(BOOK.kinds.role[KINDS[r.kind]])


def dies(r: Row) -> bool:
    return role_of(r) in (Role.DEATH_CONFIRMED, Role.DEATH_SUPPORTED, Role.DEATH_LEAD)


def day_of(r: Row) -> int:
    """The day from which a row counts: without one, the latest it can have been."""
    return r.observed or r.available or TODAY


def sound(r: Row) -> bool:
    """Whether a row says enough to confirm, refute or revoke."""
    return bool(BOOK.kinds.originates[KINDS[r.kind], DEPARTMENTS[r.department]]) and r.observed and r.strength != "LEAD"


def strength_of(r: Row) -> int:
    return int(BOOK.kinds.strength[KINDS[r.kind] * STRENGTH_SLOTS + STRENGTHS.get(r.strength, 0)])


def latest(days: list[int]) -> int:
    return max(days, default=-(10**9))


def judged(people: list[Row], born: int) -> tuple[str, int, set[str]]:
    """Status ("" for the living), the day that decides, and the flags about life."""
    # A death that was known before its day has no day that anyone could believe.
    people = [replace(r, observed=0) if r.observed > TODAY >= r.available > 0 and dies(r) else r for r in people]
    visible = [r for r in people if r.observed <= TODAY and r.available <= TODAY]
    events = [r for r in visible if KINDS[r.kind] >= FIRST_EVENT]
    traces = [r for r in visible if KINDS[r.kind] < FIRST_EVENT and r.observed and strength_of(r) > STRENGTHS["LEAD"]]
    present = [r for r in events if BOOK.kinds.presence[KINDS[r.kind]]]
    in_person = [r.observed for r in traces if strength_of(r) == STRENGTHS["IN_PERSON"]]
    by_name = [r.observed for r in traces if strength_of(r) >= STRENGTHS["REAL_NAME"]]
    surely_there = [r.observed for r in present if sound(r)]
    revoked_on = latest([day_of(r) for r in events if role_of(r) == Role.DEATH_REVOKED and sound(r)])

    # What each record of a death is worth.
    worth: list[tuple[Row, int]] = []
    for r in events:
        if role_of(r) not in (Role.DEATH_CONFIRMED, Role.DEATH_SUPPORTED, Role.DEATH_LEAD):
            continue
        follows = r.kind in {"DECLARED_DEAD", "HOUSEHOLD_CANCELLED_DEATH"}
        if follows and day_of(r) <= revoked_on:
            continue  # void
        tier = role_of(r)
        if not sound(r) or (born and day_of(r) < born):
            tier = Role.DEATH_LEAD
        if r.kind == "HOUSEHOLD_CANCELLED_DEATH" and revoked_on > 0 and tier == Role.DEATH_CONFIRMED:
            tier = Role.DEATH_SUPPORTED
        worth.append((r, tier))
    sources = {r.department for r, tier in worth if tier != Role.DEATH_LEAD}
    confirmed, supported, leads = [], [], []
    for r, tier in worth:
        if tier == Role.DEATH_CONFIRMED and (len(sources) > 1 or not r.available or r.available - r.observed <= LATE):
            confirmed.append(day_of(r))
        elif latest(in_person + surely_there) <= day_of(r) + GRACE:
            (leads if tier == Role.DEATH_LEAD else supported).append(day_of(r))

    if confirmed:  # a grave registered long ahead dates no death that is certain
        supported = [day for day in supported if day >= min(confirmed) - WITHIN]

    flags: set[str] = set()
    if revoked_on > 0 and not (confirmed and min(confirmed + supported) > revoked_on):
        flags.add("DEATH_DECLARATION_REVOKED")
    if confirmed or supported or leads:
        known = min(confirmed + supported, default=10**9)
        on = known if confirmed else min(supported + leads)

        def after(r: Row, day: int) -> bool:
            lag = 0 if strength_of(r) == STRENGTHS["IN_PERSON"] else int(BOOK.kinds.lag_days[KINDS[r.kind]])
            return r.observed > day + max(GRACE, lag)

        misuse = [r for r in traces if after(r, on) and after(r, known) and BOOK.kinds.use[KINDS[r.kind]]]
        if misuse and latest(in_person + surely_there) <= on + GRACE:
            flags.add("MISUSE_AFTER_DEATH")
        if any(after(r, on) for r in traces) or any(day_of(r) > on + GRACE for r in present):
            return "CONFLICT", on, flags
        return "DECEASED" if confirmed else "DECEASED_SUSPECTED", on, flags

    lifts = (Role.FOUND, Role.MISSING_REVOKED, Role.DEATH_REVOKED)
    lifted_on = latest([day_of(r) for r in events if role_of(r) in lifts and sound(r)])
    declared = [day_of(r) for r in events if role_of(r) == Role.MISSING_DECLARED and day_of(r) > lifted_on]
    seen_on = latest(by_name + surely_there)
    reported = [
        day_of(r) for r in events if role_of(r) == Role.MISSING_REPORTED and day_of(r) > max(lifted_on, seen_on)
    ]
    if declared and seen_on > min(declared) + GRACE:
        return "CONFLICT", min(declared + reported), flags
    if declared or reported:
        return "MISSING", min(declared + reported), flags
    return "", 0, flags


@given(st.lists(rows, max_size=7), st.sampled_from([None, "1949-12-31", "2025-05-22", "2026-05-20"]))
@settings(max_examples=300, deadline=None)
def test_columns_come_to_what_the_rules_say_of_each_row(people, born):
    status, on, flags = judged(people, civil(born))
    found = graded(*people, born=born)
    assert ("" if found.status.startswith("ALIVE") else found.status) == status
    assert civil(found.decided or None) == on
    assert found.flags & {"MISUSE_AFTER_DEATH", "DEATH_DECLARATION_REVOKED"} == flags
