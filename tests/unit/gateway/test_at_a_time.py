"""A gateway knows how many questions it has at a time, also where they come in one message of a partner."""

from __future__ import annotations

import pytest

from gateway.app.working import AtATime
from gateway.observing import metrics


def exchanged(messages: int, questions: int) -> None:
    """So many questions of partners were dealt with, some refused, in so many messages."""
    for number in range(messages):
        metrics.CALLS.add("Exchange", "OK" if number % 3 else "NOT_SERVED")
    for number in range(questions):
        metrics.QUESTIONS.add(f"partner-{number % 2}", "OK" if number % 5 else "NOT_SERVED")


@pytest.mark.parametrize(
    ("calls", "messages", "questions", "at_a_time"),
    [
        (0, 0, 0, 0.0),
        (7, 0, 0, 7.0),
        (0, 40, 41, 1.0),
        (0, 2, 3, 1.0),  # of which the last one's message is not through
        (1, 40, 101, 2.5),
        (3, 40, 101, 3.0),
        (1, 0, 21, 20.0),  # over a stream
        (1, 5, 0, 1.0),  # of which none could be read
    ],
)
def test_it_is_by_calls_under_way_or_by_questions_in_a_message(
    calls: int, messages: int, questions: int, at_a_time: float
) -> None:
    exchanged(messages=2, questions=50)
    ask = AtATime(lambda: calls)
    exchanged(messages, questions)
    metrics.CALLS.add("Check", "OK")
    assert ask() == at_a_time
    assert ask() == calls, "what was before it was last asked counts no more"
