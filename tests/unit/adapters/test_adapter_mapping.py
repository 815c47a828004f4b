"""From rows to evidence: which rows count, what each becomes, and what makes a row bad."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.asked import Asked
from adapters.contract import Found, Subjects
from adapters.errors import SourceFaultError
from adapters.gathering import Gathering
from adapters.manifest import parse_manifest
from adapters.manifest.document import Document
from adapters.mapping import LinkMapper, Mapper
from adapters.values import BAD
from tests.unit.adapters.adapters_world import ANNA, BO, CHEN, ask, day, holders, manifest_in, rows
from wugan.adapter.v1 import vocabulary_pb2 as words

TEXT = """\
manifest: 1
adapter_id: prison
version: 1
department: JUSTICE
regions: [330000]
kind: table
source: {url: "sqlite:///x.db"}
identity: {column: id, name: who}
links: {table: pairs, identity: {column: old}, linked: new, since: at}
records:
  - name: changes
    table: changes
    evidence: {column: what, codes: {S: SENTENCE, C: COMMUTATION, P: PAROLE, R: RETURNED_TO_PRISON, V: ignore},
      unknown: UNKNOWN}
    observed_on: at
    region: {column: area}
    strength: {column: how, codes: {1: IN_PERSON}, otherwise: WEAK}
    detail: {column: penalty, codes: {F: FIXED_TERM, L: LIFE}}
    from_on: start
    until_on: {column: end, empty: ["9999-12-31"]}
    source_reference: ref
    only: {column: valid, except_values: ["0"]}
    bad_rows: POLICY
"""
NAMES = ("id", "who", "valid", "what", "at", "start", "end", "area", "how", "penalty", "ref")


def mapper(unknown: str = "fault", policy: str = "fault") -> Mapper:
    manifest, errors, _ = parse_manifest(Document(TEXT.replace("UNKNOWN", unknown).replace("POLICY", policy), "m.yaml"))
    assert manifest is not None, errors
    return Mapper(manifest, manifest.records[0])


def row(**changed: object) -> dict[str, object]:
    usual: dict[str, object] = {
        "id": ANNA,
        "who": "安娜",
        "valid": "1",
        "what": "S",
        "at": "2024-05-01",
        "start": "2024-05-01",
        "end": "2027-04-30",
        "area": "330702",
        "how": "1",
        "penalty": "F",
        "ref": "R1",
    }
    return usual | changed


def columns(of: Mapper, *given_rows: dict[str, object]) -> list[list[object]]:
    return [[one[name] for one in given_rows] for name in of.columns]


def found(of: Mapper, *given_rows: dict[str, object], asked: Subjects | None = None, **question: object) -> Found:
    subjects = asked or Subjects([ANNA, BO], ["安娜", "博"])
    lookup = ask(*subjects.id_number, **question)
    gathering = Gathering(lookup, Asked(subjects), words.DEPARTMENT_JUSTICE)
    gathering.add_rows(of, columns(of, *given_rows))
    return gathering.found()


def test_a_row_becomes_evidence() -> None:
    of = mapper()
    assert sorted(of.columns) == sorted(NAMES)
    answer = found(of, row())
    evidence = answer.evidence
    assert holders(answer) == [(0, ANNA, "安娜")]
    assert rows(answer) == [(0, "SENTENCE", "2024-05-01", "R1")]
    assert [getattr(evidence, name).tolist() for name in ("region", "strength", "detail", "from_on", "until_on")] == [
        [330702],
        [words.STRENGTH_IN_PERSON],
        [words.PENALTY_KIND_FIXED_TERM],
        [day("2024-05-01")],
        [day("2027-04-30")],
    ]
    assert evidence.department.tolist() == [words.DEPARTMENT_JUSTICE]


def test_details_and_periods_stand_only_where_their_kind_has_them() -> None:
    evidence = found(mapper(), row(what="C"), row(what="P"), row(what="R")).evidence
    assert evidence.detail.tolist() == [0, 0, 0]
    assert evidence.from_on.tolist() == [0, day("2024-05-01"), day("2024-05-01")]
    # A parole that was revoked prolongs the term: the time outside does not count.
    assert evidence.until_on.tolist() == [day("2027-04-30"), 0, day("2027-04-30")]


def test_a_penalty_for_life_has_no_last_day() -> None:
    evidence = found(mapper(), row(penalty="L", end="9999-12-31")).evidence
    assert (evidence.detail.tolist(), evidence.until_on.tolist()) == ([words.PENALTY_KIND_LIFE], [0])


def test_rows_that_do_not_count_do_not_even_make_the_person_known() -> None:
    answer = found(mapper(), row(valid="0", what="nonsense", at="nonsense"))
    assert holders(answer) == []
    assert rows(answer) == []


def test_codes_that_are_no_evidence_still_make_the_person_known() -> None:
    answer = found(mapper(), row(what="V", at="nonsense"))
    assert (holders(answer), rows(answer)) == ([(0, ANNA, "安娜")], [])
    assert rows(found(mapper(unknown="ignore"), row(what="new"))) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"what": "new"},
        {"what": None},
        {"at": "2024-13-01"},
        {"at": None},
        {"area": "somewhere"},
        {"penalty": "X"},
        {"start": "soon"},
        {"start": "2030-01-01"},
        {"ref": "R" * 257},
        {"ref": f"case {ANNA}"},
        {"who": "名" * 100},
    ],
)
def test_a_bad_row_spoils_the_answer_or_is_left_out_by_policy(wrong: dict[str, object]) -> None:
    with pytest.raises(SourceFaultError) as caught:
        found(mapper(), row(), row(**wrong))
    assert "changes" in caught.value.en
    assert ANNA not in caught.value.en + caught.value.zh
    assert rows(found(mapper(policy="skip"), row(**wrong), row(ref="R2"))) == [(0, "SENTENCE", "2024-05-01", "R2")]


@pytest.mark.parametrize("wrong", [{"ref": "R" * 257}, {"ref": f"case {ANNA}"}])
def test_a_reference_that_nobody_needs_is_not_looked_at(wrong: dict[str, object]) -> None:
    assert rows(found(mapper(), row(**wrong), references=False)) == [(0, "SENTENCE", "2024-05-01", "")]


def test_a_person_asked_twice_gets_the_rows_twice_and_aliases_count() -> None:
    subjects = Subjects([ANNA, BO, ANNA], ["a", "b", "a"], [1], [CHEN])
    answer = found(mapper(), row(), row(id=CHEN, who="陈", ref="R2"), asked=subjects)
    assert [(r[0], r[3]) for r in rows(answer)] == [(0, "R1"), (1, "R2"), (2, "R1")]
    assert holders(answer) == [(0, ANNA, "安娜"), (1, CHEN, "陈"), (2, ANNA, "安娜")]


def test_only_what_is_asked_for_is_returned() -> None:
    of = mapper()
    both = (row(), row(what="P", ref="R2"))
    assert [r[1] for r in rows(found(of, *both, kinds=(words.EVIDENCE_KIND_PAROLE,)))] == ["PAROLE"]
    assert len(rows(found(of, *both, traces_since_on=day("2026-01-01")))) == 2, "events are always wanted"


def test_links_join_numbers_from_either_side(tmp_path: Path) -> None:
    manifest = manifest_in(tmp_path, TEXT.replace("UNKNOWN", "fault").replace("POLICY", "fault"))
    assert manifest.links is not None
    pairs = LinkMapper(manifest, manifest.links)
    gathering = Gathering(ask(ANNA, BO), Asked(Subjects([ANNA, BO], ["", ""])), words.DEPARTMENT_JUSTICE)
    gathering.add_links(pairs, [[ANNA, CHEN], [CHEN, BO], ["2020-01-01", "nonsense"]])
    answer = gathering.found()
    assert answer.links.subject.tolist() == [0, 1]
    assert list(answer.links.id_number) == [CHEN, CHEN]
    assert answer.links.since_on.tolist() == [day("2020-01-01"), 0]
    assert holders(answer) == [(0, ANNA, ""), (1, BO, "")], "a link makes its person known"
    with pytest.raises(SourceFaultError):
        gathering.add_links(pairs, [[CHEN], [CHEN], [""]])


_cells = st.one_of(
    st.none(), st.text(string.printable, max_size=8), st.integers(-10, 400_000), st.floats(), st.booleans()
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(NAMES[1:]), _cells, max_size=5), min_size=1, max_size=6))
def test_any_rows_map_to_columns_that_fit_or_are_bad(changes: list[dict[str, object]]) -> None:
    of = mapper(policy="skip")
    answer = found(of, *(row(**change) for change in changes))
    evidence = answer.evidence
    for name in evidence.INTEGER_COLUMNS:
        values = getattr(evidence, name)
        assert len(values) == len(evidence)
        assert BAD not in values.tolist()
    assert (evidence.observed_on != 0).all()
    assert set(evidence.subject.tolist()) <= set(answer.holders.subject.tolist())


@settings(max_examples=50, deadline=None)
@given(st.permutations(range(6)))
def test_the_order_of_rows_carries_no_meaning(order: list[int]) -> None:
    given_rows = [row(ref=f"R{i}", what="SCP"[i % 3], id=[ANNA, BO][i % 2]) for i in range(6)]
    assert rows(found(mapper(), *(given_rows[i] for i in order))) == rows(found(mapper(), *given_rows))
