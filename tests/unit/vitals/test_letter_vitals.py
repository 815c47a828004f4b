"""What the health page says of outbox and inbox, read from real tables."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.clock import FakeClock
from gateway.federation.directory import Directory
from gateway.observing import metrics
from gateway.observing.health import Level
from gateway.post.letters import letter
from gateway.store.engine import Store
from gateway.store.outbox import Attempt, Dead, Trouble
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


def trouble(failures: int, reason: int = words.REFUSAL_REASON_PARTNER_UNAVAILABLE) -> Attempt:
    """Nothing can be delivered to B for three minutes."""
    return Attempt(B.member_id, trouble=Trouble(B.member_id, NOW_MS - 180_000, failures, NOW_MS + 30_000, reason))


async def test_a_partner_that_takes_no_deliveries_is_told_of_long_before_they_are_old(store: Store) -> None:
    vitals = LetterVitals(store.outbox, store.inbox, Listed(A, B, clock=FakeClock(NOW_MS)))
    sequence = await leave(store)
    await store.outbox.settle(trouble(2))
    assert await vitals(NOW_MS) == []
    assert vitals.undelivered == frozenset()
    await store.outbox.settle(trouble(3))
    (fact,) = await vitals(NOW_MS + 20_000)
    assert (fact.about, fact.level) == (f"outbox/{B.member_id}", Level.ATTENTION)
    assert fact.en.startswith(
        "Nothing could be delivered to province 340000 for 3 minutes (3 failures): its gateway cannot be reached."
    )
    assert "1" in fact.en.partition("Letters that wait")[2]
    assert "无法连接其网关" in fact.zh
    assert fact.since_ms == NOW_MS - 180_000
    assert vitals.undelivered == {B.member_id}
    assert metrics.OUTBOX_FAILING.values()[(B.member_id,)] == 200
    await store.outbox.settle(Attempt(B.member_id, received=[sequence]))
    assert await vitals(NOW_MS + 40_000) == []
    assert (B.member_id,) not in metrics.OUTBOX_FAILING.values()


@pytest.mark.parametrize("reason", words.RefusalReason.values())
async def test_why_nothing_is_delivered_is_said_in_words(store: Store, reason: int) -> None:
    vitals = LetterVitals(store.outbox, store.inbox, Listed(A, B, clock=FakeClock(NOW_MS)))
    await leave(store)
    await store.outbox.settle(trouble(3, reason))
    (fact,) = await vitals(NOW_MS)
    assert fact.do_en
    assert not re.search(r"[A-Z]{3,}", fact.zh), "a word of the contract is no word of a person"


async def test_of_an_expired_directory_of_ones_own_the_partner_is_not_blamed(store: Store) -> None:
    vitals = LetterVitals(store.outbox, store.inbox, Listed(A, B, clock=FakeClock(NOW_MS + 1_000 * HOUR_MS)))
    await leave(store)
    await store.outbox.settle(trouble(3, words.REFUSAL_REASON_DIRECTORY_EXPIRED))
    assert await vitals(NOW_MS) == []


async def test_of_a_partner_that_the_directory_lists_no_more_is_said_what_becomes_of_its_letters(store: Store) -> None:
    vitals = LetterVitals(store.outbox, store.inbox, Listed(A, clock=FakeClock(NOW_MS)))
    await leave(store)
    await store.outbox.settle(trouble(3, words.REFUSAL_REASON_STRANGER))
    (fact,) = await vitals(NOW_MS)
    assert fact.about == f"outbox/{B.member_id}"
    assert "own gateway's certificate" not in fact.en, "nobody was asked: it is gone from the directory"
    assert "it is not in the federation directory any more" in fact.en
    assert "成员目录中已没有" in fact.zh
    assert "once it is listed again" in fact.do_en
    assert "given up when their time is over" in fact.do_en
    assert "停止投递" in fact.do_zh


async def test_of_a_partner_without_a_key_in_force_its_certificates_are_looked_at_and_not_ones_own(
    store: Store,
) -> None:
    directory = Listed(A, B, clock=FakeClock(NOW_MS))
    whole = directory.current()
    keyless = replace(whole.member(B.member_id), encryption_keys=())
    entries = (whole.member(A.member_id), keyless)
    directory._directory = Directory(whole.federation, 1, whole.issued_at_ms, whole.expires_at_ms, b"", entries)
    vitals = LetterVitals(store.outbox, store.inbox, directory)
    await leave(store)
    await store.outbox.settle(trouble(3, words.REFUSAL_REASON_STRANGER))
    (fact,) = await vitals(NOW_MS)
    assert "own gateway's certificate" not in fact.en
    assert "no encryption key in force" in fact.en
    assert "有效的加密密钥" in fact.zh


async def test_of_a_partner_that_takes_this_gateway_for_a_stranger_ones_own_certificate_is_looked_at(
    store: Store,
) -> None:
    vitals = LetterVitals(store.outbox, store.inbox, Listed(A, B, clock=FakeClock(NOW_MS)))
    await leave(store)
    await store.outbox.settle(trouble(3, words.REFUSAL_REASON_STRANGER))
    (fact,) = await vitals(NOW_MS)
    assert "own gateway's certificate" in fact.en


async def test_trouble_with_a_partner_for_whom_nothing_waits_any_more_is_not_told(store: Store) -> None:
    vitals = LetterVitals(store.outbox, store.inbox, Listed(A, B, clock=FakeClock(NOW_MS)))
    sequence = await leave(store)
    await store.outbox.settle(trouble(3)._replace(dead=[Dead(sequence, words.REFUSAL_REASON_DELIVERY_EXPIRED, "")]))
    (fact,) = await vitals(NOW_MS)
    assert fact.about == f"outbox-dead/{B.member_id}"


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
