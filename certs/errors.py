"""Every error this package raises.

    CertsError
    ├── IdentityError     a text is not a member identity of a federation
    ├── KeyFileError      a key or certificate file is missing, readable by others, malformed or locked
    ├── ProfileError      a certificate was asked for that the profiles do not allow
    ├── AuthorityError    the authority's folder is incomplete, or already holds one
    ├── ChainError        a certificate chain does not prove what it should
    ├── PeerError         a TLS peer proved no identity, or the wrong one
    ├── SlotError         the folder of own keys is damaged, in use, or has no key where one is needed
    ├── TokenError        a hardware key store (PKCS#11) cannot be used
    └── RotationError     keys cannot be renewed now: asked at a wrong time, or the authority did not do its part

Each carries a message in English and in Chinese that says what was wrong and what to do. Paths and member ids occur in
them; key material, passphrases and personal data never do.
"""

from __future__ import annotations


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


class ChainError(CertsError):
    """A certificate chain does not prove what it should; nothing it says may be used."""


class PeerError(CertsError):
    """A TLS peer proved no identity, or the wrong one; the call must be refused."""


class SlotError(CertsError):
    """The folder of own keys is damaged, in use, or has no key where one is needed."""


class TokenError(CertsError):
    """A hardware key store (PKCS#11) cannot be used."""


class RotationError(CertsError):
    """Keys cannot be renewed now: asked at a wrong time, or the authority did not do its part."""
