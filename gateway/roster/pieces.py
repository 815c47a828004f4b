"""A delimited file as pieces that end where a record ends, so that two files of the same roster share most of them.

Owns: where pieces end, their digests, how many records each has, and what of a file another one does not have. Where a
piece ends is told by the record before it, so a row that is put in or taken out changes the piece that it stands in and
no other. The client cuts by the same rule as the gateway. Refuses: encodings and cells.

A piece ends after a record whose hash has its five highest bits clear, about every 32 records, and after 256 records in
any case. The hash is taken of 8 bytes at four places of the record; of one shorter than that there is none. The
first record, the header, is a piece of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

DIGEST_BYTES: Final = 16
"""Of the SHA-256 of a piece: two pieces are told apart, nobody has to be kept from making two alike."""
MAX_RECORDS: Final = 256
MAX_RECORD_BYTES: Final = 1 << 16
"""Longest record; a quote that is never closed would make one of all that follows."""
UTF16: Final = (b"\xff\xfe", b"\xfe\xff")
"""How files begin that cannot be cut by bytes."""
_MASK_BITS: Final = np.uint64(59)
_PLACES: Final = (
    (0, np.uint64(0xC2B2AE3D27D4EB4F)),
    (10, np.uint64(0x165667B19E3779F9)),
    (20, np.uint64(0x85EBCA77C2B2AE63)),
    (48, np.uint64(0x27D4EB2F165667C5)),
)
_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)
_WORD: Final = 8
QUOTE, NEWLINE, RETURN = 0x22, 0x0A, 0x0D

Index = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """The pieces of a file, in order.

    Args:
        digests: of all, one behind the other.
        sizes: bytes of each.
        records: how many each has; blank lines are none.
    """

    digests: bytes
    sizes: Index
    records: Index

    @property
    def root(self) -> bytes:
        """SHA-256 of the digests: stands for the whole file."""
        return hashlib.sha256(self.digests).digest()

    def __len__(self) -> int:
        """How many."""
        return len(self.sizes)


class Step(NamedTuple):
    """How a file is made of another one: a part of its own, or pieces of the other.

    Args:
        start: place of the part in the file, or number of the other's first piece.
        amount: bytes, or pieces.
        copied: whether it is the latter.
    """

    start: int
    amount: int
    copied: bool


def pieces_of(blocks: Iterable[bytes], *, header: bool = True) -> Pieces | None:
    """The pieces of a file; None where it cannot be cut: no line ends, or another encoding.

    Args:
        blocks: its bytes, in blocks of any size.
        header: whether it begins with one.
    """
    digests: list[bytes] = []
    sizes: list[Index] = []
    counts: list[Index] = []
    for text, ends, records in _cuts(blocks, header=header):
        if header and not digests and (text.startswith(UTF16) or not records[0]):
            return None
        view = memoryview(text)
        start = 0
        for end in ends.tolist():
            digests.append(hashlib.sha256(view[start:end]).digest()[:DIGEST_BYTES])
            start = end
        sizes.append(np.diff(ends, prepend=0))
        counts.append(records)
    if not digests:
        return None
    return Pieces(b"".join(digests), np.concatenate(sizes), np.concatenate(counts))


def matched(new: Pieces, old: Pieces) -> Index:
    """For each piece the one of another file that it equals, -1 where there is none. None is taken twice."""
    found = np.full(len(new), -1, np.int64)
    if not len(new) or not len(old):
        return found
    mine, theirs = (np.frombuffer(each.digests, f"S{DIGEST_BYTES}") for each in (new, old))
    _, code = np.unique(np.concatenate((mine, theirs)), return_inverse=True)
    # Of equal ones the first is the other's first, the second its second.
    wanted, there = (_with_turns(part, len(code)) for part in (code[: len(mine)], code[len(mine) :]))
    order = np.argsort(there)
    at = order[np.minimum(np.searchsorted(there, wanted, sorter=order), len(there) - 1)]
    same = there[at] == wanted
    found[same] = at[same]
    if found[0] != 0:  # under another header the same bytes mean something else
        found[:] = -1
    return found


def _with_turns(code: Index, turns: int) -> Index:
    """Codes, of which there are several, made different by which of its kind each is, counted from 0 to less than so
    many.
    """
    order = np.argsort(code, kind="stable")
    inside = code[order]
    new = np.ones(len(code), np.bool_)
    new[1:] = inside[1:] != inside[:-1]
    place = np.arange(len(code))
    turn = np.empty(len(code), np.int64)
    turn[order] = place - np.maximum.accumulate(np.where(new, place, 0))
    return code * np.int64(turns) + turn


def steps(sizes: Index, found: Index) -> list[Step]:
    """How a file is made of another one.

    Args:
        sizes: bytes of its pieces.
        found: see `matched`.
    """
    if not len(found):
        return []
    own = found < 0
    breaks = np.flatnonzero((own[1:] != own[:-1]) | (~own[1:] & (np.diff(found) != 1))) + 1
    places = np.concatenate((np.zeros(1, np.int64), np.cumsum(sizes)))
    made = []
    for first, last in zip([0, *breaks.tolist()], [*breaks.tolist(), len(found)], strict=True):
        if own[first]:
            made.append(Step(int(places[first]), int(places[last] - places[first]), copied=False))
        else:
            made.append(Step(int(found[first]), last - first, copied=True))
    return made


def _cuts(blocks: Iterable[bytes], *, header: bool) -> Iterator[tuple[bytes, Index, Index]]:
    """Text, where the pieces in it end, and their records. Each text begins where a piece begins."""
    rest = b""
    first = header
    for block in blocks:
        text = rest + block
        ends = ends_of(text)
        if first and len(ends):
            end = int(ends[0]) + 1
            yield text[:end], np.array([end]), np.array([int(bool(text[:end].strip()))])
            text, ends, first = text[end:], ends[1:] - end, False
        chosen = _chosen(text, ends)
        if len(chosen):
            yield text[: ends[chosen[-1]] + 1], ends[chosen] + 1, _records(text, ends, chosen)
            rest = text[ends[chosen[-1]] + 1 :]
        else:
            rest = text
        if len(rest) > MAX_RECORDS * MAX_RECORD_BYTES:
            return  # no roster: it is refused when it is read
    if rest:
        ends = ends_of(rest)
        tail = int(ends[-1]) + 1 if len(ends) else 0
        records = _records(rest, ends, np.array([len(ends) - 1])) if len(ends) else np.zeros(1, np.int64)
        yield rest, np.array([len(rest)]), records + int(bool(rest[tail:].strip()))


def ends_of(text: bytes) -> Index:
    """Where the line ends are that end a record: those outside of quotes (RFC 4180)."""
    characters = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(characters == NEWLINE)
    if b'"' not in text:
        return ends
    quotes = np.flatnonzero(characters == QUOTE)
    outside: Index = ends[np.searchsorted(quotes, ends) % 2 == 0]
    return outside


def blank_records(text: bytes, ends: Index) -> NDArray[np.bool_] | None:
    """Which of the records that end there are blank lines; None: none is."""
    length = np.diff(ends, prepend=-1)
    short = np.flatnonzero(length <= 2)
    if not len(short):
        return None
    blank = np.zeros(len(ends), np.bool_)
    characters = np.frombuffer(text, np.uint8)
    blank[short] = (length[short] == 1) | (characters[ends[short] - length[short] + 1] == RETURN)
    return blank if blank.any() else None


def _chosen(text: bytes, ends: Index) -> Index:
    """Which of the records end a piece; the text begins where a piece begins."""
    if not len(ends):
        return ends
    starts = np.concatenate((np.zeros(1, np.int64), ends[:-1] + 1))
    content = np.flatnonzero(_marks(text, starts, ends))
    before = np.concatenate((np.array([-1]), content))
    gaps = np.diff(before, append=len(ends) + MAX_RECORDS) - 1
    gaps[-1] = len(ends) - 1 - before[-1]  # behind the last there is no end of content yet
    more = gaps // MAX_RECORDS
    if not more.any():
        return content
    forced = np.repeat(before, more) + MAX_RECORDS * (
        np.arange(more.sum()) - np.repeat(np.cumsum(more) - more, more) + 1
    )
    return np.union1d(content, forced)


def _marks(text: bytes, starts: Index, ends: Index) -> NDArray[np.bool_]:
    """Whether a piece ends after each record, by its own bytes."""
    if len(text) < _WORD:
        return np.zeros(len(ends), np.bool_)
    words: NDArray[np.uint64] = np.ndarray((len(text) - _WORD + 1,), np.dtype("<u8"), text, strides=(1,))
    short = ends - starts < _WORD
    last = np.maximum(ends - _WORD, 0)
    total = np.zeros(len(ends), np.uint64)
    for place, factor in _PLACES:
        total ^= words[np.minimum(starts + place, last)] * factor
    marks: NDArray[np.bool_] = (total * _FACTOR) >> _MASK_BITS == 0
    marks[short] = False
    return marks


def _records(text: bytes, ends: Index, chosen: Index) -> Index:
    """How many records the pieces have that end with the chosen ones."""
    blank = blank_records(text, ends)
    if blank is None:
        return np.diff(chosen, prepend=-1)
    filled = np.concatenate((np.zeros(1, np.int64), np.cumsum(~blank)))
    return np.diff(filled[chosen + 1], prepend=0)
