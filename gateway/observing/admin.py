"""The administrator's small HTTP server: figures for Prometheus, health for a monitor and for a person.

    GET /metrics        every figure (docs/operations/observability.md)
    GET /healthz        JSON; status 200, or 503 while something is failing
    GET /health         the same as a page, in Chinese; ?lang=en

Owns: HTTP, and what keeps it harmless: it only reads, says no more than the facts do, takes a few calls at a time, and,
bound to a loopback address, answers only to the names of this machine, so that no page of another site can look through
a browser that runs here. Refuses: TLS and logins: another machine reaches it through a proxy that has them.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from certs.system_words import cause
from gateway.errors import ConfigError
from gateway.observing import metrics
from gateway.observing.health import Health, Level, Report
from gateway.observing.instruments import exposition
from gateway.observing.page import POLICY, page

MAX_AT_ONCE: Final = 16
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": POLICY,
}
_THIS_MACHINE: Final = frozenset({"localhost", "127.0.0.1", "::1"})
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Admin:
    """The pages.

    Args:
        health: what is told.
        loopback: whether only names of this machine are answered to.
    """

    def __init__(self, health: Health, *, loopback: bool) -> None:
        self._health = health
        self._loopback = loopback
        self._at_once = 0

    def app(self) -> web.Application:
        """An application that serves them."""
        app = web.Application(middlewares=[self._guard], client_max_size=1 << 10)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/health", self._page)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._loopback and not _is_this_machine(request.host):
            response: web.StreamResponse = web.Response(status=421, text="this server answers on loopback only\n")
        elif self._at_once >= MAX_AT_ONCE:
            response = web.Response(status=503, text="too many requests at once\n")
        else:
            self._at_once += 1
            try:
                response = await handler(request)
            except web.HTTPException as error:
                response = web.Response(status=error.status, text=f"{error.reason}\n")
            finally:
                self._at_once -= 1
        response.headers.update(_HEADERS)
        return response

    async def _report(self) -> Report:
        report = await self._health.report()
        metrics.HEALTH.set(report.level)
        return report

    async def _metrics(self, request: web.Request) -> web.Response:
        await self._report()  # whoever tells of health sets figures too
        body, content_type = exposition(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _healthz(self, _request: web.Request) -> web.Response:
        report = await self._report()
        text = json.dumps(report.as_json(), ensure_ascii=False)
        status = 503 if report.level is Level.FAILING else 200
        return web.Response(text=text, status=status, content_type="application/json")

    async def _page(self, request: web.Request) -> web.Response:
        report = await self._report()
        text = page(report, chinese=request.query.get("lang") != "en")
        return web.Response(text=text, content_type="text/html")


@contextlib.asynccontextmanager
async def serving_admin(health: Health, listen: str) -> AsyncIterator[str]:
    """Serve at "host:port" for the length of the block; yields the address bound.

    Raises:
        ConfigError: it cannot be bound.
    """
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    admin = Admin(health, loopback=_is_loopback(host))
    runner = web.AppRunner(admin.app(), access_log=None, handle_signals=False, keepalive_timeout=10.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, int(port), backlog=32)
        try:
            await site.start()
        except OSError as error:
            raise ConfigError(
                f"observability.listen: cannot listen on {listen} ({cause(error).en}); is the port taken?",
                f"observability.listen：无法监听 {listen}（{cause(error).zh}），端口可能已被占用",
                field="observability.listen",
            ) from error
        yield f"{listen.rpartition(':')[0]}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_this_machine(host: str) -> bool:
    """Whether an HTTP Host header names this machine."""
    try:
        return urlsplit(f"//{host}").hostname in _THIS_MACHINE
    except ValueError:
        return False
