"""Whole responses that may be given again: to the same unit, for a request that differs but in official and case.

Owns: the finished bytes of responses made of answers that are all given again, bounded in bytes. Each is given only
while every answer in it is fresh (`gateway.federation.answer_cache`), and once the disclosure is on the disk. What
changes from one time to the next, the time and the age, is put behind the bytes: of a field that stands twice in a
message, the last counts. Refuses: making a response, and knowing who is welcome: the desk judged that, at this call.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import OrderedDict
from typing import Final, NamedTuple

from gateway.clock import Clock
from gateway.exchange.question import MAX_TEXT
from gateway.federation.answer_cache import AnswerCache
from gateway.federation.checked import Checked
from gateway.federation.given_again import GivenAgain
from gateway.federation.kept import Held
from gateway.federation.questions import Case, Questions, is_official
from gateway.services.readable import age_ms
from gateway.store.chain import Content
from wugan.agency.v1 import agency_pb2
from wugan.federation.v1 import exchange_pb2

OVERHEAD_BYTES: Final = 1024
_TAG_BYTES: Final = 16


class _Finished(NamedTuple):
    """A response but for time and age, the answers in it, and what is recorded when it is given."""

    body: bytes
    held: tuple[Held, ...]
    contents: tuple[Content, ...]

    @property
    def size(self) -> int:
        return OVERHEAD_BYTES + len(self.body)


class FinishedAnswers:
    """See the module."""

    def __init__(
        self, cache: AnswerCache, again: GivenAgain, questions: Questions, clock: Clock, most_bytes: int
    ) -> None:
        self._cache = cache
        self._again = again
        self._questions = questions
        self._clock = clock
        self._most_bytes = most_bytes
        self._size = 0
        self._key = secrets.token_bytes(32)
        self._by_tag: OrderedDict[bytes, _Finished] = OrderedDict()

    @property
    def size(self) -> int:
        """Bytes held, as estimated."""
        return self._size

    def tag(self, request: agency_pb2.CheckRequest, unit: str) -> bytes:
        """What a response to the unit is found by. Takes official and case reference out of the request."""
        request.ClearField("official")
        request.ClearField("case_reference")
        asked = unit.encode() + b"\x00" + request.SerializeToString()
        return hashlib.blake2b(asked, digest_size=_TAG_BYTES, key=self._key).digest()

    def find(
        self, tag: bytes, unit: str, official: str, case_reference: str
    ) -> tuple[bytes, asyncio.Future[None]] | None:
        """The response, and what to await before it leaves; None where there is none that may be given in this case.

        Raises:
            DirectoryError: the directory has expired.
        """
        finished = self._by_tag.get(tag)
        if finished is None or not _in_order(official, case_reference):  # which is refused where questions are made
            return None
        now_ms = self._clock.now_ms()
        cache = self._cache
        if not all(cache.fresh(held, now_ms) for held in finished.held):
            self._drop(tag)
            return None
        for held in finished.held:  # of each member one, as where the same is merged anew
            cache.touch(held, now_ms)
        self._by_tag.move_to_end(tag)
        changing = agency_pb2.CheckResponse(age_ms=age_ms(now_ms, finished.held))
        changing.made_at.FromMilliseconds(now_ms)
        pseudonym = self._questions.pseudonym(unit, official)
        recorded = self._again.record_more(finished.contents, now_ms, pseudonym, case_reference)
        return finished.body + changing.SerializeToString(), recorded

    def put(self, tag: bytes, response: agency_pb2.CheckResponse, checked: Checked, case: Case) -> None:
        """Hold a response, if every answer in it is one that is given again, fresh and whole."""
        held = tuple(result.held for result in checked.results if result.held is not None and result.error is None)
        if len(held) != len(checked.results) or response.partial:
            return
        body = agency_pb2.CheckResponse()
        body.CopyFrom(response)
        body.ClearField("made_at")
        body.ClearField("age_ms")
        context = exchange_pb2.Context(
            unit=case.unit,
            official_pseudonym=self._questions.pseudonym(case.unit, case.official),
            purpose=case.purpose,  # type: ignore[arg-type]  # it was checked
            legal_basis=case.legal_basis,
            case_reference=case.case_reference,
        )
        contents = tuple(self._again.content(each, context) for each in held)
        finished = _Finished(body.SerializeToString(), held, contents)
        self._drop(tag)
        if finished.size > self._most_bytes:
            return
        self._by_tag[tag] = finished
        self._size += finished.size
        while self._size > self._most_bytes:
            self._drop(next(iter(self._by_tag)))

    def _drop(self, tag: bytes) -> None:
        finished = self._by_tag.pop(tag, None)
        if finished is not None:
            self._size -= finished.size


def _in_order(official: str, case_reference: str) -> bool:
    """Whether official and case reference are such as a question may have."""
    return (
        len(case_reference) <= MAX_TEXT
        and case_reference.isprintable()
        and is_official(official)
        and not case_reference.isspace()
        and bool(case_reference)
    )
