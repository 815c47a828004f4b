"""Tables on the terminal, one look for all commands.

Owns: their look, and that nothing is cut off: what is too wide goes on in the next line, and where nobody's screen is
the limit there is room. Refuses: what stands in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, Literal

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

WIDE: Final = 140
"""Columns, where the output is not a terminal."""

_UNITS: Final = re.compile(r"[!-~\u00a0-\u024f]+|.", re.DOTALL)
_NEVER_FIRST: Final = frozenset("，。；：、！？）》」』”’％")


def listing(*headings: str, right: Sequence[int] = ()) -> Table:
    """A table without lines; columns by position in `right` are figures."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="bright_black")
    for position, heading in enumerate(headings):
        justify: Literal["left", "right"] = "right" if position in right else "left"
        table.add_column(heading, justify=justify, overflow="fold")
    return table


def console(*, stderr: bool = False, wide: int = WIDE) -> Console:
    """Where tables are printed; `wide`: columns there at least, where it is not a terminal."""
    made = Console(stderr=stderr)
    if not made.is_terminal:
        made.width = max(made.width, wide)
    return made


def lines_of(text: str, width: int) -> Iterator[str]:
    """A text in lines of at most so many columns, broken as Chinese is: between any two of its characters, never
    within a word or number of other scripts, and with no full stop or comma at the beginning of a line.
    """
    line: list[str] = []
    for unit in _UNITS.findall(text):
        if line and cell_len("".join((*line, unit))) > width:
            kept, line = line, [unit.lstrip()]
            while line[0] in _NEVER_FIRST and len(kept) > 1:
                line.insert(0, kept.pop())
            yield "".join(kept).rstrip()
        else:
            line.append(unit)
    if line:
        yield "".join(line)
