"""The tree over the parts of a message, held against RFC 9162 and its known answers."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.exchange import tree

# Inputs and heads of the reference test data of Certificate Transparency (google/certificate-transparency,
# merkle_tree_test.cc).
INPUTS = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
HEADS = {
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    5: "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    7: "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


@pytest.mark.parametrize("count", HEADS)
def test_heads_are_those_of_certificate_transparency(count: int) -> None:
    leaves = [tree.leaf(b"", data) for data in INPUTS[:count]]
    assert tree.head(leaves).hex() == HEADS[count]


leaf_lists = st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=70)


@settings(deadline=None)
@given(leaf_lists, st.data())
def test_every_leaf_leads_to_the_head_and_from_no_other_place(leaves: list[bytes], data: st.DataObject) -> None:
    head, ways = tree.head(leaves), tree.paths(leaves)
    for position, (leaf, way) in enumerate(zip(leaves, ways, strict=True)):
        assert tree.head_from(leaf, position, len(leaves), way) == head
    position = data.draw(st.integers(0, len(leaves) - 1))
    other = data.draw(st.integers(-3, len(leaves) + 3))
    if other != position and not (0 <= other < len(leaves) and leaves[other] == leaves[position]):
        assert tree.head_from(leaves[position], other, len(leaves), ways[position]) != head


@settings(deadline=None)
@given(leaf_lists, st.binary(max_size=260))
def test_no_other_path_leads_to_the_head(leaves: list[bytes], way: bytes) -> None:
    if way != tree.paths(leaves)[0]:
        assert tree.head_from(leaves[0], 0, len(leaves), way) != tree.head(leaves)


def test_a_leaf_is_never_taken_for_a_node() -> None:
    left, right = tree.leaf(b"s" * 16, b"one"), tree.leaf(b"s" * 16, b"two")
    assert tree.leaf(left[:16], left[16:] + right) != tree.head([left, right])
    assert tree.head([left, right]) == hashlib.sha256(b"\x01" + left + right).digest()
