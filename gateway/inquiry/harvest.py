"""Harvesting by a member that may ask: seen in what it asks, answered by an alarm and ever longer waits.

What is looked for, each member for itself, within the last one to two windows:

    sequential   people born on one day in one place whose order codes follow each other, or every other one (of one
                 sex): somebody goes through the numbers there can be (GB 11643: six digits of place, eight of birth,
                 three of order, a check digit). Any order of asking, any number of questions. Not people of a stream
                 under a grant that expects a roster: a town's roster has such numbers, the grant says how many may be
                 asked about (`roster`), and who goes through numbers meets people whom nobody knows (`unknown`).
    roster       more people in a civil day, under one grant, than its roster explains
    odd-hours    many people at hours when agencies are closed, Asia/Shanghai; not under a grant that expects a roster,
                 which is run at night, and is held to what it expects
    unknown      people said to live here whom no department knows, as a share. People asked about without a region do
                 not count: where the residence is unknown, several provinces are asked and most know nothing.
    overlap      far more people in common than two provinces have, when their rosters are compared (gateway/matching):
                 somebody compares numbers that there may be, not people who draw

An alarm stands until an audit administrator clears it, also across a restart. While it stands, questions of its unit
(of all units, once two have one) are let through one at a time, after waits that double up to an hour.

Owns: these windows, in bounded memory, and the waits. Refuses: keeping a number but in memory: of a person, the first
fourteen digits and the order code, for as long as a window is looked back on; nothing of it is logged or written.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.clock import SHANGHAI_OFFSET_S, civil_day
from gateway.inquiry import sequences
from gateway.inquiry.sequences import Seen
from gateway.sections.inward import HarvestSettings
from gateway.store.alarms import Alarm

SEQUENTIAL: Final = "sequential"
ROSTER: Final = "roster"
ODD_HOURS: Final = "odd-hours"
UNKNOWN: Final = "unknown"
OVERLAP: Final = "overlap"
MAX_PREFIXES: Final = 400_000
"""Pairs of place and day of birth held in all, some 250 bytes each; beyond, the largest member forgets first."""
MAX_MANY: Final = 4_000_000
"""Numbers of large questions held in all, some 16 bytes each; beyond, the largest member forgets first."""
LONGEST_HOLD_MS: Final = 3_600_000
MANY: Final = 64
_NUMBER_CHARS: Final = 18
_HOUR_S: Final = 3600


@dataclass(slots=True)
class _Window:
    """What was seen within one window, of small questions and of large ones; the member has two, the newest first."""

    orders: dict[int, int] = field(default_factory=dict)
    seen: Seen = field(default_factory=Seen)
    expected: Seen = field(default_factory=functools.partial(Seen, counted=False))
    """Of streams of a roster that the grant expects: these make no sequence, not with others either."""
    odd: int = 0
    placed: int = 0
    unknown: int = 0

    @property
    def held(self) -> int:
        """Numbers held in columns."""
        return self.seen.count + self.expected.count


@dataclass(slots=True)
class _Member:
    began_ms: int = 0
    now: _Window = field(default_factory=_Window)
    before: _Window = field(default_factory=_Window)
    day: int = 0
    day_people: dict[str, int] = field(default_factory=dict)
    """People of the day, by grant: each expects a roster of its own."""
    standing: dict[tuple[str, str], int] = field(default_factory=dict)
    """Alarms by unit and signal, to their number; 0: not known yet."""
    hold_ms: int = 0
    next_ms: int = 0

    @property
    def many(self) -> bool:
        """Whether something was noted among many."""
        return bool(self.now.held or self.before.held)


class Harvest:
    """See the module.

    Args:
        settings: the thresholds.
        keep: writes an alarm down; calls back with its number.
    """

    def __init__(
        self, settings: HarvestSettings, keep: Callable[[Alarm, Callable[[int], None]], None] | None = None
    ) -> None:
        # Each look reads these, and of settings that takes ten times as long.
        self._sequential_people, self._roster_factor = settings.sequential_people, settings.roster_factor
        self._odd_people, self._hold_s = settings.odd_people, settings.hold_s
        self._odd_from_hour, self._odd_until_hour = settings.odd_from_hour, settings.odd_until_hour
        self._unknown_people, self._unknown_share = settings.unknown_people, settings.unknown_share
        self._keep = keep
        self._window_ms = round(settings.window_s * 1000)
        self._members: dict[str, _Member] = {}
        self._prefixes = 0
        self._many = 0
        self._cleared: Collection[int] = ()

    def restore(self, alarms: Iterable[Alarm]) -> None:
        """Have the alarms stand that were raised before a restart."""
        for alarm in alarms:
            if alarm.number not in self._cleared:
                self._of(alarm.member).standing[alarm.unit, alarm.signal] = alarm.number

    def clear(self, cleared: Collection[int]) -> None:
        """Let the alarms of these numbers go; a member without any begins anew."""
        self._cleared = cleared
        for member in self._members.values():
            gone = [key for key, number in member.standing.items() if number in cleared]
            for key in gone:
                del member.standing[key]
            if gone and not member.standing:
                self._forget(member)
                member.hold_ms = member.next_ms = 0
                member.day_people.clear()

    def held_ms(self, member_id: str, unit: str, now_ms: int) -> int:
        """How long a question of this unit has to wait; 0: let it through. The one let through makes the next wait."""
        member = self._members.get(member_id)
        if member is None or not member.standing:
            return 0
        if not holds_back({of for of, _ in member.standing}, unit):
            return 0
        if now_ms < member.next_ms:
            return member.next_ms - now_ms
        member.hold_ms = min(max(2 * member.hold_ms, round(self._hold_s * 1000)), LONGEST_HOLD_MS)
        member.next_ms = now_ms + member.hold_ms
        return 0

    def look(
        self,
        member_id: str,
        unit: str,
        roster: int,
        numbers: Sequence[str],
        now_ms: int,
        *,
        streamed: bool = False,
        grant: str = "",
        by_hand: bool = True,
    ) -> bool:
        """Take in whom a question is about; whether an alarm was raised by it.

        Args:
            member_id: who asks.
            unit: of it.
            roster: people the grant expects; 0: not said.
            numbers: normalised.
            now_ms: Unix time in milliseconds.
            streamed: the question is a part of a roster, as far as the asker says.
            grant: that expects the roster, and counts its own people only.
            by_hand: somebody asks; gateways also name people by themselves, at any hour.
        """
        member = self._of(member_id)
        self._turn(member, now_ms)
        if roster and streamed:
            fresh, sequence = self._note_expected(member, numbers), 0
        else:
            fresh, sequence = self._note(member, numbers)
        day = civil_day(now_ms)
        if day != member.day:
            member.day = day
            member.day_people.clear()
        people = member.day_people[grant] = member.day_people.get(grant, 0) + fresh
        raised = False
        if sequence:
            raised |= self._raise(member_id, unit, SEQUENTIAL, sequence, self._sequential_people - 1, now_ms)
        expected = int(roster * self._roster_factor)
        if roster and people > expected:
            raised |= self._raise(member_id, unit, ROSTER, people, expected, now_ms)
        if by_hand and not roster and self._odd(now_ms):
            member.now.odd += len(numbers)
            odd = member.now.odd + member.before.odd
            if odd > self._odd_people:
                raised |= self._raise(member_id, unit, ODD_HOURS, odd, self._odd_people, now_ms)
        return raised

    def answered(self, member_id: str, unit: str, placed: int, unknown: int, now_ms: int) -> None:
        """Take in what came of a question: how many were said to live here, and how many of these nobody knows."""
        if not placed:
            return
        member = self._of(member_id)
        self._turn(member, now_ms)
        member.now.placed += placed
        member.now.unknown += unknown
        placed = member.now.placed + member.before.placed
        unknown = member.now.unknown + member.before.unknown
        allowed = int(placed * self._unknown_share)
        if placed >= self._unknown_people and unknown > allowed:
            self._raise(member_id, unit, UNKNOWN, unknown, allowed, now_ms)

    def implausible(self, member_id: str, unit: str, seen: int, allowed: int, now_ms: int) -> None:
        """Whoever compares rosters saw more people in common than there can be."""
        self._raise(member_id, unit, OVERLAP, seen, allowed, now_ms)

    def standing(self) -> dict[str, list[str]]:
        """The members that have an alarm standing, and the signals of each."""
        return {
            member_id: sorted({signal for _, signal in member.standing})
            for member_id, member in self._members.items()
            if member.standing
        }

    def _of(self, member_id: str) -> _Member:
        member = self._members.get(member_id)
        if member is None:  # there are as many as the directory has
            member = self._members[member_id] = _Member()
        return member

    def _turn(self, member: _Member, now_ms: int) -> None:
        """Begin a new window when the time has come, or when a member holds too much."""
        age = now_ms - member.began_ms
        if 0 <= age < self._window_ms:
            return
        if age >= 2 * self._window_ms or age < 0:
            self._forget(member)
        self._shift(member)
        member.began_ms = now_ms

    def _shift(self, member: _Member) -> None:
        self._prefixes -= len(member.before.orders)
        self._many -= member.before.held
        member.before, member.now = member.now, _Window()

    def _forget(self, member: _Member) -> None:
        self._prefixes -= len(member.now.orders) + len(member.before.orders)
        self._many -= member.now.held + member.before.held
        member.now, member.before = _Window(), _Window()

    def _note(self, member: _Member, numbers: Sequence[str]) -> tuple[int, int]:
        """Note order codes under their prefixes; how many are new, and how many make up a sequence that is too long."""
        if len(numbers) >= MANY:
            found = self._note_many(member, numbers)
            self._make_room()
            return found
        pairs = _split(numbers)
        now, before = member.now.orders, member.before.orders
        held = len(now)
        fresh, sequence, many = len(numbers) - len(pairs), 0, bool(self._many) and member.many
        for prefix, bit in pairs:
            mine = now.get(prefix, 0)
            known = mine | before.get(prefix, 0)
            if known & bit or (many and _among_many(member, prefix, bit)):
                continue
            fresh += 1
            now[prefix] = mine | bit
            sequence = max(sequence, self._sequence(member, prefix, known | bit, many=many))
        self._prefixes += len(now) - held
        self._make_room()
        return fresh, sequence

    def _note_expected(self, member: _Member, numbers: Sequence[str]) -> int:
        """Note people of a roster that is expected; how many are new."""
        found, resident = sequences.read(numbers)
        now, before = member.now, member.before
        known = before.expected.holds(found) | before.seen.holds(found) | now.seen.holds(found)
        _mark_alone(known, found, _noted_alone(member, found))
        held = now.expected.count
        new = int(np.count_nonzero(now.expected.add(found[~known])))
        self._many += now.expected.count - held
        self._make_room()
        return len(numbers) - resident + new

    def _note_many(self, member: _Member, numbers: Sequence[str]) -> tuple[int, int]:
        """The same for many at once."""
        found, resident = sequences.read(numbers)
        now, before = member.now, member.before
        known = before.seen.holds(found) | before.expected.holds(found) | now.expected.holds(found)
        alone = _noted_alone(member, found)
        _mark_alone(known, found, alone)
        found, places = found[~known], np.flatnonzero(~known)
        held = now.seen.count
        new = now.seen.add(found)
        self._many += now.seen.count - held
        under = now.seen.under(found) + before.seen.under(found)
        for at in np.flatnonzero([place in alone for place in places.tolist()]).tolist() if alone else ():
            under[at] += alone[int(places[at])].bit_count()
        candidates = np.flatnonzero(new & (under >= self._sequential_people))
        sequence = 0
        if len(candidates):
            for prefix in self._in_runs(member, found[candidates]):
                orders = now.orders.get(prefix, 0) | before.orders.get(prefix, 0)
                sequence = max(sequence, self._sequence(member, prefix, orders, many=True))
        return len(numbers) - resident + int(np.count_nonzero(new)), sequence

    def _in_runs(self, member: _Member, found: NDArray[np.int64]) -> list[int]:
        """The prefixes of those of these numbers that are in a run that is too long."""
        wanted = self._sequential_people
        reach = min(2 * (wanted - 1), sequences.ORDERS - 1)
        prefix = found // sequences.ORDERS
        around = found[:, None] + np.arange(-reach, reach + 1)
        near = (around // sequences.ORDERS == prefix[:, None]).ravel()
        flat = around.ravel()
        near[near] = member.now.seen.holds(flat[near]) | member.before.seen.holds(flat[near])
        near = near.reshape(around.shape)
        for at in _noted_alone(member, found):
            bits = member.now.orders.get(int(prefix[at]), 0) | member.before.orders.get(int(prefix[at]), 0)
            first = int(found[at] % sequences.ORDERS) - reach
            near[at] |= [place >= 0 and bool(bits >> place & 1) for place in range(first, first + near.shape[1])]
        runs = np.maximum(sequences.longest_runs(near, 1), sequences.longest_runs(near, 2))
        return list(dict.fromkeys(prefix[runs >= wanted].tolist()))

    def _sequence(self, member: _Member, prefix: int, known: int, *, many: bool) -> int:
        """How many order codes there are under a prefix, if they hold a sequence that is too long; else 0. `many`:
        whether something was noted among many.
        """
        wanted = self._sequential_people
        if many:
            known |= member.now.seen.orders(prefix) | member.before.seen.orders(prefix)
        if known.bit_count() >= wanted and (_has_run(known, wanted, 1) or _has_run(known, wanted, 2)):
            return known.bit_count()
        return 0

    def _make_room(self) -> None:
        """Forget the older half of what the largest members asked, until no more is held than may be."""
        while self._prefixes > MAX_PREFIXES:
            self._shift(max(self._members.values(), key=lambda each: len(each.now.orders) + len(each.before.orders)))
        while self._many > MAX_MANY:
            self._shift(max(self._members.values(), key=lambda each: each.now.held + each.before.held))

    def _odd(self, now_ms: int) -> bool:
        first, last = self._odd_from_hour, self._odd_until_hour
        hour = (now_ms // 1000 + SHANGHAI_OFFSET_S) // _HOUR_S % 24
        return first <= hour < last if first <= last else hour >= first or hour < last

    def _raise(self, member_id: str, unit: str, signal: str, seen: int, allowed: int, now_ms: int) -> bool:
        member = self._of(member_id)
        key = unit, signal
        if key in member.standing:
            return False
        member.standing[key] = 0
        if not member.hold_ms:
            member.hold_ms = round(self._hold_s * 1000)
            member.next_ms = now_ms + member.hold_ms

        def numbered(number: int) -> None:
            if key in member.standing:
                member.standing[key] = number

        if self._keep is not None:
            self._keep(Alarm(0, now_ms, member_id, unit, signal, seen, allowed), numbered)
        return True


def holds_back(units: Collection[str], unit: str) -> bool:
    """Whether alarms of these units of a member hold back what one of its units asks: its own, or those of two."""
    return unit in units or len(units) > 1


def _split(numbers: Sequence[str]) -> list[tuple[int, int]]:
    """Prefix and bit of the order code of each resident number; others are left out."""
    pairs = []
    for number in numbers:
        if len(number) == _NUMBER_CHARS and number.isascii() and number[:17].isdigit():
            pairs.append((int(number[:14]), 1 << int(number[14:17])))
    return pairs


def _among_many(member: _Member, prefix: int, bit: int) -> bool:
    """Whether a number was noted among many."""
    number = np.array([prefix * sequences.ORDERS + bit.bit_length() - 1])
    sets = (each for window in (member.now, member.before) for each in (window.seen, window.expected))
    return any(bool(each.holds(number)[0]) for each in sets)


def _noted_alone(member: _Member, found: NDArray[np.int64]) -> dict[int, int]:
    """What was noted by itself under the prefixes of numbers, by their places; most have nothing."""
    now, before = member.now.orders, member.before.orders
    if not now and not before:
        return {}
    prefixes = (found // sequences.ORDERS).tolist()
    return {
        at: now.get(prefix, 0) | before.get(prefix, 0)
        for at, prefix in enumerate(prefixes)
        if prefix in now or prefix in before
    }


def _mark_alone(known: NDArray[np.bool_], found: NDArray[np.int64], alone: dict[int, int]) -> None:
    """Mark those numbers that were noted by themselves."""
    for at, bits in alone.items():
        known[at] |= bool(bits >> int(found[at] % sequences.ORDERS) & 1)


def _has_run(bits: int, length: int, step: int) -> bool:
    """Whether so many bits are set one after another, `step` apart."""
    done = 1
    while bits and done < length:
        more = min(done, length - done)
        bits &= bits >> more * step
        done += more
    return bool(bits)
