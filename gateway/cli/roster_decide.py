"""`wugan roster decide` and `wugan roster decisions`: what officials decide about a run's results, and what stands.

Owns: options, exit codes, how it is told. Refuses: deciding which act is possible (gateway.rules.deciding), and showing
names or numbers on a terminal: rows and the agency's own references stand for people.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli import EXIT_REFUSED, EXIT_USAGE
from gateway.cli.access_common import FILE, JSON, ended, fail, moment
from gateway.cli.language import chinese, plain, say
from gateway.rules.deciding import Act, Source

if TYPE_CHECKING:
    from gateway.roster.decisions.chain import Event
    from gateway.roster.decisions.deciding import Outcome, Request
    from gateway.roster.decisions.importing import Problem
    from gateway.roster.decisions.ledger import Ledger
    from gateway.roster.decisions.overview import Case, Overview
    from gateway.rules.book import RuleBook

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
RULES = click.option(
    "--rules",
    "rules_file",
    type=FILE,
    default=None,
    help=say("rule file (default: the built-in one)", "规则文件（默认内置）"),
)
_TOLD_ONE_BY_ONE = 100
"""Of more decisions at once, only those that were refused are told one by one."""
_ACTS = [act.name.lower().replace("_", "-") for act in Act]


@click.command(
    help=say(
        "Record what was decided, or what a face check or a visit brought, about recipients of the results in DIR: one "
        "by --row or --reference with --act, or those filled in on a work list or stop list with --from. Exit codes: 0 "
        "recorded, 1 some or all were refused, 2 wrong usage.",
        "登记对 DIR 中结果的决定，以及人脸认证、上门核查的结果：用 --row 或 --reference 及 --act 逐人登记，或用 --from "
        "读入已填写的核查清单、拟停发名单。退出码：0 已登记，1 部分或全部未登记，2 用法错误。",
    )
)
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option("--act", "act_name", type=click.Choice(_ACTS), default=None, help=say("what", "决定或结果"))
@click.option("--row", type=click.IntRange(1), default=None, help=say("row of the results", "结果行号"))
@click.option("--reference", default=None, help=say("your own id of the recipient", "业务编号"))
@click.option(
    "--from", "file", type=FILE, default=None, help=say("a filled-in list, CSV or XLSX", "已填写的清单（CSV 或 XLSX）")
)
@click.option("--as", "who", required=True, help=say("who decides, or records it", "经办人（决定或登记的人）"))
@click.option("--why", default="", help=say("reason, for the record", "理由（留存备查）"))
@click.option("--by", default="", help=say("who was there, of a visit or face check", "核查人"))
@click.option(
    "--on", default="", help=say("YYYY-MM-DD, the day of it (default: today)", "YYYY-MM-DD，日期（默认今天）")
)
@click.option(
    "--stop-from",
    default="",
    help=say(
        "YYYY-MM, first month not paid (default: after the last one paid)",
        "YYYY-MM，停发起始月（默认最后发放月的次月）",
    ),
)
@click.option(
    "--entitled-from",
    default="",
    help=say(
        "YYYY-MM, of a restoration: entitled again from (default: throughout)", "YYYY-MM，恢复资格月（默认自停发起）"
    ),
)
@click.option(
    "--resume-from",
    default="",
    help=say("YYYY-MM, of a restoration: paid as usual from (default: next month)", "YYYY-MM，恢复发放月（默认次月）"),
)
@click.option("--try", "try_only", is_flag=True, help=say("only say what would come of it", "仅试算，不登记"))
@RULES
@JSON
def decide(
    folder: Path, file: Path | None, rules_file: Path | None, try_only: bool, json_out: bool, **given: Any
) -> None:
    """Record decisions."""
    from gateway.clock import SystemClock
    from gateway.roster.decisions.deciding import decide as carry_out
    from gateway.roster.decisions.ledger import Ledger, shown
    from gateway.roster.decisions.people import Results

    def work() -> tuple[Sequence[Outcome], Sequence[Problem], str]:
        book, results = _book(rules_file), Results(folder)
        requests, problems = _asked(results, file, given)
        with Ledger.open(folder, create=True) as ledger:
            outcomes = carry_out(ledger, results, book, SystemClock(), requests, try_only=try_only)
            return outcomes, problems, shown(ledger.head)

    outcomes, problems, head = ended(work)
    refused = len(problems) + sum(outcome.error is not None for outcome in outcomes)
    if json_out:
        told = {"head": head, "recorded": not try_only, "outcomes": [_as_json(outcome) for outcome in outcomes]}
        unread = [{"line": each.line, "error_en": each.error.en, "error_zh": each.error.zh} for each in problems]
        click.echo(json.dumps({**told, "unread": unread}, ensure_ascii=False))
    else:
        for problem in problems:
            click.echo(
                say(f"line {problem.line}: {problem.error.en}", f"文件第 {problem.line} 行：{problem.error.zh}"),
                err=True,
            )
        for outcome in outcomes:
            if outcome.error is not None or len(outcomes) <= _TOLD_ONE_BY_ONE:
                click.echo(plain(_told(outcome)), err=outcome.error is not None)
        _summed(outcomes, refused, head, try_only=try_only)
    if refused:
        raise SystemExit(EXIT_REFUSED)


@click.command(
    help=say(
        "Show what was decided about the results in DIR, how recipients stand now, and what must be looked at. The "
        "record is checked each time; --verify also holds it against a head that was printed earlier. Exit codes: 0 "
        "shown, 1 nothing was decided or the record is broken, 2 wrong usage.",
        "查看对 DIR 中结果的决定、人员目前的认证状态及提示事项。每次均校验决定记录；--verify 另与此前打印的链头核对。"
        "退出码：0 已显示，1 尚无决定或记录断裂，2 用法错误。",
    )
)
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option("--row", type=click.IntRange(1), default=None, help=say("only of this row", "仅该行"))
@click.option("--findings", is_flag=True, help=say("only those with something to look at", "仅有提示事项的人员"))
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help=say("recipients", "人数"))
@click.option("--verify", default="", metavar="HEAD", help=say("a head printed earlier", "此前打印的链头"))
@click.option(
    "--export",
    "export_file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help=say("write how they stand, with the five indicators, as CSV", "将目前五项指标导出为 CSV"),
)
@RULES
@JSON
def decisions(
    folder: Path, row: int | None, findings: bool, verify: str, rules_file: Path | None, json_out: bool, **given: Any
) -> None:
    """Show decisions."""
    from gateway.roster.decisions.ledger import Ledger, heads, shown
    from gateway.roster.decisions.overview import export, overview
    from gateway.roster.decisions.people import Results

    try:
        anchor = heads(verify) if verify else None
    except ValueError:
        text = "a head looks like 12:3f…, with 64 hexadecimal digits", "链头形如 12:3f…，后接 64 位十六进制数"
        raise fail(*text, EXIT_USAGE) from None

    def work() -> None:
        results, book = Results(folder), _book(rules_file)
        with Ledger.open(folder, create=False, anchor=anchor) as ledger:
            found = overview(ledger, results, book)
            cases = [
                case
                for case in found.cases
                if (not findings or case.findings)
                and (row is None or (case.person is not None and case.person.row == row))
            ]
            written = None
            if given["export_file"] is not None:
                written = export(cases, ledger, given["export_file"], "zh" if chinese() else "en")
            if json_out:
                told = [_case_json(case, ledger) for case in cases[-given["limit"] :]]
                sums = {"proposed": _by_name(found.proposed), "now": _by_name(found.now)}
                click.echo(json.dumps({"head": shown(ledger.head), **sums, "cases": told}, ensure_ascii=False))
                return
            _show(found, cases[-given["limit"] :], ledger)
            if written is not None:
                click.echo(say(f"written: {written} recipients", f"已导出 {written} 人"))
            click.echo(say(f"record whole; head {shown(ledger.head)}", f"记录完整；链头 {shown(ledger.head)}"))

    ended(work)


def _book(rules_file: Path | None) -> RuleBook:
    from gateway.rules import RULES_FILE
    from gateway.rules.book import RuleBook

    path = rules_file or RULES_FILE
    return RuleBook.parse(path.read_bytes(), str(path))


def _asked(results: Any, file: Path | None, given: dict[str, Any]) -> tuple[Sequence[Request], Sequence[Problem]]:
    """The requests of the command line.

    Raises:
        ConfigError: options that do not go together; nobody, or several, with that reference.
    """
    from gateway.errors import ConfigError, RefusedError
    from gateway.roster.decisions.deciding import Request
    from gateway.roster.decisions.importing import day_of, read

    row, reference = given["row"], given["reference"]
    if file is not None:
        if row or reference or given["act_name"]:
            raise ConfigError(
                "--from goes without --act, --row and --reference", "--from 不能与 --act、--row、--reference 同用"
            )
        return read(file, given["who"], given["why"])
    if given["act_name"] is None or (row is None) == (reference is None):
        raise ConfigError(
            "give --act, and --row or --reference; or --from", "请给出 --act 及 --row 或 --reference，或用 --from"
        )
    if reference is not None:
        people = results.by_reference(reference)
        if len(people) != 1:
            raise ConfigError(
                f"{len(people)} recipients have this reference; give --row",
                f"该业务编号对应 {len(people)} 人，请改用 --row",
                field="reference",
            )
        row = people[0].row
    try:
        days = [day_of(given[name]) for name in ("on", "stop_from", "entitled_from", "resume_from")]
    except RefusedError as error:
        raise ConfigError(error.en, error.zh, field=error.field) from None
    act = Act[given["act_name"].upper().replace("-", "_")]
    on_day, stopped, entitled, resumes = days
    request = Request(row, act, given["who"], given["why"], given["by"], on_day, stopped, entitled, resumes)
    return [request], []


def _name(status: int) -> str:
    from gateway import wording
    from gateway.roster.results.headings import NO_ANSWER

    found = wording.word({0: NO_ANSWER, **wording.PROPOSALS}, status)
    return found.zh if chinese() else found.en


def _unread(problem: Problem) -> str:
    return say(f"line {problem.line}: {problem.error.en}", f"文件第 {problem.line} 行：{problem.error.zh}")


def _told(outcome: Outcome) -> str:
    request = outcome.request
    where = say(f"row {request.row}", f"第 {request.row} 行")
    if outcome.error is not None:
        return say(f"{where}: refused: {outcome.error.en}", f"{where}：未登记：{outcome.error.zh}")
    if outcome.repeated:
        return say(f"{where}: recorded before", f"{where}：此前已登记")
    told = say(f"{where}: ", f"{where}：") + f"{_name(outcome.was)} → {_name(outcome.standing.status)}"
    if outcome.months:
        back = f"{outcome.amount_fen // 100:,}.{outcome.amount_fen % 100:02d}"
        told += say(f"; paid back: {outcome.months} months, {back} yuan", f"；补发 {outcome.months} 个月，共 {back} 元")
    return told


def _summed(outcomes: Sequence[Outcome], refused: int, head: str, *, try_only: bool) -> None:
    again = sum(outcome.repeated for outcome in outcomes)
    done = sum(outcome.error is None for outcome in outcomes) - again
    if try_only:
        text = f"would be recorded: {done}; recorded before: {again}; refused: {refused}; nothing was recorded"
        click.echo(say(text, f"可登记 {done} 项，此前已登记 {again} 项，不可登记 {refused} 项；本次未作任何登记"))
        return
    text = f"recorded: {done}; recorded before: {again}; refused: {refused}"
    click.echo(say(text, f"已登记 {done} 项，此前已登记 {again} 项，未登记 {refused} 项"))
    click.echo(say(f"head of the record, to be noted elsewhere: {head}", f"记录链头（请另行保存）：{head}"))


def _status_name(status: int) -> str:
    from wugan.federation.v1 import vocabulary_pb2 as words

    return words.CertificationStatus.Name(status).removeprefix("CERTIFICATION_STATUS_")  # type: ignore[arg-type]


def _by_name(counts: dict[int, int]) -> dict[str, int]:
    return {_status_name(status): count for status, count in counts.items()}


def _day(on: int) -> str:
    from gateway.rules.wording import day_text

    return day_text(on)


def _as_json(outcome: Outcome) -> dict[str, object]:
    request = outcome.request
    told: dict[str, object] = {"row": request.row, "act": request.act.name}
    if request.line:
        told["line"] = request.line
    if outcome.error is not None:
        return told | {"field": outcome.error.field, "error_en": outcome.error.en, "error_zh": outcome.error.zh}
    return told | {
        "was": _status_name(outcome.was),
        "status": _status_name(outcome.standing.status),
        "source": outcome.standing.source.name,
        "certified_on": _day(outcome.standing.certified_on),
        "months": outcome.months,
        "amount_fen": outcome.amount_fen,
        "repeated": outcome.repeated,
        "sequence": outcome.sequence,
    }


def _event_json(sequence: int, event: Event, ledger: Ledger) -> dict[str, object]:
    return {
        "sequence": sequence,
        "recorded_at": moment(event.at_ms),
        "on": _day(event.on_day),
        "act": Act(event.act).name,
        "was": _status_name(event.was),
        "status": _status_name(event.status),
        "refused": bool(event.refused),
        **ledger.texts(event)._asdict(),
        "stopped_from": _day(event.stopped_from_on)[:7],
        "resumes": _day(event.resumes_on)[:7],
        "months": event.months,
        "amount_fen": event.amount_fen,
    }


def _case_json(case: Case, ledger: Ledger) -> dict[str, object]:
    return {
        "row": case.person.row if case.person else None,
        "reference": case.person.reference if case.person else "",
        "status": _status_name(case.standing.status),
        "source": Source(case.standing.source).name,
        "certified_on": _day(case.standing.certified_on),
        "findings_en": [finding.en for finding in case.findings],
        "findings_zh": [finding.zh for finding in case.findings],
        "events": [_event_json(*each, ledger) for each in zip(case.sequences, case.events, strict=True)],
    }


def _show(found: Overview, cases: Sequence[Case], ledger: Ledger) -> None:
    from gateway.cli.tables import console, listing
    from gateway.roster.decisions.wordings import ACTS

    out = console()
    sums = listing(
        say("certification status", "认证状态"), say("by the run", "按结果"), say("now", "目前"), right=(1, 2)
    )
    for status in sorted({*found.proposed, *found.now}):
        sums.add_row(_name(status), f"{found.proposed.get(status, 0):,}", f"{found.now.get(status, 0):,}")
    out.print(sums)
    for case in cases:
        where = (
            say(f"row {case.person.row}", f"第 {case.person.row} 行")
            if case.person
            else say("no row now", "现结果中无此人")
        )
        reference = f" {case.person.reference}" if case.person and case.person.reference else ""
        out.print(plain(f"{where}{reference}  {_name(case.standing.status)}"), style="bold", markup=False)
        for sequence, event in zip(case.sequences, case.events, strict=True):
            texts = ledger.texts(event)
            act = ACTS[event.act].zh if chinese() else ACTS[event.act].en
            refused = say(" (refused)", "（未予认证）") if event.refused else f" → {_name(event.status)}"
            who = texts.who + (say(f", by {texts.by}", f"，核查人 {texts.by}") if texts.by else "")
            line = f"  {sequence:>5}  {_day(event.on_day)}  {act}{refused}  {who}  {texts.why}"
            out.print(plain(line.rstrip()), markup=False, highlight=False)
        for finding in case.findings:
            out.print("  ! " + (finding.zh if chinese() else finding.en), style="yellow", markup=False)
