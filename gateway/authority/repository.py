"""The federation's TUF repository: the directory as a target, under four roles (TUF specification 1.0).

    tuf/metadata/N.root.json        every root there ever was: a client that slept through some walks along them
    tuf/metadata/N.targets.json     names directory.pb; N is the version of the directory
    tuf/metadata/N.snapshot.json    names N.targets.json
    tuf/metadata/timestamp.json     names N.snapshot.json; written last: with it a version is published
    tuf/targets/<sha256>.directory.pb
    tuf-keys/                       keys of targets, snapshot and timestamp: needed at each publication
    tuf-root-keys/                  keys of the root, each under its own passphrase: to be taken away, one a custodian

Owns: these files, their order and their expiry. Every file is whole, and all are synced before the timestamp that puts
them in force, so a crash leaves the version before in force. Refuses: knowing what of them is in force
(`gateway.authority.in_force`) and what a directory says, and working without the lock (`gateway.authority.lock`), which
its callers hold.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Signed, Snapshot, TargetFile, Targets, Timestamp

from certs import keys
from certs.files import PUBLIC, write_file, write_files
from certs.profiles import STEP_BACK
from gateway.authority.in_force import ONLINE, Current, InForce, by_role
from gateway.errors import ConfigError, StoreError

TARGET: Final = "directory.pb"
KEPT: Final = 64
"""Versions kept beside the newest, for clients that are in the middle of fetching one."""
MAX_ROOT_KEYS: Final = 16
MAX_TARGET_BYTES: Final = 16 << 20

_HASHES: Final = ["sha256"]


@dataclass(frozen=True, slots=True)
class Lives:
    """How long metadata are valid; they are renewed when half of it is over."""

    timestamp: dt.timedelta = dt.timedelta(days=1)
    snapshot: dt.timedelta = dt.timedelta(days=7)
    targets: dt.timedelta = dt.timedelta(days=30)
    root: dt.timedelta = dt.timedelta(days=365)


@dataclass(frozen=True, slots=True)
class _Signed:
    """Metadata as they will be written, the root by which they were signed, and whether by each key that it names."""

    signed: Targets | Snapshot | Timestamp
    data: bytes
    root: Root
    complete: bool


class Repository:
    """The repository in the authority's folder.

    Args:
        folder: the authority's.
        lives: of what it signs.
        passphrase: of the keys in `tuf-keys/`.
    """

    def __init__(self, folder: Path, lives: Lives, passphrase: bytes | None = None) -> None:
        self._metadata = folder / "tuf" / "metadata"
        self._targets = folder / "tuf" / "targets"
        self._keys = folder / "tuf-keys"
        self._root_keys = folder / "tuf-root-keys"
        self._lives = lives
        self._passphrase = passphrase
        self._signers: dict[Path, CryptoSigner] = {}
        self._in_force = InForce(self._metadata)
        self._named: dict[int, frozenset[str]] = {}

    def create(self, root_passphrases: Sequence[bytes], threshold: int, now: dt.datetime) -> bytes:
        """Make the keys and the first root metadata, which every member is given; its bytes.

        Args:
            root_passphrases: one for each root key; that many keys are made.
            threshold: how many of them must sign a new root.
            now: time of making.

        Raises:
            ConfigError: the numbers do not fit.
            CertsError: a file cannot be written.
        """
        require_numbers(len(root_passphrases), threshold)
        for folder in (self._metadata, self._targets, self._keys, self._root_keys):
            folder.mkdir(mode=0o700, parents=True)
        root = Root(version=1, expires=_day(now + self._lives.root))
        root.roles[Root.type].threshold = threshold
        signers = [self._new_root_key(passphrase) for passphrase in root_passphrases]
        for signer in signers:
            root.add_key(signer.public_key, Root.type)
        for role in ONLINE:
            root.add_key(self._new_online_key(role).public_key, role)
        return self._write_root(root, signers)

    def root(self) -> Current[Root]:
        """The newest root.

        Raises:
            StoreError: there is none, or it is damaged.
        """
        return self._in_force.read(Root, f"{self._in_force.newest(Root.type)}.{Root.type}.json")

    def root_keys(self) -> tuple[Path, ...]:
        """Files of the newest root's keys as they were made, in the order in which their passphrases were given.

        Raises:
            StoreError: as `root`.
        """
        keyids = self.root().signed.roles[Root.type].keyids
        return tuple(self._root_keys / f"{keyid[:16]}.pem" for keyid in keyids)

    def timestamp(self) -> Current[Timestamp]:
        """The timestamp in force, by the newest root.

        Raises:
            StoreError: nothing was published yet, or it is damaged, or the root has replaced the keys that signed it.
        """
        timestamp = self._in_force.read(Timestamp, "timestamp.json")
        self._in_force.require_signed(timestamp)
        return timestamp

    def targets(self) -> Current[Targets]:
        """The targets in force. Raises as `timestamp`."""
        return self._in_force.targets()

    def published(self) -> int:
        """Version of the directory in force; 0 before the first, and while one of its roles must be signed anew.

        Read and verified when one of the files is another one than last time.
        """
        return self._in_force.version()

    def publish(self, make: Callable[[int, dt.datetime], bytes], now: dt.datetime, above: int = 0) -> int:
        """Publish a directory.

        Args:
            make: (version, expiry) → the directory's bytes.
            now: time of signing.
            above: every version signed now is higher than this, and than whatever is here.

        Returns:
            Its version.

        Raises:
            StoreError: a file is damaged or cannot be written.
        """
        # Higher than whatever was written, published or not: a crash may have left files that nobody names.
        version = max(self._in_force.newest(Targets.type), above) + 1
        expires = _day(now + self._lives.targets)
        data = make(version, expires)
        described = TargetFile.from_data(TARGET, data, _HASHES)
        targets = Targets(version=version, expires=expires, targets={TARGET: described})
        name = f"{hashlib.sha256(data).hexdigest()}.{TARGET}"
        snapshot_file = self._publish_parts(targets, {self._targets / name: data}, now, above)
        self._named[version] = frozenset({name})
        self._publish_timestamp(snapshot_file, max(self._in_force.last_timestamp(), above) + 1, now)
        self._in_force.put_in_force()
        self._prune()
        return version

    def due(self, now: dt.datetime) -> tuple[bool, bool]:
        """What must be renewed: the directory with its snapshot, the timestamp. At half of its life, and when the clock
        was put back to before it was signed.
        """
        try:
            timestamp, targets = self.timestamp().signed, self.targets().signed
            snapshot = self._in_force.read(Snapshot, f"{timestamp.snapshot_meta.version}.{Snapshot.type}.json").signed
        except StoreError:
            return True, True
        whole = _is_due(targets, self._lives.targets, now) or _is_due(snapshot, self._lives.snapshot, now)
        return whole, _is_due(timestamp, self._lives.timestamp, now)

    def renew_timestamp(self, now: dt.datetime) -> None:
        """Say anew that the version in force is the newest.

        Raises:
            StoreError: as `timestamp`.
        """
        timestamp = self.timestamp().signed
        self._publish_timestamp(timestamp.snapshot_meta, timestamp.version + 1, now)

    def root_signers(self, old: Sequence[tuple[Path, bytes]]) -> list[CryptoSigner]:
        """What signs with keys of the present root, at least a threshold of them; other keys are left out.

        Raises:
            ConfigError: too few of them.
            CertsError: a key cannot be read.
        """
        held = self.root().signed.roles[Root.type]
        signers = [_signer(path, passphrase) for path, passphrase in old]
        signers = [signer for signer in signers if signer.public_key.keyid in held.keyids]
        if len({signer.public_key.keyid for signer in signers}) < held.threshold:
            raise ConfigError(
                f"a new root needs {held.threshold} different keys of the present root; fewer were given",
                f"新的根元数据须由现有根密钥中的 {held.threshold} 个签署，所给密钥不足",
            )
        return signers

    def rotate_root(
        self,
        old: Sequence[tuple[Path, bytes]],
        new_passphrases: Sequence[bytes],
        threshold: int | None,
        now: dt.datetime,
        *,
        online: bool = False,
    ) -> int:
        """Replace the root keys, and the online keys if that is asked for; the new root's version.

        The new root is signed by a threshold of the old keys and by all the new ones, so that every client that knows
        the old root believes the new one. A directory must be published afterwards if the online keys were replaced.

        Args:
            old: files of old root keys, and their passphrases; at least a threshold of them.
            new_passphrases: one for each new root key; none: the keys stay, and only the expiry is renewed.
            threshold: of the new root; None: as before.
            now: time of signing.
            online: replace the keys of targets, snapshot and timestamp too: the way back after their theft.

        Raises:
            ConfigError: too few of the old keys, or the numbers do not fit.
            CertsError: a key cannot be read.
        """
        root = self.root().signed
        held = root.roles[Root.type]
        signers = self.root_signers(old)
        threshold = threshold or held.threshold
        require_numbers(len(new_passphrases) or len(held.keyids), threshold)
        root.version += 1
        root.expires = _day(now + self._lives.root)
        if new_passphrases:
            for keyid in list(held.keyids):
                root.revoke_key(keyid, Root.type)
            for passphrase in new_passphrases:
                signers.append(self._new_root_key(passphrase))
                root.add_key(signers[-1].public_key, Root.type)
        root.roles[Root.type].threshold = threshold
        if online:
            for role in ONLINE:
                for keyid in list(root.roles[role].keyids):
                    root.revoke_key(keyid, role)
                root.add_key(self._new_online_key(role).public_key, role)
        self._write_root(root, signers)
        return root.version

    def _publish_parts(self, targets: Targets, others: Mapping[Path, bytes], now: dt.datetime, above: int) -> MetaFile:
        """Write whatever else is to be there, the targets, and a snapshot that names them; what names that.

        All are on the disk when it returns. Before, a power cut may leave any of them: nothing in force names one.
        """
        signed = self._sign(targets)
        snapshot = Snapshot(
            version=max(self._in_force.newest(Snapshot.type), above) + 1,
            expires=_day(now + self._lives.snapshot),
            meta={f"{Targets.type}.json": MetaFile.from_data(targets.version, signed.data, _HASHES)},
        )
        named = self._sign(snapshot)
        parts = {f"{targets.version}.{Targets.type}.json": signed, f"{snapshot.version}.{Snapshot.type}.json": named}
        self._write(parts, others)
        return MetaFile.from_data(snapshot.version, named.data, _HASHES)

    def _publish_timestamp(self, snapshot: MetaFile, version: int, now: dt.datetime) -> None:
        expires = _day(now + self._lives.timestamp)
        timestamp = Timestamp(version=version, expires=expires, snapshot_meta=snapshot)
        self._write({"timestamp.json": self._sign(timestamp)})

    def _sign(self, signed: Targets | Snapshot | Timestamp) -> _Signed:
        root = self._in_force.root()
        role = root.roles[signed.type]
        metadata: Metadata[Any] = Metadata(signed)
        for keyid in role.keyids:
            path = self._keys / f"{signed.type}-{keyid[:16]}.pem"
            if path not in self._signers:  # the name is the key's, so another key has another name
                self._signers[path] = _signer(path, self._passphrase)
            metadata.sign(self._signers[path], append=True)
        complete = metadata.signatures.keys() == set(role.keyids)
        return _Signed(signed, metadata.to_bytes(), root, complete)

    def _write(self, parts: Mapping[str, _Signed], others: Mapping[Path, bytes] = MappingProxyType({})) -> None:
        """Write metadata by their names, after other files; a folder is waited for once."""
        for part in parts.values():
            self._in_force.rewriting(part.signed.type)
        files = {self._metadata / name: part.data for name, part in parts.items()}
        write_files({**others, **files}, mode=PUBLIC, replace=True)
        for path, part in zip(files, parts.values(), strict=True):
            if part.complete:
                self._in_force.made(part.signed, path, part.root)

    def _write_root(self, root: Root, signers: Sequence[CryptoSigner]) -> bytes:
        metadata = Metadata(root)
        for signer in signers:
            metadata.sign(signer, append=True)
        root.verify_delegate(Root.type, metadata.signed_bytes, metadata.signatures)
        data = metadata.to_bytes()
        write_file(self._metadata / f"{root.version}.{Root.type}.json", data, mode=PUBLIC, replace=True)
        return data

    def _new_root_key(self, passphrase: bytes) -> CryptoSigner:
        key = keys.generate_signing_key()
        signer = CryptoSigner(key)
        path = self._root_keys / f"{signer.public_key.keyid[:16]}.pem"
        keys.store_private_key(path, key, passphrase=passphrase, by_heart=True)
        return signer

    def _new_online_key(self, role: str) -> CryptoSigner:
        key = keys.generate_signing_key()
        signer = CryptoSigner(key)
        path = self._keys / f"{role}-{signer.public_key.keyid[:16]}.pem"
        keys.store_private_key(path, key, passphrase=self._passphrase)
        return signer

    def _prune(self) -> None:
        """Remove versions that nobody can be fetching any more. Roots stay for ever."""
        there = by_role(self._metadata)
        for role in (Targets.type, Snapshot.type):
            for version in sorted(there[role], reverse=True)[KEPT:]:
                (self._metadata / f"{version}.{role}.json").unlink(missing_ok=True)
        left = sorted(there[Targets.type], reverse=True)[:KEPT]
        kept = self._named = {version: self._named.get(version) or self._names(version) for version in left}
        # By what is named, not by the files' times: a clock that was ahead makes old files the newest for months.
        for name in set(os.listdir(self._targets)).difference(*kept.values()):  # noqa: PTH208
            (self._targets / name).unlink(missing_ok=True)

    def _names(self, version: int) -> frozenset[str]:
        """Files that targets metadata name; none where they are damaged."""
        try:
            named = self._in_force.read(Targets, f"{version}.{Targets.type}.json").signed.targets
        except StoreError:
            return frozenset()
        return frozenset(f"{file.hashes[_HASHES[0]]}.{path}" for path, file in named.items())


def _signer(path: Path, passphrase: bytes | None) -> CryptoSigner:
    return CryptoSigner(keys.load_signing_key(path, passphrase=passphrase))


def _is_due(signed: Signed, life: dt.timedelta, now: dt.datetime) -> bool:
    left = signed.expires - now
    # More than its whole life is left: a clock that was ahead signed it, and gateways take nothing of the future.
    return not life / 2 <= left <= life + STEP_BACK


def _day(at: dt.datetime) -> dt.datetime:
    """TUF's times have no fractions of a second."""
    return at.astimezone(dt.UTC).replace(microsecond=0)


def require_numbers(count: int, threshold: int) -> None:
    """Return when so many root keys can have such a threshold. Raises ConfigError."""
    if not 1 <= threshold <= count <= MAX_ROOT_KEYS:
        raise ConfigError(
            f"there are 1 to {MAX_ROOT_KEYS} root keys, and the threshold is at least 1 and at most their number",
            f"根密钥数量应为 1 至 {MAX_ROOT_KEYS}，门限应不小于 1 且不超过密钥数量",
        )
