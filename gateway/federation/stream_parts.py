"""What a run over streams is made of: a chunk on its way, one stream, and what is done with envelopes aside.

Owns: sealing a chunk, finding out what an answer answers, opening it. Refuses: order and time (`stream_run`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple

from google.protobuf.message import DecodeError

from gateway.aside import Aside
from gateway.clock import Clock
from gateway.errors import WuganError
from gateway.exchange.envelope import Opened, Sealed, open_answer, seal
from gateway.exchange.keys import Keyring, OwnKeys
from gateway.exchange.question import QUESTION_ID_BYTES
from gateway.exchange.randomness import RANDOMNESS
from gateway.federation.answers import PartnerAnswer, answer_in
from gateway.federation.directory import DirectorySource
from gateway.federation.lines import Lines
from gateway.federation.retrying import Sleep
from gateway.federation.standing import Chosen, Standings
from gateway.federation.trying import Told
from gateway.observing import tracing
from gateway.resilience.backoff import Backoff, Random
from gateway.resilience.breaker import Pass
from wugan.federation.v1 import envelope_pb2, exchange_pb2

TRY_SHARE: Final = 0.75
"""Of the time that a chunk has left, what a try gets: another one may still be answered in the rest."""


class Outward(NamedTuple):
    """What asking a member over streams takes; see `Partners`.

    Args:
        own: own keys as they are at the moment.
        directory: who is a partner, and where.
        lines: the channels.
        clock: dates envelopes, and measures for the breakers.
        standings: how each partner is doing.
        backoff: waits between streams.
        sleep: waits.
        drawn: the chance that jitters waits.
        aside: where chunks are sealed and answers opened.
        tell: told of every try.
    """

    own: Callable[[], OwnKeys]
    directory: DirectorySource
    lines: Lines
    clock: Clock
    standings: Standings
    backoff: Backoff
    sleep: Sleep
    drawn: Random
    aside: Aside
    tell: Callable[[Told], None]


class Way:
    """A chunk on its way.

    Args:
        number: of the chunk.
        question: of it.
        end: time of the event loop by which its outcome must be there.
    """

    __slots__ = (
        "began",
        "end",
        "given",
        "more",
        "not_before",
        "number",
        "outcome",
        "question",
        "sent",
        "span",
        "timer",
    )

    def __init__(self, number: int, question: exchange_pb2.Question, end: float) -> None:
        self.number = number
        self.question = question
        self.end = end
        self.span = tracing.begin_long("chunk")
        """Of the chunk, from here to its outcome; None: it is not traced."""
        self.more = b""
        """What is added to the serialized question: an id, by which it counts once, unless it has one; its trace."""
        if not question.question_id:
            self.more = exchange_pb2.Question(question_id=RANDOMNESS.take(QUESTION_ID_BYTES)).SerializeToString()
        if self.span is not None:
            self.more += exchange_pb2.Question(trace=self.span.carried).SerializeToString()
        self.sent: list[Sealed] = []
        self.outcome: PartnerAnswer | WuganError | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.given: Pass | None = None
        """Of the try under way; to be settled with its breaker."""
        self.began = 0.0
        """When that try began."""
        self.not_before = 0.0
        """Not to be sent again earlier."""

    def at(self, when: float, act: Callable[[Way], None]) -> None:
        """Have something done with it at that time of the event loop, instead of what was to be done before."""
        self.rest()
        self.timer = asyncio.get_running_loop().call_at(when, act, self)

    def rest(self) -> None:
        """Have nothing done with it any more."""
        if self.timer is not None:
            self.timer.cancel()


class Over:
    """One stream: over which gateway, since when, and what came of it so far."""

    __slots__ = ("answers", "began", "chosen", "ended", "given", "open", "opening", "tries")

    def __init__(self, chosen: Chosen, began: float) -> None:
        self.chosen = chosen
        self.given: Pass | None = chosen.given
        """With which it was opened; taken by the first chunk."""
        self.began = began
        self.open = False
        """The other side lets it in."""
        self.ended = False
        """This side has no more for it."""
        self.answers = 0
        self.opening: set[asyncio.Task[None]] = set()
        self.tries: dict[Way, None] = {}
        """Chunks whose pass is to be settled yet, in the order of sending; some of them may have an outcome."""


def seal_chunk(outward: Outward, member_id: str, way: Way, lifetime_ms: int) -> Sealed:
    """A chunk under seal.

    Raises:
        WuganError: it is too large, or the directory has no key of the member, or has expired.
    """
    now_ms = outward.clock.now_ms()
    return seal(
        outward.own(),
        member_id,
        outward.directory.current().encryption_key(member_id, now_ms),
        kind=envelope_pb2.MESSAGE_KIND_QUESTION,
        purpose=way.question.context.purpose,
        # Serialized messages one after another are one message.
        payloads=[way.question.SerializeToString() + way.more],
        now_ms=now_ms,
        lifetime_ms=lifetime_ms,
    )


def answers_to(envelope: envelope_pb2.Envelope) -> bytes:
    """Which message an envelope says that it answers; whether it does is found out by opening it."""
    try:
        return envelope_pb2.Header.FromString(envelope.header).answers_to
    except DecodeError:
        return b""


def open_chunk(
    envelope: envelope_pb2.Envelope,
    own: OwnKeys,
    keyring: Keyring,
    sealed: Sealed,
    question: exchange_pb2.Question,
    now_ms: int,
) -> tuple[Opened, PartnerAnswer | WuganError]:
    """The verified answer to a chunk, and what it says if it fits; else what is wrong with it.

    Raises:
        EnvelopeError: it does not open or verify.
    """
    opened = open_answer(envelope, own, keyring, now_ms=now_ms, question=sealed)
    (proof,) = opened.proofs()
    return opened, answer_in(sealed.header.recipient, question, opened.header.message_id, proof)
