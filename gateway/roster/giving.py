"""A chunk's results as the messages in which they are given out.

Owns: that no message is larger than a client takes: tables are cut where they are. Refuses: what is in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gateway.roster.frames import TABLES, from_arrow, to_arrow
from gateway.roster.packing import unpack
from wugan.agency.v1 import roster_pb2

MESSAGE_BYTES: Final = 2 << 20
"""Of a table in one message; gRPC clients take 4 MiB unless told otherwise."""


def messages(chunk: int, chunks: int, packed: bytes) -> Iterator[roster_pb2.FetchResultResponse]:
    """The messages of a chunk; the last says so."""
    blobs = unpack(packed)
    for name, (number, _) in TABLES.items():
        for piece in _pieces(blobs[name]) if name in blobs else ():
            yield roster_pb2.FetchResultResponse(
                chunk=chunk,
                table=number,  # type: ignore[arg-type]  # a number of the contract
                arrow=piece,
                chunks=chunks,
            )
    yield roster_pb2.FetchResultResponse(chunk=chunk, chunks=chunks, last_of_chunk=True)


def _pieces(blob: bytes) -> Iterator[bytes]:
    """The same rows in files that are small enough."""
    if len(blob) <= MESSAGE_BYTES:
        yield blob
        return
    frame = from_arrow(blob)
    if frame.height < 2:
        yield blob
        return
    half = frame.height // 2
    for part in (frame.slice(0, half), frame.slice(half)):
        yield from _pieces(to_arrow(part))
