"""Where the figures of `wugan quality` come from: the gateway's store, or a sample of departments' own data.

Owns: opening either, and how the command ends where that fails. Refuses: counting and judging (`gateway.quality`), and
showing.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from certs.system_words import cause
from gateway.cli import EXIT_UNREACHABLE, EXIT_USAGE
from gateway.cli.access_common import fail
from gateway.cli.files import read_text
from gateway.cli.language import say
from gateway.errors import ConfigError, WuganError

if TYPE_CHECKING:
    from adapters.manifest import Manifest
    from gateway.config import GatewaySettings
    from gateway.quality.judging import Thresholds
    from gateway.quality.measuring import Measured
    from gateway.quality.report import Month
    from gateway.rules.book import RuleBook
    from gateway.wording import Language


T = TypeVar("T")

_LARGEST_IDS = 64 << 20


def settings_and_thresholds(config_file: Path | None, thresholds: Path | None) -> tuple[Any, Thresholds]:
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


def manifests_of(manifest: Path | None, config_file: Path | None, settings: GatewaySettings) -> list[Manifest]:
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


def this_month() -> int:
    """The month in Shanghai, as 202611."""
    from gateway.clock import SystemClock, civil_day
    from gateway.quality.measuring import month_of

    return month_of(civil_day(SystemClock().now_ms()))


def month_of_store(settings: GatewaySettings, month: str, department: str) -> Month:
    """The counters of a month and of those before, of one department or of all."""
    from gateway.quality.judging import month_before
    from gateway.quality.report import TREND, Month, narrowed

    if month and not re.fullmatch(r"\d{4}-(?:0[1-9]|1[0-2])", month):
        raise fail("--month: write YYYY-MM", "--month：应为 YYYY-MM", EXIT_USAGE)
    wanted = int(month.replace("-", "")) if month else this_month()
    number, adapter = _chosen(department)
    counted, examples = _from_store(settings, month_before(wanted, TREND), wanted)
    now = {key: counts for key, counts in counted.items() if key.month == wanted}
    before = {key: counts for key, counts in counted.items() if key.month != wanted}
    return narrowed(Month(wanted, now, before, examples), number, adapter)


def _chosen(department: str) -> tuple[int, str]:
    from gateway.rules.kinds import DEPARTMENTS

    number = DEPARTMENTS.get(department.upper().replace("-", "_"), 0) if not department.islower() else 0
    return number, "" if number else department


def called(department: str, language: Language) -> str:
    """What a report calls a department, or an adapter."""
    from gateway.wording import DEPARTMENTS, word

    number, adapter = _chosen(department)
    named = word(DEPARTMENTS, number)
    return adapter or named.said(language)


def _from_store(settings: GatewaySettings, since: int, until: int) -> tuple[dict[Any, Any], Sequence[Any]]:
    from gateway.clock import SystemClock
    from gateway.quality.counters import Key, from_bytes
    from gateway.store.place import database_file, open_store

    database = database_file(settings)
    if database is not None and not database.is_file():
        raise fail(
            f"{database}: no such file; has the gateway run?",
            f"{database}：文件不存在，网关是否运行过？",
            EXIT_UNREACHABLE,
        )

    async def read() -> tuple[dict[Any, Any], Sequence[Any]]:
        async with open_store(settings, SystemClock()) as store:
            rows = await store.quality.read(since, until)
            shown = await store.quality.examples(until)
        keyed = {
            Key(row.month, row.adapter, row.department, row.kind, row.region): from_bytes(row.counts) for row in rows
        }
        return keyed, shown

    return _run(read)


def keep_counts(settings: GatewaySettings, measured: Measured) -> None:
    """Add what was measured to the month's counts in the store."""
    from gateway.clock import SystemClock
    from gateway.quality.recorder import kept
    from gateway.store.place import open_store

    async def add() -> None:
        async with open_store(settings, SystemClock()) as store:
            await store.quality.add(*kept(measured))

    _run(add)


def _run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """The result of work in the store; ends the command where that cannot be used."""
    try:
        return asyncio.run(work())
    except WuganError as error:
        raise fail(error.en, error.zh, EXIT_USAGE if isinstance(error, ConfigError) else EXIT_UNREACHABLE) from None


def sampled(
    manifests: Sequence[Manifest], settings: GatewaySettings | None, ids: Path | None, people: int, bounds: Thresholds
) -> Measured:
    """A sample of the sources of these manifests; one that cannot be reached is told and counted as unavailable."""
    from adapters.errors import AdapterError
    from gateway.rules import RULES_FILE
    from gateway.rules.book import RuleBook

    rules = (settings.inquiry.rules if settings is not None else None) or RULES_FILE
    book = RuleBook.parse(rules.read_bytes(), str(rules))
    given = read_text(ids, _LARGEST_IDS).splitlines() if ids is not None else None
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
