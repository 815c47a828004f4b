"""Who a call comes from, as the TLS handshake proved it; and when TLS 1.3 can be promised."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from certs.errors import CertsError, PeerError
from certs.grpc_credentials import channel_options, peer_identity
from certs.identity import Identity

ROOT = Path(__file__).parents[3]
URI = b"spiffe://test.wugan.internal/member/11330000002482285J/gateway"


def context(**changes: list[bytes]) -> dict[str, list[bytes]]:
    return {
        "transport_security_type": [b"ssl"],
        "ssl_tls_version": [b"TLSv1.3"],
        "peer_uri": [URI],
        "peer_dns": [b"11330000002482285j.gateway.test.wugan.internal"],
    } | changes


def test_the_peer_is_whom_its_certificate_names() -> None:
    assert peer_identity(context()) == Identity.gateway("test.wugan.internal", "11330000002482285J")


@pytest.mark.parametrize(
    "version", [[], [b"TLSv1.2"], [b"TLSv1.3", b"TLSv1.2"], [b""]], ids=["none", "1.2", "both", "empty"]
)
def test_a_connection_below_tls_13_is_refused(version: list[bytes]) -> None:
    with pytest.raises(PeerError, match=r"TLS 1\.3"):
        peer_identity(context(ssl_tls_version=version))


@pytest.mark.parametrize("uris", [[], [URI, URI], [URI, b"spiffe://other/x"]], ids=["none", "twice", "two"])
def test_a_peer_must_bear_exactly_one_name(uris: list[bytes]) -> None:
    with pytest.raises(PeerError, match="exactly one"):
        peer_identity(context(peer_uri=uris))


@pytest.mark.parametrize("uri", [b"", b"https://example.org/", b"\xff", URI + b"/x", URI.lower()])
def test_a_name_that_is_no_member_identity_is_refused(uri: bytes) -> None:
    with pytest.raises(CertsError):
        peer_identity(context(peer_uri=[uri]))


def test_an_unauthenticated_connection_has_no_identity() -> None:
    with pytest.raises(PeerError):
        peer_identity({})


def test_a_channel_is_pinned_by_name_not_by_address() -> None:
    assert ("grpc.ssl_target_name_override", "x.gateway.test") in channel_options("x.gateway.test")


@pytest.mark.parametrize(
    ("program", "promised"),
    [
        ("import certs, grpc; certs.require_tls13()", True),
        ("import gateway, grpc, certs; certs.require_tls13()", True),
        ("import grpc, certs; certs.require_tls13()", False),
        ("import os; os.environ['GRPC_SSL_CIPHER_SUITES'] = 'ALL'; import certs, grpc; certs.require_tls13()", True),
        ("import os; os.environ['GRPC_SSL_CIPHER_SUITES'] = 'ALL'; import grpc, certs; certs.require_tls13()", False),
    ],
)
def test_tls_13_is_promised_only_when_grpc_was_loaded_after_certs(program: str, promised: bool) -> None:
    run = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": f"{ROOT / 'proto'}:{ROOT}"},
        capture_output=True,
        check=False,
    )
    assert (run.returncode == 0) is promised
    assert promised or b"gRPC was loaded before certs" in run.stderr
