"""The gateway opens every vector it must open, and refuses the others for the reason recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import EnvelopeError
from gateway.exchange.envelope import (
    Opened,
    Sealed,
    open_answer,
    open_delivery,
    open_question,
    open_receipt,
    verify_proof,
)
from gateway.exchange.keys import DecryptionKey, EncryptionKey, OwnKeys, SigningKey, VerifyKey
from wugan.federation.v1 import envelope_pb2 as wire
from wugan.federation.v1 import vocabulary_pb2 as words

HERE = Path(__file__).parent
FOLDER = HERE / "envelope"
KEYS: dict[str, dict[str, str]] = json.loads((FOLDER / "keys.json").read_text(encoding="utf-8"))
ACCEPTED: list[dict[str, Any]] = json.loads((FOLDER / "accepted.json").read_text(encoding="utf-8"))
REFUSED: list[dict[str, Any]] = json.loads((FOLDER / "refused.json").read_text(encoding="utf-8"))
PROTOCOL = HERE.parents[1] / "docs" / "protocol.md"


def name_of(vector: dict[str, Any]) -> str:
    return str(vector["name"])


def own(party: str) -> OwnKeys:
    keys = KEYS[party]
    return OwnKeys.of(
        keys["member_id"],
        SigningKey.from_seed(bytes.fromhex(keys["signing_seed"])),
        DecryptionKey.from_seed(bytes.fromhex(keys["decryption_seed"])),
    )


class Ring:
    """The directory of the vectors: A and B."""

    def verify_key(self, member_id: str, key_id: str, at_ms: int) -> VerifyKey:
        for keys in KEYS.values():
            if keys["member_id"] == member_id:
                if keys["signing_key_id"] == key_id:
                    return VerifyKey.from_raw(bytes.fromhex(keys["signing_public"]))
                raise self._unknown("header.signing_key_id")
        raise self._unknown("header.sender")

    def encryption_key(self, member_id: str, at_ms: int) -> EncryptionKey:
        for keys in KEYS.values():
            if keys["member_id"] == member_id:
                return EncryptionKey.from_raw(bytes.fromhex(keys["encryption_public"]))
        raise self._unknown("header.recipient")

    def _unknown(self, field: str) -> EnvelopeError:
        return EnvelopeError("Unknown.", "未知。", reason=words.REFUSAL_REASON_STRANGER, field=field)


def open_vector(vector: dict[str, Any]) -> Opened:
    envelope = wire.Envelope(header=bytes.fromhex(vector["header"]), ciphertext=bytes.fromhex(vector["ciphertext"]))
    keys, now_ms, asked = own(vector["receiver"]), vector["now_ms"], vector["question"]
    if asked is None:
        opens = {"question": open_question, "delivery": open_delivery}[vector["kind"]]
        return opens(envelope, keys, Ring(), now_ms=now_ms, expect_sender=vector["peer"])
    message_id = bytes.fromhex(asked["message_id"])
    sent = Sealed(
        wire.Envelope(),
        wire.Header(recipient=asked["recipient"], purpose=asked["purpose"], message_id=message_id),
        message_id,
        bytes.fromhex(asked["digest"]),
        b"",
        asked["parts"],
    )
    if vector["kind"] == "receipt":
        return open_receipt(envelope, keys, Ring(), delivery=sent, now_ms=now_ms)
    return open_answer(envelope, keys, Ring(), question=sent, now_ms=now_ms)


@pytest.mark.parametrize("party", sorted(KEYS))
def test_keys_are_derived_as_recorded(party: str) -> None:
    keys, held = KEYS[party], own(party)
    (decryption,) = held.decryption.values()
    assert held.signing.public_raw.hex() == keys["signing_public"]
    assert held.signing.key_id == keys["signing_key_id"]
    assert decryption.public_raw.hex() == keys["encryption_public"]
    assert decryption.key_id == keys["encryption_key_id"]


@pytest.mark.parametrize("vector", ACCEPTED, ids=name_of)
def test_an_accepted_vector_opens(vector: dict[str, Any]) -> None:
    opened = open_vector(vector)
    expected = vector["expected"]
    assert [payload.hex() for payload in opened.payloads] == expected["payloads"]
    assert opened.question_digest.hex() == expected["question_digest"]
    assert opened.digest.hex() == expected["digest"]
    assert opened.signature.hex() == expected["signature"]
    key = Ring().verify_key(opened.header.sender, opened.header.signing_key_id, 0)
    for proof in opened.proofs():
        verify_proof(proof, key)


@pytest.mark.parametrize("vector", REFUSED, ids=name_of)
def test_a_refused_vector_is_refused_for_its_reason(vector: dict[str, Any]) -> None:
    with pytest.raises(EnvelopeError) as caught:
        open_vector(vector)
    assert (caught.value.code, caught.value.field) == (vector["expected"]["refused"], vector["expected"]["field"])


def test_every_vector_has_a_name_of_its_own() -> None:
    names = [name_of(vector) for vector in ACCEPTED + REFUSED]
    assert len(names) == len(set(names))


def test_the_worked_example_of_the_protocol_page_is_the_first_vector() -> None:
    page = "".join(PROTOCOL.read_text(encoding="utf-8").split())
    first = ACCEPTED[0]
    for part in (first["header"], first["expected"]["signature"], first["expected"]["digest"]):
        assert part in page, f"docs/protocol.md does not show {part}"
