"""The link to the authority: one TLS context for each identity, whoever asks for it."""

from __future__ import annotations

import asyncio
import datetime as dt
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from certs import keys
from certs.authority import Authority
from certs.errors import RotationError
from gateway.errors import StoreError
from gateway.federation.authority_link import AuthorityLink
from gateway.federation.live_keys import TlsIdentity

MEMBER = "11330000002482285J"
NOW = dt.datetime(2026, 7, 1, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder: Path = tmp_path_factory.mktemp("link") / "ca"
    return Authority.create(folder, "test.wugan.internal", now=NOW, loopback=True)


def identity(authority: Authority, name: str) -> TlsIdentity:
    key = keys.generate_tls_key()
    return TlsIdentity(name, key, authority.issue_gateway_tls(MEMBER, key.public_key(), now=NOW).pem)


async def test_all_that_is_asked_at_once_goes_by_one_context_until_the_identity_is_another(
    authority: Authority,
) -> None:
    held = identity(authority, "tls-1")
    link = AuthorityLink(lambda: held, authority.root_pem)
    first, again = await asyncio.gather(link.context(), link.proving())
    assert first is again
    held = identity(authority, "tls-2")
    second = await link.context()
    assert second is not first
    assert await link.context() is second


async def test_without_an_identity_there_is_no_context(authority: Authority) -> None:
    link = AuthorityLink(lambda: None, authority.root_pem)
    assert await link.context() is None
    with pytest.raises(RotationError, match="enrol first"):
        await link.proving()


async def test_an_identity_that_cannot_be_had_is_an_error_of_the_rotation(authority: Authority) -> None:
    def unread() -> TlsIdentity:
        raise StoreError("own keys were not read yet", "尚未读取本方密钥")

    with pytest.raises(RotationError, match="not read yet"):
        await AuthorityLink(unread, authority.root_pem).context()


async def test_its_session_is_one_until_it_is_closed(authority: Authority) -> None:
    link = AuthorityLink(lambda: None, authority.root_pem)
    session = link.session
    assert link.session is session
    await link.close()
    assert session.closed


async def test_who_asks_while_another_does_waits_for_that_connection_and_opens_none(authority: Authority) -> None:
    came: list[asyncio.BaseTransport | None] = []

    async def answer(request: web.Request) -> web.Response:
        came.append(request.transport)
        await asyncio.sleep(0)  # the others have asked by now
        return web.Response(text=request.path)

    app = web.Application()
    app.router.add_get("/{name}", answer)
    link = AuthorityLink(lambda: None, authority.root_pem)
    async with TestServer(app) as server:

        async def ask(name: str) -> str:
            async with link.session.get(server.make_url(f"/{name}")) as response:
                return await response.text()

        assert await asyncio.gather(*map(ask, "abc")) == ["/a", "/b", "/c"]
        await link.close()
    assert (len(came), len(set(came))) == (3, 1)
