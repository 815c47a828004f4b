"""Two provinces find who draws in both, and nothing else of one another's rosters."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.faces import face_token
from gateway.access.terms import Quotas, Scope
from gateway.errors import RefusedError
from gateway.matching import matching
from gateway.matching.blinding import POINT_BYTES
from gateway.matching.session import DONE, RUNNING, STOPPED
from gateway.matching.steps import read_step
from gateway.post.leaving import commit
from gateway.sections.lasting import DuplicatesSettings
from tests.unit.matching.matching_world import (
    INJURY,
    PENSION,
    RESIDENT,
    Rosters,
    Side,
    World,
    drawing,
    people,
    world,
)
from tests.unit.services.gateways_world import digest_of, policy, terms
from wugan.adapter.v1 import vocabulary_pb2 as v
from wugan.federation.v1 import exchange_pb2, matching_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

SMALL_ORDER = 325606250916557431795983626356110631294008115727848805560023387167927233504
"""A point of order eight, from https://cr.yp.to/ecdh.html."""


def rosters(serials: range, **more: object) -> Rosters:
    return Rosters(drawing(people(serials), **more))  # type: ignore[arg-type]


async def test_those_in_both_rosters_are_found_on_both_sides_and_nobody_else(tmp_path: Path) -> None:
    async with world(tmp_path, rosters(range(300)), rosters(range(297, 800), unit="hefei")) as w:
        await w.match()
        assert await w.both_done()
        assert await w.a.found() == people(range(297, 300))
        assert await w.b.found("hefei") == people(range(297, 300))
        assert ((await w.a.session()).found, (await w.b.session()).found) == (3, 3)


@pytest.mark.parametrize(("of_a", "of_b"), [(0, 0), (0, 500), (500, 0), (1, 1000), (1000, 1), (64, 64), (65, 63)])
async def test_rosters_of_any_length_are_compared_to_the_end(tmp_path: Path, of_a: int, of_b: int) -> None:
    common = min(of_a, of_b, 20)
    async with world(tmp_path, rosters(range(of_a)), rosters(range(of_a - common, of_a - common + of_b))) as w:
        await w.match()
        assert await w.both_done()
        assert len(await w.a.found()) == len(await w.b.found()) == common


async def test_what_goes_over_is_blinded_padded_and_in_no_order(tmp_path: Path) -> None:
    async with world(tmp_path, rosters(range(100)), rosters(range(90, 190))) as w:
        await w.match()
        rows = [
            step.column[at : at + POINT_BYTES] for step in w.steps() for at in range(0, len(step.column), POINT_BYTES)
        ]
        assert len(set(rows)) == len(rows) == 256, "a row says something of another one, or columns are not padded"
        written = b"".join(step.SerializeToString() for step in w.steps())
        for number in people(range(190)):
            assert number.encode() not in written
        assert {len(step.column) // POINT_BYTES for step in w.steps()} <= {0, 64}


async def test_another_session_says_nothing_of_the_one_before(tmp_path: Path) -> None:
    async with world(tmp_path, rosters(range(64)), rosters(range(30, 94))) as w:
        await w.match()
        before = {step.column[:POINT_BYTES] for step in w.steps() if step.column}
        w.clock.advance(6 * 86_400)
        sent = len(w.steps())
        await w.match()
        assert await w.both_done()
        steps = w.steps()
        assert len(steps) > sent
        after = {s.column[at : at + 32] for s in steps for at in range(0, len(s.column), 32)} - before
        assert len(after) >= 2 * 64 + 2 * 63, "a new month has new secrets"


async def test_classes_of_benefits_are_compared_and_other_benefits_are_not(tmp_path: Path) -> None:
    a = Rosters(drawing(people(range(10)), benefit=PENSION))
    b = Rosters(drawing(people(range(5)), benefit=RESIDENT), drawing(people(range(5, 10)), benefit=INJURY))
    async with world(tmp_path, a, b) as w:
        await w.match()
        assert await w.a.found() == await w.b.found() == people(range(5))


async def test_who_is_found_is_refused_at_the_gate(tmp_path: Path) -> None:
    from tests.unit.once.test_once_gate import certified, refused

    async with world(tmp_path, rosters(range(10)), rosters(range(9, 20))) as w:
        await w.match()
        claimed = await w.a.gate.claim(certified(*[(number,) for number in people(range(10))], unit="jinhua"))
        assert refused(claimed) == [(9, words.DUPLICATE_KIND_OTHER_MEMBER)]
        assert claimed.member == [w.b.site.party.member_id]


async def test_another_round_takes_only_who_came_and_ends_findings_of_who_went(tmp_path: Path) -> None:
    async with world(tmp_path, rosters(range(200)), rosters(range(190, 400))) as w:
        await w.match()
        rows = sum(len(step.column) for step in w.steps()) // POINT_BYTES
        w.a.rosters.kept = [drawing(people(range(195))), drawing(people(range(399, 401)), unit="ningbo")]
        w.clock.advance(86_400)
        await w.match()
        assert await w.both_done()
        assert (await w.a.session()).round == (await w.b.session()).round == 2
        assert sum(len(step.column) for step in w.steps()) // POINT_BYTES == rows + 64
        assert await w.a.found() == people(range(190, 195))
        assert await w.a.found("ningbo") == people([399])
        assert await w.b.found() == people([*range(190, 195), 399])


async def test_a_round_in_which_nothing_changed_is_two_small_steps(tmp_path: Path) -> None:
    async with world(tmp_path, rosters(range(100)), rosters(range(90, 190))) as w:
        await w.match()
        before = len(w.steps())
        await w.match()
        assert await w.both_done()
        assert len(w.steps()) == before + 2
        assert not any(step.column or step.tokens for step in w.steps()[-1:])
        assert len(await w.a.found()) == 10


async def test_who_comes_back_is_found_again(tmp_path: Path) -> None:
    async with world(tmp_path, rosters(range(10)), rosters(range(10))) as w:
        for kept, found in (([drawing(people(range(9)))], 9), ([drawing(people(range(10)))], 10)):
            await w.match()
            w.a.rosters.kept = kept
            w.clock.advance(86_400 * 1)
            await w.match()
            assert len(await w.b.found()) == found


async def test_after_a_restart_of_either_side_it_goes_on(tmp_path: Path) -> None:
    async with world(tmp_path, rosters(range(500)), rosters(range(495, 1000))) as w:
        handled = 0
        for side in (w.a, w.b):
            plain = side.matching.handle

            async def handle(delivery: object, side: Side = side, plain: object = plain) -> object:
                nonlocal handled
                handled += 1
                side.restart()
                return await side.matching.handle(delivery)  # type: ignore[arg-type]

            side.handle = handle  # type: ignore[method-assign]
        await w.match()
        assert handled > 10
        assert await w.both_done()
        assert await w.a.found() == await w.b.found() == people(range(495, 500))


async def guessed(w: World) -> None:
    await w.match()
    assert [(await side.session()).state for side in (w.a, w.b)] == [STOPPED, STOPPED]
    alarms = [*w.a.alarms, *w.b.alarms]
    assert [alarm.signal for alarm in alarms] == ["overlap"]
    assert await w.a.found() == await w.b.found() == []
    for side in (w.a, w.b):
        assert not list(side.folder.glob("*/*")), "columns of a stopped session are deleted"


@pytest.mark.parametrize("guesses", ["a", "b"])
async def test_guesses_at_everybody_are_stopped_with_an_alarm(tmp_path: Path, guesses: str) -> None:
    mine, theirs = rosters(range(2000)), rosters(range(700, 1700))
    async with world(tmp_path, *((mine, theirs) if guesses == "a" else (theirs, mine)), column_people=256) as w:
        await guessed(w)


async def test_before_the_alarm_hardly_anything_was_answered(tmp_path: Path) -> None:
    async with world(tmp_path, rosters(range(3000)), rosters(range(3000)), column_people=1024) as w:
        await guessed(w)
        # Of 3,000 on either side. Who stands in the first columns is drawn: now and then too few of them are in both
        # for the alarm, and it comes with the next ones.
        assert sum(len(step.tokens) // 16 for step in w.steps()) <= 512


async def test_nothing_is_compared_while_the_alarm_stands_and_anew_once_it_is_cleared(tmp_path: Path) -> None:
    async with world(tmp_path, rosters(range(300)), rosters(range(300))) as w:
        await guessed(w)
        sides = [side for side in (w.a, w.b) if side.alarms]
        other = w.b.site.party.member_id
        if w.a in sides:
            assert not await w.a.matching.begin(other)
        else:
            await w.match()
            assert (await w.a.session()).state == STOPPED
        for side in sides:
            side.harvest.standing()
            side.harvest.clear({0})
        w.a.rosters.kept = [drawing(people(range(295, 600)))]
        await w.match()
        assert await w.both_done()
        assert len(await w.a.found()) == 5


async def test_protected_people_are_left_out(tmp_path: Path) -> None:
    protected = frozenset({digest_of(people([5])[0])})
    async with world(tmp_path, rosters(range(10)), rosters(range(10))) as w:
        w.a.allow(policy(terms(), protected=protected))
        await w.match()
        expected = [number for number in people(range(10)) if number != people([5])[0]]
        assert await w.a.found() == await w.b.found() == expected


async def test_only_benefits_of_the_grant_are_compared(tmp_path: Path) -> None:
    both = [drawing(people(range(5))), drawing(people(range(5, 10)), benefit=INJURY)]
    async with world(tmp_path, Rosters(*both), Rosters(*both)) as w:
        w.a.allow(policy(terms(benefits=frozenset({INJURY}))))
        await w.match()
        assert await w.b.found() == people(range(5, 10))


@pytest.mark.parametrize(
    ("grant", "reason"),
    [
        ({"member": "11440000002482285X"}, words.REFUSAL_REASON_MEMBER_NOT_PERMITTED),
        ({"purposes": frozenset({v.PURPOSE_CERTIFICATION})}, words.REFUSAL_REASON_PURPOSE_NOT_PERMITTED),
        ({"units": frozenset({"another"})}, words.REFUSAL_REASON_MEMBER_NOT_PERMITTED),
        ({"scope": Scope(None, (330000,))}, words.REFUSAL_REASON_PURPOSE_NOT_PERMITTED),
        ({"quotas": Quotas(day=63)}, words.REFUSAL_REASON_QUOTA_EXCEEDED),
    ],
)
async def test_the_other_side_decides_by_its_policy(tmp_path: Path, grant: dict[str, object], reason: int) -> None:
    async with world(tmp_path, rosters(range(10)), rosters(range(10))) as w:
        w.b.allow(policy(terms(**grant)))
        await w.match()
        session = await w.a.session()
        assert (session.state, session.reason, session.by_us) == (STOPPED, reason, False)
        assert await w.a.found() == await w.b.found() == []
        assert not any(step.tokens for step in w.steps())
        events = [each.event for each in await w.b.site.store.audit.events()]
        refused = [each.decision for each in events if each.outcome and each.direction == "in"]
        assert [bool(re.search(r"\[.*; policy 0\]$", each)) for each in refused] == [True]


async def test_without_a_grant_of_its_own_a_side_sends_nothing(tmp_path: Path) -> None:
    async with world(tmp_path, rosters(range(10)), rosters(range(10))) as w:
        w.a.allow(policy())
        assert not await w.a.matching.begin(w.b.site.party.member_id)
        assert not w.a.site.wire.envelopes


async def test_quotas_of_a_day_are_waited_for(tmp_path: Path) -> None:
    async with world(tmp_path, rosters(range(200)), rosters(range(190, 400))) as w:
        w.b.allow(policy(terms(quotas=Quotas(day=100))))
        assert await w.a.matching.begin(w.b.site.party.member_id)
        for _ in range(8):
            await w.settled()
            if (await w.a.session()).state == DONE:
                break
            w.clock.advance(86_400)
        assert await w.both_done()
        assert len(await w.b.found()) == 10
        events = [each.event for each in await w.b.site.store.audit.events()]
        waited = [each.decision for each in events if each.outcome == words.REFUSAL_REASON_QUOTA_EXCEEDED]
        assert waited, "nothing on record says that a step had to wait, and why"
        assert all("[g1: quota day has no room for" in each for each in waited)


async def test_who_does_not_compare_says_so(tmp_path: Path) -> None:
    async with world(tmp_path, rosters(range(10)), rosters(range(10))) as w:
        w.b.settings = DuplicatesSettings(matching=False)
        w.b.restart()
        await w.match()
        session = await w.a.session()
        assert (session.state, session.reason) == (STOPPED, words.REFUSAL_REASON_NOT_SERVED)


async def test_both_must_agree_which_benefits_exclude_each_other(tmp_path: Path) -> None:
    async with world(tmp_path, rosters(range(10)), rosters(range(10))) as w:
        w.b.terms = b"t" * 32
        w.b.restart()
        await w.match()
        assert (await w.a.session()).state == STOPPED
        assert "rule files" in " ".join(await w.a.said())


async def test_the_one_whose_turn_it_is_not_asks_the_other_to_begin(tmp_path: Path) -> None:
    async with world(tmp_path, rosters(range(10)), rosters(range(9, 20))) as w:
        assert await w.b.matching.begin(w.a.site.party.member_id)
        await w.quiet()
        assert await w.both_done()
        assert await w.b.found() == people([9])


async def test_a_session_without_steps_for_days_is_begun_anew(tmp_path: Path) -> None:
    async with world(tmp_path, rosters(range(10)), rosters(range(9, 20))) as w:
        w.b.site.inbox.handler = lambda _kind: None  # type: ignore[method-assign]  # nothing is accepted there
        await w.match()
        first = await w.a.session()
        assert first.state == RUNNING
        assert not await w.a.matching.begin(w.b.site.party.member_id)
        w.clock.advance(4 * 86_400)
        del w.b.site.inbox.handler
        await w.match()
        assert await w.both_done()
        assert (await w.a.session()).session != first.session
        assert [each.name for each in w.a.folder.iterdir()] == [(await w.a.session()).session.hex()]


@pytest.mark.parametrize("guesses", ["a", "b"])
async def test_guesses_a_few_at_a_time_in_ever_new_sessions_come_to_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, guesses: str
) -> None:
    monkeypatch.setattr(matching, "MAX_SESSIONS", 2)
    several, roster = Rosters(), rosters(range(60))
    sides = (several, roster) if guesses == "a" else (roster, several)
    async with world(tmp_path, *sides, overlap_people=4) as w:
        guessing, asked = (w.a, w.b) if guesses == "a" else (w.b, w.a)
        found: set[str] = set()
        for start in range(0, 16, 4):
            several.kept = [drawing(people(range(start, start + 4)))]
            await guessing.matching.begin(asked.site.party.member_id)
            await w.quiet()
            found |= set(await asked.found())
            await broken_off(w, guessing)
        assert found == set(people(range(8)))
        w.clock.advance(6 * 86_400)  # another month
        several.kept = [drawing(people(range(59, 62)))]
        await w.match()
        assert people([59])[0] in await asked.found()


async def broken_off(w: World, side: Side) -> None:
    """A side ends its session, and both have heard of it."""
    session = await side.session()
    refusal = exchange_pb2.Refusal(reason=words.REFUSAL_REASON_INTERNAL, message_en="over")
    said = side.matching._rounds.step(session, side.matching._context(w.clock.now_ms()))
    said.refusal.CopyFrom(refusal)
    session.stop(words.REFUSAL_REASON_INTERNAL, by_us=True)
    leaving = side.matching._leave(session.member, said, w.clock.now_ms())
    await commit(side.store, [*leaving, side.store.matchings.keeping(session.member, session.to_json())])
    w.clock.advance(1)
    await w.quiet()


async def test_what_a_crash_left_is_deleted(tmp_path: Path) -> None:
    async with world(tmp_path, rosters(range(10)), rosters(range(9, 20))) as w:
        await w.match()
        left = w.a.folder / ("ab" * 16)
        shutil.copytree(w.a.folder / (await w.a.session()).session.hex(), left)
        await w.a.matching.tidy()
        assert not left.exists()
        assert (w.a.folder / (await w.a.session()).session.hex()).exists()


async def test_points_of_people_are_deleted_once_they_were_sent(tmp_path: Path) -> None:
    async with world(tmp_path, rosters(range(200)), rosters(range(190, 400))) as w:
        await w.match()
        for side in (w.a, w.b):
            names = {path.name.split("-")[0] for path in side.folder.glob("*/*")}
            assert names == {"tags", "answer", "theirs"}


async def test_every_step_is_on_record_at_both_sides(tmp_path: Path) -> None:
    async with world(tmp_path, rosters(range(100)), rosters(range(90, 190))) as w:
        await w.match()
        for side in (w.a, w.b):
            events = [each.event for each in await side.store.audit.events()]
            assert sum(each.subjects for each in events if each.direction == "out") == 128
            assert sum(each.subjects for each in events if each.direction == "in") == 128
            assert {each.purpose for each in events} == {v.PURPOSE_AUDIT}
            assert all(each.legal_basis and each.case_reference.startswith("MATCHING-") for each in events)


def step(**changed: object) -> bytes:
    plain: dict[str, object] = {
        "context": exchange_pb2.Context(
            unit="matching",
            official_pseudonym=b"o" * 32,
            purpose=v.PURPOSE_AUDIT,
            legal_basis="社会保险法",
            case_reference="M",
        ),
        "session": b"s" * 16,
        "epoch": 676,
        "number": 1,
        "terms": b"t" * 32,
        "key": b"k" * 32,
        **changed,
    }
    return matching_pb2.MatchingStep(**plain).SerializeToString()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"session": b""}, "session"),
        ({"terms": b"t"}, "session"),
        ({"key": b"k" * 31}, "key"),
        ({"column": b"c" * 33}, "column"),
        ({"tokens": b"c" * 17}, "column"),
        ({"column": b"c" * 32 * 16_385}, "column"),
        ({"gone": range(500_001)}, "gone"),
        ({"context": exchange_pb2.Context()}, "context.unit"),
    ],
)
def test_malformed_steps_are_not_accepted(changed: dict[str, object], field: str) -> None:
    assert read_step(step(), v.PURPOSE_AUDIT).number == 1
    with pytest.raises(RefusedError) as caught:
        read_step(step(**changed), v.PURPOSE_AUDIT)
    assert caught.value.field == field


def test_steps_are_for_audits_only() -> None:
    with pytest.raises(RefusedError, match="audits"):
        read_step(step(), v.PURPOSE_CERTIFICATION)
    with pytest.raises(RefusedError, match="parse"):
        read_step(b"\xff", v.PURPOSE_AUDIT)


@pytest.mark.parametrize(
    "changed",
    [
        {"number": 3},
        {"tokens": b"t" * 16},
        {"tokens": b"t" * 16 * 65},
        {"gone": [64]},
        {"column": bytes(32)},
        {"column": SMALL_ORDER.to_bytes(32, "little")},
        {"epoch": 1},
    ],
    ids=["number", "few tokens", "many tokens", "nobody gone", "zero", "small order", "epoch"],
)
async def test_a_step_that_does_not_fit_ends_the_session_and_nothing_else(
    tmp_path: Path, changed: dict[str, object]
) -> None:
    async with world(tmp_path, rosters(range(10)), rosters(range(9, 20))) as w:
        plain = w.b.matching._rounds.reply

        async def spoilt(*given: object, **more: object) -> object:
            said = await plain(*given, **more)  # type: ignore[arg-type]
            if said is not None and said.number == 2:
                for name, value in changed.items():
                    if name == "gone":
                        said.gone.extend(value)  # type: ignore[arg-type]
                    else:
                        setattr(said, name, value)
            return said

        w.b.matching._rounds.reply = spoilt  # type: ignore[method-assign,assignment]
        await w.match()
        session = await w.a.session()
        assert (session.state, session.by_us) == (STOPPED, True)
        assert await w.a.found() == await w.b.found() == []
        del w.b.matching._rounds.reply
        await w.match()
        assert await w.both_done(), "it can be begun anew"
        assert np.array_equal(await w.a.found(), people([9]))


async def test_a_secret_that_changes_ends_the_session(tmp_path: Path) -> None:
    async with world(tmp_path, rosters(range(100)), rosters(range(99, 300))) as w:
        plain = w.b.matching._rounds.reply

        async def forgetful(*given: object, **more: object) -> object:
            said = await plain(*given, **more)  # type: ignore[arg-type]
            if said is not None and said.number == 4:
                said.key = b"k" * 32
            return said

        w.b.matching._rounds.reply = forgetful  # type: ignore[method-assign,assignment]
        await w.match()
        session = await w.a.session()
        assert (session.state, session.by_us, session.reason) == (STOPPED, True, words.REFUSAL_REASON_INVALID_ARGUMENT)


# faces

FACE = [face_token("a.platform", f"T-{each}") for each in range(100)]


def faced(serials: range, faces: dict[int, bytes], **more: object) -> Rosters:
    """Some of these people with faces: place → token."""
    return Rosters(drawing(people(serials), faces=list(faces.items()), **more))  # type: ignore[arg-type]


async def test_one_face_under_two_numbers_is_found_on_both_sides_and_nobody_else(tmp_path: Path) -> None:
    elsewhere = face_token("another.platform", "T-8")
    of_a = faced(range(100), {3: FACE[3], 7: FACE[7], 8: FACE[8], 97: FACE[97]})
    of_b = faced(range(95, 200), {0: FACE[50], 2: FACE[97], 60: FACE[7], 61: FACE[61], 62: elsewhere}, unit="hefei")
    async with world(tmp_path, of_a, of_b) as w:
        await w.match()
        assert await w.a.found(by_face=True) == people([7])
        assert await w.b.found("hefei", by_face=True) == people([155])
        both = people(range(95, 100))  # who draws under one number is one finding, whatever the face
        assert await w.a.found() == await w.b.found("hefei") == both
        assert ((await w.a.session()).found, (await w.b.session()).found) == (6, 6)


async def test_one_face_on_benefits_that_do_not_exclude_each_other_is_not_told(tmp_path: Path) -> None:
    of_b = faced(range(50, 60), {0: FACE[3], 1: FACE[4]}, benefit=INJURY)
    async with world(tmp_path, faced(range(9), {3: FACE[3], 4: FACE[4]}), of_b) as w:
        await w.match()
        assert await w.a.found(by_face=True) == []
        w.b.rosters.kept = [drawing(people(range(50, 60)), benefit=RESIDENT, faces=[(0, FACE[3])])]
        await w.match()
        assert await w.a.found(by_face=True) == people([3])
        assert await w.b.found(by_face=True) == people([50])


async def test_nothing_of_a_face_goes_over_or_lies_in_clear(tmp_path: Path) -> None:
    async with world(
        tmp_path, faced(range(60), {3: FACE[3], 7: FACE[7]}), faced(range(50, 150), {60: FACE[7], 61: FACE[61]})
    ) as w:
        await w.match()
        rows = [s.column[at : at + POINT_BYTES] for s in w.steps() for at in range(0, len(s.column), POINT_BYTES)]
        assert len(set(rows)) == len(rows)
        assert {len(step.column) // POINT_BYTES for step in w.steps()} <= {0, 64}, "faces are told apart by nothing"
        written = b"".join(step.SerializeToString() for step in w.steps())
        kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        for token in (FACE[3], FACE[7], FACE[61]):
            assert token not in written
            assert token.hex().encode() not in written
            assert token not in kept


async def test_a_finding_of_a_face_is_refused_at_the_gate_and_over_when_it_is_found_no_more(tmp_path: Path) -> None:
    from tests.unit.once.test_once_gate import certified, refused

    async with world(tmp_path, faced(range(10), {3: FACE[3]}), faced(range(20, 30), {0: FACE[3]})) as w:
        await w.match()
        claims = certified(*[(number,) for number in people(range(10))], unit="jinhua")
        claimed = await w.a.gate.claim(claims)
        assert refused(claimed) == [(3, words.DUPLICATE_KIND_OTHER_FACE)]
        assert claimed.member == [w.b.site.party.member_id]
        w.b.rosters.kept = [drawing(people(range(20, 30)), faces=[(0, FACE[4])])]
        await w.match()
        assert await w.a.found(by_face=True) == await w.b.found(by_face=True) == []
        assert not refused(await w.a.gate.claim(claims))


@pytest.mark.parametrize("side", ["a", "b"])
async def test_a_grant_without_face_checks_leaves_faces_at_home(tmp_path: Path, side: str) -> None:
    of_a, of_b = faced(range(10), {3: FACE[3]}), faced(range(9, 30), {12: FACE[3]})
    async with world(tmp_path, of_a, of_b) as w:
        scope = Scope(frozenset({v.EVIDENCE_KIND_OUTPATIENT}))
        (w.a if side == "a" else w.b).allow(policy(terms(scope=scope)))
        await w.match()
        assert await w.a.found(by_face=True) == await w.b.found(by_face=True) == []
        assert await w.a.found() == people([9]), "people are compared all the same"


async def test_faces_of_protected_people_are_left_out(tmp_path: Path) -> None:
    protected = frozenset({digest_of(people([3])[0])})
    async with world(tmp_path, faced(range(10), {3: FACE[3]}), faced(range(20, 30), {0: FACE[3]})) as w:
        w.a.allow(policy(terms(), protected=protected))
        await w.match()
        assert await w.b.found(by_face=True) == []


@settings(deadline=None, max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 5)), max_size=8, unique_by=lambda pair: pair[0]),
    st.lists(st.tuples(st.integers(4, 11), st.integers(0, 5)), max_size=8, unique_by=lambda pair: pair[0]),
)
async def test_whoever_draws_where_what_is_found_is_what_is_common(
    tmp_path_factory: pytest.TempPathFactory, mine: list[tuple[int, int]], theirs: list[tuple[int, int]]
) -> None:
    sides = [
        Rosters(
            drawing(people([who for who, _ in each]), faces=[(at, FACE[face]) for at, (_, face) in enumerate(each)])
        )
        for each in (mine, theirs)
    ]
    async with world(tmp_path_factory.mktemp("m"), *sides) as w:
        await w.match()
        for side, own, other in ((w.a, mine, theirs), (w.b, theirs, mine)):
            numbers, faces = {who for who, _ in other}, {face for _, face in other}
            assert await side.found() == people(sorted(who for who, _ in own if who in numbers))
            wanted = sorted(who for who, face in own if who not in numbers and face in faces)
            assert await side.found(by_face=True) == people(wanted)
