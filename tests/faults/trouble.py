"""What can go wrong between two ends of a TCP connection, as data.

Owns: the faults of one direction, the troubles made of them, and a list of each kind once. Refuses: bringing any about;
that is `tests.faults.proxy`.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass

GIVE_UP_AFTER = 6
"""Times in a row that a chunk may be lost before its connection is given up, as TCP does."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to the bytes that go in one direction; the default: nothing.

    Args:
        latency_s: they come so many seconds later, in order.
        jitter_s: and up to so many more, anew for each chunk.
        loss: probability that a chunk is lost and sent again, 0 to less than 1; what is behind it waits too.
        resend_s: seconds until it is sent again, twice as long each time it is lost again.
        bytes_per_s: they trickle; 0: as fast as they come.
        corrupt: probability that a chunk has one of its bits flipped.
        cut_after: so many bytes of a connection pass, then it is reset; None: all.
        dead: nothing passes, not even that an end hung up; what was sent waits until the fault is over.
    """

    latency_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0
    resend_s: float = 0.2
    bytes_per_s: float = 0.0
    corrupt: float = 0.0
    cut_after: int | None = None
    dead: bool = False

    def delay_s(self, luck: float) -> float:
        """Seconds that a chunk is held up: evenly and at random; `luck` is from 0 to less than 1."""
        times = self.times_lost(luck)
        return self.latency_s + self.jitter_s * luck + self.resend_s * ((1 << min(times, GIVE_UP_AFTER)) - 1)

    def times_lost(self, luck: float) -> int:
        """How often in a row a chunk is lost: n times or more with probability loss to the n."""
        if not self.loss or luck <= 0.0:
            return 0
        # 1 - luck is even over (0, 1], so its logarithm to the base of the loss counts the losses.
        return int(math.log(1.0 - luck) / math.log(self.loss))


class Door(enum.Enum):
    """What becomes of somebody who connects."""

    OPEN = "let in"
    REFUSING = "refused by the kernel, as where no program listens"
    RESETTING = "let in and thrown out"


NOTHING = Fault()
DEAD = Fault(dead=True)


@dataclass(frozen=True, slots=True)
class Trouble:
    """What a proxy does to its connections.

    Args:
        up: what happens to bytes from who connects to who is connected to.
        down: what happens to bytes on the way back.
        door: what becomes of new connections.
        cut: connections open when the trouble begins are reset.
    """

    up: Fault = NOTHING
    down: Fault = NOTHING
    door: Door = Door.OPEN
    cut: bool = False

    @classmethod
    def both(cls, fault: Fault) -> Trouble:
        """The same in both directions."""
        return cls(fault, fault)


CALM = Trouble()
LATENCY = Trouble.both(Fault(latency_s=0.03, jitter_s=0.03))
LOSS = Trouble.both(Fault(loss=0.2, resend_s=0.1))
DRIP = Trouble.both(Fault(bytes_per_s=300))
CORRUPTION = Trouble.both(Fault(corrupt=1.0))
BLACK_HOLE = Trouble.both(DEAD)
HALF_OPEN_THERE = Trouble(up=DEAD)
HALF_OPEN_BACK = Trouble(down=DEAD)
BREAKING_OFF = Trouble(down=Fault(cut_after=6_000))
RESET = Trouble(door=Door.RESETTING, cut=True)
REFUSED = Trouble(door=Door.REFUSING, cut=True)

TROUBLES: Mapping[str, Trouble] = {
    "latency": LATENCY,
    "loss": LOSS,
    "slow drip": DRIP,
    "corruption": CORRUPTION,
    "black hole": BLACK_HOLE,
    "half-open, questions lost": HALF_OPEN_THERE,
    "half-open, answers lost": HALF_OPEN_BACK,
    "breaking off": BREAKING_OFF,
    "reset": RESET,
    "refused": REFUSED,
}
"""One of each kind, by the name that test reports use."""
