"""The built-in authority of a federation: a folder with its root, its issuing CAs and its ledger.

    root.pem, root-key.pem            needed again only to make another issuing CA: move the key away, keep it offline
    issuing.pem, issuing-key.pem      the first issuing CA (certs/issuing.py); the newest one issues every leaf
    ledger.db                         what was issued to whom, tokens, revocations (certs/ledger.py)

Owns: making that folder, and issuing by `certs.profiles` with a record in the ledger before anything is given out.
Which CA issues is the affair of certs/issuing_cas.py.
Refuses: a name out of a certification request (only its public key is taken, after its signature proved possession;
who it is for is said by the caller), a root key without passphrase unless everything is a demonstration on one
machine, a folder that is not empty when an authority is made, and one whose files are incomplete or do not belong
together.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from certs import issuing, keys, member_ca, profiles
from certs.errors import AuthorityError
from certs.files import PUBLIC, write_file
from certs.holders import Holder, Issued, certificate_pem, proven_key
from certs.identity import ROLE_DEPARTMENT, ROLE_UNIT, Identity, require_federation
from certs.issuing import IssuingCa
from certs.issuing_cas import ROOT, ROOT_KEY, IssuingCas
from certs.ledger import Ledger
from certs.records import PROFILE_OCSP, PROFILE_SIGNING, PROFILE_TLS, LeafProfile
from certs.system_words import cause

BY_AUTHORITY: Final = "authority"
"""The grounds of a certificate that an administrator of the authority asked for."""

_LEDGER = "ledger.db"
_PUBLIC_URL: Final = "public url"
_MAX_URL_CHARS: Final = 200
_LEAF: Final = {PROFILE_TLS: profiles.tls_certificate, PROFILE_SIGNING: profiles.signing_certificate}
_LIFE: Final = {PROFILE_TLS: profiles.TLS_LIFETIME, PROFILE_SIGNING: profiles.SIGNING_LIFETIME}


class Authority:
    """Issues certificates for one federation. Made by `create` or `load`.

    Safe for several threads; several processes may use one folder, and each sees at
    `IssuingCas.refresh` what others changed.
    """

    def __init__(
        self,
        folder: Path,
        root: x509.Certificate,
        issuers: tuple[IssuingCa, ...],
        ledger: Ledger,
        passphrase: bytes | None,
    ) -> None:
        self._root = root
        self._ledger = ledger
        self._issuing = IssuingCas(folder, root, issuers, ledger, passphrase)

    @classmethod
    def create(
        cls,
        folder: Path,
        federation: str,
        *,
        now: dt.datetime,
        root_passphrase: bytes | None = None,
        passphrase: bytes | None = None,
        loopback: bool = False,
        public_url: str = "",
    ) -> Authority:
        """Make a new authority.

        Args:
            folder: where; made with mode 0700, with its parents, if it is not there.
            federation: trust domain, e.g. "demo.wugan.internal".
            now: time of making, with time zone.
            root_passphrase: encrypts the root's key; only a demonstration (`loopback`) does without.
            passphrase: encrypts the issuing CAs' keys.
            loopback: let servers be called "localhost" too; for demonstrations on one machine.
            public_url: as for `set_public_url`.

        Raises:
            AuthorityError: there is one in the folder already, the folder cannot be made, or there is no passphrase.
            CertsError: the federation's name is malformed, or a file cannot be written.
        """
        require_federation(federation)
        if root_passphrase is None and not loopback:
            raise AuthorityError(
                "the root's key needs a passphrase of its own; only a demonstration on one machine does without",
                "根密钥必须设置专用口令，仅单机演示可不设",
            )
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            taken = any(folder.iterdir())
        except OSError as error:
            raise AuthorityError(
                f"{folder}: cannot be used as the authority's folder ({cause(error).en})",
                f"{folder}：无法用作管理机构目录（{cause(error).zh}）",
            ) from error
        if taken:
            raise AuthorityError(
                f"{folder}: is not empty; a new authority starts in a folder of its own",
                f"{folder}：目录非空，新的管理机构须使用空目录",
            )
        root_key = keys.generate_authority_key()
        root = profiles.root_certificate(root_key, federation, now)
        keys.store_private_key(folder / ROOT_KEY, root_key, passphrase=root_passphrase, by_heart=True)
        first = issuing.add(folder, 1, profiles.Issuer(root, root_key, federation, loopback), passphrase, now)
        made = cls(folder, root, (first,), Ledger(folder / _LEDGER), passphrase)
        if public_url:
            made.set_public_url(public_url)
        write_file(folder / ROOT, certificate_pem(root), mode=PUBLIC, replace=False)
        return made

    @classmethod
    def load(cls, folder: Path, *, passphrase: bytes | None = None) -> Authority:
        """Open an authority; the root's key is not needed.

        Args:
            folder: as given to `create`.
            passphrase: of the issuing CAs' keys.

        Raises:
            AuthorityError: its files do not belong together.
            LedgerError: its ledger cannot be used.
            KeyFileError: a file is missing, unreadable, open to others or locked with another passphrase.
        """
        root = issuing.read_certificate(folder / ROOT)
        issuers = tuple(issuing.load(folder, number, root, passphrase) for number in issuing.numbers(folder))
        return cls(folder, root, issuers, Ledger(folder / _LEDGER), passphrase)

    def close(self) -> None:
        """Close the ledger; nothing can be issued any more."""
        self._ledger.close()

    @property
    def federation(self) -> str:
        """The trust domain it issues for."""
        return self._issuing.current.issuer.federation

    @property
    def ledger(self) -> Ledger:
        """What it has issued, its tokens and revocations."""
        return self._ledger

    @property
    def root(self) -> x509.Certificate:
        """The trust anchor that every member pins."""
        return self._root

    @property
    def root_pem(self) -> bytes:
        """The same in PEM."""
        return certificate_pem(self._root)

    @property
    def issuing(self) -> IssuingCas:
        """Its issuing CAs."""
        return self._issuing

    @property
    def public_url(self) -> str:
        """Where revocation is answered for anybody, "" if leaves are to name no such place."""
        return self._ledger.state(_PUBLIC_URL)

    def set_public_url(self, url: str) -> None:
        """Say where revocation lists and OCSP answers are to be had; certificates issued from now on name it.

        Args:
            url: "http://host:port" without path, or "" for none. Not https: lists and answers are signed, and whoever
                would check the server's certificate would have to ask that same server about it.

        Raises:
            AuthorityError: it is not that.
            LedgerError: it cannot be kept.
        """
        self._ledger.set_state(_PUBLIC_URL, require_public_url(url))

    def certify_member_ca(
        self,
        request_pem: bytes,
        member_id: str,
        *,
        now: dt.datetime,
        root_passphrase: bytes | None = None,
        root_key: Path | None = None,
    ) -> x509.Certificate:
        """The certificate of a CA that a member runs itself (`certs.member_ca`); nothing is recorded of it.

        Args:
            request_pem: the CA's certification request.
            member_id: whom alone it is to certify.
            now: the time, with time zone.
            root_passphrase: of the root's key.
            root_key: as for `IssuingCas.roll`.

        Raises:
            CertsError: as `IssuingCas.roll`, or the request is not acceptable.
        """
        return member_ca.certify(self._issuing.root_issuer(root_passphrase, root_key), request_pem, member_id, now)

    def issue_gateway_tls(
        self, member_id: str, holder: Holder, *, now: dt.datetime, lifetime: dt.timedelta = profiles.TLS_LIFETIME
    ) -> Issued:
        """A TLS certificate for a member's gateway: server and client.

        Raises:
            CertsError: the member id, the key or the request is not acceptable, or the authority has expired.
        """
        return self._tls(Identity.gateway(self.federation, member_id), holder, now, lifetime)

    def issue_unit_tls(
        self,
        member_id: str,
        unit: str,
        holder: Holder,
        *,
        now: dt.datetime,
        lifetime: dt.timedelta = profiles.TLS_LIFETIME,
    ) -> Issued:
        """A TLS client certificate for an agency (unit) of a member.

        Raises:
            CertsError: as `issue_gateway_tls`, or the unit's code is malformed.
        """
        return self._tls(Identity(self.federation, member_id, ROLE_UNIT, unit), holder, now, lifetime)

    def issue_department_tls(
        self,
        member_id: str,
        adapter_id: str,
        holder: Holder,
        *,
        now: dt.datetime,
        lifetime: dt.timedelta = profiles.TLS_LIFETIME,
    ) -> Issued:
        """A TLS certificate for a department's own adapter: server, since the gateway calls it, and client.

        Raises:
            CertsError: as `issue_gateway_tls`, or the adapter's id is malformed.
        """
        return self._tls(Identity(self.federation, member_id, ROLE_DEPARTMENT, adapter_id), holder, now, lifetime)

    def issue_signing(
        self, member_id: str, holder: Holder, *, now: dt.datetime, lifetime: dt.timedelta = profiles.SIGNING_LIFETIME
    ) -> Issued:
        """A certificate for the Ed25519 key with which a member signs envelopes.

        Raises:
            CertsError: as `issue_gateway_tls`.
        """
        return self.issue(PROFILE_SIGNING, Identity.gateway(self.federation, member_id), holder, now, lifetime)

    def issue_authority_tls(
        self, holder: Holder, *, now: dt.datetime, lifetime: dt.timedelta = profiles.TLS_LIFETIME
    ) -> Issued:
        """A TLS certificate for the authority's own server.

        Raises:
            CertsError: as `issue_gateway_tls`.
        """
        return self._tls(Identity.authority(self.federation), holder, now, lifetime)

    def issue(
        self,
        profile: LeafProfile,
        identity: Identity,
        holder: Holder,
        now: dt.datetime,
        lifetime: dt.timedelta | None = None,
        grounds: str = BY_AUTHORITY,
    ) -> Issued:
        """A certificate of profile "tls" or "signing" from the current issuing CA.

        Args:
            profile: which kind.
            identity: whose it is to be.
            holder: its key.
            now: the time, with time zone.
            lifetime: how long; by default as the profile says.
            grounds: why, for the ledger.

        Raises:
            CertsError: the key or the request is not acceptable, the authority has expired, or nothing can be recorded.
        """
        public_key = proven_key(holder)
        # Nobody replaces the issuing CA meanwhile.
        with self._ledger.together():
            self._issuing.refresh()
            ca = self._issuing.current
            issuer = replace(ca.issuer, public_url=self.public_url)
            leaf = _LEAF[profile](issuer, public_key, identity, now, _LIFE[profile] if lifetime is None else lifetime)
            self._ledger.record(leaf, issuing=ca.name, profile=profile, holder=identity, grounds=grounds, now=now)
        return Issued(leaf, ca.certificate)

    def issue_ocsp(self, ca: IssuingCa, public_key: ec.EllipticCurvePublicKey, *, now: dt.datetime) -> x509.Certificate:
        """A certificate with which a key answers OCSP questions about the leaves of one issuing CA.

        Raises:
            CertsError: the issuing CA has expired, or nothing can be recorded.
        """
        leaf = profiles.ocsp_certificate(ca.issuer, public_key, now)
        self._ledger.record(leaf, issuing=ca.name, profile=PROFILE_OCSP, holder=None, grounds=BY_AUTHORITY, now=now)
        return leaf

    def _tls(self, identity: Identity, holder: Holder, now: dt.datetime, lifetime: dt.timedelta) -> Issued:
        return self.issue(PROFILE_TLS, identity, holder, now, lifetime)


def require_public_url(url: str) -> str:
    """The same, if it can be where revocation is answered for anybody (`Authority.set_public_url`).

    Raises:
        AuthorityError: it cannot.
    """
    if url and not _is_plain_http(url):
        raise AuthorityError(
            'the public address must be "http://host" or "http://host:port", without a path',
            "公开地址应为 “http://主机” 或 “http://主机:端口”，不带路径",
        )
    return url


def _is_plain_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return (
            url.isascii()
            and len(url) <= _MAX_URL_CHARS
            and bool(parts.hostname)
            and url == f"http://{parts.netloc}"
            and parts.port != 0
            and "@" not in parts.netloc
            and url.isprintable()
            and " " not in url
        )
    except ValueError:
        return False
