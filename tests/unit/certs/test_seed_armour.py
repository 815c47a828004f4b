"""The file form of an X-Wing seed under a passphrase."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from certs import keys, seed_armour
from certs.errors import KeyFileError
from gateway.exchange.suites import SUITE_1

SEED = bytes(range(32))


@pytest.fixture(scope="module")
def sealed() -> bytes:
    return seed_armour.encode(SEED, b"passphrase")


def body_of(data: bytes) -> bytes:
    return base64.b64decode(data.split(b"\n")[1])


def with_body(data: bytes, body: bytes) -> bytes:
    begin, _, end = data.split(b"\n")[:3]
    return b"\n".join([begin, base64.b64encode(body), end, b""])


def test_a_seed_survives_its_encrypted_file(tmp_path: Path) -> None:
    path = tmp_path / "seed"
    keys.store_xwing_seed(path, SEED, passphrase=b"passphrase")
    assert path.read_bytes().startswith(b"-----BEGIN WUGAN ENCRYPTED X-WING SEED-----\n")
    assert keys.load_xwing_seed(path, passphrase=b"passphrase") == SEED
    with pytest.raises(KeyFileError, match="is encrypted"):
        keys.load_xwing_seed(path)
    with pytest.raises(KeyFileError, match="wrong passphrase"):
        keys.load_xwing_seed(path, passphrase=b"another")


def test_a_plain_seed_is_refused_where_a_passphrase_is_configured() -> None:
    assert seed_armour.decode(seed_armour.encode(SEED), b"passphrase") is None


def test_the_head_is_as_documented(sealed: bytes) -> None:
    body = body_of(sealed)
    assert len(body) == 80
    assert body[:4] == bytes([1, 15, 8, 3])


def test_two_files_of_one_seed_have_nothing_in_common(sealed: bytes) -> None:
    one, other = body_of(sealed), body_of(seed_armour.encode(SEED, b"passphrase"))
    assert one[4:20] != other[4:20]
    assert one[20:32] != other[20:32]
    assert one[32:] != other[32:]


@pytest.mark.parametrize("place", [0, 1, 2, 3, 4, 19, 20, 31, 32, 63, 64, 79])
def test_any_changed_byte_is_noticed(sealed: bytes, place: int) -> None:
    body = bytearray(body_of(sealed))
    body[place] ^= 1
    assert seed_armour.decode(with_body(sealed, bytes(body)), b"passphrase") is None


@pytest.mark.parametrize("head", [(1, 31, 8, 3), (1, 14, 8, 3), (1, 15, 64, 3), (1, 15, 8, 255), (2, 15, 8, 3)])
def test_parameters_that_cost_too_much_or_protect_too_little_are_refused_unused(
    sealed: bytes, head: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seed_armour, "Scrypt", None)
    changed = with_body(sealed, bytes(head) + body_of(sealed)[4:])
    assert seed_armour.decode(changed, b"passphrase") is None


def test_the_public_key_is_that_of_the_envelopes_suite() -> None:
    assert keys.xwing_public_key(SEED) == SUITE_1.opener(SEED).public_raw


@pytest.mark.parametrize(("content", "passphrase"), [(b"secret\n", b"secret"), (b"a b\r\n", b"a b"), (b"x", b"x")])
def test_a_passphrase_file_is_read_without_its_line_end(tmp_path: Path, content: bytes, passphrase: bytes) -> None:
    path = tmp_path / "passphrase"
    path.write_bytes(content)
    path.chmod(0o600)
    assert keys.read_passphrase(path) == passphrase
    path.chmod(0o640)
    with pytest.raises(KeyFileError, match="chmod 600"):
        keys.read_passphrase(path)


def test_an_empty_passphrase_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "passphrase"
    path.write_bytes(b"\n")
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="passphrase"):
        keys.read_passphrase(path)
