"""What a command asks of a running gateway: from its owner, a few at a time, and not from yesterday."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from certs import slot_requests
from certs.errors import SlotError
from certs.slot_requests import Answer, Request

NOW = 1_795_000_000_000


def request(at_ms: int = NOW) -> Request:
    return Request(action="rotate", kinds=("tls",), reason="asked", asked_at_ms=at_ms)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path


def test_a_request_is_taken_up_once_and_answered(folder: Path) -> None:
    name = slot_requests.ask(folder, request())
    assert slot_requests.answer_of(folder, name) is None
    assert slot_requests.waiting(folder, NOW) == [(name, request())]
    slot_requests.answer(folder, name, Answer(done=True, kinds=("tls",)))
    assert slot_requests.waiting(folder, NOW) == []
    assert slot_requests.answer_of(folder, name) == Answer(done=True, kinds=("tls",))
    assert slot_requests.answer_of(folder, name) is None
    assert list((folder / "requests").iterdir()) == []


def test_requests_are_dealt_with_in_their_order(folder: Path) -> None:
    names = [slot_requests.ask(folder, request(NOW + offset)) for offset in (2, 1, 0)]
    assert [name for name, _ in slot_requests.waiting(folder, NOW)] == names[::-1]


@pytest.mark.parametrize("age_ms", [60_001, -60_001])
def test_a_request_of_another_time_is_removed_undone(folder: Path, age_ms: int) -> None:
    slot_requests.ask(folder, request(NOW - age_ms))
    assert slot_requests.waiting(folder, NOW) == []
    assert list((folder / "requests").iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"{}", b'{"action": "destroy", "asked_at_ms": 1}', b"\xff", b"x" * 300_000])
def test_what_is_no_request_is_removed(folder: Path, content: bytes) -> None:
    slot_requests.ask(folder, request())
    path = next((folder / "requests").iterdir())
    path.write_bytes(content)
    assert slot_requests.waiting(folder, NOW) == []
    assert not path.exists()


def test_a_request_that_others_could_have_written_is_removed(folder: Path) -> None:
    slot_requests.ask(folder, request())
    next((folder / "requests").iterdir()).chmod(0o666)
    assert slot_requests.waiting(folder, NOW) == []


def test_a_folder_where_others_could_leave_requests_is_refused(folder: Path) -> None:
    slot_requests.ask(folder, request())
    (folder / "requests").chmod(0o777)
    with pytest.raises(SlotError, match="chmod 700"):
        slot_requests.waiting(folder, NOW)


def test_only_a_few_requests_wait(folder: Path) -> None:
    for _ in range(slot_requests.MAX_WAITING):
        slot_requests.ask(folder, request())
    with pytest.raises(SlotError, match="too many"):
        slot_requests.ask(folder, request())


def test_a_request_can_be_taken_back(folder: Path) -> None:
    name = slot_requests.ask(folder, request())
    slot_requests.give_up(folder, name)
    assert slot_requests.waiting(folder, NOW) == []


def test_answers_that_nobody_fetches_do_not_pile_up(folder: Path) -> None:
    for _ in range(3 * slot_requests.MAX_WAITING):
        slot_requests.answer(folder, slot_requests.ask(folder, request()), Answer(done=True))
    assert len(list((folder / "requests").glob("*.answer"))) <= slot_requests.MAX_WAITING + 1


def test_a_command_and_its_answer_cost_no_sync(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a power cut nobody waits for the one or does the other."""

    def synced(_descriptor: int) -> None:
        raise AssertionError("synced")

    monkeypatch.setattr(os, "fsync", synced)
    name = slot_requests.ask(folder, request())
    slot_requests.answer(folder, name, Answer(done=True))
    assert slot_requests.answer_of(folder, name) == Answer(done=True)


def test_no_folder_no_requests(folder: Path) -> None:
    assert slot_requests.waiting(folder, NOW) == []
