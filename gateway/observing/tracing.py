"""Spans of one question, from the agency's call through both gateways to the departments.

    with tracing.begin("check", lambda: traceparent):      # a question of an agency: sampled here or not at all
        with tracing.span("seal"):                       # a part of what this context works on, traced if that is
            ...
    question.trace = tracing.carried()                   # goes along, signed and sealed
    with tracing.resume("answer", [question.trace]):     # at the other gateway

Owns: which span the work of this context belongs to, what goes along with a question, and that all of it costs next to
nothing while tracing is off or the question is not sampled: no module of OpenTelemetry is even loaded then. Refuses:
personal data, and choosing where spans go (`tracer`).

What a partner may learn of a trace is in docs/adr/0023-observed-from-inside.md: an id made here for this one check,
never what an agency sent, and only under seal.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Final, Protocol, Self

from gateway.observing.instruments import permitted

if TYPE_CHECKING:
    from opentelemetry.trace import Span

TRACE_BYTES: Final = 25
"""Of `carried`: trace id (16), id of the span (8), flags (1)."""
Value = str | int | bool


class Tracer(Protocol):
    """What makes spans; see `gateway.observing.tracer`."""

    def root(self, name: str, link: Callable[[], str]) -> Span | None:
        """The first span of a new trace, if this one is sampled; `link`: gives the traceparent that it belongs with."""
        ...

    def joined(self, name: str, carried: bytes) -> Span | None:
        """The first span here of a trace of another gateway, if it is to be followed."""
        ...

    def child(self, name: str, parent: Span, began: float | None) -> Span:
        """A span within another; `began`: when, seconds of the monotonic clock; None: now."""
        ...

    def end(self, span: Span, error: BaseException | None) -> None:
        """It is over, and what went wrong with it."""
        ...


_tracer: Tracer | None = None
_here: contextvars.ContextVar[Span | None] = contextvars.ContextVar("wugan_span", default=None)


def use(tracer: Tracer | None) -> None:
    """Make spans with this from now on; None: none."""
    global _tracer  # noqa: PLW0603  ambient like the log, see the package
    _tracer = tracer


def on() -> bool:
    """Whether anything is traced in this process."""
    return _tracer is not None


def active() -> bool:
    """Whether the work of this context is being traced."""
    return _tracer is not None and _here.get() is not None


def active_in(context: contextvars.Context) -> bool:
    """Whether the work of another context is."""
    return context.get(_here) is not None


def apart() -> contextvars.Context:
    """A context for work that lives longer than what this one works on, and is no part of its trace."""
    context = contextvars.copy_context()
    context.run(_here.set, None)
    return context


def carried() -> bytes:
    """What the span of this context is known by at another gateway; b"" where nothing is traced."""
    span = _here.get() if _tracer is not None else None
    if span is None:
        return b""
    return _known_by(span)


def _known_by(span: Span) -> bytes:
    about = span.get_span_context()
    return about.trace_id.to_bytes(16, "big") + about.span_id.to_bytes(8, "big") + bytes([about.trace_flags])


class _Nothing:
    """Stands for a span where nothing is traced."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        return

    def tell(self, **values: Value) -> None:
        """Nothing."""


class _Spans:
    """One span or several of the same work; the first is that of the context for the length of the block."""

    __slots__ = ("_spans", "_token", "_tracer")

    def __init__(self, tracer: Tracer, spans: Sequence[Span]) -> None:
        self._tracer = tracer
        self._spans = spans
        self._token: contextvars.Token[Span | None] | None = None

    def __enter__(self) -> Self:
        self._token = _here.set(self._spans[0])
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            _here.reset(self._token)
        for span in self._spans:
            self._tracer.end(span, error)

    def tell(self, **values: Value) -> None:
        """Say something about the work: numbers, ids of members and adapters, words of the code; other texts go."""
        for span in self._spans:
            for name, value in values.items():
                span.set_attribute(name, permitted(value) if isinstance(value, str) else value)


NOTHING: Final = _Nothing()
"""Stands for what is not traced."""
Traced = _Nothing | _Spans


def begin(name: str, asked_by: Callable[[], str] = str) -> Traced:
    """Work that begins here: traced if it is sampled.

    Args:
        name: of the span.
        asked_by: gives the asker's W3C traceparent, "" for none; called if it is sampled. A link is made to it; the
            trace has an id of its own.
    """
    if _tracer is None:
        return NOTHING
    span = _tracer.root(name, asked_by)
    return NOTHING if span is None else _Spans(_tracer, [span])


class Long:
    """Work that begins in one place and ends in another: no other span here is a part of it.

    Attributes:
        carried: what it is known by at another gateway.
    """

    __slots__ = ("_spans", "carried")

    def __init__(self, tracer: Tracer, span: Span) -> None:
        self.carried = _known_by(span)
        self._spans = _Spans(tracer, [span])

    def end(self, error: BaseException | None, **values: Value) -> None:
        """It is over, and what went wrong with it; `values` as for `tell`."""
        self._spans.tell(**values)
        self._spans.__exit__(None, error, None)


def begin_long(name: str) -> Long | None:
    """The same as `begin` for such work; None: it is not traced."""
    if _tracer is None or (span := _tracer.root(name, str)) is None:
        return None
    return Long(_tracer, span)


def resume(name: str, traces: Iterable[bytes]) -> Traced:
    """Work that others began, for several of them at once: `carried` of each, b"" for those that are not traced. Only
    looked at where anything is traced.
    """
    if _tracer is None:
        return NOTHING
    spans = [span for trace in traces if trace and (span := _tracer.joined(name, trace)) is not None]
    return _Spans(_tracer, spans) if spans else NOTHING


def span(name: str, **values: Value) -> Traced:
    """A part of what this context works on, traced if that is; `values` as for `tell`."""
    if _tracer is None or (parent := _here.get()) is None:
        return NOTHING
    spans = _Spans(_tracer, [_tracer.child(name, parent, None)])
    if values:
        spans.tell(**values)
    return spans


def note(name: str, began: float, **values: Value) -> None:
    """A part that is over already: it began at `began` (seconds of the monotonic clock) and ends now."""
    if _tracer is None or (parent := _here.get()) is None:
        return
    spans = _Spans(_tracer, [_tracer.child(name, parent, began)])
    spans.tell(**values)
    with spans:
        pass
