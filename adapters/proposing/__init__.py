"""From a sample of a department's data to a manifest that a person corrects (`wugan adapter new --from SAMPLE`).

    samples.py   reading a sample: CSV, workbook, JSON lines, a JSON answer, tables of a database
    shapes.py    what the values of a column look like: number of a person, name, date, code, region, reference
    words.py     what columns, tables and codes are called in departments' systems, and what that means
    guesses.py   what is proposed, with how sure it is and why
    meaning.py   which column is what, and which evidence a row is (days.py: which date)
    writing.py   the manifest as text, each proposal with its reason, doubts marked 请核对

Nothing personal of the sample leaves this package: what is written are names of columns, formats, and codes that repeat
and are no names, numbers or dates of people.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from adapters.proposing.samples import SampleError, read_samples

__all__ = ["SampleError", "propose"]


def propose(
    *samples: Path | str,
    table: Sequence[str] = (),
    adapter_id: str = "",
    regions: Sequence[int] = (),
    language: str = "zh",
) -> str:
    """The text of a manifest, with comments.

    Args:
        samples: files of one kind (.csv, .txt, .xlsx, .jsonl, .json: an interface's answer), or one SQLAlchemy URL.
        table: of a database, which tables; none: all with a person's number in them.
        adapter_id: what to call it; "": made of the department.
        regions: GB/T 2260 codes it answers for; none: as the sample says.
        language: of the comments, "zh" or "en".

    Returns:
        the text. It is a sound manifest as long as the sample has a column of resident identity numbers.

    Raises:
        SampleError: a sample cannot be read, or shows nobody's number.
    """
    from adapters.proposing.meaning import understand
    from adapters.proposing.writing import write

    read = read_samples(samples, table)
    return write(understand(read, tuple(regions), language), adapter_id, language)
