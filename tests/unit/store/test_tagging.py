"""Keyed tags: one by one or a million at once, whatever the texts; and nothing of them without the key."""

from __future__ import annotations

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.store.tagging import TAG_BYTES, Texts, again, tags

KEY, OTHER = b"k" * 32, b"o" * 32
texts = st.lists(st.text(max_size=20) | st.text(min_size=10, max_size=80), max_size=30)


@settings(deadline=None)
@given(texts)
def test_a_text_has_one_tag_alone_and_among_others(several: list[str]) -> None:
    found = tags(KEY, Texts.of(several)).tolist()
    assert found == [tags(KEY, Texts.of([text]))[0].tobytes() for text in several]
    assert len(set(found)) == len(set(several))
    assert not set(found) & set(tags(OTHER, Texts.of(several)).tolist())


def test_a_tag_is_the_cbc_mac_of_length_text_and_zeros() -> None:
    for text in ("", "330702195001011234", "安娜·乌尔汗", "x" * 47):
        data = text.encode()
        message = bytes([len(data)]) + data.ljust(47, b"\0")
        cipher = Cipher(algorithms.AES(KEY), modes.CBC(bytes(16))).encryptor()
        assert tags(KEY, Texts.of([text]))[0].tobytes() == (cipher.update(message) + cipher.finalize())[-TAG_BYTES:]


def test_texts_of_more_than_one_turn_and_long_ones_among_them() -> None:
    several = [f"{each}" * (1 + each % 20) for each in range(1_000)]
    whole = tags(KEY, Texts.of(several))
    assert len(set(whole.tolist())) == 1_000
    pieces = [tags(KEY, Texts.of(several[start : start + 7])) for start in range(0, 1_000, 7)]
    assert np.concatenate(pieces).tolist() == whole.tolist()


def test_tags_of_tags_differ_by_key_and_tell_the_same_apart() -> None:
    made = tags(KEY, Texts.of(["a", "b", "a"]))
    one, other = again(KEY, made).tolist(), again(OTHER, made).tolist()
    assert one[0] == one[2] != one[1]
    assert not set(one) & (set(other) | set(made.tolist()))


def test_nothing_of_texts_is_shown() -> None:
    assert "330702" not in repr(Texts.of(["330702195001011234"]))
