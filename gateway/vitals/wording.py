"""Times, sizes and departments as the health page says them, in both languages. Pure."""

from __future__ import annotations

from typing import Final

from adapters.contract import Description
from gateway import wording

_UNITS: Final = (
    (86_400, "day", "天"),
    (3_600, "hour", "小时"),
    (60, "minute", "分钟"),
    (1, "second", "秒"),
)
_BYTES: Final = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def span_of(seconds: float) -> tuple[str, str]:
    """A length of time in its largest unit that fits at least twice, English and Chinese: 90 minutes, not 1 hour."""
    seconds = max(0.0, seconds)
    for size, en, zh in _UNITS:
        if seconds >= 2 * size or size == 1:
            count = int(seconds // size)
            return f"{count} {en}{'' if count == 1 else 's'}", f"{count} {zh}"
    raise AssertionError("unreachable: there is a unit of one second")


def size_of(count: int) -> str:
    """A number of bytes, e.g. "1.5 GiB"."""
    for size, unit in _BYTES:
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"


def department_of(about: Description) -> tuple[str, str]:
    """A department and which of its adapters it is, English and Chinese."""
    word = wording.word(wording.DEPARTMENTS, about.department)
    return f"{word.en} ({about.adapter_id})", f"{word.zh}（{about.adapter_id}）"
