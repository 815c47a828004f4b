"""Replay guard, audit trail and kept answers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_SEQUENCE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "store_meta",
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("value", sa.LargeBinary(64), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_store_meta"),
    )
    op.create_table(
        "replay_guard",
        sa.Column("sender", sa.String(18), nullable=False),
        sa.Column("message_id", sa.LargeBinary(16), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("sender", "message_id", name="pk_replay_guard"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_replay_guard_expires_at_ms", "replay_guard", ["expires_at_ms"])
    op.create_table(
        "audit_event",
        sa.Column("sequence", _SEQUENCE, autoincrement=False, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("direction", sa.SmallInteger, nullable=False),
        sa.Column("outcome", sa.Integer, nullable=False),
        sa.Column("purpose", sa.Integer, nullable=False),
        sa.Column("subjects", sa.Integer, nullable=False),
        sa.Column("counterpart", sa.String(18), nullable=False),
        sa.Column("unit", sa.String(216), nullable=False),
        sa.Column("official", sa.LargeBinary(33), nullable=False),
        sa.Column("legal_basis", sa.String(216), nullable=False),
        sa.Column("case_reference", sa.String(216), nullable=False),
        sa.Column("message_id", sa.LargeBinary(16), nullable=False),
        sa.Column("digest_tag", sa.LargeBinary(32), nullable=False),
        sa.Column("decision", sa.String(528), nullable=False),
        sa.Column("previous_mac", sa.LargeBinary(32), nullable=False),
        sa.Column("mac", sa.LargeBinary(32), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_audit_event"),
    )
    op.create_table(
        "audit_cut",
        sa.Column("through_sequence", _SEQUENCE, autoincrement=False, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("last_mac", sa.LargeBinary(32), nullable=False),
        sa.Column("mac", sa.LargeBinary(32), nullable=False),
        sa.PrimaryKeyConstraint("through_sequence", name="pk_audit_cut"),
    )
    op.create_table(
        "kept_answer",
        sa.Column("member", sa.String(18), nullable=False),
        sa.Column("message_id", sa.LargeBinary(16), nullable=False),
        sa.Column("position", sa.SmallInteger, autoincrement=False, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("retain_until_ms", sa.BigInteger, nullable=False),
        sa.Column("header", sa.LargeBinary, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("member", "message_id", "position", name="pk_kept_answer"),
    )
    op.create_index("ix_kept_answer_retain_until_ms", "kept_answer", ["retain_until_ms"])
    op.create_table(
        "kept_answer_subject",
        sa.Column("blind_index", sa.LargeBinary(16), nullable=False),
        sa.Column("member", sa.String(18), nullable=False),
        sa.Column("message_id", sa.LargeBinary(16), nullable=False),
        sa.Column("position", sa.SmallInteger, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("blind_index", "member", "message_id", "position", name="pk_kept_answer_subject"),
        sa.ForeignKeyConstraint(
            ["member", "message_id", "position"],
            ["kept_answer.member", "kept_answer.message_id", "kept_answer.position"],
            name="fk_kept_answer_subject_kept_answer",
            ondelete="CASCADE",
        ),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_kept_answer_subject_answer", "kept_answer_subject", ["member", "message_id", "position"])
