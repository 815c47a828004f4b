"""The audit trail: what is recorded, what is masked, and that every change shows."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.clock import FakeClock
from gateway.errors import StoreError
from gateway.store import audit
from gateway.store.audit import RETENTION_MS, AuditEvent
from gateway.store.chain import START, ChainHead, Content, Link, link_mac, verify
from gateway.store.engine import Store
from gateway.store.keys import StoreKeys
from tests.unit.store.conftest import OpenStore
from tests.unit.store.store_world import NOW_MS, PERSON, event, refused

DAY_MS = 86_400_000


def change(state: Path, statement: str) -> None:
    """What someone with the database file, but without the key, might do."""
    with sqlite3.connect(state / "wugan.db") as connection:
        connection.execute(statement)
    connection.close()


async def test_what_is_recorded_is_read_back_in_order(store: Store) -> None:
    events = [event(direction="out" if turn % 2 else "in", outcome=turn % 3) for turn in range(200)]
    heads = await asyncio.gather(*(store.audit.record(one) for one in events))
    assert [head.sequence for head in heads] == list(range(1, 201))
    read = await store.audit.events()
    assert [one.event for one in read] == events
    assert [one.sequence for one in await store.audit.events(after=10, limit=5)] == [11, 12, 13, 14, 15]
    assert await store.audit.verify_chain() == heads[-1] == await store.audit.head()


async def test_an_empty_trail_is_whole(store: Store) -> None:
    assert await store.audit.verify_chain() == ChainHead(0, START)


async def test_the_chain_goes_on_after_a_restart(open_store: OpenStore) -> None:
    async with open_store() as store:
        noted = await store.audit.record(event())
    async with open_store() as store:
        await store.audit.record(event())
        assert (await store.audit.verify_chain([noted])).sequence == 2


async def test_two_gateways_on_one_database_make_one_chain(open_store: OpenStore) -> None:
    async with open_store() as one, open_store() as other:
        await asyncio.gather(*(log.record(event()) for _ in range(30) for log in (one.audit, other.audit)))
        assert (await one.audit.verify_chain()).sequence == 60


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("at_ms", "at_ms + 1"),
        ("direction", "2"),
        ("outcome", "4"),
        ("purpose", "2"),
        ("subjects", "2"),
        ("counterpart", "'11340000002986085H'"),
        ("unit", "'杭州'"),
        ("official", "x'00'"),
        ("legal_basis", "'无'"),
        ("case_reference", "''"),
        ("message_id", "zeroblob(16)"),
        ("digest", "zeroblob(32)"),
        ("decision", "decision || '.'"),
        ("mac", "zeroblob(32)"),
        ("previous_mac", "zeroblob(32)"),
    ],
)
async def test_a_changed_cell_shows(store: Store, state: Path, column: str, value: str) -> None:
    for _ in range(5):
        await store.audit.record(event())
    change(state, f"UPDATE audit_event SET {column} = {value} WHERE sequence = 3")
    with pytest.raises(StoreError) as caught:
        await store.audit.verify_chain()
    assert caught.value.field in {"audit_event.3", "audit_event.4"}
    assert not caught.value.retryable


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM audit_event WHERE sequence = 1",
        "DELETE FROM audit_event WHERE sequence = 3",
        "UPDATE audit_event SET sequence = sequence - 1 WHERE sequence > 0",
        "INSERT INTO audit_cut SELECT 2, at_ms, mac, mac FROM audit_event WHERE sequence = 2",
    ],
    ids=["first row taken out", "row taken out", "all moved", "forged record of deletion"],
)
async def test_a_row_taken_out_or_moved_shows(store: Store, state: Path, statement: str) -> None:
    for _ in range(5):
        await store.audit.record(event())
    change(state, statement)
    with refused("INTERNAL"):
        await store.audit.verify_chain()


async def test_rows_taken_off_the_end_show_against_a_noted_head(store: Store, state: Path) -> None:
    for _ in range(4):
        await store.audit.record(event())
    noted = await store.audit.record(event())
    change(state, "DELETE FROM audit_event WHERE sequence > 3")
    assert (await store.audit.verify_chain()).sequence == 3
    with refused("INTERNAL"):
        await store.audit.verify_chain([noted])


async def test_the_head_is_noted_in_the_log_when_the_store_opens_and_closes(open_store: OpenStore) -> None:
    with structlog.testing.capture_logs() as logged:
        async with open_store() as store:
            head = await store.audit.record(event())
        await open_store().close()
    noted = [(line["event"], line["audit_sequence"], line["audit_mac"]) for line in logged]
    last = (head.sequence, head.mac.hex())
    assert noted == [
        ("store opened", 0, START.hex()),
        ("store closed", *last),
        ("store opened", *last),
        ("store closed", *last),
    ]


async def test_a_trail_rewritten_after_it_was_noted_shows(store: Store, state: Path) -> None:
    await store.audit.record(event())
    noted = await store.audit.record(event())
    change(state, "DELETE FROM audit_event WHERE sequence = 2")
    await store.audit.record(event(decision="another"))
    assert (await store.audit.verify_chain()).sequence == 2
    with refused("INTERNAL"):
        await store.audit.verify_chain([noted])


async def test_a_number_in_the_askers_words_is_not_written_down(store: Store, state: Path) -> None:
    await store.audit.record(
        event(case_reference=f"re {PERSON}", unit=f"办公室{PERSON}", decision=PERSON, legal_basis=PERSON)
    )
    await store.close()
    kept = b"".join(path.read_bytes() for path in state.iterdir())
    assert PERSON.encode() not in kept
    assert "办公室***".encode() in kept


async def test_odd_and_overlong_words_do_not_stop_the_record(store: Store) -> None:
    await store.audit.record(event(unit="\x00\ud800" + "长" * 5000, decision="x" * 100_000, official=b"p" * 99))
    recorded = (await store.audit.events())[0].event
    assert recorded.unit == "??" + "长" * 126
    assert len(recorded.decision) == 512
    assert len(recorded.official) == 32
    assert (await store.audit.verify_chain()).sequence == 1


async def test_records_younger_than_three_years_are_never_deleted(store: Store, clock: FakeClock) -> None:
    await store.audit.record(event(at_ms=clock.now_ms()))
    clock.advance(RETENTION_MS / 1000)
    with pytest.raises(StoreError, match="three years"):
        await store.audit.forget(clock.now_ms() - RETENTION_MS + 1)
    assert await store.audit.forget(clock.now_ms() - RETENTION_MS) == 0
    assert len(await store.audit.events()) == 1


async def test_after_older_records_were_deleted_the_rest_is_still_a_chain(
    open_store: OpenStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "CUT_AT_MOST", 4)
    async with open_store() as store:
        for day in range(10):
            await store.audit.record(event(at_ms=NOW_MS + day * DAY_MS))
        clock.advance((RETENTION_MS + 20 * DAY_MS) / 1000)
        before_ms = NOW_MS + 7 * DAY_MS
        assert [await store.audit.forget(before_ms) for _ in range(3)] == [4, 3, 0]
        assert [one.sequence for one in await store.audit.events()] == [8, 9, 10]
        assert (await store.audit.verify_chain()).sequence == 10
        assert await store.audit.forget(NOW_MS + 20 * DAY_MS) == 3
        assert (await store.audit.head()).sequence == 10
    async with open_store() as store:
        assert (await store.audit.record(event())).sequence == 11
        assert (await store.audit.verify_chain()).sequence == 11


async def test_a_changed_record_of_deletion_shows(store: Store, clock: FakeClock, state: Path) -> None:
    for _ in range(3):
        await store.audit.record(event())
    clock.advance((RETENTION_MS + DAY_MS) / 1000)
    await store.audit.forget(NOW_MS + 1)
    change(state, "UPDATE audit_cut SET at_ms = at_ms + 1")
    with refused("INTERNAL"):
        await store.audit.verify_chain()


KEYS = StoreKeys(b"k" * 32)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
blobs = st.binary(max_size=8)
contents = st.builds(
    Content,
    at_ms=st.integers(0, 2**62),
    direction=st.sampled_from([1, 2]),
    outcome=st.integers(0, 30),
    purpose=st.integers(-(2**31), 2**31 - 1),
    subjects=st.integers(0, 2**31 - 1),
    counterpart=texts,
    unit=texts,
    official=blobs,
    legal_basis=texts,
    case_reference=texts,
    message_id=blobs,
    digest=blobs,
    decision=texts,
)


def chained(*items: Content) -> list[Link]:
    links: list[Link] = []
    last = START
    for sequence, content in enumerate(items, 1):
        mac = link_mac(KEYS.audit_mac, sequence, content, last)
        links.append(Link(sequence, content, last, mac))
        last = mac
    return links


@settings(max_examples=60)
@given(one=contents, other=contents)
def test_no_two_events_have_the_same_mac(one: Content, other: Content) -> None:
    same = link_mac(KEYS.audit_mac, 1, one, START) == link_mac(KEYS.audit_mac, 1, other, START)
    assert same == (one == other)


@settings(max_examples=60)
@given(items=st.lists(contents, min_size=2, max_size=6), data=st.data())
def test_a_chain_holds_until_its_links_are_rearranged(items: list[Content], data: st.DataObject) -> None:
    links = chained(*items)
    assert verify(KEYS.audit_mac, ChainHead(0, START), links).sequence == len(links)
    taken = data.draw(st.integers(0, len(links) - 2))
    rearranged: Callable[[list[Link]], list[Link]] = data.draw(
        st.sampled_from(
            [lambda all_: all_[:taken] + all_[taken + 1 :], lambda all_: [*all_[:taken], all_[taken + 1], all_[taken]]]
        )
    )
    with pytest.raises(StoreError):
        verify(KEYS.audit_mac, ChainHead(0, START), rearranged(links))


TEXT_COLUMNS = ("counterpart", "unit", "legal_basis", "case_reference", "decision")
BLOB_COLUMNS = ("official", "message_id", "digest")


@pytest.mark.parametrize(
    ("left", "right", "cell"),
    [(left, right, "x") for left, right in itertools.pairwise(TEXT_COLUMNS)]
    + [(left, right, b"x") for left, right in itertools.pairwise(BLOB_COLUMNS)]
    + [("unit", "official", None)],
)
def test_what_moves_from_one_column_to_the_next_changes_the_mac(
    left: str, right: str, cell: str | bytes | None
) -> None:
    empty = Content(0, 1, 0, 0, 0, "", "", b"", "", "", b"", b"", "")
    one = empty._replace(**{left: cell if cell is not None else "x"})
    other = empty._replace(**{right: cell if cell is not None else b"x"})
    assert link_mac(KEYS.audit_mac, 1, one, START) != link_mac(KEYS.audit_mac, 1, other, START)


def test_an_event_has_no_place_for_a_person() -> None:
    assert not {"id_number", "name", "person", "blind_index"} & set(AuditEvent._fields)
