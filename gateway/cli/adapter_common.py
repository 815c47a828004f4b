"""What the commands on registered adapters have in common: which version is meant, and how one is told of.

Owns: reading versions by both records, choosing among them, their words in both languages. Refuses: changing anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from gateway.access import adapters as states
from gateway.cli import EXIT_REFUSED, EXIT_USAGE
from gateway.cli.access_common import Opened, fail, moment
from gateway.cli.language import say

if TYPE_CHECKING:
    from gateway.access.adapters import Version
    from gateway.store.adapters import Standing

STATES = {state: (state, zh) for state, zh in states.STATES_ZH.items()}
ORIGINS = {
    "configuration": ("configuration", "配置文件"),
    states.HOST: ("registered here", "本机登记"),
    states.DEPARTMENT: ("registered by the department", "部门登记"),
}

ADAPTER = click.argument("adapter")
DIGEST = click.option(
    "--digest",
    default="",
    help=say("which version, by the beginning of its digest", "指定版本（摘要开头若干位）"),
)


class Registered(NamedTuple):
    """All versions by both records, and how they do in the running gateway."""

    versions: Sequence[Version]
    standings: dict[tuple[str, bytes], Standing]

    def standing(self, version: Version) -> Standing | None:
        """How a version does; None: no gateway has had it yet."""
        return self.standings.get((version.adapter, version.digest))


async def registered(at: Opened) -> Registered:
    """What there is."""
    from gateway.access.words import heard, together

    said = heard(await at.store.adapters.words())
    standings = {(each.adapter, each.digest): each for each in await at.store.adapters.standings()}
    return Registered(together(at.administration.ledger.adapters, said), standings)


def chosen(known: Sequence[Version], adapter: str, digest: str, wanted: Sequence[str]) -> list[Version]:
    """The versions of an adapter that are meant: in one of the states, and of that digest where one is given.

    Raises:
        SystemExit: there is none; the message says what there is.
    """
    of = [each for each in known if each.adapter == adapter]
    if not of:
        raise fail(
            f"no adapter {adapter} is registered; see `wugan adapter list`",
            f"未登记接入标识 {adapter}，请查看 `wugan adapter list`",
            EXIT_REFUSED,
        )
    found = [each for each in of if each.state in wanted and each.digest.hex().startswith(digest.lower())]
    if not found:
        there = [each for each in of if each.state != states.REMOVED]
        now, now_zh = (
            ", ".join(f"{each.digest.hex()[:8]} {STATES[each.state][word]}" for each in there) for word in (0, 1)
        )
        which, which_zh = (" / ".join(STATES[state][word] for state in wanted) for word in (0, 1))
        raise fail(
            f"no version of {adapter} is {which} (of that digest); there are: {now or 'none'}",
            f"{adapter} 没有“{which_zh}”状态（或该摘要）的版本；现有：{now_zh or '无'}",
            EXIT_REFUSED,
        )
    return found


def only(found: Sequence[Version]) -> Version:
    """The one version that is meant.

    Raises:
        SystemExit: there are several; the message names them.
    """
    if len(found) > 1:
        listed = ", ".join(f"{each.version or '?'} {each.digest.hex()[:8]}" for each in found)
        raise fail(
            f"more than one version might be meant; say which by --digest: {listed}",
            f"有多个版本，请用 --digest 指定：{listed}",
            EXIT_USAGE,
        )
    return found[0]


def described(version: Version, standing: Standing | None) -> dict[str, Any]:
    """A version for a program."""
    told: dict[str, Any] = {
        "adapter": version.adapter,
        "version": version.version,
        "digest": version.digest.hex(),
        "kind": version.kind,
        "origin": version.origin,
        "state": version.state,
        "since": moment(version.changed_at_ms),
        "by": version.changed_by,
        "why": version.why,
        "in_use": bool(standing is not None and standing.stage and version.state == standing.stage),
    }
    if standing is not None and standing.fault_en and version.state in (states.SHADOW, states.LIVE):
        told["fault"] = {"en": standing.fault_en, "zh": standing.fault_zh}
    if standing is not None and standing.tally.asked:
        told["trial"] = standing.tally._asdict()
    return told


def line(told: dict[str, Any]) -> str:
    """The same on one line, for a person."""
    state = say(*STATES.get(told["state"], (told["state"], told["state"])))
    origin = say(*ORIGINS.get(told["origin"], (told["origin"], told["origin"])))
    parts = [f"{told['adapter']:22} {told['version'] or '?':10} {told['digest'][:8]:8}  {state}"]
    if told["kind"]:
        parts.append(told["kind"])
    parts.append(origin)
    if told.get("fault"):
        parts.append(say(f"NOT IN USE: {told['fault']['en']}", f"未能启用：{told['fault']['zh']}"))
    elif told["state"] in (states.SHADOW, states.LIVE) and not told["in_use"]:
        parts.append(say("not taken up by a running gateway yet", "尚未被运行中的网关采用"))
    return "  ".join(parts)
