"""The monthly report as one page that a department is sent, without a name or number of anybody.

Owns: what is shown, in which words. Refuses: what the report is made of (`report.py`), and the frame and common style
(`gateway.printed`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

from gateway import printed
from gateway.printed import AMBER, BLUE, GREEN, INK, RED, Head, Tile
from gateway.quality.counters import BEYOND, CLASSES, EDGES, C, Counts, Key, total
from gateway.quality.judging import (
    ADVICE,
    DEFECTS,
    FINDINGS,
    GRADES,
    Grade,
    Thresholds,
    answered,
    by_item,
    known,
    months_until,
    quality_of,
)
from gateway.quality.report import TREND, Month, findings, month_text, readable, share_text
from gateway.wording import KINDS, Language, Word, word

_STYLE: Final = """
.words th,.words td{text-align:left}
.bad{color:#b3382e;font-weight:600}.warn{color:#a86a00;font-weight:600}
.mono{font-family:ui-monospace,Consolas,monospace;font-size:11px;margin:0;padding:0;list-style:none;color:var(--soft)}
svg text{font-size:11px;fill:var(--soft)}
"""
_COMPLETE, _VALID, _TIMELY, _CONSISTENT = (
    Word("完整率", "complete"),
    Word("有效率", "valid"),
    Word("及时率", "timely"),
    Word("一致率", "consistent"),
)


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
        self._several = len({key.adapter for key in month.counts}) > 1

    def html(self, department: str, member: str) -> str:
        parts = (
            self._tiles(),
            self._findings(),
            self._table(),
            self._places(),
            self._delays(),
            self._trend(),
            self._examples(),
        )
        title = self._say("部门数据质量月报", "Monthly report on the quality of data")
        when = month_text(self._month.month)
        head = Head(title, when, under=department, beside=f"{member} · {when}")
        return printed.document(self._language, head, "\n".join(parts), self._foot(), _STYLE)

    def _say(self, zh: str, en: str) -> str:
        return zh if self._language == "zh" else en

    def _word(self, text: Word) -> str:
        return escape(text.said(self._language))

    def _item(self, adapter: str, kind: int) -> str:
        """An item, and of a department with several adapters whose it is."""
        name = self._word(word(KINDS, kind))
        return f"{name} · {escape(adapter)}" if self._several else name

    def _tiles(self) -> str:
        sources = total(counts for key, counts in self._items.items() if key.kind == 0)
        items = total(counts for key, counts in self._items.items() if key.kind)
        all_items = quality_of(Key(self._month.month, "", 0, 1, 0), items)
        shown = (
            Tile(share_text(answered(sources)), Word("查询应答率", "lookups answered"), GREEN),
            Tile(share_text(known(sources)), Word("查得率", "people known"), INK),
            Tile(share_text(all_items.complete), _COMPLETE, BLUE),
            Tile(share_text(all_items.timely), _TIMELY, AMBER),
            Tile(f"{len(self._found)}", Word("发现的问题", "findings"), RED),
        )
        return printed.tiles(self._language, shown)

    def _findings(self) -> str:
        title = self._say("问题与建议", "Findings, and what to do")
        if not self._found:
            nothing = self._say("本月未发现超过阈值的问题", "nothing crosses a threshold this month")
            return printed.section(title, f'<p class="none">{nothing}</p>')
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
        return printed.section(title, f'<table class="words">{self._heads(heads)}{"".join(lines)}</table>')

    def _heads(self, heads: Sequence[Word]) -> str:
        return printed.heads(head.said(self._language) for head in heads)

    def _table(self) -> str:
        title = self._say("各数据项", "Item by item")
        return printed.section(title, self._lines(self._items, places=False))

    def _places(self) -> str:
        """By prefecture, where there is more than one."""
        places = {key: counts for key, counts in sorted(self._month.counts.items()) if key.kind and key.region}
        if len({key.region for key in places}) < 2:
            return ""
        title = self._say("分地区", "Place by place")
        return printed.section(title, self._lines(places, places=True))

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
                self._item(key.adapter, key.kind),
                *([str(key.region)] if places else []),
                f"{found.rows:,}",
                *(share_text(share) for share in shares),
                _days(found.median_days),
                _days(found.p95_days),
            ]
            lines.append(printed.row(cells))
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
            f'height="{80 * count / most:.1f}" fill="{BLUE}"><title>{label}: {count:,}</title></rect>'
            f'<text x="{at * width + width / 2:.1f}" y="104" text-anchor="middle">{escape(label)}</text>'
            for at, (count, label) in enumerate(zip(held, labels, strict=True))
        )
        told = "; ".join(f"{label}: {count}" for label, count in zip(labels, held, strict=True))
        chart = f'<svg role="img" aria-label="{escape(told)}" viewBox="0 0 860 110">{bars}</svg>'
        return printed.section(title, chart)

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
            cells = [month_text(month), share_text(answered(source)), share_text(known(source)), f"{found.rows:,}"]
            cells += [share_text(share) for share in shares]
            lines.append(printed.row(cells))
        return printed.section(title, f"<table>{self._heads(heads)}{''.join(lines)}</table>")

    def _examples(self) -> str:
        title = self._say(
            "示例（已脱敏：号码 · 发生日期 · 入库日期 · 业务编号 · 矛盾记录）",
            "Examples (masked: number · day · day available · reference · what contradicts it)",
        )
        wanted = {place for one in self._found for place in DEFECTS.get(one.finding, ())}
        groups: dict[tuple[str, int, int], list[str]] = {}
        for example in self._month.examples:
            if example.defect in wanted:
                text = readable(example.text, self._language)
                groups.setdefault((example.adapter, example.kind, example.defect), []).append(text)
        if not groups:
            return ""
        by_place = {place: finding for finding, places in DEFECTS.items() for place in places}
        made = []
        for (adapter, kind, defect), texts in sorted(groups.items()):
            name = f"{self._item(adapter, kind)} · {self._word(FINDINGS[by_place[C(defect)]])}"
            rows = "".join(f"<li>{escape(text)}</li>" for text in texts[:5])
            made.append(f'<p>{name}</p><ul class="mono">{rows}</ul>')
        return printed.section(title, "".join(made))

    def _foot(self) -> str:
        version = self._thresholds.version
        return self._say(
            f"依据网关查询流量抽样统计，阈值版本 {version}。"
            "完整率：应有字段中已填写的比例；有效率：日期、区划合理的记录比例；"
            "及时率：在约定天数内入库的记录比例；一致率：未与其他部门矛盾的记录比例。时效天数按区间上限计。本页不含个人信息。",
            f"Counted over a sample of the gateway's questions; thresholds {version}. Complete: fields filled of those "
            "that should be; valid: rows with possible days and places; timely: rows there within the agreed days; "
            "consistent: rows that no other department contradicts. Days are upper ends of classes. No personal data.",
        )


def _days(days: int) -> str:
    return "–" if days < 0 else ">366" if days == BEYOND else f"≤{days}"
