"""Gateways that share a database tell each other whose answers are not to be given again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "ended_answer",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("member", sa.String(18), nullable=False),
        sa.Column("blind_index", sa.LargeBinary(16), nullable=True),
    )
