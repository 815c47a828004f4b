"""What one grant allows: the terms, as people write them and as the gateway holds them.

Owns: their form, their bounds, and which of them need two persons. Refuses: terms without an end, without a reason, or
with a word that the contract does not have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from google.protobuf.descriptor import EnumDescriptor

from certs.identity import is_member_id
from gateway.errors import PolicyError
from gateway.rules.identity import PROVINCES
from gateway.sections.inward import AccessSettings
from gateway.sections.values import ANY
from wugan.adapter.v1 import vocabulary_pb2 as adapter_words
from wugan.federation.v1 import vocabulary_pb2 as words

LONGEST_MS: Final = 3 * 366 * 86_400_000
"""A grant lasts three years at most; whoever still needs it then asks again."""
MOST_PEOPLE: Final = 1_000_000_000
MAX_LISTED: Final = 200
MAX_WHY: Final = 400
MAX_UNIT: Final = 200


class Quotas(NamedTuple):
    """How many people may be asked about; 0: no bound.

    Args:
        day: in a civil day of Asia/Shanghai, by the member.
        official_day: in such a day, by one official of it.
        minute, second: within any 60 seconds, within any second.
    """

    day: int = 0
    official_day: int = 0
    minute: int = 0
    second: int = 0


class Scope(NamedTuple):
    """How an answer is narrowed.

    Args:
        kinds: evidence kinds that may be told; None: all that the purpose allows.
        regions: GB/T 2260 codes whose people and evidence may be told of, their parts included; empty: all.
    """

    kinds: frozenset[int] | None = None
    regions: tuple[int, ...] = ()


EVERYTHING: Final = Scope()


class Terms(NamedTuple):
    """What a grant allows.

    Args:
        member: who may ask, or ANY.
        units: which of its units (经办机构); None: all.
        purposes, benefits: numbers of the contract.
        scope: what the answers may hold.
        quotas: how many people.
        roster: how many people the member is expected to ask about in all; 0: not said.
        from_ms, until_ms: Unix milliseconds; allowed from the first until before the last.
        why: agreement or decision that it rests on.
    """

    member: str
    units: frozenset[str] | None
    purposes: frozenset[int]
    benefits: frozenset[int]
    scope: Scope
    quotas: Quotas
    roster: int
    from_ms: int
    until_ms: int
    why: str


class Thresholds(NamedTuple):
    """From where on a grant needs two persons.

    Args:
        people_a_day: a larger quota, or none, does.
        purposes, kinds: whatever includes one of these does.
    """

    people_a_day: int
    purposes: frozenset[int]
    kinds: frozenset[int]

    def exceeded(self, terms: Terms) -> list[str]:
        """Why these terms need two persons, as names of the terms; empty: they do not."""
        reasons = []
        if terms.member == ANY:
            reasons.append("member")
        if not 0 < terms.quotas.day <= self.people_a_day:
            reasons.append("quotas.day")
        if terms.purposes & self.purposes:
            reasons.append("purposes")
        if terms.scope.kinds is None or terms.scope.kinds & self.kinds:
            reasons.append("evidence")
        return reasons


PURPOSE_NAMES: Final = {
    name.removeprefix("PURPOSE_"): number for name, number in adapter_words.Purpose.items() if number
}
BENEFIT_NAMES: Final = {
    name.removeprefix("BENEFIT_TYPE_"): number for name, number in words.BenefitType.items() if number
}
KIND_NAMES: Final = {
    name.removeprefix("EVIDENCE_KIND_"): number for name, number in adapter_words.EvidenceKind.items() if number
}


def thresholds(settings: AccessSettings) -> Thresholds:
    """The thresholds that the settings have."""
    purposes, kinds = settings.two_persons_purposes, settings.two_persons_evidence
    return Thresholds(
        settings.two_persons_people_a_day,
        frozenset(PURPOSE_NAMES.values() if ANY in purposes else (PURPOSE_NAMES[name] for name in purposes)),
        frozenset(KIND_NAMES.values() if ANY in kinds else (KIND_NAMES[name] for name in kinds)),
    )


def name_of(enum: EnumDescriptor, prefix: str, number: int) -> str:
    """A word of the contract without its prefix; a number that is none, as itself."""
    value = enum.values_by_number.get(number)
    return str(number) if value is None else str(value.name).removeprefix(prefix)


def is_part(code: int, region: int) -> bool:
    """Whether a GB/T 2260 code is the region or a part of it."""
    return code // _unit(region) == region // _unit(region)


def _unit(region: int) -> int:
    """What to divide codes by, to compare them at the level of this one: province, prefecture or county."""
    return 10_000 if region % 10_000 == 0 else 100 if region % 100 == 0 else 1


def read_terms(body: Mapping[str, Any]) -> Terms:
    """Terms as a statement has them.

    Raises:
        PolicyError: something is missing, unknown, too much or out of range; `field` says what.
    """
    unknown = set(body) ^ {
        *("member", "units", "purposes", "benefits", "evidence", "regions", "quotas"),
        *("roster", "from_ms", "until_ms", "why"),
    }
    if unknown:
        raise _wrong(sorted(unknown)[0], "is missing, or no term of a grant", "缺失或不是授权条款")
    member, why = body["member"], body["why"]
    if member != ANY and not (isinstance(member, str) and is_member_id(member)):
        raise _wrong("member", "give a unified social credit code, or *", "请填写统一社会信用代码或 *")
    if not isinstance(why, str) or not why.strip() or len(why) > MAX_WHY or not why.isprintable():
        raise _wrong(
            "why", f"say on which agreement it rests, in {MAX_WHY} characters", f"请说明依据（{MAX_WHY} 字内）"
        )
    units = _listed(body, "units", str)
    if any(not unit.strip() or len(unit) > MAX_UNIT or not unit.isprintable() for unit in units):
        raise _wrong("units", "give codes of units, or *", "请填写经办机构代码或 *")
    kinds = _numbers(body, "evidence", KIND_NAMES)
    regions = _listed(body, "regions", (int, str))
    quotas = body["quotas"]
    if not isinstance(quotas, dict) or set(quotas) != set(Quotas._fields):
        raise _wrong("quotas", f"give {', '.join(Quotas._fields)}", f"请填写 {'、'.join(Quotas._fields)}")
    from_ms, until_ms = _integer(body, "from_ms", 1, 1 << 52), _integer(body, "until_ms", 1, 1 << 52)
    if not from_ms < until_ms <= from_ms + LONGEST_MS:
        raise _wrong(
            "until", "a grant ends after it begins, and lasts three years at most", "有效期应晚于起始，最长三年"
        )
    return Terms(
        member=member,
        units=None if units == [ANY] else frozenset(units),
        purposes=_all(_numbers(body, "purposes", PURPOSE_NAMES), PURPOSE_NAMES),
        benefits=_all(_numbers(body, "benefits", BENEFIT_NAMES), BENEFIT_NAMES),
        scope=Scope(kinds, () if regions == [ANY] else tuple(sorted(_region(code) for code in regions))),
        quotas=Quotas(**{name: _integer(quotas, name, 0, MOST_PEOPLE) for name in Quotas._fields}),
        roster=_integer(body, "roster", 0, MOST_PEOPLE),
        from_ms=from_ms,
        until_ms=until_ms,
        why=why,
    )


def _region(code: object) -> int:
    if type(code) is not int or not 100_000 <= code <= 999_999 or code // 10_000 not in PROVINCES:
        raise _wrong(
            "regions", "give codes of GB/T 2260, for example 330700, or *", "请填写行政区划代码（如 330700）或 *"
        )
    return code


def _numbers(body: Mapping[str, Any], field: str, known: Mapping[str, int]) -> frozenset[int] | None:
    """The numbers of names of the contract; None for ANY."""
    listed = _listed(body, field, str)
    if listed == [ANY]:
        return None
    for name in listed:
        if name not in known:
            raise _wrong(field, f"write * or one of {', '.join(known)}", f"请填写 * 或 {'、'.join(known)} 之一")
    return frozenset(known[name] for name in listed)


def _all(numbers: frozenset[int] | None, known: Mapping[str, int]) -> frozenset[int]:
    return frozenset(known.values()) if numbers is None else numbers


def _listed(body: Mapping[str, Any], field: str, kind: type | tuple[type, ...]) -> Sequence[Any]:
    value = body[field]
    if not isinstance(value, list) or not 0 < len(value) <= MAX_LISTED or not all(isinstance(v, kind) for v in value):
        raise _wrong(field, "give at least one, or *", "请至少填写一项，或 *")
    return value


def _integer(body: Mapping[str, Any], field: str, least: int, most: int) -> int:
    value = body[field]
    if type(value) is not int or not least <= value <= most:
        raise _wrong(field, f"give a whole number from {least} to {most}", f"请填写 {least} 至 {most} 的整数")
    return value


def _wrong(field: str, en: str, zh: str) -> PolicyError:
    return PolicyError(f"{field}: {en}", f"{field}：{zh}", field=field)
