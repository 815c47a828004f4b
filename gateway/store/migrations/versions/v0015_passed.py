"""Letters of the outbox are looked through in their order; the index by order keys served no one any more."""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Drop it: every letter had to be entered into it, and taken out again."""
    op.drop_index("ix_outbox_order_key", "outbox")
