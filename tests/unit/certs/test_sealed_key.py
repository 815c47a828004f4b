"""The file form of a key under a passphrase that a person knows by heart."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest

from certs import keys, sealed_key
from certs.authority import Authority
from certs.errors import KeyFileError
from tests.unit.certs.conftest import NOW

MANY = 600_000


def rounds(path: Path) -> int:
    """How often the passphrase of a file is stretched: the whole number behind the salt."""
    der = base64.b64decode("".join(path.read_text().splitlines()[1:-1]))
    found = re.search(rb"\x04\x10.{16}\x02([\x01-\x04])", der, re.S)
    assert found
    return int.from_bytes(der[found.end() :][: found[1][0]], "big")


@pytest.mark.parametrize("make", [keys.generate_authority_key, keys.generate_tls_key, keys.generate_signing_key])
@pytest.mark.parametrize("passphrase", [b"x", "口令".encode(), b"p" * keys.MAX_PASSPHRASE_BYTES])
def test_such_a_key_comes_back_with_its_passphrase_alone(
    tmp_path: Path, make: type[keys.PrivateKey], passphrase: bytes
) -> None:
    key, path = make(), tmp_path / "key.pem"
    keys.store_private_key(path, key, passphrase=passphrase, by_heart=True)
    assert keys.load_private_key(path, passphrase=passphrase).public_key() == key.public_key()
    for wrong in (None, b"y", passphrase + b"\n"):
        with pytest.raises(KeyFileError):
            keys.load_private_key(path, passphrase=wrong)


def test_its_passphrase_is_stretched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed_key, "ROUNDS", MANY)
    by_heart, from_a_file = tmp_path / "heart.pem", tmp_path / "file.pem"
    keys.store_private_key(by_heart, keys.generate_signing_key(), passphrase=b"x", by_heart=True)
    keys.store_private_key(from_a_file, keys.generate_signing_key(), passphrase=b"x")
    assert (rounds(by_heart), rounds(from_a_file)) == (MANY, 2048)
    keys.load_private_key(by_heart, passphrase=b"x")


def test_no_two_files_of_a_key_are_alike() -> None:
    assert sealed_key.seal(b"key", b"x") != sealed_key.seal(b"key", b"x")


def test_the_root_of_certificates_is_kept_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed_key, "ROUNDS", 4096)
    Authority.create(tmp_path / "ca", "test.wugan.internal", now=NOW, root_passphrase=b"root").close()
    assert rounds(tmp_path / "ca" / "root-key.pem") == 4096
