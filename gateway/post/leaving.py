"""Leaving letters together with other writes: what whoever does so is handed.

Owns: the commit of several effects, and what is to happen once they are on the disk. Refuses: knowing what they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.store.engine import Store
from gateway.store.letters import Effect, Letter


class Post(Protocol):
    """Leaves letters with other members; as `gateway.post.outbox.Outbox`."""

    def effect(self, letter: Letter) -> Effect:
        """What leaves a letter, to be committed with other writes.

        Raises:
            StoreError: the letter is malformed, or too much waits for its member.
        """
        ...


async def commit(store: Store, effects: Sequence[Effect]) -> None:
    """Write all of them or none; on the disk when this returns.

    Raises:
        StoreError: they could not be written.
    """
    if not effects:
        return
    await store.together(effects)
    for effect in effects:
        if effect.after is not None:
            effect.after()
