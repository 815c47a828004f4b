"""A live roster's people subscribed for at the members where they live, so that notices bring them into the next run.

Owns: who of a chunk is subscribed for (whoever is asked about and has a place where they live: nobody else's member
learns of them), some at a time while the run goes on, once for each chunk whatever happens on the way (the part
`subscribed-…`). A subscription outlasts the longest time for which an answer holds, after which the person is asked
about, and subscribed for, anew. Refuses: the letters (`gateway.federation.subscribing`), and ending subscriptions of
people who left the roster: they end by themselves, and their notices meet no row.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import polars as pl

from gateway.federation.subscribing import Wanted
from gateway.roster.around import Subscribes
from gateway.roster.cutting import rows_of
from gateway.roster.run import RunFolder, Submitted
from wugan.adapter.v1 import vocabulary_pb2 as adapter_words

FOR_DAYS: Final = 180
"""An answer holds 90 days at most."""
AT_ONCE: Final = 1_000
_DAY_MS: Final = 86_400_000

InPool = Callable[..., Awaitable[Any]]


async def subscribe_for(
    run: Submitted, folder: RunFolder, number: int, subscribes: Subscribes, now_ms: int, in_pool: InPool
) -> int:
    """Subscribe for the people of a chunk; how many subscriptions there are.

    Raises:
        StoreError: it could not be written, or too much waits for a member.
        DirectoryError: the directory has expired.
    """
    part = f"subscribed-{number:06d}"
    if await in_pool(folder.parts.has, part):
        return int(await in_pool(folder.parts.read, part))
    context = run.context
    context.purpose = adapter_words.PURPOSE_CHANGE_MONITORING
    people: list[Wanted] = await in_pool(_wanted, folder, number)
    made = 0
    for start in range(0, len(people), AT_ONCE):
        accepted, _ = await subscribes.subscribe(context, people[start : start + AT_ONCE], now_ms + FOR_DAYS * _DAY_MS)
        made += accepted
    await in_pool(folder.parts.write, part, str(made).encode())
    return made


def _wanted(folder: RunFolder, number: int) -> list[Wanted]:
    rows = rows_of(folder, number).rows.filter((pl.col("members") != "") & (pl.col("residence").list.len() > 0))
    columns = (rows[name].to_list() for name in ("id_number", "name", "benefit", "residence"))
    return [
        Wanted(number, name, benefit, tuple(places)) for number, name, benefit, places in zip(*columns, strict=True)
    ]
