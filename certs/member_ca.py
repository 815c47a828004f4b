"""May a CA that a member runs itself, whose key the authority does not have, certify in this federation?

Owns: `require_member_ca`, whose docstring is the rule, and making such a certificate with the root's key. Refuses:
whatever could certify somebody else than the one member as a server: name constraints are what every TLS stack heeds,
also that of a client which does not follow the directory. Clients' names they cannot bound (RFC 5280 section 4.2.1.10
looks at the host of a URI alone): that is the directory's part (`Directory.member_cas`).
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Sequence
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from certs import chain, profiles
from certs.errors import ChainError, ProfileError
from certs.holders import proven_key

MAX_BYTES: Final = 4096
"""Of such a certificate, DER: the directory carries it."""
MAX_REQUEST_BYTES: Final = 16 << 10


def require_member_ca(
    certificate: x509.Certificate,
    roots: Sequence[x509.Certificate],
    federation: str,
    member_id: str,
    now: dt.datetime,
    *,
    loopback: bool = False,
) -> None:
    """Return when a CA may certify one member.

    The rule, all of which must hold:
    - one of `roots` issued it, it may issue leaves and no further CA, and is otherwise as `verify_signing_chain` wants
      the issuing CA of a signing key;
    - it is valid now;
    - its key identifier is the digest of its key (RFC 5280 section 4.2.1.2), so that it can claim no other CA's;
    - its critical name constraints permit URIs of the federation and, as DNS names, those of this member's gateway and
      departments, each kind at least one and nothing else; they exclude every IP address.

    Args:
        certificate: of the CA.
        roots: the federation's.
        federation: trust domain.
        member_id: whom it is to certify.
        now: the time, with time zone.
        loopback: whether "localhost" may be permitted too; for demonstrations on one machine.

    Raises:
        ChainError: any of this does not hold.
        IdentityError: not a member's code.
    """
    names = profiles.member_names(federation, member_id)
    with chain.refusing():
        _require(certificate, roots, federation, names, now, loopback=loopback)


def _require(
    certificate: x509.Certificate,
    roots: Sequence[x509.Certificate],
    federation: str,
    names: Sequence[str],
    now: dt.datetime,
    *,
    loopback: bool,
) -> None:
    if len(certificate.public_bytes(serialization.Encoding.DER)) > MAX_BYTES:
        raise _refused(f"it is larger than {MAX_BYTES} bytes", f"超过 {MAX_BYTES} 字节")
    chain.require_issuing(certificate, roots, federation)
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise _refused("it is expired or not yet valid", "已过期或尚未生效")
    of_key = x509.SubjectKeyIdentifier.from_public_key(certificate.public_key())
    if certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value != of_key:
        raise _refused(
            "its key identifier is not the SHA-1 digest of its key (subjectKeyIdentifier = hash)",
            "密钥标识不是其公钥的 SHA-1 摘要（subjectKeyIdentifier = hash）",
        )
    constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    permitted = constraints.permitted_subtrees or []
    uris = [name.value for name in permitted if isinstance(name, x509.UniformResourceIdentifier)]
    hosts = [name.value for name in permitted if isinstance(name, x509.DNSName)]
    own = [name for name in hosts if not (loopback and name == profiles.LOOPBACK_NAME)]
    if set(uris) != {federation} or len(uris) + len(hosts) != len(permitted):
        raise _refused(
            f"its name constraints must permit URIs of {federation} and DNS names, and nothing else",
            f"名称约束只应允许 {federation} 的 URI 与 DNS 名称",
        )
    # Without any, every DNS name would be permitted.
    if not own or not all(any(name == one or name.endswith(f".{one}") for one in names) for name in own):
        raise _refused(
            f"its name constraints must permit no DNS names but those of the member: {' and '.join(names)}",
            f"名称约束只应允许该成员的 DNS 名称：{'、'.join(names)}",
        )
    excluded = [str(n.value) for n in constraints.excluded_subtrees or () if isinstance(n, x509.IPAddress)]
    if not set(profiles.EVERY_ADDRESS) <= set(excluded):
        raise _refused(
            f"its name constraints must exclude every IP address: {' and '.join(profiles.EVERY_ADDRESS)}",
            f"名称约束须排除全部 IP 地址：{'、'.join(profiles.EVERY_ADDRESS)}",
        )


def certify(root: profiles.Issuer, request_pem: bytes, member_id: str, now: dt.datetime) -> x509.Certificate:
    """A certificate for the CA that a member runs itself, as the rule wants it.

    Args:
        root: with its key.
        request_pem: the CA's certification request; nothing of it but the key is used.
        member_id: whom it is to certify.
        now: the time, with time zone.

    Raises:
        ProfileError: that is no request, it is not proven, or its key is not ECDSA P-384.
        CertsError: the root has expired, or the member's code is malformed.
    """
    try:
        if len(request_pem) > MAX_REQUEST_BYTES:
            raise ValueError("too large")
        key = proven_key(x509.load_pem_x509_csr(request_pem))
    except ValueError as error:
        raise ProfileError("that is not a certification request in PEM", "不是 PEM 证书请求") from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ProfileError("the key of a CA is ECDSA P-384", "CA 密钥须为 ECDSA P-384")
    return profiles.member_certificate(root, key, member_id, now, secrets.token_hex(4))


def _refused(en: str, zh: str) -> ChainError:
    return ChainError(f"the CA cannot be accepted: {en}", f"无法接受该 CA：{zh}")
