"""Faces: what leaves a department of its face platform's templates, whichever way its data is read."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from adapters_world import ANNA, BO, CHEN, ask, day, manifest_in, now_ms
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters import sdk
from adapters.asked import Asked
from adapters.batches import in_batches
from adapters.build import build
from adapters.columnar import ColumnMapper
from adapters.contract import DataItem, Description, Faces, Found, Holders, Lookup, Subjects
from adapters.errors import ManifestError, SourceFaultError
from adapters.faces import face_token
from adapters.gathering import Gathering
from adapters.incoming import AnswerLimits, Incoming
from adapters.manifest import load_manifest
from adapters.mapping import Mapper
from adapters.outgoing import messages, request
from adapters.serving.asked import lookup_of
from wugan.adapter.v1 import adapter_pb2
from wugan.adapter.v1 import vocabulary_pb2 as v

TEXT = """\
manifest: 1
adapter_id: face-authentication
version: "1"
department: FACE_AUTHENTICATION
regions: [330700]
kind: table
source: {url: "sqlite:///f.db"}
identity: {column: id, name: who}
records:
  - name: checks
    table: checks
    evidence: {column: result, codes: {PASS: FACE_CHECK, SEEN: HOME_VISIT, FAIL: ignore}}
    observed_on: {column: at, formats: ["%Y-%m-%d"]}
    strength: {column: how, codes: {SELF: IN_PERSON, RELATIVE: REAL_NAME}}
    source_reference: ref
    face: {platform: a.platform, column: template}
    bad_rows: skip
"""
COLUMNS = ("id", "who", "result", "at", "how", "template", "ref")
T1, T2 = face_token("a.platform", "T-1"), face_token("a.platform", "T-2")
ROWS = [
    (ANNA, "安娜", "PASS", "2026-01-05", "SELF", "T-1", "r1"),
    (ANNA, "安娜", "PASS", "2026-03-05", "SELF", "T-1", "r2"),
    (ANNA, "安娜", "PASS", "2026-02-05", "SELF", " T-2 ", "r3"),
    (ANNA, "安娜", "FAIL", "2026-03-06", "SELF", "T-3", "r4"),
    (BO, "博", "PASS", "2026-01-05", "RELATIVE", "T-4", "r5"),
    (BO, "博", "SEEN", "2026-01-06", "SELF", "T-5", "r6"),
    (BO, "博", "PASS", "2026-01-07", "SELF", None, "r7"),
    (BO, "博", "PASS", "2026-01-08", "SELF", "T" * 300, "r8"),
]
EXPECTED = {(0, T1, day("2026-03-05"), 330700), (0, T2, day("2026-02-05"), 330700)}


def told(faces: Faces) -> set[tuple[int, bytes, int, int]]:
    listed = list(
        zip(faces.subject.tolist(), faces.token, faces.observed_on.tolist(), faces.region.tolist(), strict=True)
    )
    assert len(listed) == len(set(listed))
    return set(listed)


def test_a_token_is_the_beginning_of_a_hash_that_has_the_platform_in_it() -> None:
    """Reckoned by `printf 'wugan-face-v1\\0a.platform\\0T-1' | sha256sum`."""
    assert T1.hex() == "b75f91f08e0f7e502a7cc532376296a6"
    assert face_token("another", "T-1") != T1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with sqlite3.connect(tmp_path / "f.db") as database:
        database.execute(f"CREATE TABLE checks ({', '.join(f'{name} TEXT' for name in COLUMNS)})")
        database.executemany("INSERT INTO checks VALUES (?, ?, ?, ?, ?, ?, ?)", ROWS)
    return tmp_path


async def test_each_face_of_a_person_who_was_there_is_told_once_with_its_newest_check(folder: Path) -> None:
    adapter = build(manifest_in(folder, TEXT), folder / "state", now_ms)
    try:
        found = await adapter.lookup(replace(ask(ANNA, BO), faces=True))
        assert told(found.faces) == EXPECTED
        assert len(found.evidence) == 6, "the check whose template id is none is left out"
        since = await adapter.lookup(replace(ask(ANNA), faces=True, traces_since_on=day("2026-02-20")))
        assert told(since.faces) == {(0, T1, day("2026-03-05"), 330700)}
        assert not len((await adapter.lookup(ask(ANNA, BO))).faces), "they were not asked for"
        others = await adapter.lookup(replace(ask(ANNA), faces=True, kinds=(v.EVIDENCE_KIND_HOME_VISIT,)))
        assert not len(others.faces)
    finally:
        await adapter.close()


@pytest.mark.parametrize("references", [True, False])
def test_in_whole_columns_it_is_the_same(folder: Path, references: bool) -> None:
    manifest = manifest_in(folder, TEXT)
    mapper = Mapper(manifest, manifest.records[0])  # type: ignore[arg-type,union-attr]
    by_columns = ColumnMapper.of(mapper, dict.fromkeys(COLUMNS, 1043))
    assert by_columns is not None
    subjects = Subjects([ANNA, BO], ["安娜", "博"])
    question = Lookup(subjects, references=references, faces=True)
    asked = Asked(subjects)
    gathering = Gathering(question, asked, v.DEPARTMENT_FACE_AUTHENTICATION)
    names = by_columns.columns(references=references, faces=True)
    table = dict(zip(COLUMNS, zip(*ROWS, strict=True), strict=True))
    columns = [pl.Series(table[name], dtype=pl.String) for name in names]
    mapped = by_columns.map(columns, references=references, faces=True)
    gathering.add_columns(mapper, asked.find_column(columns[0], (), "checks"), mapped)
    found = gathering.found()
    assert told(found.faces) == EXPECTED
    assert len(found.evidence) == 6
    assert "template" not in by_columns.columns(references=False, faces=False), "what is not told is not read"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (("kind: table", "kind: file"), "table"),
        (("{column: result, codes: {PASS: FACE_CHECK, SEEN: HOME_VISIT, FAIL: ignore}}", "HOME_VISIT"), "FACE_CHECK"),
        (("column: template", "column: id"), "identity number"),
        (("a.platform", "Upper Case"), "platform"),
    ],
)
def test_a_manifest_that_takes_faces_from_elsewhere_is_refused(
    tmp_path: Path, change: tuple[str, str], what: str
) -> None:
    text = TEXT.replace(*change)
    if change[1] == "kind: file":
        text = text.replace('source: {url: "sqlite:///f.db"}', "source: {folder: in}").replace(
            "table: checks", 'files: "*.csv"'
        )
    with pytest.raises(ManifestError, match=what):
        load_manifest(_written(tmp_path, text))


def _written(folder: Path, text: str) -> Path:
    path = folder / "manifest.yaml"
    path.write_text(text, "utf-8")
    return path


# on the wire

ABOUT = Description(
    "face-authentication",
    "1",
    v.DEPARTMENT_FACE_AUTHENTICATION,
    (330700,),
    (DataItem(v.EVIDENCE_KIND_FACE_CHECK, v.STRENGTH_IN_PERSON, 0),),
)
faced = st.lists(
    st.tuples(st.integers(0, 2), st.binary(min_size=16, max_size=16), st.integers(20_000, 20_900)), max_size=40
)


def answer(question: Lookup, rows: list[tuple[int, bytes, int]]) -> Found:
    held = Holders(np.arange(3, dtype=np.int32), question.subjects.id_number, ["某人"] * 3)
    return Found(held, faces=Faces.newest((*row, 330700) for row in rows))


def taken_in(question: Lookup, stream: list[bytes], about: Description = ABOUT) -> Found:
    incoming = Incoming(question, about, AnswerLimits())
    for data in stream:
        incoming.add(data)
    return incoming.found()


@settings(deadline=None, max_examples=30)
@given(faced, st.integers(1, 5))
def test_what_is_sent_is_what_arrives(rows: list[tuple[int, bytes, int]], at_once: int) -> None:
    question = replace(ask(ANNA, BO, CHEN), faces=True)
    found = answer(question, rows)
    assert told(taken_in(question, list(messages(found, at_once))).faces) == told(found.faces)
    assert not len(taken_in(replace(question, faces=False), list(messages(found, at_once))).faces)
    again = adapter_pb2.LookupRequest.FromString(request(question, b"i"))
    assert lookup_of(again, 5.0, 100).faces


@pytest.mark.parametrize(
    ("changed", "about", "what"),
    [
        ({"token": [b"short"]}, ABOUT, "no token"),
        ({"subject": [3]}, ABOUT, "out of range"),
        ({"region": []}, ABOUT, "length"),
        ({}, replace(ABOUT, items=(DataItem(v.EVIDENCE_KIND_HOME_VISIT, 3, 0),)), "no face checks"),
    ],
)
def test_nothing_is_believed_of_an_answer_with_wrong_faces(
    changed: dict[str, list[object]], about: Description, what: str
) -> None:
    question = replace(ask(ANNA, BO, CHEN), faces=True)
    plain: dict[str, list[object]] = {"subject": [0], "token": [T1], "observed_on": [20_500], "region": [330700]}
    data = adapter_pb2.LookupResponse(faces={**plain, **changed}, last=True).SerializeToString()  # type: ignore[arg-type]
    with pytest.raises(SourceFaultError, match=what):
        taken_in(question, [data], about)


def test_a_face_of_somebody_who_is_not_held_spoils_the_answer() -> None:
    question = replace(ask(ANNA, BO, CHEN), faces=True)
    found = replace(answer(question, [(1, T1, 20_500)]), holders=Holders())
    with pytest.raises(SourceFaultError, match="does not list as known"):
        taken_in(question, list(messages(found)))


async def test_asked_in_parts_it_is_the_same_answer() -> None:
    question = replace(ask(ANNA, BO, CHEN), faces=True)

    async def lookup(part: Lookup) -> Found:
        (number,) = part.subjects.id_number
        row = question.subjects.id_number.index(number)
        return Found(faces=Faces.newest([(0, b"%016d" % row, 20_500, 330700)]))

    found = await in_batches(lookup, question, 1)
    assert told(found.faces) == {(row, b"%016d" % row, 20_500, 330700) for row in range(3)}


class Checks(sdk.RowAdapter):
    adapter_id, version, department, regions = "checks", "1", "FACE_AUTHENTICATION", (330700,)
    items = (sdk.Item("FACE_CHECK", "IN_PERSON"),)
    told: tuple[sdk.Row, ...] = ()

    async def rows(self, _numbers: object) -> tuple[sdk.Row, ...]:
        return self.told


async def test_a_program_of_a_department_tells_tokens() -> None:
    checks = Checks()
    checks.told = (
        sdk.Row(ANNA, "安娜", "FACE_CHECK", date(2026, 3, 5), face=sdk.face_token("a.platform", "T-1")),
        sdk.Row(BO, "博", "FACE_CHECK", date(2026, 3, 5), strength="REAL_NAME", face=T2),
        sdk.Row(CHEN, "陈"),
    )
    found = await checks.lookup(replace(ask(ANNA, BO, CHEN), faces=True))
    assert told(found.faces) == {(0, T1, day("2026-03-05"), 330700)}
    checks.told = (sdk.Row(ANNA, "安娜", "FACE_CHECK", date(2026, 3, 5), face=b"T-1"),)
    with pytest.raises(SourceFaultError, match="no token"):
        await checks.lookup(replace(ask(ANNA), faces=True))
