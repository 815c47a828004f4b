"""Tables on the terminal, one look for all commands.

Owns: their look, and that nothing is cut off: what is too wide goes on in the next line, and where nobody's screen is
the limit there is room. Refuses: what stands in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from rich.console import Console
from rich.table import Table

WIDE: Final = 140
"""Columns, where the output is not a terminal."""


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
