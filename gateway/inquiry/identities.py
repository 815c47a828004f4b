"""Who a changed person is to the other departments: the numbers they link to one, and the name they hold.

Owns: these two questions. A subscriber may know somebody by an old number, and a department that tells of a change may
hold no name. Refuses: judging whether two names are one person's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from adapters.contract import Lookup, Subjects
from gateway.inquiry.asking import MAX_ROUNDS, Departments
from gateway.inquiry.gathering import MAX_LINKS
from gateway.rules.identity import normalise_numbers
from wugan.adapter.v1 import vocabulary_pb2 as words

_FAR_ON = 2**31 - 1
"""Traces from this day on are wanted: none."""


async def linked_numbers(
    departments: Departments, numbers: Sequence[str], time_s: float, legal_basis: str
) -> tuple[dict[str, tuple[str, ...]], bool]:
    """Other numbers of the people of some numbers, by number; and whether every department that knows such answered.

    Numbers that come to light are looked up, too, within the same time, over as many changes as a question about the
    person is asked under (`MAX_ROUNDS`): a register may tell the next number only. What would be beyond is not looked
    for, and does not make it less whole: whoever has so many numbers would else be looked at for ever.

    Args:
        departments: whom to ask.
        numbers: of one person each.
        time_s: seconds for all looks together.
        legal_basis: on which they are asked.
    """
    clock = asyncio.get_running_loop().time
    end = clock() + time_s
    found: dict[str, dict[str, None]] = {}
    whole = True
    whose = {number: [number] for number in numbers}
    for _ in range(1, MAX_ROUNDS):
        asked, further = list(whose), dict[str, list[str]]()
        lookup = _lookup(asked, max(end - clock(), 0.0), legal_basis)
        for _, outcome in await departments.look(lookup, lambda about: about.links):
            if isinstance(outcome, int):
                whole = False
                continue
            others, _ = normalise_numbers(list(outcome.links.id_number))
            for row, other in zip(outcome.links.subject.tolist(), others, strict=True):
                for number in whose[asked[row]] if other and 0 <= row < len(asked) else ():
                    known = found.setdefault(number, {})
                    if other != number and other not in known and len(known) < MAX_LINKS:
                        known[other] = None
                        further.setdefault(other, []).append(number)
        whose = further
        if not whose:
            break
    return {number: tuple(others) for number, others in found.items() if others}, whole


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
