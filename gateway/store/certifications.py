"""The once-only gate's table (一人只能认证成功一次): who was certified for what, until when, by whom.

Owns: the table `certification`, and the claim of many people in one transaction: what nobody holds is taken, what the
same registration holds is renewed, the rest is refused and told with what it collides. Refuses: numbers, names and
faces (everything is a keyed tag when it comes here), and deciding what benefits exclude each other.

A claim is a certification that succeeded. It holds all numbers of the person for a class of benefits, and the face if
one was used, for a cycle. Two claims collide while both are in force, unless they are one registration:

    the same row of the same run                      the claim is made again after an interruption
    the same unit and the same own reference          renewed, also under a corrected number or name
    the same unit, number, name and benefit, and the  renewed: a later roster of the unit
    references equal or not given, in another run
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from gateway.store.claimed import ClaimMany, Many, Refusals, find_in_blocks, purge_blocks, release_in_blocks
from gateway.store.letters import one_at_a_time
from gateway.store.once_tables import CHECK_BYTES, certification
from gateway.store.rows import BulkInsert, Transaction
from gateway.store.writer import Writer
from wugan.federation.v1 import vocabulary_pb2 as words

AT_ONCE: Final = 2_000
"""Tags in one statement."""
PURGE_AT_MOST: Final = 5_000
NOTHING: Final = bytes(CHECK_BYTES)
"""The check of a name or reference that is not given, which contradicts nothing."""


class Claims(NamedTuple):
    """Certifications that succeeded; parallel columns, and pairs of a place in them and a tag.

    Args:
        unit, run: for all of them: the agency and the run that certified.
        row: of the roster of the run.
        tag: of number and class.
        person: of the number alone.
        name_check, reference_check: NOTHING where not given.
        benefit: BenefitType.
        certified_on, until_on: from when to when, days.
        linked: tags of number and class of further numbers of a person.
        faces: tags of the face by which a person was certified.
    """

    unit: str
    run: bytes
    row: Sequence[int]
    tag: Sequence[bytes]
    person: Sequence[bytes]
    name_check: Sequence[bytes]
    reference_check: Sequence[bytes]
    benefit: Sequence[int]
    certified_on: Sequence[int]
    until_on: Sequence[int]
    linked: Sequence[tuple[int, bytes]] = ()
    faces: Sequence[tuple[int, bytes]] = ()

    def __repr__(self) -> str:
        """Nothing of the people, whoever logs it."""
        return f"<Claims of {self.unit}: {len(self.row)}>"


class Collision(NamedTuple):
    """A claim that was refused: its place, a DuplicateKind, and the unit and day of the claim in force."""

    place: int
    kind: int
    unit: str
    certified_on: int


class _Held(NamedTuple):
    """A row of the table."""

    tag: bytes
    person: bytes
    name_check: bytes
    reference_check: bytes
    unit: str
    benefit: int
    run: bytes
    row: int
    certified_on: int
    until_on: int


class _Claim:
    """How claims are made; the result is those that were refused."""

    def __init__(self) -> None:
        self._rows = BulkInsert(certification)

    def apply(self, transaction: Transaction, payloads: Sequence[Claims]) -> list[list[Collision]]:
        one_at_a_time(transaction)
        return [self._one(transaction, claims) for claims in payloads]

    def _one(self, transaction: Transaction, claims: Claims) -> list[Collision]:
        tags = [[tag] for tag in claims.tag]
        for place, tag in claims.linked:
            tags[place].append(tag)
        faces: dict[int, list[bytes]] = {}
        for place, tag in claims.faces:
            faces.setdefault(place, []).append(tag)
        wanted = [tag for each in tags for tag in each]
        wanted += [tag for each in faces.values() for tag in each]
        held = _find(transaction, wanted)
        put: dict[bytes, _Held] = {}
        collisions = []
        columns = (
            claims.person,
            claims.name_check,
            claims.reference_check,
            claims.benefit,
            claims.row,
            claims.certified_on,
            claims.until_on,
        )
        for place, (own, (person, name, reference, benefit, row, since, until)) in enumerate(
            zip(tags, zip(*columns, strict=True), strict=True)
        ):
            new = _Held(own[0], person, name, reference, claims.unit, benefit, claims.run, row, since, until)
            shown = faces.get(place, [])
            found = _collision(place, new, own, shown, held)
            if found is not None:
                collisions.append(found)
                continue
            for tag in (*own, *shown):
                put[tag] = held[tag] = new if tag is own[0] else new._replace(tag=tag)
        self._rows.put(transaction, list(put.values()))
        return collisions


def _collision(
    place: int, new: _Held, own: Sequence[bytes], shown: Sequence[bytes], held: dict[bytes, _Held]
) -> Collision | None:
    for tag in own:
        other = held.get(tag)
        if other is not None and other.until_on >= new.certified_on:
            kind = _repeated(new, other)
            if kind:
                return Collision(place, kind, other.unit, other.certified_on)
    persons = {new.person, *(held[tag].person for tag in own if tag in held)}
    for tag in shown:
        other = held.get(tag)
        if other is not None and other.until_on >= new.certified_on and other.person not in persons:
            return Collision(place, words.DUPLICATE_KIND_OTHER_FACE, other.unit, other.certified_on)
    return None


def _repeated(new: _Held, other: _Held) -> int:
    """Why one of the two is too many, 0: they are one registration."""
    if other.unit != new.unit:
        return words.DUPLICATE_KIND_OTHER_UNIT
    again = other.run == new.run
    if (again and other.row == new.row) or (not again and _same(other.reference_check, new.reference_check)):
        return 0
    if other.person != new.person:
        return words.DUPLICATE_KIND_OTHER_NUMBER
    if _differ(other.name_check, new.name_check):
        return words.DUPLICATE_KIND_OTHER_NAME
    twice = again or other.benefit != new.benefit or _differ(other.reference_check, new.reference_check)
    return words.DUPLICATE_KIND_TWICE if twice else 0


def _same(one: bytes, other: bytes) -> bool:
    return one == other != NOTHING


def _differ(one: bytes, other: bytes) -> bool:
    return one != other and NOTHING not in (one, other)


class _Releasing(NamedTuple):
    unit: str
    tags: Sequence[bytes]


class _Release:
    """How claims are given up; the result is how many rows that were."""

    def apply(self, transaction: Transaction, payloads: Sequence[_Releasing]) -> list[int]:
        gone = []
        for given in payloads:
            count = 0
            own = [held for held in _find(transaction, given.tags).values() if held.unit == given.unit]
            for held in own:
                # Linked numbers and the face go with it. No index finds them: an official does this, once in a while.
                count += transaction.connection.execute(
                    sa.delete(certification).where(
                        certification.c.person == held.person,
                        certification.c.unit == held.unit,
                        certification.c.run == held.run,
                        certification.c.row == held.row,
                    )
                ).rowcount
            count += release_in_blocks(transaction, [(held.person, held.unit, held.run, held.row) for held in own])
            gone.append(count)
        return gone


class _Purge:
    """How claims that are over for long are forgotten; the result is how many were."""

    def apply(self, transaction: Transaction, payloads: Sequence[int]) -> list[int]:
        gone = []
        for before_on in payloads:
            over = sa.select(certification.c.tag).where(certification.c.until_on < before_on).limit(PURGE_AT_MOST)
            rows = transaction.connection.execute(sa.delete(certification).where(certification.c.tag.in_(over)))
            gone.append(rows.rowcount + purge_blocks(transaction, before_on))
        return gone


class Certifications:
    """See the module."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._claim, self._release, self._purge, self._many = _Claim(), _Release(), _Purge(), ClaimMany()

    async def claim(self, claims: Claims) -> list[Collision]:
        """Make claims, all in one transaction; those that were refused, in their order.

        Raises:
            StoreError: nothing could be written, and nothing was claimed.
        """
        return await self._writer.submit(self._claim, claims)

    async def claim_many(self, many: Many) -> Refusals:
        """The same for people of a roster, those of some drawers.

        Raises:
            StoreError: nothing could be written, and nothing was claimed.
        """
        return await self._writer.submit(self._many, many)

    async def release(self, unit: str, tags: Sequence[bytes]) -> int:
        """Give up what a unit holds of these tags; how many rows that were.

        Raises:
            StoreError: nothing could be written.
        """
        return await self._writer.submit(self._release, _Releasing(unit, tags))

    async def purge(self, before_on: int) -> int:
        """Forget claims that ended before a day, at most 5,000; how many."""
        return await self._writer.submit(self._purge, before_on)


_COLUMNS: Final = ", ".join(column.name for column in certification.columns)


def _find(transaction: Transaction, tags: Sequence[bytes]) -> dict[bytes, _Held]:
    found: dict[bytes, _Held] = {row[0]: _Held._make(row) for row in find_in_blocks(transaction, tags)}
    for part in _parts(tags):
        rows: Any
        if transaction.embedded is not None:
            places = ",".join("?" * len(part))
            query = f"SELECT {_COLUMNS} FROM certification WHERE tag IN ({places})"  # noqa: S608  places and names only
            rows = transaction.embedded.execute(query, part)
        else:
            rows = transaction.connection.execute(sa.select(certification).where(certification.c.tag.in_(part)))
        for row in map(_Held._make, rows):
            found[row.tag] = row
    return found


def _parts(rows: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(rows), AT_ONCE):
        yield rows[start : start + AT_ONCE]
