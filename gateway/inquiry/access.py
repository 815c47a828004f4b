"""Who may ask what: the answering side's own decision on each question. Default deny.

Owns: the decision on a question as a whole and its explanation: which grant, how many people, what is left; or why
not. Refuses: judging what an answer may carry beyond handing on the grant's scope (the disclosure table of the rules
and narrowing.py do that), and allowing anything while the policy is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from adapters.faces import FACE_KIND
from gateway.access.policy import Entry, Policy
from gateway.access.terms import EVERYTHING, Scope
from gateway.clock import Clock
from gateway.errors import AccessError
from gateway.inquiry.counted import CountedQuestions
from gateway.inquiry.harvest import OVERLAP, Harvest
from gateway.inquiry.narrowing import EVERYBODY, Narrowing
from gateway.inquiry.quotas import Quotas, Taking, exceeded
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

_MANY: Final = 64


@dataclass(slots=True)
class Decision:
    """What was decided on a question, and why.

    Args:
        explanation: for the audit trail, in English, without personal data.
        refused: why not; None: allowed.
        grant: name of the grant that allows it.
        scope: how the answer is narrowed.
        roster: how many people the grant expects; 0: not said.
        taking: the quotas.
        again: the question was counted before, and is not counted now.
    """

    explanation: str
    refused: AccessError | None = None
    grant: str = ""
    scope: Scope = EVERYTHING
    roster: int = 0
    taking: Taking = field(default_factory=Taking)
    again: bool = False


class Access:
    """Decides on questions by the policy of the moment.

    Args:
        clock: tells whether a grant is in force.
        quotas: counts people.
        policy: to begin with; None: nothing is allowed until there is one.
        digest: makes of a normalised number what a protected person is known by.
        harvest: looks for harvesting.
        own: decides on what this side begins by itself: further numbers in a question are this side's, not counted.
    """

    def __init__(
        self,
        clock: Clock,
        quotas: Quotas,
        policy: Policy | None = None,
        *,
        digest: Callable[[str], bytes] | None = None,
        harvest: Harvest | None = None,
        own: bool = False,
    ) -> None:
        self._clock = clock
        self._quotas = quotas
        self._digest = digest
        self._harvest = harvest
        self._own = own
        self._counted = CountedQuestions()
        self.policy = policy
        self._unwatched: list[Access] = []

    def unwatched(self) -> Access:
        """The same decisions without a look for harvesting: for what the answering side begins by itself."""
        other = Access(self._clock, self._quotas, self.policy, digest=self._digest, own=True)
        self._unwatched.append(other)
        return other

    def use(self, policy: Policy | None) -> None:
        """Decide by this policy from now on; None: allow nothing."""
        self.policy = policy
        for other in self._unwatched:
            other.use(policy)
        if policy is not None and self._harvest is not None:
            self._harvest.clear(policy.cleared)

    def alarms(self) -> dict[str, list[str]]:
        """The members whose questions look like harvesting, and by which signals, until somebody clears it."""
        return {} if self._harvest is None else self._harvest.standing()

    def authorise(
        self, member: str, question: exchange_pb2.Question, *, counted: bool = False, further: int = 0
    ) -> Decision:
        """Decide on a question, and count its people, unless it is one that was counted before.

        Args:
            member: who asks.
            question: it.
            counted: its people were counted when it was first decided on.
            further: further numbers that it gives for its people. Nobody can see whether they are the same person's, so
                each counts like one.

        Raises:
            StoreError: people cannot be counted at the moment.
        """
        context = question.context
        of_each = question.benefit
        benefits = frozenset(of_each[:]) if len(of_each) < _MANY else _different(of_each)
        policy, unit, now_ms = self.policy, context.unit, self._clock.now_ms()
        if policy is None:
            return Decision("the access policy cannot be read; everything is refused", _no_policy())
        found, refused = policy.find(member, unit, context.purpose, benefits, now_ms)
        if refused is not None:
            return Decision(f"no grant; policy {policy.version}", refused)
        if self._harvest is not None:
            held_ms = self._harvest.held_ms(member, unit, now_ms)
            if held_ms:
                return Decision(f"throttled: a harvesting alarm stands; policy {policy.version}", _held(held_ms))
        people = 0 if counted else len(question.subjects.id_number) + (0 if self._own else further)
        tag = self._counted.tag(member, question)
        for entry in found:
            known = self._counted.known(tag, entry.grant, now_ms)
            if known is not None:
                explanation = f"{entry.grant}: {people} people, counted before; policy {policy.version}"
                return Decision(explanation, None, entry.grant, entry.scope, entry.roster, known, again=True)
        decision = self._counted_by(found, member, context, people, now_ms, policy.version)
        if decision.refused is None:
            self._counted.remember(tag, decision.grant, decision.taking, now_ms)
        return decision

    def _counted_by(
        self,
        found: Sequence[Entry],
        member: str,
        context: exchange_pb2.Context,
        people: int,
        now_ms: int,
        version: int,
    ) -> Decision:
        """The decision of the first of these grants that has room for the people, who are counted; or that of the one
        that has room again first.
        """
        full: Taking | None = None
        for entry in found:
            taking = self._quotas.take(entry, member, context.official_pseudonym, people, now_ms)
            if not taking.refused:
                left = ""
                for quota, count in taking.left.items():
                    left += f", {count} left of {quota}"
                return Decision(
                    f"{entry.grant}: {people} people{left}; policy {version}",
                    None,
                    entry.grant,
                    entry.scope,
                    entry.roster,
                    taking,
                )
            if full is None or (full.retry_after_ms or 1 << 40) > (taking.retry_after_ms or 1 << 40):
                full, grant = taking, entry.grant
        assert full is not None  # noqa: S101  there is at least one grant
        left = "".join([f", {count} left of {quota}" for quota, count in full.left.items()])
        explanation = f"{grant}: quota {full.refused} has no room for {people} people{left}; policy {version}"
        return Decision(explanation, exceeded(full.refused, full.retry_after_ms), grant)

    def comparable(self, member: str, purpose: int) -> frozenset[int]:
        """Benefits whose recipients may be compared with a member's; empty: none. See `Policy.open_everywhere`."""
        if self.policy is None:
            return frozenset()
        found = self.policy.open_everywhere(member, purpose, self._clock.now_ms())
        return frozenset().union(*(entry.benefits for entry in found))

    def comparable_faces(self, member: str, purpose: int) -> frozenset[int]:
        """Benefits whose recipients' faces may be compared, too: of grants that leave face checks."""
        if self.policy is None:
            return frozenset()
        found = self.policy.open_everywhere(member, purpose, self._clock.now_ms())
        return frozenset().union(
            *(entry.benefits for entry in found if entry.scope.kinds is None or FACE_KIND in entry.scope.kinds)
        )

    def compare(self, member: str, context: exchange_pb2.Context, people: int) -> Decision:
        """Decide on comparing so many blinded people of a member, and count them.

        Raises:
            StoreError: people cannot be counted at the moment.
        """
        policy, now_ms = self.policy, self._clock.now_ms()
        if policy is None:
            return Decision("the access policy cannot be read; everything is refused", _no_policy())
        found, refused = policy.find(member, context.unit, context.purpose, frozenset(), now_ms)
        if refused is not None:
            return Decision(f"no grant; policy {policy.version}", refused)
        found = [entry for entry in found if not entry.scope.regions]
        if not found:
            return Decision(f"no grant for all regions; policy {policy.version}", _regions())
        if self.is_stopped(member):
            return Decision(f"stopped: an alarm of matching stands; policy {policy.version}", _stopped())
        return self._counted_by(found, member, context, people, now_ms, policy.version)

    def is_stopped(self, member: str) -> bool:
        """Whether nothing is compared with a member until somebody clears an alarm."""
        return OVERLAP in self.alarms().get(member, ())

    def implausible(self, member: str, unit: str, seen: int, allowed: int) -> None:
        """Raise an alarm: what a member sent to be compared are not the people it pays."""
        if self._harvest is not None:
            self._harvest.implausible(member, unit, seen, allowed, self._clock.now_ms())

    def watch(
        self, member: str, unit: str, decision: Decision, numbers: Sequence[str], *, streamed: bool = False
    ) -> None:
        """Look at whom an allowed question, perhaps of a stream, is about, before anybody is asked.

        Args:
            member: who asks.
            unit: of it.
            decision: on the question.
            numbers: normalised, further ones of the same people included.
            streamed: it came over a stream.

        Raises:
            AccessError: QUOTA_EXCEEDED: it looks like harvesting; an alarm was raised.
        """
        if self._harvest is None or decision.again:
            return
        now_ms = self._clock.now_ms()
        if self._harvest.look(member, unit, decision.roster, numbers, now_ms, streamed=streamed, grant=decision.grant):
            decision.explanation = f"{decision.grant}: looks like harvesting, an alarm was raised"
            raise _held(self._harvest.held_ms(member, unit, now_ms) or 1)

    def hold(self, member: str, unit: str) -> None:
        """Hold back what a unit does besides questions, too, while an alarm stands: one at a time is let through.

        Raises:
            AccessError: QUOTA_EXCEEDED: it has to wait.
        """
        if self._harvest is not None:
            held_ms = self._harvest.held_ms(member, unit, self._clock.now_ms())
            if held_ms:
                raise _held(held_ms)

    def watch_named(
        self, member: str, context: exchange_pb2.Context, benefits: frozenset[int], numbers: Sequence[str]
    ) -> None:
        """Look at people whom a member names so that it is told of them, though it asks no question about them.

        Gateways name them by themselves, many at once, so they are held to the roster that a grant expects.

        Raises:
            AccessError: QUOTA_EXCEEDED: it looks like harvesting; an alarm was raised.
        """
        policy, now_ms = self.policy, self._clock.now_ms()
        if policy is None or self._harvest is None:
            return
        found, _ = policy.find(member, context.unit, context.purpose, benefits, now_ms)
        grant, roster = max([("", 0), *((entry.grant, entry.roster) for entry in found)], key=lambda each: each[1])
        if self._harvest.look(member, context.unit, roster, numbers, now_ms, streamed=True, grant=grant, by_hand=False):
            raise _held(self._harvest.held_ms(member, context.unit, now_ms) or 1)

    def answered(
        self, member: str, question: exchange_pb2.Question, decision: Decision, findings: exchange_pb2.Findings
    ) -> None:
        """Take in what came of a question."""
        regions = question.region
        if self._harvest is None or decision.again or not regions:
            return
        people, unknown = _placed(regions, findings.status)
        if people:
            self._harvest.answered(member, question.context.unit, people, unknown, self._clock.now_ms())

    def narrowing(self, scope: Scope) -> Narrowing:
        """Whom and which departments an answer of this scope leaves out."""
        protected = frozenset[bytes]() if self.policy is None else self.policy.protected
        if not scope.regions and not protected:
            return EVERYBODY
        return Narrowing(scope.regions, protected, self._digest)

    async def settle(self, decision: Decision) -> None:
        """Return when the people of an allowed question are counted on the disk.

        Raises:
            AccessError: there was no room for them after all.
            StoreError: they could not be counted.
        """
        try:
            await self._quotas.settle(decision.taking)
        except AccessError:
            decision.explanation = f"{decision.grant}: quota {decision.taking.refused} was used up elsewhere"
            raise


def _placed(regions: Sequence[int], statuses: Sequence[int]) -> tuple[int, int]:
    """How many people are said to live somewhere, and how many of them nobody knows."""
    if len(regions) < _MANY:
        # By way of lists: the end of a loop over the fields themselves is an error, which takes as long as they do.
        people, unknown, statuses = 0, 0, statuses[:]
        for at, region in enumerate(regions[:]):
            if region:
                people += 1
                unknown += statuses[at] == words.SURVIVAL_STATUS_UNKNOWN
        return people, unknown
    there = np.asarray(regions, np.uint32) != 0
    unheard = np.asarray(statuses, np.int32) == words.SURVIVAL_STATUS_UNKNOWN
    return int(np.count_nonzero(there)), int(np.count_nonzero(there & unheard))


def _different(benefits: Sequence[int]) -> frozenset[int]:
    """The benefits of many people, each once; they are known ones."""
    return frozenset(np.bincount(np.asarray(benefits, np.int32)).nonzero()[0].tolist())


def _held(retry_after_ms: int) -> AccessError:
    return AccessError(
        "too many people are being asked about; ask again later, or talk to the answering member's administrators",
        "查询人数过多，请稍后再试，或与答复方管理员联系",
        reason=words.REFUSAL_REASON_QUOTA_EXCEEDED,
        field="subjects",
        retryable=True,
        retry_after_ms=retry_after_ms,
    )


def _stopped() -> AccessError:
    return AccessError(
        "an alarm stands because far too many people were in common; talk to the answering member's administrators",
        "比对重合人数异常，告警解除前不再比对，请与答复方管理员联系",
        reason=words.REFUSAL_REASON_QUOTA_EXCEEDED,
        field="column",
    )


def _regions() -> AccessError:
    return AccessError(
        "rosters are compared as a whole, and the grant is for some regions; ask for one without",
        "名册比对不分地区，现有授权仅限部分地区，请申请不限地区的授权",
        reason=words.REFUSAL_REASON_PURPOSE_NOT_PERMITTED,
        field="context.purpose",
    )


def _no_policy() -> AccessError:
    return AccessError(
        "this gateway cannot read its access policy and answers nobody until it can; ask again later",
        "本网关暂时无法读取授权策略，恢复前不予答复，请稍后重试",
        reason=words.REFUSAL_REASON_MEMBER_NOT_PERMITTED,
        retryable=True,
        retry_after_ms=60_000,
    )
