"""A tracer that writes to a file, what it wrote, and the way from a root to each span."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway.clock import FakeClock
from gateway.observing import tracing
from gateway.observing.trace_file import TraceFile
from gateway.observing.tracer import SdkTracer

Span = dict[str, Any]
Spans = list[Span]


class TracedWorld:
    """Everything in this process is traced, until `tracing.use(None)`."""

    def __init__(self, path: Path, sample: float = 1.0, most: int = 100, max_bytes: int = 1 << 20) -> None:
        self.clock = FakeClock()
        self.path = path
        exporter = TraceFile(path, max_bytes)
        self.tracer = SdkTracer(
            "11330000002482285J", [exporter], self.clock, sample=sample, followed_a_second=most, draw=lambda: 0.5
        )
        tracing.use(self.tracer)

    def written(self) -> Spans:
        """Every span, in the order of ending."""
        self.tracer.close()
        return self._read()

    def so_far(self) -> Spans:
        """Every span that has ended, in that order; more may come."""
        self.tracer.flush()
        return self._read()

    def _read(self) -> Spans:
        return [json.loads(line) for line in self.path.read_text("utf-8").splitlines()] if self.path.exists() else []


def ways(spans: Sequence[Span]) -> list[Spans]:
    """The way to each span: from the root of its trace to itself."""
    by_id = {span["span"]: span for span in spans}

    def way(span: Span) -> Spans:
        return [*(way(by_id[span["parent"]]) if span["parent"] else ()), span]

    return [way(span) for span in spans]
