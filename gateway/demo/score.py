"""How right the federation is: a sample of recipients asked about, the answers held against the truth.

Owns: the sample, the counting, precision and recall per status. Refuses: excusing anything: an answer that the truth
file does not list as right is wrong, and a living person called DECEASED fails the whole score.

Precision of a status: of the answers that gave it, the share for which it was right. Recall: of the people for whom it
is what a perfect reader of the evidence answers, the share that got a right answer. Statuses the evidence cannot tell
apart are listed as right together in gateway.demo.cases, with what nobody can know.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc

from gateway.demo.asking import agencies, request_for
from gateway.demo.launch import Demo
from gateway.demo.truth import Recipient, read_truth
from gateway.status import from_rpc_error
from wugan.agency.v1 import agency_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

CONCURRENCY = 16
TIMEOUT_S = 20.0
REFUSED = "REFUSED"
MOVED = "MOVED"
_REFUSALS = frozenset({words.REFUSAL_REASON_INVALID_ID_NUMBER})
"""Refusals that are the right answer to a wrongly written roster row."""


@dataclass(slots=True)
class Tally:
    """Counts for one status."""

    given: int = 0
    given_rightly: int = 0
    expected: int = 0
    expected_met: int = 0

    @property
    def precision(self) -> float:
        """Share of the answers with this status that are right; 1 where there is none."""
        return self.given_rightly / self.given if self.given else 1.0

    @property
    def recall(self) -> float:
        """Share of those who should get this status that got a right answer; 1 where there is none."""
        return self.expected_met / self.expected if self.expected else 1.0


@dataclass(slots=True)
class Score:
    """The result of one scoring."""

    asked: int = 0
    tallies: dict[str, Tally] = field(default_factory=dict)
    flags_expected: int = 0
    flags_raised: int = 0
    living_called_dead: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    wrong: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    partial: int = 0
    cases: dict[str, tuple[str, str]] = field(default_factory=dict)

    def add(
        self, recipient: Recipient, status: str, flags: Sequence[str], must: Sequence[str], *, partial: bool
    ) -> None:
        """Count one answer: its status and flags, and the flags that it must have."""
        self.asked += 1
        self.partial += partial
        right = recipient.is_right(status)
        given = self.tallies.setdefault(status, Tally())
        given.given += 1
        given.given_rightly += right
        expected = self.tallies.setdefault(recipient.expected, Tally())
        expected.expected += 1
        expected.expected_met += right
        missing = sorted(set(must) - set(flags))
        self.flags_expected += len(must)
        self.flags_raised += len(must) - len(missing)
        self.living_called_dead += recipient.is_intolerable(status)
        if not right or missing:
            self.wrong[recipient.case, recipient.expected, " ".join([status, *(f"-{flag}" for flag in missing)])] += 1
        about = recipient.about
        if about.cannot_know_en:
            self.cases[recipient.case] = (about.cannot_know_en, about.cannot_know_zh)

    @property
    def passed(self) -> bool:
        """Whether nobody living was called dead and every question was answered."""
        return not self.living_called_dead and not self.failed

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "asked": self.asked,
            "passed": self.passed,
            "living_called_dead": self.living_called_dead,
            "failed": dict(self.failed),
            "partial": self.partial,
            "flag_recall": self.flags_raised / self.flags_expected if self.flags_expected else 1.0,
            "statuses": {
                name: {
                    "precision": tally.precision,
                    "recall": tally.recall,
                    "given": tally.given,
                    "expected": tally.expected,
                }
                for name, tally in sorted(self.tallies.items())
            },
            "wrong": [
                {"case": case, "expected": expected, "answered": answered, "count": count}
                for (case, expected, answered), count in self.wrong.most_common()
            ],
            "cannot_know": {case: {"en": en, "zh": zh} for case, (en, zh) in sorted(self.cases.items())},
        }


async def score(demo: Demo, sample: int, seed: int) -> Score:
    """Ask about a sample of those who live in another province than the one that pays (all, if there are fewer).

    At least one recipient of every case is in the sample, so that rare lives are never left out.
    """
    chosen = _sample([each for each in read_truth(demo.truth) if each.across], sample, seed)
    result = Score()
    gate = asyncio.Semaphore(CONCURRENCY)
    async with agencies(demo) as stub:

        async def one(recipient: Recipient) -> None:
            async with gate:
                request = request_for(recipient)
                try:
                    response = await stub(recipient).Check(request, timeout=TIMEOUT_S)
                except grpc.aio.AioRpcError as error:
                    ours = from_rpc_error(error)
                    if ours is not None and ours.reason in _REFUSALS:
                        result.add(recipient, REFUSED, (), (), partial=False)
                    else:
                        result.failed[ours.code if ours is not None else error.code().name] += 1
                    return
            # Whoever is asked about everywhere is found where they live, which nobody has moved away from.
            expected = [flag for flag in recipient.flags if request.regions or flag != MOVED]
            result.add(recipient, status_of(response), flags_of(response), expected, partial=response.partial)

        await asyncio.gather(*(one(recipient) for recipient in chosen))
    return result


def status_of(response: agency_pb2.CheckResponse) -> str:
    """The status without prefix."""
    return words.SurvivalStatus.Name(response.status).removeprefix("SURVIVAL_STATUS_")


def flags_of(response: agency_pb2.CheckResponse) -> list[str]:
    """The flags without prefix."""
    return [words.EntitlementFlag.Name(flag).removeprefix("ENTITLEMENT_FLAG_") for flag in response.flags]


def _sample(everyone: list[Recipient], size: int, seed: int) -> list[Recipient]:
    shuffled = random.Random(seed).sample(everyone, len(everyone))
    first: dict[str, Recipient] = {}
    for recipient in shuffled:
        first.setdefault(recipient.case, recipient)
    chosen = list(first.values())
    held = {id(recipient) for recipient in chosen}
    rest = (recipient for recipient in shuffled if id(recipient) not in held)
    return [*chosen, *(recipient for recipient, _ in zip(rest, range(max(0, size - len(chosen))), strict=False))]
