"""`wugan demo score`: how right a demo federation is, and what it does about whom.

Owns: the layout, and what each grade means in words. Refuses: counting (`gateway.demo.score`).
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console

from gateway import wording
from gateway.cli import EXIT_REFUSED, EXIT_UNREACHABLE
from gateway.cli.demo_options import DIR, JSON, life, or_exit, status_word
from gateway.cli.failing import end
from gateway.cli.language import say
from gateway.cli.report import named
from gateway.cli.tables import listing
from wugan.federation.v1 import vocabulary_pb2 as words

if TYPE_CHECKING:
    from rich.table import Table

    from gateway.demo.launch import Demo
    from gateway.demo.score import Score

LIVES_SHOWN: Final = 4
MEANING: Final = {
    "ALIVE_STRONG": (
        "two or more independent departments saw the person, one of them by real name, within the last three months",
        "两个以上相互独立的部门有活动轨迹，至少一项实名，最近一次在三个月内",
    ),
    "ALIVE_MEDIUM": (
        "one trace by real name within half a year, or several weaker ones: a face check on the phone is asked for",
        "半年内有一项实名轨迹，或有多项较弱轨迹：请本人远程刷脸",
    ),
    "ALIVE_WEAK": (
        "nothing that could not be somebody else's doing: a grid worker visits",
        "现有轨迹可能由他人代为产生：由网格员上门核查",
    ),
    "DECEASED": (
        "a department that registers deaths has one, and nobody saw the person since",
        "主管部门有死亡登记，此后无活动轨迹",
    ),
    "DECEASED_SUSPECTED": ("a lead or an unconfirmed record: verified first", "仅有线索或未经确认的记录：先行核实"),
    "MISSING": ("reported or declared missing", "已报失踪或被宣告失踪"),
    "CONFLICT": ("records contradict each other: an official looks", "记录相互矛盾：由工作人员核实"),
    "UNKNOWN": ("no department knows the number: a face check is asked for", "各部门均查无此人：请本人远程刷脸"),
}
"""SurvivalStatus → what it rests on and what follows."""


@click.command(
    help=say(
        "Run every agency's roster through its gateway and hold the results against the truth: precision and recall "
        "per status, who is certified without being bothered, known deaths, proposals to stop. With --people a "
        "federation of so many people is started in --dir first, and stopped afterwards; otherwise the one that runs "
        "there is scored. Exit code 1 when a living person was called dead or proposed for stopping without a cause, "
        "when a benefit that a fact on record ended goes on, when a known death was missed, when somebody of whom a "
        "record does not read was certified or not told as incomplete, or when somebody was not answered; 3 when a "
        "gateway was not reached.",
        "将各经办机构的名册经其网关批量核验，并与真实情况比对：各状态的查准率与查全率、免打扰认证比例、"
        "已登记死亡的发现情况、拟停发情况。指定 --people 时，先在 --dir 目录启动相应人数的演示联盟，结束后停止；"
        "否则对该目录中正在运行的联盟评分。若有在世者被判为死亡或被无故拟停发、已有登记的终止事由未被发现、"
        "已登记死亡被遗漏、有记录无法读取者被认证或未注明信息不完整，或有人未获答复，退出码为 1；无法连接网关时为 3。",
    )
)
@DIR
@click.option(
    "--people",
    type=click.IntRange(60, 5_000_000),
    default=None,
    help=say("people of a federation that is started for this", "为评分启动的演示联盟的人数"),
)
@click.option(
    "--provinces", type=click.IntRange(2, 31), default=3, show_default=True, help=say("of it", "该联盟的省份数量")
)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help=say("of it", "该联盟的随机种子"))
@JSON
def score(folder: Path, people: int | None, provinces: int, seed: int, json_out: bool) -> None:
    """Score the federation."""
    from gateway.demo import launch
    from gateway.log import configure

    if people is None:
        result = or_exit(lambda: _score(launch.load(folder)))
    else:
        configure("WARNING")  # founding opens stores, whose lines would stand among what is printed
        click.echo(
            say(
                f"starting {provinces} provinces with {people} people …",
                f"正在启动 {provinces} 个省份、{people} 名人员……",
            ),
            err=True,
        )
        started = or_exit(lambda: launch.up(folder, provinces=provinces, people=people, seed=seed))
        try:
            result = or_exit(lambda: _score(started))
        finally:
            launch.down(folder)
    if json_out:
        click.echo(json.dumps(result.as_json(), ensure_ascii=False, indent=2))
    else:
        _print(Console(), result)
    if not result.passed:
        raise SystemExit(EXIT_REFUSED)


def _score(demo: Demo) -> Score:
    """Score it, and tell on standard error how far it is."""
    import grpc

    from gateway.cli.client import fail, fail_with
    from gateway.cli.roster_show import Shown
    from gateway.demo.score import score as run_score
    from gateway.status import from_rpc_error

    if not demo.ready or not any(process.alive() for process in demo.processes):
        end(
            f"the demo in {demo.folder} does not run; start it with `wugan demo up --dir {demo.folder} --detach`",
            f"{demo.folder} 中的演示环境未在运行，请先运行 `wugan demo up --dir {demo.folder} --detach`",
            EXIT_UNREACHABLE,
        )
    with Shown(Console(stderr=True)) as shown:
        try:
            return asyncio.run(run_score(demo, lambda unit, run: shown.run(run, unit)))
        except grpc.aio.AioRpcError as error:
            ours = from_rpc_error(error)
            if ours is not None:
                fail_with(ours)
            fail(say("a gateway of the demo cannot be reached", "无法连接演示网关"), EXIT_UNREACHABLE)


def _print(console: Console, result: Score) -> None:
    console.print(_statuses(result))
    flag_recall = result.flags_raised / result.flags_expected if result.flags_expected else 1.0
    console.print(
        say(
            f"{result.asked} rows in {result.rosters} rosters, flags raised {flag_recall:.1%}, "
            f"incomplete {result.partial}, living people called dead: {result.living_called_dead}",
            f"{result.rosters} 份名册共 {result.asked} 行，标记查全率 {flag_recall:.1%}，信息不完整 {result.partial}，"
            f"在世者被判为死亡：{result.living_called_dead}",
        ),
        highlight=False,
    )
    console.print()
    console.print(
        say(
            f"Certified without bothering anyone: {result.certified} of {result.judged}, {result.certified_share:.1%}",
            f"免打扰认证：{result.judged} 人中 {result.certified} 人，占 {result.certified_share:.1%}",
        ),
        style="bold",
        highlight=False,
    )
    console.print(_grades(result))
    _print_deaths(console, result)
    for code, count in result.failed.most_common():
        console.print(say(f"not answered: {code} × {count}", f"未获答复：{code} × {count}"), style="red")
    for (case, expected, answered), count in result.wrong.most_common(20):
        told = f"{life(case)}{say(': ', '：')}{status_word(expected)} → {status_word(answered)} × {count}"
        console.print(told, style="yellow", highlight=False)
    if result.cases:
        console.print(say("\nWhat the evidence cannot know:", "\n证据无法得知的情况："))
        for case, (en, zh) in sorted(result.cases.items()):
            console.print(f"  {life(case)}{say(': ', '：')}{say(en, zh)}", highlight=False)


def _print_deaths(console: Console, result: Score) -> None:
    """Known deaths, proposals to stop, and rows that do not read; whoever made the score fail, masked."""
    missed = result.deaths_known - result.deaths_stopped - result.deaths_suspected
    console.print(
        say(
            f"Deaths known to any department: {result.deaths_known}, found {result.death_recall:.1%} "
            f"(proposed for stopping {result.deaths_stopped}, to be verified {result.deaths_suspected}); "
            f"known to nobody yet: {result.deaths_unknown}",
            f"任一部门已知的死亡：{result.deaths_known} 人，发现 {result.death_recall:.1%}"
            f"（拟停发 {result.deaths_stopped}，待核实 {result.deaths_suspected}）；"
            f"各部门均尚不知：{result.deaths_unknown} 人",
        ),
        style="red" if missed else None,
        highlight=False,
    )
    ended = say(", ", "、").join(
        f"{named(wording.FLAGS, words.EntitlementFlag.Value('ENTITLEMENT_FLAG_' + flag))} {count}"
        for flag, count in result.living_ended.most_common()
    )
    console.print(
        say(
            f"Living people proposed for stopping though nothing ended their benefit: {result.living_stopped}; "
            f"because a fact ended it: {result.living_ended.total()} ({ended or 'none'})",
            f"在世且待遇未终止而被拟停发：{result.living_stopped} 人；"
            f"因终止或暂停事由拟停发：{result.living_ended.total()} 人（{ended or '无'}）",
        ),
        style="red" if result.living_stopped else None,
        highlight=False,
    )
    if result.living_paid_on:
        console.print(
            say(
                f"Living people whose benefit goes on though a fact on record ended it: {result.living_paid_on}",
                f"在世且已有登记的终止或暂停事由，待遇却继续发放：{result.living_paid_on} 人",
            ),
            style="red",
            highlight=False,
        )
    console.print(
        say(
            f"People of whom civil affairs hold records that do not read: {result.unread}, told as incomplete "
            f"{result.unread_told}, certified {result.unread_certified}; incomplete for other reasons: "
            f"{result.incomplete_otherwise}",
            f"民政有记录无法读取的人员：{result.unread} 人，其中注明信息不完整 {result.unread_told} 人，"
            f"被认证 {result.unread_certified} 人；因其他原因信息不完整：{result.incomplete_otherwise} 人",
        ),
        style="red" if result.unread_wrong else None,
        highlight=False,
    )
    for each in result.mistakes:
        told = f"  {each.who}  {life(each.case)}  {status_word(each.answered)}  {', '.join(each.reasons)}"
        console.print(told, style="red", highlight=False, markup=False)


def _statuses(result: Score) -> Table:
    table = listing(
        say("status", "状态"),
        say("expected", "应有"),
        say("given", "判定"),
        say("precision", "查准率"),
        say("recall", "查全率"),
    )
    for name, tally in sorted(result.tallies.items()):
        table.add_row(
            status_word(name), str(tally.expected), str(tally.given), f"{tally.precision:.1%}", f"{tally.recall:.1%}"
        )
    return table


def _grades(result: Score) -> Table:
    """Each grade: how many, what follows, what it rests on, and which lives are behind it."""
    from gateway.demo.case_words import CASE_WORDS

    table = listing(
        say("grade", "分级"),
        say("people", "人数"),
        say("share", "占比"),
        say("what follows", "处理"),
        say("because", "依据"),
    )
    for status in result.statuses():
        proposals = {proposal: count for (of, proposal), count in result.grades.items() if of == status}
        people = sum(proposals.values())
        follows = "\n".join(
            f"{_proposal(proposal)} {count}" for proposal, count in sorted(proposals.items(), key=lambda each: -each[1])
        )
        lives = result.lives_of(status)
        behind = say(", ", "、").join(
            f"{say(case.replace('_', ' '), CASE_WORDS.get(case, case))} {count}" for case, count in lives[:LIVES_SHOWN]
        )
        more = len(lives) - LIVES_SHOWN
        if more > 0:
            behind += say(f" and {more} more kinds of life", f" 等另 {more} 类情形")
        because = f"{say(*MEANING[status])}\n{behind}"
        grade = named(wording.STATUSES, words.SurvivalStatus.Value(f"SURVIVAL_STATUS_{status}"))
        table.add_row(grade, str(people), f"{people / result.judged:.1%}", follows, because)
    return table


def _proposal(name: str) -> str:
    return named(wording.PROPOSALS, words.CertificationStatus.Value(f"CERTIFICATION_STATUS_{name}"))
