"""Sealing and opening of envelopes: everything between two gateways travels in one.

Owns: the order of checks, and what makes an envelope acceptable.
Refuses: I/O, clocks and policy. Whether the sender may ask this is decided by whoever holds the `Opened`; whether it
came before, by `gateway.exchange.replay`, which must be asked before anything is done with an opened question.

An envelope is accepted if, in this order,
 1. its header is well-formed and within its time (`gateway.exchange.header`) and of the kind expected;
 2. it is for this member, sealed to a key this member used when it was issued, and from whom it should be: the TLS
    peer, and for an answer the member that was asked, under the same purpose, naming the question's id;
 3. the directory knows the sender's signing key at the time of issue, and both keys are of the header's suite;
 4. its length is one that a frame within the size limit can have;
 5. it opens with the header bytes as received as HPKE `info`, and holds a frame in exactly the form that sealing makes;
 6. the signature over header bytes, question digest and the head of the tree over its parts verifies;
 7. the question digest is that of the very question sent, or all zeros in a question.

A message has one part or several: questions that share an envelope, or their answers. Each can be proved alone
(`Opened.proofs`), so that the agency that asked one question is never shown the others'.

Sign, then encrypt; recipient and both keys are under the signature, so an envelope cannot be re-sealed to somebody
else. The digest of a message never travels in clear: identity numbers can be guessed, so it would tell who is asked
about.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from gateway.exchange import frame, tree
from gateway.exchange.header import ANSWERING, KINDS, LIMITS, PURPOSES, VERSION, Limits, check_time, is_member_id, read
from gateway.exchange.keys import EncryptionKey, Keyring, OwnKeys, VerifyKey
from gateway.exchange.refusals import malformed, peer_mismatch, rejected, too_large, unsupported, wrong_recipient
from gateway.exchange.suites import DIGEST_BYTES, Suite, SuiteId
from gateway.exchange.uuid7 import Uuid7
from wugan.adapter.v1 import vocabulary_pb2 as vocabulary
from wugan.federation.v1 import envelope_pb2 as wire

Kind: TypeAlias = "wire.MessageKind.ValueType"
Purpose: TypeAlias = "vocabulary.Purpose.ValueType"

_ids: Final = Uuid7()


class Sealed(NamedTuple):
    """A message as sent. `digest` is what its answer must carry; with `signature` it is also the sender's own proof.

    Attributes:
        total: how many parts it has.
    """

    envelope: wire.Envelope
    header: wire.Header
    message_id: bytes
    digest: bytes
    signature: bytes
    total: int

    def __repr__(self) -> str:
        """Nothing of the content, whoever logs it."""
        return f"<Sealed {self.message_id.hex()}>"


class Proof(NamedTuple):
    """What proves to a third party that a member sent one part of a message, without showing the other parts.

    Attributes:
        header: the header's bytes, as received.
        question_digest: of the message this answers; zeros in a question.
        signature: over both, the number of parts and the head of their tree.
        payload: the part: a serialized Question or Answer.
        salt: its salt.
        position: its place among the parts, from 0.
        total: how many parts there are.
        path: from the part to the head of the tree (RFC 9162 section 2.1.3), hashes one after another, lowest first.
    """

    header: bytes
    question_digest: bytes
    signature: bytes
    payload: bytes
    salt: bytes
    position: int
    total: int
    path: bytes

    def __repr__(self) -> str:
        """Nothing of the content, whoever logs it."""
        return f"<Proof {self.position} of {self.total}>"


class Opened(NamedTuple):
    """A message as received, opened and verified.

    Attributes:
        header: the parsed header. For reading; `header_bytes` are what was signed.
        parts: its payloads, at least one.
        digest: identifies the whole message, header and parts. Treat it like the parts: it must not be logged.
        question_digest: of the message this answers; zeros in a question.
        signature: see `Proof`.
        acceptable_until_ms: after this (Unix ms) the same envelope is refused as expired; till then the replay guard
            must remember it.
    """

    header: wire.Header
    header_bytes: bytes
    parts: frame.Parts
    digest: bytes
    question_digest: bytes
    signature: bytes
    acceptable_until_ms: int

    @property
    def payloads(self) -> tuple[bytes, ...]:
        """Its payloads, at least one."""
        return self.parts.payloads

    def proofs(self) -> list[Proof]:
        """What proves each of its parts to a third party, in their order."""
        parts = self.parts
        count = len(parts.payloads)
        if count == 1:  # most often: there is no way to the head
            (payload,), (salt,) = parts.payloads, parts.salts
            return [Proof(self.header_bytes, self.question_digest, self.signature, payload, salt, 0, 1, b"")]
        ways = tree.paths(parts.leaves)
        return [
            Proof(self.header_bytes, self.question_digest, self.signature, payload, salt, position, count, way)
            for position, (payload, salt, way) in enumerate(zip(parts.payloads, parts.salts, ways, strict=True))
        ]

    def __repr__(self) -> str:
        """Nothing of the content, whoever logs it."""
        return f"<Opened {self.header.message_id.hex()}>"


def seal(
    own: OwnKeys,
    recipient_id: str,
    recipient_key: EncryptionKey,
    *,
    kind: Kind,
    purpose: Purpose,
    payloads: Sequence[bytes],
    now_ms: int,
    lifetime_ms: int,
    question: Opened | None = None,
    limits: Limits = LIMITS,
) -> Sealed:
    """Sign and seal a message.

    Args:
        own: who sends, and the key it signs with.
        recipient_id: member id of the recipient.
        recipient_key: the recipient's current key, from the directory.
        kind: QUESTION or DELIVERY; ANSWER or RECEIPT, which need `question`.
        purpose: why it is asked; an answer has the purpose of its question.
        payloads: serialized Questions or Deliveries, or an Answer or Receipt for each, in their order; 1 to 256.
        now_ms: time of issue, Unix milliseconds.
        lifetime_ms: how long it may be accepted, 1 to `limits.max_lifetime_ms`.
        question: for an answer, the question as opened, for a receipt, the delivery; its sender must be the recipient.
        limits: bounds on envelopes.

    Raises:
        EnvelopeError: TOO_LARGE if the payloads are, ENVELOPE_UNSUPPORTED if the keys are of two suites,
            ENVELOPE_MALFORMED for anything that no recipient would accept.
    """
    suite = own.signing.suite
    if recipient_key.suite is not suite:
        raise unsupported("header.suite", "the recipient's key is of another suite", "接收方密钥属于其他算法套件")
    count = len(payloads)
    if sum(map(len, payloads)) > limits.max_payload_bytes:
        raise too_large("payload", limits.max_payload_bytes)
    if not 0 < count <= frame.MAX_PARTS:
        most = frame.MAX_PARTS
        raise malformed("payload", f"a message has 1 to {most} parts", f"一条消息应含 1 至 {most} 个部分")
    if not 0 < lifetime_ms <= limits.max_lifetime_ms:
        raise malformed("header.expires_at_ms", "its life is not positive or too long", "有效期不为正或过长")
    way = (kind, own.member_id, recipient_id, purpose, own.signing.key_id, recipient_key.key_id)
    if question is None:
        header = wire.Header.FromString(_addressed(suite.id, None, *way))
        question_digest = frame.NO_QUESTION
    else:
        asked = question.header
        header = wire.Header.FromString(_addressed(suite.id, asked.kind, *way))
        if asked.sender != recipient_id or asked.purpose != purpose:
            raise malformed("header.recipient", "the answer does not fit its question", "答复与查询的成员或目的不一致")
        if count != len(question.parts.payloads):
            raise malformed("payload", "every question has one answer", "每个查询须恰有一个答复")
        header.answers_to, question_digest = asked.message_id, question.digest
    header.message_id = message_id = _ids.next(now_ms)
    header.issued_at_ms = now_ms
    header.expires_at_ms = now_ms + lifetime_ms
    header_bytes = header.SerializeToString()
    parts = frame.salted(payloads)
    to_sign = frame.signed_bytes(header_bytes, question_digest, count, tree.head(parts.leaves))
    signature = own.signing.sign(to_sign)
    ciphertext = recipient_key.encrypt(frame.pack(signature, question_digest, parts), header_bytes)
    envelope = wire.Envelope()
    envelope.header, envelope.ciphertext = header_bytes, ciphertext
    return Sealed(envelope, header, message_id, suite.digest(to_sign), signature, count)


@lru_cache(maxsize=1024)
def _addressed(
    suite_id: SuiteId,
    asked_kind: Kind | None,
    kind: Kind,
    sender: str,
    recipient: str,
    purpose: Purpose,
    signing_key_id: str,
    encryption_key_id: str,
) -> bytes:
    """What the headers of all messages of one kind and purpose between two keys have in common, encoded.

    Kept, with its checks: to make and check it for every message takes a twentieth of what its cryptography does.
    """
    if kind not in KINDS or ANSWERING.get(kind) != asked_kind:
        raise malformed("header.kind", "an answer, and only an answer, has a question", "仅答复须且必须对应查询")
    if purpose not in PURPOSES:
        raise malformed("header.purpose", "the purpose is unknown", "查询目的未知")
    if not is_member_id(recipient) or recipient == sender:
        raise malformed("header.recipient", "it is no other member's id", "接收方不是其他成员的编号")
    return wire.Header(
        version=VERSION,
        suite=suite_id,
        kind=kind,
        sender=sender,
        recipient=recipient,
        purpose=purpose,
        signing_key_id=signing_key_id,
        encryption_key_id=encryption_key_id,
    ).SerializeToString()


def open_question(
    envelope: wire.Envelope,
    own: OwnKeys,
    keyring: Keyring,
    *,
    now_ms: int,
    expect_sender: str | None = None,
    limits: Limits = LIMITS,
) -> Opened:
    """Open a question. The caller then asks the replay guard, before anything else.

    Args:
        envelope: as received.
        own: who receives, and the keys it can open.
        keyring: the directory's keys of the other members.
        now_ms: Unix time in milliseconds.
        expect_sender: member identity of the TLS peer; None only where an envelope was not received over TLS.
        limits: bounds on envelopes.

    Raises:
        EnvelopeError: ENVELOPE_MALFORMED, ENVELOPE_UNSUPPORTED, ENVELOPE_EXPIRED, WRONG_RECIPIENT, PEER_MISMATCH,
            STRANGER or TOO_LARGE for what can be seen in clear, `field` naming the part; ENVELOPE_REJECTED for all
            else.
    """
    return _open_first(envelope, own, keyring, wire.MESSAGE_KIND_QUESTION, now_ms, expect_sender, limits)


def open_delivery(
    envelope: wire.Envelope,
    own: OwnKeys,
    keyring: Keyring,
    *,
    now_ms: int,
    expect_sender: str | None = None,
    limits: Limits = LIMITS,
) -> Opened:
    """Open an envelope of deliveries. It needs no replay guard: each delivery is accepted once, by its own id.

    Arguments and errors are those of `open_question`.
    """
    return _open_first(envelope, own, keyring, wire.MESSAGE_KIND_DELIVERY, now_ms, expect_sender, limits)


def _open_first(
    envelope: wire.Envelope,
    own: OwnKeys,
    keyring: Keyring,
    kind: Kind,
    now_ms: int,
    expect_sender: str | None,
    limits: Limits,
) -> Opened:
    """Open a message that answers none."""
    header, suite = read(envelope.header)
    _check_kind(header, kind)
    opened = _open(
        envelope, header, suite, own=own, keyring=keyring, now_ms=now_ms, expect_sender=expect_sender, limits=limits
    )
    if opened.question_digest != frame.NO_QUESTION:
        raise rejected()
    return opened


def open_answer(
    envelope: wire.Envelope,
    own: OwnKeys,
    keyring: Keyring,
    *,
    question: Sealed,
    now_ms: int,
    limits: Limits = LIMITS,
) -> Opened:
    """Open the answer to a question that this gateway sent.

    It needs no replay guard: it fits one question only, and the caller takes one answer for each.

    Raises:
        EnvelopeError: as `open_question`; ENVELOPE_REJECTED also if it answers another question, or has not one part
            for each of its parts.
    """
    return _open_reply(envelope, own, keyring, wire.MESSAGE_KIND_ANSWER, question, now_ms, limits)


def open_receipt(
    envelope: wire.Envelope,
    own: OwnKeys,
    keyring: Keyring,
    *,
    delivery: Sealed,
    now_ms: int,
    limits: Limits = LIMITS,
) -> Opened:
    """Open the receipts for an envelope of deliveries that this gateway sent, one for each of them.

    Raises:
        EnvelopeError: as `open_answer`.
    """
    return _open_reply(envelope, own, keyring, wire.MESSAGE_KIND_RECEIPT, delivery, now_ms, limits)


def _open_reply(
    envelope: wire.Envelope, own: OwnKeys, keyring: Keyring, kind: Kind, question: Sealed, now_ms: int, limits: Limits
) -> Opened:
    """Open a message that answers one of ours."""
    header, suite = read(envelope.header)
    _check_kind(header, kind)
    asked = question.header
    if header.answers_to != question.message_id:
        raise rejected("header.answers_to")
    if header.purpose != asked.purpose:
        raise rejected("header.purpose")
    opened = _open(
        envelope, header, suite, own=own, keyring=keyring, now_ms=now_ms, expect_sender=asked.recipient, limits=limits
    )
    if not hmac.compare_digest(opened.question_digest, question.digest):
        raise rejected()
    if len(opened.parts.payloads) != question.total:
        raise rejected()
    return opened


def _check_kind(header: wire.Header, kind: Kind) -> None:
    if header.kind != kind:
        raise unsupported("header.kind", "this kind is not accepted here", "此处不受理该种类的消息")


def _open(
    envelope: wire.Envelope,
    header: wire.Header,
    suite: Suite,
    *,
    own: OwnKeys,
    keyring: Keyring,
    now_ms: int,
    expect_sender: str | None,
    limits: Limits,
) -> Opened:
    """Checks 1 (time) to 6 of the module's list."""
    header_bytes, ciphertext = envelope.header, envelope.ciphertext
    check_time(header, now_ms, limits)
    if header.recipient != own.member_id:
        raise wrong_recipient("header.recipient")
    issued_at_ms = header.issued_at_ms
    own_key = own.decryption.get(header.encryption_key_id)
    if own_key is None or not own_key.not_before_ms <= issued_at_ms <= own_key.not_after_ms:
        raise wrong_recipient("header.encryption_key_id")
    if expect_sender is not None and header.sender != expect_sender:
        raise peer_mismatch()
    verify_key = keyring.verify_key(header.sender, header.signing_key_id, issued_at_ms)
    if own_key.suite is not suite or verify_key.suite is not suite:
        raise unsupported("header.suite", "it is not the suite of these keys", "算法套件与所用密钥不符")
    _check_length(len(ciphertext), suite, limits)
    unpacked = frame.unpack(own_key.decrypt(ciphertext, header_bytes), suite.signature_bytes)
    parts = unpacked.parts
    signed = frame.signed_bytes(header_bytes, unpacked.question_digest, len(parts.payloads), tree.head(parts.leaves))
    verify_key.verify(unpacked.signature, signed)
    if sum(map(len, parts.payloads)) > limits.max_payload_bytes:
        raise too_large("payload", limits.max_payload_bytes)
    return Opened(
        header,
        header_bytes,
        parts,
        suite.digest(signed),
        unpacked.question_digest,
        unpacked.signature,
        header.expires_at_ms + limits.skew_ms,
    )


def _check_length(ciphertext_bytes: int, suite: Suite, limits: Limits) -> None:
    size = ciphertext_bytes - suite.overhead_bytes
    if size > frame.frame_bytes(suite.signature_bytes, frame.MAX_PARTS, limits.max_payload_bytes):
        raise too_large("ciphertext", limits.max_payload_bytes)
    if size <= 0 or frame.bucket(size) != size:
        raise malformed("ciphertext", "no sealed message has this length", "密文长度不符合填充规则")


def verify_proof(proof: Proof, verify_key: VerifyKey) -> wire.Header:
    """Check, perhaps years later, that a member did send this part of a message; for disputes.

    Times are not checked, and whether the key was the member's at `issued_at_ms` is for the caller to establish, from
    the directory or the certificate of that day.

    Returns:
        The header, of which sender, recipient and time are now proved.

    Raises:
        EnvelopeError: ENVELOPE_MALFORMED or ENVELOPE_UNSUPPORTED if the header is not well-formed or names another
            key or suite, ENVELOPE_REJECTED if path or signature do not hold.
    """
    header, suite = read(proof.header)
    if header.signing_key_id != verify_key.key_id or verify_key.suite is not suite:
        raise malformed("header.signing_key_id", "it was signed with another key", "签名所用密钥与所给密钥不一致")
    if len(proof.question_digest) != DIGEST_BYTES or len(proof.salt) != tree.SALT_BYTES:
        raise rejected()
    if proof.total > frame.MAX_PARTS:
        raise rejected()
    head = tree.head_from(tree.leaf(proof.salt, proof.payload), proof.position, proof.total, proof.path)
    if head is None:
        raise rejected()
    verify_key.verify(proof.signature, frame.signed_bytes(proof.header, proof.question_digest, proof.total, head))
    return header
