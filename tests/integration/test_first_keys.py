"""The first keys of a gateway, and what the authority is told, over real mutual TLS; and what goes wrong on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from cryptography import x509
from office_world import AUTHORITY_NAME, Refusing, TwoProvinces, two_provinces
from test_rotation_live import Asking, certs, numbers, until_current, wugan

from certs.errors import RotationError, SlotError
from certs.est_client import WELL_KNOWN
from certs.est_wire import certs_only
from certs.files import read_public
from certs.rotation import Enroller, Event, KeySet
from certs.server_tls import ServerTls
from certs.slot_files import read_journal
from certs.slot_journal import KINDS
from gateway.clock import SystemClock
from gateway.config import GatewaySettings, load_gateway
from gateway.errors import ConfigError
from gateway.federation import authority_client
from gateway.federation.authority_client import AuthorityClient, Reports
from gateway.federation.authority_link import AuthorityLink
from gateway.federation.enrolling import EstPlace, Token, ca_certificates
from gateway.federation.live_keys import LiveKeys, TlsIdentity, open_slots
from gateway.federation.own_hand import own_hand
from gateway.sections.trust import AuthoritySettings

pytestmark = pytest.mark.integration

EMPTY = KeySet(0, (), (), ())


@pytest.fixture
def provinces(tmp_path: Path) -> TwoProvinces:
    return two_provinces(tmp_path)


async def enrolled(settings: GatewaySettings, token: Token | None, enroller: Enroller | None = None) -> list[Event]:
    events: list[Event] = []
    async with own_hand(settings, SystemClock(), events.append, token=token, enroller=enroller) as hand:
        if hand.slots.journal.rotation is None:
            await hand.rotator.rotate(KINDS, "first keys")
        assert await hand.work(SystemClock(), 0.0)
    return events


async def test_a_gateway_without_keys_is_enrolled_and_then_answers(provinces: TwoProvinces) -> None:
    provinces.forget_keys(provinces.answering)
    settings = load_gateway(provinces.answering.config)
    async with provinces.authority():
        events = await enrolled(settings, provinces.token(provinces.answering))
    assert [event.what for event in events] == [
        "rotation begun",
        *["key prepared"] * 3,
        "keys published",
        "keys activated",
    ]
    async with provinces.running(), Asking(provinces) as asking:
        while asking.answered < 5 and not asking.failed:
            await asyncio.sleep(0.01)
    assert asking.failed == []


async def test_an_interrupted_enrolment_goes_on_with_the_keys_it_made(provinces: TwoProvinces) -> None:
    provinces.forget_keys(provinces.answering)
    settings = load_gateway(provinces.answering.config)
    with pytest.raises(ConfigError, match="cannot be reached"):
        await enrolled(settings, None, Refusing())
    made = (provinces.answering.keys / "tls-1.key.pem").read_bytes()
    async with provinces.authority():
        await enrolled(settings, provinces.token(provinces.answering))
    assert (provinces.answering.keys / "tls-1.key.pem").read_bytes() == made
    assert numbers(provinces.answering) == dict.fromkeys(KINDS, 1)


async def test_a_rotation_asked_for_before_there_are_keys_is_no_dead_end(
    provinces: TwoProvinces, tmp_path: Path
) -> None:
    member = provinces.answering
    provinces.forget_keys(member)
    token, config = tmp_path / "token", ("--config", str(member.config))
    code, _, err = await wugan("certs", "rotate", "--kind", "signing", *config)
    assert code, err
    async with provinces.authority():
        made = provinces.token(member)
        token.touch(mode=0o600)
        token.write_text(f"{made.token_id}:{made.secret}\n")
        code, _, err = await wugan("certs", "enrol", "--token-file", str(token), *config)
    assert code == 0, err
    assert all(numbers(member).values())


async def test_enrolment_without_a_proper_token_says_so(provinces: TwoProvinces, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("no token\n")
    token.chmod(0o600)
    arguments = ("--config", str(provinces.asking.config), "--token-file", str(token))
    code, _, err = await wugan("certs", "enrol", *arguments)
    assert code == 2
    assert "one-time token" in err
    token.chmod(0o644)
    code, _, err = await wugan("certs", "enrol", *arguments)
    assert code == 2
    assert "chmod 600" in err


async def test_key_files_under_a_passphrase_serve_and_rotate_as_well(provinces: TwoProvinces, tmp_path: Path) -> None:
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse\n")
    passphrase.chmod(0o600)
    member = provinces.answering
    text = member.config.read_text("utf-8")
    member.config.write_text(f'{text}\n[keys]\npassphrase_file = "{passphrase}"\n', "utf-8")
    provinces.forget_keys(member)
    async with provinces.authority():
        await enrolled(load_gateway(member.config), provinces.token(member))
    assert all(b"ENCRYPTED" in path.read_bytes() for path in member.keys.glob("*.key.pem"))
    async with provinces.running(), Asking(provinces) as asking:
        await certs(member, "rotate", "--wait", "50")
        await until_current([member], KINDS, 2)
    assert asking.failed == []
    passphrase.write_text("wrong\n")
    code, _, err = await wugan("gateway", "run", "--config", str(member.config))
    assert code == 2
    assert "wrong passphrase" in err
    assert "correct horse" not in err


async def test_keys_are_read_whole_or_not_at_all(provinces: TwoProvinces) -> None:
    settings = load_gateway(provinces.asking.config)
    slots = open_slots(settings)
    roots = read_public(settings.tls.roots)
    with pytest.raises(SlotError, match=settings.member_id):
        await LiveKeys(load_gateway(provinces.answering.config).member_id, slots, roots).refresh()
    live = LiveKeys(settings.member_id, slots, roots)
    await live.refresh()
    before, told = live.own(), []

    async def changed(tls: TlsIdentity) -> None:
        told.append(tls.name)

    live.follow(changed)
    await live.refresh()
    assert told == [], "nothing changed"
    slots._held.clear()
    (provinces.asking.keys / "signing-1.key.pem").unlink()
    await live.refresh()
    assert live.own().signing is before.signing, "what is held needs no file"
    (provinces.asking.keys / "tls-1.key.pem").unlink()
    slots._held.clear()
    with pytest.raises(Exception, match="cannot be read"):
        await live.refresh()
    assert live.tls().name == "tls-1"
    slots.close()


# the authority's answers

Answer = Callable[[web.Request], web.StreamResponse]


class Scripted:
    """An authority that answers what a test says, and counts."""

    def __init__(self) -> None:
        self.answers: list[web.Response] = []
        self.asked = 0
        self.connections: set[object] = set()

    async def answer(self, request: web.Request) -> web.Response:
        self.asked += 1
        self.connections.add(request.protocol)
        return self.answers.pop(0)


@pytest_asyncio.fixture
async def scripted(provinces: TwoProvinces) -> AsyncIterator[Scripted]:
    script = Scripted()
    application = web.Application()
    application.add_routes([web.post("/directory/keys", script.answer), web.get("/directory/seen", script.answer)])
    application.add_routes([web.get(f"{WELL_KNOWN}/cacerts", script.answer)])
    with provinces.office() as office:
        tls = ServerTls(office.authority, office.now())
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", provinces.port, ssl_context=tls.context).start()
    yield script
    await runner.cleanup()


@pytest_asyncio.fixture
async def link(provinces: TwoProvinces) -> AsyncIterator[AuthorityLink]:
    settings = load_gateway(provinces.asking.config)
    slots = open_slots(settings)
    live = LiveKeys(settings.member_id, slots, read_public(settings.tls.roots))
    await live.refresh()
    link = AuthorityLink(live.tls, read_public(settings.tls.roots))
    yield link
    await link.close()
    slots.close()


@pytest.fixture
def client(provinces: TwoProvinces, link: AuthorityLink) -> AuthorityClient:
    settings = load_gateway(provinces.asking.config)
    assert settings.authority is not None
    return AuthorityClient(settings.authority, settings.member_id, link)


def receipt(body: bytes = b"\x08\x07", **changed: Any) -> web.Response:
    return web.Response(**{"body": body, "content_type": "application/x-protobuf", **changed})


async def test_the_authority_is_asked_over_one_connection_whatever_it_is_asked_for(
    provinces: TwoProvinces, scripted: Scripted, client: AuthorityClient, link: AuthorityLink
) -> None:
    settings = load_gateway(provinces.asking.config)
    assert settings.authority is not None
    roots = read_public(settings.tls.roots)
    [root] = x509.load_pem_x509_certificates(roots)
    ask = ca_certificates(EstPlace.of(settings, lambda: None, link, roots))
    scripted.answers = [receipt(), web.Response(body=certs_only([root])), web.Response(body=certs_only([root]))]
    assert await client.publish(EMPTY) == 7
    assert await ask() == await ask() == (root,)
    assert len(scripted.connections) == 1


async def test_what_may_pass_is_tried_again(scripted: Scripted, client: AuthorityClient) -> None:
    scripted.answers = [web.Response(status=503), web.Response(status=429), receipt()]
    assert await client.publish(EMPTY) == 7
    assert scripted.asked == 3


async def test_the_time_that_the_authority_asks_for_is_waited(
    scripted: Scripted, client: AuthorityClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    after = [{"Retry-After": "3"}, {"Retry-After": "86400"}, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}]
    scripted.answers = [web.Response(status=429, headers=headers) for headers in after]
    with pytest.raises(RotationError, match="busy"):
        await client.publish(EMPTY)
    assert [seconds // 1 >= least for seconds, least in zip(waited, (3, 5), strict=True)] == [True, True]
    assert max(waited) < authority_client.LONGEST_PAUSE_S + 2


async def test_tries_are_bounded(scripted: Scripted, client: AuthorityClient) -> None:
    scripted.answers = [web.Response(status=503) for _ in range(10)]
    with pytest.raises(RotationError, match="busy"):
        await client.publish(EMPTY)
    assert scripted.asked == authority_client.TRIES


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 500, 302])
async def test_a_refusal_is_not_tried_again(scripted: Scripted, client: AuthorityClient, status: int) -> None:
    scripted.answers = [web.Response(status=status, headers={"Location": "https://elsewhere.example/"})]
    with pytest.raises(RotationError, match=str(status)):
        await client.publish(EMPTY)
    assert scripted.asked == 1


@pytest.mark.parametrize(
    "answer",
    [
        lambda: receipt(b"\xff\xff"),
        lambda: receipt(b""),
        lambda: receipt(content_type="text/html"),
        lambda: receipt(b"\x0a" * ((1 << 20) + 1)),
    ],
    ids=["no message", "version 0", "html", "too large"],
)
async def test_an_answer_that_is_none_is_not_believed(
    scripted: Scripted, client: AuthorityClient, answer: Callable[[], web.Response]
) -> None:
    scripted.answers = [answer()]
    with pytest.raises(RotationError, match="not one"):
        await client.publish(EMPTY)


async def test_an_authority_of_another_name_is_not_talked_to(
    scripted: Scripted, provinces: TwoProvinces, client: AuthorityClient
) -> None:
    scripted.answers = [receipt()]
    client._tls_name = AUTHORITY_NAME.replace("authority", "authorities")
    with pytest.raises(RotationError, match="TLS"):
        await client.publish(EMPTY)
    assert scripted.asked == 0


async def test_an_authority_that_is_not_there_is_an_error_and_no_more(client: AuthorityClient) -> None:
    with pytest.raises(RotationError, match="cannot be reached"):
        await client.seen()


async def test_who_has_seen_a_version_is_the_authoritys_word(provinces: TwoProvinces, client: AuthorityClient) -> None:
    other = provinces.answering.plan.member_id
    witness = Reports(client, provinces.asking.plan.member_id)
    async with provinces.authority():
        assert not (await witness.seen(1)).everywhere
        with provinces.office() as office:
            office.mark_seen({other: (1, 17)})
        assert (await witness.seen(1)).everywhere
        assert not (await witness.seen(2)).everywhere


async def test_a_command_without_an_authority_says_what_to_set(provinces: TwoProvinces, tmp_path: Path) -> None:
    text = provinces.asking.config.read_text("utf-8").partition("[authority]")[0]
    provinces.asking.config.write_text(text, "utf-8")
    code, _, err = await wugan("certs", "rotate", "--config", str(provinces.asking.config))
    assert code == 2
    assert "authority.url" in err
    assert read_journal(provinces.asking.keys).rotation is None
    assert AuthoritySettings(url="https://a:1", tls_name="a.b").url
