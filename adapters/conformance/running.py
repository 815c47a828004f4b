"""Running the cases over a target, and what came of it.

Owns: the order of the run (cases that ask, then examinations of every answer), and the report. Refuses: printing it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from adapters.build import system_clock
from adapters.conformance import cases as _cases  # noqa: F401  fills the table
from adapters.conformance.answers import columns_fit, subjects_fit
from adapters.conformance.case import TABLE, Case, Ended, Failed, NotTried, Outcome, Say
from adapters.conformance.kit import Bounds, Kit, Stir
from adapters.conformance.sample import Sample
from adapters.conformance.target import Target
from adapters.contract import Description
from adapters.errors import AdapterError, SourceDownError
from adapters.found_again_words import told_of
from adapters.kinds.common import FindingAgain

NO_TEXT = Say("", "")
ALL_CASES: tuple[Case, ...] = tuple(TABLE.values())


@dataclass(frozen=True, slots=True)
class Result:
    """How one case ended; `says` is empty where it passed."""

    case: Case
    outcome: Outcome
    says: Say = NO_TEXT


@dataclass(frozen=True, slots=True)
class Report:
    """What a run came to.

    Args:
        target: as it is called.
        about: what the adapter says of itself.
        day: civil day of the run in Asia/Shanghai.
        people: of the sample known to the adapter.
        answers: looked at.
        largest: people in the largest batch tried.
        results: one for every case of the run, in the order of the table.
        whole: whether all cases were in the run.
    """

    target: str
    about: Description
    day: int
    people: int
    answers: int
    largest: int
    results: tuple[Result, ...]
    whole: bool = True

    @property
    def conforms(self) -> bool:
        """Whether no case failed."""
        return not self.failed

    @property
    def failed(self) -> list[Result]:
        """The cases that failed."""
        return [result for result in self.results if result.outcome is Outcome.FAILED]

    @property
    def counts(self) -> dict[Outcome, int]:
        """Cases by how they ended."""
        counted = Counter(result.outcome for result in self.results)
        return {outcome: counted[outcome] for outcome in Outcome}


async def conform(
    target: Target,
    sample: Sample | None = None,
    *,
    bounds: Bounds | None = None,
    stir: Stir | None = None,
    only: Sequence[str] = (),
    now_ms: Callable[[], int] = system_clock,
    told: Callable[[Result], None] | None = None,
) -> Report:
    """Run the kit.

    Args:
        target: what is proved.
        sample: people the source knows, and people it does not; None: what the adapter itself can name.
        bounds: how far to go.
        stir: changes something in the source, for the cases about changes.
        only: beginnings of the ids of the cases to run; empty: all.
        now_ms: Unix time in milliseconds.
        told: given every result as it comes.

    Raises:
        ManifestError: the target cannot be opened.
        SourceDownError: its source is not reached, so that nothing can be said.
        SourceFaultError: its source answers nonsense when it is first reached, or holds numbers in a form that is not
            asked for.
    """
    kit = Kit(target, await target.open(), sample or Sample(), bounds, stir, now_ms)
    chosen = [case for case in ALL_CASES if not only or case.id.startswith(tuple(only))]
    results: dict[str, Result] = {}

    def note(result: Result) -> None:
        results[result.case.id] = result
        if told is not None:
            told(result)

    try:
        await _ready(kit)
        await _numbers_found(kit)
        for case in chosen:
            if case.body is not None:
                note(await _tried(kit, case))
        if only:
            await _some_answers(kit)
        formed = [columns_fit(answer.found) and subjects_fit(answer) for answer in kit.answers]
        for case in chosen:
            if case.examine is not None:
                note(_examined(kit, case, formed))
    finally:
        await kit.quietly_close()
    return Report(
        target.name,
        kit.about,
        kit.today,
        len(kit.known_if_any or ()),
        len(kit.answers),
        kit.largest,
        tuple(results[case.id] for case in chosen),
        whole=not only,
    )


async def _tried(kit: Kit, case: Case) -> Result:
    """Run a case, whatever the adapter does."""
    assert case.body is not None  # noqa: S101  the caller chose
    if kit.in_vain >= kit.bounds.in_vain:
        return Result(case, Outcome.NOT_TRIED, _given_up(kit))
    try:
        await case.body(kit)
    except Ended as ended:
        return Result(case, ended.outcome, ended.says)
    except AdapterError as error:
        en, zh = kit.scrubbed(error.en), kit.scrubbed(error.zh)
        return Result(case, Outcome.FAILED, Say(f"refused: {en}", f"被拒绝：{zh}"))
    return Result(case, Outcome.PASSED)


def _examined(kit: Kit, case: Case, formed: Sequence[bool]) -> Result:
    """Run an examination over every answer, or every one that is formed; the first that is worst is told."""
    assert case.examine is not None  # noqa: S101  the caller chose
    worst: Ended | None = None
    examined = 0
    for answer, is_formed in zip(kit.answers, formed, strict=True):
        if case.formed_only and not (is_formed and case.concerns(answer.found)):
            continue
        examined += 1
        ended = case.examine(kit, answer)
        if ended is not None and (worst is None or isinstance(ended, Failed) > isinstance(worst, Failed)):
            worst = ended
    if not examined:
        worst = NotTried("no answer had anything of the kind", "各应答中没有可供检查的内容")
    return Result(case, Outcome.PASSED) if worst is None else Result(case, worst.outcome, worst.says)


async def _ready(kit: Kit) -> None:
    """Return when it says that it is ready.

    Raises:
        AdapterError: it says that it is not; SourceDownError where it says nothing.
    """
    try:
        await kit.within(kit.adapter.check(), kit.bounds.deadline_s)
    except Ended as ended:
        raise SourceDownError(*ended.says) from ended


async def _numbers_found(kit: Kit) -> None:
    """Return when the numbers of its source, as they stand there, are found: the cases ask in the form of the contract.

    Raises:
        SourceFaultError: some are not.
    """
    if not isinstance(kit.adapter, FindingAgain):
        return
    for sample in await kit.adapter.found_again():
        for problem in told_of(sample):
            raise problem


def _given_up(kit: Kit) -> Say:
    times = kit.bounds.in_vain
    return Say(
        f"the adapter was waited for in vain {times} times before: mend that first",
        f"此前已有 {times} 次等待该接入应答未果，请先解决该问题",
    )


async def _some_answers(kit: Kit) -> None:
    """For examinations alone: the known people, if there are any."""
    if kit.in_vain >= kit.bounds.in_vain:
        return
    try:
        await kit.said([person for person, _ in await kit.known()])
    except (Ended, AdapterError):
        return


def cases_named(only: Iterable[str]) -> list[str]:
    """Which of these beginnings begin no case."""
    return [name for name in only if not any(case.id.startswith(name) for case in ALL_CASES)]
