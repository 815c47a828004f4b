"""`wugan roster`: a whole roster in one go.

Owns: options and exit codes. Refuses: the calls (`roster_client`) and what is shown (`roster_show`).
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli import EXIT_REFUSED, EXIT_USAGE
from gateway.cli.access_common import FILE, JSON
from gateway.cli.agency_options import AS_OF, BASIS, CASE, CONFIG, OFFICIAL
from gateway.cli.language import plain, say
from gateway.cli.roster_decide import decide, decisions
from gateway.cli.roster_then import compare, lateness_table
from gateway.errors import ConfigError, StoreError
from wugan.adapter.v1 import vocabulary_pb2 as adapter_words
from wugan.agency.v1 import agency_pb2_grpc, roster_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

if TYPE_CHECKING:
    from gateway.cli.roster_client import Client, Remembered
    from gateway.cli.roster_naming import Going
    from gateway.cli.roster_show import Shown
    from gateway.config import AgencySettings
    from gateway.roster.results.writing import Written

_BENEFITS = [name.removeprefix("BENEFIT_TYPE_") for name in words.BenefitType.keys()[1:]]
CHANGES = "changes"
_PURPOSES = [name.removeprefix("PURPOSE_") for name in adapter_words.Purpose.keys()[1:]]


@click.group(
    help=say(
        "Whole rosters: a file of recipients in, who is certified, whom to see and what to decide out.",
        "名册批量核验：提交待遇领取人名册，得到认证结果、核查清单与待决事项。",
    )
)
def roster() -> None:
    """The group."""


roster.add_command(decide)
roster.add_command(compare)
roster.add_command(decisions)


@roster.command(
    "run",
    help=say(
        "Ask about everybody in the file RECIPIENTS (CSV, XLSX, Parquet), and write the results into a folder. The run "
        "goes on at the gateway when this command is stopped; the same command again goes on with it, and nobody is "
        "asked twice. Exit codes: 0 results are written, 1 the roster was refused, failed or cancelled, 2 wrong usage, "
        "3 the gateway was not reached, 4 wrong answer, 130 interrupted.",
        "对名册文件 RECIPIENTS（CSV、XLSX、Parquet）中的所有人员进行核验，结果写入指定目录。命令中断后任务在网关继续；"
        "再次执行同一命令即可接续，不会重复查询。退出码：0 结果已写出，1 名册被拒绝、失败或取消，2 用法错误，"
        "3 无法连接网关，4 答复无效，130 被中断。",
    ),
)
@click.argument("recipients", type=FILE)
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help=say("folder", "结果目录"))
@click.option(
    "--benefit",
    type=click.Choice(_BENEFITS, case_sensitive=False),
    default=None,
    help=say("of rows that name none", "未填写险种的行适用的险种"),
)
@click.option(
    "--purpose",
    type=click.Choice(_PURPOSES, case_sensitive=False),
    default="CERTIFICATION",
    show_default=True,
    help=say("why it is asked", "查询目的"),
)
@BASIS
@CASE
@OFFICIAL
@AS_OF
@click.option(
    "--evidence",
    type=click.IntRange(0, 100),
    default=10,
    show_default=True,
    help=say("evidence rows wanted for each person", "每人返回证据条数"),
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="FIELD=NAME",
    help=say("which column of the file has a field; repeatable", "指定字段对应的列名，可重复"),
)
@click.option("--sheet", default="", help=say("sheet of a workbook (default: the first)", "工作表名称（默认第一张）"))
@click.option(
    "--home",
    is_flag=True,
    help=say(
        "ask all other provinces about people whom the file has in your own",
        "名册中居住在本省的人员，也向所有外省查询",
    ),
)
@click.option(
    "--live",
    is_flag=True,
    help=say(
        "keep it live: the same command again, with the same file or a newer one, asks only about what changed, "
        f"and writes it into {CHANGES}/ in the folder",
        f"持续名册：再次执行时（可用更新后的文件）仅处理变动，并写入目录下的 {CHANGES}/",
    ),
)
@click.option(
    "--subscribe",
    is_flag=True,
    help=say(
        "of a live roster, subscribe to notices about everybody whom it asks about; the next run asks about those of "
        "whom one came",
        "持续名册同时订阅所查询人员的状态变更通知，下次执行时核验有通知的人员",
    ),
)
@click.option(
    "--full",
    is_flag=True,
    help=say("of a live roster, also write the results of everybody anew", "持续名册同时重新写出全部人员的结果"),
)
@click.option(
    "--tables",
    "raw",
    is_flag=True,
    help=say("also write the tables as they came, for programs", "同时写出原始数据表（Parquet），供程序使用"),
)
@click.option("--anew", is_flag=True, help=say("ask everybody anew", "全部重新查询"))
@click.option(
    "--deadline",
    "deadline_s",
    type=click.IntRange(1),
    default=None,
    help=say("seconds for which silent provinces are waited for", "等待未答复省份的时限（秒）"),
)
@click.option(
    "--patience",
    "patience_s",
    type=click.FloatRange(0),
    default=600.0,
    show_default=True,
    help=say("seconds for which the gateway may be away", "网关不可达时的等待时限（秒）"),
)
@CONFIG
@JSON
def run(config_file: Path, recipients: Path, out: Path, columns: tuple[str, ...], json_out: bool, **given: Any) -> None:
    """Submit, follow, fetch, write."""
    from gateway.cli.roster_client import make_folder
    from gateway.cli.roster_naming import named
    from gateway.cli.roster_show import Shown, came_to, came_to_json
    from gateway.cli.tables import console

    settings = _settings(config_file)
    header = roster_pb2.RosterHeader(
        file_name=recipients.name,
        purpose=adapter_words.Purpose.Value(f"PURPOSE_{given['purpose'].upper()}"),
        legal_basis=given["basis"] or settings.legal_basis,
        official=given["official"] or settings.official,
        as_of=given["as_of"],
        evidence_limit=given["evidence"],
        live=given["live"],
        subscribe=given["subscribe"],
        sheet=given["sheet"],
        ask_about_home=given["home"],
        deadline_s=given["deadline_s"] or 0,
    )
    if given["benefit"]:
        header.benefit = words.BenefitType.Value(f"BENEFIT_TYPE_{given['benefit'].upper()}")
    for each in columns:
        field, _, name = each.partition("=")
        header.columns.add(field=field.strip(), name=name.strip())
    make_folder(out)
    going = named(header, out, recipients, given["case_reference"], anew=given["anew"])

    async def work(stub: agency_pb2_grpc.AgencyServiceAsyncStub) -> None:
        from gateway.cli.roster_client import Client

        with Shown(console(stderr=True)) as shown:
            client = Client(stub, given["patience_s"], shown.say)
            last = await _follow(client, shown, going, recipients)
            if last.subscribed:
                made = (
                    f"{last.subscribed} subscriptions to notices made or renewed",
                    f"已订阅或续订 {last.subscribed} 项通知",
                )
                shown.say(say(*made))
            written = await _write(client, shown, going, last, full=given["full"], raw=given["raw"])
        going.written(out)
        if json_out:
            told = {
                "run": _as_json(last),
                "written": [str(folder) for folder, _ in written],
                "came_to": [came_to_json(what.counts) for _, what in written],
            }
            click.echo(json.dumps(told, ensure_ascii=False, indent=2))
            return
        for folder, what in written:
            console().print(came_to(what.counts))
            click.echo(say(f"results are in {folder}", f"结果已写入 {folder}"))

    from gateway.cli.client import with_gateway

    try:
        asyncio.run(with_gateway(settings, work))
    except KeyboardInterrupt:
        click.echo(
            say(
                "interrupted; the run goes on at the gateway. The same command again goes on with it",
                "已中断；任务在网关继续进行，再次执行同一命令即可接续",
            ),
            err=True,
        )
        raise SystemExit(130) from None


async def _follow(client: Client, shown: Shown, going: Going, path: Path) -> roster_pb2.RosterRun:
    """Hand in the file, unless that was done before, and follow the run to its end; how it stands then."""
    from gateway.cli.client import fail
    from gateway.cli.roster_show import held_back, lacking

    header = going.header
    if await client.stands(header.run_id) is None:
        what = say("sending", "提交名册")
        refused = await client.submit(
            header, path, lambda done: shown.step(what, done, header.size), going.handed.made_of
        )
        while refused is not None:  # sent whole, then without the run before
            shown.say(say(refused.en, refused.zh))
            going.fall_back(path)
            refused = await client.submit(header, path, lambda done: shown.step(what, done, header.size))
    last = roster_pb2.RosterRun()
    async for last in client.watch(header.run_id):
        shown.run(last)
    for each in last.provinces:
        if each.held_back:
            shown.say(held_back(each))
        if each.lacking:
            shown.say(lacking(each))
    if last.state != roster_pb2.ROSTER_STATE_DONE:
        failed = say("the roster was cancelled", "名册任务已取消")
        if last.state == roster_pb2.ROSTER_STATE_FAILED:
            failed = plain(say(last.message_en, last.message_zh))
        fail(failed, EXIT_REFUSED)
    return last


async def _write(
    client: Client, shown: Shown, going: Going, run: roster_pb2.RosterRun, *, full: bool, raw: bool
) -> list[tuple[Path, Written]]:
    """Fetch the results, and write them: of a run that goes on from another, what it dealt with, beside the rest.

    The folders into which they were written, and what.
    """
    from gateway.cli.client import fail
    from gateway.cli.roster_client import make_folder, pulled
    from gateway.cli.roster_files import write_files
    from gateway.cli.roster_show import file_time

    what = say("results", "写出结果")
    loop = asyncio.get_running_loop()
    members = going.named_members(run)
    folders: list[tuple[Path, Written]] = []

    async def fetch(out: Path, *, only_changed: bool) -> None:
        make_folder(out)
        chunks = client.results(
            run.run_id, lambda done, total: shown.step(what, done, total), only_changed=only_changed
        )
        try:
            written = await asyncio.to_thread(lambda: write_files(pulled(chunks, loop), out, run, members, raw=raw))
        except StoreError as error:
            fail(say(error.en, error.zh), EXIT_REFUSED, of=error)
        folders.append((out, written))
        if written.lateness.height:
            shown.say(say("how late departments told of what ends a benefit:", "各部门丧失资格信息的迟到情况："))
            shown.table(lateness_table(written.lateness))

    if run.continues:
        await fetch(going.out / CHANGES / file_time(run.submitted_at.ToMilliseconds()), only_changed=True)
    if full or not run.continues:
        await fetch(going.out, only_changed=False)
    return folders


@roster.command(
    "status",
    help=say("How the run in the folder OUT, or RUN by its id, stands.", "查看结果目录或任务编号对应任务的进度。"),
)
@click.argument("run")
@CONFIG
@JSON
def status(config_file: Path, run: str, json_out: bool) -> None:
    """Show one run."""
    found = asyncio.run(_with_client(_settings(config_file), lambda client: client.stands(_run_id(run))))
    _print(found, json_out)


@roster.command("list", help=say("This agency's runs, newest first.", "列出本机构的名册任务，最新的在前。"))
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help=say("rows", "行数"))
@CONFIG
@JSON
def list_(config_file: Path, limit: int, json_out: bool) -> None:
    """List runs."""
    from gateway.cli.client import with_gateway
    from gateway.cli.roster_show import table
    from gateway.cli.tables import console

    settings = _settings(config_file)

    async def ask(stub: agency_pb2_grpc.AgencyServiceAsyncStub) -> roster_pb2.ListRostersResponse:
        return await stub.ListRosters(roster_pb2.ListRostersRequest(limit=limit), timeout=settings.timeout_s)

    runs = list(asyncio.run(with_gateway(settings, ask)).runs)
    if json_out:
        click.echo(json.dumps([_as_json(each) for each in runs], ensure_ascii=False))
    elif runs:
        console().print(table(runs))
    else:
        click.echo(say("nothing", "无"))


@roster.command(
    "cancel", help=say("Stop the run in the folder OUT, or RUN by its id.", "取消结果目录或任务编号对应的任务。")
)
@click.argument("run")
@click.option("--delete", is_flag=True, help=say("delete what the gateway keeps of it", "同时删除网关保存的内容"))
@CONFIG
@JSON
def cancel(config_file: Path, run: str, delete: bool, json_out: bool) -> None:
    """Stop a run."""
    from gateway.cli.client import with_gateway

    settings = _settings(config_file)
    request = roster_pb2.CancelRosterRequest(run_id=_run_id(run), delete=delete)

    async def ask(stub: agency_pb2_grpc.AgencyServiceAsyncStub) -> roster_pb2.CancelRosterResponse:
        return await stub.CancelRoster(request, timeout=settings.timeout_s)

    _print(asyncio.run(with_gateway(settings, ask)).run, json_out)


def _print(found: roster_pb2.RosterRun | None, json_out: bool) -> None:
    from gateway.cli.client import fail
    from gateway.cli.roster_show import provinces, table
    from gateway.cli.tables import console

    if found is None:
        fail(say("the gateway has no such run of this agency", "网关中没有本机构的该任务"), EXIT_REFUSED)
    if json_out:
        click.echo(json.dumps(_as_json(found), ensure_ascii=False, indent=2))
        return
    out = console()
    out.print(table([found]))
    if found.provinces:
        out.print(provinces(found))
    if found.message_zh:
        out.print(plain(say(found.message_en, found.message_zh)), markup=False)


def _as_json(found: roster_pb2.RosterRun) -> dict[str, Any]:
    from google.protobuf import json_format

    shown: dict[str, Any] = json_format.MessageToDict(
        found, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return {**shown, "run_id": found.run_id.hex(), "continues": found.continues.hex()}


def _run_id(text: str) -> bytes:
    """The id of a run: as it stands, or as a folder of results remembers it."""
    from gateway.cli.client import fail
    from gateway.cli.roster_client import remembered

    known: Remembered | None = remembered(Path(text)) if Path(text).is_dir() else None
    try:
        return bytes.fromhex(text if known is None else known.run_id)
    except ValueError:
        fail(
            say(
                "give a folder of results, or a run's 32 hexadecimal digits", "请填写结果目录，或 32 位十六进制任务编号"
            ),
            EXIT_USAGE,
        )


async def _with_client(settings: AgencySettings, ask: Any) -> Any:
    from gateway.cli.client import with_gateway
    from gateway.cli.roster_client import Client

    return await with_gateway(settings, lambda stub: ask(Client(stub, 0, lambda _: None)))


def _settings(config_file: Path) -> AgencySettings:
    from gateway.cli.client import fail
    from gateway.config import load_agency

    try:
        return load_agency(config_file)
    except ConfigError as error:
        fail(say(error.en, error.zh), EXIT_USAGE, of=error)
