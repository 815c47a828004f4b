"""Key files: whole or absent, the owner's alone, and nothing but the kinds of key that are used."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from certs import files, keys
from certs.errors import KeyFileError


def test_a_stored_key_comes_back_and_only_its_owner_can_read_the_file(tmp_path: Path) -> None:
    for position, key in enumerate(
        (keys.generate_authority_key(), keys.generate_tls_key(), keys.generate_signing_key())
    ):
        path = tmp_path / f"{position}.pem"
        keys.store_private_key(path, key)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert keys.load_private_key(path).public_key() == key.public_key()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["0.pem", "1.pem", "2.pem"]


def test_the_mode_does_not_depend_on_the_umask(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        keys.store_xwing_seed(tmp_path / "a", keys.generate_xwing_seed())
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o644])
def test_a_key_file_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key.pem"
    keys.store_private_key(path, keys.generate_tls_key())
    path.chmod(mode)
    with pytest.raises(KeyFileError, match="chmod 600"):
        keys.load_private_key(path)


def test_an_encrypted_key_needs_its_passphrase(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    key = keys.generate_signing_key()
    keys.store_private_key(path, key, passphrase=b"right")
    assert b"ENCRYPTED" in path.read_bytes()
    assert keys.load_signing_key(path, passphrase=b"right").public_key() == key.public_key()
    with pytest.raises(KeyFileError, match="encrypted"):
        keys.load_private_key(path)
    with pytest.raises(KeyFileError, match="wrong passphrase"):
        keys.load_private_key(path, passphrase=b"wrong")


def test_a_passphrase_for_a_key_that_has_none_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    keys.store_private_key(path, keys.generate_signing_key())
    with pytest.raises(KeyFileError, match="not encrypted"):
        keys.load_private_key(path, passphrase=b"x")


@pytest.mark.parametrize("passphrase", [b"", b"x" * 1024])
def test_a_passphrase_that_cannot_be_used_is_refused_and_nothing_is_written(tmp_path: Path, passphrase: bytes) -> None:
    with pytest.raises(KeyFileError):
        keys.store_private_key(tmp_path / "key.pem", keys.generate_tls_key(), passphrase=passphrase)
    assert list(tmp_path.iterdir()) == []


def test_a_key_is_never_overwritten_unless_asked(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    first = keys.generate_signing_key()
    keys.store_private_key(path, first)
    with pytest.raises(KeyFileError, match="not overwritten"):
        keys.store_private_key(path, keys.generate_signing_key())
    assert keys.load_signing_seed(path) == first.private_bytes_raw()
    second = keys.generate_signing_key()
    keys.store_private_key(path, second, replace=True)
    assert keys.load_signing_seed(path) == second.private_bytes_raw()
    assert [entry.name for entry in tmp_path.iterdir()] == ["key.pem"]


@pytest.mark.parametrize(
    "key", [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP521R1())], ids=["rsa", "p521"]
)
def test_other_kinds_of_key_are_refused(tmp_path: Path, key: rsa.RSAPrivateKey) -> None:
    path = tmp_path / "key.pem"
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    files.write_file(path, pem, mode=files.PRIVATE, replace=False)
    with pytest.raises(KeyFileError, match="unsuitable"):
        keys.load_private_key(path)


def test_a_signing_key_must_be_ed25519(tmp_path: Path) -> None:
    keys.store_private_key(tmp_path / "key.pem", keys.generate_tls_key())
    with pytest.raises(KeyFileError, match="Ed25519"):
        keys.load_signing_key(tmp_path / "key.pem")


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"\xff\xfe", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_nonsense_is_no_key(tmp_path: Path, content: bytes) -> None:
    files.write_file(tmp_path / "key", content, mode=files.PRIVATE, replace=False)
    with pytest.raises(KeyFileError):
        keys.load_private_key(tmp_path / "key")
    with pytest.raises(KeyFileError):
        keys.load_xwing_seed(tmp_path / "key")


def test_a_seed_survives_its_file(tmp_path: Path) -> None:
    seed = keys.generate_xwing_seed()
    assert len(seed) == 32
    keys.store_xwing_seed(tmp_path / "seed", seed)
    assert keys.load_xwing_seed(tmp_path / "seed") == seed
    assert (tmp_path / "seed").read_text().startswith("-----BEGIN WUGAN X-WING SEED-----\n")


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_seed_has_32_bytes(tmp_path: Path, length: int) -> None:
    with pytest.raises(KeyFileError):
        keys.store_xwing_seed(tmp_path / "seed", bytes(length))


def test_any_change_to_the_form_of_a_seed_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "seed"
    keys.store_xwing_seed(path, bytes(32))
    text = path.read_text()
    for changed in (
        text + "\n",
        text[:-1],
        text.replace("X-WING", "XWING"),
        text.replace("=", ""),
        text.replace("A=", "B="),
        " " + text,
        text * 2,
    ):
        files.write_file(path, changed.encode(), mode=files.PRIVATE, replace=True)
        with pytest.raises(KeyFileError) as caught:
            keys.load_xwing_seed(path)
        assert "AAAA" not in str(caught.value)


def test_an_error_about_a_key_does_not_carry_it(tmp_path: Path) -> None:
    files.write_file(tmp_path / "seed", b"secret-stuff", mode=files.PRIVATE, replace=False)
    with pytest.raises(KeyFileError) as caught:
        keys.load_xwing_seed(tmp_path / "seed")
    assert caught.value.__cause__ is None
    assert "secret-stuff" not in caught.value.en + caught.value.zh


def test_what_is_not_a_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path / "pipe", tmp_path, tmp_path / "absent"):
        with pytest.raises(KeyFileError):
            files.read_secret(path)


def test_a_file_too_large_is_refused(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes(files.MAX_FILE_BYTES + 1))
    with pytest.raises(KeyFileError, match="larger"):
        files.read_public(tmp_path / "big")


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(KeyFileError):
        files.write_file(tmp_path / "taken", b"x", mode=files.PUBLIC, replace=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["taken"]
    with pytest.raises(KeyFileError):
        files.write_file(tmp_path / "no" / "folder", b"x", mode=files.PUBLIC, replace=True)


@pytest.fixture
def effects(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is synced and what takes its name, in order; the random part of temporary names left out."""
    seen: list[str] = []
    fsync, replace, link = os.fsync, Path.replace, Path.hardlink_to

    def synced(descriptor: int) -> None:
        seen.append("sync " + re.sub(r"\.[0-9a-f]{16}\.tmp$", "", Path(f"/proc/self/fd/{descriptor}").readlink().name))
        fsync(descriptor)

    def replaced(path: Path, target: Path) -> Path:
        seen.append(f"name {target.name}")
        return replace(path, target)

    def linked(path: Path, target: Path) -> None:
        seen.append(f"name {path.name}")
        link(path, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    monkeypatch.setattr(Path, "hardlink_to", linked)
    return seen


@pytest.mark.parametrize("replace", [True, False])
def test_files_of_a_folder_are_each_on_the_disk_before_one_takes_its_name_and_it_is_synced_once(
    tmp_path: Path, effects: list[str], replace: bool
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    wanted = {tmp_path / "one" / "b": b"1", tmp_path / "one" / "a": b"2", tmp_path / "two" / "c": b"3"}
    files.write_files(wanted, mode=files.PRIVATE, replace=replace)
    assert effects == [
        *["sync .b", "sync .a", "sync .c"],
        *["name b", "name a", "sync one"],  # before anything in the next folder
        *["name c", "sync two"],
    ]
    found = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == wanted
    assert {stat.S_IMODE(path.stat().st_mode) for path in wanted} == {0o600}


def test_of_several_files_none_takes_its_name_where_one_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "first").write_bytes(b"before")
    wanted = {tmp_path / "first": b"x", tmp_path / "no" / "folder": b"x"}
    with pytest.raises(KeyFileError, match="no/folder: cannot be written"):
        files.write_files(wanted, mode=files.PUBLIC, replace=True)
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("first", b"before")]


def test_of_several_files_those_before_a_name_that_is_taken_are_there(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"before")
    with pytest.raises(KeyFileError, match="b: is there already"):
        files.write_files({tmp_path / name: b"x" for name in "abc"}, mode=files.PUBLIC, replace=False)
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == {"a": b"x", "b": b"before"}


def test_what_need_not_last_is_not_synced(tmp_path: Path, effects: list[str]) -> None:
    files.write_file(tmp_path / "a", b"x", mode=files.PRIVATE, replace=True, lasting=False)
    assert effects == ["name a"]
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("a", b"x")]


def test_a_key_id_is_half_a_sha256_of_the_raw_key() -> None:
    assert keys.key_id(b"") == "e3b0c44298fc1c149afbf4c8996fb924"


@pytest.mark.parametrize("content", [b"", b"\n", b"x" * 1024])
def test_which_file_has_no_usable_passphrase_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pin"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match=str(path)) as caught:
        keys.read_passphrase(path)
    assert str(path) in caught.value.zh
