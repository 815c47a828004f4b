"""Administrative acts as they are kept: appended, chained by MAC, each in one transaction with its audit event.

Owns: the table `access_act` and the mark of its end in `store_meta`. The MAC of an act covers the act and the one
before; the mark is a MAC over number and MAC of the last act, so acts that were changed, taken out or cut off the end
show. Refuses: knowing what an act says (`gateway.access` does), and appending one whose number is not the next.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa

from gateway.errors import StoreError
from gateway.store.audit import Appending, AuditEvent, audit_content
from gateway.store.keys import StoreKeys
from gateway.store.reader import Look, Reader
from gateway.store.rows import Transaction
from gateway.store.tables import DIGEST_BYTES, SIGNATURE_BYTES, STATEMENT_BYTES, access_act, store_meta
from gateway.store.writer import Writer

READ_AT_ONCE = 10_000
_HEAD = "access_head"
_ACT_TAG = b"wugan-access-act-mac-v1\x00"
_HEAD_TAG = b"wugan-access-head-v1\x00"
_NUMBER_BYTES = 8
_LOCK = 0x77_75_67_61_6E_03
"""PostgreSQL advisory lock: one act at a time."""
_LAST_NUMBER = (1 << 63) - 1
_MARK = Look(sa.select(store_meta.c.value).where(store_meta.c.name == _HEAD))
_MAC_OF = Look(sa.select(access_act.c.mac).where(access_act.c.number == sa.bindparam("number")))


class ActRow(NamedTuple):
    """An act: its number, the statement, and the signature."""

    number: int
    statement: bytes
    signature: bytes


class ActsHead(NamedTuple):
    """The last act: number and MAC."""

    number: int
    mac: bytes


START = ActsHead(0, bytes(DIGEST_BYTES))


class _Append:
    """How acts are written; the result is whether its number was the next."""

    def __init__(self, keys: StoreKeys) -> None:
        self._keys = keys
        self._audit = Appending(keys)

    def apply(self, transaction: Transaction, payloads: Sequence[tuple[ActRow, AuditEvent]]) -> list[bool]:
        connection = transaction.connection
        if transaction.embedded is None:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        head = _read_head(connection, self._keys)
        done = []
        for act, event in payloads:
            done.append(act.number == head.number + 1)
            if not done[-1]:
                continue
            mac = _act_mac(self._keys, act, head.mac)
            connection.execute(sa.insert(access_act).values(**act._asdict(), mac=mac))
            value = _head_value(self._keys, ActsHead(act.number, mac))
            if head.number:
                connection.execute(sa.update(store_meta).where(store_meta.c.name == _HEAD).values(value=value))
            else:
                connection.execute(sa.insert(store_meta).values(name=_HEAD, value=value))
            self._audit.apply(transaction, [audit_content(event, self._keys.digest_tag(event.digest))])
            head = ActsHead(act.number, mac)
        return done


class Acts:
    """See the module."""

    def __init__(self, writer: Writer, reader: Reader, keys: StoreKeys) -> None:
        self._writer = writer
        self._reader = reader
        self._keys = keys
        self._append = _Append(keys)

    async def append(self, act: ActRow, event: AuditEvent) -> bool:
        """Keep an act together with its audit event; False, and nothing kept, when its number is not the next.

        Raises:
            StoreError: the act is malformed, or could not be written.
        """
        if len(act.statement) > STATEMENT_BYTES or len(act.signature) != SIGNATURE_BYTES:
            raise StoreError(
                "an act to be kept is malformed; only signed acts can be kept",
                "待保存的操作格式有误，只能保存已签名的操作",
                retryable=False,
            )
        return await self._writer.submit(self._append, (act, event))

    async def changed(self, since: ActsHead) -> bool:
        """Whether there are acts after this one, or it is none of this record."""
        mark = await self._reader.look(_MARK)
        if not mark:
            return since != START
        value = bytes(mark[0][0])
        last = await self._reader.look(_MAC_OF, number=_number_in(value))
        return _head_of(value, bytes(last[0][0]) if last else b"", self._keys) != since

    async def read(self, after: ActsHead = START) -> tuple[list[ActRow], ActsHead]:
        """The acts after one that was read before, and the last one.

        Raises:
            StoreError: the record is broken (not retryable), or cannot be read (retryable).
        """

        def read(connection: sa.Connection) -> tuple[list[ActRow], ActsHead]:
            head, acts = after, []
            while True:
                rows = connection.execute(
                    sa.select(access_act)
                    .where(access_act.c.number > head.number)
                    .order_by(access_act.c.number)
                    .limit(READ_AT_ONCE)
                ).all()
                for number, statement, signature, mac in rows:
                    act = ActRow(number, bytes(statement), bytes(signature))
                    expected = _act_mac(self._keys, act, head.mac)
                    if number != head.number + 1 or not hmac.compare_digest(expected, bytes(mac)):
                        raise _broken(number)
                    acts.append(act)
                    head = ActsHead(number, expected)
                if len(rows) < READ_AT_ONCE:
                    break
            if _read_head(connection, self._keys) != head:
                raise _broken(head.number + 1)
            return acts, head

        return await self._reader.run(read)


def _act_mac(keys: StoreKeys, act: ActRow, previous: bytes) -> bytes:
    digest = hashlib.sha256(act.statement).digest()
    return keys.act_mac(_ACT_TAG + act.number.to_bytes(_NUMBER_BYTES) + previous + digest + act.signature)


def _head_value(keys: StoreKeys, head: ActsHead) -> bytes:
    """The mark of the end: the number of the last act, and a MAC over it and the MAC of that act."""
    number = head.number.to_bytes(_NUMBER_BYTES)
    return number + keys.act_mac(_HEAD_TAG + number + head.mac)


def _read_head(connection: sa.Connection, keys: StoreKeys) -> ActsHead:
    """The last act, by the mark of the end; it must be the act that the mark was made for."""
    value = connection.execute(_MARK.statement).scalar()
    if value is None:
        return START
    mac = connection.execute(_MAC_OF.statement, {"number": _number_in(bytes(value))}).scalar()
    return _head_of(bytes(value), bytes(mac or b""), keys)


def _number_in(value: bytes) -> int:
    """The number in a mark; where somebody wrote one that no act can have, one that none has."""
    return min(int.from_bytes(value[:_NUMBER_BYTES]), _LAST_NUMBER)


def _head_of(value: bytes, mac: bytes, keys: StoreKeys) -> ActsHead:
    """The last act, by the mark of the end and its own MAC."""
    head = ActsHead(_number_in(value), mac)
    if not hmac.compare_digest(_head_value(keys, head), value):
        raise _broken(head.number)
    return head


def _broken(number: int) -> StoreError:
    return StoreError(
        f"the record of administrative acts is broken at act {number}; nothing is allowed until it is restored. Keep "
        "the database as it is and call the audit administrator",
        f"授权操作记录在第 {number} 项断裂，恢复前一律拒绝访问；请保留数据库现状并通知安全审计员",
        field=f"access_act.{number}",
        retryable=False,
    )
