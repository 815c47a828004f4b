"""Taking back what was issued: a certificate, a key, an issuing CA; and making the CA that issues from then on.

Owns: these acts of an administrator, each under the lock of the folder, judged and published.

What is revoked is written into the ledger of certificates first (`certs.revocation`), and the directory adopts it from
there. Killed in between, the certificate renews nothing any more, while the directory is behind; in the other order it
could have been renewed, and what it was renewed to would be nowhere revoked. Every change, and `Office.upkeep`, adopts
what the ledger has revoked meanwhile, so the two agree again at the latest a minute after the service runs.

A key that was stolen may have been used to renew its certificate. So with a certificate all is revoked that was issued
on the strength of it, unless the reason says that it was merely superseded; and whoever revokes is told what the same
holder has besides. One-time tokens that the holder has not used yet go in the same way: where its key lay they may lie
too, or come to, and whoever has one is given a certificate again.

Refuses: taking out whole members (`gateway.authority.admitting`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certs.issuing import IssuingCa
from certs.records import OpenToken, Record
from gateway.authority import entries, issuers
from gateway.authority.accepting import Accepting
from gateway.authority.taken_back import translated
from gateway.errors import ConfigError

_KEY_ID: Final = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Revoked:
    """What came of a revocation.

    Args:
        version: of the directory that says so.
        taken: the certificates revoked now, and not before.
        left: what the same holder has that is still valid.
        tokens: of the same holder, open, taken back now.
        tokens_left: the same, left open.
        member_ca: name of the member's own CA that issued it, "" where none did: what else that issued is not known.
    """

    version: int
    taken: tuple[Record, ...]
    left: tuple[Record, ...]
    member_ca: str = ""
    tokens: tuple[OpenToken, ...] = ()
    tokens_left: tuple[OpenToken, ...] = ()


class Revoking(Accepting):
    """See the module."""

    def revoke_pem(self, pem: bytes, *, reason: int, renewed: bool | None = None) -> Revoked:
        """Take one certificate back, the first of a PEM file: whoever presents it is refused, and none lists it.

        Of a certificate that the ledger does not know, which somebody made with a stolen issuing key, the directory
        alone can say so: it is in no revocation list, unknown to OCSP, and good for no renewal anyhow. Likewise of one
        that a member's own CA issued: what that issued on the strength of it, its operator has to say.

        Args:
            pem: the file.
            reason: CRLReason.
            renewed: whether to take back as well what was issued on the strength of it, and the holder's open tokens;
                None: as the reason suggests.

        Raises:
            ConfigError: there is none in it, or it is another authority's.
        """
        certificate = issuers.read_pem(pem)
        with self._alone():
            own = self._issuer_of(certificate)
            if own is not None:
                with self._changing():
                    self._take_back_vouched(certificate, reason)
                return Revoked(self._publish(), (), (), own.name)
            with translated():
                issuer = issuers.issuer_of(self.authority, certificate)
                known = self.authority.ledger.by_certificate(certificate.public_bytes(Encoding.DER))
            if known is not None:
                return self._revoke(known.serial, reason, renewed)
            with self._changing():
                self._taken_back().add(certificate.serial_number, issuer, certificate.not_valid_after_utc, reason)
            return Revoked(self._publish(), (), ())

    def revoke_serial(self, text: str, *, reason: int, renewed: bool | None = None) -> Revoked:
        """Take back the certificate of a serial number, hexadecimal; otherwise as `revoke_pem`.

        Raises:
            ConfigError: that is no serial number, or none of a certificate that was issued here.
        """
        number = issuers.read_serial(text)
        with self._alone():
            own = ", ".join(ca.name for ca in self._taken_back().accepted())
            with translated():
                known = self.authority.ledger.by_serial(number)
            if known is None and own:
                raise ConfigError(
                    f"no certificate with serial number {number:x} was issued here; one of a member's own CA needs "
                    f"--issuing as well ({own})",
                    f"本机构未签发序列号为 {number:x} 的证书；若由成员自有 CA 签发，请同时指定 --issuing（{own}）",
                )
            return self._revoke(number, reason, renewed)

    def revoke_vouched(self, text: str, name: str, *, reason: int) -> Revoked:
        """Take back the certificate of a serial number, hexadecimal, of a member's own CA; whether it issued one, its
        operator knows.

        Raises:
            ConfigError: that is no serial number, or there is no such CA of a member in force.
        """
        number = issuers.read_serial(text)
        with self._alone():
            ca = next((ca for ca in self._taken_back().accepted() if ca.name == name), None)
            if ca is None:
                raise ConfigError(
                    f"there is no CA of a member in force that is called {name}; see `wugan authority issuing list`",
                    f"没有名为 {name} 的有效成员自有 CA，请查看 `wugan authority issuing list`",
                )
            with self._changing():
                self._take_back_number(ca, number, reason)
            return Revoked(self._publish(), (), (), name)

    def roll_issuing(self, root_key: Path | None, root_passphrase: bytes | None) -> IssuingCa:
        """Make another issuing CA, as `IssuingCas.roll` does. The directory tells of it before it issues.

        Raises:
            ConfigError: the root's key is not the root's or cannot be read, or there are too many issuing CAs.
            StoreError: the ledger cannot be used.
        """
        with self._alone(), translated(), self.authority.ledger.together():
            made = self.authority.issuing.roll(now=self.now(), root_passphrase=root_passphrase, root_key=root_key)
            with self._changing():
                pass
            self._publish()
            return made

    def revoke_issuing(self, name: str) -> tuple[int, int]:
        """Take a retired issuing CA back: whoever presents what somebody else made with its key is refused.

        Certificates that it really issued are in the ledger, and the directory names them; they go on. Of a member's
        own CA nothing does, and nothing of it stays listed: what it issued is not known here.

        Returns:
            The version of the directory that says so, and how many certificates it names.

        Raises:
            ConfigError: there is no such CA, or it is the one that issues.
            StoreError: it cannot be recorded.
        """
        with self._alone():
            own = self._accepted(name)
            if own is not None:
                with self._changing():
                    self._drop([own])
                return self._publish(), 0
            with translated():
                self.authority.issuing.revoke(name, self.now())
            with self._changing():
                pass
            version = self._publish()
            with translated():
                return version, len(self.authority.ledger.fingerprints(name, self.now()))

    def revoke_key(self, key_id: str, *, reason: int) -> int:
        """Never list a key again, signing or encryption; the certificate of a signing key is taken back as well.

        Raises:
            ConfigError: that is no key id.
        """
        key_id = _key_id(key_id)
        with self._alone():
            rows = self._membership.rows().values()
            listed = [key.certificate for row in rows for key in row.entry.signing_keys if key.key_id == key_id]
            with translated():
                for certificate in listed:
                    known = self.authority.ledger.by_certificate(certificate)
                    if known is not None:
                        self._revocation.revoke(known.serial, issuers.REASONS[reason], self.now())
            with self._changing():
                for certificate in listed:
                    self._take_back_vouched(x509.load_der_x509_certificate(certificate), reason)
                self._membership.bar(key_id, self._clock.now_ms())
                for row in self._membership.rows().values():
                    self._membership.put(replace(row, entry=entries.without_key(row.entry, key_id)))
            return self._publish()

    def lists_key(self, key_id: str) -> bool:
        """Whether a member has published a key of this id, signing or encryption.

        Raises:
            ConfigError: that is no key id.
        """
        wanted = _key_id(key_id)
        with self._alone():
            rows = self._membership.rows().values()
        listed = {key.key_id for row in rows for key in row.entry.signing_keys}
        return wanted in listed.union(key.key_id for row in rows for key in row.entry.encryption_keys)

    def _revoke(self, serial: int, reason: int, renewed: bool | None) -> Revoked:
        renewed = reason != issuers.SUPERSEDED if renewed is None else renewed
        now, ledger = self.now(), self.authority.ledger
        with translated(), ledger.together():
            taken = self._revocation.revoke_issued(serial, issuers.REASONS[reason], now, renewed=renewed)
            record = ledger.by_serial(serial)
            holder = record.holder if record is not None else None
            left = ledger.held(holder, now) if holder is not None else ()
            tokens = tuple(token for token in ledger.tokens.open(now) if token.holder == holder)
            # Not where nothing is taken that was not before: the token may be the one that was given out since.
            gone = renewed and bool(taken)
            if gone and holder is not None:
                ledger.tokens.cancel_holder(holder)
        with self._changing():
            pass
        return Revoked(self._publish(), taken, left, tokens=tokens if gone else (), tokens_left=() if gone else tokens)


def _key_id(text: str) -> str:
    """A key id as the directory writes it."""
    written = text.strip().lower()
    if not _KEY_ID.fullmatch(written):
        raise ConfigError(
            "that is not a key id: 32 hexadecimal digits, as `wugan certs status` shows them",
            "不是密钥标识：应为 `wugan certs status` 所示的 32 位十六进制数",
        )
    return written
