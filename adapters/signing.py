"""Signing requests to an interface by its declared recipe.

Owns: filling the recipe in and the digest. Refuses: choosing a recipe, and keeping a nonce: every try of a request has
its own.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable

from yarl import URL

from adapters.manifest.credentials import Signing

_PLACE = re.compile(r"\$[a-z_0-9]+")
_SECOND_MS = 1_000


class Signer:
    """Makes the headers that sign a request.

    Args:
        settings: the recipe.
        identity: of this adapter at the platform.
        token: the shared secret.
        now_ms: Unix time in milliseconds.

    Raises:
        ValueError: this machine's OpenSSL lacks the method.
    """

    def __init__(self, settings: Signing, identity: str, token: str, now_ms: Callable[[], int]) -> None:
        self._settings = settings
        self._identity = identity
        self._token = token
        self._now_ms = now_ms
        self._hash = settings.method.removeprefix("hmac-")
        hashlib.new(self._hash)

    def headers(self, method: str, url: URL, body: bytes) -> dict[str, str]:
        """Headers for one try of one request."""
        now = self._now_ms()
        places = {
            "$timestamp": str(now if self._settings.timestamp == "ms" else now // _SECOND_MS),
            "$nonce": secrets.token_hex(16),
            "$token": self._token,
            "$id": self._identity,
            "$method": method,
            "$path": url.raw_path,
            "$query": url.raw_query_string,
            "$body": body.decode("utf-8", "replace"),
            "$body_sha256": hashlib.sha256(body).hexdigest(),
        }
        places["$signature"] = self._signature(_filled(self._settings.signed, places).encode())
        return {name: _filled(value, places) for name, value in self._settings.sent.items()}

    def _signature(self, text: bytes) -> str:
        if self._settings.method.startswith("hmac-"):
            digest = hmac.new(self._token.encode(), text, self._hash).digest()
        else:
            digest = hashlib.new(self._hash, text).digest()
        if self._settings.encoding == "base64":
            return base64.b64encode(digest).decode()
        return digest.hex().upper() if self._settings.encoding == "HEX" else digest.hex()


def _filled(template: str, places: dict[str, str]) -> str:
    """In one pass: what stands in a place is never taken for a place."""
    return _PLACE.sub(lambda found: places.get(found[0], found[0]), template)
