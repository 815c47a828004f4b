"""What the user of a roster is told while it runs: among it, that a province holds it back."""

from __future__ import annotations

import polars as pl
import pytest

from gateway.cli import roster_show
from gateway.cli.roster_show import came_to, held_back
from gateway.roster.results.counting import Counts
from wugan.agency.v1 import roster_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

NEXT_MS = 1_795_000_000_000
"""2026-11-18 19:06:40 in Asia/Shanghai."""


def run(**changed: object) -> roster_pb2.RosterRun:
    found = roster_pb2.RosterRun(state=roster_pb2.ROSTER_STATE_RUNNING, asked=10, answered=5)
    about = found.provinces.add(
        member_name_zh="浙江",
        member_name_en="Zhejiang",
        waited_for=True,
        reason=words.REFUSAL_REASON_QUOTA_EXCEEDED,
        held_back=3,
        held_back_s=420,
        held_back_zh="查询人数过多",
        held_back_en="too many people",
    )
    about.next_try.FromMilliseconds(NEXT_MS)
    for name, value in changed.items():
        setattr(about, name, value)
    return found


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", "held back by Zhejiang 3 times, 0:07:00 in all, next try at 19:06:40: too many people"),
        ("zh", "浙江限制查询 3 次，共等待 0:07:00，19:06:40 再试：查询人数过多"),
    ],
)
def test_that_a_province_holds_the_roster_back_is_said_with_why_and_until_when(
    monkeypatch: pytest.MonkeyPatch, language: str, expected: str
) -> None:
    monkeypatch.setenv("WUGAN_LANG", language)
    assert held_back(run().provinces[0]) == expected
    assert expected in roster_show._told(run())


def test_once_it_goes_on_it_is_in_the_table_of_provinces_and_not_in_the_progress(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WUGAN_LANG", "en")
    gone_on = run(waited_for=False)
    assert "held back" not in roster_show._told(gone_on)
    (note,) = list(roster_show.provinces(gone_on).columns[-1].cells)
    assert note == "held back by Zhejiang 3 times, 0:07:00 in all: too many people"


def test_a_province_that_is_merely_away_is_not_said_to_hold_anything_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WUGAN_LANG", "en")
    away = run(reason=words.REFUSAL_REASON_PARTNER_UNAVAILABLE, held_back=0)
    assert roster_show._told(away) == "waiting for Zhejiang"


def test_a_share_is_called_whole_or_nothing_only_where_it_is_as_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WUGAN_LANG", "en")
    of = words.CertificationStatus.Value
    rows = {of("CERTIFICATION_STATUS_CERTIFIED"): 9_999, of("CERTIFICATION_STATUS_NEEDS_FACE"): 1}
    cube = pl.DataFrame({"certification": list(rows), "people": list(rows.values()), "overpaid": [0, 0]})
    shares = list(came_to(Counts(cube, {}, {}, {}, 0, 1)).columns[-1].cells)
    assert shares[:2] == ["99.9%", "<0.1%"]
