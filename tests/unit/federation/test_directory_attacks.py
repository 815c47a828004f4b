"""The attacks on a directory that TUF is there against; each is shown to succeed once its defence is switched off."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from urllib import parse

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from securesystemslib.signer import CryptoSigner
from tuf.api import _payload
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, MetaFile, Root, Signed, Snapshot, TargetFile, Targets
from tuf.ngclient import UpdaterConfig
from tuf.ngclient._internal.trusted_metadata_set import TrustedMetadataSet
from tuf.ngclient.fetcher import FetcherInterface

from certs import keys
from certs.authority import Authority
from certs.identity import Identity
from gateway.errors import DirectoryError
from gateway.federation import directory_entries, directory_trust, directory_updater
from gateway.federation.directory import Directory
from gateway.federation.directory_build import member_entry, signing_key
from gateway.federation.directory_fetch import FolderFetcher
from gateway.federation.directory_tuf import DirectoryTuf
from gateway.federation.directory_updater import KeptUpdater
from tests.unit.federation.tuf_world import FAST, FEDERATION, HOUR_S, ROOT_PASSPHRASES, Thief, World
from wugan.federation.v1 import directory_pb2

MEMBER = "11330000002482285J"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def version_of(gateway: DirectoryTuf) -> int:
    """The version in force after another look; 0 where there is none."""
    try:
        await gateway.refresh()
        return gateway.current().version
    except DirectoryError:
        return 0


# rollback: an old directory is played back, while the gateway runs and over a restart


async def rolled_back(world: World) -> int:
    world.publish()
    old = world.saved()
    world.publish()
    gateway = world.gateway()
    assert await version_of(gateway) == 2
    world.play_back(old)
    assert await version_of(gateway) == 2
    return await version_of(world.gateway())


async def test_a_rollback_is_refused_over_a_restart_too(world: World) -> None:
    assert await rolled_back(world) == 2


async def test_without_metadata_kept_on_the_disk_a_rollback_would_succeed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(KeptUpdater, "_persist_metadata", lambda *_: None)
    assert await rolled_back(world) == 1


# freeze: newer directories are withheld


async def frozen(world: World) -> int:
    world.publish()
    gateway = world.gateway()
    assert await version_of(gateway) == 1
    world.clock.advance(23 * HOUR_S)
    assert await version_of(gateway) == 1
    world.repository.publish(world.content, world.now)
    world.clock.advance(2 * HOUR_S)
    return await version_of(gateway)


async def test_a_freeze_ends_with_the_timestamp(world: World) -> None:
    assert await frozen(world) == 0
    assert await version_of(world.gateway()) == 0
    world.copy()
    assert await version_of(world.gateway()) == 2


async def test_without_expiry_a_freeze_would_succeed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Signed, "is_expired", lambda *_: False)
    monkeypatch.setattr(Directory, "require_fresh", lambda *_: None)
    assert await frozen(world) == 1


# mix and match: an old directory under new metadata


async def mixed(world: World) -> str:
    """Who the gateway believes to be the newest: the digest of the content it took."""
    world.publish()
    old = next((world.mirror / "targets").iterdir()).read_bytes()
    gateway = world.gateway()
    assert await version_of(gateway) == 1
    before = gateway.current().digest
    world.clock.advance(1)
    world.publish()
    for path in (world.mirror / "targets").iterdir():
        path.write_bytes(old)
    await gateway.refresh()
    fresh = await version_of(world.gateway("fresh"))
    assert gateway.current().digest == before, "whatever the attack: no other content exists in the mirror"
    return "refused" if fresh == 0 else "believed"


async def test_old_content_under_new_metadata_is_refused(world: World) -> None:
    assert await mixed(world) == "refused"


async def test_without_hashes_the_version_in_the_directory_still_refuses_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TargetFile, "verify_length_and_hashes", lambda *_: None)
    assert await mixed(world) == "refused"


async def test_without_hashes_and_that_binding_it_would_succeed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TargetFile, "verify_length_and_hashes", lambda *_: None)
    believe = directory_trust.DirectoryTrust.verify

    def unbound(trust: directory_trust.DirectoryTrust, data: bytes, *, version: int, **more: Any) -> Directory:
        return believe(trust, data, version=directory_pb2.Directory.FromString(data).version, **more)

    monkeypatch.setattr(directory_trust.DirectoryTrust, "verify", unbound)
    assert await mixed(world) == "believed"


async def metadata_mixed(world: World) -> int:
    """Targets of one version under the snapshot of another."""
    world.publish()
    world.publish()
    metadata = world.mirror / "metadata"
    shutil.copy(metadata / "1.targets.json", metadata / "2.targets.json")
    return await version_of(world.gateway())


async def test_metadata_of_different_versions_do_not_mix(world: World) -> None:
    assert await metadata_mixed(world) == 0


async def test_without_hashes_and_versions_in_the_snapshot_they_would(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MetaFile, "verify_length_and_hashes", lambda *_: None)
    assert await metadata_mixed(world) == 0, "the version alone still refuses it"

    def careless(trusted: Any, data: bytes, role: str, delegator: str) -> Targets:
        targets, _, _ = trusted._load_data(Targets, data, trusted[delegator], role)
        trusted._add(role, targets, delegator)
        return targets

    monkeypatch.setattr(TrustedMetadataSet, "update_delegated_targets", careless)
    assert await version_of(world.gateway("careless")) == 1


# fast-forward: with stolen keys the version is set so high that the honest authority can never reach it


async def recovered(world: World, tmp_path: Path) -> int:
    world.publish()
    gateway = world.gateway()
    assert await version_of(gateway) == 1
    Thief(world, tmp_path / "thief").attack()
    assert await version_of(gateway) == FAST + 1, "with all online keys stolen a thief publishes what TUF cannot refuse"
    world.copy()
    assert await version_of(gateway) == FAST + 1, "the honest authority cannot go on"
    world.rotate(online=True)
    world.publish()
    assert await version_of(world.gateway("other")) == 2
    return await version_of(gateway)


async def test_a_gateway_recovers_from_fast_forward_once_the_root_has_replaced_the_keys(
    world: World, tmp_path: Path
) -> None:
    assert await recovered(world, tmp_path) == 2
    assert await version_of(world.gateway()) == 2


async def test_if_what_stolen_keys_signed_still_counted_it_would_not(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(KeptUpdater, "signers", frozenset({"always the same"}))
    assert await recovered(world, tmp_path) == FAST + 1


# unknown root: somebody else's repository


async def strange(world: World, tmp_path: Path) -> int:
    world.publish()
    stranger = World(tmp_path, "stranger")
    stranger.clock = world.clock
    stranger.publish()
    stranger.publish()
    shutil.rmtree(world.mirror)
    shutil.copytree(stranger.mirror, world.mirror)
    return await version_of(world.gateway())


async def test_a_repository_of_another_root_is_refused(world: World, tmp_path: Path) -> None:
    assert await strange(world, tmp_path) == 0


async def test_a_root_that_does_not_follow_from_ours_is_refused(world: World, tmp_path: Path) -> None:
    world.publish()
    stranger = World(tmp_path, "stranger")
    stranger.publish()
    stranger.rotate()
    stranger.publish()
    shutil.rmtree(world.mirror)
    shutil.copytree(stranger.mirror, world.mirror)
    assert await version_of(world.gateway()) == 0


async def test_without_signatures_by_the_root_it_would_succeed(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Root, "verify_delegate", lambda *_: None)
    assert await strange(world, tmp_path) == 2


# theft of fewer root keys than the threshold


async def robbed(world: World, tmp_path: Path, count: int) -> int:
    """The version a gateway takes from a thief who has some root keys and puts his own online keys into a new root."""
    world.publish()
    gateway = world.gateway()
    assert await version_of(gateway) == 1
    forged = tmp_path / "forged"
    shutil.copytree(world.home, forged)
    metadata = Metadata[Root].from_file(str(forged / "tuf" / "metadata" / "1.root.json"))
    root = metadata.signed
    root.version = 2
    for role in ("targets", "snapshot", "timestamp"):
        for keyid in list(root.roles[role].keyids):
            root.revoke_key(keyid, role)
        key = keys.generate_signing_key()
        signer = CryptoSigner(key)
        root.add_key(signer.public_key, role)
        keys.store_private_key(forged / "tuf-keys" / f"{role}-{signer.public_key.keyid[:16]}.pem", key)
    metadata.signatures.clear()
    for path, passphrase in world.signing_root_keys()[:count]:
        metadata.sign(CryptoSigner(keys.load_signing_key(path, passphrase=passphrase)), append=True)
    metadata.to_file(str(forged / "tuf" / "metadata" / "2.root.json"))
    thief = Thief(world, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy")
    shutil.copytree(forged, tmp_path / "copy")
    thief.attack()
    return await version_of(gateway)


async def test_fewer_root_keys_than_the_threshold_are_worth_nothing(world: World, tmp_path: Path) -> None:
    assert await robbed(world, tmp_path, 1) == 1


async def test_a_threshold_of_them_is_worth_everything(world: World, tmp_path: Path) -> None:
    assert await robbed(world, tmp_path, 2) == FAST + 1


async def test_without_the_threshold_one_key_would_do(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_payload.VerificationResult, "verified", property(lambda result: bool(result.signed)))
    assert await robbed(world, tmp_path, 1) == FAST + 1


# theft of every key in daily use of the repository: no member's keys can be forged with them


async def forged_member(world: World, tmp_path: Path) -> int:
    world.publish()
    gateway = world.gateway()
    assert await version_of(gateway) == 1
    own = Authority.create(tmp_path / "own-ca", FEDERATION, now=world.now, loopback=True)
    key = keys.generate_signing_key()
    issued = own.issue_signing(MEMBER, key.public_key(), now=world.now)
    entry = member_entry(
        member_id=MEMBER,
        name_zh="某省",
        name_en="a province",
        regions=[330000],
        gateways=[("127.0.0.1:7443", Identity.gateway(FEDERATION, MEMBER).tls_name)],
        signing_keys=[signing_key(issued.der, issued.intermediates_der)],
        encryption_keys=[],
    )
    Thief(world, tmp_path / "thief").attack([entry])
    return await version_of(gateway)


async def test_stolen_online_keys_cannot_give_a_member_another_signing_key(world: World, tmp_path: Path) -> None:
    assert await forged_member(world, tmp_path) == 1


async def test_without_certificates_by_the_authority_they_could(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = directory_entries.verify_signing_chain

    def by_anybody(leaf: bytes, intermediates: Any, _roots: Any, at: dt.datetime) -> Any:
        from cryptography import x509

        root = x509.load_pem_x509_certificate((tmp_path / "own-ca" / "root.pem").read_bytes())
        return verify(leaf, intermediates, (root,), at)

    monkeypatch.setattr(directory_entries, "verify_signing_chain", by_anybody)
    assert await forged_member(world, tmp_path) == FAST + 1


class Delegating(Thief):
    """Has another role name the directory, of a name that is a path."""

    NAME = "../../planted"

    def delegate(self) -> None:
        world, version, hashes = self.world, FAST + 1, ["sha256"]
        expires = (world.now + dt.timedelta(hours=20)).replace(microsecond=0)
        data = world.content(version, expires)
        (stolen,) = self._keys.glob("targets-*.pem")
        signer = CryptoSigner(keys.load_signing_key(stolen))
        key = signer.public_key
        role = Metadata(
            Targets(1, expires=expires, targets={"directory.pb": TargetFile.from_data("directory.pb", data)})
        )
        role.sign(signer)
        delegated = DelegatedRole(self.NAME, [key.keyid], 1, terminating=False, paths=["*"])
        delegations = Delegations({key.keyid: key}, {self.NAME: delegated})
        top = self._put(Targets(version, expires=expires, delegations=delegations), f"{version}.targets.json")
        (self._metadata / f"1.{parse.quote(self.NAME, '')}.json").write_bytes(role.to_bytes())
        meta = {
            "targets.json": MetaFile.from_data(version, top, hashes),
            f"{self.NAME}.json": MetaFile.from_data(1, role.to_bytes(), hashes),
        }
        snapshot = self._put(Snapshot(version, expires=expires, meta=meta), f"{version}.snapshot.json")
        self._publish_timestamp(MetaFile.from_data(version, snapshot, hashes), version, world.now)
        (self._targets / f"{hashlib.sha256(data).hexdigest()}.directory.pb").write_bytes(data)
        shutil.rmtree(world.mirror)
        shutil.copytree(self._metadata.parent, world.mirror)

    def _put(self, signed: Targets | Snapshot, name: str) -> bytes:
        made = self._sign(signed)
        self._write({name: made})
        return made.data


async def test_stolen_online_keys_cannot_have_a_gateway_write_where_they_like(world: World, tmp_path: Path) -> None:
    world.publish()
    gateway = world.gateway()
    assert await version_of(gateway) == 1
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    Delegating(world, tmp_path / "thief").delegate()
    assert await version_of(gateway) == FAST + 1, "what a role says to which another delegates is the directory"
    assert not (tmp_path / "planted.json").exists()
    places = [world.mirror, tmp_path / "thief"]
    added = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    assert [path for path in added if not any(path.is_relative_to(place) for place in places)] == []


# roots replaced while a gateway slept


async def slept(world: World) -> int:
    world.publish()
    gateway = world.gateway()
    assert await version_of(gateway) == 1
    for _ in range(4):
        world.rotate(online=True)
    world.publish()
    assert await version_of(world.gateway("new")) == 2, "one that was given the first root only"
    return await version_of(gateway)


async def test_a_gateway_that_slept_through_several_roots_walks_along_them(world: World) -> None:
    assert await slept(world) == 2
    assert await version_of(world.gateway()) == 2


async def test_one_that_could_not_walk_would_be_left_behind(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory_updater, "_LIMITS", UpdaterConfig(max_root_rotations=3))
    with pytest.raises(AssertionError, match="the first root only"):
        await slept(world)


async def test_a_root_left_out_of_the_mirror_does_not_open_a_way_around_it(world: World) -> None:
    world.publish()
    gateway = world.gateway()
    assert await version_of(gateway) == 1
    world.rotate(online=True)
    world.rotate(online=True)
    world.publish()
    (world.mirror / "metadata" / "2.root.json").unlink()
    assert await version_of(gateway) == 1


# endless data


class Endless(FetcherInterface):
    """Gives one file without end; counts what is taken of it."""

    CHUNK = 1 << 20
    MUCH = 64

    def __init__(self, name: str) -> None:
        self._name = name
        self._honest = FolderFetcher()
        self.taken = 0

    def _fetch(self, url: str) -> Iterator[bytes]:
        return self._flood() if url.endswith(self._name) else self._honest.fetch(url)

    def _flood(self) -> Iterator[bytes]:
        for _ in range(self.MUCH):
            self.taken += self.CHUNK
            yield bytes(self.CHUNK)


ENDLESS = ["timestamp.json", "1.snapshot.json", "1.targets.json", "2.root.json", ".directory.pb"]


@pytest.mark.parametrize("name", ENDLESS)
async def test_no_more_is_taken_of_any_file_than_it_may_be_long(world: World, name: str) -> None:
    world.publish()
    fetcher = Endless(name)
    assert await version_of(world.gateway(fetcher=fetcher)) == 0
    assert 0 < fetcher.taken <= fetcher.CHUNK


async def test_without_that_bound_all_of_it_would_be(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    bounded = FetcherInterface.download_file

    @contextlib.contextmanager
    def unbounded(self: FetcherInterface, url: str, _length: int) -> Iterator[IO[bytes]]:
        with bounded(self, url, 1 << 60) as file:
            yield file

    monkeypatch.setattr(FetcherInterface, "download_file", unbounded)
    world.publish()
    fetcher = Endless("timestamp.json")
    assert await version_of(world.gateway(fetcher=fetcher)) == 0
    assert fetcher.taken == fetcher.MUCH * fetcher.CHUNK


def test_each_root_key_has_a_passphrase_of_its_own(world: World) -> None:
    assert len(world.signing_root_keys()) == len(ROOT_PASSPHRASES)
    assert len({passphrase for _, passphrase in world.signing_root_keys()}) == len(ROOT_PASSPHRASES)


# anything else that a mirror may hold


FILES = ["metadata/timestamp.json", "metadata/1.snapshot.json", "metadata/1.targets.json", "metadata/2.root.json"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NOISE = st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()) | st.just(b"[" * 16_000)


@given(name=st.sampled_from(FILES), noise=NOISE)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_noise_in_place_of_metadata_is_an_error_of_ours(tmp_path: Path, name: str, noise: bytes) -> None:
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    world = World(folder)
    world.publish()
    (world.mirror / name).write_bytes(noise)
    assert asyncio.run(version_of(world.gateway())) == 0


@given(name=st.sampled_from(FILES[:3]), place=st.integers(0, 1 << 16), change=st.integers(1, 255))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_changed_byte_of_the_metadata_gives_another_directory(
    tmp_path: Path, name: str, place: int, change: int
) -> None:
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    world = World(folder)
    world.publish()
    path = world.mirror / name
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= change
    path.write_bytes(bytes(data))
    assert asyncio.run(version_of(world.gateway())) in (0, 1)
