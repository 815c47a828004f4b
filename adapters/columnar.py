"""From whole columns of a record set to columns of evidence, as `adapters.mapping`, without an object for a row.

Owns: the same meaning as `Mapper.map`, on polars columns as a database returned them. Refuses: types that would not
read the same (`ColumnMapper.of` gives None), and everything that `Mapper` decides when it is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from adapters import bad_rows
from adapters.arrow import READABLE, Kind
from adapters.contract import MAX_CELL_BYTES
from adapters.distinct import Codes, Distinct, days, distinct
from adapters.faces import FACE_KIND, FACE_STRENGTH
from adapters.mapping import FROM_KINDS, PENALTIES, REGION_DETAIL_KINDS, TOO_LONG, UNTIL_KINDS, Mapper, Part
from adapters.values import BAD, DateReader, text_of
from wugan.adapter.v1 import vocabulary_pb2 as words

if TYPE_CHECKING:
    import polars as pl

Int32 = NDArray[np.int32]
Rows = NDArray[np.intp]
Mask = NDArray[np.bool_]

_PLACED = np.array(sorted(REGION_DETAIL_KINDS))
_FROM = np.array(sorted(FROM_KINDS))
_UNTIL = np.array(sorted(UNTIL_KINDS))
_PENALTY = np.array(sorted(PENALTIES))


@dataclass(slots=True)
class MappedColumns:
    """What a block of rows became; as `adapters.mapping.Mapped`, in arrays as long as the block.

    Attributes:
        counts: which rows count at all; None: every one.
        name: of every row as the source has it, untrimmed and null where there is none; None: no names.
        row: rows of evidence.
        columns: kind to until_on, for every row; only those in `row` mean something.
        source_reference: of every row; None where there is none.
        face: rows of checks whose face counts, and its token.
    """

    counts: Mask | None = None
    name: pl.Series | None = None
    row: Rows = field(default_factory=lambda: np.zeros(0, np.intp))
    columns: dict[str, Int32] = field(default_factory=dict)
    source_reference: pl.Series | None = None
    face: list[tuple[int, bytes]] = field(default_factory=list)
    bad: dict[int, str] = field(default_factory=dict)
    ignored: int = 0

    def note(self, rows: Mask, what: str) -> None:
        """Rows that could not be mapped; of several reasons the first stays."""
        for row in np.flatnonzero(rows).tolist():
            self.bad.setdefault(row, what)


class ColumnMapper:
    """Maps the blocks of one record set in whole columns.

    Args:
        mapper: of the record set.
        kinds: types of its columns, in the mapper's order.
    """

    def __init__(self, mapper: Mapper, kinds: Sequence[Kind]) -> None:
        self.mapper = mapper
        self._kinds = kinds
        self._codes = [Codes() for _ in kinds]

    @classmethod
    def of(cls, mapper: Mapper, types: Mapping[str, int]) -> ColumnMapper | None:
        """The mapper for columns of these types, by their numbers in PostgreSQL; None where one reads otherwise."""
        kinds = [READABLE.get(types[name]) for name in mapper.columns]
        known = [kind for kind in kinds if kind is not None]
        if len(known) < len(kinds) or known[0] != "text" or (mapper.name_at >= 0 and known[mapper.name_at] != "text"):
            return None
        dates = {part.at for part in mapper.parts if isinstance(part.reader, DateReader)}
        for part in mapper.parts:
            # A moment is told to its reader in the zone of the session, which only the other driver knows.
            if isinstance(part.reader, DateReader) and known[part.at] == "timestamptz" and part.reader.has_empty:
                return None
        others = {part.at for part in (mapper.kind, *mapper.parts) if part.reader and part.at not in dates}
        for at in {*others, mapper.filter.at, mapper.face_at, mapper.reference_at} - {-1}:
            if known[at] in {"date", "timestamp", "timestamptz"}:
                return None
        return cls(mapper, known)

    def columns(self, *, references: bool, faces: bool) -> tuple[str, ...]:
        """The columns to be read, in order; without that of the reference where it is not needed, and without that of
        the face where neither is.
        """
        mapper, names = self.mapper, self.mapper.columns
        if references:
            return names
        unread = int(mapper.read_for_reference) + (0 if faces else mapper.read_for_face)
        return names[: len(names) - unread]

    def map(self, columns: Sequence[pl.Series], *, references: bool, faces: bool = False) -> MappedColumns:
        """A block of rows, given as the columns of `columns`; see `Mapper.map`.

        Rows that do not count are read with the others and left out of what is told: to look at a code is cheaper than
        to take every column apart.
        """
        mapper = self.mapper
        known: dict[int, Distinct] = {}
        mapped = MappedColumns()
        if mapper.filter.reader is not None:
            counts = self._distinct(columns, mapper.filter.at, known).read(mapper.filter.reader) != 0
            mapped.counts = None if counts.all() else counts
        every = np.ones(len(columns[0]), np.bool_) if mapped.counts is None else mapped.counts
        if mapper.name_at >= 0:
            mapped.name = columns[mapper.name_at]
            mapped.note(every & _too_long(mapped.name, trimmed=True), bad_rows.LONG_NAME)
        if not mapper.has_evidence:
            return mapped
        kinds = mapped.columns["kind"] = self._read(mapper.kind, columns, known)
        evidence = every
        if len(kinds) and kinds.min() <= 0:
            mapped.note(every & (kinds == BAD), bad_rows.NO_KIND)
            mapped.ignored = int(np.count_nonzero(every & (kinds == 0)))
            evidence = every & (kinds > 0)
        mapped.row = np.flatnonzero(evidence)
        self._fill(mapped, columns, evidence, known)
        if references and mapper.reference_at >= 0:
            self._refer(mapped, columns, evidence, known)
        if faces and mapper.face_at >= 0:
            self._show(mapped, columns[mapper.face_at], evidence)
        return mapped

    def _show(self, mapped: MappedColumns, templates: pl.Series, evidence: Mask) -> None:
        found = mapped.columns
        there = evidence & (found["kind"] == FACE_KIND) & (found["strength"] == FACE_STRENGTH)
        rows = np.flatnonzero(there)
        for row, template in zip(rows.tolist(), templates.gather(rows).to_list(), strict=True):
            token = self.mapper.face_of(template)
            if token == TOO_LONG:
                mapped.bad.setdefault(row, bad_rows.LONG_FACE)
            elif token:
                mapped.face.append((row, token))

    def _fill(
        self, mapped: MappedColumns, columns: Sequence[pl.Series], evidence: Mask, known: dict[int, Distinct]
    ) -> None:
        mapper, found = self.mapper, mapped.columns
        for part in mapper.parts:
            values = found[part.setting] = self._read(part, columns, known)
            if part.reader is not None and len(values) and values.min() == BAD:
                mapped.note(evidence & (values == BAD), bad_rows.unread(part.setting))
        mapped.note(evidence & (found["observed_on"] == 0), bad_rows.NO_DAY)
        kinds = found["kind"]
        if mapper.detail.reader is not None or mapper.detail.fixed:
            detail = found["detail"]
            penal, placed = kinds == words.EVIDENCE_KIND_SENTENCE, np.isin(kinds, _PLACED)
            detail = found["detail"] = np.where(penal | placed, detail, 0).astype(np.int32)
            fits = np.where(penal, np.isin(detail, _PENALTY), (detail >= 100_000) & (detail <= 999_999))
            mapped.note(evidence & (detail != 0) & ~fits, bad_rows.NO_DETAIL)
        for part, having in ((mapper.from_on, _FROM), (mapper.until_on, _UNTIL)):
            if part.reader is not None:
                found[part.setting] = np.where(np.isin(kinds, having), found[part.setting], 0).astype(np.int32)
        if mapper.from_on.reader is not None and mapper.until_on.reader is not None:
            start, end = found["from_on"], found["until_on"]
            mapped.note(evidence & (end != 0) & (start != 0) & (end < start), bad_rows.NO_PERIOD)

    def _refer(
        self, mapped: MappedColumns, columns: Sequence[pl.Series], evidence: Mask, known: dict[int, Distinct]
    ) -> None:
        import polars as pl

        at = self.mapper.reference_at
        references = columns[at]
        if self._kinds[at] == "int":
            references = references.cast(pl.String)
        elif self._kinds[at] != "text":
            each = self._distinct(columns, at, known)
            references = pl.Series([text_of(value) for value in each.values], dtype=pl.String).gather(each.index)
        if references.null_count():
            references = references.fill_null("")
        mapped.source_reference = references
        long, holding = _too_long(references, trimmed=False), np.zeros(len(references), np.bool_)
        numbers = columns[0]
        length, least = references.str.len_bytes().to_numpy(), numbers.str.len_bytes().to_numpy()
        if len(length) and length.max() >= max(1, least.min()):
            # A reference shorter than the number does not hold it.
            roomy = np.flatnonzero((length >= least) & (least > 0))
            both = pl.DataFrame({"reference": references.gather(roomy), "number": numbers.gather(roomy)})
            found = both.select(pl.col("reference").str.contains(pl.col("number"), literal=True)).to_series()
            holding[roomy] = found.to_numpy()
        for row in np.flatnonzero(evidence & (long | holding)).tolist():
            what = bad_rows.LONG_REFERENCE if long[row] else bad_rows.TELLING_REFERENCE
            mapped.bad.setdefault(row, what)

    def _read(self, part: Part, columns: Sequence[pl.Series], known: dict[int, Distinct]) -> Int32:
        if part.reader is None:
            return np.full(len(columns[0]), part.fixed, np.int32)
        if isinstance(part.reader, DateReader) and part.at not in known:
            return days(columns[part.at], self._kinds[part.at], part.reader, self._codes[part.at])
        return self._distinct(columns, part.at, known).read(part.reader)

    def _distinct(self, columns: Sequence[pl.Series], at: int, known: dict[int, Distinct]) -> Distinct:
        """The rows of a column by the numbers of their values; several settings may read the same column."""
        found = known.get(at)
        if found is None:
            found = known[at] = distinct(columns[at], self._kinds[at], self._codes[at])
        return found


def _too_long(texts: pl.Series, *, trimmed: bool) -> Mask:
    """Which texts are longer than a cell may be; those that seem so are looked at one by one."""
    long = np.zeros(len(texts), np.bool_)
    length = texts.str.len_bytes()
    if (length.max() or 0) > MAX_CELL_BYTES:  # type: ignore[operator]  # a number
        suspects = np.flatnonzero((length > MAX_CELL_BYTES).fill_null(value=False).to_numpy())
        for at, text in zip(suspects.tolist(), texts.gather(suspects).to_list(), strict=True):
            long[at] = len((text_of(text) if trimmed else text).encode("utf-8", "replace")) > MAX_CELL_BYTES
    return long
