"""The manifests that a gateway works with at the moment: of its configuration, and registered ones that are live.

Owns: reading both. Refuses: building adapters of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adapters.manifest import Manifest
    from gateway.cli.access_common import Opened
    from gateway.config import GatewaySettings


def live_manifests(config_file: Path, settings: GatewaySettings) -> list[Manifest]:
    """The manifests of registered adapters that are live; none where the gateway has not run yet.

    Raises:
        WuganError: the store cannot be read.
    """
    from gateway.cli.access_common import run
    from gateway.store.place import database_file

    database = database_file(settings)
    if database is not None and not database.is_file():
        return []
    return run(config_file, _read)


async def _read(at: Opened) -> list[Manifest]:
    from adapters.errors import AdapterError
    from adapters.manifest import manifest_of
    from gateway.access.adapters import LIVE
    from gateway.cli.adapter_common import registered

    found: list[Manifest] = []
    for version in (await registered(at)).versions:
        text = await at.store.adapters.document(version.digest) if version.state == LIVE else None
        if text is None:
            continue
        try:
            found.append(manifest_of(text, str(Path(version.folder) / f"{version.adapter}.yaml")))
        except AdapterError:
            continue  # the gateway itself tells why it cannot be used
    return found
