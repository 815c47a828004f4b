"""A hardware token that is pulled out and put back is used again, and no PIN is tried so often that it locks itself."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pkcs11
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pkcs11 import exceptions

from certs.errors import CertsError, KeyFileError, TokenAwayError, TokenError
from certs.pkcs11 import Pkcs11Token
from certs.token_session import LONGEST_PAUSE_S, Anew, TokenSession

LABEL, KEY = "wugan", "wugan-signing-1-ab"
LOST = ("DeviceRemoved", "TokenNotPresent", "SessionHandleInvalid", "SessionClosed", "UserNotLoggedIn")


class Clock:
    """Seconds, as far as a test lets them go on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Device:
    """A token, its module, and what it was asked."""

    def __init__(self) -> None:
        self.serial = b"1"
        self.flags = pkcs11.TokenFlag(0)
        self.slot = SimpleNamespace(get_token=self._there)
        self.key = Ed25519PrivateKey.generate()
        self.plugged = True
        self.valid: Session | None = None
        self.logged_in = False
        self.keeps_sessions = True
        self.says = "SessionHandleInvalid"
        """What it says of a session that is none any more."""
        self.pin = b"1234"
        self.at_login: Exception | None = None
        self.others: list[Any] = []
        self.shown: list[str] = []
        self.looked = 0

    def _there(self) -> Device:
        if not self.plugged:
            raise exceptions.TokenNotPresent
        return self

    def get_tokens(self, *, token_label: str) -> Iterator[Any]:
        assert token_label == LABEL
        self.looked += 1
        yield from self.others
        if self.plugged:
            yield self

    def open(self, *, rw: bool, user_pin: str | None = None) -> Session:
        assert rw
        if user_pin is not None:
            self.shown.append(user_pin)
            if self.logged_in:
                raise exceptions.UserAlreadyLoggedIn
            if self.at_login is not None:
                raise self.at_login
            if user_pin.encode() != self.pin:
                raise exceptions.PinIncorrect(user_pin)
        made = Session(self)
        self.valid, self.logged_in = (made, True) if self.keeps_sessions else (None, False)
        return made

    def pull_out(self) -> None:
        self.plugged, self.valid, self.logged_in = False, None, False

    def put_back(self) -> None:
        self.plugged = True

    def replug(self) -> None:
        """So quickly that nobody saw it away."""
        self.pull_out()
        self.put_back()


class Session:
    """A session, which knows its objects while it is the valid one."""

    def __init__(self, device: Device) -> None:
        self.token = device
        self.closed = 0

    def require(self) -> None:
        if self.token.valid is not self:
            raise getattr(exceptions, self.token.says)

    def get_objects(self, wanted: Any) -> list[Any]:
        self.require()
        if wanted[pkcs11.Attribute.LABEL] != KEY:
            return []
        public = self.token.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        about = {pkcs11.Attribute.EXTRACTABLE: False, pkcs11.Attribute.SENSITIVE: True}
        return [Half(self, pkcs11.ObjectClass.PRIVATE_KEY, about), Half(self, pkcs11.ObjectClass.PUBLIC_KEY, public)]

    def close(self) -> None:
        self.closed += 1


class Half:
    """One half of the key, as an object of a session."""

    def __init__(self, session: Session, object_class: Any, about: Any) -> None:
        self.session, self.object_class, self.about = session, object_class, about

    def __getitem__(self, attribute: Any) -> Any:
        return self.about if attribute == pkcs11.Attribute.EC_POINT else self.about[attribute]

    def sign(self, data: bytes, **_mechanism: object) -> bytes:
        self.session.require()
        return self.session.token.key.sign(data)


class World:
    """A token in use, the file with its PIN, and a clock."""

    def __init__(self) -> None:
        self.device, self.clock = Device(), Clock()
        self.file: bytes | CertsError = self.device.pin
        anew = Anew(self.device, self._read)
        self.token = Pkcs11Token(self.device.open(rw=True), LABEL, anew=anew)  # type: ignore[arg-type]
        self.token._sessions._monotonic = self.clock
        self.key = self.token.find(KEY)
        self.sign()

    def _read(self) -> bytes:
        if isinstance(self.file, CertsError):
            raise self.file
        return self.file

    def sign(self) -> None:
        self.key.public_key().verify(self.key.sign(b"data"), b"data")

    def refuses(self, match: str, *, away: bool) -> None:
        with pytest.raises(TokenError, match=match) as caught:
            self.sign()
        assert isinstance(caught.value, TokenAwayError) == away
        assert caught.value.zh
        told: BaseException | None = caught.value
        while told is not None:
            assert not isinstance(told, exceptions.PinIncorrect), "its text may be the PIN"
            told = told.__cause__

    def lose(self) -> None:
        """The loss is noticed by a use, which fails."""
        self.device.replug()
        self.refuses("did not sign", away=True)


@pytest.fixture
def w() -> Iterator[World]:
    world = World()
    yield world
    world.token.close()


@pytest.mark.parametrize("says", LOST)
def test_a_token_that_was_put_back_signs_at_the_next_use(w: World, says: str) -> None:
    w.device.says = says
    w.device.pull_out()
    w.refuses("did not", away=True)
    w.refuses("not plugged in", away=True)
    assert w.device.shown == []
    w.device.put_back()
    w.clock.now += 1
    w.sign()
    assert w.device.shown == ["1234"]
    w.sign()
    assert w.token.find(KEY).sign(b"x")
    assert len(w.device.shown) == 1


def test_looking_for_a_key_opens_the_token_as_signing_does(w: World) -> None:
    w.device.replug()
    with pytest.raises(TokenAwayError):
        w.token.find(KEY)
    w.token.find(KEY)
    w.sign()
    assert w.device.shown == ["1234"]


@pytest.mark.parametrize("says", ["DeviceError", "GeneralError", "FunctionFailed", "DataInvalid"])
def test_a_session_that_may_be_good_is_kept(w: World, says: str) -> None:
    w.device.says = says
    for _ in range(3):
        w.lose()
        w.clock.now += 60
    assert (w.device.looked, w.device.shown) == (0, [])


def test_a_wrong_pin_is_tried_once_and_never_again(w: World) -> None:
    w.file = b"4321"
    w.lose()
    w.refuses("the PIN is wrong", away=False)
    for file in (w.file, w.device.pin):  # put right, even: nobody can know here whether it is
        w.file = file
        for _ in range(3):
            w.device.pull_out()
            w.clock.now += 60
            w.refuses("no PIN is tried any more", away=False)
            w.device.put_back()
            w.clock.now += 60
            w.refuses("restart the gateway", away=False)
    assert w.device.shown == ["4321"]


@pytest.mark.parametrize("name", ["PinLocked", "PinLenRange", "PinExpired", "PinInvalid"])
def test_so_is_every_pin_that_is_refused(w: World, name: str) -> None:
    w.device.at_login = getattr(exceptions, name)()
    for _ in range(4):
        w.device.replug()
        w.clock.now += 60
        with pytest.raises(TokenError):
            w.sign()
    assert len(w.device.shown) == 1


def test_a_login_that_fails_otherwise_is_tried_once_for_each_time_it_is_plugged_in(w: World) -> None:
    """Some modules say of a wrong PIN nothing better than that."""
    w.device.at_login = exceptions.GeneralError()
    w.lose()
    for shown in (1, 2, 3):
        w.clock.now += 60
        w.refuses("cannot be opened again", away=False)
        for _ in range(3):
            w.clock.now += 60
            w.refuses("no other is tried", away=False)
        assert len(w.device.shown) == shown
        w.device.pull_out()
        w.clock.now += 60
        w.refuses("not plugged in", away=True)
        w.device.put_back()
    w.device.at_login = None
    w.clock.now += 60
    w.sign()


@pytest.mark.parametrize("flag", ["USER_PIN_FINAL_TRY", "USER_PIN_LOCKED"])
def test_the_last_try_is_left_to_a_person(w: World, flag: str) -> None:
    w.lose()
    w.device.flags = pkcs11.TokenFlag[flag]
    w.refuses("too many wrong PINs", away=False)
    assert w.device.shown == []
    w.device.flags = pkcs11.TokenFlag(0)
    w.clock.now += 60
    w.sign()


def test_no_pin_is_shown_to_another_token_of_the_same_label(w: World) -> None:
    w.lose()
    other = Device()
    other.serial = b"2"
    w.device.others = [other]
    w.device.pull_out()
    w.refuses("another token", away=False)
    w.device.put_back()
    w.clock.now += 60
    w.sign()
    assert (other.shown, w.device.shown) == ([], ["1234"])


def test_tries_are_further_and_further_apart_and_begin_anew_after_a_use_that_works(w: World) -> None:
    def tries(seconds: int) -> int:
        before = w.device.looked
        for _ in range(seconds * 10):
            w.clock.now += 0.1
            with pytest.raises(TokenAwayError):
                w.sign()
        return w.device.looked - before

    for _ in range(2):
        w.device.pull_out()
        assert 5 <= tries(60) <= 7
        assert 9 <= tries(300) <= 11
        w.device.put_back()
        w.clock.now += LONGEST_PAUSE_S
        w.sign()


def test_a_session_that_is_lost_at_once_each_time_is_not_opened_without_a_pause(w: World) -> None:
    w.device.keeps_sessions = False
    w.device.replug()
    for _ in range(600):
        w.clock.now += 0.1
        with pytest.raises(TokenAwayError):
            w.sign()
    assert 3 <= len(w.device.shown) <= 7


@pytest.mark.parametrize("file", [KeyFileError("unreadable", "无法读取"), b"\xff\xfe"])
def test_a_pin_file_that_cannot_be_read_is_no_try(w: World, file: bytes | CertsError) -> None:
    w.lose()
    w.file = file
    w.refuses("unreadable|no text", away=False)
    w.file = w.device.pin
    w.clock.now += 60
    w.sign()
    assert w.device.shown == ["1234"]


def test_where_only_the_session_was_lost_another_is_opened_beside_the_login(w: World) -> None:
    w.device.valid = None
    w.refuses("did not sign", away=True)
    w.sign()
    assert w.device.logged_in


def test_another_key_of_the_same_label_does_not_sign(w: World) -> None:
    w.lose()
    w.device.key = Ed25519PrivateKey.generate()
    w.refuses("another key", away=False)


def test_the_failure_of_an_earlier_session_says_nothing_of_the_present() -> None:
    device = Device()
    first = device.open(rw=True)
    sessions = TokenSession(first, LABEL, Anew(device, lambda: b"1234"))  # type: ignore[arg-type]
    sessions.failed(first, exceptions.SessionHandleInvalid())  # type: ignore[arg-type]
    device.logged_in = False
    second = sessions.ready()
    assert second is not first
    sessions.failed(first, exceptions.SessionHandleInvalid())  # type: ignore[arg-type]
    assert sessions.ready() is second


def test_while_one_opens_it_nobody_else_does() -> None:
    device = Device()
    first = device.open(rw=True)
    met: list[str] = []

    def pin() -> bytes:
        with pytest.raises(TokenAwayError, match="being opened") as caught:
            sessions.ready()
        met.append(caught.value.zh)
        return b"1234"

    sessions = TokenSession(first, LABEL, Anew(device, pin))  # type: ignore[arg-type]
    sessions.failed(first, exceptions.DeviceRemoved())  # type: ignore[arg-type]
    device.replug()
    sessions.ready()
    assert len(met) == len(device.shown) == 1


def test_what_was_lost_is_not_closed_under_a_handle_that_may_be_anothers(w: World) -> None:
    first = w.token.session
    w.lose()
    w.token.close()
    assert first.closed == 0  # type: ignore[attr-defined]
