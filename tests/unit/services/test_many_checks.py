"""One call with many questions: how far it is read, what leaves when, what is given up, and how it ends."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.rpc import status_pb2

from gateway.errors import RefusedError, WuganError
from gateway.many import wire
from gateway.services import many
from gateway.services.many import ManyChecks
from gateway.status import from_status
from wugan.agency.v1 import agency_pb2
from wugan.federation.v1 import vocabulary_pb2 as words


def asked(*numbers: int, given_up: tuple[int, ...] = ()) -> agency_pb2.CheckManyRequest:
    questions = [agency_pb2.CheckManyQuestion(number=number) for number in numbers]
    return agency_pb2.CheckManyRequest(questions=questions, given_up=given_up)


class Ends:
    """Both ends of a call: what comes in, what is worked on, what went out."""

    def __init__(self, *messages: agency_pb2.CheckManyRequest, room: int = 512) -> None:
        self.coming: asyncio.Queue[agency_pb2.CheckManyRequest | None] = asyncio.Queue()
        for message in messages:
            self.coming.put_nowait(message)
        self.read = 0
        self.answering: dict[int, asyncio.Future[bytes]] = {}
        self.written: list[dict[int, Any]] = []
        self.may_write = asyncio.Event()
        self.may_write.set()
        self.stopping = asyncio.Event()
        self._many = ManyChecks(self.answer, self.write, room=room)

    async def messages(self) -> AsyncIterator[agency_pb2.CheckManyRequest]:
        while (message := await self.coming.get()) is not None:
            self.read += 1
            yield message

    async def answer(self, question: agency_pb2.CheckManyQuestion) -> bytes:
        self.answering[question.number] = asyncio.get_running_loop().create_future()
        return await self.answering[question.number]

    async def write(self, body: bytes) -> None:
        await self.may_write.wait()
        told = agency_pb2.CheckManyResponse.FromString(body).answers
        self.written.append({each.number: each.response.as_of or _refusal(each.refusal) for each in told})

    def start(self) -> asyncio.Task[bool]:
        return asyncio.ensure_future(self._many.run(self.messages(), self.stopping))

    def answered(self, *numbers: int) -> None:
        for number in numbers:
            self.answering[number].set_result(agency_pb2.CheckResponse(as_of=f"day {number}").SerializeToString())


def _refusal(status: bytes) -> str:
    error = from_status(status_pb2.Status.FromString(status))
    assert error is not None
    return error.code


async def settle() -> None:
    for _ in range(60):
        await asyncio.sleep(0)


async def ended(running: asyncio.Task[bool]) -> None:
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_answers_that_are_there_together_leave_together_others_when_they_come() -> None:
    ends = Ends(asked(1, 2, 3))
    running = ends.start()
    await settle()
    ends.answered(3, 1)
    await settle()
    assert ends.written == [{3: "day 3", 1: "day 1"}]
    ends.answered(2)
    await settle()
    assert ends.written[1:] == [{2: "day 2"}]
    ends.coming.put_nowait(None)
    assert await running is False


async def test_a_refusal_is_the_questions_own_and_has_the_details_of_a_status() -> None:
    ends = Ends(asked(7, 8))
    running = ends.start()
    await settle()
    ends.answering[7].set_exception(RefusedError("no", "否", reason=words.REFUSAL_REASON_UNKNOWN_BENEFIT))
    ends.answered(8)
    await settle()
    assert ends.written == [{7: "UNKNOWN_BENEFIT", 8: "day 8"}]
    await ended(running)


async def test_an_answer_that_a_client_would_not_take_spoils_no_other() -> None:
    ends = Ends(asked(1, 2))
    running = ends.start()
    await settle()
    large = agency_pb2.CheckResponse(late_ticket=b"\0" * wire.MOST_ANSWERED_BYTES)
    ends.answering[1].set_result(large.SerializeToString())
    ends.answered(2)
    await settle()
    assert ends.written == [{1: "TOO_LARGE", 2: "day 2"}]
    await ended(running)


async def test_no_further_is_read_than_there_is_room() -> None:
    ends = Ends(*[asked(at) for at in range(9)], room=3)
    running = ends.start()
    await settle()
    assert (ends.read, sorted(ends.answering)) == (3, [0, 1, 2])
    ends.answered(1)
    await settle()
    assert sorted(ends.answering) == [0, 1, 2, 3]
    await ended(running)
    assert all(future.done() for future in ends.answering.values()), "work went on for nobody"


async def test_answers_that_cannot_leave_take_up_room() -> None:
    ends = Ends(*[asked(at) for at in range(9)], room=2)
    ends.may_write.clear()
    running = ends.start()
    await settle()
    ends.answered(0, 1)
    await settle()
    assert sorted(ends.answering) == [0, 1]
    ends.may_write.set()
    await settle()
    assert sorted(ends.answering) == [0, 1, 2, 3]
    await ended(running)


async def test_what_is_given_up_is_not_worked_on_and_not_answered() -> None:
    ends = Ends(asked(1, 2), asked(given_up=(1, 99)), room=2)
    running = ends.start()
    await settle()
    assert ends.read == 1, "there is no room, and nothing of what comes is known"
    ends.answered(2)
    await settle()
    assert ends.answering[1].cancelled()
    assert ends.written == [{2: "day 2"}]
    ends.coming.put_nowait(None)
    assert await running is False
    assert ends.written == [{2: "day 2"}]


async def test_what_is_given_up_before_it_began_does_not_keep_the_call_open() -> None:
    ends = Ends(asked(1, 2), asked(given_up=(1,)))  # both are there at once
    running = ends.start()
    await settle()
    assert list(ends.answering) == [2]
    ends.answered(2)
    ends.coming.put_nowait(None)
    assert await asyncio.wait_for(running, 30) is False
    assert ends.written == [{2: "day 2"}]


async def test_a_number_may_be_used_again_once_it_is_answered_but_not_before() -> None:
    ends = Ends(asked(1))
    running = ends.start()
    await settle()
    ends.answered(1)
    await settle()
    ends.coming.put_nowait(asked(1))
    await settle()
    ends.coming.put_nowait(asked(2, 1))
    await settle()
    assert not running.done(), "what was read before is answered first"
    ends.answered(1, 2)
    with pytest.raises(RefusedError, match="number") as caught:
        await running
    assert caught.value.field == "questions.number"
    assert ends.written == [{1: "day 1"}, {1: "day 1", 2: "day 2"}]


@pytest.mark.parametrize("what", ["questions", "given_up"])
async def test_a_message_with_too_many_ends_the_call_with_a_status_that_says_so(what: str) -> None:
    numbers = range(wire.MOST_QUESTIONS + 1)
    message = asked(*numbers) if what == "questions" else asked(given_up=tuple(numbers))
    ends = Ends(asked(1000), message)
    running = ends.start()
    await settle()
    assert list(ends.answering) == [1000]
    ends.answered(1000)
    with pytest.raises(RefusedError, match="too many questions") as caught:
        await running
    assert caught.value.reason == words.REFUSAL_REASON_TOO_LARGE
    assert ends.written == [{1000: "day 1000"}]


async def test_a_full_message_is_begun_over_several_turns() -> None:
    ends = Ends(asked(*range(wire.MOST_QUESTIONS)))
    running = ends.start()
    begun = [0]
    while begun[-1] < wire.MOST_QUESTIONS:
        await asyncio.sleep(0)
        begun.append(len(ends.answering))
    assert max(later - before for before, later in itertools.pairwise(begun)) <= many.AT_A_TURN
    await ended(running)


async def test_a_stop_reads_no_more_and_answers_what_was_read() -> None:
    ends = Ends(asked(1, 2))
    running = ends.start()
    await settle()
    ends.stopping.set()
    await settle()
    ends.coming.put_nowait(asked(3))
    await settle()
    ends.answered(2, 1)
    assert await running is True
    assert ends.written == [{2: "day 2", 1: "day 1"}]
    assert 3 not in ends.answering


async def test_after_a_while_it_reads_no_more_and_ends_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "FOR_S", 0.01)
    ends = Ends(asked(1))
    running = ends.start()
    await settle()
    ends.answered(1)
    assert await running is False
    assert ends.written == [{1: "day 1"}]


async def test_what_fails_on_its_way_in_lets_what_was_read_be_answered_first() -> None:
    ends = Ends(asked(1))

    async def broken() -> AsyncIterator[agency_pb2.CheckManyRequest]:
        yield asked(1)
        raise RefusedError("not such a message", "消息无法解析")

    running = asyncio.ensure_future(ManyChecks(ends.answer, ends.write, room=9).run(broken(), ends.stopping))
    await settle()
    assert not running.done()
    ends.answered(1)
    with pytest.raises(WuganError, match="not such a message"):
        await running
    assert ends.written == [{1: "day 1"}]
