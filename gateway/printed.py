"""Pages that are printed and filed: one sheet of A4 in one style, self-contained, in one language.

Owns: the frame of such a page (its policy, head, heading and foot), the style all of them share, their colours and
tiles. There is no script, and nothing is loaded from elsewhere. Refuses: what is shown. The health page is for a screen
and has a style of its own; the conformance report is the adapters', which import nothing of the gateway.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Final, NamedTuple

from gateway.wording import Language, Word

INK: Final = "#1f2a37"
GREEN: Final = "#2f7d5b"
BLUE: Final = "#4f8fc4"
AMBER: Final = "#e0a63a"
RED: Final = "#c2463c"
VIOLET: Final = "#8d5aa8"
GREY: Final = "#9aa5b1"

_STYLE: Final = """
:root{--ink:#1f2a37;--soft:#5b6776;--line:#d5dce4;--tile:#f3f6f9}
*{box-sizing:border-box}
body{margin:0 auto;padding:18px 22px;max-width:900px;color:var(--ink);background:#fff;
font:12.5px/1.5 "Noto Sans CJK SC","Source Han Sans SC","Microsoft YaHei","PingFang SC","Noto Sans",sans-serif}
h1{font-size:21px;margin:0}h2{font-size:14px;margin:0 0 6px}
header{border-bottom:2px solid var(--ink);padding-bottom:7px;margin-bottom:12px;display:flex;gap:12px;
justify-content:space-between;align-items:flex-end}
header p{margin:2px 0 0;color:var(--soft)}
.tiles{display:grid;grid-template-columns:repeat(5,1fr);gap:8px;margin-bottom:14px}
.tile{background:var(--tile);border-left:4px solid var(--c);padding:7px 9px}
.tile b{display:block;font-size:20px;line-height:1.2;font-variant-numeric:tabular-nums;white-space:nowrap}
.tile span{color:var(--soft);font-size:11px}
section{margin-bottom:14px;break-inside:avoid}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:12px}
th{font-weight:600;text-align:right;border-bottom:1px solid var(--ink);padding:3px 5px;vertical-align:bottom}
td{text-align:right;border-bottom:1px solid var(--line);padding:3px 5px;vertical-align:top}
th:first-child,td:first-child{text-align:left}
svg{display:block;width:100%;height:auto}
.none{color:var(--soft);margin:0}
footer{border-top:1px solid var(--line);padding-top:6px;color:var(--soft);font-size:11px}
@page{size:A4 portrait;margin:10mm}
@media print{body{padding:0;max-width:none;font-size:11px}*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
@media (max-width:640px){.tiles{grid-template-columns:1fr 1fr}main{overflow-x:auto}}
"""
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"


class Tile(NamedTuple):
    """A figure that is seen first.

    Args:
        value: as it is written.
        name: what it is.
        colour: of its edge, "#rrggbb".
    """

    value: str
    name: Word
    colour: str


class Head(NamedTuple):
    """What a page is headed with, as text.

    Args:
        title: what it is, above the sheet.
        when: follows the title in the name of the page; "" for none.
        under: below the title.
        beside: opposite of it.
    """

    title: str
    when: str
    under: str
    beside: str


def document(language: Language, head: Head, main: str, foot: str, style: str = "") -> str:
    """A whole page as HTML.

    Args:
        language: of every word on it.
        head: what it is headed with.
        main: what it shows, as HTML.
        foot: what is to be known for reading it, as text.
        style: what this page has besides the common style, or otherwise.
    """
    title, when, under, beside = map(escape, head)
    name = f"{title} {when}" if when else title
    return (
        f'<!DOCTYPE html>\n<html lang="{"zh-CN" if language == "zh" else "en"}"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{name}</title><style>{_STYLE}{style.lstrip()}</style></head><body>\n"
        f"<header><div><h1>{title}</h1><p>{under}</p></div><p>{beside}</p></header>\n"
        f"<main>{main}</main>\n<footer>{escape(foot)}</footer>\n</body></html>\n"
    )


def tiles(language: Language, shown: Iterable[Tile]) -> str:
    """The first row of a page, as HTML."""
    made = "".join(
        f'<div class="tile" style="--c:{tile.colour}"><b>{escape(tile.value)}</b>'
        f"<span>{escape(tile.name.said(language))}</span></div>"
        for tile in shown
    )
    return f'<div class="tiles">{made}</div>'


def section(title: str, body: str) -> str:
    """A part of a page under a heading of its own, as HTML; the title is text, the body HTML."""
    return f"<section><h2>{escape(title)}</h2>{body}</section>"


def heads(titles: Iterable[str]) -> str:
    """The row of headings of a table, as HTML."""
    return "<tr>" + "".join(f'<th scope="col">{escape(title)}</th>' for title in titles) + "</tr>"


def row(cells: Iterable[str]) -> str:
    """A row of a table whose cells are HTML already."""
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
