"""Why a hardware token was not opened is told in words of either language, never in those of its library."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pkcs11
import pytest
from pkcs11 import exceptions

from certs.errors import TokenAwayError, TokenError
from certs.pkcs11 import open_token
from certs.token_words import CAUSES, why


@pytest.mark.parametrize(
    ("name", "en", "zh"), [("PinIncorrect", "PIN is wrong", "错误"), ("NoSuchToken", "no token", "没有")]
)
def test_a_wrong_pin_and_a_missing_token_are_told_apart(name: str, en: str, zh: str) -> None:
    told = why(getattr(exceptions, name)("1234"))
    assert (en in told[0], zh in told[1]) == (True, True)
    assert "1234" not in "".join(told)


def test_every_cause_with_words_is_one_that_there_is() -> None:
    builtin = {"RuntimeError", "UnicodeDecodeError", "TimeoutError"}
    assert [name for name in CAUSES if name not in builtin and not hasattr(exceptions, name)] == []


class Device:
    """A token behind a module, and how often it was shown a PIN."""

    def __init__(self, *, flags: pkcs11.TokenFlag | None = None, at_login: Exception | None = None) -> None:
        self.flags = flags or pkcs11.TokenFlag(0)
        self.at_login = at_login
        self.slot = SimpleNamespace(get_mechanisms=lambda: {pkcs11.Mechanism.EDDSA})
        self.shown = 0

    def open(self, **_how: Any) -> Any:
        self.shown += 1
        assert self.at_login is not None
        raise self.at_login


def plugged_in(monkeypatch: pytest.MonkeyPatch, device: Device | Exception) -> None:
    def get_token(**_which: Any) -> Any:
        if isinstance(device, Exception):
            raise device
        return device

    monkeypatch.setattr(pkcs11, "lib", lambda _path: SimpleNamespace(get_token=get_token))


@pytest.mark.parametrize("flag", ["USER_PIN_FINAL_TRY", "USER_PIN_LOCKED"])
def test_the_last_try_before_a_token_locks_itself_is_left_to_a_person(
    monkeypatch: pytest.MonkeyPatch, flag: str
) -> None:
    device = Device(flags=pkcs11.TokenFlag[flag], at_login=exceptions.PinLocked())
    plugged_in(monkeypatch, device)
    with pytest.raises(TokenError, match="administrator") as caught:
        open_token(Path("vendor.so"), "wugan", b"1234")
    assert "管理员" in caught.value.zh
    assert device.shown == 0
    assert not isinstance(caught.value, TokenAwayError)


@pytest.mark.parametrize("name", ["NoSuchToken", "TokenNotPresent", "DeviceError", "DeviceRemoved", "GeneralError"])
def test_a_token_that_is_away_may_come_back(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    plugged_in(monkeypatch, getattr(exceptions, name)())
    with pytest.raises(TokenAwayError):
        open_token(Path("vendor.so"), "wugan", b"1234")


@pytest.mark.parametrize("name", ["PinIncorrect", "PinLocked", "GeneralError", "FunctionFailed"])
def test_no_pin_is_tried_again_by_itself(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    plugged_in(monkeypatch, Device(at_login=getattr(exceptions, name)()))
    with pytest.raises(TokenError) as caught:
        open_token(Path("vendor.so"), "wugan", b"1234")
    assert not isinstance(caught.value, TokenAwayError)


def test_two_tokens_of_one_label_stay_two(monkeypatch: pytest.MonkeyPatch) -> None:
    plugged_in(monkeypatch, exceptions.MultipleTokensReturned())
    with pytest.raises(TokenError, match="several tokens") as caught:
        open_token(Path("vendor.so"), "wugan", b"1234")
    assert not isinstance(caught.value, TokenAwayError)
