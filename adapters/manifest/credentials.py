"""How an interface wants to be shown who asks: a token it gives by OAuth 2.0, or a signature in every request.

Owns: the settings of both. Refuses: fetching tokens (`adapters.oauth2`) and signing (`adapters.signing`).
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, SecretStr, StringConstraints, model_validator

from adapters.manifest.addresses import Address
from adapters.manifest.vocabulary import Settings, problem

PLACES = ("$timestamp", "$nonce", "$token", "$id", "$method", "$path", "$query", "$body_sha256", "$body")
_PLACE = re.compile(r"\$[a-z_0-9]+")
_TIF = {
    "x-tif-paasid": "$id",
    "x-tif-timestamp": "$timestamp",
    "x-tif-nonce": "$nonce",
    "x-tif-signature": "$signature",
}


class OAuth2(Settings):
    """A token by client credentials (RFC 6749, 4.4), kept until shortly before it expires.

    Args:
        token_url: where tokens are given.
        client_id, client_secret: of this adapter; may hold `${VARIABLE}` or be `file:PATH`.
        scope: asked for, if the interface wants one.
        secret_in: `header` (HTTP Basic, what RFC 6749 asks of every server) or `body`.
    """

    token_url: Address
    client_id: SecretStr
    client_secret: SecretStr
    scope: Annotated[str, StringConstraints(max_length=500)] = ""
    secret_in: Literal["header", "body"] = "header"  # noqa: S105  no secret


class Signing(Settings):
    """A signature over every request, as provincial platforms ask.

    Args:
        style: `tif`: the headers x-tif-paasid, x-tif-timestamp, x-tif-nonce and x-tif-signature, the last being SHA-256
            of timestamp, token, nonce, timestamp; or what follows.
        id: of this adapter at the platform.
        token: the shared secret; in `text` or, with an HMAC, its key.
        headers: to be sent; values are texts with the places $signature and those of `text`.
        text: what is signed, with the places $timestamp $nonce $token $id $method $path $query $body $body_sha256.
        method: by which.
        encoding: of the signature; HEX is hex in capitals.
        timestamp: seconds or milliseconds since 1970.
    """

    style: Literal["tif"] | None = None
    id: SecretStr = SecretStr("")
    token: SecretStr
    headers: dict[str, Annotated[str, StringConstraints(max_length=500)]] = Field({}, max_length=20)
    text: Annotated[str, StringConstraints(max_length=1000)] = ""
    method: Literal["sha256", "sm3", "hmac-sha256", "hmac-sm3"] = "sha256"
    encoding: Literal["hex", "HEX", "base64"] = "hex"
    timestamp: Literal["s", "ms"] = "s"

    @model_validator(mode="after")
    def _complete(self) -> Signing:
        if (self.style is None) != (bool(self.headers) and bool(self.text)):
            raise problem("give `style: tif`, or `headers` and `text`", "请写 style: tif，或写 headers 与 text")
        for text, places in (
            (self.text, PLACES),
            *((value, (*PLACES, "$signature")) for value in self.headers.values()),
        ):
            unknown = set(_PLACE.findall(text)) - set(places)
            if unknown:
                raise problem(f"no such place: {min(unknown)}", f"没有此占位符：{min(unknown)}")
        if self.headers and not any("$signature" in value for value in self.headers.values()):
            raise problem("no header holds $signature", "没有请求头含 $signature")
        if self.text and "$timestamp" not in self.text:
            raise problem(
                "the signed text lacks $timestamp: whoever overhears a request could repeat it for ever",
                "签名内容缺少 $timestamp，请求被截获后可无限重放",
            )
        if self.text and not self.method.startswith("hmac") and "$token" not in self.text:
            raise problem("without an HMAC the signed text needs $token", "非 HMAC 方式的签名内容须含 $token")
        return self

    @property
    def sent(self) -> dict[str, str]:
        """The headers, whichever way they were given."""
        return _TIF if self.style == "tif" else self.headers

    @property
    def signed(self) -> str:
        """The text, whichever way it was given."""
        return "$timestamp$token$nonce$timestamp" if self.style == "tif" else self.text
