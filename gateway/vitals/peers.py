"""Partners and departments: who has not answered well, who is slow, whose clock differs, whose questions raise alarms.

Owns: these facts and figures, made of what calls left behind (`observing.calls`, `observing.clocks`). Refuses: asking
anybody: a partner that nobody has asked is not looked for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

from adapters.contract import Description
from gateway import wording
from gateway.errors import DirectoryError
from gateway.federation.directory import DirectorySource
from gateway.federation.standing import DoorState
from gateway.observing import calls, clocks, metrics
from gateway.observing.health import HealthFact, Level
from gateway.observing.instruments import Gauge
from gateway.observing.pulse import Pulse, Pulses
from gateway.vitals.standing import left_alone
from gateway.vitals.wording import department_of, span_of
from wugan.federation.v1 import vocabulary_pb2 as words

IN_A_ROW: Final = 3
"""Failures from which on somebody is said to be failing."""
APART_MS: Final = 5_000
"""Clocks further apart than this are told of; envelopes are refused from two minutes on."""

_UNREADABLE: Final = (
    "it cannot read our messages",
    "对方无法读取我方报文",
    "The two gateways may be of versions too far apart, or something changes messages on the way.",
    "双方网关版本可能相差过大，或报文在途中被改动。",
)
_PARTNER: Final = {
    "PARTNER_UNAVAILABLE": (
        "its gateway cannot be reached",
        "无法连接其网关",
        "Check the network way to it, and call its administrator if others cannot reach it either.",
        "请检查到对方网关的网络；若其他成员也无法连接，请联系对方管理员。",
    ),
    calls.NO_TLS: (
        "something answers at its address, but no TLS connection comes about",
        "其地址有程序应答，但无法建立 TLS 连接",
        "Its certificate is not under the federation's root, is out of date or bears another name; or something else "
        "answers there. Compare its address in the directory, and wugan certs status on both sides.",
        "对方证书不属于本联盟根证书、不在有效期内或名称不符，也可能是其他程序在该地址应答。"
        "请核对目录中的地址，并在双方分别执行 wugan certs status。",
    ),
    "DEADLINE_EXCEEDED": (
        "it does not answer in time",
        "未在时限内答复",
        "Ask its administrator whether a department there is slow; allow more time in agency.toml meanwhile.",
        "请向对方管理员核实是否有部门响应缓慢；其间可在 agency.toml 中放宽时限。",
    ),
    "PARTNER_FAULTY": (
        "its answers do not verify or do not fit",
        "其答复未通过校验",
        "Report it to its administrator: nothing of these answers is used.",
        "请告知对方管理员；这些答复均未采用。",
    ),
    "OVERLOADED": (
        "it refuses because it has too much to do",
        "对方过载拒绝",
        "Wait, or spread the load; its administrator sees the same.",
        "请稍候或错峰查询；对方管理员可看到同样情况。",
    ),
    "DIRECTORY_EXPIRED": (
        "its federation directory has expired",
        "对方的成员目录已过期",
        "Tell its administrator.",
        "请告知对方管理员。",
    ),
    "ENVELOPE_EXPIRED": (
        "it finds our envelopes expired",
        "对方认为我方信封已过期",
        "Compare the clocks of both machines with NTP.",
        "请用 NTP 核对双方机器的时钟。",
    ),
    "ENVELOPE_REJECTED": (
        "it cannot open or verify our messages",
        "对方无法解开或验证我方报文",
        "Something changes them on the way, or one side's directory or keys are out of date: compare the way and both "
        "directories with its administrator.",
        "报文在途中被改动，或一方的成员目录、密钥已过时：请与对方管理员核对网络路径和双方目录。",
    ),
    "ENVELOPE_MALFORMED": _UNREADABLE,
    "ENVELOPE_UNSUPPORTED": _UNREADABLE,
    "WRONG_RECIPIENT": (
        "it says our messages are for somebody else",
        "对方认为我方报文的接收方不是它",
        "Own directory may be old, or the address listed there leads to another gateway: look at the directory above.",
        "本方成员目录可能过旧，或目录中的地址指向了其他网关，请查看本页的成员目录一项。",
    ),
    "PEER_MISMATCH": (
        "the connection to it is not proved to be ours",
        "对方认为连接身份与我方报文不符",
        "Own TLS and signing certificates may be of different members, or a proxy on the way ends TLS.",
        "本方 TLS 证书与签名证书可能属于不同成员，或途中有代理终止了 TLS。",
    ),
    "STRANGER": (
        "it does not accept own gateway's certificate",
        "对方不接受本方网关的证书",
        "Compare the directories of both sides; own certificate may be revoked or not listed: wugan certs status.",
        "请核对双方的成员目录；本方证书可能已被吊销或未登记，见 wugan certs status。",
    ),
}
_DEPARTMENT: Final = {
    calls.SILENT: ("it does not answer in time", "未在时限内答复"),
    "UNAVAILABLE": ("its source cannot be reached", "无法连接其数据源"),
    calls.OVERLOADED: ("its adapter has too much to do and refuses what is more", "其接入程序繁忙，拒绝更多查询"),
    "FAULTY": ("what it answers cannot be used", "其返回内容无法使用"),
}
_DO_DEPARTMENT: Final = (
    "Try it: wugan adapter check with its manifest; then call the department. Answers are partial meanwhile.",
    "请用 wugan adapter check 检查其清单，并联系该部门；其间答复会标注信息不完整。",
)
_NO_PARTNERS: Final = (
    "No partner that was asked answers. It is probably this machine's own network, certificate or clock.",
    "所有被查询的成员均未正常答复，很可能是本机网络、证书或时钟的问题。",
    "Check the way out of this machine, then the other lines of this page.",
    "请检查本机对外网络，再查看本页其他各项。",
)
_NO_DEPARTMENTS: Final = (
    "No department answers, so nobody can be told anything of worth.",
    "所有部门均未正常答复，本方无法提供有效信息。",
    "Check the network to the departments.",
    "请检查到各部门的网络。",
)


class PartnerVitals:
    """A `HealthSource`: the partners asked lately, as long as the directory lists them.

    Args:
        directory: tells who is a member, and their names.
        slow_s: median seconds from which one is called slow.
        doors: their gateways, as breakers see them.
        undelivered: those that take no deliveries, of which others tell: they are not called well.
    """

    def __init__(
        self,
        directory: DirectorySource,
        slow_s: float,
        doors: Callable[[], Sequence[DoorState]] = tuple,
        undelivered: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self._directory = directory
        self._slow_s = slow_s
        self._doors = doors
        self._undelivered = undelivered

    async def __call__(self, now_ms: int) -> Sequence[HealthFact]:
        """The facts, and the figures with them."""
        names = _names(self._directory)
        pulses = _of_those(calls.PARTNERS, names, metrics.PARTNER_FAILING)
        doors = [door for door in self._doors() if door.member in names]
        facts = [*self._facts(names, pulses, doors, now_ms), *left_alone(doors, names, why, now_ms), *_clocks(names)]
        failing = {partner for partner, pulse in pulses.items() if pulse.failures >= IN_A_ROW}
        # One whose next try is due may be well again: nobody asked since. One whose last call went well is.
        well = {partner for partner, pulse in pulses.items() if not pulse.failures}
        well |= {door.member for door in doors if door.outage is None or door.outage.next_try_ms <= now_ms}
        failing |= {door.member for door in doors} - well
        asked = {*pulses, *(door.member for door in doors)}
        if len(asked) > 1 and failing == asked:
            facts.append(HealthFact("partners", Level.FAILING, *_NO_PARTNERS))
        if (count := len(set(pulses).difference(self._undelivered()))) and not facts:
            facts.append(
                HealthFact(
                    "partners",
                    Level.WELL,
                    f"All partners asked lately answer: {count}.",
                    f"近期查询的 {count} 个成员均正常答复。",
                )
            )
        return facts

    def _facts(
        self,
        names: Mapping[str, tuple[str, str]],
        pulses: Mapping[str, Pulse],
        doors: Sequence[DoorState],
        now_ms: int,
    ) -> Iterable[HealthFact]:
        for partner, pulse in pulses.items():
            ago_s = _failing_s(pulse)
            metrics.PARTNER_FAILING.set(ago_s, partner)
            en, zh = names[partner]
            about = f"partner/{partner}"
            if pulse.failures >= IN_A_ROW:
                because = why(pulse.reason)
                span_en, span_zh = span_of(ago_s)
                yield HealthFact(
                    about,
                    Level.ATTENTION,
                    f"{en} has not answered well for {span_en} ({pulse.failures} failures): {because[0]}.",
                    f"{zh}已 {span_zh}未正常答复（连续失败 {pulse.failures} 次）：{because[1]}。",
                    because[2],
                    because[3],
                    now_ms - round(ago_s * 1000),
                )
            elif (median := pulse.median()) > self._slow_s:
                each_en, each_zh, do_en, do_zh = _usual([door for door in doors if door.member == partner])
                yield HealthFact(
                    about,
                    Level.ATTENTION,
                    f"{en} is slow: half of the last questions took more than {median:.1f} s.{each_en}",
                    f"{zh}响应缓慢：近期一半查询耗时超过 {median:.1f} 秒。{each_zh}",
                    _PARTNER["DEADLINE_EXCEEDED"][2] + do_en,
                    _PARTNER["DEADLINE_EXCEEDED"][3] + do_zh,
                )


def _of_those(pulses: Pulses, there: Collection[str], failing: Gauge) -> dict[str, Pulse]:
    """The pulses of those that are there. Of others the figure goes: it would say for ever what it said last."""
    for name in pulses.all().keys() - there:
        failing.drop(name)
    return {name: pulse for name, pulse in pulses.all().items() if name in there}


def _usual(doors: Sequence[DoorState]) -> tuple[str, str, str, str]:
    """How long each of a partner's gateways takes and what to do, English and Chinese each; of one: nothing."""
    if len(doors) < 2:
        return "", "", "", ""
    en = (f"{door.address} {'not known yet' if door.usual_s is None else f'{door.usual_s:.2f} s'}" for door in doors)
    zh = (f"{door.address} {'尚不清楚' if door.usual_s is None else f'{door.usual_s:.2f} 秒'}" for door in doors)
    return (
        f" 95 in 100 answers of its gateways came within: {', '.join(en)}.",
        f"其各网关 95% 的答复耗时不超过：{'，'.join(zh)}。",
        " Where only the gateway asked first is slow, it should have the directory list another one first.",
        "若仅首选网关缓慢，请对方调整其在目录中的网关顺序。",
    )


class DepartmentVitals:
    """A `HealthSource`: this member's own departments.

    Args:
        descriptions: of all adapters asked at the moment.
        slow_s: median seconds from which one is called slow.
        pulses: how they have been doing.
    """

    def __init__(
        self, descriptions: Callable[[], Sequence[Description]], slow_s: float, pulses: Pulses = calls.DEPARTMENTS
    ) -> None:
        self._descriptions = descriptions
        self._slow_s = slow_s
        self._pulses = pulses

    async def __call__(self, now_ms: int) -> Sequence[HealthFact]:
        """The facts, and the figures with them."""
        facts = []
        failing = 0
        names = {about.adapter_id: department_of(about) for about in self._descriptions()}
        pulses = _of_those(self._pulses, names, metrics.DEPARTMENT_FAILING)
        for name, pulse in pulses.items():
            ago_s = _failing_s(pulse)
            metrics.DEPARTMENT_FAILING.set(ago_s, name)
            en, zh = names[name]
            about = f"department/{name}"
            if pulse.failures >= IN_A_ROW:
                failing += 1
                why = _DEPARTMENT.get(pulse.reason, (f"last: {pulse.reason}", f"最近原因：{pulse.reason}"))
                span_en, span_zh = span_of(ago_s)
                facts.append(
                    HealthFact(
                        about,
                        Level.ATTENTION,
                        f"The department {en} has not answered well for {span_en}: {why[0]}.",
                        f"部门“{zh}”已 {span_zh}未正常答复：{why[1]}。",
                        *_DO_DEPARTMENT,
                        now_ms - round(ago_s * 1000),
                    )
                )
            elif (median := pulse.median()) > self._slow_s:
                facts.append(
                    HealthFact(
                        about,
                        Level.ATTENTION,
                        f"The department {en} is slow: half of the last lookups took more than {median:.1f} s.",
                        f"部门“{zh}”响应缓慢：近期一半查询耗时超过 {median:.1f} 秒。",
                        *_DO_DEPARTMENT,
                    )
                )
        if len(pulses) > 1 and failing == len(pulses):
            facts.append(HealthFact("departments", Level.FAILING, *_NO_DEPARTMENTS))
        if names and not facts:
            count = len(names)
            facts.append(
                HealthFact(
                    "departments",
                    Level.WELL,
                    f"None of the {count} departments has failed lately.",
                    f"已接入 {count} 个部门，近期均无异常。",
                )
            )
        return facts


class AlarmVitals:
    """A `HealthSource`: harvesting alarms that nobody has cleared.

    Args:
        standing: the members that have one, and the signals.
        directory: tells their names.
    """

    def __init__(self, standing: Callable[[], Mapping[str, Sequence[str]]], directory: DirectorySource) -> None:
        self._standing = standing
        self._directory = directory

    async def __call__(self, now_ms: int) -> Sequence[HealthFact]:
        """The facts, and the figure with them."""
        standing = self._standing()
        metrics.ALARMS.set(sum(len(signals) for signals in standing.values()))
        names = _names(self._directory)
        return [
            HealthFact(
                f"alarm/{member}",
                Level.ATTENTION,
                f"The questions of {names.get(member, (member, member))[0]} look like harvesting "
                f"({', '.join(wording.signal(each).en for each in signals)}); they are throttled.",
                f"{names.get(member, (member, member))[1]}的查询疑似批量套取信息"
                f"（{'、'.join(wording.signal(each).zh for each in signals)}），已限流。",
                "An audit administrator looks into it: wugan access alarms, and clears it there.",
                "请安全审计员用 wugan access alarms 核查，并在其中解除。",
            )
            for member, signals in standing.items()
        ]


def why(reason: str) -> tuple[str, str, str, str]:
    """How a partner failed and what to do about it, English and Chinese each.

    Args:
        reason: one of the contract without its prefix, or `NO_TLS`; one of a later version is shown as itself.
    """
    if (known := _PARTNER.get(reason)) is not None:
        return known
    number = dict(words.RefusalReason.items()).get(f"REFUSAL_REASON_{reason}", -1)
    word = wording.REFUSALS.get(number) or wording.Word(reason, reason)
    return f"last: {word.en}", f"最近原因：{word.zh}", "Call its administrator.", "请联系对方管理员。"


def _clocks(names: Mapping[str, tuple[str, str]]) -> list[HealthFact]:
    """Whose clock differs: one partner's, or, where several do in the same way, our own."""
    ahead: list[str] = []
    behind: list[str] = []
    refused: list[str] = []
    for partner, offset in clocks.OFFSETS.all().items():
        if partner not in names:
            metrics.PARTNER_CLOCK.drop(partner)
            continue
        if offset.refused >= IN_A_ROW:
            refused.append(partner)
        least_ms = offset.least_ms()
        if least_ms is None:
            continue
        metrics.PARTNER_CLOCK.set(least_ms / 1000, partner)
        if abs(least_ms) > APART_MS:
            (ahead if least_ms > 0 else behind).append(partner)
    facts = []
    for partners, en, zh in ((ahead, "ahead of", "快于"), (behind, "behind", "慢于")):
        if not partners:
            continue
        listed_en, listed_zh = _listed(partners, names)
        own = len(partners) > 1
        facts.append(
            HealthFact(
                "clock" if own else f"clock/{partners[0]}",
                Level.ATTENTION,
                f"This machine's clock is {en} that of {listed_en} by more than {APART_MS // 1000} s"
                + (": it is probably this one that is wrong." if own else "."),
                f"本机时钟{zh}{listed_zh}超过 {APART_MS // 1000} 秒" + ("，很可能是本机时钟有误。" if own else "。"),
                "Check NTP here and there: from two minutes on, messages are refused.",
                "请检查双方的 NTP 对时；相差超过两分钟时消息会被拒绝。",
            )
        )
    if refused:
        listed_en, listed_zh = _listed(refused, names)
        facts.append(
            HealthFact(
                "clock/refused",
                Level.FAILING,
                f"Messages of {listed_en} are refused as expired: the clocks are minutes apart.",
                f"{listed_zh}的消息因过期被拒绝：双方时钟相差数分钟。",
                "Check NTP on this machine first, then call the other side.",
                "请先检查本机 NTP 对时，再联系对方。",
            )
        )
    return facts


def _listed(partners: Sequence[str], names: Mapping[str, tuple[str, str]]) -> tuple[str, str]:
    """The names of some of them."""
    shown = partners[:3]
    more = len(partners) - len(shown)
    en = ", ".join(names[partner][0] for partner in shown) + (f" and {more} more" if more else "")
    return en, "、".join(names[partner][1] for partner in shown) + (f"等 {len(partners)} 个成员" if more else "")


def _failing_s(pulse: Pulse) -> float:
    return 0.0 if pulse.failing_since is None else max(0.0, calls.now() - pulse.failing_since)


def _names(directory: DirectorySource) -> dict[str, tuple[str, str]]:
    """Every member's name, English and Chinese; none without a directory."""
    try:
        members = directory.current().members
    except DirectoryError:
        return {}
    return {
        member.member_id: (member.name_en or member.member_id, member.name_zh or member.member_id) for member in members
    }
