"""Reading from the store without holding up the event loop.

Owns: a thread and a connection for each read, errors wrapped, and the line in the log that says why it cannot be read.
Refuses: writing; that is the writer's alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import SQLAlchemyError

from gateway.log import Standstill, described
from gateway.store.faults import told, wrapped

_log = structlog.stdlib.get_logger(__name__)

T = TypeVar("T")


class Reader:
    """Runs functions that read."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._standstill = Standstill()

    async def run(self, read: Callable[[sa.Connection], T]) -> T:
        """What `read` returns, given a connection in a thread of its own.

        Raises:
            StoreError: the database could not be read.
        """
        return await asyncio.to_thread(self.run_here, read)

    def run_here(self, read: Callable[[sa.Connection], T]) -> T:
        """The same in this thread, for the start, when there is no event loop to hold up."""
        with wrapped():
            try:
                with self._engine.connect() as connection:
                    found = read(connection)
            except SQLAlchemyError as error:
                if self._standstill.begins():
                    _log.error("store not read", fault=described(error), why=told(error))
                raise
            if self._standstill.ends():
                _log.info("store read again")
            return found
