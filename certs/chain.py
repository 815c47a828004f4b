"""Does this certificate prove that a signing key belongs to a member of the federation?

Owns: `verify_signing_chain`, the path validation (RFC 5280 section 6) of the one shape that the profiles make,
federation root → issuing CA → signing leaf, and reading a certificate's identity. Refuses: every other shape, every
critical extension that is not looked at here, and every algorithm that the profiles do not use.

`cryptography.x509.verification` is not used: it refuses URI name constraints and Ed25519 leaves (docs/adr/0001). TLS
certificates are verified by the TLS stack, not here.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.x509.oid import SignatureAlgorithmOID

from certs.errors import ChainError, IdentityError
from certs.identity import ROLE_GATEWAY, Identity
from certs.profiles import MESSAGE_SIGNING

MAX_CERTIFICATE_BYTES: Final = 16 << 10
MAX_ROOTS: Final = 16

# Critical extensions that are looked at, by place in the chain.
_ROOT_EXTENSIONS: Final = frozenset({x509.BasicConstraints.oid, x509.KeyUsage.oid})
_ISSUING_EXTENSIONS: Final = _ROOT_EXTENSIONS | {x509.NameConstraints.oid}
_LEAF_EXTENSIONS: Final = _ROOT_EXTENSIONS | {x509.ExtendedKeyUsage.oid, x509.SubjectAlternativeName.oid}
_SIGNED_WITH: Final = (SignatureAlgorithmOID.ECDSA_WITH_SHA256, SignatureAlgorithmOID.ECDSA_WITH_SHA384)

E = TypeVar("E", bound=x509.ExtensionType)


@dataclass(frozen=True, slots=True)
class SigningLeaf:
    """What a verified chain proves.

    Args:
        identity: whose key it is.
        public_key: the key.
        not_before: from when on the whole chain is valid.
        not_after: until when, inclusive.
    """

    identity: Identity
    public_key: Ed25519PublicKey
    not_before: dt.datetime
    not_after: dt.datetime


def load_roots(pem: bytes) -> tuple[x509.Certificate, ...]:
    """The trust anchors of a PEM file, at least one and at most 16.

    Raises:
        ChainError: it is not that.
    """
    try:
        roots = tuple(x509.load_pem_x509_certificates(pem))
    except ValueError as error:
        raise _refused("the file of roots is not certificates in PEM", "根证书文件不是 PEM 证书") from error
    if len(roots) > MAX_ROOTS:
        raise _refused(f"more than {MAX_ROOTS} roots", f"根证书超过 {MAX_ROOTS} 个")
    return roots


def certificate_identity(certificate: bytes) -> Identity:
    """The identity in a PEM certificate (the first, in a chain). Reads only: nothing is verified.

    Raises:
        ChainError: no certificate, or not exactly one URI name in it.
        IdentityError: the URI is none of ours.
    """
    try:
        return _identity(x509.load_pem_x509_certificate(certificate), others=True)
    except (ValueError, x509.ExtensionNotFound) as error:
        raise _refused("not a certificate in PEM with a member identity", "不是带有成员身份的 PEM 证书") from error


def parse_identity(certificate: bytes) -> Identity:
    """The identity in a certificate, DER. Reads only: nothing is verified.

    Raises:
        ChainError: no certificate, or not exactly one URI name in it.
        IdentityError: the URI is none of ours.
    """
    try:
        return _identity(x509.load_der_x509_certificate(certificate), others=True)
    except (
        ValueError,
        x509.ExtensionNotFound,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
        x509.InvalidVersion,
    ) as error:
        raise _refused("not a certificate with a member identity", "不是带有成员身份的证书") from error


def issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether one certificate names another as its issuer and is signed with its key; judges nothing else of either."""
    try:
        _require_signed(certificate, issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def require_issuing(certificate: x509.Certificate, roots: Sequence[x509.Certificate], federation: str) -> None:
    """Return when a certificate is that of an issuing CA as `verify_signing_chain` wants one for this federation.

    Its time is not looked at, and neither are the names that it may certify besides URIs.

    Raises:
        ChainError: it is none.
    """
    with refusing():
        _require_authorities(certificate, _issuer_among(certificate, roots))
        key = certificate.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1):
            raise _refused("a certificate is signed with an algorithm that is not allowed", "证书的签名算法不被允许")
        _require_permitted(certificate, federation)


def verify_signing_chain(
    leaf_der: bytes, intermediates_der: Sequence[bytes], roots: Sequence[x509.Certificate], at: dt.datetime
) -> SigningLeaf:
    """Verify that a message-signing certificate was issued by the federation and is valid at a time.

    The rule, all of which must hold:
    - the chain is leaf, one issuing CA, one of `roots`; each names its issuer and is signed by it with ECDSA;
    - all three are X.509 v3 and valid at `at`; no certificate has a critical extension that is not checked here;
    - root and issuing CA are CAs that may sign certificates; the path lengths allow exactly this chain;
    - the issuing CA permits the leaf's URI by its name constraints, and must have some;
    - the leaf is no CA, is an Ed25519 key for digital signature and content commitment, has the extended key usage of
      message signing and no other, and as its only name the SPIFFE id of a member's gateway.

    Args:
        leaf_der: the certificate, DER.
        intermediates_der: what stands between it and the root, DER.
        roots: pinned trust anchors.
        at: the time for which it is asked, with time zone.

    Raises:
        ChainError: any of this does not hold.
    """
    with refusing():
        return _verify(leaf_der, intermediates_der, roots, at)


@contextlib.contextmanager
def refusing() -> Iterator[None]:
    """Whatever is found wrong within the block is a `ChainError`."""
    try:
        yield
    except IdentityError as error:
        raise _refused(error.en, error.zh) from error
    except x509.ExtensionNotFound as error:
        raise _refused("a required extension is missing", "证书缺少必需的扩展") from error
    except (
        ValueError,
        TypeError,
        InvalidSignature,
        UnsupportedAlgorithm,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
        x509.InvalidVersion,
    ) as error:
        raise _refused(
            "a certificate is malformed or not signed by its issuer", "证书格式错误或并非由其签发者签署"
        ) from error


def _verify(
    leaf_der: bytes, intermediates_der: Sequence[bytes], roots: Sequence[x509.Certificate], at: dt.datetime
) -> SigningLeaf:
    if len(intermediates_der) != 1:
        raise _refused("expected exactly one issuing certificate", "应恰有一个中间签发证书")
    if max(len(leaf_der), len(intermediates_der[0])) > MAX_CERTIFICATE_BYTES:
        raise _refused("a certificate is too large", "证书过大")
    leaf = x509.load_der_x509_certificate(leaf_der)
    issuing = _loaded(intermediates_der[0])
    root = _issuer_among(issuing, roots)
    chain = (leaf, issuing, root)
    not_before = max(certificate.not_valid_before_utc for certificate in chain)
    not_after = min(certificate.not_valid_after_utc for certificate in chain)
    if not not_before <= at <= not_after:
        raise _refused("a certificate is expired or not yet valid", "证书已过期或尚未生效")
    if leaf.version is not x509.Version.v3:
        raise _no_v3()
    _require_authorities(issuing, root)
    _require_issued(leaf, issuing)
    identity = _identity(leaf, others=False)
    _require_permitted(issuing, identity.federation)
    return SigningLeaf(identity, _leaf_key(leaf, identity), not_before, not_after)


@functools.lru_cache(maxsize=256)
def _loaded(issuing_der: bytes) -> x509.Certificate:
    """An issuing CA's certificate, which is in every chain; the library reads its extensions once."""
    return x509.load_der_x509_certificate(issuing_der)


def _require_authorities(issuing: x509.Certificate, root: x509.Certificate) -> None:
    """Return when one may issue leaves, and the other may issue it."""
    if any(certificate.version is not x509.Version.v3 for certificate in (issuing, root)):
        raise _no_v3()
    if _path_length(root, _ROOT_EXTENSIONS) == 0 or _path_length(issuing, _ISSUING_EXTENSIONS) != 0:
        raise _refused("the path lengths do not allow this chain", "证书链长度不符合路径长度约束")


def _issuer_among(issuing: x509.Certificate, roots: Sequence[x509.Certificate]) -> x509.Certificate:
    for root in roots:
        if root.subject == issuing.issuer:
            try:
                _require_issued(issuing, root)
            except InvalidSignature:
                # Two roots may bear one name while one follows the other.
                continue
            return root
    raise _refused("the chain does not end in a root of this federation", "证书链不止于本联盟的根证书")


def _require_issued(certificate: x509.Certificate, issuer: x509.Certificate) -> None:
    key = issuer.public_key()
    if (
        certificate.signature_algorithm_oid not in _SIGNED_WITH
        or not isinstance(key, ec.EllipticCurvePublicKey)
        or not isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1)
    ):
        raise _refused("a certificate is signed with an algorithm that is not allowed", "证书的签名算法不被允许")
    _require_signed(certificate, issuer)
    # The octet before the signature counts its unused bits. DER has none; the library believes it whatever it says, and
    # one certificate would have several forms, each with a digest of its own.
    if certificate.public_bytes(serialization.Encoding.DER)[-len(certificate.signature) - 1]:
        raise _refused("the signature of a certificate is not in DER", "证书签名不是 DER 编码")
    by = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    if by != issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest:
        raise _refused("a certificate names another key of its issuer", "证书所载的签发者密钥标识不符")


@functools.lru_cache(maxsize=256)
def _require_signed(certificate: x509.Certificate, issuer: x509.Certificate) -> None:
    """As `verify_directly_issued_by`. Nothing but the arguments, compared whole, decides, so what was verified once is
    kept, and only that: every chain has the root's signature over an issuing CA in it, whose curve is a slow one.
    """
    certificate.verify_directly_issued_by(issuer)


def _path_length(certificate: x509.Certificate, known: frozenset[x509.ObjectIdentifier]) -> int | None:
    """How many authorities may follow this one, None: any number. Refuses what is no authority."""
    _require_known(certificate, known)
    constraints = _critical(certificate, x509.BasicConstraints)
    if not constraints.ca or not _critical(certificate, x509.KeyUsage).key_cert_sign:
        raise _refused("an issuer is no certificate authority", "签发者不是证书签发机构")
    return constraints.path_length


def _require_permitted(issuing: x509.Certificate, host: str) -> None:
    """RFC 5280 section 4.2.1.10: a URI is constrained by its host, ".example" standing for every host below it."""
    constraints = _critical(issuing, x509.NameConstraints)
    subtrees = [*(constraints.permitted_subtrees or ()), *(constraints.excluded_subtrees or ())]
    if not all(isinstance(name, x509.UniformResourceIdentifier | x509.DNSName | x509.IPAddress) for name in subtrees):
        raise _refused("the issuer has name constraints of a kind that is not known", "签发者含有未知类型的名称约束")

    def matches(names: list[x509.GeneralName] | None) -> bool:
        return any(
            host.endswith(name.value) if name.value.startswith(".") else host == name.value
            for name in names or ()
            if isinstance(name, x509.UniformResourceIdentifier)
        )

    if not matches(constraints.permitted_subtrees) or matches(constraints.excluded_subtrees):
        raise _refused("the identity lies outside the names its issuer may use", "身份超出签发者的名称约束范围")


def _leaf_key(leaf: x509.Certificate, identity: Identity) -> Ed25519PublicKey:
    _require_known(leaf, _LEAF_EXTENSIONS)
    if _critical(leaf, x509.BasicConstraints).ca:
        raise _refused("a certificate authority's certificate cannot sign messages", "签发机构证书不得用于签署消息")
    usage = _critical(leaf, x509.KeyUsage)
    if not (usage.digital_signature and usage.content_commitment) or usage.key_cert_sign or usage.crl_sign:
        raise _refused("the certificate's key usage is not that of message signing", "证书的密钥用途不是消息签名")
    purposes = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    if list(purposes) != [MESSAGE_SIGNING]:
        raise _refused("the certificate is not meant for message signing", "证书的扩展用途不是消息签名")
    if identity.role != ROLE_GATEWAY:
        raise _refused("the certificate is not that of a member's gateway", "证书不属于成员网关")
    key = leaf.public_key()
    if not isinstance(key, Ed25519PublicKey):
        raise _refused("the certificate's key is not Ed25519", "证书的密钥不是 Ed25519")
    return key


def _identity(certificate: x509.Certificate, *, others: bool) -> Identity:
    """The one URI name; `others`: whether there may be names of other kinds beside it."""
    names = list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    uris = [name.value for name in names if isinstance(name, x509.UniformResourceIdentifier)]
    if len(uris) != 1 or (len(names) != 1 and not others):
        raise _refused("the certificate does not name exactly one member identity", "证书须恰好包含一个成员身份")
    return Identity.parse(uris[0])


def _critical(certificate: x509.Certificate, kind: type[E]) -> E:
    extension = certificate.extensions.get_extension_for_class(kind)
    if not extension.critical:
        raise _refused("an extension that must be critical is not", "应标记为关键的扩展未标记为关键")
    return extension.value


def _require_known(certificate: x509.Certificate, known: frozenset[x509.ObjectIdentifier]) -> None:
    if any(extension.critical and extension.oid not in known for extension in certificate.extensions):
        raise _refused("a certificate has a critical extension that is not known", "证书含有未知的关键扩展")


def _no_v3() -> ChainError:
    return _refused("a certificate is not X.509 v3", "证书不是 X.509 v3")


def _refused(en: str, zh: str) -> ChainError:
    return ChainError(f"certificate chain refused: {en}", f"证书链被拒绝：{zh}")
