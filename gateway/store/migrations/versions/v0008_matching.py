"""Matching with other members: who draws there, too."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "matching",
        sa.Column("member", sa.String(18), nullable=False),
        sa.Column("wanted_at_ms", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=True),
        sa.PrimaryKeyConstraint("member", name="pk_matching"),
    )
