"""The kind `file`: a department that drops files into a folder, here or on an SFTP server.

Owns: when the folder is looked at, and lookups in the index. Refuses: reading a dropped file in a lookup
(`adapters.intake` does it once), and an answer while a file that belongs to it is missing or rejected.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

import numpy as np
import structlog

from adapters.asked import Asked
from adapters.columnar import MappedColumns
from adapters.contract import Changed, Description, Found, Int32, Lookup
from adapters.dropping import NotYetError, drop_of, written_ms
from adapters.errors import AdapterError, SourceDownError, SourceFaultError
from adapters.gathering import Gathering
from adapters.index import FoundRow, Index, IndexBrokenError
from adapters.intake import Intake
from adapters.kinds.common import Clock, Lying, complete_until, day_before, in_thread, report, too_late
from adapters.manifest.model import FileManifest
from adapters.mapping import LinkMapper, Mapped, Mapper
from adapters.parts import Part, parts_of
from adapters.rows import FileRejectedError
from adapters.segments import COLUMNS, Segment, SegmentBrokenError
from certs.system_words import Cause, cause

_log = structlog.stdlib.get_logger(__name__)

_AT_ONCE_SUBJECTS = 8
"""So many are looked up without a thread: a few indexed reads in a local file."""


@dataclass(frozen=True, slots=True)
class _State:
    """What the index holds, after a scan.

    Args:
        missing: why an answer cannot be whole: no file has come for a part.
        fault: why an answer would lack rows: an increment was rejected.
        stale: whether the newest file or the folder could not be read: nobody knows how complete the index is.
        notice: about a rejected file, for the operator.
        newest_on: newest date of the completeness column.
        came_on: the day on which the newest file was written where it lies.
    """

    missing: SourceDownError | None = None
    fault: SourceFaultError | None = None
    stale: bool = False
    notice: AdapterError | None = None
    newest_on: int = 0
    came_on: int = 0


class FileAdapter:
    """An adapter over dropped files.

    Args:
        manifest: of kind `file`.
        state_dir: folder of this adapter's own, for the index.
        now_ms: Unix time in milliseconds.

    Raises:
        ManifestError: the state folder cannot be used.
    """

    def __init__(self, manifest: FileManifest, state_dir: Path, now_ms: Clock) -> None:
        self._manifest = manifest
        self._description = manifest.description()
        self._now_ms = now_ms
        self._parts: list[Part] = parts_of(manifest)
        source = manifest.source
        try:
            self._index = Index(state_dir, [(part.name, part.digest) for part in self._parts])
        except (OSError, sqlite3.Error, IndexBrokenError) as error:
            raise manifest.error(
                ("source",),
                "the index in the state folder cannot be used; check its rights, or delete it to have it built anew",
                "状态目录中的索引不可用，请检查权限，或删除后重建",
            ) from error
        self._intake = Intake(
            drop=drop_of(manifest, state_dir, now_ms),
            quarantine=manifest.folder / source.quarantine if source.quarantine else state_dir / "quarantine",
            max_file_bytes=source.max_file_bytes,
            index=self._index,
            parts=self._parts,
            now_ms=now_ms,
        )
        self._dealt_with = 0
        self._scanning: asyncio.Future[None] | None = None
        self._scanned_ms = 0
        self._said = ""
        self._state = self._look(None)
        self._looked = False
        self._scans = ThreadPoolExecutor(1, thread_name_prefix=f"scan-{manifest.adapter_id}")
        self._threads = ThreadPoolExecutor(manifest.concurrency, thread_name_prefix=f"file-{manifest.adapter_id}")

    def describe(self) -> Description:
        """What it offers."""
        return self._description

    async def lookup(self, question: Lookup) -> Found:
        """What the files said about the people of the question; see `Adapter`."""
        seconds = min(question.deadline_s, self._manifest.timeout_s)
        scanning = self._scan_if_due()
        if scanning is not None and self._state.missing is not None:
            # Nothing to answer from yet: the first files may be going in just now.
            await asyncio.wait([scanning], timeout=seconds)
            if not scanning.done():
                raise too_late(self._manifest.adapter_id)
        state = self._state
        problem = state.missing or state.fault
        if problem is not None:
            raise problem
        if len(question.subjects) <= _AT_ONCE_SUBJECTS:
            return self._read(question, state)
        name = self._manifest.adapter_id
        return await in_thread(self._threads, lambda: self._read(question, state), seconds, name)

    async def changes(self, cursor: bytes, limit: int) -> Changed:
        """Of whom a dropped file brought, changed or took back something; see `ChangeFeed`."""
        scanning = self._scan_if_due()
        if scanning is not None:
            await asyncio.wait([scanning], timeout=self._manifest.timeout_s)
        name, seconds = self._manifest.adapter_id, self._manifest.timeout_s
        return await in_thread(self._threads, lambda: self._changed(cursor, limit), seconds, name)

    async def check(self) -> None:
        """Look at the folder now; return when every record set has its file and none was rejected."""
        await self._scan(force=True)
        if self.trouble is not None:
            raise self.trouble

    @property
    def trouble(self) -> AdapterError | None:
        """What is wrong with the files or with reaching them; see `Holding`. None before the first look."""
        if not self._looked:
            return None
        return self._state.missing or self._state.fault or self._state.notice

    async def taken_in(self) -> tuple[int, int]:
        """Rows that the files of the moment hold, and those among them that were quarantined."""
        files = await asyncio.to_thread(
            lambda: [state for records in self._manifest.records for state in self._index.files(records.name).values()]
        )
        return sum(state.rows for state in files), sum(state.bad for state in files)

    async def put_aside(self, numbers: Sequence[str]) -> list[str]:
        """About whom of these it answers nothing, because a row of theirs could not be used."""
        scanning = self._scan_if_due()
        if scanning is not None:
            await asyncio.wait([scanning], timeout=self._manifest.timeout_s)
        try:
            return await asyncio.to_thread(self._index.put_aside, numbers)
        except sqlite3.Error:
            return []  # a lookup tells what is the matter

    async def lying(self) -> tuple[list[Lying], int, int]:
        """What was found at the last look; see `Dropping`."""
        return await asyncio.to_thread(self._lying), self._intake.others, self._intake.waiting

    async def any_number(self) -> str:
        """Some number that a dropped file holds, for trying the mapping."""
        try:
            return await asyncio.to_thread(self._intake.first_number)
        except (OSError, FileRejectedError, NotYetError, SourceDownError):
            return ""

    async def close(self) -> None:
        """Stop taking files in, wait for the threads and close the index."""
        self._intake.stop()
        await asyncio.to_thread(self._scans.shutdown, wait=True, cancel_futures=True)
        await asyncio.to_thread(self._threads.shutdown, wait=True, cancel_futures=True)
        self._index.close()

    def _lying(self) -> list[Lying]:
        told: list[Lying] = []
        for part in self._parts:
            states = self._index.files(part.name).values()
            good = [state for state in states if not state.rejected]
            rows, bad = sum(state.rows for state in good), sum(state.bad for state in good)
            told.append(
                Lying(part.name, len(good), len(states) - len(good), rows, bad, *self._intake.bad.get(part.name, ()))
            )
        return told

    async def _scan(self, *, force: bool) -> None:
        if self._scanning is not None:
            await asyncio.wait([self._scanning])
        scanning = self._scan_if_due(force=force)
        if scanning is not None:
            await asyncio.wait([scanning])

    def _scan_if_due(self, *, force: bool = False) -> asyncio.Future[None] | None:
        """Begin to look at the folder if it is time; the look under way, if any."""
        if self._scanning is not None:
            return self._scanning
        now = self._now_ms()
        due = self._scanned_ms + round(self._manifest.source.scan_every_s * 1000)
        if not force and self._scanned_ms <= now < due:
            return None
        self._scanned_ms = now
        try:
            self._scanning = asyncio.get_running_loop().run_in_executor(self._scans, self._take_in)
        except RuntimeError as error:
            name = self._manifest.adapter_id
            raise SourceDownError(f"{name}: is closed", f"{name}：已关闭") from error
        self._scanning.add_done_callback(self._scan_done)
        return self._scanning

    def _scan_done(self, scanning: asyncio.Future[None]) -> None:
        self._scanning = None
        if not scanning.cancelled():
            scanning.exception()

    def _take_in(self) -> None:
        """In the scanning thread: take files in, then see what there is."""
        problem: AdapterError | None = None
        try:
            if self._dealt_with:
                self._index.forget_touched(self._dealt_with)
            self._intake.scan()
        except OSError as error:
            problem = SourceDownError(
                f"{self._manifest.adapter_id}: the drop folder cannot be read ({cause(error).en})",
                f"{self._manifest.adapter_id}：无法读取投递目录（{cause(error).zh}）",
            )
        except SourceDownError as error:
            problem = error
        except sqlite3.Error as error:
            problem = self._broken(error)
        except Exception as error:  # noqa: BLE001  a file is foreign: whatever comes of it must not end unsaid
            name, kind = self._manifest.adapter_id, type(error).__name__
            problem = SourceDownError(
                f"{name}: the dropped files cannot be taken in ({kind})", f"{name}：无法读入投递的文件（{kind}）"
            )
        self._tell(problem)
        with suppress(sqlite3.Error):
            self._state = self._look(problem)
            self._looked = True

    def _tell(self, problem: AdapterError | None) -> None:
        """Log that files cannot be looked for, once for each reason that follows another, and once that they can again:
        lookups go on from what was read.
        """
        said, self._said = self._said, problem.en if problem is not None else ""
        if problem is not None and problem.en != said:
            _log.warning("drop not reached", adapter=self._manifest.adapter_id, reason=problem.en)
        elif problem is None and said:
            _log.info("drop reached again", adapter=self._manifest.adapter_id)

    def _look(self, problem: AdapterError | None) -> _State:
        missing: SourceDownError | None = None
        fault: SourceFaultError | None = None
        notice = problem
        newest = came = 0
        now = self._now_ms()
        name = self._manifest.adapter_id
        for part in self._parts:
            files = self._index.files(part.name)
            rejected = [file for file in files.values() if file.rejected]
            if not any(file.counts for file in files.values()):
                en, zh = _both(rejected[-1].rejected) if rejected else ("", "")
                missing = SourceDownError(
                    f"{name}: no usable file has come for {part.name!r}" + (f": {en}" if en else ""),
                    f"{name}：{part.name!r} 尚无可用文件" + (f"：{zh}" if zh else ""),
                )
            if rejected:
                last = rejected[-1]
                en, zh = _both(last.rejected)
                told = SourceFaultError(
                    f"{name}: a file of {part.name!r} was rejected: {last.name}: {en}",
                    f"{name}：{part.name!r} 有文件被拒收：{last.name}：{zh}",
                )
                notice = notice or told
                if part.files.mode == "increment":
                    fault = told
            written = (written_ms(file.version) for file in files.values() if not file.rejected)
            came = max([came, *(day_before(min(at, now), 0) for at in written)])
            if part.newest is not None:
                newest = max((file.newest_on for file in files.values()), default=0)
        if isinstance(problem, SourceDownError) and missing is not None:
            missing = problem
        return _State(missing, fault, notice is not None, notice, newest, came)

    def _read(self, question: Lookup, state: _State) -> Found:
        asked = Asked.of(question.subjects)
        gathering = Gathering(question, asked, self._manifest.department)
        keys = self._index.keys
        try:
            rows, segments, unused = self._index.find(asked.numbers)
            for place, row_aside in sorted(unused.items()):
                gathering.leave_out(place, row_aside.part, row_aside.reason)
            found: dict[str, list[tuple[int, FoundRow]]] = {}
            # In the order of the question, whatever order the index has them in: that of keyed hashes.
            for each in sorted(rows, key=itemgetter(0)):
                found.setdefault(each[1][0], []).append(each)
            for part in self._parts:
                mine = found.get(part.name)
                if mine is None:
                    continue
                positions = [place for place, _ in mine]
                names = [keys.open(row[2], row[1]) for _, row in mine]
                if isinstance(part.mapper, LinkMapper):
                    numbers = [asked.numbers[position] for position in positions]
                    gathering.add_pairs(part.mapper, numbers, names, [row[5] for _, row in mine])
                else:
                    gathering.add(part.mapper, positions, _mapped([row for _, row in mine], names))
            if segments:
                self._read_segments(segments, asked, gathering, question.references)
        except (IndexBrokenError, SegmentBrokenError, sqlite3.Error) as error:
            raise self._broken(error) from error
        report(self._manifest.adapter_id, gathering)
        return gathering.found(self._complete_until(state))

    def _read_segments(
        self, segments: Sequence[tuple[str, Segment]], asked: Asked, gathering: Gathering, references: bool
    ) -> None:
        """What stands in columns about those asked about."""
        few = len(asked.numbers) <= _AT_ONCE_SUBJECTS
        tags = self._index.keys.tags.of(asked.numbers) if few else self._index.keys.tags.of_column(asked.series)
        mappers = {part.name: part.mapper for part in self._parts}
        for name, segment in segments:
            mapper = mappers.get(name)
            whose, rows = segment.find(tags)
            if not isinstance(mapper, Mapper) or not len(rows):
                continue
            columns = {column: segment.column(column, rows) for column in COLUMNS}
            told = segment.references(rows) if references else [""] * len(rows)
            if few:
                mapped = rows_of_columns(segment.names(rows), columns, told)
                gathering.add(mapper, whose.tolist(), mapped)
            else:
                gathering.add_columns(mapper, whose.astype(np.int32), columns_of(segment.names(rows), columns, told))

    def _changed(self, cursor: bytes, limit: int) -> Changed:
        """In a thread: the changes after a cursor, which is the number of one, and tells whose index it is of."""
        keys = self._index.keys
        mark = keys.check.hex()
        people: dict[str, str] = {}
        try:
            last = self._index.last_touched()
            if not cursor:
                return Changed([], [], f"{mark}:{last}".encode())
            owner, _, number = cursor.partition(b":")
            if not number.isdigit() or len(number) > 18:
                name = self._manifest.adapter_id
                raise SourceFaultError(f"{name}: the cursor is none of this adapter's", f"{name}：游标不属于该接入")
            # An index that was built anew begins its numbers again: everything that it has to tell is news.
            after = int(number) if owner.decode("ascii", "replace") == mark and int(number) <= last else 0
            self._dealt_with = after
            found = self._index.touched(after, limit)
            after = found[-1][0] if found else after
            for _, person, sealed, sealed_name in found:
                people[keys.open(sealed, person)] = keys.open(sealed_name, person)
        except (IndexBrokenError, sqlite3.Error) as error:
            raise self._broken(error) from error
        return Changed(list(people), list(people.values()), f"{mark}:{after}".encode(), more=len(found) == limit)

    def _complete_until(self, state: _State) -> int:
        setting = self._manifest.complete_until
        if setting is None or state.stale:
            return 0
        now = self._now_ms()
        if setting.lag_days is None:
            return complete_until(state.newest_on, now)
        # A department that sends nothing any more is not complete beyond the day of its last file.
        return min(day_before(now, setting.lag_days), state.came_on)

    def _broken(self, error: Exception) -> SourceDownError:
        name = self._manifest.adapter_id
        why = cause(error) if isinstance(error, sqlite3.Error) else Cause("its file is damaged", "索引文件已损坏")
        return SourceDownError(f"{name}: the index cannot be used ({why.en})", f"{name}：索引不可用（{why.zh}）")


def rows_of_columns(names: list[str], columns: dict[str, Int32], references: list[str]) -> Mapped:
    """Rows of a segment as a mapped block of rows."""
    evidence = np.flatnonzero(columns["kind"]).tolist()
    told = {name: column[evidence].tolist() for name, column in columns.items()}
    return Mapped(
        range(len(names)), names, row=evidence, source_reference=[references[row] for row in evidence], **told
    )


def columns_of(names: list[str], columns: dict[str, Int32], references: list[str]) -> MappedColumns:
    """Rows of a segment as a mapped block of columns."""
    from adapters.texts import series_of

    rows = np.flatnonzero(columns["kind"])
    return MappedColumns(name=series_of(names), row=rows, columns=columns, source_reference=series_of(references))


def _mapped(rows: list[FoundRow], names: list[str]) -> Mapped:
    """Rows of the index as a mapped block."""
    every = range(len(rows))
    evidence = [i for i in every if rows[i][3]]
    mapped = Mapped(holder_row=every, name=names)
    if evidence:
        columns = list(zip(*(rows[i] for i in evidence), strict=True))
        mapped.row = evidence
        mapped.kind, mapped.region, mapped.observed_on, mapped.available_on, mapped.strength = columns[3:8]
        mapped.source_reference = columns[8]
        mapped.detail, mapped.from_on, mapped.until_on = columns[9:12]
    return mapped


def _both(rejected: str) -> tuple[str, str]:
    """Why a file was rejected, in English and in Chinese, as the index has it; before 2026-11 on one line."""
    en, line, zh = rejected.partition("\n")
    return (en, zh) if line else (rejected, rejected)
