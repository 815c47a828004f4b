"""Answers given again: to whom they were given, for as long as they may be, and until something speaks against it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.clock import FakeClock
from gateway.errors import StoreError
from gateway.exchange.uuid7 import Uuid7
from gateway.federation import answer_cache
from gateway.federation.kept import MAX_LINKED, Held, Memory
from gateway.store.answers import SignedAnswer
from gateway.store.ended import EVERY_MEMBER
from gateway.store.reusable import Changes, Reusable
from tests.unit.federation.cache_world import HOUR_MS, CacheWorld, asked_about
from tests.unit.services.gateways_world import ANNA, BO, CHEN, NEW_ANNA, NOW_MS, A, B, C, stored
from wugan.adapter.v1 import columns_pb2
from wugan.adapter.v1 import vocabulary_pb2 as v
from wugan.federation.v1 import delivery_pb2, envelope_pb2, exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[CacheWorld]:
    clock = FakeClock(NOW_MS)
    async with stored(tmp_path, clock) as store:
        made = CacheWorld(store, clock)
        await made.cache.open()
        yield made
        await made.cache.close()


async def test_an_answer_is_given_again_as_it_was_signed(world: CacheWorld) -> None:
    given = await world.take(asked_about())
    again = await world.found(asked_about())
    assert again is not None
    assert (again.proof, again.message_id) == (given.proof, given.message_id)


async def test_another_official_and_another_case_of_the_unit_get_it_too(world: CacheWorld) -> None:
    given = await world.take(asked_about())
    other = asked_about(official_pseudonym=b"q" * 32, case_reference="another")
    assert await world.found(other) == given


def sparing(question: exchange_pb2.Question) -> exchange_pb2.Question:
    """The same question, without evidence of the living."""
    question.evidence_only_where_not_alive = True
    return question


@pytest.mark.parametrize(
    "other",
    [
        asked_about(unit="ningbo"),
        asked_about(purpose=v.PURPOSE_AUDIT),
        asked_about(legal_basis="社会保险法 第七十五条"),
        asked_about(BO),
        asked_about(evidence_limit=19),
        asked_about(as_of_on=20_000),
        sparing(asked_about()),
    ],
    ids=["unit", "purpose", "legal basis", "person", "evidence", "day", "evidence of the living"],
)
async def test_nobody_gets_it_for_anything_else(world: CacheWorld, other: exchange_pb2.Question) -> None:
    await world.take(asked_about())
    assert await world.found(other) is None


def test_every_field_of_a_question_but_official_and_case_parts_answers() -> None:
    """A field that questions get one day does so by itself; this says what a person has to decide about."""
    fields = {field.name for field in exchange_pb2.Question.DESCRIPTOR.fields}
    asked = {"context", "subjects", "benefit", "region", "as_of_on", "evidence_limit", "evidence_only_where_not_alive"}
    asked.add("benefit_since_on")
    assert fields == {*asked, "question_id", "trace"}


async def test_the_id_by_which_a_question_is_counted_once_parts_nothing(world: CacheWorld) -> None:
    given = await world.take(asked_about())
    other = asked_about()
    other.question_id, other.trace = b"i" * 16, b"t" * 26
    assert await world.found(other) == given


async def test_the_key_is_of_the_question_without_who_asks_and_leaves_it_as_it_was(world: CacheWorld) -> None:
    asked = asked_about()
    asked.question_id, asked.trace = b"i" * 16, b"t" * 26
    before = asked.SerializeToString()
    without = exchange_pb2.Question.FromString(before)
    without.context.ClearField("official_pseudonym")
    without.context.ClearField("case_reference")
    without.ClearField("question_id")
    without.ClearField("trace")
    assert without.ByteSize() < len(before) - 16 - 26
    kept_under = world.store.reusable.key(B.member_id.encode() + b"\x00" + without.SerializeToString())
    assert world.cache.key(B.member_id, asked) == kept_under, "rows on the disk are found by it after an upgrade, too"
    assert asked.SerializeToString() == before


async def test_a_name_a_benefit_an_alias_or_another_member_parts_answers(world: CacheWorld) -> None:
    asked = asked_about()
    keys = {world.cache.key(B.member_id, asked), world.cache.key(C.member_id, asked)}
    for change in (
        lambda q: q.subjects.name.__setitem__(0, "安妮"),
        lambda q: q.benefit.__setitem__(0, words.BENEFIT_TYPE_WORK_INJURY),
        lambda q: q.subjects.MergeFrom(columns_pb2.SubjectColumns(alias_subject=[0], alias_id_number=[BO])),
        lambda q: q.subjects.document_kind.append(v.DOCUMENT_KIND_PASSPORT),
        lambda q: q.region.append(340000),
    ):
        other = exchange_pb2.Question()
        other.CopyFrom(asked)
        change(other)
        keys.add(world.cache.key(B.member_id, other))
    assert len(keys) == 7


@given(st.text(max_size=8), st.text(max_size=8), st.text(max_size=8), st.text(max_size=8))
def test_words_that_read_alike_one_after_another_do_not_meet(unit: str, basis: str, unit2: str, basis2: str) -> None:
    def terms(unit: str, basis: str) -> bytes:
        asked = asked_about(unit=unit, legal_basis=basis)
        return asked.SerializeToString(deterministic=True)

    assert (terms(unit, basis) == terms(unit2, basis2)) == ((unit, basis) == (unit2, basis2))


async def test_it_is_given_until_its_author_says_and_no_millisecond_longer(world: CacheWorld) -> None:
    await world.take(asked_about())
    world.clock.advance(3599.999)
    assert await world.found(asked_about()) is not None
    world.clock.advance(0.001)
    assert await world.found(asked_about()) is None


async def test_what_is_held_holds_no_columns_beside_the_message(world: CacheWorld) -> None:
    answer = world.answer(asked_about())
    await world.keep(asked_about(), answer)
    world.cache.put(asked_about(), answer._replace(read=answer.columns), world.cache.mark, 5.0)
    assert await world.found(asked_about()) == answer._replace(read=None)


async def test_an_author_that_allows_ever_so_long_is_cut_to_thirty_days(world: CacheWorld) -> None:
    await world.take(asked_about(), for_ms=10**15)
    world.clock.advance(30 * 86_400 - 1)
    assert world.cache._memory.get(world.cache.key(B.member_id, asked_about())).cacheable_until_ms == (
        NOW_MS + 30 * 86_400_000
    )


@pytest.mark.parametrize("for_ms", [0, -5])
async def test_what_its_author_does_not_allow_is_not_given_again_and_ends_what_was(
    world: CacheWorld, for_ms: int
) -> None:
    await world.take(asked_about())
    await world.take(asked_about(), for_ms=for_ms)
    assert await world.found(asked_about()) is None
    await world.restart()
    assert await world.found(asked_about()) is None, "nor after a restart"


async def test_it_is_there_after_a_restart_and_lies_on_the_disk_encrypted(world: CacheWorld, tmp_path: Path) -> None:
    given = await world.take(asked_about())
    await world.restart()
    assert await world.found(asked_about()) == given
    assert await world.found(asked_about(unit="ningbo")) is None
    await world.cache.close()
    on_disk = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert ANNA.encode() not in on_disk
    assert given.proof.payload not in on_disk


async def test_what_lies_on_the_disk_counts_only_if_its_signature_verifies(world: CacheWorld) -> None:
    asked = asked_about()
    answer = world.answer(asked)
    forged = answer.proof._replace(signature=bytes(64))
    await world.keep(asked, type(answer)(answer.member_id, answer.findings, answer.message_id, forged))
    world.cache.put(asked, answer, world.cache.mark, 5.0)
    await world.restart()
    assert await world.found(asked) is None


async def test_another_directory_ends_it(world: CacheWorld) -> None:
    await world.take(asked_about())
    world.directory.replace(A, B, C)
    assert await world.found(asked_about()) is None
    await world.restart()
    assert await world.found(asked_about()) is None, "nor from the disk"


async def test_a_member_taken_out_of_the_directory_leaves_nothing_behind(world: CacheWorld) -> None:
    await world.take(asked_about(), stale_ms=HOUR_MS)
    await world.take(asked_about(), C)
    world.directory.replace(A, C)
    world.directory.replace(A, B, C)
    assert await world.outdated(asked_about()) is None
    await world.restart()
    assert await world.outdated(asked_about()) is None


async def test_an_author_that_goes_over_to_other_rules_ends_what_it_said_by_the_old_ones(world: CacheWorld) -> None:
    await world.take(asked_about())
    await world.take(asked_about(), C)
    world.clock.advance(1)
    await world.take(asked_about(BO), rules_digest=b"n" * 32)
    assert await world.found(asked_about()) is None
    assert await world.found(asked_about(), C) is not None, "of others' rules it says nothing"


async def test_a_roster_answered_by_other_rules_ends_what_its_author_said_by_the_old_ones(world: CacheWorld) -> None:
    await world.take(asked_about())
    await world.take(asked_about(), C)
    old = world.answer(asked_about(BO), rules_digest=b"o" * 32).findings
    world.clock.advance(1)
    world.cache.answered(B.member_id, world.answer(asked_about(BO), rules_digest=b"n" * 32).findings)
    assert await world.found(asked_about()) is None
    assert await world.found(asked_about(), C) is not None, "of others' rules it says nothing"
    await world.take(asked_about(CHEN), rules_digest=b"n" * 32)
    world.cache.answered(B.member_id, old)
    world.cache.answered(B.member_id, exchange_pb2.Findings(made_at_ms=1 << 60))
    assert await world.found(asked_about(CHEN)) is not None, "what was made before, or by no rules, says nothing"


async def test_by_which_rules_a_late_answer_was_made_is_known_after_a_restart(world: CacheWorld) -> None:
    await world.take(asked_about())
    world.clock.advance(1)
    answer = exchange_pb2.Answer(findings=world.answer(asked_about(BO), rules_digest=b"n" * 32).findings)
    late = delivery_pb2.LateAnswer(answers_to=b"i" * 16, answer=answer)
    body = late.SerializeToString()
    payload = delivery_pb2.Delivery(kind=delivery_pb2.DELIVERY_KIND_ANSWER, body=body).SerializeToString()
    header = envelope_pb2.Header(kind=envelope_pb2.MESSAGE_KIND_DELIVERY).SerializeToString()
    message_id = Uuid7().next(world.clock.now_ms() + 1)
    signed = SignedAnswer(B.member_id, message_id, header, bytes(32), b"", payload, bytes(16), 0, 1, b"", NOW_MS)
    await world.store.answers.keep(signed, [BO])
    await world.restart()
    assert await world.found(asked_about()) is None


@pytest.mark.parametrize("for_ms", [HOUR_MS, 0], ids=["may be given again", "may not"])
async def test_by_which_rules_an_author_answers_is_known_after_a_restart(world: CacheWorld, for_ms: int) -> None:
    await world.take(asked_about())
    await world.take(asked_about(), C)
    world.clock.advance(1)
    await world.take(asked_about(BO), rules_digest=b"n" * 32, for_ms=for_ms)
    world.clock.advance(1)
    await world.keep(asked_about(CHEN), world.answer(asked_about(CHEN), rules_digest=b"n" * 32, status=[0]))
    await world.restart()
    assert await world.found(asked_about()) is None
    assert (await world.found(asked_about(BO)) is not None) == bool(for_ms)
    assert await world.found(asked_about(), C) is not None, "of others' rules it says nothing"


async def test_a_quiet_notice_ends_what_its_author_said_about_the_person(world: CacheWorld) -> None:
    for person, party in itertools.product((ANNA, BO), (B, C)):
        await world.take(asked_about(person), party)
    await world.cache.invalidate(B.member_id, [world.cache.index_of(ANNA)])
    for _ in range(2):
        assert await world.found(asked_about(ANNA)) is None
        assert await world.found(asked_about(BO)) is not None
        assert await world.found(asked_about(ANNA), C) is not None
        await world.restart()


@pytest.mark.parametrize("on_disk", [False, True], ids=["in memory", "on the disk"])
async def test_what_is_said_against_somebody_ends_what_every_member_said_for_every_unit_and_purpose(
    world: CacheWorld, on_disk: bool
) -> None:
    others = [{}, {"unit": "ningbo"}, {"purpose": v.PURPOSE_AUDIT}]
    for person, party, other in itertools.product((ANNA, BO), (B, C), others):
        await world.take(asked_about(person, **other), party)
    if on_disk:
        await world.restart()
    world.cache.forget_numbers(EVERY_MEMBER, [ANNA])
    for _ in range(2):
        for party, other in itertools.product((B, C), others):
            assert await world.found(asked_about(ANNA, **other), party) is None
            assert await world.found(asked_about(BO, **other), party) is not None
        await world.restart()


@pytest.mark.parametrize("for_ms", [HOUR_MS, 0], ids=["may be given again", "may not"])
@pytest.mark.parametrize(
    "said",
    [
        {"status": [words.SURVIVAL_STATUS_DECEASED]},
        {"status": [words.SURVIVAL_STATUS_CONFLICT]},
        {"flags": [1 << words.ENTITLEMENT_FLAG_IMPRISONED]},
    ],
    ids=["dead", "in doubt", "alive with a flag"],
)
async def test_an_answer_that_speaks_against_somebody_ends_what_every_member_said_before(
    world: CacheWorld, said: dict[str, Any], for_ms: int
) -> None:
    for person in (ANNA, BO):
        await world.take(asked_about(person), C)
        await world.take(asked_about(person, unit="ningbo"))
    asked = asked_about(ANNA, purpose=v.PURPOSE_AUDIT)
    against = await world.take(asked, for_ms=for_ms, **said)
    for _ in range(2):
        assert await world.found(asked_about(ANNA), C) is None
        assert await world.found(asked_about(ANNA, unit="ningbo")) is None
        assert await world.found(asked_about(BO), C) is not None
        assert await world.found(asked_about(BO, unit="ningbo")) is not None
        assert await world.found(asked) == (against if for_ms else None)
        await world.restart()


@pytest.mark.parametrize("status", [words.SURVIVAL_STATUS_ALIVE_WEAK, words.SURVIVAL_STATUS_UNKNOWN])
async def test_a_quiet_answer_ends_nothing_of_others(world: CacheWorld, status: int) -> None:
    await world.take(asked_about(), C)
    await world.take(asked_about(unit="ningbo"))
    await world.take(asked_about(purpose=v.PURPOSE_AUDIT), status=[status])
    assert await world.found(asked_about(), C) is not None
    assert await world.found(asked_about(unit="ningbo")) is not None


async def test_what_speaks_against_somebody_under_a_linked_number_ends_what_others_said_under_it(
    world: CacheWorld,
) -> None:
    await world.take(asked_about(NEW_ANNA), C)
    links = columns_pb2.LinkColumns(subject=[0], id_number=[NEW_ANNA], since_on=[0])
    await world.take(asked_about(), status=[words.SURVIVAL_STATUS_DECEASED], links=links)
    assert await world.found(asked_about(NEW_ANNA), C) is None


async def test_an_answer_of_another_member_that_was_on_its_way_then_is_not_taken_and_a_later_one_is(
    world: CacheWorld,
) -> None:
    asked, mark = asked_about(), world.cache.mark
    alive = world.answer(asked, C)
    await world.keep(asked, alive)
    remarried = await world.take(asked, flags=[1 << words.ENTITLEMENT_FLAG_REMARRIED])
    world.cache.put(asked, alive, mark, 5.0)
    assert await world.found(asked, C) is None
    world.cache.put(asked, alive, world.cache.mark, 5.0)
    assert await world.found(asked, C) is not None, "one asked for after it is"
    assert await world.found(asked) == remarried


@pytest.mark.parametrize("restart", [False, True])
async def test_while_one_member_calls_somebody_dead_nobody_elses_alive_is_given_again(
    world: CacheWorld, restart: bool
) -> None:
    asked = asked_about()
    dead = await world.take(asked, status=[words.SURVIVAL_STATUS_DECEASED])
    if restart:
        await world.restart()
        assert await world.found(asked) == dead
    await world.take(asked, C)
    assert await world.found(asked, C) is None, "they contradict each other"
    assert await world.found(asked) == dead
    await world.take(asked, C, status=[words.SURVIVAL_STATUS_UNKNOWN])
    assert await world.found(asked, C) is not None, "who does not know a person contradicts nobody"
    await world.take(asked_about(BO), C)
    assert await world.found(asked_about(BO), C) is not None
    await world.take(asked)
    await world.take(asked, C)
    assert await world.found(asked, C) is not None, "the other has come to say the same"
    assert world.cache._doubts._by_index == {}


async def test_one_that_was_itself_on_its_way_when_a_notice_came_ends_what_others_said_all_the_same(
    world: CacheWorld,
) -> None:
    asked, mark = asked_about(), world.cache.mark
    await world.cache.invalidate(B.member_id, [world.cache.index_of(ANNA)])
    await world.take(asked, C)
    dead = world.answer(asked, status=[words.SURVIVAL_STATUS_DECEASED])
    world.cache.put(asked, dead, mark, 5.0)
    assert await world.found(asked) is None
    assert await world.found(asked, C) is None


async def test_one_answer_for_which_several_waited_is_taken_once(world: CacheWorld) -> None:
    asked, mark = asked_about(), world.cache.mark
    dead = world.answer(asked, status=[words.SURVIVAL_STATUS_DECEASED])
    await world.keep(asked, dead)
    for _ in range(3):
        world.cache.put(asked, dead, mark, 5.0)
    assert await world.found(asked) == dead


async def test_what_waits_to_be_written_or_is_being_written_goes_too(world: CacheWorld) -> None:
    """Deletions of one transaction may come before the writes that were submitted before them."""
    for being_written in (False, True):
        kept = [world.answer(asked_about(person), C) for person in (ANNA, BO)]
        world.cache.forget_numbers(EVERY_MEMBER, [CHEN])  # a deletion that the same transaction begins with
        for person, answer in zip((ANNA, BO), kept, strict=True):
            signed = SignedAnswer(answer.member_id, answer.message_id, *answer.proof, world.clock.now_ms())
            world.store.answers.submit(signed, [person])
            world.cache.put(asked_about(person), answer, world.cache.mark, 5.0)
        if being_written:
            world.cache._flush()
        world.cache.forget_numbers(EVERY_MEMBER, [ANNA])
        for _ in range(2):
            assert await world.found(asked_about(ANNA), C) is None
            assert await world.found(asked_about(BO), C) is not None
            await world.restart()


@pytest.mark.parametrize("on_disk", [False, True], ids=["in memory", "on the disk"])
async def test_a_notice_need_not_be_waited_for(world: CacheWorld, on_disk: bool) -> None:
    await world.take(asked_about())
    if on_disk:
        await world.restart()
    world.cache.forget(B.member_id, [world.cache.index_of(ANNA)])
    assert await world.found(asked_about()) is None, "at once"
    await world.restart()
    assert await world.found(asked_about()) is None, "on the disk by then"


async def test_a_notice_under_a_linked_number_ends_it_too(world: CacheWorld) -> None:
    await world.take(asked_about(), links=columns_pb2.LinkColumns(subject=[0], id_number=[NEW_ANNA], since_on=[0]))
    await world.cache.invalidate(B.member_id, [world.cache.index_of(NEW_ANNA)])
    assert await world.found(asked_about()) is None


async def test_one_about_more_linked_numbers_than_are_looked_at_is_not_taken(world: CacheWorld) -> None:
    many = [str(number) for number in range(MAX_LINKED + 1)]
    links = columns_pb2.LinkColumns(subject=[0] * len(many), id_number=many, since_on=[0] * len(many))
    await world.take(asked_about(), links=links)
    assert await world.found(asked_about()) is None


async def test_an_answer_that_was_on_its_way_when_the_notice_came_is_not_taken(world: CacheWorld) -> None:
    asked = asked_about()
    mark = world.cache.mark
    answer = world.answer(asked)
    await world.keep(asked, answer)
    await world.cache.invalidate(B.member_id, [world.cache.index_of(ANNA)])
    world.cache.put(asked, answer, mark, 5.0)
    assert await world.found(asked) is None
    world.cache.put(asked, answer, world.cache.mark, 5.0)
    assert await world.found(asked) is not None, "one asked for after it is"


async def test_where_an_ended_answer_cannot_be_deleted_nothing_is_taken_from_the_disk(world: CacheWorld) -> None:
    await world.take(asked_about())
    await world.restart()
    await world.store._writer.close()
    world.cache.forget(B.member_id, [world.cache.index_of(ANNA)])
    assert await world.found(asked_about()) is None


async def test_a_notice_while_the_answer_is_read_from_the_disk_ends_it(world: CacheWorld) -> None:
    await world.take(asked_about())
    await world.restart()
    finding = asyncio.ensure_future(world.found(asked_about()))
    await asyncio.sleep(0)
    await world.cache.invalidate(B.member_id, [world.cache.index_of(ANNA)])
    await finding
    assert await world.found(asked_about()) is None


async def test_all_of_a_member_can_be_forgotten(world: CacheWorld) -> None:
    await world.take(asked_about())
    await world.take(asked_about(), C)
    await world.cache.invalidate(B.member_id, None)
    await world.restart()
    assert await world.found(asked_about()) is None
    assert await world.found(asked_about(), C) is not None


async def test_a_partial_one_is_given_to_nobody_who_has_more_time_than_there_was(world: CacheWorld) -> None:
    await world.take(asked_about(), partial=True)
    assert await world.found(asked_about(), time_s=5.0) is not None
    assert await world.found(asked_about(), time_s=1.0) is not None
    assert await world.found(asked_about(), time_s=10.0) is None
    await world.take(asked_about(BO))
    assert await world.found(asked_about(BO), time_s=10.0) is not None, "a whole one does not get better"
    await world.restart()
    assert await world.found(asked_about(), time_s=1.0) is None, "nor is it written down"


async def test_an_outdated_one_is_shown_where_its_author_allows(world: CacheWorld) -> None:
    await world.take(asked_about(ANNA), stale_ms=HOUR_MS)
    await world.take(asked_about(BO))
    world.clock.advance(3600)
    world.directory.replace(A, B, C)
    assert await world.found(asked_about(ANNA)) is None
    assert await world.outdated(asked_about(ANNA)) is not None
    assert await world.outdated(asked_about(BO)) is None
    world.clock.advance(3600)
    assert await world.outdated(asked_about(ANNA)) is None


async def test_none_is_shown_outdated_where_the_gateway_is_not_set_to(world: CacheWorld, tmp_path: Path) -> None:
    async with stored(tmp_path / "other", world.clock) as store:
        strict = CacheWorld(store, world.clock, stale_if_unreachable=False)
        await strict.take(asked_about(), stale_ms=HOUR_MS)
        world.clock.advance(3600)
        assert await strict.outdated(asked_about()) is None
        await strict.cache.close()


async def test_memory_is_bounded_and_the_rest_comes_from_the_disk(world: CacheWorld, tmp_path: Path) -> None:
    async with stored(tmp_path / "other", world.clock) as store:
        small = CacheWorld(store, world.clock, memory_bytes=8_000)
        await small.cache.open()
        people = [ANNA, BO, CHEN, NEW_ANNA]
        for person in people:
            await small.take(asked_about(person))
        small.cache._flush()
        await asyncio.gather(*small.cache._writes)
        await asyncio.sleep(0)
        assert 0 < len(small.cache._memory) < len(people)
        assert [await small.found(asked_about(person)) is not None for person in people] == [True] * 4
        assert small.cache._memory.size <= 8_000
        await small.cache.close()


class Written:
    """What a cache has written, a number of rows each time; of the first part not before it is allowed."""

    def __init__(self, world: CacheWorld, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sizes: list[int] = []
        self.go = asyncio.Event()
        self._submit = world.store.reusable.submit
        monkeypatch.setattr(world.store.reusable, "submit", self.submit)

    def submit(self, changes: Changes) -> asyncio.Future[list[bytes]]:
        self.sizes.append(len(changes.rows))
        return asyncio.ensure_future(self._later(changes))

    async def _later(self, changes: Changes) -> list[bytes]:
        await self.go.wait()
        return await self._submit(changes)


async def test_what_waits_is_written_a_part_at_a_time_and_what_was_let_go_meanwhile_never(
    world: CacheWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_cache, "ROWS_AT_ONCE", 2)
    written = Written(world, monkeypatch)
    people = [ANNA, BO, CHEN, NEW_ANNA]
    for person in people:
        await world.take(asked_about(person))
    await world.take(asked_about(ANNA, unit="ningbo"))
    await world.take(asked_about(BO, unit="ningbo"))
    world.cache._flush()
    world.cache._flush()
    for _ in range(5):
        await asyncio.sleep(0)
    assert written.sizes == [2], "the next part waits for this one"
    world.cache.forget_numbers(EVERY_MEMBER, [NEW_ANNA])
    late = await world.take(asked_about(NEW_ANNA, unit="ningbo"))
    written.go.set()
    await world.cache.close()
    assert (sum(written.sizes), max(written.sizes)) == (6, 2), "one was let go, one came meanwhile"
    await world.restart()
    found = [await world.found(asked_about(person)) is not None for person in people]
    assert found == [True, True, True, False]
    assert await world.found(asked_about(NEW_ANNA, unit="ningbo")) == late


async def test_where_nothing_can_be_written_what_waits_is_lost_and_nothing_goes_on_for_ever(
    world: CacheWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_cache, "ROWS_AT_ONCE", 2)
    tries = 0

    def refuse(_changes: Changes) -> asyncio.Future[list[bytes]]:
        nonlocal tries
        tries += 1
        raise StoreError("too much is waiting", "等待写入的过多", retryable=True)

    for person in (ANNA, BO, CHEN, NEW_ANNA):
        await world.take(asked_about(person))
    await world.take(asked_about(ANNA, unit="ningbo"))
    monkeypatch.setattr(world.store.reusable, "submit", refuse)
    await world.cache.close()
    assert tries == 3
    monkeypatch.undo()
    await world.restart()
    assert await world.found(asked_about(ANNA)) is None


class _Answer:
    """As much of an answer as the memory looks at."""

    def __init__(self, member_id: str, payload_bytes: int) -> None:
        self.member_id = member_id
        self.proof = type("Proof", (), {"header": b"", "path": b"", "payload": bytes(payload_bytes)})()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["put", "drop", "people", "member", "get"]),
            st.integers(0, 5),
            st.integers(0, 2),
            st.integers(0, 3000),
        ),
        max_size=60,
    )
)
def test_whatever_is_put_and_dropped_memory_stays_within_its_bound_and_forgets_whole(
    steps: list[tuple[str, int, int, int]],
) -> None:
    memory, all_held = Memory(20_000), []
    for what, key, member, size in steps:
        if what == "put":
            held = Held(
                bytes([key]),
                _Answer(str(member), size),  # type: ignore[arg-type]
                received_at_ms=0,
                cacheable_until_ms=1,
                stale_until_ms=0,
                directory=b"",
                indexes=frozenset({bytes([key % 3]), bytes([size % 3])}),
            )
            all_held.append(held)
            memory.put(held)
        elif what == "drop":
            memory.drop(bytes([key]))
        elif what == "people":
            whose = str(member) if size % 2 else EVERY_MEMBER
            gone = [h for h in all_held if h.alive and bytes([key % 3]) in h.indexes]
            gone = [h for h in gone if whose in (EVERY_MEMBER, h.answer.member_id)]
            others = [h for h in all_held if h.alive and h not in gone]
            memory.drop_people(whose, [bytes([key % 3])])
            assert not any(h.alive for h in gone)
            assert all(h.alive for h in others)
        elif what == "member":
            memory.drop_member(str(member))
            assert str(member) not in memory.members()
        else:
            found = memory.get(bytes([key]))
            assert found is None or found.alive
        alive = [held for held in all_held if held.alive]
        assert len(memory) == len(alive)
        assert memory.size == sum(held.size for held in alive) <= 20_000
    for held in all_held:
        memory.drop(held.key)
    assert (len(memory), memory.size, memory._by_index) == (0, 0, {})


async def test_an_answer_on_the_disk_is_found_however_many_others_are_ended_meanwhile(
    world: CacheWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.take(asked_about())
    await world.restart()
    deletions: list[asyncio.Future[list[bytes]]] = []

    def slowly(*_: Any, **__: Any) -> asyncio.Future[list[bytes]]:
        deletions.append(asyncio.get_running_loop().create_future())
        return deletions[-1]

    monkeypatch.setattr(world.cache._reusable, "drop", slowly)
    world.cache.forget_numbers(EVERY_MEMBER, [BO])
    asking = asyncio.create_task(world.found(asked_about()))
    for _ in range(200):  # before one has gone, the next is to go
        await asyncio.sleep(0.001)
        world.cache.forget_numbers(EVERY_MEMBER, [CHEN])
        deletions.pop(0).set_result([])
        if asking.done():
            break
    done = asking.done()
    for deletion in deletions:
        deletion.set_result([])
    assert await asking is not None
    assert done, "whoever asks waits for as long as anything is ended"


@pytest.mark.parametrize("all_of_the_member", [False, True])
async def test_an_answer_that_is_ended_while_it_is_read_from_the_disk_is_not_found(
    world: CacheWorld, monkeypatch: pytest.MonkeyPatch, all_of_the_member: bool
) -> None:
    await world.take(asked_about())
    await world.restart()
    find, drop = world.cache._reusable.find, world.cache._reusable.drop

    async def ended_then(key: bytes) -> Reusable | None:
        row = await find(key)
        # The deletion itself takes its time.
        monkeypatch.setattr(world.cache._reusable, "drop", lambda *_, **__: asyncio.get_running_loop().create_future())
        if all_of_the_member:
            world.cache.forget(B.member_id, None)
        else:
            world.cache.forget_numbers(EVERY_MEMBER, [ANNA])
        return row

    monkeypatch.setattr(world.cache._reusable, "find", ended_then)
    found = await world.found(asked_about())
    monkeypatch.setattr(world.cache._reusable, "drop", drop)
    for deletion in world.cache._drops:
        deletion.set_result([])
    assert found is None
