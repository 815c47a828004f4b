"""A report as one JSON object, and as one page: no script, nothing fetched, no number or name of anybody.

Owns: both forms. Refuses: the terminal, which is the command's.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from html import escape
from typing import Final

from adapters.conformance.case import Group, Outcome, Say
from adapters.conformance.running import Report, Result
from wugan.adapter.v1 import vocabulary_pb2 as words

FORMAT = 1
"""Of the JSON object; raised when a field changes its meaning."""

OUTCOMES: Final = {
    Outcome.PASSED: Say("passed", "通过"),
    Outcome.NOTED: Say("noted", "提示"),
    Outcome.FAILED: Say("failed", "未通过"),
    Outcome.NOT_TRIED: Say("not tried", "未检查"),
}
_COLOURS: Final = {
    Outcome.PASSED: "#2f7d5b",
    Outcome.NOTED: "#e0a63a",
    Outcome.FAILED: "#c2463c",
    Outcome.NOT_TRIED: "#9aa5b1",
}
_STYLE: Final = """
:root{--ink:#1f2a37;--soft:#5b6776;--line:#d5dce4;--tile:#f3f6f9}
*{box-sizing:border-box}
body{margin:0 auto;padding:18px 22px;max-width:900px;color:var(--ink);background:#fff;
font:13px/1.5 "Noto Sans CJK SC","Source Han Sans SC","Microsoft YaHei","PingFang SC","Noto Sans",sans-serif}
h1{font-size:21px;margin:0}h2{font-size:14px;margin:14px 0 4px}
header{border-bottom:2px solid var(--ink);padding-bottom:7px;margin-bottom:11px}
header p{margin:3px 0 0;color:var(--soft)}
.verdict{font-size:16px;font-weight:600;padding:8px 11px;border-left:5px solid var(--c);background:var(--tile)}
.tiles{display:grid;grid-template-columns:repeat(4,1fr);gap:8px;margin:10px 0}
.tile{background:var(--tile);border-left:4px solid var(--c);padding:6px 9px}
.tile b{display:block;font-size:20px;line-height:1.2;font-variant-numeric:tabular-nums}
.tile span{color:var(--soft);font-size:11.5px}
table{border-collapse:collapse;width:100%}
td{border-bottom:1px solid var(--line);padding:3px 6px;vertical-align:top}
td:first-child{width:62px;color:var(--c);font-weight:600;white-space:nowrap}
td:nth-child(2){width:190px;font-family:ui-monospace,Consolas,monospace;font-size:11.5px;word-break:break-word}
td p{margin:1px 0 0}td .why{color:var(--c)}td .do,td .at{color:var(--soft)}td .at{font-size:11.5px}
footer{border-top:1px solid var(--line);margin-top:14px;padding-top:6px;color:var(--soft);font-size:11.5px}
@page{size:A4 portrait;margin:10mm}
@media print{body{padding:0;max-width:none;font-size:11px}tr{break-inside:avoid}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
@media (max-width:640px){.tiles{grid-template-columns:1fr 1fr}td:nth-child(2){width:auto}}
"""


def day_text(day: int) -> str:
    """A civil day as a date."""
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()


def as_json(report: Report) -> dict[str, object]:
    """The report as one object; see docs/adapters/conformance.md."""
    about = report.about
    return {
        "format": FORMAT,
        "conforms": report.conforms,
        "whole": report.whole,
        "target": report.target,
        "as_of": day_text(report.day),
        "adapter": {
            "adapter_id": about.adapter_id,
            "version": about.version,
            "department": _department(about.department),
            "regions": list(about.regions),
            "max_batch": about.max_batch,
            "links": about.links,
            "changes": about.changes,
        },
        "people_known": report.people,
        "largest_batch": report.largest,
        "answers": report.answers,
        "counts": {outcome.value: count for outcome, count in report.counts.items()},
        "cases": [_case(result) for result in report.results],
    }


def _case(result: Result) -> dict[str, object]:
    case = result.case
    told: dict[str, object] = {
        "id": case.id,
        "outcome": result.outcome.value,
        "rule": case.rule._asdict(),
        "reference": case.reference,
    }
    if result.outcome is not Outcome.PASSED:
        told["says"] = result.says._asdict()
    if result.outcome in (Outcome.FAILED, Outcome.NOTED):
        told["advice"] = case.advice._asdict()
    return told


def _department(number: int) -> str:
    if number not in words.Department.values():
        return ""
    return words.Department.Name(words.Department.ValueType(number)).removeprefix("DEPARTMENT_")


def verdict(report: Report) -> Say:
    """The report in one sentence."""
    failed = len(report.failed)
    if failed:
        return Say(f"Does not conform: {failed} cases failed", f"不符合接入规范：{failed} 项未通过")
    if not report.whole:
        return Say("No case of this part failed", "所选部分全部通过")
    return Say("Conforms to the contract", "符合接入规范")


def page(report: Report, *, chinese: bool, department: str = "") -> str:
    """The report as one HTML page.

    Args:
        report: of a run.
        chinese: in which language.
        department: what it is called there; default: its word in a manifest.
    """

    def say(text: Say) -> str:
        return escape(text.zh if chinese else text.en)

    about = report.about
    title = say(Say("Conformance of an adapter", "部门接入一致性检查报告"))
    facts = (
        f"{escape(about.adapter_id)} · {escape(about.version)} · {escape(department or _department(about.department))}",
        say(Say("as of", "日期")) + " " + day_text(report.day),
        say(Say(f"{report.people} people of the sample known", f"样例中有 {report.people} 人已知")),
        say(Say(f"largest batch {report.largest}", f"最大批次 {report.largest} 人")),
        say(Say(f"{report.answers} answers examined", f"检查应答 {report.answers} 次")),
    )
    tiles = "".join(
        f'<div class="tile" style="--c:{_COLOURS[outcome]}"><b>{count}</b><span>{say(OUTCOMES[outcome])}</span></div>'
        for outcome, count in report.counts.items()
    )
    groups = []
    for group in Group:
        rows = "".join(_row(result, say) for result in report.results if result.case.group is group)
        if rows:
            groups.append(f"<h2>{say(group.title)}</h2><table>{rows}</table>")
    colour = _COLOURS[Outcome.PASSED if report.conforms else Outcome.FAILED]
    foot = Say(
        "Cases that could not be tried say why; give a sample of people to have them tried. "
        "The report holds no identity number and no name.",
        "未检查的项目均注明原因，提供人员样例后可检查。本报告不含身份号码与姓名。",
    )
    return (
        f'<!DOCTYPE html>\n<html lang="{"zh-CN" if chinese else "en"}"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}: {escape(about.adapter_id)}</title><style>{_STYLE}</style></head><body>\n"
        f"<header><h1>{title}</h1><p>{' · '.join(facts)}</p></header>\n"
        f'<main><p class="verdict" style="--c:{colour}">{say(verdict(report))}</p>\n<div class="tiles">{tiles}</div>\n'
        + "\n".join(groups)
        + f"</main>\n<footer>{say(foot)}</footer>\n</body></html>\n"
    )


def _row(result: Result, say: Callable[[Say], str]) -> str:
    case, outcome = result.case, result.outcome
    more = ""
    if outcome is not Outcome.PASSED:
        more += f'<p class="why">{say(result.says)}</p>'
    if outcome in (Outcome.FAILED, Outcome.NOTED):
        more += f'<p class="do">{say(case.advice)}</p><p class="at">{escape(case.reference)}</p>'
    return (
        f'<tr style="--c:{_COLOURS[outcome]}"><td>{say(OUTCOMES[outcome])}</td><td>{case.id}</td>'
        f"<td>{say(case.rule)}{more}</td></tr>"
    )
