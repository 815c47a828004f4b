"""Answering other members: departments, their quality, who may ask what, who asks too much."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from gateway.sections.resilience import DepartmentBreakerSettings
from gateway.sections.values import Evidence, Purpose, Settings


class ShadowSettings(Settings):
    """Registered adapters that are tried before they count (docs/adapters/registration.md)."""

    share: float = Field(0.1, ge=0, le=1, description="Share of questions on which an adapter in shadow is tried.")
    people: int = Field(64, ge=1, le=10_000, description="People of such a question it is asked about at most.")
    at_once: int = Field(2, ge=1, le=64, description="Such questions at once, of each adapter.")


class InquirySettings(Settings):
    """How questions of others are answered."""

    adapters: tuple[Path, ...] = Field((), max_length=256, description="Manifests of this member's departments.")
    rules: Path | None = Field(None, description="Rule file; without it the built-in one is used.")
    max_subjects: int = Field(10_000, ge=1, le=100_000, description="People in one question at most.")
    max_evidence: int = Field(100, ge=0, le=10_000, description="Evidence rows for each person at most.")
    deadline_ms: int = Field(5_000, ge=50, le=600_000, description="Time for an answer where the asker set none.")
    reserve_ms: int = Field(
        100, ge=0, le=10_000, description="Kept back from the asker's deadline for grading, sealing and the way home."
    )
    streams: int = Field(
        8,
        ge=1,
        le=1_024,
        description="Streams of large questions at once, half of them of one member; rosters come so.",
    )
    stream_window: int = Field(4, ge=1, le=64, description="Questions of one such stream in hand at once.")
    breaker: DepartmentBreakerSettings = DepartmentBreakerSettings()
    shadow: ShadowSettings = ShadowSettings()


class QualitySettings(Settings):
    """How the quality of departments' data is measured (docs/adapters/quality.md)."""

    enabled: bool = Field(True, description="Whether it is measured from the gateway's own traffic.")
    sample: int = Field(200, ge=1, le=100_000, description="Questions in a sample at most.")
    every_s: float = Field(30.0, ge=0.1, le=3_600, description="Seconds between two samples.")
    thresholds: Path | None = Field(None, description="File of thresholds; without it the built-in one is used.")


class HarvestSettings(Settings):
    """When a member's questions look like harvesting; then an alarm is raised and its questions are throttled."""

    window_s: float = Field(3_600.0, ge=60, le=86_400, description="Seconds looked back on.")
    sequential_people: int = Field(
        20, ge=3, le=10_000, description="People whose order codes follow each other, born on one day in one place."
    )
    roster_factor: float = Field(
        1.5, ge=1, le=100, description="People in a civil day at most, as a multiple of the roster the grant expects."
    )
    odd_from_hour: int = Field(23, ge=0, le=23, description="Odd hours begin, Asia/Shanghai.")
    odd_until_hour: int = Field(5, ge=0, le=23, description="Odd hours end; the same hour: there are none.")
    odd_people: int = Field(2_000, ge=1, description="People asked about in the odd hours of a window at most.")
    unknown_share: float = Field(
        0.5, gt=0, le=1, description="Share of people whom no department knows, at most, of those said to live here."
    )
    unknown_people: int = Field(200, ge=10, description="Share of unknown people is looked at from so many people on.")
    hold_s: float = Field(60.0, ge=1, le=3_600, description="Least seconds between questions while an alarm stands.")


class AccessSettings(Settings):
    """How the access policy is kept; the policy itself is data in the gateway's store (`wugan access`)."""

    poll_s: float = Field(0.5, ge=0.05, le=1.0, description="Seconds between looks whether the policy was changed.")
    two_persons_people_a_day: int = Field(
        1_000,
        ge=0,
        description="Grants with a larger quota for a day, or none, need two persons; smaller ones have it in common.",
    )
    two_persons_purposes: tuple[Purpose, ...] = Field(
        ("DISPUTE_REVIEW", "AUDIT"), description="Grants for one of these purposes need two persons."
    )
    two_persons_evidence: tuple[Evidence, ...] = Field(
        (
            *("DETAINED", "SENTENCE", "IMPRISONED", "COMMUTATION", "PAROLE", "RELEASE", "MEDICAL_RELEASE"),
            *("RETURNED_TO_PRISON", "CORRECTION_CHECK_IN", "HOSPITAL_STAY", "INPATIENT", "OUTPATIENT", "ADOPTION"),
        ),
        description="Grants for evidence of one of these kinds need two persons.",
    )
    harvest: HarvestSettings = HarvestSettings()
