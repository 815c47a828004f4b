"""The words of the contract as a manifest writes them, and the errors of settings in both languages.

Owns: names without prefix (`CREMATION`, `REAL_NAME`) to numbers, and the suggestion for a misspelt one.
Refuses: numbers written where a word belongs, so that a manifest can be read without the contract beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Annotated, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic_core import PydanticCustomError

from wugan.adapter.v1 import vocabulary_pb2 as words


class Settings(BaseModel):
    """Base of every part of a manifest: frozen, nothing unknown in it, and never echoing what was written."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def problem(en: str, zh: str) -> PydanticCustomError:
    """A validation error with its text in both languages."""
    return PydanticCustomError("wugan", "{en}", {"en": en, "zh": zh})


def closest(text: str, known: list[str]) -> str:
    """The known word most like `text`, or "" when none is."""
    return next(iter(get_close_matches(text, known, 1, 0.6)), "")


def _names(items: Sequence[tuple[str, int]], prefix: str) -> dict[str, int]:
    return {name.removeprefix(prefix): number for name, number in items if number}


KINDS = _names(words.EvidenceKind.items(), "EVIDENCE_KIND_")
DEPARTMENTS = _names(words.Department.items(), "DEPARTMENT_")
STRENGTHS = _names(words.Strength.items(), "STRENGTH_")
PENALTIES = _names(words.PenaltyKind.items(), "PENALTY_KIND_")

NONE = "none"
IGNORE = "ignore"


def _reader(known: dict[str, int], en: str, zh: str, also: str = "") -> Callable[[object], object]:
    def read(value: object) -> object:
        if type(value) is int:
            return value
        text = value.strip() if isinstance(value, str) else ""
        if also and text.lower() == also:
            return 0
        number = known.get(text.upper())
        if number is not None:
            return number
        near = closest(text.upper(), list(known))
        raise problem(
            f"not a known {en}" + (f"; did you mean {near}?" if near else "; see docs/adapters/manifest.md"),
            f"不是已知的{zh}" + (f"，是否应为 {near}？" if near else "，请参照 docs/adapters/manifest.md"),
        )

    return read


Kind: TypeAlias = Annotated[int, BeforeValidator(_reader(KINDS, "evidence kind", "证据种类"))]
KindOrNone: TypeAlias = Annotated[int, BeforeValidator(_reader(KINDS, "evidence kind", "证据种类", NONE))]
KindOrIgnore: TypeAlias = Annotated[int, BeforeValidator(_reader(KINDS, "evidence kind", "证据种类", IGNORE))]
DepartmentName: TypeAlias = Annotated[int, BeforeValidator(_reader(DEPARTMENTS, "department", "部门"))]
StrengthName: TypeAlias = Annotated[int, BeforeValidator(_reader(STRENGTHS, "strength", "证据强度"))]


def _detail(value: object) -> object:
    if isinstance(value, str) and not value.strip().isdigit():
        return _reader(PENALTIES, "penalty kind", "刑罚种类")(value)
    return value


DetailValue: TypeAlias = Annotated[int, BeforeValidator(_detail)]
