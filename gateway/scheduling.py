"""How Linux shares the processors among the threads of a server's process: none interrupts another by waking up; in a
gateway only while there is much to do.

Owns: when that is, and the policy of the process's threads, SCHED_BATCH of sched(7) or the ordinary one. Refuses:
overruling an operator who has started it under another policy than the ordinary one, and priorities (`certs.yielding`).

By the ordinary policy a thread that wakes up takes the processor from one that has had more of it. gRPC's poller wakes
up several times for each call, mostly while the thread that answers calls has the interpreter: then nobody gets on with
anything until that one has a processor again. By SCHED_BATCH whoever wakes up waits for a processor that is free, or
for the end of the other's turn (some 3 ms), and then does several things in one go. A call that is alone has nothing
that could be done in one go with it, and would only wait, the longer the more other programs run (docs/adr/0059).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

LOOK_S: Final = 0.25
BUSY: Final = 0.1
"""Share of its time for which the thread that answers calls works at least when there is much to do. It says little by
itself: one call at a time takes between a sixth and a half, 500 a second between a quarter and a half."""
SEVERAL: Final = 1.5
"""Questions at a time; one at a time is one."""
CALM_LOOKS: Final = 3
"""So many looks in a row there was little to do before that is believed."""


class Load:
    """Whether there is much to do: at once when there is, and no longer once there was little for some looks in a row.

    Attributes:
        much: whether there is.
    """

    __slots__ = ("_calm", "much")

    def __init__(self) -> None:
        self.much = False
        self._calm = 0

    def add(self, *, much: bool) -> None:
        """A look further: what it was like at that one."""
        self._calm = 0 if much else self._calm + 1
        self.much = much or (self.much and self._calm < CALM_LOOKS)


def every_thread() -> Iterable[int]:
    """The process's threads, by the system's number."""
    return [int(task.name) for task in Path("/proc/self/task").iterdir()]


class Turns:
    """The policy of a gateway's threads, by how much there is to do; for the thread that answers calls.

    Args:
        at_a_time: how many questions there have been lately at a time.
        now_s: monotonic time, seconds.
        worked_s: how long the thread that calls it has worked, seconds.
        threads: those of the process, by the system's number.
    """

    def __init__(
        self,
        at_a_time: Callable[[], float],
        now_s: Callable[[], float],
        worked_s: Callable[[], float] = time.thread_time,
        threads: Callable[[], Iterable[int]] = every_thread,
    ) -> None:
        self._at_a_time = at_a_time
        self._now_s = now_s
        self._worked_s = worked_s
        self._threads = threads
        self._load = Load()
        self._looked = now_s(), worked_s()

    async def run(self) -> None:
        """Look again and again; at the end all threads have the ordinary policy again.

        Returns at once where the system has no other or does not let us, or an operator has chosen one.
        """
        with contextlib.suppress(OSError):
            if sys.platform != "linux" or os.sched_getscheduler(0) != os.SCHED_OTHER:
                return
            try:
                while True:
                    await asyncio.sleep(LOOK_S)
                    self.look()
            finally:
                self._give_all(os.SCHED_OTHER, instead_of=os.SCHED_BATCH)

    def look(self) -> None:
        """Change the policy if what there is to do has become much, or little.

        Raises:
            OSError: the system does not let us.
        """
        (before, worked_before), much_before = self._looked, self._load.much
        now, worked = self._looked = self._now_s(), self._worked_s()
        busy = worked - worked_before >= BUSY * (now - before)
        self._load.add(much=busy and self._at_a_time() >= SEVERAL)
        if self._load.much and not much_before:
            self._give_all(os.SCHED_BATCH, instead_of=os.SCHED_OTHER)
        elif much_before and not self._load.much:
            self._give_all(os.SCHED_OTHER, instead_of=os.SCHED_BATCH)

    def _give_all(self, policy: int, instead_of: int) -> None:
        # A thread begins with the policy of the one that begins it, which may not have had its turn here: so twice.
        for _ in range(2):
            for thread in self._threads():
                _give(thread, policy, instead_of)


def settle_scheduling() -> None:
    """Have this thread, and every thread and process that it begins from now on, interrupt nobody by waking up.

    For processes in which nobody waits for a single call as for one at a gateway. Nothing where the system has no such
    policy, or does not let us, or where an operator has chosen another.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            _give(0, os.SCHED_BATCH, instead_of=os.SCHED_OTHER)


def _give(thread: int, policy: int, instead_of: int) -> None:
    """Give a thread a policy if it has the other one: an operator may have given it a third meanwhile."""
    with contextlib.suppress(ProcessLookupError):  # it has ended
        if os.sched_getscheduler(thread) == instead_of:
            os.sched_setscheduler(thread, policy, os.sched_param(0))
