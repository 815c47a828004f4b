"""What departments say of their own adapters, and what that and the administrators' acts come to together. I/O-free.

The rule. A department may propose a version, and take back: suspend its adapter, resume what it suspended itself, and
withdraw a version. Nothing it says brings a version into use that no administrator approved, nor one back that an
administrator suspended or removed. So the two records need no order between them: a version is asked exactly when both
let it be.

Owns: this rule. Refuses: keeping words (`gateway.store.adapters`), and knowing who spoke: whoever takes a word in has
proven by certificate that it is the department's own adapter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, Protocol

from gateway.access.adapters import DEPARTMENT, LIVE, PROPOSED, REMOVED, SHADOW, SUSPENDED, Version

REGISTERED: Final = 1
SUSPENDED_BY_DEPARTMENT: Final = 2
RESUMED_BY_DEPARTMENT: Final = 3
WITHDRAWN: Final = 4
WORDS: Final = {
    REGISTERED: "registered",
    SUSPENDED_BY_DEPARTMENT: "suspended",
    RESUMED_BY_DEPARTMENT: "resumed",
    WITHDRAWN: "withdrawn",
}


class WordLike(Protocol):
    """A word as it is kept (`gateway.store.adapters.Word`)."""

    @property
    def adapter(self) -> str: ...  # noqa: D102
    @property
    def digest(self) -> bytes: ...  # noqa: D102
    @property
    def word(self) -> int: ...  # noqa: D102
    @property
    def at_ms(self) -> int: ...  # noqa: D102
    @property
    def who(self) -> str: ...  # noqa: D102
    @property
    def why(self) -> str: ...  # noqa: D102


class Held(NamedTuple):
    """A department suspended its adapter: who, when, why."""

    who: str
    at_ms: int
    why: str


class Said:
    """What one department's words add up to."""

    def __init__(self) -> None:
        self.held: Held | None = None
        self.proposed: WordLike | None = None
        """The version proposed last, if it was not withdrawn."""
        self.withdrawn: dict[bytes, Held] = {}
        self.count = 0

    def take(self, word: WordLike) -> None:
        """Take in one word, in the order in which they were said."""
        self.count += 1
        if word.word == REGISTERED:
            self.proposed = word
        elif word.word == SUSPENDED_BY_DEPARTMENT:
            self.held = Held(word.who, word.at_ms, word.why)
        elif word.word == RESUMED_BY_DEPARTMENT:
            self.held = None
        elif word.word == WITHDRAWN:
            self.withdrawn[word.digest] = Held(word.who, word.at_ms, word.why)
            if self.proposed is not None and self.proposed.digest == word.digest:
                self.proposed = None


def heard(words: Iterable[WordLike], known: Mapping[str, Said] | None = None) -> dict[str, Said]:
    """What departments said, by adapter; `known` is what they said before."""
    said = dict(known or {})
    for word in words:
        said.setdefault(word.adapter, Said()).take(word)
    return said


def together(versions: Iterable[Version], said: Mapping[str, Said]) -> list[Version]:
    """Every version in the state it is in by both records; those that only a department proposed come last."""
    joined, decided = [], set()
    for version in versions:
        decided.add((version.adapter, version.digest))
        joined.append(_by_both(version, said.get(version.adapter)))
    for adapter, each in said.items():
        word = each.proposed
        if word is not None and (adapter, word.digest) not in decided:
            joined.append(
                Version(
                    adapter=adapter,
                    digest=word.digest,
                    version="",
                    kind="",
                    origin=DEPARTMENT,
                    folder="",
                    state=PROPOSED,
                    before="",
                    proposed_by=word.who,
                    proposed_at_ms=word.at_ms,
                    approved_by="",
                    changed_by=word.who,
                    changed_at_ms=word.at_ms,
                    number=0,
                    why=word.why,
                )
            )
    return joined


def _by_both(version: Version, said: Said | None) -> Version:
    if said is None or version.origin != DEPARTMENT or version.state == REMOVED:
        return version
    withdrawn = said.withdrawn.get(version.digest)
    if withdrawn is not None:
        return _changed(version, REMOVED, "", withdrawn)
    if said.held is not None and version.state in (SHADOW, LIVE):
        return _changed(version, SUSPENDED, version.state, said.held)
    return version


def _changed(version: Version, state: str, before: str, by: Held) -> Version:
    return version._replace(state=state, before=before, changed_by=by.who, changed_at_ms=by.at_ms, why=by.why)
