"""The authority's EST server (RFC 7030, with the clarifications of RFC 8951) as an aiohttp application.

Owns: paths, headers, status codes. The decisions are `certs.enrolment`'s, the formats `certs.est_wire`'s. Refuses:
bodies that are too large or of another kind, methods and labels that are not there, and speaking without TLS.

Mount it under "/.well-known/est":

    GET   [/<label>]/cacerts          root and issuing CAs
    GET   [/<label>]/csrattrs         the kind of key that the label wants
    POST  [/<label>]/simpleenroll     HTTP Basic: a one-time token's id and secret
    POST  [/<label>]/simplereenroll   the TLS certificate that is to be renewed

The label is "tls", which may be left out, or "signing". The server's TLS context must ask for client certificates
without requiring them (`ssl.CERT_OPTIONAL`) and trust the federation root only: see `certs.server_tls`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from certs import est_wire
from certs.enrolment import LABELS, Enrolment
from certs.errors import CertsError, EnrolmentError, Refusal
from certs.records import LeafProfile
from certs.web import Workers, bounded_body, tls_peer

_CHALLENGE: Final = {"WWW-Authenticate": 'Basic realm="enrolment", charset="UTF-8"'}
STATUS: Final[dict[Refusal, int]] = {"malformed": 400, "unauthenticated": 401, "forbidden": 403}
"""HTTP status of each kind of refusal."""
_RETRY: Final = {"Retry-After": "5"}


Refused = Callable[[str, EnrolmentError, bytes | None], None]
"""Is told of whom a certificate was refused: path, why, and the TLS certificate shown, DER."""


def est_app(
    enrolment: Enrolment,
    now: Callable[[], dt.datetime],
    fault: Callable[[CertsError], None] = lambda _error: None,
    refused: Refused = lambda _path, _error, _shown: None,
) -> web.Application:
    """The EST server, to be mounted with `add_subapp("/.well-known/est", …)`.

    Args:
        enrolment: decides.
        now: the time, with time zone.
        fault: is told what is out of order with the authority itself; clients are told only that something is.
        refused: is told what clients are refused for, as they are.
    """
    server = _EstServer(enrolment, now, fault, refused)
    app = web.Application()
    for prefix in ("", "/{label}"):
        app.router.add_get(f"{prefix}/cacerts", server.ca_certificates, allow_head=False)
        app.router.add_get(f"{prefix}/csrattrs", server.csr_attributes, allow_head=False)
        app.router.add_post(f"{prefix}/simpleenroll", server.enrol)
        app.router.add_post(f"{prefix}/simplereenroll", server.renew)
    return app


class _EstServer:
    def __init__(
        self,
        enrolment: Enrolment,
        now: Callable[[], dt.datetime],
        fault: Callable[[CertsError], None],
        refused: Refused,
    ) -> None:
        self._enrolment = enrolment
        self._now = now
        self._fault = fault
        self._refused = refused
        self._workers = Workers()

    async def ca_certificates(self, request: web.Request) -> web.Response:
        _profile(request)
        return await self._answered(request, self._ca_certificates())

    async def _ca_certificates(self) -> bytes:
        return est_wire.certs_only(await self._workers.run(self._enrolment.ca_certificates))

    async def csr_attributes(self, request: web.Request) -> web.Response:
        body = est_wire.csr_attributes(_profile(request))
        return web.Response(body=body, headers={"Content-Type": est_wire.CSR_ATTRIBUTES, **est_wire.TRANSFER_ENCODING})

    async def enrol(self, request: web.Request) -> web.Response:
        profile = _profile(request)
        credentials = est_wire.parse_basic(request.headers.get("Authorization", ""))
        body = await _request_body(request)
        if credentials is None:
            return _text(
                401,
                "enrol with a one-time token: its id as user name, its secret as password",
                "请凭一次性令牌登记：用户名为令牌标识，密码为令牌密钥",
                _CHALLENGE,
            )
        return await self._answered(request, self._enrol(profile, body, *credentials))

    async def _enrol(self, profile: LeafProfile, body: bytes, token_id: str, secret: str) -> bytes:
        now = self._now()
        leaf = await self._workers.run(self._enrolment.with_token, profile, body, token_id, secret, now)
        return est_wire.certs_only([leaf])

    async def renew(self, request: web.Request) -> web.Response:
        profile = _profile(request)
        body = await _request_body(request)
        return await self._answered(request, self._renew(profile, body, tls_peer(request)))

    async def _renew(self, profile: LeafProfile, body: bytes, client_der: bytes | None) -> bytes:
        now = self._now()
        leaf = await self._workers.run(self._enrolment.with_certificate, profile, body, client_der, now)
        return est_wire.certs_only([leaf])

    async def _answered(self, request: web.Request, work: Awaitable[bytes]) -> web.Response:
        try:
            body = await work
        except EnrolmentError as error:
            self._refused(request.path, error, tls_peer(request))
            status = STATUS[error.refusal]
            return _text(status, error.en, error.zh, _CHALLENGE if status == 401 else None)
        except CertsError as error:
            # What exactly is the administrator's business.
            self._fault(error)
            return _text(503, "the authority is out of order", "管理机构暂时故障", _RETRY)
        return web.Response(body=body, headers={"Content-Type": est_wire.CERTS_ONLY, **est_wire.TRANSFER_ENCODING})


def _profile(request: web.Request) -> LeafProfile:
    # What a token or a certificate is worth depends on TLS; a server misconfigured to speak without must not enrol.
    if not request.secure:
        raise web.HTTPForbidden(text="EST is spoken over TLS only\nEST 仅经 TLS 提供\n")
    profile = LABELS.get(request.match_info.get("label", ""))
    if profile is None:
        there = ", ".join(filter(None, LABELS))
        raise web.HTTPNotFound(text=f"no such label; there are {there}\n没有该标签，可用的有 {there}\n")
    return profile


async def _request_body(request: web.Request) -> bytes:
    if request.content_type != est_wire.PKCS10:
        raise web.HTTPUnsupportedMediaType(text=f"expected {est_wire.PKCS10}\n请求体类型应为 {est_wire.PKCS10}\n")
    return await bounded_body(request, est_wire.MAX_REQUEST_BYTES)


def _text(status: int, en: str, zh: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(status=status, text=f"{en}\n{zh}\n", headers=headers)
