"""A gateway knows how many questions it has at a time, also where they come in one message of a partner."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from gateway.app.working import AtATime
from gateway.inquiry.exchange import Exchange


@pytest.mark.parametrize(
    ("calls", "messages", "questions", "at_a_time"),
    [
        (0, 0, 0, 0.0),
        (7, 0, 0, 7.0),
        (0, 40, 40, 1.0),
        (1, 40, 100, 2.5),
        (3, 40, 100, 3.0),
    ],
)
def test_it_is_by_calls_under_way_or_by_questions_in_a_message(
    calls: int, messages: int, questions: int, at_a_time: float
) -> None:
    exchange = SimpleNamespace(messages=0, questions=0)
    ask = AtATime(lambda: calls, cast("Exchange", exchange))
    exchange.messages, exchange.questions = 2, 50
    ask()
    exchange.messages += messages
    exchange.questions += questions
    assert ask() == at_a_time
    assert ask() == calls, "what was before it was last asked counts no more"
