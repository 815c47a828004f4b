"""What a session has on the disk: tags of own people in the order in which they were sent, tokens of both sides.

Owns: the parts of a session, encrypted, and comparing them. Refuses: numbers and names: there are none here, but for
the points of people who were not sent yet (`blinding.point`), which are as good as numbers and deleted once they were.
Everything here blocks; call it from a thread.

A part is written before the step that needs it is; written again it says the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.matching.blinding import POINT_BYTES, TOKEN_BYTES
from gateway.store.parts import PartFolder

TAG_BYTES: Final = 16
Rows = NDArray[np.bytes_]
"""16 bytes each, as numpy's S16: they can be compared, sorted and searched, and are equal only where all bytes are."""
NOBODY: Final = bytes(TAG_BYTES)


def rows_of(data: bytes) -> Rows:
    """Bytes as rows."""
    return np.frombuffer(data, f"S{TAG_BYTES}")


def joined(parts: Sequence[Rows]) -> Rows:
    """One after another."""
    return np.concatenate(parts) if parts else np.empty(0, f"S{TAG_BYTES}")


def within(these: Rows, those: Rows) -> NDArray[np.bool_]:
    """Which of these are among those. Their first halves are compared as numbers, which is fast, and the few that are
    left as a whole.
    """
    found = np.isin(_first_halves(these), _first_halves(those))
    places = found.nonzero()[0]
    if len(places):
        known = set(those[np.isin(_first_halves(those), _first_halves(these[places]))].tolist())
        found[places] = [row in known for row in these[places].tolist()]
    return found


def _first_halves(rows: Rows) -> NDArray[np.uint64]:
    return np.ascontiguousarray(rows).view(np.uint64).reshape(-1, 2)[:, 0]


class Columns:
    """The parts of one session; what was read is held.

    Args:
        folder: of the session.
    """

    def __init__(self, folder: PartFolder) -> None:
        self.folder = folder
        self._held: dict[str, Rows] = {}

    # own people

    def put_own(self, number: int, tags: bytes, points: bytes) -> None:
        """A column that is to be sent: tags of its rows, NOBODY for who stands for nobody; points of its people."""
        self.folder.write(f"points-{number:05d}", points)
        self._put(f"tags-{number:05d}", tags)

    def points(self, number: int) -> bytes:
        """Of a column that was not sent yet."""
        return self.folder.read(f"points-{number:05d}")

    def sent(self, number: int) -> None:
        """The points of a column are needed no more."""
        self.folder.remove(f"points-{number:05d}")

    def tags(self, count: int) -> Rows:
        """Of the rows of so many own columns."""
        return joined([self._get(f"tags-{number:05d}") for number in range(count)])

    def active(self, count: int) -> NDArray[np.bool_]:
        """Which of these rows are people who draw still."""
        active: NDArray[np.bool_] = self.tags(count) != NOBODY
        gone = self._gone("gone-")
        active[gone[gone < len(active)]] = False
        return active

    # tokens

    def put_answer(self, number: int, tokens: bytes) -> None:
        """Tokens that the other side gave for an own column."""
        self._put(f"answer-{number:05d}", tokens)

    def put_theirs(self, number: int, tokens: bytes) -> None:
        """Tokens of a column of the other side."""
        self._put(f"theirs-{number:05d}", tokens)

    def their(self, number: int) -> bytes:
        """The same again, as bytes."""
        return self._get(f"theirs-{number:05d}").tobytes()

    # who draws no more

    def put_gone(self, round_: int, places: Sequence[int]) -> None:
        """Places in own columns."""
        self.folder.write(f"gone-{round_:05d}", np.array(places, "<u4").tobytes())

    def put_their_gone(self, step: int, places: Sequence[int]) -> None:
        """Places in theirs, as a step told."""
        self.folder.write(f"left-{step:08d}", np.array(places, "<u4").tobytes())

    # comparing

    def newly_answered(self, number: int, theirs: int) -> int:
        """How many people of an own column are in so many of theirs."""
        people = self._get(f"tags-{number:05d}") != NOBODY
        return int(within(self._get(f"answer-{number:05d}")[people], self._theirs(theirs)).sum())

    def newly_come(self, number: int, answered: int) -> int:
        """How many rows of a column of theirs are own people in so many answered columns."""
        return int(
            within(self._get(f"theirs-{number:05d}"), self._answers(answered)[self.tags(answered) != NOBODY]).sum()
        )

    def common(self, answered: int, theirs: int) -> Rows:
        """Tags of own people who are in the columns of theirs; without those who draw no more, on either side."""
        left = self._gone("left-")
        their = self._theirs(theirs)
        stays = np.ones(len(their), np.bool_)
        stays[left[left < len(their)]] = False
        active = self.active(answered)
        return self.tags(answered)[active][within(self._answers(answered)[active], their[stays])]

    def _answers(self, count: int) -> Rows:
        return joined([self._get(f"answer-{number:05d}") for number in range(count)])

    def _theirs(self, count: int) -> Rows:
        return joined([self._get(f"theirs-{number:05d}") for number in range(count)])

    def _gone(self, prefix: str) -> NDArray[np.int64]:
        names = [name for name in self.folder.names() if name.startswith(prefix)]
        parts = [np.frombuffer(self.folder.read(name), "<u4") for name in names]
        return np.concatenate(parts).astype(np.int64) if parts else np.empty(0, np.int64)

    def _put(self, name: str, data: bytes) -> None:
        self.folder.write(name, data)
        self._held[name] = rows_of(data)

    def _get(self, name: str) -> Rows:
        held = self._held.get(name)
        if held is None:
            held = self._held[name] = rows_of(self.folder.read(name))
        return held


assert TAG_BYTES == TOKEN_BYTES  # noqa: S101  both are rows
assert POINT_BYTES == 2 * TAG_BYTES  # noqa: S101
