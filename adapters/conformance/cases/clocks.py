"""Days: civil days in Asia/Shanghai, none to come where none can be, in whatever time zone the server stands."""

from __future__ import annotations

import numpy as np

from adapters.conformance.answers import Answer, Said
from adapters.conformance.case import Ended, Failed, Noted, NotTried, Say, case, examination
from adapters.conformance.kit import Kit
from adapters.conformance.target import time_zone

_DAYS = "columns.proto: Dates are civil days in Asia/Shanghai"
_AVAILABLE = "columns.proto: EvidenceColumns.available_on"
_FIRST_EVENT = 100
_ZONES = ("America/Los_Angeles", "Pacific/Kiritimati")
"""As far from Shanghai as it goes, on either side."""


@examination(
    "clock.traces_past",
    Say("No trace is of a day to come", "轨迹日期不晚于今日"),
    Say(
        "Nobody was seen tomorrow: an appointment is no trace, and a time zone is not guessed.",
        "预约不是轨迹；请同时检查时区。",
    ),
    _DAYS,
)
def traces_past(kit: Kit, answer: Answer) -> Ended | None:
    """`observed_on` of traces."""
    evidence = answer.found.evidence
    late = int(np.count_nonzero((evidence.kind < _FIRST_EVENT) & (evidence.observed_on > kit.today + 1)))
    return Failed(f"{late} traces are of a day to come", f"{late} 条轨迹日期在未来") if late else None


@examination(
    "clock.events_past",
    Say("Events of a day to come are told apart", "未来日期的事件须加以确认"),
    Say(
        "Allowed for what is announced, such as a release. A death of tomorrow is a wrong column.",
        "预告类事件（如释放）可以如此；未来的死亡则是取错列。",
    ),
    _DAYS,
)
def events_past(kit: Kit, answer: Answer) -> Ended | None:
    """`observed_on` of events."""
    evidence = answer.found.evidence
    late = int(np.count_nonzero((evidence.kind >= _FIRST_EVENT) & (evidence.observed_on > kit.today + 1)))
    return Noted(f"{late} events are of a day to come", f"{late} 个事件日期在未来") if late else None


@examination(
    "clock.available_past",
    Say("Nothing became available on a day to come", "可用日期不晚于今日"),
    Say(
        "`available_on` is the day the department's own system had the row; it has it now.",
        "available_on 为部门系统取得该行的日期，必已到来。",
    ),
    _AVAILABLE,
)
def available_past(kit: Kit, answer: Answer) -> Ended | None:
    """`available_on` up to today."""
    late = int(np.count_nonzero(answer.found.evidence.available_on > kit.today + 1))
    return Failed(f"{late} rows became available on a day to come", f"{late} 行可用日期在未来") if late else None


@examination(
    "clock.available_after",
    Say("No trace was available before it happened", "轨迹的可用日期不早于发生日期"),
    Say(
        "Two columns were mixed up, or one of them is read in another time zone.", "可能两列混淆，或其中一列时区有误。"
    ),
    _AVAILABLE,
)
def available_after(_: Kit, answer: Answer) -> Ended | None:
    """`available_on` from `observed_on` on."""
    evidence = answer.found.evidence
    early = (evidence.available_on != 0) & (evidence.available_on < evidence.observed_on)
    count = int(np.count_nonzero(early & (evidence.kind < _FIRST_EVENT)))
    return Failed(f"{count} traces were available before", f"{count} 条轨迹先可用后发生") if count else None


@case(
    "clock.known_day",
    Say("Evidence of the sample is there, on its very day", "样例所列证据存在且日期一致"),
    Say(
        "A day more or less means that a time was cut in the wrong zone: 23:30 UTC is the next day in Shanghai.",
        "相差一天说明时区处理有误：UTC 23:30 在上海已是次日。",
    ),
    _DAYS,
)
async def known_day(kit: Kit) -> None:
    """`kind` and `observed_on` of the sample."""
    expected = [person for person in kit.sample.known if person.kind]
    if not expected:
        raise NotTried("the sample names no `kind` and `observed_on`", "样例未列 kind 与 observed_on")
    rows = {person.number: said.rows for person, said in await kit.known()}
    for person in expected:
        if person.number not in rows:
            continue
        days = {row.observed_on for row in rows[person.number] if row.kind == person.kind}
        if not days or (person.observed_on and person.observed_on not in days):
            near = person.observed_on and bool(days & {person.observed_on - 1, person.observed_on + 1})
            line = person.line
            if near:
                raise Failed(f"a day more or less: line {line} of the sample", f"相差一天：样例第 {line} 行")
            raise Failed(f"not there: line {line} of the sample", f"未返回：样例第 {line} 行所列证据")


@case(
    "clock.time_zone",
    Say("In another time zone of the server, the days stay the same", "服务器处于其他时区时日期不变"),
    Say(
        "Name Asia/Shanghai wherever a time becomes a day; never use the machine's zone.",
        "凡由时刻换算日期之处均应写明 Asia/Shanghai，不得依赖本机时区。",
    ),
    _DAYS,
)
async def zone(kit: Kit) -> None:
    """The adapter started anew in zones far away."""
    if not kit.target.local:
        raise NotTried(
            "it runs elsewhere: start it with TZ=America/Los_Angeles and try again",
            "其在别处运行，请以 TZ=America/Los_Angeles 启动后再试",
        )
    people = [person for person, _ in await kit.known()]
    before = await _days(kit, people)
    for name in _ZONES:
        with time_zone(name):
            await kit.reopen()
            told = await _days(kit, people)
        await kit.reopen()
        if told != before and told != await _days(kit, people):
            raise Failed(f"the days differ in {name}", f"在 {name} 时区日期不同")


async def _days(kit: Kit, people: object) -> list[Said]:
    return await kit.said(people)  # type: ignore[arg-type]
