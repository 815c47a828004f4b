"""mTLS between a gateway and a remote adapter, from files, at both ends.

Owns: the files of one side, read anew when they change; which caller a server answers. The TLS itself, 1.3 only, is
that of `certs`, which no other module of the adapters uses. Refuses: system roots, and a caller that is known by
anything but the one URI name in its certificate.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
import structlog

from adapters.errors import AdapterError
from adapters.line import OPTIONS
from certs.chain import certificate_identity
from certs.errors import CertsError
from certs.files import read_public
from certs.grpc_credentials import channel_credentials, channel_options
from certs.identity import Identity
from certs.keys import PrivateKey, load_private_key
from certs.server_certificate import ServerCertificate

LOOK_EVERY_S: Final = 30.0
"""How often is looked whether files changed."""
_TLS13: Final = b"TLSv1.3"

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Certificate, key and roots of one side.

    Args:
        certificate: own certificate, then the CA that issued it, PEM.
        key: its private key, mode 0600.
        roots: the authorities under which the other side's certificate must lie.
        passphrase: of the key.
    """

    certificate: Path
    key: Path
    roots: Path
    passphrase: bytes | None = None

    def load(self) -> tuple[PrivateKey, bytes, bytes]:
        """Key, chain and roots.

        Raises:
            AdapterError: a file cannot be used.
        """
        try:
            key = load_private_key(self.key, passphrase=self.passphrase)
            return key, read_public(self.certificate), read_public(self.roots)
        except CertsError as error:
            raise AdapterError(error.en, error.zh) from error

    def stamp(self) -> object:
        """Another one whenever a file was replaced; files that are not there have one, too."""
        return tuple(map(_stamp, (self.certificate, self.key, self.roots)))


class FileChannels:
    """Opens channels with a certificate from files; see `adapters.line.Channels`.

    Args:
        files: own certificate, key and roots.

    Raises:
        AdapterError: a file cannot be used.
    """

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._looked_at = float("-inf")
        self._stamp = files.stamp()
        self._credentials = _credentials(files)

    def open(self, address: str, tls_name: str) -> grpc.aio.Channel:
        """A channel to an address where this name must be proven."""
        return grpc.aio.secure_channel(address, self._credentials, options=[*channel_options(tls_name), *OPTIONS])

    async def vouch(self, address: str, tls_name: str) -> None:
        """Who calls from files has no list of what was revoked."""

    def version(self) -> object:
        """The stamp of the files in use. Files that changed and cannot be used are left for the next look."""
        now = asyncio.get_running_loop().time()
        if now >= self._looked_at + LOOK_EVERY_S:
            self._looked_at = now
            stamp = self._files.stamp()
            if stamp != self._stamp:
                try:
                    self._credentials, self._stamp = _credentials(self._files), stamp
                except AdapterError as error:
                    _log.warning("changed certificate not used", error=error.en)
        return self._stamp


def server_certificate(files: TlsFiles) -> ServerCertificate:
    """What a port shows; peers must prove a certificate under the roots.

    Raises:
        AdapterError: a file cannot be used.
    """
    given = files.load()
    try:
        return ServerCertificate(*given)
    except CertsError as error:
        raise AdapterError(error.en, error.zh) from error


@contextlib.asynccontextmanager
async def following(files: TlsFiles, shown: ServerCertificate, address: str) -> AsyncIterator[None]:
    """For the length of the block, show what is in the files when it changes; the roots stay those of the start.

    Args:
        files: own certificate, key and roots.
        shown: at the port.
        address: host:port that it was bound to.
    """

    async def follow() -> None:
        stamp = files.stamp()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if files.stamp() == stamp:
                continue
            before, stamp = stamp, files.stamp()
            try:
                key, chain, _ = await asyncio.to_thread(files.load)
                await shown.replace(key, chain, address)
                _log.info("certificate renewed")
            except AdapterError as error:
                stamp = before
                _log.warning("changed certificate not used", error=error.en)

    task = asyncio.create_task(follow())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await shown.close()


def own_gateway(files: TlsFiles) -> str:
    """The URI of the gateway of the member that own certificate belongs to: who calls, where nobody else was named.

    Raises:
        AdapterError: the certificate is none of a federation.
    """
    try:
        own = certificate_identity(read_public(files.certificate))
    except CertsError as error:
        raise AdapterError(error.en, error.zh) from error
    return Identity.gateway(own.federation, own.member_id).uri


def own_tls_name(certificate: Path) -> str:
    """The DNS name that a certificate of a federation proves.

    Raises:
        AdapterError: it is none of a federation.
    """
    try:
        return certificate_identity(read_public(certificate)).tls_name
    except CertsError as error:
        raise AdapterError(error.en, error.zh) from error


def called_by(
    uri: str, revoked: Callable[[bytes], bool] = lambda _: False
) -> Callable[[Mapping[str, Iterable[bytes]]], bool]:
    """Whether the peer of a connection is this caller, over TLS 1.3 and known by this one URI name.

    A caller that has a DNS name, as every gateway has, must show that too. A CA that a member runs itself is bound to
    that member's DNS names by its certificate, which TLS heeds; to whose URIs it is bound, only the directory says.

    Args:
        uri: of the caller.
        revoked: whether a certificate, PEM, was taken back; one that cannot be read was.
    """
    expected = [uri.encode()]
    name = _tls_name(uri)

    def may_call(authentication: Mapping[str, Iterable[bytes]]) -> bool:
        return (
            list(authentication.get("ssl_tls_version", ())) == [_TLS13]
            and list(authentication.get("peer_uri", ())) == expected
            and (not name or name in authentication.get("peer_dns", ()))
            and not any(map(revoked, authentication.get("x509_pem_cert", (b"",))))
        )

    return may_call


def _tls_name(uri: str) -> bytes:
    """The DNS name of whoever a URI names; b"" where it has none, or the URI is none of a federation."""
    try:
        return Identity.parse(uri).tls_name.encode()
    except CertsError:
        return b""


def _credentials(files: TlsFiles) -> grpc.ChannelCredentials:
    given = files.load()
    try:
        return channel_credentials(*given)
    except CertsError as error:
        raise AdapterError(error.en, error.zh) from error


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
