"""What is proposed, before it is written: guesses with how sure they are and why.

Owns: the models. Refuses: guessing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from adapters.proposing.samples import Sample
from adapters.proposing.shapes import Shape
from adapters.proposing.words import Meaning


class Sure(IntEnum):
    """How sure a proposal is."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3


@dataclass(frozen=True, slots=True)
class Guess:
    """One proposal: a column, or a word of the manifest, and why; `en` and `zh` name no value of the sample."""

    value: str
    sure: Sure
    en: str
    zh: str


@dataclass(slots=True)
class Understood:
    """What a sample seems to be.

    Args:
        sample: which.
        identity, name, observed, available, region, reference, since, until, penalty, other_place: columns.
        kind: Meaning of its rows, None: nothing is known, so that it is a register.
        kind_why: why.
        codes: column of codes and code → kind, "ignore" where the code says nothing to us.
        unread: other columns of codes, with codes that say nothing to us.
        only: column of a status, the values that count, and whether they are the ones or all but them.
        links: columns of an old and a new number, where the sample holds both.
        shapes: of every column.
        freshness_days: within which nearly everything was there.
        region_codes: the department's own codes → GB/T 2260.
        province: in which most rows are, 0: not told.
    """

    sample: Sample
    shapes: dict[str, Shape]
    identity: Guess
    name: Guess | None = None
    observed: Guess | None = None
    available: Guess | None = None
    region: Guess | None = None
    region_codes: dict[str, int] = field(default_factory=dict)
    reference: Guess | None = None
    since: Guess | None = None
    until: Guess | None = None
    penalty: Guess | None = None
    other_place: Guess | None = None
    kind: Meaning | None = None
    kind_why: Guess | None = None
    codes: tuple[str, dict[str, str]] | None = None
    unread: dict[str, tuple[str, ...]] = field(default_factory=dict)
    only: tuple[str, tuple[str, ...], bool, Sure] | None = None
    links: tuple[str, str] | None = None
    freshness_days: int = 31
    freshness_told: bool = False
    province: int = 0


@dataclass(frozen=True, slots=True)
class Department:
    """All samples together: the department, its regions, and each record set."""

    number: int
    why: Guess
    regions: tuple[int, ...]
    regions_told: bool
    records: tuple[Understood, ...]
