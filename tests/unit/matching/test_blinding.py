"""The reckoning of matching, held against RFC 7748 written out by itself, and against numbers that never change."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import RefusedError
from gateway.matching import blinding
from gateway.matching.sizes import LEAST, sizes

P = 2**255 - 19
A = 486662
SESSION = bytes(range(16))


def ladder(secret: bytes, u: int) -> int:
    """X25519 of RFC 7748, section 5, as it stands there."""
    k = int.from_bytes(secret, "little") & ~7 & ~(1 << 255) | 1 << 254
    x1, x2, z2, x3, z3, swap = u, 1, 0, u, 1, 0
    for t in range(254, -1, -1):
        bit = k >> t & 1
        if swap ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        aa, bb, da, cb = a * a, b * b, d * a, c * b
        x3, z3 = (da + cb) ** 2 % P, x1 * (da - cb) ** 2 % P
        x2, z2 = aa * bb % P, (aa - bb) * (aa + 121665 * (aa - bb)) % P
    if swap:
        x2, z2 = x3, z3
    return x2 * pow(z2, P - 2, P) % P


def on_the_curve(u: int) -> bool:
    return pow(u**3 + A * u**2 + u, (P - 1) // 2, P) == 1


@given(st.text(max_size=30))
@settings(max_examples=50, deadline=None)
def test_every_text_has_a_point_of_the_curve(text: str) -> None:
    u = int.from_bytes(blinding.point(text.encode()), "little")
    assert 0 < u < P
    assert on_the_curve(u)


def test_points_are_where_they_always_were() -> None:
    """Both sides must come to the same: whoever changes this breaks with every other member."""
    text = blinding.text_of("OLD_AGE", "330702195001011234")
    assert text == b"OLD_AGE\x00330702195001011234"
    tries = 0
    while True:
        digest = hashlib.sha512(b"wugan-matching-point-v1\x00" + bytes((tries,)) + text).digest()
        u = int.from_bytes(digest, "big") % P
        if on_the_curve(u):
            break
        tries += 1
    assert blinding.point(text) == u.to_bytes(32, "little")
    assert blinding.point(text).hex() == "fcc8dcbb667010ca37d32063eacb812c7cba1fa5660581175ba0c422382a6328"
    row = blinding.blind(bytes(range(32)), blinding.point(text))
    assert row == ladder(bytes(range(32)), u).to_bytes(32, "little")
    token = blinding.tokens(SESSION, bytes(range(32, 64)), row)
    shared = ladder(bytes(range(32, 64)), int.from_bytes(row, "little")).to_bytes(32, "little")
    assert token == hashlib.sha256(b"wugan-matching-token-v1\x00" + SESSION + shared).digest()[:16]
    assert token.hex() == "2259960dbc3ee6320698e88361d9c727"


@given(st.lists(st.binary(min_size=1, max_size=20), unique=True, max_size=5), st.sets(st.integers(0, 4)))
@settings(max_examples=20, deadline=None)
def test_tokens_are_equal_for_the_same_person_and_for_nobody_else(texts: list[bytes], shared: set[int]) -> None:
    a, b = blinding.fresh_secret(), blinding.fresh_secret()
    theirs = [text for place, text in enumerate(texts) if place in shared]
    mine = cut(blinding.tokens(SESSION, b, blinding.blind(a, blinding.points_of(texts), 3)))
    other = cut(blinding.tokens(SESSION, a, blinding.blind(b, blinding.points_of(theirs), 3)))
    assert [place for place, token in enumerate(mine) if token in other] == sorted(shared & set(range(len(texts))))


def test_another_session_has_other_tokens() -> None:
    secret, row = blinding.fresh_secret(), blinding.blind(blinding.fresh_secret(), blinding.point(b"x"))
    assert blinding.tokens(SESSION, secret, row) != blinding.tokens(SESSION[::-1], secret, row)


def test_rows_of_nobody_look_like_the_others() -> None:
    rows = cut(blinding.blind(blinding.fresh_secret(), blinding.points_of([b"x", b"y"]), 6), 32)
    assert len(set(rows)) == 8
    assert all(on_the_curve(int.from_bytes(row, "little")) for row in rows)


@pytest.mark.parametrize("u", [0, 1, P - 1, P, P + 1])
def test_points_in_small_subgroups_are_refused(u: int) -> None:
    good = blinding.blind(blinding.fresh_secret(), blinding.point(b"x"))
    with pytest.raises(RefusedError, match="no point"):
        blinding.tokens(SESSION, blinding.fresh_secret(), good + u.to_bytes(32, "little"))


def test_terms_are_the_classes_whatever_their_order() -> None:
    one = blinding.terms_digest([("A", [1, 2]), ("B", [3])])
    assert one == blinding.terms_digest([("B", [3]), ("A", [2, 1])])
    assert len({one, blinding.terms_digest([("A", [1]), ("B", [2, 3])]), blinding.terms_digest([("A", [1, 2])])}) == 3


@given(st.integers(0, 100_000), st.integers(0, 20), st.sampled_from([64, 256, 1024, 8192, 16384]))
@settings(max_examples=100, deadline=None)
def test_columns_hold_everybody_and_say_little_of_how_many(people: int, before: int, longest: int) -> None:
    found = sizes(people, before, longest)
    assert sum(size.people for size in found) == people
    assert all(size.people <= size.rows <= longest for size in found)
    assert all(size.rows & (size.rows - 1) == 0 and size.rows >= LEAST for size in found)
    assert all(size.people == size.rows for size in found[:-1])
    assert found or before


def cut(rows: bytes, size: int = 16) -> list[bytes]:
    return [rows[at : at + size] for at in range(0, len(rows), size)]
