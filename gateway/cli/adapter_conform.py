"""`wugan adapter conform`: prove any adapter, by a hundred cases.

Owns: what is proved and with which people, and the report on the terminal, as JSON and as a page. Refuses: the cases
(`adapters.conformance`), and showing anybody: people of the sample are called by their line.
"""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

import click

from certs.system_words import cause
from gateway.cli import EXIT_FAULTY, EXIT_REFUSED, EXIT_UNREACHABLE, EXIT_USAGE
from gateway.cli.language import chinese, plain, say

if TYPE_CHECKING:
    from adapters.conformance import Bounds, Report, Result, Sample, Target

_MOST_PEOPLE = 100_000
_ADDRESS = re.compile(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}")
_MARKS = {"passed": "✓", "noted": "!", "failed": "✗", "not_tried": "-"}


@click.command(
    help=say(
        "Prove an adapter by the cases of the contract. TARGET is a manifest, or host:port of an AdapterService. "
        "Without --sample only those cases are tried that need nobody, or a number that the source itself names. "
        "Exit codes: 0 conforms, 1 does not, 2 wrong usage or manifest, 3 not reached, 4 it answers nonsense at once.",
        "按接入规范逐项检查接入。TARGET 为清单文件，或 AdapterService 的 主机:端口。"
        "未给出 --sample 时，只检查无需人员样例、"
        "或数据源可自行给出样例的项目。退出码：0 符合，1 不符合，2 用法或清单有误，3 无法连接，4 首次应答即有误。",
    )
)
@click.argument("target", required=False)
@click.option(
    "--sample",
    type=click.Path(dir_okay=False, path_type=Path),
    help=say(
        "CSV: id_number, name, known (yes, no, unreadable), kind, observed_on",
        "CSV：身份号码、姓名、是否有此人、证据类型、发生日期",
    ),
)
@click.option(
    "--people",
    type=click.IntRange(1, _MOST_PEOPLE),
    default=10_000,
    show_default=True,
    help=say("people in the largest batch tried, at most", "最大批次人数上限"),
)
@click.option(
    "--deadline",
    type=click.FloatRange(0.1, 600),
    default=30.0,
    show_default=True,
    help=say("seconds given to a lookup", "单次查询时限（秒）"),
)
@click.option(
    "--only",
    multiple=True,
    help=say("beginning of the ids of cases to try; repeatable", "只检查编号以此开头的项目，可重复"),
)
@click.option(
    "--certs",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help=say(
        "for host:port: folder with certificate.pem, key.pem, roots.pem to call with",
        "主机:端口 时：调用所用证书目录（certificate.pem、key.pem、roots.pem）",
    ),
)
@click.option(
    "--tls-name",
    help=say(
        "for host:port: DNS name it must prove; default: the host", "主机:端口 时：对方证书须证明的域名，默认为主机名"
    ),
)
@click.option(
    "--start",
    help=say(
        "for host:port: command that starts the adapter there; it is then started anew, in other time zones too",
        "主机:端口 时：启动该接入的命令；据此可重启并在其他时区启动",
    ),
)
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help=say("write a page", "写出网页报告"))
@click.option("--json", "json_out", is_flag=True, help=say("print JSON", "输出 JSON"))
@click.option("--list", "listing", is_flag=True, help=say("list the cases and end", "列出检查项目"))
def conform(
    target: str | None,
    sample: Path | None,
    people: int,
    deadline: float,
    only: tuple[str, ...],
    certs: Path | None,
    tls_name: str | None,
    start: str | None,
    html: Path | None,
    json_out: bool,
    listing: bool,
) -> None:
    """Open the target, run the cases, tell how they ended."""
    from adapters.conformance import ALL_CASES, Bounds, Sample, SampleError
    from adapters.conformance.running import cases_named

    if listing:
        for case in ALL_CASES:
            click.echo(f"{case.id:<32}{say(*case.rule)}")
        return
    if target is None:
        raise click.UsageError(say("give TARGET: a manifest or host:port", "请给出 TARGET：清单文件或 主机:端口"))
    unknown = cases_named(only)
    if unknown:
        raise click.UsageError(say(f"no case begins with {unknown[0]!r}", f"没有编号以 {unknown[0]!r} 开头的项目"))
    try:
        given = Sample.read(sample) if sample is not None else None
    except SampleError as error:
        _fail(error.en, error.zh, EXIT_USAGE, json_out)
    bounds = Bounds(people=people, deadline_s=deadline)
    with tempfile.TemporaryDirectory(prefix="wugan-conform-") as state:
        opened = _Opened(target, Path(state), certs, tls_name, start)
        report = asyncio.run(_run(opened, given, bounds, only, json_out))
    if html is not None:
        _write(html, report, json_out)
    if json_out:
        from adapters.conformance.telling import as_json

        click.echo(json.dumps(as_json(report), ensure_ascii=False))
    else:
        _tell(report)
        _sum_up(report, html)
    raise SystemExit(0 if report.conforms else EXIT_REFUSED)


async def _run(opened: _Opened, sample: Sample | None, bounds: Bounds, only: tuple[str, ...], json_out: bool) -> Report:
    """The report, or the end with the exit code of what went wrong first."""
    from adapters.conformance import StartedTarget, conform
    from adapters.errors import AdapterError, ManifestError, SourceDownError
    from gateway.log import configure

    configure("ERROR")  # what the kinds log would stand among what is printed
    try:
        target = _target(opened, bounds.deadline_s)
        progress = _Progress()
        try:
            return await conform(target, sample, bounds=bounds, only=only, told=progress.tell)
        finally:
            progress.end()
            if isinstance(target, StartedTarget):
                await target.stop()
    except ManifestError as error:
        _fail(error.en, error.zh, EXIT_USAGE, json_out)
    except SourceDownError as error:
        _fail(error.en, error.zh, EXIT_UNREACHABLE, json_out)
    except AdapterError as error:
        _fail(error.en, error.zh, EXIT_FAULTY, json_out)


class _Opened(NamedTuple):
    """What is to be proved, as it was given."""

    target: str
    state: Path
    certs: Path | None
    tls_name: str | None
    start: str | None


def _target(opened: _Opened, timeout_s: float) -> Target:
    """What is proved.

    Raises:
        ManifestError: the manifest is wrong.
    """
    from adapters.build import load_manifest
    from adapters.conformance import ManifestTarget, RemoteTarget, StartedTarget

    address = _ADDRESS.fullmatch(opened.target)
    if address is None or Path(opened.target).exists():
        return ManifestTarget(load_manifest(Path(opened.target)), opened.state)
    if opened.certs is None:
        raise click.UsageError(say("an address needs --certs", "地址须与 --certs 同用"))
    from adapters.tls import TlsFiles

    certs = opened.certs
    files = TlsFiles(certs / "certificate.pem", certs / "key.pem", certs / "roots.pem")
    name = opened.tls_name or address[1].strip("[]")
    if opened.start:
        return StartedTarget(shlex.split(opened.start), opened.target, name, files, timeout_s)
    return RemoteTarget(opened.target, name, files, timeout_s)


class _Progress:
    """Which case was tried last, on a terminal that somebody looks at."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()
        self._done = 0

    def tell(self, result: Result) -> None:
        """One more."""
        self._done += 1
        if self._shown:
            click.echo(f"\r{self._done} {result.case.id:<40}", nl=False, err=True)

    def end(self) -> None:
        """Take the line away."""
        if self._shown:
            click.echo("\r" + " " * 48 + "\r", nl=False, err=True)


def _tell(report: Report) -> None:
    """A heading for each group, a line for each case, and what to do where one failed."""
    from adapters.conformance import Group

    for group in Group:
        results = [result for result in report.results if result.case.group is group]
        if results:
            click.echo(say(*group.title))
        for result in results:
            case, outcome = result.case, result.outcome.value
            click.echo(f"  {_MARKS[outcome]} {case.id:<30} {say(*case.rule)}")
            if outcome != "passed":
                click.echo(f"      {plain(say(*result.says))}")
            if outcome in ("failed", "noted"):
                click.echo(f"      → {say(*case.advice)} ({case.reference})")


def _sum_up(report: Report, html: Path | None) -> None:
    from adapters.conformance.telling import OUTCOMES, verdict

    counts = say("; ", "；").join(f"{say(*OUTCOMES[outcome])} {count}" for outcome, count in report.counts.items())
    colon = say(": ", "：")
    click.echo(
        f"{'✓' if report.conforms else '✗'} {plain(report.about.adapter_id)}{colon}{say(*verdict(report))}"
        + say(f" ({counts})", f"（{counts}）")
    )
    if html is not None:
        click.echo(say(f"report: {html}", f"报告：{html}"))


def _write(path: Path, report: Report, json_out: bool) -> None:
    from adapters.conformance.telling import page
    from gateway.wording import DEPARTMENTS, word

    named = word(DEPARTMENTS, report.about.department).said("zh" if chinese() else "en")
    try:
        path.write_text(page(report, chinese=chinese(), department=named), encoding="utf-8")
    except OSError as error:
        _fail(
            f"{path}: cannot be written ({cause(error).en})",
            f"{path}：无法写入（{cause(error).zh}）",
            EXIT_USAGE,
            json_out,
        )


def _fail(en: str, zh: str, code: int, json_out: bool) -> NoReturn:
    if json_out:
        click.echo(json.dumps({"error": {"en": en, "zh": zh}, "exit_code": code}, ensure_ascii=False))
    else:
        click.echo(f"✗ {plain(say(en, zh))}", err=True)
    raise SystemExit(code)
