"""Certification requests for own keys (PKCS#10, RFC 2986), and what comes back for them.

Owns: making a request that any EST authority can act on, and putting a chain in the order in which TLS presents it.
Refuses: a chain that is not for the key asked for, names someone else, or does not end in a pinned root.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from certs.chain import MAX_CERTIFICATE_BYTES, certificate_identity, issued_by, verify_signing_chain
from certs.errors import ChainError
from certs.identity import Identity
from certs.keys import PrivateKey

MAX_CHAIN: Final = 8
"""Certificates in an answer at most."""


def certification_request(
    key: PrivateKey, identity: Identity, renewing: x509.Certificate | None, *, serving: bool = False
) -> bytes:
    """A request for a key, DER, signed with it.

    Args:
        key: the key; it may live in a token.
        identity: who asks; the names of a first request are made of it.
        renewing: the certificate to follow, whose subject and subject alternative name are repeated unchanged
            (RFC 7030 section 4.2.2).
        serving: whether a first request says under which name it serves, too. The authority knows; others may go by the
            request alone.
    """
    if renewing is None:
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(identity.uri)]
        if serving and identity.tls_name:
            names.append(x509.DNSName(identity.tls_name))
        alternative = x509.SubjectAlternativeName(names)
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, identity.member_id),
                x509.NameAttribute(NameOID.COMMON_NAME, f"{identity.role} {identity.name or identity.member_id}"[:64]),
            ]
        )
    else:
        subject = renewing.subject
        alternative = renewing.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject).add_extension(alternative, critical=False)
    digest = hashes.SHA256() if isinstance(key, ec.EllipticCurvePrivateKey) else None
    return builder.sign(key, digest).public_bytes(serialization.Encoding.DER)


def require_chain(
    pem: bytes, key: PrivateKey, identity: Identity, roots: Sequence[x509.Certificate], now: dt.datetime
) -> tuple[x509.Certificate, ...]:
    """The certificates that an authority issued for a request: the leaf, then what stands between it and the root.

    Args:
        pem: what came back, in any order, with or without the root.
        key: the key that was asked for.
        identity: whom the leaf must name.
        roots: pinned trust anchors.
        now: time, with time zone.

    Raises:
        CertsError: it is not a chain for that key and identity under one of the roots, valid now.
    """
    try:
        pool = x509.load_pem_x509_certificates(pem)
        leaf = next(each for each in pool if each.public_key() == key.public_key())
    except (ValueError, StopIteration) as error:
        raise _refused("it holds no certificate for the key that was asked for", "其中没有所申请密钥的证书") from error
    encoded = [each.public_bytes(serialization.Encoding.DER) for each in pool]
    if len(pool) > MAX_CHAIN or max(map(len, encoded)) > MAX_CERTIFICATE_BYTES:
        raise _refused("it is too large", "证书过多或过大")
    chain = [leaf]
    while not any(issued_by(chain[-1], root) for root in roots):
        above = [each for each in pool if each not in chain and issued_by(chain[-1], each)]
        if not above:
            raise _refused("it does not end in a root of this federation", "证书链不止于本联盟的根证书")
        chain.append(above[0])
    if any(not each.not_valid_before_utc <= now <= each.not_valid_after_utc for each in chain):
        raise _refused(
            "a certificate is expired or not yet valid; check the clocks", "证书已过期或尚未生效，请核对时钟"
        )
    if certificate_identity(leaf.public_bytes(serialization.Encoding.PEM)) != identity:
        raise _refused("the certificate names someone else", "证书属于他人")
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        ders = [each.public_bytes(serialization.Encoding.DER) for each in chain]
        verify_signing_chain(ders[0], ders[1:], roots, now)
    return tuple(chain)


def chain_pem(chain: Sequence[x509.Certificate]) -> bytes:
    """A chain as a file."""
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in chain)


def _refused(en: str, zh: str) -> ChainError:
    return ChainError(f"the authority's answer is not accepted: {en}", f"管理机构的答复未被接受：{zh}")
