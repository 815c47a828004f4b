"""Under which names a source holds the people of a question, from whole columns of names.

Owns: telling each person's name once, however many rows had it. Nearly all of them have the name that was asked: those
rows are told apart from the rest by one comparison of columns, and only the rest is looked at by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from adapters.asked import Asked
from adapters.contract import Holders, Int32
from adapters.texts import Texts, series_of
from adapters.values import text_of

if TYPE_CHECKING:
    import polars as pl

Mask = NDArray[np.bool_]


class Held:
    """The holders of one answer.

    Args:
        asked: its numbers.
    """

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        count = len(asked.numbers)
        self._as_asked = np.zeros(count, np.bool_)
        self._nameless = np.zeros(count, np.bool_)
        self._otherwise: list[tuple[Int32, pl.Series]] = []

    def add(self, positions: Int32, names: pl.Series | None, counts: Mask | None = None) -> None:
        """People that a source knows.

        Args:
            positions: whose each row is.
            names: as the source has them, null where there is none; None: it has none at all.
            counts: the rows that count; None: every one.
        """
        if names is None:
            self._nameless[positions if counts is None else positions[counts]] = True
            return
        # A name with blanks around it is not the name as asked, whatever was asked.
        equal = names == self._asked.trimmed_names.gather(positions)
        same = (equal.fill_null(value=False) if equal.null_count() else equal).to_numpy()
        self._as_asked[positions[same if counts is None else same & counts]] = True
        rest = ~same if counts is None else counts & ~same
        if rest.any():
            others = np.flatnonzero(rest)
            self.add_names(positions[others], self._trimmed(names.gather(others)))

    def add_names(self, positions: Int32, names: Sequence[str]) -> None:
        """The same for trimmed names."""
        series = series_of(names)
        nameless = (series == "").to_numpy()
        self._nameless[positions[nameless]] = True
        if not nameless.all():
            named = np.flatnonzero(~nameless)
            self._otherwise.append((positions[named], series.gather(named)))

    def holders(self) -> Holders:
        """Everybody with each name once, for all rows of the question that they stand for."""
        import polars as pl

        asked, names = self._asked, self._asked.trimmed_names
        if self._nameless.any():
            blank = (names == "").to_numpy()
            self._as_asked |= self._nameless & blank
            self._nameless &= ~blank
        known = np.flatnonzero(self._as_asked).astype(np.int32)
        parts = [(known, names if len(known) == len(names) else names.gather(known))]
        if self._nameless.any():
            nameless = np.flatnonzero(self._nameless).astype(np.int32)
            parts.append((nameless, Texts.blank(len(nameless)).series))
        if self._otherwise:
            others = pl.concat([pl.DataFrame({"at": at, "name": name}) for at, name in self._otherwise])
            others = others.unique(maintain_order=True)
            at = others["at"].to_numpy()
            told = (others["name"] == names.gather(at)).to_numpy() & self._as_asked[at]
            others = others.filter(pl.Series(~told))
            parts.append((others["at"].to_numpy(), others["name"]))
        position = np.concatenate([at for at, _ in parts])
        name = pl.concat([each.alias("name") for _, each in parts]) if len(parts) > 1 else parts[0][1]
        subject, source = asked.spread(position)
        at = position if source is None else position[source]
        whole = len(parts) == 1 and source is None and len(known) == len(names)
        held = asked.series if whole else asked.series.gather(at)
        return Holders(subject, Texts(held), Texts(name if source is None else name.gather(source)))

    @staticmethod
    def _trimmed(names: pl.Series) -> list[str]:
        """Names without blanks around them, each looked at once."""
        trimmed: dict[object, str] = {}
        found = []
        for name in names.to_list():
            text = trimmed.get(name)
            if text is None:
                text = trimmed[name] = text_of(name)
            found.append(text)
        return found
