"""What the directory says of members, of certificates taken back, of CAs: well-formed, and does it hold together?

Owns: rules 4 to 10 of `directory_trust.DirectoryTrust`, without I/O. Refuses: what concerns the directory as a whole.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certs.chain import MAX_CERTIFICATE_BYTES, SigningLeaf, parse_identity, verify_signing_chain
from certs.errors import CertsError
from certs.identity import Identity, is_member_id
from gateway.errors import DirectoryError, RefusedError, WuganError
from gateway.exchange.keys import EncryptionKey, VerifyKey
from gateway.exchange.suites import suite_of
from gateway.federation.directory import Gateway, Member, MemberCa, Windowed, revokes
from gateway.federation.presented import MAX_SERIAL_BYTES, Presented, issued_by, presented
from gateway.federation.regions import is_region
from wugan.federation.v1 import directory_pb2

MAX_REGIONS: Final = 4096
MAX_GATEWAYS: Final = 16
MAX_KEYS: Final = 8
MAX_TLS_CERTIFICATES: Final = 16
MAX_REVOCATIONS: Final = 65_536
MAX_OFFERS: Final = 256
MAX_ISSUING_CAS: Final = 64
MAX_MEMBER_CAS: Final = 128
MAX_KEPT: Final = 65_536
MAX_TEXT_BYTES: Final = 256

END_OF_TIME_MS: Final = 253_402_300_799_000  # 9999-12-31, the last day of X.509 and of datetime
_CRL_REASONS: Final = frozenset({0, 1, 2, 3, 4, 5, 6, 8, 9, 10})  # RFC 5280 section 5.3.1; 7 is not used
_ADDRESS: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252})):([0-9]{1,5})")

K = TypeVar("K", directory_pb2.SigningKey, directory_pb2.EncryptionKey)
V = TypeVar("V", VerifyKey, EncryptionKey)


@dataclass(frozen=True, slots=True)
class Outline:
    """What of a member's entry concerns the others.

    Args:
        member_id: whose.
        key_ids: of all its keys.
        certificates: TLS and signing certificates listed.
        issuers: certificates of the CAs that its signing keys show, DER.
    """

    member_id: str
    key_ids: tuple[str, ...]
    certificates: tuple[Presented, ...]
    issuers: tuple[bytes, ...]

    @classmethod
    def of(cls, entry: directory_pb2.Member) -> Outline:
        """Of an entry that was judged, now or long ago."""
        tls = {certificate for gateway in entry.gateways for certificate in gateway.tls_certificates}
        return cls(
            member_id=entry.member_id,
            key_ids=(*(key.key_id for key in entry.signing_keys), *(key.key_id for key in entry.encryption_keys)),
            certificates=tuple(presented(der) for der in (*tls, *(key.certificate for key in entry.signing_keys))),
            issuers=tuple({issuer for key in entry.signing_keys for issuer in key.intermediates}),
        )


@dataclass(frozen=True, slots=True)
class Judged:
    """A member's entry that fulfils the rule by itself.

    Args:
        digest: SHA-256 of the entry.
        member: what it says.
        outline: what concerns the others.
        signed_by: key id of each signing key → SHA-256 of its certificate, and the CA that issued that, DER.
        signing: SHA-256 of what it says of each signing key → that key.
        encryption: likewise, encryption keys.
    """

    digest: bytes
    member: Member
    outline: Outline
    signed_by: Mapping[str, tuple[bytes, bytes]]
    signing: Mapping[bytes, Windowed[VerifyKey]]
    encryption: Mapping[bytes, Windowed[EncryptionKey]]

    def believed(
        self, issuing: Mapping[bytes, bytes], kept: Collection[bytes], member_cas: Mapping[bytes, MemberCa]
    ) -> Member:
        """What the member says, but for signing keys whose CA is not in force and whose certificate is not kept.

        Args:
            issuing: as `Directory.issuing`.
            kept: as `Directory.kept`.
            member_cas: as `Directory.member_cas`; those of the member count for it.
        """
        in_force, own_id = issuing.values(), self.member.member_id
        gone = {
            each
            for each, (shown, ca) in self.signed_by.items()
            if ca not in in_force and MemberCa(ca, own_id) not in member_cas.values() and shown not in kept
        }
        if not gone:
            return self.member
        left = {name: held for name, held in self.member.signing_keys.items() if name not in gone}
        return replace(self.member, signing_keys=left)


def judge(
    entry: directory_pb2.Member,
    digest: bytes,
    federation: str,
    roots: Sequence[x509.Certificate],
    before: Judged | None = None,
) -> Judged:
    """A member's entry, if it fulfils rules 4 to 7 of `DirectoryTrust` by itself.

    Args:
        entry: the entry.
        digest: SHA-256 of it.
        federation: trust domain.
        roots: the federation's roots.
        before: the entry of this member as it was judged before, for this federation and these roots. What it said of a
            key, byte for byte, is not judged again, and neither is whom a certificate names.

    Raises:
        DirectoryError: it does not.
    """
    member_id = entry.member_id
    if not is_member_id(member_id):
        raise refused("a member id is no unified social credit code", "成员标识不是统一社会信用代码")
    identity = Identity.gateway(federation, member_id)
    _check_texts(entry)
    if before is not None and before.member.member_id != member_id:
        before = None
    signing = _each(
        entry.signing_keys, before.signing if before else {}, lambda key: _signing_key(key, identity, roots)
    )
    encryption = _each(
        entry.encryption_keys, before.encryption if before else {}, lambda key: _encryption_key(key, member_id)
    )
    listed: Collection[bytes] = before.member.tls_certificates if before else ()
    gateways = tuple(_gateway(gateway, identity, listed) for gateway in entry.gateways)
    tls = {presented(der) for gateway in entry.gateways for der in gateway.tls_certificates}
    member = Member(
        member_id=member_id,
        name_zh=entry.name_zh,
        name_en=entry.name_en,
        regions=frozenset(entry.regions),
        gateways=gateways,
        signing_keys={held.key.key_id: held for _, held in signing},
        encryption_keys=tuple(sorted((held for _, held in encryption), key=_begin, reverse=True)),
        offer=entry.offer,
        tls_certificates=frozenset(shown.fingerprint for shown in tls),
    )
    # A chain that was verified has the leaf and the CA that signed it.
    signed_by = {
        key.key_id: (presented(key.certificate).fingerprint, key.intermediates[0]) for key in entry.signing_keys
    }
    return Judged(digest, member, Outline.of(entry), signed_by, dict(signing), dict(encryption))


def _each(
    keys: Sequence[K], before: Mapping[bytes, Windowed[V]], judged: Callable[[K], Windowed[V]]
) -> list[tuple[bytes, Windowed[V]]]:
    """Every key, with the SHA-256 of what is said of it, by which it is found if it was judged before."""
    if len(keys) > MAX_KEYS:
        raise refused("a member has too many keys", "成员的密钥过多")
    said = [hashlib.sha256(key.SerializeToString(deterministic=True)).digest() for key in keys]
    return [(digest, before.get(digest) or judged(key)) for digest, key in zip(said, keys, strict=True)]


def _begin(held: Windowed[EncryptionKey]) -> int:
    return held.not_before_ms


def _signing_key(
    key: directory_pb2.SigningKey, identity: Identity, roots: Sequence[x509.Certificate]
) -> Windowed[VerifyKey]:
    member_id = identity.member_id
    _check_window(key.not_before_ms, key.not_after_ms, member_id)
    begin, end = _instant(key.not_before_ms), _instant(key.not_after_ms)
    try:
        leaf = _verified(key.certificate, tuple(key.intermediates), tuple(roots), begin)
    except CertsError as error:
        raise refused(f"signing key of {member_id}: {error.en}", f"{member_id} 的签名密钥：{error.zh}") from error
    if leaf.identity != identity:
        raise refused(
            f"the certificate of a signing key of {member_id} names someone else", f"{member_id} 的签名证书属于他人"
        )
    if end > leaf.not_after:
        raise refused(
            f"a signing key of {member_id} outlives its certificate", f"{member_id} 的签名密钥有效期超出其证书"
        )
    try:
        made = VerifyKey.from_raw(leaf.public_key.public_bytes_raw(), suite_of(key.suite))
    except WuganError as error:
        raise refused(f"signing key of {member_id}: {error.en}", f"{member_id} 的签名密钥：{error.zh}") from error
    _require_id(key.key_id, made.key_id, member_id)
    return Windowed(made, key.not_before_ms, key.not_after_ms)


@functools.lru_cache(maxsize=8192)
def _verified(
    certificate: bytes, intermediates: tuple[bytes, ...], roots: tuple[x509.Certificate, ...], at: dt.datetime
) -> SigningLeaf:
    """As `verify_signing_chain`. Nothing but the arguments decides, so what was verified once is kept.

    A member that renews a key is listed with all that it had before, and every chain costs two signatures of the CAs:
    with eight keys that would be most of what a new directory costs.
    """
    return verify_signing_chain(certificate, intermediates, roots, at)


def require_together(
    outlines: Iterable[Outline], revocations: Sequence[directory_pb2.Revocation], cas: Iterable[bytes] = ()
) -> Mapping[bytes, frozenset[bytes]]:
    """What `Directory.revoked` is, if members and revocations may stand in one directory.

    Args:
        outlines: of its members.
        revocations: in it.
        cas: certificates of the CAs of which it tells, DER, each judged: their revocations are of their certificates.

    Raises:
        DirectoryError: something occurs twice, a revocation is malformed, or a certificate is listed and revoked.
    """
    members = tuple(outlines)
    if len({each.member_id for each in members}) != len(members):
        raise refused("a member occurs twice", "成员重复")
    taken: set[str] = set()
    for each in members:
        for name in each.key_ids:
            if name in taken:
                raise refused(f"a key of {each.member_id} occurs twice", f"{each.member_id} 的密钥重复出现")
            taken.add(name)
    revoked = _revoked(revocations, {issuer for each in members for issuer in each.issuers}.union(cas))
    for each in members:
        if any(revokes(revoked, certificate) for certificate in each.certificates):
            raise refused(
                f"a certificate of {each.member_id} is listed and revoked",
                f"{each.member_id} 的证书已被吊销却仍在目录中",
            )
    return revoked


def _revoked(
    revocations: Sequence[directory_pb2.Revocation], known: Iterable[bytes]
) -> Mapping[bytes, frozenset[bytes]]:
    """Serial numbers taken back, with the key identifiers of the CAs that issued them."""
    if len(revocations) > MAX_REVOCATIONS:
        raise refused("it has too many revocations", "吊销记录过多")
    issuers = dict(map(_issuer, known)) if revocations else {}
    once: set[tuple[bytes, bytes]] = set()
    revoked: dict[bytes, frozenset[bytes]] = {}
    for one in revocations:
        serial, issuer = one.serial_number, one.issuer_sha256
        if not 0 < len(serial) <= MAX_SERIAL_BYTES or not serial[0] or len(issuer) != hashlib.sha256().digest_size:
            raise refused("a revocation names no certificate", "吊销记录未指明证书")
        if one.reason not in _CRL_REASONS or not 0 < one.revoked_at_ms <= END_OF_TIME_MS:
            raise refused("a revocation has no proper reason or date", "吊销记录的原因或时间无效")
        if (serial, issuer) in once:
            raise refused("a certificate is revoked twice", "同一证书重复吊销")
        once.add((serial, issuer))
        # A CA that neither the directory nor a member's chain shows is not known by its key: the number alone decides.
        revoked[serial] = revoked.get(serial, frozenset()) | {issuers.get(issuer, b"")}
    return revoked


@functools.lru_cache(maxsize=256)
def _issuer(certificate: bytes) -> tuple[bytes, bytes]:
    """SHA-256 and key identifier of a CA's certificate, DER."""
    subject = x509.load_der_x509_certificate(certificate).extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    return hashlib.sha256(certificate).digest(), subject.value.digest


def issuing_by_key(cas: Sequence[bytes], roots: Sequence[x509.Certificate]) -> Mapping[bytes, bytes]:
    """What `Directory.issuing` is, if these may stand in a directory.

    Args:
        cas: certificates of CAs, DER.
        roots: the federation's roots.

    Raises:
        DirectoryError: there are too many, one is no CA that a root issued, or one occurs twice.
    """
    if len(cas) > MAX_ISSUING_CAS:
        raise refused("it has too many issuing CAs", "签发 CA 过多")
    found = {_issuing_key(certificate, tuple(roots)): certificate for certificate in cas}
    if len(found) != len(cas):
        raise refused("an issuing CA occurs twice", "签发 CA 重复")
    return found


@functools.lru_cache(maxsize=256)
def _issuing_key(certificate: bytes, roots: tuple[x509.Certificate, ...]) -> bytes:
    """The key identifier of an issuing CA."""
    try:
        if len(certificate) > MAX_CERTIFICATE_BYTES:
            raise ValueError("too large")
        parsed = x509.load_der_x509_certificate(certificate)
        is_ca = parsed.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        identifier = parsed.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension, x509.InvalidVersion) as error:
        raise refused("an issuing CA is no certificate", "签发 CA 证书无法解析") from error
    ours = any(issued_by(certificate, root.public_bytes(Encoding.DER)) for root in roots)
    if not is_ca or not identifier or not ours or parsed in roots:
        raise refused("an issuing CA was not issued by the federation's root", "签发 CA 不是由本联盟根签发")
    return identifier


def member_cas(
    cas: Sequence[directory_pb2.MemberCa], roots: Sequence[x509.Certificate], issuing: Mapping[bytes, bytes]
) -> Mapping[bytes, MemberCa]:
    """What `Directory.member_cas` is, if these may stand in a directory.

    Args:
        cas: the CAs.
        roots: the federation's roots.
        issuing: as `Directory.issuing`, in the same directory.

    Raises:
        DirectoryError: there are too many, one is no CA that a root issued or is no member's, or one occurs twice.
    """
    if len(cas) > MAX_MEMBER_CAS:
        raise refused("it has too many CAs of members", "成员自有 CA 过多")
    found = {_issuing_key(each.certificate, tuple(roots)): MemberCa(each.certificate, each.member_id) for each in cas}
    if len(found) != len(cas) or not found.keys().isdisjoint(issuing):
        raise refused("an issuing CA occurs twice", "签发 CA 重复")
    if not all(is_member_id(each.member_id) for each in cas):
        raise refused("a member's CA is no member's", "成员自有 CA 未指明成员")
    return found


def kept_certificates(fingerprints: Sequence[bytes]) -> frozenset[bytes]:
    """What `Directory.kept` is.

    Raises:
        DirectoryError: there are too many, or one is no SHA-256.
    """
    if len(fingerprints) > MAX_KEPT or any(len(each) != hashlib.sha256().digest_size for each in fingerprints):
        raise refused("its kept certificates are malformed or too many", "保留证书清单过长或格式有误")
    return frozenset(fingerprints)


def _encryption_key(key: directory_pb2.EncryptionKey, member_id: str) -> Windowed[EncryptionKey]:
    _check_window(key.not_before_ms, key.not_after_ms, member_id)
    try:
        made = EncryptionKey.from_raw(key.public_key, suite_of(key.suite))
    except WuganError as error:
        raise refused(f"encryption key of {member_id}: {error.en}", f"{member_id} 的加密密钥：{error.zh}") from error
    _require_id(key.key_id, made.key_id, member_id)
    return Windowed(made, key.not_before_ms, key.not_after_ms)


def _gateway(gateway: directory_pb2.Gateway, identity: Identity, listed: Collection[bytes]) -> Gateway:
    """`listed`: SHA-256 of certificates that are known to name it."""
    match = _ADDRESS.fullmatch(gateway.address)
    if match is None or not 0 < int(match[1]) <= 65535:
        raise refused(
            f'a gateway of {identity.member_id} has no "host:port" address', f"{identity.member_id} 的网关地址格式有误"
        )
    if gateway.tls_name != identity.tls_name:
        raise refused(
            f"a gateway of {identity.member_id} has a TLS name that is not made of its member id",
            f"{identity.member_id} 的网关 TLS 名称与成员标识不符",
        )
    if len(gateway.tls_certificates) > MAX_TLS_CERTIFICATES:
        raise refused(f"{identity.member_id} lists too many TLS certificates", f"{identity.member_id} 的 TLS 证书过多")
    for certificate in gateway.tls_certificates:
        try:
            if presented(certificate).fingerprint not in listed and parse_identity(certificate) != identity:
                raise _not_its_own(identity)
        except (CertsError, RefusedError) as error:
            raise _not_its_own(identity) from error
    return Gateway(gateway.address, gateway.tls_name)


def _not_its_own(identity: Identity) -> DirectoryError:
    return refused(
        f"a TLS certificate of {identity.member_id} does not name its gateway",
        f"{identity.member_id} 的 TLS 证书与其网关身份不符",
    )


def _check_texts(member: directory_pb2.Member) -> None:
    """Names are shown to people and written to terminals, so they must be short and without control characters."""
    for name in (member.name_zh, member.name_en):
        if not name or not name.isprintable() or len(name.encode()) > MAX_TEXT_BYTES:
            raise refused(f"{member.member_id} has no proper name", f"{member.member_id} 的名称缺失或不规范")
    if len(member.regions) > MAX_REGIONS or not all(is_region(region) for region in member.regions):
        raise refused(f"{member.member_id} serves an unknown region", f"{member.member_id} 的服务地区代码未知")
    if not 0 < len(member.gateways) <= MAX_GATEWAYS:
        raise refused(f"{member.member_id} has no gateway, or too many", f"{member.member_id} 没有网关或网关过多")
    offer = member.offer
    if max(len(offer.departments), len(offer.kinds), len(offer.benefits), len(offer.purposes)) > MAX_OFFERS:
        raise refused(f"{member.member_id} offers too many things", f"{member.member_id} 的服务目录过长")


def _check_window(not_before_ms: int, not_after_ms: int, member_id: str) -> None:
    if not 0 < not_before_ms < not_after_ms <= END_OF_TIME_MS:
        raise refused(f"a key of {member_id} ends before it begins", f"{member_id} 的密钥有效期不合理")


def _require_id(claimed: str, actual: str, member_id: str) -> None:
    if claimed != actual:
        raise refused(f"a key of {member_id} bears another key's id", f"{member_id} 的密钥标识与密钥不符")


def _instant(at_ms: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC)


def refused(en: str, zh: str) -> DirectoryError:
    """The error of a directory that breaks the rule."""
    return DirectoryError(f"directory refused: {en}", f"拒绝该成员目录：{zh}")
