"""What becomes of people who were found to draw at another member, too.

Owns: a finding for each agency that pays them, by their number or, where it is another one there, by their face; and
that findings end which are found no more. Refuses: telling the other member more than that it has found them itself.
"""

from __future__ import annotations

from gateway.matching.columns import Rows
from gateway.matching.roll import Roll
from gateway.once.gate import KEEP_MS
from gateway.once.keyed import Keying
from gateway.store.duplicates import Duplicates, Ending, Finding
from gateway.store.letters import Effect
from wugan.agency.v1 import duplicates_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

_BY_NUMBER = words.DUPLICATE_KIND_OTHER_MEMBER
_BY_FACE = words.DUPLICATE_KIND_OTHER_FACE


class Findings:
    """See the module."""

    def __init__(self, duplicates: Duplicates, keying: Keying, roll: Roll) -> None:
        self._duplicates = duplicates
        self._keying = keying
        self._roll = roll

    async def of(self, member: str, tags: Rows, now_ms: int) -> tuple[int, list[Effect]]:
        """How many people were found, and what notes them and ends the findings of others, to be committed with the
        end of the round.

        Raises:
            StoreError: rosters or findings cannot be read.
        """
        people = await self._roll.find(tags)
        findings = []
        found: dict[int, set[bytes]] = {_BY_NUMBER: set(), _BY_FACE: set()}
        for person in people:
            kind: int = _BY_FACE if person.by_face else _BY_NUMBER
            found[kind].add(person.tag)
            body = duplicates_pb2.Duplicate(
                id_number=person.id_number,
                name=person.name,
                benefit=person.benefit,  # type: ignore[arg-type]  # a number of the contract
                reference=person.reference,
                exclusion=self._keying.exclusion(person.benefit),
            ).SerializeToString()
            findings.append(Finding(person.tag, person.unit, kind, member, now_ms, now_ms + KEEP_MS, body))
        effects = []
        if findings:
            effects.append(self._duplicates.noting(findings))
        for of_kind, tagged in found.items():
            over = sorted(await self._duplicates.open_with(member, of_kind) - tagged)
            if over:
                effects.append(self._duplicates.ending(Ending(over, of_kind, member, now_ms)))
        return sum(map(len, found.values())), effects
