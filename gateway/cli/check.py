"""`wugan check`: ask about one recipient."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console

from gateway.cli import EXIT_USAGE
from gateway.cli.agency_options import AS_OF, BASIS, CASE, CONFIG, OFFICIAL
from gateway.cli.language import plain, say
from gateway.errors import ConfigError
from wugan.adapter.v1 import vocabulary_pb2 as adapter_words
from wugan.agency.v1 import agency_pb2, agency_pb2_grpc
from wugan.federation.v1 import vocabulary_pb2 as words

_BENEFITS = [name.removeprefix("BENEFIT_TYPE_") for name in words.BenefitType.keys()[1:]]
_PURPOSES = [name.removeprefix("PURPOSE_") for name in adapter_words.Purpose.keys()[1:]]
_DOCUMENTS = [name.removeprefix("DOCUMENT_KIND_") for name in adapter_words.DocumentKind.keys()[1:]]


_UNITS = {"m": 60, "h": 3600, "d": 86_400}


def _choice(names: list[str]) -> click.Choice[str]:
    return click.Choice(names, case_sensitive=False)


@click.command(
    help=say(
        "Ask about one recipient who lives in another province. Exit codes: 0 answered, or left open, 1 refused, "
        "2 wrong usage, 3 not reached or not in time, 4 wrong answer.",
        "查询一名居住在外省的待遇领取人。退出码：0 已答复或已留置，1 被拒绝，2 用法错误，3 无法连接或超时，"
        "4 答复无效。",
    )
)
@CONFIG
@click.option("--id", "id_number", required=True, help=say("identity number, as registered", "证件号码（按登记填写）"))
@click.option("--name", required=True, help=say("name, as registered", "姓名（按登记填写）"))
@click.option(
    "--document",
    type=_choice(_DOCUMENTS),
    default=_DOCUMENTS[0],
    show_default=True,
    help=say("kind of document", "证件类型"),
)
@click.option("--old-id", "old_ids", multiple=True, help=say("an old number, if known; repeatable", "曾用号码，可重复"))
@click.option("--benefit", type=_choice(_BENEFITS), required=True, help=say("type of benefit", "险种"))
@click.option(
    "--since",
    default="",
    metavar="YYYY-MM-DD",
    help=say(
        "since when the benefit is paid: a marriage of before, to the deceased worker for one, then counts for nothing",
        "待遇开始日期：此前的婚姻（如与工亡职工本人）等不计为再婚",
    ),
)
@click.option("--purpose", type=_choice(_PURPOSES), required=True, help=say("why it is asked", "查询目的"))
@click.option(
    "--region",
    "regions",
    type=click.IntRange(100000, 999999),
    multiple=True,
    help=say(
        "GB/T 2260 code of where the person may live; repeatable; none: every other province is asked",
        "居住地行政区划代码，可重复；不填则询问所有外省",
    ),
)
@click.option(
    "--insured",
    "insured_region",
    type=click.IntRange(100000, 999999),
    help=say("GB/T 2260 code of the place of insurance; its province is asked, too", "参保地行政区划代码，一并查询"),
)
@click.option(
    "--household",
    "household_region",
    type=click.IntRange(100000, 999999),
    help=say("the same, of the household's registration today", "现户籍地行政区划代码，一并查询"),
)
@click.option(
    "--past",
    "past_regions",
    type=click.IntRange(100000, 999999),
    multiple=True,
    help=say("the same, of an earlier residence; newest first, repeatable", "曾居住地行政区划代码，由近及远，可重复"),
)
@click.option(
    "--fresh",
    is_flag=True,
    help=say("ask anew, whatever was answered before", "重新查询，不使用已保存的答复"),
)
@click.option(
    "--follow",
    is_flag=True,
    help=say("print what is known as each province answers", "各省答复陆续到达时即时显示"),
)
@BASIS
@CASE
@OFFICIAL
@AS_OF
@click.option(
    "--evidence",
    type=click.IntRange(0, 10_000),
    default=20,
    show_default=True,
    help=say("evidence rows wanted", "返回证据条数"),
)
@click.option("--timeout", type=click.FloatRange(0.05, 600), help=say("seconds", "时限（秒）"))
@click.option(
    "--leave",
    default="",
    metavar="TIME",
    help=say(
        "leave the question with provinces that do not answer now, for so long: 30m, 12h, 7d (then: wugan late)",
        "未即时答复的省份留置查询，时限如 30m、12h、7d（随后用 wugan late 查看）",
    ),
)
@click.option(
    "--leave-only", is_flag=True, help=say("with --leave: ask nobody now", "与 --leave 同用：只留置，不即时询问")
)
@click.option("--json", "json_out", is_flag=True, help=say("print JSON", "输出 JSON"))
def check(
    config_file: Path,
    id_number: str,
    name: str,
    document: str,
    old_ids: tuple[str, ...],
    benefit: str,
    since: str,
    purpose: str,
    regions: tuple[int, ...],
    insured_region: int | None,
    household_region: int | None,
    past_regions: tuple[int, ...],
    fresh: bool,
    follow: bool,
    basis: str,
    case_reference: str,
    official: str,
    as_of: str,
    evidence: int,
    timeout: float | None,
    leave: str,
    leave_only: bool,
    json_out: bool,
) -> None:
    """Build the request, send it, print the answer."""
    import grpc

    from gateway.cli.client import fail, with_gateway
    from gateway.cli.leaving import ForSure
    from gateway.cli.report import as_json, show
    from gateway.config import load_agency

    if leave_only and not leave:
        raise click.UsageError(say("--leave-only goes with --leave", "--leave-only 须与 --leave 同用"))
    try:
        settings = load_agency(config_file)
    except ConfigError as error:
        fail(say(error.en, error.zh), EXIT_USAGE, of=error)
    request = agency_pb2.CheckRequest(
        id_number=id_number,
        name=name,
        document_kind=adapter_words.DocumentKind.Value(f"DOCUMENT_KIND_{document.upper()}"),
        alias_id_numbers=old_ids,
        benefit=words.BenefitType.Value(f"BENEFIT_TYPE_{benefit.upper()}"),
        purpose=adapter_words.Purpose.Value(f"PURPOSE_{purpose.upper()}"),
        regions=regions,
        insured_region=insured_region or 0,
        household_region=household_region or 0,
        past_regions=past_regions,
        fresh=fresh,
        legal_basis=basis or settings.legal_basis,
        case_reference=case_reference or f"CLI-{secrets.token_hex(6)}",
        official=official or settings.official,
        as_of=as_of,
        evidence_limit=evidence,
        benefit_since=since,
        leave_open_s=_seconds(leave),
        only_leave=leave_only,
    )

    console = Console()
    time_s = timeout or settings.timeout_s

    def tell(response: agency_pb2.CheckResponse, awaited: Sequence[agency_pb2.AwaitedMember] = ()) -> None:
        if json_out:
            # One line for each message where there are several, so that they can be told apart.
            lines = {**awaited_json(awaited), **as_json(response)} if follow else as_json(response)
            click.echo(json.dumps(lines, ensure_ascii=False, indent=None if follow else 2))
        else:
            title = say("so far", "目前结果") if awaited else ""
            show(console, response, title=title, note=names_of(awaited))

    async def ask(stub: agency_pb2_grpc.AgencyServiceAsyncStub) -> None:
        if not follow:
            tell(await stub.Check(request, timeout=time_s))
            return
        async for each in stub.CheckStream(agency_pb2.CheckStreamRequest(check=request), timeout=time_s):
            # A gateway of an earlier version tells no names.
            unnamed = [agency_pb2.AwaitedMember(member_id=one, name_zh=one, name_en=one) for one in each.awaited]
            tell(each.known, each.awaited_members or unnamed)

    for_sure = ForSure(request)

    async def leave_it(stub: agency_pb2_grpc.AgencyServiceAsyncStub) -> None:
        try:
            await ask(stub)
        except grpc.aio.AioRpcError as error:
            tell(await for_sure.leave(stub, error))

    if leave:
        asyncio.run(with_gateway(settings, leave_it, besides=for_sure.state))
        return
    instead = say("or leave the question: --leave 7d", "也可加 --leave 7d 留置查询，由对方恢复后答复")
    asyncio.run(with_gateway(settings, ask, instead=instead))


def names_of(awaited: Sequence[agency_pb2.AwaitedMember]) -> str:
    """What is said in an answer that is not the last: whose answer is still to come."""
    names = [plain(say(each.name_en, each.name_zh)) for each in awaited]
    return say(f"still to answer: {', '.join(names)}", f"尚待答复：{'、'.join(names)}") if names else ""


def awaited_json(awaited: Sequence[agency_pb2.AwaitedMember]) -> dict[str, object]:
    """The same for programs."""
    return {
        "awaited": [each.member_id for each in awaited],
        "awaited_members": [
            {"member_id": each.member_id, "name_zh": each.name_zh, "name_en": each.name_en} for each in awaited
        ],
    }


def _seconds(text: str) -> int:
    """Seconds of "30m", "12h" or "7d"; 0 for nothing."""
    from gateway.cli.client import fail

    if not text:
        return 0
    number, unit = text[:-1], text[-1:]
    if not number.isdecimal() or len(number) > 4 or not int(number) or unit not in _UNITS:
        fail(say("--leave: write a time like 30m, 12h or 7d", "--leave：时限应写作 30m、12h 或 7d"), EXIT_USAGE)
    return int(number) * _UNITS[unit]
