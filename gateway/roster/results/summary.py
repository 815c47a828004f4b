"""The page for the head of office: what a run came to, on one sheet of A4, without a name or number of anybody.

Owns: what is shown, in which words, and that it fits: long tables end with a line for the rest. Refuses: counting
(counting.py), and the frame and common style (`gateway.printed`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from html import escape
from typing import Final, NamedTuple

from gateway import printed
from gateway.federation.regions import PROVINCES
from gateway.printed import AMBER, GREEN, INK, RED, Head, Tile
from gateway.roster.results import headings
from gateway.roster.results.amounts import Amounts, number, share
from gateway.roster.results.charts import Bar, rows, stacked
from gateway.roster.results.counting import Counts
from gateway.roster.results.rows import WHY_NOT_ANSWERED, party
from gateway.roster.results.summary_words import BRIEF, CERTIFICATIONS, GRADES, SHORT, STATES
from gateway.wording import STATUSES, Language, Word, word
from wugan.federation.v1 import vocabulary_pb2 as words

_MOST_PROVINCES: Final = 8
_MOST_LINES: Final = 5
_STYLE: Final = """
body{max-width:800px;line-height:1.45}
h2{font-size:13.5px}header{margin-bottom:11px}.tiles,section{margin-bottom:12px}
th,td{padding:2px 5px}td{white-space:nowrap;vertical-align:baseline}
.two{display:grid;grid-template-columns:1fr 1fr;gap:10px 22px}
svg{font:inherit;font-size:12px}svg text{fill:var(--ink)}
svg .n{font-variant-numeric:tabular-nums}
.legend{list-style:none;margin:6px 0 0;padding:0;font-variant-numeric:tabular-nums}
.legend li{display:grid;grid-template-columns:10px 1fr auto 50px;gap:7px;align-items:center;line-height:1.55}
.legend i{height:10px;background:var(--c)}.legend b{font-weight:500}.legend b,.legend em{text-align:right}
.legend em{font-style:normal;color:var(--soft)}
.three{display:grid;grid-template-columns:1fr 1fr 1fr;gap:0 22px}
.sum{background:var(--tile);padding:6px 9px;font-variant-numeric:tabular-nums}
tfoot td{font-weight:600;border-top:1px solid var(--ink);border-bottom:0}
.share{display:inline-block;width:46px;height:8px;background:#e6ebf0;vertical-align:middle;margin-right:5px}
.share i{display:block;height:8px;background:#2f7d5b}
.plain{margin:0;padding:0;list-style:none}
.plain li{display:flex;justify-content:space-between;gap:10px;border-bottom:1px solid var(--line);padding:2px 0}
.plain b{font-weight:500;font-variant-numeric:tabular-nums;white-space:nowrap}
@page{size:A4 portrait;margin:8mm 10mm}
@media print{body{max-width:none;line-height:1.28}h1{font-size:18px}table,svg{font-size:10.8px}
section,.tiles{margin-bottom:9px}.tile b{font-size:17px}}
@media (max-width:640px){.two,.three{grid-template-columns:1fr}}
"""


class _Line(NamedTuple):
    """A row of a table: people by certification, and what is to be recovered."""

    name: str
    by: dict[int, int]
    net_fen: int

    @property
    def people(self) -> int:
        return sum(self.by.values())

    def of(self, certification: int) -> int:
        return self.by.get(certification, 0)


def page(
    counts: Counts, title: str, agency: str, as_of_on: int, language: Language, members: Mapping[str, Word]
) -> str:
    """The page as HTML.

    Args:
        counts: what the run came to.
        title: of the roster, "" for none.
        agency: whose it is, "" for none.
        as_of_on: day of the run.
        language: of every word on it.
        members: names of members.
    """
    return _Page(counts, language, members).html(title, agency, as_of_on)


class _Page:
    def __init__(self, counts: Counts, language: Language, members: Mapping[str, Word]) -> None:
        self._counts = counts
        self._language: Language = language
        self._members = members
        self._amounts = Amounts(counts.total("gross_fen"), language)

    def html(self, title: str, agency: str, as_of_on: int) -> str:
        heading = self._say("领取社会保险待遇资格认证情况", "Certification of entitlement: results")
        day = (date(1970, 1, 1) + timedelta(days=as_of_on)).isoformat()
        under = " · ".join(text for text in (agency, title) if text)
        head = Head(heading, "", under=under, beside=f"{self._say('截至', 'as of')} {day}")
        parts = (
            self._tiles(),
            f'<div class="two">{self._certification()}{self._grade()}</div>',
            self._benefits(),
            self._provinces(),
            self._money(),
            f'<div class="three">{self._not_answered()}{self._silent()}{self._findings()}</div>',
        )
        return printed.document(self._language, head, "\n".join(parts), self._foot(), _STYLE)

    def _say(self, zh: str, en: str) -> str:
        return zh if self._language == "zh" else en

    def _named(self, table: dict[int, Word], code: int) -> str:
        return word(table, code).said(self._language)

    def _tiles(self) -> str:
        counts, by = self._counts, self._counts.by("certification")
        bothered = sum(
            by.get(status, 0)
            for status in (
                words.CERTIFICATION_STATUS_NEEDS_FACE,
                words.CERTIFICATION_STATUS_NEEDS_VISIT,
                words.CERTIFICATION_STATUS_SUSPECT,
            )
        )
        stops = by.get(words.CERTIFICATION_STATUS_STOP_PROPOSED, 0)
        shown = (
            Tile(number(counts.people), Word("底数（人）", "recipients"), INK),
            Tile(share(counts.certified, counts.people), Word("无感认证率", "certified unfelt"), GREEN),
            Tile(number(bothered), Word("待核查（人）", "to be seen"), AMBER),
            Tile(number(stops), Word("拟停发（人）", "stops proposed"), RED),
            Tile(self._amounts.text(counts.total("net_fen")), Word("应追回金额", "to be recovered"), "#8a3a32"),
        )
        return printed.tiles(self._language, shown)

    def _certification(self) -> str:
        by, people = self._counts.by("certification"), self._counts.people
        bars = [
            Bar(self._named(STATES, status), by.get(status, 0), number(by.get(status, 0)), colour)
            for status, colour in CERTIFICATIONS
        ]
        title = self._say("认证状态", "Certification status")
        legend = "".join(
            f'<li><i style="--c:{bar.colour}"></i>{escape(bar.label)}<b>{bar.text}</b>'
            f"<em>{escape(share(int(bar.value), people))}</em></li>"
            for bar in bars
        )
        what = f"{title}: {self._say('共', 'of')} {number(people)}"
        return printed.section(title, f'{stacked("c", what, bars, 360, 30)}<ul class="legend">{legend}</ul>')

    def _grade(self) -> str:
        by, people = self._counts.by("status"), self._counts.people
        table = {**STATUSES, 0: headings.NO_ANSWER}
        bars = [
            Bar(
                self._named(table, status),
                by.get(status, 0),
                f"{number(by.get(status, 0))}  {share(by.get(status, 0), people)}",
                colour,
            )
            for status, colour in GRADES
            if by.get(status, 0)
        ]
        title = self._say("生存状态（强、中、弱）", "Survival status")
        return printed.section(title, rows("g", title, bars, 360))

    def _benefits(self) -> str:
        lines = [
            _Line(self._named(SHORT, benefit), by, self._counts.by("benefit", "net_fen")[benefit])
            for benefit, by in self._cross("benefit").items()
        ]
        return self._table(self._say("按险种", "By benefit"), self._say("险种", "benefit"), lines)

    def _provinces(self) -> str:
        net = self._counts.by("province", "net_fen")
        lines = []
        for code, by in self._cross("province").items():
            known = PROVINCES.get(code)
            name = Word(known.zh, known.en).said(self._language) if known else self._say("不详", "not given")
            lines.append(_Line(name, by, net[code]))
        lines.sort(key=lambda line: (-line.people, line.name))
        if len(lines) > _MOST_PROVINCES:
            rest = lines[_MOST_PROVINCES - 1 :]
            del lines[_MOST_PROVINCES - 1 :]
            name = self._say(f"其余 {len(rest)} 个地区", f"{len(rest)} others")
            lines.append(_Line(name, _added(line.by for line in rest), sum(line.net_fen for line in rest)))
        return self._table(self._say("按居住省份", "By province of residence"), self._say("省份", "province"), lines)

    def _cross(self, key: str) -> dict[int, dict[int, int]]:
        table: dict[int, dict[int, int]] = {}
        for row in self._counts.cube.sort(key).select(key, "certification", "people").iter_rows():
            by = table.setdefault(row[0], {})
            by[row[1]] = by.get(row[1], 0) + row[2]
        return table

    def _table(self, title: str, first: str, lines: Sequence[_Line]) -> str:
        say = self._say
        heads = (
            first,
            say("底数", "recipients"),
            say("无感认证率", "certified"),
            *(self._named(STATES if self._language == "zh" else BRIEF, status) for status, _ in CERTIFICATIONS[1:]),
            say(
                "应追回（万元）" if self._amounts.large else "应追回（元）",
                "recover (CNY 1,000)" if self._amounts.large else "recover (CNY)",
            ),
        )
        whole = _Line(say("合计", "total"), _added(line.by for line in lines), sum(line.net_fen for line in lines))
        body = "".join(map(self._row, lines))
        foot = f"<tfoot>{self._row(whole)}</tfoot>" if len(lines) > 1 else ""
        return printed.section(
            title, f"<table><thead>{printed.heads(heads)}</thead><tbody>{body}</tbody>{foot}</table>"
        )

    def _row(self, line: _Line) -> str:
        certified = line.of(words.CERTIFICATION_STATUS_CERTIFIED)
        percent = 100 * certified / line.people if line.people else 0
        cells = (
            escape(line.name),
            number(line.people),
            f'<span class="share" aria-hidden="true"><i style="width:{percent:.1f}%"></i></span>'
            f"{escape(share(certified, line.people))}",
            *(number(line.of(status)) for status, _ in CERTIFICATIONS[1:]),
            self._amounts.bare(line.net_fen),
        )
        return printed.row(cells)

    def _not_answered(self) -> str:
        refusals = self._counts.refusals
        lines = [(self._named(WHY_NOT_ANSWERED, reason), count) for reason, count in refusals.items()]
        if self._counts.rejected:
            lines.append((self._say("名册行有误，未查询", "rows with errors, not asked"), self._counts.rejected))
        title = self._say("未能查询及原因", "Not answered, and why")
        return self._list(title, lines, self._say("全部获得答复", "everybody was answered"))

    def _silent(self) -> str:
        lines = [(party(name, self._language, self._members), count) for name, count in self._counts.silent.items()]
        title = self._say("未答复的省份与部门（人次）", "Silent provinces and departments")
        return self._list(title, lines, self._say("无", "none"))

    def _findings(self) -> str:
        lines = [(headings.FINDINGS[name].said(self._language), count) for name, count in self._counts.findings.items()]
        title = self._say("发现的问题（人次）", "Findings")
        return self._list(title, lines, self._say("无", "none"), most=len(headings.FINDINGS))

    def _money(self) -> str:
        counts, say, amount = self._counts, self._say, self._amounts.text
        who = say(
            f"{number(counts.total('overpaid'))} 人，共 {number(counts.total('months'))} 个月",
            f"{number(counts.total('overpaid'))} recipients, {number(counts.total('months'))} months",
        )
        gross, offset, net = (amount(counts.total(f"{name}_fen")) for name in ("gross", "offset", "net"))
        return printed.section(
            say("多发待遇", "Overpayment"),
            f'<div class="sum">{who}{say("：", ": ")}{say("多发", "overpaid")} {gross} − '
            f"{say('个人账户抵扣', 'offset by accounts')} {offset} = "
            f"<b>{say('应追回', 'to be recovered')} {net}</b></div>",
        )

    def _list(self, title: str, lines: list[tuple[str, int]], nothing: str, most: int = _MOST_LINES) -> str:
        lines = sorted(lines, key=lambda line: (-line[1], line[0]))
        if len(lines) > most:
            rest = lines[most - 1 :]
            lines = [
                *lines[: most - 1],
                (self._say(f"其余 {len(rest)} 项", f"{len(rest)} others"), sum(n for _, n in rest)),
            ]
        items = "".join(f"<li>{escape(name)}<b>{number(count)}</b></li>" for name, count in lines)
        body = f'<ul class="plain">{items}</ul>' if lines else f'<p class="none">{nothing}</p>'
        return printed.section(title, body)

    def _foot(self) -> str:
        partial = number(self._counts.total("partial"))
        return self._say(
            f"无感认证率＝经数据比对认证人数÷底数。{partial} 人的答复缺少部分来源，评定因此从严。"
            "拟停发须由经办人员逐一决定，系统不自动停发任何人的待遇。本页不含个人信息。",
            f"Certified unfelt: certified by data comparison, of all recipients. The answers about {partial} "
            "lack a source and are graded more strictly. Stops are decided by officials, one by one; software stops "
            "nobody. This page holds no personal data.",
        )


def _added(many: Iterable[dict[int, int]]) -> dict[int, int]:
    total: dict[int, int] = {}
    for one in many:
        for status, count in one.items():
            total[status] = total.get(status, 0) + count
    return total
