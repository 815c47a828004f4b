"""The sections of gateway.toml and agency.toml: every setting with its unit, bounds and default.

Owns: what a setting may be. Refuses: reading files, and which sections a file has (`gateway.config`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from google.protobuf.descriptor import EnumDescriptor
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from certs.identity import is_member_id
from wugan.adapter.v1 import vocabulary_pb2 as adapter_words

ANY = "*"


def _one_of(what: str, enum: EnumDescriptor, prefix: str) -> Callable[[str], str]:
    """A check that a name is "*" or one of the contract's, without prefix."""
    known = [value.name.removeprefix(prefix) for value in enum.values if value.number]

    def check(name: str) -> str:
        if name != ANY and name not in known:
            raise ValueError(f'unknown {what}; write "*" or one of {", ".join(known)}')
        return name

    return check


Purpose = Annotated[str, AfterValidator(_one_of("purpose", adapter_words.Purpose.DESCRIPTOR, "PURPOSE_"))]
Evidence = Annotated[
    str, AfterValidator(_one_of("evidence kind", adapter_words.EvidenceKind.DESCRIPTOR, "EVIDENCE_KIND_"))
]


def _address(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError('write "host:port", for example "127.0.0.1:7443" or "[::1]:7443"; port 0 picks a free one')
    return text


def member_code(text: str) -> str:
    """A unified social credit code (GB 32100), as pydantic checks one."""
    if not is_member_id(text):
        raise ValueError("not a unified social credit code (GB 32100): 18 characters in capitals, last one a check")
    return text


def _url(text: str) -> str:
    parts = urlsplit(text)
    if (
        re.search(r"\s", text)
        or parts.scheme != "https"
        or not parts.hostname
        or parts.query
        or parts.fragment
        or parts.username
    ):
        raise ValueError('write "https://host:port", or with a path')
    return text.rstrip("/")


def _collector(text: str) -> str:
    parts = urlsplit(text)
    loopback = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/") or parts.username:
        raise ValueError('write "https://host:port", or "http://127.0.0.1:port" for a collector on this machine')
    if parts.scheme == "http" and not loopback:
        raise ValueError("http is for a collector on this machine only; write https")
    return text.rstrip("/")


Address = Annotated[str, AfterValidator(_address)]
Url = Annotated[str, AfterValidator(_url)]
Collector = Annotated[str, AfterValidator(_collector)]


class Settings(BaseModel):
    """Base of all sections: unknown settings are errors, nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class ServerSettings(Settings):
    """Where the gateway listens, and how much it takes at once."""

    federation: Address = Field(description="Address for other gateways and for health checks.")
    agency: Address = Field(description="Address for this member's agencies.")
    ready_file: Path | None = Field(None, description="File to write the bound addresses to once ready (JSON).")
    max_message_bytes: int = Field(16 << 20, ge=64 << 10, le=256 << 20, description="Largest gRPC message, bytes.")
    max_concurrent_calls: int = Field(1024, ge=1, le=65536, description="Calls in flight; more are refused at once.")
    shed_ms: int = Field(
        100, ge=0, le=60_000, description="New calls are refused while every turn of the work takes longer; 0: never."
    )
    drain_s: float = Field(10.0, ge=0, le=600, description="Seconds that calls in flight get after SIGTERM.")
    connection_age_s: float = Field(
        3600.0, ge=10, description="Seconds after which a client is asked to connect anew, so that it moves by itself."
    )


class TlsSettings(Settings):
    """Trust anchor for TLS 1.3 in both directions; own certificates are in the folder of keys."""

    roots: Path = Field(description="PEM: the federation root.")


class AgencyTlsSettings(TlsSettings):
    """An agency's certificate and key besides."""

    certificate: Path = Field(description="PEM: this agency's certificate, then the issuing CA's.")
    private_key: Path = Field(description="PEM, mode 0600.")


class TokenSettings(Settings):
    """A hardware key store in which signing keys are made and stay."""

    module: Path = Field(description="The vendor's PKCS#11 module, a shared library.")
    token: str = Field(min_length=1, max_length=32, description="Label of the token.")
    pin_file: Path = Field(description="File with the user's PIN, mode 0600.")


class KeysSettings(Settings):
    """Where own keys are kept: TLS, message signing, encryption (docs/operations/rotate.md)."""

    folder: Path | None = Field(None, description="Folder of the keys, mode 0700; without it keys in state_dir.")
    passphrase_file: Path | None = Field(None, description="File with the passphrase of the key files, mode 0600.")
    pkcs11: TokenSettings | None = None


class RotationSettings(Settings):
    """When own keys are renewed."""

    automatic: bool = Field(True, description="Whether keys are renewed without being asked.")
    at_life: float = Field(0.6667, gt=0, lt=1, description="Part of its life after which a key is renewed.")
    jitter: float = Field(0.05, ge=0, le=0.2, description="Part of its life by which that moment is moved at most.")
    encryption_days: float = Field(90.0, gt=0, le=365, description="Life of an encryption key, days.")
    retire_after_s: float = Field(
        900.0, ge=0.1, le=604_800, description="Seconds for which a superseded key is kept for messages under way."
    )
    seen_timeout_s: float = Field(
        604_800.0, ge=0.1, description="Seconds after which partners that have not seen a new key do not count."
    )
    poll_s: float = Field(0.5, ge=0.02, le=60, description="Seconds between looks whether the next step can be taken.")
    pace_s: float = Field(
        0.05, ge=0, le=10, description="Seconds between two steps of a rotation, so that it does not hold up calls."
    )
    issuer_poll_s: float = Field(
        3600.0, ge=0.05, le=86_400, description="Seconds between looks whether the authority has a new issuing CA."
    )


class MessageSettings(Settings):
    """Times of envelopes."""

    lifetime_ms: int = Field(60_000, ge=1_000, le=300_000, description="Life of an envelope, milliseconds.")


class DirectorySettings(Settings):
    """Where the federation directory comes from, and what it is believed by."""

    federation: str = Field(max_length=128, description='Name of the federation, e.g. "demo.wugan.internal".')
    source: Url | Path = Field(description='TUF repository: "https://host:port/tuf", or a folder with a mirror of it.')
    root: Path = Field(description="TUF root metadata (root.json) that this member was given.")
    refresh_s: float = Field(
        60.0, ge=0.1, le=3600, description="Seconds between two looks; the push stream makes it sooner."
    )


class AuthoritySettings(Settings):
    """The federation's authority: push stream, publication of keys, enrolment."""

    url: Url = Field(description='"https://host:port" of the authority.')
    tls_name: str = Field(max_length=253, description="DNS name that its TLS certificate must prove.")


class BreakerSettings(Settings):
    """When a peer that fails is left alone, and how many may wait for it at once (docs/partners.md)."""

    window_s: float = Field(30.0, ge=1, le=3_600, description="Seconds looked back on.")
    calls: int = Field(5, ge=1, le=10_000, description="Fewer calls within the window say nothing.")
    error_rate: float = Field(0.5, gt=0, le=1, description="Share of failed calls from which on it is left alone.")
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
    stream_window: int = Field(4, ge=1, le=64, description="Parts of a roster on their way to one member at once.")
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
    keep_dead_days: float = Field(90.0, ge=1, le=3_650, description="Days for which dead deliveries are shown.")


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
    give_up_days: float = Field(
        7.0, ge=0.01, le=60, description="Days for which silent departments are asked again about a changed person."
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
        1_000, ge=0, description="Grants with a larger quota for a day, or none, need two persons."
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


class TracingSettings(Settings):
    """Traces of questions; off where they go nowhere (docs/operations/observability.md)."""

    file: Path | None = Field(None, description="File to write spans to, JSON lines; none without it.")
    file_max_bytes: int = Field(
        64 << 20, ge=1 << 16, le=16 << 30, description="Size at which the file is renamed to NAME.1, bytes."
    )
    otlp: Collector | None = Field(None, description="Collector to send spans to, OTLP over gRPC; none without it.")
    sample: float = Field(0.01, ge=0, le=1, description="Part of the agencies' questions that is traced.")
    followed_a_second: int = Field(
        20, ge=0, le=10_000, description="Traces of other gateways followed at most, each second."
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
