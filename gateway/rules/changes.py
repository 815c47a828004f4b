"""Events that change entitlement without touching life: remarriage, adoption, emigration, work, moves, accounts.

Owns: from which events a fact follows, and that only facts which the benefit depends on are reported. Refuses: what a
fact does to a benefit (certification.py).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gateway.rules.book import RuleBook
from gateway.rules.columns import FAR, Int32, attained_on, distinct, earliest, latest, pack
from gateway.rules.events import Events, in_look_back
from gateway.rules.kinds import EVENT_FLAGS, Role
from gateway.rules.reasons import ReasonCode, ReasonSheet
from wugan.federation.v1 import vocabulary_pb2 as words

Flags = NDArray[np.uint32]

_CODES = np.zeros(32, np.int32)
for _name, _flag in EVENT_FLAGS.items():
    _CODES[_flag] = ReasonCode[_name]
_CODES.flags.writeable = False

_REMARRIED = words.ENTITLEMENT_FLAG_REMARRIED
_LONGEST_YEAR = 366


def bit(flag: int) -> np.uint32:
    """A flag's bit."""
    return np.uint32(1 << flag)


_AGED_OUT_BIT = bit(words.ENTITLEMENT_FLAG_AGED_OUT)


def judge_changes(
    book: RuleBook,
    count: int,
    events: Events,
    relevant: Flags,
    flags: Flags,
    since_on: Int32,
    as_of_on: int,
    sheet: ReasonSheet,
) -> None:
    """Set the flags that events set and tell why.

    Args:
        book: the rules.
        count: subjects of the batch.
        events: all events.
        relevant: flags that each subject's benefit depends on.
        flags: bits of each subject, added to.
        since_on: first day of each subject's benefit, 0: not known.
        as_of_on: the day asked about.
        sheet: where the reasons go.
    """
    rows = events.of(Role.FLAG)
    if len(rows):
        flag = book.kinds.flag.take(rows.kind)
        counts = in_look_back(book, rows.kind, rows.day, since_on[rows.subject], as_of_on)
        counts &= (relevant[rows.subject] >> flag) & 1 == 1
        rows, flag = rows.take(counts), flag[counts]
        np.bitwise_or.at(flags, rows.subject, np.left_shift(np.uint32(1), flag).astype(np.uint32))
        number = np.where(flag == words.ENTITLEMENT_FLAG_DUPLICATE_BENEFIT, rows.detail, 0)
        # Nobody can say whether a fact without a day is of before the start: none is told, so that none is gone by.
        nowhen = ~rows.dated & ((rows.from_on == 0) | (rows.from_on > as_of_on)) & book.before_start[flag]
        told = replace(rows, day=np.where(nowhen, np.int32(0), rows.day)) if np.count_nonzero(nowhen) else rows
        tell_events(told, _CODES.take(flag), number, sheet)
        _tell_divorces(count, rows.take(flag == _REMARRIED), events.of(Role.DIVORCE), sheet)
    moves = events.of(Role.MOVED)
    if len(moves):
        _judge_moves(moves.take(moves.detail > 0), relevant, flags, sheet)
    notes = events.of(Role.NOTE)
    if len(notes):
        tell_events(notes, np.full(len(notes), ReasonCode.ACCOUNT_FROZEN_OR_CLOSED, np.int32), 0 * notes.detail, sheet)


def judge_age(
    book: RuleBook,
    birth_on: Int32,
    relevant: Flags,
    flags: Flags,
    since_on: Int32,
    as_of_on: int,
    sheet: ReasonSheet,
) -> Int32 | None:
    """Set AGED_OUT where the benefit depends on it: where it was a child's benefit, or may have been.

    Where it is known since when the benefit is paid, that is so if it was paid before the birthday, and never else.
    Where not, up to `until_age`; beyond it the question is told, up to `told_until_age`.

    Returns:
        The last day before each subject attains the age, FAR where that is over or does not matter; None: for nobody.
    """
    begun = (since_on != 0) & (since_on >= birth_on)  # a start of before the birth is none
    young = (birth_on > as_of_on - _LONGEST_YEAR * book.aged_out_told_until_age) | begun
    if not np.count_nonzero(young):
        return None
    concerned = np.flatnonzero(young & (birth_on != 0) & ((relevant & _AGED_OUT_BIT) != 0))
    if not len(concerned):
        return None
    begun, since = begun[concerned], since_on[concerned]
    attains = attained_on(birth_on[concerned], book.aged_out_age)
    other_ground = attained_on(birth_on[concerned], book.aged_out_until_age)
    aged = (attains <= as_of_on) & np.where(begun, since <= attains, as_of_on < other_ground)
    rows = concerned[aged]
    flags[rows] |= _AGED_OUT_BIT
    sheet.add(rows, ReasonCode.AGED_OUT, on=attains[aged], number=book.aged_out_age)
    told_until = attained_on(birth_on[concerned], book.aged_out_told_until_age)
    open_ = ~begun & (other_ground <= as_of_on) & (as_of_on < told_until)
    sheet.add(concerned[open_], ReasonCode.CHILD_BENEFIT_POSSIBLE, on=attains[open_], number=book.aged_out_age)
    before = np.full(len(birth_on), FAR, np.int32)
    before[concerned] = np.where(attains > as_of_on, attains - 1, FAR)
    return before


def may_age_out(book: RuleBook, benefit: int, born_on: int, since_on: int, as_of_on: int) -> bool:
    """Whether one person's age may set a flag, is about to, or is told of: `judge_age` then says."""
    young = born_on > as_of_on - _LONGEST_YEAR * book.aged_out_told_until_age
    if not born_on or not (young or since_on):
        return False
    return bool(book.relevant_flags.take(benefit, mode="clip") & _AGED_OUT_BIT)


def _judge_moves(moves: Events, relevant: Flags, flags: Flags, sheet: ReasonSheet) -> None:
    """A chain of moves counts as one: from where the first began to where the last ended."""
    packed = pack(moves.subject, moves.day, moves.kind, moves.department)
    moves = moves.take(distinct(packed, moves.region, moves.detail))
    new = np.ones(len(moves) + 1, np.bool_)
    new[1:-1] = moves.subject[1:] != moves.subject[:-1]
    first, last = moves.take(new[:-1]), moves.take(new[1:])
    away = (first.region > 0) & (first.region // 10_000 != last.detail // 10_000)
    away &= (relevant[last.subject] & bit(words.ENTITLEMENT_FLAG_MOVED)) != 0
    moved = last.take(away)
    flags[moved.subject] |= bit(words.ENTITLEMENT_FLAG_MOVED)
    tell_events(moved, np.full(len(moved), ReasonCode.MOVED, np.int32), moved.detail, sheet)


def _tell_divorces(count: int, marriages: Events, divorces: Events, sheet: ReasonSheet) -> None:
    if not len(marriages) or not len(divorces):
        return
    married_on = earliest(count, marriages.subject, marriages.day)
    divorced_on = latest(count, divorces.subject, divorces.day)
    rows = (divorced_on >= married_on).nonzero()[0]
    sheet.add(rows, ReasonCode.DIVORCE_DOES_NOT_RESTORE, on=divorced_on[rows])


def tell_events(events: Events, code: Int32, number: Int32, sheet: ReasonSheet) -> None:
    """Tell of events, of what is the same once."""
    rows = distinct(pack(events.subject, events.day, events.kind, events.department), code, number)
    sheet.add(
        events.subject[rows],
        code[rows],
        department=events.department[rows],
        kind=events.kind[rows],
        on=events.day[rows],
        number=number[rows],
    )
