"""Lists of deliveries, grants, alarms, comparisons and records call other members by name, with their code."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from certs.identity import Identity
from gateway.cli import main
from gateway.cli.access_common import in_store
from gateway.cli.member_names import MemberNames
from gateway.clock import Clock, FakeClock, SystemClock
from gateway.federation.directory_build import directory, member_entry
from gateway.post.letters import letter
from gateway.store.alarms import Alarm
from gateway.store.engine import Store
from tests.unit.cli.access_office import MEMBER, Office
from tests.unit.federation.tuf_world import FEDERATION, World, certificate_roots

STRANGER = "1142000000420000XN"
CALLED = {"zh": f"北京市（{MEMBER}）", "en": f"Beijing ({MEMBER})"}
DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    """A gateway that holds a directory with one other member, and has something to tell of it and of a stranger."""
    folder = tmp_path_factory.mktemp("names")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gateway.log.configure", lambda *_: None)
        made = Office(folder)
        for member in (MEMBER, STRANGER):
            assert made.grants(member=member, purpose="audit", region="*").exit_code == 0
            in_store(made.config, filling(member))
    held(made)
    return made


def held(office: Office) -> None:
    """The gateway fetched the directory."""
    folder = office.folder
    office.config.write_text(office.config.read_text().replace("demo.wugan.internal", FEDERATION))
    world = World(folder, clock=FakeClock(SystemClock().now_ms()))  # founded now: the commands go by the real clock
    entry: dict[str, Any] = {"member_id": MEMBER, "name_zh": "北京市", "name_en": "Beijing", "regions": [110000]}
    empty: dict[str, Any] = dict.fromkeys(("tls_certificates", "signing_keys", "encryption_keys"), ())
    listed = member_entry(**entry, **empty, gateways=[("127.0.0.1:1", Identity.gateway(FEDERATION, MEMBER).tls_name)])

    def content(version: int, expires: dt.datetime) -> bytes:
        return directory([listed], version=version, expires_at=expires, federation=FEDERATION, issued_at=world.now)

    world.repository.publish(content, world.now)
    world.copy()
    (folder / "roots.pem").write_bytes(certificate_roots())
    (folder / "root.json").write_bytes(world.root)
    asyncio.run(world.gateway().refresh())
    shutil.copytree(folder / "state-gateway", folder / "state" / "directory")


def filling(member: str) -> Callable[[Store, Clock], Awaitable[None]]:
    async def fill(store: Store, clock: Clock) -> None:
        now_ms = clock.now_ms()
        await store.outbox.submit(letter(member, 1, b"x", purpose=1, now_ms=now_ms, expires_at_ms=now_ms + DAY_MS))
        await store.alarms.submit(Alarm(0, now_ms, member, "unit", "sequential", 9, 1))
        await store.matchings.want(member, now_ms)

    return fill


LISTS = {
    "outbox": ("outbox", "list"),
    "grants": ("access", "list"),
    "alarms": ("access", "alarms"),
    "matching": ("duplicates", "status"),
    "audit": ("audit", "list", "--as", "sun", "--key", "sun.pem"),
}


def listed(office: Office, name: str, *more: str, language: str = "zh") -> str:
    words = [str(office.folder / each) if each.endswith(".pem") else each for each in LISTS[name]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gateway.log.configure", lambda *_: None)  # a command sets up the log of its own process
        ran = CliRunner(env={"WUGAN_LANG": language}).invoke(main, [*words, "--config", str(office.config), *more])
    assert ran.exit_code == 0, ran.output
    return ran.stdout


@pytest.mark.parametrize(("name", "language"), [*((each, "zh") for each in LISTS), ("outbox", "en")])
def test_a_list_calls_members_by_name_and_code_and_strangers_by_code(office: Office, name: str, language: str) -> None:
    text = listed(office, name, language=language)
    assert CALLED[language] in text
    assert STRANGER in text


@pytest.mark.parametrize("name", [each for each in LISTS if each != "audit"])  # that is as it was recorded
def test_json_has_the_code_and_both_names(office: Office, name: str) -> None:
    rows = json.loads(listed(office, name, "--json").splitlines()[-1])
    named = {row["member"]: (row["member_name_zh"], row["member_name_en"]) for row in rows}
    assert named[MEMBER] == ("北京市", "Beijing")
    assert named[STRANGER] == ("", "")


def test_where_there_is_no_directory_there_are_no_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.log.configure", lambda *_: None)
    assert MemberNames.of(Office(tmp_path).config).called(MEMBER) == MEMBER
