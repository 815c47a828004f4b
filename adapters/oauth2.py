"""Tokens by OAuth 2.0 client credentials (RFC 6749, 4.4), one for all requests until shortly before it expires.

Owns: asking for a token once, however many requests wait for it, and how long it is used. Refuses: sending it on to any
address but the interface's, and keeping it anywhere but in memory.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from urllib.parse import quote_plus

import aiohttp

from adapters.manifest.credentials import OAuth2
from certs.system_words import cut_off

_MAX_ANSWER_BYTES = 64 * 1024
_USUAL_S, _LONGEST_S = 300, 86_400
_EARLY_S = 30
_HTTP_OK, _HTTP_BUSY, _HTTP_SERVER = 200, 429, 500


class TokenError(Exception):
    """There is no token: `en` and `zh` say what was wrong, without a secret."""

    def __init__(self, en: str, zh: str) -> None:
        super().__init__(en)
        self.en = en
        self.zh = zh


class TokenRefusedError(TokenError):
    """No token is given."""


class TokenDownError(TokenError):
    """Nobody answers at the token's address, or not now."""


class Tokens:
    """The token of one interface.

    Args:
        settings: where and how.
        client_id, client_secret: revealed.
        now_ms: Unix time in milliseconds.
    """

    def __init__(self, settings: OAuth2, client_id: str, client_secret: str, now_ms: Callable[[], int]) -> None:
        self._settings = settings
        self._client_id = client_id
        self._client_secret = client_secret
        self._now_ms = now_ms
        self._token = ""
        self._until_ms = 0
        self._asking = asyncio.Lock()

    async def token(self, session: aiohttp.ClientSession, *, instead_of: str = "") -> str:
        """A token, another one than the one that was refused.

        Raises:
            TokenRefusedError: the server gives none.
            TokenDownError: it does not answer.
        """
        async with self._asking:
            if not self._token or self._token == instead_of or self._now_ms() >= self._until_ms:
                self._token, seconds = await self._fetch(session)
                early = min(_EARLY_S, seconds // 10)
                self._until_ms = self._now_ms() + (seconds - early) * 1_000
            return self._token

    async def _fetch(self, session: aiohttp.ClientSession) -> tuple[str, int]:
        form = {"grant_type": "client_credentials"}
        if self._settings.scope:
            form["scope"] = self._settings.scope
        headers = {"Accept": "application/json"}
        if self._settings.secret_in == "header":  # noqa: S105  no secret
            # Both parts are form-encoded before they are joined (RFC 6749, 2.3.1).
            pair = f"{quote_plus(self._client_id)}:{quote_plus(self._client_secret)}"
            headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        else:
            form |= {"client_id": self._client_id, "client_secret": self._client_secret}
        try:
            async with session.post(
                self._settings.token_url, data=form, headers=headers, allow_redirects=False
            ) as response:
                if response.status >= _HTTP_SERVER or response.status == _HTTP_BUSY:
                    raise TokenDownError(
                        f"HTTP status {response.status} for a token", f"令牌请求 HTTP 状态 {response.status}"
                    )
                if response.status != _HTTP_OK:
                    raise TokenRefusedError(
                        f"HTTP status {response.status} for a token", f"令牌请求 HTTP 状态 {response.status}"
                    )
                data = b""
                async for part in response.content.iter_chunked(_MAX_ANSWER_BYTES):
                    data += part
                    if len(data) > _MAX_ANSWER_BYTES:
                        raise TokenRefusedError("the answer for a token is too large", "令牌应答过大")
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            why = cut_off(error)
            raise TokenDownError(f"no token ({why.en})", f"未取得令牌：{why.zh}") from error
        return _read(data)


def _read(data: bytes) -> tuple[str, int]:
    """Token and seconds of an answer (RFC 6749, 5.1)."""
    try:
        answer = json.loads(data)
        token, kind = answer["access_token"], answer.get("token_type", "Bearer")
        seconds = int(answer.get("expires_in") or _USUAL_S)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise TokenRefusedError("the answer for a token is none of OAuth 2.0", "令牌应答不符合 OAuth 2.0") from error
    if not isinstance(token, str) or not token or not (token.isascii() and token.isprintable()) or " " in token:
        raise TokenRefusedError("the token is none", "令牌无效")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise TokenRefusedError("the token is no bearer token", "令牌不是 bearer 类型")
    return token, min(max(seconds, 1), _LONGEST_S)
