"""Spans as JSON lines in a file, for sites without a collector and for tests.

    {"trace":"…","span":"…","parent":"…","name":"seal","member":"…","start_ns":…,"end_ns":…,"error":"","links":[],"attributes":{}}

Owns: the form of a line, and the file's size: at its limit it is renamed to `NAME.1`, over the one before. Refuses:
failing: spans that cannot be written are lost and counted. Runs in the exporter's thread.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import StatusCode

from gateway.observing import metrics

_log = structlog.stdlib.get_logger(__name__)


def line_of(span: ReadableSpan) -> dict[str, Any]:
    """A span as an object of plain values."""
    about, parent = span.get_span_context(), span.parent
    if about is None:
        raise ValueError("a span without an id was never begun")
    failed = span.status.status_code is StatusCode.ERROR
    return {
        "trace": f"{about.trace_id:032x}",
        "span": f"{about.span_id:016x}",
        "parent": "" if parent is None else f"{parent.span_id:016x}",
        "name": span.name,
        "member": span.resource.attributes.get("service.instance.id", ""),
        "start_ns": span.start_time,
        "end_ns": span.end_time,
        "error": span.status.description or "ERROR" if failed else "",
        "links": [f"{link.context.trace_id:032x}-{link.context.span_id:016x}" for link in span.links],
        "attributes": dict(span.attributes or {}),
    }


class TraceFile(SpanExporter):
    """Appends to one file, mode 0600.

    Args:
        path: of the file.
        max_bytes: its size at most, roughly; with the one before it is twice as much.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._complained = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write them."""
        data = "".join(json.dumps(line_of(span), ensure_ascii=False) + "\n" for span in spans).encode()
        try:
            # Opened for each batch: whoever rotates the file need tell nobody.
            handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                while data:
                    data = data[os.write(handle, data) :]
                size = os.fstat(handle).st_size
            finally:
                os.close(handle)
            if size >= self._max_bytes:
                self._path.replace(self._path.with_name(self._path.name + ".1"))
        except OSError as error:
            metrics.SPANS_LOST.add(by=len(spans))
            if not self._complained:
                _log.warning("spans not written", error=type(error).__name__)
            self._complained = True
            return SpanExportResult.FAILURE
        self._complained = False
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Nothing is open between batches."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing waits here."""
        return True
