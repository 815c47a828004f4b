"""Deliveries to and from other members, and checks that were left open."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "outbox",
        sa.Column("sequence", _NUMBER, autoincrement=False, nullable=False),
        sa.Column("delivery_id", sa.LargeBinary(16), nullable=False),
        sa.Column("partner", sa.String(18), nullable=False),
        sa.Column("order_key", sa.LargeBinary(16), nullable=True),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        sa.Column("purpose", sa.SmallInteger, nullable=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger, nullable=False),
        sa.Column("next_try_ms", sa.BigInteger, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("reason", sa.Integer, nullable=False),
        sa.Column("note", sa.String(216), nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_outbox"),
    )
    op.create_index("ix_outbox_delivery_id", "outbox", ["delivery_id"], unique=True)
    op.create_index("ix_outbox_partner", "outbox", ["partner", "state", "sequence"])
    op.create_index("ix_outbox_order_key", "outbox", ["partner", "order_key", "sequence"])
    op.create_index("ix_outbox_expires_at_ms", "outbox", ["state", "expires_at_ms"])
    op.create_table(
        "outbox_partner",
        sa.Column("partner", sa.String(18), nullable=False),
        sa.Column("failing_since_ms", sa.BigInteger, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("next_try_ms", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("partner", name="pk_outbox_partner"),
    )
    op.create_table(
        "inbox",
        sa.Column("sender", sa.String(18), nullable=False),
        sa.Column("delivery_id", sa.LargeBinary(16), nullable=False),
        sa.Column("arrived", sa.BigInteger, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("order_key", sa.LargeBinary(16), nullable=True),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        sa.Column("purpose", sa.SmallInteger, nullable=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("accepted_at_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger, nullable=False),
        sa.Column("keep_until_ms", sa.BigInteger, nullable=False),
        sa.Column("next_try_ms", sa.BigInteger, nullable=False),
        sa.Column("progress", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("reason", sa.Integer, nullable=False),
        sa.Column("note", sa.String(216), nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("sender", "delivery_id", name="pk_inbox"),
    )
    op.create_index("ix_inbox_arrived", "inbox", ["state", "kind", "arrived"])
    op.create_index("ix_inbox_next_try_ms", "inbox", ["state", "kind", "next_try_ms"])
    op.create_index("ix_inbox_order_key", "inbox", ["sender", "order_key", "sequence"])
    op.create_index("ix_inbox_keep_until_ms", "inbox", ["state", "keep_until_ms"])
    op.create_table(
        "late_check",
        sa.Column("ticket", sa.LargeBinary(16), nullable=False),
        sa.Column("unit", sa.String(216), nullable=False),
        sa.Column("left_at_ms", sa.BigInteger, nullable=False),
        sa.Column("until_ms", sa.BigInteger, nullable=False),
        sa.Column("keep_until_ms", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("ticket", name="pk_late_check"),
    )
    op.create_index("ix_late_check_keep_until_ms", "late_check", ["keep_until_ms"])
    op.create_index("ix_late_check_unit", "late_check", ["unit", "left_at_ms"])
    op.create_table(
        "late_question",
        sa.Column("delivery_id", sa.LargeBinary(16), nullable=False),
        sa.Column("ticket", sa.LargeBinary(16), nullable=False),
        sa.Column("member", sa.String(18), nullable=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("until_ms", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(
            ["ticket"], ["late_check.ticket"], name="fk_late_question_late_check", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("delivery_id", name="pk_late_question"),
    )
    op.create_index("ix_late_question_ticket", "late_question", ["ticket"])
    op.create_index("ix_late_question_until_ms", "late_question", ["state", "until_ms"])
    op.create_table(
        "late_event",
        sa.Column("number", _NUMBER, autoincrement=False, nullable=False),
        sa.Column("unit", sa.String(216), nullable=False),
        sa.Column("ticket", sa.LargeBinary(16), nullable=False),
        sa.Column("member", sa.String(18), nullable=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.ForeignKeyConstraint(["ticket"], ["late_check.ticket"], name="fk_late_event_late_check", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("number", name="pk_late_event"),
    )
    op.create_index("ix_late_event_ticket", "late_event", ["ticket"])
    op.create_index("ix_late_event_unit", "late_event", ["unit", "number"])
