"""What `wugan access explain` says beforehand is what the gateway then decides, whatever was granted and used."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, cast

import pytest

from gateway.access import people
from gateway.access.policy import Policy
from gateway.access.terms import BENEFIT_NAMES, PURPOSE_NAMES
from gateway.cli.access_common import Opened
from gateway.cli.access_explain import Asked, explanation
from gateway.clock import FakeClock
from gateway.config import GatewaySettings
from gateway.errors import WuganError
from gateway.inquiry.access import Access
from gateway.inquiry.harvest import Harvest
from gateway.inquiry.quotas import Quotas
from gateway.sections.inward import HarvestSettings
from gateway.store.alarms import Alarm
from gateway.store.engine import Store
from tests.unit.access.access_world import ASKER, DAY_MS, NOW_MS, Office, office
from tests.unit.adapters.adapters_world import number
from wugan.adapter.v1 import columns_pb2
from wugan.federation.v1 import exchange_pb2

OTHER = "111100000000212234"
OFFICIALS = [b"o" * 32, b"p" * 32]
UNITS = ["hangzhou", "jinhua"]
STEPS = {"ask": 30, "restart": 3, "a day passes": 2, "grant": 4, "withdraw": 2, "alarm": 2, "clear": 3}
"""What happens, and how often."""


class Gateway:
    """A gateway's decisions, and what a person who asks beforehand is told of them."""

    def __init__(self, opened: Office, store: Store, clock: FakeClock) -> None:
        self.office, self.store, self.clock = opened, store, clock

    async def restart(self) -> None:
        quotas = Quotas(self.store.usage)
        self.harvest = Harvest(HarvestSettings())
        self.access = Access(self.clock, quotas, harvest=self.harvest)
        self.access.use(Policy.of(self.office.administration.ledger))
        self.harvest.restore(await self.store.alarms.read())
        await quotas.restore(self.clock.now_ms())

    async def explains(self, asked: Asked) -> tuple[bool, str, bool]:
        """Whether it is allowed, by which grant, and whether it is held back."""
        no_settings = cast("GatewaySettings", None)
        at = Opened(no_settings, self.store, self.office.administration, self.clock.now_ms())
        told = await explanation(at, asked)
        return told["allowed"], told["grant"], "harvesting" in told["why_en"]

    async def decides(self, asked: Asked) -> tuple[bool, str]:
        self.access.use(Policy.of(self.office.administration.ledger))
        benefits = sorted(asked.benefits)
        question = exchange_pb2.Question(
            context=exchange_pb2.Context(
                unit=asked.unit,
                official_pseudonym=asked.official,
                purpose=asked.purpose,  # type: ignore[arg-type]
            ),
            subjects=columns_pb2.SubjectColumns(
                id_number=[number(serial) for serial in range(1, asked.people + 1)], name=["无名"] * asked.people
            ),
            benefit=[benefits[at % len(benefits)] for at in range(asked.people)],  # type: ignore[misc]
        )
        decision = self.access.authorise(asked.member, question)
        if decision.refused is not None:
            return False, ""
        try:
            await self.access.settle(decision)
        except WuganError:
            return False, ""
        return True, decision.grant


def _some(chance: random.Random, *words: str) -> list[Any]:
    """All of them or some, as a grant has it."""
    return ["*"] if chance.random() < 0.6 else sorted(chance.sample(words, chance.randint(1, len(words))))


def _grant(chance: random.Random, now_ms: int) -> dict[str, Any]:
    """Terms of which many allow something, and most have few people."""
    begin_ms = now_ms + chance.choice([0, 0, 0, DAY_MS])
    return {
        "member": chance.choice([ASKER, ASKER, ASKER, OTHER, "*"]),
        "units": _some(chance, *UNITS),
        "purposes": _some(chance, "CERTIFICATION", "AUDIT"),
        "benefits": _some(chance, "EMPLOYEE_PENSION", "WORK_INJURY"),
        "evidence": _some(chance, "CREMATION", "PHARMACY"),
        "regions": ["*"] if chance.random() < 0.7 else [330700],
        "quotas": {
            "day": chance.choice([0, 8, 20, 30]),
            "official_day": chance.choice([0, 6, 12]),
            "minute": chance.choice([0, 0, 5]),
            "second": chance.choice([0, 0, 5]),
        },
        "from_ms": begin_ms,
        "until_ms": begin_ms + chance.choice([DAY_MS, 365 * DAY_MS]),
    }


def _question(chance: random.Random) -> Asked:
    benefits = chance.choice([["EMPLOYEE_PENSION"], ["EMPLOYEE_PENSION"], ["EMPLOYEE_PENSION", "WORK_INJURY"]])
    return Asked(
        chance.choice([ASKER, ASKER, ASKER, OTHER]),
        chance.choice(UNITS),
        PURPOSE_NAMES[chance.choice(["CERTIFICATION", "CERTIFICATION", "AUDIT"])],
        frozenset(BENEFIT_NAMES[name] for name in benefits),
        chance.randint(len(benefits), 6),
        chance.choice(OFFICIALS),
    )


@pytest.mark.parametrize("seed", range(8))
async def test_it_says_what_the_gateway_then_decides(seed: int, tmp_path: Path) -> None:
    """Some hundred questions in all, while grants and alarms come and go, days pass and the gateway restarts."""
    chance, clock = random.Random(seed), FakeClock(NOW_MS)
    seen = set()
    async with office(tmp_path, clock) as opened:
        store = opened.administration._store
        gateway, standing, made = Gateway(opened, store, clock), dict[str, int](), list[int]()
        await gateway.restart()
        for step in ["grant"] * 3 + chance.choices(list(STEPS), list(STEPS.values()), k=140):
            clock.advance(120)  # what was asked in the last minute and second is known to the gateway's process alone
            if step == "ask":
                asked = _question(chance)
                allowed, grant, held = await gateway.explains(asked)
                if held:
                    await gateway.decides(asked)  # now and then one is let through
                assert await gateway.decides(asked) == (allowed, grant), asked
                seen.add((allowed, held))
            elif step == "restart":
                await gateway.restart()
            elif step == "a day passes":
                clock.advance(DAY_MS // 1000)
            elif step == "grant":
                made.append(await opened.grant(**_grant(chance, clock.now_ms())))
                if chance.random() < 0.7:
                    await opened.act("zhao", people.APPROVE_GRANT, {"grant": made[-1]})
            elif step == "withdraw" and made:
                number = made.pop(chance.randrange(len(made)))
                await opened.act("sun", people.WITHDRAW_GRANT, {"grant": number, "why": "x"})
            elif step == "alarm" and (unit := chance.choice(UNITS)) not in standing:
                standing[unit] = await store.alarms.submit(Alarm(0, clock.now_ms(), ASKER, unit, "unknown", 9, 5))
                gateway.harvest.restore(await store.alarms.read())
            elif step == "clear" and standing:
                await opened.act("sun", people.CLEAR_ALARM, {"alarm": standing.popitem()[1], "why": "x"})
    assert seen == {(True, False), (False, False), (False, True)}, "not of every kind: the test would prove less"
