"""`wugan adapter list` and `show`: which adapters there are, in which state, how their trials go, and their history.

Owns: telling it. Refuses: showing a manifest's secrets (what is written in it is shown as it was registered, and a
manifest need not hold any), and anything of a person: a trial is counts.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from gateway.access import adapters as states
from gateway.cli import EXIT_REFUSED
from gateway.cli.access_common import CONFIG, JSON, Opened, fail, moment, run
from gateway.cli.adapter_common import ADAPTER, described, line, registered
from gateway.cli.language import plain, say

_TALLY = (
    ("asked", "questions asked of it", "试查次数"),
    ("answered", "answered", "正常答复"),
    ("silent", "too late", "超时"),
    ("unavailable", "not reached", "无法连接"),
    ("faulty", "answers that cannot be used", "答复无效"),
    ("people", "people asked about", "查询人次"),
    ("known", "of them known to it", "其中有记录"),
    ("rows", "rows of evidence", "证据条数"),
    ("agreed", "rows that a live source gave, too", "与在用来源一致"),
    ("missing", "rows of its department's live source that it did not give", "同部门在用来源有而其缺"),
    ("beyond", "rows that it alone gave", "仅其提供"),
    ("mean_ms", "milliseconds on average", "平均耗时（毫秒）"),
    ("longest_ms", "milliseconds at most", "最长耗时（毫秒）"),
)
_STEPS = {
    "propose": ("proposed", "提交"),
    "approve": ("approved", "批准"),
    "promote": ("promoted", "启用"),
    "suspend": ("suspended", "暂停"),
    "resume": ("resumed", "恢复"),
    "remove": ("removed", "移除"),
    "remove for good": ("removed for good", "永久移除"),
    "department registered": ("department: registered", "部门登记"),
    "department suspended": ("department: suspended", "部门暂停"),
    "department resumed": ("department: resumed", "部门恢复"),
    "department withdrawn": ("department: withdrawn", "部门撤回"),
}


@click.command("list", help=say("List adapters: of the configuration, and registered.", "列出接入：配置文件与登记的。"))
@CONFIG
@click.option("--all", "everything", is_flag=True, help=say("removed versions, too", "包括已移除的版本"))
@JSON
def list_(config_file: Path, everything: bool, json_out: bool) -> None:
    """List."""

    async def work(at: Opened) -> list[dict[str, Any]]:
        known = await registered(at)
        shown = [each for each in known.versions if everything or each.state != states.REMOVED]
        return [*_configured(at), *(described(each, known.standing(each)) for each in shown)]

    listed = run(config_file, work)
    if json_out:
        click.echo(json.dumps(listed, ensure_ascii=False))
        return
    for each in listed:
        click.echo(plain(line(each)))
    if not listed:
        click.echo(say("no adapters: this gateway knows nothing of anybody", "尚无接入：本网关无任何数据来源"))


@click.command(
    help=say(
        "Show ADAPTER: its versions, how its trial goes, and what was done with it, by whom and why.",
        "显示 ADAPTER：各版本、试运行情况，以及何人何时因何操作。",
    )
)
@ADAPTER
@click.option("--manifest", is_flag=True, help=say("the manifests, too", "同时显示清单原文"))
@CONFIG
@JSON
def show(config_file: Path, adapter: str, manifest: bool, json_out: bool) -> None:
    """Show."""

    async def work(at: Opened) -> dict[str, Any]:
        known = await registered(at)
        versions = [each for each in known.versions if each.adapter == adapter]
        fixed = [each for each in _configured(at) if each["adapter"] == adapter]
        if not versions and not fixed:
            raise fail(f"no adapter {adapter}; see `wugan adapter list`", f"没有接入标识 {adapter}", EXIT_REFUSED)
        told: dict[str, Any] = {"adapter": adapter, "versions": fixed, "history": await _history(at, adapter)}
        for version in versions:
            each = described(version, known.standing(version))
            if manifest:
                text = await at.store.adapters.document(version.digest)
                each["manifest"] = (text or b"").decode("utf-8", "replace")
            told["versions"].append(each)
        return told

    told = run(config_file, work)
    if json_out:
        click.echo(json.dumps(told, ensure_ascii=False))
        return
    for each in told["versions"]:
        click.echo(plain(line(each)))
        for name, en, zh in _TALLY:
            value = _figure(each["trial"], name) if "trial" in each else 0
            if value:
                click.echo(f"    {say(en, zh)}: {value}")
        if each.get("manifest"):
            for written in each["manifest"].splitlines():
                click.echo(plain(f"    | {written}"))
    for each in told["history"]:
        what = say(*_STEPS.get(each["what"], (each["what"], each["what"])))
        click.echo(plain(f"{each['at']}  {what}  {each['digest'][:8]}  {each['by']}: {each['why']}"))


def _figure(trial: dict[str, int], name: str) -> int:
    if name == "mean_ms":
        return round(trial["took_ms"] / trial["answered"]) if trial["answered"] else 0
    return trial[name]


def _configured(at: Opened) -> list[dict[str, Any]]:
    """Adapters of the configuration; they are live, or the gateway does not start."""
    import hashlib

    from adapters.manifest import load_manifest_fully

    listed = []
    for path in at.settings.inquiry.adapters:
        loaded, errors, _ = load_manifest_fully(path)
        each: dict[str, Any] = {
            "adapter": loaded.adapter_id if loaded else path.stem,
            "version": loaded.version if loaded else "",
            "digest": hashlib.sha256(path.read_bytes()).hexdigest() if loaded else "",
            "kind": loaded.kind if loaded else "",
            "origin": "configuration",
            "state": states.LIVE,
            "in_use": True,
        }
        if errors:
            each["fault"] = {"en": errors[0].en, "zh": errors[0].zh}
        listed.append(each)
    return listed


async def _history(at: Opened, adapter: str) -> list[dict[str, Any]]:
    """Every act of administrators and every word of the department about it, by time."""
    from gateway.access.acts import SignedAct, read_act
    from gateway.access.words import WORDS

    told: list[tuple[int, dict[str, Any]]] = []
    rows, _ = await at.store.acts.read()
    for row in rows:
        statement = read_act(SignedAct(*row))
        if statement.act.startswith("adapter.") and statement.body.get("adapter") == adapter:
            told.append((statement.at_ms, _step(statement.act, statement.at_ms, statement.by, statement.body)))
    for word in await at.store.adapters.words(adapter=adapter):
        body = {"digest": word.digest.hex(), "why": word.why}
        told.append((word.at_ms, _step(f"department {WORDS.get(word.word, '?')}", word.at_ms, word.who, body)))
    return [each for _, each in sorted(told, key=lambda pair: pair[0])]


def _step(what: str, at_ms: int, by: str, body: Any) -> dict[str, Any]:
    return {
        "at": moment(at_ms),
        "what": what.removeprefix("adapter.") + (" for good" if body.get("for_good") is True else ""),
        "by": by,
        "digest": str(body.get("digest", "")),
        "why": str(body.get("why", "")),
    }


COMMANDS = (list_, show)
