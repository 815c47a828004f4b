"""`wugan demo`: a generated federation to try things on."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
from rich.console import Console
from rich.table import Table

from gateway.cli import EXIT_REFUSED, EXIT_USAGE
from gateway.cli.language import chinese, say
from gateway.errors import WuganError

if TYPE_CHECKING:
    from gateway.demo.launch import Demo
    from gateway.demo.score import Score

R = TypeVar("R")

_DIR = click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo-state"),
    show_default=True,
    help=say("folder the demo lives in", "演示数据目录"),
)
_JSON = click.option("--json", "json_out", is_flag=True, help=say("print JSON", "输出 JSON"))


def _world_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option(
            "--seed", type=click.IntRange(0), default=1, show_default=True, help=say("of the world", "随机种子")
        ),
        click.option(
            "--people",
            type=click.IntRange(60, 5_000_000),
            default=600,
            show_default=True,
            help=say("people in the world", "人数"),
        ),
        click.option(
            "--provinces",
            type=click.IntRange(2, 31),
            default=3,
            show_default=True,
            help=say("provinces in the federation", "省份数量"),
        ),
        _DIR,
    ):
        command = option(command)
    return command


@click.group(
    help=say(
        "A federation of generated provinces, people and departments, as separate processes on this machine.",
        "在本机以独立进程运行的模拟联盟：省份、人员与部门系统均为生成数据。",
    )
)
def demo() -> None:
    """The group."""


@demo.command(help=say("Start; keeps running until Ctrl-C unless detached.", "启动；未加 --detach 时运行至 Ctrl-C。"))
@_world_options
@click.option("--detach", is_flag=True, help=say("return once it runs", "启动完成后立即返回"))
@_JSON
def up(folder: Path, provinces: int, people: int, seed: int, detach: bool, json_out: bool) -> None:
    """Start the federation."""
    from gateway.demo import launch
    from gateway.log import configure

    configure("WARNING")  # founding opens stores, whose lines would stand among what is printed
    started = _or_exit(lambda: launch.up(folder, provinces=provinces, people=people, seed=seed))
    _print_status(started, json_out)
    if detach:
        return
    click.echo(say("Running; Ctrl-C stops it.", "正在运行，按 Ctrl-C 停止。"), err=True)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()
    launch.down(folder)


@demo.command(
    help=say("What runs where. Exit code 1 where something does not run.", "运行状态；有进程未运行时退出码为 1。")
)
@_DIR
@_JSON
def status(folder: Path, json_out: bool) -> None:
    """Show the state of a demo."""
    from gateway.demo import launch

    found = _or_exit(lambda: launch.load(folder))
    _print_status(found, json_out)
    if not found.running():
        raise SystemExit(EXIT_REFUSED)


@demo.command(help=say("Stop; the data stays until the next `up`.", "停止；数据保留至下次启动。"))
@_DIR
def down(folder: Path) -> None:
    """Stop a demo."""
    from gateway.demo import launch

    for process in _or_exit(lambda: launch.down(folder)):
        click.echo(say(f"{process.name} had to be killed", f"{process.name} 未能正常退出，已强制结束"), err=True)


@demo.command(
    help=say(
        "Ask about a sample of recipients and hold the answers against the truth: precision and recall per status. "
        "Exit code 1 when a living person was called dead or a question was not answered.",
        "抽样查询并与真实情况比对，输出各状态的查准率与查全率。若有在世者被判为死亡或有查询未获答复，退出码为 1。",
    )
)
@_DIR
@click.option("--sample", type=click.IntRange(1), default=300, show_default=True, help=say("recipients", "抽样人数"))
@click.option("--seed", type=int, default=1, show_default=True, help=say("of the sample", "抽样随机种子"))
@_JSON
def score(folder: Path, sample: int, seed: int, json_out: bool) -> None:
    """Score the federation."""
    from gateway.demo import launch
    from gateway.demo.score import score as run_score

    result = _or_exit(lambda: asyncio.run(run_score(launch.load(folder), sample, seed)))
    if json_out:
        click.echo(json.dumps(result.as_json(), ensure_ascii=False, indent=2))
    else:
        _print_score(result)
    if not result.passed:
        raise SystemExit(EXIT_REFUSED)


@demo.command(
    help=say(
        "Start a federation, ask a handful of questions that show every kind of answer, and shut down.",
        "启动联盟，查询若干名典型人员以展示各类答复，然后关闭。",
    )
)
@_world_options
@_JSON
def show(folder: Path, provinces: int, people: int, seed: int, json_out: bool) -> None:
    """The demonstration behind `make demo`."""
    from gateway.cli.showcase import ask_showcase
    from gateway.demo import launch
    from gateway.log import configure

    console = Console()
    if not json_out:
        console.print(
            say(
                f"Starting {provinces} provinces with {people} people (seed {seed}) …",
                f"正在启动 {provinces} 个省份、{people} 名人员（种子 {seed}）……",
            )
        )
    configure("WARNING")  # founding opens stores, whose lines would stand among what is printed
    started = _or_exit(lambda: launch.up(folder, provinces=provinces, people=people, seed=seed))
    try:
        right = _or_exit(lambda: asyncio.run(ask_showcase(console, started, json_out=json_out)))
    finally:
        launch.down(folder)
    if not right:
        raise SystemExit(EXIT_REFUSED)


def _or_exit(work: Callable[[], R]) -> R:
    try:
        return work()
    except WuganError as error:
        click.echo(f"wugan: {say(error.en, error.zh)}", err=True)
        raise SystemExit(EXIT_USAGE) from None


def _print_status(found: Demo, json_out: bool) -> None:
    from gateway.demo import launch

    about = launch.status(found)
    if json_out:
        click.echo(json.dumps(about, ensure_ascii=False, indent=2))
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in (say("province", "省份"), say("agencies' gateway", "经办网关"), say("agency.toml", "agency.toml")):
        table.add_column(heading, overflow="fold")
    for member in about["members"]:
        name = member["name_zh"] if chinese() else member["name_en"]
        table.add_row(name, member["agency"], next(iter(member["agencies"].values()), ""))
    console = Console()
    console.print(table)
    for process in about["processes"]:
        mark = "✓" if process["running"] else "✗"
        console.print(f"{mark} {process['name']}  pid {process['pid']}  {process['log']}", highlight=False)


def _print_score(result: Score) -> None:
    console = Console()
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in (
        say("status", "状态"),
        say("expected", "应有"),
        say("given", "判定"),
        say("precision", "查准率"),
        say("recall", "查全率"),
    ):
        table.add_column(heading, justify="left")
    for name, tally in sorted(result.tallies.items()):
        table.add_row(name, str(tally.expected), str(tally.given), f"{tally.precision:.1%}", f"{tally.recall:.1%}")
    console.print(table)
    flag_recall = result.flags_raised / result.flags_expected if result.flags_expected else 1.0
    console.print(
        say(
            f"asked {result.asked}, flags raised {flag_recall:.1%}, incomplete {result.partial}, "
            f"living people called dead: {result.living_called_dead}",
            f"共查询 {result.asked} 人，标记查全率 {flag_recall:.1%}，信息不完整 {result.partial}，"
            f"在世者被判为死亡：{result.living_called_dead}",
        ),
        highlight=False,
    )
    for code, count in result.failed.most_common():
        console.print(say(f"not answered: {code} × {count}", f"未获答复：{code} × {count}"), style="red")
    for (case, expected, answered), count in result.wrong.most_common(20):
        console.print(f"{case}: {expected} → {answered} × {count}", style="yellow", highlight=False)
    if result.cases:
        console.print(say("\nWhat the evidence cannot know:", "\n证据无法得知的情况："))
        for case, (en, zh) in sorted(result.cases.items()):
            console.print(f"  {case}: {say(en, zh)}", highlight=False)
