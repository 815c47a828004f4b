"""`wugan demo`: a generated federation to try things on."""

from __future__ import annotations

import asyncio
import functools
import json
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Console

from gateway.cli import EXIT_REFUSED
from gateway.cli.demo_options import DIR, JSON, or_exit, world_options
from gateway.cli.demo_score import score
from gateway.cli.language import chinese, say

if TYPE_CHECKING:
    from gateway.demo.launch import Demo

_OF_A_PROVINCE: Final = {"departments": "各部门系统", "gateway": "网关"}


@click.group(
    help=say(
        "A federation of generated provinces, people and departments, as separate processes on this machine.",
        "在本机以独立进程运行的模拟联盟：省份、人员与部门系统均为生成数据。",
    )
)
@click.pass_context
def demo(context: click.Context) -> None:
    """The group. Told to end, or its terminal closed, a command first stops what it had started, as at Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        return
    for ending in (signal.SIGTERM, signal.SIGHUP):
        before = signal.getsignal(ending)
        if before is not signal.SIG_IGN:  # as under nohup, where it is to outlive the terminal
            signal.signal(ending, lambda number, _: sys.exit(128 + number))
            context.call_on_close(functools.partial(signal.signal, ending, before))


demo.add_command(score)


@demo.command(help=say("Start; keeps running until Ctrl-C unless detached.", "启动；未加 --detach 时运行至 Ctrl-C。"))
@world_options
@click.option("--detach", is_flag=True, help=say("return once it runs", "启动完成后立即返回"))
@JSON
def up(folder: Path, provinces: int, people: int, seed: int, detach: bool, json_out: bool) -> None:
    """Start the federation."""
    from gateway.demo import launch
    from gateway.log import configure

    configure("WARNING")  # founding opens stores, whose lines would stand among what is printed
    started = or_exit(lambda: launch.up(folder, provinces=provinces, people=people, seed=seed))
    _print_status(started, json_out)
    if detach:
        return
    click.echo(say("Running; Ctrl-C stops it.", "正在运行，按 Ctrl-C 停止。"), err=True)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: stop.set())
    stop.wait()
    launch.down(folder)


@demo.command(
    help=say("What runs where. Exit code 1 where something does not run.", "运行状态；有进程未运行时退出码为 1。")
)
@DIR
@JSON
def status(folder: Path, json_out: bool) -> None:
    """Show the state of a demo."""
    from gateway.demo import launch

    found = or_exit(lambda: launch.load(folder))
    _print_status(found, json_out)
    if not found.running():
        raise SystemExit(EXIT_REFUSED)


@demo.command(help=say("Stop; the data stays until the next `up`.", "停止；数据保留至下次启动。"))
@DIR
@JSON
def down(folder: Path, json_out: bool) -> None:
    """Stop a demo."""
    from gateway.demo import launch

    killed = or_exit(lambda: launch.down(folder))
    if json_out:
        click.echo(json.dumps({"stopped": True, "killed": [process.name for process in killed]}, ensure_ascii=False))
        return
    members = launch.load(folder).members
    for process in killed:
        name = called(process.name, members)
        click.echo(say(f"{name} had to be killed", f"{name}未能正常退出，已强制结束"), err=True)


@demo.command(
    help=say(
        "Start a federation, ask a handful of questions that show every kind of answer, and shut down.",
        "启动联盟，查询若干名典型人员以展示各类答复，然后关闭。",
    )
)
@world_options
@JSON
def show(folder: Path, provinces: int, people: int, seed: int, json_out: bool) -> None:
    """The demonstration behind `make demo`."""
    from gateway.cli.showcase import ask_showcase, sum_up
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
    started = or_exit(lambda: launch.up(folder, provinces=provinces, people=people, seed=seed))
    try:
        asked, wrong = or_exit(lambda: asyncio.run(ask_showcase(console, started, json_out=json_out)))
    finally:
        launch.down(folder)
    if not json_out:
        sum_up(console, asked, wrong)
    if wrong:
        raise SystemExit(EXIT_REFUSED)


def called(process: str, members: Sequence[Mapping[str, Any]]) -> str:
    """A process of the demo for people.

    Args:
        process: its name in the state file.
        members: of the demo, with their names.
    """
    kind, _, whose = process.partition(" ")
    province = next((str(member["name_zh"]) for member in members if member["name_en"] == whose), "")
    if process == "authority":
        zh = "联盟管理机构"
    elif process.startswith("adapter of "):
        zh = f"部门自行运行的接入程序 {process.removeprefix('adapter of ')}"
    elif province and kind in _OF_A_PROVINCE:
        zh = f"{province}{_OF_A_PROVINCE[kind]}"
    else:
        zh = process
    return say(process, zh)


def _print_status(found: Demo, json_out: bool) -> None:
    from gateway.demo import launch

    about = launch.status(found)
    if json_out:
        click.echo(json.dumps(about, ensure_ascii=False, indent=2))
        return
    console = Console(soft_wrap=True, highlight=False)  # paths are copied from here into other commands
    for member in about["members"]:
        name = member["name_zh"] if chinese() else member["name_en"]
        console.print(f"{name}  {member['agency']}", style="bold")
        for unit, config in member["agencies"].items():
            console.print(f"    {unit}  {config}")
            if unit in member["rosters"]:
                console.print(f"            {member['rosters'][unit]}")
    for process in about["processes"]:
        mark = "✓" if process["running"] else "✗"
        console.print(f"{mark} {called(process['name'], about['members'])}  pid {process['pid']}  {process['log']}")
    if not found.ready:
        console.print(
            say(
                f"! not started to the end; unless it is just being started, `wugan demo down --dir {found.folder}`"
                " stops what runs",
                f"！启动未完成；若非正在启动，请运行 `wugan demo down --dir {found.folder}` 停止已启动的进程",
            ),
            markup=False,
        )
