"""`wugan outbox` and `wugan inbox`: what waits between this gateway and others, and what to do about dead deliveries.

Owns: the commands, which are the same for either box, and handing an operator's decision to the store, beside a running
gateway, which takes it up within a second. Refuses: showing what a delivery holds, dropping what waits for somebody who
is in the federation, and dropping anything without a reason: that, and who gave it by login name, are in the audit
trail.
"""

from __future__ import annotations

import getpass
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click

from gateway.cli import EXIT_REFUSED, EXIT_USAGE
from gateway.cli.access_common import CONFIG, JSON, fail, in_store, tell
from gateway.cli.language import say
from gateway.cli.member_names import MemberNames
from gateway.cli.post_shown import failing, print_listed, print_one

if TYPE_CHECKING:
    from gateway.clock import Clock
    from gateway.store.audit import AuditEvent
    from gateway.store.engine import Store
    from gateway.store.post_office import Listed


MEMBER = click.option("--member", default="", help=say("only of this member", "仅此成员"))
LIMIT = click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help=say("rows", "行数"))
ALL_DEAD = click.option("--all", "all_dead", is_flag=True, help=say("all dead ones", "全部已停止的"))
DELIVERIES = click.argument("deliveries", nargs=-1)


def _given(_context: click.Context, _option: click.Parameter, reason: str) -> str:
    """A reason that says something."""
    if not reason.strip():
        raise click.BadParameter(say("say why: it is kept in the audit trail", "请写明理由，理由将记入审计日志"))
    return reason.strip()


REASON = click.option(
    "--reason", required=True, callback=_given, help=say("why, for the audit trail", "理由（记入审计日志）")
)


class _Box(ABC):
    """One of the two boxes of a gateway: how its deliveries stand, and what an operator can do about them."""

    name: ClassVar[str]
    states: ClassVar[Mapping[str, int]]
    too_old: ClassVar[tuple[str, str]] = ("", "")
    """Why one that is dead may not be tried again, too."""

    @abstractmethod
    async def listed(self, store: Store, *, member: str = "", state: int = 0, limit: int = 1000) -> list[Listed]:
        """Deliveries, oldest first; of one member or state where these are given."""

    @abstractmethod
    async def one(self, store: Store, delivery_id: bytes) -> tuple[Listed | None, Mapping[str, Any]]:
        """One delivery, and how its member stands, where that matters."""

    @abstractmethod
    async def retry(self, store: Store, delivery_id: bytes, now_ms: int) -> bool:
        """Try a dead one again; whether it was there and dead."""

    @abstractmethod
    async def drop(self, store: Store, delivery_id: bytes, reason: str, clock: Clock, names: MemberNames) -> bool:
        """Drop a dead one for good, on record, or one that nobody is there to take; whether it was there and was so."""

    @abstractmethod
    async def dead(self, store: Store) -> list[bytes]:
        """All dead ones, oldest first."""


class _Outbox(_Box):
    name = "outbox"
    states: ClassVar[Mapping[str, int]] = {"waiting": 1, "dead": 2}
    too_old: ClassVar[tuple[str, str]] = (
        ", or so old that the other side may take it twice, and can only be dropped",
        "，或已过期过久、重投可能被对方重复受理（只能删除）",
    )

    async def listed(self, store: Store, *, member: str = "", state: int = 0, limit: int = 1000) -> list[Listed]:
        return await store.post_office.letters(member=member, state=state, limit=limit)

    async def one(self, store: Store, delivery_id: bytes) -> tuple[Listed | None, Mapping[str, Any]]:
        found = await store.post_office.letter(delivery_id)
        trouble = (await store.outbox.troubles()).get(found.member) if found is not None else None
        return found, {} if trouble is None else failing(trouble)

    async def dead(self, store: Store) -> list[bytes]:
        return await store.post_office.dead_letters()

    async def retry(self, store: Store, delivery_id: bytes, now_ms: int) -> bool:
        return await store.post_office.retry_letter(delivery_id, now_ms)

    async def drop(self, store: Store, delivery_id: bytes, reason: str, clock: Clock, names: MemberNames) -> bool:
        office = store.post_office
        found = await office.letter(delivery_id)
        if found is not None and found.state == self.states["waiting"] and names.has_left(found.member):
            record = _record(delivery_id, f"{self.name}: delivery to a member that left dropped: {reason}", clock)
            return await office.drop_letter(delivery_id, record, waiting=True)
        return await office.drop_letter(delivery_id, _record(delivery_id, _dead(self.name, reason), clock))


class _Inbox(_Box):
    name = "inbox"
    states: ClassVar[Mapping[str, int]] = {"waiting": 1, "under-way": 2, "done": 3, "dead": 4}
    too_old: ClassVar[tuple[str, str]] = (
        ", or subscribe for people and were overtaken by a later change, and can only be dropped: the other side "
        "subscribes anew within a day",
        "，或为已被后续变更取代的订阅（只能删除，对方一日内会重新订阅）",
    )

    async def listed(self, store: Store, *, member: str = "", state: int = 0, limit: int = 1000) -> list[Listed]:
        return await store.post_office.deliveries(member=member, state=state, limit=limit)

    async def one(self, store: Store, delivery_id: bytes) -> tuple[Listed | None, Mapping[str, Any]]:
        return await store.post_office.delivery(delivery_id), {}

    async def dead(self, store: Store) -> list[bytes]:
        return await store.post_office.dead_deliveries()

    async def retry(self, store: Store, delivery_id: bytes, now_ms: int) -> bool:
        return await store.post_office.retry_delivery(delivery_id)

    async def drop(self, store: Store, delivery_id: bytes, reason: str, clock: Clock, names: MemberNames) -> bool:
        return await store.post_office.drop_delivery(delivery_id, _record(delivery_id, _dead(self.name, reason), clock))


_OUTBOX, _INBOX = _Outbox(), _Inbox()
_NOT_GONE = (
    "the member is in the federation: what waits for it will be delivered, and cannot be dropped",
    "该成员仍在联盟中，等待投递的消息将会送达，不能删除",
)
_NOT_KNOWN = (
    "there is no directory in force, so that it is not known whether a member has left the federation",
    "没有有效的成员目录，无法确认成员是否已退出联盟",
)
_WAITS = (
    ", or wait for a member that is still in the federation",
    "，或仍在等待联盟成员",
)


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
@click.option("--state", type=click.Choice(list(_OUTBOX.states)), help=say("only in this state", "仅此状态"))
@MEMBER
@LIMIT
@CONFIG
@JSON
def list_outbox(config_file: Path, json_out: bool, limit: int, member: str, state: str | None) -> None:
    """List the outbox."""
    _list(_OUTBOX, config_file, member, state, limit, json_out=json_out)


@inbox.command("list", help=say("List deliveries that are not done, oldest first.", "列出未完成的消息，最早的在前。"))
@click.option("--state", type=click.Choice(list(_INBOX.states)), help=say("only in this state", "仅此状态"))
@MEMBER
@LIMIT
@CONFIG
@JSON
def list_inbox(config_file: Path, json_out: bool, limit: int, member: str, state: str | None) -> None:
    """List the inbox."""
    _list(_INBOX, config_file, member, state, limit, json_out=json_out)


@outbox.command("show", help=say("Show one delivery, and how its member stands.", "显示一条消息及对方成员状态。"))
@click.argument("delivery")
@CONFIG
@JSON
def show_outbox(config_file: Path, json_out: bool, delivery: str) -> None:
    """Show one letter."""
    _show(_OUTBOX, config_file, delivery, json_out=json_out)


@inbox.command("show", help=say("Show one delivery.", "显示一条消息。"))
@click.argument("delivery")
@CONFIG
@JSON
def show_inbox(config_file: Path, json_out: bool, delivery: str) -> None:
    """Show one delivery."""
    _show(_INBOX, config_file, delivery, json_out=json_out)


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
    _retry(_OUTBOX, config_file, deliveries, ("sent again", "重新投递"), all_dead=all_dead, json_out=json_out)


@inbox.command("retry", help=say("Have dead DELIVERIES dealt with again.", "重新处理已停止的消息 DELIVERIES。"))
@DELIVERIES
@ALL_DEAD
@CONFIG
@JSON
def retry_inbox(config_file: Path, json_out: bool, deliveries: tuple[str, ...], all_dead: bool) -> None:
    """Deal with them again."""
    _retry(_INBOX, config_file, deliveries, ("dealt with again", "重新处理"), all_dead=all_dead, json_out=json_out)


@outbox.command(
    "drop",
    help=say(
        "Drop DELIVERIES for good that are dead, or wait for a member that has left the federation. Whoever left a "
        "question by one is told.",
        "彻底删除消息 DELIVERIES：已停止的，或等待已退出联盟成员的。留置查询被删除时，留置机构会得知。",
    ),
)
@DELIVERIES
@ALL_DEAD
@click.option(
    "--gone",
    default="",
    metavar="MEMBER",
    help=say("all to this member, which has left the federation", "发往此成员（已退出联盟）的全部消息"),
)
@REASON
@CONFIG
@JSON
def drop_outbox(
    config_file: Path, json_out: bool, reason: str, gone: str, deliveries: tuple[str, ...], all_dead: bool
) -> None:
    """Drop letters."""
    names = MemberNames.of(config_file) if gone or deliveries else MemberNames({})
    if gone and not names.has_left(gone):
        raise fail(*(_NOT_KNOWN if names.has_left(gone) is None else _NOT_GONE), EXIT_REFUSED)
    more = _WAITS if names.known else (f"; {_NOT_KNOWN[0]}", f"；{_NOT_KNOWN[1]}")
    _drop(_OUTBOX, config_file, deliveries, reason, names, more, all_dead=all_dead, gone=gone, json_out=json_out)


@inbox.command("drop", help=say("Let dead DELIVERIES be, for good.", "不再处理已停止的消息 DELIVERIES。"))
@DELIVERIES
@ALL_DEAD
@REASON
@CONFIG
@JSON
def drop_inbox(config_file: Path, json_out: bool, reason: str, deliveries: tuple[str, ...], all_dead: bool) -> None:
    """Drop deliveries."""
    _drop(_INBOX, config_file, deliveries, reason, MemberNames({}), all_dead=all_dead, json_out=json_out)


def _list(box: _Box, config_file: Path, member: str, state: str | None, limit: int, *, json_out: bool) -> None:
    number = box.states.get(state or "", 0)
    found = in_store(config_file, lambda at, _: box.listed(at, member=member, state=number, limit=limit))
    print_listed(found, box.states, MemberNames.of(config_file), json_out=json_out)


def _show(box: _Box, config_file: Path, delivery: str, *, json_out: bool) -> None:
    wanted = _id(delivery)
    found, more = in_store(config_file, lambda at, _: box.one(at, wanted))
    if found is None:
        raise fail("there is no such delivery", "没有该消息", EXIT_REFUSED)
    print_one(found, box.states, more, MemberNames.of(config_file), json_out=json_out)


def _retry(
    box: _Box,
    config_file: Path,
    deliveries: tuple[str, ...],
    done: tuple[str, str],
    *,
    all_dead: bool,
    json_out: bool,
) -> None:
    async def work(at: Store, clock: Clock) -> tuple[int, int]:
        wanted = await _wanted(box, at, deliveries, all_dead=all_dead)
        return len(wanted), sum([await box.retry(at, each, clock.now_ms()) for each in wanted])

    _told(*in_store(config_file, work), json_out, done, box.too_old)


def _drop(
    box: _Box,
    config_file: Path,
    deliveries: tuple[str, ...],
    reason: str,
    names: MemberNames,
    why_not: tuple[str, str] = ("", ""),
    *,
    all_dead: bool,
    json_out: bool,
    gone: str = "",
) -> None:
    async def work(at: Store, clock: Clock) -> tuple[int, int]:
        wanted = await at.post_office.letters_to(gone) if gone else []
        if all_dead or deliveries or not gone:
            wanted += [each for each in await _wanted(box, at, deliveries, all_dead=all_dead) if each not in wanted]
        return len(wanted), sum([await box.drop(at, each, reason, clock, names) for each in wanted])

    _told(*in_store(config_file, work), json_out, ("dropped", "删除"), why_not)


async def _wanted(box: _Box, store: Store, named: tuple[str, ...], *, all_dead: bool) -> list[bytes]:
    if all_dead:
        return await box.dead(store)
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


def _dead(where: str, reason: str) -> str:
    return f"{where}: dead delivery dropped: {reason}"


def _record(delivery_id: bytes, decision: str, clock: Clock) -> AuditEvent:
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
        decision=decision,
    )


def _told(asked: int, done: int, json_out: bool, words: tuple[str, str], more: tuple[str, str] = ("", "")) -> None:
    tell(
        json_out, {"asked": asked, "done": done}, f"{done} of {asked} {words[0]}", f"{asked} 条中 {done} 条已{words[1]}"
    )
    if done < asked:
        why = say(
            f"the others are not dead, or not here{more[0]}: see list",
            f"其余消息不是“已停止”状态或不存在{more[1]}，请用 list 查看",
        )
        click.echo(f"wugan: {why}", err=True)
        raise SystemExit(EXIT_REFUSED)
