"""The office: who is in the directory, what is taken of a member, and that nothing unbelievable is ever published."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from certs import files
from gateway.authority.membership import Membership, Row
from gateway.authority.office import Office
from gateway.authority.repository import Repository
from gateway.errors import AccessError, ConfigError, DirectoryError, EnvelopeError, RefusedError, StoreError, WuganError
from gateway.federation import directory_entries
from tests.unit.authority.authority_world import ANHUI, JINHUA, ROOT_PASSPHRASES, ZHEJIANG, World
from tests.unit.federation.tuf_world import HOUR_S
from wugan.federation.v1 import directory_pb2


def taken(world: World, *publications: object) -> list[int | WuganError]:
    return world.office.take(publications)  # type: ignore[arg-type]


async def test_a_founded_authority_has_an_empty_directory(world: World) -> None:
    directory = await world.directory()
    assert (directory.version, directory.members) == (1, ())


async def test_members_come_change_and_go(world: World) -> None:
    assert world.office.add(world.entry(ZHEJIANG)) == 2
    assert (await world.directory()).member_ids() == (ZHEJIANG,)
    changed = world.entry(ZHEJIANG)
    changed.name_en = "renamed"
    world.office.add(changed, world.entry(ANHUI, region=340000))
    directory = await world.directory()
    assert directory.version == 3
    assert directory.member(ZHEJIANG).name_en == "renamed"
    world.office.remove(ZHEJIANG)
    assert (await world.directory()).member_ids() == (ANHUI,)
    with pytest.raises(ConfigError, match="no such member"):
        world.office.remove(ZHEJIANG)


async def test_an_entry_that_breaks_the_rule_changes_nothing(world: World) -> None:
    wrong = world.entry(ZHEJIANG)
    wrong.gateways[0].address = "nowhere"
    with pytest.raises(DirectoryError):
        world.office.add(wrong)
    assert world.office.members() == []
    assert world.office.version() == 1


async def test_what_a_member_publishes_is_listed_and_the_receipt_names_the_version(world: World) -> None:
    world.office.add(world.entry(ZHEJIANG))
    made = world.keys_of(ZHEJIANG)
    assert taken(world, made.publication(1)) == [3]
    directory = await world.directory()
    assert directory.version == 3
    assert directory.encryption_key(ZHEJIANG, world.clock.now_ms()).key_id == made.encryption.key_id
    assert directory.member(ZHEJIANG).tls_certificates == {hashlib.sha256(made.tls).digest()}


async def test_the_same_publication_is_answered_like_the_first_time_also_after_a_restart(world: World) -> None:
    world.office.add(world.entry(ZHEJIANG))
    publication = world.keys_of(ZHEJIANG).publication(5)
    assert taken(world, publication) == [3]
    world.office.publish()
    assert taken(world, publication) == [3]
    again = Office(world.home, world.clock)
    assert again.take([publication]) == [3]
    again.close()
    assert world.office.version() == 4


@pytest.mark.parametrize("sequence", [0, 4, 5])
async def test_a_late_publication_is_refused(world: World, sequence: int) -> None:
    world.office.add(world.entry(ZHEJIANG))
    taken(world, world.keys_of(ZHEJIANG).publication(5))
    [error] = taken(world, world.keys_of(ZHEJIANG).publication(sequence))
    assert isinstance(error, RefusedError)
    assert error.field == "sequence"
    assert world.office.version() == 3


async def test_publications_that_come_together_make_one_version_and_a_bad_one_harms_nobody(world: World) -> None:
    world.office.add(world.entry(ZHEJIANG), world.entry(ANHUI, region=340000), world.entry(JINHUA, region=330700))
    good, also = world.keys_of(ZHEJIANG), world.keys_of(ANHUI)
    bad = world.keys_of(JINHUA).publication(1)
    bad.encryption_keys[0].CopyFrom(good.encryption)
    stranger = world.keys_of(ZHEJIANG).publication(1)
    stranger.member_id = "11110000002482285X"
    results = taken(world, good.publication(1), bad, also.publication(1), stranger)
    assert [results[0], results[2]] == [3, 3]
    assert isinstance(results[1], DirectoryError)
    assert isinstance(results[3], AccessError)
    assert (await world.directory()).version == 3


async def test_another_members_keys_cannot_be_published(world: World) -> None:
    world.office.add(world.entry(ZHEJIANG), world.entry(ANHUI, region=340000))
    publication = world.keys_of(ANHUI).publication(1)
    publication.member_id = ZHEJIANG
    [error] = taken(world, publication)
    assert isinstance(error, DirectoryError)


def test_of_a_publication_only_what_is_new_is_judged_and_the_bad_key_is_found_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[str] = []
    judge = directory_entries._encryption_key

    def counted(key: directory_pb2.EncryptionKey, member_id: str) -> Any:
        judged.append(key.key_id)
        return judge(key, member_id)

    monkeypatch.setattr(directory_entries, "_encryption_key", counted)
    first, second, bad = (world.keys_of(ZHEJIANG) for _ in range(3))
    world.office.add(world.entry(ZHEJIANG))
    assert taken(world, first.publication(1)) == [3]
    judged.clear()
    assert taken(world, second.publication(2, first)) == [4]
    assert judged == [second.encryption.key_id]
    bad.encryption.public_key = bad.encryption.public_key[:-1] + bytes([bad.encryption.public_key[-1] ^ 1])
    for sequence in (3, 4):
        assert isinstance(taken(world, bad.publication(sequence, second))[0], DirectoryError), "whatever was before"
    changed = world.keys_of(ZHEJIANG)
    changed.encryption.CopyFrom(second.encryption)
    changed.encryption.not_after_ms = changed.encryption.not_before_ms
    assert isinstance(taken(world, changed.publication(5))[0], DirectoryError), "a known key under other dates"


async def test_what_is_not_published_any_more_is_taken_out(world: World) -> None:
    world.office.add(world.entry(ZHEJIANG))
    old, new = world.keys_of(ZHEJIANG), world.keys_of(ZHEJIANG)
    taken(world, old.publication(1, new))
    assert len((await world.directory()).member(ZHEJIANG).signing_keys) == 2
    taken(world, new.publication(2))
    assert set((await world.directory()).member(ZHEJIANG).signing_keys) == {new.signing.key_id}


async def test_changing_a_members_name_leaves_its_keys(world: World) -> None:
    world.office.add(world.entry(ZHEJIANG))
    made = world.keys_of(ZHEJIANG)
    taken(world, made.publication(1))
    world.office.add(world.entry(ZHEJIANG, region=330700))
    member = (await world.directory()).member(ZHEJIANG)
    assert set(member.signing_keys) == {made.signing.key_id}
    assert len(member.tls_certificates) == 1
    assert taken(world, made.publication(1)) == [4], "listed with what it published, since the entry changed"


# revocation


async def test_a_revoked_certificate_is_refused_and_no_longer_listed(world: World) -> None:
    made = world.keys_of(ZHEJIANG)
    world.office.add(world.entry(ZHEJIANG, made))
    assert world.office.revoke_pem(made.tls_pem, reason=1).version == 3
    directory = await world.directory()
    assert directory.member(ZHEJIANG).tls_certificates == frozenset()
    with pytest.raises(RefusedError, match="revoked"):
        directory.require_not_revoked(made.tls)
    [error] = taken(world, made.publication(1))
    assert isinstance(error, DirectoryError)
    assert "revoked" in error.en


async def test_a_certificate_can_be_revoked_by_its_serial_number(world: World) -> None:
    made = world.keys_of(ZHEJIANG)
    world.office.add(world.entry(ZHEJIANG, made))
    number = x509.load_der_x509_certificate(made.signing.certificate).serial_number
    world.office.revoke_serial(f"{number:x}", reason=0)
    directory = await world.directory()
    assert dict(directory.member(ZHEJIANG).signing_keys) == {}
    with pytest.raises(EnvelopeError):
        directory.verify_key(ZHEJIANG, made.signing.key_id, world.clock.now_ms())
    for nonsense in ("", "xyz", "0", "f" * 41, "5f3c09"):
        with pytest.raises(ConfigError):
            world.office.revoke_serial(nonsense, reason=0)


async def test_a_revoked_key_never_comes_back(world: World) -> None:
    made = world.keys_of(ZHEJIANG)
    world.office.add(world.entry(ZHEJIANG, made))
    world.office.revoke_key(made.encryption.key_id, reason=1)
    world.office.revoke_key(made.signing.key_id, reason=1)
    member = (await world.directory()).member(ZHEJIANG)
    assert (dict(member.signing_keys), member.encryption_keys) == ({}, ())
    for publication in (made.publication(1),):
        [error] = taken(world, publication)
        assert isinstance(error, DirectoryError)


async def test_a_gateway_that_renews_a_revoked_key_lists_the_new_one_and_not_the_old(world: World) -> None:
    world.office.add(world.entry(ZHEJIANG))
    old, new = world.keys_of(ZHEJIANG), world.keys_of(ZHEJIANG)
    taken(world, old.publication(1))
    world.office.revoke_key(old.signing.key_id, reason=1)
    world.office.revoke_key(old.encryption.key_id, reason=1)
    publication = new.publication(2, old)  # as a rotation does it: the old ones too, until the new ones are in use
    [version] = taken(world, publication)
    assert isinstance(version, int)
    directory = await world.directory()
    member = directory.member(ZHEJIANG)
    assert set(member.signing_keys) == {new.signing.key_id}
    assert [held.key.key_id for held in member.encryption_keys] == [new.encryption.key_id]
    assert len(member.tls_certificates) == 2, "those were not revoked"
    with pytest.raises(EnvelopeError):
        directory.verify_key(ZHEJIANG, old.signing.key_id, world.clock.now_ms())
    assert taken(world, publication) == [version], "the same one is answered like the first time"


async def test_a_revoked_member_is_out_and_its_certificates_stay_dead_when_it_comes_back(world: World) -> None:
    made = world.keys_of(ZHEJIANG)
    world.office.add(world.entry(ZHEJIANG, made))
    world.office.remove(ZHEJIANG, reason=1)
    directory = await world.directory()
    assert directory.members == ()
    for certificate in (made.tls, made.signing.certificate):
        with pytest.raises(RefusedError, match="revoked"):
            directory.require_not_revoked(certificate)
    with pytest.raises(DirectoryError):
        world.office.add(world.entry(ZHEJIANG, made))
    world.office.add(world.entry(ZHEJIANG, world.keys_of(ZHEJIANG)))


async def test_a_revocation_is_forgotten_after_its_certificate_has_expired(world: World) -> None:
    made = world.keys_of(ZHEJIANG)
    world.office.revoke_pem(made.tls_pem, reason=0)
    assert (await world.directory()).revoked
    world.clock.advance((30 * 24 + 1) * HOUR_S)
    world.office.publish()
    assert (await world.directory()).revoked
    world.clock.advance(24 * HOUR_S)
    world.office.publish()
    assert not (await world.directory()).revoked


def test_another_authoritys_certificate_cannot_be_revoked_here(world: World, tmp_path: Path) -> None:
    other = World(tmp_path / "other")
    with pytest.raises(ConfigError, match="not issued"):
        world.office.revoke_pem(other.keys_of(ZHEJIANG).tls_pem, reason=0)
    with pytest.raises(ConfigError, match="PEM"):
        world.office.revoke_pem(b"nonsense", reason=0)
    other.office.close()


def test_a_gateway_speaks_for_its_member_with_a_listed_unrevoked_certificate(world: World) -> None:
    first, second = world.keys_of(ZHEJIANG), world.keys_of(ZHEJIANG)
    with pytest.raises(RefusedError):
        world.office.require_peer(ZHEJIANG, first.tls)
    world.office.add(world.entry(ZHEJIANG))
    world.office.require_peer(ZHEJIANG, first.tls)
    world.office.add(world.entry(ZHEJIANG, first))
    world.office.require_peer(ZHEJIANG, first.tls)
    with pytest.raises(RefusedError):
        world.office.require_peer(ZHEJIANG, second.tls)
    world.office.revoke_pem(first.tls_pem, reason=1)
    with pytest.raises(RefusedError):
        world.office.require_peer(ZHEJIANG, first.tls)
    world.office.require_peer(ZHEJIANG, second.tls)


# time, crashes, other processes


async def test_metadata_are_renewed_in_time(world: World) -> None:
    assert not world.office.upkeep()
    world.clock.advance(13 * HOUR_S)
    assert world.office.upkeep()
    assert not world.office.upkeep()
    assert world.office.version() == 1
    for _ in range(60):
        world.clock.advance(12.5 * HOUR_S)
        world.office.upkeep()
        await world.directory()
    assert world.office.version() > 1


async def test_a_restored_folder_publishes_above_what_gateways_have_seen(world: World, tmp_path: Path) -> None:
    """Without that they take it for a rollback."""
    import shutil

    reader = world.reader("long-standing")
    backup = tmp_path / "backup"
    shutil.copytree(world.home, backup)
    for _ in range(5):
        world.office.publish()
    await reader.refresh()
    assert reader.current().version == 6
    shutil.rmtree(world.home)
    shutil.copytree(backup, world.home)
    restored = Office(world.home, world.clock)
    assert restored.publish() == 2
    await reader.refresh()
    assert reader.current().version == 6, "refused, and the one held goes on"
    timestamp = json.loads((tmp_path / "state-long-standing" / "metadata" / "timestamp.json").read_bytes())
    assert restored.publish(above=timestamp["signed"]["version"]) == 7
    await reader.refresh()
    assert reader.current().version == 7
    assert restored.publish() == 8, "and counts on from there"
    await reader.refresh()
    assert reader.current().version == 8
    restored.close()


async def test_what_a_crash_left_unpublished_is_published_at_the_next_start(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.office.add(world.entry(ZHEJIANG))
    publication = world.keys_of(ZHEJIANG).publication(1)

    def crash(*_: object, **__: object) -> int:
        raise StoreError("the disk is full", "磁盘已满")

    with monkeypatch.context() as patched:
        patched.setattr(Repository, "publish", crash)
        with pytest.raises(StoreError):
            taken(world, publication)
    assert world.office.version() == 2
    again = Office(world.home, world.clock)
    again.upkeep()
    assert (await world.directory()).version == 3
    assert again.take([publication]) == [3]
    again.close()


@pytest.mark.parametrize("steps", range(1, 5))
async def test_a_crash_at_any_file_of_a_publication_leaves_the_version_before_in_force(
    world: World, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    replace, left = Path.replace, [steps - 1]

    def until(path: Path, target: Path) -> Path:
        if "tuf" in target.parts:
            if not left[0]:
                raise StoreError("power cut", "断电")
            left[0] -= 1
        return replace(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", until)
        with pytest.raises(StoreError):
            world.office.add(world.entry(ZHEJIANG))
    assert (await world.directory()).version == 1
    world.office.upkeep()
    assert (await world.directory()).member_ids() == (ZHEJIANG,)


def test_what_is_put_in_force_is_on_the_disk_before(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    replace, sync, flush = Path.replace, files._sync_folder, os.fsync

    def named(path: Path, target: Path) -> Path:
        steps.append(f"{target.name.split('.')[-2]} named" if "tuf" in target.parts else "other")
        return replace(path, target)

    def synced(folder: Path) -> None:
        steps.append(f"{folder.name}/ synced")
        sync(folder)

    def written(descriptor: int) -> None:
        steps.append("synced")
        flush(descriptor)

    monkeypatch.setattr(Path, "replace", named)
    monkeypatch.setattr(files, "_sync_folder", synced)
    monkeypatch.setattr(os, "fsync", written)
    world.office.publish()
    assert [step for step in steps if step != "synced"] == [
        "directory named",
        "targets/ synced",
        "targets named",
        "snapshot named",
        "metadata/ synced",
        "timestamp named",
        "metadata/ synced",
    ]
    assert steps[:3] == ["synced"] * 3, "nothing takes its name before everything is written"
    before, after = steps.index("snapshot named"), steps.index("timestamp named")
    assert steps[before + 1 : after] == ["metadata/ synced", "synced", "synced"], "the folder, and the timestamp itself"


async def test_two_processes_do_not_meet(world: World) -> None:
    other = Office(world.home, world.clock)
    await asyncio.gather(*(asyncio.to_thread(office.publish) for _ in range(5) for office in (world.office, other)))
    assert (await world.directory()).version == 11
    other.close()


async def test_a_root_can_be_replaced_and_the_directory_goes_on(world: World) -> None:
    reader = world.reader("early")
    await reader.refresh()
    found = sorted((world.home / "tuf-root-keys").iterdir())
    old = [(path, passphrase) for path in found for passphrase in ROOT_PASSPHRASES if _opens(path, passphrase)]
    with pytest.raises(ConfigError, match="fewer were given"):
        world.office.rotate_root(old[:1], [b"new"], 1)
    with pytest.raises(ConfigError, match="fewer were given"):
        world.office.rotate_root([old[0], old[0]], [b"new"], 1)
    assert world.office.rotate_root(old[:2], [b"a", b"b"], 2, online=True) == 2
    given = json.loads((world.home / "root.json").read_bytes())
    assert given["signed"]["version"] == 2, "who joins now is given the newest"
    await reader.refresh()
    assert reader.current().version == 2
    assert (
        world.office.rotate_root(
            [
                (path, b"a" if _opens(path, b"a") else b"b")
                for path in sorted((world.home / "tuf-root-keys").iterdir())
                if _opens(path, b"a") or _opens(path, b"b")
            ],
            [],
            None,
        )
        == 3
    )
    world.office.publish()
    await reader.refresh()
    assert reader.current().version == 3


async def test_keys_in_daily_use_that_another_process_replaced_are_used_from_then_on(world: World) -> None:
    assert world.office.publish() == 2
    other = Office(world.home, world.clock)
    found = sorted((world.home / "tuf-root-keys").iterdir())
    old = [(path, passphrase) for path in found for passphrase in ROOT_PASSPHRASES if _opens(path, passphrase)]
    other.rotate_root(old[:2], [], None, online=True)
    other.close()
    assert world.office.version() == 3
    assert world.office.publish() == 4
    assert (await world.directory()).version == 4


def _opens(path: Path, passphrase: bytes) -> bool:
    from tests.unit.federation.tuf_world import opens

    return opens(path, passphrase)


def test_who_has_seen_what_is_kept(world: World) -> None:
    world.office.add(world.entry(ZHEJIANG), world.entry(ANHUI, region=340000))
    world.office.mark_seen({ZHEJIANG: (2, 17)})
    again = Office(world.home, world.clock)
    assert [(each.member_id, each.version, each.seen_at_ms) for each in again.seen().members] == [
        (ZHEJIANG, 2, 17),
        (ANHUI, 0, 0),
    ]
    again.close()


def test_members_are_read_for_a_report_only_when_something_of_them_changed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, theirs = world.keys_of(ZHEJIANG), world.keys_of(ANHUI)
    world.office.add(world.entry(ZHEJIANG, mine), world.entry(ANHUI, theirs, region=340000))
    rows, read = Membership.rows, []

    def counted(membership: Membership) -> dict[str, Row]:
        read.append(1)
        return rows(membership)

    monkeypatch.setattr(Membership, "rows", counted)

    def told() -> dict[str, tuple[int, int]]:
        report = world.office.report({ZHEJIANG: (2, 17)})
        return {each.member_id: (each.version, each.seen_at_ms) for each in report.members}

    assert told() == told() == {ZHEJIANG: (2, 17), ANHUI: (0, 0)}
    assert len(read) == 1
    elsewhere = Office(world.home, world.clock)
    version = elsewhere.readmit(ANHUI, reason=4)
    elsewhere.close()
    read.clear()
    assert told() == told() == {ZHEJIANG: (2, 17), ANHUI: (version, 0)}, "another process changed it"
    assert len(read) == 1
    world.keys_of(ANHUI)
    assert told()[ANHUI] == (0, 0), "what it was issued since is in the ledger, and nothing of it on the record"


async def test_what_a_member_publishes_beyond_the_contract_goes_to_nobody(world: World) -> None:
    made = world.keys_of(ZHEJIANG)
    world.office.add(world.entry(ZHEJIANG))
    publication = made.publication(1)
    said = b"\xfa\x3f\x80\x80\x10" + b"x" * (256 << 10)  # field 1023, a quarter of a MiB
    publication.signing_keys[0].MergeFromString(said)
    publication.encryption_keys[0].MergeFromString(said)
    assert len(publication.SerializeToString()) > 512 << 10
    (version,) = taken(world, publication)
    assert taken(world, publication) == [version], "the same publication as before"
    assert (await world.directory()).member(ZHEJIANG).signing_keys
    assert max(each.stat().st_size for each in (world.home / "tuf" / "targets").iterdir()) < 16 << 10


def test_it_is_not_closed_while_a_thread_is_at_work(world: World) -> None:
    """A service that stops gives up what it waits for, and its threads go on."""
    at_work, closing = threading.Event(), threading.Event()
    order: list[object] = []

    def close() -> None:
        closing.set()
        world.office.close()
        order.append("closed")

    def work() -> None:
        with world.office._alone():
            at_work.set()
            assert closing.wait(20)
            order.append(len(world.office._membership.rows()))

    with ThreadPoolExecutor() as threads:
        worked = threads.submit(work)
        assert at_work.wait(20)
        closed = threads.submit(close)
        worked.result(20)
        closed.result(20)
    assert order == [0, "closed"]
