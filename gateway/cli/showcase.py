"""The handful of questions of `make demo`: one recipient for every kind of answer, asked and shown.

Owns: the order of the show and the line that introduces each person. Refuses: choosing the people; the world does.
"""

from __future__ import annotations

import json

import click
import grpc
from rich.console import Console
from rich.panel import Panel

from gateway import wording
from gateway.cli.language import chinese, say
from gateway.cli.report import as_json, named, show
from gateway.demo.asking import agencies, request_for, status_of
from gateway.demo.cases import SHOWCASE
from gateway.demo.launch import Demo
from gateway.demo.truth import Recipient, read_truth
from gateway.status import from_rpc_error
from wugan.federation.v1 import vocabulary_pb2 as words

EVIDENCE = 12
TIMEOUT_S = 20.0


async def ask_showcase(console: Console, demo: Demo, *, json_out: bool) -> bool:
    """Ask about every person of the showcase and print each answer; whether all answers were right."""
    right = True
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
                right = right and recipient.is_right("REFUSED") and ours is not None
                printed.append({"case": recipient.case, "refusal": code, "message": text})
                if not json_out:
                    console.print(Panel(f"[{code}] {text}", title=title, title_align="left"))
                continue
            right = right and recipient.is_right(status_of(response))
            printed.append({"case": recipient.case, "answer": as_json(response)})
            if not json_out:
                show(console, response, title=title, note=_note(recipient))
    if json_out:
        click.echo(json.dumps(printed, ensure_ascii=False, indent=2))
    return right


def _showcase(demo: Demo) -> list[Recipient]:
    """The first person of every kind that the show has, living in another province than the one that pays."""
    first: dict[str, Recipient] = {}
    for recipient in read_truth(demo.truth):
        if recipient.across:
            first.setdefault(recipient.case, recipient)
    return [first[case] for case in SHOWCASE if case in first]


def _title(recipient: Recipient) -> str:
    number = recipient.id_number.strip()
    masked = f"{number[:6]}{'*' * max(0, len(number) - 10)}{number[-4:]}"
    benefit = named(wording.BENEFITS, words.BenefitType.Value(f"BENEFIT_TYPE_{recipient.benefit}"))
    return f"{recipient.name}  {masked}  {benefit}"


def _note(recipient: Recipient) -> str:
    about = recipient.about
    case = recipient.case.replace("_", " ")
    unknowable = about.cannot_know_zh if chinese() else about.cannot_know_en
    return f"{say('truth', '真实情况')}: {case}" + (f" — {unknowable}" if unknowable else "")
