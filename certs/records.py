"""What the ledger tells: issued certificates, one-time tokens, and what goes into a revocation list.

Owns: these three shapes. Refuses: showing a token's secret where it is printed.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final, Literal

from cryptography import x509

from certs.identity import Identity

LeafProfile = Literal["tls", "signing"]
"""Which kind of leaf a holder enrols for; also the label in the EST server's paths."""

Profile = LeafProfile | Literal["ocsp"]
"""Which kind of leaf a record is about."""

BY_TOKEN: Final = "token "  # noqa: S105  a word
"""Begins the grounds of a first certificate; the token's id follows."""
BY_CERTIFICATE: Final = "certificate "
"""Begins the grounds of a renewal; the serial number of the certificate that it rests on follows, hexadecimal."""

PROFILE_TLS: Final = "tls"
PROFILE_SIGNING: Final = "signing"
PROFILE_OCSP: Final = "ocsp"


@dataclass(frozen=True, slots=True)
class Record:
    """One issued certificate.

    Args:
        serial: its serial number.
        issuing: name of the issuing CA.
        profile: which kind it is.
        holder: whose it is; None for an OCSP responder.
        grounds: on what it was issued: "authority", "token <id>" or "certificate <serial>".
        issued_at: when.
        expires_at: until when it is valid.
        certificate_der: the certificate.
        revoked_at: since when it is revoked, if it is.
        reason: why, if it is.
    """

    serial: int
    issuing: str
    profile: Profile
    holder: Identity | None
    grounds: str
    issued_at: dt.datetime
    expires_at: dt.datetime
    certificate_der: bytes
    revoked_at: dt.datetime | None
    reason: x509.ReasonFlags | None


@dataclass(frozen=True, slots=True)
class Token:
    """A one-time token, as handed to whoever will enrol. Nobody else knows the secret, not even the ledger."""

    token_id: str
    secret: str
    holder: Identity
    expires_at: dt.datetime

    def __repr__(self) -> str:
        return f"Token({self.token_id}, for {self.holder.uri}, until {self.expires_at.isoformat()})"


@dataclass(frozen=True, slots=True)
class OpenToken:
    """A token that was given out and may still be used."""

    token_id: str
    holder: Identity
    expires_at: dt.datetime


@dataclass(frozen=True, slots=True)
class RevokedList:
    """What a revocation list has to say: the entries, the change they are as of, and the list's number."""

    entries: tuple[Record, ...]
    revision: int
    number: int
