"""The tables of the quality of departments' data.

Owns: names, types, keys, as `gateway.store.tables` does for the rest. Refuses: anything of a person: counters, and
examples whose numbers and references are masked.
"""

from __future__ import annotations

import sqlalchemy as sa

from gateway.store.tables import metadata

ADAPTER_CHARS = 64
EXAMPLE_CHARS = 400

quality = sa.Table(
    "quality",
    metadata,
    sa.Column("month", sa.Integer, nullable=False),
    sa.Column("adapter", sa.String(ADAPTER_CHARS), nullable=False),
    sa.Column("kind", sa.SmallInteger, nullable=False),
    sa.Column("region", sa.Integer, nullable=False),
    sa.Column("department", sa.SmallInteger, nullable=False),
    sa.Column("counts", sa.LargeBinary, nullable=False),
    sa.PrimaryKeyConstraint("month", "adapter", "kind", "region", name="pk_quality"),
)

quality_example = sa.Table(
    "quality_example",
    metadata,
    sa.Column("month", sa.Integer, nullable=False),
    sa.Column("adapter", sa.String(ADAPTER_CHARS), nullable=False),
    sa.Column("kind", sa.SmallInteger, nullable=False),
    sa.Column("region", sa.Integer, nullable=False),
    sa.Column("defect", sa.SmallInteger, nullable=False),
    sa.Column("place", sa.SmallInteger, nullable=False),
    sa.Column("text", sa.String(EXAMPLE_CHARS), nullable=False),
    sa.PrimaryKeyConstraint("month", "adapter", "kind", "region", "defect", "place", name="pk_quality_example"),
)
