"""What a department may do to its own adapter over the network, and what it may not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.manifest import manifest_of
from certs.identity import ROLE_DEPARTMENT, Identity
from gateway.access import adapters as states
from gateway.access import people
from gateway.errors import AccessError, RefusedError
from gateway.inquiry import applying
from gateway.inquiry.applying import Applying
from tests.unit.registry.registry_world import Registry, registry
from wugan.adapter.v1 import vocabulary_pb2 as v

MEMBER = "11330000002482285J"
PEER = Identity("demo.wugan.internal", MEMBER, ROLE_DEPARTMENT, "burials")
MANIFEST = f"""\
manifest: 1
adapter_id: burials
version: "VERSION"
department: CIVIL_AFFAIRS
regions: [340000]
kind: remote
source: {{address: "burials.example:7443", tls_name: {PEER.tls_name}}}
offers:
  items: [{{evidence: BURIAL, strength: REAL_NAME, freshness_days: 30}}]
  pushes: true
"""


def text(version: int = 1) -> bytes:
    return MANIFEST.replace("VERSION", str(version)).encode()


@pytest.fixture
async def w(tmp_path: Path) -> AsyncIterator[Registry]:
    async with registry(tmp_path) as opened:
        yield opened


@pytest.fixture
def department(w: Registry) -> Applying:
    return Applying(w.enlisting, w.store.adapters, w.clock)


async def approved(w: Registry, digest: bytes, *, live: bool = True) -> None:
    more = {"version": "1", "kind": "remote", "folder": "", "origin": states.DEPARTMENT}
    await w.office.act("li", people.APPROVE_ADAPTER, w.body(digest, "burials") | more)
    if live:
        await w.office.act("li", people.PROMOTE_ADAPTER, w.body(digest, "burials"))
    await w.look()


async def all_states(department: Applying) -> list[str]:
    return [each.state for each in await department.versions(PEER)]


async def test_a_version_waits_and_is_replaced_by_the_next_that_does(w: Registry, department: Applying) -> None:
    first = await department.register(PEER, text(1), "first")
    assert first.state == states.PROPOSED
    assert (await department.register(PEER, text(1), "again")).changed_at_ms == first.changed_at_ms
    second = await department.register(PEER, text(2), "second")
    assert [each.digest for each in await department.versions(PEER)] == [second.digest]
    assert await w.store.adapters.document(first.digest) is None
    assert await w.store.adapters.document(second.digest) == text(2)


async def test_what_it_suspended_it_resumes_and_what_an_administrator_suspended_stays(
    w: Registry, department: Applying
) -> None:
    version = await department.register(PEER, text(), "first")
    await approved(w, version.digest)
    assert await all_states(department) == [states.LIVE]
    await department.suspend(PEER, "moving")
    assert await all_states(department) == [states.SUSPENDED]
    await w.office.act("sun", people.SUSPEND_ADAPTER, w.body(version.digest, "burials"))
    await w.look()
    await department.resume(PEER, "moved")
    assert await all_states(department) == [states.SUSPENDED]
    await w.office.act("li", people.RESUME_ADAPTER, w.body(version.digest, "burials"))
    await w.look()
    assert await all_states(department) == [states.LIVE]


async def test_a_version_withdrawn_is_gone_for_ever(w: Registry, department: Applying) -> None:
    version = await department.register(PEER, text(), "first")
    await approved(w, version.digest, live=False)
    await department.withdraw(PEER, version.digest, "wrong columns")
    assert await all_states(department) == [states.REMOVED]
    with pytest.raises(RefusedError, match="raise `version`"):
        await department.register(PEER, text(), "again")
    with pytest.raises(RefusedError, match="no such version"):
        await department.withdraw(PEER, version.digest, "twice")
    assert (await department.register(PEER, text(2), "next")).state == states.PROPOSED


async def test_only_a_live_adapter_tells_of_changes(w: Registry, department: Applying) -> None:
    version = await department.register(PEER, text(), "first")
    with pytest.raises(AccessError):
        department.require_live(PEER)
    await approved(w, version.digest)
    department.require_live(PEER)
    other = Identity("demo.wugan.internal", MEMBER, ROLE_DEPARTMENT, "cremations")
    with pytest.raises(AccessError):
        department.require_live(other)
    assert not await department.versions(other)


async def test_nothing_is_said_without_a_reason_or_of_what_is_not_there(w: Registry, department: Applying) -> None:
    for reason in ("", " ", "x" * 401, "a\u202eb"):
        with pytest.raises(RefusedError, match="say why"):
            await department.register(PEER, text(), reason)
    with pytest.raises(RefusedError, match="nothing of this adapter"):
        await department.suspend(PEER, "why")
    with pytest.raises(RefusedError, match="at most"):
        await department.register(PEER, b"#" * 300_000, "why")
    assert not await w.store.adapters.words()


async def test_it_cannot_talk_without_end(w: Registry, department: Applying, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(applying, "MAX_WORDS", 3)
    await department.register(PEER, text(), "first")
    await department.suspend(PEER, "why")
    await department.resume(PEER, "why")
    with pytest.raises(RefusedError, match="administrator"):
        await department.suspend(PEER, "why")


async def test_everything_it_says_is_in_the_audit_trail(w: Registry, department: Applying) -> None:
    version = await department.register(PEER, text(), "first")
    await department.suspend(PEER, "moving")
    events = [each.event for each in await w.store.audit.events()][-2:]
    assert [event.decision.split(";")[0] for event in events] == [
        "adapter.registered by the department",
        "adapter.suspended by the department",
    ]
    assert {event.unit for event in events} == {"department/burials"}
    assert version.digest.hex()[:16] in events[0].decision


def test_what_pushes_is_monitored_without_being_followed() -> None:
    manifest = manifest_of(text(), "burials.yaml")
    about = manifest.description()
    assert (about.changes, about.pushes, manifest.monitored) == (False, True, True)


async def test_what_the_department_itself_withdrew_is_gone_only_once_an_administrator_says_so(
    w: Registry, department: Applying
) -> None:
    version = await department.register(PEER, text(), "first")
    await approved(w, version.digest)
    await department.withdraw(PEER, version.digest, "over")
    assert w.enlisting.gone == frozenset()
    await w.act(people.REMOVE_ADAPTER, version.digest, adapter="burials", for_good=True)
    await w.look()
    assert w.enlisting.gone == {v.DEPARTMENT_CIVIL_AFFAIRS}
    again = await department.register(PEER, text(2), "back")
    assert again.state == states.PROPOSED
    assert w.enlisting.gone == frozenset()
