"""Spans made by OpenTelemetry's SDK: sampled here, or followed from another gateway within bounds.

Owns: the decision whether a question is traced, ids that tell nothing (from the system's randomness), times of the
gateway's clock, and the queue to the exporters: bounded, emptied by threads, and what does not fit is lost and
counted. Refuses: OpenTelemetry's environment variables, and texts of exceptions: a span says what kind of error it was.

Loaded only where tracing is on.
"""

from __future__ import annotations

import random
import re
import secrets
from collections.abc import Callable, Sequence
from typing import Final

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Span as SdkSpan
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Link, Span, SpanContext, Status, StatusCode, TraceFlags

from gateway.clock import Clock
from gateway.errors import WuganError
from gateway.observing.tracing import TRACE_BYTES

QUEUE: Final = 4096
"""Spans that wait for an exporter at most."""
BATCH: Final = 512
EVERY_MS: Final = 1_000
FLUSH_MS: Final = 5_000
_LIMITS: Final = SpanLimits(
    max_attributes=16, max_events=0, max_links=4, max_span_attributes=16, max_attribute_length=128
)
_SET_NS: Final = 50_000_000
"""A wall clock that has moved by more than this against the monotonic one was set."""
_TRACEPARENT: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")


_draw: Final = random.SystemRandom().random


class Ids(IdGenerator):
    """Ids from which no other can be guessed."""

    def generate_trace_id(self) -> int:
        """16 bytes, not zero."""
        return secrets.randbits(128) or 1

    def generate_span_id(self) -> int:
        """8 bytes, not zero."""
        return secrets.randbits(64) or 1


def linked(traceparent: str) -> list[Link]:
    """A link to the span that a W3C traceparent names; none where it is not well-formed."""
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None:
        return []
    about = SpanContext(int(found[1], 16), int(found[2], 16), is_remote=True, trace_flags=TraceFlags(1))
    return [Link(about)] if about.is_valid else []


class SdkTracer:
    """A `tracing.Tracer`.

    Args:
        member_id: whose spans these are.
        exporters: where they go.
        clock: the time.
        sample: part of what begins here that is traced, from 0 to 1.
        followed_a_second: traces of other gateways that are followed at most, each second.
        draw: a number from 0 up to 1 for each question.
    """

    def __init__(
        self,
        member_id: str,
        exporters: Sequence[SpanExporter],
        clock: Clock,
        *,
        sample: float,
        followed_a_second: int,
        draw: Callable[[], float] = _draw,
    ) -> None:
        self._provider = TracerProvider(
            sampler=ALWAYS_ON,  # the decision is made here, before there is a span
            resource=Resource({"service.name": "wugan-gateway", "service.instance.id": member_id}),
            shutdown_on_exit=False,
            id_generator=Ids(),
            span_limits=_LIMITS,
        )
        for exporter in exporters:
            processor = BatchSpanProcessor(
                exporter, max_queue_size=QUEUE, schedule_delay_millis=EVERY_MS, max_export_batch_size=BATCH
            )
            self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("wugan")
        self._clock = clock
        self._sample = sample
        self._draw = draw
        self._most = followed_a_second
        self._second = -1
        self._followed = 0
        self._offset = 0

    def root(self, name: str, link: Callable[[], str]) -> Span | None:
        """See `tracing.Tracer`."""
        if self._draw() >= self._sample:
            return None
        return self._tracer.start_span(
            name, context=trace.set_span_in_context(trace.INVALID_SPAN), links=linked(link()), start_time=self._now_ns()
        )

    def joined(self, name: str, carried: bytes) -> Span | None:
        """See `tracing.Tracer`."""
        if len(carried) != TRACE_BYTES or not carried[-1] & 1:
            return None
        about = SpanContext(
            int.from_bytes(carried[:16], "big"),
            int.from_bytes(carried[16:24], "big"),
            is_remote=True,
            trace_flags=TraceFlags(1),
        )
        if not about.is_valid or not self._room():
            return None
        parent = trace.set_span_in_context(trace.NonRecordingSpan(about))
        return self._tracer.start_span(name, context=parent, start_time=self._now_ns())

    def child(self, name: str, parent: Span, began: float | None) -> Span:
        """See `tracing.Tracer`."""
        ago_ns = 0 if began is None else round((self._clock.monotonic() - began) * 1e9)
        context = trace.set_span_in_context(parent)
        return self._tracer.start_span(name, context=context, start_time=self._now_ns() - ago_ns)

    def end(self, span: Span, error: BaseException | None) -> None:
        """See `tracing.Tracer`."""
        if error is not None:
            what = error.code if isinstance(error, WuganError) else type(error).__name__
            span.set_status(Status(StatusCode.ERROR, what))
        # Parts of a millisecond are of the monotonic clock; a span never ends before it began.
        began = span.start_time or 0 if isinstance(span, SdkSpan) else 0
        span.end(end_time=max(self._now_ns(), began))

    def close(self) -> None:
        """Send what waits, for some seconds at most; blocks meanwhile."""
        self.flush()
        self._provider.shutdown()

    def flush(self) -> None:
        """Send what waits, the same way; more may come."""
        self._provider.force_flush(FLUSH_MS)

    def _room(self) -> bool:
        """Whether one more trace of another gateway may be followed in this second."""
        second = int(self._clock.monotonic())
        if second != self._second:
            self._second, self._followed = second, 0
        self._followed += 1
        return self._followed <= self._most

    def _now_ns(self) -> int:
        return self._offset_ns() + round(self._clock.monotonic() * 1e9)

    def _offset_ns(self) -> int:
        """From the monotonic clock to Unix time, looked at again when the wall clock was set."""
        drifted = self._clock.now_ms() * 1_000_000 - round(self._clock.monotonic() * 1e9)
        if abs(drifted - self._offset) > _SET_NS:
            self._offset = drifted
        return self._offset
