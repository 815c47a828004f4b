"""Why a changed person waits, and for whom, is written down; nobody is dropped any more for having waited too long."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

_KEPT = "number, blind_index, first_at_ms, next_try_ms, tries, body"
_COPY = "change_due_before"


def upgrade() -> None:
    """Make the table anew with two columns more; why those wait who are in it is known once they are looked at again.

    Not by ALTER TABLE: SQLite notes such a table in other words than one that was made whole, and tests compare them.
    """
    op.execute(f"CREATE TABLE {_COPY} AS SELECT {_KEPT} FROM change_due")  # noqa: S608  (constants)
    op.drop_table("change_due")
    op.create_table(
        "change_due",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), autoincrement=False, nullable=False),
        sa.Column("blind_index", sa.LargeBinary(16), nullable=False),
        sa.Column("first_at_ms", sa.BigInteger, nullable=False),
        sa.Column("next_try_ms", sa.BigInteger, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("why", sa.Integer, nullable=True),
        sa.Column("members", sa.Text, nullable=True),
        sa.PrimaryKeyConstraint("number", name="pk_change_due"),
    )
    op.create_index("ix_change_due_blind_index", "change_due", ["blind_index"])
    op.create_index("ix_change_due_next_try_ms", "change_due", ["next_try_ms"])
    op.execute(f"INSERT INTO change_due ({_KEPT}) SELECT {_KEPT} FROM {_COPY}")  # noqa: S608  (constants)
    op.drop_table(_COPY)
