"""Under which names a source holds the people of a question, from whole columns of names.

Owns: telling each person's name once, however many rows had it. Nearly all of them have the name that was asked: those
rows are told apart from the rest by one comparison of columns, and only the rest is looked at by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from adapters.asked import Asked
from adapters.contract import Holders, Int32
from adapters.texts import Texts, series_of
from adapters.values import text_of

if TYPE_CHECKING:
    import polars as pl


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

    def add(self, positions: Int32, names: pl.Series | None) -> None:
        """People that a source knows, by their positions, and the names as it has them, null where there is none."""
        if names is None:
            self._nameless[positions] = True
            return
        # A name with blanks around it is not the name as asked, whatever was asked.
        same = (names == self._asked.trimmed_names.gather(positions)).fill_null(value=False).to_numpy()
        self._as_asked[positions[same]] = True
        if same.all():
            return
        rest = np.flatnonzero(~same)
        self.add_names(positions[rest], self._trimmed(names.gather(rest)))

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

        asked = self._asked
        names = asked.trimmed_names
        self._as_asked |= self._nameless & (names == "").fill_null(value=False).to_numpy()
        self._nameless &= (names != "").fill_null(value=True).to_numpy()
        known = np.flatnonzero(self._as_asked).astype(np.int32)
        nameless = np.flatnonzero(self._nameless).astype(np.int32)
        parts = [(known, names.gather(known)), (nameless, Texts.blank(len(nameless)).series)]
        if self._otherwise:
            others = pl.concat([pl.DataFrame({"at": at, "name": name}) for at, name in self._otherwise])
            others = others.unique(maintain_order=True)
            at = others["at"].to_numpy()
            asked_name = names.gather(at)
            new = (others["name"] != asked_name).fill_null(value=True) | ~pl.Series(self._as_asked[at])
            others = others.filter(new)
            parts.append((others["at"].to_numpy(), others["name"]))
        position = np.concatenate([at for at, _ in parts])
        name = pl.concat([each.rename("name") for _, each in parts])
        subject, source = asked.spread(position)
        at = position if source is None else position[source]
        held_name = name if source is None else name.gather(source)
        return Holders(subject, Texts(asked.series.gather(at)), Texts(held_name))

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
