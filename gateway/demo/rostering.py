"""Rosters as the demo's agencies have them, run through their gateways, and what came back.

Owns: handing in each agency's file over `AgencyService.SubmitRoster`, waiting for its end and fetching its results: the
way a province goes with its own. Refuses: knowing more than the file when asking, and judging (`gateway.demo.score`).
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from gateway.channels import agency_channel
from gateway.config import load_agency
from gateway.demo.agency_files import as_file
from gateway.demo.launch import Demo
from gateway.demo.truth import Recipient
from gateway.errors import RefusedError
from gateway.roster.frames import REASONS, REJECTED, from_arrow
from wugan.adapter.v1 import vocabulary_pb2 as adapter_words
from wugan.agency.v1 import agency_pb2_grpc, roster_pb2

if TYPE_CHECKING:
    Stub = agency_pb2_grpc.AgencyServiceAsyncStub

PEOPLE: Final = ["row", "status", "flags", "certification", "partial", "refusal"]
"""What is looked at of a recipient's result."""
_PIECE: Final = 1 << 19
_FIRST_ROW: Final = 1
"""Number of the first recipient's row, as the gateway counts them."""

Told = Callable[[roster_pb2.RosterRun], None]


@dataclass(frozen=True, slots=True)
class Ran:
    """A roster that was run.

    Args:
        people: columns of PEOPLE, one row for each recipient who was asked about.
        rejected: of each row of the file that was not: `row` and why, as text.
        reasons: `row` and `name`, why each was graded so.
        run: as the gateway last told of it.
    """

    people: pl.DataFrame
    rejected: pl.DataFrame
    reasons: pl.DataFrame
    run: roster_pb2.RosterRun


async def run_roster(demo: Demo, agency: tuple[int, str], recipients: Sequence[Recipient], told: Told) -> Ran:
    """Run an agency's roster to its end; rows of the results are places in `recipients`.

    Args:
        demo: runs.
        agency: (paying province, unit).
        recipients: of the agency.
        told: how the run stands, whenever the gateway tells.

    Raises:
        RefusedError: the roster failed.
        grpc.aio.AioRpcError: the gateway was not reached, or refused the roster.
    """
    settings = load_agency(demo.agency_config(*agency))
    async with agency_channel(settings) as channel:
        stub: Stub = agency_pb2_grpc.AgencyServiceStub(channel)
        data = as_file(recipients)
        header = roster_pb2.RosterHeader(
            run_id=secrets.token_bytes(16),
            file_name=f"demo-{agency[1]}.csv",
            size=len(data),
            sha256=hashlib.sha256(data).digest(),
            purpose=adapter_words.PURPOSE_CERTIFICATION,
            legal_basis=settings.legal_basis,
            case_reference="DEMO-SCORE",
            official=settings.official,
            evidence_limit=10,
            ask_about_home=True,
        )
        await stub.SubmitRoster(_requests(header, data))
        run = roster_pb2.RosterRun()
        async for response in stub.WatchRoster(roster_pb2.WatchRosterRequest(run_id=header.run_id)):
            run = response.run
            told(run)
        if run.state != roster_pb2.ROSTER_STATE_DONE:
            raise RefusedError(run.message_en or "the roster was not run", run.message_zh or "名册任务未完成")
        found = await _results(stub, header.run_id)
        await stub.CancelRoster(roster_pb2.CancelRosterRequest(run_id=header.run_id, delete=True))
    people, rejected, reasons = (frame.with_columns(pl.col("row") - _FIRST_ROW) for frame in found)
    return Ran(people, rejected, reasons, run)


async def _requests(header: roster_pb2.RosterHeader, data: bytes) -> AsyncIterator[roster_pb2.SubmitRosterRequest]:
    yield roster_pb2.SubmitRosterRequest(header=header)
    for start in range(0, len(data), _PIECE):
        yield roster_pb2.SubmitRosterRequest(data=data[start : start + _PIECE])


async def _results(stub: Stub, run_id: bytes) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """The people, rows that were refused, and reasons, of all chunks; only the columns that are looked at."""
    people: list[pl.DataFrame] = []
    rejected = [pl.DataFrame(schema=dict(REJECTED)).select("row", "reason_en")]
    reasons = [pl.DataFrame(schema=dict(REASONS)).select("row", "name")]
    async for part in stub.FetchResult(roster_pb2.FetchResultRequest(run_id=run_id)):
        if part.table == roster_pb2.ROSTER_TABLE_PEOPLE:
            people.append(from_arrow(part.arrow, PEOPLE))
        elif part.table == roster_pb2.ROSTER_TABLE_REJECTED:
            rejected.append(from_arrow(part.arrow, ["row", "reason_en"]))
        elif part.table == roster_pb2.ROSTER_TABLE_REASONS:
            reasons.append(from_arrow(part.arrow, ["row", "name"]))
    return pl.concat(people), pl.concat(rejected), pl.concat(reasons)
