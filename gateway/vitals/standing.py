"""What breakers and bulkheads say: figures read when somebody looks, and the gateways and departments left alone.

Owns: turning the states of `federation.standing` and `inquiry.asking` into figures and facts. Refuses: changing them.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from adapters import retries
from gateway.clock import SHANGHAI_OFFSET_S
from gateway.federation.standing import DoorState, Standings
from gateway.federation.trying import HEDGE, RETRY, Told
from gateway.inquiry.asking import Departments, SourceState
from gateway.observing import metrics
from gateway.observing.health import HealthFact, Level
from gateway.observing.instruments import Gauge, Labels, Read
from gateway.observing.metrics import BREAKER
from gateway.resilience.breaker import State

_SHANGHAI: Final = dt.timezone(dt.timedelta(seconds=SHANGHAI_OFFSET_S))


def count_try(told: Told) -> None:
    """Count a further try, or a second call beside the first."""
    if told.kind == RETRY:
        metrics.PARTNER_RETRIES.add(told.member)
    elif told.kind == HEDGE:
        metrics.PARTNER_HEDGES.add(told.member, told.outcome)


@contextlib.contextmanager
def shown(standings: Standings, departments: Departments) -> Iterator[None]:
    """The figures of breakers and bulkheads are there, and adapters' further tries counted, for the length of the
    block.
    """
    reads: list[tuple[Gauge, Read]] = [
        (metrics.PARTNER_BREAKER, lambda: _partner_breakers(standings.doors())),
        (metrics.PARTNER_IN_USE, lambda: {(use.member,): use.in_use for use in standings.uses()}),
        (metrics.PARTNER_QUEUED, lambda: {(use.member,): use.in_line for use in standings.uses()}),
        (metrics.DEPARTMENT_BREAKER, lambda: _of(departments, lambda source: BREAKER[source.state.value])),
        (metrics.DEPARTMENT_IN_USE, lambda: _of(departments, lambda source: source.in_use)),
        (metrics.DEPARTMENT_QUEUED, lambda: _of(departments, lambda source: source.in_line)),
    ]
    with contextlib.ExitStack() as stack:
        for gauge, read in reads:
            stack.callback(gauge.follow(read))
        retries.use(metrics.DEPARTMENT_RETRIES.add)
        stack.callback(retries.use, None)
        yield


def _partner_breakers(doors: Sequence[DoorState]) -> dict[Labels, float]:
    """The best of each partner's gateways: while one is let through, the partner is."""
    best: dict[Labels, float] = {}
    for door in doors:
        state = BREAKER[door.state.value]
        best[(door.member,)] = min(best.get((door.member,), state), state)
    return best


def _of(departments: Departments, value: Callable[[SourceState], float]) -> dict[Labels, float]:
    return {(source.adapter_id,): value(source) for source in departments.states()}


Why = Callable[[str], tuple[str, str, str, str]]
"""How a partner failed and what to do about it, by the short name of its failure, English and Chinese each."""


def left_alone(
    doors: Sequence[DoorState], names: Mapping[str, tuple[str, str]], why: Why, now_ms: int
) -> list[HealthFact]:
    """The gateways of partners that are not asked for a while, also those that failed before a restart."""
    facts = []
    for door in doors:
        if door.outage is None:
            continue
        why_en, why_zh, do_en, do_zh = why(door.outage.reason)
        en, zh = names[door.member]
        next_try = dt.datetime.fromtimestamp(door.outage.next_try_ms / 1000, _SHANGHAI).strftime("%H:%M:%S")
        then = f"It is left alone; next try from {next_try} on.", f"暂不向其查询，{next_try} 起再次尝试。"
        keeps = "keeps failing", "持续异常"
        if door.state is State.HALF_OPEN:
            keeps = "kept failing", "此前持续异常"
            then = (
                "It is being tried again, by a few questions at a time; once enough of them were answered it is asked "
                "like any other.",
                "正在试探：同时只放行少量查询，成功次数足够后恢复正常查询。",
            )
        elif door.outage.next_try_ms <= now_ms:
            then = "It was left alone; the next question tries it again.", "此前暂停向其查询，下一次查询时再次尝试。"
        facts.append(
            HealthFact(
                f"left-alone/{door.member}/{door.address}",
                Level.ATTENTION,
                f"{en}'s gateway {door.address} {keeps[0]}: {why_en}. {then[0]}",
                f"{zh}的网关 {door.address} {keeps[1]}：{why_zh}。{then[1]}",
                do_en,
                do_zh,
                door.outage.since_ms,
            )
        )
    return facts
