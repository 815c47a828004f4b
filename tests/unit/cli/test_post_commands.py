"""`wugan outbox` and `wugan inbox` beside a gateway: what is dead is seen, retried, or dropped with a reason."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from gateway.clock import SystemClock
from gateway.post.letters import letter
from gateway.store.engine import Store
from gateway.store.inbox import DEAD, Arrival, Finish
from gateway.store.outbox import Attempt, Dead, Trouble
from tests.configured import gateway_toml
from tests.unit.store.store_world import MEMBER, OTHER_MEMBER
from wugan.federation.v1 import vocabulary_pb2 as words

PERSON = "330702195001011234"
DAY_MS = 86_400_000


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration whose store holds a waiting and a dead letter, and a dead delivery."""
    monkeypatch.setenv("WUGAN_LANG", "en")
    # A command sets up the log of its own process, which here is that of all other tests.
    monkeypatch.setattr("gateway.log.configure", lambda *_: None)
    path = tmp_path / "gateway.toml"
    path.write_text(gateway_toml(), "utf-8")
    asyncio.run(_fill(tmp_path / "state"))
    return path


async def _fill(state: Path) -> None:
    clock = SystemClock()
    now_ms = clock.now_ms()
    async with Store.open(state / "gateway.db", key=state / "store.key", clock=clock) as store:
        for body in (b"waits " + PERSON.encode(), b"dead"):
            options: Any = {"purpose": 1, "now_ms": now_ms, "expires_at_ms": now_ms + DAY_MS}
            sequence = await store.outbox.submit(letter(MEMBER, 1, body, **options))
        dead = Dead(sequence, words.REFUSAL_REASON_TOO_LARGE, "too large for us")
        await store.outbox.settle(Attempt(MEMBER, dead=[dead]))
        number = (7).to_bytes(16)
        await store.inbox.accept([Arrival(OTHER_MEMBER, number, 1, b"", 3, 2, now_ms, now_ms + DAY_MS, b"x")])
        note = "nobody knows what to do"
        why = words.REFUSAL_REASON_INTERNAL
        await store.inbox.finish(Finish(OTHER_MEMBER, number, DEAD, next_try_ms=now_ms, reason=why, note=note))


async def _trouble(state: Path) -> None:
    """The member is away."""
    clock = SystemClock()
    async with Store.open(state / "gateway.db", key=state / "store.key", clock=clock) as store:
        now_ms = clock.now_ms()
        away = Trouble(MEMBER, now_ms - 1000, 3, now_ms + 1000, words.REFUSAL_REASON_PARTNER_UNAVAILABLE)
        await store.outbox.settle(Attempt(MEMBER, trouble=away))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def listed(config: Path, *arguments: str) -> list[dict[str, Any]]:
    shown = run(*arguments, "--config", str(config), "--json")
    assert shown.exit_code == 0, shown.output
    found: list[dict[str, Any]] = json.loads(shown.output.splitlines()[-1])
    return found


def audit(config: Path) -> list[tuple[str, str, str]]:
    async def read() -> list[tuple[str, str, str]]:
        state = config.parent / "state"
        async with Store.open(state / "gateway.db", key=state / "store.key", clock=SystemClock()) as store:
            events = [recorded.event for recorded in await store.audit.events()]
            return [(event.direction, event.unit, event.decision) for event in events]

    return asyncio.run(read())


def test_the_outbox_is_listed_without_what_its_letters_hold(config: Path) -> None:
    waiting, dead = listed(config, "outbox", "list")
    assert (waiting["state"], dead["state"]) == ("waiting", "dead")
    assert (dead["reason"], dead["note"], dead["member"]) == ("TOO_LARGE", "too large for us", MEMBER)
    assert listed(config, "outbox", "list", "--state", "dead") == [dead]
    assert listed(config, "outbox", "list", "--member", OTHER_MEMBER) == []
    plain = run("outbox", "list", "--config", str(config)).output
    assert dead["delivery"] in plain
    assert PERSON not in plain


def test_one_delivery_is_shown(config: Path) -> None:
    (dead,) = listed(config, "outbox", "list", "--state", "dead")
    assert listed(config, "outbox", "show", dead["delivery"]) == dead
    (left,) = listed(config, "inbox", "list")
    assert listed(config, "inbox", "show", left["delivery"]) == left
    assert (left["dead_since"], left["next_try"]) == (left["made_at"], ""), "nothing dead is tried by itself"
    assert run("outbox", "show", "00" * 16, "--config", str(config)).exit_code == 1
    assert run("outbox", "show", "nonsense", "--config", str(config)).exit_code == 2


@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_delivery_is_shown_to_a_person_in_words(config: Path, monkeypatch: pytest.MonkeyPatch, language: str) -> None:
    (waiting,) = listed(config, "outbox", "list", "--state", "waiting")
    monkeypatch.setenv("WUGAN_LANG", language)

    def shown() -> list[str]:
        output = run("outbox", "show", waiting["delivery"], "--config", str(config)).output
        return [line for line in output.splitlines() if "[info" not in line]  # the log of the store

    told = shown()
    asyncio.run(_trouble(config.parent / "state"))
    troubled = shown()
    for line in troubled:
        name, _, value = line.partition("：" if language == "zh" else ": ")
        assert value, line
        assert bool(re.search(r"[\u4e00-\u9fff]", name)) == (language == "zh"), line
    assert len(troubled) == len(told) + 4
    assert ("无法连接" if language == "zh" else "could not be reached") in troubled[-1]


def test_whoever_drops_what_waits_is_told_why_not(config: Path) -> None:
    (waiting,) = listed(config, "outbox", "list", "--state", "waiting")
    ran = run("outbox", "drop", waiting["delivery"], "--reason", "x", "--config", str(config))
    assert ran.exit_code == 1
    assert "not dead" in ran.stderr


def directory_of(monkeypatch: pytest.MonkeyPatch, *members: str) -> None:
    """Only these are in the directory that the gateway holds; none: it holds none that is in force."""
    listed = [SimpleNamespace(member_id=each, name_zh="某省", name_en="a province") for each in members]
    held = SimpleNamespace(members=listed) if listed else None
    monkeypatch.setattr("gateway.federation.directory_held.held_directory", lambda *_: held)


def test_what_waits_for_a_member_that_has_left_is_dropped_with_a_reason_that_is_on_record(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (waiting,) = listed(config, "outbox", "list", "--state", "waiting")
    directory_of(monkeypatch, OTHER_MEMBER)
    drop = ("outbox", "drop", waiting["delivery"], "--config", str(config))
    assert run(*drop).exit_code == 2, "without a reason"
    done = run(*drop, "--reason", "it merged")
    assert (done.exit_code, "1 of 1 dropped" in done.stdout) == (0, True)
    assert [each["state"] for each in listed(config, "outbox", "list")] == ["dead"]
    ((direction, unit, decision),) = audit(config)
    assert (direction, unit.startswith("login:")) == ("act", True)
    assert decision == "outbox: delivery to a member that left dropped: it merged"


def test_all_to_a_member_that_has_left_are_dropped_at_once(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory_of(monkeypatch, OTHER_MEMBER)
    done = run("outbox", "drop", "--gone", MEMBER, "--reason", "it merged", "--config", str(config))
    assert (done.exit_code, "2 of 2 dropped" in done.stdout) == (0, True)
    assert listed(config, "outbox", "list") == []
    assert len(audit(config)) == 2


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(
    ("members", "said"),
    [((MEMBER,), ("in the federation", "联盟")), ((), ("no directory in force", "没有有效的成员目录"))],
)
def test_what_waits_for_a_member_that_is_there_or_may_be_is_not_dropped(
    config: Path, monkeypatch: pytest.MonkeyPatch, members: tuple[str, ...], said: tuple[str, str], language: str
) -> None:
    (waiting,) = listed(config, "outbox", "list", "--state", "waiting")
    directory_of(monkeypatch, *members)
    monkeypatch.setenv("WUGAN_LANG", language)
    for what in ((waiting["delivery"],), ("--gone", MEMBER)):
        ran = run("outbox", "drop", *what, "--reason", "x", "--config", str(config))
        assert ran.exit_code == 1
        assert said[language == "zh"] in ran.stderr
    assert len(listed(config, "outbox", "list")) == 2
    assert audit(config) == []


async def _more(state: Path, count: int, made_ms: int) -> None:
    """So many more dead letters, made then and over a day later."""
    async with Store.open(state / "gateway.db", key=state / "store.key", clock=SystemClock()) as store:
        options: Any = {"purpose": 1, "now_ms": made_ms, "expires_at_ms": made_ms + DAY_MS}
        sent = [store.outbox.submit(letter(MEMBER, 1, b"dead", **options)) for _ in range(count)]
        sequences = await asyncio.gather(*sent)
        why = words.REFUSAL_REASON_TOO_LARGE
        await store.outbox.settle(Attempt(MEMBER, dead=[Dead(each, why, "") for each in sequences]))


def test_of_a_letter_that_is_too_old_to_be_sent_again_it_is_not_said_that_it_is_not_there(config: Path) -> None:
    asyncio.run(_more(config.parent / "state", 1, SystemClock().now_ms() - 40 * DAY_MS))
    ran = run("outbox", "retry", "--all", "--config", str(config))
    assert ran.exit_code == 1
    assert "1 of 2 sent again" in ran.stdout
    assert "so old that the other side may take it twice" in ran.stderr
    ran = run("outbox", "drop", "--all", "--reason", "too old", "--config", str(config))
    assert (ran.exit_code, "1 of 1 dropped" in ran.stdout) == (0, True)


@pytest.mark.parametrize("act", [("retry",), ("drop", "--reason", "x")])
def test_all_are_all_however_many(config: Path, act: tuple[str, ...]) -> None:
    asyncio.run(_more(config.parent / "state", 1_200, SystemClock().now_ms()))
    ran = run("outbox", *act, "--all", "--config", str(config))
    assert (ran.exit_code, "1201 of 1201" in ran.stdout) == (0, True)
    assert listed(config, "outbox", "list", "--state", "dead") == []


def test_those_too_old_to_be_sent_again_hide_no_others(config: Path) -> None:
    asyncio.run(_more(config.parent / "state", 1_000, SystemClock().now_ms() - 40 * DAY_MS))
    asyncio.run(_more(config.parent / "state", 3, SystemClock().now_ms()))
    ran = run("outbox", "retry", "--all", "--config", str(config))
    assert "4 of 1004 sent again" in ran.stdout


def test_a_dead_letter_is_sent_again(config: Path) -> None:
    (dead,) = listed(config, "outbox", "list", "--state", "dead")
    assert run("outbox", "retry", dead["delivery"], "--config", str(config)).exit_code == 0
    assert [each["state"] for each in listed(config, "outbox", "list")] == ["waiting", "waiting"]
    assert run("outbox", "retry", dead["delivery"], "--config", str(config)).exit_code == 1


def test_dead_letters_are_dropped_with_a_reason_that_is_on_record(config: Path) -> None:
    assert run("outbox", "drop", "--all", "--config", str(config)).exit_code == 2, "without a reason"
    for nothing in ("", " \u3000"):
        refused = run("outbox", "drop", "--all", "--reason", nothing, "--config", str(config))
        assert refused.exit_code == 2, "a blank is no reason"
        assert "say why" in refused.stderr
    done = run("outbox", "drop", "--all", "--reason", "sent by post", "--config", str(config))
    assert done.exit_code == 0, done.output
    assert [each["state"] for each in listed(config, "outbox", "list")] == ["waiting"]
    ((direction, unit, decision),) = audit(config)
    assert direction == "act"
    assert unit.startswith("login:")
    assert decision == "outbox: dead delivery dropped: sent by post"


def test_a_dead_delivery_is_dealt_with_again_or_dropped(config: Path) -> None:
    (left,) = listed(config, "inbox", "list")
    assert (left["state"], left["kind"], left["note"]) == ("dead", "notice", "nobody knows what to do")
    assert run("inbox", "retry", "--all", "--config", str(config)).exit_code == 0
    assert [each["state"] for each in listed(config, "inbox", "list")] == ["waiting"]
    assert run("inbox", "drop", left["delivery"], "--reason", "no", "--config", str(config)).exit_code == 1
    assert audit(config) == []


def test_a_dead_delivery_that_is_dropped_counts_as_done(config: Path) -> None:
    assert run("inbox", "drop", "--all", "--reason", "obsolete", "--config", str(config)).exit_code == 0
    assert listed(config, "inbox", "list") == []
    assert [each["state"] for each in listed(config, "inbox", "list", "--state", "done")] == ["done"]
    assert len(audit(config)) == 1


def test_nothing_named_is_wrong_usage(config: Path) -> None:
    assert run("outbox", "retry", "--config", str(config)).exit_code == 2


@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_is_said_is_said_in_both_languages(config: Path, monkeypatch: pytest.MonkeyPatch, language: str) -> None:
    monkeypatch.setenv("WUGAN_LANG", language)
    shown = run("inbox", "list", "--config", str(config)).output
    assert ("notice" in shown, "变更通知" in shown) == (language == "en", language == "zh")
