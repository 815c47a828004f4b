"""The link to the authority: one TLS context for each identity, whoever asks for it."""

from __future__ import annotations

import asyncio
import datetime as dt
from pathlib import Path

import pytest

from certs import keys
from certs.authority import Authority
from certs.errors import RotationError
from gateway.errors import StoreError
from gateway.federation.authority_link import OPEN_S, AuthorityLink
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


class Renewing:
    """A link whose identity is renewed, and what may be shown still."""

    def __init__(self, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
        self.authority = authority
        self.held = identity(authority, "tls-1")
        self.listed = {"tls-1", "tls-2", "tls-3"}
        self.link = AuthorityLink(lambda: self.held, authority.root_pem, lambda name: name in self.listed)
        self.at_s = 1000.0
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: self.at_s, raising=False)

    def renew(self, name: str) -> None:
        self.held = identity(self.authority, name)


async def test_connections_in_use_are_used_on_while_their_certificate_is_listed(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewing = Renewing(authority, monkeypatch)
    first = await renewing.link.context()
    for name in ("tls-2", "tls-3"):
        renewing.renew(name)
        renewing.at_s += OPEN_S - 0.001
        assert await renewing.link.context() is first, "asking keeps them open"
    renewing.listed.remove("tls-1")
    newest = await renewing.link.proving()
    assert newest is not first
    renewing.listed.add("tls-1")
    assert await renewing.link.context() is newest, "never back"


async def test_no_connection_is_opened_with_a_certificate_of_before(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewing = Renewing(authority, monkeypatch)
    first = await renewing.link.context()
    renewing.renew("tls-2")
    renewing.at_s += OPEN_S
    assert await renewing.link.context() is not first


async def test_a_certificate_of_before_that_is_refused_is_not_shown_again(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewing = Renewing(authority, monkeypatch)
    first = await renewing.link.proving()
    assert not renewing.link.give_up(first), "there is no other"
    assert await renewing.link.context() is first
    renewing.renew("tls-2")
    assert await renewing.link.context() is first
    assert renewing.link.give_up(first)
    second = await renewing.link.proving()
    assert second is not first
    assert renewing.link.give_up(first), "for whoever asked at the same time"
    assert not renewing.link.give_up(second)
    assert await renewing.link.proving() is second
