"""From the rows of a record set to columns of evidence, by the settings of its manifest. The same for every kind.

Owns: which columns are needed, what each becomes, and what makes a row bad. Works column by column with remembered
values (`adapters.values`), so that one row and a million take the same path. Refuses: I/O, and deciding whose a row is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Final

from adapters import bad_rows
from adapters.contract import MAX_CELL_BYTES
from adapters.errors import SourceFaultError
from adapters.faces import FACE_KIND, FACE_STRENGTH, face_token
from adapters.manifest.fields import Identity, Only
from adapters.manifest.model import Links, ManifestBase, Records
from adapters.values import BAD, CodeReader, DateReader, Reader, detail_reader, region_reader, text_of
from adapters.wanted import FIRST_EVENT
from wugan.adapter.v1 import vocabulary_pb2 as words

FROM_KINDS = frozenset(
    {
        words.EVIDENCE_KIND_DETAINED,
        words.EVIDENCE_KIND_SENTENCE,
        words.EVIDENCE_KIND_IMPRISONED,
        words.EVIDENCE_KIND_PAROLE,
        words.EVIDENCE_KIND_RELEASE,
        words.EVIDENCE_KIND_MEDICAL_RELEASE,
        words.EVIDENCE_KIND_RETURNED_TO_PRISON,
    }
)
UNTIL_KINDS = frozenset(
    {
        words.EVIDENCE_KIND_DETAINED,
        words.EVIDENCE_KIND_SENTENCE,
        words.EVIDENCE_KIND_IMPRISONED,
        words.EVIDENCE_KIND_COMMUTATION,
        words.EVIDENCE_KIND_MEDICAL_RELEASE,
        words.EVIDENCE_KIND_RETURNED_TO_PRISON,
    }
)
REGION_DETAIL_KINDS = frozenset(
    {
        words.EVIDENCE_KIND_HOUSEHOLD_MOVED,
        words.EVIDENCE_KIND_RESIDENCE_MOVED,
        words.EVIDENCE_KIND_DUPLICATE_BENEFIT,
    }
)
TOO_LONG = b"-"
"""Stands for the token of a template id that is none."""
_SURELY_FITS: Final = MAX_CELL_BYTES // 4
"""Characters that take no more bytes than a cell may have."""
PENALTIES = frozenset(words.PenaltyKind.values()) - {0}


@dataclass(slots=True)
class Mapped:
    """What a block of rows became. `row` columns hold row numbers of the block as it was given.

    Attributes:
        holder_row, name: rows that count at all: the person is known, under this name ("" where there is none).
        row ... until_on: rows of evidence as columns of equal length.
        face: of each of these the token of the face that counts, b"" where there is none; empty: not wanted.
        bad: row to the setting and what was wrong with its column, for rows that could not be mapped.
        ignored: rows whose code is no evidence.
    """

    holder_row: Sequence[int] = ()
    name: Sequence[str] = ()
    row: Sequence[int] = ()
    kind: Sequence[int] = ()
    region: Sequence[int] = ()
    observed_on: Sequence[int] = ()
    available_on: Sequence[int] = ()
    strength: Sequence[int] = ()
    source_reference: Sequence[str] = ()
    detail: Sequence[int] = ()
    from_on: Sequence[int] = ()
    until_on: Sequence[int] = ()
    face: Sequence[bytes] = ()
    bad: dict[int, str] = field(default_factory=dict)
    ignored: int = 0


class _Columns:
    """The distinct columns a record set needs, in the order they are fetched."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def at(self, name: str | None) -> int:
        """Where a column stands; -1 for none."""
        if name is None:
            return -1
        if name not in self.names:
            self.names.append(name)
        return self.names.index(name)


@dataclass(frozen=True, slots=True)
class Part:
    """One integer column: read from a source column, or fixed."""

    setting: str
    at: int = -1
    reader: Reader | None = None
    fixed: int = 0

    def read(self, columns: Sequence[Sequence[object]], count: int) -> list[int]:
        """Its values for so many rows."""
        return [self.fixed] * count if self.reader is None else self.reader.column(columns[self.at])


class Filter:
    """Which rows count: those for whose column the reader says 1; all, if there is no reader."""

    def __init__(self, only: Only | None, columns: _Columns) -> None:
        self.at = -1 if only is None else columns.at(only.column)
        self.reader: Reader | None = None
        if only is not None and only.values is not None:
            self.reader = CodeReader(dict.fromkeys(only.values, 1), 0)
        elif only is not None and only.except_values is not None:
            self.reader = CodeReader(dict.fromkeys(only.except_values, 0), 1)

    def keep(self, columns: Sequence[Sequence[object]]) -> list[int] | None:
        """1 for each row that counts, else 0; None: all do."""
        if self.reader is None:
            return None
        kept = self.reader.column(columns[self.at])
        return kept if 0 in kept else None


class Mapper:
    """The compiled mapping of one record set.

    Args:
        manifest: whose record set it is.
        records: the record set.

    Attributes:
        columns: names of the columns that rows must have, in the order `map` takes them; the identity number first.
        filter, name_at, kind, parts, face_at, platform, reference_at: the compiled settings, for who maps whole
            columns.
        read_for_face: how many of the columns before that of the reference serve the face only.
        read_for_reference: whether the last of the columns serves the reference only.
    """

    def __init__(self, manifest: ManifestBase, records: Records) -> None:
        identity: Identity = manifest.identity_of(records)
        wanted = _Columns()
        wanted.at(identity.column)
        self.name = records.name
        self.forms = identity.forms
        self.skips_bad_rows = records.bad_rows == "skip"
        self.name_at = wanted.at(identity.name)
        self.filter = Filter(records.only, wanted)
        evidence = records.evidence
        self.kind = Part("evidence", fixed=evidence.fixed or 0)
        if evidence.column is not None:
            unknown = BAD if evidence.unknown == "fault" else 0
            self.kind = Part("evidence", wanted.at(evidence.column), CodeReader(evidence.codes, unknown))
        self._kinds = evidence.kinds()
        zone = manifest.timezone

        def date(setting: str) -> Part:
            value = getattr(records, setting)
            return Part(setting) if value is None else Part(setting, wanted.at(value.column), DateReader(value, zone))

        self._observed = date("observed_on")
        self._available = date("available_on")
        self.from_on = date("from_on")
        self.until_on = date("until_on")
        self._region = Part("region", fixed=manifest.regions[0] if len(manifest.regions) == 1 else 0)
        if records.region is not None:
            region = records.region
            self._region = Part("region", fixed=region.fixed or 0)
            if region.column is not None:
                self._region = Part("region", wanted.at(region.column), region_reader(region))
        self._strength = Part("strength")
        if records.strength is not None:
            strength = records.strength
            self._strength = Part("strength", fixed=strength.fixed or 0)
            if strength.column is not None:
                reader = CodeReader(strength.codes, strength.otherwise or BAD)
                self._strength = Part("strength", wanted.at(strength.column), reader)
        self.detail = Part("detail")
        if records.detail is not None:
            detail = records.detail
            self.detail = Part("detail", fixed=detail.fixed or 0)
            if detail.column is not None:
                self.detail = Part("detail", wanted.at(detail.column), detail_reader(detail))
        when_and_where = (self._observed, self._available, self._region, self._strength)
        self.parts = (*when_and_where, self.detail, self.from_on, self.until_on)
        self.platform = "" if records.face is None else records.face.platform
        without = len(wanted.names)
        self.face_at = wanted.at(None if records.face is None else records.face.column)
        self.read_for_face = len(wanted.names) - without
        without = len(wanted.names)
        self.reference_at = wanted.at(records.source_reference)
        self.read_for_reference = len(wanted.names) > without
        self.columns = tuple(wanted.names)

    @property
    def has_evidence(self) -> bool:
        """Whether its rows say more than whom the source knows."""
        return bool(self._kinds)

    @property
    def tells_events(self) -> bool:
        """Whether a row of it may be an event."""
        return any(kind >= FIRST_EVENT for kind in self._kinds)

    def map(self, columns: Sequence[Sequence[object]], *, references: bool = True, faces: bool = False) -> Mapped:
        """A block of rows, given as columns in the order of `self.columns`, each of the same length.

        Without `references` that column is not looked at, and stays empty; so is that of faces without `faces`.

        Bad rows are told, not raised: what becomes of them is the caller's affair (`adapters.gathering`).
        """
        count = len(columns[0])
        mapped = Mapped()
        rows: Sequence[int] = range(count)
        kept = self.filter.keep(columns)
        if kept is not None:
            columns = [list(compress(column, kept)) for column in columns]
            rows = list(compress(rows, kept))
            count = len(rows)
        mapped.holder_row = rows
        mapped.name = [""] * count if self.name_at < 0 else self._names(columns[self.name_at], rows, mapped)
        if not count or not self.has_evidence:
            return mapped
        kinds = self.kind.read(columns, count)
        if BAD in kinds or 0 in kinds:
            self._note(kinds, rows, bad_rows.NO_KIND, mapped)
            mapped.ignored = kinds.count(0)
            is_evidence = [kind > 0 for kind in kinds]
            columns = [list(compress(column, is_evidence)) for column in columns]
            rows = list(compress(rows, is_evidence))
            kinds = list(compress(kinds, is_evidence))
        self._fill(mapped, columns, rows, kinds)
        mapped.source_reference = self._references(columns, rows, mapped) if references else [""] * len(rows)
        if faces and self.face_at >= 0:
            mapped.face = self._faces(columns[self.face_at], mapped)
        return mapped

    def _fill(
        self, mapped: Mapped, columns: Sequence[Sequence[object]], rows: Sequence[int], kinds: Sequence[int]
    ) -> None:
        count = len(rows)
        mapped.row, mapped.kind = rows, kinds
        read = []
        for part in self.parts:
            if part.reader is None:
                read.append([part.fixed] * count)
                continue
            values = part.reader.column(columns[part.at])
            if BAD in values:
                self._note(values, rows, bad_rows.unread(part.setting), mapped)
            read.append(values)
        mapped.observed_on, mapped.available_on, mapped.region, mapped.strength, *rest = read
        mapped.detail, mapped.from_on, mapped.until_on = rest
        if 0 in mapped.observed_on:
            for row, day in zip(rows, mapped.observed_on, strict=True):
                if day == 0:
                    mapped.bad.setdefault(row, bad_rows.NO_DAY)
        self._settle_sparse(mapped)

    def _settle_sparse(self, mapped: Mapped) -> None:
        """Details and periods only where their kind has them, and sensible there."""
        if self.detail.reader is not None or self.detail.fixed:
            details = list(mapped.detail)
            for i, kind in enumerate(mapped.kind):
                if kind == words.EVIDENCE_KIND_SENTENCE:
                    fits = details[i] in PENALTIES
                elif kind in REGION_DETAIL_KINDS:
                    fits = 100_000 <= details[i] <= 999_999
                else:
                    details[i] = 0
                    continue
                if details[i] and not fits:
                    mapped.bad.setdefault(mapped.row[i], bad_rows.NO_DETAIL)
            mapped.detail = details
        for part, having in ((self.from_on, FROM_KINDS), (self.until_on, UNTIL_KINDS)):
            if part.reader is not None:
                values = getattr(mapped, part.setting)
                settled = [v if kind in having else 0 for v, kind in zip(values, mapped.kind, strict=True)]
                setattr(mapped, part.setting, settled)
        if self.from_on.reader is not None and self.until_on.reader is not None:
            for row, start, end in zip(mapped.row, mapped.from_on, mapped.until_on, strict=True):
                if end and start and end < start:
                    mapped.bad.setdefault(row, bad_rows.NO_PERIOD)

    def _references(self, columns: Sequence[Sequence[object]], rows: Sequence[int], mapped: Mapped) -> list[str]:
        if self.reference_at < 0:
            return [""] * len(rows)
        references = [value if type(value) is str else text_of(value) for value in columns[self.reference_at]]
        for row, reference, number in zip(rows, references, columns[0], strict=True):
            if len(reference) > _SURELY_FITS and len(reference.encode("utf-8", "replace")) > MAX_CELL_BYTES:
                mapped.bad.setdefault(row, bad_rows.LONG_REFERENCE)
            elif reference and type(number) is str and number and number in reference:
                mapped.bad.setdefault(row, bad_rows.TELLING_REFERENCE)
        return references

    def _faces(self, values: Sequence[object], mapped: Mapped) -> list[bytes]:
        """Tokens of the checks at which the person was there by the record."""
        found = [b""] * len(mapped.row)
        for i, (kind, strength) in enumerate(zip(mapped.kind, mapped.strength, strict=True)):
            if kind == FACE_KIND and strength == FACE_STRENGTH:
                found[i] = self.face_of(values[i])
                if found[i] == TOO_LONG:
                    mapped.bad.setdefault(mapped.row[i], bad_rows.LONG_FACE)
        return found

    def face_of(self, value: object) -> bytes:
        """The token of a template id; b"" where there is none, TOO_LONG where it is none."""
        template = text_of(value)
        if len(template) > _SURELY_FITS and len(template.encode("utf-8", "replace")) > MAX_CELL_BYTES:
            return TOO_LONG
        return face_token(self.platform, template) if template else b""

    def _names(self, values: Sequence[object], rows: Sequence[int], mapped: Mapped) -> list[str]:
        try:
            names = list(map(str.strip, values))  # type: ignore[arg-type]  # as nearly always
        except TypeError:
            names = [value.strip() if type(value) is str else text_of(value) for value in values]
        if names and max(map(len, names)) > _SURELY_FITS:
            for row, name in zip(rows, names, strict=True):
                if len(name.encode("utf-8", "replace")) > MAX_CELL_BYTES:
                    mapped.bad.setdefault(row, bad_rows.LONG_NAME)
        return names

    @staticmethod
    def _note(values: Sequence[int], rows: Sequence[int], what: str, mapped: Mapped) -> None:
        for row, value in zip(rows, values, strict=True):
            if value == BAD:
                mapped.bad.setdefault(row, what)


def unused_row(records: str, what: str) -> SourceFaultError:
    """An answer lacks a row of somebody asked about, because it could not be mapped."""
    return SourceFaultError(
        f"record set {records!r} has a row that cannot be mapped ({what}); mend the manifest or the source",
        f"记录集 {records!r} 有无法映射的行（{what}），请修正清单或数据源",
    )


class LinkMapper:
    """The compiled mapping of a link set; `columns`: the number, the linked number, then what else is needed."""

    name = "links"

    def __init__(self, manifest: ManifestBase, links: Links) -> None:
        wanted = _Columns()
        self.forms = links.identity.forms
        self.both_ways = links.both_ways
        wanted.at(links.identity.column)
        self._linked = wanted.at(links.linked)
        self.filter = Filter(links.only, wanted)
        self._since = Part("since")
        if links.since is not None:
            self._since = Part("since", wanted.at(links.since.column), DateReader(links.since, manifest.timezone))
        self.columns = tuple(wanted.names)

    def map(self, columns: Sequence[Sequence[object]]) -> tuple[list[object], list[object], list[int]]:
        """Number, linked number and day of the change of each pair that counts; a day that does not read is 0.

        A pair whose day is unknown still joins two numbers of one person: leaving it out would lose evidence.
        """
        kept = self.filter.keep(columns)
        if kept is not None:
            columns = [list(compress(column, kept)) for column in columns]
        since = self._since.read(columns, len(columns[0]))
        return list(columns[0]), list(columns[self._linked]), [0 if day == BAD else day for day in since]
