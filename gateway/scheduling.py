"""How Linux shares the processors among the threads of a server's process: none interrupts another by waking up.

Owns: the scheduling policy of the process, SCHED_BATCH of sched(7). Refuses: overruling an operator who has started it
under another policy than the ordinary one, and priorities (`certs.yielding`).

By the ordinary policy a thread that wakes up takes the processor from one that has had more of it. gRPC's poller wakes
up several times for each call, mostly while the thread that answers calls has the interpreter: then nobody gets on with
anything until that one has a processor again. By this policy whoever wakes up waits for a processor that is free, or
for the end of the other's turn (some 3 ms), and then does several things in one go. One call at a
time takes 1 to 3 % longer for it, and more where other programs keep the processors busy (docs/adr/0059).
"""

from __future__ import annotations

import contextlib
import os
import sys


def settle_scheduling() -> None:
    """Give this thread the policy, and so every thread and process that it begins from now on.

    Nothing where the system has no such policy, or does not let us.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            if os.sched_getscheduler(0) == os.SCHED_OTHER:
                os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
