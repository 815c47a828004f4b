"""The tables of the once-only gate (一人只能认证成功一次) and of people who draw twice.

Owns: names, types, keys and indexes, as `gateway.store.tables` does for the rest. Refuses: plaintext: people, names,
faces and an agency's own references are keyed tags, and what a finding says of a person is encrypted.
"""

from __future__ import annotations

import sqlalchemy as sa

from gateway.store.tables import MARKER_CHARS, MEMBER_CHARS, WORDS_CHARS, metadata

TAG_BYTES = 16
CHECK_BYTES = 8
"""Of what is only ever compared with one other value: a chance of 2^-64 that two differing ones look alike."""
RUN_BYTES = 16

_number = sa.BigInteger().with_variant(sa.Integer, "sqlite")

certification = sa.Table(
    "certification",
    metadata,
    sa.Column("tag", sa.LargeBinary(TAG_BYTES), primary_key=True),
    sa.Column("person", sa.LargeBinary(TAG_BYTES), nullable=False),
    sa.Column("name_check", sa.LargeBinary(CHECK_BYTES), nullable=False),
    sa.Column("reference_check", sa.LargeBinary(CHECK_BYTES), nullable=False),
    sa.Column("unit", sa.String(WORDS_CHARS + MARKER_CHARS), nullable=False),
    sa.Column("benefit", sa.SmallInteger, nullable=False),
    sa.Column("run", sa.LargeBinary(RUN_BYTES), nullable=False),
    sa.Column("row", sa.BigInteger, nullable=False),
    sa.Column("certified_on", sa.Integer, nullable=False),
    sa.Column("until_on", sa.Integer, nullable=False, index=True),
    sqlite_with_rowid=False,
)
"""Who was certified: a row for each number of a person and class of benefits, and one for each face, by keyed tag."""

claimed = sa.Table(
    "claimed",
    metadata,
    sa.Column("drawer", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("oldest_on", sa.Integer, nullable=False, index=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
)
"""Who was certified by whole rosters, in packed columns (`gateway.store.claimed`); `oldest_on`: when the first of them
ends."""

duplicate = sa.Table(
    "duplicate",
    metadata,
    sa.Column("number", _number, primary_key=True, autoincrement=False),
    sa.Column("tag", sa.LargeBinary(TAG_BYTES), nullable=False),
    sa.Column("unit", sa.String(WORDS_CHARS + MARKER_CHARS), nullable=False),
    sa.Column("kind", sa.SmallInteger, nullable=False),
    sa.Column("member", sa.String(MEMBER_CHARS), nullable=False),
    sa.Column("first_at_ms", sa.BigInteger, nullable=False),
    sa.Column("last_at_ms", sa.BigInteger, nullable=False),
    sa.Column("settled_at_ms", sa.BigInteger, nullable=False),
    sa.Column("keep_until_ms", sa.BigInteger, nullable=False, index=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Index("ix_duplicate_tag", "tag", "unit", "kind", "member", unique=True),
    sa.Index("ix_duplicate_unit", "unit", "number"),
)
"""People found to draw, or to be certified, twice: once for each unit, person and reason; `body` is the person as the
unit has it, and with whom or what it collides, encrypted."""

matching = sa.Table(
    "matching",
    metadata,
    sa.Column("member", sa.String(MEMBER_CHARS), primary_key=True),
    sa.Column("wanted_at_ms", sa.BigInteger, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=True),
)
"""The session of matching with each member: when an operator asked for it, 0: nobody did; what is known of it,
encrypted, with the secret of this side."""
