"""Putting a key into a context of Python's `ssl`: what lies in memory for it, and what comes of it."""

from __future__ import annotations

import base64
import os
import re
import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from certs import keys, tls_context
from certs.authority import Authority
from certs.errors import KeyFileError
from certs.tls_context import client_context, load_identity, server_context
from tests.unit.certs.conftest import NOW

MEMBER = "11330000002482285J"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder: Path = tmp_path_factory.mktemp("contexts") / "ca"
    return Authority.create(folder, "test.wugan.internal", now=NOW, loopback=True)


def test_what_lies_in_memory_is_encrypted_and_not_stretched(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[bytes] = []
    given: list[str] = []

    def write(descriptor: int, data: bytes) -> int:
        written.append(data)
        return os.write(descriptor, data)

    class Telling(ssl.SSLContext):
        def load_cert_chain(self, certfile, keyfile=None, password=None):  # type: ignore[no-untyped-def]
            given.append(password)
            super().load_cert_chain(certfile, keyfile, password)

    monkeypatch.setattr(tls_context, "os", _Os(write))
    key = keys.generate_tls_key()
    chain = authority.issue_gateway_tls(MEMBER, key.public_key(), now=NOW).pem
    for _ in range(2):
        load_identity(Telling(ssl.PROTOCOL_TLS_CLIENT), key, chain)
    plain = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for data, passphrase in zip(written, given, strict=True):
        assert len(bytes.fromhex(passphrase)) == 32
        sealed = re.search(rb"-----BEGIN ENCRYPTED PRIVATE KEY-----\n(.+?)-----END", data, re.S)
        assert sealed
        assert data.count(b"PRIVATE KEY") == 2
        der = base64.b64decode(sealed[1])
        assert plain[-100:] not in der
        assert re.search(rb"\x04\x10.{16}\x02\x01\x01\x30", der, re.S)  # the salt, then once
        found = serialization.load_pem_private_key(data, passphrase.encode())
        assert found.public_key() == key.public_key()  # type: ignore[union-attr]
        with pytest.raises(ValueError, match=r"[Ii]ncorrect password|decrypt"):
            serialization.load_pem_private_key(data, passphrase[::-1].encode())
    assert given[0] != given[1]


@pytest.mark.parametrize("make", [keys.generate_tls_key, keys.generate_authority_key, keys.generate_signing_key])
def test_a_key_of_another_certificate_is_refused(authority: Authority, make: type[keys.PrivateKey]) -> None:
    chain = authority.issue_gateway_tls(MEMBER, keys.generate_tls_key().public_key(), now=NOW).pem
    with pytest.raises(KeyFileError, match="do not belong together"):
        client_context(authority.root_pem, make(), chain)


def test_each_side_proves_what_it_was_given(authority: Authority) -> None:
    key, other = keys.generate_tls_key(), keys.generate_tls_key()
    issued = authority.issue_gateway_tls(MEMBER, key.public_key(), now=NOW)
    renewed = authority.issue_gateway_tls(MEMBER, other.public_key(), now=NOW)
    there = server_context(key, issued.pem, authority.root_pem)
    here = client_context(authority.root_pem, key, issued.pem)
    here.check_hostname = False
    here.verify_flags |= 0x200000  # the day of the certificates is another
    assert _shaken(here, there) == (issued.der, issued.der)
    load_identity(there, other, renewed.pem)
    assert _shaken(here, there) == (renewed.der, issued.der)


class _Os:
    """`os`, but for one function."""

    def __init__(self, write: object) -> None:
        self.write = write

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)


def _shaken(here: ssl.SSLContext, there: ssl.SSLContext) -> tuple[bytes | None, bytes | None]:
    """What each side saw of the other: the server's certificate and the client's, DER."""
    to_there, to_here = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = here.wrap_bio(to_here, to_there)
    server = there.wrap_bio(to_there, to_here, server_side=True)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return client.getpeercert(binary_form=True), server.getpeercert(binary_form=True)
