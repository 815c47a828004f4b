"""`wugan roster compare`, and how late departments told, as tables on a terminal.

Owns: the layout. Refuses: the sums (gateway.roster.results).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli import EXIT_USAGE
from gateway.cli.access_common import JSON
from gateway.cli.client import fail
from gateway.cli.language import chinese, say
from gateway.errors import RefusedError
from gateway.wording import DEPARTMENTS, KINDS, PROPOSALS, Word

if TYPE_CHECKING:
    import polars as pl
    from rich.table import Table

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_NONE = Word("未获答复", "not answered")


@click.command(
    help=say(
        "Compare the results in THEN, of a run with --as-of, with those in NOW, of the same roster: what became of "
        "whom, and what was paid to those of whom it was not known then that they were not entitled any more. Exit "
        "codes: 0 done, 2 wrong usage.",
        "将 THEN（以 --as-of 执行的结果）与 NOW（同一名册的后来结果）比较：各认证状态的变化，以及当时尚不知已丧失资格的"
        "人员多付的金额。退出码：0 完成，2 用法错误。",
    )
)
@click.argument("then", type=FOLDER)
@click.argument("now", type=FOLDER)
@JSON
def compare(then: Path, now: Path, json_out: bool) -> None:
    """Compare two results."""
    from gateway.cli.tables import console, listing
    from gateway.roster.results.comparing import compare as compared

    try:
        found = compared(then, _day_of(then), now)
    except RefusedError as error:
        fail(say(error.en, error.zh), EXIT_USAGE, of=error)
    if json_out:
        shown = {name: getattr(found, name) for name in ("only_then", "only_now", "unknown_then", "months", "cost_fen")}
        click.echo(json.dumps({**shown, "moves": found.moves.to_dicts()}, ensure_ascii=False))
        return
    table = listing(say("then", "当时"), say("now", "现在"), say("people", "人数"))
    for was, became, people in found.moves.rows():
        table.add_row(_proposal(was), _proposal(became), f"{people}")
    console().print(table)
    click.echo(
        say(
            f"not known then: {found.unknown_then} people not entitled any more, paid {found.months} months, "
            f"{found.cost_fen / 100:.2f} yuan; only in the earlier results {found.only_then}, only in the later "
            f"{found.only_now}",
            f"当时尚不知已丧失资格：{found.unknown_then} 人，多付 {found.months} 个月，"
            f"合计 {found.cost_fen / 100:.2f} 元；仅见于先前结果 {found.only_then} 人，"
            f"仅见于后来结果 {found.only_now} 人",
        )
    )


def lateness_table(late: pl.DataFrame) -> Table:
    """How late departments told."""
    from gateway.cli.tables import listing

    table = listing(
        say("department", "部门"),
        say("item", "数据项"),
        say("records", "记录数"),
        say("days late, median", "迟到天数（中位）"),
        say("9 in 10 within", "九成以内"),
        say("months paid", "多付月数"),
        say("yuan", "金额（元）"),
    )
    for row in late.iter_rows(named=True):
        first = say("the first of all", "最早到达的记录")
        table.add_row(
            _named(DEPARTMENTS, row["department"]) if row["department"] else first,
            _named(KINDS, row["kind"]) if row["kind"] else "",
            *(f"{row[name]}" for name in ("records", "median_days", "p90_days", "months")),
            f"{row['cost_fen'] / 100:.2f}",
        )
    return table


def _day_of(folder: Path) -> int:
    """The day as of which the results in a folder are."""
    try:
        return int(json.loads((folder / "manifest.json").read_text("utf-8"))["as_of_on"])
    except (OSError, ValueError, KeyError, TypeError):
        fail(say(f"{folder} has no results", f"{folder} 中没有结果"), EXIT_USAGE)


def _proposal(number: int) -> str:
    return _named({0: _NONE, **PROPOSALS}, number)


def _named(words: dict[int, Word], number: int) -> str:
    word = words.get(number)
    if word is None:
        return f"{number}"
    return word.zh if chinese() else word.en
