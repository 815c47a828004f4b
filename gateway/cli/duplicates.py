"""`wugan duplicates`: people of this agency who draw, or were to be certified, twice.

Owns: listing the findings, and writing down what an official decided (the operator's part is in `matching`). Refuses:
stopping anybody; a finding is a doubt.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from google.protobuf import json_format

from gateway.cli import EXIT_USAGE
from gateway.cli.access_common import JSON
from gateway.cli.agency_options import CONFIG
from gateway.cli.language import plain, say
from gateway.cli.matching import match, status
from gateway.errors import ConfigError
from gateway.wording import BENEFITS, DUPLICATES, word

if TYPE_CHECKING:
    from gateway.config import AgencySettings
    from wugan.agency.v1 import agency_pb2_grpc, duplicates_pb2

_AT_ONCE: Final = 1_000


@click.group(
    invoke_without_command=True,
    help=say(
        "People of this agency who draw, or were to be certified, twice: at another agency, in another province, under "
        "another number, name or face. A finding is a doubt for an official; nobody is stopped by it.",
        "本机构人员中重复领取或重复认证的疑点：其他经办机构、外省、其他号码、姓名或人脸。疑点供经办人核查，不会自动停发。",
    ),
)
@click.pass_context
def duplicates(context: click.Context) -> None:
    """The group."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


duplicates.add_command(match)
duplicates.add_command(status)


@duplicates.command("list", help=say("List findings, the oldest first.", "列出疑点，最早的在前。"))
@click.option("--all", "settled", is_flag=True, help=say("those that were settled, too", "包括已处理的疑点"))
@CONFIG
@JSON
def list_(config_file: Path, json_out: bool, settled: bool) -> None:
    """List."""
    from gateway.cli.client import with_gateway
    from wugan.agency.v1 import duplicates_pb2

    settings = _settings(config_file)

    async def ask(stub: agency_pb2_grpc.AgencyServiceAsyncStub) -> None:
        request, any_yet = duplicates_pb2.ListDuplicatesRequest(limit=_AT_ONCE, settled=settled), False
        while True:
            page = await stub.ListDuplicates(request, timeout=settings.timeout_s)
            for each in page.duplicates:
                any_yet = True
                click.echo(_as_json(each) if json_out else _as_line(each))
            if not page.more or not page.duplicates:
                break
            request.after = page.duplicates[-1].number
        if not any_yet and not json_out:
            click.echo(say("nothing", "无"))

    asyncio.run(with_gateway(settings, ask))


@duplicates.command(help=say("Write down what was decided on a finding.", "登记对疑点的处理结果。"))
@click.argument("number", type=click.IntRange(1))
@click.option("--why", required=True, help=say("grounds of the decision", "处理依据"))
@click.option(
    "--release",
    is_flag=True,
    help=say(
        "give up this agency's own certification, so that the other one can certify",
        "放弃本机构的认证，由对方认证",
    ),
)
@click.option(
    "--official", default="", help=say("who decides (default: from the configuration)", "经办人（默认取配置）")
)
@CONFIG
@JSON
def settle(config_file: Path, json_out: bool, number: int, why: str, release: bool, official: str) -> None:
    """Settle."""
    from gateway.cli.client import with_gateway
    from wugan.agency.v1 import duplicates_pb2

    settings = _settings(config_file)
    request = duplicates_pb2.SettleDuplicateRequest(
        number=number, official=official or settings.official, reason=why, release=release
    )

    async def ask(stub: agency_pb2_grpc.AgencyServiceAsyncStub) -> duplicates_pb2.SettleDuplicateResponse:
        return await stub.SettleDuplicate(request, timeout=settings.timeout_s)

    settled = asyncio.run(with_gateway(settings, ask)).duplicate
    click.echo(_as_json(settled) if json_out else _as_line(settled))


def _as_json(each: duplicates_pb2.Duplicate) -> str:
    return json.dumps(
        json_format.MessageToDict(each, preserving_proto_field_name=True, always_print_fields_with_no_presence=True),
        ensure_ascii=False,
    )


def _as_line(each: duplicates_pb2.Duplicate) -> str:
    kind, benefit = word(DUPLICATES, each.kind), word(BENEFITS, each.benefit)
    parts = [
        str(each.number),
        each.id_number,
        each.name,
        say(benefit.en, benefit.zh),
        each.reference,
        say(kind.en, kind.zh),
        each.other_unit,
        each.other_certified_on,
        say(each.member_name_en, each.member_name_zh) or each.member_id,
    ]
    if each.HasField("settled"):
        on = each.settled.ToDatetime().date().isoformat()
        who = f"{each.official} {each.reason}".strip()
        parts.append(say(f"settled {on} {who}", f"{on} 已处理 {who}"))
    return plain("  ".join(part for part in parts if part))


def _settings(config_file: Path) -> AgencySettings:
    from gateway.cli.client import fail
    from gateway.config import load_agency

    try:
        return load_agency(config_file)
    except ConfigError as error:
        fail(say(error.en, error.zh), EXIT_USAGE, of=error)
