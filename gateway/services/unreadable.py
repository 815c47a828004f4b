"""Messages that are none of the kind a call takes: refused like all else that is wrong with a call.

Owns: parsing what comes in, so that the caller is told by a status of ours, through the desk. The library would tell it
UNKNOWN in words of its own, and log a traceback for each. Refuses: saying more of such a message than that it is one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, NoReturn

import grpc
from google.protobuf.message import DecodeError

from certs.identity import Identity
from gateway.errors import RefusedError
from gateway.services.serving import Context, Desk

Answer = Callable[[Any, Context], Awaitable[Any]]
Parse = Callable[[bytes], Any]

_UNREADABLE: Final = object()
"""Stands for a message that could not be parsed."""


class Readable(grpc.GenericRpcHandler):
    """What answers calls, behind a look at whether their messages could be parsed.

    Args:
        behind: answers them, by coroutines.
        desk: refuses the others.
    """

    def __init__(self, behind: grpc.GenericRpcHandler, desk: Desk) -> None:
        self._behind = behind
        self._desk = desk
        self._known: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        """What answers a call; None: nothing does."""
        method = handler_call_details.method
        known = self._known.get(method)
        if known is None:
            found = self._behind.service(handler_call_details)
            if found is None:
                return None
            known = self._known[method] = _looking(found, method.rpartition("/")[2], self._desk)
        return known


def _looking(found: Any, call: str, desk: Desk) -> grpc.RpcMethodHandler[Any, Any]:
    if found.request_streaming:
        of, answer = (
            (grpc.stream_stream_rpc_method_handler, found.stream_stream)
            if found.response_streaming
            else (grpc.stream_unary_rpc_method_handler, found.stream_unary)
        )
        looking = _of_each(answer)
    else:
        of, answer = (
            (grpc.unary_stream_rpc_method_handler, found.unary_stream)
            if found.response_streaming
            else (grpc.unary_unary_rpc_method_handler, found.unary_unary)
        )
        looking = _of_one(answer, call, desk)
    return of(looking, _parsed(found.request_deserializer), found.response_serializer)


def _parsed(parse: Parse) -> Parse:
    def parsed(body: bytes) -> Any:
        try:
            return parse(body)
        except DecodeError:
            return _UNREADABLE

    return parsed


def _of_one(answer: Answer, call: str, desk: Desk) -> Answer:
    async def looking(request: Any, context: Context) -> Any:
        if request is _UNREADABLE:
            return await desk.serve(call, context, _refuse)
        return await answer(request, context)

    return looking


def _of_each(answer: Answer) -> Answer:
    async def readable(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for request in requests:
            if request is _UNREADABLE:
                raise _unreadable()
            yield request

    async def looking(requests: AsyncIterator[Any], context: Context) -> Any:
        return await answer(readable(requests), context)

    return looking


async def _refuse(_peer: Identity) -> NoReturn:
    raise _unreadable()


def _unreadable() -> RefusedError:
    return RefusedError(
        "the message is not one that this call takes; use the federation's contract (proto/), in one version",
        "消息无法解析，不符合此调用的约定，请按本联盟的接口定义（proto/）及同一版本生成消息",
    )
