"""Columns that a source lacks: which settings of the manifest want them, and the words for whoever mends it.

Owns: these words, the same for all kinds. Refuses: finding out what a source has, and anything that stands in it: names
of columns are the manifest's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from adapters.manifest.fields import Identity
from adapters.manifest.model import Links, ManifestBase, Mapped, Records

Wanting: TypeAlias = Callable[[str], str]
"""From the name of a column to the settings that want it, joined by commas; "" where none is known."""


def wanting(manifest: ManifestBase, part: Mapped) -> Wanting:
    """Which settings want a column.

    Args:
        manifest: of the part.
        part: a record set or the links.
    """
    wanted: dict[str, list[str]] = {}

    def want(column: object, setting: str) -> None:
        if isinstance(column, str) and column:
            wanted.setdefault(column, []).append(setting)

    identity: Identity = manifest.identity_of(part)
    want(identity.column, "identity.column")
    if not isinstance(part, Links):
        want(identity.name, "identity.name")
    for field in type(part).model_fields:
        value = getattr(part, field)
        if field in {"linked", "source_reference"}:
            want(value, field)
        elif field != "identity":
            want(getattr(value, "column", None), f"{field}.column")
        if field == "changes":
            want(getattr(value, "key", None), "changes.key")
        elif field == "endpoint":
            want(value.rows, "endpoint.rows")
        elif field == "files":
            for column in value.key:
                want(column, "files.key")
    complete = manifest.complete_until
    if isinstance(part, Records) and complete is not None and complete.date is not None and complete.of == part.name:
        want(complete.date.column, "complete_until.date.column")
    return lambda column: ", ".join(wanted.get(column, ()))


def shown(column: str, wanted: Wanting) -> tuple[str, str]:
    """A column with what wants it, in English and in Chinese."""
    by = wanted(column)
    if not by:
        return repr(column), repr(column)
    return f"{column!r} (wanted by {by})", f"{column!r}（清单 {by.replace(', ', '、')} 所用）"


def told(columns: Iterable[str], wanted: Wanting) -> tuple[str, str]:
    """Columns with what wants them, in English and in Chinese."""
    each = [shown(column, wanted) for column in columns]
    return ", ".join(en for en, _ in each), "、".join(zh for _, zh in each)


def not_exactly_one(columns: Iterable[str], wanted: Wanting) -> tuple[str, str]:
    """That a file lacks columns, or has them more than once, in English and in Chinese."""
    en, zh = told(columns, wanted)
    return f"not exactly one column named: {en}", f"下列列缺失或重复：{zh}"
