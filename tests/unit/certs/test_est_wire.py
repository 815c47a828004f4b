"""Bodies, attributes and chains of EST: ours and what others send, and nothing else."""

from __future__ import annotations

import base64
import datetime as dt
import itertools
import textwrap
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import pkcs7
from hypothesis import given, settings
from hypothesis import strategies as st

from certs import est_wire, keys, profiles
from certs.errors import EnrolmentError, EstError

MEMBER = "11330000002482285J"
blanks = st.sampled_from(["", "\n", "\r\n", " ", "\t", "\r\n\r\n"])


def request(key: Any) -> x509.CertificateSigningRequest:
    return x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())


KEY = keys.generate_tls_key()
REQUEST = request(KEY)
DER = REQUEST.public_bytes(serialization.Encoding.DER)


@given(st.binary(max_size=300))
def test_every_body_is_read_as_it_was_written(der: bytes) -> None:
    assert est_wire.decode(est_wire.encode(der)) == der


@given(st.binary(max_size=300), st.lists(blanks, min_size=1, max_size=9))
def test_white_space_may_stand_anywhere_in_a_body(der: bytes, spaces: list[str]) -> None:
    text = base64.b64encode(der).decode()
    spaced = "".join(c + space for c, space in zip(text, itertools.cycle(spaces), strict=False))
    assert est_wire.decode(spaced.encode()) == der


@given(st.binary(max_size=2000))
@settings(max_examples=300)
def test_nothing_that_comes_in_does_more_than_be_refused(body: bytes) -> None:
    for parse, refusal in (
        (est_wire.parse_request, EnrolmentError),
        (est_wire.parse_certs_only, EstError),
        (est_wire.parse_csr_attributes, EstError),
    ):
        for sent in (body, base64.b64encode(body)):
            try:
                parse(sent)
            except refusal:
                continue


@given(st.integers(0, len(DER) - 1), st.integers(1, 255))
@settings(max_examples=300)
def test_a_damaged_request_is_refused_or_no_longer_proven(place: int, change: int) -> None:
    damaged = bytearray(DER)
    damaged[place] ^= change
    try:
        parsed = est_wire.parse_request(base64.b64encode(damaged))
        # A signature may have several spellings; what it signs has one.
        assert not parsed.is_signature_valid or parsed.tbs_certrequest_bytes == REQUEST.tbs_certrequest_bytes
    except (EnrolmentError, ValueError):
        pass


@pytest.mark.parametrize(
    "body",
    [
        REQUEST.public_bytes(serialization.Encoding.PEM),
        base64.b64encode(DER),
        est_wire.encode(DER),
        b"\r\n" + base64.b64encode(DER) + b"\r\n\r\n",
        DER,
    ],
    ids=["pem", "one line", "lines", "blank lines", "bare der"],
)
def test_a_request_is_read_in_every_form_that_clients_send(body: bytes) -> None:
    assert est_wire.parse_request(body).public_key() == KEY.public_key()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"MII",
        b"nonsense",
        "例".encode(),
        est_wire.encode(DER)[:-10],
        est_wire.encode(DER + b"\0"),
        REQUEST.public_bytes(serialization.Encoding.PEM) * 2,
        est_wire.encode(DER) + b" " * est_wire.MAX_REQUEST_BYTES,
    ],
)
def test_what_is_no_request_or_two_or_too_large_is_refused(body: bytes) -> None:
    with pytest.raises(EnrolmentError) as caught:
        est_wire.parse_request(body)
    assert caught.value.refusal == "malformed"


def test_certificates_come_out_as_they_went_in(world: Any) -> None:
    sent = {world.root.certificate, world.issuer.certificate}
    assert set(est_wire.parse_certs_only(est_wire.certs_only(sent))) == sent
    pem = pkcs7.serialize_certificates([world.root.certificate], serialization.Encoding.PEM)
    assert est_wire.parse_certs_only(pem) == (world.root.certificate,)


def test_more_certificates_than_anybody_needs_are_refused(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(est_wire, "MAX_CERTIFICATES", 1)
    with pytest.raises(EstError, match="2 certificates"):
        est_wire.parse_certs_only(est_wire.certs_only([world.root.certificate, world.issuer.certificate]))


def test_the_attributes_say_which_key_and_signature() -> None:
    assert est_wire.parse_csr_attributes(est_wire.csr_attributes("tls")) == (
        "1.2.840.10045.2.1",
        "1.2.840.10045.3.1.7",
        "1.2.840.10045.4.3.2",
    )
    assert est_wire.parse_csr_attributes(est_wire.csr_attributes("signing")) == ("1.3.101.112",)


def test_the_example_of_the_standard_is_understood() -> None:
    # RFC 7030 section 4.5.2: challengePassword, an EC key on secp384r1, an extension request for the MAC address, and
    # ECDSA with SHA-384.
    body = b"MEEGCSqGSIb3DQEJBzASBgcqhkjOPQIBMQcGBSuBBAAiMBYGCSqGSIb3DQEJDjEJBgcrBgEBAQEWBggqhkjOPQQDAw=="
    assert est_wire.parse_csr_attributes(body) == (
        "1.2.840.113549.1.9.7",
        "1.2.840.10045.2.1",
        "1.3.132.0.34",
        "1.2.840.113549.1.9.14",
        "1.3.6.1.1.1.1.22",
        "1.2.840.10045.4.3.3",
    )


def test_values_of_attributes_that_are_no_identifiers_are_passed_over() -> None:
    attribute = bytes.fromhex("300b0603550403310413025858")
    assert est_wire.parse_csr_attributes(base64.b64encode(b"\x30\x0d" + attribute)) == ("2.5.4.3",)


def test_long_and_endless_attributes_are_bounded() -> None:
    one = bytes.fromhex("06032b6570")
    content = one * 64
    assert len(est_wire.parse_csr_attributes(base64.b64encode(b"\x30\x82\x01\x40" + content))) == 64
    content = one * 65
    with pytest.raises(EstError, match="too many"):
        est_wire.parse_csr_attributes(base64.b64encode(b"\x30\x82\x01\x45" + content))


@given(st.text(max_size=40).filter(lambda name: ":" not in name), st.text(max_size=60))
def test_credentials_come_out_as_they_went_in(name: str, secret: str) -> None:
    assert est_wire.parse_basic(est_wire.basic(name, secret)) == (name, secret)


@pytest.mark.parametrize(
    "header",
    ["", "Basic", "Basic ", "Basic ???", "Bearer YTpi", "Basic YWI=", "Basic /zph", "Basic " + "YTpi" * 200],
)
def test_other_credentials_are_none(header: str) -> None:
    assert est_wire.parse_basic(header) is None


def test_a_chain_is_put_in_order_whatever_else_is_there(world: Any, foreign: Any, now: dt.datetime) -> None:
    issued = world.authority.issue_gateway_tls(MEMBER, KEY.public_key(), now=now)
    certificates = [
        world.root.certificate,
        foreign.issuer.certificate,
        issued.issuing,
        foreign.root.certificate,
        issued.certificate,
    ]
    for order in itertools.permutations(certificates):
        assert est_wire.order_chain(order, KEY.public_key()) == (issued.certificate, issued.issuing)


def test_a_chain_that_goes_round_comes_to_an_end(world: Any, now: dt.datetime) -> None:
    issued = world.authority.issue_gateway_tls(MEMBER, KEY.public_key(), now=now)
    rooted = profiles.root_certificate(world.root.key, "test.wugan.internal", now)
    chain = est_wire.order_chain([issued.certificate, *[issued.issuing] * 3, rooted, rooted], KEY.public_key())
    assert chain == (issued.certificate, issued.issuing)


def test_a_certificate_for_another_key_is_no_answer(world: Any) -> None:
    with pytest.raises(EstError, match="key of the request"):
        est_wire.order_chain([world.root.certificate, world.issuer.certificate], KEY.public_key())


def test_lines_are_short_enough_for_every_reader() -> None:
    assert max(map(len, est_wire.encode(bytes(1000)).splitlines())) == 64
    assert (
        est_wire.encode(b"x" * 100)
        == ("\n".join(textwrap.wrap(base64.b64encode(b"x" * 100).decode(), 64)) + "\n").encode()
    )
