"""People, departments and their answers, for the tests of quality."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from adapters.asked import normal
from adapters.contract import DataItem, Description, Evidence, Found, Holders, Lookup, Subjects
from gateway.rules import RULES_FILE
from gateway.rules.book import RuleBook
from wugan.adapter.v1 import vocabulary_pb2 as words

BOOK = RuleBook.parse(RULES_FILE.read_bytes(), "rules.yaml")
TODAY = 20_780
"""2026-11-23."""
MONTH = 202611
HANGZHOU, JINHUA = 330102, 330702
CREMATION, OUTPATIENT, RAIL = (
    words.EVIDENCE_KIND_CREMATION,
    words.EVIDENCE_KIND_OUTPATIENT,
    words.EVIDENCE_KIND_RAIL_TRAVEL,
)
CERTIFICATE, SENTENCE = words.EVIDENCE_KIND_DEATH_CERTIFICATE, words.EVIDENCE_KIND_SENTENCE


def number(serial: int) -> str:
    """A resident number with a right check digit; born in 1940 or later."""
    old = f"330702{40 + serial % 30:02d}{1 + serial % 12:02d}{1 + serial % 28:02d}{serial % 1000:03d}"
    return normal(old)


def about(department: int, *kinds: int, days: int = 5, name: str = "") -> Description:
    items = tuple(DataItem(kind, words.STRENGTH_REAL_NAME, days) for kind in sorted(kinds))
    adapter = name or words.Department.Name(words.Department.ValueType(department)).removeprefix("DEPARTMENT_").lower()
    return Description(adapter, "1", department, (330000,), items)


def row(
    subject: int, kind: int, observed: int, available: int = -1, region: int = JINHUA, **more: int
) -> dict[str, int]:
    there = observed + 2 if available == -1 else available
    return {"subject": subject, "kind": kind, "observed_on": observed, "available_on": there, "region": region, **more}


def found(source: Description, rows: Sequence[dict[str, int]], references: str = "R12345678") -> Found:
    columns = {
        name: np.array([one.get(name, 0) for one in rows], np.int32)
        for name in ("subject", "kind", "observed_on", "available_on", "region", "detail", "from_on", "until_on")
    }
    count = len(rows)
    evidence = Evidence(
        **columns,
        department=np.full(count, source.department, np.int32),
        strength=np.full(count, words.STRENGTH_REAL_NAME, np.int32),
        source_reference=[references] * count,
    )
    held = np.unique(columns["subject"]) if count else np.zeros(0, np.int32)
    return Found(Holders(held.astype(np.int32), [number(at) for at in held.tolist()], [""] * len(held)), evidence)


def lookup(people: int, *, references: bool = True) -> Lookup:
    return Lookup(Subjects([number(at) for at in range(people)], [""] * people), references=references)
