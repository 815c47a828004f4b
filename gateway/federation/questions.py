"""The question about one recipient, made of what the agency's register has.

Owns: what an agency must say, normalising numbers, and the pseudonym that stands for the official. Refuses:
whom to ask.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import unicodedata
from typing import NamedTuple

from gateway.errors import RefusedError
from gateway.exchange.question import check_question
from gateway.federation.routing import Places
from gateway.rules.identity import normalise_number, read_numbers
from wugan.federation.v1 import exchange_pb2

MAX_OFFICIAL = 100
"""Characters of an official's name."""
_NOT_SEEN = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})
"""Unicode categories of characters that nobody sees: blanks, controls and formats."""


@functools.lru_cache(maxsize=4096)
def one_spelling(official: str) -> str:
    """An official's name without what makes no other official of it: width, case, blanks and what is not seen.

    An official has one quota and one pseudonym, however the name was typed. "": it is no name.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", official).casefold())
    return "".join(char for char in folded if unicodedata.category(char) not in _NOT_SEEN)


def is_official(name: str) -> bool:
    """Whether a text may be the name of an official. Its length is looked at first: spellings are kept."""
    return len(name) <= MAX_OFFICIAL and bool(one_spelling(name))


class Recipient(NamedTuple):
    """The person asked about, as the agency's register has them.

    Args:
        benefit_since_on: civil day since which the benefit is paid, 0: not known.
        tells_since: whether the question tells it: only where the benefit depends on facts that it tells apart.
    """

    id_number: str
    name: str
    document_kind: int
    alias_id_numbers: tuple[str, ...]
    benefit: int
    places: Places
    benefit_since_on: int = 0
    tells_since: bool = False


class Case(NamedTuple):
    """Who asks and why; `official` is the agency's own name for the official and leaves only as a pseudonym.

    `fresh`: every member is asked anew, whatever is kept of earlier answers.
    """

    unit: str
    official: str
    purpose: int
    legal_basis: str
    case_reference: str
    as_of_on: int = 0
    evidence_limit: int = 0
    fresh: bool = False


class Questions:
    """Makes questions; `key`: under which officials become pseudonyms."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.pseudonym = functools.lru_cache(maxsize=4096)(self._pseudonym_of)
        """What stands for an official, by unit and name."""

    def make(self, recipient: Recipient, case: Case, today: int) -> exchange_pb2.Question:
        """The question about one recipient, numbers normalised.

        Raises:
            RefusedError: something in it is missing or wrong; `field` says what.
        """
        if case.as_of_on > today:
            raise _wrong("as_of", "give today or a day in the past", "请填写今天或以前的日期")
        if recipient.benefit_since_on > (case.as_of_on or today):
            raise _wrong(
                "benefit_since",
                "give the day since when the benefit is paid, not after the day asked about",
                "待遇开始日期不得晚于查询日期",
            )
        if not is_official(case.official):
            raise _wrong(
                "official", "say which official asks, at most 100 characters", "请填写经办人（至多 100 个字符）"
            )
        question = exchange_pb2.Question()
        question.benefit.append(recipient.benefit)  # type: ignore[arg-type]  # checked below
        question.region.extend(recipient.places.residence[:1])
        question.as_of_on = case.as_of_on
        question.evidence_limit = case.evidence_limit
        # Filled in where they are: made apart and handed over, they are copied, and a question costs twice as much.
        context, subjects = question.context, question.subjects
        context.unit = case.unit
        context.official_pseudonym = self.pseudonym(case.unit, case.official)
        context.purpose = case.purpose  # type: ignore[assignment]  # checked below
        context.legal_basis = case.legal_basis
        context.case_reference = case.case_reference
        numbers = subjects.id_number
        numbers.append(recipient.id_number)
        subjects.name.append(recipient.name.strip())
        if recipient.alias_id_numbers:
            subjects.alias_subject.extend([0] * len(recipient.alias_id_numbers))
            subjects.alias_id_number.extend(recipient.alias_id_numbers)
        if recipient.document_kind:
            subjects.document_kind.append(recipient.document_kind)  # type: ignore[arg-type]  # checked below
        check_question(question, max_subjects=1)
        numbers[0] = normalise_number(recipient.id_number, recipient.document_kind)
        if recipient.benefit_since_on:
            _require_born(numbers[0], recipient)
            if recipient.tells_since:
                question.benefit_since_on.append(recipient.benefit_since_on)
        if recipient.alias_id_numbers:
            subjects.alias_id_number[:] = [normalise_number(number) for number in recipient.alias_id_numbers]
        return question

    def _pseudonym_of(self, unit: str, official: str) -> bytes:
        parts = [part.encode() for part in (unit, one_spelling(official))]
        message = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return hmac.digest(self._key, message, hashlib.sha256)


def _require_born(id_number: str, recipient: Recipient) -> None:
    """Refuse a benefit that began before the birth that the number tells, where it is a number that tells one."""
    _, _, born_on = read_numbers([id_number], [recipient.document_kind] if recipient.document_kind else [])
    if born_on[0] and recipient.benefit_since_on < born_on[0]:
        raise _wrong(
            "benefit_since",
            "give a day not before the birth that the number tells",
            "待遇开始日期不得早于证件号码所载出生日期",
        )


def _wrong(field: str, en: str, zh: str) -> RefusedError:
    return RefusedError(f"{field}: {en}", f"{field}：{zh}", field=field)
