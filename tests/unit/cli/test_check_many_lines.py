"""What a line of `wugan check-many` may hold, and what is said of one that holds something else."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.check_many import MOST_BYTES, error_json, question_in
from gateway.errors import RefusedError
from wugan.adapter.v1 import vocabulary_pb2 as adapter_words
from wugan.federation.v1 import vocabulary_pb2 as words

OTHERWISE = {
    "benefit": "EMPLOYEE_PENSION",
    "purpose": "",
    "legal_basis": "社会保险法",
    "case_reference": "CASE-1",
    "official": "hu",
    "as_of": "",
}
ANNA = {"id_number": "11010219491001002X", "name": "测试甲", "purpose": "certification", "regions": [110000]}


def line(**told: Any) -> bytes:
    return json.dumps({**ANNA, **told}, ensure_ascii=False).encode() + b"\n"


def test_a_line_is_a_question_and_what_it_does_not_say_is_taken_from_elsewhere() -> None:
    request, ref = question_in(line(ref="A7", case_reference="CASE-9", leave_open_s=60), OTHERWISE)
    assert ref == "A7"
    assert (request.id_number, request.name, list(request.regions)) == ("11010219491001002X", "测试甲", [110000])
    assert request.benefit == words.BENEFIT_TYPE_EMPLOYEE_PENSION
    assert request.purpose == adapter_words.PURPOSE_CERTIFICATION
    assert (request.legal_basis, request.case_reference, request.official) == ("社会保险法", "CASE-9", "hu")
    assert request.leave_open_s == 60


def test_words_are_taken_short_and_whole_and_a_ref_may_be_a_number() -> None:
    request, ref = question_in(line(ref=7, benefit="BENEFIT_TYPE_RESIDENT_PENSION", document_kind="passport"), {})
    assert ref == "7"
    assert request.benefit == words.BENEFIT_TYPE_RESIDENT_PENSION
    assert request.document_kind == adapter_words.DOCUMENT_KIND_PASSPORT


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (b"\xff\xfe\n", "no JSON"),
        (b"{" * 5_000, "no JSON"),
        (b"[" * 50_000, "no JSON"),
        (b"[]\n", "one JSON object"),
        (b"x" * (MOST_BYTES + 1), "at most"),
        (line(ref={"a": 1}), "ref"),
        (line(ref="x" * 201), "ref"),
        (line(benefit="NONE_SUCH"), "benefit"),
        (line(regions="110000"), "regions"),
        (line(wish=1), "wish"),
        (line(**{"11010219491001002X": 1}), "…"),
    ],
)
def test_what_is_wrong_is_named_in_both_languages_without_its_contents(wrong: bytes, said: str) -> None:
    with pytest.raises(RefusedError) as caught:
        question_in(wrong, OTHERWISE)
    told = error_json(caught.value)
    assert said in str(told["en"])
    assert told["zh"]
    assert told["reason"] == "INVALID_ARGUMENT"
    assert "1101021949" not in json.dumps(told)


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(json.dumps).map(str.encode)
)
def test_no_line_does_anything_but_ask_or_be_refused(any_line: bytes) -> None:
    with contextlib.suppress(RefusedError):
        question_in(any_line, OTHERWISE)
