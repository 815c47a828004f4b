"""What is believed, and by what others believe this member: certificates, keys, messages, directory, authority."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from gateway.sections.values import Settings, Url

Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9._~-]{0,64}$")]
"""A segment of a path (RFC 7030 section 3.2.2)."""


class TlsSettings(Settings):
    """Trust anchor for TLS 1.3 in both directions; own certificates are in the folder of keys."""

    roots: Path = Field(description="PEM: the federation root.")


class AgencyTlsSettings(TlsSettings):
    """An agency's certificate and key besides."""

    certificate: Path = Field(description="PEM: this agency's certificate, then the issuing CA's.")
    private_key: Path = Field(description="PEM, mode 0600.")


class TokenSettings(Settings):
    """A hardware key store in which signing keys are made and stay."""

    module: Path = Field(description="The vendor's PKCS#11 module, a shared library.")
    token: str = Field(min_length=1, max_length=32, description="Label of the token.")
    pin_file: Path = Field(description="File with the user's PIN, mode 0600.")


class KeysSettings(Settings):
    """Where own keys are kept: TLS, message signing, encryption (docs/operations/rotate.md)."""

    folder: Path | None = Field(None, description="Folder of the keys, mode 0700; without it keys in state_dir.")
    passphrase_file: Path | None = Field(None, description="File with the passphrase of the key files, mode 0600.")
    pkcs11: TokenSettings | None = None


class RotationSettings(Settings):
    """When own keys are renewed."""

    automatic: bool = Field(True, description="Whether keys are renewed without being asked.")
    at_life: float = Field(0.6667, gt=0, lt=1, description="Part of its life after which a key is renewed.")
    jitter: float = Field(0.05, ge=0, le=0.2, description="Part of its life by which that moment is moved at most.")
    encryption_days: float = Field(90.0, gt=0, le=365, description="Life of an encryption key, days.")
    retire_after_s: float = Field(
        900.0, ge=0.1, le=604_800, description="Seconds for which a superseded key is kept for messages under way."
    )
    seen_timeout_s: float = Field(
        604_800.0, ge=0.1, description="Seconds after which partners that have not seen a new key do not count."
    )
    poll_s: float = Field(0.5, ge=0.02, le=60, description="Seconds between looks whether the next step can be taken.")
    pace_s: float = Field(
        0.05, ge=0, le=10, description="Seconds between two steps of a rotation, so that it does not hold up calls."
    )
    issuer_poll_s: float = Field(
        3600.0, ge=0.05, le=86_400, description="Seconds between looks whether the authority has a new issuing CA."
    )


class MessageSettings(Settings):
    """Times of envelopes."""

    lifetime_ms: int = Field(60_000, ge=1_000, le=300_000, description="Life of an envelope, milliseconds.")


class DirectorySettings(Settings):
    """Where the federation directory comes from, and what it is believed by."""

    federation: str = Field(max_length=128, description='Name of the federation, e.g. "demo.wugan.internal".')
    source: Url | Path = Field(description='TUF repository: "https://host:port/tuf", or a folder with a mirror of it.')
    root: Path = Field(description="TUF root metadata (root.json) that this member was given.")
    refresh_s: float = Field(
        60.0, ge=0.1, le=3600, description="Seconds between two looks; the push stream makes it sooner."
    )


class EstSettings(Settings):
    """An EST server that certifies own keys in place of the authority."""

    url: Url = Field(description='"https://host:port", with whatever path stands before "/.well-known/est".')
    tls_name: str = Field(max_length=253, description="DNS name that its TLS certificate must prove.")
    roots: Path | None = Field(None, description="PEM: under which it proves that name; default: the federation root.")
    tls_label: Label = Field("", description='Label in its paths for TLS certificates; "": its default.')
    signing_label: Label = Field("signing", description="Label in its paths for message-signing certificates.")


class AuthoritySettings(Settings):
    """The federation's authority: push stream, publication of keys, enrolment."""

    url: Url = Field(description='"https://host:port" of the authority.')
    tls_name: str = Field(max_length=253, description="DNS name that its TLS certificate must prove.")
