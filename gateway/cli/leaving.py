"""Having a question left for sure: what a command does that was to leave it and got no answer, and what it says then.

Owns: asking again, and what is known of whether the question was left. Refuses: asking other provinces again: they had
their time. The gateway finds the question that it is still at, or has left already, by what is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import grpc

from gateway.cli.language import plain, say
from gateway.errors import LostError, WuganError
from gateway.status import from_rpc_error
from wugan.agency.v1 import agency_pb2, agency_pb2_grpc

E = TypeVar("E", bound=Exception)

MAKE_SURE_S: Final = 10.0
"""So long it is tried, whatever time the question was given."""
PAUSE_S: Final = 0.2
"""Between tries at least."""
_NEVER_SENT: Final = ("failed to connect to all addresses", "DNS resolution failed")
"""How the library says that a call did not even leave; should it come to say it otherwise, nothing is claimed."""

Ask = Callable[[agency_pb2.CheckRequest, float], Awaitable[agency_pb2.CheckResponse]]
"""Asks a question, with so many seconds for the answer."""


class ForSure:
    """One question that is to be left.

    Args:
        request: it.
    """

    def __init__(self, request: agency_pb2.CheckRequest) -> None:
        self._request = request
        self.unknown = False
        """Whether it is not known if it was left, once it failed."""

    async def leave(
        self, stub: agency_pb2_grpc.AgencyServiceAsyncStub, error: grpc.aio.AioRpcError
    ) -> agency_pb2.CheckResponse:
        """The answer to the question, or to its being left, after a call ended with an error.

        Raises:
            grpc.aio.AioRpcError: it was refused, or is not known to be left; `state` says which.
        """

        async def ask(again: agency_pb2.CheckRequest, time_s: float) -> agency_pb2.CheckResponse:
            return await stub.Check(again, timeout=time_s)

        return await self._until_left(ask, error, grpc.aio.AioRpcError, self._pause_after_call)

    async def leave_over(self, ask: Ask, error: WuganError) -> agency_pb2.CheckResponse:
        """The same of one among many that were asked together (`gateway.many.client`).

        Raises:
            WuganError: as above.
        """
        return await self._until_left(ask, error, WuganError, self._pause_after_question)

    async def _until_left(
        self, ask: Ask, error: E, kind: type[E], pause_after: Callable[[E], float | None]
    ) -> agency_pb2.CheckResponse:
        """Ask again and again, `kind` of error after error; `pause_after`: seconds, None to give up. Raises `kind`."""
        again = agency_pb2.CheckRequest()
        again.CopyFrom(self._request)
        again.only_leave = True
        loop = asyncio.get_running_loop()
        end = loop.time() + MAKE_SURE_S
        while True:
            pause_s = pause_after(error)
            if pause_s is None or loop.time() + pause_s >= end:
                raise error
            await asyncio.sleep(pause_s)
            try:
                return await ask(again, end - loop.time())
            except kind as failed:
                error = failed

    def _pause_after_call(self, error: grpc.aio.AioRpcError) -> float | None:
        ours = from_rpc_error(error)
        if ours is not None:
            return _pause_s(ours)
        if not (error.details() or "").startswith(_NEVER_SENT):
            self.unknown = True
        return PAUSE_S if self.unknown else None  # the gateway is not there: no need to wait for knowing that

    def _pause_after_question(self, error: WuganError) -> float | None:
        if isinstance(error, LostError):
            self.unknown = True
        return _pause_s(error)

    def state(self) -> str:
        """What is known of it once it failed, and what to do."""
        if not self.unknown:
            return say("the question was not left; ask again later", "查询未留置，请稍后重新查询")
        case = plain(self._request.case_reference)
        return say(
            f"it is not known whether the question was left: look for case {case} in `wugan late list` in a minute, "
            "and ask again if it is not there",
            f"查询是否已留置尚不确定：请一分钟后用 wugan late list 查看业务编号 {case}，未列出则重新查询",
        )


def _pause_s(error: WuganError) -> float | None:
    """Before it is tried again; None where that is of no use."""
    return max(PAUSE_S, error.retry_after_ms / 1000) if error.retryable else None
