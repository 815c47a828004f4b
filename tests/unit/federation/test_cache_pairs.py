"""A million pairs of an answer that is kept and a question that is asked: none is answered by what is not its own.

Each pair is a look-up by the path that a question takes: in memory, on the disk, and among whole responses, with keys
and tags made by the code that makes them. A question differs from a kept answer in nothing, in one thing, or in more.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from gateway.clock import FakeClock
from gateway.federation.answer_cache import AnswerCache
from gateway.federation.directory import Directory
from gateway.federation.kept import Held
from gateway.federation.partners import PartnerAnswer
from gateway.services.finished import FinishedAnswers
from tests.unit.federation.cache_world import CacheWorld, asked_about
from tests.unit.rules.rules_world import BOOK
from tests.unit.services.gateways_world import (
    ANNA,
    BO,
    CHEN,
    NAMES,
    NEW_ANNA,
    NOW_MS,
    A,
    B,
    C,
    gateway_of,
    request,
    serving,
    stored,
)
from tests.unit.services.test_given_again import Gateway
from wugan.adapter.v1 import columns_pb2
from wugan.adapter.v1 import vocabulary_pb2 as v
from wugan.agency.v1 import agency_pb2
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

IN_MEMORY, ON_DISK, WHOLE = 900_000, 10_000, 90_000
PARTS: Final = 3
"""In which those in memory are asked, each with other answers kept."""
AT_ONCE: Final = 250
"""Pairs asked under the same directory, and while members answer by the same rules."""
PEOPLE: Final = [ANNA, BO, CHEN, NEW_ANNA]
TERMS: Final[dict[str, Sequence[Any]]] = {
    "member": [B.member_id, C.member_id],
    "unit": ["jinhua", "jinhu", "jinhuaa", "ajinhua", "", "金华", "jin\x00hua", "jinhua\x12"],
    "purpose": [number for number in v.Purpose.values() if number],
    "legal basis": ["社会保险法 第七十四条", "社会保险法", "第七十四条", "a", "aa", "\x12"],
    "person": PEOPLE,
    "name": ["安娜", "安", "娜", "安娜安娜"],
    "further numbers": [(), (BO,), (CHEN,), (BO, CHEN), (CHEN, BO)],
    "document": [(), (v.DOCUMENT_KIND_RESIDENT_IDENTITY,), (v.DOCUMENT_KIND_PASSPORT,)],
    "benefit": [number for number in words.BenefitType.values() if number],
    "place": [(), (340000,), (350000,)],
    "day": [0, 1, 20_000],
    "evidence": [0, 1, 2, 20, 128, 16_384],
    "evidence of the living": [False, True],
    "start": [(), (1,), (15_000,), (15_001,)],
}
"""All that an answer is given under, but for the directory and the rules, by name."""
NAMED: Final = list(TERMS)
RULES: Final = [bytes([number]) * 32 for number in range(3)]
Terms = tuple[Any, ...]


def asks(question: exchange_pb2.Question, terms: Terms) -> None:
    """Make a question one that is asked under these terms."""
    _, unit, purpose, basis, person, name, others, document, benefit, place, day, limit, sparing, start = terms
    context, subjects = question.context, question.subjects
    context.unit, context.purpose, context.legal_basis = unit, purpose, basis
    subjects.id_number[0], subjects.name[0] = person, name
    subjects.alias_subject[:] = [0] * len(others)
    subjects.alias_id_number[:] = others
    subjects.document_kind[:] = document
    question.benefit[0], question.region[:] = benefit, place
    question.as_of_on, question.evidence_limit, question.evidence_only_where_not_alive = day, limit, sparing
    question.benefit_since_on[:] = start


class Pairs:
    """Terms of kept answers, some of which differ in one thing only; and questions that are asked beside them."""

    def __init__(self, seed: int, kept: int) -> None:
        self.draw = random.Random(seed)
        found: dict[Terms, None] = {}
        while len(found) < kept:
            found[tuple(map(self.draw.choice, TERMS.values()))] = None
            found[self._near(self.draw.choice(list(found)[-20:]), self.draw.randrange(len(NAMED)))] = None
        self.kept = list(found)
        self._numbers = np.random.default_rng(seed)

    def _near(self, terms: Terms, at: int) -> Terms:
        return (*terms[:at], self.draw.choice(TERMS[NAMED[at]]), *terms[at + 1 :])

    def asked(self, count: int) -> Iterator[Terms]:
        """Questions: a quarter just as one that is kept, some with two things changed, most with one."""
        beside = self._numbers.integers(len(self.kept), size=count).tolist()
        changed = self._numbers.integers(len(NAMED), size=(count, 2)).tolist()
        kinds = self._numbers.integers(8, size=count).tolist()
        for at, places, kind in zip(beside, changed, kinds, strict=True):
            terms = self.kept[at]
            if kind > 1:
                terms = self._near(terms, places[0])
            if kind == 2:
                terms = self._near(terms, places[1])
            yield terms


class Asking:
    """A cache with kept answers, and what may be given of them at the moment."""

    def __init__(self, world: CacheWorld, cache: AnswerCache, pairs: Pairs) -> None:
        self.world, self.cache, self.pairs = world, cache, pairs
        first = world.directory.version
        self.directories = [first]
        for _ in range(2):
            world.directory.replace(A, B, C)
            self.directories.append(world.directory.version)
        self.own: dict[Terms, tuple[PartnerAnswer, Directory, bytes]] = {}
        self.rules: dict[str, bytes] = {}
        self.question = asked_about()
        self.question.region.append(0)
        self._made_at_ms = NOW_MS
        self.given = self.stolen = self.missing = 0

    def keep(self, terms: Terms, answer: PartnerAnswer) -> None:
        """Have the cache take an answer, under one of the directories."""
        directory = self._in_force(self.pairs.draw.choice([0, 0, 0, 1, 2]))
        asks(self.question, terms)
        question = exchange_pb2.Question()
        question.CopyFrom(self.question)
        self.cache.put(question, answer, self.cache.mark, 5.0)
        self.own[terms] = answer, directory, answer.findings.rules_digest

    def _in_force(self, number: int) -> Directory:
        self.world.directory._directory = self.directories[number]
        return self.directories[number]

    def goes_on(self) -> Directory:
        """Another directory is in force, maybe, and members answer by other rules; mostly by the first of each."""
        for party in (B, C):
            self._made_at_ms += 1
            self.rules[party.member_id] = RULES[self.pairs.draw.choice([0, 0, 0, 1, 2])]
            answered = exchange_pb2.Findings(made_at_ms=self._made_at_ms, rules_digest=self.rules[party.member_id])
            self.cache.answered(party.member_id, answered)
        return self._in_force(self.pairs.draw.choice([0, 0, 0, 1, 2]))

    def own_answer(self, terms: Terms, directory: Directory) -> PartnerAnswer | None:
        """What may be given to whom asks under these terms now."""
        answer, verified_by, by_rules = self.own.get(terms, (None, None, b""))
        return answer if verified_by is directory and by_rules == self.rules[terms[0]] else None

    def count(self, held: Held | None, own: PartnerAnswer | None) -> None:
        """Take note of what was given, and of what should have been."""
        if held is None:
            self.missing += own is not None
        else:
            self.given += 1
            self.stolen += held.answer is not own and (own is None or held.answer.proof != own.proof)

    def in_memory(self, count: int) -> None:
        """Ask so many times; nothing has to be waited for."""
        question, find, key_of = self.question, self.cache.find, self.cache.key
        context, numbers = question.context, [ANNA]
        for _ in range(count // AT_ONCE):
            directory = self.goes_on()
            context.official_pseudonym = self.pairs.draw.randbytes(16)
            context.case_reference = str(self.pairs.draw.random())
            for terms in self.pairs.asked(AT_ONCE):
                asks(question, terms)
                finding = find(terms[0], key_of(terms[0], question), numbers, 5.0)
                try:
                    finding.send(None)
                except StopIteration as found:
                    self.count(found.value, self.own_answer(terms, directory))
                else:
                    raise AssertionError("the memory is not waited for")

    async def on_disk(self, count: int) -> None:
        """The same of a cache that has hardly any memory."""
        for _ in range(count // AT_ONCE):
            directory = self.goes_on()
            for terms in self.pairs.asked(AT_ONCE):
                asks(self.question, terms)
                key = self.cache.key(terms[0], self.question)
                self.count(await self.cache.find(terms[0], key, [terms[4]], 5.0), self.own_answer(terms, directory))


def remembering(world: CacheWorld, cache: AnswerCache, *, kept: int = 2_000, seed: int = 0) -> Asking:
    """A cache with so many answers in its memory; what they say is of no account, only whose they are."""
    made = Asking(world, cache, Pairs(20260520 + seed, kept))
    one = world.answer(asked_about())
    said = []
    for rules in RULES:
        findings = exchange_pb2.Findings()
        findings.CopyFrom(one.findings)
        findings.rules_digest = rules
        said.append(findings)
    for number, terms in enumerate(made.pairs.kept):
        proof = one.proof._replace(salt=number.to_bytes(16))
        answer = PartnerAnswer(terms[0], said[made.pairs.draw.choice([0, 0, 0, 1, 2])], one.message_id, proof)
        made.keep(terms, answer)
    return made


@pytest.mark.parametrize("part", range(PARTS))
async def test_of_900000_pairs_in_memory_none_gets_what_is_not_its_own(tmp_path: Path, part: int) -> None:
    async with stored(tmp_path, FakeClock(NOW_MS)) as store:
        world = CacheWorld(store, FakeClock(NOW_MS), memory_bytes=1 << 28)
        await world.cache.open()
        asking = remembering(world, world.cache, seed=part)
        asking.in_memory(IN_MEMORY // PARTS)
        assert (asking.stolen, asking.missing) == (0, 0)
        assert asking.given > IN_MEMORY // PARTS // 20, "or there was little to get wrong"
        await world.cache.close()


async def test_of_10000_pairs_on_the_disk_none_gets_what_is_not_its_own(tmp_path: Path) -> None:
    async with stored(tmp_path, FakeClock(NOW_MS)) as store:
        world = CacheWorld(store, FakeClock(NOW_MS), memory_bytes=5_000)
        await world.cache.open()
        asking = Asking(world, world.cache, Pairs(20260528, 300))
        for terms in asking.pairs.kept:
            asks(asking.question, terms)
            party = B if terms[0] == B.member_id else C
            answer = world.answer(asking.question, party, rules_digest=asking.pairs.draw.choice(RULES))
            await world.keep(asking.question, answer)
            asking.keep(terms, answer)
        await world.restart()
        asking.cache = world.cache
        await asking.on_disk(ON_DISK)
        assert (asking.stolen, asking.missing) == (0, 0)
        assert asking.given > ON_DISK // 50
        assert len(world.cache._memory) < 5
        await world.cache.close()


Leaving = Callable[[exchange_pb2.Question], object]
LEFT_OUT: Final[dict[str, Leaving]] = {
    "unit": lambda asked: asked.context.ClearField("unit"),
    "purpose": lambda asked: asked.context.ClearField("purpose"),
    "legal basis": lambda asked: asked.context.ClearField("legal_basis"),
    "person": lambda asked: asked.subjects.ClearField("id_number"),
    "name": lambda asked: asked.subjects.ClearField("name"),
    "further numbers": lambda asked: asked.subjects.ClearField("alias_id_number"),
    "document": lambda asked: asked.subjects.ClearField("document_kind"),
    "benefit": lambda asked: asked.ClearField("benefit"),
    "place": lambda asked: asked.ClearField("region"),
    "day": lambda asked: asked.ClearField("as_of_on"),
    "evidence": lambda asked: asked.ClearField("evidence_limit"),
    "evidence of the living": lambda asked: asked.ClearField("evidence_only_where_not_alive"),
    "start": lambda asked: asked.ClearField("benefit_since_on"),
}


class Careless(AnswerCache):
    """A cache that leaves one thing out of what an answer is found by."""

    without: str

    def key(self, member_id: str, question: exchange_pb2.Question) -> bytes:
        asked = exchange_pb2.Question()
        asked.CopyFrom(question)
        if self.without in LEFT_OUT:
            LEFT_OUT[self.without](asked)
        return super().key("" if self.without == "member" else member_id, asked)

    def fresh(self, held: Held, now_ms: int) -> bool:
        if self.without == "directory":
            self._tagged = self._directory.current(), held.directory
        if self.without == "rules":
            self.answered(held.answer.member_id, _newest(held.answer.findings))
        return super().fresh(held, now_ms)


def _newest(findings: exchange_pb2.Findings) -> exchange_pb2.Findings:
    return exchange_pb2.Findings(made_at_ms=1 << 62, rules_digest=findings.rules_digest)


@pytest.mark.parametrize("without", [*NAMED, "directory", "rules"])
async def test_whatever_were_left_out_would_be_noticed(tmp_path: Path, without: str) -> None:
    async with stored(tmp_path, FakeClock(NOW_MS)) as store:
        world = CacheWorld(store, FakeClock(NOW_MS))
        careless = Careless(store.reusable, store.answers, world.directory, world.clock, world.options)
        careless.without = without
        asking = remembering(world, careless, kept=300)
        asking.in_memory(5_000)
        assert asking.stolen > 0
        await careless.close()


def test_all_fields_of_a_question_about_a_person_are_among_the_terms() -> None:
    context = {field.name for field in exchange_pb2.Context.DESCRIPTOR.fields}
    assert context == {"unit", "purpose", "legal_basis", "official_pseudonym", "case_reference"}
    subjects = {field.name for field in columns_pb2.SubjectColumns.DESCRIPTOR.fields}
    assert subjects == {"id_number", "name", "document_kind", "alias_subject", "alias_id_number"}
    assert {"member", *LEFT_OUT} == set(NAMED)


# Whole responses

REQUESTED: Final[dict[str, Sequence[Any]]] = {
    "id_number": PEOPLE,
    "name": ["安娜", "鲍博", "安"],
    "document_kind": [0, v.DOCUMENT_KIND_RESIDENT_IDENTITY, v.DOCUMENT_KIND_PASSPORT],
    "alias_id_numbers": [(), (CHEN,), (BO,)],
    "benefit": [number for number in words.BenefitType.values() if number],
    "purpose": [number for number in v.Purpose.values() if number],
    "regions": [(340000,), (350000,), (340000, 350000), (350000, 340000)],
    "legal_basis": ["社会保险法 第七十四条", "社会保险法", "a", "aa"],
    "as_of": ["", "2026-05-26", "2026-05-25"],
    "evidence_limit": [20, 19, 2, 128],
    "benefit_since": ["", "2020-01-01", "2020-01-02"],
    "insured_region": [0, 340000, 350000],
    "household_region": [0, 340000, 350000],
    "past_regions": [(), (340000,), (350000,)],
    "fresh": [False, True],
    "leave_open_s": [0, 60],
    "only_leave": [False, True],
}
UNITS: Final = ["jinhua", "jinhu", "yiwu"]
KEPT_WITH: Final = ("benefit", "legal_basis", "evidence_limit", "insured_region", "as_of", "benefit_since")
"""What kept responses differ in; for the rest they have what `request` has, and are answered as alive."""


def copied(asked: agency_pb2.CheckRequest) -> agency_pb2.CheckRequest:
    copy = agency_pb2.CheckRequest()
    copy.CopyFrom(asked)
    return copy


class Whole:
    """Whole responses that A holds, and requests beside those that they were made for."""

    def __init__(self, gateway: Gateway, seed: int) -> None:
        self.gateway = gateway
        federation = gateway.federation
        federation.at(C, serving(gateway_of(federation, C, gateway.store, gateway.register)))
        self.draw = random.Random(seed)
        self.puts: dict[tuple[str, bytes], tuple[agency_pb2.CheckRequest, Any]] = {}
        self.made_at_ms = NOW_MS
        self.given = self.stolen = self.missing = 0

    async def keep(self, count: int) -> None:
        """Have so many responses made from answers that are given again."""
        finished, put = self.gateway.finished, self.gateway.finished.put
        taken: list[Any] = []
        finished.put = lambda *parts: taken.append(parts)  # type: ignore[method-assign]
        while len(self.puts) < count:
            unit = self.draw.choice(UNITS)
            chosen = {name: self.draw.choice(REQUESTED[name]) for name in KEPT_WITH}
            person = self.draw.choice([ANNA, BO])
            asked = request(id_number=person, name=NAMES[person], purpose=v.PURPOSE_CERTIFICATION, **chosen)
            for _ in range(2):
                await self.gateway.check(A.unit(unit), **{f.name: value for f, value in asked.ListFields()})
            _, response, checked, case = taken[-1]
            assert all(answer.from_cache for answer in response.answers)
            assert not response.partial
            self.puts[unit, asked.SerializeToString()] = asked, (response, checked, case)
        finished.put = put  # type: ignore[method-assign]

    def hold(self, finished: FinishedAnswers, unit: str, asked: agency_pb2.CheckRequest) -> None:
        """Put a response among those that are held."""
        parts = self.puts[unit, asked.SerializeToString()][1]
        finished.put(finished.tag(copied(asked), unit), *parts)

    async def pairs(self, finished: FinishedAnswers, count: int) -> None:
        """Ask so many times, by the directory of then or another, and while members answer by those rules or others."""
        listed = [(unit, asked) for (unit, _), (asked, _) in self.puts.items()]
        for unit, asked in listed:
            self.hold(finished, unit, asked)
        first = self.gateway.directory.version
        for _ in range(count // AT_ONCE):
            now = self.draw.choice(["as then", "as then", "another directory", "other rules"])
            self.made_at_ms += 1
            digest = BOOK.digest if now != "other rules" else b"n" * 32
            answered = exchange_pb2.Findings(made_at_ms=self.made_at_ms, rules_digest=digest)
            for party in (B, C):
                self.gateway.cache.answered(party.member_id, answered)
            if now == "another directory":
                self.gateway.directory.replace(A, B, C)
            recorded = []
            for unit, kept in self.draw.choices(listed, k=AT_ONCE):
                asked = self.beside(kept)
                by = self.draw.choice(UNITS) if self.draw.random() < 0.1 else unit
                own = self.puts.get((by, asked.SerializeToString()))
                tag = finished.tag(copied(asked), by)
                found = finished.find(tag, by, "official 2", "another case")
                if found is not None:
                    recorded.append(found[1])
                if now != "as then" and own is not None:
                    self.stolen += found is not None
                    self.hold(finished, by, asked)  # it went
                else:
                    self.count(None if found is None else found[0], None if own is None else own[1][0])
            self.gateway.directory._directory = first
            for each in recorded:
                await each

    def beside(self, kept: agency_pb2.CheckRequest) -> agency_pb2.CheckRequest:
        """The same request by another official for another case, or one that differs in one thing, or in two."""
        asked = copied(kept)
        for _ in range(self.draw.choice([0, 1, 1, 1, 2])):
            name = self.draw.choice(list(REQUESTED))
            asked.ClearField(name)  # type: ignore[arg-type]
            asked.MergeFrom(agency_pb2.CheckRequest(**{name: self.draw.choice(REQUESTED[name])}))
        return asked

    def count(self, body: bytes | None, own: agency_pb2.CheckResponse | None) -> None:
        if body is None:
            self.missing += own is not None
        else:
            self.given += 1
            self.stolen += own is None or agency_pb2.CheckResponse.FromString(body).answers != own.answers


class CarelessFinished(FinishedAnswers):
    """Leaves one thing out of what a response is found by, or out of what keeps it from being given."""

    without = ""

    def tag(self, request: agency_pb2.CheckRequest, unit: str) -> bytes:
        if self.without in REQUESTED:
            request.ClearField(self.without)  # type: ignore[arg-type]
        return super().tag(request, "" if self.without == "unit" else unit)


async def test_of_90000_pairs_among_whole_responses_none_gets_what_is_not_its_own(tmp_path: Path) -> None:
    clock = FakeClock(NOW_MS)
    async with stored(tmp_path, clock) as store:
        gateway = Gateway(store, clock)
        await gateway.cache.open()
        whole = Whole(gateway, 20260529)
        await whole.keep(60)
        await whole.pairs(gateway.finished, WHOLE)
        assert (whole.stolen, whole.missing) == (0, 0)
        assert whole.given > WHOLE // 20
        await gateway.cache.close()


async def test_whatever_were_left_out_among_whole_responses_would_be_noticed(tmp_path: Path) -> None:
    clock = FakeClock(NOW_MS)
    async with stored(tmp_path, clock) as store:
        gateway = Gateway(store, clock)
        await gateway.cache.open()
        whole = Whole(gateway, 20260530)
        await whole.keep(60)
        for name in ("unit", *REQUESTED):
            finished = gateway.finished
            careless = CarelessFinished(finished._cache, finished._again, finished._questions, clock, 1 << 20)
            careless.without, whole.stolen = name, 0
            await whole.pairs(careless, 2_000)
            assert whole.stolen > 0, name
        await gateway.cache.close()


def test_all_fields_of_a_request_are_among_what_is_varied() -> None:
    fields = {field.name for field in agency_pb2.CheckRequest.DESCRIPTOR.fields}
    assert fields == {*REQUESTED, "official", "case_reference"}
