"""Two members compare blinded numbers: what is known of one session, and whose turn it is to say what.

Owns: the rules of the exchange, without I/O. Refuses: reckoning (`blinding`), and people.

The rules. Members take turns; the one whose id sorts first begins. A step may bring a column of blinded people, and
tokens for the oldest column of the other side that has none.

 1. Steps are numbered from 1 and alternate; a step of another number than the next is not dealt with.
 2. The one who began answers a column at once. The other one answers its k-th only when its own k-th was answered, or
    all of its own were: whoever has more to answer for sees first what it comes to.
 3. Before tokens are sent, the side that sends them compares. If more people would be found than is plausible, it ends
    the session instead, and raises an alarm.
 4. A round is over when all columns of both sides were answered. Another one begins with a step of who began, which is
    always answered.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from dataclasses import dataclass, field
from typing import Any, Final, Self

from gateway.errors import StoreError
from gateway.matching.sizes import Size

RUNNING: Final = 1
DONE: Final = 2
STOPPED: Final = 3

MAX_SESSIONS: Final = 10
"""Sessions with a member in a month in which people of it were compared. What is plausible is judged by session:
without an end to them, whoever breaks each one off could go through everybody, a few at a time."""


@dataclass(slots=True)
class Session:
    """A session as this side knows it. Times are Unix milliseconds.

    Args:
        session: 16 bytes.
        member: the other one.
        began: whether this side did.
        epoch: months since 1970-01.
        secret: of this side.
        their_key: public key of theirs; empty: not known yet.
        number: of the last step; `ours`: whether this side said it.
        own: own columns, sent or not.
        sent, answered: how many of them were.
        theirs: rows of their columns.
        told: how many of them were answered.
        more: whether they have more columns in this round.
        round: number of the round, from 1; `heard`: whether the other side said anything in it.
        gone: places in own columns of people who draw no more, not told yet.
        state: RUNNING, DONE (the round is over), STOPPED.
        reason: why it stopped, a RefusalReason; `by_us`: whether this side said so.
        common: people in common as far as was compared, those included who draw no more.
        found: people found in the last round that was finished.
        sessions: sessions of the same month before this one in which people of theirs were compared.
        begun_at_ms, round_at_ms, changed_at_ms, done_at_ms: begin of the session and of the round, the last step, the
            end of the last finished round.
    """

    session: bytes
    member: str
    began: bool
    epoch: int
    secret: bytes = field(repr=False)
    their_key: bytes = b""
    number: int = 0
    ours: bool = False
    own: list[Size] = field(default_factory=list)
    sent: int = 0
    answered: int = 0
    theirs: list[int] = field(default_factory=list)
    told: int = 0
    more: bool = False
    round: int = 0
    heard: bool = False
    gone: list[int] = field(default_factory=list)
    state: int = RUNNING
    reason: int = 0
    by_us: bool = False
    common: int = 0
    found: int = 0
    sessions: int = 0
    begun_at_ms: int = 0
    round_at_ms: int = 0
    changed_at_ms: int = 0
    done_at_ms: int = 0

    @property
    def may_hear(self) -> bool:
        """Whether the next step is the other side's: rules 1 and 4."""
        return self.ours or (not self.began and (self.state == DONE or not self.number))

    @property
    def awaits(self) -> bool:
        """Whether the other side owes something."""
        return self.more or self.sent > self.answered

    @property
    def may_tell(self) -> bool:
        """Whether the oldest of their columns without tokens may be answered now: rule 2."""
        if self.told >= len(self.theirs):
            return False
        return self.began or self.told < self.answered or self.answered == len(self.own)

    @property
    def over(self) -> bool:
        """Whether the round is: rule 4."""
        return self.heard and not self.awaits and self.answered == len(self.own) and self.told == len(self.theirs)

    @property
    def people(self) -> int:
        """Own people in all columns, those included who draw no more."""
        return sum(size.people for size in self.own)

    def stop(self, reason: int, *, by_us: bool) -> None:
        """End it for good."""
        self.state, self.reason, self.by_us = STOPPED, reason, by_us

    def to_json(self) -> bytes:
        """For the store, which encrypts it."""
        plain = {
            name: value.hex() if isinstance(value, bytes) else value for name, value in dataclasses.asdict(self).items()
        }
        return json.dumps(plain).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """The reverse.

        Raises:
            StoreError: it was written by another version.
        """
        try:
            plain: dict[str, Any] = json.loads(data)
            for name in ("session", "secret", "their_key"):
                plain[name] = bytes.fromhex(plain[name])
            plain["own"] = [Size(*each) for each in plain["own"]]
            return cls(**plain)
        except (ValueError, TypeError, KeyError) as error:
            raise StoreError(
                "a kept session of matching is of another version; it is begun anew",
                "已保存的比对会话版本不符，将重新开始",
                retryable=False,
            ) from error


def begins(own_id: str, other_id: str) -> bool:
    """Whether this side is the one who begins."""
    return own_id < other_id


def epoch_of(day: int) -> int:
    """The month of a civil day, counted from 1970-01."""
    date = dt.date(1970, 1, 1) + dt.timedelta(days=day)
    return (date.year - 1970) * 12 + date.month - 1
