"""Whole-roster runs, as an agency sees them: a file in, how far it is, the results out.

Owns: translating requests, and runs to one readable message each; the streams of progress and of results. Refuses:
showing a unit what is another's, and knowing what is in a roster.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from gateway.errors import RefusedError, WuganError
from gateway.federation.directory import DirectorySource
from gateway.roster.pieces import Step
from gateway.roster.progress import Province
from gateway.roster.rosters import Rosters
from gateway.roster.run import DONE
from gateway.roster.shelf import Kept, figures_from
from gateway.rules.wording import day_text
from gateway.services.days import civil_day_of
from gateway.services.watchers import Watchers
from gateway.wording import Word
from wugan.agency.v1 import roster_pb2

MAX_DATA_BYTES: Final = 1 << 20
DEFAULT_LIST: Final = 100
_PAUSE_S: Final = 0.25
"""Least seconds between two messages about one run to one that watches."""
_DAY_MS: Final = 86_400_000

WriteRun = Callable[[roster_pb2.WatchRosterResponse], Awaitable[None]]
WriteResult = Callable[[roster_pb2.FetchResultResponse], Awaitable[None]]


class RosterService:
    """What an agency may ask about rosters.

    Args:
        rosters: the runs.
        directory: tells the names of members.
        keep_ms: how long a run is kept once it has ended.
    """

    def __init__(self, rosters: Rosters, directory: DirectorySource, keep_ms: int) -> None:
        self._rosters = rosters
        self._directory = directory
        self._keep_ms = keep_ms
        self._watchers = Watchers(
            Word("查看名册任务的连接过多，请稍后重试", "too many watch rosters or fetch results; try again later"),
            Word(
                "本网关正在停机，恢复后任务将继续，请稍后从中断处继续",
                "this gateway is shutting down; the run goes on when it is back. Go on from where you were shortly",
            ),
        )

    async def submit(
        self, unit: str, requests: AsyncIterator[roster_pb2.SubmitRosterRequest]
    ) -> roster_pb2.SubmitRosterResponse:
        """Take in a roster.

        Raises:
            RefusedError: there is no header, it is wrong, or the file is not what it says.
        """
        first = await anext(requests, None)
        if first is None or first.WhichOneof("part") != "header":
            raise RefusedError("header: send it first", "header：应首先发送", field="header")

        async def data() -> AsyncIterator[bytes | list[Step]]:
            async for each in requests:
                if each.WhichOneof("part") == "composition":
                    yield _steps(each.composition)
                    continue
                if each.WhichOneof("part") != "data" or len(each.data) > MAX_DATA_BYTES:
                    raise RefusedError(
                        f"data: send the file behind the header, at most {MAX_DATA_BYTES} bytes in one message",
                        f"data：头信息之后应为文件内容，每条消息至多 {MAX_DATA_BYTES} 字节",
                        field="data",
                    )
                yield each.data

        as_of_on = civil_day_of(first.header.as_of)
        kept, known = await self._rosters.submit(unit, first.header, as_of_on, data())
        return roster_pb2.SubmitRosterResponse(run=self._shown(kept), known=known)

    async def list(self, unit: str, request: roster_pb2.ListRostersRequest) -> roster_pb2.ListRostersResponse:
        """The unit's runs, newest first."""
        runs = self._rosters.list(unit, request.limit or DEFAULT_LIST)
        return roster_pb2.ListRostersResponse(runs=[self._shown(kept) for kept in runs])

    async def cancel(self, unit: str, request: roster_pb2.CancelRosterRequest) -> roster_pb2.CancelRosterResponse:
        """Stop a run.

        Raises:
            RefusedError: the unit has no such run.
        """
        kept = await self._rosters.cancel(unit, request.run_id, delete=request.delete)
        return roster_pb2.CancelRosterResponse(run=self._shown(kept))

    async def watch(self, unit: str, request: roster_pb2.WatchRosterRequest, write: WriteRun) -> None:
        """Tell how a run stands, until it has ended, the agency leaves or the gateway stops.

        Raises:
            RefusedError: the unit has no such run; OVERLOADED, too many watch; SHUTTING_DOWN, the gateway stops.
        """
        kept = self._rosters.find(unit, request.run_id)
        await self._watchers.attend(unit, self._tell(kept, write, only_present=request.only_present))

    async def _tell(self, kept: Kept, write: WriteRun, *, only_present: bool) -> None:
        while True:
            # Of the same moment as what is told: a run that ends while that is on its way has not been told to have.
            changed, ended = kept.changed, kept.ended is not None
            await write(roster_pb2.WatchRosterResponse(run=self._shown(kept)))
            if only_present or ended:
                return
            await changed.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PAUSE_S):
                    await kept.over.wait()

    async def fetch(self, unit: str, request: roster_pb2.FetchResultRequest, write: WriteResult) -> None:
        """Give out the results of a run, chunk by chunk.

        Raises:
            RefusedError: the unit has no such run, or it is not done; OVERLOADED or SHUTTING_DOWN, as `watch`.
        """
        kept = self._rosters.find(unit, request.run_id)
        await self._watchers.attend(unit, self._give(kept, request, write))

    async def _give(self, kept: Kept, request: roster_pb2.FetchResultRequest, write: WriteResult) -> None:
        from gateway.roster.giving import messages

        results = self._rosters.results(kept, request.from_chunk, only_changed=request.only_changed)
        async for number, chunks, packed in results:
            for message in messages(number, chunks, packed):
                await write(message)

    def close(self) -> None:
        """End the streams; those at their other ends go on where they were."""
        self._watchers.close()

    def _shown(self, kept: Kept) -> roster_pb2.RosterRun:
        """A run as it stands."""
        submitted, ended, running = kept.submitted, kept.ended, kept.running
        shown = roster_pb2.RosterRun(
            run_id=submitted.run_id,
            state=kept.state,  # type: ignore[arg-type]  # numbers of the contract
            file_name=submitted.file_name,
            case_reference=submitted.case_reference,
            purpose=submitted.purpose,  # type: ignore[arg-type]
            as_of=day_text(submitted.as_of_on),
            live=submitted.live,
            continues=submitted.continues,
        )
        shown.submitted_at.FromMilliseconds(submitted.submitted_at_ms)
        shown.deadline.FromMilliseconds(submitted.deadline_ms)
        if ended is not None:
            shown.ended_at.FromMilliseconds(ended.at_ms)
            shown.delete_at.FromMilliseconds(ended.at_ms + self._keep_ms)
            shown.message_zh, shown.message_en = ended.zh, ended.en
            figures, provinces = figures_from(ended.figures)
            for member, province in provinces.items():
                self._province(shown, member, province)
        elif running is not None:
            figures = running.figures
            shown.rows_per_s, shown.seconds_left = running.rate(), running.left_s()
            for member, standing in sorted(running.standings.items()):
                about = self._province(shown, member, standing.province)
                if standing.again_ms:
                    about.asks_again.FromMilliseconds(standing.again_ms)
                if standing.error is not None:
                    about.waited_for = True
                    about.reason = standing.error.reason
                    about.message_zh, about.message_en = standing.error.zh, standing.error.en
                    if standing.next_try_ms:
                        about.next_try.FromMilliseconds(standing.next_try_ms)
        else:
            return shown
        for name in (
            *("rows_read", "reading", "rows_rejected", "rows_done", "rows_carried", "asked", "answered"),
            *("chunks", "chunks_done", "subscribed"),
        ):
            setattr(shown, name, getattr(figures, name))
        if ended is not None and ended.state == DONE:
            shown.reading = False
        return shown

    def _province(self, shown: roster_pb2.RosterRun, member_id: str, province: Province) -> roster_pb2.RosterProvince:
        try:
            member = self._directory.current().member(member_id)
            name_zh, name_en = member.name_zh, member.name_en
        except WuganError:  # it has left since, or the directory has expired
            name_zh = name_en = member_id
        return shown.provinces.add(
            member_id=member_id,
            member_name_zh=name_zh,
            member_name_en=name_en,
            questions=province.questions,
            answered=province.answered,
            refused=province.refused,
            given_up=province.given_up,
            held_back=province.held_back,
            held_back_s=round(province.held_back_ms / 1000),
            held_back_zh=province.held_zh,
            held_back_en=province.held_en,
            lacking=province.lacking,
            asked_again=province.again,
        )


def _steps(composition: roster_pb2.RosterComposition) -> list[Step]:
    """How a file is made.

    Raises:
        RefusedError: the fields are not of equal length.
    """
    columns = composition.first, composition.count, composition.own_bytes
    if len({len(column) for column in columns}) != 1:
        raise RefusedError(
            "composition: its fields must be of equal length", "composition：各字段长度应一致", field="composition"
        )
    made = []
    for first, count, own_bytes in zip(*columns, strict=True):
        if count:
            made.append(Step(first, count, copied=True))
        if own_bytes:
            made.append(Step(0, own_bytes, copied=False))
    return made
