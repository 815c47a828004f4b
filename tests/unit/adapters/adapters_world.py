"""A small world for the adapters' tests: numbers, days, manifests, and questions about a few people."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from adapters.asked import normal
from adapters.contract import Evidence, Found, Lookup, Subjects
from adapters.manifest import Manifest, load_manifest
from wugan.adapter.v1 import vocabulary_pb2 as words

NOW_MS = 1_795_000_000_000  # 2026-11-18 in Shanghai


def now_ms() -> int:
    return NOW_MS


def number(serial: int) -> str:
    """A well-formed resident number of a person born in 1950."""
    return normal(f"330702500101{serial:03d}")


ANNA, BO, CHEN = number(1), number(2), number(3)
ENDING_IN_X = next(candidate for candidate in map(number, range(10, 100)) if candidate.endswith("X"))


def day(text: str) -> int:
    """A civil day of the contract."""
    return (date.fromisoformat(text) - date(1970, 1, 1)).days


def manifest_in(folder: Path, text: str, name: str = "manifest.yaml") -> Manifest:
    """The manifest of a text, standing in a folder."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return load_manifest(path)


def ask(*numbers: str, deadline_s: float = 5.0, **question: object) -> Lookup:
    """A question about these numbers."""
    return Lookup(Subjects(numbers, ["某人"] * len(numbers)), deadline_s=deadline_s, **question)


def rows(found: Found) -> list[tuple[int, str, str, str]]:
    """Evidence as a person reads it: row of the question, kind, day, reference; in a fixed order."""
    evidence: Evidence = found.evidence
    return sorted(
        (
            int(evidence.subject[i]),
            words.EvidenceKind.Name(int(evidence.kind[i])).removeprefix("EVIDENCE_KIND_"),
            date.fromordinal(date(1970, 1, 1).toordinal() + int(evidence.observed_on[i])).isoformat(),
            evidence.source_reference[i],
        )
        for i in range(len(evidence))
    )


def holders(found: Found) -> list[tuple[int, str, str]]:
    """Who is known: row of the question, number, name."""
    held = found.holders
    return sorted(zip(held.subject.tolist(), held.held_id_number, held.held_name, strict=True))
