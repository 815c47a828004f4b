"""Questions that were counted already, so that one that is asked again counts once.

A question may reach this side twice: its answer was lost on the way, or was slow to come and the asker put it to
another gateway. Whoever asks gives it an id (`Question.question_id`). The same bytes with the same id, but for where it
is traced, from the same member, within `KEEP_MS`, are answered again and recorded again, but counted neither for quotas
nor as harvesting. Whether there was room for it on the disk is the first one's to find out; the others wait for the
same word.

Owns: this memory, bounded. Refuses: durability. After a restart a question is counted once more, never less.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Final

from gateway.inquiry.quotas import Taking
from wugan.federation.v1 import exchange_pb2

KEEP_MS: Final = 600_000
"""Longer than any deadline that is waited for."""
AGAIN_AT_MOST: Final = 8
"""Times that a question is not counted; asked yet more often it is no accident, and is counted."""
MOST: Final = 32_768
"""Questions remembered, some 500 bytes each."""
_SHA256: Final = hashlib.sha256()  # copied for each tag: OpenSSL looks the algorithm up at every new one


class _Counted:
    __slots__ = ("again", "at_ms", "grant", "taking")

    def __init__(self, at_ms: int, grant: str, taking: Taking) -> None:
        self.at_ms = at_ms
        self.grant = grant
        self.taking = taking
        self.again = 0


class CountedQuestions:
    """See the module."""

    def __init__(self) -> None:
        self._counted: OrderedDict[bytes, _Counted] = OrderedDict()

    @staticmethod
    def tag(member: str, question: exchange_pb2.Question) -> bytes:
        """What stands for a member's question; empty where it has no id."""
        if not question.question_id:
            return b""
        if question.trace:  # a chunk of a roster that is asked again after a restart is traced anew, or not at all
            question, traced = exchange_pb2.Question(), question
            question.CopyFrom(traced)
            question.ClearField("trace")
        sha256 = _SHA256.copy()
        sha256.update(member.encode() + b"\0" + question.SerializeToString())
        return sha256.digest()

    def known(self, tag: bytes, grant: str, now_ms: int) -> Taking | None:
        """What came of counting a question the first time, under the same grant; None: it is to be counted."""
        counted = self._counted.get(tag) if tag else None
        if counted is None or counted.grant != grant or not 0 <= now_ms - counted.at_ms <= KEEP_MS:
            return None
        if counted.again >= AGAIN_AT_MOST:
            return None
        counted.again += 1
        return counted.taking

    def remember(self, tag: bytes, grant: str, taking: Taking, now_ms: int) -> None:
        """A question is being counted."""
        if not tag:
            return
        self._counted[tag] = _Counted(now_ms, grant, taking)
        self._counted.move_to_end(tag)
        if len(self._counted) > MOST:
            self._counted.popitem(last=False)
