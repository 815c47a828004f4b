"""Which kept answers may be given again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "answer_cache",
        sa.Column("key", sa.LargeBinary(32), nullable=False),
        sa.Column("member", sa.String(18), nullable=False),
        sa.Column("message_id", sa.LargeBinary(16), nullable=False),
        sa.Column("position", sa.SmallInteger, nullable=False),
        sa.Column("received_at_ms", sa.BigInteger, nullable=False),
        sa.Column("cacheable_until_ms", sa.BigInteger, nullable=False),
        sa.Column("stale_until_ms", sa.BigInteger, nullable=False),
        sa.Column("until_ms", sa.BigInteger, nullable=False),
        sa.Column("directory", sa.LargeBinary(40), nullable=False),
        sa.Column("used_at_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_answer_cache"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_answer_cache_until_ms", "answer_cache", ["until_ms"])
    op.create_index("ix_answer_cache_used_at_ms", "answer_cache", ["used_at_ms"])
    op.create_index("ix_answer_cache_answer", "answer_cache", ["member", "message_id", "position"])
