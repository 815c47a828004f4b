"""How a roster's run is shown: a bar on a terminal, lines elsewhere.

Owns: the layout. Refuses: knowing more than the gateway tells.
"""

from __future__ import annotations

import datetime as dt
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn
from rich.table import Table

from gateway.cli.language import chinese, plain, say
from gateway.cli.tables import listing
from gateway.clock import SystemClock
from wugan.agency.v1 import roster_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

if TYPE_CHECKING:
    from gateway.roster.results.counting import Counts

STATES: Final = {
    roster_pb2.ROSTER_STATE_WAITING: ("waiting", "排队中"),
    roster_pb2.ROSTER_STATE_RUNNING: ("running", "运行中"),
    roster_pb2.ROSTER_STATE_DONE: ("done", "已完成"),
    roster_pb2.ROSTER_STATE_FAILED: ("failed", "失败"),
    roster_pb2.ROSTER_STATE_CANCELLED: ("cancelled", "已取消"),
}
LINE_EVERY_S: Final = 5.0


class Shown:
    """What is shown while a run goes on, on standard error: results and their list belong to standard output."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._last_line = ""
        self._line_at = 0.0
        self._clock = SystemClock()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[told]}"),
                console=self._console,
                transient=False,
            )
            self._bar.start()
            self._task = self._bar.add_task("", total=None, told="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def step(self, what: str, done: int, total: int, told: str = "", *, at_once: bool = False) -> None:
        """So much of a step is done."""
        if self._bar is not None:
            self._bar.update(self._task, description=what, completed=done, total=total or None, told=told)
            return
        now = self._clock.monotonic()
        share = f"{done / total:.0%}" if total else ""
        line = "  ".join(filter(None, (what, share, told)))
        if line != self._last_line and (at_once or now - self._line_at >= LINE_EVERY_S):
            self._last_line, self._line_at = line, now
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """Something to be read."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def table(self, table: Table) -> None:
        """A table."""
        self._console.print(table)

    def run(self, run: roster_pb2.RosterRun, of: str = "") -> None:
        """How a run stands, of one of several where it says which."""
        ended = run.state not in (roster_pb2.ROSTER_STATE_WAITING, roster_pb2.ROSTER_STATE_RUNNING)
        if run.reading:
            what = say(f"reading, {run.rows_read} rows", f"读取名册，已读 {run.rows_read} 行")
            self.step(f"{of} {what}".strip(), run.answered, 0, _told(run))
        else:
            state = say(*STATES[run.state])
            self.step(f"{of} {state}".strip(), run.answered, run.asked, _told(run), at_once=ended)


def _told(run: roster_pb2.RosterRun) -> str:
    parts = []
    if run.rows_per_s:
        parts.append(say(f"{run.rows_per_s:,.0f} people/s", f"{run.rows_per_s:,.0f} 人/秒"))
    if run.seconds_left:
        left = dt.timedelta(seconds=round(run.seconds_left))
        parts.append(say(f"{left} left", f"剩余 {left}"))
    for each in run.provinces:
        if each.waited_for and each.reason == words.REFUSAL_REASON_QUOTA_EXCEEDED:
            parts.append(held_back(each))
    parts += [lacking(each) for each in run.provinces if each.HasField("asks_again")]
    waited = [(each.member_name_zh if chinese() else each.member_name_en) for each in run.provinces if each.waited_for]
    if waited:
        names = plain(", ".join(waited))
        parts.append(say(f"waiting for {names}", f"等待 {names}"))
    return "  ".join(parts)


def held_back(province: roster_pb2.RosterProvince) -> str:
    """That a province has, or had, the run wait because of too many people: how often, how long, why, until when."""
    name = province.member_name_zh if chinese() else province.member_name_en
    waited = dt.timedelta(seconds=province.held_back_s)
    until = ""
    if province.waited_for and province.HasField("next_try"):
        at = _local(province.next_try.ToMilliseconds()).strftime("%H:%M:%S")
        until = say(f", next try at {at}", f"，{at} 再试")
    return plain(
        say(
            f"held back by {name} {province.held_back} times, {waited} in all{until}: {province.held_back_en}",
            f"{name}限制查询 {province.held_back} 次，共等待 {waited}{until}：{province.held_back_zh}",
        )
    )


def lacking(province: roster_pb2.RosterProvince) -> str:
    """That departments of a province did not answer: in how many questions, how often they were asked again, and when
    they will be.
    """
    name = province.member_name_zh if chinese() else province.member_name_en
    of = f"{province.lacking}/{province.questions}"
    if province.HasField("asks_again"):
        at = _local(province.asks_again.ToMilliseconds()).strftime("%H:%M:%S")
        en, zh = f"; asked again at {at}", f"，{at} 再次查询"
    else:
        en = f"; asked again {province.asked_again} times. See silent_sources in the results, and run them again later"
        zh = f"，已再次查询 {province.asked_again} 次。见结果中的“未答复来源”，可稍后重新运行"
    return plain(
        say(f"{name}: departments did not answer in {of} questions{en}", f"{name}有部门未答复（{of} 批次）{zh}")
    )


def table(runs: list[roster_pb2.RosterRun]) -> Table:
    """Runs as a table."""
    shown = listing(
        say("run", "任务"),
        say("state", "状态"),
        say("submitted", "提交时间"),
        say("file", "文件"),
        say("people", "人数"),
        say("rejected", "退回"),
        say("as of", "截至"),
    )
    for run in runs:
        shown.add_row(
            run.run_id.hex(),
            say(*STATES[run.state]),
            moment(run.submitted_at.ToMilliseconds()),
            plain(run.file_name),
            f"{run.rows_done}",
            f"{run.rows_rejected}",
            run.as_of,
        )
    return shown


def came_to(counts: Counts) -> Table:
    """What a run came to: how many of each certification status, and what an official is to look at."""
    from gateway.roster.results.amounts import share
    from gateway.roster.results.headings import NO_ANSWER
    from gateway.wording import PROPOSALS

    shown = listing(say("certification status", "认证状态"), say("people", "人数"), say("share", "占比"), right=(1, 2))
    people = counts.by("certification")
    for status, name in (*PROPOSALS.items(), (0, NO_ANSWER)):
        if status in people:
            shown.add_row(say(name.en, name.zh), f"{people[status]:,}", share(people[status], counts.people))
    for label, count in (
        (say("rows rejected", "退回的行"), counts.rejected),
        (say("findings", "发现的问题（人次）"), sum(counts.findings.values())),
        (say("overpaid", "多发待遇人数"), counts.total("overpaid")),
    ):
        shown.add_row(label, f"{count:,}", "")
    return shown


def came_to_json(counts: Counts) -> dict[str, Any]:
    """The same for programs."""
    of = words.CertificationStatus
    statuses = {of.Name(of.ValueType(key)): count for key, count in counts.by("certification").items()}
    return {
        "people": counts.people,
        "by_certification": {name.removeprefix("CERTIFICATION_STATUS_"): count for name, count in statuses.items()},
        "rejected": counts.rejected,
        "findings": dict(counts.findings),
        "overpaid": {"people": counts.total("overpaid"), "net_fen": counts.total("net_fen")},
    }


def provinces(run: roster_pb2.RosterRun) -> Table:
    """How far each province is."""
    shown = listing(
        say("province", "省份"),
        say("questions", "查询批次"),
        say("answered", "已答复"),
        say("refused", "被拒绝"),
        say("given up", "逾期"),
        "",
    )
    for each in run.provinces:
        note = ""
        if each.held_back:
            note = held_back(each)
        elif each.waited_for:
            note = plain(each.message_zh if chinese() else each.message_en)
        elif each.lacking:
            note = lacking(each)
        shown.add_row(
            plain(each.member_name_zh if chinese() else each.member_name_en),
            *(str(count) for count in (each.questions, each.answered, each.refused, each.given_up)),
            note,
        )
    return shown


def moment(at_ms: int) -> str:
    """A time in Asia/Shanghai."""
    return _local(at_ms).strftime("%Y-%m-%d %H:%M")


def file_time(at_ms: int) -> str:
    """A time in Asia/Shanghai as a name that sorts."""
    return _local(at_ms).strftime("%Y-%m-%d-%H%M%S")


def _local(at_ms: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(at_ms / 1000, dt.timezone(dt.timedelta(hours=8)))
