"""`wugan adapter new --from SAMPLE`: a manifest proposed from a department's data, for a person to correct.

Owns: where the proposal is written, and that nothing is overwritten. Refuses: proposing (`adapters.proposing`).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource

from gateway.cli import EXIT_USAGE
from gateway.cli.files import write_text
from gateway.cli.language import chinese, say


def from_samples(
    samples: Sequence[str],
    out: Path | None,
    *,
    tables: Sequence[str] = (),
    adapter_id: str = "",
    regions: Sequence[int] = (),
) -> None:
    """Write the manifest proposed for samples, to a new file or to the terminal; end the command if that fails."""
    from adapters.proposing import SampleError, propose

    try:
        text = propose(
            *samples, table=tables, adapter_id=adapter_id, regions=regions, language="zh" if chinese() else "en"
        )
    except SampleError as error:
        click.echo(f"✗ {say(error.en, error.zh)}", err=True)
        raise SystemExit(EXIT_USAGE) from error
    if out is None:
        click.echo(text, nl=False)
        return
    write_text(out, text)
    doubts = text.count("请核对")
    told = say(
        f"{out}: {doubts} doubts to look at (请核对); then run: wugan adapter check {out}",
        f"{out}：有 {doubts} 处请核对；更正后运行 wugan adapter check {out}",
    )
    click.echo(f"✓ {told}")


def with_samples(command: click.Command) -> click.Command:
    """`new` that takes `--from SAMPLE` besides: then the manifest is proposed from the sample."""
    plain = command.callback

    def chosen(
        *, samples: tuple[str, ...], tables: tuple[str, ...], department: str | None = None, **given: Any
    ) -> object:
        if samples:
            told = click.get_current_context().get_parameter_source("regions") is not ParameterSource.DEFAULT
            regions = given.get("regions", ()) if told else ()
            from_samples(
                samples, given.get("out"), tables=tables, adapter_id=given.get("adapter_id", ""), regions=regions
            )
            return None
        if department is None or plain is None:
            raise click.UsageError(say("give a department, or --from SAMPLE", "请给出部门，或 --from 样本"))
        return plain(department=department, **given)

    made = copy.copy(command)
    made.params = [*(_optional(parameter) for parameter in command.params), *_OPTIONS]
    made.callback = chosen
    made.help = f"{command.help or ''} {_HELP}"
    return made


def _optional(parameter: click.Parameter) -> click.Parameter:
    if parameter.name != "department":
        return parameter
    made = copy.copy(parameter)
    made.required = False
    return made


_HELP: Final = say(
    "With --from the manifest is proposed from samples of the data: files (.csv, .xlsx, .json as an interface answers) "
    "or a database (SQLAlchemy URL). Every proposal has its reason; doubts are marked. Nothing personal is written.",
    "用 --from 可依据数据样本生成建议：文件（.csv、.xlsx、接口应答 .json）或数据库（SQLAlchemy URL）。"
    "每项建议附理由，存疑处标“请核对”。不写出任何个人信息。",
)
_OPTIONS: Final = (
    click.Option(["--from", "samples"], multiple=True, help=say("sample; repeatable", "样本，可重复")),
    click.Option(
        ["--table", "tables"],
        multiple=True,
        help=say("table, or schema.table, of the database; repeatable", "库表名，或 模式.表名，可重复"),
    ),
)
