"""Whether a process has more to do than it gets through: seen from how late its event loop is.

A gateway spends most of a call waiting for others, so neither the number of calls nor the time they take tells whether
it is busy: a thousand calls that wait for a slow partner cost nothing. What delays everybody is the line of work that
is ready to run, and how long that is, is how late something comes round that was put at its end.

The rule (after CoDel): too much is taken on when for a whole `for_s` no round came sooner than `late_s`; enough was
shed as soon as one does. A burst that is worked off in that time sheds nobody.

Owns: this rule. Refuses: measuring, and shedding.
"""

from __future__ import annotations


class Overload:
    """See the module.

    Args:
        late_s: a round that takes longer is late; 0: nothing ever is.
        for_s: so long rounds must all have been late.
    """

    __slots__ = ("_for_s", "_late_s", "_seen_at", "_since")

    def __init__(self, late_s: float, for_s: float = 0.2) -> None:
        self._late_s = late_s
        self._for_s = for_s
        self._since: float | None = None
        self._seen_at = 0.0

    def saw(self, now: float, round_s: float) -> None:
        """A round was seen to take `round_s` seconds."""
        late = 0 < self._late_s < round_s
        if not late:
            self._since = None
        elif self._since is None or now - self._seen_at > self._for_s + round_s:
            self._since = now - round_s  # late from here on: nothing is known of the time before
        self._seen_at = now

    def at(self, now: float) -> bool:
        """Whether too much is taken on; what was seen long ago says nothing."""
        if self._since is None or now - self._seen_at > max(self._for_s, self._late_s):
            return False
        return now - self._since >= self._for_s
