"""Timing what others do for us: each call to a partner or department is counted, timed and remembered.

    with calls.to_partner(member_id, questions=3):
        ...                                     # what it raises is what came of it
    with calls.to_department(adapter_id, within_s) as call:
        call.outcome = "FAULTY"                 # where a failure is no exception

Owns: these two, the same for transactions of the store, and what counts as a failure of the other side: a refusal is an
answer, overload and silence are not.
Refuses: changing anything about the call.
"""

from __future__ import annotations

import asyncio
from typing import Final, Self

from gateway.clock import Clock, SystemClock
from gateway.errors import EnvelopeError, HandshakeError, PartnerError, RefusedError, WuganError
from gateway.observing import metrics
from gateway.observing.pulse import Pulse, Pulses
from wugan.federation.v1 import vocabulary_pb2 as words

OK: Final = "OK"
ANSWERED: Final = "ANSWERED"
SILENT: Final = "SILENT"
CANCELLED: Final = "CANCELLED"
INTERNAL: Final = "INTERNAL"
LEFT_ALONE: Final = "LEFT_ALONE"
OVERLOADED: Final = "OVERLOADED"
NO_TLS: Final = "NO_TLS"

PARTNERS: Final = Pulses()
DEPARTMENTS: Final = Pulses()
STORE: Final = Pulse()

BETWEEN_GATEWAYS: Final = frozenset(
    {
        words.REFUSAL_REASON_ENVELOPE_MALFORMED,
        words.REFUSAL_REASON_ENVELOPE_UNSUPPORTED,
        words.REFUSAL_REASON_ENVELOPE_EXPIRED,
        words.REFUSAL_REASON_ENVELOPE_REJECTED,
        words.REFUSAL_REASON_WRONG_RECIPIENT,
        words.REFUSAL_REASON_PEER_MISMATCH,
    }
)
"""Reasons with which a partner refuses a message as such, before anything of the question was looked at."""
_UNWELL: Final = BETWEEN_GATEWAYS | frozenset(
    {
        words.REFUSAL_REASON_STRANGER,
        words.REFUSAL_REASON_INTERNAL,
        words.REFUSAL_REASON_OVERLOADED,
        words.REFUSAL_REASON_SHUTTING_DOWN,
        words.REFUSAL_REASON_DIRECTORY_EXPIRED,
    }
)
"""Reasons with which a partner refuses because it, the way to it, or what the two know of each other is not well."""
_LATE: Final = words.RefusalReason.Name(words.REFUSAL_REASON_DEADLINE_EXCEEDED).removeprefix("REFUSAL_REASON_")
_EARLY: Final = 0.9
"""A lookup that was ended after less than this part of its time was given up by the asker, and not late."""


class _Watch:
    """Which clock times are taken from; the system's, unless a test says otherwise."""

    clock: Clock = SystemClock()


def use_clock(clock: Clock) -> None:
    """Take times from this clock from now on."""
    _Watch.clock = clock


def now() -> float:
    """The monotonic time in which pulses are kept, seconds."""
    return _Watch.clock.monotonic()


def store_wrote(began: float, writes: int, *, failed: bool) -> None:
    """A transaction of the store that began at `began` ended; any thread."""
    at = now()
    STORE.record(at, at - began, "FAILED" if failed else "")
    if failed:
        metrics.STORE_FAILURES.add()
    else:
        metrics.STORE_COMMITS.observe(at - began)
        metrics.STORE_WRITES.add(by=writes)


def failure_of(error: BaseException) -> str | None:
    """What an error says of a partner: "" that it is well, a refusal too; a code that it, or the way to it, is not.

    None: nothing, because it never got there (no key of it, own directory expired, given up).
    """
    if isinstance(error, HandshakeError):
        return NO_TLS
    if isinstance(error, PartnerError):
        return error.code
    if isinstance(error, RefusedError) and not isinstance(error, EnvelopeError):
        return error.code if error.reason in _UNWELL else ""
    return None


def partner_took(partner: str) -> None:
    """A partner signed a receipt: it is reached and well, though nobody may have asked it since it was not."""
    PARTNERS.of(partner).heard()


def _outcome_of(error: BaseException) -> str:
    """As what a call that failed is counted."""
    if isinstance(error, HandshakeError):
        return NO_TLS
    if isinstance(error, WuganError):
        return error.code
    return CANCELLED if isinstance(error, asyncio.CancelledError) else INTERNAL


class to_partner:  # noqa: N801  reads as a function
    """A call to a partner for the length of the block; an error raised from it is what came of it.

    Args:
        partner: member id.
        questions: in the envelope.
        fair: whether it has so much time that being late says something of the partner.
    """

    __slots__ = ("_began", "_fair", "_partner", "_questions")

    def __init__(self, partner: str, *, questions: int = 1, fair: bool = True) -> None:
        self._fair = fair
        self._partner = partner
        self._questions = questions
        self._began = 0.0

    def __enter__(self) -> Self:
        self._began = now()
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        at = now()
        seconds, partner = at - self._began, self._partner
        failure: str | None
        if error is None:
            outcome, failure = OK, ""
        else:
            outcome, failure = _outcome_of(error), failure_of(error)
        metrics.PARTNER_CALLS.add(partner, outcome)
        metrics.PARTNER_QUESTIONS.add(partner, by=self._questions)
        metrics.PARTNER_SECONDS.observe(seconds, partner)
        if failure is not None and (self._fair or failure != _LATE):
            PARTNERS.of(partner).record(at, seconds, failure)


class to_department:  # noqa: N801  likewise
    """A lookup in a department for the length of the block.

    Args:
        department: adapter id.
        within_s: the time that it has; one that is cancelled at its end was silent, one cancelled before it given up.
        fair: whether that is so much that being silent says something of the department.
    """

    __slots__ = ("_began", "_department", "_fair", "_within_s", "outcome")

    def __init__(self, department: str, within_s: float, *, fair: bool = True) -> None:
        self._fair = fair
        self._department = department
        self._within_s = within_s
        self._began = 0.0
        self.outcome = ANSWERED

    def __enter__(self) -> Self:
        self._began = now()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        at = now()
        seconds, department = at - self._began, self._department
        if isinstance(error, asyncio.CancelledError):
            self.outcome = SILENT if seconds >= self._within_s * _EARLY else CANCELLED
        elif kind is not None:
            self.outcome = INTERNAL
        metrics.DEPARTMENT_CALLS.add(department, self.outcome)
        metrics.DEPARTMENT_SECONDS.observe(seconds, department)
        if self.outcome != CANCELLED and (self._fair or self.outcome != SILENT):
            failure = "" if self.outcome == ANSWERED else self.outcome
            DEPARTMENTS.of(department).record(at, seconds, failure)
