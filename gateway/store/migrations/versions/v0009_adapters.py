"""Registered adapters: manifests, what departments said of their own, how versions do."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_TALLY = (
    "asked",
    "answered",
    "silent",
    "unavailable",
    "faulty",
    "people",
    "known",
    "rows",
    "took_ms",
    "longest_ms",
    "agreed",
    "missing",
    "beyond",
)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "adapter_document",
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("adapter", sa.String(64), nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_adapter_document"),
    )
    op.create_index("ix_adapter_document_adapter", "adapter_document", ["adapter"])
    op.create_table(
        "adapter_word",
        sa.Column("number", _NUMBER, autoincrement=False, nullable=False),
        sa.Column("adapter", sa.String(64), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("word", sa.SmallInteger, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("who", sa.String(316), nullable=False),
        sa.Column("why", sa.String(416), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_adapter_word"),
    )
    op.create_index("ix_adapter_word_adapter", "adapter_word", ["adapter"])
    op.create_table(
        "adapter_state",
        sa.Column("adapter", sa.String(64), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("stage", sa.String(16), nullable=False),
        sa.Column("fault_en", sa.String(1016), nullable=False),
        sa.Column("fault_zh", sa.String(1016), nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in _TALLY),
        sa.PrimaryKeyConstraint("adapter", "digest", name="pk_adapter_state"),
    )
