"""The record of decisions beside the results: one file of SQLite and its key, both private.

Owns: appending events in one transaction, reading them, the check of their chain at every opening. Refuses: changing or
deleting one, plaintext numbers and texts, and a file whose chain does not hold.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import sqlalchemy as sa

from gateway.errors import StoreError
from gateway.roster.decisions.chain import START, Event, Head, Link, link_mac, verify
from gateway.store.faults import failed, wrapped
from gateway.store.keys import StoreKeys, load_or_create_key

FILE: Final = "decisions.db"
KEY: Final = "decisions.key"
_VERSION: Final = 1
_PRAGMAS: Final = ("PRAGMA busy_timeout=5000", "PRAGMA synchronous=FULL", "PRAGMA trusted_schema=OFF")
_metadata: Final = sa.MetaData()
_decision: Final = sa.Table(
    "decision",
    _metadata,
    sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
    *(
        sa.Column(name, sa.LargeBinary if kind == "bytes" else sa.BigInteger, nullable=False)
        for name, kind in Event.__annotations__.items()
    ),
    sa.Column("previous_mac", sa.LargeBinary, nullable=False),
    sa.Column("mac", sa.LargeBinary, nullable=False),
    sa.Index("decision_person", "person", "benefit", "sequence"),
)


class Texts(NamedTuple):
    """The words of an event.

    Args:
        who: whose decision it is, or who recorded the outcome.
        by: who was there, of a visit or a face check; "" where it is the same.
        why: the reason, for the record.
    """

    who: str
    by: str
    why: str


class Ledger:
    """The record of one folder. Made by `open`; a context manager."""

    def __init__(self, engine: sa.Engine, keys: StoreKeys, head: Head) -> None:
        self._engine = engine
        self._keys = keys
        self.head = head

    @classmethod
    def open(cls, folder: Path, *, create: bool, anchor: Head | None = None) -> Ledger:
        """Open the record, and check all of it.

        Args:
            folder: the results.
            create: whether to make one where there is none.
            anchor: a head noted earlier, which must be in it.

        Raises:
            StoreError: there is none and none is to be made; its key is missing; it is broken or unreadable.
        """
        path, key = folder / FILE, folder / KEY
        new = not path.exists()
        if new and not create:
            raise StoreError(
                f"{folder}: nothing was decided there yet", f"{folder}：尚无决定记录", retryable=False, field="folder"
            )
        keys = StoreKeys(load_or_create_key(key, may_create=new))
        try:
            path.touch(mode=0o600)
            path.chmod(0o600)
        except OSError as error:
            raise failed() from error
        engine = sa.create_engine(sa.URL.create("sqlite", database=str(path)))
        sa.event.listen(engine, "connect", _set_up)
        sa.event.listen(engine, "begin", _begin)
        ledger = cls(engine, keys, Head(0, START))
        try:
            with wrapped():
                ledger._prepare()
                ledger.head = ledger.verify(anchor)
        except BaseException:
            engine.dispose()
            raise
        return ledger

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        self._engine.dispose()

    def person(self, id_number: str) -> bytes:
        """What stands for a person."""
        return self._keys.blind_index(id_number)

    @contextmanager
    def deciding(self) -> Iterator[Deciding]:
        """A transaction in which events are read and appended; nobody else appends meanwhile. All or nothing."""
        with wrapped(), self._engine.begin() as connection:
            deciding = Deciding(connection, self._keys)
            yield deciding
            head = deciding.head
        self.head = head

    def links(self) -> Iterator[Link]:
        """All events, oldest first."""
        with wrapped(), self._engine.begin() as connection:
            yield from _links(connection, sa.select(_decision).order_by(_decision.c.sequence))

    def verify(self, anchor: Head | None = None) -> Head:
        """Check the chain; its head.

        Raises:
            StoreError: it does not hold.
        """
        return verify(self._keys.decision_mac, self.links(), anchor)

    def texts(self, event: Event) -> Texts:
        """The words of an event."""
        body = json.loads(self._keys.decrypt(event.body, _bound(event)))
        return Texts(body["who"], body["by"], body["why"])

    def _prepare(self) -> None:
        with self._engine.begin() as connection:
            version = int(connection.execute(sa.text("PRAGMA user_version")).scalar_one())
            if version not in (0, _VERSION):
                raise StoreError(
                    f"the record of decisions is of version {version}, which this program does not know",
                    f"决定记录版本为 {version}，本程序无法识别",
                    retryable=False,
                )
            if version == 0:
                _metadata.create_all(connection)
                connection.execute(sa.text(f"PRAGMA user_version={_VERSION}"))


class Deciding:
    """The record within a transaction."""

    def __init__(self, connection: sa.Connection, keys: StoreKeys) -> None:
        self._connection = connection
        self._keys = keys
        newest = sa.select(_decision.c.sequence, _decision.c.mac).order_by(_decision.c.sequence.desc()).limit(1)
        found = connection.execute(newest).one_or_none()
        self.head = Head(found.sequence, found.mac) if found else Head(0, START)

    def history(self, person: bytes, benefit: int) -> list[Event]:
        """What was recorded about a person's benefit, oldest first."""
        query = (
            sa.select(_decision)
            .where(_decision.c.person == person, _decision.c.benefit == benefit)
            .order_by(_decision.c.sequence)
        )
        return [link.event for link in _links(self._connection, query)]

    def texts(self, event: Event) -> Texts:
        """The words of an event."""
        body = json.loads(self._keys.decrypt(event.body, _bound(event)))
        return Texts(body["who"], body["by"], body["why"])

    def append(self, event: Event, texts: Texts) -> int:
        """Add an event, whose body is made of the texts; its sequence number."""
        text = json.dumps(texts._asdict(), ensure_ascii=False).encode()
        sealed = event._replace(body=self._keys.encrypt(text, _bound(event)))
        sequence = self.head.sequence + 1
        mac = link_mac(self._keys.decision_mac, sequence, sealed, self.head.mac)
        values: dict[str, Any] = sealed._asdict() | {
            "sequence": sequence,
            "previous_mac": self.head.mac,
            "mac": mac,
        }
        self._connection.execute(sa.insert(_decision).values(values))
        self.head = Head(sequence, mac)
        return sequence


def _links(connection: sa.Connection, query: sa.Select[Any]) -> Iterator[Link]:
    for row in connection.execute(query).mappings():
        event = Event(**{name: row[name] for name in Event._fields})
        yield Link(row["sequence"], event, row["previous_mac"], row["mac"])


def _bound(event: Event) -> bytes:
    """What a body belongs to."""
    return b"decision" + event.person + event.at_ms.to_bytes(8, "big", signed=True) + event.act.to_bytes(2, "big")


def _set_up(connection: Any, _: Any) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.isolation_level = None
        for pragma in _PRAGMAS:
            connection.execute(pragma)


def _begin(connection: sa.Connection) -> None:
    """The write lock at once: what is read in a transaction is still so when it is written."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def heads(text: str) -> Head:
    """A head as it is printed, "12:ab34…".

    Raises:
        ValueError: it is none.
    """
    sequence, _, mac = text.partition(":")
    head = Head(int(sequence), bytes.fromhex(mac))
    if head.sequence < 0 or len(head.mac) != len(START):
        raise ValueError(text)
    return head


def shown(head: Head) -> str:
    """A head as it is printed."""
    return f"{head.sequence}:{head.mac.hex()}"


def latest(events: Sequence[Event]) -> Event | None:
    """The last event that was carried out."""
    return next((event for event in reversed(events) if not event.refused), None)
