"""May this directory be believed? Every such decision of the gateway is made here, without I/O.

Owns: `DirectoryTrust`, whose docstring is the rule for what a directory says. Refuses: files, the network, the clock
(bytes, the last version seen and the time are arguments), and who may publish one: that is TUF's rule, `directory_tuf`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final

from cryptography import x509
from google.protobuf.message import DecodeError

from certs.chain import load_roots
from certs.errors import CertsError
from certs.identity import require_federation
from gateway.errors import ConfigError
from gateway.federation.directory import Directory
from gateway.federation.directory_entries import (
    END_OF_TIME_MS,
    Judged,
    issuing_by_key,
    judge,
    kept_certificates,
    member_cas,
    refused,
    require_together,
)
from wugan.federation.v1 import directory_pb2

MAX_DIRECTORY_BYTES: Final = 16 << 20
MAX_MEMBERS: Final = 4096
MAX_LIFE_MS: Final = 366 * 86_400_000
"""Longest life of a directory, milliseconds (our choice): one that lives longer cannot take a key back."""

FUTURE_MS: Final = 120_000
"""How far in the future a directory may have been issued, milliseconds: the clocks' disagreement, as for envelopes."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The newest directory believed so far: its version, and the SHA-256 of its bytes."""

    version: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class DirectoryTrust:
    """What a member pins, and the rule by which it believes a directory.

    A directory is believed when all of this holds:
     1. It is at most 16 MiB long, and its version is that of the TUF targets metadata that names it.
     2. It is of this federation, was issued no more than 120 s in the future, lives at most 366 days, and has not
        expired.
     3. Its version is not lower than the last seen; of the same version there is only one.
     4. Member ids are unified social credit codes, each once; names, regions, gateways, keys and offers are bounded in
        number and length; regions exist; addresses are "host:port"; the TLS name is the one made of the member's id.
     5. Every key has a suite in force, an id that is the digest of its raw public key and occurs once in the
        directory, and a time of use that begins before it ends.
     6. Every signing key's certificate chains to one of `roots` over the whole time of use, and names this very
        member's gateway of this federation (`certs.chain.verify_signing_chain`).
     7. Every TLS certificate listed for a gateway names it in the same way. (Its chain is verified by TLS.)
     8. Revocations are well-formed, each certificate once; none of them is of a certificate that is listed.
     9. Issuing CAs are certificates of CAs that one of `roots` issued, each once, at most 64; certificates that are
        kept are named by their SHA-256. A directory without issuing CAs is believed, and lets in nobody whose
        certificate it does not keep.
    10. CAs that members run themselves are such certificates too, none of them both, at most 128, each with the member
        of whose certificates alone it is believed.
    A signing key whose certificate is neither of such a CA nor kept makes nothing unbelievable; it counts for nothing.
    One member that breaks the rule makes the whole directory unbelievable: its publisher did not do its work. The
    authority judges by this very rule before it publishes, so that no member can do that to the others.

    A member's entry that was believed before, byte for byte, is not judged again: nothing in rules 4 to 7 but the keys'
    being unique depends on anything else. Of an entry that changed, neither is what it says of a key or shows as a TLS
    certificate, byte for byte as this member's entry before. What depends on the time, on the CAs in force or on
    revocations is judged for every directory.

    Args:
        federation: trust domain.
        roots: the federation's roots.
    """

    federation: str
    roots: tuple[x509.Certificate, ...]
    _known: dict[bytes, Judged] = field(default_factory=dict, init=False, repr=False, compare=False)
    _of: dict[str, Judged] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, federation: str, roots_pem: bytes) -> DirectoryTrust:
        """From what an operator writes down.

        Args:
            federation: trust domain.
            roots_pem: the federation's roots.

        Raises:
            ConfigError: one of these is malformed.
        """
        try:
            return cls(require_federation(federation), load_roots(roots_pem))
        except CertsError as error:
            raise ConfigError(error.en, error.zh, field="tls.roots") from error

    def verify(self, data: bytes, *, version: int, now_ms: int, seen: Seen | None) -> Directory:
        """The directory in a serialized Directory, if it may be believed by the rule above.

        Args:
            data: the bytes of the TUF target.
            version: of the TUF targets metadata that names it.
            now_ms: time, Unix milliseconds.
            seen: the newest directory believed so far.

        Raises:
            DirectoryError: it may not; the message says which part of the rule it breaks.
        """
        if len(data) > MAX_DIRECTORY_BYTES:
            raise refused("it is too large", "文件过大")
        try:
            directory = directory_pb2.Directory.FromString(data)
        except DecodeError as error:
            raise refused("it is no directory", "不是成员目录") from error
        if directory.version != version:
            raise refused("its version is not that of the metadata that names it", "版本号与其元数据不一致")
        digest = hashlib.sha256(data).digest()
        self._check_head(directory, digest, now_ms, seen)
        judged = [self.judge(entry) for entry in directory.members]
        issuing = issuing_by_key(directory.issuing_cas, self.roots)
        own = member_cas(directory.member_cas, self.roots, issuing)
        cas = (*issuing.values(), *(each.certificate for each in own.values()))
        revoked = require_together((each.outline for each in judged), directory.revocations, cas)
        kept = kept_certificates(directory.kept_certificates)
        # Only what this directory lists: what it does not list any more is forgotten.
        self._known.clear()
        self._known.update((each.digest, each) for each in judged)
        self._of.clear()
        self._of.update((each.member.member_id, each) for each in judged)
        return Directory(
            federation=directory.federation,
            version=directory.version,
            issued_at_ms=directory.issued_at_ms,
            expires_at_ms=directory.expires_at_ms,
            digest=digest,
            members=tuple(each.believed(issuing, kept, own) for each in judged),
            revoked=revoked,
            issuing=issuing,
            kept=kept,
            member_cas=own,
        )

    def judge(self, entry: directory_pb2.Member) -> Judged:
        """A member's entry, if it fulfils rules 4 to 7 by itself.

        Raises:
            DirectoryError: it does not.
        """
        digest = hashlib.sha256(entry.SerializeToString(deterministic=True)).digest()
        before = self._of.get(entry.member_id)
        return self._known.get(digest) or judge(entry, digest, self.federation, self.roots, before)

    def remember(self, judged: Judged) -> None:
        """Let the next entry of that member be judged by what is other in it, as after a directory that was verified.

        For whoever judges entries alone, one after the other.
        """
        if len(self._of) >= MAX_MEMBERS:
            self._of.clear()
        self._of[judged.member.member_id] = judged

    def _check_head(self, directory: directory_pb2.Directory, digest: bytes, now_ms: int, seen: Seen | None) -> None:
        if directory.federation != self.federation:
            raise refused("it is of another federation", "属于其他联盟")
        issued, expires = directory.issued_at_ms, directory.expires_at_ms
        if not 0 < issued < expires <= min(issued + MAX_LIFE_MS, END_OF_TIME_MS):
            raise refused("its dates make no sense", "签发与失效时间不合理")
        if issued > now_ms + FUTURE_MS:
            raise refused(
                "it was issued in the future; check the clock of this machine, and have the authority check its own",
                "签发时间在未来，请检查本机时钟，并请管理机构检查其时钟",
            )
        if expires <= now_ms:
            raise refused("it has expired; fetch the current one", "已过期，请获取最新目录")
        if seen is not None and directory.version < seen.version:
            raise refused("it is older than one seen before (rollback)", "版本低于已接受的目录（疑似回滚）")
        if seen is not None and directory.version == seen.version and digest != seen.digest:
            raise refused("another directory of this version was seen before", "同一版本存在不同内容的目录")
        if directory.version < 1 or len(directory.members) > MAX_MEMBERS:
            raise refused("its version or number of members is out of range", "版本号或成员数量超出范围")
