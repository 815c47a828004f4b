"""The monthly report that a department is sent: one page, self-contained, without a name or number of anybody.

Owns: what is shown, in which words. Refuses: counting and judging (`judging.py`), scripts, anything fetched.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final, NamedTuple

from gateway.quality.counters import BEYOND, CLASSES, EDGES, C, Counts, Key, total
from gateway.quality.judging import (
    ADVICE,
    DEFECTS,
    FINDINGS,
    GRADES,
    Found,
    Grade,
    Quality,
    Thresholds,
    answered,
    by_item,
    findings_of,
    known,
    month_before,
    months_until,
    quality_of,
)
from gateway.store.quality import Shown
from gateway.wording import DEPARTMENTS, KINDS, Language, Word, word

_AGAINST: Final = re.compile(r"@(\d{1,3}):(\d{1,3}):([\d-]*)")
TREND: Final = 6
"""Months of the trend, the month of the report included."""
_STYLE: Final = """
:root{--ink:#1f2a37;--soft:#5b6776;--line:#d5dce4;--tile:#f3f6f9}
*{box-sizing:border-box}
body{margin:0 auto;padding:18px 22px;max-width:900px;color:var(--ink);background:#fff;
font:12.5px/1.5 "Noto Sans CJK SC","Source Han Sans SC","Microsoft YaHei","PingFang SC","Noto Sans",sans-serif}
h1{font-size:21px;margin:0}h2{font-size:14px;margin:0 0 6px}
header{border-bottom:2px solid var(--ink);padding-bottom:7px;margin-bottom:12px;display:flex;gap:12px;
justify-content:space-between;align-items:flex-end}
header p{margin:2px 0 0;color:var(--soft)}
.tiles{display:grid;grid-template-columns:repeat(5,1fr);gap:8px;margin-bottom:14px}
.tile{background:var(--tile);border-left:4px solid var(--c);padding:7px 9px}
.tile b{display:block;font-size:20px;line-height:1.2;font-variant-numeric:tabular-nums;white-space:nowrap}
.tile span{color:var(--soft);font-size:11px}
section{margin-bottom:14px;break-inside:avoid}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:12px}
th{font-weight:600;text-align:right;border-bottom:1px solid var(--ink);padding:3px 5px;vertical-align:bottom}
td{text-align:right;border-bottom:1px solid var(--line);padding:3px 5px;vertical-align:top}
th:first-child,td:first-child,.words th,.words td{text-align:left}
.bad{color:#b3382e;font-weight:600}.warn{color:#a86a00;font-weight:600}
.mono{font-family:ui-monospace,Consolas,monospace;font-size:11px;margin:0;padding:0;list-style:none;color:var(--soft)}
svg{display:block;width:100%;height:auto}svg text{font-size:11px;fill:var(--soft)}
.none{color:var(--soft);margin:0}
footer{border-top:1px solid var(--line);padding-top:6px;color:var(--soft);font-size:11px}
@page{size:A4 portrait;margin:10mm}
@media print{body{padding:0;max-width:none;font-size:11px}*{print-color-adjust:exact}}
@media (max-width:640px){.tiles{grid-template-columns:1fr 1fr}main{overflow-x:auto}}
"""
_COMPLETE, _VALID, _TIMELY, _CONSISTENT = (
    Word("完整率", "complete"),
    Word("有效率", "valid"),
    Word("及时率", "timely"),
    Word("一致率", "consistent"),
)


class Month(NamedTuple):
    """Everything a report is made of.

    Args:
        month: 202611.
        counts: of that month, by key.
        earlier: of the months before, for findings and trend.
        examples: of that month.
    """

    month: int
    counts: Mapping[Key, Counts]
    earlier: Mapping[Key, Counts]
    examples: Sequence[Shown]


def narrowed(month: Month, department: int, adapter: str = "") -> Month:
    """What concerns one department, or one of its adapters."""

    def mine(key: Key) -> bool:
        return (not department or key.department == department) and (not adapter or key.adapter == adapter)

    adapters = {key.adapter for key in month.counts if mine(key)}
    return Month(
        month.month,
        {key: counts for key, counts in month.counts.items() if mine(key)},
        {key: counts for key, counts in month.earlier.items() if mine(key)},
        [one for one in month.examples if one.adapter in adapters],
    )


def findings(month: Month, thresholds: Thresholds) -> list[Found]:
    """What crosses a threshold in a month: sources, and items over all places, then places that stand out alone."""
    before = month_before(month.month)
    earlier = {key: counts for key, counts in month.earlier.items() if key.month == before}
    return findings_of(by_item(month.counts), by_item(earlier), thresholds)


def as_data(month: Month, thresholds: Thresholds) -> dict[str, Any]:
    """The report for programs."""
    return {
        "month": _month(month.month),
        "thresholds": thresholds.version,
        "sources": [
            {
                "adapter": key.adapter,
                "department": word(DEPARTMENTS, key.department).en,
                "lookups": int(counts[C.LOOKUPS]),
                "answered_per_mille": answered(counts),
                "asked": int(counts[C.ASKED]),
                "known_per_mille": known(counts),
            }
            for key, counts in by_item(month.counts).items()
            if key.kind == 0
        ],
        "items": [_item_data(quality_of(key, counts)) for key, counts in sorted(month.counts.items()) if key.kind],
        "findings": [
            {
                "adapter": one.key.adapter,
                "kind": word(KINDS, one.key.kind).en if one.key.kind else "",
                "finding": one.finding.name,
                "grade": one.grade.name,
                "count": one.some,
                "of": one.whole,
            }
            for one in findings(month, thresholds)
        ],
        "examples": [
            {
                "kind": word(KINDS, one.kind).en,
                "region": one.region,
                "defect": C(one.defect).name,
                "row": readable(one.text, "en"),
            }
            for one in month.examples
        ],
    }


def _item_data(found: Quality) -> dict[str, Any]:
    return {
        "adapter": found.key.adapter,
        "kind": word(KINDS, found.key.kind).en,
        "region": found.key.region,
        "rows": found.rows,
        "complete_per_mille": found.complete,
        "valid_per_mille": found.valid,
        "timely_per_mille": found.timely,
        "consistent_per_mille": found.consistent,
        "median_days": found.median_days,
        "p95_days": found.p95_days,
        "age_median_days": found.age_median_days,
    }


def readable(text: str, language: Language) -> str:
    """An example with the record that contradicts it in words."""

    def said(found: re.Match[str]) -> str:
        named = word(DEPARTMENTS, int(found[1])), word(KINDS, int(found[2]))
        return " ".join([*(one.said(language) for one in named), found[3]])

    return _AGAINST.sub(said, text)


def page(month: Month, thresholds: Thresholds, department: str, member: str, language: Language) -> str:
    """The report as HTML.

    Args:
        month: what concerns the department (`narrowed`).
        thresholds: what makes a finding.
        department: what to call it.
        member: who sends the report.
        language: of every word on it.
    """
    return _Page(month, thresholds, language).html(department, member)


class _Page:
    def __init__(self, month: Month, thresholds: Thresholds, language: Language) -> None:
        self._month, self._thresholds, self._language = month, thresholds, language
        self._items = by_item(month.counts)
        self._found = findings(month, thresholds)

    def html(self, department: str, member: str) -> str:
        say = self._say
        title = say("部门数据质量月报", "Monthly report on the quality of data")
        when = _month(self._month.month)
        policy = (
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        )
        lang = "zh-CN" if self._language == "zh" else "en"
        return (
            f'<!DOCTYPE html>\n<html lang="{lang}"><head><meta charset="utf-8">{policy}'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{title} {when}</title><style>{_STYLE}</style></head><body>\n"
            f"<header><div><h1>{title}</h1><p>{escape(department)}</p></div>"
            f"<p>{escape(member)} · {when}</p></header>\n<main>{self._tiles()}\n{self._findings()}\n{self._table()}\n"
            f"{self._places()}\n{self._delays()}\n{self._trend()}\n{self._examples()}</main>\n"
            f"<footer>{self._foot()}</footer>\n</body></html>\n"
        )

    def _say(self, zh: str, en: str) -> str:
        return zh if self._language == "zh" else en

    def _word(self, text: Word) -> str:
        return escape(text.said(self._language))

    def _tiles(self) -> str:
        sources = total(counts for key, counts in self._items.items() if key.kind == 0)
        items = total(counts for key, counts in self._items.items() if key.kind)
        all_items = quality_of(Key(self._month.month, "", 0, 1, 0), items)
        tiles = (
            (share_text(answered(sources)), Word("查询应答率", "lookups answered"), "#2f7d5b"),
            (share_text(known(sources)), Word("查得率", "people known"), "#1f2a37"),
            (share_text(all_items.complete), _COMPLETE, "#4f8fc4"),
            (share_text(all_items.timely), _TIMELY, "#e0a63a"),
            (f"{len(self._found)}", Word("发现的问题", "findings"), "#c2463c"),
        )
        made = "".join(
            f'<div class="tile" style="--c:{colour}"><b>{value}</b><span>{self._word(name)}</span></div>'
            for value, name, colour in tiles
        )
        return f'<div class="tiles">{made}</div>'

    def _findings(self) -> str:
        title = self._say("问题与建议", "Findings, and what to do")
        if not self._found:
            nothing = self._say("本月未发现超过阈值的问题", "nothing crosses a threshold this month")
            return f'<section><h2>{title}</h2><p class="none">{nothing}</p></section>'
        heads = (
            Word("数据项", "item"),
            Word("问题", "finding"),
            Word("程度", "grade"),
            Word("数量", "count"),
            Word("建议", "advice"),
        )
        lines = []
        for one in self._found:
            mark = "bad" if one.grade is Grade.SEVERE else "warn"
            what = word(KINDS, one.key.kind) if one.key.kind else Word("整个来源", "the whole source")
            lines.append(
                f"<tr><td>{self._word(what)}<br>{escape(one.key.adapter)}</td>"
                f"<td>{self._word(FINDINGS[one.finding])}</td>"
                f'<td class="{mark}">{self._word(GRADES[one.grade])}</td><td>{one.some:,} / {one.whole:,}</td>'
                f"<td>{self._word(ADVICE[one.finding])}</td></tr>"
            )
        return f'<section><h2>{title}</h2><table class="words">{self._heads(heads)}{"".join(lines)}</table></section>'

    def _heads(self, heads: Sequence[Word]) -> str:
        return "<tr>" + "".join(f'<th scope="col">{self._word(head)}</th>' for head in heads) + "</tr>"

    def _table(self) -> str:
        title = self._say("各数据项", "Item by item")
        return f"<section><h2>{title}</h2>{self._lines(self._items, places=False)}</section>"

    def _places(self) -> str:
        """By prefecture, where there is more than one."""
        places = {key: counts for key, counts in sorted(self._month.counts.items()) if key.kind and key.region}
        if len({key.region for key in places}) < 2:
            return ""
        title = self._say("分地区", "Place by place")
        return f"<section><h2>{title}</h2>{self._lines(places, places=True)}</section>"

    def _lines(self, rows: Mapping[Key, Counts], *, places: bool) -> str:
        heads = [
            Word("数据项", "item"),
            *([Word("地区", "place")] if places else []),
            Word("记录数", "rows"),
            _COMPLETE,
            _VALID,
            _TIMELY,
            _CONSISTENT,
            Word("时效中位数（天）", "median days"),
            Word("95% 时效（天）", "95 % within days"),
        ]
        lines = []
        for key, counts in rows.items():
            if not key.kind:
                continue
            found = quality_of(key, counts)
            shares = (found.complete, found.valid, found.timely, found.consistent)
            cells = [
                self._word(word(KINDS, key.kind)),
                *([str(key.region)] if places else []),
                f"{found.rows:,}",
                *(share_text(share) for share in shares),
                _days(found.median_days),
                _days(found.p95_days),
            ]
            lines.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
        return f"<table>{self._heads(heads)}{''.join(lines)}</table>"

    def _delays(self) -> str:
        """Event → available, all items together, as bars."""
        counts = total(counts for key, counts in self._items.items() if key.kind)
        held = counts[C.DELAY : C.DELAY + CLASSES].tolist()
        if not sum(held):
            return ""
        title = self._say("从发生到入库的天数分布", "Days from the event until it was available")
        most, width = max(held), 860 / CLASSES
        labels = [f"≤{edge}" for edge in EDGES.tolist()] + [f">{EDGES[-1]}"]
        bars = "".join(
            f'<rect x="{at * width + 4:.1f}" y="{90 - 80 * count / most:.1f}" width="{width - 8:.1f}" '
            f'height="{80 * count / most:.1f}" fill="#4f8fc4"><title>{label}: {count:,}</title></rect>'
            f'<text x="{at * width + width / 2:.1f}" y="104" text-anchor="middle">{escape(label)}</text>'
            for at, (count, label) in enumerate(zip(held, labels, strict=True))
        )
        told = "; ".join(f"{label}: {count}" for label, count in zip(labels, held, strict=True))
        return (
            f'<section><h2>{title}</h2><svg role="img" aria-label="{escape(told)}" viewBox="0 0 860 110">{bars}</svg>'
            "</section>"
        )

    def _trend(self) -> str:
        title = self._say(f"近 {TREND} 个月", f"The last {TREND} months")
        heads = [
            Word("月份", "month"),
            Word("应答率", "answered"),
            Word("查得率", "known"),
            Word("记录数", "rows"),
            _COMPLETE,
            _VALID,
            _TIMELY,
            _CONSISTENT,
        ]
        everything = {**self._month.earlier, **self._month.counts}
        lines = []
        for month in months_until(self._month.month, TREND):
            mine = [(key, counts) for key, counts in everything.items() if key.month == month]
            source = total(counts for key, counts in mine if key.kind == 0)
            items = total(counts for key, counts in mine if key.kind)
            found = quality_of(Key(month, "", 0, 1, 0), items)
            shares = (found.complete, found.valid, found.timely, found.consistent)
            cells = [_month(month), share_text(answered(source)), share_text(known(source)), f"{found.rows:,}"]
            cells += [share_text(share) for share in shares]
            lines.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
        return f"<section><h2>{title}</h2><table>{self._heads(heads)}{''.join(lines)}</table></section>"

    def _examples(self) -> str:
        title = self._say(
            "示例（已脱敏：号码 · 发生日期 · 入库日期 · 业务编号 · 矛盾记录）",
            "Examples (masked: number · day · day available · reference · what contradicts it)",
        )
        wanted = {place for one in self._found for place in DEFECTS.get(one.finding, ())}
        groups: dict[tuple[int, int], list[str]] = {}
        for example in self._month.examples:
            if example.defect in wanted:
                text = readable(example.text, self._language)
                groups.setdefault((example.kind, example.defect), []).append(text)
        if not groups:
            return ""
        by_place = {place: finding for finding, places in DEFECTS.items() for place in places}
        made = []
        for (kind, defect), texts in sorted(groups.items()):
            name = f"{self._word(word(KINDS, kind))} · {self._word(FINDINGS[by_place[C(defect)]])}"
            rows = "".join(f"<li>{escape(text)}</li>" for text in texts[:5])
            made.append(f'<p>{name}</p><ul class="mono">{rows}</ul>')
        return f"<section><h2>{title}</h2>{''.join(made)}</section>"

    def _foot(self) -> str:
        version = escape(self._thresholds.version)
        return self._say(
            f"依据网关查询流量抽样统计，阈值版本 {version}。"
            "完整率：应有字段中已填写的比例；有效率：日期、区划合理的记录比例；"
            "及时率：在约定天数内入库的记录比例；一致率：未与其他部门矛盾的记录比例。时效天数按区间上限计。本页不含个人信息。",
            f"Counted over a sample of the gateway's questions; thresholds {version}. Complete: fields filled of those "
            "that should be; valid: rows with possible days and places; timely: rows there within the agreed days; "
            "consistent: rows that no other department contradicts. Days are upper ends of classes. No personal data.",
        )


def _month(month: int) -> str:
    return f"{month // 100}-{month % 100:02d}"


def share_text(per_mille: int) -> str:
    """A share of a thousand as a percentage."""
    return "–" if per_mille < 0 else f"{per_mille // 10}.{per_mille % 10}%"


def _days(days: int) -> str:
    return "–" if days < 0 else ">366" if days == BEYOND else f"≤{days}"
