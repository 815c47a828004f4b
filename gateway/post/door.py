"""The door at which others leave things: an envelope of deliveries in, an envelope of receipts out.

Owns: the order in which it is dealt with: open and verify; the TLS peer is the sender; each delivery well-formed, of a
kind that is dealt with here, and good enough for its handler; on the disk; receipted. Refuses: dealing with what a
delivery holds, and an unsealed refusal of a single delivery.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from google.protobuf.message import DecodeError

from certs.identity import ROLE_GATEWAY, Identity
from gateway.clock import Clock
from gateway.errors import RefusedError, WuganError
from gateway.exchange.envelope import Opened, Proof, open_delivery, seal
from gateway.exchange.header import LIMITS
from gateway.exchange.keys import Keyring, OwnKeys
from gateway.exchange.refusals import not_a_gateway
from gateway.exchange.uuid7 import timestamp_ms
from gateway.post.inbox import Inbox, keep
from gateway.post.receipts import receipt
from gateway.store.inbox import ACCEPTED, DUPLICATE, EXPIRED, FULL, SUPERSEDED, Arrival, InboxTable
from gateway.store.outbox import MAX_BODY_BYTES
from gateway.store.post_tables import ORDER_KEY_BYTES
from wugan.federation.v1 import delivery_pb2, envelope_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

FULL_WAIT_MS: Final = 30_000


class Door:
    """Accepts deliveries of other members.

    Args:
        own: gives own keys as they are at the moment.
        directory: gives the keys of the moment; raises DirectoryError once they have expired.
        longest_ms: how far in the future a delivery may expire.
    """

    def __init__(
        self,
        own: Callable[[], OwnKeys],
        directory: Callable[[], Keyring],
        table: InboxTable,
        inbox: Inbox,
        clock: Clock,
        *,
        lifetime_ms: int,
        longest_ms: int,
    ) -> None:
        self._own = own
        self._directory = directory
        self._table = table
        self._inbox = inbox
        self._clock = clock
        self._lifetime_ms = lifetime_ms
        self._longest_ms = longest_ms

    async def receive(self, envelope: envelope_pb2.Envelope, peer: Identity) -> envelope_pb2.Envelope:
        """Accept what an envelope brings; the receipts, once all that was accepted is on the disk.

        Raises:
            EnvelopeError: it cannot be opened or verified.
            DirectoryError: the directory has expired.
            StoreError: nothing could be written down, and nothing was accepted.
        """
        now_ms = self._clock.now_ms()
        if peer.role != ROLE_GATEWAY:
            raise not_a_gateway()
        opened = open_delivery(envelope, self._own(), self._directory(), now_ms=now_ms, expect_sender=peer.member_id)
        looked_at = [self._look(opened, proof, now_ms) for proof in opened.proofs()]
        arrivals = [each for each in looked_at if isinstance(each, Arrival)]
        results = iter(await self._table.accept(arrivals) if arrivals else ())
        receipts = []
        for each, proof in zip(looked_at, opened.proofs(), strict=True):
            if isinstance(each, WuganError):
                receipts.append(receipt(_id_of(proof.payload), each))
            else:
                result = next(results)
                receipts.append(receipt(each.delivery_id, _REFUSED.get(result), duplicate=result == DUPLICATE))
                if result == ACCEPTED:
                    self._inbox.wake(each.kind)
        now_ms = self._clock.now_ms()
        return seal(
            self._own(),
            opened.header.sender,
            # Of this moment: whoever was taken out of the directory meanwhile gets no receipt.
            self._directory().encryption_key(opened.header.sender, now_ms),
            kind=envelope_pb2.MESSAGE_KIND_RECEIPT,
            purpose=opened.header.purpose,
            payloads=receipts,
            now_ms=now_ms,
            lifetime_ms=self._lifetime_ms,
            question=opened,
        ).envelope

    def _look(self, opened: Opened, proof: Proof, now_ms: int) -> Arrival | WuganError:
        """A delivery as it may be accepted, or what is wrong with it."""
        sender, purpose = opened.header.sender, opened.header.purpose
        try:
            delivery = delivery_pb2.Delivery.FromString(proof.payload)
            self._check(delivery, now_ms)
            handler = self._inbox.handler(delivery.kind)
            if handler is None:
                raise _wrong(
                    "kind",
                    "nothing of this kind is accepted here; check the versions of both gateways",
                    "此处不受理该类消息，请核对双方网关版本",
                    words.REFUSAL_REASON_ENVELOPE_UNSUPPORTED,
                )
            handler.check(sender, purpose, delivery.body, now_ms)
        except DecodeError:
            return _wrong("", "the payload is no Delivery", "载荷不是有效的投递消息")
        except WuganError as error:
            return error
        return Arrival(
            sender,
            delivery.delivery_id,
            delivery.sequence,
            delivery.order_key,
            delivery.kind,
            purpose,
            now_ms,
            delivery.expires_at_ms,
            keep(proof),
        )

    def _check(self, delivery: delivery_pb2.Delivery, now_ms: int) -> None:
        if timestamp_ms(delivery.delivery_id) is None:
            raise _wrong("delivery_id", "it is no UUIDv7", "编号不是 UUIDv7")
        if delivery.sequence <= 0:
            raise _wrong("sequence", "it is not positive", "序号不为正")
        if len(delivery.order_key) not in (0, ORDER_KEY_BYTES):
            raise _wrong("order_key", f"it has {ORDER_KEY_BYTES} bytes, or none", f"应为 {ORDER_KEY_BYTES} 字节或为空")
        if delivery.expires_at_ms > now_ms + self._longest_ms + LIMITS.skew_ms:
            raise _wrong("expires_at_ms", "it is too far in the future", "有效期过长")
        if len(delivery.body) > MAX_BODY_BYTES:
            raise _wrong("body", "it is too large", "内容过大", words.REFUSAL_REASON_TOO_LARGE)


def _id_of(payload: bytes) -> bytes:
    """The id of a delivery that is refused, as far as it can be read."""
    try:
        return delivery_pb2.Delivery.FromString(payload).delivery_id
    except DecodeError:
        return b""


def _wrong(
    field: str, en: str, zh: str, reason: words.RefusalReason.ValueType = words.REFUSAL_REASON_INVALID_ARGUMENT
) -> RefusedError:
    return RefusedError(f"the delivery is refused: {en}", f"投递被拒绝：{zh}", reason=reason, field=field)


_REFUSED: Final = {
    SUPERSEDED: _wrong(
        "sequence",
        "a later one under the same order key was accepted before",
        "同一顺序键下较新的消息已先行受理",
        words.REFUSAL_REASON_DELIVERY_SUPERSEDED,
    ),
    EXPIRED: _wrong("expires_at_ms", "its time is over", "已过有效期", words.REFUSAL_REASON_DELIVERY_EXPIRED),
    FULL: RefusedError(
        "too much of this member waits here; send it again later",
        "贵方待处理消息过多，请稍后重新投递",
        reason=words.REFUSAL_REASON_OVERLOADED,
        retryable=True,
        retry_after_ms=FULL_WAIT_MS,
    ),
}
