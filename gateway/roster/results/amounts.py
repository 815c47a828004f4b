"""Numbers, shares and sums of money as the summary page writes them.

Owns: rounding that never says more than is so, and the unit of sums. Refuses: files for programs, which hold fen.
"""

from __future__ import annotations

from typing import Final

from gateway.wording import Language

_YUAN_FEN: Final = 100
_THOUSAND_FEN: Final = 1_000 * _YUAN_FEN
_WAN_FEN: Final = 10_000 * _YUAN_FEN
_LARGE_FEN: Final = 1_000 * _WAN_FEN
"""Where ten million yuan or more were overpaid, sums are in units of ten thousand (万元), in English of a thousand."""


class Amounts:
    """Sums of money of one page, all in the same unit.

    Args:
        largest_fen: the largest sum on the page, which decides on the unit.
        language: of the unit.
    """

    def __init__(self, largest_fen: int, language: Language) -> None:
        self.large = largest_fen >= _LARGE_FEN
        self._language = language

    def bare(self, fen: int) -> str:
        """A sum without its unit."""
        if not self.large:
            return number(fen // _YUAN_FEN)
        return f"{fen * 10 // (_WAN_FEN if self._language == 'zh' else _THOUSAND_FEN) / 10:,.1f}"

    def text(self, fen: int) -> str:
        """A sum with its unit."""
        if self._language == "en":
            return f"CNY {self.bare(fen)}{' k' if self.large else ''}"
        return f"{self.bare(fen)} {'万元' if self.large else '元'}"


def number(value: int) -> str:
    """A whole number, in groups of three digits."""
    return f"{value:,}"


def share(part: int, whole: int) -> str:
    """A part of a whole as a percentage that says 100 or 0 only where that is exact."""
    if not whole:
        return "–"
    tenths = part * 1000 // whole
    if part and not tenths:
        return "<0.1%"
    return f"{tenths // 10}.{tenths % 10}%"
