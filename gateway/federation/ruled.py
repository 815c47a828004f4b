"""By which rules each member answers now: an answer by other rules is not given again.

Owns: the digest of the rules of the newest findings heard of each member, whichever way they came, and learning it
anew after a restart from the answers that are kept. Refuses: what the rules say.
"""

from __future__ import annotations

from typing import Final

import structlog
from google.protobuf.message import DecodeError

from gateway.errors import StoreError
from gateway.log import described
from gateway.store.answers import KeptAnswers
from wugan.federation.v1 import delivery_pb2, envelope_pb2, exchange_pb2

LOOKED_BACK: Final = 64
"""Answers of a member that are looked at for its rules after a restart."""

_log = structlog.stdlib.get_logger(__name__)


class Ruled:
    """See the module."""

    def __init__(self, answers: KeptAnswers) -> None:
        self._answers = answers
        self._newest: dict[str, tuple[int, bytes]] = {}

    def heard(self, member_id: str, findings: exchange_pb2.Findings) -> None:
        """A member answered, whomever and however; what was made before what was heard already tells nothing."""
        made_at_ms, digest = findings.made_at_ms, findings.rules_digest
        if digest and made_at_ms >= self._newest.get(member_id, (0, b""))[0]:
            self._newest[member_id] = made_at_ms, digest

    def by_newest(self, member_id: str, findings: exchange_pb2.Findings) -> bool:
        """Whether findings are by the rules by which their author answered last, as far as that is known."""
        newest = self._newest.get(member_id)
        return newest is None or newest[1] == findings.rules_digest

    async def learn(self, member_id: str) -> None:
        """By which rules a member answered last, as far as that is among its newest answers that are kept."""
        for message_id, position, header in await self._answers.newest(member_id, LOOKED_BACK):
            try:
                kind = envelope_pb2.Header.FromString(header).kind
                signed = await self._answers.produce(member_id, message_id, position)
                findings = _findings_in(kind, b"" if signed is None else signed.payload)
            except (StoreError, DecodeError) as error:
                _log.warning("it cannot be read by which rules a member answered", fault=described(error))
                continue
            if findings.rules_digest:
                self.heard(member_id, findings)
                return


def _findings_in(kind: int, payload: bytes) -> exchange_pb2.Findings:
    """The findings of a kept answer, or of a late one."""
    if kind == envelope_pb2.MESSAGE_KIND_ANSWER:
        return exchange_pb2.Answer.FromString(payload).findings
    return delivery_pb2.LateAnswer.FromString(delivery_pb2.Delivery.FromString(payload).body).answer.findings
