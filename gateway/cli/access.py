"""`wugan access`: who may ask what. Every change is signed by the person who makes it, and in the audit trail.

Owns: grants, protected persons, alarms. People are in access_people.py. Refuses: changing anything by any other way
than the rule of the ledger.
"""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.access import people as roles
from gateway.cli import EXIT_REFUSED, EXIT_USAGE
from gateway.cli.access_common import (
    CONFIG,
    JSON,
    WHY,
    Actor,
    Opened,
    day_ms,
    enact,
    fail,
    moment,
    run,
    signed,
    tell,
)
from gateway.cli.access_people import people
from gateway.cli.audit_words import signal_words
from gateway.cli.files import read_text
from gateway.cli.language import plain, say
from gateway.cli.member_names import MemberNames
from gateway.errors import WuganError

if TYPE_CHECKING:
    from gateway.access.ledger import Grant, Ledger

_DAY = click.DateTime(["%Y-%m-%d"])
_COUNT = click.IntRange(0, 1_000_000_000)
_PEOPLE = click.IntRange(1, 1_000_000_000)
_DAY_MS = 86_400_000
_LARGEST_FILE = 1 << 20


@click.group(
    help=say(
        "Who may ask this gateway what, and who decides it. Every change is signed by the person who makes it. Exit "
        "codes: 0 done, 1 refused, 2 wrong usage or configuration.",
        "谁可向本网关查询什么、由谁决定。每项变更均由操作人签名。退出码：0 完成，1 被拒绝，2 用法或配置错误。",
    )
)
def access() -> None:
    """The group."""


access.add_command(people)


class _GrantName(click.ParamType[int]):
    """g7, or 7."""

    name = "grant"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        text = str(value).removeprefix("g")
        if not text.isdecimal() or len(text) > 15:
            self.fail(say("write a grant as g7", "授权编号形如 g7"), param, ctx)
        return int(text)


_GRANT = click.argument("grant", type=_GrantName())


@access.command(help=say("Propose a grant; a small one is in force at once.", "提出授权；小额授权立即生效。"))
@click.option("--member", required=True, help=say("unified social credit code, or *", "统一社会信用代码，或 *"))
@click.option("--unit", "units", multiple=True, default=["*"], help=say("its unit; repeatable", "经办机构，可重复"))
@click.option(
    "--purpose", "purposes", multiple=True, required=True, help=say("purpose, or *; repeatable", "目的，可重复")
)
@click.option(
    "--benefit", "benefits", multiple=True, required=True, help=say("benefit, or *; repeatable", "险种，可重复")
)
@click.option(
    "--evidence",
    multiple=True,
    required=True,
    help=say("kind of evidence an answer may show, or *; repeatable", "答复可包含的证据种类，可重复"),
)
@click.option(
    "--region",
    "regions",
    multiple=True,
    required=True,
    help=say("GB/T 2260 code whose people it is about, or *; repeatable", "人员所在行政区划代码，可重复"),
)
@click.option("--per-day", type=_COUNT, required=True, help=say("people a day; 0: no bound", "每日人数，0 为不限"))
@click.option("--per-official", type=_COUNT, default=0, help=say("people a day and official", "每经办人每日人数"))
@click.option("--per-minute", type=_COUNT, default=0, help=say("people in any minute", "任一分钟内人数"))
@click.option("--per-second", type=_COUNT, default=0, help=say("people in any second", "任一秒内人数"))
@click.option("--roster", type=_COUNT, default=0, help=say("people expected in all", "预计领取人总数"))
@click.option("--from", "first", type=_DAY, default=None, help=say("first day; default: now", "起始日，默认立即"))
@click.option("--until", "last", type=_DAY, required=True, help=say("last day", "截止日（含）"))
@WHY
@signed
def grant(
    config_file: Path,
    json_out: bool,
    actor: Actor,
    member: str,
    units: tuple[str, ...],
    purposes: tuple[str, ...],
    benefits: tuple[str, ...],
    evidence: tuple[str, ...],
    regions: tuple[str, ...],
    per_day: int,
    per_official: int,
    per_minute: int,
    per_second: int,
    roster: int,
    first: dt.datetime | None,
    last: dt.datetime,
    why: str,
) -> None:
    """Propose."""
    from gateway.access.terms import read_terms
    from gateway.cli.access_shown import because
    from gateway.clock import SystemClock

    body = {
        "member": member,
        "units": [*units],
        "purposes": [word.upper() for word in purposes],
        "benefits": [word.upper() for word in benefits],
        "evidence": [word.upper() for word in evidence],
        "regions": [int(code) if code.isdecimal() else code for code in regions],
        "quotas": {"day": per_day, "official_day": per_official, "minute": per_minute, "second": per_second},
        "roster": roster,
        "from_ms": SystemClock().now_ms() if first is None else day_ms(first),
        "until_ms": day_ms(last) + _DAY_MS,
        "why": why,
    }

    async def work(at: Opened) -> Grant:
        number = await enact(at, actor, roles.PROPOSE_GRANT, body, about=member)
        ledger = at.administration.ledger
        proposed.extend(ledger.needs_approval(ledger.grants[number]))
        return ledger.grants[number]

    try:
        read_terms(body)  # before it is signed: words that are none are wrong usage, not a refusal
    except WuganError as error:
        raise fail(error.en, error.zh, EXIT_USAGE) from None
    proposed: list[str] = []
    made = run(config_file, work)
    if proposed:
        listed = because(proposed)
        en = f"{made.name} is proposed; it counts once another person approves it, because of: {listed}"
        zh = f"{made.name} 已提出，须由另一人批准后生效，原因：{listed}"
    else:
        en, zh = f"{made.name} is granted", f"{made.name} 已授权"
    tell(json_out, {"grant": made.name, "needs_approval": proposed}, en, zh)


@access.command(help=say("Approve GRANT, which another person proposed.", "批准他人提出的授权 GRANT。"))
@_GRANT
@signed
def approve(config_file: Path, json_out: bool, actor: Actor, grant: int) -> None:
    """Approve."""

    async def work(at: Opened) -> None:
        about = _member_of(at, grant)
        await enact(at, actor, roles.APPROVE_GRANT, {"grant": grant}, about=about)

    run(config_file, work)
    tell(json_out, {"grant": f"g{grant}"}, f"g{grant} is approved and counts", f"g{grant} 已批准并生效")


@access.command(help=say("Withdraw GRANT at once, for ever.", "立即撤回授权 GRANT，不可恢复。"))
@_GRANT
@WHY
@signed
def withdraw(config_file: Path, json_out: bool, actor: Actor, grant: int, why: str) -> None:
    """Withdraw."""

    async def work(at: Opened) -> None:
        body, about = {"grant": grant, "why": why}, _member_of(at, grant)
        await enact(at, actor, roles.WITHDRAW_GRANT, body, about=about)

    run(config_file, work)
    tell(
        json_out,
        {"grant": f"g{grant}"},
        f"g{grant} is withdrawn; a running gateway refuses within a second",
        f"g{grant} 已撤回，运行中的网关将在一秒内拒绝",
    )


def _member_of(at: Opened, grant: int) -> str:
    known = at.administration.ledger.grants.get(grant)
    return known.terms.member if known else ""


@access.command("list", help=say("List grants and what became of them.", "列出授权及其状态。"))
@CONFIG
@JSON
def list_(config_file: Path, json_out: bool) -> None:
    """List."""
    from gateway.cli.access_explain import described
    from gateway.cli.access_shown import lines

    async def work(at: Opened) -> tuple[Ledger, int]:
        return at.administration.ledger, at.now_ms

    ledger, now_ms = run(config_file, work)
    names = MemberNames.of(config_file)
    grants = [described(ledger, each, now_ms) for each in ledger.grants.values()]
    listed = [{**each, **names.fields(each["member"])} for each in grants]
    if json_out:
        click.echo(json.dumps(listed, ensure_ascii=False))
        return
    for each in listed:
        for line in lines(each, names):
            click.echo(plain(line))
    if not listed:
        click.echo(say("no grants: nobody may ask anything", "尚无授权：任何人均不得查询"))


@access.command(
    help=say(
        "What would be decided on a question, and why. Exit codes: 0 it would be allowed, 1 refused, 2 wrong usage.",
        "某一查询将如何裁定及其原因。退出码：0 允许，1 拒绝，2 用法错误。",
    )
)
@click.option("--member", required=True, help=say("who asks", "查询方统一社会信用代码"))
@click.option("--unit", default="", help=say("its unit", "经办机构代码"))
@click.option("--purpose", required=True, help=say("purpose", "目的"))
@click.option("--benefit", "benefits", multiple=True, required=True, help=say("benefit; repeatable", "险种，可重复"))
@click.option("--people", "count", type=_PEOPLE, default=1, help=say("how many people", "人数"))
@click.option(
    "--official",
    default="",
    help=say("the official's pseudonym, hexadecimal, as in the audit trail", "经办人假名（十六进制，见审计日志）"),
)
@CONFIG
@JSON
def explain(
    config_file: Path,
    json_out: bool,
    member: str,
    unit: str,
    purpose: str,
    benefits: tuple[str, ...],
    count: int,
    official: str,
) -> None:
    """Explain."""
    from gateway.cli.access_explain import Asked, explanation
    from gateway.cli.audit_options import hexadecimal

    pseudonym = hexadecimal(official, None, "--official") if official else b""

    async def work(at: Opened) -> dict[str, Any]:
        return await explanation(at, Asked.of(member, unit, purpose, benefits, count, pseudonym))

    told = run(config_file, work)
    if json_out:
        click.echo(json.dumps(told, ensure_ascii=False))
    else:
        verdict = say("allowed", "允许") if told["allowed"] else say("refused", "拒绝")
        colon = say(": ", "：")
        click.echo(plain(f"{verdict}{colon}{say(told['why_en'], told['why_zh'])}"))
        for each in told["grants"]:
            click.echo(plain(f"  {each['grant']}{colon}{each['verdict']}"))
    raise SystemExit(0 if told["allowed"] else EXIT_REFUSED)


@access.command(
    help=say(
        "Put persons under special protection: whoever asks is told what is told of unknown persons. FILE holds one "
        "identity number a line ('-': standard input); only keyed digests are kept.",
        "将人员列入特别保护名单：对任何查询均与查无此人相同。FILE 每行一个证件号码（“-”为标准输入），仅保存密钥摘要。",
    )
)
@click.argument("file", type=click.Path(allow_dash=True, dir_okay=False, path_type=Path))
@WHY
@signed
def protect(config_file: Path, json_out: bool, actor: Actor, file: Path, why: str) -> None:
    """Protect."""
    done = _each_person(config_file, actor, roles.PROTECT, file, why)
    tell(json_out, {"protected": done}, f"{_persons(done)} protected", f"已保护 {done} 人")


@access.command(help=say("End the special protection of the persons in FILE.", "解除 FILE 中人员的特别保护。"))
@click.argument("file", type=click.Path(allow_dash=True, dir_okay=False, path_type=Path))
@WHY
@signed
def unprotect(config_file: Path, json_out: bool, actor: Actor, file: Path, why: str) -> None:
    """Unprotect."""
    done = _each_person(config_file, actor, roles.UNPROTECT, file, why)
    tell(json_out, {"unprotected": done}, f"{_persons(done)} no longer protected", f"已解除 {done} 人的保护")


def _persons(count: int) -> str:
    return "1 person" if count == 1 else f"{count} persons"


def _each_person(config_file: Path, actor: Actor, act: str, file: Path, why: str) -> int:
    from gateway.rules.identity import normalise_number

    text = read_text(file, _LARGEST_FILE)

    def number(row: int, written: str) -> str:
        try:
            return normalise_number(written)
        except WuganError as error:
            where = f"{file}, line {row}: {error.en}", f"{file} 第 {row} 行：{error.zh}"
            raise fail(*where, EXIT_REFUSED) from None

    listed = [(row, line.strip()) for row, line in enumerate(text.splitlines(), 1) if line.strip()]
    numbers = list(dict.fromkeys(number(row, written) for row, written in listed))
    if not numbers:
        raise fail(f"{file}: holds no number; nothing was done", f"{file}：没有证件号码，未执行任何操作", EXIT_USAGE)

    async def work(at: Opened) -> int:
        for number in numbers:
            await enact(at, actor, act, {"person": at.store.protected_digest(number).hex(), "why": why})
        return len(numbers)

    return run(config_file, work)


@access.command(help=say("List harvesting alarms.", "列出批量套取告警。"))
@CONFIG
@JSON
def alarms(config_file: Path, json_out: bool) -> None:
    """List alarms."""

    async def work(at: Opened) -> list[dict[str, Any]]:
        cleared = at.administration.ledger.cleared
        return [
            {**alarm._asdict(), "at": moment(alarm.at_ms), "cleared": alarm.number in cleared}
            for alarm in await at.store.alarms.read()
        ]

    found = run(config_file, work)
    names = MemberNames.of(config_file)
    listed = [{**each, **names.fields(each["member"])} for each in found]
    if json_out:
        click.echo(json.dumps(listed, ensure_ascii=False))
        return
    for each in listed:
        state = say("cleared", "已解除") if each["cleared"] else say("stands", "未解除")
        seen = signal_words(each["signal"], each["seen"], each["allowed"])
        whom = names.called(each["member"])
        click.echo(plain(f"{each['number']:4} {each['at']} {state} {whom} {each['unit']} {say(seen.en, seen.zh)}"))
    if not listed:
        click.echo(say("no alarms", "没有告警"))


@access.command(help=say("Clear ALARM, so that its member is no longer throttled.", "解除告警 ALARM，停止限流。"))
@click.argument("alarm", type=click.IntRange(1))
@WHY
@signed
def clear(config_file: Path, json_out: bool, actor: Actor, alarm: int, why: str) -> None:
    """Clear an alarm."""

    async def work(at: Opened) -> None:
        if all(each.number != alarm for each in await at.store.alarms.read()):
            raise fail(f"there is no alarm {alarm}", f"没有告警 {alarm}", EXIT_REFUSED)
        await enact(at, actor, roles.CLEAR_ALARM, {"alarm": alarm, "why": why})

    run(config_file, work)
    tell(json_out, {"alarm": alarm}, f"alarm {alarm} is cleared", f"告警 {alarm} 已解除")
