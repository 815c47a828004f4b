"""Terms and groups of subscriptions go with the last subscription that has them; those left from before go now."""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Find the subscriptions of terms by an index, and delete what none is left of."""
    op.create_index("ix_watch_terms", "watch", ["terms"])
    op.execute("DELETE FROM watch_terms WHERE NOT EXISTS (SELECT 1 FROM watch WHERE watch.terms = watch_terms.number)")
    op.execute("DELETE FROM watch_group WHERE people <= 0")
