"""A question as it comes over the wire, before an adapter sees it.

Owns: the bounds of a request. Refuses: trusting the caller's columns, though it is the gateway: an adapter in this
process relies on columns of equal length.
"""

from __future__ import annotations

from collections.abc import Sequence

from adapters.contract import MAX_CELL_BYTES, Lookup, Subjects
from wugan.adapter.v1 import adapter_pb2


class RequestError(Exception):
    """The request is not one of the contract; the text says how, and names nobody."""


def lookup_of(message: adapter_pb2.LookupRequest, seconds: float, max_batch: int) -> Lookup:
    """The question in a request.

    Args:
        message: as it came.
        seconds: left of the call.
        max_batch: people that the adapter takes.

    Raises:
        RequestError: see the class.
    """
    subjects = message.subjects
    people, aliases = len(subjects.id_number), len(subjects.alias_subject)
    if people > max_batch:
        raise RequestError(f"at most {max_batch} people in one lookup")
    if len(subjects.name) != people or len(subjects.alias_id_number) != aliases:
        raise RequestError("columns of subjects differ in length")
    if len(subjects.document_kind) not in (0, people):
        raise RequestError("document_kind is empty or as long as id_number")
    if any(row >= people for row in subjects.alias_subject):
        raise RequestError("alias_subject is out of range")
    asked = Subjects(
        list(subjects.id_number),
        list(subjects.name),
        list(subjects.alias_subject),
        list(subjects.alias_id_number),
    )
    for cells in (asked.id_number, asked.name, asked.alias_id_number):
        _require_short(cells)
    return Lookup(
        subjects=asked,
        kinds=tuple(message.kinds),
        traces_since_on=message.traces_since_on,
        deadline_s=seconds,
        purpose=message.purpose,
        legal_basis=message.legal_basis,
        references=not message.without_references,
        faces=message.with_faces,
        takes_unreadable=message.takes_unreadable,
    )


def _require_short(cells: Sequence[str]) -> None:
    if any(len(cell) * 4 > MAX_CELL_BYTES and len(cell.encode()) > MAX_CELL_BYTES for cell in cells):
        raise RequestError(f"a cell is longer than {MAX_CELL_BYTES} bytes")
