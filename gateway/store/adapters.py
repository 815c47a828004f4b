"""Registered adapters as they are kept: manifests, what departments said of their own, how versions do.

Owns: the tables of adapter_tables.py. What a department said is one transaction with its audit event and, where it
registered, with its manifest. Refuses: knowing what follows from any of it (`gateway.access.words` does), and what
administrators decided, which is signed acts (`gateway.store.acts`).
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from gateway.store.adapter_tables import TEXT_CHARS, WHO_CHARS, WHY_CHARS, adapter_document, adapter_state, adapter_word
from gateway.store.audit import Appending, AuditEvent, audit_content, recorded_words
from gateway.store.keys import StoreKeys
from gateway.store.letters import one_at_a_time, take_numbers
from gateway.store.reader import Look, Reader
from gateway.store.rows import Transaction
from gateway.store.writer import Writer

READ_AT_MOST: Final = 10_000
_NUMBERS: Final = "adapter_word"


class Document(NamedTuple):
    """A manifest to be kept: its bytes, whose it is, and when it came."""

    adapter: str
    text: bytes
    at_ms: int

    @property
    def digest(self) -> bytes:
        """By which it is known: SHA-256."""
        return hashlib.sha256(self.text).digest()


class Word(NamedTuple):
    """What a department said of its own adapter.

    Args:
        number: grows; 0 before it is kept.
        adapter: which.
        digest: of the manifest it is about, b"" where it is about the adapter as such.
        word: as in `gateway.access.words`.
        at_ms: when.
        who: SPIFFE id of the certificate.
        why: its reason.
    """

    number: int
    adapter: str
    digest: bytes
    word: int
    at_ms: int
    who: str
    why: str


class Tally(NamedTuple):
    """How a version did beside the live ones, added up.

    Args:
        asked: questions it was asked.
        answered, silent, unavailable, faulty: what came of them.
        people: that it was asked about; `known`: those it knew.
        rows: of evidence it gave.
        took_ms, longest_ms: time of what it answered, in all and at most.
        agreed: rows that a live source gave as well: person, kind and day.
        missing: rows of a live source of the same department that it did not give.
        beyond: rows that it gave and no live source did, of kinds that a live one offers.
    """

    asked: int = 0
    answered: int = 0
    silent: int = 0
    unavailable: int = 0
    faulty: int = 0
    people: int = 0
    known: int = 0
    rows: int = 0
    took_ms: int = 0
    longest_ms: int = 0
    agreed: int = 0
    missing: int = 0
    beyond: int = 0

    def __add__(self, other: object) -> Tally:
        """Both together."""
        if not isinstance(other, Tally):
            return NotImplemented
        added = Tally(*(one + another for one, another in zip(self, other, strict=True)))
        return added._replace(longest_ms=max(self.longest_ms, other.longest_ms))


class Standing(NamedTuple):
    """How a version does in the running gateway.

    Args:
        adapter, digest: which.
        at_ms: when it was said.
        stage: in which it is asked: "live", "shadow", or "" where it is not.
        fault_en, fault_zh: why it could not be built, "" where it could.
        tally: of its trial.
    """

    adapter: str
    digest: bytes
    at_ms: int
    stage: str
    fault_en: str = ""
    fault_zh: str = ""
    tally: Tally = Tally()


class Said(NamedTuple):
    """A word to be kept, its audit event, the manifest that came with it, and those that need not be kept any more."""

    word: Word
    event: AuditEvent
    document: Document | None = None
    drop: Sequence[bytes] = ()


class _KeepDocument:
    def __init__(self, keys: StoreKeys) -> None:
        self._keys = keys

    def apply(self, transaction: Transaction, payloads: Sequence[Document]) -> list[bytes]:
        one_at_a_time(transaction)
        for document in payloads:
            known = sa.select(adapter_document.c.digest).where(adapter_document.c.digest == document.digest)
            if transaction.connection.execute(known).scalar() is None:
                body = self._keys.encrypt(document.text, _bound_to(document.digest))
                row = {"digest": document.digest, "adapter": document.adapter, "at_ms": document.at_ms, "body": body}
                transaction.connection.execute(sa.insert(adapter_document).values(**row))
        return [document.digest for document in payloads]


class _Say:
    """How words are written; the result is the number of each."""

    def __init__(self, keys: StoreKeys) -> None:
        self._keys = keys
        self._documents = _KeepDocument(keys)
        self._audit = Appending(keys)

    def apply(self, transaction: Transaction, payloads: Sequence[Said]) -> list[int]:
        numbers = []
        for word, event, document, drop in payloads:
            number = take_numbers(transaction, _NUMBERS, 1, word.at_ms)
            row = word._replace(
                number=number, who=recorded_words(word.who, WHO_CHARS), why=recorded_words(word.why, WHY_CHARS)
            )
            if drop:
                gone = sa.delete(adapter_document).where(adapter_document.c.digest.in_(list(drop)))
                transaction.connection.execute(gone)
            if document is not None:
                self._documents.apply(transaction, [document])
            transaction.connection.execute(sa.insert(adapter_word).values(**row._asdict()))
            self._audit.apply(transaction, [audit_content(event, self._keys.digest_tag(event.digest))])
            numbers.append(number)
        return numbers


class _Stand:
    """How standings are written: a tally is added to the one there is, the rest, where it is said, replaces it."""

    def apply(self, transaction: Transaction, payloads: Sequence[tuple[Standing, bool]]) -> list[None]:
        connection, table = transaction.connection, adapter_state.c
        one_at_a_time(transaction)
        for standing, only_tally in payloads:
            said = {
                "at_ms": standing.at_ms,
                "stage": standing.stage,
                "fault_en": recorded_words(standing.fault_en, TEXT_CHARS),
                "fault_zh": recorded_words(standing.fault_zh, TEXT_CHARS),
            }
            here = (table.adapter == standing.adapter) & (table.digest == standing.digest)
            known = connection.execute(sa.select(*(table[name] for name in Tally._fields)).where(here)).one_or_none()
            if known is None:
                row = {"adapter": standing.adapter, "digest": standing.digest, **said, **standing.tally._asdict()}
                connection.execute(sa.insert(adapter_state).values(**row))
            else:
                added = Tally(*known) + standing.tally
                connection.execute(
                    sa.update(adapter_state).where(here).values({**({} if only_tally else said), **added._asdict()})
                )
        return [None] * len(payloads)


class Adapters:
    """See the module."""

    def __init__(self, writer: Writer, reader: Reader, keys: StoreKeys) -> None:
        self._writer = writer
        self._reader = reader
        self._keys = keys
        self._keep, self._say, self._stand = _KeepDocument(keys), _Say(keys), _Stand()

    async def keep(self, document: Document) -> bytes:
        """Keep a manifest; its digest. One that is kept already stays as it is.

        Raises:
            StoreError: it could not be written.
        """
        return await self._writer.submit(self._keep, document)

    async def document(self, digest: bytes) -> bytes | None:
        """A manifest, byte for byte; None: it is not kept.

        Raises:
            StoreError: it could not be read, or was changed.
        """
        query = sa.select(adapter_document.c.body).where(adapter_document.c.digest == digest)
        body = await self._reader.run(lambda connection: connection.execute(query).scalar())
        return None if body is None else self._keys.decrypt(bytes(body), _bound_to(digest))

    async def say(self, said: Said) -> int:
        """Keep what a department said; its number. On the disk when this returns.

        Raises:
            StoreError: it could not be written.
        """
        return await self._writer.submit(self._say, said)

    async def words(self, after: int = 0, adapter: str = "") -> list[Word]:
        """What departments said after a number, or one of them did, the oldest first.

        Raises:
            StoreError: it could not be read.
        """
        words: list[Word] = []
        if not await self._reader.look(_WORD_AFTER, after=after):
            return words
        while True:
            query = sa.select(adapter_word).where(adapter_word.c.number > after).order_by(adapter_word.c.number)
            if adapter:
                query = query.where(adapter_word.c.adapter == adapter)
            page = await self._reader.run(functools.partial(_rows, query.limit(READ_AT_MOST)))
            words += [Word(row[0], row[1], bytes(row[2]), *row[3:]) for row in page]
            if len(page) < READ_AT_MOST:
                return words
            after = words[-1].number

    async def stand(self, standings: Sequence[Standing]) -> None:
        """Write how versions do; tallies are added to those there are.

        Raises:
            StoreError: it could not be written.
        """
        for standing in standings:
            await self._writer.submit(self._stand, (standing, False))

    async def tally(self, adapter: str, digest: bytes, tally: Tally) -> None:
        """Add to the tally of a version's trial.

        Raises:
            StoreError: it could not be written.
        """
        await self._writer.submit(self._stand, (Standing(adapter, digest, 0, "", tally=tally), True))

    async def standings(self) -> list[Standing]:
        """How all versions do, or did last; of very many, the newest 10,000, the oldest of them first.

        Raises:
            StoreError: it could not be read.
        """
        query = sa.select(adapter_state).order_by(adapter_state.c.at_ms.desc(), adapter_state.c.digest)
        rows = await self._reader.run(lambda connection: list(connection.execute(query.limit(READ_AT_MOST))))
        rows.reverse()
        return [Standing(row[0], bytes(row[1]), row[2], row[3], row[4], row[5], Tally(*row[6:])) for row in rows]


_WORD_AFTER = Look(sa.select(sa.literal(1)).where(adapter_word.c.number > sa.bindparam("after")).limit(1))


def _rows(query: sa.Select[Any], connection: sa.Connection) -> list[Any]:
    return list(connection.execute(query))


def _bound_to(digest: bytes) -> bytes:
    return b"wugan-adapter-document-v1\x00" + digest
