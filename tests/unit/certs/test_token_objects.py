"""What a hardware token says that it did is looked at, and so is whether it is the same token still."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from certs.errors import TokenError
from certs.pkcs11 import Pkcs11Token

LABEL = "wugan-signing-2-ab"


class Lying:
    """A session with a token that says that it destroys its object, and does not."""

    def __init__(self) -> None:
        self.there = SimpleNamespace(serial=b"1")
        self.token = SimpleNamespace(serial=b"1", slot=SimpleNamespace(get_token=lambda: self.there))
        self.destroyed = 0

    def get_objects(self, _wanted: object) -> list[Any]:
        return [SimpleNamespace(destroy=self._destroy)]

    def _destroy(self) -> None:
        self.destroyed += 1

    def close(self) -> None:
        pass


def test_a_token_that_keeps_what_it_destroyed_is_not_believed() -> None:
    token = Pkcs11Token(Lying(), "wugan")  # type: ignore[arg-type]
    with pytest.raises(TokenError, match="has key 'wugan-signing-2-ab' still") as caught:
        token.destroy(LABEL)
    assert "仍在" in caught.value.zh
    token.close()


def test_another_token_in_its_place_is_not_taken_for_it() -> None:
    session = Lying()
    token = Pkcs11Token(session, "wugan")  # type: ignore[arg-type]
    session.there = SimpleNamespace(serial=b"2")
    for use in (token.destroy, token.find, token.make):
        with pytest.raises(TokenError, match="another token") as caught:
            use(LABEL)
        assert "接入的不是" in caught.value.zh
    assert session.destroyed == 0
    token.close()
