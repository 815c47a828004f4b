"""What the cells of a roster's column mean: words as the contract's numbers, regions, days, amounts in fen, texts.

Owns: each meaning, and the words for a cell that has none. Whole columns at a time; each different text is parsed once.
Refuses: identity numbers (`numbering`), and which columns a row must have (`validating`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import polars as pl

from gateway.errors import RefusedError
from gateway.exchange.question import MAX_ALIASES
from gateway.roster import cells as read
from gateway.roster.problems import Mask, Problems
from gateway.rules.identity import normalise_number
from gateway.rules.overpayment import MAX_FEN
from gateway.wording import Word

MAX_NAME_BYTES: Final = 256
MAX_TEXT_CHARS: Final = 100
FIRST_START: Final = -7_397
"""The first of October 1949: no benefit of today began before it."""
YUAN: Final = r"^[0-9]{1,10}(?:\.[0-9]{1,2}0*)?$"
FEN: Final = r"^[0-9]{1,13}(?:\.0*)?$"
_BLANKS: Final = " \t\r\n\v\f\u00a0\u3000\u200b\u200c\u200d\u2060\ufeff"


def tidy(column: pl.Series) -> pl.Series:
    """Cells without blanks around them, nor the marks by which spreadsheets are made to take digits for text."""
    tidy = column.str.strip_chars(_BLANKS)
    if tidy.str.starts_with("=").any():
        tidy = tidy.str.replace(r'^="(.*)"$', "$1").str.strip_chars(_BLANKS)
    if tidy.str.starts_with("'").any():
        tidy = tidy.str.strip_prefix("'").str.strip_chars(_BLANKS)
    return tidy


def _mapped(column: pl.Series, parse: Callable[[str], Any], dtype: pl.DataType) -> tuple[pl.Series, Mask]:
    """What each text means, null for an empty one; and which texts mean nothing. Each different text is parsed once."""
    count = len(column)
    if _blank(column):
        return pl.Series([None], dtype=dtype).new_from_index(0, count), np.zeros(count, np.bool_)
    if (column == column[0]).all():
        meaning = parse(column[0])
        found = pl.Series([meaning], dtype=dtype).new_from_index(0, count)
        return found, np.full(count, meaning is None)
    unique = column.unique().to_list()
    meanings = [None if text == "" else parse(text) for text in unique]
    wrong = [text != "" and meaning is None for text, meaning in zip(unique, meanings, strict=True)]
    table = pl.DataFrame(
        [pl.Series("text", unique, pl.String), pl.Series("meaning", meanings, dtype), pl.Series("wrong", wrong)]
    )
    both = column.alias("text").to_frame().join(table, on="text", how="left", maintain_order="left")
    return both["meaning"], both["wrong"].to_numpy()


def _blank(column: pl.Series) -> bool:
    """Whether there is nothing in it; most columns of a roster are all empty or all filled."""
    return not len(column) or (not column[0] and bool((column == "").all()))


def word_numbers(
    column: pl.Series,
    parse: Callable[[str], int | None],
    default: int,
    field: str,
    unknown: Word,
    problems: Problems,
) -> pl.Series:
    """Words as numbers of the contract; what says nothing is the default."""
    numbers, wrong = _mapped(column, parse, pl.Int32())
    problems.add_where(wrong, field, unknown.zh, unknown.en)
    return numbers.fill_null(default)


def regions(column: pl.Series, field: str, problems: Problems) -> pl.Series:
    """Lists of GB/T 2260 codes."""
    found, wrong = _mapped(column, read.regions, pl.List(pl.Int32))
    problems.add_where(
        wrong,
        field,
        "行政区划有误，请填写六位代码（GB/T 2260），例如 330700",
        "not a GB/T 2260 code of six digits, for example 330700",
    )
    return found.fill_null([]) if found.null_count() else found


def days(column: pl.Series, field: str, problems: Problems) -> pl.Series:
    """Civil days; 0 for none."""
    found, wrong = _mapped(column, read.day, pl.Int32())
    problems.add_where(
        wrong, field, "日期有误，请写作 2026-03-01 或 2026-03", "not a date; write 2026-03-01, or 2026-03 for a month"
    )
    return found.fill_null(0)


def starts(column: pl.Series, field: str, problems: Problems) -> pl.Series:
    """Days since which benefits are paid; 0 for none, and for what stands for none in registers, such as 1900-01-01."""
    found = days(column, field, problems)
    early = (found < FIRST_START).to_numpy() & (found != 0).to_numpy()
    return found.set(pl.Series(early), 0) if early.any() else found


def amounts(column: pl.Series, field: str, form: str, factor: int, problems: Problems) -> pl.Series:
    """Amounts in fen, of yuan or of fen."""
    if _blank(column):
        return pl.Series([0], dtype=pl.Int64).new_from_index(0, len(column))
    plain = column
    if column.str.contains(r"[^0-9.]").any():
        plain = column.str.replace_all(r"[,，¥￥元\s]", "")
    empty = plain == ""
    fits = plain.str.contains(form)
    number = plain.replace("", "0").cast(pl.Float64, strict=False)  # exact to the fen below 2^53
    fen = (number * factor).round().cast(pl.Int64, strict=False).fill_null(0)
    wrong = (~(fits | empty) | (fen > MAX_FEN)).to_numpy()
    problems.add_where(
        wrong,
        field,
        "金额有误，应为不小于零的数字，至多两位小数" if factor > 1 else "金额有误，应为不小于零的整数（分）",
        "not an amount: digits, at most two decimals" if factor > 1 else "not an amount in fen: digits only",
    )
    return fen


def names(column: pl.Series, problems: Problems) -> pl.Series:
    """Names, which everybody has."""
    problems.add_where((column == "").to_numpy(), "name", "缺少姓名", "the name is missing")
    problems.add_where((column.str.len_bytes() > MAX_NAME_BYTES).to_numpy(), "name", "姓名过长", "the name is too long")
    _printable(column, "name", problems)
    return column


def texts(column: pl.Series, field: str, problems: Problems) -> pl.Series:
    """Short texts of the agency's own."""
    if _blank(column):
        return column
    problems.add_where(
        (column.str.len_chars() > MAX_TEXT_CHARS).to_numpy(),
        field,
        f"内容过长（至多 {MAX_TEXT_CHARS} 个字符）",
        f"more than {MAX_TEXT_CHARS} characters",
    )
    _printable(column, field, problems)
    return column


def _printable(column: pl.Series, field: str, problems: Problems) -> None:
    problems.add_where(
        column.str.contains(r"\p{Cc}").to_numpy(), field, "含有不可见的控制字符", "holds characters that cannot be seen"
    )


def aliases(column: pl.Series, problems: Problems) -> pl.Series:
    """Old numbers: few people have any."""
    empty = pl.Series([[]], dtype=pl.List(pl.String)).new_from_index(0, len(column))
    if _blank(column):
        return empty
    found: list[list[str]] = empty.to_list()
    for at in np.flatnonzero((column != "").to_numpy()).tolist():
        try:
            numbers = [normalise_number(part) for part in column[at].replace("；", ";").replace("、", ";").split(";")]
        except RefusedError as error:
            problems.add_each(np.array([at]), "old_id_numbers", [(error.zh, error.en)])
            continue
        if len(numbers) > MAX_ALIASES:
            problems.add(np.array([at]), "old_id_numbers", "曾用号码过多", "too many old numbers")
        found[at] = numbers
    return pl.Series(found, dtype=pl.List(pl.String))
