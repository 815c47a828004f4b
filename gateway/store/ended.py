"""What gateways that share a database tell each other of answers that are not to be given again.

Owns: the table `ended_answer`: rows are written by whoever deletes answers, in the same commit, and read by all others;
the newest ones are kept. Refuses: acting on them (`gateway.federation.ended_elsewhere`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import sqlalchemy as sa

from gateway.store.reader import Reader
from gateway.store.tables import ended_answer

EVERY_MEMBER: Final = ""
"""In place of a member: what every member said of these people is not to be given again."""
KEPT: Final = 65_536
"""Rows; who has not looked for longer than these reach back has to let go of everything."""
_SWEEP_EVERY: Final = 1_024


class Ended(NamedTuple):
    """Whose answers are not to be given again: all of a member's (`blind_index` None), or those about a person.

    `member` may be EVERY_MEMBER where it is about a person.
    """

    number: int
    member: str
    blind_index: bytes | None


class EndedAnswers:
    """See the module.

    Args:
        shared: whether other gateways use the database; otherwise nothing is written, and nothing is to be read.
    """

    def __init__(self, reader: Reader, *, shared: bool) -> None:
        self._reader = reader
        self.shared = shared
        self._since_sweep = 0
        self._own: set[int] = set()

    def tell(self, connection: sa.Connection, member: str, indexes: Sequence[bytes] | None) -> None:
        """Write what others have to know, within the transaction in which the answers go."""
        if not self.shared:
            return
        people: Sequence[bytes | None] = [None] if indexes is None else indexes
        rows = [{"member": member, "blind_index": index} for index in people]
        if rows:
            # Noted before anybody sees them: whoever wrote them has let go already, and may have asked anew since.
            self._own.update(
                connection.execute(sa.insert(ended_answer).returning(ended_answer.c.number), rows).scalars()
            )
        self._since_sweep += len(rows)
        if self._since_sweep >= _SWEEP_EVERY:
            self._since_sweep = 0
            newest = sa.select(sa.func.max(ended_answer.c.number)).scalar_subquery()
            connection.execute(sa.delete(ended_answer).where(ended_answer.c.number <= newest - KEPT))

    async def newest(self) -> int:
        """The number of the newest row; 0: there is none.

        Raises:
            StoreError: it could not be read.
        """
        query = sa.select(sa.func.max(ended_answer.c.number))
        return await self._reader.run(lambda connection: connection.execute(query).scalar() or 0)

    async def after(self, number: int) -> tuple[list[Ended], bool]:
        """The rows after a number, in order; and whether rows after it may have been swept.

        Raises:
            StoreError: they could not be read.
        """
        query = sa.select(ended_answer).where(ended_answer.c.number > number).order_by(ended_answer.c.number)
        rows = await self._reader.run(lambda connection: [Ended(*row) for row in connection.execute(query)])
        self._own.difference_update([own for own in list(self._own) if own <= number])
        return rows, bool(rows) and rows[-1].number - number > KEPT

    def is_own(self, number: int) -> bool:
        """Whether this gateway wrote a row after the number that was last looked from."""
        return number in self._own
