"""A TUF repository in a folder with a clock of its own, thieves of its keys, and gateways that follow it."""

from __future__ import annotations

import datetime as dt
import functools
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tuf.api.metadata import MetaFile
from tuf.ngclient.fetcher import FetcherInterface

from certs.authority import Authority
from gateway.authority.in_force import InForce
from gateway.authority.repository import Lives, Repository
from gateway.clock import FakeClock
from gateway.federation.directory_build import directory
from gateway.federation.directory_fetch import FolderFetcher
from gateway.federation.directory_trust import DirectoryTrust
from gateway.federation.directory_tuf import DirectoryTuf
from gateway.federation.directory_updater import DirectoryPlace
from wugan.federation.v1 import directory_pb2

FEDERATION = "test.wugan.internal"
ROOT_PASSPHRASES = (b"one", b"two", b"three")
THRESHOLD = 2
HOUR_S = 3600.0
FAST = 1 << 31
LIVES = Lives(dt.timedelta(hours=24), dt.timedelta(days=7), dt.timedelta(days=30), dt.timedelta(days=365))


@functools.cache
def certificate_roots() -> bytes:
    """The root of the members' certificates; the members of these directories have none."""
    with tempfile.TemporaryDirectory() as folder:
        at = dt.datetime.fromtimestamp(FakeClock().now_ms() / 1000, dt.UTC)
        return Authority.create(Path(folder) / "ca", FEDERATION, now=at, loopback=True).root_pem


class World:
    """An authority, and the mirror that gateways read: the attacker's to change."""

    def __init__(self, folder: Path, name: str = "authority", clock: FakeClock | None = None) -> None:
        self.clock = clock or FakeClock()
        self.home = folder / name
        self.mirror = folder / f"{name}-mirror"
        self.folder = folder
        self.repository = Repository(self.home, LIVES)
        self.root = self.repository.create(ROOT_PASSPHRASES, THRESHOLD, self.now)

    @property
    def now(self) -> dt.datetime:
        return dt.datetime.fromtimestamp(self.clock.now_ms() / 1000, dt.UTC)

    def content(self, version: int, expires: dt.datetime, **changed: Any) -> bytes:
        plain: dict[str, Any] = {"federation": FEDERATION, "issued_at": self.now, **changed}
        return directory((), version=version, expires_at=expires, **plain)

    def publish(self, **changed: Any) -> int:
        version = self.repository.publish(functools.partial(self.content, **changed), self.now)
        self.copy()
        return version

    def copy(self) -> None:
        """The mirror shows what is published."""
        shutil.rmtree(self.mirror, ignore_errors=True)
        shutil.copytree(self.home / "tuf", self.mirror)

    def saved(self) -> Path:
        """The mirror as it is now, to be played back later."""
        kept = Path(tempfile.mkdtemp(dir=self.folder))
        shutil.copytree(self.mirror, kept, dirs_exist_ok=True)
        return kept

    def play_back(self, kept: Path) -> None:
        shutil.rmtree(self.mirror)
        shutil.copytree(kept, self.mirror)

    def root_keys(self) -> list[Path]:
        """Files of all root keys there ever were, in no order that means anything."""
        return sorted((self.home / "tuf-root-keys").iterdir())

    def signing_root_keys(self) -> list[tuple[Path, bytes]]:
        """The present root's keys with their passphrases."""
        present = {keyid[:16] for keyid in self.repository.root().signed.roles["root"].keyids}
        found = [path for path in self.root_keys() if path.stem in present]
        return [(path, passphrase) for path in found for passphrase in ROOT_PASSPHRASES if opens(path, passphrase)]

    def rotate(self, *, online: bool = False, new: Sequence[bytes] = ROOT_PASSPHRASES) -> int:
        return self.repository.rotate_root(self.signing_root_keys(), new, THRESHOLD, self.now, online=online)

    def gateway(
        self, name: str = "gateway", fetcher: FetcherInterface | None = None, root: bytes | None = None
    ) -> DirectoryTuf:
        """A gateway; one of the same name is the same after a restart."""
        place = DirectoryPlace(str(self.mirror), root or self.root, self.folder / f"state-{name}")
        trust = DirectoryTrust.of(FEDERATION, certificate_roots())
        return DirectoryTuf(place, fetcher or FolderFetcher(), trust, self.clock)


class _FarAhead(InForce):
    """All but roots are numbered from very high."""

    def newest(self, role: str) -> int:
        return super().newest(role) if role == "root" else FAST


class Thief(Repository):
    """Whoever has stolen the keys in daily use, and numbers what he signs as he likes."""

    def __init__(self, world: World, folder: Path) -> None:
        shutil.copytree(world.home, folder)
        super().__init__(folder, LIVES)
        self.world = world
        self._in_force = _FarAhead(self._metadata)

    def _publish_timestamp(self, snapshot: MetaFile, version: int, now: dt.datetime) -> None:
        super()._publish_timestamp(snapshot, FAST, now)

    def attack(self, members: Iterable[directory_pb2.Member] = ()) -> None:
        """Publish, and put it into the mirror."""

        def make(version: int, expires: dt.datetime) -> bytes:
            return directory(
                members, version=version, federation=FEDERATION, issued_at=self.world.now, expires_at=expires
            )

        self.publish(make, self.world.now)
        shutil.rmtree(self.world.mirror)
        shutil.copytree(self._metadata.parent, self.world.mirror)


def opens(path: Path, passphrase: bytes) -> bool:
    from certs.errors import CertsError
    from certs.keys import load_signing_key

    try:
        load_signing_key(path, passphrase=passphrase)
    except CertsError:
        return False
    return True
