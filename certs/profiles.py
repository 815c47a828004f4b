"""X.509 profiles (RFC 5280): what each kind of certificate of a federation says, and how long it lives.

Owns: the eight profiles below, their extensions, serial numbers and lifetimes. Refuses: keys of another kind than the
profile names, identities of another federation, and a leaf that would outlive its issuer (it is cut short).

    profile   key            basic constraints   key usage                          extended key usage        lifetime
    root      ECDSA P-384    CA, path length 1   keyCertSign, cRLSign               –                         15 years
    issuing   ECDSA P-256    CA, path length 0   keyCertSign, cRLSign               –                         5 years
    member    ECDSA P-384    CA, path length 0   keyCertSign, cRLSign               –                         5 years
    server    ECDSA P-256    leaf                digitalSignature                   serverAuth, clientAuth    30 days
    client    ECDSA P-256    leaf                digitalSignature                   clientAuth                30 days
    authority ECDSA P-256    leaf                digitalSignature                   serverAuth                30 days
    ocsp      ECDSA P-256    leaf                digitalSignature                   OCSPSigning, and nocheck  7 days
    signing   Ed25519        leaf                digitalSignature, contentCommitment  message signing         400 days

A gateway or department gets "server", a unit "client", the authority's own server "authority". The issuing authority
carries critical name constraints: URIs and DNS names of the federation only, no IP addresses at all; "member", the CA
that a member runs itself, the DNS names of that member only (`certs.member_ca`). Every leaf has its
SPIFFE id as its only URI name, a server also its DNS name; the subject is for people and is never read. Lifetimes are
our choice. When the authority has a public address, leaves say where to ask about them: OCSP, the issuing CA's
certificate and its revocation list.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from certs.errors import ProfileError
from certs.identity import ROLE_AUTHORITY, ROLE_DEPARTMENT, ROLE_GATEWAY, Identity
from certs.keys import anybody_signs

MESSAGE_SIGNING: Final = x509.ObjectIdentifier("2.25.284441273135143739694019708015765544424")
"""Extended key usage "signs envelopes of the federation": an OID of our own under the UUID arc (ITU-T X.667)."""

BACKDATE: Final = dt.timedelta(minutes=5)
"""A certificate is valid from this long before it is made, for verifiers whose clocks are behind."""

STEP_BACK: Final = dt.timedelta(minutes=2)
"""Whatever was signed by a clock that has been put back by more than this since is signed anew. Within `BACKDATE`: what
is not has begun."""

ROOT_LIFETIME: Final = dt.timedelta(days=15 * 365)
ISSUING_LIFETIME: Final = dt.timedelta(days=5 * 365)
TLS_LIFETIME: Final = dt.timedelta(days=30)
SIGNING_LIFETIME: Final = dt.timedelta(days=400)
OCSP_LIFETIME: Final = dt.timedelta(days=7)

LOOPBACK_NAME: Final = "localhost"
EVERY_ADDRESS: Final = ("0.0.0.0/0", "::/0")


@dataclass(frozen=True, slots=True)
class Issuer:
    """A certificate authority that is able to sign.

    Args:
        certificate: its certificate.
        key: its private key.
        federation: the trust domain it issues for.
        loopback: whether its servers may also be called "localhost"; for demonstrations on one machine.
        name: what its files and its revocation list are called.
        public_url: plain-HTTP address under which revocation is answered; "" if leaves are to name none.
    """

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    federation: str
    loopback: bool = False
    name: str = "issuing"
    public_url: str = ""

    @property
    def digest(self) -> hashes.SHA256 | hashes.SHA384:
        """With which it signs: as long as its key is strong (NIST SP 800-57 part 1, table 3)."""
        return hashes.SHA384() if isinstance(self.key.curve, ec.SECP384R1) else hashes.SHA256()


def root_certificate(key: ec.EllipticCurvePrivateKey, federation: str, now: dt.datetime) -> x509.Certificate:
    """A self-signed federation root.

    Args:
        key: its private key, ECDSA P-384.
        federation: the trust domain.
        now: time of making, with time zone.

    Raises:
        ProfileError: another kind of key.
    """
    _require_curve(key.public_key(), ec.SECP384R1, "root")
    name = _authority_name(federation, "Federation Root")
    builder = _builder(name, name, key.public_key(), _backdated(now), now + ROOT_LIFETIME)
    builder = _authority_extensions(builder, key.public_key(), path_length=1)
    return builder.sign(key, hashes.SHA384())


def issuing_certificate(
    root: Issuer, public_key: ec.EllipticCurvePublicKey, now: dt.datetime, number: int = 1
) -> x509.Certificate:
    """An issuing authority's certificate, signed by the root.

    Args:
        root: who signs it.
        public_key: ECDSA P-256.
        now: time of making, with time zone.
        number: counts the issuing authorities of the root from 1; no two of them bear one name, so that an issuer and
            a serial number mean one certificate.

    Raises:
        ProfileError: another kind of key than ECDSA P-256, or the root has expired.
    """
    _require_curve(public_key, ec.SECP256R1, "issuing")
    common = "Issuing CA" if number == 1 else f"Issuing CA {number}"
    return _issuing(root, public_key, now, common, [root.federation])


def member_certificate(
    root: Issuer, public_key: object, member_id: str, now: dt.datetime, mark: str
) -> x509.Certificate:
    """The certificate of a CA that a member runs itself, signed by the root.

    Args:
        root: who signs it.
        public_key: ECDSA P-384.
        member_id: whom alone it may certify.
        now: time of making, with time zone.
        mark: tells it from other CAs of the member; part of its name.

    Raises:
        ProfileError: another kind of key than ECDSA P-384, or the root has expired.
        IdentityError: not a member's code.
    """
    if not isinstance(public_key, ec.EllipticCurvePublicKey):
        raise _wrong_key("member", "ECDSA P-384")
    _require_curve(public_key, ec.SECP384R1, "member")
    names = member_names(root.federation, member_id)
    return _issuing(root, public_key, now, f"CA of {member_id} {mark}", names)


def member_names(federation: str, member_id: str) -> tuple[str, str]:
    """The DNS names below which, themselves included, all servers of a member have theirs.

    Raises:
        IdentityError: not a member's code.
    """
    gateway = Identity.gateway(federation, member_id).tls_name
    return gateway, f"{member_id.lower()}.{ROLE_DEPARTMENT}.{federation}"


def _issuing(
    root: Issuer, public_key: ec.EllipticCurvePublicKey, now: dt.datetime, common: str, names: Sequence[str]
) -> x509.Certificate:
    builder = _issued(root, _authority_name(root.federation, common), public_key, now, ISSUING_LIFETIME)
    builder = _authority_extensions(builder, public_key, path_length=0)
    permitted: list[x509.GeneralName] = [x509.UniformResourceIdentifier(root.federation), *map(x509.DNSName, names)]
    if root.loopback:
        permitted.append(x509.DNSName(LOOPBACK_NAME))
    excluded = [x509.IPAddress(ipaddress.ip_network(network)) for network in EVERY_ADDRESS]
    builder = builder.add_extension(x509.NameConstraints(permitted, excluded), critical=True)
    return builder.sign(root.key, root.digest)


def tls_certificate(
    issuer: Issuer, public_key: object, identity: Identity, now: dt.datetime, lifetime: dt.timedelta = TLS_LIFETIME
) -> x509.Certificate:
    """A TLS certificate: profile "server" for an identity that has a DNS name, "client" for one that has none.

    Raises:
        ProfileError: another kind of key than ECDSA P-256, another federation, or the issuer has expired.
    """
    if not isinstance(public_key, ec.EllipticCurvePublicKey):
        raise _wrong_key("tls", "ECDSA P-256")
    _require_curve(public_key, ec.SECP256R1, "tls")
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(identity.uri)]
    # The authority calls nobody: no gateway must ever take its certificate for a client's.
    usages = [] if identity.role == ROLE_AUTHORITY else [ExtendedKeyUsageOID.CLIENT_AUTH]
    if identity.tls_name:
        names.append(x509.DNSName(identity.tls_name))
        usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
        if issuer.loopback:
            names.append(x509.DNSName(LOOPBACK_NAME))
    builder = _leaf(issuer, identity, public_key, now, lifetime, names)
    builder = builder.add_extension(_key_usage(digital_signature=True), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    return builder.sign(issuer.key, issuer.digest)


def signing_certificate(
    issuer: Issuer, public_key: object, identity: Identity, now: dt.datetime, lifetime: dt.timedelta = SIGNING_LIFETIME
) -> x509.Certificate:
    """A certificate for the key with which a member's gateway signs envelopes.

    Its extended key usage is critical and names no TLS purpose, so that no TLS stack takes it.

    Raises:
        ProfileError: another kind of key than Ed25519, or one that is no private key's, an identity that is no
            gateway's or of another federation, or the issuer has expired.
    """
    if not isinstance(public_key, Ed25519PublicKey):
        raise _wrong_key("signing", "Ed25519")
    if anybody_signs(public_key.public_bytes_raw()):
        raise ProfileError(
            "anybody could sign with that key: it is a point of small order", "该公钥为低阶点，任何人都能伪造其签名"
        )
    if identity.role != ROLE_GATEWAY:
        raise ProfileError("only a member's gateway signs messages", "只有成员网关可以签署消息")
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(identity.uri)]
    builder = _leaf(issuer, identity, public_key, now, lifetime, names)
    builder = builder.add_extension(_key_usage(digital_signature=True, content_commitment=True), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([MESSAGE_SIGNING]), critical=True)
    return builder.sign(issuer.key, issuer.digest)


def ocsp_certificate(
    issuer: Issuer, public_key: ec.EllipticCurvePublicKey, now: dt.datetime, lifetime: dt.timedelta = OCSP_LIFETIME
) -> x509.Certificate:
    """A certificate for the key that signs OCSP answers in an issuing authority's name (RFC 6960 section 4.2.2.2).

    Its own revocation is not to be asked for (id-pkix-ocsp-nocheck), which is why it lives briefly.

    Raises:
        ProfileError: another kind of key than ECDSA P-256, or the issuer has expired.
    """
    _require_curve(public_key, ec.SECP256R1, "ocsp")
    subject = _authority_name(issuer.federation, "OCSP Responder")
    builder = _issued(issuer, subject, public_key, now, lifetime)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage(digital_signature=True), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), critical=False)
    return builder.add_extension(x509.OCSPNoCheck(), critical=False).sign(issuer.key, issuer.digest)


def _leaf(
    issuer: Issuer,
    identity: Identity,
    public_key: ec.EllipticCurvePublicKey | Ed25519PublicKey,
    now: dt.datetime,
    lifetime: dt.timedelta,
    names: list[x509.GeneralName],
) -> x509.CertificateBuilder:
    if identity.federation != issuer.federation:
        raise ProfileError(
            "the identity belongs to another federation than the authority", "身份与管理机构不属于同一联盟"
        )
    # With a blank in it, no verifier takes the common name for a host name.
    common = f"{identity.role} {identity.name or identity.member_id}" if identity.member_id else "Wugan Authority"
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, identity.member_id or identity.federation[:64]),
            x509.NameAttribute(NameOID.COMMON_NAME, common[:64]),
        ]
    )
    builder = _issued(issuer, name, public_key, now, lifetime)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = _places(issuer, builder)
    return builder.add_extension(x509.SubjectAlternativeName(names), critical=False)


def _places(issuer: Issuer, builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    """Where to ask about a leaf (RFC 5280 sections 4.2.1.13 and 4.2.2.1)."""
    if not issuer.public_url:
        return builder

    def access(method: x509.ObjectIdentifier, path: str) -> x509.AccessDescription:
        return x509.AccessDescription(method, x509.UniformResourceIdentifier(f"{issuer.public_url}{path}"))

    url = x509.UniformResourceIdentifier(f"{issuer.public_url}/crl/{issuer.name}.crl")
    builder = builder.add_extension(
        x509.CRLDistributionPoints([x509.DistributionPoint([url], None, None, None)]), critical=False
    )
    places = [
        access(AuthorityInformationAccessOID.OCSP, "/ocsp"),
        access(AuthorityInformationAccessOID.CA_ISSUERS, f"/ca/{issuer.name}.cer"),
    ]
    return builder.add_extension(x509.AuthorityInformationAccess(places), critical=False)


def _issued(
    issuer: Issuer,
    subject: x509.Name,
    public_key: ec.EllipticCurvePublicKey | Ed25519PublicKey,
    now: dt.datetime,
    lifetime: dt.timedelta,
) -> x509.CertificateBuilder:
    if lifetime <= dt.timedelta(0):
        raise ProfileError("a certificate needs a positive lifetime", "证书有效期必须大于零")
    backdated, end = _backdated(now), issuer.certificate.not_valid_after_utc
    if now >= end:
        raise ProfileError(
            "the issuing certificate has expired; renew the authority first",
            "签发 CA 证书已过期，请管理机构先新建签发 CA",
        )
    # Never before the issuing certificate: that may begin some seconds later than now less the backdating.
    begin = max(backdated, min(issuer.certificate.not_valid_before_utc, now))
    builder = _builder(subject, issuer.certificate.subject, public_key, begin, min(now + lifetime, end))
    identifier = issuer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
    )


def _backdated(now: dt.datetime) -> dt.datetime:
    if now.tzinfo is None:
        raise ProfileError("the time of issue needs a time zone", "签发时间必须带时区")
    return now - BACKDATE


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey | Ed25519PublicKey,
    begin: dt.datetime,
    end: dt.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _authority_name(federation: str, common: str) -> x509.Name:
    # X.520 bounds an organisation's name; the whole federation name stands in the name constraints.
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, federation[:64]),
            x509.NameAttribute(NameOID.COMMON_NAME, f"Wugan {common}"),
        ]
    )


def _authority_extensions(
    builder: x509.CertificateBuilder, public_key: ec.EllipticCurvePublicKey, path_length: int
) -> x509.CertificateBuilder:
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
    return builder.add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)


def _key_usage(
    *,
    digital_signature: bool = False,
    content_commitment: bool = False,
    key_cert_sign: bool = False,
    crl_sign: bool = False,
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=content_commitment,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _require_curve(key: ec.EllipticCurvePublicKey, curve: type[ec.EllipticCurve], profile: str) -> None:
    if not isinstance(key.curve, curve):
        raise _wrong_key(profile, "ECDSA P-384" if curve is ec.SECP384R1 else "ECDSA P-256")


def _wrong_key(profile: str, wanted: str) -> ProfileError:
    return ProfileError(f"profile {profile!r} takes {wanted} keys only", f"证书模板 {profile!r} 只接受 {wanted} 密钥")
