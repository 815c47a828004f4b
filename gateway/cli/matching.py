"""`wugan duplicates match` and `status`: comparing rosters with other members, as the operator of a gateway sees it.

Owns: handing the wish to the store beside a running gateway, which takes it up within seconds, and how it stands with
each member. Refuses: comparing anything itself.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from gateway.cli import EXIT_REFUSED, EXIT_USAGE
from gateway.cli.access_common import CONFIG, JSON, Opened, ended, fail, moment, run, tell
from gateway.cli.language import plain, say
from gateway.cli.member_names import MemberNames

if TYPE_CHECKING:
    from gateway.matching.session import Session
    from gateway.store.matchings import Standing

_STATES: Final = {
    1: ("RUNNING", "running", "进行中"),
    2: ("DONE", "done", "已完成"),
    3: ("STOPPED", "stopped", "已中止"),
}
_NOT_BEGUN: Final = {
    "WANTED": ("wanted", "待开始"),
    "NOT_GRANTED": (
        "not begun: no grant in force lets it compare its people with ours (purpose AUDIT, all regions)",
        "未开始：没有允许其与本方比对人员的有效授权（目的为 AUDIT，地区为全部）",
    ),
    "LEFT": (
        "not begun: an alarm stood against it, or its grant came later; see wugan access alarms, and ask again",
        "未开始：对方当时有未解除的告警，或授权尚未生效；请查看 wugan access alarms 后重新发起",
    ),
    "THEIRS_TO_BEGIN": (
        "asked to begin: of two members the one whose code sorts first does",
        "已请对方开始：由代码排序在前的一方发起",
    ),
}


@click.command(
    help=say(
        "Have the gateway compare its rosters with those of another member now, or of all that allow it: who draws in "
        "both is found on both sides, and nobody else.",
        "立即与其他成员比对名册（默认全部已授权成员）：仅双方均在领取的人员会被双方发现，其余人员互不可见。",
    )
)
@click.option("--member", default="", help=say("only with this member", "仅此成员"))
@CONFIG
@JSON
def match(config_file: Path, json_out: bool, member: str) -> None:
    """Ask for it."""
    from certs.identity import is_member_id
    from gateway.store.matchings import EVERYBODY

    settings = _settings(config_file)
    if member and (not is_member_id(member) or member == settings.member_id):
        raise fail("--member: give another member's code", "--member：请填写对方成员的统一社会信用代码", EXIT_USAGE)
    if not settings.duplicates.matching:
        raise fail(
            "this gateway compares no rosters; set [duplicates] matching = true and start it anew",
            "本网关未开通名册比对，请设置 [duplicates] matching = true 并重启",
            EXIT_USAGE,
        )

    async def ask(at: Opened) -> bool:
        if member and not _is_granted(at, member):
            return False
        await at.store.matchings.want(member or EVERYBODY, at.now_ms)
        return True

    if not run(config_file, ask):
        raise fail(
            f"no grant in force lets {member} compare its people with ours; propose one for the purpose AUDIT and all "
            "regions (wugan access grant)",
            f"没有允许 {member} 与本方比对人员的有效授权，请先提出授权：目的为 AUDIT，地区为全部（wugan access grant）",
            EXIT_REFUSED,
        )
    tell(json_out, {"member": member}, "the gateway will do so within seconds", "网关将在数秒内开始比对")


@click.command(help=say("How it stands with comparing rosters.", "名册比对进展。"))
@click.option("--member", default="", help=say("only with this member", "仅此成员"))
@CONFIG
@JSON
def status(config_file: Path, json_out: bool, member: str) -> None:
    """Tell."""
    from gateway.store.matchings import EVERYBODY

    async def look(at: Opened) -> list[dict[str, Any]]:
        found = [each for each in await at.store.matchings.read(member) if each.member != EVERYBODY]
        return [standing_as_data(each) | {"not_begun": _not_begun(at, each)} for each in found]

    standing = run(config_file, look)
    names = MemberNames.of(config_file)
    if json_out:
        click.echo(json.dumps([{**each, **names.fields(each["member"])} for each in standing], ensure_ascii=False))
        return
    for each in standing:
        click.echo(plain(_line(each, names.called(each["member"]))))
    if not standing:
        click.echo(say("nothing was compared yet", "尚未比对"))


def standing_as_data(standing: Standing) -> dict[str, Any]:
    """How it stands with a member, for programs."""
    from gateway.matching.session import Session
    from gateway.wording import refusal_name

    data: dict[str, Any] = {"member": standing.member, "wanted": bool(standing.wanted_at_ms), "state": ""}
    if standing.body:
        session: Session = Session.from_json(standing.body)
        data |= {
            "state": _STATES[session.state][0],
            "step": session.number,
            "round": session.round,
            "people": session.people,
            "answered": sum(size.people for size in session.own[: session.answered]),
            "their_rows": sum(session.theirs),
            "found": session.found,
            "begun_at": moment(session.begun_at_ms),
            "last_step_at": moment(session.changed_at_ms),
            "done_at": moment(session.done_at_ms) if session.done_at_ms else "",
            "reason": refusal_name(session.reason),
            "stopped_by_us": session.by_us,
        }
    return data


def _line(data: dict[str, Any], member: str) -> str:
    if not data["state"]:
        return f"{member}  {say(*_NOT_BEGUN[data['not_begun']])}"
    state = next(say(en, zh) for name, en, zh in _STATES.values() if name == data["state"])
    told = say(
        f"{data['answered']} of {data['people']} people and faces answered, {data['their_rows']} rows of theirs, "
        f"{data['found']} found",
        f"本方人员及人脸共 {data['people']} 项，已比对 {data['answered']} 项，对方 {data['their_rows']} 行，"
        f"发现重复领取 {data['found']} 人",
    )
    return "  ".join(each for each in (member, state, told, data["last_step_at"], data["reason"]) if each)


def _is_granted(at: Opened, member: str) -> bool:
    """Whether a grant in force lets a member compare, as `Access.comparable` asks."""
    from gateway.access.policy import Policy
    from gateway.matching.steps import PURPOSE

    entries = Policy.of(at.administration.ledger).open_everywhere(member, PURPOSE, at.now_ms)
    return any(entry.benefits for entry in entries)


def _not_begun(at: Opened, standing: Standing) -> str:
    """Why there is no session with a member; "" where there is one."""
    from gateway.matching.session import begins

    if standing.body:
        return ""
    if standing.wanted_at_ms:
        return "WANTED"
    if not _is_granted(at, standing.member):
        return "NOT_GRANTED"
    return "LEFT" if begins(at.settings.member_id, standing.member) else "THEIRS_TO_BEGIN"


def _settings(config_file: Path) -> Any:
    from gateway.config import load_gateway

    return ended(lambda: load_gateway(config_file))
