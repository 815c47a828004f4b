"""A child process that works with a store until it is killed, and says what was reported as done on standard output.

    python -m tests.soak.power_cut FOLDER careful|careless

Each line is what a gateway would have promised somebody: "accepted N", a receipt left; "submitted N", a letter was
taken; "finished N", a delivery was dealt with, and the letter in answer to it is in the outbox. `careless` does not
sync, to show that the simulation notices.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from pathlib import Path

from gateway.clock import SystemClock
from gateway.post.letters import letter
from gateway.store import engine
from gateway.store.inbox import DONE, Arrival, Finish
from gateway.store.letters import Letter

MEMBER = "11340000002482285N"
DAY_MS = 86_400_000
KINDS = (1, 2, 3)


def arrival(number: int, now_ms: int) -> Arrival:
    """The delivery with a number."""
    key = (number % 7).to_bytes(16)
    return Arrival(MEMBER, number.to_bytes(16), number, key, 1, 1, now_ms, now_ms + DAY_MS, b"content" * 40)


def numbered(number: int, now_ms: int) -> Letter:
    """The letter with a number."""
    made = letter(MEMBER, 2, b"body" * 40, purpose=1, now_ms=now_ms, expires_at_ms=now_ms + DAY_MS)
    return made._replace(delivery_id=number.to_bytes(16))


async def work(folder: Path) -> None:
    """Until killed."""
    clock = SystemClock()
    async with engine.Store.open(folder / "gateway.db", key=folder / "store.key", clock=clock) as store:
        for number in itertools.count(1):
            now_ms = clock.now_ms()
            taken = store.inbox.accept([arrival(number, now_ms)])
            sent = store.outbox.submit(numbered(2 * number, now_ms))
            await taken
            print(f"accepted {number}", flush=True)
            await sent
            print(f"submitted {2 * number}", flush=True)
            answer = store.outbox.effect(numbered(2 * number + 1, now_ms))
            await store.inbox.finish(Finish(MEMBER, number.to_bytes(16), DONE, [answer]))
            print(f"finished {number}", flush=True)


if __name__ == "__main__":
    if sys.argv[2] == "careless":
        engine._PRAGMAS = tuple(each.replace("FULL", "OFF") for each in engine._PRAGMAS)
    asyncio.run(work(Path(sys.argv[1])))
