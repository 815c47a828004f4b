"""A large file's rows in columns on the disk, sorted by person: what the index keeps instead of rows in a database.

Owns: the columns of one file in a folder of their own, written once and never changed; whose they are by keyed tags
(`Tags`), names encrypted in counter mode under a key of the segment's own, so that any of them can be opened alone.
What was written is held against a keyed digest when it is opened again. Refuses: plaintext numbers and names, even for
a moment: what is put aside until it can be sorted is encrypted as well.

Sorting is by tag, whose first bits cut the file into parts of equal size: each is sorted by itself, in little memory.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from adapters.tags import Tags, Words

if TYPE_CHECKING:
    import polars as pl

COLUMNS: Final = ("kind", "region", "observed_on", "available_on", "strength", "detail", "from_on", "until_on")
_OTHERS: Final = ("high", "low", "names", "name_ends", "references", "reference_ends")
_CUTS: Final = 16
_ABOUT: Final = "about.json"
_BLOCK: Final = 16
Ints = NDArray[np.int32]
Places = NDArray[np.intp]


class SegmentBrokenError(Exception):
    """A segment is damaged, or was made with other keys."""


@dataclass(slots=True)
class _Bytes:
    """Texts of different lengths, one after another."""

    data: NDArray[np.uint8]
    lengths: NDArray[np.uint16]

    @classmethod
    def of(cls, texts: pl.Series) -> _Bytes:
        data = np.frombuffer("".join(texts.to_list()).encode(), np.uint8)
        return cls(data, texts.str.len_bytes().to_numpy().astype(np.uint16))

    def take(self, order: Places) -> _Bytes:
        """The texts in another order."""
        lengths = self.lengths.astype(np.int64)
        starts = np.cumsum(lengths) - lengths
        wanted = lengths[order]
        within = np.arange(wanted.sum()) - np.repeat(np.cumsum(wanted) - wanted, wanted)
        return _Bytes(self.data[np.repeat(starts[order], wanted) + within], self.lengths[order])


class SegmentWriter:
    """Writes one segment.

    Args:
        folder: to be made.
        secret: of the index.

    Attributes:
        folder: that one.
        rows: how many were added.
    """

    def __init__(self, folder: Path, secret: bytes) -> None:
        self.folder = folder
        self._secret = secret
        self._tags = Tags(secret)
        self._cuts: list[BinaryIO] = []
        aside = Cipher(algorithms.AES(os.urandom(32)), modes.CTR(bytes(_BLOCK)))
        self._aside, self._back = aside.encryptor(), aside
        folder.mkdir(mode=0o700, parents=True)
        for cut in range(_CUTS):
            self._cuts.append(_private(folder / f"aside-{cut}"))
        self._names_at: list[list[int]] = [[] for _ in range(_CUTS)]
        self._written = 0
        self.rows = 0

    def add(self, numbers: pl.Series, names: pl.Series, columns: dict[str, Ints], references: pl.Series) -> None:
        """Add rows; a row whose kind is 0 says only that the person is known."""
        tags = self._tags.of_column(numbers)
        cut = (tags[:, 0] >> np.uint64(60)).astype(np.intp)
        order = np.argsort(cut, kind="stable")
        ends = np.searchsorted(cut[order], np.arange(_CUTS + 1))
        name, reference = _Bytes.of(names).take(order), _Bytes.of(references).take(order)
        name_ends = np.concatenate([[0], np.cumsum(name.lengths, dtype=np.int64)])
        reference_ends = np.concatenate([[0], np.cumsum(reference.lengths, dtype=np.int64)])
        matrix = np.stack([columns[each] for each in COLUMNS])
        for number, stream in enumerate(self._cuts):
            rows = slice(ends[number], ends[number + 1])
            count = rows.stop - rows.start
            if not count:
                continue
            names_of = name.data[name_ends[rows.start] : name_ends[rows.stop]]
            references_of = reference.data[reference_ends[rows.start] : reference_ends[rows.stop]]
            np.array([count, len(names_of), len(references_of)], np.int64).tofile(stream)
            tags[order[rows]].tofile(stream)
            matrix[:, order[rows]].tofile(stream)
            name.lengths[rows].tofile(stream)
            reference.lengths[rows].tofile(stream)
            references_of.tofile(stream)
            # One stream over everything that is put aside: opened again from the place where each piece stands.
            self._names_at[number].append(self._written)
            stream.write(self._aside.update(names_of.tobytes()))
            self._written += len(names_of)
        self.rows += len(numbers)

    def finish(self) -> None:
        """Sort what was added and write the columns."""
        key = os.urandom(32)
        names = Cipher(algorithms.AES(_named(self._secret, key)), modes.CTR(bytes(_BLOCK))).encryptor()
        files = {name: _Out(self.folder / name, self._secret) for name in (*_OTHERS, *COLUMNS)}
        name_end = reference_end = 0
        for number, stream in enumerate(self._cuts):
            stream.close()
            path = self.folder / f"aside-{number}"
            tags, matrix, name, reference = self._read(path, self._names_at[number])
            path.unlink()
            order = np.lexsort((tags[:, 1], tags[:, 0]))
            files["high"].write(tags[order, 0])
            files["low"].write(tags[order, 1])
            for at, column in enumerate(COLUMNS):
                files[column].write(matrix[at][order])
            name, reference = name.take(order), reference.take(order)
            files["names"].write(np.frombuffer(names.update(name.data.tobytes()), np.uint8))
            files["references"].write(reference.data)
            files["name_ends"].write(name_end + np.cumsum(name.lengths, dtype=np.int64))
            files["reference_ends"].write(reference_end + np.cumsum(reference.lengths, dtype=np.int64))
            name_end, reference_end = name_end + len(name.data), reference_end + len(reference.data)
        constant = {name: out.constant for name, out in files.items() if name in COLUMNS and out.is_constant}
        for each in constant:
            files[each].drop()
        digests = {name: out.close() for name, out in files.items() if name not in constant}
        about = {"rows": self.rows, "key": key.hex(), "constant": constant, "digests": digests}
        with _private(self.folder / _ABOUT) as stream:
            stream.write(json.dumps(about).encode())

    def give_up(self) -> None:
        """Leave nothing behind."""
        for stream in self._cuts:
            stream.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _read(self, path: Path, names_at: Sequence[int]) -> tuple[Words, NDArray[np.int32], _Bytes, _Bytes]:
        """What was put aside of one cut."""
        data = np.fromfile(path, np.uint8)
        at = 0

        def next_of(kind: Any, count: int) -> NDArray[Any]:
            nonlocal at
            size = np.dtype(kind).itemsize * count
            found = data[at : at + size].view(kind) if size else np.zeros(0, kind)
            at += size
            return found

        tags: list[Words] = [np.zeros((0, 2), np.uint64)]
        matrices: list[Ints] = [np.zeros((len(COLUMNS), 0), np.int32)]
        texts: list[list[NDArray[Any]]] = [[np.zeros(0, np.uint16)], [np.zeros(0, np.uint16)], [], []]
        for place in names_at:
            head = data[at : at + 24].tobytes()
            at += 24
            count, name_bytes, reference_bytes = np.frombuffer(head, np.int64).tolist()
            tags.append(np.frombuffer(next_of(np.uint8, 16 * count).tobytes(), np.uint64).reshape(-1, 2))
            size = 4 * count * len(COLUMNS)
            matrices.append(np.frombuffer(next_of(np.uint8, size).tobytes(), np.int32).reshape(len(COLUMNS), count))
            texts[0].append(np.frombuffer(next_of(np.uint8, 2 * count).tobytes(), np.uint16))
            texts[1].append(np.frombuffer(next_of(np.uint8, 2 * count).tobytes(), np.uint16))
            texts[3].append(next_of(np.uint8, reference_bytes))
            texts[2].append(_opened(self._back, place, next_of(np.uint8, name_bytes)))
        empty = np.zeros(0, np.uint8)
        name = _Bytes(np.concatenate([empty, *texts[2]]), np.concatenate(texts[0]))
        reference = _Bytes(np.concatenate([empty, *texts[3]]), np.concatenate(texts[1]))
        return np.concatenate(tags), np.concatenate(matrices, axis=1), name, reference


class Segment:
    """A segment to be read; the columns are read where they stand, from the disk's cache.

    Args:
        folder: of the segment.
        secret: of the index.

    Raises:
        SegmentBrokenError: it is damaged, or was made with another secret.
    """

    def __init__(self, folder: Path, secret: bytes) -> None:
        try:
            about = json.loads((folder / _ABOUT).read_bytes())
            rows, constant = int(about["rows"]), dict(about["constant"])
            for name, digest in about["digests"].items():
                if not hmac.compare_digest(_digest(folder / name, secret), digest):
                    raise SegmentBrokenError("a segment of the index is damaged")
            self._columns: dict[str, Ints | int] = {
                name: int(constant[name]) if name in constant else _mapped(folder / name, np.int32) for name in COLUMNS
            }
            self._high, self._low = (_mapped(folder / name, np.uint64) for name in ("high", "low"))
            self._name_ends = _mapped(folder / "name_ends", np.int64)
            self._reference_ends = _mapped(folder / "reference_ends", np.int64)
            self._names = _mapped(folder / "names", np.uint8)
            self._references = _mapped(folder / "references", np.uint8)
            key = _named(secret, bytes.fromhex(about["key"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise SegmentBrokenError("a segment of the index cannot be read") from error
        if len(self._high) != rows:
            raise SegmentBrokenError("a segment of the index is damaged")
        self._cipher = Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305  the blocks of counter mode

    def find(self, tags: Words) -> tuple[Places, Places]:
        """For everybody's rows: whose tag it is, by its place, and the row; in the order of the tags given."""
        order = np.argsort(tags[:, 0])
        wanted = tags[order, 0]
        high, low = self._high, self._low
        start = np.searchsorted(high, wanted, "left")
        whose, rows = [], []
        at = np.arange(len(order))
        # Few people have many rows: as often as the one with the most, everybody's next row is looked at.
        while len(at):
            inside = start < len(high)
            at, start = at[inside], start[inside]
            same = high[start] == wanted[at]
            at, start = at[same], start[same]
            mine = low[start] == tags[order[at], 1]
            whose.append(order[at[mine]])
            rows.append(start[mine])
            start = start + 1
        found, row = np.concatenate([np.zeros(0, np.intp), *whose]), np.concatenate([np.zeros(0, np.intp), *rows])
        sorting = np.lexsort((row, found))
        return found[sorting], row[sorting]

    def column(self, name: str, rows: Places) -> Ints:
        """A column of some rows."""
        column = self._columns[name]
        if isinstance(column, int):
            return np.full(len(rows), column, np.int32)
        taken: Ints = column[rows]
        return taken

    def references(self, rows: Places) -> list[str]:
        """The departments' references of some rows."""
        starts, lengths = _spans(self._reference_ends, rows)
        if not lengths.any():
            return [""] * len(rows)
        return _texts(self._references[_indices(starts, lengths)], lengths)

    def names(self, rows: Places) -> list[str]:
        """The names of some rows, opened."""
        starts, lengths = _spans(self._name_ends, rows)
        if not lengths.any():
            return [""] * len(rows)
        first = starts // _BLOCK
        counts = np.where(lengths > 0, (starts + lengths - 1) // _BLOCK - first + 1, 0)
        counters = np.zeros((int(counts.sum()), 2), ">u8")
        counters[:, 1] = _indices(first, counts)
        stream = np.frombuffer(self._cipher.encryptor().update(counters.tobytes()), np.uint8)
        # Each row's own bytes begin after the blocks of the rows before, at its place in its block.
        begins = (np.cumsum(counts) - counts) * _BLOCK + starts % _BLOCK
        opened = self._names[_indices(starts, lengths)] ^ stream[_indices(begins, lengths)]
        return _texts(opened, lengths)


class _Out:
    """A column's file while it is written."""

    def __init__(self, path: Path, secret: bytes) -> None:
        self._path = path
        self._stream = _private(path)
        self._digest = hashlib.blake2b(key=secret, digest_size=16)
        self._least: int | None = None
        self._most: int | None = None

    @property
    def is_constant(self) -> bool:
        return self._least == self._most

    @property
    def constant(self) -> int:
        return self._least or 0

    def write(self, values: NDArray[Any]) -> None:
        if values.ndim == 1 and len(values):
            least, most = int(values.min()), int(values.max())
            self._least = least if self._least is None else min(self._least, least)
            self._most = most if self._most is None else max(self._most, most)
        data = np.ascontiguousarray(values).data
        self._stream.write(data)
        self._digest.update(data)

    def close(self) -> str:
        self._stream.close()
        return self._digest.hexdigest()

    def drop(self) -> None:
        self._stream.close()
        self._path.unlink()


def _private(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _named(secret: bytes, key: bytes) -> bytes:
    return hmac.digest(secret, b"wugan-index-names" + key, "sha256")


def _digest(path: Path, secret: bytes) -> str:
    digest = hashlib.blake2b(key=secret, digest_size=16)
    with path.open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _mapped(path: Path, kind: Any) -> NDArray[Any]:
    return np.zeros(0, kind) if not path.stat().st_size else np.memmap(path, kind, "r")


def _opened(cipher: Cipher[Any], place: int, sealed: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Bytes of a stream in counter mode that begins at zero, from a place on."""
    within = place % _BLOCK
    mode = modes.CTR((place // _BLOCK).to_bytes(_BLOCK, "big"))
    opening = Cipher(cipher.algorithm, mode).decryptor()
    opening.update(bytes(within))
    return np.frombuffer(opening.update(sealed.tobytes()), np.uint8)


def _spans(ends: NDArray[np.int64], rows: Places) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the texts of rows begin, and how long they are."""
    stop = np.asarray(ends[rows])
    start = np.where(rows > 0, ends[np.maximum(rows - 1, 0)], 0)
    return start, stop - start


def _indices(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Every place of these spans, one after another."""
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    indices: NDArray[np.int64] = np.repeat(starts, lengths) + within
    return indices


def _texts(data: NDArray[np.uint8], lengths: NDArray[np.int64]) -> list[str]:
    """Texts cut out of bytes that hold one after another."""
    whole = data.tobytes()
    ends = np.cumsum(lengths).tolist()
    try:
        if whole.isascii():
            text = whole.decode("ascii")
            return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]
        return [whole[start:end].decode() for start, end in zip([0, *ends], ends, strict=False)]
    except UnicodeDecodeError as error:
        raise SegmentBrokenError("a name of the index does not open") from error
