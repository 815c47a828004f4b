"""The quality of departments' data: counters by month, adapter, item and prefecture; masked examples."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "quality",
        sa.Column("month", sa.Integer, nullable=False),
        sa.Column("adapter", sa.String(64), nullable=False),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        sa.Column("region", sa.Integer, nullable=False),
        sa.Column("department", sa.SmallInteger, nullable=False),
        sa.Column("counts", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("month", "adapter", "kind", "region", name="pk_quality"),
    )
    op.create_table(
        "quality_example",
        sa.Column("month", sa.Integer, nullable=False),
        sa.Column("adapter", sa.String(64), nullable=False),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        sa.Column("region", sa.Integer, nullable=False),
        sa.Column("defect", sa.SmallInteger, nullable=False),
        sa.Column("place", sa.SmallInteger, nullable=False),
        sa.Column("text", sa.String(400), nullable=False),
        sa.PrimaryKeyConstraint("month", "adapter", "kind", "region", "defect", "place", name="pk_quality_example"),
    )
