"""The program itself: where it listens, how much it takes, what it tells of itself."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from pydantic import Field

from gateway.sections.values import Address, Collector, Settings

LARGEST_MESSAGE_BYTES: Final = 256 << 20
"""No gateway sends or takes more, whatever its operator sets."""


class ServerSettings(Settings):
    """Where the gateway listens, and how much it takes at once."""

    federation: Address = Field(description="Address for other gateways and for health checks.")
    agency: Address = Field(description="Address for this member's agencies.")
    ready_file: Path | None = Field(None, description="File to write the bound addresses to once ready (JSON).")
    max_message_bytes: int = Field(
        16 << 20,
        ge=16 << 20,
        le=LARGEST_MESSAGE_BYTES,
        description="Largest gRPC message, bytes; what the partners may send is no larger than the default.",
    )
    max_concurrent_calls: int = Field(1024, ge=1, le=65536, description="Calls in flight; more are refused at once.")
    shed_ms: int = Field(
        100,
        ge=0,
        le=60_000,
        description="New calls are refused while every turn of the work takes longer, or calls wait in line longer "
        "than this and than a quarter of the time that their callers have; 0: never.",
    )
    drain_s: float = Field(10.0, ge=0, le=600, description="Seconds that calls in flight get after SIGTERM.")
    connection_age_s: float = Field(
        3600.0, ge=10, description="Seconds after which a client is asked to connect anew, so that it moves by itself."
    )


class TracingSettings(Settings):
    """Traces of questions; off where they go nowhere (docs/operations/observability.md)."""

    file: Path | None = Field(None, description="File to write spans to, JSON lines; none without it.")
    file_max_bytes: int = Field(
        64 << 20, ge=1 << 16, le=16 << 30, description="Size at which the file is renamed to NAME.1, bytes."
    )
    otlp: Collector | None = Field(None, description="Collector to send spans to, OTLP over gRPC; none without it.")
    sample: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Part of the agencies' questions, and of what a gateway begins by itself, that is traced.",
    )
    followed_a_second: int = Field(
        20, ge=0, le=10_000, description="Traces that began elsewhere or earlier, followed at most each second."
    )

    @property
    def on(self) -> bool:
        """Whether spans go anywhere."""
        return self.file is not None or self.otlp is not None


class ObservabilitySettings(Settings):
    """Figures, health in words, traces."""

    listen: Address | None = Field(
        None,
        description="Address of /metrics, /healthz and /health, without TLS: keep it on loopback. Default: none.",
    )
    slow_s: float = Field(
        2.0, gt=0, le=600, description="Median seconds from which a partner or department is called slow."
    )
    disk_free_bytes: int = Field(1 << 30, ge=0, description="Free space below which the disk is called nearly full.")
    directory_left_s: float = Field(
        21_600.0, ge=1, description="Seconds before the directory expires from which that is told."
    )
    tracing: TracingSettings = TracingSettings()


class LogSettings(Settings):
    """Structured logs on standard error."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    format: Literal["auto", "json", "console"] = "auto"
