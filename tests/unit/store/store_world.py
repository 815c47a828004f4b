"""What the store tests write: the member, messages, events and answers of a small world, and two odd writes."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from gateway.errors import WuganError
from gateway.store.answers import SignedAnswer
from gateway.store.audit import AuditEvent
from gateway.store.engine import Store
from gateway.store.rows import Transaction
from gateway.store.tables import metadata

NOW_MS = 1_795_000_000_000
EXPIRES_MS = NOW_MS + 180_000
MEMBER = "11330000002482064X"
OTHER_MEMBER = "11340000002986085H"
PERSON = "330702195001011234"
NEIGHBOUR = "330702195202022345"
DIGEST = hashlib.sha256(b"question").digest()

_count = itertools.count(1)


def new_id() -> bytes:
    return next(_count).to_bytes(16)


def event(**changed: object) -> AuditEvent:
    plain = AuditEvent(
        at_ms=NOW_MS,
        direction="in",
        counterpart=MEMBER,
        unit="金华市社会保险事业管理中心",
        official=b"p" * 32,
        purpose=1,
        legal_basis="社会保险法 第七十四条",
        case_reference="JH-2026-17",
        message_id=new_id(),
        digest=DIGEST,
        subjects=1,
        outcome=0,
        decision="granted by grant 1",
    )
    return plain._replace(**changed)


def answer(**changed: object) -> SignedAnswer:
    plain = SignedAnswer(
        member=MEMBER,
        message_id=new_id(),
        header=b"header as received",
        question_digest=DIGEST,
        signature=b"s" * 64,
        payload=b"payload about " + PERSON.encode(),
        salt=b"t" * 16,
        position=0,
        total=1,
        path=b"",
        at_ms=NOW_MS,
    )
    return plain._replace(**changed)


HOSTILE: tuple[dict[str, object], ...] = (
    {"unit": "", "legal_basis": "", "case_reference": "", "official": b"", "digest": b"", "subjects": 0},
    {"unit": "长" * 2_000_000, "legal_basis": "𠮷" * 300_000, "case_reference": "x" * 3_000_000},
    {
        "unit": "\x00\x1b[2J\r\n\u202e\ufeff",
        "legal_basis": "\ud800",
        "case_reference": "\U0010ffff",
        "decision": "\x85\x00",
    },
    {"unit": "\x00" * 1_000_000, "legal_basis": "0" * 1_000_000, "case_reference": f"{PERSON} " * 50_000},
    {"official": b"\xff" * 1_000_000, "digest": b"d" * 100_000, "message_id": b"m" * 100_000},
    {"purpose": 2**31 - 1, "outcome": 2**31 - 1, "subjects": 2**31 - 1},
    {"purpose": -(2**31), "outcome": -(2**31)},
    {"counterpart": "\x00\ud800" * 1000, "decision": "' OR ''='" * 1000},
)
"""What a member gone bad may put into the question whose refusal is recorded, and worse."""


def cells(store: Store) -> list[str | bytes]:
    """Everything of text or bytes that stands in any column of any table."""
    with store._engine.connect() as connection:
        rows = [row for table in metadata.tables.values() for row in connection.execute(sa.select(table))]
    return [
        bytes(cell) if isinstance(cell, memoryview) else cell
        for row in rows
        for cell in row
        if not isinstance(cell, int)
    ]


@contextmanager
def refused(code: str) -> Iterator[None]:
    with pytest.raises(WuganError) as caught:
        yield
    assert caught.value.code == code
    assert caught.value.en
    assert caught.value.zh


class Held:
    """A write that waits until it is let go, so that a test decides when the writer is busy."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.go = threading.Event()
        self.batches: list[int] = []

    def apply(self, _transaction: Transaction, payloads: Sequence[int]) -> list[int]:
        self.batches.append(len(payloads))
        self.started.set()
        assert self.go.wait(30), "the test never let the write go"
        return list(payloads)


class Brief:
    """A write that takes no time, and tells in which thread it was done."""

    def __init__(self) -> None:
        self.brief_now = True
        self.threads: list[str] = []
        self.error: Exception | None = None
        self.during: Callable[[], None] = lambda: None

    def brief(self, _payload: int) -> bool:
        return self.brief_now

    def apply(self, transaction: Transaction, payloads: Sequence[int]) -> list[int]:
        self.threads.append(threading.current_thread().name)
        self.during()
        if self.error is not None:
            raise self.error
        assert transaction.embedded is None or transaction.embedded.in_transaction
        return list(payloads)


class Failing:
    """A write that fails in the way it is told to."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def apply(self, _transaction: Transaction, _payloads: Sequence[None]) -> list[None]:
        raise self.error
