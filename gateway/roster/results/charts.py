"""Small charts as inline SVG: no script, nothing fetched, readable by a screen reader, true to scale in print.

Owns: one stacked bar, and rows of bars. Refuses: choosing what is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

_LABEL: Final = 112
_VALUE: Final = 124
_ROW: Final = 19
_BAR: Final = 13
_THINNEST: Final = 1.5
"""Of a bar that is not nothing, so that one in a million is still seen."""


class Bar(NamedTuple):
    """One value of a chart.

    Args:
        label: its name.
        value: its size.
        text: what is written beside it.
        colour: "#rrggbb".
    """

    label: str
    value: float
    text: str
    colour: str


def stacked(name: str, title: str, bars: Sequence[Bar], width: int = 640, height: int = 26) -> str:
    """One bar cut into shares of the whole; nothing for nobody.

    Args:
        name: id within the page.
        title: what it shows, for who cannot see it.
        bars: shares, from left to right.
        width: in the units of the chart, which is scaled to its place.
        height: the same.
    """
    whole = sum(bar.value for bar in bars)
    shapes, at = [], 0.0
    for bar in bars:
        share = width * bar.value / whole if whole else 0.0
        if share:
            shapes.append(
                f'<rect x="{at:.2f}" y="0" width="{share:.2f}" height="{height}" fill="{bar.colour}">'
                f"<title>{escape(bar.label)} {escape(bar.text)}</title></rect>"
            )
        at += share
    edges = "".join(
        f'<rect x="{at:.2f}" y="0" width="1" height="{height}" fill="#fff"/>' for at in _edges(bars, width, whole)
    )
    return _svg(name, title, bars, width, height, "".join(shapes) + edges)


def rows(name: str, title: str, bars: Sequence[Bar], width: int = 640, *, longest: float = 0.0) -> str:
    """One bar below the other, with label and value.

    Args:
        name: as above.
        title: as above.
        width: as above.
        bars: from top to bottom.
        longest: the value that fills the width; 0: the largest there is.
    """
    room = width - _LABEL - _VALUE
    most = longest or max((bar.value for bar in bars), default=0.0)
    shapes = []
    for number, bar in enumerate(bars):
        y = number * _ROW
        length = max(_THINNEST, room * bar.value / most) if bar.value and most else 0.0
        middle = y + _ROW / 2
        shapes.append(
            f'<text x="{_LABEL - 8}" y="{middle}" text-anchor="end" dominant-baseline="central">'
            f"{escape(bar.label)}</text>"
            f'<rect x="{_LABEL}" y="{y + (_ROW - _BAR) / 2}" width="{room}" height="{_BAR}" fill="#eef2f6"/>'
            f'<rect x="{_LABEL}" y="{y + (_ROW - _BAR) / 2}" width="{length:.2f}" height="{_BAR}" fill="{bar.colour}"/>'
            f'<text x="{width}" y="{middle}" text-anchor="end" dominant-baseline="central" class="n">'
            f"{escape(bar.text)}</text>"
        )
    return _svg(name, title, bars, width, max(1, len(bars)) * _ROW, "".join(shapes))


def _edges(bars: Sequence[Bar], width: int, whole: float) -> list[float]:
    """Where one share ends and the next begins."""
    ends, at = [], 0.0
    for bar in bars:
        at += width * bar.value / whole if whole else 0.0
        if bar.value:
            ends.append(at)
    return ends[:-1]


def _svg(name: str, title: str, bars: Sequence[Bar], width: int, height: int, shapes: str) -> str:
    told = "; ".join(f"{bar.label} {bar.text}" for bar in bars)
    return (
        f'<svg role="img" aria-labelledby="{name}-t {name}-d" viewBox="0 0 {width} {height}" '
        f'preserveAspectRatio="xMinYMin meet">'
        f'<title id="{name}-t">{escape(title)}</title><desc id="{name}-d">{escape(told)}</desc>{shapes}</svg>'
    )
