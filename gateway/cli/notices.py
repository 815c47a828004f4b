"""`wugan notices`: being told when something changes about people who live in other provinces.

Owns: subscribing for one person or for a list of them, ending that, how subscriptions stand, and the stream of notices.
Refuses: deciding anything; a notice proposes, an official decides.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import click
from google.protobuf import json_format

from gateway.cli import EXIT_REFUSED, EXIT_USAGE
from gateway.cli.access_common import FILE, JSON
from gateway.cli.agency_options import BASIS, CONFIG, OFFICIAL
from gateway.cli.language import plain, say
from gateway.cli.member_names import called
from gateway.errors import ConfigError
from gateway.wording import BENEFITS, DEPARTMENTS, REFUSALS, Word, refusal_name, word
from wugan.federation.v1 import vocabulary_pb2 as words

if TYPE_CHECKING:
    from gateway.config import AgencySettings
    from wugan.agency.v1 import agency_pb2, agency_pb2_grpc

_BENEFITS: Final = [name.removeprefix("BENEFIT_TYPE_") for name in words.BenefitType.keys()[1:]]
_COLUMNS: Final = ("id_number", "name", "benefit", "regions")
_AT_ONCE: Final = 1_000
MAX_FILE_BYTES: Final = 256 << 20
_STANDINGS: Final = {1: ("pending", "待对方确认"), 2: ("active", "生效"), 3: ("refused", "被拒绝")}
ID = click.option("--id", "id_number", default="", help=say("identity number, as registered", "证件号码（按登记填写）"))
BENEFIT = click.option(
    "--benefit", type=click.Choice(_BENEFITS, case_sensitive=False), help=say("type of benefit", "险种")
)
LISTED = click.option(
    "--file",
    "listed",
    type=FILE,
    help=say(
        "CSV with the columns id_number, name, benefit, regions (several separated by a blank)",
        "CSV 名单，列为 id_number、name、benefit、regions（多个地区以空格分隔）",
    ),
)


class _Row(NamedTuple):
    id_number: str
    name: str
    benefit: int
    regions: tuple[int, ...]
    line: int = 0
    """Of the file, 0 where there is none."""


@click.group(
    help=say(
        "Be told when something changes about people who live in other provinces: a death, a prison, a remarriage. "
        "Subscribe first, then check: what changed before is not told.",
        "订阅外省居住人员的状态变更通知：死亡、服刑、再婚等。请先订阅、再查询：订阅之前的变更不会通知。",
    )
)
def notices() -> None:
    """The group."""


@notices.command(
    help=say(
        "Subscribe for one person, or for a list of them; again: renew. Exit code 1: some were refused.",
        "为一人或名单中的人员订阅；再次订阅即续期。退出码 1：有人员被拒绝。",
    )
)
@ID
@click.option("--name", default="", help=say("name, as registered", "姓名（按登记填写）"))
@BENEFIT
@click.option(
    "--region",
    "regions",
    type=click.IntRange(100000, 999999),
    multiple=True,
    help=say("GB/T 2260 code of where the person lives; repeatable", "居住地行政区划代码，可重复"),
)
@LISTED
@click.option("--days", type=click.IntRange(1, 400), default=365, show_default=True, help=say("days", "有效天数"))
@BASIS
@click.option(
    "--case", "case_reference", default="", help=say("your file reference (default: random)", "业务编号（默认随机）")
)
@OFFICIAL
@CONFIG
@JSON
def subscribe(
    config_file: Path,
    json_out: bool,
    id_number: str,
    name: str,
    benefit: str | None,
    regions: tuple[int, ...],
    listed: Path | None,
    days: int,
    basis: str,
    case_reference: str,
    official: str,
) -> None:
    """Subscribe."""
    from gateway.cli.client import with_gateway
    from wugan.agency.v1 import agency_pb2

    settings = _settings(config_file)
    rows = _rows(id_number, name, benefit, regions, listed)
    case = case_reference or f"CLI-{secrets.token_hex(6)}"

    async def ask(stub: agency_pb2_grpc.AgencyServiceAsyncStub) -> tuple[int, list[agency_pb2.RefusedPerson]]:
        accepted, refused = 0, []
        for start in range(0, len(rows), _AT_ONCE):
            request = agency_pb2.SubscribeRequest(
                people=[_person(row) for row in rows[start : start + _AT_ONCE]],
                days=days,
                legal_basis=basis or settings.legal_basis,
                case_reference=case,
                official=official or settings.official,
            )
            response = await stub.Subscribe(request, timeout=settings.timeout_s)
            accepted += response.accepted
            for each in response.refused:
                each.row += start
                refused.append(each)
        return accepted, refused

    accepted, refused = asyncio.run(with_gateway(settings, ask))
    if json_out:
        told = [{"row": each.row, "message": say(each.message_en, each.message_zh)} for each in refused]
        click.echo(json.dumps({"accepted": accepted, "refused": told}, ensure_ascii=False))
    else:
        click.echo(say(f"{accepted} subscriptions made or renewed", f"已受理 {accepted} 项订阅"))
        for each in refused:
            message = plain(say(each.message_en, each.message_zh))
            line = rows[each.row].line if each.row < len(rows) else 0
            place = say(f"line {line}: ", f"第 {line} 行：") if line else ""
            click.echo(f"wugan: {place}{message}", err=True)
    if refused:
        raise SystemExit(EXIT_REFUSED)


@notices.command(help=say("End subscriptions for one person, or for a list of them.", "取消一人或名单中人员的订阅。"))
@ID
@BENEFIT
@LISTED
@CONFIG
@JSON
def unsubscribe(config_file: Path, json_out: bool, id_number: str, benefit: str | None, listed: Path | None) -> None:
    """Unsubscribe."""
    from gateway.cli.client import with_gateway
    from wugan.agency.v1 import agency_pb2

    settings = _settings(config_file)
    rows = _rows(id_number, "-", benefit or "", (100000,), listed, ending=True)

    async def ask(stub: agency_pb2_grpc.AgencyServiceAsyncStub) -> int:
        ended = 0
        for start in range(0, len(rows), _AT_ONCE):
            people = [_person(row) for row in rows[start : start + _AT_ONCE]]
            request = agency_pb2.UnsubscribeRequest(people=people)
            ended += (await stub.Unsubscribe(request, timeout=settings.timeout_s)).ended
        return ended

    ended = asyncio.run(with_gateway(settings, ask))
    if json_out:
        click.echo(json.dumps({"ended": ended}))
    else:
        click.echo(say(f"{ended} subscriptions ended", f"已取消 {ended} 项订阅"))


@notices.command("list", help=say("List this agency's subscriptions and how they stand.", "列出本机构的订阅及其状态。"))
@CONFIG
@JSON
def list_(config_file: Path, json_out: bool) -> None:
    """List."""
    from gateway.cli.client import with_gateway
    from wugan.agency.v1 import agency_pb2

    settings = _settings(config_file)

    async def ask(stub: agency_pb2_grpc.AgencyServiceAsyncStub) -> None:
        request, any_yet = agency_pb2.ListSubscriptionsRequest(limit=_AT_ONCE), False
        while True:
            page = await stub.ListSubscriptions(request, timeout=settings.timeout_s)
            for each in page.subscriptions:
                any_yet = True
                click.echo(_as_line(each) if json_out else _standing(each))
            if not page.next:
                break
            request.after = page.next
        if not any_yet and not json_out:
            click.echo(say("nothing", "无"))

    asyncio.run(with_gateway(settings, ask))


@notices.command(
    help=say(
        "Show notices as they come, the oldest first; from --after on, the cursor printed last.",
        "持续显示变更通知，最早的在前；可用 --after 从上次的游标继续。",
    )
)
@click.option("--after", type=click.IntRange(min=0), default=0, help=say("cursor to go on from", "起始游标"))
@click.option("--once", is_flag=True, help=say("end when all that is there was shown", "显示完已有通知后结束"))
@CONFIG
@JSON
def watch(config_file: Path, json_out: bool, once: bool, after: int) -> None:
    """Watch."""
    from rich.console import Console

    from gateway.cli.client import with_gateway
    from wugan.agency.v1 import agency_pb2

    settings = _settings(config_file)
    request = agency_pb2.WatchNoticesRequest(after=after, only_present=once)
    console = Console()

    async def ask(stub: agency_pb2_grpc.AgencyServiceAsyncStub) -> None:
        async for notice in stub.WatchNotices(request):
            if json_out:
                click.echo(_as_line(notice))
            else:
                _show(console, notice)

    asyncio.run(with_gateway(settings, ask))


def _show(console: object, notice: agency_pb2.WatchNoticesResponse) -> None:
    """Print one notice: whom it is about, what it takes back, and what is now found."""
    from rich.console import Console

    from gateway.cli.report import show

    title = f"{notice.cursor}  {notice.id_number} {notice.name}"
    number = say(f"notice {notice.sequence}", f"第 {notice.sequence} 号通知")
    note = f"{_named(BENEFITS, notice.benefit)}  {number}"  # a title is cut off where it is too long
    if notice.retracted:
        note += "\n" + say("A later notice takes this one back.", "本通知已被后续通知撤回。")
    elif notice.retracts_from:
        first, last = notice.retracts_from, notice.sequence - 1
        which = (
            say(f"{first} to {last}", f"第 {first} 至 {last} 号") if first < last else say(f"{last}", f"第 {last} 号")
        )
        note += "\n" + say(
            f"Earlier notices of this person ({which}) do not hold any more.",
            f"此前关于该人员的通知（{which}）不再成立。",
        )
    assert isinstance(console, Console)  # noqa: S101  typed loosely so that help does not import it
    show(console, notice.result, title=plain(title), note=note)


def _standing(each: agency_pb2.SubscriptionState) -> str:
    parts = [
        each.id_number,
        each.name,
        _named(BENEFITS, each.benefit),
        called(each.member_id, each.member_name_zh, each.member_name_en),
        say(*_STANDINGS.get(each.standing, ("?", "？"))),
    ]
    if each.refusal:
        parts.append(_why(each.refusal))
    if each.monitored:
        parts.append(say(", ", "、").join(_named(DEPARTMENTS, number) for number in each.monitored))
    until = each.until.ToDatetime().date().isoformat()
    parts.append(say(f"until {until}", f"至 {until}"))
    return plain("  ".join(parts))


def _why(refusal: int) -> str:
    """Why the other side does not watch, with the reason's own name."""
    if refusal == words.REFUSAL_REASON_NOT_SERVED:
        told = say(
            "no department there tells of changes; check from time to time", "对方没有可推送变更的部门，请定期查询"
        )
    else:
        told = _named(REFUSALS, refusal)
    return f"{told} ({refusal_name(refusal)})"


def _as_line(message: agency_pb2.WatchNoticesResponse | agency_pb2.SubscriptionState) -> str:
    return json.dumps(
        json_format.MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True),
        ensure_ascii=False,
    )


def _named(table: dict[int, Word], number: int) -> str:
    found = word(table, number)
    return say(found.en, found.zh)


def _person(row: _Row) -> agency_pb2.WatchedPerson:
    from wugan.agency.v1 import agency_pb2

    return agency_pb2.WatchedPerson(
        id_number=row.id_number,
        name=row.name,
        benefit=row.benefit,  # type: ignore[arg-type]  # a number of the contract
        regions=row.regions,
    )


def _rows(
    id_number: str,
    name: str,
    benefit: str | None,
    regions: tuple[int, ...],
    listed: Path | None,
    *,
    ending: bool = False,
) -> list[_Row]:
    """The people that the command line names."""
    from gateway.cli.client import fail

    if (listed is None) == (not id_number):
        fail(say("give either --id or --file", "请填写 --id 或 --file 之一"), EXIT_USAGE)
    if listed is not None:
        return _read(listed, ending=ending)
    if not ending and not (name and benefit and regions):
        fail(say("--name, --benefit and --region are needed", "请填写 --name、--benefit 和 --region"), EXIT_USAGE)
    return [_Row(id_number, name, _benefit(benefit or ""), regions)]


def _read(path: Path, *, ending: bool) -> list[_Row]:
    """The people of a CSV file; see `gateway.texts` for its encoding."""
    from gateway.cli.client import fail
    from gateway.cli.files import read_text

    reader = csv.DictReader(io.StringIO(read_text(path, MAX_FILE_BYTES), newline=""))
    needed = ("id_number",) if ending else _COLUMNS
    if not set(needed) <= set(reader.fieldnames or ()):
        columns = ", ".join(needed)
        fail(say(f"{path} needs the columns {columns}", f"{path} 缺少列：{columns}"), EXIT_USAGE)
    rows: list[_Row] = []
    for row in reader:
        try:
            regions = tuple(int(code) for code in (row.get("regions") or "").split())
            rows.append(
                _Row(
                    row["id_number"] or "",
                    row.get("name") or "",
                    _benefit(row.get("benefit") or ""),
                    regions,
                    reader.line_num,
                )
            )
        except (KeyError, ValueError):
            fail(
                say(
                    f"{path}:{reader.line_num}: benefit or regions is wrong",
                    f"{path}:{reader.line_num}：险种或地区有误",
                ),
                EXIT_USAGE,
            )
    return rows


def _benefit(name: str) -> int:
    """A type of benefit by name; 0: not given."""
    return words.BenefitType.Value(f"BENEFIT_TYPE_{name.strip().upper()}") if name.strip() else 0


def _settings(config_file: Path) -> AgencySettings:
    from gateway.cli.client import fail
    from gateway.config import load_agency

    try:
        return load_agency(config_file)
    except ConfigError as error:
        fail(say(error.en, error.zh), EXIT_USAGE, of=error)
