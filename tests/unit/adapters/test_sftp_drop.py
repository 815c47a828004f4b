"""Files dropped on an SFTP server: coming in, resting, fetching, mending, and what a server may do wrong."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from structlog.testing import capture_logs

from adapters import dropping
from adapters.build import build
from adapters.contract import Adapter
from adapters.errors import ManifestError, SourceDownError
from adapters.kinds.file import FileAdapter
from adapters.manifest import load_manifest
from adapters.numbers import numbers_of
from gateway.inquiry.asking import Departments
from gateway.observing.health import Level
from gateway.vitals.sources import SourceVitals
from tests.unit.adapters.adapters_world import ANNA, BO, NOW_MS, ask, holders, rows

TEXT = """\
manifest: 1
adapter_id: courts
version: 1
department: COURTS
regions: [330000]
kind: file
source:
  sftp:
    host: 127.0.0.1
    port: PORT
    user: wugan
    key: id.key
    host_key: HOST_KEY
    folder: out
    timeout_s: 5
  settle_s: 0
  scan_every_s: 0
identity: {column: id, name: name}
timeout_s: 20
records:
  - name: sentences
    files: {pattern: "xs_*", mode: increment, key: [ref], max_bad_share: 0}
    evidence: SENTENCE
    detail: FIXED_TERM
    observed_on: at
    strength: REAL_NAME
    source_reference: ref
"""
HEAD = "id,name,at,ref\n"


class Moody(asyncssh.SFTPServer):
    """The library's own server over a folder; it does as `mood` says."""

    mood = ""
    hung: asyncio.Event
    released: asyncio.Event

    async def read(self, file_obj: Any, offset: int, size: int) -> bytes:
        if Moody.mood == "hang":
            Moody.hung.set()
            await Moody.released.wait()
        data = super().read(file_obj, offset, size)
        assert isinstance(data, bytes)
        if Moody.mood == "more" and not data and offset < 1 << 30:
            return b"x" * size
        return data


class Doorkeeper(asyncssh.SSHServer):
    connections: set[asyncssh.SSHServerConnection]

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        Doorkeeper.connections.add(conn)

    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == ("wugan", "opensesame")


class Server:
    """An SFTP server of a department, and the gateway's adapter for it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "server" / "out"
        self.folder.mkdir(parents=True)
        self.now_ms = NOW_MS
        self.host_key = asyncssh.generate_private_key("ssh-ed25519")
        key = asyncssh.generate_private_key("ssh-ed25519")
        self.key = root / "id.key"
        self.key.touch(mode=0o600)
        key.write_private_key(self.key)
        self.authorized = asyncssh.import_authorized_keys(key.export_public_key().decode())
        self.built: list[Adapter] = []

    async def start(self, port: int = 0) -> None:
        self.acceptor = await asyncssh.listen(
            "127.0.0.1",
            port,
            server_factory=Doorkeeper,
            server_host_keys=[self.host_key],
            authorized_client_keys=self.authorized,
            sftp_factory=lambda chan: Moody(chan, chroot=os.fsencode(self.root / "server")),
        )
        self.port = self.acceptor.get_port()

    async def stop(self) -> None:
        self.acceptor.close()
        await self.acceptor.wait_closed()
        Moody.released.set()
        for connection in Doorkeeper.connections:
            connection.abort()
            await connection.wait_closed()
        Doorkeeper.connections.clear()

    @property
    def public(self) -> str:
        return " ".join(self.host_key.export_public_key().decode().split()[:2])

    def write(self, name: str, *lines: str) -> Path:
        path = self.folder / name
        path.write_text(HEAD + "".join(line + "\n" for line in lines), encoding="utf-8")
        return path

    def manifest(self, old: str = "", new: str = "") -> Path:
        assert old in TEXT
        text = (
            (TEXT.replace(old, new) if old else TEXT).replace("PORT", str(self.port)).replace("HOST_KEY", self.public)
        )
        path = self.root / "manifest.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    def clock(self) -> int:
        return self.now_ms

    def adapter(self, old: str = "", new: str = "") -> FileAdapter:
        built = build(load_manifest(self.manifest(old, new)), self.root / "state", self.clock)
        assert isinstance(built, FileAdapter)
        self.built.append(built)
        return built

    def spooled(self) -> list[Path]:
        return list((self.root / "state" / "courts" / "spool").iterdir())


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    Moody.mood, Moody.hung, Moody.released, Doorkeeper.connections = "", asyncio.Event(), asyncio.Event(), set()
    made = Server(tmp_path)
    await made.start()
    yield made
    for adapter in made.built:
        await adapter.close()
    await made.stop()


async def known(adapter: Adapter, *people: str) -> list[tuple[str, str]]:
    """Day and reference of what is told, after a look at the server."""
    await adapter.check()
    return [(row[2], row[3]) for row in rows(await adapter.lookup(ask(*people)))]


async def test_dropped_files_are_fetched_and_leave_nothing_in_clear(server: Server) -> None:
    server.write("xs_1.csv", f"{ANNA},安娜,2026-03-01,a")
    server.write("xs_2.csv.part", f"{BO},博,2026-03-01,b")
    server.write(".xs_3.csv", f"{BO},博,2026-03-01,b")
    server.write("other.csv", f"{BO},博,2026-03-01,b")
    (server.folder / "xs_link.csv").symlink_to("other.csv")
    (server.folder / "xs_folder").mkdir()
    adapter = server.adapter()
    assert await known(adapter, ANNA, BO) == [("2026-03-01", "a")]
    assert holders(await adapter.lookup(ask(ANNA))) == [(0, ANNA, "安娜")]
    assert server.spooled() == []
    state = b"".join(path.read_bytes() for path in (server.root / "state").rglob("*") if path.is_file())
    assert ANNA.encode() not in state
    assert "安娜".encode() not in state
    assert await adapter.any_number() == ANNA
    found = await asyncio.to_thread(numbers_of, load_manifest(server.manifest()), 10)
    assert list(found.good) == [ANNA]


async def test_more_files_than_are_looked_at_are_told(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dropping, "MAX_FILES", 2)
    adapter = server.adapter()
    for at in range(3):
        server.write(f"xs_{at}.csv", f"{ANNA},安娜,2026-03-01,{at}")
    with pytest.raises(SourceDownError, match="more than 2 files"):
        await adapter.check()
    (server.folder / "xs_0.csv").unlink()
    (server.folder / "folder").mkdir()
    assert len(await known(adapter, ANNA)) == 2


async def test_a_renamed_and_a_mended_file_count_and_one_taken_away_takes_nothing_back(server: Server) -> None:
    path = server.write("xs_1.csv", f"{ANNA},安娜,2026-03-01,a", f"{BO},博,nonsense,b")
    adapter = server.adapter()
    with pytest.raises(SourceDownError, match="no usable file"):
        await known(adapter, ANNA)
    path = server.write("xs_1.csv", f"{ANNA},安娜,2026-03-01,a", f"{BO},博,2026-03-02,b")
    assert await known(adapter, ANNA, BO) == [("2026-03-01", "a"), ("2026-03-02", "b")]
    server.write("xs_2.tmp", f"{ANNA},安娜,2026-03-05,a").rename(server.folder / "xs_2.csv")
    assert await known(adapter, ANNA, BO) == [("2026-03-05", "a"), ("2026-03-02", "b")]
    path.unlink()
    assert await known(adapter, ANNA, BO) == [("2026-03-05", "a"), ("2026-03-02", "b")]


async def test_a_file_is_fetched_when_it_has_rested_by_our_clock(server: Server) -> None:
    server.write("xs_1.csv", f"{ANNA},安娜,2026-03-01,a")
    adapter = server.adapter("settle_s: 0", "settle_s: 120")  # longer than a first look waits
    for wait_s, grows in ((0, False), (119, False), (1, True), (119, False)):
        server.now_ms += wait_s * 1000
        if grows:
            server.write("xs_1.csv", f"{ANNA},安娜,2026-03-01,a", f"{BO},博,2026-03-02,b")  # it goes on growing
        with pytest.raises(SourceDownError, match="no usable file"):
            await known(adapter, ANNA)
    server.now_ms += 1_000
    assert await known(adapter, ANNA, BO) == [("2026-03-01", "a"), ("2026-03-02", "b")]


async def test_the_first_look_waits_for_files_to_rest(server: Server) -> None:
    server.write("xs_1.csv", f"{ANNA},安娜,2026-03-01,a")
    assert await known(server.adapter("settle_s: 0", "settle_s: 0.02"), ANNA) == [("2026-03-01", "a")]


async def test_a_file_in_gb_18030_under_a_chinese_name_and_many_pieces(server: Server) -> None:
    lines = [f"{ANNA},安娜,2026-03-01,{i},{'注' * 900}" for i in range(1_000)]
    data = ("id,name,at,ref,note\n" + "\n".join(lines)).encode("gb18030")
    path = os.fsencode(server.folder) + "/xs_刑罚.csv".encode("gb18030")
    with open(path, "wb") as stream:  # noqa: PTH123  no text
        stream.write(data)
    assert len(await known(server.adapter(), ANNA)) == 1_000


async def test_another_host_key_is_refused_and_told(server: Server) -> None:
    adapter = server.adapter()
    server.write("xs_1.csv", f"{ANNA},安娜,2026-03-01,a")
    await adapter.check()
    port, before = server.port, server.host_key
    await server.stop()
    server.host_key = asyncssh.generate_private_key("ssh-ed25519")
    await server.start(port)
    shown = server.host_key.get_fingerprint()
    with pytest.raises(SourceDownError, match="another key than") as refused:
        await adapter.check()
    assert shown in refused.value.en
    assert shown in refused.value.zh
    server.host_key = asyncssh.generate_private_key("ecdsa-sha2-nistp256")
    await server.stop()
    await server.start(port)
    with pytest.raises(SourceDownError, match=r"no key of the kind|not reached"):  # whoever sees it first
        await adapter.check()
    assert before.get_fingerprint() not in refused.value.en


async def test_a_server_that_is_away_leaves_what_is_known_and_says_so(server: Server) -> None:
    server.write("xs_1.csv", f"{ANNA},安娜,2026-03-01,a")
    adapter = server.adapter("timeout_s: 20", "timeout_s: 20\ncomplete_until: {lag_days: 1}")
    await adapter.check()
    assert (await adapter.lookup(ask(ANNA))).complete_until_on > 0
    port = server.port
    await server.stop()
    with capture_logs() as logs:
        for _ in range(4):
            with pytest.raises(SourceDownError, match="not reached"):
                await adapter.check()
    assert {each["event"] for each in logs} == {"drop not reached"}
    # Whether the first look finds the connection lost or already gone, and is refused another, is the machine's affair.
    reasons = [each["reason"] for each in logs]
    assert len(reasons) == len(set(reasons)) <= 2, "each reason is told once, as lookups go on"
    found = await adapter.lookup(ask(ANNA))
    assert len(found.evidence) == 1
    assert found.complete_until_on == 0, "nobody knows how complete it is"
    [fact] = await SourceVitals(Departments([adapter], lambda _one, _other: True), dict)(0)
    assert (fact.about, fact.level) == ("department/courts/source", Level.ATTENTION)
    assert "from what came before" in fact.en
    assert "not reached" in fact.en
    never = server.adapter("courts", "courts2")
    with pytest.raises(SourceDownError, match="not reached"):
        await never.lookup(ask(ANNA))
    await server.start(port)
    with capture_logs() as logs:
        await adapter.check()
    assert "drop reached again" in [each["event"] for each in logs]
    assert adapter.trouble is None
    assert (await adapter.lookup(ask(ANNA))).complete_until_on > 0


async def test_passwords_and_keys(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.write("xs_1.csv", f"{ANNA},安娜,2026-03-01,a")
    monkeypatch.setenv("SFTP_PASSWORD", "opensesame")
    assert len(await known(server.adapter("key: id.key", "password: ${SFTP_PASSWORD}"), ANNA)) == 1
    monkeypatch.setenv("SFTP_PASSWORD", "other")
    with pytest.raises(SourceDownError, match="does not let wugan in with this password") as refused:
        await server.adapter("key: id.key", "password: ${SFTP_PASSWORD}").check()
    assert "other" not in str(refused.value)
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(server.key)
    with pytest.raises(SourceDownError, match="does not let wugan in with this key"):
        await server.adapter().check()


async def test_a_key_file_that_others_read_or_that_is_none_is_told_with_its_line(server: Server) -> None:
    server.key.chmod(0o640)
    with pytest.raises(ManifestError, match=r"manifest.yaml:12: source.sftp.key: the secret's file: group or others"):
        server.adapter()
    server.key.chmod(0o600)
    server.key.write_text("no key")
    with pytest.raises(ManifestError, match=r"manifest.yaml:12: source.sftp.key: the file holds no private key"):
        server.adapter()


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("host_key: HOST_KEY", "host_key: AAAA", 13, "public key, like"),
        ("host_key: HOST_KEY", "host_key: ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAA", 13, "public key, like"),
        ("    host_key: HOST_KEY\n", "", 8, "host_key: is missing"),
        ("key: id.key", "password: opensesame", 12, "does not stand in the manifest"),
        ("key: id.key", "password: '${P}'\n    key: id.key", 8, "exactly one of: key, password"),
        ("host: 127.0.0.1", "host: 'a b'", 9, "does not have the form"),
        ("  settle_s: 0", "  folder: drop", 7, "exactly one of: folder, sftp"),
    ],
)
async def test_what_is_wrong_is_told_with_its_line(server: Server, old: str, new: str, line: int, says: str) -> None:
    with pytest.raises(ManifestError) as refused:
        load_manifest(server.manifest(old, new))
    assert f"manifest.yaml:{line}:" in refused.value.en
    assert says in refused.value.en
    assert "opensesame" not in refused.value.en


async def test_a_folder_that_is_not_there_is_told(server: Server) -> None:
    with pytest.raises(SourceDownError, match="the folder is not there"):
        await server.adapter("folder: out", "folder: elsewhere").check()


async def test_a_server_that_sends_more_than_it_said_or_nothing_harms_nobody(server: Server) -> None:
    server.write("xs_1.csv", f"{ANNA},安娜,2026-03-01,a")
    adapter = server.adapter("    timeout_s: 5", "    timeout_s: 1")
    Moody.mood = "more"
    with pytest.raises(SourceDownError, match="no usable file"):
        await adapter.check()
    Moody.mood = "hang"
    with pytest.raises(SourceDownError, match="in time"):
        await adapter.check()
    Moody.mood = ""
    assert len(await known(adapter, ANNA)) == 1
    assert server.spooled() == []


async def test_closing_ends_a_transfer_that_hangs(server: Server) -> None:
    server.write("xs_1.csv", f"{ANNA},安娜,2026-03-01,a")
    adapter = server.adapter("    timeout_s: 5", "    timeout_s: 300")
    Moody.mood = "hang"
    asking = asyncio.ensure_future(adapter.lookup(ask(ANNA, deadline_s=60)))
    await asyncio.wait_for(Moody.hung.wait(), 10)
    await asyncio.wait_for(adapter.close(), 10)
    server.built.clear()
    with pytest.raises(SourceDownError):
        await asking
    assert server.spooled() == []


async def test_a_file_that_is_too_large_is_not_fetched(server: Server) -> None:
    server.write("xs_1.csv", *[f"{ANNA},安娜,2026-03-01,{i}" for i in range(100)])
    Moody.mood = "hang"
    with pytest.raises(SourceDownError, match="larger than 1000 bytes"):
        await server.adapter("  settle_s: 0", "  settle_s: 0\n  max_file_bytes: 1000").check()
