"""Following a table: of whom it has rows newer than those read before.

Owns: the place in a table (the growing column, then the key), reading on from it page by page, and going back over the
overlap so that a row committed late is not missed. Rows of the overlap that were dealt with already are remembered, in
memory and within bounds: what is told again after a restart does no harm. A row counts as dealt with for cursors that
came after it was told, and for no other: whoever asks again from an earlier cursor is told again. Refuses: the meaning
of rows, and rows deleted without a trace, which no growing column shows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypeAlias

from sqlalchemy import BindParameter, ColumnElement, and_, bindparam, literal, or_, select

from adapters.asked import normal
from adapters.contract import MAX_CELL_BYTES, MAX_CURSOR_BYTES, Changed
from adapters.database import Database, DatabaseError, Rows, Statement, Work
from adapters.errors import SourceFaultError
from adapters.lacking import wanting
from adapters.manifest.following import NUMBER, TIME, TableChanges
from adapters.manifest.model import TableManifest, TableRecords
from adapters.refused import fault_of
from adapters.values import text_of

MAX_REMEMBERED = 200_000
"""Rows of one overlap remembered; with more of them all are told again."""
MAX_NUMBER_CHARS = 64

Cell: TypeAlias = int | str | datetime
Place: TypeAlias = tuple[Cell, Cell]
"""Where a row stands: the growing column and the key."""


class People:
    """People collected for a `Changed`, each once."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._names)

    def add(self, number: object, name: object) -> None:
        """Somebody; who has no usable number is left out."""
        told = normal(number)
        if told and len(told) <= MAX_NUMBER_CHARS:
            text = text_of(name)
            self._names[told] = text if len(text.encode("utf-8", "replace")) <= MAX_CELL_BYTES else ""

    def changed(self, cursor: bytes, *, more: bool) -> Changed:
        """All of them."""
        return Changed(list(self._names), list(self._names.values()), cursor, more)


class TableFollower:
    """Follows the record sets of a manifest that have `changes`.

    Args:
        manifest: of kind `table`.
        database: where the tables are.
    """

    def __init__(self, manifest: TableManifest, database: Database) -> None:
        self._adapter_id = manifest.adapter_id
        self._database = database
        self._sets = [_Set(manifest, records, database) for records in manifest.records if records.changes is not None]

    def read(self, cursor: bytes, limit: int, work: Work) -> Changed:
        """See `ChangeFeed.changes`. Blocks; for a thread.

        Raises:
            SourceDownError: the database did not answer.
            SourceFaultError: it refused, a place cannot be followed, or the cursor is none of these.
        """
        places = self._places(cursor)
        people = People()
        more = False
        for one in self._sets:
            try:
                place = places.get(one.name)
                if place is None:
                    places[one.name] = one.newest(self._database, work)
                    continue
                room = limit - len(people)
                if room <= 0:
                    more = True
                    continue
                places[one.name], full = one.read(self._database, place, room, people, work)
                more = more or full
            except DatabaseError as error:
                raise fault_of(error, one.name, one.statement, self._database, work, one.wanted) from error
            except _UnfollowableError as error:
                raise SourceFaultError(
                    f"{self._adapter_id}: {one.name!r} cannot be followed by its `changes` columns ({error.en})",
                    f"{self._adapter_id}：{one.name!r} 无法按 changes 所写的列跟踪变化（{error.zh}）",
                ) from error
        return people.changed(self._written(places), more=more)

    def _places(self, cursor: bytes) -> dict[str, _Reading]:
        if not cursor:
            return {}
        try:
            known = json.loads(cursor)
            return {str(name): _Reading.of(value) for name, value in known.items()}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise SourceFaultError(
                f"{self._adapter_id}: the cursor is none of this adapter's", f"{self._adapter_id}：游标不属于该接入"
            ) from error

    def _written(self, places: dict[str, _Reading]) -> bytes:
        known = {one.name for one in self._sets}
        written = json.dumps({name: place.written() for name, place in places.items() if name in known}).encode()
        if len(written) > MAX_CURSOR_BYTES:
            raise SourceFaultError(
                f"{self._adapter_id}: the key columns of `changes` are too long",
                f"{self._adapter_id}：changes 的键列过长",
            )
        return written


class _UnfollowableError(Exception):
    """A value is none that can be gone on from."""

    def __init__(self, en: str, zh: str) -> None:
        super().__init__(en)
        self.en = en
        self.zh = zh


class _Reading:
    """How far a record set was read: its furthest row, and the row from which is gone on (None: from the start).

    Args:
        high: see above.
        at: see above.
        turn: grows with every reading that told of somebody, so that a cursor tells what was told before it.
    """

    __slots__ = ("at", "high", "turn")

    def __init__(self, high: Place | None, at: tuple[Cell, Cell | None] | None, turn: int = 0) -> None:
        self.high = high
        self.at = at
        self.turn = turn

    @classmethod
    def of(cls, value: Sequence[object]) -> _Reading:
        high, at, *more = value
        turn = more[0] if more else 0
        if len(more) > 1 or not isinstance(turn, int) or turn < 0:
            raise TypeError("no reading")
        return cls(_place(high), _bound(at), turn)

    def written(self) -> list[object]:
        return [_plain(self.high), _plain(self.at), self.turn]


class _Set:
    """One record set."""

    def __init__(self, manifest: TableManifest, records: TableRecords, database: Database) -> None:
        identity = manifest.identity_of(records)
        assert records.changes is not None  # noqa: S101  only such sets are followed
        self.name = records.name
        self.wanted = wanting(manifest, records)
        self._settings: TableChanges = records.changes
        names = [self._settings.column, self._settings.key, identity.column]
        if identity.name:
            names.append(identity.name)
        distinct = tuple(dict.fromkeys(names))
        self.statement: Statement = database.statement(records.table, records.query, distinct, identity.column)
        source = self.statement.source
        self._growing, self._key = source.c[names[0]], source.c[names[1]]
        self._columns = [source.c[name] for name in names]
        self._seen: dict[bytes, tuple[Cell, int]] = {}
        """Rows told, with their growing column and the turn of the cursors that came after."""

    def newest(self, database: Database, work: Work) -> _Reading:
        """The end of the table, from which on is told."""
        chosen = select(self._growing, self._key).where(self._growing.is_not(None))
        rows = database.read(chosen.order_by(self._growing.desc(), self._key.desc()).limit(1), work)
        high = (_cell(rows[0][0]), _cell(rows[0][1])) if rows else None
        return _Reading(high, high)

    def read(
        self, database: Database, reading: _Reading, room: int, people: People, work: Work
    ) -> tuple[_Reading, bool]:
        """Rows after a place, into `people`; where to go on, and whether there are more."""
        chosen = select(*self._columns).where(self._growing.is_not(None))
        if reading.at is not None:
            chosen = chosen.where(self._after(*reading.at))
        rows: Rows = database.read(chosen.order_by(self._growing, self._key).limit(room), work)
        high, turn, after = reading.high, reading.turn, reading.turn + 1
        for row in rows:
            place = (_cell(row[0]), _cell(row[1]))
            mark = hashlib.blake2b(repr(place).encode(), digest_size=16).digest()
            told = self._seen.get(mark)
            if (told is not None and told[1] <= reading.turn) or (high is not None and place == reading.high):
                continue
            if len(self._seen) >= MAX_REMEMBERED:
                self._seen.clear()
            self._seen[mark] = place[0], after
            turn = after
            people.add(row[2], row[3] if len(row) > 3 else "")
        if rows:
            last = (_cell(rows[-1][0]), _cell(rows[-1][1]))
            high = last if high is None or not _less(last, high) else high
            if len(rows) == room:
                return _Reading(high, last, turn), True
        return _Reading(high, self._behind(high), turn), False

    def _after(self, value: Cell, key: Cell | None) -> ColumnElement[bool]:
        bound: BindParameter[Cell] = bindparam(None, value, unique=True)
        if key is None:
            return self._growing >= bound
        return or_(self._growing > bound, and_(self._growing == bound, self._key > literal(key)))

    def _behind(self, high: Place | None) -> tuple[Cell, Cell | None] | None:
        """Where the overlap begins; what is remembered from before it is forgotten."""
        if high is None:
            return None
        back, value = self._settings.back, high[0]
        if self._settings.form == NUMBER:
            if not isinstance(value, int):
                raise _UnfollowableError("no number", "不是数值")
            start: Cell = value - back
        elif self._settings.form == TIME:
            if not isinstance(value, datetime):
                raise _UnfollowableError(
                    "no time; say by `form` how its text reads", "不是时间，请用 form 说明其文本格式"
                )
            start = value - timedelta(seconds=back)
        else:
            try:
                # Without a zone on purpose: it is only written down again in the same way.
                moment = datetime.strptime(str(value), self._settings.form)  # noqa: DTZ007
            except ValueError as error:
                raise _UnfollowableError("does not read as its `form` says", "与 form 所写格式不符") from error
            start = (moment - timedelta(seconds=back)).strftime(self._settings.form)
        self._seen = {mark: known for mark, known in self._seen.items() if not _less((known[0], 0), (start, 0))}
        return start, None


def _less(one: tuple[Cell, Cell], other: tuple[Cell, Cell]) -> bool:
    """Whether a place lies before another, by the growing column alone where the keys cannot be compared."""
    try:
        if one[0] != other[0]:
            return bool(one[0] < other[0])  # type: ignore[operator]
        return bool(one[1] < other[1])  # type: ignore[operator]
    except TypeError:
        return False


def _cell(value: object) -> Cell:
    if isinstance(value, bool) or value is None:
        raise _UnfollowableError("a value is missing or no number, time or text", "值缺失，或不是数值、时间、文本")
    if isinstance(value, Decimal) and value == int(value):
        return int(value)
    if isinstance(value, int | datetime):
        return value
    if isinstance(value, str) and len(value) <= 200:
        return value
    raise _UnfollowableError("a value is no number, time or short text", "值不是数值、时间或短文本")


def _plain(place: tuple[Cell, Cell | None] | None) -> list[object] | None:
    if place is None:
        return None
    return [{"t": cell.isoformat()} if isinstance(cell, datetime) else cell for cell in place]


def _read_cell(value: object) -> Cell:
    if isinstance(value, dict):
        return datetime.fromisoformat(str(value["t"]))
    if isinstance(value, int | str):
        return value
    raise TypeError("no cell")


def _place(value: object) -> Place | None:
    bound = _bound(value)
    if bound is None:
        return None
    if bound[1] is None:
        raise TypeError("no place")
    return bound[0], bound[1]


def _bound(value: object) -> tuple[Cell, Cell | None] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2:
        raise TypeError("no place")
    return _read_cell(value[0]), None if value[1] is None else _read_cell(value[1])
