"""The handful of questions of `make demo`: one recipient for every kind of answer, asked and shown.

Owns: the order of the show and the line that introduces each person. Refuses: choosing the people; the world does.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import click
import grpc
from rich.console import Console
from rich.panel import Panel

from gateway import wording
from gateway.cli.demo_options import life
from gateway.cli.language import say
from gateway.cli.report import as_json, named, show
from gateway.demo.asking import agencies, request_for, status_of
from gateway.demo.cases import SHOWCASE
from gateway.demo.launch import Demo
from gateway.demo.truth import Recipient, read_truth
from gateway.status import from_rpc_error
from wugan.federation.v1 import vocabulary_pb2 as words

EVIDENCE = 12
TIMEOUT_S = 20.0


async def ask_showcase(console: Console, demo: Demo, *, json_out: bool) -> tuple[int, list[str]]:
    """Ask about every person of the showcase and print each answer; how many, and of which lives it was not right."""
    wrong: list[str] = []
    printed: list[dict[str, object]] = []
    async with agencies(demo) as stub:
        for recipient in _showcase(demo):
            request = request_for(recipient, evidence_limit=EVIDENCE)
            title = _title(recipient)
            try:
                response = await stub(recipient).Check(request, timeout=TIMEOUT_S)
            except grpc.aio.AioRpcError as error:
                ours = from_rpc_error(error)
                code = ours.code if ours is not None else error.code().name
                text = say(ours.en, ours.zh) if ours is not None else code
                if ours is None or not recipient.is_right("REFUSED"):
                    wrong.append(recipient.case)
                printed.append({"case": recipient.case, "refusal": code, "message": text})
                if not json_out:
                    console.print(Panel(f"[{code}] {text}", title=title, title_align="left"))
                continue
            if not recipient.is_right(status_of(response)):
                wrong.append(recipient.case)
            printed.append({"case": recipient.case, "answer": as_json(response)})
            if not json_out:
                response.linked_id_numbers[:] = map(_masked, response.linked_id_numbers)
                show(console, response, title=title, note=_note(recipient))
    if json_out:
        click.echo(json.dumps(printed, ensure_ascii=False, indent=2))
    return len(printed), wrong


def sum_up(console: Console, asked: int, wrong: Sequence[str]) -> None:
    """Say how the show ended, and what comes next.

    Args:
        console: where.
        asked: people asked about.
        wrong: the kinds of life of which the answer was not what the truth says.
    """
    if wrong:
        lives = say(", ", "、").join(map(life, wrong))
        told = say(
            f"{len(wrong)} of {asked} answers are not what the truth says: {lives}",
            f"{asked} 项答复中有 {len(wrong)} 项与真实情况不符：{lives}",
        )
        console.print(f"✗ {told}", style="red", highlight=False)
        return
    told = say(
        f"All {asked} answers agree with the truth, which nobody who answers can read. Everything was stopped again.",
        f"{asked} 项答复均与真实情况相符（真实情况另存，答复方无从读取）。所有进程已停止。",
    )
    then = say("Go on by yourself: wugan demo up --detach", "如需自行操作：wugan demo up --detach")
    console.print(f"✓ {told}\n  {then}", highlight=False)


def _showcase(demo: Demo) -> list[Recipient]:
    """The first person of every kind that the show has, living in another province than the one that pays."""
    first: dict[str, Recipient] = {}
    for recipient in read_truth(demo.truth):
        if recipient.across:
            first.setdefault(recipient.case, recipient)
    return [first[case] for case in SHOWCASE if case in first]


def _title(recipient: Recipient) -> str:
    benefit = named(wording.BENEFITS, words.BenefitType.Value(f"BENEFIT_TYPE_{recipient.benefit}"))
    return f"{recipient.name}  {_masked(recipient.id_number.strip())}  {benefit}"


def _masked(number: str) -> str:
    return f"{number[:6]}{'*' * max(0, len(number) - 10)}{number[-4:]}"


def _note(recipient: Recipient) -> str:
    about = recipient.about
    told = say(f"truth: {life(recipient.case).replace('_', ' ')}", f"真实情况：{life(recipient.case)}")
    if not about.cannot_know_en:
        return told
    return told + say(f" — {about.cannot_know_en}", f"；证据无法得知：{about.cannot_know_zh}")
