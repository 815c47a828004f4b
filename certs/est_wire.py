"""What travels in EST (RFC 7030, clarified by RFC 8951): bodies, certificates, requests, attributes, credentials.

Owns: reading and writing them, for our server, for our client, and for what others send to either. Refuses: anything
too large, too many certificates, and a request that is not exactly one PKCS#10.

Bodies are DER in Base64 (RFC 8951 section 3.1): white space may stand anywhere in it, and PEM lines around it, which
some implementations send, are tolerated. `Content-Transfer-Encoding` is sent for old clients and never looked at.
"""

from __future__ import annotations

import base64
import binascii
import re
import warnings
from collections.abc import Iterable, Sequence
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import pkcs7

from certs.chain import issued_by
from certs.errors import EnrolmentError, EstError
from certs.records import PROFILE_SIGNING, LeafProfile

MAX_REQUEST_BYTES: Final = 16 << 10
"""Largest body of a certification request; ours have some 500 bytes."""

MAX_ANSWER_BYTES: Final = 256 << 10
MAX_CERTIFICATES: Final = 64
MAX_ATTRIBUTES: Final = 64
MAX_CHAIN: Final = 8
_MAX_CREDENTIAL_CHARS: Final = 512

PKCS10: Final = "application/pkcs10"
PKCS7: Final = "application/pkcs7-mime"
CERTS_ONLY: Final = "application/pkcs7-mime; smime-type=certs-only"
CSR_ATTRIBUTES: Final = "application/csrattrs"
TRANSFER_ENCODING: Final = {"Content-Transfer-Encoding": "base64"}

_ARMOUR: Final = re.compile(rb"-----(?:BEGIN|END) [A-Z0-9 #]{1,40}-----")
_BLANK: Final = re.compile(rb"[ \t\r\n]+")

# Servers put certificates in any order (`openssl crl2pkcs7` does); that this is no DER concerns nobody who enrols
warnings.filterwarnings("ignore", "PKCS#7 certificates could not be parsed as DER", UserWarning)


@asn1.sequence
class _Attribute:
    type: x509.ObjectIdentifier
    values: asn1.SetOf[x509.ObjectIdentifier]


@asn1.sequence
class _AnyAttribute:
    type: x509.ObjectIdentifier
    values: asn1.SetOf[asn1.TLV]


@asn1.sequence
class _TlsAttributes:
    key: _Attribute
    signature: x509.ObjectIdentifier


@asn1.sequence
class _SigningAttributes:
    signature: x509.ObjectIdentifier


@asn1.sequence
class _Wrapped:
    items: list[asn1.TLV]


_EC_KEY: Final = x509.ObjectIdentifier("1.2.840.10045.2.1")
_P256: Final = x509.ObjectIdentifier("1.2.840.10045.3.1.7")
_ECDSA_SHA256: Final = x509.ObjectIdentifier("1.2.840.10045.4.3.2")
_ED25519: Final = x509.ObjectIdentifier("1.3.101.112")


def encode(der: bytes) -> bytes:
    """DER as a body: Base64 in lines of 64 characters."""
    text = base64.b64encode(der)
    return b"".join(text[start : start + 64] + b"\n" for start in range(0, len(text), 64))


def decode(body: bytes) -> bytes:
    """The DER in a body.

    Raises:
        ValueError: it is not Base64.
    """
    if body[:1] == b"\x30" and not body.isascii():
        # Bare DER, which some servers send in spite of the standard; a Base64 body of ours never has such bytes.
        return body
    try:
        return base64.b64decode(_BLANK.sub(b"", _ARMOUR.sub(b"", body)), validate=True)
    except binascii.Error as error:
        raise ValueError("not Base64") from error


def certs_only(certificates: Iterable[x509.Certificate]) -> bytes:
    """Certificates as the body of a "certs-only" CMC Simple PKI Response (RFC 5272 section 4.1)."""
    return encode(pkcs7.serialize_certificates(list(certificates), serialization.Encoding.DER))


def parse_certs_only(body: bytes) -> tuple[x509.Certificate, ...]:
    """The certificates of such a body, in the order they came.

    Raises:
        EstError: there are none, too many, or it is something else.
    """
    try:
        certificates = tuple(pkcs7.load_der_pkcs7_certificates(decode(body)))
        for certificate in certificates:
            _ = certificate.extensions, certificate.public_key(), certificate.issuer, certificate.subject
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.InvalidVersion) as error:
        raise _unusable("no PKCS#7 with certificates", "应答不是含证书的 PKCS#7") from error
    if not 0 < len(certificates) <= MAX_CERTIFICATES:
        raise _unusable(f"{len(certificates)} certificates", f"应答含 {len(certificates)} 张证书")
    return certificates


def parse_request(body: bytes) -> x509.CertificateSigningRequest:
    """The certification request in a body; its signature is not looked at here.

    Raises:
        EnrolmentError: it is none.
    """
    try:
        if len(body) > MAX_REQUEST_BYTES:
            raise ValueError("too large")
        request = x509.load_der_x509_csr(decode(body))
        _ = request.extensions, request.subject, request.public_key()
    except (
        ValueError,
        TypeError,
        UnsupportedAlgorithm,
        x509.DuplicateExtension,
        x509.InvalidVersion,
        x509.UnsupportedGeneralNameType,
    ) as error:
        raise EnrolmentError(
            "malformed",
            "the body is not one certification request: PKCS#10 in DER, in Base64",
            "请求体不是证书请求（PKCS#10，DER，Base64）",
        ) from error
    return request


def request_body(request: x509.CertificateSigningRequest) -> bytes:
    """A certification request as a body."""
    return encode(request.public_bytes(serialization.Encoding.DER))


def csr_attributes(profile: LeafProfile) -> bytes:
    """What a request must be made with, as a body (RFC 7030 section 4.5.2): the kind of key, and the signature."""
    if profile == PROFILE_SIGNING:
        return encode(asn1.encode_der(_SigningAttributes(signature=_ED25519)))
    key = _Attribute(type=_EC_KEY, values=asn1.SetOf([_P256]))
    return encode(asn1.encode_der(_TlsAttributes(key=key, signature=_ECDSA_SHA256)))


def parse_csr_attributes(body: bytes) -> tuple[str, ...]:
    """Every object identifier that a server asks for, values of attributes that are such included, dotted.

    Raises:
        EstError: it is not a list of attributes.
    """
    found: list[str] = []
    try:
        der = decode(body)
        # A sequence of anything can be read only as a field of something.
        for item in asn1.decode_der(_Wrapped, _sequence(der)).items[: MAX_ATTRIBUTES + 1]:
            if item.tag_bytes == b"\x06":
                found.append(item.parse(x509.ObjectIdentifier).dotted_string)
                continue
            attribute = item.parse(_AnyAttribute)
            found.append(attribute.type.dotted_string)
            values = [value for value in attribute.values.as_list() if value.tag_bytes == b"\x06"]
            found += [value.parse(x509.ObjectIdentifier).dotted_string for value in values]
    except (ValueError, TypeError) as error:
        raise _unusable("no CSR attributes", "应答不是 CSR 属性") from error
    if len(found) > MAX_ATTRIBUTES:
        raise _unusable("too many CSR attributes", "CSR 属性过多")
    return tuple(found)


def basic(token_id: str, secret: str) -> str:
    """The value of an `Authorization` header (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{token_id}:{secret}".encode()).decode()


def parse_basic(header: str) -> tuple[str, str] | None:
    """User name and password of an `Authorization` header, None if it is not one of kind "Basic"."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic" or len(value) > _MAX_CREDENTIAL_CHARS:
        return None
    try:
        name, colon, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except ValueError:
        return None
    return (name, password) if colon else None


def order_chain(
    certificates: Sequence[x509.Certificate], public_key: CertificatePublicKeyTypes
) -> tuple[x509.Certificate, ...]:
    """The certificate of a key, then its issuer, and so on; without the root.

    Args:
        certificates: in any order, with any others among them.
        public_key: whose certificate comes first.

    Raises:
        EstError: none of them is for this key.
    """
    leaves = [certificate for certificate in certificates if certificate.public_key() == public_key]
    if not leaves:
        raise _unusable("no certificate for the key of the request", "应答中没有请求所含公钥的证书")
    chain = [max(leaves, key=lambda leaf: leaf.not_valid_before_utc)]
    while len(chain) < MAX_CHAIN:
        issuer = next((one for one in certificates if one not in chain and issued_by(chain[-1], one)), None)
        if issuer is None or issuer.issuer == issuer.subject:
            break
        chain.append(issuer)
    return tuple(chain)


def _sequence(content: bytes) -> bytes:
    """Content with the header of a DER sequence before it."""
    size = len(content)
    if size < 0x80:
        return bytes([0x30, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([0x30, 0x80 | len(length)]) + length + content


def _unusable(en: str, zh: str) -> EstError:
    return EstError(f"the EST server's answer cannot be used: {en}", f"EST 服务的应答无法使用：{zh}")
