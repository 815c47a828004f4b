"""The manifest as a whole: who the department is, where its data stands, and which record sets become which evidence.

Owns: the models of the kinds of manifest that map rows, and what must hold between settings. Refuses: reading YAML
(`adapters.manifest.document`) and reaching a source (`adapters.kinds`).
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, StringConstraints, model_validator

from adapters.contract import DataItem, Description
from adapters.errors import ManifestError
from adapters.faces import FACE_KIND
from adapters.manifest.document import Place
from adapters.manifest.fields import Column, Date, Detail, Evidence, FaceField, Identity, Only, Region, Strength, Zone
from adapters.manifest.following import ApiChanges, TableChanges
from adapters.manifest.head import ManifestHead, Name, Title
from adapters.manifest.remote import RemoteManifest
from adapters.manifest.sources import ApiSource, Endpoint, Files, FileSource, TableSource, Text
from adapters.manifest.usual import USUAL_KINDS
from adapters.manifest.vocabulary import KINDS, Settings, problem


class CompleteUntil(Settings):
    """Up to which day the source's data is complete.

    Args:
        lag_days: that many days before today, or
        date: the newest date in this column of the record set `of` (table, file), or in this field of its answer
            (api: a path from the answer's top).
        of: name of that record set.
    """

    lag_days: int | None = Field(None, ge=0, le=3660)
    date: Date | None = None
    of: Name | None = None

    @model_validator(mode="after")
    def _complete(self) -> CompleteUntil:
        if (self.lag_days is None) == (self.date is None):
            raise problem("give exactly one of: lag_days, date", "须且只能写一个：lag_days、date")
        if (self.date is None) != (self.of is None):
            raise problem("`date` needs `of`: the record set it stands in", "date 须与 of（所在记录集）同用")
        return self


class Mapped(Settings):
    """What links and record sets have in common."""

    identity: Identity | None = None
    only: Only | None = None


class Links(Mapped):
    """Pairs of numbers of one person: changed, corrected, or issued twice.

    Args:
        identity: its column holds the number from which a pair is looked up; a name column is not used.
        linked: column of the other number.
        since: the day the change took effect.
        both_ways: whether a pair is also found from the other number.
    """

    identity: Identity
    linked: Column
    since: Date | None = None
    both_ways: bool = True


class Records(Mapped):
    """One record set (数据项): rows of one shape, and how they become evidence.

    Args:
        name: short, for messages.
        title: as in the catalogue of data.
        identity: where it differs from the manifest's.
        only: which rows count.
        evidence: which evidence a row is.
        observed_on: the day it happened.
        available_on: the day the department had it.
        region: where; default: the manifest's region if it has just one, else not given.
        strength: how well the department knew the person.
        source_reference: column of the department's own reference, for disputes; never the identity number.
        face: of face checks, the face by which the person was known (人脸模板编号); interfaces and tables have it.
        detail, from_on, until_on: for the kinds that have them; elsewhere they are left out by themselves.
        bad_rows: a row that cannot be mapped: `fault`: nothing of the answer is used; `skip`: the row is counted and
            left out. A file's bad rows are quarantined either way.
        freshness_days: agreed days from the event until the source has it.
    """

    name: Name
    title: Title | None = None
    evidence: Evidence
    observed_on: Date | None = None
    available_on: Date | None = None
    region: Region | None = None
    strength: Strength | None = None
    source_reference: Column | None = None
    face: FaceField | None = None
    detail: Detail | None = None
    from_on: Date | None = None
    until_on: Date | None = None
    bad_rows: Literal["fault", "skip"] = "fault"
    freshness_days: int = Field(0, ge=0, le=3660)

    @model_validator(mode="after")
    def _complete(self) -> Records:
        if self.evidence.kinds():
            if self.observed_on is None:
                raise problem("evidence needs `observed_on`: the day it happened", "证据须有 observed_on（发生日期）")
            if self.strength is None:
                raise problem("evidence needs a `strength`", "证据须有 strength（强度）")
        if self.face is not None and FACE_KIND not in self.evidence.kinds():
            raise problem("`face` belongs to FACE_CHECK", "face 只用于 FACE_CHECK")
        return self


class _TablePlace(Settings):
    table: Text | None = None
    query: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=20_000)] | None = None

    @model_validator(mode="after")
    def _placed(self) -> _TablePlace:
        if (self.table is None) == (self.query is None):
            raise problem("give exactly one of: table, query", "须且只能写一个：table、query")
        if self.query is not None and (";" in self.query or not re.match(r"(?i)(select|with)\b", self.query)):
            raise problem("a query is one SELECT without a semicolon", "query 应为一条 SELECT 语句，不含分号")
        return self


class TableRecords(Records, _TablePlace):
    """A record set in a table or view, or a SELECT over several (without the condition on the person).

    Args:
        changes: by what its newest rows are told; without it the record set is not monitored.
    """

    changes: TableChanges | None = None


class TableLinks(Links, _TablePlace):
    """Links in a table or a SELECT."""


class ApiRecords(Records):
    """A record set behind an endpoint."""

    endpoint: Endpoint


class ApiLinks(Links):
    """Links behind an endpoint."""

    endpoint: Endpoint


class FileRecords(Records):
    """A record set in dropped files. Short form of `files`: the pattern of their names.

    Args:
        changes: whether it is told of whom a file brings, changes or takes back something.
    """

    files: Files
    changes: bool = False

    @model_validator(mode="after")
    def _faceless(self) -> FileRecords:
        if self.face is not None:
            raise problem("faces are read from interfaces and tables only", "face 只能取自接口或数据库表")
        return self


class FileLinks(Links):
    """Links in dropped files."""

    files: Files


class ManifestBase(ManifestHead):
    """What every manifest says whose data is mapped here.

    Args:
        timezone: of times without one.
        identity: where the identity stands in its rows.
        complete_until: up to which day the data is complete.
    """

    timezone: Zone = "Asia/Shanghai"
    identity: Identity
    complete_until: CompleteUntil | None = None

    records: tuple[Records, ...] = Field(min_length=1, max_length=100)
    links: Links | None = None

    def identity_of(self, part: Mapped) -> Identity:
        """Where the identity stands in a record set's rows."""
        return part.identity or self.identity

    def description(self) -> Description:
        """What the adapter of this manifest offers."""
        items: dict[int, DataItem] = {}
        for record_set in self.records:
            for kind in record_set.evidence.kinds():
                strength = record_set.strength.usual() if record_set.strength else 0
                known = items.get(kind, DataItem(kind, strength, 0))
                days = max(record_set.freshness_days, known.freshness_days)
                items[kind] = DataItem(kind, min(strength, known.strength), days)
        return Description(
            adapter_id=self.adapter_id,
            version=self.version,
            department=self.department,
            regions=self.regions,
            items=tuple(items[kind] for kind in sorted(items)),
            links=self.links is not None,
            max_batch=self.max_batch,
            changes=self.monitored,
        )

    @property
    def monitored(self) -> bool:
        """Whether the source can tell of whom it has something new."""
        return any(getattr(record_set, "changes", None) for record_set in self.records)

    def problems(self) -> tuple[list[ManifestError], list[ManifestError]]:
        """What does not hold between settings: errors, and warnings of what is allowed but probably not meant."""
        errors: list[ManifestError] = []
        warnings: list[ManifestError] = []
        names: set[str] = set()
        usual = USUAL_KINDS[self.department]
        for i, record_set in enumerate(self.records):
            if record_set.name == "links":
                en = "this name is kept for the links of numbers"
                errors.append(self.error(("records", i, "name"), en, "此名称保留给号码关联使用"))
            if record_set.name in names:
                errors.append(self.error(("records", i, "name"), "used twice; names differ", "重名，名称须各不相同"))
            names.add(record_set.name)
            identity = self.identity_of(record_set)
            changes = getattr(record_set, "changes", None)
            if isinstance(changes, TableChanges) and identity.column in {changes.column, changes.key}:
                en = "rows are told apart by a key of their own, never by the identity number"
                errors.append(self.error(("records", i, "changes"), en, "应使用记录自身的键，不得使用身份号码"))
            if record_set.source_reference in {identity.column, identity.name} - {None}:
                en = "the reference to a record is never the identity number or name"
                errors.append(self.error(("records", i, "source_reference"), en, "不得为身份号码或姓名"))
            if record_set.face is not None and record_set.face.column in {identity.column, identity.name}:
                en = "a template id is never the identity number or name"
                errors.append(self.error(("records", i, "face"), en, "不得为身份号码或姓名"))
            for kind in set(record_set.evidence.kinds()) - usual:
                word = next(word for word, number in KINDS.items() if number == kind)
                en = f"{word} is unusual for this department; is it meant?"
                warnings.append(self.error(("records", i, "evidence"), en, f"该部门通常没有 {word} 类证据，请确认"))
        if (
            self.complete_until is not None
            and self.complete_until.of is not None
            and self.complete_until.of not in names
        ):
            errors.append(self.error(("complete_until", "of"), "no record set has this name", "没有此名称的记录集"))
        return errors, warnings


class TableManifest(ManifestBase):
    """A department whose data stands in a database."""

    kind: Literal["table"]
    source: TableSource
    records: tuple[TableRecords, ...] = Field(min_length=1, max_length=100)
    links: TableLinks | None = None


class ApiManifest(ManifestBase):
    """A department with an HTTP interface."""

    kind: Literal["api"]
    source: ApiSource
    changes: ApiChanges | None = None
    records: tuple[ApiRecords, ...] = Field(min_length=1, max_length=100)
    links: ApiLinks | None = None

    def problems(self) -> tuple[list[ManifestError], list[ManifestError]]:
        """As for every manifest, and that bodies are of the format."""
        errors, warnings = super().problems()
        bodies: list[tuple[Place, object]] = [
            (("records", i, "endpoint", "body"), each.endpoint.body) for i, each in enumerate(self.records)
        ]
        if self.links is not None:
            bodies.append((("links", "endpoint", "body"), self.links.endpoint.body))
        if self.changes is not None:
            bodies.append((("changes", "body"), self.changes.body))
        for place, body in bodies:
            text = isinstance(body, str) and not re.fullmatch(r"\$[a-z]+", body)
            if body is not None and text != (self.source.format == "xml"):
                en, zh = "for format: xml a text, for json a mapping or list", "format: xml 时应为文本，json 时应为结构"
                errors.append(self.error(place, en, zh))
        return errors, warnings

    @property
    def monitored(self) -> bool:
        """Whether the interface can tell of whom it has something new."""
        return self.changes is not None


class FileManifest(ManifestBase):
    """A department that drops files."""

    kind: Literal["file"]
    source: FileSource
    records: tuple[FileRecords, ...] = Field(min_length=1, max_length=100)
    links: FileLinks | None = None


Manifest: TypeAlias = TableManifest | ApiManifest | FileManifest | RemoteManifest
