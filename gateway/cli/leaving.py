"""Having a question left for sure: what a command does that was to leave it and got no answer, and what it says then.

Owns: asking again, and what is known of whether the question was left. Refuses: asking other provinces again: they had
their time. The gateway finds the question that it is still at, or has left already, by what is asked.
"""

from __future__ import annotations

import asyncio
from typing import Final

import grpc

from gateway.cli.language import plain, say
from gateway.status import from_rpc_error
from wugan.agency.v1 import agency_pb2, agency_pb2_grpc

MAKE_SURE_S: Final = 10.0
"""So long it is tried, whatever time the question was given."""
PAUSE_S: Final = 0.2
"""Between tries at least."""
_NEVER_SENT: Final = ("failed to connect to all addresses", "DNS resolution failed")
"""How the library says that a call did not even leave; should it come to say it otherwise, nothing is claimed."""


class ForSure:
    """One question that is to be left.

    Args:
        request: it.
    """

    def __init__(self, request: agency_pb2.CheckRequest) -> None:
        self._request = request
        self._unknown = False

    async def leave(
        self, stub: agency_pb2_grpc.AgencyServiceAsyncStub, error: grpc.aio.AioRpcError
    ) -> agency_pb2.CheckResponse:
        """The answer to the question, or to its being left, after a call ended with an error.

        Raises:
            grpc.aio.AioRpcError: it was refused, or is not known to be left; `state` says which.
        """
        again = agency_pb2.CheckRequest()
        again.CopyFrom(self._request)
        again.only_leave = True
        loop = asyncio.get_running_loop()
        end = loop.time() + MAKE_SURE_S
        while True:
            ours = from_rpc_error(error)
            if ours is None and not (error.details() or "").startswith(_NEVER_SENT):
                self._unknown = True
            elif ours is None and not self._unknown:  # the gateway is not there: no need to wait for knowing that
                raise error
            pause_s = PAUSE_S if ours is None else max(PAUSE_S, ours.retry_after_ms / 1000)
            if (ours is not None and not ours.retryable) or loop.time() + pause_s >= end:
                raise error
            await asyncio.sleep(pause_s)
            try:
                return await stub.Check(again, timeout=end - loop.time())
            except grpc.aio.AioRpcError as failed:
                error = failed

    def state(self) -> str:
        """What is known of it once it failed, and what to do."""
        if not self._unknown:
            return say("the question was not left; ask again later", "查询未留置，请稍后重新查询")
        case = plain(self._request.case_reference)
        return say(
            f"it is not known whether the question was left: look for case {case} in `wugan late list` in a minute, "
            "and ask again if it is not there",
            f"查询是否已留置尚不确定：请一分钟后用 wugan late list 查看业务编号 {case}，未列出则重新查询",
        )
