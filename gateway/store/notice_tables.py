"""The tables of status-change notices: of whom others are told, of whom this member is told, and what it was told.

Owns: names, types, keys and indexes, as `gateway.store.tables` does for the rest. Refuses: plaintext: whom others
subscribed for is known by token only, whom this member's units subscribed for by blind index, and bodies are encrypted.
"""

from __future__ import annotations

import sqlalchemy as sa

from gateway.store.tables import BLIND_INDEX_BYTES, MARKER_CHARS, MEMBER_CHARS, MESSAGE_ID_BYTES, WORDS_CHARS, metadata

TOKEN_BYTES = 16
KEY_ID_BYTES = 16
DIGEST_BYTES = 16
ADAPTER_CHARS = 64

_number = sa.BigInteger().with_variant(sa.Integer, "sqlite")

watch_group = sa.Table(
    "watch_group",
    metadata,
    sa.Column("number", _number, primary_key=True, autoincrement=False),
    sa.Column("member", sa.String(MEMBER_CHARS), nullable=False),
    sa.Column("key_id", sa.LargeBinary(KEY_ID_BYTES), nullable=False),
    sa.Column("unit", sa.String(WORDS_CHARS + MARKER_CHARS), nullable=False),
    sa.Column("secret", sa.LargeBinary, nullable=False),
    sa.Column("people", sa.BigInteger, nullable=False),
    sa.Index("ix_watch_group_member", "member", "key_id", "unit", unique=True),
)
"""Whose subscriptions there are here: a unit of a member, the key of its tokens (encrypted), how many: not none."""

watch_terms = sa.Table(
    "watch_terms",
    metadata,
    sa.Column("number", _number, primary_key=True, autoincrement=False),
    sa.Column("group_number", sa.BigInteger, nullable=False),
    sa.Column("digest", sa.LargeBinary(DIGEST_BYTES), nullable=False),
    sa.Column("context", sa.LargeBinary, nullable=False),
    sa.Index("ix_watch_terms_group_number", "group_number", "digest", unique=True),
)
"""Who subscribed and why, once for all that share it, and as long as one does."""

watch = sa.Table(
    "watch",
    metadata,
    sa.Column("token", sa.LargeBinary(TOKEN_BYTES), primary_key=True),
    sa.Column("group_number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("benefit", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("name_check", sa.LargeBinary(TOKEN_BYTES), nullable=False),
    sa.Column("terms", sa.BigInteger, nullable=False, index=True),
    sa.Column("until_ms", sa.BigInteger, nullable=False, index=True),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("told", sa.LargeBinary, nullable=True),
    sqlite_with_rowid=False,
)
"""A person somebody is told about, by token; `told` is what the last notice told, encrypted."""

change_cursor = sa.Table(
    "change_cursor",
    metadata,
    sa.Column("adapter", sa.String(ADAPTER_CHARS), primary_key=True),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
    sa.Column("cursor", sa.LargeBinary, nullable=False),
)
"""How far each department's changes were read; encrypted, for it may hold a department's own references."""

change_due = sa.Table(
    "change_due",
    metadata,
    sa.Column("number", _number, primary_key=True, autoincrement=False),
    sa.Column("blind_index", sa.LargeBinary(BLIND_INDEX_BYTES), nullable=False, index=True),
    sa.Column("first_at_ms", sa.BigInteger, nullable=False),
    sa.Column("next_try_ms", sa.BigInteger, nullable=False, index=True),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("why", sa.Integer, nullable=True),
    sa.Column("members", sa.Text, nullable=True),
)
"""Changed people whom somebody is told about, until it was seen what there is to tell; `why` says what held it up when
they were looked at last, `members` who is to be told.
"""

subscription_key = sa.Table(
    "subscription_key",
    metadata,
    sa.Column("member", sa.String(MEMBER_CHARS), primary_key=True),
    sa.Column("key_id", sa.LargeBinary(KEY_ID_BYTES), nullable=False),
    sa.Column("secret", sa.LargeBinary, nullable=False),
)
"""The key under which this member names people to another one; encrypted."""

subscription = sa.Table(
    "subscription",
    metadata,
    sa.Column("unit", sa.String(WORDS_CHARS + MARKER_CHARS), primary_key=True),
    sa.Column("blind_index", sa.LargeBinary(BLIND_INDEX_BYTES), primary_key=True),
    sa.Column("benefit", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("member", sa.String(MEMBER_CHARS), primary_key=True),
    sa.Column("token", sa.LargeBinary(TOKEN_BYTES), nullable=False),
    sa.Column("standing", sa.SmallInteger, nullable=False),
    sa.Column("reason", sa.Integer, nullable=False),
    sa.Column("until_ms", sa.BigInteger, nullable=False, index=True),
    sa.Column("lease_until_ms", sa.BigInteger, nullable=False),
    sa.Column("asked_at_ms", sa.BigInteger, nullable=False),
    sa.Column("change_id", sa.LargeBinary(MESSAGE_ID_BYTES), nullable=False, index=True),
    sa.Column("monitored", sa.BigInteger, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Index("ix_subscription_token", "member", "token"),
    sa.Index("ix_subscription_renewal", "lease_until_ms"),
    sqlite_with_rowid=False,
)
"""For whom a unit of this member is told by another member; `body` is the person as the unit gave it, encrypted."""

status_notice = sa.Table(
    "status_notice",
    metadata,
    sa.Column("number", _number, primary_key=True, autoincrement=False),
    sa.Column("unit", sa.String(WORDS_CHARS + MARKER_CHARS), nullable=False),
    sa.Column("member", sa.String(MEMBER_CHARS), nullable=False),
    sa.Column("blind_index", sa.LargeBinary(BLIND_INDEX_BYTES), nullable=False),
    sa.Column("benefit", sa.SmallInteger, nullable=False),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
    sa.Column("keep_until_ms", sa.BigInteger, nullable=False, index=True),
    sa.Column("retracted", sa.SmallInteger, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Index("ix_status_notice_unit", "unit", "number"),
    sa.Index("ix_status_notice_person", "unit", "blind_index", "benefit", "member", "sequence"),
)
"""Notices received, in the order in which a unit is told of them; the notice and its proof encrypted."""
