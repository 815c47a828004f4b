"""Streams that tell an agency what comes, for as long as it likes: how many there may be, and how they end.

Owns: the bound on them, how many of them one unit may have, and that all end when the gateway stops, with word of where
to go on. Refuses: what is told.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from typing import Any, Final

from gateway.errors import RefusedError
from gateway.wording import Word
from wugan.federation.v1 import vocabulary_pb2 as words

MOST: Final = 256
MOST_OF_A_UNIT: Final = 64
"""So that one that opens stream after stream and closes none does not keep the other units out (our choice)."""
CURSOR: Final = Word(
    "本网关正在停机，请稍后从游标处继续", "this gateway is shutting down; go on from your cursor shortly"
)
_TOO_MANY: Final = Word(
    f"本单位在此已有 {MOST_OF_A_UNIT} 个此类连接，请先关闭其中一个",
    f"this unit has {MOST_OF_A_UNIT} such streams open here already; close one of them first",
)
_RETRY_MS: Final = 10_000


class Watchers:
    """Those who watch one kind of thing.

    Args:
        busy: what one too many is told.
        closing: what everybody is told when the gateway stops.
    """

    def __init__(self, busy: Word, closing: Word = CURSOR) -> None:
        self._busy = busy
        self._closing = closing
        self._of_unit: Counter[str] = Counter()
        self._closed = asyncio.Event()

    async def attend(self, unit: str, work: Coroutine[Any, Any, None]) -> None:
        """Tell one of them, of a unit, until the work is done or the gateway stops.

        Raises:
            RefusedError: OVERLOADED, too many watch, or too many of the unit; SHUTTING_DOWN, the gateway stops.
        """
        of_unit = self._of_unit[unit] >= MOST_OF_A_UNIT
        if of_unit or self._of_unit.total() >= MOST:
            work.close()
            said = _TOO_MANY if of_unit else self._busy
            raise RefusedError(
                said.en,
                said.zh,
                reason=words.REFUSAL_REASON_OVERLOADED,
                retryable=True,
                retry_after_ms=_RETRY_MS,
            )
        self._of_unit[unit] += 1
        telling = asyncio.ensure_future(work)
        closing = asyncio.ensure_future(self._closed.wait())
        try:
            await asyncio.wait({telling, closing}, return_when=asyncio.FIRST_COMPLETED)
            if not telling.done():
                raise RefusedError(
                    self._closing.en,
                    self._closing.zh,
                    reason=words.REFUSAL_REASON_SHUTTING_DOWN,
                    retryable=True,
                )
            telling.result()
        finally:
            self._of_unit[unit] -= 1
            self._of_unit += Counter()  # without those who have none
            for task in (telling, closing):
                task.cancel()
            await asyncio.gather(telling, closing, return_exceptions=True)

    def close(self) -> None:
        """End all of it; those at the other ends go on with another instance."""
        self._closed.set()
