"""How the federation behaves in time: slow departments, deadlines, draining, overload, starting and stopping."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import psutil
import pytest
from federation_world import Member, SmallWorld, channel, ours
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from certs.keys import load_signing_key
from gateway.access import adapters as states
from gateway.access import people as roles
from gateway.access.terms import thresholds
from gateway.clock import SystemClock
from gateway.config import load_gateway
from gateway.demo import launch
from gateway.demo.asking import request_for
from gateway.demo.processes import Started, start, stop, wait_ready
from gateway.demo.truth import Recipient
from gateway.errors import PartnerError, WuganError
from gateway.inquiry.administering import Administration
from gateway.many.client import ManyClient
from gateway.store.adapters import Document
from gateway.store.engine import Store
from tests.unit.registry.registry_world import manifest
from wugan.agency.v1 import agency_pb2, agency_pb2_grpc
from wugan.federation.v1 import vocabulary_pb2 as words

pytestmark = pytest.mark.integration

SLOW = "health"
SLOW_MS = 3_000
IN_TIME_S = 2.2
"""Enough for everybody but the slow one, also on a machine that has much else to do."""


@pytest.fixture(scope="module")
def slow_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallWorld]:
    """A federation in which every province's health department takes its time, restarted by the tests as they like."""
    folder = tmp_path_factory.mktemp("slow") / "demo"
    demo = launch.up(folder, provinces=2, people=60, seed=5, delays_ms={SLOW: SLOW_MS})
    try:
        yield SmallWorld(demo)
    finally:
        launch.down(folder)


@contextlib.asynccontextmanager
async def agency(world: SmallWorld, paying: int, unit: str) -> AsyncIterator[agency_pb2_grpc.AgencyServiceAsyncStub]:
    payer = world.member(paying)
    async with channel(payer.agency, payer.tls_name, payer.credentials(unit)) as opened:
        yield agency_pb2_grpc.AgencyServiceStub(opened)


def gateway_of(world: SmallWorld, region: int) -> tuple[int, Started]:
    """The process of a member's gateway and its place in the demo's list."""
    name = f"gateway {next(m['name_en'] for m in world.demo.members if m['region'] == region)}"
    return next((at, process) for at, process in enumerate(world.demo.processes) if process.name == name)


async def start_again(world: SmallWorld, at: int, member: Member) -> None:
    """Start a gateway that has stopped, in its place in the demo's list; returns when it is ready."""
    stopped = world.demo.processes[at]
    command = ("gateway.cli", "gateway", "run", "--config", str(member.folder / "gateway.toml"))
    world.demo.processes[at] = start(stopped.name, command, stopped.log)
    world.demo.save()
    await asyncio.to_thread(wait_ready, [(world.demo.processes[at], member.folder / "gateway.ready")])


def asked_anew(recipient: Recipient) -> agency_pb2.CheckRequest:
    """The question about a recipient, whatever was answered to it before."""
    request = request_for(recipient)
    request.fresh = True
    return request


async def test_what_is_not_there_in_time_is_a_signed_partial_answer_that_names_the_department(
    slow_world: SmallWorld,
) -> None:
    recipient = slow_world.recipient("active")
    async with agency(slow_world, recipient.paying_province, recipient.unit) as stub:
        response, silent = await asked_in_time(stub, recipient)
        assert response.partial
        assert silent == [(SLOW, words.SOURCE_OUTCOME_SILENT)]
        assert response.answers[0].proof.signature
        assert response.status != words.SURVIVAL_STATUS_ALIVE_STRONG, "a silent department that could know of a death"
        patient = await stub.Check(request_for(recipient), timeout=SLOW_MS / 1000 + 10)
        assert not patient.partial
        assert patient.status == words.SURVIVAL_STATUS_ALIVE_STRONG


async def asked_in_time(
    stub: agency_pb2_grpc.AgencyServiceAsyncStub, recipient: Recipient
) -> tuple[agency_pb2.CheckResponse, list[tuple[str, int]]]:
    """The answer, and who is named in it; asked again where the machine stood still and nobody else was in time."""
    for left in reversed(range(5)):
        try:
            response = await stub.Check(asked_anew(recipient), timeout=IN_TIME_S)
        except grpc.aio.AioRpcError as error:
            if not left or error.code() != grpc.StatusCode.DEADLINE_EXCEEDED:
                raise
            continue
        named = [each for each in response.sources if each.outcome != words.SOURCE_OUTCOME_ANSWERED]
        silent = [(each.adapter_id, each.outcome) for each in named]
        if len(silent) == 1 or not left:
            break
    return response, silent


async def test_a_deadline_too_short_for_anybody_is_said_to_be_so(slow_world: SmallWorld) -> None:
    recipient = slow_world.recipient("active")
    async with agency(slow_world, recipient.paying_province, recipient.unit) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Check(asked_anew(recipient), timeout=0.045)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


async def test_sigterm_lets_calls_in_flight_end_and_a_restarted_gateway_is_found_again(
    slow_world: SmallWorld, tmp_path: Path
) -> None:
    recipient = slow_world.recipient("active")
    answering = recipient.lives_in
    at, process = gateway_of(slow_world, answering)
    await registered(slow_world.member(answering), tmp_path)
    async with agency(slow_world, recipient.paying_province, recipient.unit) as stub:
        before = admitted(slow_world, answering)
        log = process.log
        mark = log.stat().st_size
        in_flight = asyncio.ensure_future(stub.Check(asked_anew(recipient), timeout=SLOW_MS / 1000 + 10))
        await asyncio.wait_for(until_admitted(slow_world, answering, before), 60)
        os.kill(process.pid, signal.SIGTERM)
        response = await in_flight
        assert not response.partial
        assert await asyncio.to_thread(stop, [process], 60.0) == []
        assert '"draining"' in log.read_text("utf-8")[mark:]

        member = slow_world.member(answering)
        assert not (member.folder / "gateway.ready").exists()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Check(asked_anew(recipient), timeout=60)
        assert ours(caught.value).code == "PARTNER_UNAVAILABLE"
        assert ours(caught.value).retryable

        damage(member)
        await start_again(slow_world, at, member)
        async with asyncio.timeout(60):
            while (again := await _answered(stub, recipient)) is None:
                pass
        assert not again.partial
        await asyncio.to_thread(sound_is_asked_and_the_others_are_named, member)


async def registered(member: Member, folder: Path) -> None:
    """Three adapters brought into use: two sound ones, and one of a format that no program reads."""
    with contextlib.closing(sqlite3.connect(folder / "sound.db")) as db:
        db.execute("CREATE TABLE cremation (id_no TEXT, full_name TEXT, cremated TEXT, reg_no TEXT)")
    settings, clock = load_gateway(member.folder / "gateway.toml"), SystemClock()
    database = settings.state_dir / "gateway.db"
    keys = {name: load_signing_key(member.folder / "people" / f"{name}.pem") for name in ("wang", "li")}
    async with Store.open(database, key=settings.state_dir / "store.key", clock=clock) as store:
        office = Administration(store, member.member_id, thresholds(settings.access), clock)
        for name in ("sound", "outdated", "damaged"):
            text = manifest(adapter=name, database="sound.db")
            if name == "outdated":
                text = text.replace(b"manifest: 1", b"manifest: 0")
            digest = await store.adapters.keep(Document(name, text, clock.now_ms()))
            body = {"adapter": name, "digest": digest.hex(), "why": "test"}
            more = {"version": "1", "kind": "table", "origin": states.HOST, "folder": str(folder)}
            await office.enact(roles.PROPOSE_ADAPTER, body | more, by="wang", key=keys["wang"])
            await office.enact(roles.APPROVE_ADAPTER, body, by="li", key=keys["li"])
            await office.enact(roles.PROMOTE_ADAPTER, body, by="li", key=keys["li"])


def damage(member: Member) -> None:
    """While the gateway is down, the manifest of one of them is damaged."""
    database = load_gateway(member.folder / "gateway.toml").state_dir / "gateway.db"
    with contextlib.closing(sqlite3.connect(database)) as db, db:
        db.execute("UPDATE adapter_document SET body = zeroblob(length(body)) WHERE adapter = 'damaged'")


def sound_is_asked_and_the_others_are_named(member: Member) -> None:
    config = ("--config", str(member.folder / "gateway.toml"), "--json")
    listed = {each["adapter"]: each for each in json.loads(wugan("adapter", "list", *config).stdout)}
    assert listed["sound"]["in_use"]
    assert not listed["outdated"]["in_use"]
    assert "format 1" in json.dumps(listed["outdated"])
    assert not listed["damaged"]["in_use"]
    assert "changed" in json.dumps(listed["damaged"])
    health = wugan("gateway", "health", *config).stdout
    assert "adapter/outdated" in health
    assert "adapter/damaged" in health
    assert "adapter/sound" not in health


async def test_a_call_with_many_questions_outlives_a_restart_and_what_was_read_is_answered(
    slow_world: SmallWorld,
) -> None:
    recipient = slow_world.recipient("active")
    payer = slow_world.member(recipient.paying_province)
    at, process = gateway_of(slow_world, payer.region)
    time_s = SLOW_MS / 1000 + 10
    async with channel(payer.agency, payer.tls_name, payer.credentials(recipient.unit)) as opened:
        many = ManyClient(opened, SystemClock())
        before = admitted(slow_world, recipient.lives_in)
        in_flight = asyncio.ensure_future(many.check(asked_anew(recipient), time_s))
        await asyncio.wait_for(until_admitted(slow_world, recipient.lives_in, before), 60)
        os.kill(process.pid, signal.SIGTERM)
        response = await in_flight
        assert not response.partial
        assert await asyncio.to_thread(stop, [process], 60.0) == []
        with pytest.raises(WuganError) as caught:
            await many.check(asked_anew(recipient), time_s)
        assert (caught.value.code, caught.value.retryable) == ("PARTNER_UNAVAILABLE", True)

        await start_again(slow_world, at, payer)

        async def answered() -> agency_pb2.CheckResponse:
            while True:
                with contextlib.suppress(PartnerError):
                    return await many.check(asked_anew(recipient), time_s)

        assert not (await asyncio.wait_for(answered(), 60)).partial
        await many.close()


async def _answered(
    stub: agency_pb2_grpc.AgencyServiceAsyncStub, recipient: Recipient
) -> agency_pb2.CheckResponse | None:
    """The answer, or None while the partner cannot be reached yet."""
    try:
        return await stub.Check(asked_anew(recipient), timeout=SLOW_MS / 1000 + 10)
    except grpc.aio.AioRpcError as error:
        if ours(error).code != "PARTNER_UNAVAILABLE":
            raise
        return None


def admitted(world: SmallWorld, region: int) -> int:
    """How many questions a gateway has accepted, by its replay guard."""
    database = world.member(region).folder / "state" / "gateway.db"
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return int(connection.execute("select count(*) from replay_guard").fetchone()[0])


async def until_admitted(world: SmallWorld, region: int, more_than: int) -> None:
    """Return once a gateway has accepted another question: its departments are being asked then."""
    while await asyncio.to_thread(admitted, world, region) <= more_than:
        pass


async def test_health_and_reflection_tell_what_is_served(world: SmallWorld) -> None:
    member = world.members[0]
    async with channel(member.federation, member.tls_name, world.members[1].credentials()) as opened:
        health = health_pb2_grpc.HealthStub(opened)
        for name in ("", "wugan.federation.v1.FederationService", "wugan.agency.v1.AgencyService"):
            state = await health.Check(health_pb2.HealthCheckRequest(service=name), timeout=100)
            assert state.status == health_pb2.HealthCheckResponse.SERVING
        listed = await health.List(health_pb2.HealthListRequest(), timeout=100)
        listing = reflection_pb2_grpc.ServerReflectionStub(opened).ServerReflectionInfo()
        await listing.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        answer = await listing.read()
        names = {service.name for service in answer.list_services_response.service}
        assert {"wugan.federation.v1.FederationService", "wugan.agency.v1.AgencyService"} <= names
        # Whatever reflection names, health can be asked about.
        assert {each: state.status for each, state in listed.statuses.items()} == dict.fromkeys(
            {"", *names}, health_pb2.HealthCheckResponse.SERVING
        )
        listing.cancel()


async def test_threads_of_a_gateway_take_turns_while_there_is_much_to_do_and_only_then(world: SmallWorld) -> None:
    recipient = world.recipient("active")
    alike = (recipient.paying_province, recipient.unit, recipient.lives_in)
    people = [each for each in world.recipients if (each.paying_province, each.unit, each.lives_in) == alike]
    gateways = [gateway_of(world, region)[1] for region in (recipient.paying_province, recipient.lives_in)]
    began_with = os.sched_getscheduler(0)
    busy = os.SCHED_BATCH if began_with == os.SCHED_OTHER else began_with

    async with asyncio.timeout(200), agency(world, recipient.paying_province, recipient.unit) as stub:

        async def ask_until_all_have(policy: int, about: Recipient) -> None:
            for process in gateways:
                while policies_of(process) != {policy}:
                    await until_taken_on(stub, about)

        await ask_until_all_have(began_with, recipient)
        async with asyncio.TaskGroup() as asking:
            for each in people:
                asking.create_task(ask_until_all_have(busy, each))
        await ask_until_all_have(began_with, recipient)


def policies_of(process: Started) -> set[int]:
    """The scheduling policies of a process's threads."""
    policies = []
    for task in Path(f"/proc/{process.pid}/task").iterdir():
        with contextlib.suppress(ProcessLookupError):  # one of a pool that has ended
            policies.append(os.sched_getscheduler(int(task.name)))
    assert len(policies) > 5
    return set(policies)


async def test_many_calls_at_once_are_all_answered(world: SmallWorld) -> None:
    recipient = world.recipient("active")
    async with agency(world, recipient.paying_province, recipient.unit) as stub:
        responses = await asyncio.gather(*(until_taken_on(stub, recipient) for _ in range(100)))
    assert {response.status for response in responses} == {words.SURVIVAL_STATUS_ALIVE_STRONG}


async def until_taken_on(
    stub: agency_pb2_grpc.AgencyServiceAsyncStub, recipient: Recipient
) -> agency_pb2.CheckResponse:
    """The answer; asked again where a gateway on a busy machine says that it has too much to do."""
    while True:
        try:
            return await stub.Check(asked_anew(recipient), timeout=100)
        except grpc.aio.AioRpcError as error:
            if ours(error).code != "OVERLOADED":
                raise


def wugan(*arguments: str, language: str = "en_US.UTF-8") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "WUGAN_LANG": language},
    )


def check_arguments(world: SmallWorld, case: str = "active") -> list[str]:
    recipient = world.recipient(case)
    config = world.demo.agency_config(recipient.paying_province, recipient.unit)
    return [
        "check",
        *("--config", str(config)),
        *("--id", recipient.id_number),
        *("--name", recipient.name),
        *("--benefit", recipient.benefit),
        *("--purpose", "CERTIFICATION"),
        *("--region", str(recipient.residence_region or recipient.lives_in)),
        *("--timeout", "60"),
    ]


def test_wugan_check_prints_an_answer_for_people_in_both_languages(world: SmallWorld) -> None:
    chinese = wugan(*check_arguments(world), language="zh_CN.UTF-8")
    assert chinese.returncode == 0, chinese.stderr
    assert "生存（强）" in chinese.stdout
    assert "已认证" in chinese.stdout
    english = wugan(*check_arguments(world))
    assert "alive (strong)" in english.stdout
    assert "independent departments" in english.stdout


def test_wugan_check_prints_json_for_programs(world: SmallWorld) -> None:
    done = wugan(*check_arguments(world), "--json")
    answer = json.loads(done.stdout)
    assert answer["status"] == "SURVIVAL_STATUS_ALIVE_STRONG"
    assert len(answer["answers"][0]["rules_digest"]) == 64


def test_wugan_check_says_when_an_answer_was_given_before_and_asks_anew_when_told_to(world: SmallWorld) -> None:
    arguments = [*check_arguments(world), "--official", "somebody else", "--evidence", "7"]
    first = json.loads(wugan(*arguments, "--fresh", "--json").stdout)
    again = json.loads(wugan(*arguments, "--json").stdout)
    anew = json.loads(wugan(*arguments, "--fresh", "--json").stdout)
    assert [each["from_cache"] for each in (first, again, anew)] == [False, True, False]
    assert again["answers"][0]["proof"] == first["answers"][0]["proof"] != anew["answers"][0]["proof"]
    assert again["status"] == first["status"]
    shown = wugan(*arguments, language="zh_CN.UTF-8").stdout
    assert "此前取得" in shown


def test_wugan_check_follows_the_provinces_as_they_answer(world: SmallWorld) -> None:
    arguments = [*check_arguments(world), "--fresh", "--follow"]
    lines = [json.loads(line) for line in wugan(*arguments, "--json").stdout.splitlines()]
    assert lines[-1]["awaited"] == []
    assert lines[-1]["status"] == "SURVIVAL_STATUS_ALIVE_STRONG"
    assert "alive (strong)" in wugan(*arguments).stdout
    refused = [*arguments]
    refused[refused.index("--id") + 1] = "110101199001011234"
    assert wugan(*refused).returncode == 1


def test_wugan_check_ends_with_its_exit_codes(world: SmallWorld, tmp_path: Path) -> None:
    arguments = check_arguments(world)
    wrong_number = [*arguments]
    wrong_number[wrong_number.index("--id") + 1] = "110101199001011234"
    refused = wugan(*wrong_number, language="zh_CN.UTF-8")
    assert refused.returncode == 1
    assert "INVALID_ID_NUMBER" in refused.stderr
    assert "校验码" in refused.stderr
    assert "110101199001011234" not in refused.stderr

    assert wugan("check").returncode == 2
    broken = tmp_path / "agency.toml"
    broken.write_text("gateway = 5\n", "utf-8")
    arguments[arguments.index("--config") + 1] = str(broken)
    wrong_config = wugan(*arguments)
    assert wrong_config.returncode == 2
    assert "gateway_name" in wrong_config.stderr

    recipient = world.recipient("active")
    original = world.demo.agency_config(recipient.paying_province, recipient.unit)
    text = original.read_text("utf-8").replace('"tls/', f'"{original.parent}/tls/')
    lines = ['gateway = "127.0.0.1:1"' if line.startswith("gateway =") else line for line in text.splitlines()]
    broken.write_text("\n".join(lines), "utf-8")
    unreachable = wugan(*arguments)
    assert unreachable.returncode == 3
    assert "cannot be reached" in unreachable.stderr


def test_a_gateway_with_a_wrong_configuration_says_what_and_stops(world: SmallWorld, tmp_path: Path) -> None:
    text = world.members[0].folder.joinpath("gateway.toml").read_text("utf-8")
    config = tmp_path / "gateway.toml"
    config.write_text(text.replace("[server]", "[server]\nlisten = 1"), "utf-8")
    done = wugan("gateway", "run", "--config", str(config))
    assert done.returncode == 2
    assert "server.listen" in done.stderr
    config.write_text(text.replace("roots.pem", "nothing.pem"), "utf-8")
    done = wugan("gateway", "run", "--config", str(config), language="zh_CN.UTF-8")
    assert done.returncode == 2
    assert "nothing.pem" in done.stderr
    config.write_text(text.replace("roots.pem", f"{world.members[0].folder}/roots.pem"), "utf-8")
    done = wugan("gateway", "run", "--config", str(config))
    assert done.returncode == 2
    assert "wugan certs enrol" in done.stderr


def test_the_demo_scores_itself_by_rosters_and_nobody_living_is_called_dead_or_to_be_stopped(world: SmallWorld) -> None:
    done = wugan("demo", "score", "--dir", str(world.demo.folder), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert result["asked"] >= 100
    assert result["rosters"] >= 2
    assert result["living_stop_proposed"] == 0
    assert result["deaths"]["recall"] == 1.0
    assert result["deaths"]["known"] >= 5
    assert 0.2 < result["certified_share"] < 1
    assert result["partial"] == 0
    assert result["living_called_dead"] == 0
    assert result["failed"] == {}
    assert result["wrong"] == []
    assert result["flag_recall"] == 1.0


def test_a_running_demo_tells_its_state_and_is_not_started_over(world: SmallWorld) -> None:
    state = wugan("demo", "status", "--dir", str(world.demo.folder), "--json")
    assert state.returncode == 0
    about = json.loads(state.stdout)
    assert about["running"]
    assert Path(about["truth"]).exists()
    assert all(Path(member["config"]).exists() for member in about["members"])
    again = wugan("demo", "up", "--dir", str(world.demo.folder), "--detach")
    assert again.returncode == 2
    assert "running" in again.stderr


def test_a_demo_goes_down_and_comes_up_again_and_leaves_nothing_running(slow_world: SmallWorld, tmp_path: Path) -> None:
    folder = slow_world.demo.folder

    def goes_down() -> None:
        down = wugan("demo", "down", "--dir", str(folder), "--json")
        assert (down.returncode, json.loads(down.stdout)) == (0, {"stopped": True, "killed": []})
        state = wugan("demo", "status", "--dir", str(folder), "--json")
        assert state.returncode == 1
        assert [process["running"] for process in json.loads(state.stdout)["processes"]] == [False] * 6
        score = wugan("demo", "score", "--dir", str(folder))
        assert (score.returncode, f"wugan demo up --dir {folder}" in score.stderr) == (3, True), score.stderr

    goes_down()
    up = wugan("demo", "up", "--dir", str(folder), "--provinces", "2", "--people", "60", "--detach", "--json")
    assert up.returncode == 0, up.stderr
    about = json.loads(up.stdout)
    assert about["running"]
    assert not {each["pid"] for each in about["processes"]} & {each.pid for each in slow_world.demo.processes}
    goes_down()
    somebody_elses = tmp_path / "precious"
    somebody_elses.mkdir()
    (somebody_elses / "thesis.txt").write_text("three years of work", "utf-8")
    refused = wugan("demo", "up", "--dir", str(somebody_elses), "--detach")
    assert refused.returncode == 2
    assert (somebody_elses / "thesis.txt").exists()


def named_in_processes(folder: Path) -> list[str]:
    lines = [" ".join(each.info["cmdline"] or ()) for each in psutil.process_iter(["cmdline"])]
    return [line for line in lines if str(folder) in line]


def starting_in(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "gateway.cli", "demo", "up", "--dir", str(folder), "--people", "60"]
    # Where the tests run without a terminal (nohup) the signal is ignored, and by every process started there.
    heard = "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
    starting = subprocess.Popen([sys.executable, "-c", heard, *command])
    while not list(folder.glob("systems/*/ready.json")):
        assert starting.poll() is None
    assert len(named_in_processes(folder)) > 1
    return starting


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGHUP])
def test_a_demo_that_is_told_to_end_while_it_starts_leaves_nothing_running(tmp_path: Path, ending: int) -> None:
    starting = starting_in(tmp_path / "demo")
    starting.send_signal(ending)
    assert starting.wait(300) == 128 + ending
    assert named_in_processes(tmp_path) == []


def test_nothing_else_is_started_or_stopped_where_a_demo_starts_and_what_a_killed_start_left_is_found(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "demo"
    starting = starting_in(folder)
    starting.send_signal(signal.SIGSTOP)
    for command in ("up", "down"):
        beside = wugan("demo", command, "--dir", str(folder))
        assert (beside.returncode, "just being started" in beside.stderr) == (2, True), beside.stderr
    starting.kill()
    starting.wait()
    assert len(named_in_processes(folder)) > 1
    state = wugan("demo", "status", "--dir", str(folder), "--json")
    told = json.loads(state.stdout)
    assert (state.returncode, told["running"], told["ready"]) == (1, False, False)
    assert any(process["running"] for process in told["processes"])
    assert "wugan demo down" in wugan("demo", "status", "--dir", str(folder)).stdout
    again = wugan("demo", "up", "--dir", str(folder))
    assert (again.returncode, "wugan demo down" in again.stderr) == (2, True), again.stderr
    assert wugan("demo", "down", "--dir", str(folder)).returncode == 0
    assert named_in_processes(folder) == []
