"""Two gateways as processes, looked at from outside: one trace of a question, figures, health in words."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from bench.federation import TwoProvinces, people, requests, start_gateway, two_provinces
from gateway.channels import agency_channel
from gateway.config import load_agency
from gateway.demo.processes import stop, wait_ready
from gateway.observing.instruments import INSTRUMENTS
from wugan.agency.v1 import agency_pb2

pytestmark = pytest.mark.integration

SETTINGS = """
[observability]
listen = "127.0.0.1:0"

[observability.tracing]
file = "spans.jsonl"
sample = 1.0
"""
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ASKED = 3

Spans = list[dict[str, object]]


@pytest.fixture(scope="module")
def provinces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoProvinces]:
    """Both running, and some questions asked."""
    with two_provinces(tmp_path_factory.mktemp("observed"), SETTINGS) as running:
        asyncio.run(ask(running, requests()[:ASKED]))
        yield running


async def ask(provinces: TwoProvinces, bodies: list[bytes]) -> list[agency_pb2.CheckResponse]:
    """Ask one question after another; each answer."""
    async with agency_channel(load_agency(provinces.agency_config)) as channel:
        check = channel.unary_unary("/wugan.agency.v1.AgencyService/Check")
        answers = [await check(body, timeout=60, metadata=(("traceparent", TRACEPARENT),)) for body in bodies]
    return [agency_pb2.CheckResponse.FromString(answer) for answer in answers]


def get(member: object, path: str, host: str = "") -> tuple[int, dict[str, str], str]:
    """Status, headers and body of a page of a member's admin server."""
    address = json.loads(member.ready_file.read_text("utf-8"))["observability"]  # type: ignore[attr-defined]
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        connection.request("GET", path, headers={"Host": host} if host else {})
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read().decode("utf-8")
    finally:
        connection.close()


async def spans_of(provinces: TwoProvinces, enough: Callable[[Spans], bool]) -> Spans:
    """The spans of both gateways, once there are enough of them: exporters write every second."""
    files = [member.folder / "spans.jsonl" for member in (provinces.asking, provinces.answering)]
    async with asyncio.timeout(60):
        while True:
            spans = [
                json.loads(line) for file in files if file.exists() for line in file.read_text("utf-8").splitlines()
            ]
            if enough(spans):
                return spans
            await asyncio.sleep(0.05)


def of(spans: Spans, name: str) -> Spans:
    return [span for span in spans if span["name"] == name]


async def test_one_question_is_one_trace_over_both_gateways(provinces: TwoProvinces) -> None:
    spans = await spans_of(
        provinces, lambda there: len(of(there, "check")) >= ASKED and len(of(there, "answer")) >= ASKED
    )
    root = of(spans, "check")[0]
    trace = [span for span in spans if span["trace"] == root["trace"]]
    by_id = {span["span"]: span for span in trace}

    def way(span: dict[str, object]) -> list[object]:
        """From the root to a span, by name."""
        names = []
        while True:
            names.append(span["name"])
            if not span["parent"]:
                return names[::-1]
            span = by_id[span["parent"]]

    ways = {tuple(way(span)) for span in trace}
    assert ways == {
        ("check",),
        ("check", "ask"),
        ("check", "ask", "seal"),
        ("check", "ask", "exchange"),
        ("check", "ask", "open"),
        ("check", "ask", "answer"),
        ("check", "ask", "answer", "open"),
        ("check", "ask", "answer", "lookup"),
        ("check", "ask", "answer", "grade"),
        ("check", "ask", "answer", "seal"),
        ("check", "ask", "answer", "record"),
    }
    members = {span["name"]: span["member"] for span in trace}
    assert members["check"] == provinces.asking.plan.member_id
    assert members["answer"] == provinces.answering.plan.member_id
    assert of(trace, "lookup")[0]["attributes"] == {
        "department": "health-insurance",
        "people": 1,
        "outcome": "ANSWERED",
    }


async def test_a_left_question_and_its_late_answer_are_one_trace_over_both_gateways(provinces: TwoProvinces) -> None:
    left = agency_pb2.CheckRequest.FromString(requests()[ASKED])
    left.leave_open_s, left.only_leave = 86_400, True
    await ask(provinces, [left.SerializeToString()])

    def done(there: Spans) -> bool:
        """The late answer was taken, and both letters were handed over."""
        traces = {span["trace"] for span in of(there, "leave")}
        ended = [span["name"] for span in there if span["trace"] in traces]
        return ended.count("take") == 1 and ended.count("deliver") >= 2

    spans = await spans_of(provinces, done)
    trace_id = of(spans, "leave")[0]["trace"]
    trace = [span for span in spans if span["trace"] == trace_id]
    by_id = {span["span"]: span["name"] for span in trace}
    asking, answering = provinces.asking.plan.member_id, provinces.answering.plan.member_id
    steps = {(span["member"], by_id.get(span["parent"]), span["name"]) for span in trace}
    assert steps >= {
        (asking, None, "check"),
        (asking, "check", "leave"),
        (asking, "leave", "deliver"),
        (asking, "deliver", "exchange"),
        (answering, "leave", "handle"),
        (answering, "handle", "lookup"),
        (answering, "handle", "record"),
        (answering, "handle", "deliver"),
        (asking, "leave", "take"),
    }


async def test_every_question_has_a_trace_of_its_own_and_none_has_the_agencys_id(provinces: TwoProvinces) -> None:
    spans = await spans_of(provinces, lambda there: len(of(there, "check")) >= ASKED)
    _, agencys_trace, agencys_span, _ = TRACEPARENT.split("-")
    roots = of(spans, "check")
    assert len({span["trace"] for span in roots}) == len(roots)
    assert agencys_trace not in {span["trace"] for span in spans}
    assert {tuple(span["links"]) for span in roots} == {(f"{agencys_trace}-{agencys_span}",)}  # type: ignore[arg-type]
    theirs = [span for span in spans if span["member"] == provinces.answering.plan.member_id]
    assert agencys_trace not in json.dumps(theirs), "what an agency sent must not come to another member"


async def test_spans_figures_and_pages_hold_no_word_of_a_person(provinces: TwoProvinces) -> None:
    await spans_of(provinces, lambda there: min(len(of(there, "answer")), len(of(there, "check"))) >= ASKED)
    texts = [(member.folder / "spans.jsonl").read_text("utf-8") for member in (provinces.asking, provinces.answering)]
    for member in (provinces.asking, provinces.answering):
        texts += [get(member, path)[2] for path in ("/metrics", "/healthz", "/health", "/health?lang=en")]
        texts.append((member.folder / "gateway.log").read_text("utf-8"))
    everything = "\n".join(texts)
    for number, name in people()[: ASKED + 1]:
        assert number not in everything
        assert name not in everything
    for word in ("BENCH-1", "社会保险法", "bench-official"):
        assert word not in everything, f"{word} is of a question"


def test_figures_tell_what_was_asked_and_answered(provinces: TwoProvinces) -> None:
    asking, answering = provinces.asking.plan.member_id, provinces.answering.plan.member_id
    _, headers, asked = get(provinces.asking, "/metrics")
    assert headers["Content-Type"].startswith("text/plain")
    assert re.search(rf'^wugan_partner_calls_total{{outcome="OK",partner="{answering}"}} [1-9]', asked, re.M)
    assert re.search(rf'^wugan_partner_seconds_count{{partner="{answering}"}} [1-9]', asked, re.M)
    assert re.search(r'^wugan_calls_total{call="Check",outcome="OK"} [1-9]', asked, re.M)
    _, _, answered = get(provinces.answering, "/metrics")
    assert re.search(rf'^wugan_questions_total{{outcome="OK",partner="{asking}"}} [1-9]', answered, re.M)
    assert re.search(
        r'^wugan_department_calls_total{department="health-insurance",outcome="ANSWERED"} [1-9]', answered, re.M
    )
    assert re.search(r"^wugan_store_writes_total [1-9]", answered, re.M)
    assert re.search(r"^wugan_directory_members 2\.0", answered, re.M)
    assert re.search(r'^wugan_key_left_days{kind="tls"} [1-9]', answered, re.M)
    shown = set(re.findall(r"^# TYPE (wugan_\w+) ", asked, re.M))
    assert shown == set(INSTRUMENTS)


def test_the_page_is_chinese_and_english_where_asked(provinces: TwoProvinces) -> None:
    status, headers, chinese = get(provinces.answering, "/health")
    assert status == 200
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert headers["Cache-Control"] == "no-store"
    assert "一切正常" in chinese
    assert "<script" not in chinese
    assert "Everything is in order" in get(provinces.answering, "/health?lang=en")[2]


def test_a_browser_led_here_by_another_site_is_not_answered(provinces: TwoProvinces) -> None:
    assert get(provinces.answering, "/healthz", host="evil.example")[0] == 421
    assert get(provinces.answering, "/healthz", host="localhost:1")[0] == 200


def health(provinces: TwoProvinces, *options: str, lang: str = "en") -> subprocess.CompletedProcess[str]:
    command = ["gateway.cli", "gateway", "health", "--config", str(provinces.asking.config), *options]
    return subprocess.run(
        [sys.executable, "-m", *command],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "WUGAN_LANG": lang},
    )


async def test_a_partner_that_is_gone_is_told_of_in_words_and_by_the_exit_code(provinces: TwoProvinces) -> None:
    while "could not be read" in (well := health(provinces)).stdout:
        pass  # where the machine stands still, somebody in the gateway does not tell in time how they are
    assert (well.returncode, well.stderr) == (0, "")
    assert "All partners asked lately answer: 1." in well.stdout
    answering = provinces.processes[1]
    stop([answering])
    try:
        for _ in range(3):
            with pytest.raises(grpc.aio.AioRpcError):
                await ask(provinces, requests()[-1:])  # somebody whom no answer is kept about
        async with asyncio.timeout(60):  # a report is given again for a second
            while (told := health(provinces)).returncode == 0:
                await asyncio.sleep(0.1)
        assert told.returncode == 1
        assert "Zhejiang's gateway" in told.stdout or "Zhejiang has not answered well" in told.stdout
        assert "cannot be reached" in told.stdout
        assert "浙江省" in health(provinces, lang="zh").stdout
        facts = json.loads(health(provinces, "--json").stdout)["facts"]
        assert next(f for f in facts if f["about"].startswith(("partner/", "left-alone/")))["level"] == "attention"
    finally:
        provinces.processes[1] = start_gateway(provinces.answering)
        wait_ready([(provinces.processes[1], provinces.answering.ready_file)])


async def test_a_partner_that_nobody_asks_but_that_takes_no_deliveries_is_told_of_in_words(
    provinces: TwoProvinces,
) -> None:
    left = agency_pb2.CheckRequest.FromString(requests()[-2])
    left.leave_open_s, left.only_leave = 86_400, True
    answering = provinces.answering.plan.member_id
    stop([provinces.processes[1]])
    try:
        await ask(provinces, [left.SerializeToString()])

        def told() -> dict[str, dict[str, object]]:
            return {fact["about"]: fact for fact in json.loads(get(provinces.asking, "/healthz")[2])["facts"]}

        async with asyncio.timeout(
            120
        ):  # three attempts, with the pauses between them; letters are counted now and then
            while (facts := told()).get(f"outbox/{answering}") is None:
                await asyncio.sleep(0.1)
        assert facts[f"outbox/{answering}"]["level"] == "attention"
        assert "Nothing could be delivered to Zhejiang" in str(facts[f"outbox/{answering}"]["en"])
        assert "无法向浙江省投递" in str(facts[f"outbox/{answering}"]["zh"])
        assert "partners" not in told(), "nobody is said to answer who takes nothing"
        shown = get(provinces.asking, "/metrics")[2]
        assert re.search(rf'^wugan_outbox_failing_seconds{{partner="{answering}"}} [1-9]', shown, re.M)
    finally:
        provinces.processes[1] = start_gateway(provinces.answering)
        wait_ready([(provinces.processes[1], provinces.answering.ready_file)])


def test_a_gateway_that_does_not_run_is_not_reached(provinces: TwoProvinces, tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text(provinces.asking.config.read_text("utf-8"), "utf-8")
    command = [sys.executable, "-m", "gateway.cli", "gateway", "health", "--config", str(config)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 3
    config.write_text(
        re.sub(r"\[observability\].*", "", provinces.asking.config.read_text("utf-8"), flags=re.S), "utf-8"
    )
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 2
    assert "observability.listen" in told.stderr
