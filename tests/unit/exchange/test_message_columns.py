"""Columns written into a message at once: the same message as number by number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.exchange.columns import put_columns
from wugan.adapter.v1 import columns_pb2
from wugan.federation.v1 import exchange_pb2

signed = st.lists(st.one_of(st.integers(-(1 << 31), (1 << 31) - 1), st.integers(-3, 3), st.integers(20_000, 21_000)))
unsigned = st.lists(st.one_of(st.integers(0, (1 << 32) - 1), st.integers(0, 130), st.just(330_700)))


@given(decided=signed, flags=unsigned, kinds=st.lists(st.integers(0, 60)))
def test_the_message_is_the_one_that_is_filled_number_by_number(
    decided: list[int], flags: list[int], kinds: list[int]
) -> None:
    at_once, singly = exchange_pb2.Findings(status=[1]), exchange_pb2.Findings(status=[1])
    put_columns(at_once, {"decided_on": np.array(decided, np.int32), "flags": np.array(flags, np.uint32)})
    put_columns(at_once, {"status": np.array(kinds, np.int32)})
    singly.decided_on.extend(decided)
    singly.flags.extend(flags)
    singly.status.extend(kinds)  # type: ignore[arg-type]
    assert at_once == singly
    assert at_once.SerializeToString() == singly.SerializeToString()


def test_what_stands_in_a_message_within_a_message_stays() -> None:
    findings = exchange_pb2.Findings(evidence=columns_pb2.EvidenceColumns(source_reference=["r"], kind=[3]))
    put_columns(findings.evidence, {"kind": np.array([5], np.int32), "observed_on": np.array([-7], np.int32)})
    assert list(findings.evidence.kind) == [3, 5]
    assert list(findings.evidence.observed_on) == [-7]
    assert list(findings.evidence.source_reference) == ["r"]


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("flags", np.array([1, -1], np.int32)),
        ("made_at_ms", np.array([1], np.int64)),
        ("reason_texts", np.array([1], np.int64)),
    ],
    ids=["below zero", "not repeated", "no numbers"],
)
def test_what_does_not_fit_a_field_is_refused(name: str, column: Any) -> None:
    with pytest.raises(ValueError, match=r"below zero|no column"):
        put_columns(exchange_pb2.Findings(), {name: column})
