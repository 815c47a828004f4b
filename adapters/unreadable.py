"""People whom a source cannot speak about, because it holds a row of theirs that it cannot read.

Owns: what is left of an answer without them. Refuses: telling part of what a source knows about a person: the row that
cannot be read may be the one that counts.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from adapters.contract import Found, Holders, Int32, Links
from adapters.texts import taken


def without(found: Found, unreadable: Int32, people: int) -> Found:
    """An answer that says of these people nothing but that it is not about them.

    Args:
        found: what was found.
        unreadable: rows of the question, in any order, also repeatedly.
        people: in the question.
    """
    told = np.ones(people, np.bool_)
    told[unreadable] = False
    holders, links = found.holders, found.links
    held, linked = np.flatnonzero(told[holders.subject]), np.flatnonzero(told[links.subject])
    return replace(
        found,
        holders=Holders(holders.subject[held], taken(holders.held_id_number, held), taken(holders.held_name, held)),
        evidence=found.evidence.take(told[found.evidence.subject]),
        links=Links(links.subject[linked], taken(links.id_number, linked), links.since_on[linked]),
        faces=found.faces.take(told[found.faces.subject]),
        unreadable=np.flatnonzero(~told).astype(np.int32),
    )
