"""The federation directory (成员目录) as the gateway uses it: members, gateways, regions, keys.

Owns: `Directory`, a frozen view without I/O over a directory that was verified, and `DirectorySource`, where the one
in force comes from. Refuses: judging whether a directory may be believed (`directory_trust`), fetching one
(`directory_tuf`), and anything about a member that the directory does not say.

`Directory` is the `Keyring` of `gateway.exchange.keys`: key objects are made once, when it is built.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Generic, Protocol, TypeVar

from certs.identity import ROLE_GATEWAY, Identity
from gateway.errors import DirectoryError, EnvelopeError, RefusedError
from gateway.exchange.keys import EncryptionKey, VerifyKey
from gateway.federation.presented import Presented, belongs_to, issued_by, presented
from gateway.federation.regions import enclosing, lies_within
from wugan.federation.v1 import directory_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

K = TypeVar("K", VerifyKey, EncryptionKey)


@dataclass(frozen=True, slots=True)
class Gateway:
    """One gateway of a member.

    Args:
        address: "host:port" of its FederationService.
        tls_name: DNS name that its TLS certificate must prove.
    """

    address: str
    tls_name: str


@dataclass(frozen=True, slots=True)
class Windowed(Generic[K]):
    """A key with the time in which it may be used, Unix milliseconds, both ends included."""

    key: K
    not_before_ms: int
    not_after_ms: int

    def holds(self, at_ms: int) -> bool:
        """Whether it may be used at a time."""
        return self.not_before_ms <= at_ms <= self.not_after_ms


@dataclass(frozen=True, slots=True)
class Member:
    """One member.

    Args:
        member_id: unified social credit code.
        name_zh: its name in Chinese.
        name_en: its name in English.
        regions: GB/T 2260 codes it answers for, parts included.
        gateways: at least one.
        signing_keys: by key id; those only whose certificates are believed.
        encryption_keys: newest first.
        offer: what it can be asked; not to be changed.
        tls_certificates: SHA-256 of each certificate with which its gateways may prove themselves; empty: any that
            names the member.
    """

    member_id: str
    name_zh: str
    name_en: str
    regions: frozenset[int]
    gateways: tuple[Gateway, ...]
    signing_keys: Mapping[str, Windowed[VerifyKey]]
    encryption_keys: tuple[Windowed[EncryptionKey], ...]
    offer: directory_pb2.Offer
    tls_certificates: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True)
class MemberCa:
    """A CA that one member runs itself.

    Args:
        certificate: DER.
        member_id: of whose certificates alone it is believed.
    """

    certificate: bytes
    member_id: str


@dataclass(frozen=True, slots=True)
class Directory:
    """A verified directory. Made by `directory_trust.DirectoryTrust.verify`.

    Args:
        federation: trust domain.
        version: grows with every directory.
        issued_at_ms: time of signing, Unix milliseconds.
        expires_at_ms: from then on it gives no key any more, Unix milliseconds.
        digest: SHA-256 of its bytes.
        members: every member, in the directory's order.
        revoked: serial number of each certificate taken back → key identifiers of the CAs that issued one of that
            number; b"" where the CA is not known here, which stands for every CA.
        issuing: key identifier → certificate (DER) of each CA whose certificates are believed.
        kept: SHA-256 of each certificate that is believed though its CA was taken back.
        member_cas: key identifier → each CA that a member runs itself.
    """

    federation: str
    version: int
    issued_at_ms: int
    expires_at_ms: int
    digest: bytes
    members: tuple[Member, ...]
    revoked: Mapping[bytes, frozenset[bytes]] = field(default_factory=dict)
    issuing: Mapping[bytes, bytes] = field(default_factory=dict)
    kept: frozenset[bytes] = frozenset()
    member_cas: Mapping[bytes, MemberCa] = field(default_factory=dict)
    _by_id: Mapping[str, Member] = field(init=False, repr=False, compare=False)
    _by_region: Mapping[int, tuple[str, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        regions: dict[int, tuple[str, ...]] = {}
        for member in self.members:
            for region in member.regions:
                regions[region] = (*regions.get(region, ()), member.member_id)
        object.__setattr__(self, "_by_id", MappingProxyType({member.member_id: member for member in self.members}))
        object.__setattr__(self, "_by_region", MappingProxyType(dict(sorted(regions.items()))))

    def require_fresh(self, at_ms: int) -> None:
        """Return when the directory may be used at a time (Unix milliseconds).

        Raises:
            DirectoryError: it has expired.
        """
        if at_ms >= self.expires_at_ms:
            raise DirectoryError(
                "the federation directory has expired; fetch the current one from the federation's authority",
                "联盟成员目录已过期，请向联盟管理机构获取最新目录",
            )

    def member_ids(self) -> tuple[str, ...]:
        """Every member's id, in the directory's order."""
        return tuple(self._by_id)

    def others(self, own_id: str) -> tuple[Member, ...]:
        """Every member but one's own."""
        return tuple(member for member in self.members if member.member_id != own_id)

    def member(self, member_id: str) -> Member:
        """A member.

        Raises:
            RefusedError: STRANGER; there is none of that id.
        """
        member = self._by_id.get(member_id)
        if member is None:
            raise RefusedError(
                "no such member in the federation directory; check the unified social credit code",
                "联盟成员目录中没有该成员，请核对统一社会信用代码",
                reason=words.REFUSAL_REASON_STRANGER,
            )
        return member

    def require_welcome(self, identity: Identity, certificate: bytes) -> None:
        """Return when whoever proves to be somebody with a certificate (DER) is let in.

        The rule, for partners, agencies and departments alike: its member is one; the certificate is believed; and
        where it is that of a gateway whose member lists some, it is among these.

        Raises:
            RefusedError: STRANGER; any of this does not hold, or it is no certificate.
        """
        if identity.member_id not in self._by_id:
            raise RefusedError(
                "the member of this certificate is not in the federation directory: it has not been admitted, or was "
                "taken out; ask the federation's administrator",
                "该证书所属成员不在联盟成员目录中：尚未加入，或已被移出；请联系联盟管理机构",
                reason=words.REFUSAL_REASON_STRANGER,
            )
        self.require_not_revoked(certificate)
        if identity.role == ROLE_GATEWAY:  # before its CA: this says better what to do
            self.require_listed(identity.member_id, certificate)
        self.require_certified(certificate)

    def require_believed(self, certificate: bytes) -> None:
        """Return when a certificate (DER), of whomever and for whatever, was not taken back and neither was its CA.

        To be listed is not enough: whoever has a gateway's TLS key publishes in its member's name what a thief made.

        Raises:
            RefusedError: STRANGER; it or its CA was, or it is no certificate.
        """
        self.require_not_revoked(certificate)
        self.require_certified(certificate)

    def require_not_revoked(self, certificate: bytes) -> None:
        """Return when a certificate (DER) was not taken back.

        Raises:
            RefusedError: STRANGER; it was, or it is no certificate.
        """
        if revokes(self.revoked, presented(certificate)):
            raise RefusedError(
                "the certificate was revoked by the federation's authority; have a new one issued",
                "证书已被联盟管理机构吊销，请申请新证书",
                reason=words.REFUSAL_REASON_STRANGER,
            )

    def require_certified(self, certificate: bytes) -> None:
        """Return when a certificate (DER) is of a CA in force, or is kept though its CA was taken back.

        That a chain ends in the root, which TLS has verified, is not enough: whoever stole the key of a CA makes such.
        A CA that a member runs itself counts for who belongs to this member, and for nobody else.

        Raises:
            RefusedError: STRANGER; it is neither, or it is no certificate.
        """
        shown = presented(certificate)
        issuer = self._issuer(certificate, shown)
        if (issuer is None or not issued_by(certificate, issuer)) and shown.fingerprint not in self.kept:
            raise RefusedError(
                "the CA that issued the certificate is not in force (any more) for whom it names; "
                "have a new one issued",
                "签发该证书的 CA 未在目录中、已停用，或无权为该身份签发，请申请新证书",
                reason=words.REFUSAL_REASON_STRANGER,
            )

    def _issuer(self, certificate: bytes, shown: Presented) -> bytes | None:
        """The CA in force that a certificate names as its issuer, DER, if that counts for whom it names."""
        own = self.member_cas.get(shown.issuer_key)
        if own is None:
            return self.issuing.get(shown.issuer_key)
        return own.certificate if belongs_to(certificate, self.federation) == own.member_id else None

    def require_listed(self, member_id: str, certificate: bytes) -> None:
        """Return when a member's gateway may prove itself with a certificate (DER).

        It may with each that the directory lists for it; with any that names it, while none is listed.

        Raises:
            RefusedError: STRANGER; there is no such member, or it lists others.
        """
        listed = self.member(member_id).tls_certificates
        if listed and presented(certificate).fingerprint not in listed:
            raise RefusedError(
                "the directory lists other TLS certificates for it; publish this one first, or use a listed one",
                "成员目录未登记该网关的此 TLS 证书，请先发布该证书或改用已登记的证书",
                reason=words.REFUSAL_REASON_STRANGER,
            )

    def members_serving(self, region: int) -> list[str]:
        """Ids of the members to ask about a region (GB/T 2260).

        Those that name the region itself; else those that name its prefecture; else its province. Where nobody does,
        the question may be coarser than the directory, and it is the members that serve a part of the region. Empty
        where nobody serves any of it, or the code is none.
        """
        for code in enclosing(region):
            if code in self._by_region:
                return list(self._by_region[code])
        parts = [members for code, members in self._by_region.items() if lies_within(code, region)]
        return list(dict.fromkeys(member for members in parts for member in members))

    def verify_key(self, member_id: str, key_id: str, at_ms: int) -> VerifyKey:
        """The member's signing key of that id, valid at `at_ms` (Unix milliseconds).

        Raises:
            EnvelopeError: STRANGER; there is no such member or key, or it is not valid at that time.
            DirectoryError: the directory has expired by then.
        """
        self.require_fresh(at_ms)
        member = self._by_id.get(member_id)
        held = member.signing_keys.get(key_id) if member else None
        if held is None or not held.holds(at_ms):
            raise _stranger()
        return held.key

    def encryption_key(self, member_id: str, at_ms: int) -> EncryptionKey:
        """The key to which messages for a member are sealed at `at_ms` (Unix milliseconds): the newest that is valid.

        Raises:
            EnvelopeError: STRANGER; there is no such member, or none of its keys is valid at that time.
            DirectoryError: the directory has expired by then.
        """
        self.require_fresh(at_ms)
        member = self._by_id.get(member_id)
        keys: Sequence[Windowed[EncryptionKey]] = member.encryption_keys if member else ()
        for held in keys:
            if held.holds(at_ms):
                return held.key
        raise _stranger()


def revokes(revoked: Mapping[bytes, frozenset[bytes]], certificate: Presented) -> bool:
    """Whether `Directory.revoked` takes a certificate back."""
    issuers = revoked.get(certificate.serial)
    return issuers is not None and (b"" in issuers or certificate.issuer_key in issuers)


class DirectorySource(Protocol):
    """Where the directory in force comes from (`directory_tuf`)."""

    def current(self) -> Directory:
        """The directory in force.

        Raises:
            DirectoryError: there is none yet, or it has expired.
        """
        ...

    async def refresh(self, version: int = 0) -> None:
        """Look for a newer directory, and take it if it may be believed; else keep the one held.

        Args:
            version: nothing is looked for where one of this version or a later is held once it is this look's turn; 0:
                in any case.

        Raises:
            DirectoryError: none is held, and none could be taken.
        """
        ...

    def subscribe(self, changed: Callable[[], None]) -> None:
        """Call `changed` in the event loop whenever another directory is in force, or the one held has expired."""
        ...


def _stranger() -> EnvelopeError:
    return EnvelopeError(
        "no valid key of that member in the federation directory; refresh the directory or check the member's keys",
        "联盟成员目录中没有该成员的有效密钥，请更新目录或核对该成员的密钥",
        reason=words.REFUSAL_REASON_STRANGER,
    )
