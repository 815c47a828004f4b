"""The audit trail: what is recorded, what is masked, and that every change shows."""

from __future__ import annotations

import asyncio
import hashlib
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
from gateway.exchange.question import MAX_TEXT
from gateway.store import audit
from gateway.store.audit import RETENTION_MS, AuditEvent
from gateway.store.chain import START, ChainHead, Content, Link, link_mac, verify
from gateway.store.engine import Store
from gateway.store.keys import StoreKeys
from gateway.store.tables import MARKER_CHARS, WORDS_CHARS
from tests.unit.store.conftest import OpenStore
from tests.unit.store.store_world import DIGEST, HOSTILE, MEMBER, NOW_MS, PERSON, answer, cells, event, refused

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
    assert [one.event for one in read] == [one._replace(digest=b"") for one in events]
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
        ("digest_tag", "zeroblob(32)"),
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


async def test_no_column_holds_the_digest_of_a_question(store: Store, state: Path) -> None:
    await store.audit.record(event())
    await store.answers.keep(answer(), [PERSON])
    found = cells(store)
    assert found.count(MEMBER) == 3, "not all tables were written to: this test sees too little"
    await store.close()
    for derived in (DIGEST, DIGEST.hex().encode(), hashlib.sha256(DIGEST).digest()):
        assert not [cell for cell in found if isinstance(cell, bytes) and derived in cell]
        assert derived not in b"".join(path.read_bytes() for path in state.iterdir())


async def test_whoever_holds_the_key_can_match_a_disputed_message_to_its_record(open_store: OpenStore) -> None:
    async with open_store() as store:
        await store.audit.record(event())
        await store.audit.record(event(digest=hashlib.sha256(b"another").digest()))
    async with open_store() as store:
        recorded = await store.audit.events()
        assert [store.audit.matches(one, DIGEST) for one in recorded] == [True, False]
        assert not store.audit.matches(recorded[0], recorded[0].digest_tag)


def test_another_stores_key_makes_another_tag_of_a_digest() -> None:
    assert KEYS.digest_tag(DIGEST) == StoreKeys(b"k" * 32).digest_tag(DIGEST)
    others = {
        StoreKeys(b"l" * 32).digest_tag(DIGEST),
        KEYS.audit_mac(DIGEST),
        KEYS.blind_index(DIGEST.decode("latin-1")),
    }
    assert KEYS.digest_tag(DIGEST) not in others


def test_every_question_that_is_allowed_is_recorded_uncut() -> None:
    assert WORDS_CHARS == MAX_TEXT, "a question may hold longer words than its record"


async def test_words_of_the_allowed_length_are_recorded_as_they_came(store: Store) -> None:
    asked = event(unit="长" * 200, legal_basis="𠮷" * 200, case_reference="x" * 200, decision="y" * 512, digest=b"")
    await store.audit.record(asked)
    assert (await store.audit.events())[0].event == asked


async def test_overlong_words_are_cut_and_tell_how_long_they_were(store: Store) -> None:
    await store.audit.record(
        event(unit="长" * 5000, legal_basis="x" * 201, decision="y" * 513, official=bytes(range(200)))
    )
    recorded = (await store.audit.events())[0].event
    assert recorded.unit == "长" * 200 + "…[5000]"
    assert recorded.legal_basis == "x" * 200 + "…[201]"
    assert recorded.decision == "y" * 512 + "…[513]"
    assert recorded.official == bytes(range(32)) + b"+"


async def test_what_cannot_be_printed_is_recorded_as_a_sign_for_it(store: Store) -> None:
    await store.audit.record(event(unit="a\x00\x1b[2Jb\n\u202e\ud800", counterpart="1\x002"))
    recorded = (await store.audit.events())[0].event
    assert recorded.unit == "a��[2Jb���"
    assert recorded.counterpart == "1�2"


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_recording_what_a_hostile_member_sends_never_fails_and_stays_small(
    store: Store, hostile: dict[str, object]
) -> None:
    await asyncio.gather(*(store.audit.record(one) for one in (event(), event(**hostile), event())))
    assert (await store.audit.verify_chain()).sequence == 3
    assert max(map(len, cells(store))) <= 512 + 16
    assert not [cell for cell in cells(store) if isinstance(cell, str) and PERSON in cell]


@pytest.mark.parametrize("before", range(150, 260, 3))
@pytest.mark.parametrize("packed", ["", f"{PERSON} " * 4], ids=["plain", "after masked ones"])
def test_no_number_is_half_hidden_where_words_are_cut(before: int, packed: str) -> None:
    kept = audit.recorded_words(packed + "长" * (before - len(packed)) + PERSON + "长" * 500, WORDS_CHARS)
    assert PERSON[:8] not in kept
    assert len(kept) <= WORDS_CHARS + MARKER_CHARS


@settings(max_examples=100)
@given(text=st.text(st.characters(), max_size=300), most=st.integers(1, 250))
def test_recorded_words_can_be_printed_and_stored(text: str, most: int) -> None:
    kept = audit.recorded_words(text, most)
    assert kept.isprintable()
    assert kept.encode("utf-8").decode("utf-8") == kept
    assert len(kept) <= (most if len(text) <= most else most + MARKER_CHARS)
    assert kept == text or not text.isprintable() or len(text) > most


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
    digest_tag=blobs,
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
BLOB_COLUMNS = ("official", "message_id", "digest_tag")


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
