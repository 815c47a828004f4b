"""A connection on which batches of writes are committed, each in one transaction.

Owns: the connection, which is made when it is first needed, or before, and thrown away after a failure, so that a
database that comes back is used again. A server's connection that turns out to be dead before anything was committed
(it was restarted, or a firewall forgot it overnight) is made anew at once, and nobody hears of it. Refuses: when to
commit what, and where the results go.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, Protocol, TypeVar

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from gateway.log import described
from gateway.observing import calls
from gateway.store.faults import told
from gateway.store.rows import Transaction

_log = structlog.stdlib.get_logger(__name__)

PayloadT_contra = TypeVar("PayloadT_contra", contravariant=True)
ResultT_co = TypeVar("ResultT_co", covariant=True)
ResultT = TypeVar("ResultT")

FAILED: Final = object()
"""Stands for the result of a write that failed."""


class Kind(Protocol[PayloadT_contra, ResultT_co]):
    """One kind of write. All that wait of one kind are applied together, in the order in which they were submitted.

    A kind may have a method `brief` besides, which says of a payload whether to write it takes well below a
    millisecond: see `is_brief`.
    """

    def apply(self, transaction: Transaction, payloads: Sequence[PayloadT_contra]) -> Sequence[ResultT_co]:
        """Write them; one result for each. Whatever it raises fails the transaction.

        Runs in the writer's thread, or in the event loop while that thread has nothing to do.
        """
        ...


def is_brief(kind: Kind[Any, Any], payload: object) -> bool:
    """Whether to write this takes well below a millisecond; a kind that does not say so may take long."""
    brief = getattr(kind, "brief", None)
    return brief is not None and bool(brief(payload))


class Written(Generic[ResultT]):
    """A batch between the two halves of its commit.

    Args:
        began: when it was begun, of `calls.now`.
        owners: those who wait for it.
    """

    __slots__ = ("began", "failed", "outcomes", "owners")

    def __init__(self, began: float, owners: Sequence[ResultT]) -> None:
        self.began = began
        self.owners = owners
        self.outcomes: list[tuple[ResultT, Any]] = []
        self.failed = False


class LockedError(Exception):
    """Somebody else is writing into the embedded database, and this connection does not wait. Nothing was written."""


class Committing:
    """See the module.

    Args:
        engine: of the database.
        patient: waits for a locked embedded database, and keeps its log of writes short.
        connect: makes the connection; by default the engine does.
    """

    def __init__(
        self, engine: sa.Engine, *, patient: bool = True, connect: Callable[[], sa.Connection] | None = None
    ) -> None:
        self._engine = engine
        self._connect = connect
        self._patient = patient
        self._transaction: Transaction | None = None

    def commit(self, batch: Sequence[tuple[Kind[Any, Any], Any, ResultT]]) -> list[tuple[ResultT, Any]]:
        """Write a batch of (kind, payload, whose it is); whose → result, FAILED for all of them if it failed.

        Raises:
            LockedError: see there; never where it is patient.
        """
        return self.end(self.write(batch))

    def write(self, batch: Sequence[tuple[Kind[Any, Any], Any, ResultT]]) -> Written[ResultT]:
        """The first half of `commit`: all but waiting for the disk. Nothing else is written before the second, `end`.

        Raises:
            LockedError: as `commit`.
        """
        groups: dict[Kind[Any, Any], tuple[list[Any], list[ResultT]]] = {}
        everybody: list[ResultT] = []
        for kind, payload, whose in batch:
            everybody.append(whose)
            payloads, owners = groups.setdefault(kind, ([], []))
            payloads.append(payload)
            owners.append(whose)
        written: Written[ResultT] = Written(calls.now(), everybody)
        try:
            written.outcomes = self._applied(groups)
        except Exception as error:  # whatever it is: those who wait must hear of it, and whoever commits must go on
            if not self._patient and _locked(error) and not self._begun():
                raise LockedError from error
            self._failed(written, error)
        return written

    def end(self, written: Written[ResultT]) -> list[tuple[ResultT, Any]]:
        """The second half, in whatever thread: the outcomes of `commit`, on the disk now."""
        if not written.failed and self._transaction is not None:
            try:
                self._transaction.commit()
            except Exception as error:  # noqa: BLE001  as above
                # It may have come about all the same: only those who wait can try again.
                self._failed(written, error)
        calls.store_wrote(written.began, len(written.owners), failed=written.failed)
        return [(whose, FAILED) for whose in written.owners] if written.failed else written.outcomes

    def _applied(self, groups: dict[Kind[Any, Any], tuple[list[Any], list[ResultT]]]) -> list[tuple[ResultT, Any]]:
        known = self._transaction is not None
        outcomes: list[tuple[ResultT, Any]] = []
        try:
            transaction = self.connect()
            transaction.begin()
            for kind, (payloads, owners) in groups.items():
                outcomes += zip(owners, kind.apply(transaction, payloads), strict=True)
        except DBAPIError as error:
            if not known or not error.connection_invalidated:
                raise
            _log.warning("store connection made anew", why=told(error))
            self.disconnect()
            return self._applied(groups)
        return outcomes

    def _failed(self, written: Written[ResultT], error: Exception) -> None:
        written.failed = True
        _log.error("store write failed", operations=len(written.owners), fault=described(error), why=told(error))
        if not self._undone():
            self.disconnect()  # which undoes what was written

    def connect(self) -> Transaction:
        """The connection; made where there is none, which may take a moment. Raises whatever the driver does."""
        if self._transaction is None:
            self._transaction = Transaction(self._engine.connect() if self._connect is None else self._connect())
            if not self._patient and self._transaction.embedded is not None:
                self._transaction.embedded.execute("PRAGMA busy_timeout=0")
                self._transaction.embedded.execute("PRAGMA wal_autocheckpoint=0")
        return self._transaction

    def disconnect(self) -> None:
        """Throw the connection away; the next batch gets another."""
        if self._transaction is None:
            return
        connection, self._transaction = self._transaction.connection, None
        try:
            connection.invalidate()
            connection.close()
        except SQLAlchemyError as error:
            _log.warning("store connection did not close", error=type(error).__name__)

    @property
    def _embedded(self) -> bool:
        return self._transaction is not None and self._transaction.embedded is not None

    def _undone(self) -> bool:
        """Whether a server's connection outlived the failure; the right to write goes with it, see `holding`."""
        if self._transaction is None or self._embedded:
            return False
        connection = self._transaction.connection
        try:
            if connection.in_transaction():
                connection.rollback()
        except SQLAlchemyError as error:
            _log.warning("store transaction not rolled back", error=type(error).__name__)
            return False
        return not (connection.invalidated or connection.closed)

    def _begun(self) -> bool:
        embedded = None if self._transaction is None else self._transaction.embedded
        return embedded is not None and embedded.in_transaction


def _locked(error: Exception) -> bool:
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY
