"""The words of an answer: texts of reasons, filled in with the names of departments and kinds (gateway/wording.py).

Owns: what a reader sees of a reason in Chinese or English. Refuses: terminals, colours, layout.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, timedelta
from functools import lru_cache

from gateway.rules.book import RuleBook
from gateway.rules.reasons import ReasonText
from gateway.wording import Language

_FURTHEST_DAYS = 400_000
_EPOCH = date(1970, 1, 1)


def reason_texts(book: RuleBook, codes: Collection[int]) -> list[ReasonText]:
    """The texts of the codes that occur, once each, in ascending order; codes of a newer version are left out."""
    return [book.reason_texts[code] for code in sorted(set(codes)) if code in book.reason_texts]


@lru_cache(maxsize=4096)
def fill(
    book: RuleBook,
    template: str,
    language: Language,
    *,
    department: int = 0,
    kind: int = 0,
    on: int = 0,
    number: int = 0,
    month: bool = False,
) -> str:
    """A text with its places filled in; `month`: `on` stands for its month.

    What is 0 (not given, or not disclosed for the purpose), or unknown here, is told in general words. The template may
    come from another province: places other than the four of the contract are left as they stand.
    """
    chinese = language == "zh"
    values = {
        "{department}": book.department_name(department, language) or ("某部门" if chinese else "a department"),
        "{kind}": book.kind_name(kind, language) or ("记录" if chinese else "record"),
        "{on}": day_text(on, month=month) or ("某日" if chinese else "a day not disclosed"),
        "{number}": str(number) if number else ("未披露" if chinese else "not disclosed"),
    }
    text = template
    for place, value in values.items():
        text = text.replace(place, value)
    return text


@lru_cache(maxsize=4096)
def day_text(on: int, *, month: bool = False) -> str:
    """A civil day as "YYYY-MM-DD", or its month as "YYYY-MM"; "" for 0 and for what is no day anyone could mean."""
    if on == 0 or abs(on) > _FURTHEST_DAYS:
        return ""
    text = (_EPOCH + timedelta(days=on)).isoformat()
    return text[:7] if month else text
