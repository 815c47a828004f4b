"""Three members with keys, and a keyring that knows them: what the tests of the envelope are played with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from gateway.errors import EnvelopeError
from gateway.exchange.envelope import Opened, Sealed, open_answer, open_question, seal
from gateway.exchange.keys import DecryptionKey, EncryptionKey, OwnKeys, SigningKey, VerifyKey
from wugan.adapter.v1 import vocabulary_pb2 as vocabulary
from wugan.federation.v1 import envelope_pb2 as wire
from wugan.federation.v1 import vocabulary_pb2 as words

NOW_MS = 1_795_000_000_000
LIFETIME_MS = 60_000
PURPOSE = vocabulary.PURPOSE_CERTIFICATION
QUESTION = wire.MESSAGE_KIND_QUESTION
ANSWER = wire.MESSAGE_KIND_ANSWER


def seed(label: str) -> bytes:
    return hashlib.sha256(label.encode()).digest()


class Party:
    """A member: its own keys, and the public halves that others have of it."""

    def __init__(self, member_id: str, salt: str = "") -> None:
        signing = SigningKey.from_seed(seed(f"{member_id} signing {salt}"))
        decryption = DecryptionKey.from_seed(seed(f"{member_id} decryption {salt}"))
        self.own = OwnKeys.of(member_id, signing, decryption)
        self.member_id = member_id
        self.signing = signing
        self.decryption = decryption
        self.verify_key = VerifyKey.from_raw(signing.public_raw)
        self.encryption_key = EncryptionKey.from_raw(decryption.public_raw)


class Ring:
    """A keyring of parties; records the times it was asked about."""

    def __init__(self, *parties: Party) -> None:
        self._parties = {party.member_id: party for party in parties}
        self.asked_at: list[int] = []

    def verify_key(self, member_id: str, key_id: str, at_ms: int) -> VerifyKey:
        self.asked_at.append(at_ms)
        party = self._parties.get(member_id)
        if party is None or party.verify_key.key_id != key_id:
            raise EnvelopeError("Not in the directory.", "不在成员目录中。", reason=words.REFUSAL_REASON_STRANGER)
        return party.verify_key

    def encryption_key(self, member_id: str, at_ms: int) -> EncryptionKey:
        return self._parties[member_id].encryption_key


class World:
    """A asks, B answers, C looks on."""

    def __init__(self) -> None:
        self.a = Party("11330000MB1A00001A")
        self.b = Party("11340000MB1B00002B")
        self.c = Party("11350000MB1C00003C")
        self.ring = Ring(self.a, self.b, self.c)

    def ask(self, payload: bytes = b"who is this", **changes: Any) -> Sealed:
        arguments: dict[str, Any] = {
            "kind": QUESTION,
            "purpose": PURPOSE,
            "payloads": [payload],
            "now_ms": NOW_MS,
            "lifetime_ms": LIFETIME_MS,
        }
        return seal(self.a.own, self.b.member_id, self.b.encryption_key, **(arguments | changes))

    def open_at_b(self, envelope: wire.Envelope, **changes: Any) -> Opened:
        arguments: dict[str, Any] = {"now_ms": NOW_MS, "expect_sender": self.a.member_id}
        return open_question(envelope, self.b.own, self.ring, **(arguments | changes))

    def answer(self, question: Opened, payload: bytes = b"nobody I know", **changes: Any) -> Sealed:
        arguments: dict[str, Any] = {
            "kind": ANSWER,
            "purpose": PURPOSE,
            "payloads": [payload],
            "now_ms": NOW_MS,
            "lifetime_ms": LIFETIME_MS,
            "question": question,
        }
        return seal(self.b.own, self.a.member_id, self.a.encryption_key, **(arguments | changes))

    def open_at_a(self, envelope: wire.Envelope, question: Sealed, **changes: Any) -> Opened:
        arguments: dict[str, Any] = {"now_ms": NOW_MS, "question": question}
        return open_answer(envelope, self.a.own, self.ring, **(arguments | changes))


@contextmanager
def refused(code: str, field: str | None = None) -> Iterator[None]:
    """The block must be refused with this reason, and about this part if one is named."""
    with pytest.raises(EnvelopeError) as caught:
        yield
    assert caught.value.code == code, f"{caught.value.code} about {caught.value.field!r}: {caught.value}"
    if field is not None:
        assert caught.value.field == field
    assert caught.value.en
    assert caught.value.zh
