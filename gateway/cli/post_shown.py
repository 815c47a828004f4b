"""Deliveries on a terminal and as JSON, for `wugan outbox` and `wugan inbox`.

Owns: the names of states, kinds and items in both languages. Refuses: showing what a delivery holds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.access_common import moment
from gateway.cli.language import plain, say
from gateway.cli.member_names import MemberNames

if TYPE_CHECKING:
    from gateway.store.outbox import Trouble
    from gateway.store.post_office import Listed

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
    "dead_since": ("dead since", "停止时间"),
    "failures": ("failures", "失败次数"),
    "reason": ("reason", "原因"),
    "note": ("note", "说明"),
    "bytes": ("bytes", "字节数"),
    "member_failing_since": ("the member fails since", "对方异常始于"),
    "member_failures": ("failures in a row", "对方连续失败次数"),
    "member_next_try": ("the member is tried next", "下次尝试对方"),
    "member_reason": ("because of", "对方异常原因"),
}


def _data(each: Listed, states: Mapping[str, int], members: MemberNames) -> dict[str, Any]:
    from gateway.wording import refusal_name

    names = {number: name for name, number in states.items()}
    # Of what is dead the store notes in its place when it died.
    tried = "dead_since" if names[each.state] == "dead" else "next_try"
    return {
        "delivery": each.delivery_id.hex(),
        "member": each.member,
        **members.fields(each.member),
        "kind": _KIND_WORDS.get(each.kind, ("unknown", ""))[0].replace(" ", "-"),
        "state": names[each.state],
        "made_at": moment(each.made_at_ms),
        "expires_at": moment(each.expires_at_ms),
        "next_try": "",
        "dead_since": "",
        **({tried: moment(each.next_try_ms)} if each.next_try_ms else {}),
        "failures": each.failures,
        "reason": refusal_name(each.reason),
        "note": each.note,
        "bytes": each.size,
    }


def failing(trouble: Trouble) -> dict[str, Any]:
    """How the member stands that a letter is for."""
    from gateway.wording import refusal_name

    return {
        "member_failing_since": moment(trouble.failing_since_ms),
        "member_failures": trouble.failures,
        "member_next_try": moment(trouble.next_try_ms),
        "member_reason": refusal_name(trouble.reason),
    }


def _reason(name: str) -> str:
    """A reason of the contract in words, with its own name."""
    from gateway.wording import REFUSALS
    from wugan.federation.v1 import vocabulary_pb2 as words

    number = words.RefusalReason.Value(f"REFUSAL_REASON_{name}") if name else 0
    word = REFUSALS.get(number)
    return name if word is None else f"{say(word.en, word.zh)} ({name})"


def print_listed(found: list[Listed], states: Mapping[str, int], members: MemberNames, *, json_out: bool) -> None:
    """A list of deliveries, one a line.

    Args:
        found: what is listed.
        states: names of the states of its box.
        members: what members are called.
        json_out: as JSON.
    """
    listed = [_data(each, states, members) for each in found]
    if json_out:
        click.echo(json.dumps(listed, ensure_ascii=False))
        return
    for each, data in zip(found, listed, strict=True):
        state, kind = say(*_STATE_WORDS[data["state"]]), say(*_KIND_WORDS.get(each.kind, ("unknown", "未知")))
        why = f"{_reason(data['reason'])} {each.note}".strip()
        whom = members.called(each.member)
        click.echo(plain(f"{data['delivery']}  {whom}  {kind:12} {state:10} {data['made_at']}  {why}".rstrip()))
    if not listed:
        click.echo(say("nothing", "无"))


def print_one(
    found: Listed, states: Mapping[str, int], more: Mapping[str, Any], members: MemberNames, *, json_out: bool
) -> None:
    """One delivery, item by item.

    Args:
        found: what is shown.
        states: names of the states of its box.
        more: what is known of its member besides (`failing`).
        members: what members are called.
        json_out: as JSON.
    """
    data = {**_data(found, states, members), **more}
    if json_out:
        click.echo(json.dumps(data, ensure_ascii=False))
        return
    shown = {
        **data,
        "member": members.called(found.member),
        "reason": _reason(data["reason"]),
        "kind": say(*_KIND_WORDS.get(found.kind, ("unknown", "未知"))),
        "state": say(*_STATE_WORDS[data["state"]]),
    }
    if "member_reason" in data:
        shown["member_reason"] = _reason(data["member_reason"])
    for name, value in shown.items():
        if name in _LABELS and value not in ("", 0):
            click.echo(plain(f"{say(*_LABELS[name])}{say(': ', '：')}{value}"))
