"""TLS of the authority's own service: its certificate, renewed by itself, and who is at the other end.

Owns: `tls/key.pem` and `tls/certificate.pem` in the authority's folder; TLS 1.3 with a client certificate where one is
shown; reading the client's identity. Refuses: deciding what a client may do.
"""

from __future__ import annotations

import datetime as dt
import ssl
from pathlib import Path

from aiohttp import web
from cryptography import x509

from certs import keys
from certs.authority import Authority
from certs.chain import parse_identity
from certs.errors import CertsError
from certs.files import PUBLIC, read_public, write_file
from certs.identity import ROLE_GATEWAY, Identity
from gateway.errors import ConfigError, RefusedError
from wugan.federation.v1 import vocabulary_pb2 as words

_FOLDER, _KEY, _CERTIFICATE = "tls", "key.pem", "certificate.pem"


class ServerTls:
    """The service's TLS, which is renewed while it runs.

    Args:
        folder: the authority's.
        authority: issues the certificate.
        passphrase: of the keys in daily use.
    """

    def __init__(self, folder: Path, authority: Authority, passphrase: bytes | None) -> None:
        self._folder = folder / _FOLDER
        self._authority = authority
        self._passphrase = passphrase
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_3
        self.context.verify_mode = ssl.CERT_OPTIONAL
        self.context.load_verify_locations(cadata=authority.root_pem.decode("ascii"))

    def renew(self, now: dt.datetime) -> bool:
        """Have a certificate that is good for another third of its life; whether it is a new one.

        Raises:
            ConfigError: it cannot be issued, written or read.
        """
        try:
            renewed = self._due(now)
            if renewed:
                self._issue(now)
            password = None if self._passphrase is None else self._passphrase.decode()
            self.context.load_cert_chain(self._folder / _CERTIFICATE, self._folder / _KEY, password)
        except CertsError as error:
            raise ConfigError(error.en, error.zh) from error
        except (OSError, ssl.SSLError, ValueError) as error:
            raise ConfigError(
                f"{self._folder}: the service's certificate cannot be used; remove the folder to have a new one",
                f"{self._folder}：服务证书无法使用，可删除该目录以重新签发",
            ) from error
        return renewed

    def _due(self, now: dt.datetime) -> bool:
        path = self._folder / _CERTIFICATE
        if not path.exists():
            return True
        leaf = x509.load_pem_x509_certificate(read_public(path))
        begin, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
        return now > begin + (end - begin) * 2 / 3

    def _issue(self, now: dt.datetime) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        key_file = self._folder / _KEY
        if not key_file.exists():
            keys.store_private_key(key_file, keys.generate_tls_key(), passphrase=self._passphrase)
        key = keys.load_private_key(key_file, passphrase=self._passphrase)
        issued = self._authority.issue_authority_tls(key.public_key(), now=now)
        write_file(self._folder / _CERTIFICATE, issued.pem, mode=PUBLIC, replace=True)


def client(request: web.Request, federation: str) -> tuple[Identity, bytes]:
    """The gateway at the other end, and its certificate, DER; TLS has verified its chain.

    Raises:
        RefusedError: STRANGER; it showed no certificate, or not that of a gateway of this federation.
    """
    channel = request.transport.get_extra_info("ssl_object") if request.transport else None
    certificate = channel.getpeercert(binary_form=True) if channel else None
    try:
        identity = parse_identity(certificate or b"")
    except CertsError as error:
        raise _stranger() from error
    if certificate is None or identity.federation != federation or identity.role != ROLE_GATEWAY:
        raise _stranger()
    return identity, certificate


def _stranger() -> RefusedError:
    return RefusedError(
        "only a member's gateway may do this; connect with its TLS certificate",
        "仅成员网关可执行此操作，请使用其 TLS 证书连接",
        reason=words.REFUSAL_REASON_STRANGER,
    )
