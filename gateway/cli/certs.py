"""`wugan certs`: this gateway's own keys and certificates."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gateway.cli import EXIT_REFUSED, EXIT_UNREACHABLE, EXIT_USAGE
from gateway.cli.certs_shown import about, no_room, show, waits_for
from gateway.cli.certs_standing import judge
from gateway.cli.certs_unit import enrol_unit
from gateway.cli.failing import end as _end
from gateway.cli.language import say

if TYPE_CHECKING:
    from certs.errors import CertsError
    from certs.rotation import Event
    from certs.slot_journal import Journal, Kind
    from certs.slot_requests import Answer, Request
    from gateway.config import GatewaySettings
    from gateway.federation.own_hand import Hand

R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])

ANSWER_S = 10.0
"""How long a running gateway has to take up a request."""

_CODES = (
    "Exit codes: 0 done, 1 refused, 2 wrong usage or configuration, 3 not reached or not done in time.",
    "退出码：0 完成，1 被拒绝，2 用法或配置错误，3 无法连接或未在时限内完成。",
)
_CONFIG = click.option(
    "--config",
    "config_file",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="gateway.toml",
)
_JSON = click.option("--json", "json_out", is_flag=True, help=say("print JSON", "输出 JSON"))
_KIND = click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice(["tls", "signing", "encryption"]),
    help=say("which keys; all where none is named", "密钥种类，不指定则为全部"),
)


_EVENTS = {
    "rotation begun": "轮换开始",
    "key prepared": "密钥已就绪",
    "keys published": "密钥已公布",
    "keys activated": "密钥已启用",
    "keys destroyed": "密钥已销毁",
    "keys not removed from the token": "密钥未能从密码设备中删除",
    "rotation rolled back": "轮换已回退",
    "rotation failed": "轮换未成功",
}
"""What a rotation tells (`certs.rotation`), for people."""
_DETAILS = {"first keys": "首批密钥", "asked": "按命令执行", "due": "到期更新"}


@click.group(help=say("This gateway's own keys and certificates.", "管理本网关的密钥与证书。"))
def certs() -> None:
    """The group."""


certs.add_command(enrol_unit)


@certs.command(
    help=say(
        "Show every key: its state, until when it is valid, when it is renewed.\n\n"
        "Exit codes: 0 done, 1 a key in use is missing, has expired, was revoked or is not listed by the directory, 2 "
        "wrong usage or configuration.",
        "显示各密钥的状态、有效期与计划更新时间。\n\n"
        "退出码：0 完成，1 在用密钥缺失、已过期、已被吊销或未在成员目录中登记，2 用法或配置错误。",
    )
)
@_CONFIG
@_JSON
def status(config_file: Path, json_out: bool) -> None:
    """Read the journal and the directory held; the gateway may run meanwhile."""
    from certs.slot_journal import KINDS
    from gateway.clock import SystemClock
    from gateway.federation.renewal import policy_of

    settings = _settings(config_file)
    journal = _journal(settings.keys_folder)
    now_ms = SystemClock().now_ms()
    told = about(journal, policy_of(settings.rotation))
    there = all((each := journal.current(kind)) is not None and each.not_after_ms > now_ms for kind in KINDS)
    judged = _trying(lambda: judge(settings, journal))
    if json_out:
        well = there and not judged.objections
        click.echo(json.dumps({"ok": well, **told, **judged.told()}, ensure_ascii=False, indent=2))
    else:
        show(told)
        _tell_what_it_waits_for(journal, settings.keys_folder)
        for text in no_room(journal, policy_of(settings.rotation), now_ms) if journal.rotation is None else ():
            click.echo(say(*text), err=True)
        for line in judged.lines():
            click.echo(line, err=True)
        if not there:
            click.echo(
                say(
                    "A current key is missing or has expired. Enrol this gateway (`wugan certs enrol`) with a token of "
                    "the authority's; one that was enrolled before is readmitted there first.",
                    "缺少当前密钥，或其已过期。请用管理机构签发的令牌登记本网关（`wugan certs enrol`）；"
                    "曾登记过的网关须先由管理机构重新准入。",
                ),
                err=True,
            )
    if not there or judged.objections:
        raise SystemExit(EXIT_REFUSED)


@certs.command(
    help=say(
        "Renew keys now: make, enrol, publish, wait until every partner knows them, use them. A running gateway does "
        "it without losing a call.\n\n",
        "立即轮换密钥：生成、签发、公布，待各成员知悉后启用。运行中的网关不中断任何请求。\n\n",
    )
    + say(*_CODES)
)
@_CONFIG
@_KIND
@click.option("--reason", default="asked", show_default=True, help=say("why, for the log", "原因，记入日志"))
@click.option(
    "--urgent",
    is_flag=True,
    help=say(
        "use the new keys once published, without waiting for partners: the old ones are lost or stolen",
        "公布后立即启用，不等待其他成员（旧密钥丢失或被盗时使用）",
    ),
)
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(0, 86_400),
    default=0.0,
    show_default=True,
    help=say("seconds to wait until they are in use", "等待启用的秒数"),
)
@_JSON
def rotate(
    config_file: Path, kinds: tuple[Kind, ...], reason: str, urgent: bool, wait_s: float, json_out: bool
) -> None:
    """Ask the running gateway, or do it here where none runs."""
    from certs.slot_journal import KINDS
    from certs.slot_requests import Request
    from gateway.clock import SystemClock

    settings = _settings(config_file)
    request = Request(
        action="rotate",
        kinds=kinds or KINDS,
        reason=reason[:200],
        urgent=urgent,
        asked_at_ms=SystemClock().now_ms(),
    )

    async def here(hand: Hand) -> bool:
        begun = hand.slots.journal.rotation
        if begun is None or request.urgent > begun.urgent or not set(request.kinds) <= set(begun.kinds):
            await hand.rotator.rotate(request.kinds, request.reason, urgent=request.urgent)
        return await hand.work(SystemClock(), wait_s)  # else it goes on with what was begun

    before = _current(settings.keys_folder)
    done = _ask_or_do(settings, request, here)
    over = done is True
    if not isinstance(done, bool):
        over = _followed(settings.keys_folder, wait_s)
        if over and any(
            before[kind] == now for kind, now in _current(settings.keys_folder).items() if kind in request.kinds
        ):
            _end("the rotation was rolled back meanwhile", "轮换已被回退", EXIT_REFUSED)
    state = "activated" if over else "begun"
    said = say("The new keys are in use.", "新密钥已启用。") if over else say("Rotation begun.", "轮换已开始。")
    click.echo(json.dumps({"state": state, "kinds": list(request.kinds)}) if json_out else said)
    if not over:
        _tell_what_it_waits_for(_journal(settings.keys_folder), settings.keys_folder)
    if wait_s and not over:
        raise SystemExit(EXIT_UNREACHABLE)


@certs.command(
    help=say(
        "Give up the rotation under way; where there is none, put back the keys before the current ones, while they "
        "exist.\n\n",
        "放弃正在进行的轮换；若没有，则在旧密钥尚存时恢复使用旧密钥。\n\n",
    )
    + say(*_CODES)
)
@_CONFIG
@_KIND
@_JSON
def rollback(config_file: Path, kinds: tuple[Kind, ...], json_out: bool) -> None:
    """Ask the running gateway, or do it here where none runs."""
    from certs.slot_journal import KINDS
    from certs.slot_requests import Request
    from gateway.clock import SystemClock

    settings = _settings(config_file)
    request = Request(action="roll_back", kinds=kinds or KINDS, asked_at_ms=SystemClock().now_ms())

    back: tuple[Kind, ...] = ()

    async def here(hand: Hand) -> bool:
        nonlocal back
        back = await hand.rotator.roll_back(request.kinds)
        return await hand.work(SystemClock(), 0.0)

    done = _ask_or_do(settings, request, here)
    back = back if isinstance(done, bool) else done.kinds
    listed = ", ".join(back)
    said = say(f"Rolled back: {listed}.", f"已回退：{listed}。")
    click.echo(json.dumps({"state": "rolled back", "kinds": list(back)}) if json_out else said)


@certs.command(
    help=say(
        "Enrol this gateway: make its first keys, have certificates issued with a one-time token, publish them. Safe "
        "to repeat with the same token when it was interrupted.\n\n",
        "登记本网关：生成首批密钥，凭一次性令牌签发证书并公布。中断后可用同一令牌重复执行。\n\n",
    )
    + say(*_CODES)
)
@_CONFIG
@click.option(
    "--token-file",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=say("file with the one-time token, mode 0600", "一次性令牌文件，权限 0600"),
)
@_JSON
def enrol(config_file: Path, token_file: Path, json_out: bool) -> None:
    """Make, enrol, publish."""
    from certs.keys import read_passphrase
    from certs.slot_journal import KINDS
    from gateway.clock import SystemClock
    from gateway.federation.enrolling import Token

    settings = _settings(config_file)
    token = _trying(lambda: Token.parse(read_passphrase(token_file).decode("ascii", "replace")))

    async def here(hand: Hand) -> bool:
        journal = hand.slots.journal
        if any(journal.current(kind) for kind in KINDS):
            _end(
                "this gateway has keys already; rotate them. If they have expired or are refused, have it readmitted "
                f"(`wugan authority member readmit`), move {settings.keys_folder} away, and enrol again",
                "本网关已有密钥，请使用轮换；若密钥已过期或被拒绝，请先由管理机构重新准入"
                f"（`wugan authority member readmit`），移走 {settings.keys_folder} 后再登记",
                EXIT_REFUSED,
            )
        begun = journal.rotation
        if begun is not None and set(begun.kinds) != set(KINDS):  # `rotate --kind`, before there was anything to rotate
            await hand.rotator.roll_back(begun.kinds)
            begun = None
        if begun is None:
            await hand.rotator.rotate(KINDS, "first keys")
        return await hand.work(SystemClock(), 0.0)

    _do(settings, here, token)
    folder = str(settings.keys_folder)
    said = say(f"Enrolled. The keys are in {folder}.", f"登记完成，密钥位于 {folder}。")
    click.echo(json.dumps({"state": "enrolled", "folder": folder}, ensure_ascii=False) if json_out else said)


def _ask_or_do(settings: GatewaySettings, request: Request, here: Callable[[Hand], Any]) -> bool | Answer:
    """What `here` said, where no gateway has the keys; the answer of a running one that took the request up."""
    from certs import slot_requests
    from gateway.clock import SystemClock

    if not _in_use(settings.keys_folder):
        return _do(settings, here)
    folder = settings.keys_folder
    name = _trying(lambda: slot_requests.ask(folder, request))
    end = SystemClock().monotonic() + ANSWER_S
    answer: Answer | None = None
    while (answer := _trying(lambda: slot_requests.answer_of(folder, name))) is None:
        if SystemClock().monotonic() > end:
            slot_requests.give_up(folder, name)
            _end(
                "a process has the keys open but does not take requests; see its log",
                "密钥目录被占用但未处理请求，请查看网关日志",
                EXIT_UNREACHABLE,
            )
        time.sleep(0.1)
    if not answer.done:
        _end(answer.en, answer.zh, EXIT_REFUSED)
    return answer


def _do(settings: GatewaySettings, here: Callable[[Hand], Any], token: Any = None) -> bool:
    from certs.errors import CertsError
    from gateway.clock import SystemClock
    from gateway.errors import WuganError
    from gateway.federation.own_hand import own_hand

    async def work() -> bool:
        async with own_hand(settings, SystemClock(), _tell, token=token) as hand:
            try:
                return bool(await here(hand))
            except CertsError as error:
                _end(error.en, error.zh, _code(error), of=error)

    try:
        return asyncio.run(work())
    except WuganError as error:
        _end(error.en, error.zh, EXIT_USAGE, of=error)


def _code(error: CertsError) -> int:
    """Whether it was refused, or not reached."""
    from certs.errors import EstError
    from gateway.federation.authority_client import LaterError

    if isinstance(error, EstError):
        return EXIT_UNREACHABLE if error.retryable or not error.status else EXIT_REFUSED
    return EXIT_UNREACHABLE if isinstance(error, LaterError) else EXIT_REFUSED


def _current(folder: Path) -> dict[str, str]:
    """Kind → name of the key in use, "" where there is none."""
    from certs.slot_journal import KINDS

    journal = _journal(folder)
    return {kind: each.name if (each := journal.current(kind)) is not None else "" for kind in KINDS}


def _tell_what_it_waits_for(journal: Journal, folder: Path) -> None:
    """Say it of a rotation under way, and whether anybody is at work on it; nothing where there is none."""
    waits = waits_for(journal)
    if waits is None:
        return
    click.echo(say(*waits), err=True)
    if not _in_use(folder):
        click.echo(
            say(
                "No gateway runs here: start it, or give the command again, and it goes on.",
                "网关未运行：启动网关，或再次执行该命令，轮换即继续。",
            ),
            err=True,
        )


def _followed(folder: Path, wait_s: float) -> bool:
    """Whether a running gateway ends the rotation within some seconds."""
    from gateway.clock import SystemClock

    end = SystemClock().monotonic() + wait_s
    while _journal(folder).rotation is not None:
        if SystemClock().monotonic() >= end:
            return False
        time.sleep(0.1)
    return True


def _journal(folder: Path) -> Journal:
    from certs.slot_files import read_journal

    return _trying(lambda: read_journal(folder))


def _in_use(folder: Path) -> bool:
    """Whether a process has the folder open."""
    from certs.slot_files import is_open

    return _trying(lambda: is_open(folder))


def _settings(config_file: Path) -> GatewaySettings:
    from gateway.config import load_gateway
    from gateway.errors import WuganError

    try:
        return load_gateway(config_file)
    except WuganError as error:
        _end(error.en, error.zh, EXIT_USAGE, of=error)


def _trying(work: Callable[[], R]) -> R:
    from certs.errors import CertsError

    try:
        return work()
    except CertsError as error:
        _end(error.en, error.zh, EXIT_USAGE)


def _tell(event: Event) -> None:
    kinds = ", ".join(event.kinds)
    what = say(event.what, _EVENTS.get(event.what, event.what))
    detail = re.sub(r"^directory version (\d+)$", r"第 \1 版目录", _DETAILS.get(event.detail, event.detail))
    click.echo(say(f"{what}: {kinds} {event.detail}", f"{what}：{kinds} {detail}").rstrip(), err=True)
