"""Health: everybody is asked, nobody hides what another says, and a page shows it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from html.parser import HTMLParser

import aiohttp
import pytest

from gateway.clock import FakeClock
from gateway.errors import ConfigError
from gateway.observing import health as module
from gateway.observing.admin import MAX_AT_ONCE, serving_admin
from gateway.observing.health import NO_NAMES, Health, HealthFact, HealthSource, Level, Names, Report
from gateway.observing.page import page
from tests.unit.adapters.adapters_world import number

MEMBER = "11330000002482285J"


def telling(*facts: HealthFact) -> HealthSource:
    async def source(_now_ms: int) -> Sequence[HealthFact]:
        return facts

    return source


def fact(level: Level, about: str = "a", **texts: str) -> HealthFact:
    return HealthFact(about, level, texts.get("en", "en"), texts.get("zh", "zh"), "do", "做", 1_795_000_000_000)


def health(**sources: HealthSource) -> Health:
    made = Health(MEMBER, FakeClock())
    for name, source in sources.items():
        made.register(name, source)
    return made


async def test_the_worst_fact_comes_first_and_gives_the_level() -> None:
    report = await health(a=telling(fact(Level.WELL)), b=telling(fact(Level.FAILING), fact(Level.ATTENTION))).report()
    assert report.level is Level.FAILING
    assert [each.level for each in report.facts] == [Level.FAILING, Level.ATTENTION, Level.WELL]


async def test_without_facts_all_is_well() -> None:
    assert (await health().report()).level is Level.WELL


async def test_a_source_that_fails_is_a_fact_and_hides_nothing() -> None:
    async def fails(_now_ms: int) -> Sequence[HealthFact]:
        raise RuntimeError(number(1))

    report = await health(broken=fails, a=telling(fact(Level.ATTENTION, "seen"))).report()
    assert {each.about for each in report.facts} == {"broken", "seen"}
    assert number(1) not in json.dumps(report.as_json())


async def test_a_source_that_never_ends_is_a_fact_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SOURCE_S", 0.01)

    async def hangs(_now_ms: int) -> Sequence[HealthFact]:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    assert [each.about for each in (await health(slow=hangs).report()).facts] == ["slow"]


async def test_many_who_look_at_once_ask_each_source_once() -> None:
    asked = 0

    async def source(_now_ms: int) -> Sequence[HealthFact]:
        nonlocal asked
        asked += 1
        return []

    clock = FakeClock()
    looked = Health(MEMBER, clock)
    looked.register("a", source)
    await asyncio.gather(*(looked.report() for _ in range(20)))
    await looked.report()
    assert asked == 1
    clock.advance(2)
    await looked.report()
    assert asked == 2


async def test_an_identity_number_in_a_fact_is_masked_and_texts_are_bounded() -> None:
    report = await health(a=telling(fact(Level.WELL, en=f"about {number(1)}", zh="长" * 5000))).report()
    assert number(1) not in report.facts[0].en
    assert len(report.facts[0].zh) == module.MAX_CHARS


async def test_a_report_survives_json() -> None:
    report = await health(a=telling(fact(Level.ATTENTION))).report()
    assert Report.from_json(json.loads(json.dumps(report.as_json()))) == report


async def test_whose_gateway_it_is_is_told_by_name_and_code_where_the_name_is_known() -> None:
    names = Names("Zhejiang", "浙江省")
    report = await Health(MEMBER, FakeClock(), lambda: names).report()
    assert report.whose(chinese=True) == f"浙江省 {MEMBER}"
    assert report.whose(chinese=False) == f"Zhejiang {MEMBER}"
    assert Report.from_json(json.loads(json.dumps(report.as_json()))) == report
    assert "无感网关浙江省" in "".join(Texts(page(report, chinese=True)).texts).replace(" ", "")
    assert (await health().report()).whose(chinese=True) == MEMBER


def test_a_report_without_names_is_read_too() -> None:
    assert Report.from_json({"member_id": "m", "at_ms": 1, "level": "well", "facts": []}).names == NO_NAMES


@pytest.mark.parametrize("raw", [{}, {"facts": [1]}, [], {"member_id": "m", "at_ms": 1, "level": "nice", "facts": []}])
def test_anything_else_is_no_report(raw: object) -> None:
    with pytest.raises(ValueError, match="not a report"):
        Report.from_json(raw)  # type: ignore[arg-type]


class Texts(HTMLParser):
    """The texts of a page, and its tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_starttag(self, tag: str, _attributes: object) -> None:
        self.tags.append(tag)


@pytest.mark.parametrize("chinese", [True, False])
async def test_the_page_shows_every_fact_and_what_to_do_in_one_language(chinese: bool) -> None:
    shown = fact(Level.FAILING, en="the disk is full", zh="磁盘已满")
    report = await health(a=telling(shown)).report()
    texts = Texts(page(report, chinese=chinese)).texts
    assert (shown.zh if chinese else shown.en) in texts
    assert (shown.en if chinese else shown.zh) not in texts
    assert f" {shown.do_zh if chinese else shown.do_en}" in texts


async def test_a_text_of_another_party_is_shown_and_does_nothing() -> None:
    hostile = "<script>alert(1)</script>\"'&"
    report = await health(a=telling(fact(Level.ATTENTION, zh=hostile))).report()
    parsed = Texts(page(report, chinese=True))
    assert hostile in "".join(parsed.texts)
    assert "script" not in parsed.tags


async def get(address: str, path: str, **headers: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://{address}{path}", headers=headers) as response:
        return response.status, await response.text()


async def test_the_status_is_503_while_something_fails_and_only_then() -> None:
    for level, status in ((Level.ATTENTION, 200), (Level.FAILING, 503)):
        async with serving_admin(health(a=telling(fact(level))), "127.0.0.1:0") as address:
            told, body = await get(address, "/healthz")
            assert told == status
            assert json.loads(body)["level"] == level.name.lower()
            assert f"wugan_health {float(level)}" in (await get(address, "/metrics"))[1]


async def test_nothing_else_is_served_and_nothing_can_be_changed() -> None:
    async with serving_admin(health(), "127.0.0.1:0") as address:
        assert (await get(address, "/"))[0] == 404
        assert (await get(address, "/../etc/passwd"))[0] == 404
        async with aiohttp.ClientSession() as session, session.post(f"http://{address}/healthz") as response:
            assert response.status == 405
            assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[::1"])
async def test_on_loopback_only_names_of_this_machine_are_answered_to(host: str) -> None:
    async with serving_admin(health(), "127.0.0.1:0") as address:
        assert (await get(address, "/healthz", Host=host))[0] in (400, 421)


async def test_more_calls_at_once_than_it_takes_are_refused() -> None:
    gate, held = asyncio.Event(), asyncio.Event()

    async def waits(_now_ms: int) -> Sequence[HealthFact]:
        held.set()
        await gate.wait()
        return []

    async with AsyncExitStack() as stack:
        address = await stack.enter_async_context(serving_admin(health(a=waits), "127.0.0.1:0"))
        tasks = [asyncio.create_task(get(address, "/healthz")) for _ in range(MAX_AT_ONCE * 2)]
        async with asyncio.timeout(20):
            await held.wait()
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            assert {task.result()[0] for task in done} == {503}
            gate.set()
            outcomes = [status for status, _ in await asyncio.gather(*tasks)]
    assert outcomes.count(200) >= MAX_AT_ONCE


async def test_a_port_that_is_taken_is_said_to_be() -> None:
    async with serving_admin(health(), "127.0.0.1:0") as address:
        with pytest.raises(ConfigError) as caught:
            async with serving_admin(health(), address):
                pass
        assert caught.value.field == "observability.listen"
