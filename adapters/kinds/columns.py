"""The columnar way of the kind `table`: what is read of each record set in whole columns, and what is not.

Owns: choosing the way for each record set, by the types of its columns, once. Where a type would not read the same, or
the driver cannot connect, the rows come one by one as ever. Refuses: threads and deadlines (`adapters.kinds.table`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from adapters import retries
from adapters.arrow import READABLE, ArrowDatabase, Kind, sql_of
from adapters.asked import Asked
from adapters.columnar import ColumnMapper
from adapters.contract import Lookup
from adapters.database import Database, DatabaseError, Statement, Work
from adapters.gathering import Gathering
from adapters.mapping import LinkMapper, Mapper

if TYPE_CHECKING:
    import polars as pl

Brought: TypeAlias = Callable[[Gathering], None]
"""Puts what a record set brought into the answer."""

_AS_OBJECTS = frozenset({"text", "int", "bool", "date", "timestamp"})


@dataclass(frozen=True, slots=True)
class _Way:
    """How a statement is read in columns: their types, and the mapper of a record set's; of links there is none."""

    types: tuple[int, ...]
    kinds: tuple[Kind, ...]
    mapper: ColumnMapper | None = None
    texts: dict[tuple[str, ...], str] = field(default_factory=dict)
    """The statement for the columns that were wanted."""


class ColumnReading:
    """Reads the record sets of one adapter, each by itself.

    Args:
        arrow: the database by columns.
        database: the same by rows.
    """

    def __init__(self, arrow: ArrowDatabase, database: Database) -> None:
        self._arrow = arrow
        self._database = database
        self._chunk = database.chunk
        self._ways: dict[int, _Way | None] = {}

    def records(self, mapper: Mapper, statement: Statement, asked: Asked, question: Lookup, work: Work) -> Brought:
        """What a record set holds about the people asked about.

        Raises:
            DatabaseError: the database failed, or the work was cancelled.
            SourceFaultError: it returned somebody else's record.
        """
        way = self._way(statement, mapper, mapper.columns)
        if way is None or way.mapper is None:
            return self._by_rows(mapper, statement, asked, work)
        wanted = {"references": question.references, "faces": question.faces}
        names = way.mapper.columns(**wanted)
        frames = self._frames(statement, way, names, asked, mapper.forms, work)
        if frames is None:
            return self._by_rows(mapper, statement, asked, work)
        blocks = []
        for frame in frames:
            columns = frame.get_columns()
            positions = asked.find_column(columns[0], mapper.forms, mapper.name)
            blocks.append((positions, way.mapper.map(columns, **wanted)))

        def bring(gathering: Gathering) -> None:
            for positions, mapped in blocks:
                gathering.add_columns(mapper, positions, mapped)

        return bring

    def links(self, pairs: LinkMapper, statement: Statement, asked: Asked, work: Work) -> Brought:
        """The same for links, of which there are few."""
        way = self._way(statement, None, pairs.columns)
        frames = None if way is None else self._frames(statement, way, pairs.columns, asked, pairs.forms, work)
        if frames is None:
            rows = self._database.rows(statement, asked.values(pairs.forms), work)
            blocks: list[list[Sequence[object]]] = [list(zip(*rows, strict=True))] if rows else []
        else:
            blocks = [[column.to_list() for column in frame.get_columns()] for frame in frames]

        def bring(gathering: Gathering) -> None:
            for columns in blocks:
                gathering.add_links(pairs, columns)

        return bring

    def _by_rows(self, mapper: Mapper, statement: Statement, asked: Asked, work: Work) -> Brought:
        rows = self._database.rows(statement, asked.values(mapper.forms), work)
        return lambda gathering: gathering.add_rows(mapper, list(zip(*rows, strict=True)))

    def _way(self, statement: Statement, mapper: Mapper | None, names: tuple[str, ...]) -> _Way | None:
        known = self._ways.get(id(statement), ...)
        if known is ...:
            known = self._ways[id(statement)] = self._find_way(statement, mapper, names)
        return known

    def _find_way(self, statement: Statement, mapper: Mapper | None, names: tuple[str, ...]) -> _Way | None:
        if statement.integers:
            return None
        types = self._database.types(statement)
        kinds = tuple(kind for kind in (READABLE.get(number) for number in types) if kind is not None)
        if len(kinds) < len(types):
            return None
        if mapper is None:
            return _Way(types, kinds) if _AS_OBJECTS.issuperset(kinds) else None
        by_columns = ColumnMapper.of(mapper, dict(zip(names, types, strict=True)))
        return None if by_columns is None else _Way(types, kinds, by_columns)

    def _frames(
        self,
        statement: Statement,
        way: _Way,
        names: tuple[str, ...],
        asked: Asked,
        forms: Sequence[str],
        work: Work,
    ) -> list[pl.DataFrame] | None:
        """The rows; None where they must be read another way."""
        sql = way.texts.get(names)
        if sql is None:
            sql = way.texts[names] = sql_of(statement, names, way.types)
        numbers = asked.column(forms)
        frames = []
        for start in range(0, len(numbers), self._chunk):
            try:
                frame = self._arrow.rows(sql, numbers.slice(start, self._chunk), work)
            except DatabaseError as error:
                if error.gone and not work.cancelled:
                    retries.again(self._database.adapter_id)
                    return None  # the other driver says what is the matter, or knows how to connect
                raise
            if not _fits(frame, way.kinds):
                self._ways.pop(id(statement), None)  # the table was changed
                return None
            if len(frame):
                frames.append(frame)
        return frames


def _fits(frame: pl.DataFrame, kinds: Sequence[Kind]) -> bool:
    """Whether columns came as their types were described."""
    import polars as pl

    for column, kind in zip(frame.get_columns(), kinds, strict=False):
        came = column.dtype
        if kind == "int":
            fits = came.is_integer()
        elif kind in {"timestamp", "timestamptz"}:
            fits = isinstance(came, pl.Datetime) and (came.time_zone is not None) == (kind == "timestamptz")
            fits = fits and getattr(came, "time_unit", "") == "us"
        else:
            fits = came == {"text": pl.String, "numeric": pl.String, "bool": pl.Boolean, "date": pl.Date}[kind]
        if not fits:
            return False
    return True
