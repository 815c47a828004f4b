"""`docs/operations/lose-the-authority.md` as it is followed: its host gone, its keys stolen or lost, founded anew."""

from __future__ import annotations

import datetime as dt
import json
import re
import shutil
import signal
from pathlib import Path

import pytest
from runbook import Book
from runbook_world import (
    BEIJING,
    CA_PASSPHRASE,
    FOUNDING,
    ROOT_PASSPHRASES,
    ZHEJIANG,
    Federation,
    Province,
    hand_over,
    until,
)

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(1800)]

PAGE = "lose-the-authority.md"
DAY = dt.timedelta(hours=24)
BEGINNING = "The authority is lost"
BACKUP = ("How long everything goes on", "Back it up, every hour", "The host is gone, with a backup")
KEYS = ("Keys in daily use were stolen", "The issuing key was stolen", "Root keys, fewer than the threshold")
ANEW = ("Found it anew",)


def metadata(province: Province, name: str) -> dict[str, object]:
    """What a gateway holds."""
    file = province.gateway.folder / "state" / "directory" / "metadata" / name
    signed: dict[str, object] = json.loads(file.read_bytes())["signed"]
    return signed


def custodians(federation: Federation) -> list[Path]:
    """The files of the root's keys in custody, in the order of their passphrases."""
    folder = federation.authority.folder
    root = json.loads((folder / "authority" / "root.json").read_bytes())["signed"]
    return [folder / "custody" / f"{keyid[:16]}.pem" for keyid in root["roles"]["root"]["keyids"]]


def test_every_section_is_followed_by_one_of_these_tests() -> None:
    followed = [*BACKUP, *KEYS, *ANEW]
    assert [section for section in Book(PAGE).sections if not section.startswith(BEGINNING)] == followed


def test_everything_goes_on_while_the_authority_is_gone_and_a_backup_brings_it_back(federation: Federation) -> None:
    book, zhejiang, beijing = Book(PAGE), federation.zhejiang, federation.beijing
    hosts = federation.about(zhejiang)
    book.follow(BEGINNING, hosts)

    how_long, back_up, section = BACKUP
    [held] = book.follow(how_long, hosts)
    ends = dict(re.findall(r'(\w+)\.json:"expires": *"([^"]+)"', held.out))
    left = {name: dt.datetime.fromisoformat(end) - dt.datetime.now(dt.UTC) for name, end in ends.items()}
    assert DAY / 2 < left["timestamp"] <= DAY
    assert left["root"] > 300 * DAY

    book.follow(back_up, hosts)
    zhejiang.gateway.run("wugan certs rotate --config gateway.toml --wait 60")
    for _ in range(3):
        federation.authority.run("wugan authority publish --dir authority")
    federation.until_all_have_the_directory()
    before = federation.seen()[BEIJING][1]
    federation.authority.stop(signal.SIGKILL)
    shutil.rmtree(federation.authority.folder / "authority")
    assert federation.ask().code == 0

    book.follow(section, hosts, 0)
    assert federation.seen()[BEIJING][1] < before, "the backup is older than what gateways hold"
    [newest] = book.follow(section, {**hosts, "gateway": beijing.gateway}, 1)
    hosts = federation.about(zhejiang, SEEN=newest.out.strip())
    book.follow(section, hosts, 2)
    until(lambda: federation.seen()[BEIJING][0] == federation.seen()[BEIJING][1], federation.tails)
    seen, version = federation.seen()[ZHEJIANG]
    assert version > before
    assert seen < version, "it has renewed its keys since the backup"
    book.follow(section, hosts, 3)
    hand_over(federation.authority, zhejiang.gateway, "token")
    book.follow(section, hosts, 4)
    federation.until_all_have_the_directory()
    federation.until_answered()

    book.require_done(BEGINNING, *BACKUP)


def test_stolen_and_lost_keys_are_replaced_by_the_custodians_that_are_left(federation: Federation) -> None:
    book, zhejiang = Book(PAGE), federation.zhejiang
    one, two, _ = custodians(federation)
    hosts = federation.about(zhejiang, ONE=str(one), TWO=str(two))
    book.follow(BEGINNING, hosts)
    before = metadata(zhejiang, "root.json")
    old = list(ROOT_PASSPHRASES[:2])

    book.follow(KEYS[0], hosts, typed={"wugan authority root rotate": old})
    federation.until_all_have_the_directory()
    after = metadata(zhejiang, "root.json")
    assert after["version"] == 2
    for role in ("timestamp", "snapshot", "targets"):
        assert after["roles"][role]["keyids"] != before["roles"][role]["keyids"]  # type: ignore[index]
    federation.ask()

    [*_, listed] = book.follow(KEYS[1], hosts, typed={"wugan authority issuing roll": [CA_PASSPHRASE]})
    assert re.search(r"^issuing  (revoked|已吊销)", listed.out, re.M)
    federation.until_all_have_the_directory()
    assert federation.ask().code == 0, "what it really issued goes on"

    new = [each for each in ("new one", "new two", "new three") for _ in range(2)]
    book.follow(KEYS[2], hosts, typed={"wugan authority root rotate": [*old, *new]})
    federation.authority.run("wugan authority publish --dir authority")
    federation.until_all_have_the_directory()
    until(lambda: metadata(zhejiang, "root.json")["version"] == 3, federation.tails)
    assert {one, two}.isdisjoint(custodians(federation))
    federation.ask()
    three, four, _ = custodians(federation)
    rotate = f"wugan authority root rotate --dir authority --old-key {three} --old-key {four}"
    federation.authority.run(rotate, typed=("new one", "new two"))
    lost = f"wugan authority root rotate --dir authority --old-key {one} --old-key {two}"
    assert "fewer were given" in federation.authority.run(lost, ends_with=2, typed=old).err

    book.require_done(*KEYS)


def test_a_federation_founded_anew_has_its_members_back_and_what_they_had(federation: Federation) -> None:
    book, [section] = Book(PAGE), ANEW
    hosts = federation.about(federation.zhejiang)
    book.follow(BEGINNING, hosts)
    kept = {province.member_id: province.keys.stat().st_ino for province in (federation.beijing, federation.zhejiang)}
    book.follow(section, hosts, 0, typed=FOUNDING)
    assert federation.seen() == {}
    assert federation.ask().code == 0, "the old one goes on"

    for province in (federation.beijing, federation.zhejiang):
        hosts = federation.about(province)
        book.follow(BEGINNING, hosts, only="MEMBER")
        sums = book.follow(section, hosts, 1)[-1]
        new = province.gateway.folder / "new"
        new.mkdir()
        for name in ("roots.pem", "root.json", "token"):
            hand_over(federation.authority, province.gateway, name)
            (province.gateway.folder / name).rename(new / name)
        shutil.copy(new / "roots.pem", province.agency.folder)
        [compared, *_] = book.follow(section, hosts, 2)
        assert compared.out == sums.out
        assert province.keys.stat().st_ino != kept[province.member_id]
    federation.until_all_have_the_directory()

    hosts = federation.about(federation.zhejiang)
    book.follow(section, hosts, 3)
    hand_over(federation.authority, federation.zhejiang.agency, "unit-token")
    book.follow(section, hosts, 4)
    federation.until_answered()
    book.require_done(*ANEW)
