"""Other members' signed answers, kept so that one can be produced later: in a dispute, an audit, a recovery.

Owns: the tables `kept_answer` and `kept_answer_subject`. The body (the proof but for its header) is encrypted and bound
to its row; people are found by blind index. Refuses: judging an answer, and keeping one beyond its time:
expired ones are deleted, a bounded number at a time, along with the writing of new ones.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa

from gateway.clock import Clock
from gateway.errors import StoreError
from gateway.store.jumps import Jumps
from gateway.store.keys import StoreKeys
from gateway.store.letters import Effect
from gateway.store.reader import Reader
from gateway.store.rows import BulkInsert, Row, Transaction
from gateway.store.tables import DIGEST_BYTES, MEMBER_CHARS, MESSAGE_ID_BYTES, kept_answer, kept_answer_subject
from gateway.store.writer import Writer

RETENTION_MS = 3 * 366 * 86_400_000
"""Three years, as the records of processing that an answer belongs to."""
MAX_SIGNATURE_BYTES = 0xFFFF
MAX_PATH_BYTES = 0xFFFF
MAX_PARTS = 0xFFFF
MAX_HEADER_BYTES = 4096
SALT_BYTES = 16
PURGE_EVERY = 256
PURGE_AT_MOST = 2 * PURGE_EVERY
FIND_AT_MOST = 1000
BRIEF_NUMBERS = 8
"""An answer about people with so many numbers together is kept in no time."""
_NUMBERS = struct.Struct(">HHHH")  # position, total, length of the signature, length of the path
_SALT_AT = DIGEST_BYTES
_NUMBERS_AT = _SALT_AT + SALT_BYTES
_SIGNATURE_AT = _NUMBERS_AT + _NUMBERS.size


class SignedAnswer(NamedTuple):
    """An answer, and what proves it (docs/protocol.md, section 7).

    Args:
        member: who answered.
        message_id: of the message that the answer is a part of, 16 bytes.
        header: the header of that message, as received.
        question_digest: SHA-256 of the message with the question, 32 bytes.
        signature: over tag, header, question digest, number of parts and head of their tree.
        payload: the serialized Answer, as received.
        salt: of the part, 16 bytes.
        position: of the part, from 0.
        total: parts of the message.
        path: from the part to the head of the tree.
        at_ms: when it was received, Unix milliseconds.
    """

    member: str
    message_id: bytes
    header: bytes
    question_digest: bytes
    signature: bytes
    payload: bytes
    salt: bytes
    position: int
    total: int
    path: bytes
    at_ms: int


class KeptAnswer(NamedTuple):
    """What can be told of a kept answer without opening it."""

    member: str
    message_id: bytes
    position: int
    at_ms: int
    retain_until_ms: int


class _Keeping(NamedTuple):
    answer: SignedAnswer
    id_numbers: frozenset[str]
    retain_until_ms: int


class _Keep:
    """How answers are written; one that is there already stays as it is."""

    def __init__(self, keys: StoreKeys, clock: Clock) -> None:
        self._keys = keys
        self._jumps = Jumps(clock)
        self._insert = BulkInsert(kept_answer)
        self._insert_subject = BulkInsert(kept_answer_subject)
        self._since_purge = 0

    def brief(self, keeping: _Keeping) -> bool:
        """Unless it is about many, or old ones are deleted along with it."""
        return self._since_purge + 1 < PURGE_EVERY and len(keeping.id_numbers) <= BRIEF_NUMBERS

    def apply(self, transaction: Transaction, payloads: Sequence[_Keeping]) -> list[None]:
        fresh = self._insert.add_new(transaction, list(map(self._row, payloads)))
        subjects: list[Row] = []
        for keeping, new in zip(payloads, fresh, strict=True):
            if new:
                answer = keeping.answer
                for index in set(map(self._keys.blind_index, keeping.id_numbers)):
                    subjects.append((index, answer.member, answer.message_id, answer.position))
        self._insert_subject.add(transaction, subjects)
        self._since_purge += len(payloads)
        if self._since_purge >= PURGE_EVERY:
            self._since_purge = 0
            _purge(transaction.connection, self._jumps.at_least_ms())
        return [None] * len(payloads)

    def _row(self, keeping: _Keeping) -> Row:
        answer = keeping.answer
        numbers = _NUMBERS.pack(answer.position, answer.total, len(answer.signature), len(answer.path))
        plaintext = b"".join(
            (answer.question_digest, answer.salt, numbers, answer.signature, answer.path, answer.payload)
        )
        return (
            answer.member,
            answer.message_id,
            answer.position,
            answer.at_ms,
            keeping.retain_until_ms,
            answer.header,
            self._keys.encrypt(plaintext, _bound_to(answer.member, answer.message_id, answer.position)),
        )


class KeptAnswers:
    """See the module."""

    def __init__(self, writer: Writer, reader: Reader, keys: StoreKeys, clock: Clock) -> None:
        self._writer = writer
        self._reader = reader
        self._keys = keys
        self._keep = _Keep(keys, clock)

    def submit(
        self,
        answer: SignedAnswer,
        id_numbers: Sequence[str],
        retain_ms: int = RETENTION_MS,
        *,
        behind: bool = False,
    ) -> asyncio.Future[None]:
        """Have an answer kept; the future says when it is on the disk. As `effect`; `behind`: nobody waits for it."""
        return self._writer.submit(self._keep, _keeping(answer, id_numbers, retain_ms), behind=behind)

    def effect(self, answer: SignedAnswer, id_numbers: Sequence[str], retain_ms: int = RETENTION_MS) -> Effect:
        """What keeps an answer, to be committed with other writes. Keeping the same one again changes nothing.

        Args:
            answer: verified.
            id_numbers: whom it is about, normalised, all numbers of each person by which it shall be found.
            retain_ms: how long from `answer.at_ms`.

        Raises:
            StoreError: malformed; not retryable.
        """
        return Effect(self._keep, _keeping(answer, id_numbers, retain_ms))

    async def keep(self, answer: SignedAnswer, id_numbers: Sequence[str], retain_ms: int = RETENTION_MS) -> None:
        """Keep an answer; on the disk when this returns. As `submit`."""
        await self.submit(answer, id_numbers, retain_ms)

    async def find(self, id_number: str, limit: int = 100) -> list[KeptAnswer]:
        """What is kept about the person of a normalised number, newest first, at most 1,000."""
        blind_index = self._keys.blind_index(id_number)
        query = (
            sa.select(
                kept_answer.c.member,
                kept_answer.c.message_id,
                kept_answer.c.position,
                kept_answer.c.at_ms,
                kept_answer.c.retain_until_ms,
            )
            .join(kept_answer_subject)
            .where(kept_answer_subject.c.blind_index == blind_index)
            .order_by(kept_answer.c.at_ms.desc(), kept_answer.c.message_id.desc(), kept_answer.c.position)
            .limit(min(limit, FIND_AT_MOST))
        )
        return await self._reader.run(lambda connection: [KeptAnswer(*row) for row in connection.execute(query)])

    async def newest(self, member: str, limit: int) -> list[tuple[bytes, int, bytes]]:
        """Message id, position and header of what a member sent last, by its own clock; the newest first.

        Raises:
            StoreError: they cannot be read.
        """
        query = (
            sa.select(kept_answer.c.message_id, kept_answer.c.position, kept_answer.c.header)
            .where(kept_answer.c.member == member)
            .order_by(kept_answer.c.message_id.desc(), kept_answer.c.position.desc())
            .limit(limit)
        )
        return await self._reader.run(
            lambda connection: [(bytes(row[0]), row[1], bytes(row[2])) for row in connection.execute(query)]
        )

    async def produce(self, member: str, message_id: bytes, position: int = 0) -> SignedAnswer | None:
        """The signed answer itself; None where none is kept.

        Raises:
            StoreError: it was changed where it lay, or belongs to another key (not retryable); it cannot be read.
        """
        query = sa.select(kept_answer).where(
            kept_answer.c.member == member,
            kept_answer.c.message_id == message_id,
            kept_answer.c.position == position,
        )
        row = await self._reader.run(lambda connection: connection.execute(query).first())
        if row is None:
            return None
        plaintext = self._keys.decrypt(row.body, _bound_to(member, message_id, position))
        _, total, signature_bytes, path_bytes = _NUMBERS.unpack_from(plaintext, _NUMBERS_AT)
        path_at = _SIGNATURE_AT + signature_bytes
        payload_at = path_at + path_bytes
        return SignedAnswer(
            member,
            message_id,
            row.header,
            question_digest=plaintext[:_SALT_AT],
            signature=plaintext[_SIGNATURE_AT:path_at],
            payload=plaintext[payload_at:],
            salt=plaintext[_SALT_AT:_NUMBERS_AT],
            position=position,
            total=total,
            path=plaintext[path_at:payload_at],
            at_ms=row.at_ms,
        )


def _keeping(answer: SignedAnswer, id_numbers: Sequence[str], retain_ms: int) -> _Keeping:
    """An answer to be kept. Raises as `KeptAnswers.effect`."""
    if (
        not 0 < len(answer.member) <= MEMBER_CHARS
        or len(answer.message_id) != MESSAGE_ID_BYTES
        or len(answer.question_digest) != DIGEST_BYTES
        or len(answer.signature) > MAX_SIGNATURE_BYTES
        or len(answer.salt) != SALT_BYTES
        or len(answer.path) > MAX_PATH_BYTES
        or not 0 <= answer.position < answer.total <= MAX_PARTS
        or len(answer.header) > MAX_HEADER_BYTES
    ):
        raise StoreError(
            "an answer to be kept is malformed; only verified answers can be kept",
            "待保存的答复格式有误，只能保存已验证的答复",
            retryable=False,
        )
    return _Keeping(answer, frozenset(id_numbers), answer.at_ms + retain_ms)


def _bound_to(member: str, message_id: bytes, position: int) -> bytes:
    """What ties a body to its row. The header needs no tie: the answer's own signature covers it."""
    return b"wugan-kept-answer-v1\x00" + message_id + position.to_bytes(2) + member.encode()


def _purge(connection: sa.Connection, now_ms: int) -> None:
    """Delete a bounded number of answers whose time is over, their blind indexes with them."""
    over = (
        sa.select(kept_answer.c.member, kept_answer.c.message_id, kept_answer.c.position)
        .where(kept_answer.c.retain_until_ms < now_ms)
        .order_by(kept_answer.c.retain_until_ms)
        .limit(PURGE_AT_MOST)
    )
    connection.execute(
        sa.delete(kept_answer).where(
            sa.tuple_(kept_answer.c.member, kept_answer.c.message_id, kept_answer.c.position).in_(over)
        )
    )
