"""Certificate files of an agency, or of a department's adapter: enrolled with a token, renewed with themselves.

    key.pem            TLS key, mode 0600
    certificate.pem    its certificate, then the issuing CA's
    roots.pem          the federation root
    next-….pem         a renewal under way

Owns: these files, in a folder that agency.toml or a manifest names, so that after a crash at any moment the same
command completes what was begun. Refuses: speaking EST (`certs.est_client`), and a certificate that does not lead to
the root it was given beforehand. Whoever reads the files while a renewal puts them in place may meet key and
certificate that do not match, for an instant; reading them again helps.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from certs import keys
from certs.chain import certificate_identity, load_roots
from certs.errors import EnrolmentError, KeyFileError
from certs.est_client import EstClient
from certs.files import PUBLIC, read_public, write_file
from certs.identity import Identity
from certs.keys import PrivateKey
from certs.requests import chain_pem, require_chain
from certs.system_words import cause
from certs.tls_context import client_context
from gateway.federation.enrolling import Token
from gateway.sections.trust import AuthoritySettings

KEY: Final = "key.pem"
CERTIFICATE: Final = "certificate.pem"
ROOTS: Final = "roots.pem"
_NEXT: Final = "next-"


@dataclass(frozen=True, slots=True)
class HolderFiles:
    """The files of one holder.

    Args:
        folder: where they are; made with mode 0700.
        authority: where certificates come from.
    """

    folder: Path
    authority: AuthoritySettings

    async def enrol(self, roots_pem: bytes, token: Token, now: dt.datetime) -> Identity:
        """The first certificate; whose it is, as the token said.

        Raises:
            CertsError: the authority cannot be reached or refuses, or a file cannot be written or is there already.
        """
        if (self.folder / CERTIFICATE).exists():
            raise KeyFileError(
                f"{self.folder}: there is a certificate already; renew it", f"{self.folder}：证书已存在，请使用续期"
            )
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise KeyFileError(
                f"{self.folder}: cannot be made ({cause(error).en})", f"{self.folder}：无法创建（{cause(error).zh}）"
            ) from error
        # The same key every time: the authority answers a token that was used for it with the same certificate.
        key = _key(self.folder / KEY)
        async with self._est(roots_pem) as est:
            enrolled = await est.simpleenroll(_request(key), token.token_id, token.secret)
        identity, chain = _judged(enrolled.pem, key, roots_pem, now)
        write_file(self.folder / ROOTS, roots_pem, mode=PUBLIC, replace=True)
        write_file(self.folder / CERTIFICATE, chain, mode=PUBLIC, replace=True)
        return identity

    async def renew(self, now: dt.datetime) -> Identity:
        """Another key and certificate, on the strength of the present ones.

        Raises:
            CertsError: as `enrol`; the present ones stay.
        """
        self._complete()
        roots_pem = read_public(self.folder / ROOTS)
        present = keys.load_private_key(self.folder / KEY)
        key = _key(self.folder / (_NEXT + KEY))
        async with self._est(roots_pem, present, read_public(self.folder / CERTIFICATE)) as est:
            enrolled = await est.simplereenroll(_request(key))
        identity, chain = _judged(enrolled.pem, key, roots_pem, now)
        held = certificate_identity(read_public(self.folder / CERTIFICATE))
        if identity != held:
            raise EnrolmentError("forbidden", "the certificate names someone else", "证书属于他人")
        write_file(self.folder / (_NEXT + CERTIFICATE), chain, mode=PUBLIC, replace=True)
        self._complete()
        return identity

    def _complete(self) -> None:
        """Put a renewal in place whose certificate is there: the key first, so what is left says what is to be done."""
        if not (self.folder / (_NEXT + CERTIFICATE)).exists():
            return
        try:
            for name in (KEY, CERTIFICATE):
                if (self.folder / (_NEXT + name)).exists():
                    (self.folder / (_NEXT + name)).replace(self.folder / name)
        except OSError as error:
            raise KeyFileError(
                f"{self.folder}: cannot be written ({cause(error).en})", f"{self.folder}：无法写入（{cause(error).zh}）"
            ) from error

    def _est(self, roots_pem: bytes, key: PrivateKey | None = None, certificate: bytes = b"") -> EstClient:
        context = client_context(roots_pem, key, certificate)
        return EstClient(self.authority.url, context, tls_name=self.authority.tls_name)


def _key(path: Path) -> PrivateKey:
    if not path.exists():
        keys.store_private_key(path, keys.generate_tls_key())
    return keys.load_private_key(path)


def _request(key: PrivateKey) -> x509.CertificateSigningRequest:
    # Without names: whose it is to be, the token or the present certificate says.
    return x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())


def _judged(pem: bytes, key: PrivateKey, roots_pem: bytes, now: dt.datetime) -> tuple[Identity, bytes]:
    identity = certificate_identity(pem)
    return identity, chain_pem(require_chain(pem, key, identity, load_roots(roots_pem), now))
