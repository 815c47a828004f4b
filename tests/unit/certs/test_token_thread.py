"""A hardware token that hangs holds up one caller for a moment, and nobody for ever."""

from __future__ import annotations

import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from certs.errors import TokenError
from certs.pkcs11 import Pkcs11Token, TokenKey
from certs.token_thread import TokenThread

PATIENCE_S = 0.05


class Private:
    """A private key in a device that stands still at times."""

    def __init__(self) -> None:
        self.key = Ed25519PrivateKey.generate()
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.asked = 0

    def sign(self, data: bytes, **_mechanism: object) -> bytes:
        self.asked += 1
        self.goes_on.wait()
        return self.key.sign(data)


def session(**more: Any) -> Any:
    slot = SimpleNamespace(get_token=lambda: SimpleNamespace(serial=b"1"))
    return SimpleNamespace(token=SimpleNamespace(serial=b"1", slot=slot), close=lambda: None, **more)


def test_a_token_that_hangs_is_waited_for_once_and_used_again_when_it_goes_on() -> None:
    private = Private()
    token = Pkcs11Token(session(), "wugan", sign_within_s=PATIENCE_S)
    key = TokenKey(token, private, private.key.public_key())
    key.sign(b"data")
    private.goes_on.clear()
    for _ in range(3):
        with pytest.raises(TokenError, match=r"did not sign \(no answer in time\)") as caught:
            key.sign(b"data")
        assert "未按时应答" in caught.value.zh
    assert private.asked == 2, "while it hangs nobody waits for it again"
    private.goes_on.set()
    token._signing._late.result(10)  # type: ignore[union-attr]
    private.key.public_key().verify(key.sign(b"data"), b"data")
    token.close()


def test_a_look_into_the_token_that_hangs_holds_up_no_signature() -> None:
    goes_on = threading.Event()
    private = Private()

    def get_objects(_wanted: object) -> list[object]:
        goes_on.wait()
        return []

    token = Pkcs11Token(session(get_objects=get_objects), "wugan", within_s=PATIENCE_S)
    with pytest.raises(TokenError, match="no answer in time"):
        token.find("wugan-signing-1")
    TokenKey(token, private, private.key.public_key()).sign(b"data")
    with pytest.raises(TokenError, match="no answer in time"):
        token.destroy("wugan-signing-1")
    goes_on.set()
    token.close()


def test_what_never_began_is_not_done_later() -> None:
    thread, goes_on, done = TokenThread("test"), threading.Event(), []
    first = threading.Thread(target=lambda: thread.do(goes_on.wait, 30))
    first.start()
    while thread._waiting.qsize():
        pass
    with pytest.raises(TimeoutError):
        thread.do(lambda: done.append(1), PATIENCE_S)
    goes_on.set()
    first.join(10)
    thread.do(lambda: None, 30)
    assert done == []
    thread.close()


def test_a_failure_is_the_callers() -> None:
    thread = TokenThread("test")
    with pytest.raises(ZeroDivisionError):
        thread.do(lambda: 1 // 0, 30)
    assert thread.do(lambda: 2, 30) == 2
    thread.close()


def test_a_process_ends_though_its_token_hangs() -> None:
    hanging = (
        "import threading\nfrom certs.token_thread import TokenThread\n"
        "try:\n    TokenThread('test').do(threading.Event().wait, 0.05)\n"
        "except TimeoutError:\n    print('late')\n"
    )
    ended = subprocess.run([sys.executable, "-c", hanging], capture_output=True, text=True, timeout=30, check=True)
    assert ended.stdout == "late\n"
