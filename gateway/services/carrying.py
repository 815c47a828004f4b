"""Checks that are to be left, carried to their end whether or not the caller still waits.

Whoever asks with a deadline may be gone when the other provinces' time is over, and just then the question is to be
left with them. So each such check is worked on in a task of its own. A caller who is gone by then has it carried on;
one who goes clearly before, while others are still asked, gave it up, and it is given up. Asked again word for word
while that is under way, or shortly after it ended too late for whoever asked, a check is that same one: its answer,
with the ticket, is given again, and nothing is asked or left a second time.

Owns: these tasks, and the answers that may not have arrived, in the memory of this process. Refuses: knowing how a
check is made or left. Another instance knows nothing of them: there a question that is asked again is left again.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import secrets
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any, Final

import structlog

from gateway.errors import WuganError
from gateway.federation.check import leaving_s
from wugan.agency.v1 import agency_pb2

HELD_S: Final = 120.0
"""So long after its end an answer that may not have arrived is given again."""
HELD_AT_MOST: Final = 256
NEARLY_S: Final = 1.0
"""With less than that of its time left an answer may come too late for whoever asked."""
_log = structlog.stdlib.get_logger(__name__)

Work = Callable[[Callable[[], None]], Coroutine[Any, Any, bytes]]
"""(what to call once others are not asked any more) → the answer."""


class _Carried:
    """A check under way, and who waits for it."""

    __slots__ = ("asked", "gone", "task", "waiting")

    def __init__(self) -> None:
        self.task: asyncio.Task[bytes]
        self.waiting = 0
        self.gone = False
        """Whoever waited for it is gone, or one of them: its answer may be asked for again."""
        self.asked = False
        """Nobody else is asked any more: what remains is to leave it."""


class Carrying:
    """See the module."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._under_way: dict[bytes, _Carried] = {}
        self._held: OrderedDict[bytes, tuple[float, bytes]] = OrderedDict()

    def tag(self, request: agency_pb2.CheckRequest, unit: str) -> bytes:
        """What a check of the unit is found by: all that is asked, but whether others are asked now."""
        asked = agency_pb2.CheckRequest()
        asked.CopyFrom(request)
        asked.ClearField("only_leave")
        asked_by = unit.encode() + b"\x00" + asked.SerializeToString(deterministic=True)
        return hashlib.blake2b(asked_by, digest_size=16, key=self._key).digest()

    async def once(self, tag: bytes, time_s: float | None, work: Work) -> bytes:
        """The answer that the work comes to, or that the same check came to before.

        Args:
            tag: of the check.
            time_s: that the caller has for it, seconds; None: any.
            work: asks, and leaves.

        Raises:
            WuganError: whatever goes wrong; asked again, it is done anew.
        """
        again = self._again(tag)
        if again is not None:
            return again
        loop = asyncio.get_running_loop()
        end = math.inf if time_s is None else loop.time() + time_s
        # From then on whoever is gone did not give it up: the time was over, or nearly, and travels like all else.
        late = end if time_s is None else end - leaving_s(time_s)
        carried = self._under_way.get(tag)
        if carried is None:
            carried = self._begin(tag, work)
        carried.waiting += 1
        try:
            body = await asyncio.shield(carried.task)
        except asyncio.CancelledError:
            if carried.waiting == 1 and not carried.asked and loop.time() < late:
                carried.task.cancel()
                self._under_way.pop(tag, None)  # whoever asks again in this moment has it asked anew
            carried.gone = True
            if carried.task.done() and not carried.task.cancelled() and carried.task.exception() is None:
                self._hold(tag, carried.task.result())
            raise
        finally:
            carried.waiting -= 1
        if carried.gone or end - loop.time() < NEARLY_S:
            self._hold(tag, body)
        return body

    async def finish(self) -> None:
        """Return when nothing is carried on any more; to be called once nobody can ask, before the store is closed."""
        tasks = [carried.task for carried in self._under_way.values()]
        if tasks:
            await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, tag: bytes, work: Work) -> _Carried:
        carried = _Carried()

        def asked() -> None:
            carried.asked = True

        def ended(task: asyncio.Task[bytes]) -> None:
            if self._under_way.get(tag) is carried:
                del self._under_way[tag]
            if task.cancelled():
                return
            error = task.exception()
            if carried.waiting:  # takes note of what came of it
                return
            if error is None:
                self._hold(tag, task.result())
                _log.info("check carried on for a caller who was gone")
            else:
                name = error.code if isinstance(error, WuganError) else type(error).__name__
                _log.warning("check not left, and its caller gone", error=name)

        carried.task = asyncio.get_running_loop().create_task(work(asked))
        carried.task.add_done_callback(ended)
        self._under_way[tag] = carried
        return carried

    def _hold(self, tag: bytes, body: bytes) -> None:
        self._held[tag] = asyncio.get_running_loop().time() + HELD_S, body
        self._held.move_to_end(tag)
        while len(self._held) > HELD_AT_MOST:
            self._held.popitem(last=False)

    def _again(self, tag: bytes) -> bytes | None:
        now = asyncio.get_running_loop().time()
        while self._held:
            first = next(iter(self._held))
            if self._held[first][0] > now:
                break
            del self._held[first]
        found = self._held.get(tag)
        return None if found is None else found[1]
