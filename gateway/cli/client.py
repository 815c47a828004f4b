"""How a command reaches the agency's gateway, and what it says when that fails.

Owns: the channel of one command and the texts of errors. Refuses: knowing what is asked.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import NoReturn, TypeVar

import grpc

from certs.errors import CertsError
from gateway.channels import agency_channel
from gateway.cli import EXIT_FAULTY, EXIT_REFUSED, EXIT_UNREACHABLE, EXIT_USAGE
from gateway.cli.failing import say_failed
from gateway.cli.language import plain, say
from gateway.config import AgencySettings
from gateway.errors import WuganError
from gateway.status import from_rpc_error
from wugan.agency.v1 import agency_pb2_grpc
from wugan.federation.v1 import vocabulary_pb2 as words

R = TypeVar("R")

_UNREACHABLE = frozenset(
    {
        words.REFUSAL_REASON_PARTNER_UNAVAILABLE,
        words.REFUSAL_REASON_DEADLINE_EXCEEDED,
        words.REFUSAL_REASON_OVERLOADED,
        words.REFUSAL_REASON_SHUTTING_DOWN,
    }
)
_AWAY = frozenset({words.REFUSAL_REASON_PARTNER_UNAVAILABLE, words.REFUSAL_REASON_DEADLINE_EXCEEDED})


def opened(settings: AgencySettings) -> grpc.aio.Channel:
    """A channel to the agency's gateway; ends the command with a message where a key or certificate cannot be used."""
    try:
        return agency_channel(settings)
    except CertsError as error:
        fail(say(error.en, error.zh), EXIT_USAGE, of=error)


async def with_gateway(
    settings: AgencySettings,
    work: Callable[[agency_pb2_grpc.AgencyServiceAsyncStub], Awaitable[R]],
    *,
    instead: str = "",
    besides: Callable[[], str] = str,
) -> R:
    """Do some work with a stub of the agency's gateway; ends the command with a message where that fails.

    Args:
        settings: of the agency.
        work: what is done.
        instead: what else a person can do where another province is not reached.
        besides: what is to be said besides whatever failed; "": nothing.
    """
    async with opened(settings) as channel:
        try:
            return await work(agency_pb2_grpc.AgencyServiceStub(channel))
        except grpc.aio.AioRpcError as error:
            ours, more = from_rpc_error(error), besides()
            more = say(f"; {more}", f"；{more}") if more else ""
            if ours is not None:
                fail_with(ours, instead, more)
            if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
                fail(
                    say("no answer in time; allow more with --timeout", "未在时限内得到答复，可用 --timeout 延长")
                    + more,
                    EXIT_UNREACHABLE,
                )
            fail(
                say(
                    f"the gateway at {settings.gateway} cannot be reached ({error.code().name}); is it running, and do "
                    "certificate and root belong together?",
                    f"无法连接网关 {settings.gateway}（{error.code().name}），请确认其正在运行，且证书与根证书匹配",
                )
                + more,
                EXIT_UNREACHABLE,
            )


def code_of(error: WuganError) -> int:
    """The exit code that an error of ours stands for."""
    if error.reason in _UNREACHABLE:
        return EXIT_UNREACHABLE
    return EXIT_FAULTY if error.reason == words.REFUSAL_REASON_PARTNER_FAULTY else EXIT_REFUSED


def fail_with(error: WuganError, instead: str = "", besides: str = "") -> NoReturn:
    """End the command with an error of ours: what is wrong, from when on it is worth trying, what else can be done, and
    what is to be said besides.
    """
    code, more = code_of(error), ""
    if code == EXIT_UNREACHABLE:
        seconds = math.ceil(error.retry_after_ms / 1000)
        if seconds > 1:
            more = say(f"; not before {seconds} s from now", f"；{seconds} 秒后再试")
        if error.reason in _AWAY and instead:
            more += say(f"; {instead}", f"；{instead}")
    fail(f"[{error.code}] {plain(say(error.en, error.zh))}{more}{besides}", code, of=error)


def fail(message: str, code: int, *, of: Exception | None = None) -> NoReturn:
    """End the command with a message; with `--json` as an object, with what the error tells besides."""
    say_failed(message, code, of=of)
    raise SystemExit(code)
