"""What is well with a gateway and what is not, in words: facts, who tells them, and all of them together.

Whoever knows something of its own health is a `HealthSource`: an async function that is given the time and returns the
facts worth telling, none where all is well. The composition root registers it:

    async def outbox_health(now_ms: int) -> list[HealthFact]:
        ...
    health.register("outbox", outbox_health)

Owns: asking every source within a time of its own, and the order of what they say. A source that fails or is late is a
fact itself. Refuses: mending anything, and personal data: whatever looks like an identity number is masked.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, NamedTuple

import structlog

from gateway.clock import Clock
from gateway.log import described, mask

SOURCE_S: Final = 2.0
"""Time that a source has."""
AGE_S: Final = 1.0
"""A report younger than this is given again, so that many who look cost no more than one."""
MAX_FACTS: Final = 500
MAX_CHARS: Final = 400

_log = structlog.stdlib.get_logger(__name__)


class Level(enum.IntEnum):
    """How bad a fact is; also the exit code of `wugan gateway health`."""

    WELL = 0
    ATTENTION = 1
    FAILING = 2


@dataclass(frozen=True, slots=True)
class HealthFact:
    """Something to be known about a gateway.

    Args:
        about: what, for programs, e.g. "directory" or "partner/11330000002482285J".
        level: WELL where it is said although all is well.
        en: what is the case, one sentence, without personal data.
        zh: the same in Chinese.
        do_en: what to do about it; "" where there is nothing to do.
        do_zh: the same in Chinese.
        since_ms: since when, Unix milliseconds; 0: not known.
    """

    about: str
    level: Level
    en: str
    zh: str
    do_en: str = ""
    do_zh: str = ""
    since_ms: int = 0


class Names(NamedTuple):
    """A member's names; "" where they are not known."""

    en: str
    zh: str


NO_NAMES: Final = Names("", "")


HealthSource = Callable[[int], Awaitable[Sequence[HealthFact]]]
"""Tells facts, given the time (Unix milliseconds)."""


@dataclass(frozen=True, slots=True)
class Report:
    """All facts of a moment (Unix milliseconds), the worst first; whose gateway it is, with its names where known."""

    member_id: str
    at_ms: int
    level: Level
    facts: tuple[HealthFact, ...]
    names: Names = NO_NAMES

    def whose(self, *, chinese: bool) -> str:
        """Name and code of the member, or its code alone."""
        name = self.names.zh if chinese else self.names.en
        return f"{name} {self.member_id}" if name else self.member_id

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {
            "member_id": self.member_id,
            "name_en": self.names.en,
            "name_zh": self.names.zh,
            "at_ms": self.at_ms,
            "level": self.level.name.lower(),
            "facts": [{**asdict(fact), "level": fact.level.name.lower()} for fact in self.facts],
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Report:
        """What `as_json` gave.

        Raises:
            ValueError: it is something else.
        """
        try:
            facts = tuple(HealthFact(**{**each, "level": Level[each["level"].upper()]}) for each in raw["facts"])
            names = Names(str(raw.get("name_en", "")), str(raw.get("name_zh", "")))
            return cls(str(raw["member_id"]), int(raw["at_ms"]), Level[raw["level"].upper()], facts, names)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("not a report of health") from error


class Health:
    """Asks everybody who has something to tell.

    Args:
        member_id: whose gateway it is.
        clock: the time.
        names: of the member, as far as they are known at the moment.
    """

    def __init__(self, member_id: str, clock: Clock, names: Callable[[], Names] = lambda: NO_NAMES) -> None:
        self._member_id = member_id
        self._names = names
        self._clock = clock
        self._sources: dict[str, HealthSource] = {}
        self._last: Report | None = None
        self._last_at = 0.0
        self._looking: asyncio.Future[Report] | None = None

    def register(self, name: str, source: HealthSource) -> None:
        """Ask this source too; of two of a name the later counts."""
        self._sources[name] = source

    async def report(self) -> Report:
        """All facts as they are now, or were a second ago at most."""
        if self._last is not None and 0 <= self._clock.monotonic() - self._last_at < AGE_S:
            return self._last
        if self._looking is None or self._looking.done():
            self._looking = asyncio.ensure_future(self._look())
        return await asyncio.shield(self._looking)

    async def _look(self) -> Report:
        now_ms = self._clock.now_ms()
        told = await asyncio.gather(*(self._ask(name, source, now_ms) for name, source in self._sources.items()))
        facts = [_clean(fact) for part in told for fact in part][:MAX_FACTS]
        facts.sort(key=lambda fact: (-fact.level, fact.about))
        level = max((fact.level for fact in facts), default=Level.WELL)
        self._last = Report(self._member_id, now_ms, level, tuple(facts), self._names())
        self._last_at = self._clock.monotonic()
        return self._last

    @staticmethod
    async def _ask(name: str, source: HealthSource, now_ms: int) -> Sequence[HealthFact]:
        try:
            async with asyncio.timeout(SOURCE_S):
                return await source(now_ms)
        except Exception as error:  # noqa: BLE001  one who cannot tell must not hide what the others say
            _log.warning("health not told", source=name, fault=described(error))
            return [
                HealthFact(
                    name,
                    Level.ATTENTION,
                    f"The state of “{name}” could not be read.",
                    f"无法读取“{name}”的状态。",
                    "Look at the log for “health not told”; if it stays, restart the gateway.",
                    "请查看日志中的“health not told”；如持续出现，请重启网关。",
                )
            ]


def _clean(fact: HealthFact) -> HealthFact:
    """The same with bounded texts, and nothing in them that looks like an identity number."""

    def clean(text: str) -> str:
        return mask(text)[:MAX_CHARS]

    return replace(
        fact,
        about=clean(fact.about),
        en=clean(fact.en),
        zh=clean(fact.zh),
        do_en=clean(fact.do_en),
        do_zh=clean(fact.do_zh),
    )
