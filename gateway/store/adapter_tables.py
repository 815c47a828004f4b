"""The tables of registered adapters: their manifests, what departments said of their own, how they do.

Owns: names, types, keys and indexes, as `gateway.store.tables` does for the rest. What administrators decided is not
here: it is signed acts, in `access_act`. Refuses: plaintext of manifests (a department's may tell where its data is).
"""

from __future__ import annotations

import sqlalchemy as sa

from gateway.store.tables import DIGEST_BYTES, MARKER_CHARS, metadata

ADAPTER_CHARS = 64
WHO_CHARS = 300
"""A SPIFFE id of a department."""
WHY_CHARS = 400
TEXT_CHARS = 1000

_number = sa.BigInteger().with_variant(sa.Integer, "sqlite")

adapter_document = sa.Table(
    "adapter_document",
    metadata,
    sa.Column("digest", sa.LargeBinary(DIGEST_BYTES), primary_key=True),
    sa.Column("adapter", sa.String(ADAPTER_CHARS), nullable=False, index=True),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
)
"""Manifests as they were registered, byte for byte, by SHA-256; `body` is encrypted."""

adapter_word = sa.Table(
    "adapter_word",
    metadata,
    sa.Column("number", _number, primary_key=True, autoincrement=False),
    sa.Column("adapter", sa.String(ADAPTER_CHARS), nullable=False, index=True),
    sa.Column("digest", sa.LargeBinary(DIGEST_BYTES), nullable=False),
    sa.Column("word", sa.SmallInteger, nullable=False),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
    sa.Column("who", sa.String(WHO_CHARS + MARKER_CHARS), nullable=False),
    sa.Column("why", sa.String(WHY_CHARS + MARKER_CHARS), nullable=False),
)
"""What a department said of its own adapter over the network: registered, suspended, resumed, withdrawn."""

adapter_state = sa.Table(
    "adapter_state",
    metadata,
    sa.Column("adapter", sa.String(ADAPTER_CHARS), primary_key=True),
    sa.Column("digest", sa.LargeBinary(DIGEST_BYTES), primary_key=True),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
    sa.Column("stage", sa.String(16), nullable=False),
    sa.Column("fault_en", sa.String(TEXT_CHARS + MARKER_CHARS), nullable=False),
    sa.Column("fault_zh", sa.String(TEXT_CHARS + MARKER_CHARS), nullable=False),
    *(
        sa.Column(name, sa.BigInteger, nullable=False)
        for name in (
            "asked",
            "answered",
            "silent",
            "unavailable",
            "faulty",
            "people",
            "known",
            "rows",
            "took_ms",
            "longest_ms",
            "agreed",
            "missing",
            "beyond",
        )
    ),
)
"""How a version does in the running gateway: whether it could be built, and the tally of its trial."""
