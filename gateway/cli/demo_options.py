"""What the commands of `wugan demo` share: their options, how an error ends them, and words for what the truth holds.

Refuses: commands.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from gateway.cli import EXIT_USAGE
from gateway.cli.failing import end
from gateway.cli.language import say
from gateway.errors import WuganError

R = TypeVar("R")

DIR = click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo-state"),
    show_default=True,
    help=say("folder the demo lives in", "演示数据目录"),
)
JSON = click.option("--json", "json_out", is_flag=True, help=say("print JSON", "输出 JSON"))


def world_options(command: Callable[..., None]) -> Callable[..., None]:
    """Of which world, and where it lives."""
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
        DIR,
    ):
        command = option(command)
    return command


def or_exit(work: Callable[[], R]) -> R:
    """The result, or the error told and the end."""
    try:
        return work()
    except WuganError as error:
        end(error.en, error.zh, EXIT_USAGE, of=error)


def life(case: str) -> str:
    """A kind of life for people, with the label by which the truth file has it."""
    from gateway.demo.case_words import CASE_WORDS

    word = CASE_WORDS.get(case, "")
    return say(case, f"{word}（{case}）" if word else case)


def status_word(name: str) -> str:
    """A status by the name that the truth file has for it, in words, with the flags that an answer lacks (` -FLAG`); as
    it is where it has none.
    """
    from gateway import wording
    from wugan.federation.v1 import vocabulary_pb2 as words

    name, *lacking = name.split(" -")
    if name == "REFUSED":
        return say("refused (the number is wrong)", "拒绝（号码有误）")
    number = words.SurvivalStatus.DESCRIPTOR.values_by_name.get(f"SURVIVAL_STATUS_{name}")
    if number is None:
        return name
    word = wording.STATUSES[number.number]
    if not lacking:
        return say(word.en, word.zh)
    flags = [wording.FLAGS[words.EntitlementFlag.Value(f"ENTITLEMENT_FLAG_{flag}")] for flag in lacking]
    en, zh = ", ".join(flag.en for flag in flags), "、".join(flag.zh for flag in flags)
    return say(f"{word.en}, without the flag {en}", f"{word.zh}，缺标记：{zh}")
