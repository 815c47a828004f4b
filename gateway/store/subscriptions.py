"""For whom units of this member are told by other members: the keys of the tokens, the people, how each one stands.

Owns: the tables `subscription_key` and `subscription`. A unit sees its own only: its name is part of every query it
makes. Refuses: plaintext numbers (people are found by blind index, and by token when a notice comes), and deciding when
to renew.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from gateway.store.keys import StoreKeys
from gateway.store.letters import LONGEST_OFF_MS, Effect
from gateway.store.notice_tables import subscription, subscription_key
from gateway.store.reader import Reader
from gateway.store.rows import BulkInsert, Transaction
from gateway.store.writer import Writer

PENDING: Final = 1
ACTIVE: Final = 2
REFUSED: Final = 3
"""As SubscriptionStanding of the contract."""

LIST_AT_MOST: Final = 1_000
RENEW_AT_MOST: Final = 2_000
PURGE_AT_MOST: Final = 2_000
_TOKENS_AT_ONCE: Final = 500


class Subscribed(NamedTuple):
    """A subscription.

    Args:
        unit: whose.
        blind_index: of the person; made here from `id_number` when it is put in.
        benefit: for which.
        member: by whom the unit is told.
        token, name_check: of the person, under the key of that member.
        until_ms: when it ends unless subscribed again, Unix milliseconds.
        context: serialized Context.
        id_number, name: of the person, as the unit gave them; the number normalised.
        standing: PENDING, ACTIVE or REFUSED.
        reason: RefusalReason when refused.
        monitored: bits 1 << Department.
        lease_until_ms: until when the other side lets it count unless it is asked for again, Unix milliseconds; where
            it refused since, when it did. 0: it never did.
    """

    unit: str
    benefit: int
    member: str
    token: bytes
    name_check: bytes
    until_ms: int
    context: bytes
    id_number: str
    name: str
    blind_index: bytes = b""
    standing: int = PENDING
    reason: int = 0
    monitored: int = 0
    lease_until_ms: int = 0

    def __repr__(self) -> str:
        """Nothing of the person, whoever logs it."""
        return f"<Subscribed of {self.unit}>"


class Putting(NamedTuple):
    """Subscriptions that a letter asks another member for; `change_id` is its delivery id."""

    people: Sequence[Subscribed]
    change_id: bytes
    at_ms: int


class Replied(NamedTuple):
    """What a member said to a letter.

    Args:
        member: which.
        change_id: of the letter.
        reason: RefusalReason; 0: it lets the subscriptions count.
        lease_until_ms: until when, Unix milliseconds.
        monitored: bits 1 << Department.
        at_ms: when it said so, Unix milliseconds.
    """

    member: str
    change_id: bytes
    reason: int
    lease_until_ms: int
    monitored: int
    at_ms: int = 0


class _Key:
    """How the key for a member is made, once; the result is the key there is."""

    def __init__(self, keys: StoreKeys) -> None:
        self._keys = keys
        self._insert = BulkInsert(subscription_key)

    def apply(
        self, transaction: Transaction, payloads: Sequence[tuple[str, bytes, bytes]]
    ) -> list[tuple[bytes, bytes]]:
        result = []
        for member, key_id, secret in payloads:
            self._insert.add_new(transaction, [(member, key_id, self._keys.encrypt(secret, _key_of(member, key_id)))])
            query = sa.select(subscription_key).where(subscription_key.c.member == member)
            row = transaction.connection.execute(query).one()
            known = bytes(row.key_id)
            result.append((known, self._keys.decrypt(bytes(row.secret), _key_of(member, known))))
        return result


class _Put:
    """How subscriptions are put in; one that is there begins anew, and stays in force until the other side replies."""

    def __init__(self, keys: StoreKeys) -> None:
        self._keys = keys
        self._insert = BulkInsert(subscription)

    def apply(self, transaction: Transaction, payloads: Sequence[Putting]) -> list[None]:
        for putting in payloads:
            rows = [self._row(each, putting) for each in dict.fromkeys(putting.people)]
            fresh = self._insert.add_new(transaction, rows)
            known = [row for row, new in zip(rows, fresh, strict=True) if not new]
            if known:
                names = ("unit", "blind_index", "benefit", "member")
                transaction.connection.execute(
                    sa.update(subscription)
                    .where(*(subscription.c[name] == sa.bindparam(f"of_{name}") for name in names))
                    .values(
                        token=sa.bindparam("to_token"),
                        until_ms=sa.bindparam("to_until_ms"),
                        asked_at_ms=putting.at_ms,
                        change_id=putting.change_id,
                        body=sa.bindparam("to_body"),
                    ),
                    [
                        {
                            **{f"of_{name}": value for name, value in zip(names, row, strict=False)},
                            "to_token": row[4],
                            "to_until_ms": row[7],
                            "to_body": row[12],
                        }
                        for row in known
                    ],
                )
        return [None] * len(payloads)

    def _row(self, each: Subscribed, putting: Putting) -> tuple[Any, ...]:
        blind_index = self._keys.blind_index(each.id_number)
        body = b"\x00".join((each.name_check.hex().encode(), each.id_number.encode(), each.name.encode()))
        sealed = self._keys.encrypt(
            len(body).to_bytes(4) + body + each.context, _body_of(each.unit, blind_index, each.benefit, each.member)
        )
        return (
            each.unit,
            blind_index,
            each.benefit,
            each.member,
            each.token,
            PENDING,
            0,
            each.until_ms,
            0,
            putting.at_ms,
            putting.change_id,
            0,
            sealed,
        )


class _Reply:
    """How a reply is noted; one to an earlier letter says nothing any more. What is refused counts no longer than until
    now, and is known to have counted.
    """

    def apply(self, transaction: Transaction, payloads: Sequence[Replied]) -> list[int]:
        return [
            transaction.connection.execute(
                sa.update(subscription)
                .where(subscription.c.change_id == replied.change_id, subscription.c.member == replied.member)
                .values(
                    standing=REFUSED if replied.reason else ACTIVE,
                    reason=replied.reason,
                    lease_until_ms=_until(replied),
                    monitored=replied.monitored,
                )
            ).rowcount
            for replied in payloads
        ]


def _until(replied: Replied) -> sa.ColumnElement[int] | int:
    if not replied.reason:
        return replied.lease_until_ms
    before = subscription.c.lease_until_ms
    return sa.case((before > replied.at_ms, replied.at_ms), else_=before)


class _Remove:
    """How subscriptions are taken out."""

    def apply(self, transaction: Transaction, payloads: Sequence[Sequence[Subscribed]]) -> list[None]:
        for people in payloads:
            for each in people:
                transaction.connection.execute(
                    sa.delete(subscription).where(
                        subscription.c.unit == each.unit,
                        subscription.c.blind_index == each.blind_index,
                        subscription.c.benefit == each.benefit,
                        subscription.c.member == each.member,
                    )
                )
        return [None] * len(payloads)


class _Purge:
    """How subscriptions end by themselves."""

    def apply(self, transaction: Transaction, payloads: Sequence[int]) -> list[int]:
        key = sa.tuple_(subscription.c.unit, subscription.c.blind_index, subscription.c.benefit, subscription.c.member)
        return [
            transaction.connection.execute(
                sa.delete(subscription).where(
                    key.in_(
                        sa.select(
                            subscription.c.unit,
                            subscription.c.blind_index,
                            subscription.c.benefit,
                            subscription.c.member,
                        )
                        .where(subscription.c.until_ms < now_ms)
                        .limit(PURGE_AT_MOST)
                    )
                )
            ).rowcount
            for now_ms in payloads
        ]


class Subscriptions:
    """See the module."""

    def __init__(self, writer: Writer, reader: Reader, keys: StoreKeys) -> None:
        self._writer = writer
        self._reader = reader
        self._keys = keys
        self._key, self._put, self._reply = _Key(keys), _Put(keys), _Reply()
        self._remove, self._purge = _Remove(), _Purge()

    async def key(self, member: str, key_id: bytes, secret: bytes) -> tuple[bytes, bytes]:
        """Key id and secret for a member: those given, unless there are some already."""
        return await self._writer.submit(self._key, (member, key_id, secret))

    def putting(self, putting: Putting) -> Effect:
        """What puts subscriptions in, to be committed with the letter that asks for them."""
        return Effect(self._put, putting)

    def replying(self, replied: Replied) -> Effect:
        """What notes a reply."""
        return Effect(self._reply, replied)

    def removing(self, people: Sequence[Subscribed]) -> Effect:
        """What takes subscriptions out."""
        return Effect(self._remove, people)

    async def purge(self, now_ms: int) -> int:
        """End subscriptions whose time is over, at most 2,000; how many."""
        return await self._writer.submit(self._purge, now_ms)

    async def find(self, unit: str, id_number: str, benefit: int) -> list[Subscribed]:
        """A unit's subscriptions for a person; benefit 0: for all."""
        query = sa.select(subscription).where(
            subscription.c.unit == unit, subscription.c.blind_index == self._keys.blind_index(id_number)
        )
        if benefit:
            query = query.where(subscription.c.benefit == benefit)
        return await self._all(query.limit(LIST_AT_MOST))

    async def by_token(self, member: str, token: bytes, unit: str, benefit: int) -> Subscribed | None:
        """Whom a token of a notice stands for."""
        found = await self._all(
            sa.select(subscription).where(
                subscription.c.member == member,
                subscription.c.token == token,
                subscription.c.unit == unit,
                subscription.c.benefit == benefit,
            )
        )
        return found[0] if found else None

    async def page(self, unit: str, after: tuple[bytes, int, str] | None, limit: int) -> list[Subscribed]:
        """A unit's subscriptions after one, by blind index, benefit and member."""
        place = sa.tuple_(subscription.c.blind_index, subscription.c.benefit, subscription.c.member)
        query = sa.select(subscription).where(subscription.c.unit == unit)
        if after is not None:
            query = query.where(place > sa.tuple_(*(sa.literal(each) for each in after)))
        order = (subscription.c.blind_index, subscription.c.benefit, subscription.c.member)
        return await self._all(query.order_by(*order).limit(min(limit, LIST_AT_MOST)))

    async def to_renew(self, now_ms: int, lease_before_ms: int, asked_before_ms: int) -> list[Subscribed]:
        """Subscriptions to be asked for again, at most 2,000.

        The other side's time for them ends before `lease_before_ms` (or it never set one), and they were last asked for
        before `asked_before_ms`.
        """
        return await self._all(
            sa.select(subscription)
            .where(
                subscription.c.lease_until_ms < lease_before_ms,
                subscription.c.lease_until_ms < subscription.c.until_ms,
                # Or asked for while the clock was ahead.
                sa.or_(
                    subscription.c.asked_at_ms < asked_before_ms,
                    subscription.c.asked_at_ms > now_ms + LONGEST_OFF_MS,
                ),
                # A sum, so that the database does not take the index of that time, by which nearly all are found.
                subscription.c.until_ms + 0 > now_ms,
            )
            .limit(RENEW_AT_MOST)
        )

    async def lost(self, member: str, change_id: bytes, unknown: Collection[bytes], now_ms: int) -> list[Subscribed]:
        """Subscriptions that counted with a member once, and did not any more when it dealt with a letter.

        Args:
            member: which.
            change_id: of the letter; ids grow, and whoever was asked for last by an earlier letter is not of this one.
            unknown: tokens of those whom the member did not know; also of those asked for again since.
            now_ms: before which the time that the member had set was over.
        """
        tokens = list(unknown)

        def read(connection: sa.Connection) -> dict[tuple[Any, ...], Any]:
            of_member = (subscription.c.member == member, subscription.c.lease_until_ms > 0)
            over = sa.select(subscription).where(
                subscription.c.change_id == change_id, *of_member, subscription.c.lease_until_ms < now_ms
            )
            rows = list(connection.execute(over))
            for start in range(0, len(tokens), _TOKENS_AT_ONCE):
                part = tokens[start : start + _TOKENS_AT_ONCE]
                query = sa.select(subscription).where(
                    subscription.c.token.in_(part), *of_member, subscription.c.change_id >= change_id
                )
                rows += connection.execute(query)
            return {(row.unit, bytes(row.blind_index), row.benefit): row for row in rows}

        return [self._read(row) for row in (await self._reader.run(read)).values()]

    async def count(self) -> int:
        """How many there are."""
        query = sa.select(sa.func.count()).select_from(subscription)
        return await self._reader.run(lambda connection: int(connection.execute(query).scalar() or 0))

    async def _all(self, query: sa.Select[Any]) -> list[Subscribed]:
        rows = await self._reader.run(lambda connection: connection.execute(query).all())
        return [self._read(row) for row in rows]

    def _read(self, row: Any) -> Subscribed:
        blind_index = bytes(row.blind_index)
        plain = self._keys.decrypt(bytes(row.body), _body_of(row.unit, blind_index, row.benefit, row.member))
        end = 4 + int.from_bytes(plain[:4])
        check, number, name = plain[4:end].split(b"\x00", 2)
        return Subscribed(
            unit=row.unit,
            benefit=row.benefit,
            member=row.member,
            token=bytes(row.token),
            name_check=bytes.fromhex(check.decode()),
            until_ms=row.until_ms,
            context=plain[end:],
            id_number=number.decode(),
            name=name.decode(),
            blind_index=blind_index,
            standing=row.standing,
            reason=row.reason,
            monitored=row.monitored,
            lease_until_ms=row.lease_until_ms,
        )


def _key_of(member: str, key_id: bytes) -> bytes:
    return b"wugan-subscription-key-v1\x00" + key_id + member.encode()


def _body_of(unit: str, blind_index: bytes, benefit: int, member: str) -> bytes:
    return b"wugan-subscription-v1\x00" + blind_index + benefit.to_bytes(2) + member.encode() + unit.encode()
