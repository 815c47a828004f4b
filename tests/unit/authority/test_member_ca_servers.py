"""What a member's own CA makes of other servers' names TLS itself refuses, also where nobody has the directory."""

from __future__ import annotations

import ssl

import pytest

from adapters.tls import called_by
from certs import keys, profiles
from certs.holders import certificate_pem
from certs.identity import Identity
from certs.tls_context import client_context, server_context
from tests.unit.authority.authority_world import ANHUI, FEDERATION, ZHEJIANG, World
from tests.unit.authority.member_ca_world import MemberCa


@pytest.fixture
def ca(world: World) -> MemberCa:
    world.office.add(world.entry(ZHEJIANG))
    return MemberCa.made(world, ZHEJIANG)


def shakes_hands(ca: MemberCa, server: Identity) -> str:
    """What a client that knows nothing but the root says of what the CA made for a server's name."""
    world, key = ca.world, keys.generate_tls_key()
    shown = profiles.tls_certificate(ca.issuer, key.public_key(), server, world.now)
    there = server_context(key, certificate_pem(shown) + ca.pem, world.ca.root_pem)
    here = client_context(world.ca.root_pem)
    here.verify_flags |= 0x200000  # X509_V_FLAG_NO_CHECK_TIME: the clock of this world is not that of OpenSSL
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = here.wrap_bio(to_client, to_server, server_hostname=server.tls_name)
    server_side = there.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (client, server_side):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as error:
                return error.verify_message
    return client.version() or ""


def test_it_can_stand_in_for_no_server_but_its_members(ca: MemberCa) -> None:
    own = Identity.gateway(FEDERATION, ZHEJIANG), Identity(FEDERATION, ZHEJIANG, "department", "insurance")
    others = (
        Identity.authority(FEDERATION),
        Identity.gateway(FEDERATION, ANHUI),
        Identity(FEDERATION, ANHUI, "department", "insurance"),
    )
    assert [shakes_hands(ca, each) for each in own] == ["TLSv1.3"] * 2
    assert [shakes_hands(ca, each) for each in others] == ["permitted subtree violation"] * 3


def test_a_department_answers_its_gateway_by_both_of_its_names() -> None:
    """Name constraints cannot bind the URI of a client to a member; its DNS name they do."""
    gateway = Identity.gateway(FEDERATION, ZHEJIANG)
    may_call = called_by(gateway.uri)
    shown = {"ssl_tls_version": [b"TLSv1.3"], "peer_uri": [gateway.uri.encode()], "x509_pem_cert": [b"one"]}
    assert not may_call(shown)
    assert not may_call({**shown, "peer_dns": [Identity.gateway(FEDERATION, ANHUI).tls_name.encode()]})
    assert may_call({**shown, "peer_dns": [b"localhost", gateway.tls_name.encode()]})
    unit = Identity(FEDERATION, ZHEJIANG, "unit", "jinhua")
    assert called_by(unit.uri)({**shown, "peer_uri": [unit.uri.encode()]}), "it has none"
