"""Deliveries that wait behind another are told by an index that does not lead past all that were dealt with."""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Exchange the index."""
    op.create_index("ix_inbox_behind", "inbox", ["sender", "order_key", "state", "sequence"])
    op.drop_index("ix_inbox_order_key", "inbox")
