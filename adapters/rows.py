"""A row of a dropped file, and the error of a file that cannot be used as a whole.

Owns: both. Refuses: reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MAX_COLUMNS = 1_000
MAX_LINE_BYTES = 1 << 20
"""Of a line of any text file. A file without line ends must not be read into memory as one."""


class FileRejectedError(Exception):
    """A file cannot be used as a whole; `en` and `zh` tell why, naming columns and rows but no content.

    Args:
        en, zh: why.
        why: "sheet" where a workbook lacks the sheet wanted, "bounds" where reading takes too much, else "".
    """

    def __init__(self, en: str, zh: str, why: str = "") -> None:
        super().__init__(en)
        self.en = en
        self.zh = zh
        self.why = why


class ReadingEndedError(FileRejectedError):
    """The reading was ended from outside, as when a service is stopped: that says nothing of the file."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its number as a person sees it, its cells, and what is wrong with it as a whole, if anything."""

    number: int
    cells: Sequence[object]
    wrong: str = ""


def too_long(number: int) -> FileRejectedError:
    """A line is longer than any row can be."""
    return FileRejectedError(
        f"line {number} is longer than {MAX_LINE_BYTES} bytes", f"第 {number} 行超过 {MAX_LINE_BYTES} 字节"
    )
