"""`wugan late`: answers that come after a check was left open (`wugan check --leave`).

Owns: the list of checks left open, one of them as known by now, and the stream of what comes. Refuses: asking again.
"""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from gateway.cli import EXIT_USAGE
from gateway.cli.access_common import JSON, moment
from gateway.cli.agency_options import CONFIG
from gateway.cli.language import plain, say
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.config import AgencySettings
    from wugan.agency.v1 import agency_pb2, agency_pb2_grpc

TICKET_BYTES: Final = 16

_STATES = {
    1: ("open", "待答复"),
    2: ("partial", "部分答复"),
    3: ("answered", "已答复"),
    4: ("lapsed", "逾期未答"),
}


def ticket_of(text: str) -> bytes:
    """A ticket, 16 bytes, as it is shown (hexadecimal), or as JSON of the contract has it (`late_ticket`, base64).

    Raises:
        ValueError: it is neither.
    """
    try:
        ticket = bytes.fromhex(text) if len(text) == 2 * TICKET_BYTES else base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ValueError("not a ticket") from error
    if len(ticket) != TICKET_BYTES:
        raise ValueError("not a ticket")
    return ticket


@click.group(help=say("Late answers to checks that were left open.", "留置查询的迟到答复。"))
def late() -> None:
    """The group."""


@late.command("list", help=say("List checks that were left open, newest first.", "列出留置查询，最新的在前。"))
@click.option("--open", "only_open", is_flag=True, help=say("only those still open", "仅仍待答复的"))
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help=say("rows", "行数"))
@CONFIG
@JSON
def list_(config_file: Path, json_out: bool, limit: int, only_open: bool) -> None:
    """List checks."""
    from gateway.cli.client import with_gateway
    from wugan.agency.v1 import agency_pb2

    settings = _settings(config_file)
    request = agency_pb2.ListLateRequest(limit=limit, only_open=only_open)

    async def ask(stub: agency_pb2_grpc.AgencyServiceAsyncStub) -> agency_pb2.ListLateResponse:
        return await stub.ListLate(request, timeout=settings.timeout_s)

    checks = asyncio.run(with_gateway(settings, ask)).checks
    listed = [
        {
            "ticket": each.ticket.hex(),
            "case_reference": each.case_reference,
            "left_at": moment(each.left_at.ToMilliseconds()),
            "until": moment(each.until.ToMilliseconds()),
            "provinces": {province.member_id: _STATES[province.state][0] for province in each.provinces},
            "names": {one.member_id: {"zh": one.name_zh, "en": one.name_en} for one in each.provinces},
        }
        for each in checks
    ]
    if json_out:
        click.echo(json.dumps(listed, ensure_ascii=False))
        return
    for each in checks:
        states = ", ".join(
            f"{say(one.name_en, one.name_zh) or one.member_id} {say(*_STATES[one.state])}" for one in each.provinces
        )
        until = say("until", "至")
        click.echo(
            plain(
                f"{each.ticket.hex()}  {each.case_reference}  {moment(each.left_at.ToMilliseconds())} {until} "
                f"{moment(each.until.ToMilliseconds())}  {states}"
            )
        )
    if not checks:
        click.echo(say("nothing", "无"))


@late.command("show", help=say("Show what is known by now of the check TICKET.", "显示留置查询 TICKET 目前的结果。"))
@click.argument("ticket")
@CONFIG
@JSON
def show(config_file: Path, json_out: bool, ticket: str) -> None:
    """Show one check."""
    from gateway.cli.client import fail, with_gateway
    from wugan.agency.v1 import agency_pb2

    settings = _settings(config_file)
    try:
        request = agency_pb2.FetchLateRequest(ticket=ticket_of(ticket))
    except ValueError:
        fail(
            say(
                "a ticket has 32 hexadecimal digits, or 24 characters as late_ticket of --json",
                "留置编号为 32 位十六进制数，或 --json 输出中 late_ticket 的 24 个字符",
            ),
            EXIT_USAGE,
        )

    async def ask(stub: agency_pb2_grpc.AgencyServiceAsyncStub) -> agency_pb2.FetchLateResponse:
        return await stub.FetchLate(request, timeout=settings.timeout_s)

    _print(asyncio.run(with_gateway(settings, ask)), json_out)


@late.command(
    "watch",
    help=say(
        "Show late answers as they come. What came before is shown first, from --after on: the cursor printed last.",
        "持续显示迟到答复；先显示 --after 游标之后已到达的答复。",
    ),
)
@click.option("--after", type=click.IntRange(min=0), default=0, help=say("cursor to go on from", "起始游标"))
@click.option("--once", is_flag=True, help=say("end when all that is there was shown", "显示完已到达的答复后结束"))
@CONFIG
@JSON
def watch(config_file: Path, json_out: bool, once: bool, after: int) -> None:
    """Watch."""
    from gateway.cli.client import with_gateway
    from wugan.agency.v1 import agency_pb2

    settings = _settings(config_file)
    request = agency_pb2.WatchLateRequest(after=after, only_present=once)

    async def follow(stub: agency_pb2_grpc.AgencyServiceAsyncStub) -> None:
        async for told in stub.WatchLate(request):
            _print(told, json_out, cursor=told.cursor)

    asyncio.run(with_gateway(settings, follow))


def _settings(config_file: Path) -> AgencySettings:
    from gateway.cli.client import fail
    from gateway.config import load_agency

    try:
        return load_agency(config_file)
    except ConfigError as error:
        fail(say(error.en, error.zh), EXIT_USAGE, of=error)


def _print(told: agency_pb2.FetchLateResponse | agency_pb2.WatchLateResponse, json_out: bool, cursor: int = 0) -> None:
    from rich.console import Console

    from gateway.cli.report import as_json, show

    response = told.response
    about = {"id_number": told.id_number, "name": told.name, "case_reference": told.case_reference}
    if json_out:
        data = {**about, **as_json(response)}
        click.echo(json.dumps({"cursor": cursor, **data} if cursor else data, ensure_ascii=False))
        return
    ticket, case = response.late_ticket.hex(), plain(told.case_reference)
    note = say(f"case {case}\nticket {ticket}", f"业务编号 {case}\n留置编号 {ticket}")
    if cursor:
        note += say(f"   cursor {cursor}", f"   游标 {cursor}")
    show(Console(), response, title=plain(f"{told.id_number} {told.name}"), note=note)
