"""Why a hardware token was not opened is told in words of either language, never in those of its library."""

from __future__ import annotations

import pytest
from pkcs11 import exceptions

from certs.pkcs11 import _CAUSES, why


@pytest.mark.parametrize(
    ("name", "en", "zh"), [("PinIncorrect", "PIN is wrong", "错误"), ("NoSuchToken", "no token", "没有")]
)
def test_a_wrong_pin_and_a_missing_token_are_told_apart(name: str, en: str, zh: str) -> None:
    told = why(getattr(exceptions, name)("1234"))
    assert (en in told[0], zh in told[1]) == (True, True)
    assert "1234" not in "".join(told)


def test_every_cause_with_words_is_one_that_there_is() -> None:
    builtin = {"RuntimeError", "UnicodeDecodeError", "TimeoutError"}
    assert [name for name in _CAUSES if name not in builtin and not hasattr(exceptions, name)] == []
