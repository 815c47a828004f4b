"""Whether the certificate that a department's adapter shows was revoked, before it is asked.

A gRPC client in Python is not told its peer's certificate. So a handshake of our own is made with the same address now
and then, and what is shown there is held against the directory at every call. Whoever stands in between could show the
handshake another certificate than the call: against that, certificates end within thirty days.

Owns: that handshake, and how often. Refuses: judging anything but revocation, of the certificate or of its CA: names
and chains are the call's own affair, and so is an address where nobody answers.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from adapters.errors import SourceDownError
from gateway.clock import Clock
from gateway.errors import RefusedError, WuganError
from gateway.federation.directory import Directory

LOOK_EVERY_S: Final = 60.0
AGAIN_S: Final = 1.0
"""A certificate that was revoked may have been replaced: it is looked at again, no more often than this."""
HANDSHAKE_S: Final = 1.0


@dataclass(slots=True)
class _Seen:
    """What an address showed: DER, b"" where nobody answered, and when it was looked."""

    certificate: bytes = b""
    at: float = float("-inf")
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Shown:
    """See the module.

    Args:
        directory: the directory in force.
        roots: authorities of the federation, PEM.
        clock: paces handshakes.
    """

    def __init__(self, directory: Callable[[], Directory], roots: bytes, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_3
        self._context.load_verify_locations(cadata=roots.decode("ascii"))
        self._seen: dict[tuple[str, str], _Seen] = {}

    async def require_not_revoked(self, address: str, tls_name: str) -> None:
        """Return when what was shown at an address is not revoked, and neither is the CA that issued it.

        Raises:
            SourceDownError: it is, or the directory does not say.
        """
        seen = self._seen.setdefault((address, tls_name), _Seen())
        await self._look(seen, address, tls_name, LOOK_EVERY_S)
        if self._is_revoked(seen):
            await self._look(seen, address, tls_name, AGAIN_S)
            if self._is_revoked(seen):
                raise SourceDownError(
                    "the certificate of the department's adapter was revoked; it is not asked until it has another",
                    "该部门接入程序的证书已被吊销，更换证书前不再查询",
                )

    def _is_revoked(self, seen: _Seen) -> bool:
        if not seen.certificate:
            return False
        try:
            self._directory().require_believed(seen.certificate)
        except RefusedError:
            return True
        except WuganError as error:
            raise SourceDownError(error.en, error.zh) from error
        return False

    async def _look(self, seen: _Seen, address: str, tls_name: str, every_s: float) -> None:
        if self._clock.monotonic() < seen.at + every_s:
            return
        async with seen.lock:
            if self._clock.monotonic() < seen.at + every_s:
                return
            shown = await asyncio.to_thread(self._handshake, address, tls_name)
            seen.certificate = shown or seen.certificate
            seen.at = self._clock.monotonic()

    def _handshake(self, address: str, tls_name: str) -> bytes:
        """The certificate shown there; b"" where none is shown that proves the name."""
        host, _, port = address.rpartition(":")
        try:
            with (
                socket.create_connection((host.strip("[]"), int(port)), timeout=HANDSHAKE_S) as plain,
                self._context.wrap_socket(plain, server_hostname=tls_name) as encrypted,
            ):
                return encrypted.getpeercert(binary_form=True) or b""
        except (OSError, ValueError):
            return b""
