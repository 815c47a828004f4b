"""The catalogue and its gaps as tables, in Chinese or English.

Owns: columns, their headings and the words in the cells. Refuses: files (`writing.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from adapters.mapping import FROM_KINDS, REGION_DETAIL_KINDS, UNTIL_KINDS
from gateway.catalogue.basis import Terms
from gateway.catalogue.gaps import LACKS, Gap, Lack
from gateway.catalogue.needs import GROUPS, LEVELS, Group, Need, departments_of
from gateway.catalogue.offers import DELIVERIES, NOT_TOLD, Offer
from gateway.federation.regions import PROVINCES
from gateway.rules.book import Effect, RuleBook
from gateway.wording import BENEFITS, DEPARTMENTS, FLAGS, KINDS, Language, Word, word
from wugan.adapter.v1 import vocabulary_pb2 as words
from wugan.federation.v1 import vocabulary_pb2 as answer_words

Cell = str | int


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its headings.

    Args:
        name: short name in files.
        title: of the table.
        keys: names of the columns for programs.
        headings: of the columns, for people.
        rows: as long as `headings` each.
    """

    name: str
    title: str
    keys: tuple[str, ...]
    headings: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


_CATALOGUE: Final[dict[str, Word]] = {
    "region": Word("地区", "region"),
    "benefit": Word("险种", "benefit"),
    "department": Word("提供部门", "department"),
    "item": Word("数据项", "item"),
    "group": Word("类别", "group"),
    "level": Word("需求程度", "need"),
    "effect": Word("用途", "used for"),
    "scope": Word("范围（人员与字段）", "scope (people and fields)"),
    "period": Word("时段", "period"),
    "basis": Word("依据", "legal basis"),
    "state": Word("落实情况", "state"),
    "supplier": Word("提供来源", "supplied by"),
    "delivery": Word("交付方式", "delivery"),
    "agreed_days": Word("约定时效（天）", "agreed freshness (days)"),
    "wanted_days": Word("需求时效（天）", "wanted freshness (days)"),
}
_GAPS: Final[dict[str, Word]] = {
    "region": Word("地区", "region"),
    "lack": Word("缺口", "gap"),
    "level": Word("需求程度", "need"),
    "item": Word("数据项", "item"),
    "departments": Word("应由部门", "could come from"),
    "benefits": Word("涉及险种", "benefits concerned"),
    "remark": Word("说明", "remark"),
}
_EFFECTS: Final = {
    Effect.ENDS: Word("拟停发", "ends it"),
    Effect.SUSPENDS: Word("拟暂停", "suspends it"),
    Effect.REVIEW: Word("疑点待核", "to be reviewed"),
    Effect.NOTE: Word("提示", "is told"),
}
_OFFERED, _IN_PART, _NOT_OFFERED = Word("已提供", "offered"), Word("部分地区", "in part"), Word("未提供", "not offered")
_ELSEWHERE: Final = Word("其他部门已提供", "offered by another department")
_LOCAL: Final = Word("地方规定，请补充", "local rule, to be named")
_FIELDS: Final = Word(
    "身份号码、姓名、发生日期、入库日期、发生地、业务编号",
    "number, name, day of the event, day available, place, reference",
)
_MORE: Final = {
    "penalty": Word("刑种", "kind of penalty"),
    "from": Word("起始日", "first day"),
    "until": Word("截止日", "last day"),
    "place": Word("对方区划", "other place"),
}


def catalogue_table(
    book: RuleBook,
    terms: Terms,
    needs: Sequence[Need],
    offers: Sequence[Offer],
    regions: Iterable[int],
    language: Language,
) -> Table:
    """Every need in every region, with who meets it. A need that two sources meet has a row for each."""
    rows: list[tuple[Cell, ...]] = []
    for region in regions:
        for need in needs:
            able = [
                offer
                for offer in offers
                if offer.kind == need.kind
                and offer.serves(need.benefit)
                and (offer.covers(region) or offer.parts(region))
            ]
            own = [offer for offer in able if offer.department == need.department]
            possible = departments_of(book, need.kind)
            elsewhere = any(offer.covers(region) and offer.department in possible for offer in able)
            missing = _ELSEWHERE if elsewhere else _NOT_OFFERED
            states: list[tuple[Offer | None, Word]] = [
                (offer, _OFFERED if offer.covers(region) else _IN_PART) for offer in own
            ]
            rows += [
                _line(book, terms, need, offer, state, region, language)
                for offer, state in (states or [(None, missing)])
            ]
    title = Word("数据需求清单", "Data catalogue")
    return _table("catalogue", title, _CATALOGUE, rows, language)


def gaps_table(gaps: Sequence[Gap], language: Language) -> Table:
    """The gaps."""
    rows = [
        (
            region_name(gap.region, language),
            LACKS[gap.lack].said(language),
            LEVELS[gap.level].said(language),
            word(KINDS, gap.kind).said(language) if gap.kind else "–",
            _joined([word(DEPARTMENTS, one) for one in gap.departments], language),
            _benefits(gap.benefits, language),
            _remark(gap, language),
        )
        for gap in gaps
    ]
    return _table("gaps", Word("数据缺口", "Gaps"), _GAPS, rows, language)


def region_name(code: int, language: Language) -> str:
    """A region: the name of a province, the code below."""
    known = PROVINCES.get(code)
    return f"{code} {Word(known.zh, known.en).said(language)}" if known else str(code)


def _table(
    name: str, title: Word, columns: dict[str, Word], rows: Sequence[tuple[Cell, ...]], language: Language
) -> Table:
    headings = tuple(heading.said(language) for heading in columns.values())
    return Table(name, title.said(language), tuple(columns), headings, tuple(rows))


def _line(
    book: RuleBook, terms: Terms, need: Need, offer: Offer | None, state: Word, region: int, language: Language
) -> tuple[Cell, ...]:
    basis = list(terms.basis(need))
    if terms.local(need):
        basis.insert(0, _LOCAL)
    return (
        region_name(region, language),
        word(BENEFITS, need.benefit).said(language),
        word(DEPARTMENTS, need.department).said(language),
        word(KINDS, need.kind).said(language),
        GROUPS[need.group].said(language),
        LEVELS[need.level].said(language),
        _use(book, need, language),
        _scope(need.kind, language),
        _period(need, language),
        _joined(basis, language, "；", "; "),
        state.said(language),
        _supplier(offer, language) if offer else "–",
        _delivery(offer, language) if offer else "–",
        offer.freshness_days if offer and offer.freshness_days != NOT_TOLD else "–",
        terms.wanted_days(need),
    )


def _use(book: RuleBook, need: Need, language: Language) -> str:
    if not need.flag:
        group = GROUPS[need.group] if need.group is not Group.TRACE else Word("生存认证", "proof of life")
        return group.said(language)
    effect = _EFFECTS[int(book.effects[need.benefit, need.flag])]
    colon = Word("：", ": ").said(language)
    return f"{word(FLAGS, need.flag).said(language)}{colon}{effect.said(language)}"


def _scope(kind: int, language: Language) -> str:
    more = []
    if kind == words.EVIDENCE_KIND_SENTENCE:
        more.append(_MORE["penalty"])
    if kind in REGION_DETAIL_KINDS:
        more.append(_MORE["place"])
    if kind in FROM_KINDS:
        more.append(_MORE["from"])
    if kind in UNTIL_KINDS:
        more.append(_MORE["until"])
    who = Word("被查询的待遇领取人", "the recipients asked about").said(language)
    return who + Word("：", ": ").said(language) + _joined([_FIELDS, *more], language)


def _period(need: Need, language: Language) -> str:
    if need.period_days:
        return Word(f"近 {need.period_days} 天", f"the last {need.period_days} days").said(language)
    return Word("不限", "no bound").said(language)


def _supplier(offer: Offer, language: Language) -> str:
    title = offer.title.said(language)
    return f"{title} ({offer.by})" if title else offer.by


def _delivery(offer: Offer, language: Language) -> str:
    told = DELIVERIES[offer.delivery].said(language)
    return told + (Word("，变更主动发现", ", changes followed").said(language) if offer.changes else "")


def _benefits(benefits: tuple[int, ...], language: Language) -> str:
    if len(benefits) == len([number for number in answer_words.BenefitType.values() if number]):
        return Word("全部险种", "all benefits").said(language)
    return _joined([word(BENEFITS, benefit) for benefit in benefits], language)


def _remark(gap: Gap, language: Language) -> str:
    if gap.lack is Lack.PARTIAL:
        listed = ", ".join(str(part) for part in gap.parts[:8]) + (" …" if len(gap.parts) > 8 else "")
        return Word(f"仅有：{listed}", f"only: {listed}").said(language)
    if gap.lack is Lack.LATE:
        days, wanted = gap.offered_days, gap.wanted_days
        return Word(f"约定 {days} 天，需求 {wanted} 天", f"agreed {days} days, wanted {wanted}").said(language)
    if gap.lack is Lack.GRADE:
        return Word(
            "须有多个独立部门的轨迹，其一为实名", "needs traces of independent departments, one by real name"
        ).said(language)
    if gap.lack is Lack.MISSING and len(gap.departments) > 1:
        return Word("任一部门提供即可", "any one of them will do").said(language)
    return ""


def _joined(texts: Iterable[Word], language: Language, zh: str = "、", en: str = ", ") -> str:
    return (zh if language == "zh" else en).join(text.said(language) for text in texts)
