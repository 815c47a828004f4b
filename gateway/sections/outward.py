"""Asking other members, and giving their answers again."""

from __future__ import annotations

from pydantic import Field

from gateway.sections.resilience import BreakerSettings, RetrySettings
from gateway.sections.values import Settings


class FederationSettings(Settings):
    """How others are asked."""

    deadline_ms: int = Field(5_000, ge=50, le=600_000, description="Time for an answer where the agency set none.")
    reserve_ms: int = Field(
        50, ge=0, le=10_000, description="Kept back from the agency's deadline for merging and the way home."
    )
    max_members: int = Field(40, ge=1, le=200, description="Members asked for one recipient at most.")
    keepalive_s: float = Field(30.0, ge=1, le=600, description="Seconds between probes of an idle connection.")
    follow_moves: bool = Field(
        True, description="Whether a province is asked to which the person has moved, as another one says."
    )
    retry: RetrySettings = RetrySettings()
    breaker: BreakerSettings = BreakerSettings()


class CacheSettings(Settings):
    """Answers of others that are given again, as long as their authors allow."""

    enabled: bool = Field(True, description="Whether answers are given again at all.")
    max_answers: int = Field(100_000, ge=1, le=10_000_000, description="Answers that may be given again at most.")
    memory_bytes: int = Field(
        64 << 20, ge=0, le=64 << 30, description="Memory for such answers, bytes; the others are read from the disk."
    )
    response_bytes: int = Field(
        32 << 20, ge=0, le=64 << 30, description="Memory for whole responses made of such answers, bytes."
    )
    stale_if_unreachable: bool = Field(
        False, description="Whether an outdated answer is shown, as such, while its author cannot be reached."
    )
    flush_s: float = Field(1.0, ge=0.01, le=60, description="Seconds until a new such answer is noted on the disk.")
