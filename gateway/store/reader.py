"""Reading from the store without holding up the event loop.

Owns: a thread and a connection for each read, errors wrapped. Refuses: writing; that is the writer's alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa

from gateway.store.faults import wrapped

T = TypeVar("T")


class Reader:
    """Runs functions that read."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    async def run(self, read: Callable[[sa.Connection], T]) -> T:
        """What `read` returns, given a connection in a thread of its own.

        Raises:
            StoreError: the database could not be read.
        """
        return await asyncio.to_thread(self.run_here, read)

    def run_here(self, read: Callable[[sa.Connection], T]) -> T:
        """The same in this thread, for the start, when there is no event loop to hold up."""
        with wrapped(), self._engine.connect() as connection:
            return read(connection)
