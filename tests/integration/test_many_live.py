"""Many questions over one call, to a gateway as it runs: each answered or refused as if it had been asked alone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from federation_world import Member, SmallWorld, channel, ours
from google.protobuf import json_format

from gateway.clock import SystemClock
from gateway.demo.asking import request_for
from gateway.errors import WuganError
from gateway.many import wire
from gateway.many.client import METHOD, ManyClient
from wugan.agency.v1 import agency_pb2, agency_pb2_grpc

pytestmark = pytest.mark.integration

WELL_WITHIN_S = 120.0


@contextlib.asynccontextmanager
async def client(member: Member, unit: str) -> AsyncIterator[tuple[ManyClient, agency_pb2_grpc.AgencyServiceAsyncStub]]:
    async with channel(member.agency, member.tls_name, member.credentials(unit)) as opened:
        many = ManyClient(opened, SystemClock())
        try:
            yield many, agency_pb2_grpc.AgencyServiceStub(opened)
        finally:
            await many.close()


def outcome(asked: agency_pb2.CheckResponse | WuganError) -> object:
    if isinstance(asked, WuganError):
        return asked.code, asked.field, asked.zh
    reasons = [reason.name for reason in asked.reasons]
    return asked.status, asked.proposal, reasons, [(each.member_id, each.status) for each in asked.answers]


async def test_a_roster_asked_at_once_is_answered_as_one_asked_one_by_one(world: SmallWorld) -> None:
    payer = world.members[0]
    asked = [each for each in world.recipients if each.paying_province == payer.region and each.across]
    unit = asked[0].unit
    requests = [request_for(each) for each in asked]
    for request in requests:
        request.fresh = True
    assert len(requests) > 30

    async with client(payer, unit) as (many, stub):

        async def alone(request: agency_pb2.CheckRequest) -> agency_pb2.CheckResponse | WuganError:
            try:
                return await stub.Check(request, timeout=WELL_WITHIN_S)
            except grpc.aio.AioRpcError as error:
                return ours(error)

        async def together(request: agency_pb2.CheckRequest) -> agency_pb2.CheckResponse | WuganError:
            try:
                return await many.check(request, WELL_WITHIN_S)
            except WuganError as error:
                return error

        one_by_one = [outcome(await alone(each)) for each in requests]
        at_once = [outcome(each) for each in await asyncio.gather(*map(together, requests))]
    assert at_once == one_by_one
    assert len({str(each) for each in at_once}) > 3, "they differ, so an answer to another would show"


async def test_what_is_wrong_with_one_question_does_not_touch_the_others(world: SmallWorld) -> None:
    recipient = world.recipient("active")
    payer = world.member(recipient.paying_province)
    wrong = request_for(recipient)
    wrong.id_number = wrong.id_number[:-1] + ("1" if wrong.id_number[-1] != "1" else "2")
    nameless = request_for(recipient)
    nameless.name = ""
    async with client(payer, recipient.unit) as (many, _):
        results = await asyncio.gather(
            *(many.check(each, WELL_WITHIN_S) for each in (wrong, request_for(recipient), nameless)),
            return_exceptions=True,
        )
    assert isinstance(results[1], agency_pb2.CheckResponse)
    assert results[1].status
    refused = [each for each in (results[0], results[2]) if isinstance(each, WuganError)]
    assert [(each.code, each.retryable) for each in refused] == [
        ("INVALID_ID_NUMBER", False),
        ("INVALID_ARGUMENT", False),
    ]
    assert refused[1].field == "subjects.name"


async def test_an_answer_that_is_kept_is_given_again(world: SmallWorld) -> None:
    recipient = world.recipient("active")
    async with client(world.member(recipient.paying_province), recipient.unit) as (many, _):
        first = await many.check(request_for(recipient), WELL_WITHIN_S)
        for case in ("KEPT-1", "KEPT-2"):
            again = request_for(recipient)
            again.case_reference = case
            answer = await many.check(again, WELL_WITHIN_S)
            assert answer.from_cache
            assert answer.answers[0].proof == first.answers[0].proof


async def test_agencies_of_another_member_are_refused(world: SmallWorld) -> None:
    recipient = world.recipient("active")
    payer, other = world.members
    async with channel(payer.agency, payer.tls_name, other.credentials(unit_of(world, other))) as opened:
        many = ManyClient(opened, SystemClock())
        with pytest.raises(WuganError) as caught:
            await many.check(request_for(recipient), WELL_WITHIN_S)
        assert caught.value.code == "PEER_MISMATCH"
        await many.close()


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"\xff\xff\xff", "INVALID_ARGUMENT"),
        (b"".join(wire.given_up(at) for at in range(wire.MOST_QUESTIONS + 1)), "TOO_LARGE"),
        (wire.question(7, b"") + wire.question(7, b""), "INVALID_ARGUMENT"),
        (wire.question(7, b"\xff\xff"), "INVALID_ARGUMENT"),
    ],
)
async def test_a_message_that_is_none_ends_the_call_with_a_status_of_ours(
    world: SmallWorld, message: bytes, code: str
) -> None:
    recipient = world.recipient("active")
    payer = world.member(recipient.paying_province)
    async with channel(payer.agency, payer.tls_name, payer.credentials(recipient.unit)) as opened:
        call = opened.stream_stream(METHOD, None, agency_pb2.CheckManyResponse.FromString)(timeout=WELL_WITHIN_S)
        await call.write(message)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in call:
                pass
    assert ours(caught.value).code == code
    assert ours(caught.value).zh


def unit_of(world: SmallWorld, member: Member) -> str:
    return next(each.unit for each in world.recipients if each.paying_province == member.region)


async def test_the_command_answers_lines_as_they_come_and_ends_with_the_worst(
    world: SmallWorld, tmp_path: Path
) -> None:
    recipient = world.recipient("active")
    asked = json_format.MessageToDict(request_for(recipient), preserving_proto_field_name=True)
    asked |= {"benefit": asked["benefit"].removeprefix("BENEFIT_TYPE_")}
    wrong = {**asked, "id_number": "1", "ref": "wrong"}
    lines = [json.dumps({**asked, "ref": f"n{at}"}, ensure_ascii=False) for at in range(5)]
    asking = tmp_path / "lines.jsonl"
    config = world.demo.agency_config(recipient.paying_province, recipient.unit)
    command = [sys.executable, "-m", "gateway.cli", "check-many", "--config", str(config), "--in", str(asking)]

    async def run(*more: str) -> tuple[int, dict[int, dict[str, Any]], str]:
        asking.write_text("\n".join([*lines, *more]), "utf-8")
        made = await asyncio.create_subprocess_exec(
            *command, "--at-once", "3", stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        out, errors = await asyncio.wait_for(made.communicate(), WELL_WITHIN_S)
        told = [json.loads(line) for line in out.decode().splitlines()]
        return made.returncode or 0, {each["line"]: each for each in told}, errors.decode()

    code, told, errors = await run()
    assert (code, errors) == (0, "")
    assert {at: each["ref"] for at, each in told.items()} == {at + 1: f"n{at}" for at in range(5)}
    assert {each["answer"]["status"] for each in told.values()} == {"SURVIVAL_STATUS_ALIVE_STRONG"}
    code, told, errors = await run("", json.dumps(wrong), "x" * 200_000, "{}")
    assert (code, errors) == (1, "")
    assert sorted(told) == [1, 2, 3, 4, 5, 7, 8, 9]
    assert (told[7]["ref"], told[7]["error"]["reason"]) == ("wrong", "INVALID_ID_NUMBER")
    assert "at most" in told[8]["error"]["en"]
    assert told[9]["error"]["reason"] == "INVALID_ARGUMENT"
