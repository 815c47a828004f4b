"""Asking another member's gateway: a sealed question, alone or with others, and its verified answer.

Owns: who may ask a partner just now, and which questions share an envelope. What becomes of the envelope is said by
`trying`, whether an answer fits its question by `answers`. Refuses: deciding whom to ask, and merging. Every failure
comes out as an error of our tree: what the partner refused as a RefusedError, what it did wrong as PARTNER_FAULTY, what
did not come as PARTNER_UNAVAILABLE.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from certs.identity import Identity
from gateway.aside import Aside
from gateway.clock import Clock
from gateway.coalescing import Coalescer, SingleFlight
from gateway.errors import PartnerError, WuganError
from gateway.exchange.keys import OwnKeys
from gateway.federation.answers import PartnerAnswer, answer_in, check_findings
from gateway.federation.directory import DirectorySource
from gateway.federation.lines import ChannelFactory, Lines
from gateway.federation.retrying import Retrying, Sleep, late, left_alone
from gateway.federation.standing import Standings
from gateway.federation.stream_parts import Outward
from gateway.federation.trying import Asking, Told, Tries
from gateway.observing import calls, metrics
from gateway.resilience.backoff import Backoff, Random, chance
from gateway.sections.resilience import BreakerSettings, RetrySettings
from gateway.timed import over_at
from wugan.federation.v1 import vocabulary_pb2 as words

__all__ = ["Asking", "PartnerAnswer", "Partners", "check_findings"]

TOGETHER_AT_MOST = 32
"""Questions in one envelope at most: as many as arrive in the time that a few of them take. With 64, 64 callers who ask
again once they have an answer would all be in one, and of two gateways one would have nothing to do at any time.
"""
UNDER_WAY_AT_MOST = 2
"""Envelopes to a member on the same terms before questions gather for the next: one is dealt with here, one there; but
only one of several questions. With two of these, each is half as large, and what an envelope costs is spread over half
as many: a fifth fewer questions pass at 64 at a time. With one in any case, who comes while another's question is on
its way would wait for it, though there is little to do."""
APART_S = 0.008
"""From one envelope to a member to the next while three or more questions come in that time (375 a second): a question
waits for some 3 ms more, and both gateways have a quarter less to do, so that few are held up by others. With 14 ms the
median grows by half, and hardly less is to be done."""
MOST_APART_S = 0.06
"""The same at most, while calls wait as long before they are taken up: there is more to do than is got through."""
OVERRUN_S = 0.01
"""How much later than it should anything may end before it is cut off: by then its own timer has run out."""


# Plain tuples: every question makes one of each, and they are taken apart at once.
_Asked = tuple[PartnerAnswer | WuganError, Asking]
"""What came of a question, and whose it was: those who asked the same were answered by it."""
_Terms = tuple[str, int]
"""What questions must have in common to share an envelope: member id and purpose."""
_Same = tuple[str, bytes]
"""What makes questions the same: member id and bytes, in which the asker is, with purpose, basis and case."""


class Partners:
    """The other members' gateways, as the directory of the moment names them.

    Questions to the same member for the same purpose that come while the gateway is busy share an envelope: one seal,
    one call, one commit, one lookup and grading on the other side. Each keeps its own context, answer and proof. The
    same question, asked by the same official on the same terms while it is on its way, is asked once, unless there is
    much less time left for it, or much more.

    Args:
        own: own keys as they are at the moment.
        directory: who is a partner, and where.
        channel: makes a channel to a gateway.
        clock: dates envelopes.
        lifetime_ms: of an envelope.
        retry: when a partner is asked again.
        breaker: when it is left alone, and how many may wait for it.
        sleep: waits between tries.
        drawn: the chance that jitters waits.
        aside: where large questions are sealed and their answers opened.
        waited_s: how long calls wait before this gateway takes them up, seconds.
    """

    def __init__(
        self,
        own: Callable[[], OwnKeys],
        directory: DirectorySource,
        channel: ChannelFactory,
        clock: Clock,
        *,
        lifetime_ms: int,
        retry: RetrySettings | None = None,
        breaker: BreakerSettings | None = None,
        sleep: Sleep = asyncio.sleep,
        drawn: Random = chance,
        aside: Aside | None = None,
        waited_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        retry, breaker = retry or RetrySettings(), breaker or BreakerSettings()
        self._fair_s = breaker.fair_ms / 1000
        self._directory = directory
        self._lines = Lines(channel)
        self.standings = Standings(retry, breaker, clock, drawn)
        """How each partner is doing."""
        self.tries = Tries(
            own,
            directory,
            self._lines,
            clock,
            self.standings,
            Retrying(retry, sleep, drawn),
            retry,
            breaker,
            lifetime_ms,
        )
        """Takes envelopes to them."""
        self.outward = Outward(
            own,
            directory,
            self._lines,
            clock,
            self.standings,
            Backoff(retry.first_wait_ms / 1000, retry.longest_wait_ms / 1000, 0.5),
            sleep,
            drawn,
            aside or Aside(),
            self._tell,
        )
        """What asking over streams takes."""
        self.heard: Callable[[str], None] = lambda _member: None
        """Told of a member that is there: it answered, or asked."""
        self._together: Coalescer[_Terms, Asking, PartnerAnswer | WuganError] = Coalescer(
            self._ask_together,
            clock,
            limit=TOGETHER_AT_MOST,
            under_way=UNDER_WAY_AT_MOST,
            apart_s=APART_S,
            most_apart_s=MOST_APART_S,
            waited_s=waited_s,
        )
        self._flights: SingleFlight[_Same, _Asked] = SingleFlight(clock)
        self._under_way: dict[str, int] = {}  # questions, by member

    async def ask(self, member_id: str, asking: Asking, timeout_s: float) -> PartnerAnswer:
        """Send a question to a member; the verified answer within `timeout_s` seconds.

        Raises:
            RefusedError: the member refused the question; reason and texts are the member's.
            PartnerError: it could not be reached in time, or its answer does not verify or does not fit; OVERLOADED:
                too many questions wait for it already.
            EnvelopeError: the directory has no key of the member, or the question is too large.
            DirectoryError: the directory has expired.
        """
        question = asking.question.SerializeToString()
        same: _Same = (member_id, question)
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_s
        try:
            # What is below keeps to its own time, or to that of whoever asks the same; this holds it to ours.
            with over_at(loop, end + OVERRUN_S):
                outcome, asked = await self._flights.join(
                    same, lambda: self._ask(member_id, asking, question, end), timeout_s
                )
        except TimeoutError:
            raise late() from None
        if asked is not asking:
            asking.mark = asked.mark
            for sealed in asked.sent:
                asking.leaves(sealed)
        if isinstance(outcome, WuganError):
            try:
                raise outcome
            finally:
                del outcome  # the error has this frame; where the frame has it too, both outlive the call
        return outcome

    async def _ask(self, member_id: str, asking: Asking, question: bytes, end: float) -> _Asked:
        """Ask, where nobody asks the same."""
        asking.begin(question, end)
        under_way = self._under_way
        under_way[member_id] = under_way.get(member_id, 0) + 1
        try:
            return await self._in_place(member_id, asking), asking
        except WuganError as error:
            return error, asking
        finally:
            left = under_way[member_id] - 1
            if left:
                under_way[member_id] = left
            else:
                del under_way[member_id]

    async def _in_place(self, member_id: str, asking: Asking) -> PartnerAnswer | WuganError:
        """Ask once there is a place among those who ask this member; at once, or not at all, if it fails anyway."""
        gateways = self._directory.current().member(member_id).gateways
        standing = self.standings.of(member_id)
        if standing.refuses(gateways):
            metrics.PARTNER_SHED.add(member_id, calls.LEFT_ALONE)
            return left_alone(standing.retry_after_ms(gateways)).error
        bulkhead = standing.bulkhead
        taken = bulkhead.take()
        if taken is None:
            taken = await bulkhead.enter(asking.left_s())
            if taken is None:
                metrics.PARTNER_SHED.add(member_id, calls.OVERLOADED)
                return _no_place(bulkhead.retry_after_ms)
        left_s = asking.left_s()
        terms: _Terms = (member_id, asking.question.context.purpose)
        try:
            return await self._together.join(terms, asking, left_s, alone=self._under_way[member_id] == 1)
        finally:
            bulkhead.leave(taken)

    async def _ask_together(
        self, terms: _Terms, askings: Sequence[Asking], timeout_s: float
    ) -> list[PartnerAnswer | WuganError]:
        """Ask in one envelope, timed and counted; for each question its answer, or what became of it."""
        member_id, purpose = terms
        with calls.to_partner(member_id, questions=len(askings), fair=timeout_s >= self._fair_s):
            opened = await self.tries.ask(member_id, purpose, askings)
            self.heard(member_id)
            message_id = opened.header.message_id
            answers = []
            for asking, proof in zip(askings, opened.proofs(), strict=True):
                answers.append(answer_in(member_id, asking.question, message_id, proof))
            return answers

    def _tell(self, told: Told) -> None:
        if self.tries.tell is not None:
            self.tries.tell(told)

    def heard_from(self, partner: Identity) -> None:
        """A partner's gateway asked something of its own accord: it is there, and need not be waited for."""
        self._lines.heard_from(partner.tls_name)
        self.heard(partner.member_id)

    async def renew(self) -> None:
        """Let new calls go over new channels, made with the credentials of the moment."""
        await self._lines.renew()

    async def close(self) -> None:
        """Close every channel; calls in flight are cancelled."""
        await self._lines.close()


def _no_place(retry_after_ms: int) -> PartnerError:
    return PartnerError(
        "too many questions wait for the other province already; ask again shortly",
        "等待对方省份答复的查询过多，请稍后重试",
        reason=words.REFUSAL_REASON_OVERLOADED,
        retry_after_ms=retry_after_ms,
    )
