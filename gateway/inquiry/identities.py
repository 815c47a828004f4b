"""Who a changed person is to the other departments: the numbers they link to one, and the name they hold.

Owns: these two questions. A subscriber may know somebody by an old number, and a department that tells of a change may
hold no name. Refuses: judging whether two names are one person's.
"""

from __future__ import annotations

from collections.abc import Sequence

from adapters.contract import Found, Lookup, Subjects
from gateway.inquiry.asking import Departments
from gateway.rules.identity import normalise_numbers
from wugan.adapter.v1 import vocabulary_pb2 as words

MAX_LINKED = 8
"""Further numbers of one person that are followed."""
_FAR_ON = 2**31 - 1
"""Traces from this day on are wanted: none."""


async def linked_numbers(
    departments: Departments, numbers: Sequence[str], time_s: float, legal_basis: str
) -> tuple[dict[str, tuple[str, ...]], bool]:
    """Other numbers of the people of some numbers, by number; and whether every department that knows such answered."""
    outcomes = await departments.look(_lookup(numbers, time_s, legal_basis), lambda about: about.links)
    found: dict[str, dict[str, None]] = {}
    for _, outcome in outcomes:
        if isinstance(outcome, int):
            continue
        rows = outcome.links.subject.tolist()
        others, _ = normalise_numbers(list(outcome.links.id_number))
        for row, other in zip(rows, others, strict=True):
            if other and 0 <= row < len(numbers) and other != numbers[row]:
                known = found.setdefault(numbers[row], {})
                if len(known) < MAX_LINKED:
                    known[other] = None
    whole = all(isinstance(outcome, Found) for _, outcome in outcomes)
    return {number: tuple(others) for number, others in found.items()}, whole


async def held_names(
    departments: Departments, numbers: Sequence[str], time_s: float, legal_basis: str
) -> dict[str, str]:
    """The name that a department holds under each number; numbers that none holds with a name are left out."""
    names: dict[str, str] = {}
    for _, outcome in await departments.look(_lookup(numbers, time_s, legal_basis)):
        if not isinstance(outcome, int):
            for number, name in zip(outcome.holders.held_id_number, outcome.holders.held_name, strict=True):
                if name:
                    names.setdefault(number, name)
    return names


def _lookup(numbers: Sequence[str], time_s: float, legal_basis: str) -> Lookup:
    return Lookup(
        Subjects(list(numbers), [""] * len(numbers)),
        traces_since_on=_FAR_ON,
        deadline_s=time_s,
        purpose=words.PURPOSE_CHANGE_MONITORING,
        legal_basis=legal_basis,
    )
