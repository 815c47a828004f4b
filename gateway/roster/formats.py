"""The formats of roster files, told by their first bytes.

Owns: that, without loading what reads them. Refuses: reading.
"""

from __future__ import annotations

from typing import Final

from wugan.agency.v1 import roster_pb2

CSV: Final = roster_pb2.ROSTER_FORMAT_CSV
XLSX: Final = roster_pb2.ROSTER_FORMAT_XLSX
PARQUET: Final = roster_pb2.ROSTER_FORMAT_PARQUET


def told(start: bytes) -> int:
    """The format that a file's first bytes tell."""
    if start.startswith(b"PK\x03\x04"):
        return XLSX
    return PARQUET if start.startswith(b"PAR1") else CSV
