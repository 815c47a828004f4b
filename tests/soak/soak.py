"""Two provinces, questions left by the one with the other, and kill -9 of either at random moments, starting included.

What is promised, and looked at in the end in the database of the answering side and in what the agency was told: every
question whose ticket an agency was given is answered, and the answering side has it in its trail (lost 0); each is
dealt with once, and answered once (duplicated 0); questions about one person are dealt with in the order in which they
were left (reordered 0). A question during which the asking gateway died has no ticket: it may have been left or not,
and is not counted among the delivered, but must not be dealt with twice either.

With `power` each kill is a power cut as well: what the gateway had written and not synced is gone when it starts again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import grpc

from bench.federation import TwoProvinces, people, start_gateway, two_provinces
from gateway.channels import agency_channel
from gateway.clock import SystemClock
from gateway.config import load_agency, load_gateway
from gateway.demo.founding import FoundedMember
from gateway.demo.processes import Started
from gateway.store.engine import Store
from tests.soak.disk import Disk, built
from wugan.adapter.v1 import vocabulary_pb2 as adapter_words
from wugan.agency.v1 import agency_pb2, agency_pb2_grpc
from wugan.federation.v1 import vocabulary_pb2 as words

SETTINGS = """
[outbox]
rate_per_s = 100000.0
batch = 256
retry_first_s = 0.1
retry_longest_s = 1.0
poll_s = 0.2
again_first_s = 0.2
again_longest_s = 1.0
question_workers = 64
timeout_s = 5.0
"""
SUBJECTS = 200
WORKERS = 24
READY_S = 60.0


class Found(NamedTuple):
    """What came of it; see the module."""

    kills: int
    delivered: int
    lost: int
    duplicated: int
    reordered: int


@dataclass(frozen=True, slots=True)
class Plan:
    """How long: so many kills, and so many questions, spread evenly over them.

    Args:
        kills: of either gateway.
        questions: left in all.
        seed: of what is drawn.
        longest_life_s: from one kill to the next at most.
        power: whether the power is cut with each kill.
        module: what is run as a gateway that comes back.
        patience_s: how long nothing may be answered before the rest counts as lost.
        tell: told how it goes.
    """

    kills: int
    questions: int
    seed: int = 1
    longest_life_s: float = 0.8
    power: bool = False
    module: str = "gateway.cli"
    patience_s: float = 90.0
    tell: Callable[[str], None] = lambda _line: None


@dataclass(slots=True)
class _State:
    kills: int = 0
    asked: int = 0
    tickets: dict[bytes, str] = field(default_factory=dict)
    answers: Counter[bytes] = field(default_factory=Counter)
    cursor: int = 0


def run(folder: Path, plan: Plan) -> Found:
    """Do it; both gateways are stopped at the end."""
    with two_provinces(folder, extra=SETTINGS) as provinces:
        members = (provinces.asking, provinces.answering)
        lives = [
            _Life(member, provinces.processes, at, plan.module, _disk(folder, member) if plan.power else None)
            for at, member in enumerate(members)
        ]
        state = asyncio.run(_Soak(provinces, lives, plan).run())
        # What the databases say, once nobody writes any more.
        for life in lives:
            life.end()
        return asyncio.run(_judge(provinces, state))


class _Life:
    """One gateway, that dies and comes back."""

    def __init__(
        self, member: FoundedMember, processes: list[Started], at: int, module: str, disk: Disk | None
    ) -> None:
        self.member = member
        self._processes = processes
        self._at = at
        self._module = module
        self._disk = disk
        self._watched = False

    def end(self) -> None:
        """Kill it; where its disk is watched, what was not synced is gone."""
        _kill(self._processes[self._at])
        if self._disk is None:
            return
        if self._watched:
            self._disk.cut()
        else:
            self._disk.begin()
        self._watched = True

    def again(self) -> None:
        """Kill it, and start it again."""
        self.end()
        self.member.ready_file.unlink(missing_ok=True)
        environment = self._disk.environment if self._disk else None
        self._processes[self._at] = start_gateway(self.member, environment, self._module)

    async def ready(self) -> None:
        """Return once it serves."""
        async with asyncio.timeout(READY_S):
            while not self.member.ready_file.exists():
                process = self._processes[self._at]
                assert process.alive(), f"{process.name} did not come back; see {process.log}"
                await asyncio.sleep(0.02)


def _disk(folder: Path, member: FoundedMember) -> Disk:
    library = built(folder)
    assert library, "a C compiler on Linux is needed to simulate a power cut"
    return Disk(library, load_gateway(member.config).state_dir, folder / f"disk-{member.plan.member_id}")


class _Soak:
    def __init__(self, provinces: TwoProvinces, lives: list[_Life], plan: Plan) -> None:
        self._provinces = provinces
        self._lives = lives
        self._plan = plan
        self._draw = random.Random(plan.seed)
        self._state = _State()
        self._people = people()[:SUBJECTS]
        self._numbers = [0] * SUBJECTS
        self._free = list(range(SUBJECTS))
        self._done = asyncio.Event()

    async def run(self) -> _State:
        settings = load_agency(self._provinces.agency_config)
        async with agency_channel(settings) as channel:
            stub = agency_pb2_grpc.AgencyServiceStub(channel)
            watching = asyncio.create_task(self._watch(stub))
            asking = [asyncio.create_task(self._ask(stub)) for _ in range(WORKERS)]
            try:
                await self._killing()
                await asyncio.gather(*asking)
                await self._settled()
            finally:
                for task in (watching, *asking):
                    task.cancel()
                await asyncio.gather(watching, *asking, return_exceptions=True)
        return self._state

    def _wanted(self) -> int:
        """Questions that may have been asked by now, so that they are spread over the kills."""
        plan = self._plan
        return min(plan.questions, round(plan.questions * (self._state.kills + 1) / max(1, plan.kills)))

    async def _ask(self, stub: agency_pb2_grpc.AgencyServiceAsyncStub) -> None:
        """Leave questions; about one person the next only when it is known what became of the one before."""
        state = self._state
        while state.asked < self._plan.questions:
            if state.asked >= self._wanted() or not self._free:
                await asyncio.sleep(0.01)
                continue
            state.asked += 1
            subject = self._free.pop(self._draw.randrange(len(self._free)))
            self._numbers[subject] += 1
            reference = f"S{subject}-{self._numbers[subject]}"
            try:
                response = await stub.Check(self._request(subject, reference), timeout=5.0)
            except grpc.aio.AioRpcError:
                state.asked -= 1  # not left, as far as is known; another one in its place
                await asyncio.sleep(0.02)
            else:
                state.tickets[response.late_ticket] = reference
            self._free.append(subject)

    def _request(self, subject: int, reference: str) -> agency_pb2.CheckRequest:
        number, name = self._people[subject]
        return agency_pb2.CheckRequest(
            id_number=number,
            name=name,
            benefit=words.BENEFIT_TYPE_EMPLOYEE_PENSION,
            purpose=adapter_words.PURPOSE_CERTIFICATION,
            regions=[330700],
            legal_basis="社会保险法 第七十四条",
            case_reference=reference,
            official="soak",
            leave_open_s=86_400,
            only_leave=True,
        )

    async def _watch(self, stub: agency_pb2_grpc.AgencyServiceAsyncStub) -> None:
        """Take in late answers, going on from the cursor whenever the gateway comes back."""
        state = self._state
        while True:
            with contextlib.suppress(grpc.aio.AioRpcError):
                async for told in stub.WatchLate(agency_pb2.WatchLateRequest(after=state.cursor)):
                    state.cursor = told.cursor
                    if told.response.answers[0].status and not told.response.answers[0].HasField("pending_until"):
                        state.answers[told.ticket] += 1
            await asyncio.sleep(0.05)

    async def _killing(self) -> None:
        while self._state.kills < self._plan.kills:
            await asyncio.sleep(self._draw.uniform(0.0, self._plan.longest_life_s))
            life = self._lives[self._draw.randrange(2)]
            while True:  # it may be killed again while it starts
                await asyncio.to_thread(life.again)
                self._state.kills += 1
                if self._state.kills % 50 == 0:
                    self._plan.tell(f"{self._state.kills} kills, {len(self._state.tickets)} questions left")
                if self._draw.random() > 0.2 or self._state.kills >= self._plan.kills:
                    break
                await asyncio.sleep(self._draw.uniform(0.0, 1.5))
            await life.ready()

    async def _settled(self) -> None:
        """Return when everything is answered, or nothing more comes."""
        last, since = -1, time.monotonic()
        while True:
            missing = sum(1 for ticket in self._state.tickets if not self._state.answers[ticket])
            if not missing:
                await asyncio.sleep(1.0)  # a second answer would come now
                return
            if missing != last:
                last, since = missing, time.monotonic()
            if time.monotonic() - since > self._plan.patience_s:
                self._plan.tell(f"{missing} questions without an answer")
                return
            await asyncio.sleep(0.1)


async def _judge(provinces: TwoProvinces, state: _State) -> Found:
    executed: Counter[bytes] = Counter()
    recorded_cases: set[str] = set()
    reordered = 0
    newest: dict[str, int] = {}
    settings = load_gateway(provinces.answering.config)
    at = settings.state_dir
    async with Store.open(at / "gateway.db", key=at / "store.key", clock=SystemClock()) as store:
        after = 0
        while events := await store.audit.events(after, 10_000):
            after = events[-1].sequence
            for recorded in events:
                event = recorded.event
                if event.direction != "in":
                    continue
                executed[event.message_id] += 1
                recorded_cases.add(event.case_reference)
                subject, _, number = event.case_reference.partition("-")
                if int(number) < newest.get(subject, 0):
                    reordered += 1
                newest[subject] = max(newest.get(subject, 0), int(number))
        await store.audit.verify_chain()
    # What was answered is also in the trail of the side that answered.
    answered = sum(1 for ticket, case in state.tickets.items() if state.answers[ticket] and case in recorded_cases)
    twice = sum(count - 1 for count in executed.values()) + sum(max(0, n - 1) for n in state.answers.values())
    return Found(state.kills, answered, len(state.tickets) - answered, twice, reordered)


def _kill(process: Started) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(process.pid, 0)
