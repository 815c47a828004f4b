"""The authority's own TLS server certificate: made when the server starts, replaced while it runs.

Owns: a key that never leaves the process, its certificate, and when to replace both. Refuses: TLS below 1.3; client
certificates are asked for, and verified under the federation root when given.

    server = ServerTls(authority, now())
    site = web.TCPSite(runner, host, port, ssl_context=server.context)
    …and every few minutes: server.renew_if_due(now())
"""

from __future__ import annotations

import datetime as dt
import ssl

from certs import keys
from certs.authority import Authority
from certs.profiles import STEP_BACK
from certs.tls_context import HandshakeFailed, load_identity, server_context


class ServerTls:
    """A TLS context that stays valid for as long as `renew_if_due` is called."""

    def __init__(self, authority: Authority, now: dt.datetime, failed: HandshakeFailed | None = None) -> None:
        """Make the first certificate.

        Args:
            authority: issues it.
            now: the time.
            failed: is told of handshakes that fail.

        Raises:
            CertsError: the authority cannot issue one.
        """
        self._authority = authority
        key = keys.generate_tls_key()
        issued = authority.issue_authority_tls(key.public_key(), now=now)
        self._made, self._due = now, _due(now, issued.certificate.not_valid_after_utc)
        self._context = server_context(key, issued.pem, authority.root_pem, failed)

    @property
    def context(self) -> ssl.SSLContext:
        """The one context to serve with."""
        return self._context

    def renew_if_due(self, now: dt.datetime) -> bool:
        """Replace key and certificate when two thirds of its life are over, and when the clock went back to before it
        was made: nobody would believe it yet. Connections that are open stay open.

        Raises:
            CertsError: the authority cannot issue one; the present certificate is kept, and the next call tries again.
        """
        if self._made - STEP_BACK <= now < self._due:
            return False
        key = keys.generate_tls_key()
        issued = self._authority.issue_authority_tls(key.public_key(), now=now)
        load_identity(self._context, key, issued.pem)
        self._made, self._due = now, _due(now, issued.certificate.not_valid_after_utc)
        return True


def _due(now: dt.datetime, end: dt.datetime) -> dt.datetime:
    return now + (end - now) * 2 / 3
