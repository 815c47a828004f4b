"""Two real gateways that compare rosters while things go wrong: one is killed, one guesses, one has no leave.

Apart from `test_matching_live`, so that its gateways are stopped by now: also one that waits reckons.
"""

from __future__ import annotations

import functools
import os
import signal
from pathlib import Path

import pytest
from matching_world import Pair, Province, pair, person, until

pytestmark = pytest.mark.integration


def comes_to(both: Pair, step: int) -> bool:
    """Whether they have come so far; the second stands still, and gets a moment to go on only where they have not: else
    they might be done before this process has its turn.
    """
    tell(both.second, signal.SIGSTOP)
    if int(both.first.standing().get("step", 0)) >= step:
        return True
    tell(both.second, signal.SIGCONT)
    return False


def tell(province: Province, number: int) -> None:
    assert province.process is not None
    os.kill(province.process.pid, number)


def test_a_gateway_killed_in_the_middle_goes_on_where_it_was(tmp_path: Path) -> None:
    with pair(tmp_path) as both:
        both.first.pays(range(1500), tmp_path, "330700")
        both.second.pays([*range(1490, 2990)], tmp_path, "110100")
        tell(both.second, signal.SIGSTOP)
        both.first.match()
        for province, step in ((both.first, 6), (both.second, 20)):
            until(functools.partial(comes_to, both, step), f"step {step}", every_s=0.1)
            assert both.first.standing()["state"] == "RUNNING", "it was over before it could be killed"
            session = both.first.standing()["begun_at"]
            province.kill()
            province.start()
        both.until_done()
        assert both.first.standing()["begun_at"] == session, "it was begun anew"
        wanted = sorted(person(serial)[0] for serial in range(1490, 1500))
        for province in (both.first, both.second):
            assert sorted(each["id_number"] for each in province.duplicates()) == wanted


@pytest.mark.parametrize("guesses", ["first", "second"])
def test_a_guessed_list_of_everybody_is_stopped_with_an_alarm(tmp_path: Path, guesses: str) -> None:
    with pair(tmp_path) as both:
        guesser, other = (both.first, both.second) if guesses == "first" else (both.second, both.first)
        guesser.pays(range(2000), tmp_path, "330700")
        other.pays(range(500, 1500), tmp_path, "330700")
        both.first.match()
        until(lambda: both.first.alarmed() or both.second.alarmed(), "an alarm is raised")
        until(lambda: all(each.standing()["state"] == "STOPPED" for each in (both.first, both.second)), "both stopped")
        (alarm,) = both.first.alarms() or both.second.alarms()
        assert alarm["signal"] == "overlap"
        for province in (both.first, both.second):
            assert not province.duplicates()
            assert province.standing()["found"] == 0
        both.first.match()  # as long as the alarm stands nothing is compared again
        until(lambda: not both.first.standing()["wanted"], "it was looked at")
        until(lambda: both.first.standing()["state"] == "STOPPED", "it is stopped again")


def test_without_a_grant_nothing_leaves(tmp_path: Path) -> None:
    with pair(tmp_path, granted=False) as both:
        both.first.pays(range(10), tmp_path, "330700")
        both.first.match()
        until(lambda: not both.first.standing().get("wanted", True), "it was looked at")
        assert both.first.standing()["state"] == ""
        both.first.grant(both.second.member_id)  # one side alone does not do
        both.second.pays(range(10), tmp_path, "110100")

        stood = {}

        def refused() -> bool:
            both.first.want()
            stood.update(both.first.standing())  # wanted again, it is soon begun anew
            return bool(stood["state"] == "STOPPED")

        until(refused, "the other side refuses")
        assert stood["reason"] == "PURPOSE_NOT_PERMITTED"
        assert not both.first.duplicates()
        assert not both.second.duplicates()
