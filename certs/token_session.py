"""The session with a hardware token, and another one once the token was pulled out and put back.

Owns: when it is opened anew, and that no PIN is tried so often that the token locks itself. Refuses: what is done in a
session (`certs.pkcs11`), and waiting: whoever comes too early is told so at once.

The rule. A session is lost when the module says that the device was removed, or that it does not know the session. The
next use opens another one, with the PIN as the file has it then:
- only with the same token, by its serial number, and while another wrong PIN would not lock it;
- once for each time that the token is plugged in: where a login fails, there is no other until the token was seen away;
- never again in this process after the token refused the PIN;
- after a failure not before a pause, 1 s at first and 30 s at last, which ends with the first use that works.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from certs.errors import CertsError, TokenAwayError, TokenError
from certs.token_words import another_token, require_tries, why

if TYPE_CHECKING:
    import pkcs11

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 30.0
_LOST: Final = frozenset(
    {"DeviceRemoved", "TokenNotPresent", "SessionHandleInvalid", "SessionClosed", "UserNotLoggedIn"}
)
"""What modules say of a session whose token was pulled out. Not `DeviceError` and the like: the session may be good."""
_PIN_REFUSED: Final = frozenset({"PinIncorrect", "PinInvalid", "PinLenRange", "PinLocked", "PinExpired"})


class Anew(NamedTuple):
    """How a session is opened anew.

    Args:
        module: with `get_tokens`, as `pkcs11.lib` has it.
        pin: reads the user's PIN. Raises CertsError.
    """

    module: Any
    pin: Callable[[], bytes]


class TokenSession:
    """See the module. Safe for several threads.

    Args:
        session: that was opened.
        label: of the token.
        anew: how another is opened; None: it is not.
        monotonic: seconds, paces the tries.
    """

    def __init__(
        self,
        session: pkcs11.Session,
        label: str,
        anew: Anew | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._label = label
        self._anew = anew
        self._monotonic = monotonic
        self._serial: bytes = session.token.serial
        self._opening = threading.Lock()
        self._is_lost = False
        self._refused: TokenError | None = None
        """Why the PIN is not shown to the token any more."""
        self._shown = False
        """A login failed since the token was seen away last."""
        self._pause_s = 0.0
        self._not_before = 0.0

    @property
    def present(self) -> pkcs11.Session:
        """The session of the moment, lost or not."""
        return self._session

    @property
    def serial(self) -> bytes:
        """Serial number of the token."""
        return self._serial

    @property
    def is_lost(self) -> bool:
        """Whether it is of no use any more."""
        return self._is_lost

    def ready(self) -> pkcs11.Session:
        """A session that was not lost as far as is known; opened anew where that is due.

        Raises:
            TokenError: there is none. TokenAwayError: it may come back by itself.
        """
        if not self._is_lost or self._anew is None:
            return self._session
        if not self._opening.acquire(blocking=False):
            raise self._away("it is being opened", "正在打开")
        try:
            if self._is_lost:
                self._open(self._anew)
            return self._session
        finally:
            self._opening.release()

    def failed(self, session: pkcs11.Session, error: BaseException | None) -> None:
        """A use failed with an error of the module: the session it was made in may be lost. Of an earlier one that says
        nothing of the present.
        """
        if session is self._session and type(error).__name__ in _LOST:
            self._is_lost = True

    def worked(self, session: pkcs11.Session) -> None:
        """A use went well: the next loss is another one."""
        if session is self._session and not self._is_lost:
            self._pause_s = 0.0

    def _open(self, anew: Anew) -> None:
        """Open another session, if that is due. Raises TokenError."""
        if self._refused is not None:
            raise self._refused
        if self._monotonic() < self._not_before:
            raise self._away("it was tried a moment ago", "刚刚尝试过")
        self._pause_s = min(max(FIRST_PAUSE_S, self._pause_s * 2), LONGEST_PAUSE_S)
        try:
            self._session = self._log_in(anew)
        finally:
            self._not_before = self._monotonic() + self._pause_s
        self._is_lost = self._shown = False

    def _log_in(self, anew: Anew) -> pkcs11.Session:
        import pkcs11

        try:
            token = self._found(anew)
            require_tries(token.flags, self._label)
            pin = anew.pin().decode("utf-8")
        except pkcs11.PKCS11Error as error:
            raise self._away(*why(error)) from None
        except UnicodeDecodeError as error:
            # Not chained: it quotes the PIN.
            raise self._unopened(*why(error)) from None
        except TokenError:
            raise
        except CertsError as error:
            raise TokenError(error.en, error.zh) from error
        self._shown = True
        try:
            return token.open(rw=True, user_pin=pin)
        except pkcs11.UserAlreadyLoggedIn:
            # It was the session alone that got lost. Without a PIN: it counts for the whole process.
            return token.open(rw=True)
        except pkcs11.PKCS11Error as error:
            raise self._no_login(error) from None

    def _found(self, anew: Anew) -> pkcs11.Token:
        """The token, plugged in again. Raises TokenError where it is not, or had its login."""
        there: list[pkcs11.Token] = list(anew.module.get_tokens(token_label=self._label))
        token = next((each for each in there if each.serial == self._serial), None)
        if token is None:
            self._shown = False
            if there:
                raise another_token(self._label)
            raise self._away("it is not plugged in", "设备未接入")
        if self._shown:
            raise self._unopened(
                "a login failed since it was plugged in, and no other is tried", "接入后登录失败，不再自动尝试"
            )
        return token

    def _no_login(self, error: Exception) -> TokenError:
        """The token did not let us in. Not chained: the cause may quote the PIN."""
        en, zh = why(error)
        if type(error).__name__ not in _PIN_REFUSED:
            return self._unopened(en, zh)
        self._refused = TokenError(
            f"token {self._label!r} cannot be opened again ({en}), and no PIN is tried any more; put the PIN right, "
            "then restart the gateway",
            f"无法重新打开密码设备 {self._label!r}（{zh}），不再尝试 PIN；请更正 PIN 后重启网关",
        )
        return self._refused

    def _unopened(self, en: str, zh: str) -> TokenError:
        return TokenError(
            f"token {self._label!r} cannot be opened again ({en}); check the PIN, pull the token out for a "
            "moment, or restart the gateway",
            f"无法重新打开密码设备 {self._label!r}（{zh}），请核对 PIN，重新插拔设备或重启网关",
        )

    def _away(self, en: str, zh: str) -> TokenAwayError:
        return TokenAwayError(
            f"token {self._label!r} was pulled out and cannot be used ({en}); plug it in",
            f"密码设备 {self._label!r} 已断开，无法使用（{zh}），请接入设备",
        )
