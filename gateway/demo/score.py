"""How right the federation is: every agency's roster run through its gateway, the results held against the truth.

Owns: the counting. Refuses: excusing anything: an answer that the truth file does not list as right is wrong. The score
is not passed when one living person is called DECEASED, or is proposed for stopping though nothing ended the benefit;
when a benefit that a fact on record ended goes on, and the answer does not say that somebody was silent; when one death
of which a department has a record is certified or left to a routine check; when somebody of whom a department cannot
read a row is certified, or told as if the answer were whole; or when somebody was not answered.

Precision of a status: of the answers that gave it, the share for which it was right. Recall: of the people for whom it
is what a perfect reader of the evidence answers, the share that got a right answer. Statuses the evidence cannot tell
apart are listed as right together in gateway.demo.cases, with what nobody can know.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from gateway.demo.agency_files import by_agency
from gateway.demo.asking import agencies, request_for
from gateway.demo.launch import Demo
from gateway.demo.rostering import Ran, run_roster
from gateway.demo.truth import Recipient, read_truth
from wugan.agency.v1 import roster_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

REFUSED = "REFUSED"
MOVED = "MOVED"
TWICE = "twice_in_roster"
"""The case whose second row in a roster must be refused."""
WELL_WITHIN_S = 300.0
"""Seconds for which departments that do not answer yet are waited for."""
_PROBE_S = 30.0
_AGAIN_S = 0.5
SHOWN = 20
"""People named, masked, whose stop was wrongly proposed or whose death was missed; all are counted."""
_FLAGS = {number: name.removeprefix("ENTITLEMENT_FLAG_") for name, number in words.EntitlementFlag.items() if number}
_DOUBTED = ("STOP_PROPOSED", "SUSPECT")

Told = Callable[[str, roster_pb2.RosterRun], None]


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


@dataclass(frozen=True, slots=True)
class Answered:
    """What a roster's results say of a row.

    Args:
        status: SurvivalStatus without prefix, or REFUSED: the row was; "" where nobody answered.
        certification: CertificationStatus without prefix; where nobody answered, RefusalReason without prefix.
        flags: EntitlementFlags without prefix.
        partial: somebody did not answer.
        reasons: names of the reasons.
    """

    status: str
    certification: str = ""
    flags: tuple[str, ...] = ()
    partial: bool = False
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Mistake:
    """Somebody who was got wrong in a way that must not be: who, masked, and why.

    Args:
        who: masked number.
        case: of the truth.
        answered: status and proposal.
        reasons: names of the reasons that the results give.
    """

    who: str
    case: str
    answered: str
    reasons: tuple[str, ...]


@dataclass(slots=True)
class Score:
    """The result of one scoring.

    Args:
        asked: rows of all rosters.
        rosters: how many.
        tallies: by status.
        grades: (status, certification) → people.
        lives: (status, case) → people: what is behind a status.
        living_called_dead: living people called DECEASED.
        living_stopped: living people proposed for stopping though nothing ended their benefit.
        living_paid_on: living people whose benefit a fact on record ended, and goes on: neither proposed for stopping
            nor to be verified, though everybody answered, or even certified.
        living_ended: fact → living people proposed for stopping because of it, rightly.
        deaths_known: dead people of whose death a department has a record.
        deaths_stopped: of these, proposed for stopping.
        deaths_suspected: of these, to be verified.
        deaths_unknown: dead people of whose death nobody has a record.
        unread: people about whom a department holds a row that it cannot read.
        unread_told: of these, who were answered as incomplete.
        unread_certified: of these, who were certified all the same.
        incomplete_otherwise: answered as incomplete for any other reason: somebody was silent.
        mistakes: the first of those who made the score fail.
    """

    asked: int = 0
    rosters: int = 0
    tallies: dict[str, Tally] = field(default_factory=dict)
    grades: Counter[tuple[str, str]] = field(default_factory=Counter)
    lives: Counter[tuple[str, str]] = field(default_factory=Counter)
    flags_expected: int = 0
    flags_raised: int = 0
    living_called_dead: int = 0
    living_stopped: int = 0
    living_paid_on: int = 0
    living_ended: Counter[str] = field(default_factory=Counter)
    deaths_known: int = 0
    deaths_stopped: int = 0
    deaths_suspected: int = 0
    deaths_unknown: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    wrong: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    partial: int = 0
    unread: int = 0
    unread_told: int = 0
    unread_certified: int = 0
    incomplete_otherwise: int = 0
    mistakes: list[Mistake] = field(default_factory=list)
    cases: dict[str, tuple[str, str]] = field(default_factory=dict)

    def add(self, recipient: Recipient, answered: Answered) -> None:
        """Count one row."""
        self.asked += 1
        if not answered.status:
            self.failed[answered.certification or "NO_RESULT"] += 1
            return
        self._status(recipient, answered)
        if answered.status == REFUSED:
            return
        self.grades[answered.status, answered.certification] += 1
        self.lives[answered.status, recipient.case] += 1
        self._incomplete(recipient, answered)
        (self._living if recipient.alive else self._dead)(recipient, answered)

    @property
    def certified(self) -> int:
        """People certified without bothering anyone."""
        return sum(count for (_, proposal), count in self.grades.items() if proposal == "CERTIFIED")

    @property
    def judged(self) -> int:
        """People about whom there is a result."""
        return self.grades.total()

    @property
    def certified_share(self) -> float:
        """Share certified without bothering anyone, of all about whom there is a result."""
        return self.certified / self.judged if self.judged else 0.0

    @property
    def death_recall(self) -> float:
        """Share of the deaths known to any department that led to a proposal or a doubt; 1 where there is none."""
        found = self.deaths_stopped + self.deaths_suspected
        return found / self.deaths_known if self.deaths_known else 1.0

    @property
    def passed(self) -> bool:
        """Whether nobody living is called dead, to be stopped or paid on wrongly, no known death is missed, what does
        not read certifies nobody, and everybody was answered.
        """
        missed = self.deaths_known - self.deaths_stopped - self.deaths_suspected
        wronged = self.living_called_dead or self.living_stopped or self.living_paid_on
        return not (wronged or missed or self.unread_wrong or self.failed)

    @property
    def unread_wrong(self) -> bool:
        """Whether somebody of whom a row does not read was certified, or told as if the answer were whole."""
        return self.unread_certified > 0 or self.unread_told < self.unread

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "asked": self.asked,
            "rosters": self.rosters,
            "passed": self.passed,
            "certified_share": self.certified_share,
            "living_called_dead": self.living_called_dead,
            "living_stop_proposed": self.living_stopped,
            "living_paid_on": self.living_paid_on,
            "living_benefit_ended": dict(sorted(self.living_ended.items())),
            "deaths": {
                "known": self.deaths_known,
                "recall": self.death_recall,
                "stop_proposed": self.deaths_stopped,
                "suspected": self.deaths_suspected,
                "unknown_to_all": self.deaths_unknown,
            },
            "grades": {
                status: {
                    "people": sum(count for (of, _), count in self.grades.items() if of == status),
                    "proposals": {proposal: n for (of, proposal), n in sorted(self.grades.items()) if of == status},
                    "lives": dict(self.lives_of(status)),
                }
                for status in self.statuses()
            },
            "failed": dict(self.failed),
            "partial": self.partial,
            "unread": {
                "people": self.unread,
                "told_incomplete": self.unread_told,
                "certified": self.unread_certified,
            },
            "incomplete_otherwise": self.incomplete_otherwise,
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
            "mistakes": [
                {"who": each.who, "case": each.case, "answered": each.answered, "reasons": list(each.reasons)}
                for each in self.mistakes
            ],
            "cannot_know": {case: {"en": en, "zh": zh} for case, (en, zh) in sorted(self.cases.items())},
        }

    def statuses(self) -> list[str]:
        """The statuses that were given, in the order of the contract."""
        given = {status for status, _ in self.grades}
        return [name for name in (_status_name(number) for number in words.SurvivalStatus.values()) if name in given]

    def lives_of(self, status: str) -> list[tuple[str, int]]:
        """The lives behind a status, the most frequent first."""
        found = [(case, count) for (of, case), count in self.lives.items() if of == status]
        return sorted(found, key=lambda each: (-each[1], each[0]))

    def _status(self, recipient: Recipient, answered: Answered) -> None:
        self.partial += answered.partial
        right = recipient.is_right(answered.status)
        if answered.status == REFUSED and recipient.case == TWICE and recipient.again:
            return  # the first of the two rows is the one that counts
        given = self.tallies.setdefault(answered.status, Tally())
        given.given += 1
        given.given_rightly += right
        expected = self.tallies.setdefault(recipient.expected, Tally())
        expected.expected += 1
        expected.expected_met += right
        must = _expected_flags(recipient)
        missing = sorted(set(must) - set(answered.flags))
        self.flags_expected += len(must)
        self.flags_raised += len(must) - len(missing)
        self.living_called_dead += recipient.is_intolerable(answered.status)
        if not right or missing:
            told = " ".join([answered.status, *(f"-{flag}" for flag in missing)])
            self.wrong[recipient.case, recipient.expected, told] += 1
        about = recipient.about
        if about.cannot_know_en:
            self.cases[recipient.case] = (about.cannot_know_en, about.cannot_know_zh)

    def _incomplete(self, recipient: Recipient, answered: Answered) -> None:
        if not recipient.unread:
            self.incomplete_otherwise += answered.partial
            return
        certified = answered.certification == "CERTIFIED"
        self.unread += 1
        self.unread_told += answered.partial
        self.unread_certified += certified
        if certified or not answered.partial:
            self._mistake(recipient, answered)

    def _living(self, recipient: Recipient, answered: Answered) -> None:
        if answered.certification != "STOP_PROPOSED":
            whole = not answered.partial or answered.certification == "CERTIFIED"
            if recipient.ended_by and whole and answered.certification not in _DOUBTED:
                self.living_paid_on += 1
                self._mistake(recipient, answered)
            return
        causes = [flag for flag in recipient.ended_by if flag in answered.flags]
        if causes and answered.status != "DECEASED":
            self.living_ended.update(causes[:1])
            return
        self.living_stopped += 1
        self._mistake(recipient, answered)

    def _dead(self, recipient: Recipient, answered: Answered) -> None:
        if not recipient.death_known:
            self.deaths_unknown += 1
            return
        self.deaths_known += 1
        self.deaths_stopped += answered.certification == "STOP_PROPOSED"
        self.deaths_suspected += answered.certification == "SUSPECT"
        if answered.certification not in _DOUBTED:
            self._mistake(recipient, answered)

    def _mistake(self, recipient: Recipient, answered: Answered) -> None:
        if len(self.mistakes) < SHOWN:
            told = f"{answered.status}/{answered.certification}"
            self.mistakes.append(Mistake(masked(recipient.id_number), recipient.case, told, answered.reasons))


def masked(number: str) -> str:
    """A number of which nobody is told by: its first four characters and its last two."""
    text = number.strip()
    return f"{text[:4]}{'*' * max(0, len(text) - 6)}{text[-2:]}"


async def score(demo: Demo, told: Told) -> Score:
    """Run a roster for each agency of the demo about those who live in another province, and count.

    Args:
        demo: runs.
        told: (unit, how its run stands), whenever its gateway tells.

    Raises:
        RefusedError: a roster failed.
        grpc.aio.AioRpcError: a gateway was not reached, or refused a roster.
    """
    result = Score()
    await until_well(demo)
    for agency, recipients in by_agency(each for each in read_truth(demo.truth) if each.across):
        ran = await run_roster(demo, agency, recipients, partial(told, agency[1]))
        result.rosters += 1
        count(result, recipients, ran)
    return result


async def until_well(demo: Demo) -> None:
    """Wait until every province answers every other one completely: files that lay there at the start are taken in."""
    probes: dict[tuple[int, int], Recipient] = {}
    for recipient in read_truth(demo.truth):
        there = recipient.residence_region // 10_000 == recipient.lives_in // 10_000
        if recipient.across and there and recipient.case == "active":
            probes.setdefault((recipient.paying_province, recipient.lives_in), recipient)
    end_s = asyncio.get_running_loop().time() + WELL_WITHIN_S
    async with agencies(demo) as stub:
        for recipient in probes.values():
            request = request_for(recipient)
            request.fresh = True
            while asyncio.get_running_loop().time() < end_s:
                response = await stub(recipient).Check(request, timeout=_PROBE_S)
                if not response.partial:
                    break
                await asyncio.sleep(_AGAIN_S)


def count(result: Score, recipients: Sequence[Recipient], ran: Ran) -> None:
    """Count the results of a roster; a recipient about whom there is none counts as not answered."""
    found = dict.fromkeys(ran.rejected["row"].to_list(), Answered(REFUSED))
    for row, status, flags, certification, incomplete, refusal in ran.people.iter_rows():
        if refusal and not status:
            found[row] = Answered("", words.RefusalReason.Name(refusal).removeprefix("REFUSAL_REASON_"))
            continue
        proposal = words.CertificationStatus.Name(certification).removeprefix("CERTIFICATION_STATUS_")
        found[row] = Answered(_status_name(status), proposal, _flag_names(flags), incomplete)
    wrongs = _reasons(ran, found, recipients)
    for row, recipient in enumerate(recipients):
        answered = found.get(row, Answered(""))
        if row in wrongs:
            answered = replace(answered, reasons=wrongs[row])
        result.add(recipient, answered)


def _reasons(ran: Ran, found: dict[int, Answered], recipients: Sequence[Recipient]) -> dict[int, tuple[str, ...]]:
    """Why those were answered so about whom it may have to be told: proposals to stop, and dead people."""
    wanted = {
        row for row, answered in found.items() if answered.certification == "STOP_PROPOSED" or not recipients[row].alive
    }
    told: dict[int, list[str]] = {}
    for row, name in ran.reasons.iter_rows():
        if row in wanted:
            told.setdefault(row, []).append(name)
    return {row: tuple(dict.fromkeys(names)) for row, names in told.items()}


def _expected_flags(recipient: Recipient) -> list[str]:
    """Whoever is asked about everywhere is found where they live, which nobody has moved away from."""
    at_home = recipient.residence_region // 10_000 == recipient.paying_province // 10_000
    told_where = recipient.residence_region and not at_home
    return [flag for flag in recipient.flags if told_where or flag != MOVED]


def _status_name(number: int) -> str:
    return words.SurvivalStatus.Name(number).removeprefix("SURVIVAL_STATUS_") if number else ""  # type: ignore[arg-type]


def _flag_names(bits: int) -> tuple[str, ...]:
    return tuple(name for number, name in _FLAGS.items() if bits >> number & 1)
