"""Taking an envelope of deliveries to a member's gateway.

Owns: channels of its own, so that a queue of deliveries takes no room from questions that somebody waits for, which of
a member's gateways is tried next when one failed, and errors of gRPC made into ours. Refuses: what is in an envelope,
and trying again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import grpc

from gateway.errors import PartnerError, RefusedError
from gateway.federation.directory import DirectorySource, Gateway
from gateway.federation.lines import ChannelFactory, Lines
from gateway.status import from_rpc_error
from wugan.federation.v1 import envelope_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

_ELSEWHERE: Final = frozenset({words.REFUSAL_REASON_SHUTTING_DOWN, words.REFUSAL_REASON_DIRECTORY_EXPIRED})
"""Refusals that are of the one gateway and not of its member."""


class DeliveryCarrier:
    """See the module."""

    def __init__(self, directory: DirectorySource, channel: ChannelFactory) -> None:
        self._directory = directory
        self._lines = Lines(channel)
        self._after: dict[str, str] = {}
        """By member, the address of the gateway that failed last: the one after it in the directory comes next."""

    async def deliver(self, member_id: str, envelope: envelope_pb2.Envelope, timeout_s: float) -> envelope_pb2.Envelope:
        """The member's answer.

        Raises:
            RefusedError: the member refused the envelope; reason and texts are the member's.
            PartnerError: it could not be reached, or not in time.
            DirectoryError: the directory has expired.
        """
        gateway = _next(self._directory.current().member(member_id).gateways, self._after.get(member_id, ""))
        try:
            with self._lines.use(gateway.address, gateway.tls_name) as stub:
                return await stub.Deliver(envelope, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            ours = from_rpc_error(error)
            if ours is None or ours.reason in _ELSEWHERE:
                self._after[member_id] = gateway.address
            if ours is not None:
                raise RefusedError(
                    ours.en,
                    ours.zh,
                    reason=ours.reason,
                    field=ours.field,
                    retryable=ours.retryable,
                    retry_after_ms=ours.retry_after_ms,
                ) from error
            late = error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
            raise PartnerError(
                "the other province's gateway did not take the delivery in time"
                if late
                else "the other province's gateway cannot be reached, or takes no deliveries",
                "对方省份网关未在时限内接收投递" if late else "无法连接对方省份网关，或对方不支持投递",
                reason=words.REFUSAL_REASON_DEADLINE_EXCEEDED if late else words.REFUSAL_REASON_PARTNER_UNAVAILABLE,
            ) from error

    async def renew(self) -> None:
        """Let new calls go over new channels, made with the credentials of the moment."""
        await self._lines.renew()

    async def close(self) -> None:
        """Close every channel."""
        await self._lines.close()


def _next(gateways: Sequence[Gateway], failed: str) -> Gateway:
    """The gateway after the one that failed, or the first: an address that is away must not keep letters waiting."""
    at = next((place for place, each in enumerate(gateways) if each.address == failed), -1)
    return gateways[(at + 1) % len(gateways)]
