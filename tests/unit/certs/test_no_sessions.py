"""A server of ours hands out no TLS session: whoever comes back shows a certificate again."""

from __future__ import annotations

import ssl
from pathlib import Path

from certs import keys
from certs.authority import Authority
from certs.tls_context import client_context, server_context
from tests.unit.certs.conftest import FEDERATION, NOW, ZHEJIANG


def _pass(source: ssl.MemoryBIO, to: ssl.MemoryBIO) -> None:
    to.write(source.read())


def _connected(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both ends, after the handshake and a word from the server, with which a client reads the tickets before it."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    at_server = server.wrap_bio(to_server, to_client, server_side=True)
    at_client = client.wrap_bio(to_client, to_server, server_hostname=f"authority.{FEDERATION}")
    for end in (at_client, at_server, at_client, at_server):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    at_server.write(b"word")
    assert at_client.read() == b"word"
    return at_server, at_client


def test_no_ticket_is_handed_out_and_the_certificate_is_shown(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path / "ca", FEDERATION, now=NOW, loopback=True)
    served, shown = keys.generate_tls_key(), keys.generate_tls_key()
    own = authority.issue_authority_tls(served.public_key(), now=NOW)
    theirs = authority.issue_gateway_tls(ZHEJIANG, shown.public_key(), now=NOW)
    server = server_context(served, own.pem, authority.root_pem)
    client = client_context(authority.root_pem, shown, theirs.pem)
    client.verify_flags |= 0x200000  # the certificates are of a day of the past

    at_server, at_client = _connected(server, client)

    assert at_client.session is None or not at_client.session.has_ticket
    assert at_server.getpeercert(binary_form=True) == theirs.der
