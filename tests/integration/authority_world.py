"""An authority that serves EST, revocation lists and OCSP on loopback, and the tools of others to ask it with."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from certs.authority import Authority
from certs.enrolment import Enrolment
from certs.errors import CertsError, EnrolmentError
from certs.est_server import est_app
from certs.identity import Identity
from certs.ocsp_responder import OcspResponder
from certs.records import Token
from certs.revocation import Revocation
from certs.revocation_server import revocation_app, revocation_routes
from certs.server_tls import ServerTls

FEDERATION = "test.wugan.internal"
MEMBER = "11330000002482285J"
TLS_NAME = f"authority.{FEDERATION}"
ROOT_PASSPHRASE = b"root"


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@dataclass
class Ran:
    """What a command did."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode("utf-8", "replace")


async def run(*command: str | Path, stdin: bytes = b"", cwd: Path | None = None) -> Ran:
    """Run a command while the servers of this process go on."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=cwd,
    )
    async with asyncio.timeout(300):
        out, err = await process.communicate(stdin)
    assert process.returncode is not None
    return Ran(process.returncode, out, err.decode("utf-8", "replace"))


async def must(*command: str | Path, stdin: bytes = b"", cwd: Path | None = None) -> Ran:
    """Run a command that must succeed."""
    ran = await run(*command, stdin=stdin, cwd=cwd)
    assert ran.code == 0, f"{' '.join(map(str, command))}\n{ran.text}\n{ran.err}"
    return ran


@dataclass
class ServedAuthority:
    """An authority and its two ports."""

    authority: Authority
    revocation: Revocation
    tls_port: int
    plain_port: int
    faults: list[CertsError] = field(default_factory=list)
    refused: list[tuple[str, str, bytes | None]] = field(default_factory=list)

    @property
    def est(self) -> str:
        """Address of EST by the name that the certificate proves."""
        return f"https://{TLS_NAME}:{self.tls_port}/.well-known/est"

    @property
    def plain(self) -> str:
        return f"http://127.0.0.1:{self.plain_port}"

    def token(self, holder: Identity | None = None) -> Token:
        holder = holder or Identity.gateway(FEDERATION, MEMBER)
        return self.authority.ledger.tokens.make(holder, now(), dt.timedelta(hours=1))


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[ServedAuthority]:
    """An authority that serves."""
    # From half an hour ago, so that "now" is well within the life of everything.
    made = now() - dt.timedelta(minutes=30)
    authority = Authority.create(folder, FEDERATION, now=made, root_passphrase=ROOT_PASSPHRASE)
    revocation, responder = Revocation(authority), OcspResponder(authority)
    faults: list[CertsError] = []
    refusals: list[tuple[str, str, bytes | None]] = []

    def refused(path: str, error: EnrolmentError, shown: bytes | None) -> None:
        refusals.append((path, error.refusal, shown))

    main = web.Application()
    main.add_subapp("/.well-known/est", est_app(Enrolment(authority), now, faults.append, refused))
    main.add_routes(revocation_routes(revocation, responder, now, faults.append))
    plain = revocation_app(revocation, responder, now, faults.append)
    runners = [web.AppRunner(main), web.AppRunner(plain)]
    contexts = [ServerTls(authority, now()).context, None]
    try:
        for runner, context in zip(runners, contexts, strict=True):
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        tls_port, plain_port = (runner.addresses[0][1] for runner in runners)
        authority.set_public_url(f"http://127.0.0.1:{plain_port}")
        yield ServedAuthority(authority, revocation, tls_port, plain_port, faults, refusals)
    finally:
        for runner in runners:
            await runner.cleanup()
