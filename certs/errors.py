"""Every error this package raises.

    CertsError
    ├── IdentityError     a text is not a member identity of a federation
    ├── KeyFileError      a key or certificate file is missing, readable by others, malformed or locked
    ├── ProfileError      a certificate was asked for that the profiles do not allow
    ├── AuthorityError    the authority's folder is incomplete, or already holds one
    ├── LedgerError       the authority's ledger cannot be used, or is full
    ├── EnrolmentError    a certification request is refused; `refusal` says in which way
    ├── RevocationError   a certificate cannot be revoked, or there is no such list
    ├── EstError          an EST server cannot be reached, refuses, or answers something that cannot be used
    │   └── EstLaterError it asks to come back later
    ├── ChainError        a certificate chain does not prove what it should
    ├── PeerError         a TLS peer proved no identity, or the wrong one
    ├── SlotError         the folder of own keys is damaged, in use, or has no key where one is needed
    ├── TokenError        a hardware key store (PKCS#11) cannot be used
    │   └── TokenAwayError it is not there, or does not answer: it may be used later
    └── RotationError     keys cannot be renewed now: asked at a wrong time, or the authority did not do its part

Each carries a message in English and in Chinese that says what was wrong and what to do. Paths and member ids occur in
them; key material, passphrases and personal data never do.
"""

from __future__ import annotations

from typing import Literal

Refusal = Literal["malformed", "unauthenticated", "forbidden"]
"""In which way a certification request is refused: not understood, not proven by whom, or not allowed to them."""


class CertsError(Exception):
    """Base of the tree: `en` and `zh` say what was wrong and what to do."""

    def __init__(self, en: str, zh: str) -> None:
        super().__init__(en)
        self.en = en
        self.zh = zh


class IdentityError(CertsError):
    """A text is not a member identity of a federation."""


class KeyFileError(CertsError):
    """A key or certificate file is missing, readable by others, malformed or locked."""


class ProfileError(CertsError):
    """A certificate was asked for that the profiles do not allow."""


class AuthorityError(CertsError):
    """The authority's folder is incomplete, or already holds one."""


class LedgerError(CertsError):
    """The authority's ledger cannot be opened, read or written, or holds as much as it may."""


class EnrolmentError(CertsError):
    """A certification request is refused; nothing was issued and no token used up."""

    def __init__(self, refusal: Refusal, en: str, zh: str) -> None:
        super().__init__(en, zh)
        self.refusal = refusal


class RevocationError(CertsError):
    """A certificate cannot be revoked, or there is no such revocation list."""


class EstError(CertsError):
    """An EST server cannot be reached, refuses, or answers something that cannot be used.

    `status` is its HTTP status, 0 if there was none; `retryable` says whether the same request may succeed later.
    """

    def __init__(self, en: str, zh: str, *, status: int = 0, retryable: bool = False) -> None:
        super().__init__(en, zh)
        self.status = status
        self.retryable = retryable


class EstLaterError(EstError):
    """An EST server asks for the same request again after `retry_after_s` seconds (RFC 7030 section 4.2.3)."""

    def __init__(self, retry_after_s: float, status: int) -> None:
        super().__init__(
            f"the EST server asks to try again in {retry_after_s:.0f} s",
            f"EST 服务要求在 {retry_after_s:.0f} 秒后重试",
            status=status,
            retryable=True,
        )
        self.retry_after_s = retry_after_s


class ChainError(CertsError):
    """A certificate chain does not prove what it should; nothing it says may be used."""


class PeerError(CertsError):
    """A TLS peer proved no identity, or the wrong one; the call must be refused."""


class SlotError(CertsError):
    """The folder of own keys is damaged, in use, or has no key where one is needed."""


class SlotHeldError(SlotError):
    """Another process has the folder of own keys; it may be had once that has ended."""


class TokenError(CertsError):
    """A hardware key store (PKCS#11) cannot be used."""


class TokenAwayError(TokenError):
    """It is not there, or does not answer. Trying again costs none of the tries that it grants for its PIN."""


class RotationError(CertsError):
    """Keys cannot be renewed now: asked at a wrong time, or the authority did not do its part."""
