"""What is known of partners that fail."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "partner_state",
        sa.Column("member", sa.String(18), nullable=False),
        sa.Column("address", sa.String(272), nullable=False),
        sa.Column("since_ms", sa.BigInteger, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("interval_ms", sa.Integer, nullable=False),
        sa.Column("next_try_ms", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.String(40), nullable=False),
        sa.PrimaryKeyConstraint("member", "address", name="pk_partner_state"),
        sqlite_with_rowid=False,
    )
