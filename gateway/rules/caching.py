"""How long an answer may be used again without asking: decided by the answering side, from what the answer tells.

Owns: the settings of `cache` in the rule file, and the least of what they allow. The least counts of: the purpose, each
person's status, every evidence kind that a reason names, the end of the day until which the answer may be relied on,
and, of a partial answer, what is allowed for those. Refuses: keeping answers, and anything that the answer does not
tell. A time that depended on undisclosed evidence would disclose it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

from gateway.rules.kinds import KINDS, names
from gateway.rules.purposes import PURPOSES
from gateway.rules.reading import Section
from wugan.federation.v1 import vocabulary_pb2 as words

MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000
MAX_MINUTES: Final = 30 * 24 * 60
"""No answer is used again for longer than thirty days, whatever a rule file says."""
_SHANGHAI_MS: Final = 8 * 3_600_000
_STATUSES: Final = names(dict(words.SurvivalStatus.items()), "SURVIVAL_STATUS_")


class Times(NamedTuple):
    """Until when an answer may be used again, and until when shown as outdated; Unix milliseconds, 0: not at all."""

    cacheable_until_ms: int
    stale_until_ms: int


NOT_AT_ALL: Final = Times(0, 0)


@dataclass(frozen=True, slots=True)
class Caching:
    """The settings, in milliseconds. What is not listed is never used again, but for kinds: those do not shorten.

    Args:
        by_purpose: by Purpose.
        by_status: by SurvivalStatus.
        by_kind: by EvidenceKind, of those that shorten the time.
        partial: of an answer to which some source did not contribute.
        stale_by_purpose: how long beyond that it may be shown while its author cannot be reached.
    """

    by_purpose: Mapping[int, int]
    by_status: Mapping[int, int]
    by_kind: Mapping[int, int]
    partial: int
    stale_by_purpose: Mapping[int, int]

    def times(
        self,
        purpose: int,
        statuses: Iterable[int],
        kinds: Iterable[int],
        valid_until_on: Iterable[int],
        made_at_ms: int,
        *,
        partial: bool,
    ) -> Times:
        """For one answer, which tells of these statuses, evidence kinds (in its reasons) and last days."""
        allowed = self.by_purpose.get(purpose, 0)
        if partial:
            allowed = min(allowed, self.partial)
        if not allowed:
            return NOT_AT_ALL
        by_kind, by_status = self.by_kind, self.by_status
        for status in statuses:
            allowed = min(allowed, by_status.get(status, 0))
        for kind in kinds:
            if kind in by_kind:
                allowed = min(allowed, by_kind[kind])
        # Civil days begin at midnight in Shanghai.
        relied_on_until = (min(valid_until_on, default=0) + 1) * DAY_MS - _SHANGHAI_MS
        until = min(made_at_ms + allowed, relied_on_until)
        if until <= made_at_ms:
            return NOT_AT_ALL
        stale = 0 if partial else self.stale_by_purpose.get(purpose, 0)
        return Times(until, until + stale if stale else 0)


def read_caching(section: Section) -> Caching:
    """The settings of `cache`.

    Raises:
        ConfigError: one is missing, unknown or out of range.
    """
    caching = Caching(
        by_purpose=_minutes(section.section("purpose_minutes"), PURPOSES),
        by_status=_minutes(section.section("status_minutes"), _STATUSES),
        by_kind=_some_minutes(section.section("kind_minutes"), KINDS),
        partial=section.integer("partial_minutes", 0, MAX_MINUTES) * MINUTE_MS,
        stale_by_purpose=_minutes(section.section("stale_minutes"), PURPOSES),
    )
    section.close()
    return caching


def _minutes(section: Section, numbers: Mapping[str, int]) -> Mapping[int, int]:
    table = {number: section.integer(name, 0, MAX_MINUTES) * MINUTE_MS for name, number in numbers.items()}
    section.close()
    return MappingProxyType(table)


def _some_minutes(section: Section, numbers: Mapping[str, int]) -> Mapping[int, int]:
    table = {section.one_of(name, name, numbers): section.integer(name, 0, MAX_MINUTES) * MINUTE_MS for name in section}
    return MappingProxyType(table)
