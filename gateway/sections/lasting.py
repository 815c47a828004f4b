"""What outlives a call: the store, deliveries, notices, rosters, comparisons with other members."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field

from gateway.sections.values import Settings


class StoreSettings(Settings):
    """Where the store is (docs/operations/postgresql.md); by default a file in the state folder."""

    url_file: Path | None = Field(
        None, description="File with the address of a PostgreSQL database, password included, mode 0600."
    )
    connections: int = Field(16, ge=2, le=1_000, description="Connections to PostgreSQL at most.")
    statement_s: float = Field(30.0, ge=1, le=3_600, description="Seconds for one statement on PostgreSQL at most.")


class OutboxSettings(Settings):
    """What is left with other members, and by them (docs/operations/outbox.md)."""

    batch: int = Field(64, ge=1, le=256, description="Deliveries in one envelope at most.")
    rate_per_s: float = Field(200.0, ge=1, le=100_000, description="Deliveries a second to one member at most.")
    timeout_s: float = Field(20.0, ge=0.1, le=300, description="Seconds a member has to receipt an envelope.")
    retry_first_s: float = Field(1.0, ge=0.01, le=3_600, description="Seconds until the second attempt at most.")
    retry_longest_s: float = Field(300.0, ge=0.01, le=86_400, description="Seconds between two attempts at most.")
    max_failures: int = Field(20, ge=1, le=1_000, description="Failures of one delivery by itself until it is dead.")
    max_waiting: int = Field(1_000_000, ge=1, description="Deliveries that may wait for one member.")
    inbox_max_waiting: int = Field(100_000, ge=1, description="Deliveries of one member that may wait here.")
    workers: int = Field(32, ge=1, le=1_024, description="Deliveries of one kind dealt with at once.")
    question_workers: int = Field(8, ge=1, le=1_024, description="Left questions dealt with at once.")
    question_patience_s: float = Field(
        15.0, ge=0.05, le=600, description="Seconds departments get for a left question at each attempt."
    )
    again_first_s: float = Field(
        5.0, ge=0.01, le=86_400, description="Seconds until silent departments are asked again."
    )
    again_longest_s: float = Field(
        600.0, ge=0.01, le=86_400, description="Seconds between two attempts at silent departments at most; it doubles."
    )
    longest_days: float = Field(30.0, gt=0, le=60, description="Days for which anything may be left at most.")
    poll_s: float = Field(1.0, ge=0.01, le=60, description="Seconds between looks for what became due.")
    keep_dead_days: float = Field(
        90.0,
        ge=1,
        le=3_650,
        description="Days for which dead letters are kept, from when they were given up and their time was over.",
    )


class NoticesSettings(Settings):
    """Status-change notices (docs/notices.md)."""

    poll_s: float = Field(2.0, ge=0.05, le=3_600, description="Seconds between looks at a department for changes.")
    page: int = Field(500, ge=1, le=5_000, description="Changed people taken in from a department at once.")
    ask_s: float = Field(5.0, ge=0.05, le=600, description="Seconds departments get to tell of changed people.")
    legal_basis: str = Field(
        "政务数据共享条例",
        min_length=1,
        max_length=200,
        description="Law on which departments are asked which numbers belong together.",
    )
    evidence: int = Field(20, ge=0, le=1_000, description="Evidence rows in a notice at most.")
    lease_days: float = Field(
        30.0, ge=0.01, le=400, description="Days for which a subscription of another member counts unless renewed."
    )
    max_subscriptions: int = Field(2_000_000, ge=1, description="Subscriptions of one member here at most.")
    overdue_days: float = Field(
        7.0,
        ge=0.01,
        le=60,
        validation_alias=AliasChoices("overdue_days", "give_up_days"),
        description="Days after which a changed person of whom nothing could be told is looked at once a day, and the "
        "operator is told.",
    )
    keep_days: float = Field(400.0, ge=1, le=3_660, description="Days for which received notices are kept.")
    renew_s: float = Field(
        600.0, ge=0.05, le=86_400, description="Seconds between looks for subscriptions to renew and to end."
    )


class RosterSettings(Settings):
    """Whole rosters (docs/rosters.md)."""

    max_bytes: int = Field(1 << 30, ge=1 << 10, le=64 << 30, description="Largest file, bytes.")
    max_whole_bytes: int = Field(
        128 << 20, ge=1 << 10, le=4 << 30, description="Largest workbook or Parquet file, which is read whole, bytes."
    )
    max_rows: int = Field(5_000_000, ge=1, le=100_000_000, description="Rows of a file at most.")
    chunk_rows: int = Field(10_000, ge=1, le=100_000, description="Rows dealt with, and people asked about, at once.")
    window: int = Field(4, ge=1, le=64, description="Questions under way to one member at once.")
    chunk_s: float = Field(120.0, ge=0.1, le=3_600, description="Seconds for the answer to one question, all tries.")
    deadline_s: float = Field(
        86_400.0,
        ge=1,
        le=2_592_000,
        description="Seconds until silent members are not waited for, at most.",
    )
    departments_s: float = Field(
        120.0,
        ge=0,
        le=86_400,
        description="Seconds for which departments that did not answer are waited for in all; 0: not at all",
    )
    at_once: int = Field(2, ge=1, le=64, description="Rosters dealt with at once; more wait.")
    waiting: int = Field(20, ge=1, le=10_000, description="Rosters of one unit that are not done, at most.")
    threads: int = Field(2, ge=1, le=64, description="Threads that read, merge and write.")
    keep_days: float = Field(90.0, gt=0, le=3_660, description="Days for which file and results are kept.")


class DuplicatesSettings(Settings):
    """Finding who draws in two provinces (docs/duplicates.md)."""

    matching: bool = Field(False, description="Whether own rosters are compared with other members', blinded.")
    unit: str = Field("matching", min_length=1, max_length=200, description="Unit under which that is done.")
    official: str = Field("gateway", min_length=1, max_length=100, description="Who is responsible for it.")
    legal_basis: str = Field("社会保险法 第七十四条", min_length=1, max_length=200, description="Law it rests on.")
    hour: int = Field(2, ge=0, le=23, description="Hour of the day in which it is done, Asia/Shanghai.")
    poll_s: float = Field(5.0, ge=0.02, le=600, description="Seconds between looks whether it is time, or wanted.")
    column_people: Literal[64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384] = Field(
        8192, description="People in one message at most: 64, 128, 256 and so on to 16384."
    )
    max_people: int = Field(5_000_000, ge=1, description="Blinded people of one member at most, in a month.")
    overlap_share: float = Field(
        0.02, gt=0, le=1, description="Share of people in common from which on it is stopped and an alarm is raised."
    )
    overlap_people: int = Field(50, ge=1, description="As long as there are no more people in common, it is not.")
    give_up_days: float = Field(3.0, gt=0, le=30, description="Days without a step until a session is begun anew.")
