"""Adapters behind `AdapterService` are proved as any other: ours, served next to its data, and foreign ones."""

from __future__ import annotations

import asyncio
import json
import runpy
import shlex
import socket
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from remote_world import EXAMPLES, ROOT, Member, running, tls_name_of, wugan
from test_foreign_adapters import GATEWAY, node

from adapters import sdk
from adapters.conformance import Bounds, Outcome, Person, RemoteTarget, Report, Sample, conform
from adapters.tls import TlsFiles
from gateway.cli.adapter import adapter as command
from tests.unit.adapters.adapters_world import day, number
from wugan.adapter.v1 import vocabulary_pb2 as words

pytestmark = pytest.mark.integration
__all__ = ["node"]

BOUNDS = Bounds(people=1_000)
BURIED = Sample(
    (
        Person(number(1), "张建国", 2, words.EVIDENCE_KIND_BURIAL, day("2026-01-14")),
        Person(number(2), "李桂兰", 3, words.EVIDENCE_KIND_BURIAL, day("2026-02-14")),
        Person(number(4), "赵玉珍", 4),
    ),
    (Person(number(5), "无", 5),),
)


@pytest.fixture(scope="module")
def member(tmp_path_factory: pytest.TempPathFactory) -> Member:
    return Member(tmp_path_factory.mktemp("conforming"))


def target(address: str, member: Member) -> RemoteTarget:
    certs = member.gateway()
    files = TlsFiles(certs / "certificate.pem", certs / "key.pem", certs / "roots.pem")
    return RemoteTarget(address, tls_name_of("burials"), files, 30)


def failed(report: Report) -> list[tuple[str, str]]:
    return [(result.case.id, result.says.en) for result in report.failed]


async def test_a_kind_of_ours_served_next_to_its_data_passes(member: Member, tmp_path: Path) -> None:
    ready, sample = tmp_path / "ready", Sample.read(EXAMPLES / "burials" / "sample.csv")
    serve = wugan("adapter", "serve", EXAMPLES / "burials" / "manifest.yaml", "--listen", "127.0.0.1:0")
    there = ("--certs", member.department(), "--state", tmp_path / "there", "--ready-file", ready)
    async with running(*serve, *there, ready=ready) as (address, _):
        report = await conform(target(address, member), sample, bounds=BOUNDS)
    assert failed(report) == []
    assert report.people == 3
    not_tried = {result.case.id for result in report.results if result.outcome is Outcome.NOT_TRIED}
    assert not_tried >= {"clock.time_zone", "restart.answer", "restart.closed"}, "it is not ours to start anew"


async def test_the_example_with_the_sdk_passes(member: Member) -> None:
    example = runpy.run_path(str(EXAMPLES / "sdk_burials" / "adapter.py"))
    async with sdk.served(example["Burials"](), "127.0.0.1:0", member.department()) as address:
        assert failed(await conform(target(address, member), BURIED, bounds=BOUNDS)) == []


async def test_the_example_in_node_passes(
    member: Member, tmp_path: Path, node: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WUGAN_PROTO", str(ROOT / "proto"))
    ready = tmp_path / "ready"
    program = ("node", node / "adapter.mjs", "127.0.0.1:0", member.department(), GATEWAY, ready)
    async with running(*program, ready=ready) as (address, _):
        assert failed(await conform(target(address, member), BURIED, bounds=BOUNDS)) == []


def test_with_the_command_that_starts_it_nothing_is_left_untried(member: Member, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    program = EXAMPLES / "sdk_burials" / "adapter.py"
    start = shlex.join([sys.executable, str(program), address, str(member.department())])
    arguments = ["conform", address, "--certs", str(member.gateway()), "--tls-name", tls_name_of("burials")]
    sample = tmp_path / "sample.csv"
    sample.write_text(f"id_number,name,kind,observed_on\n{number(1)},张建国,BURIAL,2026-01-14\n", "utf-8")
    only = ["--only", "clock.time_zone", "--only", "restart.closed", "--sample", str(sample), "--json"]
    ran = CliRunner(env={"WUGAN_LANG": "en"}).invoke(command, [*arguments, *only, "--start", start])
    assert ran.exit_code == 0, ran.output
    outcomes = {case["id"]: case["outcome"] for case in json.loads(ran.output)["cases"]}
    assert set(outcomes.values()) == {"passed"}, outcomes
    assert set(outcomes) == {"clock.time_zone", "restart.closed"}
    wrong = CliRunner().invoke(command, [*arguments, *only, "--start", "/no/such/program"])
    assert wrong.exit_code == 3


def test_an_address_needs_certificates_and_somebody_there(member: Member) -> None:
    runner = CliRunner(env={"WUGAN_LANG": "en"})
    assert runner.invoke(command, ["conform", "127.0.0.1:9"]).exit_code == 2
    away = runner.invoke(command, ["conform", "127.0.0.1:9", "--certs", str(member.gateway()), "--json"])
    assert away.exit_code == 3
    assert json.loads(away.output)["exit_code"] == 3


async def test_a_caller_who_proves_it_too_early_is_told_what_to_change(member: Member) -> None:
    example = runpy.run_path(str(EXAMPLES / "sdk_burials" / "adapter.py"))
    runner = CliRunner(env={"WUGAN_LANG": "en"})
    async with sdk.served(example["Burials"](), "127.0.0.1:0", member.department()) as address:
        asked = ["conform", address, "--only", "batch.empty", "--certs"]
        gateway, itself = str(member.gateway()), str(member.department())
        other = await asyncio.to_thread(runner.invoke, command, [*asked, gateway, "--tls-name", "burials.example"])
        assert (other.exit_code, "does not prove the TLS name" in other.output) == (3, True), other.output
        name = ["--tls-name", tls_name_of("burials")]
        shut_out = await asyncio.to_thread(runner.invoke, command, [*asked, itself, *name])
        assert (shut_out.exit_code, "only the one named when it was started" in shut_out.output) == (4, True)
