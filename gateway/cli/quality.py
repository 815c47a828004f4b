"""`wugan quality`: how complete, valid, timely and consistent the departments' data is.

Owns: choosing months and departments, and showing. Refuses: showing anything of a person: examples are masked where
they are made.
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from certs.system_words import cause
from gateway.cli import EXIT_REFUSED, EXIT_UNREACHABLE, EXIT_USAGE
from gateway.cli.access_common import CONFIG, JSON, fail
from gateway.cli.files import write_text
from gateway.cli.language import chinese, plain, say
from gateway.errors import WuganError

if TYPE_CHECKING:
    from adapters.manifest import Manifest
    from gateway.config import GatewaySettings
    from gateway.quality.judging import Found, Thresholds
    from gateway.quality.measuring import Measured
    from gateway.quality.report import Month
    from gateway.rules.book import RuleBook
    from gateway.wording import Language

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
MONTH = click.option("--month", default="", help=say("YYYY-MM; default: this month", "月份 YYYY-MM，默认本月"))
DEPARTMENT = click.option(
    "--department",
    default="",
    help=say("department, e.g. CIVIL_AFFAIRS, or an adapter's id", "部门（如 CIVIL_AFFAIRS）或接入标识"),
)
THRESHOLDS = click.option("--thresholds", type=_FILE, help=say("file of thresholds", "阈值文件（quality.yaml）"))


@click.group(help=say("The quality of the departments' data", "部门数据质量"))
def quality() -> None:
    """The group."""


@quality.command(help=say("Show a month, item by item", "按数据项显示某月的数据质量"))
@CONFIG
@MONTH
@DEPARTMENT
@THRESHOLDS
@JSON
def show(config_file: Path, month: str, department: str, thresholds: Path | None, json_out: bool) -> None:
    """The shares of a month."""
    from gateway.quality.report import as_data

    settings, bounds = _settings(config_file, thresholds)
    chosen = _read(settings, month, department)
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

    settings, bounds = _settings(config_file, thresholds)
    chosen = _read(settings, month, department)
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

    settings, bounds = _settings(config_file, thresholds)
    chosen = _read(settings, month, department)
    language: Language = lang or ("zh" if chinese() else "en")
    if json_out:
        text = json.dumps(as_data(chosen, bounds), ensure_ascii=False, indent=1) + "\n"
    else:
        text = page(chosen, bounds, _called(department, language), settings.member_id, language)
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
    settings, bounds = _settings(config_file, thresholds)
    manifests = _manifests(manifest, config_file, settings)
    measured = _sampled(manifests, settings, ids, people, bounds)
    if keep:
        _keep(settings, measured)
    shown = kept(measured)[1]
    chosen = Month(next((key.month for key in measured.counts), _this_month()), measured.counts, {}, shown)
    if json_out:
        click.echo(json.dumps(as_data(chosen, bounds), ensure_ascii=False))
        return
    _table(chosen)
    _tell(found_in(chosen, bounds))


# reading


def _settings(config_file: Path | None, thresholds: Path | None) -> tuple[Any, Thresholds]:
    """The gateway's settings (None without a file), and the thresholds."""
    from gateway.config import load_gateway
    from gateway.log import configure
    from gateway.quality import QUALITY_FILE
    from gateway.quality.judging import Thresholds

    configure("ERROR", "console")
    try:
        settings = load_gateway(config_file) if config_file is not None else None
        path = thresholds or (settings.quality.thresholds if settings is not None else None) or QUALITY_FILE
        return settings, Thresholds.parse(path.read_bytes(), str(path))
    except WuganError as error:
        raise fail(error.en, error.zh, EXIT_USAGE) from None
    except OSError as error:
        raise fail(
            f"{error.filename}: {cause(error).en}", f"{error.filename}：无法读取（{cause(error).zh}）", EXIT_USAGE
        ) from None


def _manifests(manifest: Path | None, config_file: Path | None, settings: GatewaySettings) -> list[Manifest]:
    """The one given, or all that the gateway works with."""
    from adapters.errors import AdapterError
    from adapters.manifest import load_manifest
    from gateway.cli.registered import live_manifests

    try:
        if manifest is not None or config_file is None:
            return [load_manifest(path) for path in (manifest,) if path is not None]
        return [*map(load_manifest, settings.inquiry.adapters), *live_manifests(config_file, settings)]
    except AdapterError as error:
        raise fail(error.en, error.zh, EXIT_USAGE) from None


def _this_month() -> int:
    from gateway.clock import SystemClock, civil_day
    from gateway.quality.measuring import month_of

    return month_of(civil_day(SystemClock().now_ms()))


def _read(settings: GatewaySettings, month: str, department: str) -> Month:
    """The counters of a month and of those before, of one department or of all."""
    from gateway.quality.judging import month_before
    from gateway.quality.report import TREND, Month, narrowed

    if month and not re.fullmatch(r"\d{4}-(?:0[1-9]|1[0-2])", month):
        raise fail("--month: write YYYY-MM", "--month：应为 YYYY-MM", EXIT_USAGE)
    wanted = int(month.replace("-", "")) if month else _this_month()
    number, adapter = _chosen(department)
    counted, examples = _from_store(settings, month_before(wanted, TREND), wanted)
    now = {key: counts for key, counts in counted.items() if key.month == wanted}
    before = {key: counts for key, counts in counted.items() if key.month != wanted}
    return narrowed(Month(wanted, now, before, examples), number, adapter)


def _chosen(department: str) -> tuple[int, str]:
    from gateway.rules.kinds import DEPARTMENTS

    number = DEPARTMENTS.get(department.upper().replace("-", "_"), 0) if not department.islower() else 0
    return number, "" if number else department


def _called(department: str, language: Language) -> str:
    from gateway.wording import DEPARTMENTS, word

    number, adapter = _chosen(department)
    named = word(DEPARTMENTS, number)
    return adapter or named.said(language)


def _from_store(settings: GatewaySettings, since: int, until: int) -> tuple[dict[Any, Any], Sequence[Any]]:
    from gateway.clock import SystemClock
    from gateway.quality.counters import Key, from_bytes
    from gateway.store.engine import Store

    database = settings.state_dir / "gateway.db"
    if not database.is_file():
        raise fail(
            f"{database}: no such file; has the gateway run?",
            f"{database}：文件不存在，网关是否运行过？",
            EXIT_UNREACHABLE,
        )

    async def read() -> tuple[dict[Any, Any], Sequence[Any]]:
        async with Store.open(database, key=settings.state_dir / "store.key", clock=SystemClock()) as store:
            rows = await store.quality.read(since, until)
            shown = await store.quality.examples(until)
        keyed = {
            Key(row.month, row.adapter, row.department, row.kind, row.region): from_bytes(row.counts) for row in rows
        }
        return keyed, shown

    try:
        return asyncio.run(read())
    except WuganError as error:
        raise fail(error.en, error.zh, EXIT_UNREACHABLE) from None


def _keep(settings: GatewaySettings, measured: Measured) -> None:
    from gateway.clock import SystemClock
    from gateway.quality.recorder import kept
    from gateway.store.engine import Store

    async def add() -> None:
        database, key = settings.state_dir / "gateway.db", settings.state_dir / "store.key"
        async with Store.open(database, key=key, clock=SystemClock()) as store:
            await store.quality.add(*kept(measured))

    try:
        asyncio.run(add())
    except WuganError as error:
        raise fail(error.en, error.zh, EXIT_UNREACHABLE) from None


def _sampled(
    manifests: Sequence[Manifest], settings: GatewaySettings | None, ids: Path | None, people: int, bounds: Thresholds
) -> Measured:
    """A sample of the sources of these manifests; one that cannot be reached is told and counted as unavailable."""
    from adapters.errors import AdapterError
    from gateway.rules import RULES_FILE
    from gateway.rules.book import RuleBook

    rules = (settings.inquiry.rules if settings is not None else None) or RULES_FILE
    book = RuleBook.parse(rules.read_bytes(), str(rules))
    given = ids.read_text("utf-8-sig", "replace").splitlines() if ids is not None else None
    try:
        return asyncio.run(_sample(manifests, given, people, book, bounds.dates_differ_days))
    except AdapterError as error:
        raise fail(error.en, error.zh, EXIT_USAGE) from None


async def _sample(
    manifests: Sequence[Manifest], given: Sequence[str] | None, people: int, book: RuleBook, differ_days: int
) -> Measured:
    from adapters.build import build
    from adapters.errors import AdapterError
    from adapters.numbers import Numbers, numbers_of
    from gateway.clock import SystemClock, civil_day
    from gateway.quality.sampling import Sampled
    from gateway.quality.sampling import sample as sample_of

    numbers = Numbers()
    if given is not None:
        numbers.take(given, people)
    with tempfile.TemporaryDirectory(prefix="wugan-quality-") as state:
        sources: list[Sampled] = []
        try:
            for manifest in manifests:
                mine = Numbers()
                try:
                    if given is None:
                        mine = await asyncio.to_thread(numbers_of, manifest, max(1, people // max(1, len(manifests))))
                        numbers.good.update(mine.good)
                except AdapterError as error:
                    click.echo(f"! {manifest.adapter_id}: {say(error.en, error.zh)}", err=True)
                try:
                    sources.append(Sampled(build(manifest, Path(state)), mine.read, mine.ill_formed))
                except AdapterError as error:
                    click.echo(f"! {manifest.adapter_id}: {say(error.en, error.zh)}", err=True)
            if not numbers.good:
                raise fail("no numbers to try; give --ids", "没有可试查的号码，请用 --ids 提供", EXIT_UNREACHABLE)
            today = civil_day(SystemClock().now_ms())
            return await sample_of(sources, list(numbers.good), book, today, differ_days)
        finally:
            await asyncio.gather(*(source.adapter.close() for source in sources))


# showing


def _table(month: Month) -> None:
    from rich.console import Console
    from rich.table import Table

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
    Console(width=None if Console().is_terminal else 140).print(shown, markup=False)


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
