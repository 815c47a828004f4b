"""A live run: what it takes over from the one before, and what it leaves to the next.

Owns: the order of these things. Refuses: each of them (`matching`, `changing`, `settling`). What a run decides when it
begins is put down, and is the same when it is gone on with.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Final

from gateway.roster.around import Around
from gateway.roster.changing import cut_changes
from gateway.roster.cutting import Found
from gateway.roster.ledger import AGAIN, REJECTED, Before, Siblings, before_of
from gateway.roster.matching import CARRY, Plan, plan, serving_of
from gateway.roster.numbering import key_of
from gateway.roster.planning import Planner
from gateway.roster.run import RunFolder, Submitted
from gateway.roster.settling import settle

InPool = Callable[..., Awaitable[Any]]
_RESIDENT: Final = 18
"""Characters of a resident's number in its one form."""


class Living:
    """See the module.

    Args:
        run: what was submitted.
        folder: its parts.
        around: what it has in common with others.
        before: folder of the run that it goes on from; None: it is the first.
        siblings: name of a run's folder → the folder.
    """

    def __init__(
        self, run: Submitted, folder: RunFolder, around: Around, before: RunFolder | None, siblings: Siblings
    ) -> None:
        self._run = run
        self._folder = folder
        self._around = around
        self._siblings = siblings
        self._before_folder = before
        self._before: Before | None = None
        self._plan: Plan | None = None
        self._about: dict[str, Any] = {}
        self.first_chunk = 0
        """What the run's first chunk is called among those of all runs before it."""
        self.carried = 0
        """Rows taken over."""
        self.carried_wrong = 0
        """And of them, those that are wrong."""
        self.sources: list[str] = []
        """Folders that the results need, once the run is settled."""

    async def prepare(self, in_pool: InPool) -> None:
        """Find out what is to be done.

        Raises:
            RefusedError: the file cannot be read, or the run before is not there any more.
            DirectoryError: the directory has expired.
            StoreError: a part could not be read or written.
        """
        around, run = self._around, self._run
        directory = around.directory.current()
        if self._before_folder is None:
            _, last = await around.news.since(run.unit, -1)
            self._about = {"secret": run.secret.hex(), "serving": serving_of(directory), "notices": last}
            return
        before = await in_pool(before_of, self._before_folder, self._siblings)
        numbers, last = await around.news.since(run.unit, before.places.about["notices"])
        made = await in_pool(plan, self._folder, run, before, around.bounds, directory, _keys(numbers), last)
        self._before, self._plan, self._about = before, made, made.about
        self.first_chunk = int(before.places.about["next_chunk"])
        old = made.old[made.what == CARRY]
        wrong = before.sort[old]
        self.carried_wrong = int(((wrong == REJECTED) | (wrong == AGAIN)).sum())
        self.carried = len(old) - self.carried_wrong

    def changes(self, planner: Planner) -> Iterator[Found] | None:
        """The chunks of what is to be dealt with; None: the whole file is."""
        if self._plan is None or self._before is None:
            return None
        return cut_changes(self._folder, self._run, self._plan, self._before, planner, self._siblings)

    def settle(self, chunks: int, rows: int) -> None:
        """Leave to the next run what it needs.

        Args:
            chunks: how many the run has of its own.
            rows: how many rows these have, wrong ones included.

        Raises:
            StoreError: it could not be written.
        """
        about = {**self._about, "next_chunk": self.first_chunk + chunks}
        self.sources = settle(self._folder, self._run, chunks, rows, self._plan, self._before, about)


def _keys(numbers: Sequence[str]) -> list[int]:
    """What stands for people in a ledger, of whichever kind their documents are."""
    keys = [key_of(number, resident=False) for number in numbers]
    resident = [number for number in numbers if len(number) == _RESIDENT and number[:-1].isdecimal()]
    return keys + [key_of(number, resident=True) for number in resident]
