"""The page for the head of office: what a run came to, on one sheet of A4, without a name or number of anybody.

Owns: what is shown, in which words, and that it fits: long tables end with a line for the rest. Refuses: counting
(counting.py), scripts, anything fetched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from html import escape
from typing import Final, NamedTuple

from gateway.federation.regions import PROVINCES
from gateway.roster.results import headings
from gateway.roster.results.charts import Bar, rows, stacked
from gateway.roster.results.counting import Counts
from gateway.roster.results.rows import WHY_NOT_ANSWERED, party
from gateway.wording import PROPOSALS, STATUSES, Language, Word, word
from wugan.federation.v1 import vocabulary_pb2 as words

_MOST_PROVINCES: Final = 8
_MOST_LINES: Final = 5
_CERTIFICATIONS: Final = (
    (words.CERTIFICATION_STATUS_CERTIFIED, "#2f7d5b"),
    (words.CERTIFICATION_STATUS_NEEDS_FACE, "#4f8fc4"),
    (words.CERTIFICATION_STATUS_NEEDS_VISIT, "#e0a63a"),
    (words.CERTIFICATION_STATUS_SUSPECT, "#8d5aa8"),
    (words.CERTIFICATION_STATUS_STOP_PROPOSED, "#c2463c"),
    (0, "#9aa5b1"),
)
_GRADES: Final = (
    (words.SURVIVAL_STATUS_ALIVE_STRONG, "#2f7d5b"),
    (words.SURVIVAL_STATUS_ALIVE_MEDIUM, "#74ae8f"),
    (words.SURVIVAL_STATUS_ALIVE_WEAK, "#e0a63a"),
    (words.SURVIVAL_STATUS_DECEASED, "#c2463c"),
    (words.SURVIVAL_STATUS_DECEASED_SUSPECTED, "#d98880"),
    (words.SURVIVAL_STATUS_MISSING, "#8d5aa8"),
    (words.SURVIVAL_STATUS_CONFLICT, "#6f4a9c"),
    (words.SURVIVAL_STATUS_UNKNOWN, "#5f7386"),
    (0, "#9aa5b1"),
)
_SHORT: Final[dict[int, Word]] = {
    words.BENEFIT_TYPE_EMPLOYEE_PENSION: Word("企业职工养老", "employees' pension"),
    words.BENEFIT_TYPE_PUBLIC_INSTITUTION_PENSION: Word("机关事业养老", "public institutions"),
    words.BENEFIT_TYPE_RESIDENT_PENSION: Word("城乡居民养老", "residents' pension"),
    words.BENEFIT_TYPE_UNEMPLOYMENT: Word("失业保险金", "unemployment"),
    words.BENEFIT_TYPE_WORK_INJURY: Word("工伤长期待遇", "work injury"),
    words.BENEFIT_TYPE_WORK_DEATH_DEPENDANT: Word("因工供养亲属", "work-death dep."),
    words.BENEFIT_TYPE_NON_WORK_DEATH_DEPENDANT: Word("非因工供养亲属", "other dependants"),
}
_STATES: Final[dict[int, Word]] = {
    **PROPOSALS,
    words.CERTIFICATION_STATUS_SUSPECT: Word("疑点待核", "suspect"),
    0: headings.NO_ANSWER,
}
_BRIEF: Final[dict[int, Word]] = {
    words.CERTIFICATION_STATUS_NEEDS_FACE: Word("待人脸认证", "face"),
    words.CERTIFICATION_STATUS_NEEDS_VISIT: Word("待上门核查", "visit"),
    words.CERTIFICATION_STATUS_SUSPECT: Word("疑点待核", "suspect"),
    words.CERTIFICATION_STATUS_STOP_PROPOSED: Word("拟停发", "stop"),
    0: Word("未获答复", "no answer"),
}
_YUAN_FEN: Final = 100
_THOUSAND_FEN: Final = 1_000 * _YUAN_FEN
_WAN_FEN: Final = 10_000 * _YUAN_FEN
_LARGE_FEN: Final = 1_000 * _WAN_FEN
"""Where ten million yuan or more were overpaid, sums are in units of ten thousand (万元), in English of a thousand."""

_STYLE: Final = """
:root{--ink:#1f2a37;--soft:#5b6776;--line:#d5dce4;--tile:#f3f6f9}
*{box-sizing:border-box}
body{margin:0 auto;padding:18px 22px;max-width:800px;color:var(--ink);background:#fff;
font:12.5px/1.45 "Noto Sans CJK SC","Source Han Sans SC","Microsoft YaHei","PingFang SC","Noto Sans",sans-serif}
h1{font-size:21px;margin:0}h2{font-size:13.5px;margin:0 0 6px}
header{border-bottom:2px solid var(--ink);padding-bottom:7px;margin-bottom:11px;display:flex;gap:12px;
justify-content:space-between;align-items:flex-end}
header p{margin:2px 0 0;color:var(--soft)}
.tiles{display:grid;grid-template-columns:repeat(5,1fr);gap:8px;margin-bottom:12px}
.tile{background:var(--tile);border-left:4px solid var(--c);padding:7px 9px}
.tile b{display:block;font-size:20px;line-height:1.2;font-variant-numeric:tabular-nums;white-space:nowrap}
.tile span{color:var(--soft);font-size:11px}
.two{display:grid;grid-template-columns:1fr 1fr;gap:10px 22px}
section{margin-bottom:12px;break-inside:avoid}
svg{display:block;width:100%;height:auto;font:inherit;font-size:12px}svg text{fill:var(--ink)}
svg .n{font-variant-numeric:tabular-nums}
.legend{list-style:none;margin:6px 0 0;padding:0;font-variant-numeric:tabular-nums}
.legend li{display:grid;grid-template-columns:10px 1fr auto 50px;gap:7px;align-items:center;line-height:1.55}
.legend i{height:10px;background:var(--c)}.legend b{font-weight:500}.legend b,.legend em{text-align:right}
.legend em{font-style:normal;color:var(--soft)}
.three{display:grid;grid-template-columns:1fr 1fr 1fr;gap:0 22px}
.sum{background:var(--tile);padding:6px 9px;font-variant-numeric:tabular-nums}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:12px}
th{font-weight:600;text-align:right;border-bottom:1px solid var(--ink);padding:2px 5px;vertical-align:bottom}
td{white-space:nowrap;text-align:right;border-bottom:1px solid var(--line);padding:2px 5px}
th:first-child,td:first-child{text-align:left}
tfoot td{font-weight:600;border-top:1px solid var(--ink);border-bottom:0}
.share{display:inline-block;width:46px;height:8px;background:#e6ebf0;vertical-align:middle;margin-right:5px}
.share i{display:block;height:8px;background:#2f7d5b}
.plain{margin:0;padding:0;list-style:none}
.plain li{display:flex;justify-content:space-between;gap:10px;border-bottom:1px solid var(--line);padding:2px 0}
.plain b{font-weight:500;font-variant-numeric:tabular-nums;white-space:nowrap}
.none{color:var(--soft);margin:0}
footer{border-top:1px solid var(--line);padding-top:6px;color:var(--soft);font-size:11px}
@page{size:A4 portrait;margin:8mm 10mm}
@media print{body{padding:0;max-width:none;font-size:11px;line-height:1.28}h1{font-size:18px}table,svg{font-size:10.8px}
section,.tiles{margin-bottom:9px}.tile b{font-size:17px}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
@media (max-width:640px){.two,.three{grid-template-columns:1fr}
main{overflow-x:auto}.tiles{grid-template-columns:1fr 1fr}}
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

    def html(self, title: str, agency: str, as_of_on: int) -> str:
        say = self._say
        day = (date(1970, 1, 1) + timedelta(days=as_of_on)).isoformat()
        heading = say("领取社会保险待遇资格认证情况", "Certification of entitlement: results")
        under = " · ".join(escape(text) for text in (agency, title) if text)
        lang = "zh-CN" if self._language == "zh" else "en"
        return (
            f'<!DOCTYPE html>\n<html lang="{lang}"><head><meta charset="utf-8">'
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{heading}</title><style>{_STYLE}</style></head><body>\n"
            f"<header><div><h1>{heading}</h1><p>{under}</p></div><p>{say('截至', 'as of')} {day}</p></header>\n"
            f'<main>{self._tiles()}\n<div class="two">{self._certification()}{self._grade()}</div>\n'
            f"{self._benefits()}\n{self._provinces()}\n"
            f'{self._money()}\n<div class="three">{self._not_answered()}{self._silent()}{self._findings()}</div>'
            "</main>\n"
            f"<footer>{self._foot()}</footer>\n</body></html>\n"
        )

    def _say(self, zh: str, en: str) -> str:
        return zh if self._language == "zh" else en

    def _named(self, table: dict[int, Word], number: int) -> str:
        return word(table, number).said(self._language)

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
        say = self._say
        tiles = (
            (_number(counts.people), say("底数（人）", "recipients"), "#1f2a37"),
            (_share(counts.certified, counts.people), say("无感认证率", "certified unfelt"), "#2f7d5b"),
            (_number(bothered), say("待核查（人）", "to be seen"), "#e0a63a"),
            (
                _number(by.get(words.CERTIFICATION_STATUS_STOP_PROPOSED, 0)),
                say("拟停发（人）", "stops proposed"),
                "#c2463c",
            ),
            (self._money_text(counts.total("net_fen")), say("应追回金额", "to be recovered"), "#8a3a32"),
        )
        made = "".join(
            f'<div class="tile" style="--c:{colour}"><b>{escape(value)}</b><span>{name}</span></div>'
            for value, name, colour in tiles
        )
        return f'<div class="tiles">{made}</div>'

    def _certification(self) -> str:
        by, people = self._counts.by("certification"), self._counts.people
        bars = [
            Bar(self._named(_STATES, status), by.get(status, 0), _number(by.get(status, 0)), colour)
            for status, colour in _CERTIFICATIONS
        ]
        title = self._say("认证状态", "Certification status")
        legend = "".join(
            f'<li><i style="--c:{bar.colour}"></i>{escape(bar.label)}<b>{bar.text}</b>'
            f"<em>{escape(_share(int(bar.value), people))}</em></li>"
            for bar in bars
        )
        what = f"{title}: {self._say('共', 'of')} {_number(people)}"
        return f'<section><h2>{title}</h2>{stacked("c", what, bars, 360, 30)}<ul class="legend">{legend}</ul></section>'

    def _grade(self) -> str:
        by, people = self._counts.by("status"), self._counts.people
        table = {**STATUSES, 0: headings.NO_ANSWER}
        bars = [
            Bar(
                self._named(table, status),
                by.get(status, 0),
                f"{_number(by.get(status, 0))}  {_share(by.get(status, 0), people)}",
                colour,
            )
            for status, colour in _GRADES
            if by.get(status, 0)
        ]
        title = self._say("生存状态（强、中、弱）", "Survival status")
        return f"<section><h2>{title}</h2>{rows('g', title, bars, 360)}</section>"

    def _benefits(self) -> str:
        lines = [
            _Line(self._named(_SHORT, benefit), by, self._counts.by("benefit", "net_fen")[benefit])
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
            *(self._named(_STATES if self._language == "zh" else _BRIEF, status) for status, _ in _CERTIFICATIONS[1:]),
            say(
                "应追回（万元）" if self._large else "应追回（元）",
                "recover (CNY 1,000)" if self._large else "recover (CNY)",
            ),
        )
        whole = _Line(say("合计", "total"), _added(line.by for line in lines), sum(line.net_fen for line in lines))
        body = "".join(f"<tr>{self._cells(line)}</tr>" for line in lines)
        foot = f"<tfoot><tr>{self._cells(whole)}</tr></tfoot>" if len(lines) > 1 else ""
        head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody>{foot}</table>"
        return f"<section><h2>{title}</h2>{table}</section>"

    def _cells(self, line: _Line) -> str:
        certified = line.of(words.CERTIFICATION_STATUS_CERTIFIED)
        percent = 100 * certified / line.people if line.people else 0
        cells = (
            escape(line.name),
            _number(line.people),
            f'<span class="share" aria-hidden="true"><i style="width:{percent:.1f}%"></i></span>'
            f"{escape(_share(certified, line.people))}",
            *(_number(line.of(status)) for status, _ in _CERTIFICATIONS[1:]),
            self._amount(line.net_fen),
        )
        return "".join(f"<td>{cell}</td>" for cell in cells)

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
        counts, say, amount = self._counts, self._say, self._money_text
        who = say(
            f"{_number(counts.total('overpaid'))} 人，共 {_number(counts.total('months'))} 个月",
            f"{_number(counts.total('overpaid'))} recipients, {_number(counts.total('months'))} months",
        )
        gross, offset, net = (amount(counts.total(f"{name}_fen")) for name in ("gross", "offset", "net"))
        return (
            f'<section><h2>{say("多发待遇", "Overpayment")}</h2><div class="sum">{who}{say("：", ": ")}'
            f"{say('多发', 'overpaid')} {gross} − {say('个人账户抵扣', 'offset by accounts')} {offset} ＝ "
            f"<b>{say('应追回', 'to be recovered')} {net}</b></div></section>"
        )

    def _list(self, title: str, lines: list[tuple[str, int]], nothing: str, most: int = _MOST_LINES) -> str:
        lines = sorted(lines, key=lambda line: (-line[1], line[0]))
        if len(lines) > most:
            rest = lines[most - 1 :]
            lines = [
                *lines[: most - 1],
                (self._say(f"其余 {len(rest)} 项", f"{len(rest)} others"), sum(n for _, n in rest)),
            ]
        items = "".join(f"<li>{escape(name)}<b>{_number(count)}</b></li>" for name, count in lines)
        body = f'<ul class="plain">{items}</ul>' if lines else f'<p class="none">{nothing}</p>'
        return f"<section><h2>{title}</h2>{body}</section>"

    def _foot(self) -> str:
        partial = _number(self._counts.total("partial"))
        return self._say(
            f"无感认证率＝经数据比对认证人数÷底数。{partial} 人的答复缺少部分来源，评定因此从严。"
            "拟停发须由经办人员逐一决定，系统不自动停发任何人的待遇。本页不含个人信息。",
            f"Certified unfelt: certified by data comparison, of all recipients. The answers about {partial} "
            "lack a source and are graded more strictly. Stops are decided by officials, one by one; software stops "
            "nobody. This page holds no personal data.",
        )

    @property
    def _large(self) -> bool:
        return self._counts.total("gross_fen") >= _LARGE_FEN

    def _amount(self, fen: int) -> str:
        unit = (_WAN_FEN if self._language == "zh" else _THOUSAND_FEN) if self._large else _YUAN_FEN
        return f"{fen * 10 // unit / 10:,.1f}" if self._large else f"{fen // unit:,}"

    def _money_text(self, fen: int) -> str:
        if self._language == "en":
            return f"CNY {self._amount(fen)}{' k' if self._large else ''}"
        return f"{self._amount(fen)} {'万元' if self._large else '元'}"


def _number(value: int) -> str:
    return f"{value:,}"


def _share(part: int, whole: int) -> str:
    """A percentage that says 100 or 0 only where that is exact."""
    if not whole:
        return "–"
    tenths = part * 1000 // whole
    if part and not tenths:
        return "<0.1%"
    return f"{tenths // 10}.{tenths % 10}%"


def _added(many: Iterable[dict[int, int]]) -> dict[int, int]:
    total: dict[int, int] = {}
    for one in many:
        for status, count in one.items():
            total[status] = total.get(status, 0) + count
    return total
