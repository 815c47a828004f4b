"""Each kind of change that the notices are for, from the department that records it to the unit that pays."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from gateway.rules.kinds import KINDS
from tests.unit.notices.notices_world import DEPENDANT, PENSION, Feed, findings_of, world
from tests.unit.rules.rules_world import Row, flag_names, row, status_name
from tests.unit.services.gateways_world import ANNA, UNIT, A, B
from wugan.adapter.v1 import vocabulary_pb2 as v

LIVING = frozenset({"ALIVE_STRONG", "ALIVE_MEDIUM", "ALIVE_WEAK"})
VISIT = row("OUTPATIENT", 30, region=340100)
SENTENCE = row("SENTENCE", 40, detail=v.PENALTY_KIND_FIXED_TERM, since="2026-04-01", until="2029-03-31")
PRISON = row("IMPRISONED", 30, since="2026-04-20", until="2029-03-31")
DECLARED = row("DECLARED_DEAD", 40)


class News(NamedTuple):
    """Something a department records.

    Args:
        name: of the case.
        benefit: that the person draws.
        before: what was recorded and told of before.
        new: what is recorded now.
        statuses: one of which the notice tells.
        flags: that it tells.
        retracts: whether it takes the earlier notice back.
    """

    name: str
    benefit: int
    before: tuple[Row, ...]
    new: Row
    statuses: frozenset[str]
    flags: frozenset[str]
    retracts: bool = False


NEWS = [
    News(
        "household registration cancelled by death",
        PENSION,
        (),
        row("HOUSEHOLD_CANCELLED_DEATH", 3, region=340100),
        frozenset({"DECEASED"}),
        frozenset(),
    ),
    News("sentence", PENSION, (), SENTENCE, LIVING, frozenset({"IMPRISONED"})),
    News("imprisonment", PENSION, (), PRISON, LIVING, frozenset({"IMPRISONED"})),
    News("parole", PENSION, (SENTENCE, PRISON), row("PAROLE", 2, since="2026-05-25"), LIVING, frozenset({"PAROLED"})),
    News(
        "revocation of a declaration of death",
        PENSION,
        (DECLARED,),
        row("DEATH_DECLARATION_REVOKED", 2),
        LIVING,
        frozenset({"DEATH_DECLARATION_REVOKED"}),
        retracts=True,
    ),
    News("remarriage", DEPENDANT, (), row("MARRIAGE", 2), LIVING, frozenset({"REMARRIED"})),
]


@pytest.mark.parametrize("news", NEWS, ids=[each.name for each in NEWS])
async def test_each_kind_of_change_is_a_notice_of_its_kind(tmp_path: Path, news: News) -> None:
    department = v.Department.Value(f"DEPARTMENT_{news.new.department}")
    source = Feed({ANNA: [VISIT]}, department=department)
    async with world(tmp_path, source) as w:
        await w.subscribe(ANNA, benefit=news.benefit)
        if news.before:
            source.record(ANNA, VISIT, *news.before)
            await w.settle()
            assert len(await w.told()) == 1
        source.record(ANNA, VISIT, *news.before, news.new)
        await w.settle()
        *earlier, told = await w.told()
        assert len(earlier) == bool(news.before)
        findings = findings_of(told)
        assert status_name(findings.status[0]) in news.statuses
        assert flag_names(findings.flags[0]) == news.flags
        assert KINDS[news.new.kind] in findings.evidence.kind, "the notice does not show what it is of"
        assert (told.id_number, told.kept.member, told.kept.benefit) == (ANNA, B.member_id, news.benefit)
        assert (told.kept.unit, told.kept.retracts_from) == (UNIT, 1 if news.retracts else 0)
        assert [each.kept.retracted for each in earlier] == [news.retracts for _ in earlier]
        (kept,) = [event for event in await w.recorded(w.a) if event.decision == f"notice {len(earlier) + 1} received"]
        assert (kept.purpose, kept.counterpart) == (v.PURPOSE_CHANGE_MONITORING, B.member_id)
        source.record(ANNA, VISIT, *news.before, news.new)  # the same once more is no news
        await w.settle()
        assert len(await w.told()) == len(earlier) + 1
        assert await w.b.store.watches.count(A.member_id) == 1
