"""Registered adapters in a gateway that answers: brought into use, exchanged, taken out, and harming nobody."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapters.contract import Adapter, Changed, Description, Found, Lookup, Subjects
from gateway.access import adapters as states
from gateway.access import people
from gateway.access.policy import Policy
from gateway.access.words import (
    REGISTERED,
    RESUMED_BY_DEPARTMENT,
    SUSPENDED_BY_DEPARTMENT,
    WITHDRAWN,
    heard,
    together,
)
from gateway.clock import SystemClock
from gateway.errors import StoreError
from gateway.inquiry.enlisting import Enlisting
from gateway.inquiry.following import Following
from gateway.inquiry.sources import Source, Sources
from gateway.observing.health import Level
from gateway.sections.lasting import NoticesSettings
from gateway.sections.resilience import DepartmentBreakerSettings
from gateway.store.adapters import Document, Word
from gateway.vitals.adapters import AdapterVitals
from tests.unit.registry.registry_world import ALIVE, DEAD, Registry, database, manifest, registry
from wugan.adapter.v1 import vocabulary_pb2 as v
from wugan.federation.v1 import vocabulary_pb2 as words


async def test_a_registered_adapter_is_asked_once_it_is_approved_and_promoted_and_not_before(tmp_path: Path) -> None:
    database(tmp_path)
    async with registry(tmp_path) as w:
        digest = await w.propose(manifest())
        await w.look()
        assert w.state(digest) == states.PROPOSED
        assert not (await w.ask()).reports

        await w.act(people.APPROVE_ADAPTER, digest)
        await w.look()
        assert w.state(digest) == states.SHADOW
        gathered = await w.ask()
        assert not gathered.reports, "what is in shadow takes part in no answer"
        assert not gathered.known.any()

        await w.act(people.PROMOTE_ADAPTER, digest)
        await w.look()
        gathered = await w.ask()
        assert [report.outcome for report in gathered.reports] == [words.SOURCE_OUTCOME_ANSWERED]
        assert gathered.known.tolist() == [True, False]
        assert len(gathered.evidence) == 1


async def test_an_adapter_is_suspended_and_resumed_where_it_was(tmp_path: Path) -> None:
    database(tmp_path)
    async with registry(tmp_path) as w:
        digest = await w.live(manifest())
        await w.act(people.SUSPEND_ADAPTER, digest, by="sun")
        await w.look()
        assert not (await w.ask()).reports
        await w.act(people.RESUME_ADAPTER, digest)
        await w.look()
        assert (await w.ask()).known.tolist() == [True, False]


async def test_a_newer_version_runs_in_shadow_beside_the_live_one_and_replaces_it_when_promoted(tmp_path: Path) -> None:
    database(tmp_path)
    database(tmp_path, "new.db", (DEAD, "张三", "20260105", "B-1"), (ALIVE, "李四", "20260301", "B-2"))
    async with registry(tmp_path) as w:
        first = await w.live(manifest())
        second = await w.propose(manifest("2", database="new.db"), version="2")
        await w.act(people.APPROVE_ADAPTER, second)
        await w.look()
        assert (await w.ask()).known.tolist() == [True, False], "the live version alone is believed"
        await w.shadowing.tried()
        tally = next(each.tally for each in await w.store.adapters.standings() if each.digest == second)
        assert (tally.asked, tally.answered, tally.people, tally.known) == (1, 1, 2, 2)
        assert (tally.agreed, tally.missing, tally.beyond) == (1, 0, 1)

        await w.act(people.PROMOTE_ADAPTER, second)
        await w.look()
        assert (await w.ask()).known.tolist() == [True, True]
        assert (w.state(first), w.state(second)) == (states.REMOVED, states.LIVE)


async def test_what_a_shadow_does_not_give_is_missing_and_what_it_cannot_answer_is_counted(tmp_path: Path) -> None:
    database(tmp_path)
    database(tmp_path, "empty.db", (ALIVE, "李四", "20200101", "B-9"))
    async with registry(tmp_path) as w:
        await w.live(manifest())
        other = await w.propose(manifest("2", database="empty.db"), version="2")
        await w.act(people.APPROVE_ADAPTER, other)
        await w.look()
        await w.ask()
        await w.shadowing.tried()
        with sqlite3.connect(tmp_path / "empty.db") as connection:
            connection.execute("DROP TABLE cremation")
        connection.close()
        await w.ask()
        await w.shadowing.tried()
        tally = next(each.tally for each in await w.store.adapters.standings() if each.digest == other)
        assert (tally.agreed, tally.missing, tally.beyond) == (0, 1, 1)
        assert tally.asked == 2
        assert tally.answered == 1
        assert tally.faulty + tally.unavailable == 1


async def test_a_shadow_is_tried_on_a_share_of_the_questions_only(tmp_path: Path) -> None:
    database(tmp_path)
    async with registry(tmp_path, share=0.25) as w:
        digest = await w.propose(manifest())
        await w.act(people.APPROVE_ADAPTER, digest)
        await w.look()
        for _ in range(8):
            await w.ask()
            await w.shadowing.tried()
        (standing,) = await w.store.adapters.standings()
        assert standing.tally.asked == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"manifest: 1\nadapter_id: civil-affairs\n", "kind"),
        (manifest().replace(b"civil.db", b"${NOBODY_SET_THIS}"), "NOBODY_SET_THIS"),
        (manifest(adapter="another"), "register it again"),
        (b"\xff\xfe", "UTF-8"),
    ],
)
async def test_a_manifest_that_is_wrong_harms_its_own_adapter_alone_and_says_why(
    tmp_path: Path, text: bytes, told: str
) -> None:
    database(tmp_path)
    async with registry(tmp_path) as w:
        await w.live(manifest(adapter="sound"), adapter="sound")
        wrong = await w.live(text)
        assert [report.adapter_id for report in (await w.ask()).reports] == ["sound"]
        standing = next(each for each in await w.store.adapters.standings() if each.digest == wrong)
        assert told in standing.fault_en
        (fact,) = await AdapterVitals(w.enlisting.faults)(0)
        assert fact.level is Level.ATTENTION
        assert standing.fault_en in fact.en
        assert standing.fault_zh in fact.zh
        assert standing.fault_zh
        assert not standing.stage


async def test_a_version_that_could_not_be_built_is_tried_again_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database(tmp_path)
    async with registry(tmp_path) as w:
        await w.live(manifest().replace(b"civil.db", b"${CIVIL_DATABASE}"))
        monkeypatch.setenv("CIVIL_DATABASE", "civil.db")
        await w.look()
        assert not (await w.ask()).reports, "not at every look"
        w.clock.advance(61)
        await w.look()
        assert (await w.ask()).known.tolist() == [True, False]


async def test_a_manifest_changed_in_the_database_is_not_used(tmp_path: Path) -> None:
    database(tmp_path)
    async with registry(tmp_path) as w:
        approved = await w.propose(manifest())
        await w.act(people.APPROVE_ADAPTER, approved)
        await w.act(people.PROMOTE_ADAPTER, approved)

        async def another(_digest: bytes) -> bytes:
            return manifest("changed")

        w.store.adapters.document = another  # type: ignore[method-assign,assignment]
        await w.look()
        assert not (await w.ask()).reports


# what a department says


async def test_a_department_takes_back_its_own_and_brings_nothing_into_use() -> None:
    version = states.Version(
        "civil-affairs", b"d" * 32, "1", "remote", states.DEPARTMENT, "", states.LIVE, "", "", 1, "li", "li", 2, 3, "ok"
    )

    def state(*spoken: int, of: states.Version = version) -> list[str]:
        said = [Word(n, "civil-affairs", b"d" * 32, word, n, "dept", "why") for n, word in enumerate(spoken, 1)]
        return [each.state for each in together([of] if of.adapter else [], heard(said))]

    nothing = version._replace(adapter="")
    assert state(REGISTERED, of=nothing) == [states.PROPOSED]
    assert state(REGISTERED, WITHDRAWN, of=nothing) == []
    assert state(REGISTERED) == [states.LIVE]
    assert state(SUSPENDED_BY_DEPARTMENT) == [states.SUSPENDED]
    assert state(SUSPENDED_BY_DEPARTMENT, RESUMED_BY_DEPARTMENT) == [states.LIVE]
    assert state(WITHDRAWN) == [states.REMOVED]
    suspended = version._replace(state=states.SUSPENDED, before=states.LIVE)
    assert state(RESUMED_BY_DEPARTMENT, of=suspended) == [states.SUSPENDED], "an administrator suspended it"
    removed = version._replace(state=states.REMOVED)
    assert state(REGISTERED, RESUMED_BY_DEPARTMENT, of=removed) == [states.REMOVED]
    of_the_host = version._replace(origin=states.HOST)
    assert state(SUSPENDED_BY_DEPARTMENT, of=of_the_host) == [states.LIVE], "only what it registered is its own"


async def test_a_manifest_from_the_network_of_a_kind_that_reads_this_host_is_not_built(tmp_path: Path) -> None:
    database(tmp_path)
    async with registry(tmp_path) as w:
        document = Document("civil-affairs", manifest(), 1)
        await w.store.adapters.keep(document)
        body = {**w.body(document.digest), "version": "1", "kind": "table", "folder": "", "origin": states.DEPARTMENT}
        await w.office.act("li", people.APPROVE_ADAPTER, body)
        await w.look()
        (standing,) = await w.store.adapters.standings()
        assert "the gateway's host" in standing.fault_en
        assert not w.departments.sources.hand.shadow


# no question notices


class Slow:
    """An adapter that answers when the test lets it, and tells when it is closed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.go = asyncio.Event()
        self.asked = asyncio.Event()
        self.closed = 0

    def describe(self) -> Description:
        return Description(self.name, "1", 2, (330000,), ())

    async def lookup(self, question: Lookup) -> Found:
        assert not self.closed, "asked after it was closed"
        self.asked.set()
        await self.go.wait()
        assert not self.closed, "closed while it was asked"
        return Found()

    async def check(self) -> None:
        return None

    async def close(self) -> None:
        self.closed += 1


async def test_a_source_is_closed_after_its_last_lookup_and_never_before(tmp_path: Path) -> None:
    async with registry(tmp_path) as w:
        sources: Sources = w.departments.sources
        old, new = Slow("old"), Slow("new")
        new.go.set()
        sources.use([sources.source(old)])
        asking = asyncio.create_task(w.ask())
        await old.asked.wait()
        sources.use([sources.source(new)])
        await asyncio.sleep(0)
        assert not old.closed
        later = await w.ask()
        assert [report.adapter_id for report in later.reports] == ["new"]
        old.go.set()
        earlier = await asking
        assert [(report.adapter_id, report.outcome) for report in earlier.reports] == [
            ("old", words.SOURCE_OUTCOME_ANSWERED)
        ]
        await sources.settled()
        assert (old.closed, new.closed) == (1, 0)


async def test_one_that_is_asked_after_it_was_closed_is_not_closed_again(tmp_path: Path) -> None:
    async with registry(tmp_path) as w:
        sources, late = w.departments.sources, Slow("late")
        source = sources.source(late)
        sources.use([source])
        sources.use([])
        await sources.settled()
        with source:
            pass
        await sources.settled()
        assert late.closed == 1


async def test_one_in_shadow_is_closed_after_it_was_tried_and_never_before(tmp_path: Path) -> None:
    async with registry(tmp_path) as w:
        sources, live, tried = w.departments.sources, Slow("live"), Slow("tried")
        live.go.set()
        kept = sources.source(live)
        sources.use([kept], [sources.source(tried)])
        await w.ask()
        sources.use([kept])  # before it was even begun with
        await tried.asked.wait()
        assert not tried.closed
        tried.go.set()
        await w.shadowing.tried()
        await sources.settled()
        assert (live.closed, tried.closed) == (0, 1)


class Stubborn(Slow):
    """One whose lookup outlives the question that it was made for."""

    async def lookup(self, question: Lookup) -> Found:
        with suppress(asyncio.CancelledError):
            await self.go.wait()
        await self.go.wait()
        assert not self.closed, "closed while it was asked"
        return Found()


async def test_one_whose_lookup_outlives_the_question_is_closed_after_that_and_never_before(tmp_path: Path) -> None:
    async with registry(tmp_path) as w:
        sources, other, stubborn = w.departments.sources, Slow("other"), Stubborn("stubborn")
        other.go.set()
        sources.use([sources.source(other), sources.source(stubborn)])
        told = await w.departments.ask(Lookup(Subjects([DEAD], [""]), deadline_s=0.05))
        assert [each.outcome for each in told.reports] == [words.SOURCE_OUTCOME_ANSWERED, words.SOURCE_OUTCOME_SILENT]
        sources.use([])
        await sources.settled()
        assert (other.closed, stubborn.closed) == (1, 0)
        stubborn.go.set()
        while not stubborn.closed:
            await asyncio.sleep(0)
        await sources.settled()
        assert stubborn.closed == 1


class Feed(Slow):
    """One that tells of changes."""

    def describe(self) -> Description:
        return replace(super().describe(), changes=True)

    async def changes(self, cursor: bytes, limit: int) -> Changed:
        raise AssertionError


async def test_one_whose_changes_are_read_is_closed_after_that_and_never_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with registry(tmp_path) as w:
        sources, feed = w.departments.sources, Feed("feed")
        nobody: Any = None
        following = Following(w.departments, nobody, nobody, SystemClock(), NoticesSettings(), lambda: None)

        async def look(_about: Description, adapter: Feed) -> bool:
            await adapter.lookup(nobody)
            return True  # there is more: it looks again at once

        monkeypatch.setattr(following, "look", look)
        following._woken["feed"] = asyncio.Event()
        sources.use([sources.source(feed)])
        reading = asyncio.create_task(following._follow("feed"))
        await feed.asked.wait()
        sources.use([])
        await asyncio.sleep(0)
        assert not feed.closed
        feed.go.set()
        await reading
        await sources.settled()
        assert feed.closed == 1


async def test_one_that_comes_back_while_it_is_asked_is_the_same_and_stays_open(tmp_path: Path) -> None:
    async with registry(tmp_path) as w:
        sources = w.departments.sources
        slow = Slow("slow")
        source = sources.source(slow)
        sources.use([source])
        asking = asyncio.create_task(w.ask())
        await slow.asked.wait()
        sources.use([])
        assert sources.is_open(source)
        sources.use([source])
        slow.go.set()
        await asking
        await sources.settled()
        assert not slow.closed
        sources.use([])
        await sources.settled()
        assert slow.closed == 1
        assert not sources.is_open(source)


async def test_an_adapter_that_hangs_while_it_is_closed_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hanging(Slow):
        async def close(self) -> None:
            await asyncio.Event().wait()

    monkeypatch.setattr("gateway.inquiry.sources.CLOSE_S", 0.01)
    database(tmp_path)
    async with registry(tmp_path) as w:
        sources = w.departments.sources
        sources.use([sources.source(Hanging("hanging"))])
        sources.use([])
        await w.live(manifest())
        assert (await w.ask()).known.tolist() == [True, False]


async def test_questions_under_way_never_notice_that_adapters_come_and_go(tmp_path: Path) -> None:
    database(tmp_path)
    async with registry(tmp_path, share=0.5, wall=SystemClock()) as w:
        await w.live(manifest(adapter="other"), adapter="other")
        stop = asyncio.Event()
        answered: set[tuple[str, int]] = set()
        count = 0

        async def load() -> None:
            nonlocal count
            while not stop.is_set():
                for report in (await w.ask()).reports:
                    answered.add((report.adapter_id, report.outcome))
                count += 1
                await asyncio.sleep(0)  # so small a lookup in a file holds the loop

        asking = [asyncio.create_task(load()) for _ in range(2)]
        for cycle in range(4):
            digest = await w.live(manifest(str(cycle)), version=str(cycle))
            await w.act(people.SUSPEND_ADAPTER, digest)
            await w.look()
            await w.act(people.RESUME_ADAPTER, digest)
            await w.look()
            await w.act(people.REMOVE_ADAPTER, digest)
            await w.look()
        stop.set()
        await asyncio.gather(*asking)
        assert count
        assert answered == {
            ("other", words.SOURCE_OUTCOME_ANSWERED),
            ("civil-affairs", words.SOURCE_OUTCOME_ANSWERED),
        }


async def test_a_department_is_gone_once_an_act_says_for_good_and_back_with_its_next_version(tmp_path: Path) -> None:
    database(tmp_path)
    async with registry(tmp_path) as w:
        first = await w.live(manifest())
        assert w.enlisting.gone == frozenset()
        await w.act(people.REMOVE_ADAPTER, first)
        await w.look()
        assert w.enlisting.gone == frozenset(), "it may only be replaced"
        second = await w.live(manifest("2"), version="2")
        await w.act(people.SUSPEND_ADAPTER, second)
        await w.look()
        assert w.enlisting.gone == frozenset(), "it is away"
        await w.act(people.REMOVE_ADAPTER, second, for_good=True)
        await w.look()
        assert w.enlisting.gone == {v.DEPARTMENT_CIVIL_AFFAIRS}
        assert (await another(w)).gone == {v.DEPARTMENT_CIVIL_AFFAIRS}, "after a restart too"
        await w.propose(manifest("3", adapter="burials"), "burials", "3")
        w.enlisting.take(Policy.of(w.office.administration.ledger))
        assert w.enlisting.gone == frozenset(), "what was decided since is not looked at yet"
        await w.look()
        assert w.enlisting.gone == frozenset(), "another version is about to come"


async def another(w: Registry, *, fixed: Sequence[Source] = ()) -> Enlisting:
    """The gateway started anew."""
    started = Enlisting(
        Sources(w.clock, DepartmentBreakerSettings()), fixed, w.store.adapters, never, w.clock, poll_s=1
    )
    started.take(Policy.of(w.office.administration.ledger))
    await started.look()
    return started


def never(version: states.Version, _: bytes) -> Callable[[], Adapter]:
    raise AssertionError(version.name)


async def test_a_department_of_the_configuration_is_not_gone(tmp_path: Path) -> None:
    database(tmp_path)
    async with registry(tmp_path) as w:
        old = await w.live(manifest(adapter="old"), "old")
        await w.act(people.REMOVE_ADAPTER, old, adapter="old", for_good=True)
        w.clock.advance(1)
        fixed = w.departments.sources.source(Slow("of the configuration"))
        assert (await another(w)).gone == {v.DEPARTMENT_CIVIL_AFFAIRS}
        assert (await another(w, fixed=[fixed])).gone == frozenset()


async def test_nobody_is_gone_while_it_is_not_known_whose_a_version_is(tmp_path: Path) -> None:
    database(tmp_path)
    async with registry(tmp_path) as w:
        old = await w.live(manifest(adapter="old"), "old")
        await w.act(people.REMOVE_ADAPTER, old, adapter="old", for_good=True)
        unreadable = await w.propose(b"no manifest at all")
        await w.look()
        assert w.enlisting.gone == frozenset()
        await w.act(people.REMOVE_ADAPTER, unreadable, for_good=True)
        await w.look()
        assert w.enlisting.gone == frozenset(), "it may have been of the same"
        last = await w.live(manifest("3"), version="3")
        await w.act(people.REMOVE_ADAPTER, last, for_good=True)
        await w.look()
        assert w.enlisting.gone == {v.DEPARTMENT_CIVIL_AFFAIRS}


@pytest.mark.parametrize("retryable", [True, False])
async def test_while_manifests_cannot_be_read_nobody_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, retryable: bool
) -> None:
    database(tmp_path)
    async with registry(tmp_path) as w:
        old = await w.live(manifest())
        await w.act(people.REMOVE_ADAPTER, old, for_good=True)

        async def away(_: bytes) -> bytes:
            raise StoreError("away", "不可用", retryable=retryable)

        with monkeypatch.context() as patched:
            patched.setattr(w.store.adapters, "document", away)
            w.enlisting.take(Policy.of(w.office.administration.ledger))
            await w.enlisting.once()
            assert w.enlisting.gone == frozenset()
        await w.enlisting.once()
        assert w.enlisting.gone == (frozenset({v.DEPARTMENT_CIVIL_AFFAIRS}) if retryable else frozenset())
