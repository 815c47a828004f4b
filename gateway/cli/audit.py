"""`wugan audit`: the record of processing, for the audit administrator: list, show, export, and verify its chain.

Owns: these commands, beside a running gateway or without one. Whoever reads names an enrolled audit administrator and
signs with that person's key, and that it was read is in the trail before anything is shown. Verifying shows nothing of
what is recorded, so it takes nobody's key, and works where the policy of who may what is itself in doubt. Refuses:
changing anything, and showing what the trail does not hold: no identity number and no name is in it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.access import people as roles
from gateway.cli import EXIT_REFUSED, EXIT_USAGE
from gateway.cli.access_common import CONFIG, FILE, JSON, Actor, Opened, fail, in_store, look, run, signed, tell
from gateway.cli.audit_options import Head, noted, seeking
from gateway.cli.language import say
from gateway.cli.member_names import MemberNames

if TYPE_CHECKING:
    from gateway.clock import Clock
    from gateway.store.chain import ChainHead
    from gateway.store.engine import Store
    from gateway.store.trail import Found, Sought

PAGE = 1000
"""Events shown at once at most, and written at once by an export."""


@click.group(
    help=say(
        "The audit trail: who asked whom, why, on which basis, what came of it, and what administrators did. Reading "
        "takes the key of an audit administrator, and is itself recorded. Exit codes: 0 done, 1 refused or the trail "
        "is broken, 2 wrong usage or configuration.",
        "审计日志：谁向谁查询、目的、依据与结果，以及管理人员的操作。查阅须使用安全审计员的密钥，查阅行为本身亦被记录。"
        "退出码：0 完成，1 被拒绝或审计链断裂，2 用法或配置错误。",
    )
)
def audit() -> None:
    """The group."""


@audit.command(
    "list",
    help=say("List events, the newest first; --before goes on.", "列出事件，最新的在前；用 --before 查看更早的。"),
)
@seeking
@click.option(
    "--before", type=click.IntRange(1), default=None, help=say("only before this number", "仅列出此序号之前的")
)
@click.option(
    "--limit", type=click.IntRange(1, PAGE), default=100, show_default=True, help=say("events", "事件条数上限")
)
@signed
def list_(
    config_file: Path,
    json_out: bool,
    actor: Actor,
    limit: int,
    before: int | None,
    sought: Sought,
) -> None:
    """List."""
    from gateway.cli.audit_shown import data, line

    async def work(at: Opened) -> list[Found]:
        body = {"look": "list", "before": before or 0, "limit": limit, **_body(sought)}
        await look(at, actor, roles.READ_TRAIL, body)
        return await at.store.trail.newest(sought, before=before or 0, limit=limit + 1)

    found = run(config_file, work)
    shown, more = found[:limit], len(found) > limit
    following = shown[-1].sequence if more else None
    if json_out:
        click.echo(json.dumps({"events": [data(each) for each in shown], "before": following}, ensure_ascii=False))
        return
    names = MemberNames.of(config_file)
    for each in shown:
        click.echo(line(each, names))
    if not shown:
        click.echo(say("no such event", "没有符合条件的事件"))
    elif more:
        click.echo(say(f"older ones: --before {following}", f"更早的：--before {following}"))


@audit.command(
    help=say(
        "Show an event by its NUMBER, or all of a --message, with the decision in words.",
        "显示序号为 NUMBER 的事件，或某一消息（--message）的全部事件，并说明其裁定。",
    )
)
@click.argument("number", type=click.IntRange(1), required=False)
@click.option("--message", default="", help=say("a message's 32 hexadecimal digits", "消息编号（32 位十六进制）"))
@signed
def show(
    config_file: Path,
    json_out: bool,
    actor: Actor,
    message: str,
    number: int | None,
) -> None:
    """Show."""
    from gateway.cli.audit_options import hexadecimal
    from gateway.cli.audit_shown import data, lines
    from gateway.store.trail import Sought

    if (number is None) == (not message):
        raise fail("name a number or a --message", "请指定序号或 --message 其一", EXIT_USAGE)
    wanted = hexadecimal(message, 16, "--message") if message else b""

    async def work(at: Opened) -> list[Found]:
        body: dict[str, Any] = {"look": "show", **({"number": number} if number else {"message": message})}
        await look(at, actor, roles.READ_TRAIL, body)
        if number is None:
            return await at.store.trail.oldest(Sought(message_id=wanted), limit=PAGE)
        one = await at.store.trail.at(number)
        return [] if one is None else [one]

    found = run(config_file, work)
    if not found:
        raise fail("there is no such event", "没有该事件", EXIT_REFUSED)
    if json_out:
        click.echo(json.dumps({"events": [data(each) for each in found]}, ensure_ascii=False))
        return
    names = MemberNames.of(config_file)
    for position, each in enumerate(found):
        click.echo("\n".join([*([""] if position else []), *lines(each, names)]))


@audit.command(
    help=say(
        "Walk the whole chain: whole, or broken and where. Heads noted elsewhere prove that nothing was taken off the "
        "end: the gateway logs one whenever it starts and stops. Nothing recorded is shown, and no key is needed.",
        "逐条核验整条审计链：完整，或在何处断裂。另行保存的链头可证明末尾未被删减：网关每次启动与停止时均写入运行日志。"
        "不显示记录内容，无需密钥。",
    )
)
@click.option(
    "--head",
    "heads",
    type=Head(),
    multiple=True,
    help=say("a head noted earlier, NUMBER:CHAIN; repeatable", "此前记下的链头，序号:链值，可重复"),
)
@click.option(
    "--log",
    "logs",
    type=FILE,
    multiple=True,
    help=say("a gateway's log, whose heads are held against it; repeatable", "网关运行日志，核对其中的链头，可重复"),
)
@CONFIG
@JSON
def verify(config_file: Path, json_out: bool, logs: tuple[Path, ...], heads: tuple[ChainHead, ...]) -> None:
    """Verify."""
    known = [*heads, *(head for path in logs for head in noted(path))]

    async def work(store: Store, _clock: Clock) -> ChainHead:
        return await store.audit.verify_chain(known)

    head = in_store(config_file, work)
    told = f"{head.sequence}:{head.mac.hex()}"
    en, zh = f"{len(known)} noted head{'' if len(known) == 1 else 's'} checked", f"已核对 {len(known)} 个链头"
    if not known:
        en = "no noted head was given, so rows missing at the end do not show"
        zh = "未提供另行保存的链头，末尾缺失的记录无法发现"
    tell(
        json_out,
        {"whole": True, "sequence": head.sequence, "mac": head.mac.hex(), "heads": len(known)},
        f"whole; {en}. Note this head elsewhere: {told}",
        f"审计链完整，{zh}。请另行保存此链头：{told}",
    )


@audit.command(
    help=say(
        "Write events to a new file for an auditor, the oldest first: CSV for office programs, or JSON lines. Only what"
        " the trail holds; its chain is verified first. If it is broken, the file is written, and the exit code is 1.",
        "将事件按时间先后导出为新文件供审计使用：CSV 或 JSON 行。仅含审计日志已有内容；导出前先核验审计链，"
        "如已断裂仍写出文件，但退出码为 1。",
    )
)
@seeking
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help=say("the new file, ending in .csv or .jsonl", "新文件，扩展名为 .csv 或 .jsonl"),
)
@signed
def export(
    config_file: Path,
    json_out: bool,
    actor: Actor,
    out: Path,
    sought: Sought,
) -> None:
    """Export."""
    from gateway.cli.audit_export import Export, write

    if out.suffix.lower() not in (".csv", ".jsonl"):
        raise fail(f"{out.name}: end it in .csv or .jsonl", f"{out.name}：扩展名应为 .csv 或 .jsonl", EXIT_USAGE)

    async def work(at: Opened) -> Export:
        body = {"look": "export", "file": out.name, **_body(sought)}
        await look(at, actor, roles.READ_TRAIL, body)
        return await write(at.store, sought, out, PAGE)

    made = run(config_file, work)
    tell(
        json_out,
        {"file": str(out), **made.data()},
        f"{out}: {made.events} events, SHA-256 {made.sha256}; head {made.last.sequence}:{made.last.mac.hex()}",
        f"{out}：{made.events} 条，SHA-256 {made.sha256}；链头 {made.last.sequence}:{made.last.mac.hex()}",
    )
    if made.broken is not None:
        # On standard error in any case: what was exported has been told, with `whole`.
        click.echo(f"wugan: {say(made.broken.en, made.broken.zh)}", err=True)
        raise SystemExit(EXIT_REFUSED)


def _body(sought: Sought) -> dict[str, Any]:
    """What was looked for, as it stands in the signed statement."""
    given = {name: value for name, value in sought._asdict().items() if value not in (None, 0, "", b"")}
    if sought.refused is False:
        given["refused"] = False
    return {name: value.hex() if isinstance(value, bytes) else value for name, value in given.items()}
