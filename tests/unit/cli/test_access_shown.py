"""Grants as people read them: every word in the language of the screen."""

from __future__ import annotations

import re

import pytest

from gateway.access.ledger import Grant, Ledger
from gateway.access.people import ACTIVE, GONE, PROPOSED
from gateway.access.terms import BENEFIT_NAMES, PURPOSE_NAMES, Quotas, Scope, Terms, Thresholds
from gateway.cli import access_shown
from gateway.cli.access_explain import described
from gateway.cli.member_names import MemberNames

MEMBER = "11330000002482285J"
NOW_MS = 1_790_000_000_000


def terms() -> Terms:
    return Terms(
        member=MEMBER,
        units=frozenset({"110100"}),
        purposes=frozenset(PURPOSE_NAMES.values()),
        benefits=frozenset(BENEFIT_NAMES.values()),
        scope=Scope(None, (330000,)),
        quotas=Quotas(day=1_000_000),
        roster=500_000,
        from_ms=NOW_MS - 1,
        until_ms=NOW_MS + 86_400_000,
        why="年度认证",
    )


@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_grant_is_shown_in_the_language_of_the_screen(monkeypatch: pytest.MonkeyPatch, language: str) -> None:
    monkeypatch.setenv("WUGAN_LANG", language)
    ledger = Ledger(MEMBER, Thresholds(people_a_day=10, purposes=frozenset(), kinds=frozenset()))
    grant = Grant(1, terms(), "zhang", NOW_MS)
    text = "\n".join(access_shown.lines(described(ledger, grant, NOW_MS), MemberNames({})))
    assert ("待批准" in text) == (language == "zh")
    assert ("多" in text) == (language == "zh")
    if language == "zh":
        shown = re.sub(r"11330000002482285J|g1|zhang|[0-9:T+-]+", "", text)
        assert not re.findall("[A-Za-z]{2,}", shown)
    else:
        assert "waits for a second person: many people a day, sensitive evidence" in text
        assert "1000000" in text


def test_every_state_has_a_word() -> None:
    assert {PROPOSED, ACTIVE, GONE, "withdrawn", "expired", "waiting"} == set(access_shown.STATES)
