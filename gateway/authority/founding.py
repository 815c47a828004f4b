"""Founding a federation's authority in a folder: certificates, TUF repository, record and settings.

    root.pem, issuing.pem, …        the certificate authority (certs.authority)
    root.json                       the first TUF root: what every member is given, beside root.pem
    authority.toml                  settings
    members.db                      the record
    tuf/, tuf-keys/, tuf-root-keys/ the repository (gateway.authority.repository)

Owns: what `wugan authority init` does, once. Refuses: a folder that is not empty, and root keys without passphrases.
"""

from __future__ import annotations

import datetime as dt
import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from certs.authority import Authority
from certs.errors import CertsError
from certs.files import PUBLIC, write_file
from gateway.authority.archive import ROOT_JSON
from gateway.authority.office import Office
from gateway.authority.repository import Repository, require_numbers
from gateway.authority.settings import SETTINGS_FILE, AuthorityFile, load_settings
from gateway.clock import Clock
from gateway.config import checked
from gateway.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be founded.

    Args:
        federation: trust domain, e.g. "demo.wugan.internal".
        root_passphrases: one for each TUF root key; that many keys are made.
        threshold: how many of them must sign a new root.
        passphrase: encrypts the keys in daily use; None: they lie open to whoever can read the folder.
        ca_passphrase: encrypts the key of the certificates' root.
        listen: address of the service.
        plain_listen: address of the plain HTTP service of revocation lists and OCSP; "" for none.
        public_url: "http://host:port" by which that is reached; every certificate names it. "" for none.
        loopback: let servers be called "localhost" too; for demonstrations on one machine.
    """

    federation: str
    root_passphrases: Sequence[bytes]
    threshold: int = 1
    passphrase: bytes | None = None
    ca_passphrase: bytes | None = None
    listen: str = "0.0.0.0:8443"
    plain_listen: str = ""
    public_url: str = ""
    loopback: bool = False


def found(folder: Path, plan: Plan, clock: Clock) -> Authority:
    """Make everything, and publish a directory without members.

    Raises:
        ConfigError: the folder or a setting cannot be used; of a wrong setting nothing is left behind.
        StoreError: the record cannot be written.
    """
    now = dt.datetime.fromtimestamp(clock.now_ms() / 1000, dt.UTC)
    require_numbers(len(plan.root_passphrases), plan.threshold)
    settings = _settings(plan)
    checked(tomllib.loads(settings), AuthorityFile, folder / SETTINGS_FILE)
    try:
        authority = Authority.create(
            folder,
            plan.federation,
            now=now,
            root_passphrase=plan.ca_passphrase,
            passphrase=plan.passphrase,
            loopback=plan.loopback,
            public_url=plan.public_url,
        )
        write_file(folder / SETTINGS_FILE, settings.encode(), mode=PUBLIC, replace=False)
        lives = load_settings(folder).life.lives()
        root = Repository(folder, lives, plan.passphrase).create(plan.root_passphrases, plan.threshold, now)
        write_file(folder / ROOT_JSON, root, mode=PUBLIC, replace=False)
    except CertsError as error:
        raise ConfigError(error.en, error.zh) from error
    office = Office(folder, clock, plan.passphrase)
    try:
        office.publish()
    finally:
        office.close()
    return authority


def _settings(plan: Plan) -> str:
    """What `authority.toml` is to say."""
    service = {"listen": plan.listen, "plain_listen": plan.plain_listen, "public_url": plan.public_url}
    # A JSON string is a TOML string too: what was typed cannot end it.
    lines = [f"{name} = {json.dumps(value)}" for name, value in service.items() if value]
    return f"federation = {json.dumps(plan.federation)}\n\n[service]\n" + "\n".join(lines) + "\n"
