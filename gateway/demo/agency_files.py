"""The recipients' files (名册) of the demo's agencies.

Owns: which recipients stand in whose file, and its columns. Refuses: the truth about them; a file holds what an agency
knows of its own recipients, misspellings included.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from certs.files import PRIVATE, write_file
from gateway.demo.truth import Recipient

HEADER: Final = (
    "人员编号",
    "证件号码",
    "姓名",
    "险种",
    "居住地",
    "网格",
    "待遇开始日期",
    "月待遇（分）",
    "最近发放月份",
)
_GRID_UNITS: Final = 12
"""As many grid units (网格) has each agency; without any, its work lists would be one file."""


def by_agency(recipients: Iterable[Recipient]) -> Iterator[tuple[tuple[int, str], list[Recipient]]]:
    """The rosters: (paying province, unit) and who is in it, in the order of the truth."""

    def whose(recipient: Recipient) -> tuple[int, str]:
        return recipient.paying_province, recipient.unit

    for key, group in groupby(sorted(recipients, key=whose), key=whose):
        yield key, list(group)


def as_file(recipients: Sequence[Recipient], last_paid: str = "") -> bytes:
    """The CSV of an agency's roster, UTF-8.

    Args:
        recipients: who is in it.
        last_paid: the last month that was paid for, YYYY-MM, of everybody; "": not told, and nothing was overpaid.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(HEADER)
    for each in recipients:
        writer.writerow(
            (
                f"DEMO-{each.person}-{each.again}",
                each.id_number,
                each.name,
                each.benefit,
                each.residence_region or "",
                f"第{each.person % _GRID_UNITS + 1:02d}网格",
                each.benefit_since,
                each.monthly_cents,
                last_paid,
            )
        )
    return text.getvalue().encode()


def write_files(recipients: Iterable[Recipient], folder: Path, last_paid: str = "") -> dict[tuple[int, str], Path]:
    """FOLDER/PROVINCE/UNIT.csv for every agency; where each is.

    Args:
        recipients: `World.recipients()`.
        folder: made; private, as a roster is.
        last_paid: as in `as_file`.
    """
    written = {}
    for (province, unit), theirs in by_agency(recipients):
        path = folder / str(province) / f"{unit}.csv"
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_file(path, as_file(theirs, last_paid), mode=PRIVATE, replace=False)
        written[province, unit] = path
    return written
