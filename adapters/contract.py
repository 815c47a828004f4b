"""The contract between the gateway and a department's adapter, inside one process.

Owns: the column classes, what an adapter describes of itself, and the `Adapter` protocol that every kind implements.
The wire form of the same is `wugan.adapter.v1`; `to_message`/`from_message` translate. Refuses: judging. An adapter
says what its department knows; grading is the gateway's.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, ClassVar, Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from adapters.errors import AdapterError, SourceFaultError
from adapters.texts import joined, taken
from wugan.adapter.v1 import columns_pb2

Int32 = NDArray[np.int32]

# Columns of every lookup are made without `frozen`, which takes four times as long: nobody changes them all the same.

MAX_CELL_BYTES = 256
MAX_CURSOR_BYTES = 16_384
_EMPTY = np.zeros(0, np.int32)


@dataclass(slots=True)
class Subjects:
    """The people a lookup is about; row numbers are what all other columns call `subject`.

    Args:
        id_number: normalised identity numbers, one a row.
        name: names as the asker has them, one a row.
        alias_subject: rows that have further numbers, sparse.
        alias_id_number: those numbers.
    """

    id_number: Sequence[str]
    name: Sequence[str]
    alias_subject: Sequence[int] = ()
    alias_id_number: Sequence[str] = ()
    memo: dict[str, object] = field(default_factory=dict, init=False, compare=False, repr=False)
    """What was made of these columns, kept for the next who needs it: a batch goes to several adapters."""

    def __len__(self) -> int:
        return len(self.id_number)

    def rows_by_number(self) -> dict[str, list[int]]:
        """Every number asked, aliases included, to the rows it stands for: what a kind looks up in its source."""
        rows: dict[str, list[int]] = {}
        for row, number in enumerate(self.id_number):
            rows.setdefault(number, []).append(row)
        for row, number in zip(self.alias_subject, self.alias_id_number, strict=True):
            held = rows.setdefault(number, [])
            if row not in held:
                held.append(row)
        return rows


@dataclass(slots=True)
class Holders:
    """Under which identity the source holds what it returned; a row means that the source knows the person.

    A few rows may be given as a list (`of_few`), and looked at as such (`rows`), as those of `Evidence`.
    """

    subject: Int32 = field(default_factory=lambda: _EMPTY)
    held_id_number: Sequence[str] = ()
    held_name: Sequence[str] = ()
    _rows: list[int] | None = field(default=None, init=False, compare=False, repr=False)

    if not TYPE_CHECKING:  # any other name stays an error to whoever checks types

        def __getattr__(self, name: str) -> Int32:
            """The array of what was given as a list: made when it is asked for."""
            if name != "subject":
                raise AttributeError(name)
            self.subject = np.array(self._rows, np.int32)
            return self.subject

    def __len__(self) -> int:
        rows = self._rows
        return len(self.subject if rows is None else rows)

    @classmethod
    def of_few(cls, rows: list[int], held_id_number: Sequence[str], held_name: Sequence[str]) -> Holders:
        """A few rows; `rows`: whose each is."""
        made = cls.__new__(cls)
        made._rows, made.held_id_number, made.held_name = rows, held_id_number, held_name
        return made

    def rows(self) -> list[int]:
        """Whose each row is, as a list: for a few rows."""
        rows = self._rows
        if rows is None:
            rows = self._rows = self.subject.tolist()
        return rows


@dataclass(frozen=True, slots=True)
class Links:
    """Further numbers of the same person that the source knows of."""

    subject: Int32 = field(default_factory=lambda: _EMPTY)
    id_number: Sequence[str] = ()
    since_on: Int32 = field(default_factory=lambda: _EMPTY)


@dataclass(frozen=True, slots=True)
class Faces:
    """Faces under which the source checked people who were there, as tokens (`adapters.faces`); sparse.

    `observed_on` is the newest day on which that face was checked, `region` where.
    """

    subject: Int32 = field(default_factory=lambda: _EMPTY)
    token: Sequence[bytes] = ()
    observed_on: Int32 = field(default_factory=lambda: _EMPTY)
    region: Int32 = field(default_factory=lambda: _EMPTY)

    def __len__(self) -> int:
        return len(self.subject)

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Faces:
        """The rows selected by an index or a mask."""
        index = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        token = [self.token[row] for row in index.tolist()]
        return Faces(self.subject[index], token, self.observed_on[index], self.region[index])

    @staticmethod
    def concatenate(parts: Sequence[Faces]) -> Faces:
        """Several sources' rows as one, nothing is copied when there is only one part."""
        filled = [part for part in parts if len(part)]
        if len(filled) < 2:
            return filled[0] if filled else Faces()
        return Faces(
            np.concatenate([part.subject for part in filled]),
            [token for part in filled for token in part.token],
            np.concatenate([part.observed_on for part in filled]),
            np.concatenate([part.region for part in filled]),
        )

    @staticmethod
    def newest(rows: Iterable[tuple[int, bytes, int, int]]) -> Faces:
        """Of (subject, token, day, region) each face of a person once, the newest check of it."""
        held: dict[tuple[int, bytes], tuple[int, int]] = {}
        for subject, token, day, region in rows:
            known = held.get((subject, token))
            if known is None or day > known[0]:
                held[subject, token] = day, region
        return Faces(
            np.array([subject for subject, _ in held], np.int32),
            [token for _, token in held],
            np.array([day for day, _ in held.values()], np.int32),
            np.array([region for _, region in held.values()], np.int32),
        )


NO_LINKS: Final = Links()
NO_FACES: Final = Faces()
NOBODY: Final = _EMPTY
"""What most answers have of these, and of people whom they are not about."""


@dataclass(slots=True)
class Evidence:
    """Rows of evidence as columns. Integers are int32; dates civil days from 1970-01-01 in Asia/Shanghai, 0: none.

    A few rows may be given as lists (`of_few`), and looked at as such (`lists`): an array of a few numbers takes longer
    to make, and to read, than the numbers.
    """

    subject: Int32 = field(default_factory=lambda: _EMPTY)
    kind: Int32 = field(default_factory=lambda: _EMPTY)
    department: Int32 = field(default_factory=lambda: _EMPTY)
    region: Int32 = field(default_factory=lambda: _EMPTY)
    observed_on: Int32 = field(default_factory=lambda: _EMPTY)
    available_on: Int32 = field(default_factory=lambda: _EMPTY)
    strength: Int32 = field(default_factory=lambda: _EMPTY)
    source_reference: Sequence[str] = ()
    detail: Int32 = field(default_factory=lambda: _EMPTY)
    from_on: Int32 = field(default_factory=lambda: _EMPTY)
    until_on: Int32 = field(default_factory=lambda: _EMPTY)
    _lists: Sequence[Sequence[int]] | None = field(default=None, init=False, compare=False, repr=False)

    INTEGER_COLUMNS: ClassVar[tuple[str, ...]] = (
        "subject",
        "kind",
        "department",
        "region",
        "observed_on",
        "available_on",
        "strength",
        "detail",
        "from_on",
        "until_on",
    )

    if not TYPE_CHECKING:  # any other name stays an error to whoever checks types

        def __getattr__(self, name: str) -> Int32:
            """The array of a column that was given as a list: all are made when the first is asked for."""
            if name not in self.INTEGER_COLUMNS:
                raise AttributeError(name)
            for column, made in zip(self.INTEGER_COLUMNS, np.array(self._lists, np.int32), strict=True):
                setattr(self, column, made)
            return getattr(self, name)

    def __len__(self) -> int:
        lists = self._lists
        return len(self.subject if lists is None else lists[0])

    @classmethod
    def of_few(cls, lists: Sequence[Sequence[int]], source_reference: Sequence[str]) -> Evidence:
        """A few rows; `lists`: the integer columns in the order of `INTEGER_COLUMNS`, within 32 bits."""
        made = cls.__new__(cls)
        made._lists, made.source_reference = lists, source_reference
        return made

    def lists(self) -> Sequence[Sequence[int]]:
        """The integer columns as lists, in the order of `INTEGER_COLUMNS`: for a few rows."""
        lists = self._lists
        if lists is None:
            lists = self._lists = [column.tolist() for column in _integers_of(self)]
        return lists

    def columns(self) -> Sequence[Sequence[int]] | Sequence[Int32]:
        """The integer columns as they are held, in the order of `INTEGER_COLUMNS`."""
        lists = self._lists
        return _integers_of(self) if lists is None else lists

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Evidence:
        """The rows selected by an index or a mask, as new columns."""
        index: NDArray[np.intp] = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows  # type: ignore[assignment]
        return Evidence(
            **{name: getattr(self, name)[index] for name in self.INTEGER_COLUMNS},
            source_reference=taken(self.source_reference, index),
        )

    @staticmethod
    def concatenate(parts: Sequence[Evidence]) -> Evidence:
        """Several departments' rows as one; nothing is copied when there is only one part."""
        if not parts:
            return Evidence()
        if len(parts) == 1:
            return parts[0]
        return Evidence(
            **{name: np.concatenate([getattr(part, name) for part in parts]) for name in Evidence.INTEGER_COLUMNS},
            source_reference=joined([part.source_reference for part in parts]),
        )

    def to_message(self) -> columns_pb2.EvidenceColumns:
        """The wire form."""
        return columns_pb2.EvidenceColumns(
            **{name: getattr(self, name).tolist() for name in self.INTEGER_COLUMNS},
            source_reference=self.source_reference,
        )

    @staticmethod
    def from_message(message: columns_pb2.EvidenceColumns) -> Evidence:
        """From the wire.

        Raises:
            SourceFaultError: columns of different lengths, a cell out of range or too long.
        """
        rows = len(message.subject)
        for name in (*Evidence.INTEGER_COLUMNS, "source_reference"):
            if len(getattr(message, name)) != rows:
                raise SourceFaultError(
                    f"evidence column {name!r} differs in length from 'subject'; send columns of equal length",
                    f"证据列 {name!r} 与 subject 列长度不一致，各列长度必须相同",
                )
        if any(len(cell.encode()) > MAX_CELL_BYTES for cell in message.source_reference):
            raise SourceFaultError(
                f"a source reference is longer than {MAX_CELL_BYTES} bytes; send a shorter opaque reference",
                f"来源编号超过 {MAX_CELL_BYTES} 字节，请使用更短的不透明编号",
            )
        try:
            columns = {name: np.fromiter(getattr(message, name), np.int32, rows) for name in Evidence.INTEGER_COLUMNS}
        except OverflowError as error:
            raise SourceFaultError(
                "an evidence cell does not fit 32 bits; see EvidenceColumns for the ranges",
                "证据单元格超出 32 位整数范围，请参照 EvidenceColumns 的说明",
            ) from error
        return Evidence(**columns, source_reference=list(message.source_reference))


_integers_of = attrgetter(*Evidence.INTEGER_COLUMNS)


@dataclass(frozen=True, slots=True)
class DataItem:
    """One data item of the department's catalogue: evidence kind, usual strength, agreed days until available."""

    kind: int
    strength: int
    freshness_days: int


@dataclass(frozen=True)
class Description:
    """What an adapter offers; see `DescribeResponse`."""

    adapter_id: str
    version: str
    department: int
    regions: tuple[int, ...]
    items: tuple[DataItem, ...]
    links: bool = False
    max_batch: int = 10_000
    changes: bool = False
    pushes: bool = False
    """It tells of changes by itself, as was agreed; on the gateway's side only."""

    @functools.cached_property
    def kinds(self) -> frozenset[int]:
        """The kinds of evidence among its items."""
        return frozenset(item.kind for item in self.items)


@dataclass(slots=True)
class Lookup:
    """A question to one adapter.

    Args:
        subjects: the people.
        kinds: evidence kinds wanted; empty: all.
        traces_since_on: only traces observed on this day or later are wanted; events always are. 0: no bound.
        deadline_s: seconds the adapter has; what is not there by then is not used.
        purpose: Purpose of the question, as the department's own log wants it.
        legal_basis: the law or agreement relied on.
        references: whether `source_reference` is needed. Where it is not, an adapter need not read it and may leave it
            empty; a row of which nothing but its reference is wrong then counts.
        faces: whether faces are wanted; where not, they are not read.
        takes_unreadable: whether `Found.unreadable` is dealt with. Where not, an answer that is not about everybody is
            none: a SourceFaultError.
    """

    subjects: Subjects
    kinds: tuple[int, ...] = ()
    traces_since_on: int = 0
    deadline_s: float = 5.0
    purpose: int = 0
    legal_basis: str = ""
    references: bool = True
    faces: bool = False
    takes_unreadable: bool = False


@dataclass(slots=True)
class Found:
    """An adapter's answer.

    Args:
        holders, evidence, links, faces: what is known.
        complete_until_on: the civil day up to which the source's data is complete, 0: not known.
        unreadable: of whom the source holds a row that it cannot read. It says nothing about them, as if it were
            silent; they occur in no other column.
    """

    holders: Holders = field(default_factory=Holders)
    evidence: Evidence = field(default_factory=Evidence)
    links: Links = field(default_factory=Links)
    complete_until_on: int = 0
    faces: Faces = field(default_factory=Faces)
    unreadable: Int32 = field(default_factory=lambda: NOBODY)


@dataclass(frozen=True, slots=True)
class Changed:
    """Of whom a source has something new, changed or taken back.

    Args:
        id_number: under which the source holds each person.
        name: in the source's register, "" where it has none.
        cursor: where to go on, once these people were dealt with; at most `MAX_CURSOR_BYTES`.
        more: there are more to be asked for at once.
    """

    id_number: Sequence[str]
    name: Sequence[str]
    cursor: bytes
    more: bool = False

    def __len__(self) -> int:
        return len(self.id_number)

    def to_message(self) -> columns_pb2.ChangedColumns:
        """The people in wire form."""
        return columns_pb2.ChangedColumns(held_id_number=self.id_number, held_name=self.name)


@runtime_checkable
class Adapter(Protocol):
    """What every kind of adapter implements.

    `lookup` may be called concurrently and must stop its work when cancelled. It raises `SourceDownError` when the
    source cannot be reached and `SourceFaultError` when it answers nonsense; it never returns rows for a number that
    was not asked, and never a part of an answer as if it were the whole: whom it is not about stands in
    `Found.unreadable`.
    """

    def describe(self) -> Description:
        """What it offers."""
        ...

    async def lookup(self, question: Lookup) -> Found:
        """What its department knows about the people of the question."""
        ...

    async def check(self) -> None:
        """Return when the source is reachable and its fields map; raise an AdapterError otherwise."""
        ...

    async def close(self) -> None:
        """Release connections, threads and files."""
        ...


@runtime_checkable
class Holding(Adapter, Protocol):
    """An adapter that answers from what it took in before, whether or not it reaches where that comes from."""

    @property
    def trouble(self) -> AdapterError | None:
        """Why what it holds may be old or lack something, as of the last look; None: nothing is wrong."""
        ...


@runtime_checkable
class ChangeFeed(Adapter, Protocol):
    """An adapter that can tell of whom it has something new; `Description.changes` says whether it does."""

    async def changes(self, cursor: bytes, limit: int) -> Changed:
        """Of whom there is something new since a cursor.

        A person may come again without need, and is never left out. The cursor stays good over restarts.

        Args:
            cursor: of the `Changed` whose people were dealt with last; empty: begin now, with nobody.
            limit: people at most.

        Raises:
            SourceDownError: the source cannot be reached in time.
            SourceFaultError: it answers nonsense, or the cursor is none of its own.
        """
        ...
