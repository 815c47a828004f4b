"""Write tests/vectors/envelope/: run it from the top of the checkout as `python -m tests.vectors.generate`.

Builds every envelope from docs/protocol.md with `cryptography` alone, without `gateway.exchange`, so that the vectors
prove the gateway and not the other way round. Keys, ids, times and signatures are the same at every run; HPKE draws a
fresh encapsulated key each time, so the ciphertexts differ from run to run and those recorded are the vectors.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from wugan.federation.v1 import envelope_pb2 as wire

NOW_MS = 1_795_000_000_000
HERE = Path(__file__).parent / "envelope"
HPKE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
TAG = b"wugan-signature-v1\0"
NO_QUESTION = bytes(32)


def drawn(label: str, size: int = 32) -> bytes:
    """Fixed bytes that look random."""
    return hashlib.shake_256(b"wugan test vectors: " + label.encode()).digest(size)


def uuid7(label: str, at_ms: int) -> bytes:
    raw = bytearray(at_ms.to_bytes(6, "big") + drawn(label, 10))
    raw[6] = 0x70 | raw[6] & 0x0F
    raw[8] = 0x80 | raw[8] & 0x3F
    return bytes(raw)


class Party:
    """A member with one signing and one decryption key."""

    def __init__(self, name: str, member_id: str) -> None:
        self.name, self.member_id = name, member_id
        self.signing_seed, self.decryption_seed = drawn(f"{name} signing"), drawn(f"{name} decryption")
        self.signing = Ed25519PrivateKey.from_private_bytes(self.signing_seed)
        stretched = hashlib.shake_256(self.decryption_seed).digest(96)
        mlkem = MLKEM768PrivateKey.from_seed_bytes(stretched[:64])
        x25519 = X25519PrivateKey.from_private_bytes(stretched[64:])
        self.encryption = hpke.MLKEM768X25519PrivateKey(mlkem, x25519).public_key()
        self.signing_public = self.signing.public_key().public_bytes_raw()
        self.encryption_public = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
        self.signing_id = hashlib.sha256(self.signing_public).hexdigest()[:32]
        self.encryption_id = hashlib.sha256(self.encryption_public).hexdigest()[:32]

    def keys(self) -> dict[str, str]:
        return {
            "member_id": self.member_id,
            "signing_seed": self.signing_seed.hex(),
            "signing_public": self.signing_public.hex(),
            "signing_key_id": self.signing_id,
            "decryption_seed": self.decryption_seed.hex(),
            "encryption_public": self.encryption_public.hex(),
            "encryption_key_id": self.encryption_id,
        }


A = Party("a", "11330000MB1A00001A")
B = Party("b", "11340000MB1B00002B")
STRANGER = Party("stranger", "11350000MB1C00003C")


def bucket(size: int) -> int:
    if size > 65_536:
        return (size + 65_535) // 65_536 * 65_536
    padded = 1024
    while padded < size:
        padded *= 2
    return padded


def u32(number: int) -> bytes:
    return number.to_bytes(4, "big")


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def tree_head(leaves: list[bytes]) -> bytes:
    """MTH of RFC 9162 section 2.1.1, over hashes of leaves."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\1" + tree_head(leaves[:split]) + tree_head(leaves[split:]))


@dataclass
class Message:
    """One envelope in the making; the callables are where a must-fail vector departs from the protocol."""

    name: str
    note: str
    payload: bytes = b"\x0a\x04test"
    more: tuple[bytes, ...] = ()
    sender: Party = A
    receiver: Party = B
    fields: dict[str, Any] = field(default_factory=dict)
    question: Message | None = None
    kind: int = 0
    question_digest: bytes | None = None
    signer: Party | None = None
    length: int | None = None
    count: int | None = None
    encode: Callable[[bytes], bytes] = bytes
    to_sign: Callable[[bytes], bytes] = bytes
    pad: Callable[[bytes], bytes] = lambda frame: frame + bytes(bucket(len(frame)) - len(frame))
    info: Callable[[bytes], bytes] = bytes
    sealed: Callable[[bytes], bytes] = bytes
    received_header: Callable[[bytes], bytes] = bytes

    def __post_init__(self) -> None:
        issued = self.fields.get("issued_at_ms", NOW_MS)
        fields: dict[str, Any] = {
            "version": 1,
            "suite": 1,
            "message_id": uuid7(self.name, issued),
            "kind": self.kind or (2 if self.question else 1),
            "sender": self.sender.member_id,
            "recipient": self.receiver.member_id,
            "purpose": self.question.header.purpose if self.question else 1,
            "signing_key_id": self.sender.signing_id,
            "encryption_key_id": self.receiver.encryption_id,
            "issued_at_ms": issued,
            "expires_at_ms": issued + 60_000,
            "answers_to": self.question.header.message_id if self.question else b"",
        }
        self.header = wire.Header(**(fields | self.fields))
        self.header_bytes = self.encode(self.header.SerializeToString())
        digest = self.question_digest
        if digest is None:
            digest = self.question.digest if self.question else NO_QUESTION
        self.used_digest = digest
        self.payloads = (self.payload, *self.more)
        salts = [drawn(f"{self.name} salt {position}", 16) for position in range(len(self.payloads))]
        count = len(self.payloads) if self.count is None else self.count
        parts = u32(count)
        for salt, payload in zip(salts, self.payloads, strict=True):
            length = len(payload) if self.length is None else self.length
            parts += salt + u32(length) + payload
        leaves = [sha256(b"\0" + salt + payload) for salt, payload in zip(salts, self.payloads, strict=True)]
        self.signed = TAG + u32(len(self.header_bytes)) + self.header_bytes + digest + u32(count) + tree_head(leaves)
        self.signature = (self.signer or self.sender).signing.sign(self.to_sign(self.signed))
        self.digest = hashlib.sha256(self.signed).digest()
        frame = self.pad(self.signature + digest + parts)
        self.ciphertext = self.sealed(HPKE.encrypt(frame, self.receiver.encryption, self.info(self.header_bytes)))

    def vector(
        self,
        reason: str | None = None,
        part: str = "",
        *,
        now_ms: int = NOW_MS,
        at: Party | None = None,
        peer: Party | None = None,
        asked: Message | None = None,
        as_question: bool = False,
        expect: str = "",
    ) -> dict[str, Any]:
        question = asked or self.question
        expected = (
            {"refused": reason, "field": part}
            if reason
            else {
                "payloads": [payload.hex() for payload in self.payloads],
                "question_digest": self.used_digest.hex(),
                "digest": self.digest.hex(),
                "signature": self.signature.hex(),
            }
        )
        remembered = (
            {
                "message_id": question.header.message_id.hex(),
                "digest": question.digest.hex(),
                "recipient": question.header.recipient,
                "purpose": question.header.purpose,
                "parts": len(question.payloads),
            }
            if question and not as_question
            else None
        )
        if not expect and remembered is not None and question is not None:
            expect = "receipt" if question.header.kind == 3 else "answer"
        elif not expect:
            expect = "delivery" if self.header.kind == 3 else "question"
        return {
            "name": self.name,
            "note": self.note,
            "receiver": (at or self.receiver).name,
            "now_ms": now_ms,
            "peer": (peer or self.sender).member_id,
            "kind": expect,
            "question": remembered,
            "header": self.received_header(self.header_bytes).hex(),
            "ciphertext": self.ciphertext.hex(),
            "expected": expected,
        }


def flipped(position: int, mask: int = 1) -> Callable[[bytes], bytes]:
    def flip(data: bytes) -> bytes:
        changed = bytearray(data)
        changed[position] ^= mask
        return bytes(changed)

    return flip


QUESTION = Message("question", "A asks B; the worked example of docs/protocol.md.")
OTHER = Message("other question", "A asks B something else.", payload=b"\x0a\x05other")
THREE = Message("three questions", "Three questions in one envelope.", payload=b"1", more=(b"22", b"333"))


DELIVERY = Message("delivery", "A leaves two things with B.", payload=b"left", more=(b"also",), kind=3)


def receipt(name: str, note: str, **changes: Any) -> Message:
    plain = {"sender": B, "receiver": A, "question": DELIVERY, "payload": b"got it", "more": (b"and that",), "kind": 4}
    return Message(name, note, **(plain | changes))


def answer(name: str, note: str, **changes: Any) -> Message:
    return Message(name, note, **({"sender": B, "receiver": A, "question": QUESTION} | changes))


def accepted() -> list[dict[str, Any]]:
    late = NOW_MS + 60_000 + 120_000
    return [
        QUESTION.vector(),
        answer("answer", "B answers it.").vector(),
        Message("empty payload", "Nothing but the frame.", payload=b"").vector(),
        Message("full bucket", "904 bytes fill the first bucket without padding.", payload=drawn("full", 904)).vector(),
        Message("second bucket", "One byte more needs the second.", payload=drawn("second", 905)).vector(),
        THREE.vector(),
        DELIVERY.vector(),
        receipt("receipt", "B receipts both.").vector(),
        answer("three answers", "One for each.", question=THREE, payload=b"x", more=(b"", b"z" * 500)).vector(),
        Message("most parts", "256 of them.", payload=b"p", more=tuple(bytes([n]) for n in range(255))).vector(),
        Message("last millisecond", "Expired by exactly the skew.").vector(now_ms=late),
        Message("first millisecond", "From the future by exactly the skew.").vector(now_ms=NOW_MS - 120_000),
        Message("longest life", "300 seconds.", fields={"expires_at_ms": NOW_MS + 300_000}).vector(),
        Message(
            "field order",
            "Header fields in another order: signed and opened as received.",
            encode=lambda header: header[2:] + header[:2],
        ).vector(),
    ]


def refused_header() -> list[dict[str, Any]]:
    malformed, unsupported = "ENVELOPE_MALFORMED", "ENVELOPE_UNSUPPORTED"
    by_field: list[tuple[str, dict[str, Any], str, str]] = [
        ("version 2", {"version": 2}, unsupported, "header.version"),
        ("version 0", {"version": 0}, unsupported, "header.version"),
        ("suite 2", {"suite": 2}, unsupported, "header.suite"),
        ("unknown suite", {"suite": 9}, unsupported, "header.suite"),
        ("unknown kind", {"kind": 9}, unsupported, "header.kind"),
        ("UUIDv4", {"message_id": bytes.fromhex("01a1ee565e004e9ea36349227600c0e2")}, malformed, "header.message_id"),
        ("id of another time", {"message_id": uuid7("t", NOW_MS - 1)}, malformed, "header.message_id"),
        ("short id", {"message_id": uuid7("t", NOW_MS)[:15]}, malformed, "header.message_id"),
        ("delivery that answers", {"kind": 3, "answers_to": uuid7("q", NOW_MS)}, malformed, "header.answers_to"),
        ("receipt that answers nothing", {"kind": 4}, malformed, "header.answers_to"),
        ("question that answers", {"answers_to": uuid7("q", NOW_MS)}, malformed, "header.answers_to"),
        ("lower-case sender", {"sender": A.member_id.lower()}, malformed, "header.sender"),
        ("short recipient", {"recipient": B.member_id[:-1]}, malformed, "header.recipient"),
        ("to itself", {"recipient": A.member_id}, malformed, "header.recipient"),
        ("no purpose", {"purpose": 0}, malformed, "header.purpose"),
        ("unknown purpose", {"purpose": 6}, malformed, "header.purpose"),
        ("upper-case key id", {"signing_key_id": A.signing_id.upper()}, malformed, "header.signing_key_id"),
        ("no key id", {"encryption_key_id": ""}, malformed, "header.encryption_key_id"),
        ("no life", {"expires_at_ms": NOW_MS}, malformed, "header.expires_at_ms"),
        ("too long a life", {"expires_at_ms": NOW_MS + 300_001}, malformed, "header.expires_at_ms"),
        ("other encryption key", {"encryption_key_id": A.encryption_id}, "WRONG_RECIPIENT", "header.encryption_key_id"),
        ("unknown signing key", {"signing_key_id": STRANGER.signing_id}, "STRANGER", "header.signing_key_id"),
    ]
    by_encoding: list[tuple[str, Callable[[bytes], bytes]]] = [
        ("unknown field", lambda header: header + b"\x68\x01"),
        ("repeated field", lambda header: b"\x08\x02" + header),
        ("padded varint", lambda header: b"\x08\x81\x00" + header[2:]),
        ("default written out", lambda header: header + b"\x62\x00"),
        ("wrong wire type", lambda header: b"\x0a\x01\x01" + header[2:]),
        ("header too long", lambda header: header + b"\x6a\xe0\x07" + bytes(992)),
        ("no header", lambda header: b""),
    ]
    return [
        *(Message(n, "Header field, genuinely signed.", fields=f).vector(r, p) for n, f, r, p in by_field),
        *(
            Message(n, "Header encoding, genuinely signed.", encode=e).vector(malformed, "header")
            for n, e in by_encoding
        ),
    ]


def refused_address() -> list[dict[str, Any]]:
    late = NOW_MS + 60_000 + 120_001
    return [
        Message("expired", "One millisecond over.").vector("ENVELOPE_EXPIRED", "header.expires_at_ms", now_ms=late),
        Message("future", "One millisecond early.").vector(
            "ENVELOPE_EXPIRED", "header.issued_at_ms", now_ms=NOW_MS - 120_001
        ),
        Message("wrong recipient", "For B, delivered to A.", sender=STRANGER).vector(
            "WRONG_RECIPIENT", "header.recipient", at=A
        ),
        Message("reflected", "A's own question, sent back to it.").vector("WRONG_RECIPIENT", "header.recipient", at=A),
        Message("other peer", "Handed over by someone else than its sender.").vector(
            "PEER_MISMATCH", "header.sender", peer=STRANGER
        ),
        Message("stranger", "A sender that is not in the directory.", sender=STRANGER).vector(
            "STRANGER", "header.sender"
        ),
        answer("answer as question", "Offered where a question is expected.").vector(
            "ENVELOPE_UNSUPPORTED", "header.kind", as_question=True
        ),
        Message("question as answer", "Offered where an answer is expected.", sender=B, receiver=A).vector(
            "ENVELOPE_UNSUPPORTED", "header.kind", asked=QUESTION
        ),
        Message("delivery as question", "A kind of its own.", kind=3).vector(
            "ENVELOPE_UNSUPPORTED", "header.kind", expect="question"
        ),
        Message("question as delivery", "And the other way round.").vector(
            "ENVELOPE_UNSUPPORTED", "header.kind", expect="delivery"
        ),
        receipt("receipt as answer", "A receipt answers deliveries only.").vector(
            "ENVELOPE_UNSUPPORTED", "header.kind", expect="answer"
        ),
        answer("answer to another", "Names another question.").vector(
            "ENVELOPE_REJECTED", "header.answers_to", asked=OTHER
        ),
        answer("answer for another purpose", "Purpose of the question changed.", fields={"purpose": 5}).vector(
            "ENVELOPE_REJECTED", "header.purpose"
        ),
    ]


def refused_content() -> list[dict[str, Any]]:
    second = Message("second", "Same keys, another message.")
    cut = [
        ("no ciphertext", lambda sealed: b""),
        ("ciphertext cut short", lambda sealed: sealed[:-1]),
        ("ciphertext with a byte more", lambda sealed: sealed + b"\0"),
    ]
    rejected = [
        Message("flipped ML-KEM part", "First byte of the encapsulated key.", sealed=flipped(0)),
        Message(
            "flipped X25519 part",
            "Highest bit of the X25519 key, which X25519 itself ignores.",
            sealed=flipped(1119, 0x80),
        ),
        Message("flipped ciphertext", "First byte behind the encapsulated key.", sealed=flipped(1120)),
        Message("flipped tag", "Last byte.", sealed=flipped(-1)),
        Message(
            "flipped header", "Purpose changed from 1 to 3.", received_header=lambda h: h.replace(b"\x38\1", b"\x38\3")
        ),
        Message(
            "header of another message",
            "Both genuine, between the same members.",
            received_header=lambda header: second.header_bytes,
        ),
        Message("no info", "Sealed without the header as HPKE info.", info=lambda header: b""),
        Message("signed by another", "The header names A's key, the signature is of another.", signer=STRANGER),
        Message("signed without tag", "No domain separation.", to_sign=lambda signed: signed[len(TAG) :]),
        Message("signature over something else", "Not over this payload.", to_sign=lambda signed: signed + b"\0"),
        Message(
            "padding not zero",
            "Last byte of the padding is 1.",
            pad=lambda frame: frame + bytes(1023 - len(frame)) + b"\1",
        ),
        Message(
            "too much padding",
            "Second bucket where the first would do.",
            pad=lambda frame: frame + bytes(2048 - len(frame)),
        ),
        Message("length beyond the frame", "Payload length 65,536.", length=65_536),
        Message("no parts", "None at all.", count=0),
        Message("too many parts", "257 of them.", payload=b"p", more=(b"",) * 256),
        Message("more parts than there are", "The second would lie in the padding.", count=2),
        Message(
            "parts out of order",
            "Two parts that changed places after the signature.",
            payload=b"1",
            more=(b"2",),
            pad=lambda frame: frame[:100] + frame[121:142] + frame[100:121] + bytes(1024 - 142),
        ),
        answer("fewer answers than questions", "Two for three.", question=THREE, payload=b"x", more=(b"y",)),
        Message(
            "length beyond the payload",
            "Takes a zero of the padding for payload; in its bucket, but not signed so.",
            length=7,
        ),
        Message("question with a digest", "As if it answered something.", question_digest=drawn("digest")),
        answer("answer with no digest", "As if it answered nothing.", question_digest=NO_QUESTION),
        receipt("receipt with another digest", "Right id, other content.", question_digest=OTHER.digest),
        receipt("one receipt for two deliveries", "Each delivery has its own.", more=()),
        answer("answer with another digest", "Right id, other content.", question_digest=OTHER.digest),
    ]
    return [
        *(Message(n, "Length of the ciphertext.", sealed=c).vector("ENVELOPE_MALFORMED", "ciphertext") for n, c in cut),
        *(message.vector("ENVELOPE_REJECTED") for message in rejected),
    ]


def write(name: str, content: Any) -> None:
    (HERE / name).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    write("keys.json", {party.name: party.keys() for party in (A, B)})
    write("accepted.json", accepted())
    write("refused.json", refused_header() + refused_address() + refused_content())


if __name__ == "__main__":
    main()
