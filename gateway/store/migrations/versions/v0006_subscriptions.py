"""Subscriptions to status-change notices, of others and of this member; changes to be looked at; notices."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "watch_group",
        sa.Column("number", _NUMBER, autoincrement=False, nullable=False),
        sa.Column("member", sa.String(18), nullable=False),
        sa.Column("key_id", sa.LargeBinary(16), nullable=False),
        sa.Column("unit", sa.String(216), nullable=False),
        sa.Column("secret", sa.LargeBinary, nullable=False),
        sa.Column("people", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_watch_group"),
    )
    op.create_index("ix_watch_group_member", "watch_group", ["member", "key_id", "unit"], unique=True)
    op.create_table(
        "watch_terms",
        sa.Column("number", _NUMBER, autoincrement=False, nullable=False),
        sa.Column("group_number", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.LargeBinary(16), nullable=False),
        sa.Column("context", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_watch_terms"),
    )
    op.create_index("ix_watch_terms_group_number", "watch_terms", ["group_number", "digest"], unique=True)
    op.create_table(
        "watch",
        sa.Column("token", sa.LargeBinary(16), nullable=False),
        sa.Column("group_number", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("benefit", sa.SmallInteger, autoincrement=False, nullable=False),
        sa.Column("name_check", sa.LargeBinary(16), nullable=False),
        sa.Column("terms", sa.BigInteger, nullable=False),
        sa.Column("until_ms", sa.BigInteger, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("told", sa.LargeBinary, nullable=True),
        sa.PrimaryKeyConstraint("token", "group_number", "benefit", name="pk_watch"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_watch_until_ms", "watch", ["until_ms"])
    op.create_table(
        "change_cursor",
        sa.Column("adapter", sa.String(64), nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("cursor", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("adapter", name="pk_change_cursor"),
    )
    op.create_table(
        "change_due",
        sa.Column("number", _NUMBER, autoincrement=False, nullable=False),
        sa.Column("blind_index", sa.LargeBinary(16), nullable=False),
        sa.Column("first_at_ms", sa.BigInteger, nullable=False),
        sa.Column("next_try_ms", sa.BigInteger, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_change_due"),
    )
    op.create_index("ix_change_due_blind_index", "change_due", ["blind_index"])
    op.create_index("ix_change_due_next_try_ms", "change_due", ["next_try_ms"])
    op.create_table(
        "subscription_key",
        sa.Column("member", sa.String(18), nullable=False),
        sa.Column("key_id", sa.LargeBinary(16), nullable=False),
        sa.Column("secret", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("member", name="pk_subscription_key"),
    )
    op.create_table(
        "subscription",
        sa.Column("unit", sa.String(216), nullable=False),
        sa.Column("blind_index", sa.LargeBinary(16), nullable=False),
        sa.Column("benefit", sa.SmallInteger, autoincrement=False, nullable=False),
        sa.Column("member", sa.String(18), nullable=False),
        sa.Column("token", sa.LargeBinary(16), nullable=False),
        sa.Column("standing", sa.SmallInteger, nullable=False),
        sa.Column("reason", sa.Integer, nullable=False),
        sa.Column("until_ms", sa.BigInteger, nullable=False),
        sa.Column("lease_until_ms", sa.BigInteger, nullable=False),
        sa.Column("asked_at_ms", sa.BigInteger, nullable=False),
        sa.Column("change_id", sa.LargeBinary(16), nullable=False),
        sa.Column("monitored", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("unit", "blind_index", "benefit", "member", name="pk_subscription"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_subscription_change_id", "subscription", ["change_id"])
    op.create_index("ix_subscription_renewal", "subscription", ["lease_until_ms"])
    op.create_index("ix_subscription_token", "subscription", ["member", "token"])
    op.create_index("ix_subscription_until_ms", "subscription", ["until_ms"])
    op.create_table(
        "status_notice",
        sa.Column("number", _NUMBER, autoincrement=False, nullable=False),
        sa.Column("unit", sa.String(216), nullable=False),
        sa.Column("member", sa.String(18), nullable=False),
        sa.Column("blind_index", sa.LargeBinary(16), nullable=False),
        sa.Column("benefit", sa.SmallInteger, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("keep_until_ms", sa.BigInteger, nullable=False),
        sa.Column("retracted", sa.SmallInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_status_notice"),
    )
    op.create_index("ix_status_notice_keep_until_ms", "status_notice", ["keep_until_ms"])
    op.create_index(
        "ix_status_notice_person", "status_notice", ["unit", "blind_index", "benefit", "member", "sequence"]
    )
    op.create_index("ix_status_notice_unit", "status_notice", ["unit", "number"])
