"""Pieces of a file: the same however the bytes come, and one row changes one piece."""

from __future__ import annotations

import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gateway.roster.decoding import Decoding
from gateway.roster.pieces import (
    DIGEST_BYTES,
    MAX_RECORDS,
    Pieces,
    matched,
    pieces_of,
    steps,
)
from gateway.roster.records import records

LINES = st.lists(st.sampled_from(["", "\r", 'x,"a\nb"', "x", "张三,330702194001010004"]) | st.text("ab,1", max_size=30))


def roster(rows: int, start: int = 0) -> list[str]:
    return [f"P{serial},33070219400101{serial:04d},张三,企业职工基本养老保险" for serial in range(start, start + rows)]


def as_bytes(rows: list[str]) -> bytes:
    return ("人员编号,证件号码,姓名,险种\n" + "".join(row + "\n" for row in rows)).encode()


def cut(data: bytes, size: int = 1 << 30) -> Pieces:
    found = pieces_of(data[at : at + size] for at in range(0, len(data), size))
    assert found is not None
    return found


@given(LINES, st.integers(1, 200), st.booleans())
def test_pieces_are_the_file_whatever_the_blocks(lines: list[str], size: int, ended: bool) -> None:
    data = ("head,er\n" + "\n".join(lines) + "\n" * ended).encode()
    found, other = cut(data), cut(data, size)
    assert (found.digests, found.sizes.tolist()) == (other.digests, other.sizes.tolist())
    assert found.records.tolist() == other.records.tolist()
    assert int(found.sizes.sum()) == len(data)
    place = 0
    for number, length in enumerate(found.sizes.tolist()):
        assert (
            found.digests[number * DIGEST_BYTES : (number + 1) * DIGEST_BYTES]
            == hashlib.sha256(data[place : place + length]).digest()[:DIGEST_BYTES]
        )
        place += length


@given(LINES, st.booleans())
def test_pieces_have_as_many_records_as_are_read(lines: list[str], ended: bool) -> None:
    data = ("head,er\n" + "\n".join(lines) + "\n" * ended).encode()
    read = sum(1 for _ in records(Decoding([data]), 1))
    assert int(cut(data).records.sum()) == read


def test_no_piece_is_longer_than_it_may_be() -> None:
    found = cut(as_bytes(["the same"] * 10_000))
    assert found.records.max() == MAX_RECORDS
    assert found.records.sum() == 10_001


def test_what_cannot_be_cut_by_bytes_has_no_pieces() -> None:
    assert pieces_of([as_bytes(roster(3)).decode().encode("utf-16")]) is None
    assert pieces_of([]) is None
    assert pieces_of([b"\n" + as_bytes(roster(3))]) is None


def test_changed_rows_change_the_pieces_that_they_stand_in_and_no_other() -> None:
    rows = roster(20_000)
    old = cut(as_bytes(rows))
    edited = list(rows)
    edited[5_000] += "x"
    del edited[10_000]
    edited.insert(15_000, "P,new,row,here")
    new = cut(as_bytes(edited))
    found = matched(new, old)
    assert (found < 0).sum() <= 6
    assert int(new.records[found < 0].sum()) <= 6 * MAX_RECORDS
    assert found[0] == 0


def test_under_another_header_nothing_is_the_same() -> None:
    data = as_bytes(roster(1_000))
    new, old = cut(data.replace("人员编号".encode(), b"reference", 1)), cut(data)
    assert (matched(new, old) == -1).all()


def test_no_piece_is_taken_twice() -> None:
    rows = roster(300)
    old, new = cut(as_bytes(rows)), cut(as_bytes(rows + rows))
    found = matched(new, old)
    taken = found[found >= 0]
    assert len(np.unique(taken)) == len(taken)


@given(st.lists(st.integers(-1, 50), min_size=1, max_size=60), st.data())
def test_steps_make_the_file_again(found: list[int], data: st.DataObject) -> None:
    sizes = np.array(data.draw(st.lists(st.integers(1, 9), min_size=len(found), max_size=len(found))), np.int64)
    places = np.cumsum(sizes) - sizes
    made: list[int] = []
    own_bytes = 0
    for step in steps(sizes, np.array(found, np.int64)):
        if step.copied:
            made += range(step.start, step.start + step.amount)
        else:
            first = int(np.searchsorted(places, step.start))
            count = int(np.searchsorted(np.cumsum(sizes), step.start + step.amount)) + 1 - first
            made += [-1] * count
            own_bytes += step.amount
    assert made == found
    assert own_bytes == int(sizes[np.array(found) < 0].sum())
