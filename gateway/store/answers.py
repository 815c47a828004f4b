"""Other members' signed answers, kept so that one can be produced later: in a dispute, an audit, a recovery.

Owns: the tables `kept_answer` and `kept_answer_subject`. The body (question digest, signature and payload) is encrypted
and bound to its row; people are found by blind index. Refuses: judging an answer, and keeping one beyond its time:
expired ones are deleted, a bounded number at a time, along with the writing of new ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa

from gateway.errors import StoreError
from gateway.store.keys import StoreKeys
from gateway.store.reader import Reader
from gateway.store.rows import BulkInsert, Row, Transaction
from gateway.store.tables import DIGEST_BYTES, MEMBER_CHARS, MESSAGE_ID_BYTES, kept_answer, kept_answer_subject
from gateway.store.writer import Writer

RETENTION_MS = 3 * 366 * 86_400_000
"""Three years, as the records of processing that an answer belongs to."""
MAX_SIGNATURE_BYTES = 0xFFFF
MAX_HEADER_BYTES = 4096
PURGE_EVERY = 256
PURGE_AT_MOST = 2 * PURGE_EVERY
FIND_AT_MOST = 1000
_LENGTH_BYTES = 2


class SignedAnswer(NamedTuple):
    """An answer as opened: what its signature covers, and the signature.

    Args:
        member: who answered.
        message_id: of the answer, 16 bytes.
        header: the answer's header, as received.
        question_digest: SHA-256 of the question, 32 bytes.
        payload: the serialized Answer, as received.
        signature: over tag, header, question digest and payload.
        at_ms: when it was received, Unix milliseconds.
    """

    member: str
    message_id: bytes
    header: bytes
    question_digest: bytes
    payload: bytes
    signature: bytes
    at_ms: int


class KeptAnswer(NamedTuple):
    """What can be told of a kept answer without opening it."""

    member: str
    message_id: bytes
    at_ms: int
    retain_until_ms: int


class _Keeping(NamedTuple):
    answer: SignedAnswer
    id_numbers: frozenset[str]
    retain_until_ms: int


class _Keep:
    """How answers are written; one that is there already stays as it is."""

    def __init__(self, keys: StoreKeys) -> None:
        self._keys = keys
        self._insert = BulkInsert(kept_answer)
        self._insert_subject = BulkInsert(kept_answer_subject)
        self._since_purge = 0

    def apply(self, transaction: Transaction, payloads: Sequence[_Keeping]) -> list[None]:
        fresh = self._insert.add_new(transaction, [self._row(keeping) for keeping in payloads])
        subjects: list[Row] = []
        for keeping, new in zip(payloads, fresh, strict=True):
            if new:
                answer = keeping.answer
                blind = {self._keys.blind_index(number) for number in keeping.id_numbers}
                subjects += [(index, answer.member, answer.message_id) for index in blind]
        self._insert_subject.add(transaction, subjects)
        self._since_purge += len(payloads)
        if self._since_purge >= PURGE_EVERY:
            self._since_purge = 0
            _purge(transaction.connection, max(keeping.answer.at_ms for keeping in payloads))
        return [None] * len(payloads)

    def _row(self, keeping: _Keeping) -> Row:
        answer = keeping.answer
        length = len(answer.signature).to_bytes(_LENGTH_BYTES)
        plaintext = b"".join((answer.question_digest, length, answer.signature, answer.payload))
        return (
            answer.member,
            answer.message_id,
            answer.at_ms,
            keeping.retain_until_ms,
            answer.header,
            self._keys.encrypt(plaintext, _bound_to(answer.member, answer.message_id)),
        )


class KeptAnswers:
    """See the module."""

    def __init__(self, writer: Writer, reader: Reader, keys: StoreKeys) -> None:
        self._writer = writer
        self._reader = reader
        self._keys = keys
        self._keep = _Keep(keys)

    def submit(
        self, answer: SignedAnswer, id_numbers: Sequence[str], retain_ms: int = RETENTION_MS
    ) -> asyncio.Future[None]:
        """Have an answer kept; the future says when it is on the disk. Keeping the same one again changes nothing.

        Args:
            answer: verified.
            id_numbers: whom it is about, normalised, all numbers of each person by which it shall be found.
            retain_ms: how long from `answer.at_ms`.

        Raises:
            StoreError: malformed (not retryable), too much is waiting, or the store is closed.
        """
        if (
            not 0 < len(answer.member) <= MEMBER_CHARS
            or len(answer.message_id) != MESSAGE_ID_BYTES
            or len(answer.question_digest) != DIGEST_BYTES
            or len(answer.signature) > MAX_SIGNATURE_BYTES
            or len(answer.header) > MAX_HEADER_BYTES
        ):
            raise StoreError(
                "an answer to be kept is malformed; only verified answers can be kept",
                "待保存的答复格式有误，只能保存已验证的答复",
                retryable=False,
            )
        return self._writer.submit(self._keep, _Keeping(answer, frozenset(id_numbers), answer.at_ms + retain_ms))

    async def keep(self, answer: SignedAnswer, id_numbers: Sequence[str], retain_ms: int = RETENTION_MS) -> None:
        """Keep an answer; on the disk when this returns. As `submit`."""
        await self.submit(answer, id_numbers, retain_ms)

    async def find(self, id_number: str, limit: int = 100) -> list[KeptAnswer]:
        """What is kept about the person of a normalised number, newest first, at most 1,000."""
        blind_index = self._keys.blind_index(id_number)
        query = (
            sa.select(
                kept_answer.c.member, kept_answer.c.message_id, kept_answer.c.at_ms, kept_answer.c.retain_until_ms
            )
            .join(kept_answer_subject)
            .where(kept_answer_subject.c.blind_index == blind_index)
            .order_by(kept_answer.c.at_ms.desc(), kept_answer.c.message_id.desc())
            .limit(min(limit, FIND_AT_MOST))
        )
        return await self._reader.run(lambda connection: [KeptAnswer(*row) for row in connection.execute(query)])

    async def produce(self, member: str, message_id: bytes) -> SignedAnswer | None:
        """The signed answer itself; None where none is kept.

        Raises:
            StoreError: it was changed where it lay, or belongs to another key (not retryable); it cannot be read.
        """
        query = sa.select(kept_answer).where(kept_answer.c.member == member, kept_answer.c.message_id == message_id)
        row = await self._reader.run(lambda connection: connection.execute(query).first())
        if row is None:
            return None
        plaintext = self._keys.decrypt(row.body, _bound_to(member, message_id))
        start = DIGEST_BYTES + _LENGTH_BYTES
        end = start + int.from_bytes(plaintext[DIGEST_BYTES:start])
        return SignedAnswer(
            member, message_id, row.header, plaintext[:DIGEST_BYTES], plaintext[end:], plaintext[start:end], row.at_ms
        )


def _bound_to(member: str, message_id: bytes) -> bytes:
    """What ties a body to its row. The header needs no tie: the answer's own signature covers it."""
    return b"wugan-kept-answer-v1\x00" + message_id + member.encode()


def _purge(connection: sa.Connection, now_ms: int) -> None:
    """Delete a bounded number of answers whose time is over, their blind indexes with them."""
    over = (
        sa.select(kept_answer.c.member, kept_answer.c.message_id)
        .where(kept_answer.c.retain_until_ms < now_ms)
        .order_by(kept_answer.c.retain_until_ms)
        .limit(PURGE_AT_MOST)
    )
    connection.execute(
        sa.delete(kept_answer).where(sa.tuple_(kept_answer.c.member, kept_answer.c.message_id).in_(over))
    )
