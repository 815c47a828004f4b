"""How many people a member may still ask about under a grant: people, not questions.

Owns: the counters of a day and an official's day (civil days of Asia/Shanghai), that of a member's day under all grants
that one person made, and the sliding windows of a minute and a second. What is known from memory to be too much is
refused at once; the count that decides is made on the disk (gateway/store/usage.py), together with the commit that the
exchange waits for, so it is exact and survives a restart. Windows are in memory; after a restart the current minute is
known from the disk, and a second is over. Refuses: waiting, and more memory than a bounded number of counters: one that
was put out is read from the disk again.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from gateway.access.policy import Entry
from gateway.clock import civil_day
from gateway.errors import AccessError
from gateway.store.usage import DAY, MINUTE, Take, Taken, Usage
from wugan.federation.v1 import vocabulary_pb2 as words

MAX_COUNTERS: Final = 65_536
DAY_MS: Final = 86_400_000
_SHANGHAI_MS: Final = 8 * 3_600_000
_TOGETHER: Final = 0
"""Number of no grant: of the counter that several have in common."""
_SECOND: Final = (1_000, 50)
_MINUTE: Final = (60_000, 1_000)
_TEXTS: Final = {
    "day": ("today", "今日"),
    "day_alone": ("today", "今日"),
    "official_day": ("by this official today", "该经办人今日"),
    "minute": ("in this minute", "本分钟"),
    "second": ("in this second", "本秒"),
}


class Window:
    """People within any span of that many milliseconds, in buckets; a bucket counts until the last of it is too old."""

    __slots__ = ("_bucket_ms", "_buckets", "_span", "total")

    def __init__(self, span_ms: int, bucket_ms: int) -> None:
        self._bucket_ms = bucket_ms
        self._span = span_ms // bucket_ms + 1
        self._buckets: deque[tuple[int, int]] = deque()
        self.total = 0

    def settle(self, now_ms: int) -> None:
        """Forget what is too old."""
        oldest = now_ms // self._bucket_ms - self._span
        while self._buckets and self._buckets[0][0] <= oldest:
            self.total -= self._buckets.popleft()[1]

    def add(self, people: int, now_ms: int) -> None:
        """Count people now."""
        at = now_ms // self._bucket_ms
        if self._buckets and self._buckets[-1][0] >= at:  # also where the clock was set back
            last, count = self._buckets.pop()
            self._buckets.append((last, count + people))
        else:
            self._buckets.append((at, people))
        self.total += people

    def free_in_ms(self, room: int, limit: int, now_ms: int) -> int:
        """How long until there is room for so many."""
        left = self.total
        for at, people in self._buckets:
            left -= people
            if left + room <= limit:
                return max(1, (at + self._span) * self._bucket_ms - now_ms)
        return self._span * self._bucket_ms


class _Counter:
    """One counter in memory: its tag on the disk, the span it counts in, and what is known to have been used."""

    __slots__ = ("at", "tag", "used")

    def __init__(self, tag: bytes) -> None:
        self.tag = tag
        self.at = 0
        self.used = 0

    def used_in(self, at: int) -> int:
        return self.used if self.at >= at else 0

    def set(self, at: int, used: int) -> None:
        if at > self.at:
            self.at, self.used = at, used
        elif at == self.at:
            self.used = max(self.used, used)


class _Part(NamedTuple):
    quota: str
    counter: _Counter
    take: Take


@dataclass(slots=True)
class Taking:
    """What came of asking for room.

    Args:
        refused: name of the quota that is used up, "": there is room.
        retry_after_ms: when to ask again; 0: never for so many.
        left: for each quota that there is, people left after this question.
        counted: says whether there was room on the disk too; None: nothing is counted there.
    """

    refused: str = ""
    retry_after_ms: int = 0
    left: dict[str, int] = field(default_factory=dict)
    counted: asyncio.Future[Taken] | None = None
    parts: tuple[_Part, ...] = ()


class Quotas:
    """See the module.

    Args:
        usage: counts on the disk; None: in memory alone, for a decision that is only explained.
    """

    def __init__(self, usage: Usage | None) -> None:
        self._usage = usage
        self._counters: OrderedDict[tuple[int, str, bytes, int], _Counter] = OrderedDict()
        self._windows: dict[tuple[int, str, int], Window] = {}
        self._before: dict[tuple[bytes, int], tuple[int, int]] = {}

    async def restore(self, now_ms: int) -> None:
        """Take over what was counted before a restart; without it the first question under each grant that is used up
        would be refused on the disk, though another grant may have room.

        Raises:
            StoreError: it could not be read.
        """
        if self._usage is not None:
            self._before = await self._usage.since(civil_day(now_ms), now_ms // 60_000, MAX_COUNTERS)

    def take(self, entry: Entry, member: str, official: bytes, people: int, now_ms: int) -> Taking:
        """Count people under a grant, if there is room for all of them.

        Raises:
            StoreError: the disk cannot take more at the moment.
        """
        quotas = entry.quotas
        taking = Taking()
        if not any(quotas) and not entry.alone_day:
            return taking
        windows = self._bursts(entry, member, people, now_ms, taking)
        if taking.refused:
            return taking
        day = civil_day(now_ms)
        parts: list[_Part] = []
        for quota, grant, whose, span, at, limit in (
            ("day", entry.number, b"", DAY, day, quotas.day),
            ("day_alone", _TOGETHER, b"", DAY, day, entry.alone_day),
            ("official_day", entry.number, official, DAY, day, quotas.official_day),
            ("minute", entry.number, b"", MINUTE, now_ms // 60_000, quotas.minute),
        ):
            if not limit:
                continue
            counter = self._counter(grant, member, whose, span)
            used = counter.used_in(at)
            if span == DAY:
                taking.left[quota] = limit - used - people
            if used + people > limit:
                until_ms = DAY_MS - (now_ms + _SHANGHAI_MS) % DAY_MS if span == DAY else 60_000 - now_ms % 60_000
                taking.refused, taking.retry_after_ms = quota, until_ms if people <= limit else 0
                taking.left[quota] = limit - used
                return taking
            parts.append(_Part(quota, counter, Take(counter.tag, span, at, people, limit)))
        if parts and self._usage is not None:
            taking.counted = self._usage.submit([part.take for part in parts])
            taking.counted.add_done_callback(_retrieve)
        for window in windows:
            window.add(people, now_ms)
        for part in parts:
            part.counter.set(part.take.at, part.counter.used_in(part.take.at) + people)
        taking.parts = tuple(parts)
        return taking

    async def settle(self, taking: Taking) -> None:
        """Return when the people are counted on the disk.

        Raises:
            AccessError: there was no room for them there: another process, or the time before a restart, took it.
            StoreError: they could not be counted.
        """
        if taking.counted is None:
            return
        taken = await taking.counted
        for part, used in zip(taking.parts, taken.used, strict=True):
            if taken.granted:
                part.counter.set(part.take.at, used)
            elif part.counter.at == part.take.at:  # memory had counted people that were not; the disk knows
                part.counter.used = used
        if not taken.granted:
            full = [
                p.quota for p, used in zip(taking.parts, taken.used, strict=True) if used + p.take.people > p.take.limit
            ]
            taking.refused = full[0]
            raise exceeded(full[0], 60_000)

    def _bursts(self, entry: Entry, member: str, people: int, now_ms: int, taking: Taking) -> list[Window]:
        windows = []
        for quota, limit, shape in (
            ("second", entry.quotas.second, _SECOND),
            ("minute", entry.quotas.minute, _MINUTE),
        ):
            if not limit:
                continue
            key = entry.number, member, shape[0]
            window = self._windows.get(key)
            if window is None:
                if len(self._windows) >= MAX_COUNTERS:
                    self._windows.clear()
                window = self._windows[key] = Window(*shape)
            window.settle(now_ms)
            if window.total + people > limit and not taking.refused:
                taking.refused = quota
                taking.retry_after_ms = window.free_in_ms(people, limit, now_ms) if people <= limit else 0
            windows.append(window)
        return windows

    def _counter(self, grant: int, member: str, official: bytes, span: int) -> _Counter:
        key = grant, member, official, span
        counter = self._counters.get(key)
        if counter is None:
            tag = b""
            if self._usage is not None:
                tag = self._usage.tag(counted_as(grant, member, official))
            counter = self._counters[key] = _Counter(tag)
            counter.set(*self._before.pop((tag, span), (0, 0)))
            if len(self._counters) > MAX_COUNTERS:
                self._counters.popitem(last=False)
        else:
            self._counters.move_to_end(key)
        return counter


def counted_as(grant: int, member: str, official: bytes = b"") -> bytes:
    """What the tag of a counter on the disk is made of; 0: all grants of the member that one person made."""
    return f"{grant} {member} {len(official)} ".encode() + official


def exceeded(quota: str, retry_after_ms: int) -> AccessError:
    """The refusal: QUOTA_EXCEEDED, with when to ask again; not retryable where one question is more than the quota."""
    en, zh = _TEXTS[quota]
    if not retry_after_ms:
        return AccessError(
            "one question is about more people than the grant allows at once; ask about fewer",
            "单次查询人数超过授权额度，请减少人数",
            reason=words.REFUSAL_REASON_QUOTA_EXCEEDED,
            field="subjects",
        )
    return AccessError(
        f"no more people may be asked about {en}; ask again later, or have the quota of the grant raised",
        f"{zh}可查询人数已用完，请稍后再查或申请提高额度",
        reason=words.REFUSAL_REASON_QUOTA_EXCEEDED,
        field="subjects",
        retryable=True,
        retry_after_ms=retry_after_ms,
    )


def _retrieve(counted: asyncio.Future[Taken]) -> None:
    """Who gave up waiting needs no warning that the write failed."""
    if not counted.cancelled():
        counted.exception()
