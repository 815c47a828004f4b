"""The departments' own systems: real interfaces, real databases and real files, each as its department would have it.

    folder/systems.json          settings of the process that runs the HTTP interfaces and PostgreSQL
    folder/ready.json            addresses, while it runs
    folder/secrets/              credentials, mode 0600
    folder/manifests/*.yaml      what the province's gateway is told of its departments
    folder/<department>/…        databases and drop folders

Owns: filling all departments of a province from the world, and writing their manifests. Refuses: the truth. What a
department holds comes from the histories alone, and no department knows what another holds.

One process a province runs whatever has to run: `python -m gateway.demo.systems --config folder/systems.json`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import yaml

from gateway.demo.regions import Province
from gateway.demo.systems import (
    banks,
    civil_affairs,
    courts,
    face_authentication,
    health,
    health_insurance,
    justice,
    public_security,
    social_insurance,
    transport,
)
from gateway.demo.systems.files import replacing, write_private
from gateway.demo.systems.layout import HttpSystem, SystemsConfig, read_config, secret_path
from gateway.demo.systems.place import Place, Settings
from gateway.demo.systems.source import Source
from gateway.demo.world import World

__all__ = ["DEPARTMENTS", "HttpSystem", "SystemsConfig", "materialise", "read_config", "write_manifests"]

DEPARTMENTS: Final[dict[str, tuple[Callable[[Source, Path], None], Callable[[Place], Settings]]]] = {
    "public-security": (public_security.fill, public_security.manifest),
    "civil-affairs": (civil_affairs.fill, civil_affairs.manifest),
    "courts": (courts.fill, courts.manifest),
    "justice": (justice.fill, justice.manifest),
    "health-insurance": (health_insurance.fill, health_insurance.manifest),
    "health": (health.fill, health.manifest),
    "transport": (transport.fill, transport.manifest),
    "banks": (banks.fill, banks.manifest),
    "face-authentication": (face_authentication.fill, face_authentication.manifest),
    "social-insurance": (social_insurance.fill, social_insurance.manifest),
}
"""Department → what fills its system, and what describes it."""


def materialise(
    world: World, province: int, folder: Path, *, postgres: bool = True, delays_ms: Mapping[str, int] | None = None
) -> SystemsConfig:
    """Fill the systems of every department of a province, and write the settings of the process that runs them.

    Args:
        world: the world.
        province: GB/T 2260 code of one of its provinces.
        folder: for all of it; made if missing. What stood there under the same names is replaced.
        postgres: whether health insurance shall be on PostgreSQL where that can run.
        delays_ms: HTTP department → milliseconds it waits before every answer.

    Raises:
        ConfigError: the province is not of this world, or the folder cannot be written.
    """
    source = Source(world, world.province(province))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for fill, _ in DEPARTMENTS.values():
        fill(source, folder)
    for name, header in _CREDENTIALS.items():
        write_private(secret_path(folder, name), header.format(secrets.token_urlsafe(24)))
    http = tuple(HttpSystem(name, delay_ms=(delays_ms or {}).get(name, 0)) for name in _CREDENTIALS)
    config = SystemsConfig(province, folder.resolve(), http, postgres)
    write_private(config.path, config.to_json())
    return config


def write_manifests(province: Province, config: SystemsConfig, endpoints: Mapping[str, str]) -> list[Path]:
    """Write the manifest of every department, for the province's gateway.

    Args:
        province: whose departments.
        config: from `materialise`.
        endpoints: what the ready file says. Without an entry for health insurance its manifest names the SQLite file.

    Returns:
        the files, one a department.
    """
    place = Place(province, config.folder, endpoints)
    written = []
    for name, (_, describe) in DEPARTMENTS.items():
        path = config.folder / "manifests" / f"{name}.yaml"
        with replacing(path) as temporary:
            text = yaml.dump(describe(place), Dumper=_Plain, allow_unicode=True, sort_keys=False, width=110)
            temporary.write_text(f"# Written by the demo. Every setting: docs/adapters/manifest.md\n{text}", "utf-8")
        written.append(path)
    return written


class _Plain(yaml.SafeDumper):
    """Writes what occurs twice twice: manifests have no anchors."""

    def ignore_aliases(self, data: object) -> bool:
        """Always."""
        return True


_CREDENTIALS: Final = {public_security.NAME: "{}", health.NAME: "Bearer {}", face_authentication.NAME: "{}"}
"""HTTP department → how its credential is written in its header."""
