"""Columns written a whole column at once are what the library reads."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters import packing
from adapters.texts import Texts
from wugan.adapter.v1 import columns_pb2

EVIDENCE = columns_pb2.EvidenceColumns.DESCRIPTOR
NATURAL = st.integers(0, 2**31 - 1) | st.integers(0, 300) | st.sampled_from([127, 128, 2**14 - 1, 2**14, 2**28])


@settings(max_examples=100, deadline=None)
@given(st.lists(NATURAL, max_size=60), st.lists(st.integers(-(2**31), 2**31 - 1) | st.integers(-70, 70), max_size=60))
def test_integers_of_any_size_are_read_as_they_were_written(natural: list[int], signed: list[int]) -> None:
    data = b"".join(
        (
            packing.integers(EVIDENCE, "region", np.array(natural, np.int32)),
            packing.integers(EVIDENCE, "observed_on", np.array(signed, np.int32)),
            packing.integers(EVIDENCE, "kind", np.array(natural, np.int32)),
        )
    )
    read = columns_pb2.EvidenceColumns.FromString(data)
    assert list(read.region) == natural
    assert list(read.observed_on) == signed
    assert list(read.kind) == natural
    written = columns_pb2.EvidenceColumns(region=natural, observed_on=signed, kind=natural)  # type: ignore[arg-type]
    assert read.SerializeToString(deterministic=True) == written.SerializeToString(deterministic=True)


CELLS = st.lists(st.text(max_size=12) | st.text(min_size=60, max_size=150), max_size=40)


@settings(max_examples=100, deadline=None)
@given(CELLS)
def test_texts_of_any_length_are_read_as_they_were_written(cells: list[str]) -> None:
    lazy = Texts(pl.Series(cells, dtype=pl.String))
    for column in (cells, lazy):
        for name, message in (
            ("source_reference", columns_pb2.EvidenceColumns),
            ("held_name", columns_pb2.HolderColumns),
        ):
            data = packing.texts(message.DESCRIPTOR, name, column)
            assert list(getattr(message.FromString(data), name)) == cells
