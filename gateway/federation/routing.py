"""Whom to ask about one recipient: from where the person lives, is insured, is registered and lived before.

Owns: the order of places, what a wrong one is refused for, and following a move that a member told of. Refuses: the
first six digits of an identity number. They tell where it was first issued, not where someone lives, and are never
looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

from gateway.errors import RefusedError
from gateway.federation.directory import Directory
from gateway.federation.regions import is_region
from wugan.adapter.v1 import vocabulary_pb2 as adapter_words
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

MAX_REGIONS: Final = 10
"""Places that may be named for one recipient, of all kinds together."""
MAX_DESTINATIONS: Final = 3
"""Places to which one answer may send on."""
MOVED: Final = 1 << words.ENTITLEMENT_FLAG_MOVED
_MOVE_REASON: Final = "MOVED"
_MOVE_KINDS: Final = frozenset(
    {adapter_words.EVIDENCE_KIND_HOUSEHOLD_MOVED, adapter_words.EVIDENCE_KIND_RESIDENCE_MOVED}
)


class Places(NamedTuple):
    """Codes of GB/T 2260 from the agency's register; what is not known is empty or 0.

    Args:
        residence: where the person may live, most likely first. One that cannot be asked about is refused.
        insured: where the person is insured.
        past: where the person lived before, newest first.
        household: where the household is registered today.
    """

    residence: tuple[int, ...] = ()
    insured: int = 0
    past: tuple[int, ...] = ()
    household: int = 0

    def hints(self) -> Iterator[tuple[str, int]]:
        """The places beside the residence, likeliest first, with the names of their fields."""
        if self.insured:
            yield "insured_region", self.insured
        for position, region in enumerate(self.past):
            yield f"past_regions[{position}]", region
        if self.household:
            yield "household_region", self.household


def route(directory: Directory, own_id: str, places: Places, max_members: int) -> list[str]:
    """The members to ask, likeliest first: those serving a place named, or every other one where no place leads to any.

    Raises:
        RefusedError: a place is none, nobody serves a residence, or too many members would be asked.
    """
    hints = list(places.hints())
    if len(places.residence) + len(hints) > MAX_REGIONS:
        raise _wrong("regions", f"name at most {MAX_REGIONS} regions", f"最多填写 {MAX_REGIONS} 个地区")
    members: dict[str, None] = {}
    for position, region in enumerate(places.residence):
        field = f"regions[{position}]"
        serving = _serving(directory, field, region)
        if not serving:
            raise RefusedError(
                f"{field}: no member of the federation serves this region",
                f"{field}：该地区尚无联盟成员提供服务",
                reason=words.REFUSAL_REASON_UNKNOWN_REGION,
                field=field,
            )
        members.update(dict.fromkeys(serving))
    for field, region in hints:
        members.update(dict.fromkeys(_serving(directory, field, region)))
    members.pop(own_id, None)
    if not members and not places.residence:
        members = dict.fromkeys(member for member in directory.member_ids() if member != own_id)
    if not members:
        raise RefusedError(
            "only your own province serves this region; this gateway asks other provinces",
            "该地区由本省负责，本网关仅用于向外省查询",
            reason=words.REFUSAL_REASON_NOT_SERVED,
            field="regions",
        )
    if len(members) > max_members:
        raise _wrong("regions", "too many provinces would be asked; name regions", "需查询的省份过多，请指定地区")
    return list(members)


def has_moved(findings: exchange_pb2.Findings) -> bool:
    """Whether an answer about one person tells of a move."""
    return bool(findings.flags[0] & MOVED)


def moved_to(directory: Directory, own_id: str, findings: exchange_pb2.Findings, asked: Collection[str]) -> list[str]:
    """Members serving the place that the person of an answer moved to, but for those asked already.

    What another member says is not trusted: places that are none lead nowhere, and only members are asked.
    """
    if not has_moved(findings):
        return []
    members: dict[str, None] = {}
    for region in list(dict.fromkeys(destinations(findings).get(0, ())))[:MAX_DESTINATIONS]:
        if is_region(region):
            members.update(dict.fromkeys(directory.members_serving(region)))
    return [member for member in members if member != own_id and member not in asked]


def destinations(findings: exchange_pb2.Findings) -> dict[int, list[int]]:
    """Where people's moves ended, by row: as the reasons tell; where these leave it out, as the rows of evidence tell,
    newest first. What is told need not be a region.
    """
    reasons = findings.reasons
    codes = {text.code for text in findings.reason_texts if text.name == _MOVE_REASON}
    told: dict[int, list[int]] = {}
    if codes:
        for who, code, number in zip(reasons.subject, reasons.code, reasons.number, strict=True):
            if code in codes and number:
                told.setdefault(who, []).append(number)
    rows = findings.evidence
    moves: dict[int, list[tuple[int, int]]] = {}
    for who, kind, on, detail in zip(rows.subject, rows.kind, rows.observed_on, rows.detail, strict=True):
        if kind in _MOVE_KINDS and detail and who not in told:
            moves.setdefault(who, []).append((on, detail))
    return told | {who: [detail for _, detail in sorted(each, reverse=True)] for who, each in moves.items()}


def _serving(directory: Directory, field: str, region: int) -> list[str]:
    if not is_region(region):
        raise RefusedError(
            f"{field}: not a GB/T 2260 code; give six digits, for example 330700",
            f"{field}：不是有效的行政区划代码，请填写六位数字，例如 330700",
            reason=words.REFUSAL_REASON_UNKNOWN_REGION,
            field=field,
        )
    return directory.members_serving(region)


def _wrong(field: str, en: str, zh: str) -> RefusedError:
    return RefusedError(f"{field}: {en}", f"{field}：{zh}", field=field)
