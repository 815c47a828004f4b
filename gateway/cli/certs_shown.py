"""What `wugan certs` shows of a gateway's own keys: their states, and what a rotation under way waits for.

Owns: the words and the table. Refuses: reading anything; the journal is handed in.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from gateway.cli.access_common import local
from gateway.cli.language import say
from gateway.cli.tables import console, listing

if TYPE_CHECKING:
    from certs.rotation_rules import Policy
    from certs.slot_journal import Journal

_STATES = {
    "preparing": ("being made", "准备中"),
    "next": ("next", "待启用"),
    "current": ("current", "当前"),
    "retired": ("retired", "已停用"),
    "withdrawn": ("withdrawn", "已撤下"),
    "destroyed": ("destroyed", "已销毁"),
}
_LEFT_IN_TOKEN = ("still in the token", "仍在密码设备中")
"""Of a key that is destroyed but for the object in its token."""


def waits_for(journal: Journal) -> tuple[str, str] | None:
    """What a rotation under way waits for, in both languages; None where there is none."""
    rotation, told = journal.rotation, journal.publication
    if rotation is None:
        return None
    if not rotation.sequence or told.wanted:
        return (
            "It waits for the authority, which certifies and publishes the new keys; if that lasts, the gateway's log "
            "says why (`rotation failed`).",
            "正在等待管理机构签发并公布新密钥；若长时间未完成，原因见网关日志（`rotation failed`）。",
        )
    if rotation.urgent or told.settled:
        return "It is about to be over.", "即将完成。"
    return (
        f"It waits until every member works with directory {told.version}: at the authority, "
        "`wugan authority member list` shows which does not yet.",
        f"正在等待各成员使用第 {told.version} 版目录；尚未使用的成员由管理机构执行 "
        "`wugan authority member list` 查看。",
    )


def no_room(journal: Journal, policy: Policy, now_ms: int) -> list[tuple[str, str]]:
    """For each kind of which no key can be made now, since too many are listed: until when, in both languages."""
    from certs.rotation_rules import room_at_ms, unneeded
    from certs.slot_journal import KINDS
    from certs.slot_steps import crowded

    gone = unneeded(journal, policy, now_ms)
    refused = (crowded(journal, kind, gone, room_at_ms(journal, policy, [kind])) for kind in KINDS)
    return [(each.en, each.zh) for each in refused if each is not None]


def about(journal: Journal, policy: Any) -> dict[str, Any]:
    """The journal for programs; times in ISO 8601, UTC."""
    from certs.rotation_rules import renewal_at_ms

    generations = [
        {
            "name": each.name,
            "kind": each.kind,
            "state": each.state,
            "key_id": each.key_id,
            "in_token": bool(each.label),
            "valid_until": _time(each.not_after_ms),
            "renewed_from": _time(renewal_at_ms(each, policy)) if each.state == "current" else "",
        }
        for each in sorted(journal.generations, key=lambda each: (each.kind, -each.number))
    ]
    rotation, told, waits = journal.rotation, journal.publication, waits_for(journal) or ("", "")
    return {
        "keys": generations,
        "rotation": None
        if rotation is None
        else {
            "kinds": list(rotation.kinds),
            "reason": rotation.reason,
            "began_at": _time(rotation.began_at_ms),
            "waits_for": say(*waits),
        },
        "publication": {"sequence": told.sequence, "directory_version": told.version, "seen_by_all": told.settled},
    }


def show(told: dict[str, Any]) -> None:
    """The same for people: a table, and the rotation under way."""
    table = listing(
        say("key", "密钥"),
        say("state", "状态"),
        say("valid until", "有效期至"),
        say("renewed from", "计划更新"),
        say("key id", "密钥标识"),
    )
    for each in told["keys"]:
        gone = each["state"] == "destroyed"
        if not gone or each["in_token"]:
            state = _LEFT_IN_TOKEN if gone else _STATES[each["state"]]
            times = local(each["valid_until"]), local(each["renewed_from"])
            table.add_row(each["name"], say(*state), *times, each["key_id"])
    out = console()
    out.print(table)
    if told["rotation"] is not None:
        kinds = ", ".join(told["rotation"]["kinds"])
        out.print(say(f"Rotation under way: {kinds}", f"正在轮换：{kinds}"))


def _time(at_ms: int) -> str:
    return dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC).isoformat(timespec="seconds") if at_ms else ""
