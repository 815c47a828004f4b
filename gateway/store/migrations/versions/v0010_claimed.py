"""Certifications of whole rosters in packed columns.

What stood for people changed with it: what was claimed and found before is made anew by the next runs and comparisons.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Make the table; empty those whose tags nobody can make any more."""
    op.create_table(
        "claimed",
        sa.Column("drawer", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("oldest_on", sa.Integer, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("drawer", name="pk_claimed"),
    )
    op.create_index("ix_claimed_oldest_on", "claimed", ["oldest_on"])
    op.execute("DELETE FROM certification")
    op.execute("DELETE FROM duplicate")
