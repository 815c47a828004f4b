"""What goes in comes out, and nobody but the recipient gets it out."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.exchange import frame
from gateway.exchange.envelope import open_question, seal, verify_proof
from gateway.exchange.header import Limits
from gateway.exchange.keys import DecryptionKey, EncryptionKey, OwnKeys
from gateway.exchange.suites import XWingEd25519
from tests.unit.exchange.exchange_world import (
    ANSWER,
    LIFETIME_MS,
    NOW_MS,
    PURPOSE,
    QUESTION,
    Party,
    Ring,
    World,
    refused,
    seed,
)
from wugan.adapter.v1 import vocabulary_pb2 as vocabulary
from wugan.federation.v1 import envelope_pb2 as wire

WORLD = World()


@settings(max_examples=40, deadline=None)
@given(question=st.binary(max_size=3000), answer=st.binary(max_size=3000))
def test_a_question_and_its_answer_arrive_as_they_were_sent(question: bytes, answer: bytes) -> None:
    asked = WORLD.ask(question)
    received = WORLD.open_at_b(wire.Envelope.FromString(asked.envelope.SerializeToString()))
    assert received.payloads == (question,)
    assert received.digest == asked.digest
    assert received.header == asked.header
    answered = WORLD.answer(received, answer)
    returned = WORLD.open_at_a(answered.envelope, asked)
    assert returned.payloads == (answer,)
    assert returned.question_digest == asked.digest
    assert returned.header.answers_to == asked.message_id


def test_a_question_seals_to_another_envelope_every_time(world: World) -> None:
    first, second = world.ask(), world.ask()
    assert first.message_id != second.message_id
    assert first.envelope.ciphertext != second.envelope.ciphertext
    assert first.digest != second.digest


def test_a_large_payload_arrives(world: World) -> None:
    payload = bytes(range(256)) * 1200
    assert world.open_at_b(world.ask(payload).envelope).payloads == (payload,)


@pytest.mark.parametrize(("low", "high"), [(0, 904), (905, 1928), (65_417, 130_952)])
def test_payloads_of_one_bucket_cannot_be_told_apart_by_length(world: World, low: int, high: int) -> None:
    lengths = {len(world.ask(bytes(size)).envelope.ciphertext) for size in (low, (low + high) // 2, high)}
    assert len(lengths) == 1
    assert len(world.ask(bytes(high + 1)).envelope.ciphertext) not in lengths


def test_the_header_says_what_was_asked_for_and_nothing_else(world: World) -> None:
    sealed = world.ask(b"secret", purpose=vocabulary.PURPOSE_AUDIT)
    header = wire.Header.FromString(sealed.envelope.header)
    assert (header.version, header.suite, header.kind) == (1, wire.SUITE_XWING_ED25519, QUESTION)
    assert (header.sender, header.recipient) == (world.a.member_id, world.b.member_id)
    assert header.purpose == vocabulary.PURPOSE_AUDIT
    assert header.signing_key_id == world.a.signing.key_id
    assert header.encryption_key_id == world.b.decryption.key_id
    assert (header.issued_at_ms, header.expires_at_ms) == (NOW_MS, NOW_MS + LIFETIME_MS)
    assert header.answers_to == b""
    assert sealed.digest not in sealed.envelope.SerializeToString()


def test_neither_side_prints_the_content(world: World) -> None:
    sealed = world.ask(b"PERSONAL")
    opened = world.open_at_b(sealed.envelope)
    for text in (repr(sealed), repr(opened), str(opened), repr(world.a.own)):
        assert "PERSONAL" not in text
        assert sealed.digest.hex() not in text
        assert repr(sealed.digest) not in text


def test_a_third_member_cannot_open_it(world: World) -> None:
    envelope = world.ask().envelope
    with refused("WRONG_RECIPIENT", "header.recipient"):
        open_question(envelope, world.c.own, world.ring, now_ms=NOW_MS)


def test_a_third_member_who_claims_to_be_the_recipient_cannot_open_it(world: World) -> None:
    posing = OwnKeys(world.b.member_id, world.c.signing, {world.b.decryption.key_id: world.c.decryption})
    with refused("ENVELOPE_REJECTED", ""):
        open_question(world.ask().envelope, posing, world.ring, now_ms=NOW_MS)


def test_an_envelope_for_a_key_no_longer_held_is_not_for_this_gateway(world: World) -> None:
    newer = DecryptionKey.from_seed(seed("newer"))
    with refused("WRONG_RECIPIENT", "header.encryption_key_id"):
        open_question(
            world.ask().envelope, OwnKeys.of(world.b.member_id, world.b.signing, newer), world.ring, now_ms=NOW_MS
        )


def test_older_keys_still_open_what_was_sealed_to_them_while_they_were_valid(world: World) -> None:
    older = DecryptionKey.from_seed(seed(f"{world.b.member_id} decryption "), not_after_ms=NOW_MS)
    assert older.key_id == world.b.decryption.key_id
    own = OwnKeys.of(world.b.member_id, world.b.signing, DecryptionKey.from_seed(seed("newer")), older)
    in_time, late = world.ask(), world.ask(now_ms=NOW_MS + 1)
    assert open_question(in_time.envelope, own, world.ring, now_ms=NOW_MS + 1000).payloads
    with refused("WRONG_RECIPIENT", "header.encryption_key_id"):
        open_question(late.envelope, own, world.ring, now_ms=NOW_MS + 1000)


def test_the_directory_is_asked_for_the_key_of_the_time_of_issue(world: World) -> None:
    ring = Ring(world.a, world.b)
    open_question(world.ask().envelope, world.b.own, ring, now_ms=NOW_MS + 30_000)
    assert ring.asked_at == [NOW_MS]


def test_a_member_not_in_the_directory_is_a_stranger(world: World) -> None:
    with refused("STRANGER"):
        open_question(world.ask().envelope, world.b.own, Ring(world.b, world.c), now_ms=NOW_MS)


def test_the_sender_must_be_the_tls_peer(world: World) -> None:
    with refused("PEER_MISMATCH", "header.sender"):
        world.open_at_b(world.ask().envelope, expect_sender=world.c.member_id)


def test_a_signature_of_a_key_that_the_directory_does_not_have_is_rejected(world: World) -> None:
    forger = Party(world.a.member_id, "forged")
    stolen_id = dataclasses.replace(forger.signing, key_id=world.a.signing.key_id)
    forged = seal(
        OwnKeys.of(world.a.member_id, stolen_id, forger.decryption),
        world.b.member_id,
        world.b.encryption_key,
        kind=QUESTION,
        purpose=PURPOSE,
        payloads=[b"x"],
        now_ms=NOW_MS,
        lifetime_ms=LIFETIME_MS,
    )
    with refused("ENVELOPE_REJECTED", ""):
        world.open_at_b(forged.envelope)


def test_an_envelope_sent_back_to_its_sender_is_refused(world: World) -> None:
    asked = world.ask()
    with refused("WRONG_RECIPIENT", "header.recipient"):
        open_question(asked.envelope, world.a.own, world.ring, now_ms=NOW_MS)
    with refused("ENVELOPE_UNSUPPORTED", "header.kind"):
        world.open_at_a(asked.envelope, asked)


def test_a_question_is_no_answer_and_an_answer_no_question(world: World) -> None:
    asked = world.ask()
    answered = world.answer(world.open_at_b(asked.envelope))
    question_from_b = seal(
        world.b.own,
        world.a.member_id,
        world.a.encryption_key,
        kind=QUESTION,
        purpose=PURPOSE,
        payloads=[b"x"],
        now_ms=NOW_MS,
        lifetime_ms=LIFETIME_MS,
    )
    with refused("ENVELOPE_UNSUPPORTED", "header.kind"):
        world.open_at_a(question_from_b.envelope, asked)
    with refused("ENVELOPE_UNSUPPORTED", "header.kind"):
        open_question(answered.envelope, world.a.own, world.ring, now_ms=NOW_MS)


def test_the_answer_to_another_question_is_rejected(world: World) -> None:
    first, second = world.ask(b"first"), world.ask(b"second")
    answer = world.answer(world.open_at_b(first.envelope))
    with refused("ENVELOPE_REJECTED", "header.answers_to"):
        world.open_at_a(answer.envelope, second)


def test_an_answer_to_a_question_with_the_same_id_but_other_content_is_rejected(world: World) -> None:
    asked = world.ask(b"first")
    answer = world.answer(world.open_at_b(asked.envelope))
    other_content = asked._replace(digest=world.ask(b"second").digest)
    with refused("ENVELOPE_REJECTED", ""):
        world.open_at_a(answer.envelope, other_content)


def test_an_answer_for_another_purpose_is_rejected(world: World) -> None:
    asked = world.ask()
    answer = world.answer(world.open_at_b(asked.envelope))
    header = wire.Header()
    header.CopyFrom(asked.header)
    header.purpose = vocabulary.PURPOSE_AUDIT
    with refused("ENVELOPE_REJECTED", "header.purpose"):
        world.open_at_a(answer.envelope, asked._replace(header=header))


def test_an_answer_of_somebody_who_was_not_asked_is_refused(world: World) -> None:
    asked = world.ask()
    received = world.open_at_b(asked.envelope)
    by_c = seal(
        world.c.own,
        world.a.member_id,
        world.a.encryption_key,
        kind=ANSWER,
        purpose=PURPOSE,
        payloads=[b"alive"],
        now_ms=NOW_MS,
        lifetime_ms=LIFETIME_MS,
        question=received,
    )
    with refused("PEER_MISMATCH", "header.sender"):
        world.open_at_a(by_c.envelope, asked)


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"kind": ANSWER}, "ENVELOPE_MALFORMED", "header.kind"),
        ({"kind": 0}, "ENVELOPE_MALFORMED", "header.kind"),
        ({"kind": 9}, "ENVELOPE_MALFORMED", "header.kind"),
        ({"purpose": 0}, "ENVELOPE_MALFORMED", "header.purpose"),
        ({"purpose": 99}, "ENVELOPE_MALFORMED", "header.purpose"),
        ({"lifetime_ms": 0}, "ENVELOPE_MALFORMED", "header.expires_at_ms"),
        ({"lifetime_ms": 300_001}, "ENVELOPE_MALFORMED", "header.expires_at_ms"),
        ({"payloads": [bytes(101)], "limits": Limits(max_payload_bytes=100)}, "TOO_LARGE", "payload"),
    ],
)
def test_what_nobody_would_accept_is_not_sealed(
    world: World, changes: dict[str, object], code: str, field: str
) -> None:
    with refused(code, field):
        world.ask(**changes)


@pytest.mark.parametrize("recipient", ["", "11330000MB1A00001A", "11340000mb1b00002b", "11340000MB1B00002"])
def test_nothing_is_sealed_for_who_is_no_other_member(world: World, recipient: str) -> None:
    with refused("ENVELOPE_MALFORMED", "header.recipient"):
        seal(
            world.a.own,
            recipient,
            world.b.encryption_key,
            kind=QUESTION,
            purpose=PURPOSE,
            payloads=[b""],
            now_ms=NOW_MS,
            lifetime_ms=LIFETIME_MS,
        )


def test_an_answer_goes_to_who_asked_and_for_the_purpose_asked(world: World) -> None:
    received = world.open_at_b(world.ask().envelope)
    with refused("ENVELOPE_MALFORMED", "header.recipient"):
        world.answer(received, purpose=vocabulary.PURPOSE_AUDIT)
    with refused("ENVELOPE_MALFORMED", "header.recipient"):
        seal(
            world.b.own,
            world.c.member_id,
            world.c.encryption_key,
            kind=ANSWER,
            purpose=PURPOSE,
            payloads=[b""],
            now_ms=NOW_MS,
            lifetime_ms=LIFETIME_MS,
            question=received,
        )


def test_keys_of_another_suite_neither_seal_nor_open(world: World) -> None:
    class National(XWingEd25519):
        """A suite that is the same in all but being another one."""

    national = National()
    key = EncryptionKey.from_raw(world.b.decryption.public_raw, suite=national)
    with refused("ENVELOPE_UNSUPPORTED", "header.suite"):
        seal(
            world.a.own,
            world.b.member_id,
            key,
            kind=QUESTION,
            purpose=PURPOSE,
            payloads=[b""],
            now_ms=NOW_MS,
            lifetime_ms=LIFETIME_MS,
        )
    own = OwnKeys.of(
        world.b.member_id,
        world.b.signing,
        DecryptionKey.from_seed(seed(f"{world.b.member_id} decryption "), suite=national),
    )
    with refused("ENVELOPE_UNSUPPORTED", "header.suite"):
        open_question(world.ask().envelope, own, world.ring, now_ms=NOW_MS)


def test_a_message_can_be_proved_to_others_years_later(world: World) -> None:
    asked = world.ask()
    received = world.open_at_b(asked.envelope)
    answer = world.open_at_a(world.answer(received).envelope, asked)
    (proof,) = answer.proofs()
    header = verify_proof(proof, world.b.verify_key)
    assert (header.sender, header.recipient) == (world.b.member_id, world.a.member_id)


def test_a_proof_holds_for_nothing_but_the_message_itself(world: World) -> None:
    (proof,) = world.open_at_b(world.ask(b"alive").envelope).proofs()
    key = world.a.verify_key
    digest = proof.question_digest
    wrong: list[dict[str, Any]] = [
        {"payload": b"aliv"},
        {"salt": bytes(16)},
        {"salt": proof.salt[:-1], "payload": proof.salt[-1:] + proof.payload},
        {"question_digest": bytes([1]) + digest[1:]},
        {"question_digest": digest[:-1]},
        {"header": world.ask(b"alive").envelope.header},
        {"signature": bytes(64)},
        {"signature": b""},
        {"total": 2},
        {"total": 2, "path": bytes(32)},
        {"total": 257},
        {"position": 1},
        {"position": -1},
        {"path": bytes(32)},
        {"path": b"x"},
    ]
    for change in wrong:
        with refused("ENVELOPE_REJECTED"):
            verify_proof(proof._replace(**change), key)
    with refused("ENVELOPE_MALFORMED", "header.signing_key_id"):
        verify_proof(proof, world.b.verify_key)


@pytest.mark.parametrize("total", [1, 2, 3, 7, 256])
def test_each_of_several_answers_can_be_proved_without_showing_the_others(world: World, total: int) -> None:
    questions = [f"who is {number}?".encode() for number in range(total)]
    answers = [f"nobody called {number}.".encode() for number in range(total)]
    asked = world.ask(payloads=questions)
    received = world.open_at_b(asked.envelope)
    assert received.payloads == tuple(questions)
    returned = world.open_at_a(world.answer(received, payloads=answers).envelope, asked)
    assert returned.payloads == tuple(answers)
    for position, proof in enumerate(returned.proofs()):
        verify_proof(proof, world.b.verify_key)
        shown = b"".join(part for part in proof if isinstance(part, bytes))
        assert [other for other in answers if other in shown] == [answers[position]]
        with refused("ENVELOPE_REJECTED"):
            verify_proof(proof._replace(position=(position + 1) % total if total > 1 else 1), world.b.verify_key)


@pytest.mark.parametrize("total", [0, 257])
def test_a_message_has_a_bounded_number_of_parts(world: World, total: int) -> None:
    with refused("ENVELOPE_MALFORMED", "payload"):
        world.ask(payloads=[b"x"] * total)


def test_every_question_has_one_answer(world: World) -> None:
    asked = world.ask(payloads=[b"one", b"two"])
    received = world.open_at_b(asked.envelope)
    for payloads in ([b"one"], [b"one", b"two", b"three"]):
        with refused("ENVELOPE_MALFORMED", "payload"):
            world.answer(received, payloads=payloads)
    short = world.answer(received._replace(parts=frame.salted([b"one"])), payloads=[b"one"])
    with refused("ENVELOPE_REJECTED"):
        world.open_at_a(short.envelope, asked)
