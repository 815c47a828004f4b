"""A department's database, its manifest in several versions, and a gateway's departments with all that keeps them."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from adapters.contract import Lookup, Subjects
from gateway.access import adapters as states
from gateway.access import people
from gateway.access.policy import Policy
from gateway.app.opening import build_registered, forget_registered
from gateway.clock import Clock, FakeClock
from gateway.config import GatewaySettings, load_gateway
from gateway.inquiry.administering import found_people
from gateway.inquiry.asking import Departments
from gateway.inquiry.enlisting import Enlisting
from gateway.inquiry.gathering import Gathered
from gateway.inquiry.shadowing import Shadowing
from gateway.sections.inward import ShadowSettings
from gateway.sections.resilience import DepartmentBreakerSettings
from gateway.store.adapters import Document
from gateway.store.engine import Store
from tests.unit.access.access_world import FOUNDERS, NOW_MS, Office, administration

ROOT = Path(__file__).resolve().parents[3]
DEAD = "330702195001011239"
ALIVE = "330702195202022343"

MANIFEST = """\
manifest: 1
adapter_id: {adapter}
version: "{version}"
department: CIVIL_AFFAIRS
regions: [330000]
kind: table
source:
  url: sqlite:///{database}
identity: {{column: id_no, name: full_name}}
records:
  - name: cremations
    table: cremation
    evidence: CREMATION
    observed_on: {{column: cremated, formats: ["%Y%m%d"]}}
    strength: REAL_NAME
    source_reference: reg_no
"""


def database(folder: Path, name: str = "civil.db", *rows: tuple[str, str, str, str]) -> Path:
    """A database of cremations; without rows, of the one person who is dead."""
    path = folder / name
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE cremation (id_no TEXT, full_name TEXT, cremated TEXT, reg_no TEXT)")
        connection.executemany("INSERT INTO cremation VALUES (?, ?, ?, ?)", rows or [(DEAD, "张三", "20260105", "B-1")])
    connection.close()
    return path


def manifest(version: str = "1", adapter: str = "civil-affairs", database: str = "civil.db") -> bytes:
    return MANIFEST.format(version=version, adapter=adapter, database=database).encode()


@dataclass
class Registry:
    """What a gateway has of it, and administrators with their keys."""

    folder: Path
    settings: GatewaySettings
    store: Store
    office: Office
    departments: Departments
    enlisting: Enlisting
    shadowing: Shadowing
    clock: FakeClock

    async def propose(self, text: bytes, adapter: str = "civil-affairs", version: str = "1", by: str = "wang") -> bytes:
        """Register a version on the gateway's host; its digest."""
        document = Document(adapter, text, self.clock.now_ms())
        await self.store.adapters.keep(document)
        body = {
            **self.body(document.digest, adapter),
            "version": version,
            "kind": "table",
            "origin": states.HOST,
            "folder": str(self.folder),
        }
        await self.office.act(by, people.PROPOSE_ADAPTER, body)
        return document.digest

    @staticmethod
    def body(digest: bytes, adapter: str = "civil-affairs") -> dict[str, str]:
        return {"adapter": adapter, "digest": digest.hex(), "why": "test"}

    async def act(self, act: str, digest: bytes, by: str = "li", adapter: str = "civil-affairs", **more: bool) -> None:
        await self.office.act(by, act, {**self.body(digest, adapter), **more})

    async def live(self, text: bytes, adapter: str = "civil-affairs", version: str = "1") -> bytes:
        """A version brought into use from nothing."""
        digest = await self.propose(text, adapter, version)
        await self.act(people.APPROVE_ADAPTER, digest, adapter=adapter)
        await self.act(people.PROMOTE_ADAPTER, digest, adapter=adapter)
        await self.look()
        return digest

    async def look(self) -> None:
        """The running gateway notices."""
        self.enlisting.take(Policy.of(self.office.administration.ledger))
        await self.enlisting.look()

    async def ask(self, *numbers: str) -> Gathered:
        wanted = numbers or (DEAD, ALIVE)
        return await self.departments.ask(Lookup(Subjects(list(wanted), [""] * len(wanted))))

    def state(self, digest: bytes) -> str:
        return next(each.state for each in self.enlisting.versions if each.digest == digest)


@asynccontextmanager
async def registry(folder: Path, share: float = 1.0, wall: Clock | None = None) -> AsyncIterator[Registry]:
    """A gateway's departments, of which none is in the configuration; `wall` paces the store under load."""
    toml = (ROOT / "examples" / "gateway.toml").read_text("utf-8")
    (folder / "gateway.toml").write_text(toml, "utf-8")
    settings = load_gateway(folder / "gateway.toml")
    clock = FakeClock(NOW_MS)
    async with Store.open(folder / "gateway.db", key=folder / "store.key", clock=wall or clock) as store:
        office = Office(administration(store, clock))
        await found_people(office.administration, FOUNDERS)
        departments = Departments([], lambda one, other: one == other, clock, DepartmentBreakerSettings())
        enlisting = Enlisting(
            departments.sources,
            [],
            store.adapters,
            build_registered(settings),
            clock,
            poll_s=0.01,
            forget=forget_registered(settings),
        )
        shadowing = Shadowing(departments, store.adapters, clock, ShadowSettings(share=share))
        departments.beside = shadowing
        try:
            yield Registry(folder, settings, store, office, departments, enlisting, shadowing, clock)
        finally:
            await shadowing.tried()
            await departments.close()
