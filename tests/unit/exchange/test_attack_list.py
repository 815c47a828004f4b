"""The attacks on an envelope that docs/threat-model.md lists, each with the defences that stop it switched off.

Of each attack three things are shown: it is refused; each of its defences alone is enough to refuse it; and with all of
them off it succeeds, so that the attack is one and the test would notice a defence that is gone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest

from gateway.errors import EnvelopeError
from gateway.exchange import envelope as product
from gateway.exchange import suites
from gateway.exchange.suites import XWingEd25519
from tests.mutants import Change, without
from tests.unit.exchange.exchange_world import ANSWER, LIFETIME_MS, NOW_MS, PURPOSE, QUESTION, Party, World
from wugan.federation.v1 import envelope_pb2 as wire

WORLD = World()
Defence = tuple[Change, ...]

RECIPIENT: Defence = (("if header.recipient != own.member_id:", "if False:"),)
RECIPIENT_KEY: Defence = (
    (
        "own_key = own.decryption.get(header.encryption_key_id)",
        "own_key = own.decryption.get(header.encryption_key_id) or next(iter(own.decryption.values()))",
    ),
)
PEER: Defence = (("if expect_sender is not None and header.sender != expect_sender:", "if False:"),)
SIGNATURE: Defence = (("verify_key.verify(unpacked.signature, signed)", "pass"),)
HEADER_SIGNED: Defence = (
    ("frame.signed_bytes(header_bytes, question_digest,", 'frame.signed_bytes(b"", question_digest,'),
    ("frame.signed_bytes(header_bytes, unpacked.question_digest,", 'frame.signed_bytes(b"", unpacked.question_digest,'),
)
HEADER_IS_INFO: Defence = (
    (
        "frame.pack(signature, question_digest, parts), header_bytes)",
        'frame.pack(signature, question_digest, parts), b"")',
    ),
    ("own_key.decrypt(ciphertext, header_bytes)", 'own_key.decrypt(ciphertext, b"")'),
)
SUITE_PINNED: Defence = (("if own_key.suite is not suite or verify_key.suite is not suite:", "if False:"),)
NAMES_QUESTION: Defence = (("if header.answers_to != question.message_id:", "if False:"),)
CARRIES_DIGEST: Defence = (("if not hmac.compare_digest(opened.question_digest, question.digest):", "if False:"),)


def ask(module: ModuleType, payload: bytes, sender: Party = WORLD.a) -> Any:
    """A question to B, as the module seals it."""
    return module.seal(
        sender.own,
        WORLD.b.member_id,
        WORLD.b.encryption_key,
        kind=QUESTION,
        purpose=PURPOSE,
        payloads=[payload],
        now_ms=NOW_MS,
        lifetime_ms=LIFETIME_MS,
    )


def receive(module: ModuleType, envelope: wire.Envelope, at: Party, peer: Party) -> Any:
    """What a member makes of a question that came over another's connection."""
    return module.open_question(envelope, at.own, WORLD.ring, now_ms=NOW_MS, expect_sender=peer.member_id)


def replies(module: ModuleType, question: Any) -> Any:
    """B's answer to a question as opened."""
    return module.seal(
        WORLD.b.own,
        WORLD.a.member_id,
        WORLD.a.encryption_key,
        kind=ANSWER,
        purpose=PURPOSE,
        payloads=[b"alive"],
        now_ms=NOW_MS,
        lifetime_ms=LIFETIME_MS,
        question=question,
    )


def reflection(module: ModuleType) -> Any:
    """B sends A's own question back to A, encrypted anew, as if B had asked it."""
    sent = ask(module, b"who is this").envelope
    plain = WORLD.b.decryption.decrypt(sent.ciphertext, sent.header)
    back = wire.Envelope(header=sent.header, ciphertext=WORLD.a.encryption_key.encrypt(plain, sent.header))
    return receive(module, back, WORLD.a, WORLD.b)


def swap(module: ModuleType) -> Any:
    """Somebody on the way puts the header of one message before the ciphertext of another."""
    one, other = ask(module, b"who is this").envelope, ask(module, b"who is that").envelope
    mixed = wire.Envelope(header=other.header, ciphertext=one.ciphertext)
    return receive(module, mixed, WORLD.b, WORLD.a)


def forwarding(module: ModuleType) -> Any:
    """B passes A's signed question on to C under a header of its own, as if A had asked C."""
    sent = ask(module, b"who is this").envelope
    plain = WORLD.b.decryption.decrypt(sent.ciphertext, sent.header)
    header = wire.Header.FromString(sent.header)
    header.recipient, header.encryption_key_id = WORLD.c.member_id, WORLD.c.encryption_key.key_id
    changed = header.SerializeToString()
    passed = wire.Envelope(header=changed, ciphertext=WORLD.c.encryption_key.encrypt(plain, changed))
    return receive(module, passed, WORLD.c, WORLD.b)


def wrong_member(module: ModuleType) -> Any:
    """C, a member with a certificate of its own, delivers what A's stolen signing key has signed."""
    return receive(module, ask(module, b"who is this").envelope, WORLD.b, WORLD.c)


def forgery(module: ModuleType) -> Any:
    """Whoever sits on A's connection signs with a key of its own under the id of A's."""
    thief = Party(WORLD.a.member_id, salt="thief")
    header_of = ask(module, b"x").header
    object.__setattr__(thief.own.signing, "key_id", header_of.signing_key_id)
    return receive(module, ask(module, b"who is this", thief).envelope, WORLD.b, WORLD.a)


def downgrade(module: ModuleType) -> Any:
    """A is talked into naming a weaker suite than the one its keys are pinned to."""

    class Weak(XWingEd25519):
        """Nobody's suite."""

        id = 9  # type: ignore[assignment]

    weak = Weak()
    sender = Party(WORLD.a.member_id)
    object.__setattr__(sender.own.signing, "suite", weak)
    key = Party(WORLD.b.member_id).encryption_key
    object.__setattr__(key, "suite", weak)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "read", reading(weak))
        sealed = module.seal(
            sender.own,
            WORLD.b.member_id,
            key,
            kind=QUESTION,
            purpose=PURPOSE,
            payloads=[b"who is this"],
            now_ms=NOW_MS,
            lifetime_ms=LIFETIME_MS,
        )
        return receive(module, sealed.envelope, WORLD.b, WORLD.a)


def reading(weak: suites.Suite) -> Callable[[bytes], tuple[wire.Header, suites.Suite]]:
    """A reader of headers that believes the suite they name to be in force."""
    return lambda header: (wire.Header.FromString(header), weak)


def old_answer(module: ModuleType) -> Any:
    """B, or whoever recorded it, gives yesterday's answer to today's question."""
    before, now = ask(module, b"who is this"), ask(module, b"who is this")
    answer = replies(module, receive(module, before.envelope, WORLD.b, WORLD.a))
    return module.open_answer(answer.envelope, WORLD.a.own, WORLD.ring, question=now, now_ms=NOW_MS)


@dataclass(frozen=True)
class Attack:
    """What is tried, and what stops it; `outcome` is what is opened when nothing does."""

    run: Callable[[ModuleType], Any]
    defences: dict[str, Defence]
    outcome: bytes = b"who is this"


ATTACKS = {
    "reflection": Attack(reflection, {"recipient": RECIPIENT, "recipient's key": RECIPIENT_KEY, "peer": PEER}),
    "swap": Attack(swap, {"header signed": HEADER_SIGNED, "header is info": HEADER_IS_INFO}),
    "surreptitious forwarding": Attack(forwarding, {"header signed": HEADER_SIGNED, "peer": PEER}),
    "certificate of the wrong member": Attack(wrong_member, {"peer": PEER}),
    "forgery": Attack(forgery, {"signature": SIGNATURE}),
    "downgrade": Attack(downgrade, {"suite pinned to the key": SUITE_PINNED}),
    "old answer": Attack(
        old_answer, {"names its question": NAMES_QUESTION, "carries its digest": CARRIES_DIGEST}, b"alive"
    ),
}


def module_without(*defences: Defence) -> ModuleType:
    return without(product, [change for defence in defences for change in defence])


@pytest.mark.parametrize("name", ATTACKS)
def test_the_attack_is_refused(name: str) -> None:
    with pytest.raises(EnvelopeError):
        ATTACKS[name].run(product)


@pytest.mark.parametrize(("name", "defence"), [(name, each) for name in ATTACKS for each in ATTACKS[name].defences])
def test_each_defence_alone_refuses_it(name: str, defence: str) -> None:
    attack = ATTACKS[name]
    others = [off for each, off in attack.defences.items() if each != defence]
    with pytest.raises(EnvelopeError):
        attack.run(module_without(*others))


@pytest.mark.parametrize("name", ATTACKS)
def test_with_its_defences_off_the_attack_succeeds(name: str) -> None:
    attack = ATTACKS[name]
    opened = attack.run(module_without(*attack.defences.values()))
    assert opened.payloads == (attack.outcome,)
