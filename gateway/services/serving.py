"""What every call of every service goes through: who calls, how many at once, errors as statuses, one log line.

Owns: `Desk`, which a servicer hands each call to. Refuses: knowing what a call is about.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import grpc
import structlog

from certs.errors import CertsError
from certs.grpc_credentials import peer_identity
from certs.identity import Identity
from gateway.clock import Clock
from gateway.errors import RefusedError, WuganError
from gateway.status import abort
from wugan.federation.v1 import vocabulary_pb2 as words

R = TypeVar("R")
Context = grpc.aio.ServicerContext[Any, Any]

_log = structlog.stdlib.get_logger(__name__)


class Desk:
    """Admits calls, bounded in number, and turns whatever goes wrong in them into a status that says what to do.

    Args:
        federation: trust domain that a peer's identity must belong to.
        limit: calls in flight at most; one more is refused at once, because a queue here would only make all late.
    """

    def __init__(self, clock: Clock, *, federation: str, limit: int) -> None:
        self._clock = clock
        self._federation = federation
        self._limit = limit
        self._in_flight = 0
        self._draining = False

    @property
    def in_flight(self) -> int:
        """Calls being worked on."""
        return self._in_flight

    def drain(self) -> None:
        """Refuse new calls from now on."""
        self._draining = True

    async def serve(self, call: str, context: Context, work: Callable[[Identity], Awaitable[R]]) -> R:
        """Do the work of one call for the peer that the TLS handshake proved."""
        began = self._clock.monotonic()
        outcome = "OK"
        self._in_flight += 1
        try:
            if self._draining or self._in_flight > self._limit:
                raise self._overloaded()
            return await work(self._peer(context))
        except WuganError as error:
            outcome = error.code
            await abort(context, error)
        except asyncio.CancelledError:
            outcome = "CANCELLED"
            raise
        except Exception as error:  # noqa: BLE001  the last line: nothing of ours crashes a call without a status
            outcome = "INTERNAL"
            _log.error("call failed", call=call, error=type(error).__name__, where=_where(error))
            await abort(
                context,
                WuganError(
                    "something went wrong here; it was logged. Ask again later",
                    "本网关内部出错，已记录日志，请稍后重试",
                    retryable=True,
                ),
            )
        finally:
            self._in_flight -= 1
            elapsed_ms = (self._clock.monotonic() - began) * 1000
            # Once the answer is on its way: the caller need not wait for the line.
            asyncio.get_running_loop().call_soon(_log_call, call, outcome, round(elapsed_ms, 2))

    def _peer(self, context: Context) -> Identity:
        try:
            peer = peer_identity(context.auth_context())
        except CertsError as error:
            raise RefusedError(error.en, error.zh, reason=words.REFUSAL_REASON_STRANGER) from error
        if peer.federation != self._federation:
            raise RefusedError(
                "the certificate belongs to another federation; use one of this federation",
                "证书属于其他联盟，请使用本联盟签发的证书",
                reason=words.REFUSAL_REASON_STRANGER,
            )
        return peer

    def _overloaded(self) -> WuganError:
        if self._draining:
            return RefusedError(
                "this gateway is shutting down; ask another replica or again shortly",
                "本网关正在停机，请改用其他副本或稍后重试",
                reason=words.REFUSAL_REASON_SHUTTING_DOWN,
                retryable=True,
            )
        return RefusedError(
            "too many calls at once; ask again shortly",
            "并发请求过多，请稍后重试",
            reason=words.REFUSAL_REASON_OVERLOADED,
            retryable=True,
            retry_after_ms=200,
        )


def _log_call(call: str, outcome: str, ms: float) -> None:
    _log.info("call", call=call, outcome=outcome, ms=ms)


def _where(error: BaseException) -> str:
    """File and line of every frame, without values: a traceback's text may hold what was being handled."""
    frames = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}:{code.co_name}")
        trace = trace.tb_next
    return " < ".join(reversed(frames[-12:]))
