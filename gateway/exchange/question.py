"""What a question must hold: checked by the asking side before sealing, and by the answering side again.

Owns: the bounds and required parts of Context and Question, and their messages. Refuses: deciding access, and looking
at identity numbers beyond their being there (the rules normalise and judge those).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gateway.errors import RefusedError
from wugan.adapter.v1 import vocabulary_pb2 as adapter_words
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

MAX_TEXT = 200
"""Characters of a unit, legal basis, case reference or name at most."""
MAX_NUMBER = 40
"""Characters of an identity number as written at most."""
MAX_ALIASES = 8
"""Further numbers for one person at most."""
MAX_FACES = 8
"""Faces told of one person at most."""
QUESTION_ID_BYTES = 16
FURTHEST_DAYS = 400_000
"""Civil days before and after 1970 that mean a day: a thousand years."""

_PURPOSES = frozenset(adapter_words.Purpose.DESCRIPTOR.values_by_number) - {0}
_BENEFITS = frozenset(words.BenefitType.DESCRIPTOR.values_by_number) - {0}
_LARGEST = 1023
"""No word of the contract has a larger number."""
_MANY = 64
"""So many rows are looked at as a column of numpy, which is made without an object for each."""
_TEXTS = (
    ("unit", "the unit (agency) that asks", "发起查询的经办机构"),
    ("legal_basis", "the law or agreement relied on", "法律依据"),
    ("case_reference", "your file reference", "业务编号"),
)
_DOCUMENTS = frozenset(adapter_words.DocumentKind.DESCRIPTOR.values_by_number)


def check_context(context: exchange_pb2.Context) -> None:
    """Check that it is said who asks and why (政务数据共享条例: a request states its purpose and basis).

    Raises:
        RefusedError: INVALID_ARGUMENT, with the path of the part that is missing, too long or malformed.
    """
    for place, text in enumerate((context.unit, context.legal_basis, context.case_reference)):
        if not text.strip() or len(text) > MAX_TEXT or not text.isprintable():
            name, hint_en, hint_zh = _TEXTS[place]
            raise _wrong(
                f"context.{name}",
                f"give {hint_en}: 1 to {MAX_TEXT} printable characters",
                f"请填写{hint_zh}（1 至 {MAX_TEXT} 个可见字符）",
            )
    if not 16 <= len(context.official_pseudonym) <= 32:
        raise _wrong(
            "context.official_pseudonym",
            "give the official's keyed pseudonym, 16 to 32 bytes",
            "缺少经办人假名（16 至 32 字节）",
        )
    if context.purpose not in _PURPOSES:
        raise _wrong("context.purpose", "name a purpose of the contract", "请填写有效的查询目的")


def check_question(question: exchange_pb2.Question, *, max_subjects: int) -> tuple[list[str], list[str]]:
    """Check a whole question: context, column lengths, sizes, known words.

    Returns:
        Numbers and names, as they came.

    Raises:
        RefusedError: INVALID_ARGUMENT, UNKNOWN_BENEFIT or TOO_LARGE, with the path of what is wrong.
    """
    check_context(question.context)
    if len(question.question_id) not in (0, QUESTION_ID_BYTES):
        raise _wrong("question_id", f"{QUESTION_ID_BYTES} random bytes, or none", "应为 16 字节随机数或为空")
    subjects = question.subjects
    numbers, names, kinds = subjects.id_number, subjects.name, subjects.document_kind
    alias_rows, alias_numbers = subjects.alias_subject, subjects.alias_id_number
    benefits, count = question.benefit, len(numbers)
    if count > max_subjects:
        raise too_many(max_subjects)
    if not count:
        raise _wrong("subjects", "ask about at least one person", "请至少查询一人")
    if len(names) != count:
        raise _uneven("subjects.name")
    if len(kinds) not in (0, count):
        raise _uneven("subjects.document_kind")
    if len(benefits) != count:
        raise _uneven("benefit")
    if len(question.region) not in (0, count):
        raise _uneven("region")
    _check_starts(question.benefit_since_on, count)
    if alias_rows or alias_numbers:
        _check_aliases(alias_rows, len(alias_numbers), count)
    if not _known(_BENEFITS, benefits):
        raise RefusedError(
            "name a type of benefit of the contract for every person",
            "险种代码无效，请填写约定的险种",
            reason=words.REFUSAL_REASON_UNKNOWN_BENEFIT,
            field="benefit",
        )
    if kinds and not _known(_DOCUMENTS, kinds):
        raise _wrong("subjects.document_kind", "name a kind of document of the contract", "证件类型无效")
    as_written, names_given = numbers[:], names[:]
    if "" in names_given or max(map(len, names_given)) > MAX_TEXT:
        raise _wrong("subjects.name", f"give every person's name, at most {MAX_TEXT} characters", "姓名缺失或过长")
    if max(map(len, as_written)) > MAX_NUMBER or (alias_rows and max(map(len, alias_numbers[:])) > MAX_NUMBER):
        raise _wrong("subjects.id_number", f"identity numbers have at most {MAX_NUMBER} characters", "证件号码过长")
    return as_written, names_given


def _check_aliases(rows: Sequence[int], numbers: int, count: int) -> None:
    """Check that so many further numbers are those of some of `count` people, a few of each."""
    if len(rows) != numbers:
        raise _uneven("subjects.alias_subject")
    if numbers > count * MAX_ALIASES or max(rows[:]) >= count:
        raise _wrong("subjects.alias_subject", "name rows of this question, a few numbers each", "别名所指行无效或过多")


def _check_starts(starts: Sequence[int], count: int) -> None:
    """Check that benefits began on days that somebody could mean. That none begins later is the asking side's care: its
    clock is another one.
    """
    if len(starts) not in (0, count):
        raise _uneven("benefit_since_on")
    if starts and max(map(abs, starts[:])) > FURTHEST_DAYS:
        raise _wrong("benefit_since_on", "give civil days, or 0 where the day is not known", "待遇开始日期无效")


def _known(words_: frozenset[int], column: Sequence[int]) -> bool:
    """Whether a column holds none but these words."""
    if len(column) < _MANY:
        return words_.issuperset(column[:])
    values = np.asarray(column, np.int32).view(np.uint32)
    if values.max() > _LARGEST:
        return False
    return words_.issuperset(np.flatnonzero(np.bincount(values)).tolist())


def too_many(most: int) -> RefusedError:
    """A question is about more than so many people."""
    return RefusedError(
        f"too many people in one question: at most {most}; send several questions",
        f"单次查询人数超限（上限 {most}），请分批查询",
        reason=words.REFUSAL_REASON_TOO_LARGE,
        field="subjects",
    )


def _uneven(field: str) -> RefusedError:
    return _wrong(field, "send columns of equal length", "各列长度必须一致")


def _wrong(field: str, en: str, zh: str) -> RefusedError:
    return RefusedError(f"{field}: {en}", f"{field}：{zh}", field=field)
