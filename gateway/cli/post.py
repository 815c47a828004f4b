"""`wugan outbox` and `wugan inbox`: what waits between this gateway and others, and what to do about dead deliveries.

Owns: the lists on a terminal and as JSON, and handing an operator's decision to the store, beside a running gateway,
which takes it up within a second. Refuses: showing what a delivery holds, and dropping anything without a reason: the
reason, and who gave it by login name, are in the audit trail.
"""

from __future__ import annotations

import getpass
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli import EXIT_REFUSED, EXIT_USAGE
from gateway.cli.access_common import CONFIG, JSON, fail, in_store, moment, tell
from gateway.cli.language import plain, say

if TYPE_CHECKING:
    from gateway.clock import Clock
    from gateway.store.audit import AuditEvent
    from gateway.store.engine import Store
    from gateway.store.outbox import Trouble
    from gateway.store.post_office import Listed

_OUTBOX_STATES = {"waiting": 1, "dead": 2}
_INBOX_STATES = {"waiting": 1, "under-way": 2, "done": 3, "dead": 4}
_STATE_WORDS = {
    "waiting": ("waiting", "待处理"),
    "under-way": ("under way", "进行中"),
    "done": ("done", "已完成"),
    "dead": ("dead", "已停止"),
}
_KIND_WORDS = {
    1: ("question", "留置查询"),
    2: ("late answer", "迟到答复"),
    3: ("notice", "变更通知"),
    4: ("subscription", "订阅"),
    5: ("subscription reply", "订阅回复"),
    6: ("matching", "名册比对"),
}

_LABELS = {
    "delivery": ("delivery", "消息编号"),
    "member": ("member", "对方成员"),
    "kind": ("kind", "种类"),
    "state": ("state", "状态"),
    "made_at": ("made", "生成时间"),
    "expires_at": ("expires", "到期时间"),
    "next_try": ("next try", "下次尝试"),
    "failures": ("failures", "失败次数"),
    "reason": ("reason", "原因"),
    "note": ("note", "说明"),
    "bytes": ("bytes", "字节数"),
    "member_failing_since": ("the member fails since", "对方异常始于"),
    "member_failures": ("failures in a row", "对方连续失败次数"),
    "member_next_try": ("the member is tried next", "下次尝试对方"),
    "member_reason": ("because of", "对方异常原因"),
}

MEMBER = click.option("--member", default="", help=say("only of this member", "仅此成员"))
LIMIT = click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help=say("rows", "行数"))
REASON = click.option("--reason", required=True, help=say("why, for the audit trail", "理由（记入审计日志）"))
ALL_DEAD = click.option("--all", "all_dead", is_flag=True, help=say("all dead ones", "全部已停止的"))
DELIVERIES = click.argument("deliveries", nargs=-1)


@click.group(
    help=say(
        "What waits to be delivered to other members, and what could not be.",
        "待投递给其他成员的消息，以及未能投递的消息。",
    )
)
def outbox() -> None:
    """The group."""


@click.group(
    help=say(
        "What other members left here that is not dealt with yet, and what could not be.",
        "其他成员留置于此、尚未处理或未能处理的消息。",
    )
)
def inbox() -> None:
    """The group."""


@outbox.command("list", help=say("List deliveries, oldest first.", "列出待投递消息，最早的在前。"))
@click.option("--state", type=click.Choice(list(_OUTBOX_STATES)), help=say("only in this state", "仅此状态"))
@MEMBER
@LIMIT
@CONFIG
@JSON
def list_outbox(config_file: Path, json_out: bool, limit: int, member: str, state: str | None) -> None:
    """List the outbox."""
    number = _OUTBOX_STATES.get(state or "", 0)
    found = in_store(config_file, lambda at, _: at.post_office.letters(member=member, state=number, limit=limit))
    _print(found, _OUTBOX_STATES, json_out)


@inbox.command("list", help=say("List deliveries that are not done, oldest first.", "列出未完成的消息，最早的在前。"))
@click.option("--state", type=click.Choice(list(_INBOX_STATES)), help=say("only in this state", "仅此状态"))
@MEMBER
@LIMIT
@CONFIG
@JSON
def list_inbox(config_file: Path, json_out: bool, limit: int, member: str, state: str | None) -> None:
    """List the inbox."""
    number = _INBOX_STATES.get(state or "", 0)
    found = in_store(config_file, lambda at, _: at.post_office.deliveries(member=member, state=number, limit=limit))
    _print(found, _INBOX_STATES, json_out)


@outbox.command("show", help=say("Show one delivery, and how its member stands.", "显示一条消息及对方成员状态。"))
@click.argument("delivery")
@CONFIG
@JSON
def show_outbox(config_file: Path, json_out: bool, delivery: str) -> None:
    """Show one letter."""
    wanted = _id(delivery)

    async def work(at: Store, _clock: Clock) -> tuple[Listed | None, dict[str, Any]]:
        found = await at.post_office.letter(wanted)
        troubles = await at.outbox.troubles()
        trouble = troubles.get(found.member) if found is not None else None
        return found, {} if trouble is None else _failing(trouble)

    found, trouble = in_store(config_file, work)
    _show(found, _OUTBOX_STATES, json_out, trouble)


@inbox.command("show", help=say("Show one delivery.", "显示一条消息。"))
@click.argument("delivery")
@CONFIG
@JSON
def show_inbox(config_file: Path, json_out: bool, delivery: str) -> None:
    """Show one delivery."""
    wanted = _id(delivery)
    _show(in_store(config_file, lambda at, _: at.post_office.delivery(wanted)), _INBOX_STATES, json_out, {})


@outbox.command(
    "retry",
    help=say(
        "Send dead DELIVERIES again, at the end of the order, for as long as they had the first time.",
        "重新投递已停止的消息 DELIVERIES：排到队尾，期限与首次相同。",
    ),
)
@DELIVERIES
@ALL_DEAD
@CONFIG
@JSON
def retry_outbox(config_file: Path, json_out: bool, deliveries: tuple[str, ...], all_dead: bool) -> None:
    """Send again."""

    async def work(at: Store, clock: Clock) -> tuple[int, int]:
        wanted = await _wanted(deliveries, at.post_office.letters, 2, all_dead=all_dead)
        return len(wanted), sum([await at.post_office.retry_letter(each, clock.now_ms()) for each in wanted])

    _told(*in_store(config_file, work), json_out, ("sent again", "重新投递"))


@inbox.command("retry", help=say("Have dead DELIVERIES dealt with again.", "重新处理已停止的消息 DELIVERIES。"))
@DELIVERIES
@ALL_DEAD
@CONFIG
@JSON
def retry_inbox(config_file: Path, json_out: bool, deliveries: tuple[str, ...], all_dead: bool) -> None:
    """Deal with them again."""

    async def work(at: Store, _clock: Clock) -> tuple[int, int]:
        wanted = await _wanted(deliveries, at.post_office.deliveries, 4, all_dead=all_dead)
        return len(wanted), sum([await at.post_office.retry_delivery(each) for each in wanted])

    _told(*in_store(config_file, work), json_out, ("dealt with again", "重新处理"))


@outbox.command("drop", help=say("Drop dead DELIVERIES for good.", "彻底删除已停止的消息 DELIVERIES。"))
@DELIVERIES
@ALL_DEAD
@REASON
@CONFIG
@JSON
def drop_outbox(config_file: Path, json_out: bool, reason: str, deliveries: tuple[str, ...], all_dead: bool) -> None:
    """Drop letters."""

    async def work(at: Store, clock: Clock) -> tuple[int, int]:
        wanted = await _wanted(deliveries, at.post_office.letters, 2, all_dead=all_dead)
        done = 0
        for each in wanted:
            done += await at.post_office.drop_letter(each, _record(each, "outbox", reason, clock))
        return len(wanted), done

    _told(*in_store(config_file, work), json_out, ("dropped", "删除"))


@inbox.command("drop", help=say("Let dead DELIVERIES be, for good.", "不再处理已停止的消息 DELIVERIES。"))
@DELIVERIES
@ALL_DEAD
@REASON
@CONFIG
@JSON
def drop_inbox(config_file: Path, json_out: bool, reason: str, deliveries: tuple[str, ...], all_dead: bool) -> None:
    """Drop deliveries."""

    async def work(at: Store, clock: Clock) -> tuple[int, int]:
        wanted = await _wanted(deliveries, at.post_office.deliveries, 4, all_dead=all_dead)
        done = 0
        for each in wanted:
            done += await at.post_office.drop_delivery(each, _record(each, "inbox", reason, clock))
        return len(wanted), done

    _told(*in_store(config_file, work), json_out, ("dropped", "删除"))


async def _wanted(
    named: tuple[str, ...], dead: Callable[..., Awaitable[list[Listed]]], state: int, *, all_dead: bool
) -> list[bytes]:
    if all_dead:
        return [each.delivery_id for each in await dead(state=state, limit=1000)]
    if not named:
        raise fail("name deliveries, or write --all", "请指定消息编号，或使用 --all", EXIT_USAGE)
    return [_id(each) for each in named]


def _id(text: str) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != 16:
        raise fail(
            "a delivery is named by the 32 hexadecimal digits that list shows",
            "消息编号为 list 所示的 32 位十六进制数",
            EXIT_USAGE,
        )
    return found


def _record(delivery_id: bytes, where: str, reason: str, clock: Clock) -> AuditEvent:
    """That an operator dropped a delivery, for the audit trail."""
    from gateway.store.audit import AuditEvent

    return AuditEvent(
        at_ms=clock.now_ms(),
        direction="act",
        counterpart="",
        unit=f"login:{getpass.getuser()}",
        official=b"",
        purpose=0,
        legal_basis="",
        case_reference="",
        message_id=delivery_id,
        digest=b"",
        subjects=0,
        outcome=0,
        decision=f"{where}: dead delivery dropped: {reason}",
    )


def _data(each: Listed, states: dict[str, int]) -> dict[str, Any]:
    names = {number: name for name, number in states.items()}
    return {
        "delivery": each.delivery_id.hex(),
        "member": each.member,
        "kind": _KIND_WORDS.get(each.kind, ("unknown", ""))[0].replace(" ", "-"),
        "state": names[each.state],
        "made_at": moment(each.made_at_ms),
        "expires_at": moment(each.expires_at_ms),
        "next_try": moment(each.next_try_ms) if each.next_try_ms else "",
        "failures": each.failures,
        "reason": _reason(each.reason),
        "note": each.note,
        "bytes": each.size,
    }


def _failing(trouble: Trouble) -> dict[str, Any]:
    """How the member stands that a letter is for."""
    return {
        "member_failing_since": moment(trouble.failing_since_ms),
        "member_failures": trouble.failures,
        "member_next_try": moment(trouble.next_try_ms),
        "member_reason": _reason(trouble.reason),
    }


def _reason(number: int) -> str:
    """A reason for refusal as the contract names it; none is ""."""
    from wugan.federation.v1 import vocabulary_pb2 as words

    if not number:
        return ""
    return words.RefusalReason.Name(words.RefusalReason.ValueType(number)).removeprefix("REFUSAL_REASON_")


def _print(found: list[Listed], states: dict[str, int], json_out: bool) -> None:
    listed = [_data(each, states) for each in found]
    if json_out:
        click.echo(json.dumps(listed, ensure_ascii=False))
        return
    for each, data in zip(found, listed, strict=True):
        state, kind = say(*_STATE_WORDS[data["state"]]), say(*_KIND_WORDS.get(each.kind, ("unknown", "未知")))
        why = f"{data['reason']} {each.note}".strip()
        click.echo(plain(f"{data['delivery']}  {each.member}  {kind:12} {state:10} {data['made_at']}  {why}"))
    if not listed:
        click.echo(say("nothing", "无"))


def _show(found: Listed | None, states: dict[str, int], json_out: bool, more: dict[str, Any]) -> None:
    if found is None:
        raise fail("there is no such delivery", "没有该消息", EXIT_REFUSED)
    data = {**_data(found, states), **more}
    if json_out:
        click.echo(json.dumps(data, ensure_ascii=False))
        return
    from gateway.wording import REFUSALS
    from wugan.federation.v1 import vocabulary_pb2 as words

    def reason(name: str) -> str:
        number = words.RefusalReason.Value(f"REFUSAL_REASON_{name}") if name else 0
        word = REFUSALS.get(number)
        return name if word is None else f"{say(word.en, word.zh)} ({name})"

    shown = {
        **data,
        "reason": reason(data["reason"]),
        "kind": say(*_KIND_WORDS.get(found.kind, ("unknown", "未知"))),
        "state": say(*_STATE_WORDS[data["state"]]),
    }
    if "member_reason" in data:
        shown["member_reason"] = reason(data["member_reason"])
    for name, value in shown.items():
        if value not in ("", 0):
            click.echo(plain(f"{say(*_LABELS[name])}{say(': ', '：')}{value}"))


def _told(asked: int, done: int, json_out: bool, words: tuple[str, str]) -> None:
    tell(
        json_out, {"asked": asked, "done": done}, f"{done} of {asked} {words[0]}", f"{asked} 条中 {done} 条已{words[1]}"
    )
    if done < asked:
        why = say("the others are not dead, or not here: see list", "其余消息不是“已停止”状态或不存在，请用 list 查看")
        click.echo(f"wugan: {why}", err=True)
        raise SystemExit(EXIT_REFUSED)
