"""The tables of what is left with others and by others, and of checks that were left open.

Owns: names, types, keys and indexes, as `gateway.store.tables` does for the rest. Refuses: plaintext: bodies are
encrypted, and whoever is asked about is in no column; an order key is a keyed token.
"""

from __future__ import annotations

import sqlalchemy as sa

from gateway.store.tables import MARKER_CHARS, MEMBER_CHARS, MESSAGE_ID_BYTES, WORDS_CHARS, metadata

ORDER_KEY_BYTES = 16
NOTE_CHARS = 200

_number = sa.BigInteger().with_variant(sa.Integer, "sqlite")

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("sequence", _number, primary_key=True, autoincrement=False),
    sa.Column("delivery_id", sa.LargeBinary(MESSAGE_ID_BYTES), nullable=False),
    sa.Column("partner", sa.String(MEMBER_CHARS), nullable=False),
    sa.Column("order_key", sa.LargeBinary(ORDER_KEY_BYTES), nullable=True),
    sa.Column("kind", sa.SmallInteger, nullable=False),
    sa.Column("purpose", sa.SmallInteger, nullable=False),
    sa.Column("state", sa.SmallInteger, nullable=False),
    sa.Column("created_at_ms", sa.BigInteger, nullable=False),
    sa.Column("expires_at_ms", sa.BigInteger, nullable=False),
    sa.Column("next_try_ms", sa.BigInteger, nullable=False),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("reason", sa.Integer, nullable=False),
    sa.Column("note", sa.String(NOTE_CHARS + MARKER_CHARS), nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Index("ix_outbox_delivery_id", "delivery_id", unique=True),
    sa.Index("ix_outbox_partner", "partner", "state", "sequence"),
    sa.Index("ix_outbox_expires_at_ms", "state", "expires_at_ms"),
)
"""What is to be delivered, in the order in which it was made; a row leaves when its receipt is there."""

outbox_partner = sa.Table(
    "outbox_partner",
    metadata,
    sa.Column("partner", sa.String(MEMBER_CHARS), primary_key=True),
    sa.Column("failing_since_ms", sa.BigInteger, nullable=False),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("next_try_ms", sa.BigInteger, nullable=False),
    sa.Column("reason", sa.Integer, nullable=False),
)
"""Partners to which nothing can be delivered at the moment, and when it is tried again."""

inbox = sa.Table(
    "inbox",
    metadata,
    sa.Column("sender", sa.String(MEMBER_CHARS), primary_key=True),
    sa.Column("delivery_id", sa.LargeBinary(MESSAGE_ID_BYTES), primary_key=True),
    sa.Column("arrived", sa.BigInteger, nullable=False),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("order_key", sa.LargeBinary(ORDER_KEY_BYTES), nullable=True),
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
    sa.Column("note", sa.String(NOTE_CHARS + MARKER_CHARS), nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
    sa.Index("ix_inbox_arrived", "state", "kind", "arrived"),
    sa.Index("ix_inbox_next_try_ms", "state", "kind", "next_try_ms"),
    # The state first: most rows of a person were dealt with, and who looks for one that waits must not pass over them.
    sa.Index("ix_inbox_behind", "sender", "order_key", "state", "sequence"),
    sa.Index("ix_inbox_keep_until_ms", "state", "keep_until_ms"),
)
"""What was accepted of others. A row that was dealt with stays, without content: it is not accepted again."""

late_check = sa.Table(
    "late_check",
    metadata,
    sa.Column("ticket", sa.LargeBinary(MESSAGE_ID_BYTES), primary_key=True),
    sa.Column("unit", sa.String(WORDS_CHARS + MARKER_CHARS), nullable=False),
    sa.Column("left_at_ms", sa.BigInteger, nullable=False),
    sa.Column("until_ms", sa.BigInteger, nullable=False),
    sa.Column("keep_until_ms", sa.BigInteger, nullable=False, index=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Index("ix_late_check_unit", "unit", "left_at_ms"),
)
"""Checks that a unit left open; the body holds the question and what was known when it was left."""

late_question = sa.Table(
    "late_question",
    metadata,
    sa.Column("delivery_id", sa.LargeBinary(MESSAGE_ID_BYTES), primary_key=True),
    sa.Column("ticket", sa.LargeBinary(MESSAGE_ID_BYTES), nullable=False, index=True),
    sa.Column("member", sa.String(MEMBER_CHARS), nullable=False),
    sa.Column("state", sa.SmallInteger, nullable=False),
    sa.Column("until_ms", sa.BigInteger, nullable=False),
    sa.Index("ix_late_question_until_ms", "state", "until_ms"),
    sa.ForeignKeyConstraint(["ticket"], ["late_check.ticket"], ondelete="CASCADE"),
)
"""With whom a check was left, and whether they answered."""

late_event = sa.Table(
    "late_event",
    metadata,
    sa.Column("number", _number, primary_key=True, autoincrement=False),
    sa.Column("unit", sa.String(WORDS_CHARS + MARKER_CHARS), nullable=False),
    sa.Column("ticket", sa.LargeBinary(MESSAGE_ID_BYTES), nullable=False, index=True),
    sa.Column("member", sa.String(MEMBER_CHARS), nullable=False),
    sa.Column("state", sa.SmallInteger, nullable=False),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Index("ix_late_event_unit", "unit", "number"),
    sa.ForeignKeyConstraint(["ticket"], ["late_check.ticket"], ondelete="CASCADE"),
)
"""Late answers in the order in which they came; the body is the proof, empty where none came in time. And, before an
answer that tells of a move, with whom its check was left because of it; the body says how that member is shown."""
