"""How a benchmark shows its figures: a table for people, and one JSON object as the last line for machines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

Figures = Mapping[str, float]


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a plain table."""
    widths = [max(len(str(row[i])) for row in (header, *rows)) for i in range(len(header))]
    print(f"\n{title}")
    for row in (header, *rows):
        print("  " + "  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def last_line(figures: Figures) -> None:
    """Print the figures as one JSON object."""
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}), flush=True)
