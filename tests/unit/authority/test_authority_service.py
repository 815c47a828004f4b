"""The authority's service over real TLS: the repository, the push stream, publications, who has seen what."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import sqlite3
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography.hazmat.primitives import serialization
from structlog.testing import capture_logs

from certs import keys
from certs.identity import Identity
from certs.requests import certification_request
from gateway.authority import allowance, event_streams, lock, mirror, office, pushing, run, service
from gateway.demo.ports import free_ports
from gateway.errors import ConfigError
from gateway.federation import directory_fetch, directory_pushed
from gateway.federation.directory_fetch import HttpsFetcher, https_context, https_session
from gateway.federation.directory_pushed import Pushed
from gateway.federation.directory_stream import Announced, DirectoryStream
from gateway.federation.directory_trust import DirectoryTrust
from gateway.federation.directory_tuf import DirectoryTuf
from gateway.federation.directory_updater import DirectoryPlace
from tests.unit.authority.authority_world import ANHUI, FEDERATION, ROOT_PASSPHRASES, ZHEJIANG, Keys, World
from wugan.federation.v1 import authority_pb2

NAME = f"authority.{FEDERATION}"


class Served:
    """The running service and clients of it."""

    def __init__(self, world: World, address: str, folder: Path) -> None:
        self.world = world
        self.url = f"https://{address}"
        self.folder = folder

    def session(self, shown: Keys | None = None, files: tuple[Path, Path] | None = None) -> aiohttp.ClientSession:
        if shown is not None:
            files = self.folder / "shown.pem", self.folder / "shown-key.pem"
            files[0].write_bytes(shown.tls_pem)
            files[1].write_bytes(
                shown.tls_key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption(),
                )
            )
        return https_session(https_context(self.world.ca.root_pem, files))

    async def post(self, path: str, body: bytes, shown: Keys | None, kind: str = service.PROTOBUF) -> tuple[int, bytes]:
        async with (
            self.session(shown) as session,
            session.post(self.url + path, data=body, headers={"Content-Type": kind}, server_hostname=NAME) as response,
        ):
            return response.status, await response.read()

    async def get(self, path: str, shown: Keys | None = None) -> tuple[int, bytes]:
        async with (
            self.session(shown) as session,
            session.get(self.url + path, server_hostname=NAME) as response,
        ):
            return response.status, await response.read()


@pytest.fixture
async def served(world: World, tmp_path: Path) -> AsyncIterator[Served]:
    async with run.authority(world.home, world.clock) as bound:
        yield Served(world, bound.https, tmp_path)


@pytest.fixture
async def member(world: World, served: Served) -> Keys:
    """A member that lists what it has."""
    made = world.keys_of(ZHEJIANG)
    await asyncio.to_thread(world.office.add, world.entry(ZHEJIANG, made), world.entry(ANHUI, region=340000))
    return made


def follower(served: Served, session: aiohttp.ClientSession, name: str = NAME) -> DirectoryTuf:
    root = (served.world.home / "root.json").read_bytes()
    place = DirectoryPlace(f"{served.url}/tuf", root, served.folder / "state-follower")
    trust = DirectoryTrust.of(FEDERATION, served.world.ca.root_pem)
    fetcher = HttpsFetcher(session, asyncio.get_running_loop(), name)
    return DirectoryTuf(place, fetcher, trust, served.world.clock)


async def test_a_gateway_follows_it_over_https_and_by_push(served: Served, world: World) -> None:
    async with served.session() as session:
        gateway = follower(served, session)
        await gateway.refresh()
        assert gateway.current().version == 1
        changed: asyncio.Queue[int] = asyncio.Queue()
        gateway.subscribe(lambda: changed.put_nowait(gateway.current().version))
        stream = DirectoryStream(session, f"{served.url}/directory/events", NAME)
        following = asyncio.create_task(gateway.follow(3600, stream))
        await asyncio.to_thread(world.office.publish)
        assert await asyncio.wait_for(changed.get(), 20) == 2
        await asyncio.to_thread(world.office.add, world.entry(ZHEJIANG))
        assert await asyncio.wait_for(changed.get(), 20) == 3
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_a_server_that_proves_another_name_is_not_asked(served: Served) -> None:
    async with served.session() as session:
        gateway = follower(served, session, "authority.elsewhere.example")
        with pytest.raises(Exception, match="could not be fetched"):
            await gateway.refresh()


async def test_a_server_of_another_root_is_not_asked(served: Served, tmp_path: Path) -> None:
    stranger = World(tmp_path / "stranger")
    async with https_session(https_context(stranger.ca.root_pem)) as session:
        with pytest.raises(Exception, match="could not be fetched"):
            await follower(served, session).refresh()
    stranger.office.close()


async def test_tls_12_is_not_spoken(served: Served) -> None:
    context = https_context(served.world.ca.root_pem)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with https_session(context) as session:
        with pytest.raises(aiohttp.ClientError):
            await session.get(f"{served.url}/tuf/metadata/timestamp.json", server_hostname=NAME)


async def test_handshakes_that_fail_are_in_the_log_once_each_kind_without_words_of_the_other_side(
    served: Served, tmp_path: Path
) -> None:
    stranger = World(tmp_path / "stranger")
    theirs = stranger.keys_of(ZHEJIANG)
    stranger.office.close()
    host, _, port = served.url.removeprefix("https://").rpartition(":")
    with capture_logs() as lines:
        for _ in range(3):
            with pytest.raises(aiohttp.ClientError):  # of another federation's CA
                await served.get("/directory/seen", theirs)
            for greeting in (b"GET /forged\nline HTTP/1.1\r\n\r\n", b"\x16\x03\x01forged\nline" + bytes(64)):
                reader, writer = await asyncio.open_connection(host, int(port))
                writer.write(greeting)
                with contextlib.suppress(ConnectionError):
                    await reader.read()
                writer.close()
    told = [line for line in lines if line["event"] == run.NO_TLS]
    kinds = [line["error"] for line in told]
    assert len(set(kinds)) == len(kinds) == 3, told
    assert {"CERTIFICATE_VERIFY_FAILED", "HTTP_REQUEST"} < set(kinds)
    assert "certificate" in next(line for line in told if line["error"] == "CERTIFICATE_VERIFY_FAILED")["reason"]
    assert "forged" not in str(told)


@pytest.mark.parametrize(
    "path",
    [
        "/tuf/metadata/9.root.json",
        "/tuf/metadata/root.json",
        "/tuf/metadata/../../root-key.pem",
        "/tuf/metadata/..%2f..%2froot-key.pem",
        "/tuf/targets/directory.pb",
        "/tuf-keys/",
        "/members.db",
    ],
)
async def test_nothing_but_the_repository_is_served(served: Served, path: str) -> None:
    assert (await served.get(path))[0] == 404


async def test_a_trickling_answer_is_given_up(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that sends a byte now and then, for ever."""

    async def trickle(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" ")
            await asyncio.sleep(0.02)

    monkeypatch.setattr(directory_fetch, "WHOLE_S", 0.3)
    server = await asyncio.start_server(trickle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with aiohttp.ClientSession() as session:
        fetcher = HttpsFetcher(session, asyncio.get_running_loop(), NAME)
        with pytest.raises(directory_fetch.DownloadError):
            await asyncio.to_thread(fetcher.download_bytes, f"http://127.0.0.1:{port}/timestamp.json", 16384)
    server.close()


# publications


async def test_a_member_publishes_its_keys(served: Served, world: World, member: Keys) -> None:
    fresh = world.keys_of(ZHEJIANG)
    body = member.publication(1, fresh).SerializeToString()
    status, answer = await served.post("/directory/keys", body, member)
    assert status == 200
    assert authority_pb2.PublicationReceipt.FromString(answer).directory_version == 3
    assert len((await world.directory()).member(ZHEJIANG).signing_keys) == 2
    assert await served.post("/directory/keys", body, member) == (status, answer)


async def test_publications_that_arrive_together_make_one_version(
    served: Served, world: World, member: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "TOGETHER_S", 2.0)
    other = world.keys_of(ANHUI)
    answers = await asyncio.gather(
        *(served.post("/directory/keys", each.publication(1).SerializeToString(), each) for each in (member, other))
    )
    assert [status for status, _ in answers] == [200, 200]
    receipts = [authority_pb2.PublicationReceipt.FromString(body).directory_version for _, body in answers]
    assert receipts == [3, 3]


async def test_a_publication_is_announced_at_once(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not when the timestamp is looked at next, which here would be never."""
    monkeypatch.setattr(service, "WATCH_S", 3600.0)
    made = world.keys_of(ZHEJIANG)
    world.office.add(world.entry(ZHEJIANG, made))
    async with run.authority(world.home, world.clock) as bound:
        served = Served(world, bound.https, tmp_path)
        announced: asyncio.Queue[Announced] = asyncio.Queue()
        async with served.session() as session:
            stream = DirectoryStream(session, f"{served.url}/directory/events", NAME)
            following = asyncio.create_task(stream.follow(announced.put_nowait))
            assert await asyncio.wait_for(announced.get(), 20) == Announced(2)
            body = made.publication(1, world.keys_of(ZHEJIANG)).SerializeToString()
            assert (await served.post("/directory/keys", body, made))[0] == 200
            assert (await asyncio.wait_for(announced.get(), 20)).version == 3
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


async def once_there_is_a_place(session: aiohttp.ClientSession, events: str) -> int:
    """The first answer to one more listener that is not that there is no place."""
    status = 503
    while status == 503:
        async with session.get(events, server_hostname=NAME) as another:
            status = another.status
    return status


async def test_a_listener_that_is_gone_is_no_error(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(event_streams, "HEARTBEAT_S", 0.01)
    monkeypatch.setattr(event_streams, "MAX_STREAMS", 1)
    async with run.authority(world.home, world.clock) as bound:
        served = Served(world, bound.https, tmp_path)
        events = f"{served.url}/directory/events"
        async with served.session() as session, asyncio.timeout(20):
            first = await session.get(events, server_hostname=NAME)
            assert first.status == 200
            assert first.connection is not None
            assert first.connection.transport is not None
            first.connection.transport.abort()
            assert await once_there_is_a_place(session, events) == 200
    assert [record for record in caplog.records if record.name == "aiohttp.server"] == []


@pytest.mark.parametrize(
    "who", ["nobody", "another member", "a unit", "an unlisted certificate", "a revoked one", "an expired one"]
)
async def test_nobody_else_publishes_for_a_member(served: Served, world: World, member: Keys, who: str) -> None:
    shown: Keys | None = member
    if who == "nobody":
        shown = None
    elif who == "another member":
        shown = world.keys_of(ANHUI)
    elif who == "a unit":
        unit = world.ca.issue_unit_tls(ZHEJIANG, "jinhua", member.tls_key.public_key(), now=world.now)
        shown = Keys(ZHEJIANG, member.tls_key, unit.pem, unit.der, member.signing, member.encryption)
    elif who == "an unlisted certificate":
        shown = world.keys_of(ZHEJIANG)
    elif who == "an expired one":  # by the clock here: TLS does not ask, so that whoever comes can be told
        world.clock.advance(31 * 86_400)
    else:
        await asyncio.to_thread(world.office.revoke_pem, member.tls_pem, reason=1)
    before = world.office.version()
    status, answer = await served.post("/directory/keys", member.publication(1).SerializeToString(), shown)
    assert status == 403, answer
    assert b"detail_zh" in answer
    assert world.office.version() == before


async def test_who_is_refused_a_certificate_is_logged_once_with_its_member(
    served: Served, world: World, member: Keys
) -> None:
    await asyncio.to_thread(world.office.revoke_pem, member.tls_pem, reason=1)
    csr = certification_request(keys.generate_tls_key(), Identity.gateway(FEDERATION, ZHEJIANG), None)
    path = "/.well-known/est/simplereenroll"
    with capture_logs() as lines:
        for _ in range(2):
            assert (await served.post(path, base64.encodebytes(csr), member, "application/pkcs10"))[0] == 403
    [line] = [line for line in lines if line["event"] == "refused"]
    assert (line["path"], line["member"], line["status"]) == (path, ZHEJIANG, 403)
    assert "revoked" in line["reason"]


async def test_a_body_that_is_none_is_refused(served: Served, member: Keys) -> None:
    assert (await served.post("/directory/keys", b"\xff", member))[0] == 400
    assert (await served.post("/directory/keys", b"", member, "text/plain"))[0] == 400
    assert (await served.post("/directory/keys", bytes(service.MAX_BODY_BYTES + 1), member))[0] == 413


@pytest.mark.parametrize(
    ("path", "kind", "status"),
    [
        ("/directory/keys", service.PROTOBUF, 403),
        ("/.well-known/est/simpleenroll", "application/pkcs10", 415),
        ("/ocsp", "application/ocsp-request", 415),
    ],
)
async def test_a_body_that_pretends_to_be_compressed_is_refused_and_no_fault_of_ours(
    served: Served, caplog: pytest.LogCaptureFixture, path: str, kind: str, status: int
) -> None:
    headers = {"Content-Type": kind, "Content-Encoding": "gzip"}
    async with (
        served.session() as session,
        session.post(served.url + path, data=b"x" * 100, headers=headers, server_hostname=NAME) as response,
    ):
        assert response.status == status
    assert [line for line in caplog.records if line.name == "aiohttp.server"] == []


async def test_a_key_that_breaks_the_rule_is_refused_and_says_why(served: Served, world: World, member: Keys) -> None:
    publication = member.publication(1)
    publication.encryption_keys[0].key_id = "00" * 16
    status, answer = await served.post("/directory/keys", publication.SerializeToString(), member)
    assert status == 400
    assert b"another key's id" in answer
    assert world.office.version() == 2


async def test_a_publication_that_cannot_be_signed_is_said_to_be_and_the_next_one_is_taken(
    served: Served, member: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> list[int]:
        raise KeyError("of ours")

    body = member.publication(1).SerializeToString()
    with monkeypatch.context() as patched:
        patched.setattr(office.Office, "take", crash)
        assert (await served.post("/directory/keys", body, member))[0] == 503
    assert (await served.post("/directory/keys", body, member))[0] == 200


async def test_a_member_that_publishes_without_end_is_told_to_come_back_and_others_are_served(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "TOGETHER_S", 0.0)
    mine, other = world.keys_of(ZHEJIANG), world.keys_of(ANHUI)
    world.office.add(world.entry(ZHEJIANG, mine), world.entry(ANHUI, other, region=340000))
    async with run.authority(world.home, world.clock) as bound:
        served = Served(world, bound.https, tmp_path)
        posted = [
            await served.post("/directory/keys", mine.publication(at).SerializeToString(), mine)
            for at in range(1, allowance.BURST + 2)
        ]
        assert [status for status, _ in posted] == [200] * allowance.BURST + [429]
        told = json.loads(posted[-1][1])
        assert (told["title"], "频繁" in told["detail_zh"]) == ("QUOTA_EXCEEDED", True)
        assert (await served.post("/directory/keys", other.publication(1).SerializeToString(), other))[0] == 200
        body = mine.publication(allowance.BURST + 1).SerializeToString()
        headers = {"Content-Type": service.PROTOBUF}
        async with (
            served.session(mine) as session,
            session.post(served.url + "/directory/keys", data=body, headers=headers, server_hostname=NAME) as response,
        ):
            assert (response.status, response.headers["Retry-After"]) == (429, "1")
        world.clock.advance(1.0)
        assert (await served.post("/directory/keys", body, mine))[0] == 200


@pytest.mark.parametrize("what", ["a signing key", "an issuing CA", "the lock", "the record"])
async def test_what_is_out_of_order_is_told_without_its_path_and_logged_with_it(
    served: Served, world: World, member: Keys, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(lock, "PATIENCE_S", 0.0)
    body = member.publication(1).SerializeToString()
    with contextlib.ExitStack() as stack:
        if what == "a signing key":
            for path in (world.home / "tuf-keys").glob("timestamp-*.pem"):
                path.unlink()
        elif what == "an issuing CA":
            (world.home / "issuing-2.pem").touch()
        elif what == "the lock":
            stack.enter_context(lock.locked(world.home))
        else:
            record = stack.enter_context(contextlib.closing(sqlite3.connect(world.home / "members.db")))
            record.execute("alter table member rename to elsewhere")
        lines = stack.enter_context(capture_logs())
        status, answer = await served.post("/directory/keys", body, member)
    told = answer.decode()
    assert (status, str(world.home) in told) == (503, False), told
    assert "out of order" in told
    assert "故障" in json.loads(told)["detail_zh"]
    assert str(world.home) in next(line for line in lines if line["event"] == "refused")["reason"]


# seen


async def test_members_tell_which_version_they_work_with(served: Served, member: Keys) -> None:
    body = authority_pb2.DirectorySeen(version=2).SerializeToString()
    status, answer = await served.post("/directory/seen", body, member)
    assert status == 200
    for told in (answer, (await served.get("/directory/seen", member))[1]):
        report = authority_pb2.SeenReport.FromString(told)
        assert {each.member_id: each.version for each in report.members} == {ZHEJIANG: 2, ANHUI: 2}
    assert (await served.get("/directory/seen"))[0] == 403


async def test_nobody_waits_for_a_gateway_whose_tls_certificate_was_revoked(served: Served, world: World) -> None:
    mine, theirs = world.keys_of(ZHEJIANG), world.keys_of(ANHUI)
    await asyncio.to_thread(world.office.add, world.entry(ZHEJIANG, mine), world.entry(ANHUI, theirs, region=340000))

    async def told() -> dict[str, int]:
        report = authority_pb2.SeenReport.FromString((await served.get("/directory/seen", mine))[1])
        return {each.member_id: each.version for each in report.members}

    assert (await told())[ANHUI] == 0
    version = (await asyncio.to_thread(world.office.revoke_pem, theirs.tls_pem, reason=1)).version
    assert (await told())[ANHUI] == version


@pytest.mark.parametrize("version", [0, 99])
async def test_a_version_that_is_none_cannot_be_seen(served: Served, member: Keys, version: int) -> None:
    body = authority_pb2.DirectorySeen(version=version).SerializeToString()
    assert (await served.post("/directory/seen", body, member))[0] == 400


async def test_a_member_that_has_seen_a_newer_directory_is_told_what_that_means_and_so_is_the_log(
    served: Served, member: Keys
) -> None:
    """After a restore, and where somebody else signs with the authority's keys: the members are the first to know."""
    body = authority_pb2.DirectorySeen(version=99).SerializeToString()
    with capture_logs() as lines:
        status, answer = await served.post("/directory/seen", body, member)
    problem = json.loads(answer)
    assert status == 400
    for text in (problem["detail"], problem["detail_zh"]):
        assert "wugan authority publish --above" in text
    [line] = [line for line in lines if line["event"] == "refused"]
    assert (line["member"], line["reason"]) == (ZHEJIANG, problem["detail"])


async def test_a_certificate_revoked_while_its_connection_is_open_neither_tells_nor_is_told_anything(
    served: Served, world: World
) -> None:
    """Whose certificate it is, is read once for a connection; whether it counts is asked with every request."""
    mine, theirs = world.keys_of(ZHEJIANG), world.keys_of(ANHUI)
    await asyncio.to_thread(world.office.add, world.entry(ZHEJIANG, mine), world.entry(ANHUI, theirs, region=340000))
    path, body = f"{served.url}/directory/seen", authority_pb2.DirectorySeen(version=2).SerializeToString()
    kind = {"Content-Type": service.PROTOBUF}
    async with served.session(theirs) as session:

        async def asked() -> list[int]:
            async with session.get(path, server_hostname=NAME) as read:
                await read.read()
            async with session.post(path, data=body, headers=kind, server_hostname=NAME) as told:
                await told.read()
            publication = theirs.publication(1).SerializeToString()
            keys_path = f"{served.url}/directory/keys"
            async with session.post(keys_path, data=publication, headers=kind, server_hostname=NAME) as published:
                await published.read()
            return [read.status, told.status, published.status]

        assert await asked() == [200, 200, 200]
        await asyncio.to_thread(world.office.revoke_pem, theirs.tls_pem, reason=1)
        assert await asked() == [403, 403, 403]


async def test_what_was_seen_is_written_down_when_it_stops(world: World, tmp_path: Path) -> None:
    made = world.keys_of(ZHEJIANG)
    world.office.add(world.entry(ZHEJIANG, made))
    async with run.authority(world.home, world.clock) as bound:
        body = authority_pb2.DirectorySeen(version=2).SerializeToString()
        assert (await Served(world, bound.https, tmp_path).post("/directory/seen", body, made))[0] == 200
    assert world.office.seen().members[0].version == 2


# its own certificate


def test_a_passphrase_protects_every_key_in_daily_use(tmp_path: Path) -> None:
    from gateway.authority.founding import Plan, found
    from gateway.authority.office import Office
    from gateway.clock import FakeClock

    clock = FakeClock()
    plan = Plan("test.wugan.internal", [b"one"], passphrase=b"daily", ca_passphrase=b"root", loopback=True)
    found(tmp_path / "a", plan, clock)
    for path in (*(tmp_path / "a").rglob("*key*.pem"), *(tmp_path / "a" / "tuf-keys").iterdir()):
        assert b"ENCRYPTED" in path.read_bytes(), path
    office = Office(tmp_path / "a", clock, b"wrong")
    with pytest.raises(Exception, match="passphrase"):
        office.publish()
    office.close()
    office = Office(tmp_path / "a", clock, b"daily")
    assert office.publish() == 2
    office.close()
    assert keys.load_private_key(tmp_path / "a" / "root-key.pem", passphrase=b"root")


async def test_the_stream_connects_again_after_the_authority_was_restarted(world: World, tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    told: asyncio.Queue[Announced] = asyncio.Queue()
    async with https_session(https_context(world.ca.root_pem)) as session:
        stream = DirectoryStream(session, f"https://{address}/directory/events", NAME)
        following = asyncio.create_task(stream.follow(told.put_nowait))
        for version in (1, 2):
            async with run.authority(world.home, world.clock, listen=address):
                assert (await asyncio.wait_for(told.get(), 30)).version == version, "the version in force comes first"
            await asyncio.to_thread(world.office.publish)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_a_second_service_on_the_folder_is_refused_while_commands_go_on(world: World) -> None:
    async with run.authority(world.home, world.clock):
        with pytest.raises(ConfigError) as refused:
            async with run.authority(world.home, world.clock):
                pass
        assert f"process {os.getpid()}" in refused.value.en
        assert f"进程 {os.getpid()}" in refused.value.zh
        before = world.office.version()
        assert await asyncio.to_thread(world.office.publish) > before
    async with run.authority(world.home, world.clock):
        pass  # what was left behind holds nobody up


# what is pushed


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the repository's files that were asked for over HTTPS."""
    names: list[str] = []
    response = mirror.Mirror.response

    async def counted(kept: mirror.Mirror, path: Path, kind: str, cache: str) -> Any:
        names.append(path.name)
        return await response(kept, path, kind, cache)

    monkeypatch.setattr(mirror.Mirror, "response", counted)
    return names


@contextlib.asynccontextmanager
async def following(served: Served) -> AsyncIterator[tuple[DirectoryTuf, asyncio.Queue[int]]]:
    """A gateway that is connected to the stream, and the versions that it takes from now on."""
    async with served.session() as session:
        gateway = follower(served, session)
        stream = DirectoryStream(session, f"{served.url}/directory/events", NAME)
        changed: asyncio.Queue[int] = asyncio.Queue()
        # With nothing held, the version told first is what makes it look: from then on it listens.
        gateway.subscribe(lambda: changed.put_nowait(gateway.current().version))
        task = asyncio.create_task(gateway.follow(3600, stream))
        await asyncio.wait_for(changed.get(), 20)
        yield gateway, changed
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_version_that_is_pushed_is_taken_with_no_file_fetched(
    served: Served, world: World, fetched: list[str]
) -> None:
    async with following(served) as (gateway, changed):
        assert "timestamp.json" in fetched
        fetched.clear()
        for version in (2, 3):
            await asyncio.to_thread(world.office.add, world.entry(ZHEJIANG, world.keys_of(ZHEJIANG)))
            assert await asyncio.wait_for(changed.get(), 20) == version
        assert gateway.current().digest == (await world.directory()).digest
    assert fetched == []


async def test_a_root_that_is_replaced_reaches_gateways_that_listen(
    served: Served, world: World, fetched: list[str]
) -> None:
    async with following(served) as (_, changed):
        fetched.clear()
        keys_held = list(zip(world.office.root_keys(), ROOT_PASSPHRASES, strict=True))
        await asyncio.to_thread(world.office.rotate_root, keys_held, ROOT_PASSPHRASES, 2, online=True)
        assert await asyncio.wait_for(changed.get(), 20) == 2
        assert "2.root.json" in fetched
        fetched.clear()
        await asyncio.to_thread(world.office.publish)
        assert await asyncio.wait_for(changed.get(), 20) == 3
    assert fetched == []


@pytest.mark.parametrize("name", ["timestamp.json", "2.snapshot.json", "2.targets.json", ".directory.pb"])
async def test_where_a_pushed_file_was_changed_the_directory_is_fetched(
    served: Served, world: World, fetched: list[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def tampered(tuf: Path, version: int) -> bytes:
        event = pushing.files_event(tuf, version)
        given = Pushed.of(b"\n".join(line[6:] for line in event.splitlines()[1:-1]))
        files = given.files
        files = {path: data[:-9] + b"\0" + data[-8:] if path.endswith(name) else data for path, data in files.items()}
        return Pushed(files, given.newest_root).event()

    monkeypatch.setattr(event_streams, "files_event", tampered)
    async with following(served) as (gateway, changed):
        fetched.clear()
        await asyncio.to_thread(world.office.publish)
        assert await asyncio.wait_for(changed.get(), 20) == 2
        assert gateway.current().digest == (await world.directory()).digest
    assert "timestamp.json" in fetched


async def test_a_version_too_large_to_push_is_told_and_fetched(
    served: Served, world: World, fetched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory_pushed, "MAX_EVENT_BYTES", 1000)
    async with following(served) as (_, changed):
        fetched.clear()
        await asyncio.to_thread(world.office.publish)
        assert await asyncio.wait_for(changed.get(), 20) == 2
    assert "2.targets.json" in fetched


async def test_a_listener_that_takes_nothing_loses_its_place(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(event_streams, "PATIENCE_S", 0.1)
    monkeypatch.setattr(event_streams, "MAX_STREAMS", 1)
    monkeypatch.setattr(event_streams, "files_event", lambda *_: b": much\n\n" * (4 << 20))  # more than sockets hold
    async with run.authority(world.home, world.clock) as bound:
        served = Served(world, bound.https, tmp_path)
        events = f"{served.url}/directory/events"
        async with served.session() as session, asyncio.timeout(60):
            first = await session.get(events, server_hostname=NAME)
            assert first.status == 200
            await first.content.readline()
            await asyncio.to_thread(world.office.publish)
            assert await once_there_is_a_place(session, events) == 200
            first.close()
    assert [record for record in caplog.records if record.name == "aiohttp.server"] == []
