"""Sessions of matching with other members, one for each of them.

Owns: the table `matching`: what is known of a session, and that an operator asked for one. Refuses: knowing what is in
it; it is encrypted, because the secret of this side is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from gateway.store.keys import StoreKeys
from gateway.store.letters import Effect
from gateway.store.once_tables import matching
from gateway.store.reader import Reader
from gateway.store.rows import Transaction
from gateway.store.writer import Writer

EVERYBODY: Final = "*"
"""Stands for all members where an operator asks for matching."""


class Standing(NamedTuple):
    """How it stands with a member: `wanted_at_ms` 0: nobody asked; `body` b"": there is no session."""

    member: str
    wanted_at_ms: int
    body: bytes

    def __repr__(self) -> str:
        """Without the secret."""
        return f"<Standing with {self.member}>"


class _Kept(NamedTuple):
    member: str
    values: dict[str, Any]


class _Keep:
    """How rows are written."""

    def apply(self, transaction: Transaction, payloads: Sequence[_Kept]) -> list[None]:
        for kept in payloads:
            change = sa.update(matching).where(matching.c.member == kept.member).values(**kept.values)
            if not transaction.connection.execute(change).rowcount:
                row = {"member": kept.member, "wanted_at_ms": 0, "body": None, **kept.values}
                transaction.connection.execute(sa.insert(matching).values(**row))
        return [None] * len(payloads)


class _WantEach:
    """How a wish for everybody becomes one for each member: all of them, or none."""

    def apply(self, transaction: Transaction, payloads: Sequence[frozenset[str]]) -> list[None]:
        for members in payloads:
            everybody = matching.c.member == EVERYBODY
            wanted_at_ms = transaction.connection.execute(sa.select(matching.c.wanted_at_ms).where(everybody)).scalar()
            if wanted_at_ms:
                each = [_Kept(member, {"wanted_at_ms": wanted_at_ms}) for member in sorted(members)]
                _Keep().apply(transaction, [*each, _Kept(EVERYBODY, {"wanted_at_ms": 0})])
        return [None] * len(payloads)


class Matchings:
    """See the module."""

    def __init__(self, writer: Writer, reader: Reader, keys: StoreKeys) -> None:
        self._writer = writer
        self._reader = reader
        self._keys = keys
        self._keep = _Keep()
        self._want_each = _WantEach()

    def keeping(self, member: str, body: bytes) -> Effect:
        """What keeps a session, in place of the one before, to be committed with other writes."""
        return Effect(self._keep, _Kept(member, {"body": self._keys.encrypt(body, _bound_to(member))}))

    def served(self, member: str) -> Effect:
        """What says that an operator's wish was seen to, to be committed with other writes."""
        return Effect(self._keep, _Kept(member, {"wanted_at_ms": 0}))

    async def see_to(self, member: str) -> None:
        """The same at once.

        Raises:
            StoreError: it could not be written.
        """
        await self._writer.submit(self._keep, _Kept(member, {"wanted_at_ms": 0}))

    async def want(self, member: str, at_ms: int) -> None:
        """An operator asks for it.

        Raises:
            StoreError: it could not be written.
        """
        await self._writer.submit(self._keep, _Kept(member, {"wanted_at_ms": at_ms}))

    async def want_each(self, members: Iterable[str]) -> None:
        """What is wanted of everybody is wanted of each of these from now on.

        Raises:
            StoreError: it could not be written.
        """
        await self._writer.submit(self._want_each, frozenset(members))

    async def read(self, member: str = "") -> list[Standing]:
        """With all members, or with this one.

        Raises:
            StoreError: it could not be read.
        """
        query = sa.select(matching).order_by(matching.c.member)
        if member:
            query = query.where(matching.c.member == member)
        rows = await self._reader.run(lambda connection: list(connection.execute(query)))
        return [
            Standing(
                row.member,
                row.wanted_at_ms,
                b"" if row.body is None else self._keys.decrypt(bytes(row.body), _bound_to(row.member)),
            )
            for row in rows
        ]


def _bound_to(member: str) -> bytes:
    return b"wugan-matching-v1\x00" + member.encode()
