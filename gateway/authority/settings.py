"""Settings of the authority: `authority.toml` in its folder, written by `wugan authority init`.

Owns: every setting with its unit and default. Refuses: secrets; passphrases come from files named on the command line.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from certs.authority import require_public_url
from certs.errors import CertsError
from certs.identity import require_federation
from gateway.authority.repository import Lives
from gateway.config import load
from gateway.sections.values import Address, Settings

SETTINGS_FILE: Final = "authority.toml"


def _federation(text: str) -> str:
    try:
        return require_federation(text)
    except CertsError as error:
        raise ValueError(error.en) from error


def _public_url(text: str) -> str:
    try:
        return require_public_url(text)
    except CertsError as error:
        raise ValueError(error.en) from error


PublicUrl = Annotated[str, AfterValidator(_public_url)]


class ServiceSettings(Settings):
    """Where the authority listens."""

    listen: Address = Field("0.0.0.0:8443", description="Address of the HTTPS service.")
    plain_listen: Address | None = Field(
        None, description="Address of the plain HTTP service of revocation lists and OCSP; none without it."
    )
    public_url: PublicUrl = Field(
        "",
        description='"http://host:port" by which that service is reached; certificates issued since the start name it.',
    )
    ready_file: Path | None = Field(None, description="File to write the bound address to once ready (JSON).")


class LifeSettings(Settings):
    """How long what TUF signs is valid. Gateways go on for so long when the authority is gone, or is kept from them."""

    timestamp_h: float = Field(24.0, ge=0.01, le=8760, description="Of the timestamp, hours; renewed at half of it.")
    snapshot_h: float = Field(168.0, ge=0.01, le=8760, description="Of the snapshot, hours.")
    targets_h: float = Field(720.0, ge=0.01, le=8760, description="Of a directory, hours; at most a year.")
    root_h: float = Field(8760.0, ge=0.01, le=87600, description="Of the root, hours; it is renewed by hand.")

    def lives(self) -> Lives:
        """The same as times."""
        hours = (self.timestamp_h, self.snapshot_h, self.targets_h, self.root_h)
        return Lives(*(dt.timedelta(hours=each) for each in hours))


class AuthorityFile(Settings):
    """All settings of the authority."""

    federation: Annotated[str, AfterValidator(_federation)] = Field(description="Name of the federation.")
    service: ServiceSettings = ServiceSettings()
    life: LifeSettings = LifeSettings()


def load_settings(folder: Path) -> AuthorityFile:
    """Read `authority.toml` in the authority's folder. Raises ConfigError as `gateway.config.load` does."""
    return load(folder / SETTINGS_FILE, AuthorityFile)
