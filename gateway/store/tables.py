"""The tables, as SQLAlchemy Core metadata: the same in the embedded database (SQLite) and in PostgreSQL.

Owns: names, types, keys and indexes of what the gateway keeps. Refuses: plaintext. No column holds an identity number
or a name, nor the digest of a question, against which both could be guessed: people are found by keyed blind index,
digests are matched by keyed tag, and bodies are encrypted (see `gateway.store.keys`). A change here needs a migration
beside it; a test compares the two.
"""

from __future__ import annotations

import sqlalchemy as sa

MEMBER_CHARS = 18
"""A unified social credit code (GB 32100-2015)."""
MESSAGE_ID_BYTES = 16
"""A UUIDv7 (RFC 9562)."""
DIGEST_BYTES = 32
"""SHA-256 and HMAC-SHA256."""
PSEUDONYM_BYTES = 32
BLIND_INDEX_BYTES = 16
WORDS_CHARS = 200
"""A unit, legal basis or case reference: as long as a question may hold, to which a test holds it."""
DECISION_CHARS = 512
MARKER_CHARS = 16
"""Room beyond, for the mark of words that were cut; see `gateway.store.audit`."""

DIRECTORY_TAG_BYTES = 40
"""Version and SHA-256 of a directory."""
STATEMENT_BYTES = 32 << 10
SIGNATURE_BYTES = 64
USE_TAG_BYTES = 16
SIGNAL_CHARS = 16
ADDRESS_CHARS = 272
"""Host and port, as long as the directory takes one."""
REASON_CHARS = 40

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

_sequence = sa.BigInteger().with_variant(sa.Integer, "sqlite")
"""INTEGER makes the primary key SQLite's own row number, so that the audit trail is appended and never searched."""

store_meta = sa.Table(
    "store_meta",
    metadata,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("value", sa.LargeBinary(64), nullable=False),
)
"""One-off facts about this store: the check value of its key."""

replay_guard = sa.Table(
    "replay_guard",
    metadata,
    sa.Column("sender", sa.String(MEMBER_CHARS), primary_key=True),
    sa.Column("message_id", sa.LargeBinary(MESSAGE_ID_BYTES), primary_key=True),
    sa.Column("expires_at_ms", sa.BigInteger, nullable=False, index=True),
    sqlite_with_rowid=False,
)
"""Every message accepted, until long after it expired; a message that is here is refused."""

audit_event = sa.Table(
    "audit_event",
    metadata,
    sa.Column("sequence", _sequence, primary_key=True, autoincrement=False),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
    sa.Column("direction", sa.SmallInteger, nullable=False),
    sa.Column("outcome", sa.Integer, nullable=False),
    sa.Column("purpose", sa.Integer, nullable=False),
    sa.Column("subjects", sa.Integer, nullable=False),
    sa.Column("counterpart", sa.String(MEMBER_CHARS), nullable=False),
    sa.Column("unit", sa.String(WORDS_CHARS + MARKER_CHARS), nullable=False),
    sa.Column("official", sa.LargeBinary(PSEUDONYM_BYTES + 1), nullable=False),
    sa.Column("legal_basis", sa.String(WORDS_CHARS + MARKER_CHARS), nullable=False),
    sa.Column("case_reference", sa.String(WORDS_CHARS + MARKER_CHARS), nullable=False),
    sa.Column("message_id", sa.LargeBinary(MESSAGE_ID_BYTES), nullable=False),
    sa.Column("digest_tag", sa.LargeBinary(DIGEST_BYTES), nullable=False),
    sa.Column("decision", sa.String(DECISION_CHARS + MARKER_CHARS), nullable=False),
    sa.Column("previous_mac", sa.LargeBinary(DIGEST_BYTES), nullable=False),
    sa.Column("mac", sa.LargeBinary(DIGEST_BYTES), nullable=False),
)
"""The record of processing (个人信息保护法 第五十五条、第五十六条), a chain: each row's MAC covers the one before."""

audit_cut = sa.Table(
    "audit_cut",
    metadata,
    sa.Column("through_sequence", _sequence, primary_key=True, autoincrement=False),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
    sa.Column("last_mac", sa.LargeBinary(DIGEST_BYTES), nullable=False),
    sa.Column("mac", sa.LargeBinary(DIGEST_BYTES), nullable=False),
)
"""Where the chain begins after rows older than the retention time were deleted."""

kept_answer = sa.Table(
    "kept_answer",
    metadata,
    sa.Column("member", sa.String(MEMBER_CHARS), primary_key=True),
    sa.Column("message_id", sa.LargeBinary(MESSAGE_ID_BYTES), primary_key=True),
    sa.Column("position", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
    sa.Column("retain_until_ms", sa.BigInteger, nullable=False, index=True),
    sa.Column("header", sa.LargeBinary, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
)
"""Another member's signed answers, parts of messages; `body` is the proof but for its header, encrypted."""

kept_answer_subject = sa.Table(
    "kept_answer_subject",
    metadata,
    sa.Column("blind_index", sa.LargeBinary(BLIND_INDEX_BYTES), primary_key=True),
    sa.Column("member", sa.String(MEMBER_CHARS), primary_key=True),
    sa.Column("message_id", sa.LargeBinary(MESSAGE_ID_BYTES), primary_key=True),
    sa.Column("position", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.ForeignKeyConstraint(
        ["member", "message_id", "position"],
        ["kept_answer.member", "kept_answer.message_id", "kept_answer.position"],
        ondelete="CASCADE",
    ),
    sa.Index("ix_kept_answer_subject_answer", "member", "message_id", "position"),
    sqlite_with_rowid=False,
)
"""About whom a kept answer is, as keyed blind index of the identity number."""

answer_cache = sa.Table(
    "answer_cache",
    metadata,
    sa.Column("key", sa.LargeBinary(DIGEST_BYTES), primary_key=True),
    sa.Column("member", sa.String(MEMBER_CHARS), nullable=False),
    sa.Column("message_id", sa.LargeBinary(MESSAGE_ID_BYTES), nullable=False),
    sa.Column("position", sa.SmallInteger, nullable=False),
    sa.Column("received_at_ms", sa.BigInteger, nullable=False),
    sa.Column("cacheable_until_ms", sa.BigInteger, nullable=False),
    sa.Column("stale_until_ms", sa.BigInteger, nullable=False),
    sa.Column("until_ms", sa.BigInteger, nullable=False, index=True),
    sa.Column("directory", sa.LargeBinary(DIRECTORY_TAG_BYTES), nullable=False),
    sa.Column("used_at_ms", sa.BigInteger, nullable=False, index=True),
    sa.Index("ix_answer_cache_answer", "member", "message_id", "position"),
    sqlite_with_rowid=False,
)
"""Which kept answers may be given again, to whom and for what, as keyed hash; the answers are in `kept_answer`."""

ended_answer = sa.Table(
    "ended_answer",
    metadata,
    sa.Column("number", _sequence, primary_key=True, autoincrement=True),
    sa.Column("member", sa.String(MEMBER_CHARS), nullable=False),
    sa.Column("blind_index", sa.LargeBinary(BLIND_INDEX_BYTES)),
)
"""Whose answers one of several gateways let go, for the others; no index: of everybody. The newest ones only."""

access_act = sa.Table(
    "access_act",
    metadata,
    sa.Column("number", _sequence, primary_key=True, autoincrement=False),
    sa.Column("statement", sa.LargeBinary(STATEMENT_BYTES), nullable=False),
    sa.Column("signature", sa.LargeBinary(SIGNATURE_BYTES), nullable=False),
    sa.Column("mac", sa.LargeBinary(DIGEST_BYTES), nullable=False),
)
"""What administrators changed, signed by them, a chain: people, grants and protected persons are what it adds up to."""

access_use = sa.Table(
    "access_use",
    metadata,
    sa.Column("tag", sa.LargeBinary(USE_TAG_BYTES), primary_key=True),
    sa.Column("span", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("at", sa.BigInteger, nullable=False, index=True),
    sa.Column("people", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""How many people were asked about: by keyed tag of grant, member and official, in the newest day or minute `at`."""

access_alarm = sa.Table(
    "access_alarm",
    metadata,
    sa.Column("number", _sequence, primary_key=True, autoincrement=False),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
    sa.Column("member", sa.String(MEMBER_CHARS), nullable=False),
    sa.Column("unit", sa.String(WORDS_CHARS + MARKER_CHARS), nullable=False),
    sa.Column("signal", sa.String(SIGNAL_CHARS), nullable=False),
    sa.Column("seen", sa.Integer, nullable=False),
    sa.Column("allowed", sa.Integer, nullable=False),
)
"""Harvesting alarms; which of them were cleared is said by acts."""

partner_state = sa.Table(
    "partner_state",
    metadata,
    sa.Column("member", sa.String(MEMBER_CHARS), primary_key=True),
    sa.Column("address", sa.String(ADDRESS_CHARS), primary_key=True),
    sa.Column("since_ms", sa.BigInteger, nullable=False),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("interval_ms", sa.Integer, nullable=False),
    sa.Column("next_try_ms", sa.BigInteger, nullable=False),
    sa.Column("reason", sa.String(REASON_CHARS), nullable=False),
    sqlite_with_rowid=False,
)
"""Gateways of partners that fail, and when they are tried next; one that does well has no row."""
