"""What the health page says of outbox and inbox, read from real tables."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.clock import FakeClock
from gateway.observing import metrics
from gateway.observing.health import Level
from gateway.post.letters import letter
from gateway.store.engine import Store
from gateway.store.outbox import Attempt, Dead
from gateway.vitals.letters import LetterVitals
from tests.unit.services.gateways_world import NOW_MS, A, B, Listed
from wugan.adapter.v1 import vocabulary_pb2 as v
from wugan.federation.v1 import delivery_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

HOUR_MS = 3_600_000


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(tmp_path / "gateway.db", key=b"k" * 32, clock=FakeClock(NOW_MS)) as opened:
        yield opened


async def leave(store: Store) -> int:
    """Leave a letter with B; its sequence."""
    kind, purpose = delivery_pb2.DELIVERY_KIND_NOTICE, v.PURPOSE_CHANGE_MONITORING
    return await store.outbox.submit(
        letter(B.member_id, kind, b"body", purpose=purpose, now_ms=NOW_MS, expires_at_ms=NOW_MS + 99 * HOUR_MS)
    )


async def test_letters_that_wait_are_told_of_once_they_are_old_and_counted_at_once(store: Store) -> None:
    vitals = LetterVitals(store.outbox, store.inbox, Listed(A, B, clock=FakeClock(NOW_MS)))
    await leave(store)
    assert await vitals(NOW_MS) == []
    assert metrics.OUTBOX.values()[B.member_id, "waiting"] == 1
    (fact,) = await vitals(NOW_MS + 2 * HOUR_MS)
    assert (fact.about, fact.level) == (f"outbox/{B.member_id}", Level.ATTENTION)
    assert "province 340000: 1, the oldest for 2 hours" in fact.en
    assert metrics.OUTBOX_OLDEST.values()[(B.member_id,)] == 2 * 3600


async def test_letters_given_up_are_told_of_and_what_is_gone_is_not_shown_any_more(store: Store) -> None:
    vitals = LetterVitals(store.outbox, store.inbox, Listed(A, B, clock=FakeClock(NOW_MS)))
    first, second = await leave(store), await leave(store)
    dead = Dead(first, words.REFUSAL_REASON_TOO_LARGE, "too large")
    await store.outbox.settle(Attempt(B.member_id, received=[second], dead=[dead]))
    (fact,) = await vitals(NOW_MS)
    assert fact.about == f"outbox-dead/{B.member_id}"
    assert metrics.OUTBOX.values()[B.member_id, "dead"] == 1
    await store.outbox.sweep(NOW_MS, NOW_MS + 1_000 * HOUR_MS)
    assert await vitals(NOW_MS + 60_000) == []
    assert (B.member_id, "dead") not in metrics.OUTBOX.values()


async def test_the_tables_are_not_read_at_every_look(store: Store) -> None:
    vitals = LetterVitals(store.outbox, store.inbox, Listed(A, B, clock=FakeClock(NOW_MS)))
    await vitals(NOW_MS)
    await leave(store)
    await vitals(NOW_MS + 1_000)
    assert (B.member_id, "waiting") not in metrics.OUTBOX.values()
    await vitals(NOW_MS + 20_000)
    assert metrics.OUTBOX.values()[B.member_id, "waiting"] == 1


@pytest.fixture(autouse=True)
def _shown_before() -> None:
    for state in ("waiting", "dead"):
        metrics.OUTBOX.drop(B.member_id, state)
