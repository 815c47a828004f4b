"""Messages of CheckMany made of parts that are serialized already: a question as its asker has it, an answer as it is
held.

A field that holds a message is written like one that holds bytes (protobuf's encoding, length-delimited), so a part
need not be parsed to be put into one. Owns: these two messages, and the bounds of one. Refuses: reading them; the
generated code does.
"""

from __future__ import annotations

from typing import Final

MOST_QUESTIONS: Final = 256
"""Questions, and numbers given up, in one message at most."""
ENOUGH_BYTES: Final = 1 << 20
"""A message of several parts is no larger."""
MOST_ASKED_BYTES: Final = 64 << 10
"""Of a question at most. More than a gateway takes in a message would end the call for all who wait."""
MOST_ANSWERED_BYTES: Final = 3 << 20
"""Of an answer at most, for the same reason: a client of gRPC takes 4 MiB unless it is told otherwise."""

_FIRST, _SECOND, _THIRD, _FOURTH = (bytes([number << 3 | 2]) for number in (1, 2, 3, 4))
_NUMBER, _TIMEOUT, _GIVEN_UP = bytes([1 << 3]), bytes([3 << 3]), bytes([2 << 3])


def question(number: int, check: bytes, timeout_ms: int = 0, traceparent: str = "") -> bytes:
    """A part of a CheckManyRequest: a question; `check` is a serialized CheckRequest."""
    body = b"".join((_NUMBER, _varint(number), _SECOND, _varint(len(check)), check, _TIMEOUT, _varint(timeout_ms)))
    if traceparent:
        told = traceparent.encode()
        body += _FOURTH + _varint(len(told)) + told
    return _FIRST + _varint(len(body)) + body


def given_up(number: int) -> bytes:
    """A part of a CheckManyRequest: the number of a question that nobody waits for any more."""
    return _GIVEN_UP + _varint(number)


def answer(number: int, response: bytes) -> bytes:
    """A part of a CheckManyResponse: an answer; `response` is a serialized CheckResponse."""
    return _part(number, _SECOND, response)


def refusal(number: int, status: bytes) -> bytes:
    """A part of a CheckManyResponse: a refusal; `status` is a serialized google.rpc.Status."""
    return _part(number, _THIRD, status)


def _part(number: int, field: bytes, value: bytes) -> bytes:
    head = b"".join((_NUMBER, _varint(number), field, _varint(len(value))))
    return b"".join((_FIRST, _varint(len(head) + len(value)), head, value))


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; all but the last have the eighth bit set."""
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class Parcel:
    """Parts that wait to leave together; messages of them leave in the order in which they came."""

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def __len__(self) -> int:
        return len(self._parts)

    def add(self, part: bytes) -> None:
        """One more."""
        self._parts.append(part)

    def take(self) -> tuple[bytes, int]:
        """A message of those that go into one, which wait no longer, and how many they are."""
        size = count = 0
        for part in self._parts[:MOST_QUESTIONS]:
            size += len(part)
            if count and size > ENOUGH_BYTES:
                break
            count += 1
        taken, self._parts = self._parts[:count], self._parts[count:]
        return b"".join(taken), count
