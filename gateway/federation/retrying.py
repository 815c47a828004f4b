"""Which failures are tried again, and when: the written table, and the run through it.

Owns: `TABLE`, for every way in which a call to a partner can end whether it surely was not dealt with, what follows for
calls that may be repeated and for those that may not, and what it says of the partner; and the waits between tries.
docs/partners.md shows the same table, to which a test holds it. Refuses: calling anybody, and sleeping by itself.

A call may be repeated when being dealt with twice does no harm: a question is answered twice and counted once
(`Question.question_id`), a delivery takes effect once. Every try is a new message in a new envelope.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple, TypeVar

import grpc
from tenacity import AsyncRetrying
from tenacity.asyncio import retry_if_result

from gateway.errors import HandshakeError, PartnerError, RefusedError, WuganError
from gateway.observing import calls
from gateway.resilience.backoff import Backoff, Random, chance
from gateway.resilience.breaker import Said
from gateway.sections.resilience import RetrySettings
from gateway.status import from_rpc_error
from wugan.federation.v1 import vocabulary_pb2 as words

_NO_TLS: Final = re.compile("handshake failed|verification check failed", re.IGNORECASE)
"""In what the library says of a connection that came to nothing: the handshake, or the name that was proved there."""
LEAST_TRY_S: Final = 0.05
"""A try with less time than that is not begun."""

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]


class Again(enum.Enum):
    """What follows from a failure."""

    YES = "yes"
    ELSEWHERE = "elsewhere"
    """Only where the partner has another gateway that has not been tried."""
    NO = "no"


class Row(NamedTuple):
    """One row of the table.

    Args:
        dealt_with: whether the call may have been dealt with: "no", "perhaps" or "yes".
        repeatable: what follows where it may be repeated.
        once: what follows where it may not.
        said: what it says of the partner's gateway.
    """

    dealt_with: str
    repeatable: Again
    once: Again
    said: Said


_LOST: Final = Row("perhaps", Again.YES, Again.NO, Said.FAILED)
_TURNED_AWAY: Final = Row("no", Again.YES, Again.YES, Said.NOTHING)
_REFUSED: Final = Row("yes", Again.NO, Again.NO, Said.WELL)

ANY: Final = "any other"
FAULTY: Final = "answer does not verify"
LEFT_ALONE: Final = "left alone"
TABLE: Final[Mapping[tuple[str, str], Row]] = MappingProxyType(
    {
        # Statuses with our own details: status, reason.
        ("UNAVAILABLE", "SHUTTING_DOWN"): Row("no", Again.YES, Again.YES, Said.FAILED),
        ("RESOURCE_EXHAUSTED", "OVERLOADED"): _TURNED_AWAY,
        ("INTERNAL", "INTERNAL"): _LOST,
        ("ALREADY_EXISTS", "ENVELOPE_REPLAYED"): Row("perhaps", Again.YES, Again.NO, Said.WELL),
        ("FAILED_PRECONDITION", "DIRECTORY_EXPIRED"): Row("no", Again.ELSEWHERE, Again.ELSEWHERE, Said.FAILED),
        (ANY, ANY): _REFUSED,
        # Statuses without: of the library, or of something that is no gateway of ours.
        ("UNAVAILABLE", ""): _LOST,
        ("DEADLINE_EXCEEDED", ""): _LOST,
        ("CANCELLED", ""): _LOST,
        ("ABORTED", ""): _LOST,
        ("INTERNAL", ""): _LOST,
        ("UNKNOWN", ""): _LOST,
        ("RESOURCE_EXHAUSTED", ""): Row("perhaps", Again.YES, Again.NO, Said.NOTHING),
        (ANY, ""): Row("perhaps", Again.NO, Again.NO, Said.FAILED),
        # No status at all.
        ("OK", FAULTY): Row("yes", Again.NO, Again.NO, Said.FAILED),
        ("-", LEFT_ALONE): Row("no", Again.NO, Again.NO, Said.NOTHING),
    }
)


class Failed(NamedTuple):
    """A try that failed: with what, and what follows."""

    error: WuganError
    row: Row

    @property
    def name(self) -> str:
        """Short name of how, e.g. "DEADLINE_EXCEEDED"."""
        return calls.NO_TLS if isinstance(self.error, HandshakeError) else self.error.code


def row_of(status: str, reason: str) -> Row:
    """The row for a status, and for the reason in our details; "": it has none of ours."""
    return TABLE.get((status, reason)) or TABLE[ANY, ANY if reason else ""]


def failed_by(error: grpc.aio.AioRpcError) -> Failed:
    """What a call that ended with a status came to."""
    ours = from_rpc_error(error)
    status = error.code()
    if ours is not None:
        en, zh = ours.en, ours.zh
        if ours.reason == words.REFUSAL_REASON_STRANGER:
            # "The certificate was revoked": whoever asks here takes it for their own, and has that renewed in vain.
            en = f"the other province does not accept this province's gateway, not you: {en}"
            zh = f"对方省份不接受本省网关（与经办机构自身证书无关），请告知本省网关管理员：{zh}"
        elif ours.reason in calls.BETWEEN_GATEWAYS:
            # "The envelope was rejected": whoever asks here looks for a mistake of theirs, and there is none.
            en = f"the other province accepts no message of this gateway, whatever is asked; tell its operator: {en}"
            zh = f"对方省份不接受本省网关的报文（与填报内容无关），请告知本省网关管理员：{zh}"
        refused = RefusedError(
            en,
            zh,
            reason=ours.reason,
            field=ours.field,
            retryable=ours.retryable,
            retry_after_ms=ours.retry_after_ms,
        )
        return Failed(refused, row_of(status.name, ours.code))
    if status is grpc.StatusCode.DEADLINE_EXCEEDED:
        return Failed(late(), row_of(status.name, ""))
    return Failed(no_tls() if _NO_TLS.search(error.details() or "") else unreachable(), row_of(status.name, ""))


def faulty() -> Failed:
    """An answer that does not open or verify."""
    return Failed(unusable("does not open or verify"), TABLE["OK", FAULTY])


def unusable(what: str) -> PartnerError:
    """The error of an answer that is not used, and why not."""
    return PartnerError(
        f"the other province's answer {what}; it was not used. Report this to its administrator",
        "对方省份的答复未通过校验，未予采用，请联系对方管理员",
        reason=words.REFUSAL_REASON_PARTNER_FAULTY,
        retryable=False,
    )


def left_alone(retry_after_ms: int) -> Failed:
    """None of the partner's gateways is asked just now."""
    error = PartnerError(
        "the other province's gateway keeps failing and is not asked for the moment; ask again later",
        "对方省份网关持续异常，暂不向其查询，请稍后重试",
        retry_after_ms=retry_after_ms,
    )
    return Failed(error, TABLE["-", LEFT_ALONE])


def late() -> PartnerError:
    """No answer within the time there was."""
    return PartnerError(
        "the other province did not answer in time; ask again with a longer deadline",
        "对方省份未在时限内答复，请延长时限后重试",
        reason=words.REFUSAL_REASON_DEADLINE_EXCEEDED,
    )


def no_tls() -> PartnerError:
    """Something answers there, and no TLS connection comes about with it."""
    return HandshakeError(
        "no TLS connection to the other province's gateway comes about; tell the operator of this gateway, who is to "
        "compare certificates and addresses with the other side",
        "与对方省份网关无法建立 TLS 连接，请告知本省网关管理员核对双方证书与地址",
    )


def unreachable() -> PartnerError:
    """No answer, and none to come."""
    return PartnerError(
        "the other province's gateway cannot be reached; ask again later", "暂时无法连接对方省份网关，请稍后重试"
    )


class Retrying:
    """Runs further tries of calls that failed.

    Args:
        settings: how many, and how long between them.
        sleep: waits.
        drawn: the chance that jitters the waits.
    """

    def __init__(self, settings: RetrySettings, sleep: Sleep, drawn: Random = chance) -> None:
        self._settings = settings
        self._sleep = sleep
        self._drawn = drawn
        self._backoff = Backoff(settings.first_wait_ms / 1000, settings.longest_wait_ms / 1000)

    async def go_on(
        self,
        failed: Failed,
        attempt: Callable[[], Awaitable[T | Failed]],
        *,
        repeatable: bool,
        elsewhere: Callable[[], bool],
        left_s: Callable[[], float],
        spend: Callable[[Failed], Awaitable[bool]],
    ) -> T | Failed:
        """What came of further tries after a first one that failed; the last failure where none did better.

        Args:
            failed: the first try.
            attempt: makes another.
            repeatable: whether being dealt with twice does no harm.
            elsewhere: whether another gateway can be tried, which then is, and at once.
            left_s: seconds until nobody waits for the answer any more.
            spend: takes the try that follows a failure out of the budget, for which it may wait, or says that there is
                none.
        """
        tries, wait_s = 0, 0.0

        async def wanted(outcome: T | Failed) -> bool:
            nonlocal tries, wait_s
            tries += 1
            if not isinstance(outcome, Failed):
                return False
            follows = outcome.row.repeatable if repeatable else outcome.row.once
            if follows is Again.NO or tries >= self._settings.tries:
                return False
            other = elsewhere()
            if follows is Again.ELSEWHERE and not other:
                return False
            jittered_s = self._backoff.wait_s(tries, self._drawn())
            # Beyond the time that was named: all who were turned away were given the same.
            wait_s = 0.0 if other else outcome.error.retry_after_ms / 1000 + jittered_s
            return left_s() - wait_s >= LEAST_TRY_S and await spend(outcome)

        if not await wanted(failed):  # the library costs more than all else that there is to do about a failure
            return failed

        async def again() -> T | Failed:  # the library awaits coroutine functions only
            return await attempt()

        await self._sleep(wait_s)
        retrying = AsyncRetrying(sleep=self._sleep, retry=retry_if_result(wanted), wait=lambda _state: wait_s)
        return await retrying(again)
