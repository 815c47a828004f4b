"""Peers that fail: when they are left alone, and when they are asked again."""

from __future__ import annotations

from pydantic import Field

from gateway.sections.values import Settings


class BreakerSettings(Settings):
    """When a peer that fails is left alone, and how many may wait for it at once (docs/partners.md)."""

    window_s: float = Field(30.0, ge=1, le=3_600, description="Seconds looked back on.")
    calls: int = Field(5, ge=1, le=10_000, description="Fewer calls within the window say nothing.")
    error_rate: float = Field(0.5, gt=0, le=1, description="Share of failed calls from which on it is left alone.")
    silent_s: float = Field(
        2.0, ge=0.1, le=3_600, description="Seconds of nothing but failures after which it is left alone."
    )
    slow_ms: int = Field(30_000, ge=10, le=600_000, description="A call that takes longer is slow, milliseconds.")
    slow_rate: float = Field(0.8, gt=0, le=1, description="Share of slow calls from which on it is left alone.")
    fair_ms: int = Field(500, ge=0, le=60_000, description="A call given less time says nothing by coming too late.")
    open_s: float = Field(5.0, ge=0.01, le=3_600, description="Seconds it is left alone at first; doubles each time.")
    longest_open_s: float = Field(300.0, ge=0.01, le=86_400, description="Seconds it is left alone at most.")
    probes: int = Field(2, ge=1, le=100, description="Calls that try it then, and successes that end it.")
    at_once: int = Field(256, ge=1, le=65_536, description="Questions under way to it at once.")
    waiting: int = Field(256, ge=0, le=65_536, description="Questions that may wait for a place; more are refused.")


class DepartmentBreakerSettings(BreakerSettings):
    """The same for each department of this member."""

    slow_ms: int = Field(10_000, ge=10, le=600_000, description="A lookup that takes longer is slow, milliseconds.")
    open_s: float = Field(2.0, ge=0.01, le=3_600, description="Seconds it is left alone at first; doubles each time.")
    longest_open_s: float = Field(60.0, ge=0.01, le=86_400, description="Seconds it is left alone at most.")
    at_once: int = Field(64, ge=1, le=65_536, description="Lookups under way in it at once.")
    waiting: int = Field(64, ge=0, le=65_536, description="Lookups that may wait for a place; for more it is missing.")


class RetrySettings(Settings):
    """When a partner is asked again (docs/partners.md)."""

    tries: int = Field(3, ge=1, le=10, description="Tries for a question at most, the first included.")
    first_wait_ms: int = Field(50, ge=1, le=60_000, description="Bound of the wait before the second; doubles.")
    longest_wait_ms: int = Field(1_000, ge=1, le=60_000, description="No wait has a longer bound, milliseconds.")
    last_try_ms: int = Field(
        1_000, ge=100, le=60_000, description="Kept back from each try for one more after it, milliseconds."
    )
    retry_share: float = Field(0.08, ge=0, le=1, description="Further tries at most, as a share of questions.")
    hedge_share: float = Field(0.02, ge=0, le=1, description="Second questions at most while the first is out; share.")
