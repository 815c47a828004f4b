"""`wugan catalogue`: what the benefits need from the departments, who offers it, and what nobody offers.

Owns: choosing regions, benefits and departments, and showing tables. Refuses: reaching a source; manifests and the
directory held say what is offered.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli import EXIT_REFUSED, EXIT_USAGE
from gateway.cli.failing import say_failed
from gateway.cli.language import chinese, plain, say
from gateway.errors import WuganError

if TYPE_CHECKING:
    from gateway.catalogue.basis import Terms
    from gateway.catalogue.gaps import Gap
    from gateway.catalogue.needs import Need
    from gateway.catalogue.offers import Offer
    from gateway.catalogue.tables import Table
    from gateway.rules.book import RuleBook
    from gateway.wording import Language


@click.group(
    help=say(
        "The data catalogue: benefit × department × item, from the rules; who offers it, from manifests and the "
        "directory. Name manifests or folders of them, or give --config.",
        "数据需求清单：险种 × 部门 × 数据项（由规则导出），以及由谁提供（来自接入清单与成员目录）。"
        "可列出清单文件或其所在文件夹，或给出 --config。",
    )
)
def catalogue() -> None:
    """The group."""


def _options(command: Callable[..., None]) -> Callable[..., None]:
    """What all commands share: where offers come from, and which lines are wanted."""
    there = click.Path(exists=True, path_type=Path)
    file = click.Path(exists=True, dir_okay=False, path_type=Path)

    @click.argument("manifests", nargs=-1, type=there)
    @click.option(
        "--config",
        type=file,
        help=say("gateway.toml: its manifests, and the directory it holds", "gateway.toml：取其接入清单与所持成员目录"),
    )
    @click.option(
        "--rules",
        type=file,
        help=say("rule file; default: the gateway's, else the built-in one", "规则文件；默认用网关所设或内置规则"),
    )
    @click.option(
        "--terms", type=file, help=say("file of legal bases and wanted freshness", "依据与时效文件（catalogue.yaml）")
    )
    @click.option(
        "--region",
        "regions",
        multiple=True,
        type=click.IntRange(110000, 829999),
        help=say("GB/T 2260 code; repeatable", "行政区划代码，可重复"),
    )
    @click.option(
        "--benefit",
        "benefits",
        multiple=True,
        help=say("only this benefit, e.g. WORK_INJURY", "只看该险种，如 WORK_INJURY"),
    )
    @click.option(
        "--department",
        "departments",
        multiple=True,
        help=say("only this department, e.g. CIVIL_AFFAIRS", "只看该部门，如 CIVIL_AFFAIRS"),
    )
    @functools.wraps(command)
    def wrapped(**given: Any) -> None:
        try:
            command(**given)
        except WuganError as error:
            say_failed(say(error.en, error.zh), EXIT_USAGE, of=error, prefix="✗ ")
            raise SystemExit(EXIT_USAGE) from error

    return wrapped


@catalogue.command(help=say("Show the catalogue.", "显示数据需求清单。"))
@_options
@click.option("--json", "json_out", is_flag=True, help=say("print JSON", "输出 JSON"))
def show(*, json_out: bool, **given: Any) -> None:
    """All needs, with who meets them."""
    view = _view(**given)
    _print(view.catalogue(_language()), json_out, leave_out=("scope", "basis") if not json_out else ())


@catalogue.command(
    help=say(
        "Show what the benefits need and nobody offers, per region. Exit code 1 with --strict where something "
        "essential is missing.",
        "按地区显示各险种需要而无人提供的数据。加 --strict 时，缺少必需项则退出码为 1。",
    )
)
@_options
@click.option("--all", "everything", is_flag=True, help=say("useful items too", "包括可选项"))
@click.option("--strict", is_flag=True, help=say("fail where something essential is missing", "缺少必需项时返回失败"))
@click.option("--json", "json_out", is_flag=True, help=say("print JSON", "输出 JSON"))
def gaps(*, everything: bool, strict: bool, json_out: bool, **given: Any) -> None:
    """What is missing."""
    from gateway.catalogue.needs import Level
    from gateway.catalogue.tables import gaps_table

    view = _view(**given)
    found = view.gaps(Level.USEFUL if everything else Level.IMPORTANT)
    if found or json_out:
        _print(gaps_table(found, _language()), json_out)
    else:
        click.echo(f"✓ {say('no gaps', '没有缺口')}")
    if strict and any(gap.level is Level.ESSENTIAL for gap in found):
        raise SystemExit(EXIT_REFUSED)


@catalogue.command(
    help=say(
        "Write catalogue and gaps into FILE: .xlsx, .md, .json, or .csv (the catalogue alone).",
        "把清单与缺口写入 FILE：.xlsx、.md、.json，或 .csv（仅清单）。",
    )
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@_options
@click.option("--lang", type=click.Choice(["zh", "en"]), help=say("language of the file", "文件语言"))
def export(*, file: Path, lang: Language | None, **given: Any) -> None:
    """Both tables as a file."""
    from gateway.catalogue.needs import Level
    from gateway.catalogue.tables import gaps_table
    from gateway.catalogue.writing import write

    view = _view(**given)
    language = lang or _language()
    tables = [view.catalogue(language), gaps_table(view.gaps(Level.USEFUL), language)]
    write(file, tables)
    lines, lacking = len(tables[0].rows), len(tables[1].rows)
    click.echo(f"✓ {say(f'{file}: {lines} lines, {lacking} gaps', f'{file}：{lines} 行，{lacking} 处缺口')}")


@dataclass(frozen=True)
class _View:
    """What was chosen."""

    book: RuleBook
    terms: Terms
    needs: tuple[Need, ...]
    offers: list[Offer]
    regions: tuple[int, ...]
    unserved: tuple[int, ...]

    def catalogue(self, language: Language) -> Table:
        from gateway.catalogue.tables import catalogue_table

        return catalogue_table(self.book, self.terms, self.needs, self.offers, self.regions, language)

    def gaps(self, least: Any) -> list[Gap]:
        from gateway.catalogue.gaps import gaps_of

        return gaps_of(
            self.book, self.terms, self.needs, self.offers, self.regions, least=least, unserved=self.unserved
        )


def _view(
    manifests: tuple[Path, ...],
    config: Path | None,
    rules: Path | None,
    terms: Path | None,
    regions: tuple[int, ...],
    benefits: tuple[str, ...],
    departments: tuple[str, ...],
) -> _View:
    """Read everything that was named.

    Raises:
        WuganError: something of it cannot be read, or nothing was named.
    """
    from gateway.catalogue import CATALOGUE_FILE
    from gateway.catalogue.basis import Terms
    from gateway.catalogue.needs import needs_of
    from gateway.catalogue.offers import manifests_in, of_manifest, of_member, provinces_of
    from gateway.cli.registered import live_manifests
    from gateway.clock import SystemClock
    from gateway.config import load_gateway
    from gateway.errors import ConfigError
    from gateway.federation.directory_held import held_directory
    from gateway.federation.regions import PROVINCES, is_region
    from gateway.log import configure
    from gateway.rules import RULES_FILE
    from gateway.rules.book import BENEFITS, RuleBook
    from gateway.rules.kinds import DEPARTMENTS

    configure("ERROR", "console")
    if not manifests and config is None:
        raise ConfigError("name manifests, or give --config", "请列出接入清单，或给出 --config")
    settings = load_gateway(config) if config is not None else None
    rule_file = rules or (settings.inquiry.rules if settings is not None else None) or RULES_FILE
    term_file = terms or CATALOGUE_FILE
    book = RuleBook.parse(rule_file.read_bytes(), str(rule_file))
    read = Terms.parse(term_file.read_bytes(), str(term_file))
    paths = [*manifests, *(settings.inquiry.adapters if settings is not None else ())]
    registered = live_manifests(config, settings) if config is not None and settings is not None else []
    offers = [offer for manifest in (*manifests_in(paths), *registered) for offer in of_manifest(manifest)]
    unserved: tuple[int, ...] = ()
    if settings is not None:
        directory = held_directory(settings, SystemClock())
        if directory is None:
            text = "the directory was not fetched yet or has expired: only own manifests are shown"
            click.echo(f"! {say(text, '尚未取得成员目录或已过期：仅列出本网关的接入清单')}", err=True)
        else:
            others = [member for member in directory.members if member.member_id != settings.member_id]
            offers += [offer for member in others for offer in of_member(member, book)]
            served = {region // 10_000 * 10_000 for member in directory.members for region in member.regions}
            unserved = tuple(code for code in PROVINCES if code not in served and code < 710000)
    wanted = tuple(_number(name, BENEFITS, "--benefit") for name in benefits)
    asked = tuple(_number(name, DEPARTMENTS, "--department") for name in departments)
    unknown = next((region for region in regions if not is_region(region)), None)
    if unknown is not None:
        raise ConfigError(
            f"--region: {unknown} is no region of GB/T 2260", f"--region：{unknown} 不是有效的行政区划代码"
        )
    needs = tuple(
        need
        for need in needs_of(book)
        if (not wanted or need.benefit in wanted) and (not asked or need.department in asked)
    )
    return _View(book, read, needs, offers, regions or provinces_of(offers), () if regions else unserved)


def _number(name: str, known: dict[str, int], option: str) -> int:
    from gateway.errors import ConfigError

    number = known.get(name.upper())
    if number is None:
        listed = ", ".join(known)
        raise ConfigError(f"{option}: write one of {listed}", f"{option}：应为下列之一：{listed}")
    return number


def _language() -> Language:
    return "zh" if chinese() else "en"


def _print(table: Table, json_out: bool, leave_out: tuple[str, ...] = ()) -> None:
    """A table on the terminal, or as JSON."""
    if json_out:
        from gateway.catalogue.writing import as_json

        click.echo(as_json([table]).decode(), nl=False)
        return
    from rich.table import Table as Shown

    from gateway.cli.tables import console

    columns = [at for at, key in enumerate(table.keys) if key not in leave_out]
    shown = Shown(title=table.title, show_lines=False)
    for at in columns:
        shown.add_column(table.headings[at], overflow="fold")
    for row in table.rows:
        shown.add_row(*(plain(str(row[at])) for at in columns))
    console(wide=200).print(shown, markup=False)
