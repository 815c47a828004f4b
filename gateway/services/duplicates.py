"""People who draw, or were certified, twice, as an agency sees them.

Owns: translating findings to one readable message each, and writing down what an official decided. Refuses: showing a
unit what is another's, and stopping anybody.
"""

from __future__ import annotations

from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from gateway.clock import Clock
from gateway.errors import RefusedError
from gateway.federation.directory import DirectorySource
from gateway.once.gate import Gate
from gateway.store.duplicates import LIST_AT_MOST, Duplicates, Kept
from wugan.agency.v1 import duplicates_pb2

DEFAULT_LIST: Final = 100
MAX_OFFICIAL: Final = 100
MAX_REASON: Final = 500


class DuplicateService:
    """What an agency may ask about findings.

    Args:
        duplicates: the findings.
        gate: where claims are given up.
        directory: tells the names of members.
    """

    def __init__(self, duplicates: Duplicates, gate: Gate, directory: DirectorySource, clock: Clock) -> None:
        self._duplicates = duplicates
        self._gate = gate
        self._directory = directory
        self._clock = clock

    async def list(
        self, unit: str, request: duplicates_pb2.ListDuplicatesRequest
    ) -> duplicates_pb2.ListDuplicatesResponse:
        """A page of the unit's findings."""
        limit = min(request.limit or DEFAULT_LIST, LIST_AT_MOST)
        found = await self._duplicates.list(unit, request.after, limit + 1, settled=request.settled)
        response = duplicates_pb2.ListDuplicatesResponse(more=len(found) > limit)
        names = self._names()
        response.duplicates.extend(_readable(each, names) for each in found[:limit])
        return response

    async def settle(
        self, unit: str, request: duplicates_pb2.SettleDuplicateRequest
    ) -> duplicates_pb2.SettleDuplicateResponse:
        """Write down what an official decided.

        Raises:
            RefusedError: nobody decided, without a reason, or the unit has no such finding.
        """
        for name, text, most in (
            ("official", request.official, MAX_OFFICIAL),
            ("reason", request.reason, MAX_REASON),
        ):
            if not text.strip() or len(text) > most:
                raise _wrong(name, f"say who decides and why, 1 to {most} characters", f"请填写，1 至 {most} 个字符")
        now_ms = self._clock.now_ms()

        def decided(kept: Kept) -> bytes:
            body = duplicates_pb2.Duplicate.FromString(kept.body)
            body.official, body.reason = request.official, request.reason
            return body.SerializeToString()

        found = await self._duplicates.settle(unit, request.number, now_ms, decided)
        if found is None:
            raise _wrong("number", "there is no such finding", "没有该疑点")
        duplicate = _readable(found._replace(settled_at_ms=now_ms, body=decided(found)), self._names())
        if request.release:
            await self._gate.release(unit, duplicate.id_number, duplicate.benefit)
        return duplicates_pb2.SettleDuplicateResponse(duplicate=duplicate)

    def _names(self) -> dict[str, tuple[str, str]]:
        members = self._directory.current().members
        return {member.member_id: (member.name_zh, member.name_en) for member in members}


def _readable(kept: Kept, names: dict[str, tuple[str, str]]) -> duplicates_pb2.Duplicate:
    told = duplicates_pb2.Duplicate.FromString(kept.body)
    told.number, told.member_id = kept.number, kept.member
    told.kind = kept.kind  # type: ignore[assignment]  # a number of the contract
    told.member_name_zh, told.member_name_en = names.get(kept.member, ("", ""))
    told.first_found.CopyFrom(_time(kept.first_at_ms))
    told.last_found.CopyFrom(_time(kept.last_at_ms))
    if kept.settled_at_ms:
        told.settled.CopyFrom(_time(abs(kept.settled_at_ms)))
    return told


def _time(at_ms: int) -> Timestamp:
    return Timestamp(seconds=at_ms // 1000, nanos=at_ms % 1000 * 1_000_000)


def _wrong(field: str, en: str, zh: str) -> RefusedError:
    return RefusedError(f"{field}: {en}", f"{field}：{zh}", field=field)
