"""The once-only gate: who was certified, and who was found to draw twice."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "certification",
        sa.Column("tag", sa.LargeBinary(16), nullable=False),
        sa.Column("person", sa.LargeBinary(16), nullable=False),
        sa.Column("name_check", sa.LargeBinary(8), nullable=False),
        sa.Column("reference_check", sa.LargeBinary(8), nullable=False),
        sa.Column("unit", sa.String(216), nullable=False),
        sa.Column("benefit", sa.SmallInteger, nullable=False),
        sa.Column("run", sa.LargeBinary(16), nullable=False),
        sa.Column("row", sa.BigInteger, nullable=False),
        sa.Column("certified_on", sa.Integer, nullable=False),
        sa.Column("until_on", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("tag", name="pk_certification"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_certification_until_on", "certification", ["until_on"])
    op.create_table(
        "duplicate",
        sa.Column("number", _NUMBER, autoincrement=False, nullable=False),
        sa.Column("tag", sa.LargeBinary(16), nullable=False),
        sa.Column("unit", sa.String(216), nullable=False),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        sa.Column("member", sa.String(18), nullable=False),
        sa.Column("first_at_ms", sa.BigInteger, nullable=False),
        sa.Column("last_at_ms", sa.BigInteger, nullable=False),
        sa.Column("settled_at_ms", sa.BigInteger, nullable=False),
        sa.Column("keep_until_ms", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_duplicate"),
    )
    op.create_index("ix_duplicate_tag", "duplicate", ["tag", "unit", "kind", "member"], unique=True)
    op.create_index("ix_duplicate_keep_until_ms", "duplicate", ["keep_until_ms"])
    op.create_index("ix_duplicate_unit", "duplicate", ["unit", "number"])
