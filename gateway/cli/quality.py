"""`wugan quality`: how complete, valid, timely and consistent the departments' data is.

Owns: choosing months and departments, and showing. Refuses: showing anything of a person: examples are masked where
they are made.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli import EXIT_REFUSED, EXIT_USAGE
from gateway.cli.access_common import CONFIG, JSON, fail
from gateway.cli.files import write_text
from gateway.cli.language import chinese, plain, say
from gateway.cli.quality_source import (
    called,
    keep_counts,
    manifests_of,
    month_of_store,
    sampled,
    settings_and_thresholds,
    this_month,
)

if TYPE_CHECKING:
    from gateway.quality.judging import Found
    from gateway.quality.report import Month
    from gateway.wording import Language

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
MONTH = click.option("--month", default="", help=say("YYYY-MM; default: this month", "月份 YYYY-MM，默认本月"))
DEPARTMENT = click.option(
    "--department",
    default="",
    help=say("department, e.g. CIVIL_AFFAIRS, or an adapter's id", "部门（如 CIVIL_AFFAIRS）或接入标识"),
)
THRESHOLDS = click.option("--thresholds", type=_FILE, help=say("file of thresholds", "阈值文件（quality.yaml）"))


@click.group(help=say("The quality of the departments' data.", "部门数据质量。"))
def quality() -> None:
    """The group."""


@quality.command(help=say("Show a month, item by item.", "按数据项显示某月的数据质量。"))
@CONFIG
@MONTH
@DEPARTMENT
@THRESHOLDS
@JSON
def show(config_file: Path, month: str, department: str, thresholds: Path | None, json_out: bool) -> None:
    """The shares of a month."""
    from gateway.quality.report import as_data

    settings, bounds = settings_and_thresholds(config_file, thresholds)
    chosen = month_of_store(settings, month, department)
    if json_out:
        click.echo(json.dumps(as_data(chosen, bounds), ensure_ascii=False))
        return
    _table(chosen)


@quality.command(
    help=say(
        "Show what crosses a threshold. Exit code 1 with --strict where something is severe.",
        "显示超过阈值的问题。加 --strict 时，有严重问题则退出码为 1。",
    )
)
@CONFIG
@MONTH
@DEPARTMENT
@THRESHOLDS
@click.option("--strict", is_flag=True, help=say("fail where something is severe", "有严重问题时返回失败"))
@JSON
def findings(
    config_file: Path, month: str, department: str, thresholds: Path | None, strict: bool, json_out: bool
) -> None:
    """The findings of a month."""
    from gateway.quality.judging import Grade
    from gateway.quality.report import as_data
    from gateway.quality.report import findings as found_in

    settings, bounds = settings_and_thresholds(config_file, thresholds)
    chosen = month_of_store(settings, month, department)
    found = found_in(chosen, bounds)
    if json_out:
        click.echo(json.dumps(as_data(chosen, bounds)["findings"], ensure_ascii=False))
    else:
        _tell(found)
    if strict and any(one.grade is Grade.SEVERE for one in found):
        raise SystemExit(EXIT_REFUSED)


@quality.command(
    help=say(
        "Write the monthly report for a department: a page that needs nothing else, or JSON.",
        "生成某部门的数据质量月报：独立网页，或 JSON。",
    )
)
@CONFIG
@MONTH
@click.option("--department", required=True, help=say("department or adapter id", "部门或接入标识"))
@THRESHOLDS
@click.option(
    "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help=say("file to write", "写入的文件")
)
@click.option("--lang", type=click.Choice(["zh", "en"]), help=say("language of the page", "网页语言"))
@click.option("--json", "json_out", is_flag=True, help=say("write JSON", "写为 JSON"))
def report(
    config_file: Path,
    month: str,
    department: str,
    thresholds: Path | None,
    out: Path,
    lang: Language | None,
    json_out: bool,
) -> None:
    """A report."""
    from gateway.quality.report import as_data
    from gateway.quality.report_page import page

    settings, bounds = settings_and_thresholds(config_file, thresholds)
    chosen = month_of_store(settings, month, department)
    language: Language = lang or ("zh" if chinese() else "en")
    if json_out:
        text = json.dumps(as_data(chosen, bounds), ensure_ascii=False, indent=1) + "\n"
    else:
        text = page(chosen, bounds, called(department, language), settings.member_id, language)
    write_text(out, text, over=True)
    click.echo(f"✓ {out}")


@quality.command(
    help=say(
        "Look at a department's data itself: numbers of its own source are looked up as the gateway would. MANIFEST, "
        "or --config for all of a gateway. With --keep and --config the counts are added to those of the month.",
        "直接抽样检查部门数据：取其自有号码按网关方式查询。给出 MANIFEST，或以 --config 检查本网关全部来源。"
        "同时给出 --keep 与 --config 时，计数并入当月统计。",
    )
)
@click.argument("manifest", required=False, type=_FILE)
@click.option("--config", "config_file", type=_FILE, help="gateway.toml")
@click.option("--ids", type=_FILE, help=say("file with a number on each line", "号码文件，每行一个"))
@click.option("--people", type=click.IntRange(1, 100_000), default=500, show_default=True, help=say("people", "人数"))
@click.option("--keep", is_flag=True, help=say("add to the month's counts", "并入当月统计"))
@THRESHOLDS
@JSON
def sample(
    manifest: Path | None,
    config_file: Path | None,
    ids: Path | None,
    people: int,
    keep: bool,
    thresholds: Path | None,
    json_out: bool,
) -> None:
    """A sample."""
    from gateway.quality.recorder import kept
    from gateway.quality.report import Month, as_data
    from gateway.quality.report import findings as found_in

    if (manifest is None) == (config_file is None):
        raise fail("give a manifest, or --config", "请给出接入清单或 --config", EXIT_USAGE)
    if keep and config_file is None:
        raise fail("--keep needs --config", "--keep 须与 --config 同用", EXIT_USAGE)
    settings, bounds = settings_and_thresholds(config_file, thresholds)
    manifests = manifests_of(manifest, config_file, settings)
    measured = sampled(manifests, settings, ids, people, bounds)
    if keep:
        keep_counts(settings, measured)
    shown = kept(measured)[1]
    chosen = Month(next((key.month for key in measured.counts), this_month()), measured.counts, {}, shown)
    if json_out:
        click.echo(json.dumps(as_data(chosen, bounds), ensure_ascii=False))
        return
    _table(chosen)
    _tell(found_in(chosen, bounds))


def _table(month: Month) -> None:
    from rich.table import Table

    from gateway.cli.tables import console
    from gateway.quality.judging import by_item, quality_of
    from gateway.quality.report import share_text
    from gateway.wording import KINDS, word

    shown = Table(title=f"{month.month // 100}-{month.month % 100:02d}")
    for en, zh in (
        ("adapter", "接入"),
        ("item", "数据项"),
        ("rows", "记录数"),
        ("complete", "完整率"),
        ("valid", "有效率"),
        ("timely", "及时率"),
        ("consistent", "一致率"),
        ("95 % within days", "95% 时效（天）"),
    ):
        shown.add_column(say(en, zh))
    for key, counts in by_item(month.counts).items():
        if not key.kind:
            continue
        found = quality_of(key, counts)
        name = word(KINDS, key.kind)
        shares = (found.complete, found.valid, found.timely, found.consistent)
        days = str(found.p95_days) if found.p95_days >= 0 else "–"
        shown.add_row(
            plain(key.adapter), say(name.en, name.zh), f"{found.rows}", *(share_text(share) for share in shares), days
        )
    console().print(shown, markup=False)


def _tell(found: Sequence[Found]) -> None:
    from gateway.quality.judging import FINDINGS, GRADES
    from gateway.wording import KINDS, word

    if not found:
        click.echo(f"✓ {say('nothing crosses a threshold', '没有超过阈值的问题')}")
    for one in found:
        what = word(KINDS, one.key.kind) if one.key.kind else None
        item = say(what.en, what.zh) if what is not None else say("the whole source", "整个来源")
        finding, grade = FINDINGS[one.finding], GRADES[one.grade]
        click.echo(
            f"! [{say(grade.en, grade.zh)}] {plain(one.key.adapter)} · {item}: {say(finding.en, finding.zh)} "
            f"{one.some}/{one.whole}"
        )
