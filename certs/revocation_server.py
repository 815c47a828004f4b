"""Where anybody asks about revocation: lists, OCSP and the issuing CAs' certificates, as aiohttp routes.

Owns: paths, headers and status codes. Refuses: bodies and paths that are too large, and names that are not there.

    GET   /crl/<issuing>.crl     revocation list, DER (RFC 2585)
    GET   /ca/<issuing>.cer      certificate of an issuing CA, DER
    POST  /ocsp                  RFC 6960 appendix A
    GET   /ocsp/<request>        the same, in Base64 within the path

Everything served here is signed and public: plain HTTP is meant, since whoever checks a TLS certificate cannot ask over
TLS. `revocation_routes` go into the authority's own application too.
"""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote

from aiohttp import web

from certs import ocsp_responder
from certs.errors import CertsError, RevocationError
from certs.ocsp_responder import OcspAnswer, OcspResponder
from certs.revocation import Revocation
from certs.web import Workers, bounded_body

OCSP_REQUEST: Final = "application/ocsp-request"
OCSP_RESPONSE: Final = "application/ocsp-response"
CRL: Final = "application/pkix-crl"
CERTIFICATE: Final = "application/pkix-cert"

_MAX_PATH_CHARS: Final = ocsp_responder.MAX_REQUEST_BYTES * 2
_NOT_KEPT: Final = {"Cache-Control": "no-store"}
# Half of how long an answer is good for (RFC 5019 section 6.2); a list changes with every revocation.
_KEPT: Final = {"Cache-Control": "max-age=300, public, no-transform, must-revalidate"}
_KEPT_BRIEFLY: Final = {"Cache-Control": "max-age=60, public, no-transform, must-revalidate"}


def revocation_app(
    revocation: Revocation,
    responder: OcspResponder,
    now: Callable[[], dt.datetime],
    fault: Callable[[CertsError], None] = lambda error: None,
) -> web.Application:
    """An application with nothing but `revocation_routes`, for the plain-HTTP port."""
    app = web.Application()
    app.add_routes(revocation_routes(revocation, responder, now, fault))
    return app


def revocation_routes(
    revocation: Revocation,
    responder: OcspResponder,
    now: Callable[[], dt.datetime],
    fault: Callable[[CertsError], None] = lambda error: None,
) -> list[web.RouteDef]:
    """The routes, for `Application.add_routes`.

    Args:
        revocation: makes the lists.
        responder: answers OCSP.
        now: the time, with time zone.
        fault: is told what is out of order with the authority itself; clients are told only that something is.
    """
    server = _RevocationServer(revocation, responder, now, fault)
    return [
        web.get("/crl/{name}.crl", server.crl),
        web.get("/ca/{name}.cer", server.issuing_certificate),
        web.post("/ocsp", server.ocsp_post),
        web.get("/ocsp/{request:.+}", server.ocsp_get, allow_head=False),
    ]


class _RevocationServer:
    def __init__(
        self,
        revocation: Revocation,
        responder: OcspResponder,
        now: Callable[[], dt.datetime],
        fault: Callable[[CertsError], None],
    ) -> None:
        self._revocation = revocation
        self._responder = responder
        self._now = now
        self._fault = fault
        self._workers = Workers()

    async def crl(self, request: web.Request) -> web.Response:
        return await self._file(CRL, self._revocation.crl, request.match_info["name"], self._now())

    async def issuing_certificate(self, request: web.Request) -> web.Response:
        return await self._file(CERTIFICATE, self._revocation.issuing_certificate, request.match_info["name"])

    async def _file(self, kind: str, make: Callable[..., bytes], *values: object) -> web.Response:
        try:
            body = await self._workers.run(make, *values)
        except RevocationError as error:
            return web.Response(status=404, text=f"{error.en}\n{error.zh}\n")
        except CertsError as error:
            return self._out_of_order(error)
        return web.Response(body=body, headers={"Content-Type": kind, **_KEPT_BRIEFLY})

    async def ocsp_post(self, request: web.Request) -> web.Response:
        if request.content_type != OCSP_REQUEST:
            raise web.HTTPUnsupportedMediaType(text=f"expected {OCSP_REQUEST}\n")
        answer = await self._answer(await bounded_body(request, ocsp_responder.MAX_REQUEST_BYTES))
        return answer if isinstance(answer, web.Response) else _ocsp(answer, _NOT_KEPT)

    async def ocsp_get(self, request: web.Request) -> web.Response:
        # From the path as it came: its Base64 may hold "/" and "+", escaped or not.
        text = request.rel_url.raw_path.partition("/ocsp/")[2]
        if len(text) > _MAX_PATH_CHARS:
            raise web.HTTPRequestURITooLong(text="too long\n")
        try:
            der = base64.b64decode(unquote(text), validate=True)
        except ValueError:
            der = b""
        answer = await self._answer(der)
        if isinstance(answer, web.Response):
            return answer
        return _ocsp(answer, _KEPT if answer.cacheable else _NOT_KEPT)

    async def _answer(self, der: bytes) -> OcspAnswer | web.Response:
        try:
            return await self._workers.run(self._responder.answer, der, self._now())
        except CertsError as error:
            return self._out_of_order(error)

    def _out_of_order(self, error: CertsError) -> web.Response:
        self._fault(error)
        return web.Response(status=503, text="the authority is out of order\n", headers={"Retry-After": "5"})


def _ocsp(answer: OcspAnswer, headers: dict[str, str]) -> web.Response:
    return web.Response(body=answer.der, headers={"Content-Type": OCSP_RESPONSE, **headers})
