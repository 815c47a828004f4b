"""Chinese in lines: broken between characters, not within words, and with no mark that ends a clause at the front."""

from __future__ import annotations

import re

import pytest
from rich.cells import cell_len

from gateway.cli.tables import lines_of

TEXT = "每行一个口令（权限 0600）；未提供时询问，见 agency.toml。退出码：0 完成，130 被中断。"


@pytest.mark.parametrize("width", range(16, 60))
def test_lines_are_no_wider_than_they_may_be_and_lose_nothing_but_blanks(width: int) -> None:
    lines = list(lines_of(TEXT, width))
    assert all(cell_len(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == TEXT.replace(" ", "")


@pytest.mark.parametrize("width", range(16, 60))
def test_no_line_begins_with_what_ends_a_clause(width: int) -> None:
    assert not [line for line in lines_of(TEXT, width) if line[0] in "，。；：）"]


@pytest.mark.parametrize("width", range(16, 60))
def test_words_and_figures_stay_whole(width: int) -> None:
    told = "\n".join(lines_of(TEXT, width))
    assert {"0600", "agency.toml", "130"} <= set(re.findall(r"[\w.]*[a-z0-9][\w.]*", told, re.ASCII))
