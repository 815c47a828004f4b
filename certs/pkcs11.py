"""Signing keys in a hardware token (PKCS#11 v2.40 and later), used there and never taken out.

Owns: Ed25519 keys that are made and used in a token: `TokenKey` is an `Ed25519PrivateKey` like any other, so that
certification requests and envelopes are signed with it in the same way. Refuses: the session with the token, which is
opened anew when it was pulled out and put back (`certs.token_session`), handing out a private key, keys that the token
would give away, and tokens that cannot do EdDSA (mechanism CKM_EDDSA).

python-pkcs11 is the extra "hsm"; it is imported only when a token is configured.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from certs.errors import TokenAwayError, TokenError
from certs.token_session import Anew, TokenSession
from certs.token_thread import TokenThread
from certs.token_words import another_token, require_tries, why

if TYPE_CHECKING:
    import pkcs11

_ED25519_OID: Final = "1.3.101.112"
"""RFC 8410 section 3."""
_PUBLIC_BYTES: Final = 32
_AWAY: Final = frozenset(
    {"NoSuchToken", "TokenNotPresent", "DeviceError", "DeviceRemoved", "GeneralError", "FunctionFailed", "TimeoutError"}
)
"""What modules say of a device that is not there yet: a machine may be up before it is."""
SIGN_WITHIN_S: Final = 2.0
"""How long a signature is waited for, by everything that the gateway does: it is made between two calls."""
WITHIN_S: Final = 30.0
"""How long all else is waited for, by what may wait."""

T = TypeVar("T")


def open_token(module: Path, label: str, pin: bytes, anew: Callable[[], bytes] | None = None) -> Pkcs11Token:
    """Log in to a token.

    Args:
        module: the vendor's shared library.
        label: of the token.
        pin: the user's.
        anew: reads the PIN for another login, after the token was pulled out and put back; raises CertsError. None:
            there is no other login.

    Raises:
        TokenError: there is no such module or token, it hangs, the PIN is wrong, or the token cannot do EdDSA.
    """
    try:
        import pkcs11
    except ImportError as error:
        raise TokenError(
            "hardware tokens need the package python-pkcs11; install wugan[hsm]",
            "使用硬件密码设备需安装 python-pkcs11，请安装 wugan[hsm]",
        ) from error

    pin_shown = False

    def opened() -> tuple[pkcs11.Session, bool]:
        nonlocal pin_shown
        token = pkcs11.lib(str(module)).get_token(token_label=label)
        require_tries(token.flags, label)
        able = pkcs11.Mechanism.EDDSA in token.slot.get_mechanisms()
        text = pin.decode("utf-8")
        pin_shown = True
        return token.open(rw=True, user_pin=text), able

    thread = TokenThread("token opening")
    try:
        session, able = thread.do(opened, WITHIN_S)
    except (pkcs11.PKCS11Error, RuntimeError, OSError, UnicodeDecodeError) as error:
        # Not chained: the cause may quote the PIN.
        en, zh = why(error)
        away = type(error).__name__ in _AWAY and not pin_shown
        raise (TokenAwayError if away else TokenError)(
            f"{module}: token {label!r} cannot be opened ({en}); check module, label and PIN",
            f"{module}：无法打开密码设备 {label!r}（{zh}），请核对模块、标签与 PIN",
        ) from None
    finally:
        thread.close()
    if not able:
        session.close()
        raise TokenError(
            f"token {label!r} cannot sign with Ed25519 (no mechanism CKM_EDDSA); use another, or key files",
            f"密码设备 {label!r} 不支持 Ed25519（无 CKM_EDDSA 机制），请更换设备或使用密钥文件",
        )
    again = None if anew is None else Anew(pkcs11.lib(str(module)), anew)
    return Pkcs11Token(session, label, anew=again)


class Pkcs11Token:
    """A `slots.Token`. Made by `open_token`."""

    def __init__(
        self,
        session: pkcs11.Session,
        label: str,
        *,
        anew: Anew | None = None,
        sign_within_s: float = SIGN_WITHIN_S,
        within_s: float = WITHIN_S,
    ) -> None:
        self._sessions = TokenSession(session, label, anew)
        self._sign_within_s = sign_within_s
        self._within_s = within_s
        self._label = label
        self._looking, self._signing = TokenThread("token"), TokenThread("token signing")

    def close(self) -> None:
        """Log out."""
        import pkcs11

        # A token that was pulled out is logged out; its handle may be another session's by now.
        with contextlib.suppress(pkcs11.PKCS11Error, TimeoutError):
            if not self._sessions.is_lost:
                self._looking.do(self.session.close, self._sign_within_s)
        self._looking.close()
        self._signing.close()

    @property
    def session(self) -> pkcs11.Session:
        """The session of the moment, lost or not."""
        return self._sessions.present

    def make(self, label: str) -> Ed25519PrivateKey:
        """The key of that label, made in the token if there is none.

        Raises:
            TokenError: the token does not do it.
        """
        self._within(self._looking, lambda: self._make(label), self._within_s, ("make a key", "生成密钥"))
        return self.find(label)

    def _make(self, label: str) -> None:
        import pkcs11
        from pkcs11.util.ec import encode_named_curve_parameters

        self._require_there()
        found = self._objects(label)
        if len(found) == 1:
            # A crash between the two halves: what there is is of no use without the other.
            found.pop().destroy()
        if found:
            return
        parameters = {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters(_ED25519_OID)}
        self.session.create_domain_parameters(pkcs11.KeyType.EC_EDWARDS, parameters, local=True).generate_keypair(
            mechanism=pkcs11.Mechanism.EC_EDWARDS_KEY_PAIR_GEN,
            store=True,
            label=label,
            id=label.encode(),
            private_template={pkcs11.Attribute.SENSITIVE: True, pkcs11.Attribute.EXTRACTABLE: False},
        )

    def find(self, label: str) -> Ed25519PrivateKey:
        """The key of that label.

        Raises:
            TokenError: there is none, or the token would give it away.
        """
        return self._within(self._looking, lambda: self._find(label), self._within_s, ("find a key", "查找密钥"))

    def _find(self, label: str) -> TokenKey:
        import pkcs11

        session = self.session  # before anything is found in it: it may be another one at any moment
        self._require_there()
        try:
            halves = {each.object_class: each for each in self._objects(label)}
            private = halves[pkcs11.ObjectClass.PRIVATE_KEY]
            point = bytes(halves[pkcs11.ObjectClass.PUBLIC_KEY][pkcs11.Attribute.EC_POINT])
            kept = not private[pkcs11.Attribute.EXTRACTABLE] and private[pkcs11.Attribute.SENSITIVE]
        except KeyError as error:
            raise TokenError(
                f"there is no key {label!r} in token {self._label!r}; use the token that it was made in, or, if "
                "that is lost, rotate with --kind signing --urgent while the gateway is stopped",
                f"密码设备 {self._label!r} 中没有密钥 {label!r}，请使用生成该密钥的设备；若设备丢失，请停止网关后"
                "执行轮换 --kind signing --urgent",
            ) from error
        if not kept:
            raise TokenError(
                f"key {label!r} could be taken out of token {self._label!r}; rotate to one that cannot",
                f"密码设备 {self._label!r} 中的密钥 {label!r} 可被导出，请轮换为不可导出的密钥",
            )
        # CKA_EC_POINT is the point in a DER OCTET STRING; some tokens leave the two bytes before it out.
        return TokenKey(self, private, Ed25519PublicKey.from_public_bytes(point[-_PUBLIC_BYTES:]), label, session)

    def destroy(self, label: str) -> None:
        """Return when there is no key of that label.

        Raises:
            TokenError: the token is away, or does not let it go.
        """
        self._within(self._looking, lambda: self._destroy(label), self._within_s, ("destroy a key", "销毁密钥"))

    def _destroy(self, label: str) -> None:
        self._require_there()
        for each in self._objects(label):
            each.destroy()
        if self._objects(label):
            raise TokenError(
                f"token {self._label!r} has key {label!r} still, though it said that it destroyed it",
                f"密码设备 {self._label!r} 声称已销毁密钥 {label!r}，但该密钥仍在",
            )

    def sign(self, key: TokenKey, data: bytes) -> bytes:
        """Ed25519 signature by a private key of this token, found again where the token was plugged in again.

        Raises:
            TokenError: the token does not do it, or not in time.
        """
        import pkcs11

        def signed() -> bytes:
            return bytes(self._private(key).sign(data, mechanism=pkcs11.Mechanism.EDDSA))

        return self._within(self._signing, signed, self._sign_within_s, ("sign", "签名"))

    def _private(self, key: TokenKey) -> Any:
        """The key's private half in the session of the moment. Raises TokenError where it is there no more."""
        session = self.session
        if key.session is not session:
            found = self._find(key.label)
            if found.public_key() != key.public_key():
                raise TokenError(
                    f"token {self._label!r} has another key of the label {key.label!r} now; use the token that it was "
                    "made in",
                    f"密码设备 {self._label!r} 中标签为 {key.label!r} 的密钥已不是原密钥，请使用生成该密钥的设备",
                )
            key.private, key.session = found.private, session
        return key.private

    def _within(self, thread: TokenThread, work: Callable[[], T], within_s: float, what: tuple[str, str]) -> T:
        """What the module does, while the device answers. Raises TokenError where it does not, or fails."""
        import pkcs11

        def used() -> T:
            session = self._sessions.ready()
            try:
                done = work()
            except pkcs11.PKCS11Error as error:
                self._sessions.failed(session, error)
                raise
            except TokenError as error:
                self._sessions.failed(session, error.__cause__)
                raise
            self._sessions.worked(session)
            return done

        try:
            return thread.do(used, within_s)
        except (TimeoutError, pkcs11.PKCS11Error) as error:
            raise self._failed(*what, error) from error

    def _require_there(self) -> None:
        """Some modules find nothing in a token that was pulled out, and say nothing of it: keys would seem to be gone.

        Raises:
            TokenError: this token is not there.
        """
        import pkcs11

        try:
            there = self.session.token.slot.get_token()
        except pkcs11.PKCS11Error as error:
            raise self._failed("answer", "应答", error) from error
        if there.serial != self._sessions.serial:
            raise another_token(self._label)

    def _objects(self, label: str) -> list[Any]:
        import pkcs11

        try:
            return list(self.session.get_objects({pkcs11.Attribute.LABEL: label}))
        except pkcs11.PKCS11Error as error:
            raise self._failed("find a key", "查找密钥", error) from error

    def _failed(self, en: str, zh: str, error: Exception) -> TokenError:
        # At the loading of a module these mean something; of a device, only that it has an error of its own.
        name = type(error).__name__
        why_en, why_zh = (name, name) if name in ("PKCS11Error", "RuntimeError") else why(error)
        return TokenAwayError(
            f"token {self._label!r} did not {en} ({why_en}); check that it is plugged in",
            f"密码设备 {self._label!r} 无法{zh}（{why_zh}），请检查设备是否在线",
        )


class TokenKey(Ed25519PrivateKey):
    """An Ed25519 private key that lives in a token. cryptography takes it for signing wherever it takes its own."""

    def __init__(
        self, token: Pkcs11Token, private: Any, public: Ed25519PublicKey, label: str = "", session: Any = None
    ) -> None:
        self._token = token
        self._public = public
        self.private = private
        """The object in `session`, by which the token knows it."""
        self.session = session or token.session
        self.label = label

    def public_key(self) -> Ed25519PublicKey:
        """Its public half."""
        return self._public

    def sign(self, data: bytes | bytearray | memoryview) -> bytes:
        """Signature made in the token; checked here, since a faulty one gives an Ed25519 key away.

        Raises:
            TokenError: the token did not sign, or signed wrongly.
        """
        data = bytes(data)
        signature = self._token.sign(self, data)
        try:
            self._public.verify(signature, data)
        except InvalidSignature as error:
            raise TokenError("the token gave a wrong signature", "密码设备给出了错误的签名") from error
        return signature

    def private_bytes(
        self,
        encoding: serialization.Encoding,
        format: serialization.PrivateFormat,  # noqa: A002  the base class's name
        encryption_algorithm: serialization.KeySerializationEncryption,
    ) -> NoReturn:
        """It stays in the token. Raises TokenError."""
        raise _stays()

    def private_bytes_raw(self) -> NoReturn:
        """It stays in the token. Raises TokenError."""
        raise _stays()

    def __copy__(self) -> TokenKey:
        return self

    def __deepcopy__(self, _memo: dict[int, Any]) -> TokenKey:
        return self


def _stays() -> TokenError:
    return TokenError("a key in a token cannot be taken out", "密码设备中的密钥不可导出")
