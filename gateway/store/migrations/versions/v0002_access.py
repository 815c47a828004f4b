"""The access policy as signed acts, what was used of its quotas, and harvesting alarms."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_SEQUENCE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "access_act",
        sa.Column("number", _SEQUENCE, autoincrement=False, nullable=False),
        sa.Column("statement", sa.LargeBinary(32768), nullable=False),
        sa.Column("signature", sa.LargeBinary(64), nullable=False),
        sa.Column("mac", sa.LargeBinary(32), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_access_act"),
    )
    op.create_table(
        "access_use",
        sa.Column("tag", sa.LargeBinary(16), nullable=False),
        sa.Column("span", sa.SmallInteger, autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("people", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("tag", "span", name="pk_access_use"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_access_use_at", "access_use", ["at"])
    op.create_table(
        "access_alarm",
        sa.Column("number", _SEQUENCE, autoincrement=False, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("member", sa.String(18), nullable=False),
        sa.Column("unit", sa.String(216), nullable=False),
        sa.Column("signal", sa.String(16), nullable=False),
        sa.Column("seen", sa.Integer, nullable=False),
        sa.Column("allowed", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_access_alarm"),
    )
