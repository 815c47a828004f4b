"""The runs that a gateway has: each at rest or on its way, whose it is, and which runs rest on others.

Owns: what is known of a run without looking into its parts, finding runs by unit, and the folders that may not be
deleted because live runs after them need their parts. Refuses: showing a unit another one's runs, taking in
(`arriving`) and running (`rosters`).
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from gateway.roster.progress import Figures, Province
from gateway.roster.run import DONE, RUNNING, WAITING, Ended, RunFolder, Submitted, no_such_run
from gateway.store.parts import Parts

if TYPE_CHECKING:
    from gateway.roster.running import Running

LIST_AT_MOST: Final = 1_000


@dataclass(slots=True, eq=False)
class Kept:
    """A run, as far as it is known without looking into its parts.

    Args:
        submitted: what was.
        folder: its parts.
        ended: how it ended; None: it has not.
        running: the run itself while it is on its way.
        task: in which it is.
        changed: set, and replaced, whenever there is something new to tell.
        over: set when it has ended.
        ending: held while its end is written, so that it has one.
    """

    submitted: Submitted
    folder: RunFolder
    ended: Ended | None = None
    running: Running | None = None
    task: asyncio.Task[None] | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    ending: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def state(self) -> int:
        """RosterState."""
        if self.ended is not None:
            return self.ended.state
        return RUNNING if self.running is not None else WAITING

    def tell(self) -> None:
        """There is something new."""
        self.changed.set()
        self.changed = asyncio.Event()


class Shelf:
    """See the module.

    Args:
        parts: where runs are kept.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.kept: dict[str, Kept] = {}
        """By the names of their folders."""

    def load(self) -> dict[str, Kept]:
        """The runs on the disk; what was left of a submission that broke off is removed. Blocks.

        Raises:
            StoreError: they cannot be read.
        """
        found: dict[str, Kept] = {}
        for parts in self._parts.folders():
            folder = RunFolder(parts)
            submitted = folder.submitted()
            if submitted is None:
                parts.destroy()
            else:
                kept = found[parts.name] = Kept(submitted, folder, folder.ended())
                if kept.ended is not None:
                    kept.over.set()
        return found

    def folder(self, name: str) -> RunFolder:
        """The folder of a run, whether there is one or not."""
        return RunFolder(self._parts.folder(name))

    def find(self, unit: str, run_id: bytes) -> Kept:
        """A run of a unit.

        Raises:
            RefusedError: it has none of this id.
        """
        kept = self.get(unit, run_id)
        if kept is None:
            raise no_such_run()
        return kept

    def get(self, unit: str, run_id: bytes) -> Kept | None:
        """The same; None where there is none."""
        return self.kept.get(name_of(unit, run_id))

    def done(self) -> list[Kept]:
        """The runs of all units that are done."""
        return [kept for kept in self.kept.values() if kept.state == DONE]

    def of(self, unit: str, limit: int) -> list[Kept]:
        """A unit's runs, newest first."""
        own = [kept for kept in self.kept.values() if kept.submitted.unit == unit]
        own.sort(key=lambda kept: (kept.submitted.submitted_at_ms, kept.submitted.run_id), reverse=True)
        return own[: min(limit, LIST_AT_MOST)]

    def before(self, submitted: Submitted) -> RunFolder | None:
        """Folder of the run that one goes on from."""
        return self.folder(name_of(submitted.unit, submitted.continues)) if submitted.continues else None

    def needed(self) -> set[str]:
        """Folders on which others rest."""
        needed: set[str] = set()
        for name, kept in self.kept.items():
            rests_on = set() if kept.ended is None else set(kept.ended.sources)
            if kept.ended is None and kept.submitted.continues:
                before = self.get(kept.submitted.unit, kept.submitted.continues)
                if before is not None and before.ended is not None:
                    rests_on = {before.folder.parts.name, *before.ended.sources}
            needed |= rests_on - {name}
        return needed


def figures_of(running: Running) -> dict[str, Any]:
    """What is kept of how far a run came."""
    return {
        **asdict(running.figures),
        "provinces": {member: list(standing.province) for member, standing in sorted(running.standings.items())},
    }


def figures_from(kept: dict[str, Any]) -> tuple[Figures, dict[str, Province]]:
    """The reverse."""
    plain = dict(kept)
    provinces = plain.pop("provinces", {})
    return Figures(**plain), {member: Province(*each) for member, each in provinces.items()}


def name_of(unit: str, run_id: bytes) -> str:
    """Name of a run's folder: another one for each unit, so that no unit meets another's ids."""
    return hashlib.blake2b(unit.encode() + b"\x00" + run_id, digest_size=16).hexdigest()
