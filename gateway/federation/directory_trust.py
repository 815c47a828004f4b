"""May this directory be believed? Every such decision of the gateway is made here, without I/O.

Owns: `DirectoryTrust`, whose docstring is the rule. Refuses: files, the network, the clock; bytes, the last version
seen and the time are arguments.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from google.protobuf.message import DecodeError

from certs.authority import DIRECTORY_TAG
from certs.chain import load_roots, verify_signing_chain
from certs.errors import CertsError
from certs.identity import Identity, is_member_id, require_federation
from gateway.errors import ConfigError, DirectoryError, WuganError
from gateway.exchange.keys import EncryptionKey, VerifyKey, key_id
from gateway.exchange.suites import suite_of
from gateway.federation.directory import Directory, Gateway, Member, Windowed
from gateway.federation.regions import is_region
from wugan.federation.v1 import directory_pb2

MAX_DIRECTORY_BYTES: Final = 16 << 20
MAX_MEMBERS: Final = 4096
MAX_REGIONS: Final = 4096
MAX_GATEWAYS: Final = 16
MAX_KEYS: Final = 8
MAX_SIGNATURES: Final = 64
MAX_OFFERS: Final = 256
MAX_TEXT_BYTES: Final = 256
MAX_LIFE_MS: Final = 366 * 86_400_000
"""Longest life of a directory, milliseconds (our choice): one that lives longer cannot take a key back."""

FUTURE_MS: Final = 120_000
"""How far in the future a directory may have been issued, milliseconds: the clocks' disagreement, as for envelopes."""

_END_OF_TIME_MS: Final = 253_402_300_799_000  # 9999-12-31, the last day of X.509 and of datetime
_ADDRESS: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252})):([0-9]{1,5})")

K = TypeVar("K", directory_pb2.SigningKey, directory_pb2.EncryptionKey)


@dataclass(frozen=True, slots=True)
class Seen:
    """The newest directory believed so far: its version, and the SHA-256 of its bytes."""

    version: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class DirectoryTrust:
    """What a member pins, and the rule by which it believes a directory.

    A directory is believed when all of this holds:
     1. It is at most 16 MiB long, and at least `threshold` different keys of `signers` have signed exactly its bytes,
        Ed25519 over "wugan-directory-v1" 0x00 and them. Signatures by other keys count for nothing.
     2. It is of this federation, was issued no more than 120 s in the future, lives at most 366 days, and has not
        expired.
     3. Its version is not lower than the last seen; of the same version there is only one.
     4. Member ids are unified social credit codes, each once; names, regions, gateways, keys and offers are bounded in
        number and length; regions exist; addresses are "host:port"; the TLS name is the one made of the member's id.
     5. Every key has a suite in force, an id that is the digest of its raw public key and occurs once in the
        directory, and a time of use that begins before it ends.
     6. Every signing key's certificate chains to one of `roots` over the whole time of use, and names this very
        member's gateway of this federation (`certs.chain.verify_signing_chain`).
    One member that breaks the rule makes the whole directory unbelievable: its signers did not do their work.

    Args:
        federation: trust domain.
        roots: the federation's roots.
        signers: the directory keys, by key id.
        threshold: how many of them must have signed.
    """

    federation: str
    roots: tuple[x509.Certificate, ...]
    signers: Mapping[str, Ed25519PublicKey]
    threshold: int = 1

    @classmethod
    def of(cls, federation: str, roots_pem: bytes, signers: Iterable[str], threshold: int = 1) -> DirectoryTrust:
        """From what an operator writes down.

        Args:
            federation: trust domain.
            roots_pem: the federation's roots.
            signers: raw Ed25519 public keys, hexadecimal.
            threshold: how many of them must have signed.

        Raises:
            ConfigError: one of these is malformed, or there are fewer signers than the threshold.
        """
        try:
            roots = load_roots(roots_pem)
            require_federation(federation)
        except CertsError as error:
            raise ConfigError(error.en, error.zh, field="tls.roots") from error
        keys: dict[str, Ed25519PublicKey] = {}
        for text in signers:
            try:
                raw = bytes.fromhex(text)
                keys[key_id(raw)] = Ed25519PublicKey.from_public_bytes(raw)
            except ValueError as error:
                raise ConfigError(
                    "directory.signers: not an Ed25519 public key, 64 hexadecimal digits",
                    "directory.signers：不是 Ed25519 公钥（64 位十六进制）",
                    field="directory.signers",
                ) from error
        if not 1 <= threshold <= len(keys):
            raise ConfigError(
                "directory.threshold: must be at least 1 and at most the number of different signers",
                "directory.threshold：应不小于 1 且不超过不同签署密钥的数量",
                field="directory.threshold",
            )
        return cls(federation, roots, keys, threshold)

    def verify(self, signed: bytes, *, now_ms: int, seen: Seen | None) -> Directory:
        """The directory in a serialized SignedDirectory, if it may be believed by the rule above.

        Args:
            signed: the bytes as received.
            now_ms: time, Unix milliseconds.
            seen: the newest directory believed so far.

        Raises:
            DirectoryError: it may not; the message says which part of the rule it breaks.
        """
        if len(signed) > MAX_DIRECTORY_BYTES:
            raise _refused("it is too large", "文件过大")
        try:
            outer = directory_pb2.SignedDirectory.FromString(signed)
            self._check_signatures(outer)
            directory = directory_pb2.Directory.FromString(outer.directory)
        except DecodeError as error:
            raise _refused("it is not a signed directory", "不是签名的成员目录") from error
        digest = hashlib.sha256(outer.directory).digest()
        self._check_head(directory, digest, now_ms, seen)
        if len({member.member_id for member in directory.members}) != len(directory.members):
            raise _refused("a member occurs twice", "成员重复")
        taken: set[str] = set()
        return Directory(
            federation=directory.federation,
            version=directory.version,
            issued_at_ms=directory.issued_at_ms,
            expires_at_ms=directory.expires_at_ms,
            digest=digest,
            members=tuple(self._member(member, taken) for member in directory.members),
        )

    def _check_signatures(self, outer: directory_pb2.SignedDirectory) -> None:
        if len(outer.signatures) > MAX_SIGNATURES:
            raise _refused("it has too many signatures", "签名过多")
        signed_by = set()
        for signature in outer.signatures:
            signer = self.signers.get(signature.key_id)
            if signer is None:
                continue
            try:
                signer.verify(signature.signature, DIRECTORY_TAG + outer.directory)
            except InvalidSignature:
                continue
            signed_by.add(signature.key_id)
        if len(signed_by) < self.threshold:
            raise _refused("too few of the pinned directory keys signed it", "目录签署密钥的有效签名数量不足")

    def _check_head(self, directory: directory_pb2.Directory, digest: bytes, now_ms: int, seen: Seen | None) -> None:
        if directory.federation != self.federation:
            raise _refused("it is of another federation", "属于其他联盟")
        issued, expires = directory.issued_at_ms, directory.expires_at_ms
        if not 0 < issued < expires <= min(issued + MAX_LIFE_MS, _END_OF_TIME_MS):
            raise _refused("its dates make no sense", "签发与失效时间不合理")
        if issued > now_ms + FUTURE_MS:
            raise _refused("it was issued in the future; check this machine's clock", "签发时间在未来，请检查本机时钟")
        if expires <= now_ms:
            raise _refused("it has expired; fetch the current one", "已过期，请获取最新目录")
        if seen is not None and directory.version < seen.version:
            raise _refused("it is older than one seen before (rollback)", "版本低于已接受的目录（疑似回滚）")
        if seen is not None and directory.version == seen.version and digest != seen.digest:
            raise _refused("another directory of this version was seen before", "同一版本存在不同内容的目录")
        if directory.version < 1 or len(directory.members) > MAX_MEMBERS:
            raise _refused("its version or number of members is out of range", "版本号或成员数量超出范围")

    def _member(self, member: directory_pb2.Member, taken: set[str]) -> Member:
        member_id = member.member_id
        if not is_member_id(member_id):
            raise _refused("a member id is no unified social credit code", "成员标识不是统一社会信用代码")
        identity = Identity.gateway(self.federation, member_id)
        _check_texts(member)
        signing = {key.key_id: self._signing_key(key, identity, taken) for key in _bounded(member.signing_keys)}
        encryption = [_encryption_key(key, member_id, taken) for key in _bounded(member.encryption_keys)]
        return Member(
            member_id=member_id,
            name_zh=member.name_zh,
            name_en=member.name_en,
            regions=frozenset(member.regions),
            gateways=tuple(_gateway(gateway, identity) for gateway in member.gateways),
            signing_keys=signing,
            encryption_keys=tuple(sorted(encryption, key=lambda held: held.not_before_ms, reverse=True)),
            offer=member.offer,
        )

    def _signing_key(self, key: directory_pb2.SigningKey, identity: Identity, taken: set[str]) -> Windowed[VerifyKey]:
        member_id = identity.member_id
        _check_window(key.not_before_ms, key.not_after_ms, member_id)
        begin, end = _instant(key.not_before_ms), _instant(key.not_after_ms)
        try:
            leaf = verify_signing_chain(key.certificate, key.intermediates, self.roots, begin)
        except CertsError as error:
            raise _refused(f"signing key of {member_id}: {error.en}", f"{member_id} 的签名密钥：{error.zh}") from error
        if leaf.identity != identity:
            raise _refused(
                f"the certificate of a signing key of {member_id} names someone else", f"{member_id} 的签名证书属于他人"
            )
        if end > leaf.not_after:
            raise _refused(
                f"a signing key of {member_id} outlives its certificate", f"{member_id} 的签名密钥有效期超出其证书"
            )
        try:
            made = VerifyKey.from_raw(leaf.public_key.public_bytes_raw(), suite_of(key.suite))
        except WuganError as error:
            raise _refused(f"signing key of {member_id}: {error.en}", f"{member_id} 的签名密钥：{error.zh}") from error
        _claim(key.key_id, made.key_id, member_id, taken)
        return Windowed(made, key.not_before_ms, key.not_after_ms)


def _encryption_key(key: directory_pb2.EncryptionKey, member_id: str, taken: set[str]) -> Windowed[EncryptionKey]:
    _check_window(key.not_before_ms, key.not_after_ms, member_id)
    try:
        made = EncryptionKey.from_raw(key.public_key, suite_of(key.suite))
    except WuganError as error:
        raise _refused(f"encryption key of {member_id}: {error.en}", f"{member_id} 的加密密钥：{error.zh}") from error
    _claim(key.key_id, made.key_id, member_id, taken)
    return Windowed(made, key.not_before_ms, key.not_after_ms)


def _gateway(gateway: directory_pb2.Gateway, identity: Identity) -> Gateway:
    match = _ADDRESS.fullmatch(gateway.address)
    if match is None or not 0 < int(match[1]) <= 65535:
        raise _refused(
            f'a gateway of {identity.member_id} has no "host:port" address', f"{identity.member_id} 的网关地址格式有误"
        )
    if gateway.tls_name != identity.tls_name:
        raise _refused(
            f"a gateway of {identity.member_id} has a TLS name that is not made of its member id",
            f"{identity.member_id} 的网关 TLS 名称与成员标识不符",
        )
    return Gateway(gateway.address, gateway.tls_name)


def _check_texts(member: directory_pb2.Member) -> None:
    """Names are shown to people and written to terminals, so they must be short and without control characters."""
    for name in (member.name_zh, member.name_en):
        if not name or not name.isprintable() or len(name.encode()) > MAX_TEXT_BYTES:
            raise _refused(f"{member.member_id} has no proper name", f"{member.member_id} 的名称缺失或不规范")
    if len(member.regions) > MAX_REGIONS or not all(is_region(region) for region in member.regions):
        raise _refused(f"{member.member_id} serves an unknown region", f"{member.member_id} 的服务地区代码未知")
    if not 0 < len(member.gateways) <= MAX_GATEWAYS:
        raise _refused(f"{member.member_id} has no gateway, or too many", f"{member.member_id} 没有网关或网关过多")
    offer = member.offer
    if max(len(offer.departments), len(offer.kinds), len(offer.benefits), len(offer.purposes)) > MAX_OFFERS:
        raise _refused(f"{member.member_id} offers too many things", f"{member.member_id} 的服务目录过长")


def _bounded(keys: Sequence[K]) -> Sequence[K]:
    if len(keys) > MAX_KEYS:
        raise _refused("a member has too many keys", "成员的密钥过多")
    return keys


def _check_window(not_before_ms: int, not_after_ms: int, member_id: str) -> None:
    if not 0 < not_before_ms < not_after_ms <= _END_OF_TIME_MS:
        raise _refused(f"a key of {member_id} ends before it begins", f"{member_id} 的密钥有效期不合理")


def _claim(claimed: str, actual: str, member_id: str, taken: set[str]) -> None:
    if claimed != actual:
        raise _refused(f"a key of {member_id} bears another key's id", f"{member_id} 的密钥标识与密钥不符")
    if actual in taken:
        raise _refused(f"a key of {member_id} occurs twice", f"{member_id} 的密钥重复出现")
    taken.add(actual)


def _instant(at_ms: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC)


def _refused(en: str, zh: str) -> DirectoryError:
    return DirectoryError(f"directory refused: {en}", f"拒绝该成员目录：{zh}")
