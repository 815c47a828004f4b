"""The tables of a roster's results, and how they are carried: polars frames as Arrow IPC.

Owns: the tables' numbers in the contract (docs/rosters.md; their columns are in `results.frames`). Refuses: what is in
them.
"""

from __future__ import annotations

import io
from typing import Final

import polars as pl

from gateway.roster.results.frames import EVIDENCE, MESSAGES, PEOPLE, REASON_TEXTS, REASONS, REJECTED, Schema
from wugan.agency.v1 import roster_pb2

TABLES: Final[dict[str, tuple[int, Schema]]] = {
    "people": (roster_pb2.ROSTER_TABLE_PEOPLE, PEOPLE),
    "reasons": (roster_pb2.ROSTER_TABLE_REASONS, REASONS),
    "evidence": (roster_pb2.ROSTER_TABLE_EVIDENCE, EVIDENCE),
    "reason_texts": (roster_pb2.ROSTER_TABLE_REASON_TEXTS, REASON_TEXTS),
    "messages": (roster_pb2.ROSTER_TABLE_MESSAGES, MESSAGES),
    "rejected": (roster_pb2.ROSTER_TABLE_REJECTED, REJECTED),
}
"""Table → its number in the contract, and its columns."""


def empty(table: str) -> pl.DataFrame:
    """A table without rows."""
    return pl.DataFrame(schema=dict(TABLES[table][1]))


def to_arrow(frame: pl.DataFrame) -> bytes:
    """A frame as an Arrow IPC file."""
    buffer = io.BytesIO()
    frame.write_ipc(buffer, compression="lz4")
    return buffer.getvalue()


def from_arrow(data: bytes, columns: list[str] | None = None) -> pl.DataFrame:
    """A frame of an Arrow IPC file, or some columns of it."""
    return pl.read_ipc(io.BytesIO(data), columns=columns)
