"""From a record in a department of B to a notice at a unit of A, and back again when the record is withdrawn."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import pytest

from gateway.access.terms import Quotas
from gateway.errors import RefusedError
from gateway.exchange.envelope import verify_proof
from gateway.exchange.tokens import PairKey
from gateway.federation.subscribing import Wanted
from gateway.inquiry.holdups import HoldUp
from gateway.observing import tracing
from gateway.post.letters import Handled, Received
from gateway.store.ended import EVERY_MEMBER
from gateway.store.inbox import WAITING
from gateway.store.subscriptions import ACTIVE, PENDING, REFUSED
from tests.unit.adapters.adapters_world import number
from tests.unit.federation.cache_world import CacheWorld, asked_about
from tests.unit.notices.notices_world import (
    DEPENDANT,
    PENSION,
    Feed,
    Silent,
    death,
    findings_of,
    world,
)
from tests.unit.observing.traced_world import TracedWorld, ways
from tests.unit.post.post_world import DAY_MS, until
from tests.unit.rules.rules_world import row
from tests.unit.services.gateways_world import ANNA, BO, CHEN, NAMES, NEW_ANNA, UNIT, A, B, C, digest_of, policy, terms
from tests.unit.store.store_world import cells
from wugan.adapter.v1 import vocabulary_pb2 as v
from wugan.federation.v1 import vocabulary_pb2 as words

DECEASED, UNKNOWN = words.SURVIVAL_STATUS_DECEASED, words.SURVIVAL_STATUS_UNKNOWN
CONFLICT = words.SURVIVAL_STATUS_CONFLICT
VISIT = row("OUTPATIENT", 5, region=340100)


async def test_a_death_recorded_at_b_is_told_to_the_unit_that_pays(tmp_path: Path) -> None:
    civil = Feed({ANNA: [VISIT]})
    async with world(tmp_path, civil) as w:
        assert await w.subscribe(ANNA) == 1
        civil.record(ANNA, VISIT, death())
        await w.settle()
        (told,) = await w.told()
        assert (told.id_number, told.name, told.kept.sequence) == (ANNA, NAMES[ANNA], 1)
        assert findings_of(told).status[0] == DECEASED
        assert findings_of(told).decided_on[0]
        assert [each.standing for each in await w.standing()] == [ACTIVE]


async def test_a_look_at_changed_people_and_what_is_told_because_of_it_is_one_trace_without_a_word_of_them(
    tmp_path: Path,
) -> None:
    civil = Feed({ANNA: [VISIT]})
    async with world(tmp_path, civil) as w:
        await w.subscribe(ANNA)
        traced = TracedWorld(tmp_path / "spans.jsonl")
        try:
            civil.record(ANNA, VISIT, death())
            await w.settle()
            # Either side has it on the disk before the span around that is over.
            await until(lambda: {"deliver", "handle"} <= {span["name"] for span in traced.so_far()}, "it is traced")
            spans = traced.written()
        finally:
            tracing.use(None)
    (look,) = [span for span in spans if span["name"] == "notice"]
    assert look["attributes"] == {"people": 1, "told": 1}
    trace = [span for span in spans if span["trace"] == look["trace"]]
    assert {tuple(span["name"] for span in way) for way in ways(trace)} == {
        ("notice",),
        ("notice", "lookup"),
        ("notice", "grade"),
        ("notice", "record"),
        ("notice", "deliver"),
        ("notice", "deliver", "seal"),
        ("notice", "deliver", "exchange"),
        ("notice", "deliver", "open"),
        ("notice", "deliver", "record"),
    }
    others = [span for span in spans if span not in trace]
    assert {tuple(span["name"] for span in way) for way in ways(others)} == {("handle",), ("handle", "record")}
    text = traced.path.read_text("utf-8")
    assert not any(word in text for word in (ANNA, NAMES[ANNA], UNIT))


async def test_where_nobody_changed_no_look_is_traced(tmp_path: Path) -> None:
    async with world(tmp_path, Feed({ANNA: [VISIT]})) as w:
        traced = TracedWorld(tmp_path / "spans.jsonl")
        try:
            assert await w.noticing.once() == 0
            assert traced.written() == []
        finally:
            tracing.use(None)


async def test_nothing_is_told_twice_and_nothing_of_people_nobody_subscribed_for(tmp_path: Path) -> None:
    civil = Feed({ANNA: [VISIT], BO: [VISIT]})
    async with world(tmp_path, civil) as w:
        await w.subscribe(ANNA)
        civil.record(ANNA, death())
        civil.record(BO, death())
        await w.settle()
        asked = len(civil.asked)
        civil.record(ANNA, death())
        await w.settle()
        assert await w.statuses() == [DECEASED]
        assert BO not in {number for each in civil.asked[:asked] for number in each.subjects.id_number if each.kinds}
        assert await w.b.store.changes.waiting() == (0, 0)


async def test_a_withdrawn_record_takes_the_notice_back(tmp_path: Path) -> None:
    civil = Feed({ANNA: [VISIT]})
    async with world(tmp_path, civil) as w:
        await w.subscribe(ANNA)
        civil.record(ANNA, VISIT, death())
        await w.settle()
        civil.record(ANNA, VISIT)
        await w.settle()
        first, second = await w.told()
        assert first.kept.retracted
        assert (second.kept.retracts_from, second.kept.retracted) == (1, False)
        assert findings_of(second).status[0] in (1, 2, 3)


async def test_a_judgment_that_is_withdrawn_takes_its_notice_back_and_one_that_was_served_does_not(
    tmp_path: Path,
) -> None:
    courts = Feed({ANNA: [], BO: []}, department=v.DEPARTMENT_COURTS)
    since, until = "2026-01-10", "2031-01-09"
    sentence = row("SENTENCE", 60, detail=v.PENALTY_KIND_FIXED_TERM, since=since, until=until)
    served = row("SENTENCE", 60, detail=v.PENALTY_KIND_FIXED_TERM, since=since, until="2026-05-01")
    async with world(tmp_path, courts) as w:
        await w.subscribe(ANNA)
        await w.subscribe(BO)
        for number in (ANNA, BO):
            courts.record(number, sentence)
        await w.settle()
        courts.record(ANNA)
        courts.record(BO, served)
        await w.settle()
        told = {number: [each.kept for each in await w.told() if each.id_number == number] for number in (ANNA, BO)}
        assert [(each.retracts_from, each.retracted) for each in told[ANNA]] == [(0, True), (1, False)]
        assert [(each.retracts_from, each.retracted) for each in told[BO]] == [(0, False), (0, False)]


async def test_nothing_is_taken_back_while_the_department_that_told_it_is_out_of_use(tmp_path: Path) -> None:
    """Suspended by an administrator: nobody asks it any more, and the answer is whole without it."""
    civil, police = Feed({ANNA: [VISIT]}), Feed({ANNA: [VISIT]}, department=v.DEPARTMENT_PUBLIC_SECURITY)
    async with world(tmp_path, civil, police) as w:
        await w.subscribe(ANNA)
        civil.record(ANNA, VISIT, death())
        await w.settle()
        assert await w.statuses() == [DECEASED]
        sources = w.departments.sources
        both = sources.hand.live
        sources.use([source for source in both if source.adapter is police])
        police.record(ANNA, VISIT)
        await w.settle()
        assert await w.statuses() == [DECEASED], "a death is taken back because nobody asks who told it"
        assert (await w.b.store.changes.waiting())[0] == 1
        (overdue,) = await w.b.store.changes.overdue(w.clock.now_ms() + 1)
        assert overdue.why == HoldUp.OUT_OF_USE
        sources.use(both)
        civil.people[ANNA] = [VISIT]
        await w.looked_again()
        death_told, correction = await w.told()
        assert (death_told.kept.retracted, correction.kept.retracts_from) == (True, 1)


async def test_what_departments_told_that_were_removed_for_good_is_taken_back_when_the_others_find_less(
    tmp_path: Path,
) -> None:
    """As long as one of them is only away, nothing is; who is not heard of it is on record."""
    civil, courts = Feed({ANNA: [VISIT]}), Feed({ANNA: []}, department=v.DEPARTMENT_COURTS)
    police = Feed({ANNA: [VISIT]}, department=v.DEPARTMENT_PUBLIC_SECURITY)
    insurance = Silent({}, department=v.DEPARTMENT_HEALTH_INSURANCE)
    async with world(tmp_path, civil, courts, police, insurance) as w:
        await w.subscribe(ANNA)
        civil.people[ANNA] = [VISIT, death()]
        courts.record(ANNA, row("DECLARED_DEAD", 3))
        await w.settle()
        assert await w.statuses() == [DECEASED]
        sources = w.departments.sources
        sources.use([source for source in sources.hand.live if source.adapter in (police, insurance)])
        police.record(ANNA, VISIT)
        for gone in (frozenset[int](), frozenset({v.DEPARTMENT_CIVIL_AFFAIRS}), frozenset({v.DEPARTMENT_BANKS})):
            w.gone = gone
            w.clock.advance(3600)
            await w.settle()
            assert await w.statuses() == [DECEASED], "taken back though one who told it is only away"
        w.gone = frozenset({v.DEPARTMENT_CIVIL_AFFAIRS, v.DEPARTMENT_COURTS})
        insurance.down()
        w.clock.advance(3600)
        await w.settle()
        assert await w.statuses() == [DECEASED], "taken back of an answer that is not whole"
        insurance.up()
        await w.looked_again()
        told, correction = await w.told()
        assert (told.kept.retracted, correction.kept.retracts_from) == (True, 1)
        heard = [source.department for source in findings_of(correction).sources]
        assert heard == [police.about.department, insurance.about.department], "it says on whose answer it is told"
        (recorded,) = [each.decision for each in await w.recorded(w.b) if "notice 2" in each.decision]
        assert "without CIVIL_AFFAIRS, COURTS: removed for good" in recorded


async def test_a_notice_that_comes_after_its_correction_is_told_as_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dead letter that an operator sends again goes to the end of the order."""

    def refuse(*_: object) -> None:
        raise RefusedError("no", "不", reason=words.REFUSAL_REASON_NOT_SERVED)

    civil = Feed({ANNA: [VISIT]})
    async with world(tmp_path, civil) as w:
        await w.subscribe(ANNA)
        civil.record(ANNA, VISIT, death())
        with monkeypatch.context() as patched:
            patched.setattr(w.noticed, "check", refuse)
            await w.settle()
        w.clock.advance(60)
        civil.record(ANNA, VISIT)
        await w.settle()
        (dead,) = await w.b.store.post_office.letters()
        assert await w.b.store.post_office.retry_letter(dead.delivery_id, w.clock.now_ms())
        await w.delivered()
        correction, death_again = await w.told()
        assert (correction.kept.sequence, correction.kept.retracts_from) == (2, 1)
        assert findings_of(death_again).status[0] == DECEASED
        assert death_again.kept.retracted, "the death stands after it was taken back"


async def test_a_notice_of_a_new_subscription_is_not_taken_back_by_what_corrected_the_earlier_one(
    tmp_path: Path,
) -> None:
    civil = Feed({ANNA: [VISIT]})
    async with world(tmp_path, civil) as w:
        await w.subscribe(ANNA)
        for rows in ((VISIT, death()), (VISIT,)):
            civil.record(ANNA, *rows)
            await w.settle()
        await w.subscribing.unsubscribe(UNIT, [(ANNA, 0)])
        await w.delivered()
        w.clock.advance(60)
        await w.subscribe(ANNA)
        civil.record(ANNA, VISIT, death())
        await w.settle()
        told = await w.told()
        assert [(each.kept.sequence, each.kept.retracted) for each in told] == [(1, True), (2, False), (1, False)]


async def test_a_declaration_of_death_that_is_revoked_takes_the_notice_back(tmp_path: Path) -> None:
    courts = Feed({ANNA: [VISIT]}, department=v.DEPARTMENT_COURTS)
    declared, revoked = row("DECLARED_DEAD", 40), row("DEATH_DECLARATION_REVOKED", 2)
    async with world(tmp_path, courts) as w:
        await w.subscribe(ANNA)
        courts.record(ANNA, declared)
        await w.settle()
        courts.record(ANNA, declared, revoked)
        await w.settle()
        first, second = await w.told()
        assert findings_of(first).status[0] in (DECEASED, words.SURVIVAL_STATUS_DECEASED_SUSPECTED)
        assert second.kept.retracts_from == 1


async def test_a_visit_to_a_doctor_is_nobodys_news(tmp_path: Path) -> None:
    insurance = Feed({ANNA: [VISIT]})
    async with world(tmp_path, insurance) as w:
        await w.subscribe(ANNA)
        insurance.record(ANNA, VISIT, row("OUTPATIENT", 1))
        await w.settle()
        assert await w.told() == []


async def test_somebody_unknown_today_is_found_once_a_department_knows_them(tmp_path: Path) -> None:
    civil = Feed({})
    async with world(tmp_path, civil) as w:
        await w.subscribe(CHEN)
        await w.settle()
        assert await w.told() == []
        civil.record(CHEN, death())
        await w.settle()
        assert await w.statuses() == [DECEASED]


async def test_a_person_subscribed_for_under_an_old_number_is_found(tmp_path: Path) -> None:
    civil = Feed({NEW_ANNA: [VISIT]}, links={NEW_ANNA: ANNA, ANNA: NEW_ANNA})
    async with world(tmp_path, civil) as w:
        await w.subscribe(ANNA)
        civil.record(NEW_ANNA, death())
        await w.settle()
        (told,) = await w.told()
        assert told.id_number == ANNA
        assert findings_of(told).status[0] == DECEASED


async def test_a_person_subscribed_for_under_a_number_of_three_changes_ago_is_found(tmp_path: Path) -> None:
    """A register of corrections tells the number before, and no more."""
    second, third = number(61), number(62)
    names = dict.fromkeys((ANNA, second, third, NEW_ANNA), NAMES[ANNA])
    civil = Feed({NEW_ANNA: [VISIT]}, links={NEW_ANNA: third}, names=names, department=v.DEPARTMENT_CIVIL_AFFAIRS)
    steps = {third: second, second: ANNA}
    held = {each: [] for each in names}
    police = Silent(held, links=steps, names=names, department=v.DEPARTMENT_PUBLIC_SECURITY)
    async with world(tmp_path, civil, police) as w:
        await w.subscribe(ANNA)
        civil.record(NEW_ANNA, death())
        await w.settle()
        (told,) = await w.told()
        assert told.id_number == ANNA
        assert findings_of(told).status[0] == DECEASED


async def test_another_name_under_the_number_is_an_identity_conflict_and_nothing_else(tmp_path: Path) -> None:
    civil = Feed({ANNA: [VISIT]})
    async with world(tmp_path, civil) as w:
        await w.subscribe(ANNA, name="另有其人")
        civil.record(ANNA, death())
        await w.settle()
        (told,) = await w.told()
        findings = findings_of(told)
        assert findings.status[0] == CONFLICT
        assert findings.flags[0] == 1 << words.ENTITLEMENT_FLAG_IDENTITY_CONFLICT
        assert not findings.evidence.subject


@pytest.mark.parametrize(("name", "status"), [("", DECEASED), ("另有其人", CONFLICT)])
async def test_a_department_without_names_learns_them_from_another(tmp_path: Path, name: str, status: int) -> None:
    civil = Feed({ANNA: [VISIT]}, named=False, names={ANNA: ""}, department=v.DEPARTMENT_CIVIL_AFFAIRS)
    police = Silent({ANNA: [VISIT]}, department=v.DEPARTMENT_PUBLIC_SECURITY)
    async with world(tmp_path, civil, police) as w:
        await w.subscribe(ANNA, name=name)
        civil.record(ANNA, death())
        await w.settle()
        assert await w.statuses() == [status]


async def test_alarming_news_does_not_wait_for_a_silent_department(tmp_path: Path) -> None:
    civil, bank = Feed({ANNA: [VISIT]}), Silent({}, department=v.DEPARTMENT_BANKS)
    async with world(tmp_path, civil, bank) as w:
        await w.subscribe(ANNA)
        bank.error = RuntimeError()
        civil.record(ANNA, death())
        await w.settle()
        (told,) = await w.told()
        assert findings_of(told).partial


async def test_nothing_is_taken_back_while_a_department_is_silent(tmp_path: Path) -> None:
    civil = Feed({ANNA: [VISIT]}, department=v.DEPARTMENT_CIVIL_AFFAIRS)
    police = Silent({ANNA: [death()]}, department=v.DEPARTMENT_HEALTH)
    async with world(tmp_path, civil, police) as w:
        await w.subscribe(ANNA)
        civil.record(ANNA, VISIT, row("OUTPATIENT", 2))
        await w.settle()
        before = await w.statuses()
        assert before
        police.error = RuntimeError()
        civil.record(ANNA, VISIT)
        await w.settle()
        assert await w.statuses() == before
        assert (await w.b.store.changes.waiting())[0] == 1
        police.error = None
        police.people = {ANNA: [VISIT]}
        await w.looked_again()
        *_, last = await w.told()
        assert last.kept.retracts_from == 1


async def test_a_person_whose_linked_numbers_are_not_known_yet_is_not_lost(tmp_path: Path) -> None:
    civil = Feed({NEW_ANNA: [VISIT]}, department=v.DEPARTMENT_CIVIL_AFFAIRS)
    police = Silent({NEW_ANNA: []}, department=v.DEPARTMENT_PUBLIC_SECURITY, links={NEW_ANNA: ANNA, ANNA: NEW_ANNA})
    async with world(tmp_path, civil, police) as w:
        await w.subscribe(ANNA)
        police.error = RuntimeError()
        civil.record(NEW_ANNA, death())
        await w.settle()
        assert await w.told() == []
        police.error = None
        await w.looked_again()
        assert [each.id_number for each in await w.told()] == [ANNA]


async def test_each_unit_is_told_of_its_own_and_of_its_benefit(tmp_path: Path) -> None:
    civil = Feed({ANNA: [VISIT]}, department=v.DEPARTMENT_CIVIL_AFFAIRS)
    async with world(tmp_path, civil) as w:
        await w.subscribe(ANNA, unit="hangzhou", benefit=DEPENDANT)
        await w.subscribe(ANNA, benefit=PENSION)
        civil.record(ANNA, VISIT, row("MARRIAGE", 4))
        await w.settle()
        assert await w.told() == []
        (told,) = await w.told("hangzhou")
        assert findings_of(told).flags[0] == 1 << words.ENTITLEMENT_FLAG_REMARRIED
        civil.record(ANNA, death())
        await w.settle()
        assert len(await w.told()) == 1
        assert len(await w.told("hangzhou")) == 2
        assert await w.told("wenzhou") == []


async def test_a_unit_goes_on_from_its_cursor(tmp_path: Path) -> None:
    civil = Feed({ANNA: [VISIT], BO: [VISIT]})
    async with world(tmp_path, civil) as w:
        await w.subscribe(ANNA, BO)
        civil.record(ANNA, death())
        await w.settle()
        (first,) = await w.told()
        civil.record(BO, death())
        await w.settle()
        assert [each.id_number for each in await w.told(after=first.kept.number)] == [BO]


async def test_the_notice_can_be_proved_later(tmp_path: Path) -> None:
    civil = Feed({ANNA: [VISIT]})
    async with world(tmp_path, civil) as w:
        await w.subscribe(ANNA)
        civil.record(ANNA, death())
        await w.settle()
        (told,) = await w.told()
        answer = told.checked.results[0].answer
        assert answer is not None
        directory = w.a.directory.current()
        verify_proof(answer.proof, directory.verify_key(B.member_id, B.signing.key_id, w.clock.now_ms()))


async def test_the_cache_is_told_whom_it_must_forget(tmp_path: Path) -> None:
    civil = Feed({ANNA: [VISIT]})
    async with world(tmp_path, civil) as w:
        await w.subscribe(ANNA)
        civil.record(ANNA, death())
        await w.settle()
        await until(lambda: w.cached)  # told right after the commit by which it counts as dealt with
        ((member, blind_index),) = w.cached
        assert member == EVERY_MEMBER, "it speaks against what anybody said"
        assert blind_index == (await w.standing())[0].blind_index


async def test_of_a_notice_that_does_not_speak_against_the_person_only_its_senders_answers_go(tmp_path: Path) -> None:
    civil = Feed({ANNA: [VISIT]})
    async with world(tmp_path, civil) as w:
        await w.subscribe(ANNA)
        civil.record(ANNA, death())
        await w.settle()
        await until(lambda: w.cached)
        w.cached.clear()
        civil.record(ANNA, VISIT)  # the death was a mistake
        await w.settle()
        await until(lambda: w.cached)
        assert [member for member, _ in w.cached] == [B.member_id]


async def test_a_gateway_killed_before_its_cache_heard_of_a_notice_gives_no_earlier_answer_again(
    tmp_path: Path,
) -> None:
    civil = Feed({ANNA: [VISIT]})
    async with world(tmp_path, civil) as w:
        await w.subscribe(ANNA)
        cached = CacheWorld(w.a.store, w.clock)
        for party, person in itertools.product((B, C), (ANNA, BO)):
            await cached.take(asked_about(person), party)
        await cached.restart()
        civil.record(ANNA, death())
        await w.settle()  # what follows a commit in this process does not come to pass here: it is as if it was killed
        cached.cache = cached.again()
        await cached.cache.open()
        for party in (B, C):
            assert await cached.found(asked_about(BO), party) is not None
            assert await cached.found(asked_about(ANNA), party) is None, "alive, a moment after the notice of the death"


async def test_who_unsubscribed_is_told_no_more(tmp_path: Path) -> None:
    civil = Feed({ANNA: [VISIT], BO: [VISIT]})
    async with world(tmp_path, civil) as w:
        await w.subscribe(ANNA, BO)
        assert await w.subscribing.unsubscribe(UNIT, [(ANNA, 0)]) == 1
        await w.delivered()
        assert await w.b.store.watches.count(A.member_id) == 1
        civil.record(ANNA, death())
        civil.record(BO, death())
        await w.settle()
        assert [each.id_number for each in await w.told()] == [BO]


async def test_a_subscription_that_is_not_renewed_ends_and_one_that_is_goes_on(tmp_path: Path) -> None:
    civil = Feed({ANNA: [VISIT], BO: [VISIT]})
    async with world(tmp_path, civil, lease_days=15.0) as w:
        await w.subscribe(ANNA, days=40)
        await w.subscribe(BO, days=6)
        assert await w.subscribing.renew() == 0
        w.clock.advance(8 * 86_400)
        assert await w.subscribing.renew() == 1
        await w.delivered()
        w.clock.advance(10 * 86_400)
        civil.record(ANNA, death())
        civil.record(BO, death())
        await w.settle()
        assert [each.id_number for each in await w.told()] == [ANNA]
        while await w.b.store.watches.purge(w.clock.now_ms()):
            pass
        assert await w.b.store.watches.count(A.member_id) == 1


async def test_renewing_does_not_tell_again_what_was_told(tmp_path: Path) -> None:
    civil = Feed({ANNA: [VISIT]})
    async with world(tmp_path, civil) as w:
        await w.subscribe(ANNA)
        civil.record(ANNA, death())
        await w.settle()
        await w.subscribe(ANNA)
        civil.record(ANNA, death())
        await w.settle()
        assert await w.statuses() == [DECEASED]
        assert await w.b.store.watches.count(A.member_id) == 1


async def test_a_member_without_a_grant_is_refused_and_learns_it(tmp_path: Path) -> None:
    civil = Feed({ANNA: [VISIT]})
    async with world(tmp_path, civil) as w:
        w.allow(policy(terms(purposes=frozenset({v.PURPOSE_CERTIFICATION}))))
        await w.subscribe(ANNA)
        (standing,) = await w.standing()
        assert (standing.standing, standing.reason) == (REFUSED, words.REFUSAL_REASON_PURPOSE_NOT_PERMITTED)
        civil.record(ANNA, death())
        await w.settle()
        assert await w.told() == []
        w.allow(policy(terms()))
        w.clock.advance(86_401)
        assert await w.subscribing.renew() == 1
        await w.delivered()
        assert [each.standing for each in await w.standing()] == [ACTIVE]


async def test_a_grant_withdrawn_later_stops_the_notices(tmp_path: Path) -> None:
    civil = Feed({ANNA: [VISIT]})
    async with world(tmp_path, civil) as w:
        await w.subscribe(ANNA)
        w.allow(policy())
        civil.record(ANNA, death())
        await w.settle()
        assert await w.told() == []
        refused = [event for event in await w.recorded(w.b) if event.outcome]
        assert [event.outcome for event in refused] == [words.REFUSAL_REASON_MEMBER_NOT_PERMITTED]


async def test_a_notice_counts_against_the_quota_and_waits_for_room(tmp_path: Path) -> None:
    civil = Feed({ANNA: [VISIT], BO: [VISIT]})
    async with world(tmp_path, civil) as w:
        await w.subscribe(ANNA, BO)
        w.allow(policy(terms(quotas=Quotas(minute=1))))
        civil.record(ANNA, death())
        civil.record(BO, death())
        await w.settle()
        assert len(await w.told()) == 1
        w.clock.advance(61)
        await w.settle()
        assert len(await w.told()) == 2


async def test_more_people_than_the_grant_expects_are_refused(tmp_path: Path) -> None:
    async with world(tmp_path, Feed({})) as w:
        w.allow(policy(terms(roster=2)))
        await w.subscribe(ANNA, BO, CHEN)
        assert {each.standing for each in await w.standing()} == {ACTIVE}
        await w.subscribe(ANNA, BO, CHEN)  # renewing takes no more room
        assert {each.standing for each in await w.standing()} == {ACTIVE}
        await w.subscribe(NEW_ANNA)
        assert sorted(each.standing for each in await w.standing()) == [ACTIVE, ACTIVE, ACTIVE, REFUSED]


async def test_nor_are_they_taken_in_where_they_come_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(tmp_path, Feed({})) as w:
        w.allow(policy(terms(roster=2)))
        all_there, handle = asyncio.Event(), w.registering.handle
        started: list[bytes] = []

        async def held(delivery: Received) -> Handled:
            started.append(delivery.delivery_id)
            await all_there.wait()
            return await handle(delivery)

        monkeypatch.setattr(w.registering, "handle", held)
        monkeypatch.setattr(w.a.store, "order_key", lambda *_: b"")  # A need not have them dealt with in order
        people = [(number(at), number(at + 1)) for at in range(10, 30, 2)]
        asking = asyncio.gather(*(w.subscribe(*each) for each in people))
        while (await w.b.store.inbox.counts()).get(WAITING, 0) < len(people):
            await asyncio.sleep(0)
        assert len(started) <= 1
        all_there.set()
        await asking
        standing = [each.standing for each in await w.standing()]
        assert (standing.count(ACTIVE), standing.count(REFUSED)) == (2, 18)


async def test_a_member_whose_departments_tell_nothing_says_so(tmp_path: Path) -> None:
    async with world(tmp_path, Silent({})) as w:
        await w.subscribe(ANNA)
        (standing,) = await w.standing()
        assert standing.reason == words.REFUSAL_REASON_NOT_SERVED


async def test_a_protected_person_is_never_told_of(tmp_path: Path) -> None:
    civil = Feed({ANNA: [VISIT]})
    async with world(tmp_path, civil) as w:
        await w.subscribe(ANNA)
        w.allow(policy(terms(), protected=frozenset({digest_of(ANNA)})))
        civil.record(ANNA, death())
        await w.settle()
        assert await w.told() == []


async def test_b_keeps_no_number_and_no_name_of_whom_a_pays(tmp_path: Path) -> None:
    async with world(tmp_path, Feed({})) as w:
        await w.subscribe(ANNA, BO)
        for cell in cells(w.b.store):
            raw = cell.encode() if isinstance(cell, str) else cell or b""
            assert ANNA.encode() not in raw
            assert NAMES[ANNA].encode() not in raw


async def test_each_member_gets_tokens_of_its_own(tmp_path: Path) -> None:
    async with world(tmp_path, Feed({})) as w:
        await w.subscribe(ANNA)
        (group,) = await w.b.store.watches.groups()
        other = await w.a.store.subscriptions.key("1" * 18, *PairKey.fresh())
        assert PairKey(*other).token(ANNA) != PairKey(group.key_id, group.secret).token(ANNA)


async def test_everything_is_recorded_on_both_sides(tmp_path: Path) -> None:
    civil = Feed({ANNA: [VISIT]})
    async with world(tmp_path, civil) as w:
        await w.subscribe(ANNA)
        civil.record(ANNA, death())
        await w.settle()
        civil.record(ANNA, death())
        await w.settle()
        here, there = await w.recorded(w.a), await w.recorded(w.b)
        assert [event.decision for event in here] == ["subscribed to notices", "notice 1 received"]
        assert there[0].decision == "subscribed to notices"
        assert "notice 1" in there[1].decision
        assert "nothing to tell" in there[2].decision
        assert {event.purpose for event in here + there} == {v.PURPOSE_CHANGE_MONITORING}
        assert there[1].message_id == here[1].message_id


async def test_a_restart_in_the_middle_loses_nothing_and_tells_nothing_twice(tmp_path: Path) -> None:
    civil = Feed({ANNA: [VISIT], BO: [VISIT]})
    async with world(tmp_path, civil) as w:
        await w.subscribe(ANNA, BO)
        civil.record(ANNA, death())
        await w.look()
    async with world(tmp_path, civil) as w:
        civil.record(BO, death())
        await w.settle()
        assert sorted(each.id_number for each in await w.told()) == [ANNA, BO]
    async with world(tmp_path, civil) as w:
        await w.settle()
        assert len(await w.told()) == 2


async def test_a_partner_that_was_away_gets_its_notices_in_order(tmp_path: Path) -> None:
    civil = Feed({ANNA: [VISIT]})
    async with world(tmp_path, civil) as w:
        await w.subscribe(ANNA)
        door, w.b.wire.door = w.b.wire.door, None
        for rows in ((VISIT, death()), (VISIT,), (VISIT, death(2))):
            civil.record(ANNA, *rows)
            await w.look()
            while await w.noticing.once():
                pass
        assert await w.b.waiting() == 3
        w.b.wire.door = door
        w.clock.advance(3_600)
        await w.delivered()
        assert [each.kept.sequence for each in await w.told()] == [1, 2, 3]
        assert [each.kept.retracted for each in await w.told()] == [True, False, False]


async def test_pending_until_the_other_side_has_spoken(tmp_path: Path) -> None:
    async with world(tmp_path, Feed({})) as w:
        w.a.wire.door = None
        people, until = [], w.clock.now_ms() + DAY_MS
        assert await w.subscribing.subscribe(w.context(), people, until) == (0, [])
        await w.subscribing.subscribe(w.context(), [Wanted(ANNA, "安娜", PENSION, (340000,))], until)
        assert [each.standing for each in await w.standing()] == [PENDING]


async def test_wrong_rows_are_refused_and_the_others_are_not(tmp_path: Path) -> None:
    async with world(tmp_path, Feed({})) as w:
        good = Wanted(ANNA, "安娜", PENSION, (340000,))
        rows = [
            good._replace(id_number="1"),
            good._replace(name=" "),
            good._replace(benefit=99),
            good._replace(regions=()),
            good._replace(regions=(330000,)),
            good._replace(regions=(123,)),
            good,
        ]
        made, refused = await w.subscribing.subscribe(w.context(), rows, w.clock.now_ms() + DAY_MS)
        assert made == 1
        assert [row for row, _ in refused] == [0, 1, 2, 3, 4, 5]
        assert all(error.zh and ANNA not in error.en for _, error in refused)
