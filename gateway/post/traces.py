"""The spans of handing letters over and of dealing with deliveries, and which trace each of them belongs to.

A question that was left carries its trace, as every question does: both gateways follow it for as long as it is
underway, over restarts too. Of any other letter it is remembered here, in memory, in which trace it was made; no other
gateway is told. What belongs to no trace is sampled by itself.

Owns: this memory, bounded, and these rules. Refuses: costing anything while nothing is traced.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from google.protobuf.message import DecodeError

from gateway.errors import WuganError
from gateway.observing import tracing
from gateway.store.letters import Letter
from wugan.federation.v1 import delivery_pb2, exchange_pb2

REMEMBERED: Final = 4_096
"""Letters of which it is remembered in which trace they were made; the oldest is forgotten first."""

_made_in: Final[dict[bytes, bytes]] = {}


def made(delivery_id: bytes) -> None:
    """A letter was made by what this context works on."""
    if not tracing.active():
        return
    if len(_made_in) >= REMEMBERED:
        del _made_in[next(iter(_made_in))]
    _made_in[delivery_id] = tracing.carried()


def delivering(partner: str, letters: Sequence[Letter]) -> tracing.Traced:
    """An attempt to hand letters to a partner, for the length of the block: in the trace of each that has one."""
    if not tracing.on():
        return tracing.NOTHING
    traces = [_made_in.get(each.delivery_id) or _carried(each.kind, each.body) for each in letters]
    span = tracing.resume("deliver", traces) if any(traces) else tracing.begin("deliver")
    span.tell(partner=partner, letters=len(letters))
    return span


def handling(sender: str, kind: int, body: Callable[[], bytes]) -> tracing.Traced:
    """Dealing with a delivery, for the length of the block.

    An answer to a question that was left is told of in the trace of that question, by who knows the question.

    Args:
        sender: member that left it.
        kind: DeliveryKind.
        body: gives what it holds.
    """
    if not tracing.on() or kind == delivery_pb2.DELIVERY_KIND_ANSWER:
        return tracing.NOTHING
    if kind == delivery_pb2.DELIVERY_KIND_QUESTION:  # as with any question, its asker decides whether it is traced
        try:
            span = tracing.resume("handle", [_carried(kind, body())])
        except WuganError:  # it cannot be read, which is told of otherwise
            return tracing.NOTHING
    else:
        span = tracing.begin("handle")
    span.tell(partner=sender, kind=name_of(kind))
    return span


def name_of(kind: int) -> str:
    """The name of a kind of delivery, for metrics and spans."""
    known = delivery_pb2.DeliveryKind.DESCRIPTOR.values_by_number.get(kind)
    return "other" if known is None else known.name.removeprefix("DELIVERY_KIND_")


def _carried(kind: int, body: bytes) -> bytes:
    """The trace that a letter carries; b"" for none."""
    if kind != delivery_pb2.DELIVERY_KIND_QUESTION:
        return b""
    try:
        return exchange_pb2.Question.FromString(body).trace
    except DecodeError:
        return b""
