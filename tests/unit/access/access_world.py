"""Administrators with keys, what they enact, and the policy that comes of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.access import people
from gateway.access.people import Applicant
from gateway.access.terms import Thresholds, thresholds
from gateway.clock import FakeClock
from gateway.inquiry.administering import Administration, found_people
from gateway.sections.inward import AccessSettings
from gateway.store.engine import Store

MEMBER = "11340000002482285R"
ASKER = "11330000002482285J"
NOW_MS = 1_795_000_000_000
DAY_MS = 86_400_000
THRESHOLDS: Thresholds = thresholds(AccessSettings())
ROLES = {
    "wang": people.SYSTEM,
    "li": people.SECURITY,
    "zhao": people.SECURITY,
    "sun": people.AUDIT,
}
KEYS = {name: Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32)) for name in (*ROLES, "new", "qian", "zhou")}
FOUNDERS = {name: (role, KEYS[name]) for name, role in ROLES.items()}


def body(**changed: Any) -> dict[str, Any]:
    """Terms that one person may grant, but for what is said."""
    return {
        "member": ASKER,
        "units": ["*"],
        "purposes": ["CERTIFICATION"],
        "benefits": ["EMPLOYEE_PENSION"],
        "evidence": ["DEATH_CERTIFICATE", "CREMATION", "PHARMACY"],
        "regions": ["*"],
        "quotas": {"day": 1000, "official_day": 0, "minute": 0, "second": 0},
        "roster": 0,
        "from_ms": NOW_MS,
        "until_ms": NOW_MS + 365 * DAY_MS,
        "why": "浙皖协议 2026-3",
        **changed,
    }


def application(name: str, role: str, key: str = "") -> dict[str, str]:
    return {"application": Applicant.of(name, KEYS[key or name]).text(), "role": role}


class Office:
    """The administration of a gateway with everybody's keys at hand."""

    def __init__(self, administration: Administration) -> None:
        self.administration = administration

    async def act(self, by: str, act: str, what: Mapping[str, Any], *, key: str = "") -> int:
        return await self.administration.enact(act, what, by=by, key=KEYS[key or by])

    async def grant(self, by: str = "li", **changed: Any) -> int:
        return await self.act(by, people.PROPOSE_GRANT, body(**changed))

    async def add(self, name: str, role: str, approver: str) -> None:
        await self.act("wang", people.ADD_PERSON, application(name, role))
        await self.act(approver, people.APPROVE_PERSON, {"name": name})


def administration(store: Store, clock: FakeClock, member: str = MEMBER) -> Administration:
    return Administration(store, member, THRESHOLDS, clock)


@asynccontextmanager
async def office(folder: Path, clock: FakeClock | None = None) -> AsyncIterator[Office]:
    """An office whose people of the beginning are enrolled."""
    clock = clock or FakeClock(NOW_MS)
    async with Store.open(folder / "gateway.db", key=folder / "store.key", clock=clock) as store:
        opened = Office(administration(store, clock))
        await found_people(opened.administration, FOUNDERS)
        yield opened
