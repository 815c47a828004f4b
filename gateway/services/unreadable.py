"""Messages that are none of the kind a call takes, or too large: refused like all else that is wrong with a call.

Owns: parsing what comes in, so that the caller is told by a status of ours, through the desk. The library would tell it
UNKNOWN in words of its own, and log a traceback for each; and of what is larger than its own limit it would tell us
nothing at all, so that limit is `WALL` times ours. Refuses: saying more of such a message than that it is one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, NoReturn

import grpc
from google.protobuf.message import DecodeError

from certs.identity import Identity
from gateway.errors import RefusedError
from gateway.services.serving import Context, Desk
from gateway.status import message_too_large

Answer = Callable[[Any, Context], Awaitable[Any]]
Parse = Callable[[bytes], Any]

_UNREADABLE: Final = object()
"""Stands for a message that could not be parsed."""
_TOO_LARGE: Final = object()
"""Stands for one that was not, because of its length."""
WALL: Final = 2
"""So many times the length that is taken is read, to refuse it with a reason and a line in the log."""


class Readable(grpc.GenericRpcHandler):
    """What answers calls, behind a look at whether their messages could be parsed.

    Args:
        behind: answers them, by coroutines.
        desk: refuses the others.
        most_bytes: that a message may have.
    """

    def __init__(self, behind: grpc.GenericRpcHandler, desk: Desk, most_bytes: int) -> None:
        self._behind = behind
        self._desk = desk
        self._most_bytes = most_bytes
        self._known: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        """What answers a call; None: nothing does."""
        method = handler_call_details.method
        known = self._known.get(method)
        if known is None:
            found = self._behind.service(handler_call_details)
            if found is None:
                return None
            known = self._known[method] = _looking(found, method.rpartition("/")[2], self._desk, self._most_bytes)
        return known


def _looking(found: Any, call: str, desk: Desk, most_bytes: int) -> grpc.RpcMethodHandler[Any, Any]:
    if found.request_streaming:
        of, answer = (
            (grpc.stream_stream_rpc_method_handler, found.stream_stream)
            if found.response_streaming
            else (grpc.stream_unary_rpc_method_handler, found.stream_unary)
        )
        looking = _of_each(answer, most_bytes)
    else:
        of, answer = (
            (grpc.unary_stream_rpc_method_handler, found.unary_stream)
            if found.response_streaming
            else (grpc.unary_unary_rpc_method_handler, found.unary_unary)
        )
        looking = _of_one(answer, call, desk, most_bytes)
    return of(looking, _parsed(found.request_deserializer, most_bytes), found.response_serializer)


def _parsed(parse: Parse, most_bytes: int) -> Parse:
    def parsed(body: bytes) -> Any:
        if len(body) > most_bytes:
            return _TOO_LARGE
        try:
            return parse(body)
        except DecodeError:
            return _UNREADABLE

    return parsed


def _of_one(answer: Answer, call: str, desk: Desk, most_bytes: int) -> Answer:
    async def looking(request: Any, context: Context) -> Any:
        if request is _UNREADABLE or request is _TOO_LARGE:
            return await desk.serve(call, context, _refusing(_wrong(request, most_bytes)))
        return await answer(request, context)

    return looking


def _of_each(answer: Answer, most_bytes: int) -> Answer:
    async def readable(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for request in requests:
            if request is _UNREADABLE or request is _TOO_LARGE:
                raise _wrong(request, most_bytes)
            yield request

    async def looking(requests: AsyncIterator[Any], context: Context) -> Any:
        return await answer(readable(requests), context)

    return looking


def _wrong(request: object, most_bytes: int) -> RefusedError:
    return message_too_large(most_bytes) if request is _TOO_LARGE else _unreadable()


def _refusing(wrong: RefusedError) -> Callable[[Identity], Awaitable[NoReturn]]:
    async def refuse(_peer: Identity) -> NoReturn:
        raise wrong

    return refuse


def _unreadable() -> RefusedError:
    return RefusedError(
        "the message is not one that this call takes; use the federation's contract (proto/), in one version",
        "消息无法解析，不符合此调用的约定，请按本联盟的接口定义（proto/）及同一版本生成消息",
    )
