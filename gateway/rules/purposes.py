"""What each purpose may be told, as the rule file has it and as dense tables that a whole batch is looked up in.

Owns: the settings of `disclosure`, their names, and the tables made of them once for a rule file. Refuses: applying
them (disclosure.py), and people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.rules.columns import Int32, Mask
from gateway.rules.kinds import FIRST_EVENT, KIND_SLOTS, KNOWN_KINDS, KindTable, Role, names
from gateway.rules.reading import Section
from gateway.rules.reasons import MISUSE_CODES, PENAL_DETAIL_CODES, PLACE_CODES, TRACE_CODES
from wugan.adapter.v1 import vocabulary_pb2 as words
from wugan.federation.v1 import vocabulary_pb2 as answer_words

PURPOSES: Final = names(dict(words.Purpose.items()), "PURPOSE_")
CODE_SLOTS: Final = 256
"""Reasons' codes from here on are of a later version and looked up in the last slot."""
ANYBODY: Final = 1
"""In `Scope.gate`: whatever the benefit. EntitlementFlag 0 stands for no flag, so its bit is free."""


class Rows:
    """Which rows of a class an answer may carry."""

    NONE: Final = 0
    MISUSE: Final = 1
    ALL: Final = 2


class Precision:
    """How exactly a date (none, month, day) or a region (none, province, full) may be told."""

    NONE: Final = 0
    COARSE: Final = 1
    EXACT: Final = 2


_TRACE_ROWS: Final[dict[str, int]] = {"none": Rows.NONE, "misuse": Rows.MISUSE, "all": Rows.ALL}
_EVENT_ROWS: Final[dict[str, int]] = {"none": Rows.NONE, "all": Rows.ALL}
_DATES: Final[dict[str, int]] = {"none": Precision.NONE, "month": Precision.COARSE, "day": Precision.EXACT}
_REGIONS: Final[dict[str, int]] = {"none": Precision.NONE, "province": Precision.COARSE, "full": Precision.EXACT}


@dataclass(frozen=True, slots=True)
class Disclosure:
    """What an answer for one purpose may carry: `Rows` of each class, `Precision` of dates and regions."""

    traces: int
    events: int
    references: bool
    trace_dates: int
    event_dates: int
    trace_region: int
    event_region: int
    numbers: bool
    last_trace: bool
    penal_detail: bool
    faces: bool = False


NOTHING: Final = Disclosure(
    Rows.NONE,
    Rows.NONE,
    references=False,
    trace_dates=Precision.NONE,
    event_dates=Precision.NONE,
    trace_region=Precision.NONE,
    event_region=Precision.NONE,
    numbers=False,
    last_trace=False,
    penal_detail=False,
)
"""For a purpose that no table knows."""


@dataclass(frozen=True, slots=True)
class Days:
    """How days are told: `shown` is all ones or 0, `month` whether only the month is."""

    shown: Int32
    month: Mask


@dataclass(frozen=True, slots=True)
class Places:
    """How region codes are told: divided by `unit`, then multiplied by `times`, which is 0 where none is told."""

    unit: Int32
    times: Int32


@dataclass(frozen=True, slots=True, eq=False)
class Scope:
    """A `Disclosure` as read-only tables, of rows by kind and of reasons by code.

    Args:
        gate: bits of flags, of which the benefit must depend on one for a row of the kind to be told; or ANYBODY; 0:
            never.
        misuse_only: traces are told when they are dated after a death.
        days: the day of a row.
        spans: its from and until.
        exact: all ones where days are told exactly, else 0.
        regions: its region.
        details: its detail, which of some kinds is a region.
        reason_rows: all ones where a reason may name department and kind, else 0.
        reason_days: the day of a reason.
        reason_places: its number, which of some codes is a region.
    """

    gate: NDArray[np.uint32]
    misuse_only: bool
    days: Days
    spans: Days
    exact: Int32
    regions: Places
    details: Places
    reason_rows: Int32
    reason_days: Days
    reason_places: Places


def read_disclosures(section: Section) -> Mapping[int, Disclosure]:
    """What may be told, by Purpose.

    Raises:
        ConfigError: a purpose or a setting is missing or wrong.
    """
    table: dict[int, Disclosure] = {}
    for name, number in PURPOSES.items():
        entry = section.section(name)
        table[number] = Disclosure(
            traces=entry.choice("traces", _TRACE_ROWS),
            events=entry.choice("events", _EVENT_ROWS),
            references=entry.boolean("references"),
            trace_dates=entry.choice("trace_dates", _DATES),
            event_dates=entry.choice("event_dates", _DATES),
            trace_region=entry.choice("trace_region", _REGIONS),
            event_region=entry.choice("event_region", _REGIONS),
            numbers=entry.boolean("numbers"),
            last_trace=entry.boolean("last_trace"),
            penal_detail=entry.boolean("penal_detail"),
            faces=entry.boolean("faces", default=False),
        )
        entry.close()
    section.close()
    return MappingProxyType(table)


def scope_of(allowed: Disclosure, kinds: KindTable) -> Scope:
    """The tables of one purpose."""
    event = np.arange(KIND_SLOTS) >= FIRST_EVENT
    penal = kinds.role == Role.PENAL
    dates = np.where(event, allowed.event_dates, allowed.trace_dates)
    regions = np.where(event, allowed.event_region, allowed.trace_region)
    place = (kinds.role == Role.MOVED) | (kinds.flag == answer_words.ENTITLEMENT_FLAG_DUPLICATE_BENEFIT)
    details = np.where(place, regions, Precision.EXACT)
    spans = dates.copy()
    if not allowed.penal_detail:
        spans[penal] = details[penal] = Precision.NONE

    code = np.arange(CODE_SLOTS)
    trace = np.isin(code, sorted(TRACE_CODES))
    untold = trace & (allowed.traces == Rows.NONE)
    if allowed.traces == Rows.MISUSE:
        untold = trace & ~np.isin(code, sorted(MISUSE_CODES))
    reason_dates = np.where(trace, allowed.trace_dates, allowed.event_dates)
    reason_dates[untold] = Precision.NONE
    if not allowed.penal_detail:
        reason_dates[np.isin(code, sorted(PENAL_DETAIL_CODES))] = Precision.NONE
    return Scope(
        gate=_gate(allowed, kinds, event),
        misuse_only=allowed.traces == Rows.MISUSE,
        days=_days(dates),
        spans=_days(spans),
        exact=_ones(dates == Precision.EXACT),
        regions=_places(regions),
        details=_places(details),
        reason_rows=_ones(~untold),
        reason_days=_days(reason_dates),
        reason_places=_places(np.where(np.isin(code, sorted(PLACE_CODES)), allowed.event_region, Precision.EXACT)),
    )


def _gate(allowed: Disclosure, kinds: KindTable, event: Mask) -> NDArray[np.uint32]:
    gate = np.full(KIND_SLOTS, ANYBODY, np.uint32)
    single = kinds.role == Role.FLAG
    gate[single] = np.left_shift(np.uint32(1), kinds.flag[single].astype(np.uint32))
    for role, flag in (
        (Role.PENAL, answer_words.ENTITLEMENT_FLAG_IMPRISONED),
        (Role.DIVORCE, answer_words.ENTITLEMENT_FLAG_REMARRIED),
        (Role.MOVED, answer_words.ENTITLEMENT_FLAG_MOVED),
    ):
        gate[kinds.role == role] = 1 << flag
    told = np.where(event, allowed.events != Rows.NONE, allowed.traces != Rows.NONE)
    gate[~(told & KNOWN_KINDS)] = 0
    gate.flags.writeable = False
    return gate


def _days(precision: NDArray[np.integer]) -> Days:
    month = precision == Precision.COARSE
    month.flags.writeable = False
    return Days(_ones(precision != Precision.NONE), month)


def _places(precision: NDArray[np.integer]) -> Places:
    unit = np.where(precision == Precision.COARSE, 10_000, 1).astype(np.int32)
    times = np.where(precision == Precision.NONE, 0, unit).astype(np.int32)
    unit.flags.writeable = times.flags.writeable = False
    return Places(unit, times)


def _ones(chosen: Mask) -> Int32:
    column = -chosen.astype(np.int32)
    column.flags.writeable = False
    return column
