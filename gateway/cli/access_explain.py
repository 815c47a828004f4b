"""Why a question would be allowed or refused, grant by grant; and a grant as a person reads it.

Owns: the explanation. It decides by the same policy, counters and alarms as the gateway. Refuses: counting anything,
and knowing what was asked within the last minute or second, which the process that answers holds in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway import wording
from gateway.access.policy import Policy
from gateway.access.terms import BENEFIT_NAMES, KIND_NAMES, PURPOSE_NAMES, Quotas, Terms
from gateway.cli.access_common import moment
from gateway.cli.access_shown import because
from gateway.cli.audit_words import signal_words
from gateway.cli.language import say
from gateway.clock import civil_day
from gateway.errors import ConfigError
from gateway.inquiry.harvest import holds_back
from gateway.inquiry.quotas import counted_as
from gateway.sections.values import ANY
from gateway.store.usage import DAY

if TYPE_CHECKING:
    from gateway.access.ledger import Grant, Ledger
    from gateway.cli.access_common import Opened
    from gateway.store.alarms import Alarm


class Asked(NamedTuple):
    """A question that might be asked; `official`: what stands for who asks, b"": not said."""

    member: str
    unit: str
    purpose: int
    benefits: frozenset[int]
    people: int
    official: bytes = b""

    @classmethod
    def of(
        cls, member: str, unit: str, purpose: str, benefits: Iterable[str], people: int, official: bytes = b""
    ) -> Asked:
        """From the words of a command line.

        Raises:
            ConfigError: a word is not one of the contract.
            IdentityError: that is no member's code.
        """
        from certs.identity import require_member_id

        return cls(
            require_member_id(member),
            unit,
            _number(purpose, PURPOSE_NAMES),
            frozenset(_number(benefit, BENEFIT_NAMES) for benefit in benefits),
            people,
            official,
        )


def described(ledger: Ledger, grant: Grant, now_ms: int) -> dict[str, Any]:
    """A grant for people and programs."""
    terms = grant.terms
    return {
        "grant": grant.name,
        "state": _state(ledger, grant, now_ms),
        "member": terms.member,
        "units": sorted(terms.units) if terms.units is not None else [ANY],
        "purposes": _names(terms.purposes, PURPOSE_NAMES),
        "benefits": _names(terms.benefits, BENEFIT_NAMES),
        "evidence": [ANY] if terms.scope.kinds is None else _names(terms.scope.kinds, KIND_NAMES),
        "regions": [*terms.scope.regions] or [ANY],
        "quotas": terms.quotas._asdict(),
        "roster": terms.roster,
        "from": moment(terms.from_ms),
        "until": moment(terms.until_ms - 1),
        "proposed_by": grant.proposed_by,
        "approved_by": grant.approved_by,
        "withdrawn_by": grant.withdrawn_by,
        "needs_approval": ledger.needs_approval(grant),
        "why": terms.why,
    }


async def explanation(at: Opened, asked: Asked) -> dict[str, Any]:
    """What would be decided now, and how each grant that concerns the member bears on it."""
    now_ms = at.now_ms
    ledger = at.administration.ledger
    found, refused = Policy.of(ledger).find(asked.member, asked.unit, asked.purpose, asked.benefits, now_ms)
    allowing = {entry.number for entry in found}
    grants, chosen = [], ""
    for grant in ledger.grants.values():
        if grant.terms.member not in (asked.member, ANY):
            continue
        verdict, room = _verdict(ledger, grant, asked, now_ms), False
        if grant.number in allowing:
            verdict, room = await _room(at, grant, asked, now_ms)
        grants.append({"grant": grant.name, "verdict": verdict, "room": room})
    for entry in found:
        if any(each["grant"] == entry.grant and each["room"] for each in grants):
            chosen = entry.grant
            break
    alarms = await _alarms(at, asked)
    held = _held(alarms, asked.unit)
    if refused is not None:
        en, zh = refused.en, refused.zh
    elif held:
        chosen, (en, zh) = "", _holding(held)
    elif chosen:
        en, zh = f"{chosen} allows it", f"{chosen} 允许"
    else:
        en = f"no grant that would allow it has room for {_people(asked.people)}"
        zh = f"可适用的授权均不足 {asked.people} 人的额度"
    return {
        "allowed": bool(chosen),
        "grant": chosen,
        "why_en": en,
        "why_zh": zh,
        "policy": ledger.number,
        "alarms": [alarm.number for alarm in alarms],
        "grants": [{"grant": each["grant"], "verdict": each["verdict"]} for each in grants],
    }


async def _alarms(at: Opened, asked: Asked) -> list[Alarm]:
    """The member's alarms that stand."""
    cleared = at.administration.ledger.cleared
    return [each for each in await at.store.alarms.read() if each.member == asked.member and each.number not in cleared]


def _held(alarms: Sequence[Alarm], unit: str) -> list[Alarm]:
    """Those that hold back what a unit asks."""
    return [*alarms] if holds_back({alarm.unit for alarm in alarms}, unit) else []


def _holding(held: Sequence[Alarm]) -> tuple[str, str]:
    seen = [signal_words(alarm.signal, alarm.seen, alarm.allowed) for alarm in held]
    numbers = [str(alarm.number) for alarm in held]
    en = (
        f"it looks like harvesting: {'; '.join(each.en for each in seen)}; questions are let through one at a time, "
        f"after ever longer waits, until an audit administrator clears alarm {' and '.join(numbers)}"
    )
    zh = (
        f"疑似批量套取：{'；'.join(each.zh for each in seen)}；安全审计员解除告警 {'、'.join(numbers)} 前限流，"
        "每次仅放行一笔查询，等待时间逐次延长"
    )
    return en, zh


async def _room(at: Opened, grant: Grant, asked: Asked, now_ms: int) -> tuple[str, bool]:
    """What is left of the quotas of a grant that allows the question, and whether it is enough."""
    quotas: Quotas = grant.terms.quotas
    for bound, en, zh in (
        (quotas.second, "in any second", "一秒内"),
        (quotas.minute, "in any minute", "一分钟内"),
        (quotas.official_day, "a day for each official", "每名经办人每日"),
        (quotas.day, "a day", "每日"),
    ):
        if bound and asked.people > bound:
            return _no_room(asked, f"{bound} {en} at most", f"{zh}至多 {bound} 人"), False
    if quotas.official_day and asked.official:
        theirs = quotas.official_day - await _used(at, grant.number, asked, now_ms, asked.official)
        if asked.people > theirs:
            return _no_room(asked, f"{theirs} left for this official today", f"该经办人今日余 {theirs} 人"), False
    if not quotas.day:
        return say("allows it, no bound for a day", "允许，每日不限"), True
    left = quotas.day - await _used(at, grant.number, asked, now_ms)
    if not grant.approved_by:
        together = at.administration.ledger.thresholds.people_a_day - await _used(at, 0, asked, now_ms)
        if together < min(left, asked.people):
            en = f"{together} left today under all grants that one person made"
            return _no_room(asked, en, f"一人所设各授权今日合计余 {together} 人"), False
        left = min(left, together)
    if asked.people > left:
        return _no_room(asked, f"{left} left today", f"今日余 {left} 人"), False
    return say(f"allows it, {_people(left)} left today", f"允许，今日余 {left} 人"), True


def _no_room(asked: Asked, en: str, zh: str) -> str:
    return say(f"has no room for {_people(asked.people)}: {en}", f"额度不足 {asked.people} 人：{zh}")


def _people(count: int) -> str:
    return "1 person" if count == 1 else f"{count} people"


async def _used(at: Opened, grant: int, asked: Asked, now_ms: int, official: bytes = b"") -> int:
    """People counted today for the member, or an official of it, under a grant; 0: under all that one person made."""
    tag = at.store.usage.tag(counted_as(grant, asked.member, official))
    return await at.store.usage.used(tag, DAY, civil_day(now_ms))


def _verdict(ledger: Ledger, grant: Grant, asked: Asked, now_ms: int) -> str:
    """Why a grant does not allow the question."""
    terms: Terms = grant.terms
    missing = asked.benefits - terms.benefits
    benefits = [wording.word(wording.BENEFITS, each) for each in sorted(missing)]
    pending = because(ledger.needs_approval(grant))
    for applies, en, zh in (
        (bool(grant.withdrawn_by), f"withdrawn by {grant.withdrawn_by}", f"已由 {grant.withdrawn_by} 撤回"),
        (bool(pending), f"waits for a second person: {pending}", f"待第二人批准：{pending}"),
        (now_ms < terms.from_ms, f"begins {moment(terms.from_ms)}", f"自 {moment(terms.from_ms)} 起有效"),
        (now_ms >= terms.until_ms, f"ended {moment(terms.until_ms)}", f"已于 {moment(terms.until_ms)} 到期"),
        (asked.purpose not in terms.purposes, "for other purposes", "目的不符"),
        (terms.units is not None and asked.unit not in terms.units, "for other units", "经办机构不符"),
        (
            bool(missing),
            f"not for {', '.join(each.en for each in benefits)}",
            f"险种不符：{'、'.join(each.zh for each in benefits)}",
        ),
    ):
        if applies:
            return say(en, zh)
    return say("does not apply", "不适用")


def _state(ledger: Ledger, grant: Grant, now_ms: int) -> str:
    if grant.withdrawn_by:
        return "withdrawn"
    if not ledger.counts(grant):
        return "proposed"
    if now_ms >= grant.terms.until_ms:
        return "expired"
    return "active" if now_ms >= grant.terms.from_ms else "waiting"


def _names(numbers: Iterable[int], known: Mapping[str, int]) -> list[str]:
    wanted = set(numbers)
    return [name for name, number in known.items() if number in wanted]


def _number(name: str, known: Mapping[str, int]) -> int:
    number = known.get(name.upper())
    if number is None:
        raise ConfigError(
            f"unknown word {name!r}; write one of {', '.join(known)}", f"未知词 {name!r}，应为 {'、'.join(known)} 之一"
        )
    return number
