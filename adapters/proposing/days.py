"""Which dates of a sample are the day of the event, the day it was there, first and last day of a term.

Owns: weighing what columns of dates are called against what they hold. Refuses: a day of birth, which the number tells.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Final

from adapters.asked import normal
from adapters.proposing import words as named
from adapters.proposing.guesses import Guess, Sure, Understood
from adapters.proposing.samples import Column
from adapters.proposing.shapes import AMBIGUOUS, Shape
from adapters.proposing.words import spoken
from adapters.values import text_of

_NEARLY: Final = 0.95


def find_days(record: Understood, by_name: dict[str, Column], taken: set[str], *, terms: bool = True) -> None:
    """Set what is known of the record's days; without `terms` none of them is the first or last day of one."""
    shapes = record.shapes
    able = [name for name, shape in shapes.items() if name not in taken and (shape.formats or shape.native)]
    able = [name for name in able if not _accident(name, shapes[name])]
    born = [normal(text_of(value))[6:14] for value in by_name[record.identity.value].values]
    able = [name for name in able if not (spoken(name, named.BIRTH) or _is_birth(shapes[name], born))]

    def pick(listed: named.Words) -> str | None:
        scored = [(spoken(name, listed), -place, name) for place, name in enumerate(able) if spoken(name, listed)]
        return max(scored)[2] if scored else None

    for listed, setting in ((named.FROM, "since"), (named.UNTIL, "until")) if terms else ():
        if (name := pick(listed)) is not None and len(able) > 1:
            able.remove(name)
            setattr(record, setting, Guess(name, Sure.MEDIUM, "a date that is called so", "日期列，列名相符"))
    available = pick(named.AVAILABLE) if len(able) > 1 else None
    rest = [name for name in able if name != available]
    if not rest:
        return
    observed = max(rest, key=lambda name: (_called_date(name), shapes[name].share_filled))
    called = _called_date(observed) > 0
    if available is None and len(rest) > 1:
        available = _later(observed, [name for name in rest if name != observed], shapes)
    clear = called and len(rest) == 1 and not set(shapes[observed].formats) & AMBIGUOUS
    sure = Sure.HIGH if clear else Sure.MEDIUM if called else Sure.LOW
    read = round(100 * (1 - shapes[observed].undated))
    en, zh = f"{read} % of its values read as dates", f"{read}% 的值可按所列格式读为日期"
    if len(rest) > 1:
        further = ", ".join(name for name in rest if name != observed)
        en, zh = f"{en}; other dates: {further}", f"{zh}；另有日期列：{further}"
    record.observed = Guess(observed, sure, en, zh)
    if available is not None:
        by = spoken(available, named.AVAILABLE) > 0
        record.available = Guess(
            available,
            Sure.MEDIUM if by else Sure.LOW,
            "a later date" + (" that is called so" if by else ", never before the event"),
            "较晚的日期" + ("，列名相符" if by else "，不早于发生日期"),
        )
        _freshness(record)


def _called_date(name: str) -> int:
    """How well a name fits the day of an event; one that merely ends as dates do fits a little."""
    return spoken(name, named.OBSERVED) or int(name.lower().endswith(named.DATE_ENDINGS))


def _accident(name: str, shape: Shape) -> bool:
    """Whether numbers only happen to read as dates: nothing calls them dates, and they are all there is."""
    called = max(_called_date(name), *(spoken(name, listed) for listed in (named.AVAILABLE, named.FROM, named.UNTIL)))
    return not shape.native and set(shape.formats) <= AMBIGUOUS and not called


def _is_birth(shape: Shape, born: Sequence[str]) -> bool:
    """Whether a date is the person's day of birth, which the number tells anyway."""
    pairs = [(day, text) for day, text in zip(shape.days, born, strict=True) if day and text.isdigit()]
    same = sum((dt.date(1970, 1, 1) + dt.timedelta(days=day)).strftime("%Y%m%d") == text for day, text in pairs)
    return bool(pairs) and same >= 0.8 * len(pairs)


def _later(observed: str, others: Sequence[str], shapes: dict[str, Shape]) -> str | None:
    """A date that is hardly ever before the event, and there for nearly every row."""
    event = shapes[observed].days
    for name in others:
        pairs = [(one, two) for one, two in zip(event, shapes[name].days, strict=True) if one and two]
        if len(pairs) >= _NEARLY * shapes[observed].filled and sum(two >= one for one, two in pairs) >= _NEARLY * len(
            pairs
        ):
            return name
    return None


def _freshness(record: Understood) -> None:
    """Days within which nineteen of twenty rows were there."""
    if record.observed is None or record.available is None:
        return
    event, there = record.shapes[record.observed.value].days, record.shapes[record.available.value].days
    late = sorted(two - one for one, two in zip(event, there, strict=True) if one and two and two >= one)
    if late:
        record.freshness_days = min(3660, max(1, late[min(len(late) - 1, int(len(late) * 0.95))]))
        record.freshness_told = True
