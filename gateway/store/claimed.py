"""Certifications of whole rosters at the once-only gate: packed columns in order of tags, in 1,024 drawers.

A roster of a million people is claimed in a few seconds only where nobody is touched one by one. So what a roster
claims lies in blocks: one row of the table for each drawer, by the first ten bits of the tag, its body an array of
`HELD` in order of tags. Claims of a few people, and those with further numbers or a face, are rows of the table
`certification`, which count before a block; the next large roster takes them into its blocks.

Owns: the table `claimed`, claiming many people in it (the rule is that of `gateway.store.certifications`, in columns;
tests hold both together), and finding, releasing and forgetting what lies there. Refuses: text, as the other.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from gateway.store.letters import one_at_a_time
from gateway.store.once_tables import CHECK_BYTES, TAG_BYTES, certification, claimed
from gateway.store.rows import Transaction
from wugan.federation.v1 import vocabulary_pb2 as words

DRAWERS: Final = 1_024
_SHIFT: Final = 6
"""Bits of the first two bytes of a tag that do not tell the drawer."""
PURGED_AT_ONCE: Final = 64

PACKED: Final = np.dtype(
    [
        ("tag", f"V{TAG_BYTES}"),
        ("person", f"V{TAG_BYTES}"),
        ("name", f"V{CHECK_BYTES}"),
        ("reference", f"V{CHECK_BYTES}"),
        ("benefit", "<i2"),
        ("row", "<i8"),
        ("certified_on", "<i4"),
    ]
)
"""A certification that succeeded; `unit` and `run` are those of all of them."""
_NAMES: Final = tuple(PACKED.names or ())
HELD: Final = np.dtype([*((name, PACKED[name]) for name in _NAMES), ("until_on", "<i4"), ("by", "<i4")])
"""A certification in force; `by`: place among the (unit, run) of the block."""
Packed = NDArray[np.void]
Held = NDArray[np.void]
By = tuple[str, bytes]


class Many(NamedTuple):
    """Certifications of some drawers that succeeded, in order of tags and rows.

    Args:
        unit, run: who certified.
        packed: columns of PACKED.
        cycle_days: how long each holds.
        first, last: drawers.
        faces: the tags are of faces, by which these people were certified: another person's face is refused, whoever
            certified whom.
    """

    unit: str
    run: bytes
    packed: Packed
    cycle_days: int
    first: int
    last: int
    faces: bool = False

    def __repr__(self) -> str:
        """Nothing of the people, whoever logs it."""
        return f"<Many of {self.unit}: {len(self.packed)}>"


class Refusals(NamedTuple):
    """Those that were refused: places, DuplicateKinds, and unit and day of the claim in force."""

    place: NDArray[np.int64]
    kind: NDArray[np.int8]
    unit: list[str]
    certified_on: NDArray[np.int32]


class ClaimMany:
    """How many are claimed; the result is those that were refused."""

    def apply(self, transaction: Transaction, payloads: Sequence[Many]) -> list[Refusals]:
        """As `gateway.store.writer.Kind`."""
        one_at_a_time(transaction)
        return [_claim(transaction, many) for many in payloads]


def drawers_of(tags: NDArray[np.void]) -> NDArray[np.int64]:
    """In which drawer each tag is."""
    first = np.frombuffer(tags.tobytes(), ">u2")[:: TAG_BYTES // 2]
    return (first >> _SHIFT).astype(np.int64)


def find_in_blocks(transaction: Transaction, tags: Sequence[bytes]) -> Iterable[tuple[Any, ...]]:
    """Of these tags those that lie in blocks, as rows of `certification`."""
    if not tags or not _any_block(transaction):
        return
    wanted = np.unique(np.frombuffer(b"".join(tags), f"S{TAG_BYTES}"))
    drawers, first = np.unique(drawers_of(wanted), return_index=True)
    every: list[int] = drawers.tolist()
    parts = dict(zip(every, np.split(wanted, first[1:]), strict=True))
    named: dict[bytes, list[By]] = {}
    for start in range(0, len(every), PURGED_AT_ONCE):
        these = every[start : start + PURGED_AT_ONCE]
        query = sa.select(claimed.c.drawer, claimed.c.body).where(claimed.c.drawer.in_(these))
        for drawer, body in transaction.connection.execute(query):
            held, by = _opened(body, changed=False, named=named)
            own, sought = _text(held["tag"]), parts[drawer]
            at = np.searchsorted(own, sought)
            there = at < len(own)
            at, sought = at[there], sought[there]
            for place in at[own[at] == sought].tolist():
                yield _row_of(held[place], by)


def release_in_blocks(transaction: Transaction, whose: Iterable[tuple[bytes, str, bytes, int]]) -> int:
    """Give up what was claimed with these (person, unit, run, row); how many that were. Looks through everything."""
    gone = 0
    wanted = list(whose)
    if not wanted:
        return 0
    for drawer, body in transaction.connection.execute(sa.select(claimed.c.drawer, claimed.c.body)).all():
        held, by = _opened(body)
        out = np.zeros(len(held), np.bool_)
        for person, unit, run, row in wanted:
            places = [at for at, each in enumerate(by) if each == (unit, run)]
            out |= (
                (_text(held["person"]) == person.rstrip(b"\x00")) & np.isin(held["by"], places) & (held["row"] == row)
            )
        if out.any():
            gone += int(out.sum())
            _put(transaction, {drawer: held[~out]}, by)
    return gone


def purge_blocks(transaction: Transaction, before_on: int) -> int:
    """Forget what ended before a day, of so many drawers; how much that was."""
    query = sa.select(claimed.c.drawer, claimed.c.body).where(claimed.c.oldest_on < before_on).limit(PURGED_AT_ONCE)
    gone = 0
    for drawer, body in transaction.connection.execute(query).all():
        held, by = _opened(body)
        stays = held["until_on"] >= before_on
        gone += int((~stays).sum())
        _put(transaction, {drawer: held[stays]}, by)
    return gone


def _claim(transaction: Transaction, many: Many) -> Refusals:
    held, by = _held(transaction, many.first, many.last)
    mine = (many.unit, many.run)
    own = by.index(mine) if mine in by else len(by)
    if own == len(by):
        by.append(mine)
    new = np.zeros(len(many.packed), HELD)
    for name in _NAMES:
        new[name] = many.packed[name]
    new["until_on"] = new["certified_on"] + np.int32(many.cycle_days)
    new["by"] = own
    kind = np.zeros(len(new), np.int8)
    against = np.zeros(len(new), np.int64)
    since = np.zeros(len(new), np.int32)
    tags = _text(new["tag"])
    for turn in _turns(tags):
        at = np.searchsorted(_text(held["tag"]), tags[turn])
        there = at < len(held)
        there[there] = _text(held["tag"])[at[there]] == tags[turn][there]
        met, other = turn[there], at[there]
        kind[met] = _kinds_of_faces(new[met], held[other]) if many.faces else _kinds(new[met], held[other], by)
        against[met], since[met] = held["by"][other], held["certified_on"][other]
        taken = kind[met] == 0
        held[other[taken]] = new[met[taken]]
        fresh = turn[~there]
        if len(fresh):
            held = np.concatenate([held, new[fresh]])
            held = held[np.argsort(_text(held["tag"]), kind="stable")]
    ends = np.searchsorted(drawers_of(held["tag"]), np.arange(many.first, many.last + 2))
    parts = {drawer: held[ends[at] : ends[at + 1]] for at, drawer in enumerate(range(many.first, many.last + 1))}
    _put(transaction, parts, by)
    refused = np.flatnonzero(kind)
    return Refusals(refused, kind[refused], [by[at][0] for at in against[refused].tolist()], since[refused])


def _kinds(new: Held, other: Held, by: Sequence[By]) -> NDArray[np.int8]:
    """Why one of the two is too many, 0: they are one registration, or the other's time is over. In columns what
    `gateway.store.certifications` says of two.
    """
    units = {unit: at for at, unit in enumerate(dict.fromkeys(unit for unit, _ in by))}
    unit = np.array([units[name] for name, _ in by], np.int64)
    again = new["by"] == other["by"]
    same_row = again & (new["row"] == other["row"])
    mine, theirs = _text(new["reference"]), _text(other["reference"])
    same_reference = ~again & (mine == theirs) & (mine != b"")
    names = _text(new["name"]), _text(other["name"])
    twice = again | (new["benefit"] != other["benefit"]) | _differ(mine, theirs)
    kinds = np.select(
        [
            other["until_on"] < new["certified_on"],
            unit[new["by"]] != unit[other["by"]],
            same_row | same_reference,
            _text(new["person"]) != _text(other["person"]),
            _differ(*names),
            twice,
        ],
        [
            0,
            words.DUPLICATE_KIND_OTHER_UNIT,
            0,
            words.DUPLICATE_KIND_OTHER_NUMBER,
            words.DUPLICATE_KIND_OTHER_NAME,
            words.DUPLICATE_KIND_TWICE,
        ],
        0,
    )
    return kinds.astype(np.int8)


def _kinds_of_faces(new: Held, other: Held) -> NDArray[np.int8]:
    """Whether a face is another person's."""
    another = (other["until_on"] >= new["certified_on"]) & (_text(new["person"]) != _text(other["person"]))
    return np.where(another, words.DUPLICATE_KIND_OTHER_FACE, 0).astype(np.int8)


def _differ(one: NDArray[np.bytes_], other: NDArray[np.bytes_]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (one != other) & (one != b"") & (other != b"")
    return found


def _turns(tags: NDArray[np.bytes_]) -> Iterable[NDArray[np.int64]]:
    """Places of the first claim of each tag, then of the second ones, and so on: each meets those before it."""
    if not len(tags):
        return
    new = np.ones(len(tags), np.bool_)
    new[1:] = tags[1:] != tags[:-1]
    place = np.arange(len(tags))
    turn = place - np.maximum.accumulate(np.where(new, place, 0))
    for number in range(int(turn.max()) + 1):
        yield np.flatnonzero(turn == number)


def _held(transaction: Transaction, first: int, last: int) -> tuple[Held, list[By]]:
    """What is in force in some drawers, in order of tags, each tag once; rows of the other table are moved here."""
    connection = transaction.connection
    query = sa.select(claimed.c.body).where(claimed.c.drawer.between(first, last)).order_by(claimed.c.drawer)
    by: dict[By, int] = {}
    parts = []
    for (body,) in connection.execute(query):
        held, own = _opened(body)
        places = np.array([by.setdefault(each, len(by)) for each in own], np.int32)
        held["by"] = places[held["by"]]
        parts.append(held)
    within = [certification.c.tag >= (first << _SHIFT).to_bytes(2)]
    if last < DRAWERS - 1:
        within.append(certification.c.tag < (last + 1 << _SHIFT).to_bytes(2))
    alone = connection.execute(sa.select(certification).where(*within)).all()
    if alone:
        connection.execute(sa.delete(certification).where(*within))
        parts.append(np.array([_record(row, by) for row in alone], HELD))
    together = np.concatenate(parts) if parts else np.zeros(0, HELD)
    if alone:
        together = together[np.argsort(_text(together["tag"]), kind="stable")]
        tags = _text(together["tag"])
        last_of = np.ones(len(tags), np.bool_)
        last_of[:-1] = tags[1:] != tags[:-1]
        together = together[last_of]
    return together, list(by)


def _record(row: Any, by: dict[By, int]) -> tuple[Any, ...]:
    whose = by.setdefault((row.unit, bytes(row.run)), len(by))
    checks = bytes(row.tag), bytes(row.person), bytes(row.name_check), bytes(row.reference_check)
    return (*checks, row.benefit, row.row, row.certified_on, row.until_on, whose)


def _row_of(held: Any, by: Sequence[By]) -> tuple[Any, ...]:
    """A record as a row of `certification`."""
    tag, person, name, reference, benefit, row, since, until, whose = held.tolist()
    unit, run = by[whose]
    return tag, person, name, reference, unit, benefit, run, row, since, until


def _put(transaction: Transaction, parts: dict[int, Held], by: Sequence[By]) -> None:
    """Write drawers anew; one that is empty is not there."""
    rows = [
        {"drawer": drawer, "oldest_on": int(held["until_on"].min()), "body": _closed(held, by)}
        for drawer, held in parts.items()
        if len(held)
    ]
    connection = transaction.connection
    connection.execute(sa.delete(claimed).where(claimed.c.drawer.in_(list(parts))))
    if rows:
        connection.execute(sa.insert(claimed), rows)


def _closed(held: Held, by: Sequence[By]) -> bytes:
    used, place = np.unique(held["by"], return_inverse=True)
    held = held.copy()
    held["by"] = place
    names = json.dumps([[by[at][0], by[at][1].hex()] for at in used.tolist()], ensure_ascii=False).encode()
    return len(names).to_bytes(4) + names + held.tobytes()


def _opened(body: Any, *, changed: bool = True, named: dict[bytes, list[By]] | None = None) -> tuple[Held, list[By]]:
    """A block, to be changed or only looked at; `named`: what was read of others, which mostly are by the same."""
    data = bytes(body)
    end = 4 + int.from_bytes(data[:4])
    known = {} if named is None else named
    by = known.get(data[4:end])
    if by is None:
        by = known[data[4:end]] = [(unit, bytes.fromhex(run)) for unit, run in json.loads(data[4:end])]
    held = np.frombuffer(data, HELD, offset=end)
    return held.copy() if changed else held, by


def _any_block(transaction: Transaction) -> bool:
    return transaction.connection.execute(sa.select(claimed.c.drawer).limit(1)).first() is not None


def _text(column: NDArray[np.void]) -> NDArray[np.bytes_]:
    """Fixed bytes that can be compared and put in order. Zeros at the end do not count, which makes no difference
    among texts of one length.
    """
    return np.ascontiguousarray(column).view(f"S{column.dtype.itemsize}")
