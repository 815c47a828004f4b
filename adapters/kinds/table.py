"""The kind `table`: a department whose data stands in database tables or views.

Owns: which statement each record set is, the threads they run in, deadlines and cancellation. Refuses: SQL
(`adapters.database`) and the meaning of rows (`adapters.mapping`).
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import structlog

from adapters.arrow import ArrowDatabase
from adapters.asked import Asked
from adapters.contract import Changed, Description, Found, Lookup
from adapters.database import UNSTOPPED, Database, DatabaseError, Rows, Statement, Work
from adapters.errors import SourceDownError, SourceFaultError
from adapters.following import TableFollower
from adapters.found_again import FoundAgain, found_again
from adapters.gathering import Gathering
from adapters.kinds.columns import Brought, ColumnReading
from adapters.kinds.common import Clock, all_of, complete_until, day_before, ended, in_thread, report, too_late
from adapters.lacking import Wanting, wanting
from adapters.manifest.model import TableManifest
from adapters.mapping import LinkMapper, Mapper
from adapters.refused import fault_of
from adapters.values import DateReader

_NEWEST_FOR_MS = 60_000
"""How long the newest date of a column is remembered; sources are loaded hourly or nightly."""

_AT_ONCE_SUBJECTS = 8
_AT_ONCE_STEPS = 50_000
"""An indexed lookup in a local file takes some tens of microseconds, less than handing it to a thread: it is done at
once. These steps (about a millisecond) bound it; a table without an index on the number goes to the threads."""

COLUMNS_FROM = 256
"""So many people or more are read in whole columns, where database and driver can."""

_CLOSE_S: Final = 3.0
"""For what is under way when the adapter is closed."""
_SEVERED_S: Final = 10.0
"""For what is under way to find its connection broken, the time to connect included."""

Result = TypeVar("Result")
_log = structlog.stdlib.get_logger(__name__)


class TableAdapter:
    """An adapter over database tables.

    Args:
        manifest: of kind `table`.
        now_ms: Unix time in milliseconds.

    Raises:
        ManifestError: the URL is wrong or its driver missing.
    """

    def __init__(self, manifest: TableManifest, now_ms: Clock) -> None:
        self._manifest = manifest
        self._description = manifest.description()
        self._now_ms = now_ms
        self._database = self._open(manifest.timeout_s)
        self._arrow = ArrowDatabase.of(self._url(), manifest.timeout_s, manifest.adapter_id)
        self._columns = ColumnReading(self._arrow, self._database) if self._arrow is not None else None
        self._at_once = self._open(0, _AT_ONCE_STEPS) if self._database.is_local else None
        self._wanting: dict[str, Wanting] = {each.name: wanting(manifest, each) for each in manifest.records}
        self._sets: list[tuple[Mapper, Statement]] = []
        for records in manifest.records:
            mapper = Mapper(manifest, records)
            by = mapper.columns[0]
            integers = "integer" in mapper.forms
            statement = self._database.statement(records.table, records.query, mapper.columns, by, integers=integers)
            self._sets.append((mapper, statement))
        self._link_sets: list[tuple[LinkMapper, Statement]] = []
        links = manifest.links
        if links is not None:
            self._wanting[LinkMapper.name] = wanting(manifest, links)
            pairs = LinkMapper(manifest, links)
            for by in (links.identity.column, links.linked) if links.both_ways else (links.identity.column,):
                integers = "integer" in pairs.forms
                statement = self._database.statement(links.table, links.query, pairs.columns, by, integers=integers)
                self._link_sets.append((pairs, statement))
        self._complete_until = self._complete_until_reader()
        self._follower = TableFollower(manifest, self._database)
        self._threads = ThreadPoolExecutor(manifest.concurrency, thread_name_prefix=f"table-{manifest.adapter_id}")
        # Of their own for many people: what reads in whole columns cannot be broken off, and may wait for hours.
        several = max(1, manifest.concurrency // 2)
        self._large = asyncio.Semaphore(several)
        self._large_threads = ThreadPoolExecutor(several, thread_name_prefix=f"columns-{manifest.adapter_id}")
        self._large_stopping = ThreadPoolExecutor(several, thread_name_prefix=f"stop-{manifest.adapter_id}")
        # As many as may have to be stopped: each may take as long as connecting to a server that says nothing.
        self._stopping = ThreadPoolExecutor(manifest.concurrency, thread_name_prefix=f"stop-{manifest.adapter_id}")

    def describe(self) -> Description:
        """What it offers."""
        return self._description

    async def lookup(self, question: Lookup) -> Found:
        """What the tables hold about the people of the question; see `Adapter`."""
        people = len(question.subjects.id_number)
        if self._at_once is not None and people <= _AT_ONCE_SUBJECTS:
            try:
                # A single statement is of one moment by itself.
                if len(self._sets) + len(self._link_sets) == 1:
                    return self._read(question, self._at_once, UNSTOPPED)
                with self._at_once.one_read():
                    return self._read(question, self._at_once, UNSTOPPED)
            except (SourceDownError, DatabaseError):
                # Locked just now, or more steps than an indexed lookup takes: a thread can wait.
                if self._at_once.budget_exceeded:
                    self._at_once.close()
                    self._at_once = None
        if self._columns is not None and people >= COLUMNS_FROM:
            return await self._in_columns(question, self._columns)
        return await self._in_thread(lambda work: self._read(question, self._database, work), question.deadline_s)

    async def changes(self, cursor: bytes, limit: int) -> Changed:
        """Of whom the followed tables have new rows; see `ChangeFeed`."""
        return await self._in_thread(lambda work: self._follower.read(cursor, limit, work), self._manifest.timeout_s)

    async def check(self) -> None:
        """Return when the database answers and every table has its columns."""
        await self._in_thread(lambda work: list(self._first_rows(work)), self._manifest.timeout_s)

    async def any_number(self) -> str:
        """Some number that the source holds, for trying the mapping; "" when its tables are empty."""
        return await self._in_thread(
            lambda work: next((number for number in self._first_rows(work) if number), ""), self._manifest.timeout_s
        )

    async def found_again(self) -> list[FoundAgain]:
        """Whether a few numbers of each record set are found when they are asked for; see `FindingAgain`."""
        return await self._in_thread(self._found_again, self._manifest.timeout_s)

    async def close(self) -> None:
        """Wait for the threads and close the connections; those over which nothing comes any more are broken first."""
        pools = (self._threads, self._stopping, self._large_threads, self._large_stopping)
        if not await ended(pools, _CLOSE_S):
            self._database.sever()
            if not await ended(pools, _SEVERED_S):
                # They hold connections that nobody may close but they; the database's time limits end them.
                _log.warning("threads left behind", adapter=self._manifest.adapter_id)
                return
        self._database.close()
        if self._arrow is not None:
            self._arrow.close()
        if self._at_once is not None:
            self._at_once.close()

    def _open(self, timeout_s: float, budget: int = 0) -> Database:
        manifest = self._manifest
        try:
            return Database(
                self._url(),
                folder=manifest.folder,
                schema=manifest.source.schema_name,
                chunk=manifest.source.chunk,
                timeout_s=timeout_s,
                budget=budget,
                adapter_id=manifest.adapter_id,
            )
        except ValueError as error:
            raise manifest.error(
                ("source", "url"),
                "is not a database URL whose driver is installed, like postgresql+psycopg://user@host/database",
                "不是可用的数据库地址，或未安装其驱动；应如 postgresql+psycopg://user@host/database",
            ) from error

    def _url(self) -> str:
        return self._manifest.reveal(self._manifest.source.url, ("source", "url"), url=True)

    async def _in_thread(self, job: Callable[[Work], Result], seconds: float, *, large: bool = False) -> Result:
        work = Work()
        return await in_thread(
            self._large_threads if large else self._threads,
            lambda: job(work),
            min(seconds, self._manifest.timeout_s),
            self._manifest.adapter_id,
            (self._large_stopping if large else self._stopping, lambda: self._database.cancel(work)),
        )

    def _read(self, question: Lookup, database: Database, work: Work) -> Found:
        asked = Asked(question.subjects)
        about = self._description
        gathering = Gathering(question, asked, about.department)
        values: dict[tuple[str, ...], list[str]] = {}
        for mapper, statement in self._sets:
            numbers = values.get(mapper.forms)
            if numbers is None:
                numbers = values[mapper.forms] = asked.values(mapper.forms)
            rows = self._rows(database, mapper.name, statement, numbers, work)
            if rows:
                gathering.add_rows(mapper, list(zip(*rows, strict=True)))
        for pairs, statement in self._link_sets:
            rows = self._rows(database, pairs.name, statement, asked.values(pairs.forms), work)
            if rows:
                gathering.add_links(pairs, list(zip(*rows, strict=True)))
        report(about.adapter_id, gathering)
        return gathering.found(self._complete_until(work))

    async def _in_columns(self, question: Lookup, columns: ColumnReading) -> Found:
        """A lookup in whole columns: every record set in a thread of its own, and then one answer of all of them."""
        asked = Asked.of(question.subjects)
        until = asyncio.get_running_loop().time() + min(question.deadline_s, self._manifest.timeout_s)
        jobs: list[Callable[[Work], Brought]] = [
            functools.partial(
                self._told,
                mapper.name,
                statement,
                functools.partial(columns.records, mapper, statement, asked, question),
            )
            for mapper, statement in self._sets
        ]
        jobs += [
            functools.partial(
                self._told, pairs.name, statement, functools.partial(columns.links, pairs, statement, asked)
            )
            for pairs, statement in self._link_sets
        ]
        brought = await all_of([self._among_large(job, until) for job in jobs])

        def found(work: Work) -> Found:
            gathering = Gathering(question, asked, self._manifest.department)
            for bring in brought:
                bring(gathering)
            report(self._manifest.adapter_id, gathering)
            return gathering.found(self._complete_until(work))

        return await self._among_large(found, until)

    async def _among_large(self, job: Callable[[Work], Result], until: float) -> Result:
        """Run a job about many people. They have threads of their own: single people do not wait for them."""
        try:
            async with asyncio.timeout_at(until):
                await self._large.acquire()
        except TimeoutError:
            raise too_late(self._manifest.adapter_id) from None
        try:
            return await self._in_thread(job, until - asyncio.get_running_loop().time(), large=True)
        finally:
            self._large.release()

    def _first_rows(self, work: Work) -> Iterator[str]:
        """The number in the first row of each record set and of the links; "" for an empty one."""
        every = [(mapper.name, statement) for mapper, statement in self._sets]
        every += [(pairs.name, statement) for pairs, statement in self._link_sets]
        for name, statement in every:
            try:
                rows = self._database.first(statement, work)
            except DatabaseError as error:
                raise self._fault(error, name, statement, self._database, work) from error
            yield str(rows[0][0]).strip() if rows else ""
        self._follower.read(b"", 1, work)

    def _found_again(self, work: Work) -> list[FoundAgain]:
        told: list[FoundAgain] = []
        every = [(mapper.name, mapper.forms, statement) for mapper, statement in self._sets]
        every += [(pairs.name, pairs.forms, statement) for pairs, statement in self._link_sets]
        for name, forms, statement in every:
            try:
                told.append(found_again(self._database, name, statement, forms, work))
            except DatabaseError as error:
                raise self._fault(error, name, statement, self._database, work) from error
        return told

    def _complete_until_reader(self) -> Callable[[Work], int]:
        setting = self._manifest.complete_until
        if setting is None:
            return lambda _: 0
        if setting.lag_days is not None:
            days = setting.lag_days
            return lambda _: day_before(self._now_ms(), days)
        return self._newest_reader()

    def _newest_reader(self) -> Callable[[Work], int]:
        """Reads the newest date of a column, at most once a minute."""
        setting = self._manifest.complete_until
        if setting is None or setting.date is None:
            return lambda _: 0
        name, column = setting.of or "", setting.date.column
        records = next(records for records in self._manifest.records if records.name == name)
        statement = self._database.statement(records.table, records.query, (column,), column)
        reader = DateReader(setting.date, self._manifest.timezone)
        known = (0, 0)

        def newest(work: Work) -> int:
            nonlocal known
            now = self._now_ms()
            if not known[0] <= now < known[0] + _NEWEST_FOR_MS:
                try:
                    day = reader.read(self._database.newest(statement, work))
                except DatabaseError as error:
                    raise self._fault(error, name, statement, self._database, work) from error
                known = (now, complete_until(day, now))
            return known[1]

        return newest

    def _rows(self, database: Database, name: str, statement: Statement, numbers: list[str], work: Work) -> Rows:
        try:
            return database.rows(statement, numbers, work)
        except DatabaseError as error:
            raise self._fault(error, name, statement, database, work) from error

    def _told(self, name: str, statement: Statement, read: Callable[[Work], Brought], work: Work) -> Brought:
        """Read a record set; what the database says of an error, said of the record set."""
        try:
            return read(work)
        except DatabaseError as error:
            raise self._fault(error, name, statement, self._database, work) from error

    def _fault(
        self, error: DatabaseError, name: str, statement: Statement, database: Database, work: Work
    ) -> SourceDownError | SourceFaultError:
        """What the database says of an error, said of the record set, and of the columns that it lacks."""
        return fault_of(error, name, statement, database, work, self._wanting[name])
