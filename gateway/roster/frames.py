"""The tables of a roster's results, and how they are carried: polars frames as Arrow IPC.

Owns: `ChunkFrames` and the columns of each table (docs/rosters.md). Refuses: what is in them.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from wugan.agency.v1 import roster_pb2

Schema = dict[str, pl.DataType]

PEOPLE: Final[Schema] = {
    "row": pl.Int64(),
    "chunk": pl.Int32(),
    "id_number": pl.String(),
    "name": pl.String(),
    "benefit": pl.Int32(),
    "reference": pl.String(),
    "unit": pl.String(),
    "grid_unit": pl.String(),
    "region": pl.Int32(),
    "monthly_fen": pl.Int64(),
    "last_paid_on": pl.Int32(),
    "account_fen": pl.Int64(),
    "entitled_since_on": pl.Int32(),
    "status": pl.Int8(),
    "flags": pl.UInt32(),
    "decided_on": pl.Int32(),
    "last_trace_on": pl.Int32(),
    "valid_until_on": pl.Int32(),
    "partial": pl.Boolean(),
    "refusal": pl.Int16(),
    "members": pl.String(),
    "silent": pl.String(),
    "certification": pl.Int8(),
    "effective_on": pl.Int32(),
    "verify_by_on": pl.Int32(),
    "overpaid_months": pl.Int32(),
    "overpaid_gross_fen": pl.Int64(),
    "overpaid_offset_fen": pl.Int64(),
    "overpaid_net_fen": pl.Int64(),
}
REASONS: Final[Schema] = {
    "row": pl.Int64(),
    "member": pl.String(),
    "code": pl.Int32(),
    "name": pl.String(),
    "department": pl.Int16(),
    "kind": pl.Int16(),
    "on": pl.Int32(),
    "number": pl.UInt32(),
    "month": pl.Boolean(),
}
EVIDENCE: Final[Schema] = {
    "row": pl.Int64(),
    "member": pl.String(),
    "kind": pl.Int16(),
    "department": pl.Int16(),
    "region": pl.Int32(),
    "observed_on": pl.Int32(),
    "available_on": pl.Int32(),
    "strength": pl.Int8(),
    "source_reference": pl.String(),
    "from_on": pl.Int32(),
    "until_on": pl.Int32(),
    "detail": pl.Int32(),
}
REASON_TEXTS: Final[Schema] = {
    "member": pl.String(),
    "code": pl.Int32(),
    "name": pl.String(),
    "zh": pl.String(),
    "en": pl.String(),
}
MESSAGES: Final[Schema] = {
    "chunk": pl.Int32(),
    "member": pl.String(),
    "message_id": pl.String(),
    "question_digest": pl.String(),
    "made_at_ms": pl.Int64(),
    "rules_version": pl.String(),
    "rules_digest": pl.String(),
    "cached": pl.Boolean(),
}
DUPLICATES: Final[Schema] = {
    "row": pl.Int64(),
    "kind": pl.Int8(),
    "unit": pl.String(),
    "member": pl.String(),
    "certified_on": pl.Int32(),
}
FACES: Final[Schema] = {
    "row": pl.Int64(),
    "token": pl.Binary(),
}
"""By which faces people were certified. It stays in the gateway: no agency gets it."""
REJECTED: Final[Schema] = {
    "row": pl.Int64(),
    "column": pl.String(),
    "reason_zh": pl.String(),
    "reason_en": pl.String(),
}
"""The columns of the offending rows follow, as text, under their own names."""

TABLES: Final[dict[str, tuple[int, Schema]]] = {
    "people": (roster_pb2.ROSTER_TABLE_PEOPLE, PEOPLE),
    "reasons": (roster_pb2.ROSTER_TABLE_REASONS, REASONS),
    "evidence": (roster_pb2.ROSTER_TABLE_EVIDENCE, EVIDENCE),
    "reason_texts": (roster_pb2.ROSTER_TABLE_REASON_TEXTS, REASON_TEXTS),
    "messages": (roster_pb2.ROSTER_TABLE_MESSAGES, MESSAGES),
    "rejected": (roster_pb2.ROSTER_TABLE_REJECTED, REJECTED),
    "duplicates": (roster_pb2.ROSTER_TABLE_DUPLICATES, DUPLICATES),
}
"""Table → its number in the contract, and its columns."""
KEPT: Final = (*TABLES, "faces")
"""What is kept of a chunk's results, and taken over by later runs of a live roster."""


@dataclass(frozen=True, slots=True)
class ChunkFrames:
    """The results of a chunk, in order of the input's rows; columns as above.

    Args:
        chunk: its number, from 0.
        people: one row for each person.
        reasons: why each was graded so; the members' own, and those of the merging with no member.
        evidence: rows of evidence.
        reason_texts: texts of the codes that occur.
        messages: the messages by which the chunk was answered.
        rejected: rows of the input that are wrong.
        duplicates: who was refused by the once-only gate: a DuplicateKind, and the agency or member that it collides
            with, and the day of the certification there.
    """

    chunk: int
    people: pl.DataFrame
    reasons: pl.DataFrame
    evidence: pl.DataFrame
    reason_texts: pl.DataFrame
    messages: pl.DataFrame
    rejected: pl.DataFrame
    duplicates: pl.DataFrame = field(default_factory=lambda: empty("duplicates"))

    def tables(self) -> dict[str, pl.DataFrame]:
        """The frames by the names of their tables."""
        return {name: getattr(self, name) for name in TABLES}


def empty(table: str) -> pl.DataFrame:
    """A table without rows."""
    return pl.DataFrame(schema=TABLES[table][1])


def to_arrow(frame: pl.DataFrame) -> bytes:
    """A frame as an Arrow IPC file."""
    buffer = io.BytesIO()
    frame.write_ipc(buffer, compression="lz4")
    return buffer.getvalue()


def from_arrow(data: bytes, columns: list[str] | None = None) -> pl.DataFrame:
    """A frame of an Arrow IPC file, or some columns of it."""
    return pl.read_ipc(io.BytesIO(data), columns=columns)
