"""Further tries of what a source was asked already, told as they are made to whoever counts them in this process.

Owns: who is told; one for all adapters, which are built in many places and counted in one. Refuses: deciding whether
there is a further try.
"""

from __future__ import annotations

from collections.abc import Callable

Tell = Callable[[str], None]
"""Told the adapter's id, from any thread; returns at once."""


class _Told:
    """Who is."""

    tell: Tell | None = None


def use(tell: Tell | None) -> None:
    """Tell this one from now on; None: nobody."""
    _Told.tell = tell


def again(adapter_id: str) -> None:
    """A source is about to be asked once more by this adapter; "": by none that is counted."""
    if adapter_id and (tell := _Told.tell) is not None:
        tell(adapter_id)
