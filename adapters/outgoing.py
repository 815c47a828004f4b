"""An answer as the messages of a stream.

Owns: cutting columns into messages of bounded rows and bytes, and marking the last. Refuses: changing anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from google.protobuf.descriptor import Descriptor

from adapters import packing
from adapters.contract import Evidence, Faces, Found, Holders, Int32, Links, Lookup
from wugan.adapter.v1 import adapter_pb2, columns_pb2
from wugan.adapter.v1 import vocabulary_pb2 as words

MAX_MESSAGE_BYTES: Final = 4 << 20
"""Of a message in either direction: what gRPC takes when nobody set anything else."""
MESSAGE_ROWS: Final = 10_000
"""Rows of a message at most: the first is on its way while the next is made."""


def request(question: Lookup, lookup_id: bytes) -> bytes:
    """A question in wire form."""
    subjects = question.subjects
    return adapter_pb2.LookupRequest(
        lookup_id=lookup_id,
        subjects=columns_pb2.SubjectColumns(
            id_number=subjects.id_number,
            name=subjects.name,
            alias_subject=subjects.alias_subject,
            alias_id_number=subjects.alias_id_number,
        ),
        kinds=[words.EvidenceKind.ValueType(kind) for kind in question.kinds],
        traces_since_on=question.traces_since_on,
        purpose=words.Purpose.ValueType(question.purpose),
        legal_basis=question.legal_basis,
        without_references=not question.references,
        with_faces=question.faces,
        takes_unreadable=question.takes_unreadable,
    ).SerializeToString()


def messages(found: Found, rows: int = MESSAGE_ROWS, most: int = MAX_MESSAGE_BYTES) -> Iterator[bytes]:
    """The messages of an answer, the last marked as such; made one by one, as they are asked for.

    Args:
        found: the answer.
        rows: in a message at most.
        most: bytes of a message at most, as far as single rows allow.
    """
    if len(found.unreadable):  # by itself: no more than the people of one request
        yield adapter_pb2.LookupResponse(unreadable_subject=found.unreadable.tolist()).SerializeToString()
    parts = list(_parts(found, rows))
    for part in parts[:-1]:
        yield from _bounded(part, None, most)
    yield from _bounded(parts[-1] if parts else Found(), found.complete_until_on, most)


def _parts(found: Found, rows: int) -> Iterator[Found]:
    holders, links, evidence, faces = found.holders, found.links, found.evidence, found.faces
    if len(holders.subject) + len(links.subject) + len(evidence) + len(faces) <= rows:
        yield found
        return
    for start in range(0, len(holders.subject), rows):
        yield Found(holders=_of_holders(holders, start, start + rows))
    for start in range(0, len(links.subject), rows):
        yield Found(links=_of_links(links, start, start + rows))
    for start in range(0, len(evidence), rows):
        yield Found(evidence=_of_evidence(evidence, start, start + rows))
    for start in range(0, len(faces), rows):
        yield Found(faces=_of_faces(faces, start, start + rows))


def _bounded(part: Found, end: int | None, most: int) -> Iterator[bytes]:
    """A part as one message, or as several where it is too large for one; `end`: the last, and complete until when."""
    data = _filled(part, end)
    halves = _halves(part) if len(data) > most else []
    if len(halves) < 2:  # a single row is never so large: its cells are bounded
        yield data
        return
    for half in halves[:-1]:
        yield from _bounded(half, None, most)
    yield from _bounded(halves[-1], end, most)


def _halves(part: Found) -> list[Found]:
    holders, links, evidence = part.holders, part.links, part.evidence
    halves = []
    for start, stop in _halved(len(holders.subject)):
        halves.append(Found(holders=_of_holders(holders, start, stop)))
    for start, stop in _halved(len(links.subject)):
        halves.append(Found(links=_of_links(links, start, stop)))
    for start, stop in _halved(len(evidence)):
        halves.append(Found(evidence=_of_evidence(evidence, start, stop)))
    for start, stop in _halved(len(part.faces)):
        halves.append(Found(faces=_of_faces(part.faces, start, stop)))
    return halves


def _halved(rows: int) -> list[tuple[int, int]]:
    middle = (rows + 1) // 2
    return [(start, stop) for start, stop in ((0, middle), (middle, rows)) if start < stop]


def _filled(part: Found, end: int | None) -> bytes:
    holders, links, evidence = part.holders, part.links, part.evidence
    pieces = [adapter_pb2.LookupResponse(last=end is not None, complete_until_on=end or 0).SerializeToString()]
    if len(holders.subject):
        numbers = {"subject": holders.subject}
        texts = {"held_id_number": holders.held_id_number, "held_name": holders.held_name}
        pieces.append(_columns("holders", columns_pb2.HolderColumns.DESCRIPTOR, numbers, texts))
    if len(links.subject):
        numbers = {"subject": links.subject, "since_on": links.since_on}
        pieces.append(_columns("links", columns_pb2.LinkColumns.DESCRIPTOR, numbers, {"id_number": links.id_number}))
    if len(evidence):
        numbers = {name: getattr(evidence, name) for name in Evidence.INTEGER_COLUMNS}
        texts = {"source_reference": evidence.source_reference}
        pieces.append(_columns("evidence", columns_pb2.EvidenceColumns.DESCRIPTOR, numbers, texts))
    if len(part.faces):
        faces = part.faces
        told = columns_pb2.FaceColumns(
            subject=faces.subject.tolist(),
            token=faces.token,
            observed_on=faces.observed_on.tolist(),
            region=faces.region.tolist(),
        )
        pieces.append(adapter_pb2.LookupResponse(faces=told).SerializeToString())
    return b"".join(pieces)


def _columns(name: str, message: Descriptor, numbers: Mapping[str, Int32], texts: Mapping[str, Sequence[str]]) -> bytes:
    pieces = [packing.integers(message, column, values) for column, values in numbers.items()]
    pieces += [packing.texts(message, column, values) for column, values in texts.items()]
    return packing.nested(adapter_pb2.LookupResponse.DESCRIPTOR, name, b"".join(pieces))


def _of_holders(holders: Holders, start: int, stop: int) -> Holders:
    return Holders(holders.subject[start:stop], holders.held_id_number[start:stop], holders.held_name[start:stop])


def _of_links(links: Links, start: int, stop: int) -> Links:
    return Links(links.subject[start:stop], links.id_number[start:stop], links.since_on[start:stop])


def _of_faces(faces: Faces, start: int, stop: int) -> Faces:
    part = slice(start, stop)
    return Faces(faces.subject[part], faces.token[part], faces.observed_on[part], faces.region[part])


def _of_evidence(evidence: Evidence, start: int, stop: int) -> Evidence:
    columns: dict[str, Int32] = {name: getattr(evidence, name)[start:stop] for name in Evidence.INTEGER_COLUMNS}
    return Evidence(**columns, source_reference=evidence.source_reference[start:stop])
