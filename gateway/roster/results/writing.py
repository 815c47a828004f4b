"""From the chunks of a run to the files an agency gets, in one pass over the chunks and bounded memory.

Owns: the order of things, and the list of files with their digests (manifest.json). Refuses: network, the time of day.
The same chunks, options and version of the program give the same bytes; only messages.* depend on when it was asked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import polars as pl

from gateway.roster.frames import REJECTED, TABLES, ChunkFrames, empty
from gateway.roster.results import headings
from gateway.roster.results.counting import Counting, Counts
from gateway.roster.results.frames import check
from gateway.roster.results.lateness import Lateness
from gateway.roster.results.lists import Lists, late_rows
from gateway.roster.results.repeated import Numbers, twice
from gateway.roster.results.rows import result_rows
from gateway.roster.results.sheets import SHEET_ROWS, Workbook
from gateway.roster.results.staging import Staging, staged
from gateway.roster.results.summary import page
from gateway.roster.results.tables import batches, harmless, write_csv
from gateway.roster.results.worklists import FOLDER, WorkListOptions, write_work_lists
from gateway.wording import Language, Word

RESULTS: Final = "results.parquet"
MANIFEST: Final = "manifest.json"
KNOWN: Final = frozenset(
    {
        RESULTS,
        "results.csv",
        "results.xlsx",
        "evidence.parquet",
        "reasons.parquet",
        "reason_texts.parquet",
        "stop-list.csv",
        "stop-evidence.csv",
        "stop-list.xlsx",
        "overpayments.csv",
        "overpayments.xlsx",
        "findings.csv",
        "findings.xlsx",
        "unanswered.csv",
        "lateness.csv",
        "messages.parquet",
        "messages.csv",
        "rejected.csv",
        "rejected.parquet",
        "summary.html",
        MANIFEST,
        FOLDER,
    }
)
"""Everything that a run may leave in its folder; what of it an earlier run left is replaced or removed."""
_PART_ROWS: Final = 20_000
_GROUP_ROWS: Final = 20_000


@dataclass(frozen=True, slots=True)
class Options:
    """How results are written.

    Args:
        as_of_on: the day of the run, civil day.
        language: of words and headings.
        title: name of the roster, for the page.
        agency: who asked, for the page.
        members: names of members by id.
        xlsx_rows: results.xlsx is written up to so many recipients; beyond it a spreadsheet is no use.
        sheet_rows: rows of a sheet.
        work_lists: see there.
    """

    as_of_on: int
    language: Language = "zh"
    title: str = ""
    agency: str = ""
    members: Mapping[str, Word] = field(default_factory=dict)
    xlsx_rows: int = 200_000
    sheet_rows: int = SHEET_ROWS
    work_lists: WorkListOptions = field(default_factory=WorkListOptions)


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """What was written.

    Args:
        counts: what the run came to.
        files: names beneath the folder, in order; of work lists the folder only.
        units: how many work lists there are.
        lateness: how late departments told, columns as in `lateness.LATENESS`.
    """

    counts: Counts
    files: tuple[str, ...]
    units: int
    lateness: pl.DataFrame


def write(chunks: Iterable[ChunkFrames], out: Path, options: Options) -> Written:
    """Write all files of a run. They appear together at the end; until then those of an earlier run stay.

    Args:
        chunks: in order of input rows; read once, one at a time.
        out: the folder; made if it is not there.
        options: see there.

    Raises:
        RefusedError: a chunk does not fit its schema, or is out of order.
        StoreError: another run writes there now.
    """
    with staged(out) as staging:
        run = _Run(staging, options)
        last = 0
        for chunk in chunks:
            last = check(chunk, last)
            run.add(chunk)
        written = run.finish()
        staging.publish(KNOWN)
        return written


class _Spill:
    """Rows put aside on the disk, some at a time.

    Args:
        staging: where.
        name: of the files.
        first: a frame with their columns.
        uniform: whether all have the same; otherwise what one does not have is null there.
    """

    def __init__(self, staging: Staging, name: str, first: pl.DataFrame, *, uniform: bool = True) -> None:
        self._staging = staging
        self._name = name
        self._empty = first.clear()
        self._uniform = uniform
        self._held: list[pl.DataFrame] = []
        self._paths: list[Path] = []
        self.rows = 0

    def add(self, rows: pl.DataFrame) -> None:
        if rows.height:
            self._held.append(rows)
            self.rows += rows.height
            if sum(part.height for part in self._held) >= _PART_ROWS:
                self._flush()

    def scan(self) -> pl.LazyFrame:
        """All rows, in order."""
        self._flush()
        if not self._paths:
            return self._empty.lazy()
        if self._uniform:
            return pl.scan_parquet(self._paths)
        return pl.concat([pl.scan_parquet(path) for path in self._paths], how="diagonal")

    def _flush(self) -> None:
        if self._held:
            path = self._staging.spill(f"{self._name}-{len(self._paths):06d}.parquet")
            pl.concat(self._held, how="diagonal").write_parquet(path, compression="lz4", statistics=False)
            self._paths.append(path)
            self._held.clear()


class _Run:
    """The files of one run, being written."""

    def __init__(self, staging: Staging, options: Options) -> None:
        self._staging = staging
        self._options = options
        nobody = ChunkFrames(chunk=0, **{name: empty(name) for name in TABLES})
        self._rows = _Spill(staging, "rows", self._worded(nobody))
        self._evidence = _Spill(staging, "evidence", nobody.evidence)
        self._reasons = _Spill(staging, "reasons", nobody.reasons)
        self._texts = nobody.reason_texts
        self._messages = _Spill(staging, "messages", nobody.messages)
        self._twice = [empty("duplicates")]
        self._rejected = _Spill(staging, "rejected", empty("rejected"), uniform=False)
        self._numbers = Numbers()
        self._counting = Counting()
        self._lateness = Lateness()

    def add(self, chunk: ChunkFrames) -> None:
        self._rows.add(self._worded(chunk))
        self._evidence.add(chunk.evidence)
        self._reasons.add(chunk.reasons)
        self._texts = pl.concat([self._texts, chunk.reason_texts]).unique(maintain_order=True)
        self._messages.add(chunk.messages)
        self._rejected.add(chunk.rejected)
        if chunk.duplicates.height:
            self._twice.append(chunk.duplicates)
        self._numbers.add(chunk.people["id_number"])
        self._counting.add(chunk.people)
        self._lateness.add(chunk.people, chunk.evidence)

    def finish(self) -> Written:
        options, staging = self._options, self._staging
        language = options.language
        rows = self._rows.scan()
        repeated, again = self._numbers.repeated(rows, language)
        if len(again):
            mark = pl.lit(headings.REPEATED.said(language))
            found = pl.when(pl.col("row").is_in(again.implode())).then(mark).otherwise("registered")
            rows = rows.with_columns(registered=found)
        path = staging.file(RESULTS)
        _write_parquet(rows, path)
        results = pl.scan_parquet(path)
        evidence_path = staging.file("evidence.parquet")
        _write_parquet(self._evidence.scan(), evidence_path)
        _write_parquet(self._reasons.scan(), staging.file("reasons.parquet"))
        _write_parquet(self._texts.sort("member", "code").lazy(), staging.file("reason_texts.parquet"))
        write_csv(results, headings.RESULT, staging.file("results.csv"), language)
        if self._rows.rows <= options.xlsx_rows:
            with Workbook(staging.file("results.xlsx"), language, options.sheet_rows) as book:
                title = "认证结果" if language == "zh" else "results"
                book.sheet(title, headings.RESULT, batches(results, headings.RESULT))
        lists = Lists(results, pl.scan_parquet(evidence_path), staging, language, options.members)
        lists.stops()
        findings = lists.findings(pl.concat([repeated, twice(pl.concat(self._twice), language, options.members)]))
        counts = self._counting.counts(findings, self._rejected.rows)
        lists.overpayments(counts)
        lists.unanswered()
        late = self._lateness.frame()
        shown = late_rows(late, language)
        write_csv(shown.lazy(), headings.LATENESS, staging.file("lateness.csv"), language)
        units = write_work_lists(results, staging, language, options.work_lists) if options.work_lists.formats else 0
        self._write_messages()
        self._write_rejected()
        text = page(counts, options.title, options.agency, options.as_of_on, language, options.members)
        staging.file("summary.html").write_text(text, "utf-8")
        return Written(counts, self._write_manifest(), units, late)

    def _worded(self, chunk: ChunkFrames) -> pl.DataFrame:
        return result_rows(chunk, self._options.language, self._options.as_of_on, self._options.members)

    def _write_messages(self) -> None:
        messages = self._messages.scan()
        _write_parquet(messages, self._staging.file("messages.parquet"))
        shown = messages.with_columns(pl.col("cached").cast(pl.Int8).cast(pl.String))
        write_csv(shown, headings.MESSAGE, self._staging.file("messages.csv"), self._options.language)

    def _write_rejected(self) -> None:
        """rejected.csv and rejected.parquet, also when nothing was: an empty list says so."""
        chinese = self._options.language == "zh"
        reason = "reason_zh" if chinese else "reason_en"
        rows = self._rejected.scan()
        _write_parquet(rows, self._staging.file("rejected.parquet"))
        own = [name for name in rows.collect_schema().names() if name not in REJECTED]
        titles = ("行号", "列", "原因") if chinese else ("row", "column", "reason")
        shown = rows.select(
            pl.col("row").alias(titles[0]),
            harmless(pl.col("column")).alias(titles[1]),
            harmless(pl.col(reason)).alias(titles[2]),
            *(harmless(pl.col(name)).alias(f"{name} " if name in titles else name) for name in own),
        )
        path = self._staging.file("rejected.csv")
        shown.sink_csv(path, include_bom=True, line_terminator="\r\n", engine="streaming")

    def _write_manifest(self) -> tuple[str, ...]:
        """manifest.json: the digest of every file that depends on roster and answers alone."""
        made = self._staging.made()
        listed = {
            name: {"bytes": path.stat().st_size, "sha256": _digest(path)}
            for name, path in made.items()
            if not name.startswith("messages.")
        }
        body = {"format": 1, "as_of_on": self._options.as_of_on, "rows": self._rows.rows, "files": listed}
        text = json.dumps(body, ensure_ascii=False, indent=1) + "\n"
        self._staging.file(MANIFEST).write_text(text, "utf-8")
        return tuple(dict.fromkeys(name.split("/")[0] for name in [*made, MANIFEST]))


def _write_parquet(rows: pl.LazyFrame, path: Path) -> None:
    rows.sink_parquet(path, row_group_size=_GROUP_ROWS, engine="streaming")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
