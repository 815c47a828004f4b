"""CAs that members run themselves, under the federation's root: accepting them, and taking them back.

Owns: these acts, and whether one of them vouches for a certificate. Refuses: judging a CA (`certs.member_ca` does), and
its single certificates (`gateway.authority.revoking`).

What such a CA issues is in no ledger of ours. So nothing of it is kept when it is taken back, and what was issued on
the strength of a certificate is known to whoever runs it, and not here. What was taken back is never accepted again: a
thief may have its key.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certs.chain import issued_by, parse_identity
from certs.errors import CertsError
from certs.identity import Identity
from certs.member_ca import require_member_ca
from gateway.authority import entries, issuers
from gateway.authority.archive import Archive
from gateway.authority.membership import Accepted
from gateway.authority.taken_back import translated
from gateway.errors import AccessError, ConfigError
from gateway.federation.directory_entries import MAX_MEMBER_CAS
from gateway.federation.presented import presented
from wugan.federation.v1 import directory_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

_PREFIX: Final = "external-"


class Accepting(Archive):
    """See the module."""

    def accept_ca(self, pem: bytes, member_id: str) -> tuple[Accepted, int]:
        """Believe the certificates that a CA issues for one member.

        Args:
            pem: its certificate, the only one in it.
            member_id: the member that runs it.

        Returns:
            What it is called, and the version of the directory that tells of it.

        Raises:
            ConfigError: there is no such member, the CA breaks the rule of `require_member_ca`, another has its name or
                its key, it was accepted before, or there are too many.
            StoreError: it cannot be recorded.
        """
        certificate = issuers.read_pem(pem, alone=True)
        with self._alone():
            if self._membership.row(member_id) is None:
                raise no_member()
            authority, known = self.authority, self._membership.accepted()
            with translated():
                authority.issuing.refresh()
                built_in = authority.issuing.all
                require_member_ca(
                    certificate,
                    [authority.root],
                    self.settings.federation,
                    member_id,
                    self.now(),
                    loopback=built_in[-1].issuer.loopback,
                )
            others = [authority.root, *(ca.certificate for ca in built_in)]
            others += [x509.load_der_x509_certificate(ca.certificate) for ca in known]
            if any(_same(certificate, other) for other in others):
                raise ConfigError(
                    "a CA of this name or with this key is or was in force already; make one with a key of its own",
                    "已有（或曾有）同名或同密钥的 CA，请使用新密钥另行签发",
                )
            if len(self._taken_back().accepted()) >= MAX_MEMBER_CAS:
                raise ConfigError(
                    f"{MAX_MEMBER_CAS} CAs of members are in force; take one back first",
                    f"成员自有 CA 已达 {MAX_MEMBER_CAS} 个，请先吊销不用的",
                )
            made = Accepted(
                f"{_PREFIX}{len(known) + 1}", member_id, certificate.public_bytes(Encoding.DER), self._clock.now_ms()
            )
            with self._changing():
                self._membership.accept(made)
            return made, self._publish()

    def certify_ca(
        self, request_pem: bytes, member_id: str, root_key: Path | None, root_passphrase: bytes | None
    ) -> x509.Certificate:
        """Sign the CA that a member runs itself, with the root's key, as the rule wants it. It is not accepted by that.

        Raises:
            ConfigError: there is no such member, or request or key cannot be used.
        """
        with self._alone(), translated():
            if self._membership.row(member_id) is None:
                raise no_member()
            return self.authority.certify_member_ca(
                request_pem, member_id, now=self.now(), root_passphrase=root_passphrase, root_key=root_key
            )

    def accepted_cas(self) -> list[Accepted]:
        """Every CA of a member, those taken back too."""
        with self._alone():
            return self._membership.accepted()

    def _accepted(self, name: str) -> Accepted | None:
        """A CA of a member, in force or not."""
        return next((ca for ca in self._membership.accepted() if ca.name == name), None)

    def _drop(self, cas: Sequence[Accepted]) -> None:
        """Take CAs back, within a change, with all that they issued: nothing else is known of it."""
        for ca in cas:
            if ca.revoked_ms:
                continue
            self._membership.accept(replace(ca, revoked_ms=self._clock.now_ms()))
            row = self._membership.row(ca.member_id)
            if row is not None:
                self._membership.put(replace(row, entry=entries.without_issuer(row.entry, ca.certificate)))

    def _drop_of(self, member_id: str) -> None:
        """Take all CAs of a member back, within a change."""
        self._drop([ca for ca in self._membership.accepted() if ca.member_id == member_id])

    def _issuer_of(self, certificate: x509.Certificate) -> Accepted | None:
        """The member's CA in force that issued a certificate."""
        cas = self._taken_back().accepted()
        return next((ca for ca in cas if issued_by(certificate, x509.load_der_x509_certificate(ca.certificate))), None)

    def _take_back_vouched(self, certificate: x509.Certificate, reason: int) -> None:
        """Within a change, take back a certificate if a member's CA in force issued it."""
        ca = self._issuer_of(certificate)
        if ca is not None:
            self._take_back_number(ca, certificate.serial_number, reason, certificate.not_valid_after_utc)

    def _take_back_number(self, ca: Accepted, number: int, reason: int, until: dt.datetime | None = None) -> None:
        """Within a change, take back a certificate of a member's CA; `until`: the end of its validity, where known."""
        issuer = x509.load_der_x509_certificate(ca.certificate)
        self._taken_back().add(number, issuer, until or issuer.not_valid_after_utc, reason)

    def _vouched(self, member_id: str, certificate: bytes) -> bool:
        """Whether a CA of the member issued a certificate (DER) that is valid now and names its gateway.

        TLS has verified the chain, and that the CA may have such names.
        """
        cas = [ca for ca in self._taken_back().accepted() if ca.member_id == member_id]
        if not cas:
            return False
        try:
            leaf, identity = x509.load_der_x509_certificate(certificate), parse_identity(certificate)
        except (ValueError, CertsError):
            return False
        return (
            identity == Identity.gateway(self.settings.federation, member_id)
            and leaf.not_valid_before_utc <= self.now() <= leaf.not_valid_after_utc
            and any(issued_by(leaf, x509.load_der_x509_certificate(ca.certificate)) for ca in cas)
        )

    def _require_own_cas(self, entry: directory_pb2.Member) -> None:
        """Return when no certificate of an entry is of another member's CA. Gateways would not believe it anyhow.

        Raises:
            AccessError: PEER_MISMATCH; one is.
        """
        others = [ca for ca in self._membership.accepted() if ca.member_id != entry.member_id]
        for der in entries.certificates(entry) if others else ():
            presented(der)
            leaf = x509.load_der_x509_certificate(der)
            if any(issued_by(leaf, x509.load_der_x509_certificate(ca.certificate)) for ca in others):
                raise AccessError(
                    "a certificate was issued by a CA that was accepted for another member",
                    "有证书由为其他成员接受的 CA 签发",
                    reason=words.REFUSAL_REASON_PEER_MISMATCH,
                )


def no_member() -> ConfigError:
    """The error where there is no member of an id."""
    return ConfigError("there is no such member; see `wugan authority member list`", "没有该成员，请查看成员列表")


def _same(one: x509.Certificate, other: x509.Certificate) -> bool:
    return one.subject == other.subject or one.public_key() == other.public_key()
