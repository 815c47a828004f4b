"""The page for the head of office: true to the counts, without anybody on it, on one sheet of A4."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import polars as pl
import pytest

from gateway.federation.regions import PROVINCES
from gateway.roster.results import headings
from gateway.roster.results.charts import Bar, rows, stacked
from gateway.roster.results.counting import _KEYS, _SUMS, Counting, Counts
from gateway.roster.results.rows import NOBODY_ASKED, result_rows
from gateway.roster.results.summary import page
from gateway.wording import Language
from tests.debian import installed
from tests.unit.roster.result_world import AS_OF_ON, BEIJING, MEMBERS, roster
from wugan.federation.v1 import vocabulary_pb2 as f


def counted(count: int = 2000) -> Counts:
    counting = Counting()
    for chunk in roster(count, 300):
        counting.add(chunk.people)
    return counting.counts({"REPEATED": 3}, rejected=4)


def words_of(html: str) -> str:
    class Words(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.found: list[str] = []

        def handle_data(self, data: str) -> None:
            self.found.append(data)

    parser = Words()
    parser.feed(html)
    return "\n".join(parser.found)


def test_counts_do_not_depend_on_how_the_roster_was_cut() -> None:
    whole = Counting()
    for chunk in roster(2000, 300):
        whole.add(chunk.people)
    everybody = pl.concat([chunk.people for chunk in roster(2000, 300)])
    counts = counted()
    assert counts.people == 2000
    assert counts.certified == everybody.filter(pl.col("certification") == 1).height
    assert counts.total("net_fen") == everybody["overpaid_net_fen"].sum()
    assert counts.total("partial") == everybody["partial"].sum()
    assert sum(counts.refusals.values()) == everybody.filter(pl.col("refusal") != 0).height
    one = Counting()
    one.add(everybody)
    assert one.counts({}, 0).cube.equals(counts.cube)
    assert counts.silent[BEIJING] == everybody.filter(pl.col("silent") == BEIJING).height


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_page_says_what_was_counted_and_names_nobody(language: Language) -> None:
    counts = counted()
    html = page(counts, "名册 <2026>", "社保&中心", AS_OF_ON, language, MEMBERS)
    said = words_of(html)
    assert f"{counts.people:,}" in said
    assert f"{counts.by('certification')[f.CERTIFICATION_STATUS_STOP_PROPOSED]:,}" in said
    assert f"{counts.certified * 1000 // counts.people / 10:.1f}%" in said
    assert "名册 <2026>" in said
    assert ("北京" if language == "zh" else "Beijing") in said
    for chunk in roster(2000, 300):
        for number, name in chunk.people.select("id_number", "name").iter_rows():
            assert number not in html
            assert name not in html
    assert not re.search(r"\d{15}", html)
    if language == "en":
        own = re.sub(r"<style>.*?</style>|名册|社保|中心", "", html, flags=re.S)
        assert not re.search(r"[\u4e00-\u9fff]", own)


def test_nothing_is_fetched_and_nothing_runs() -> None:
    html = page(counted(), "", "", AS_OF_ON, "zh", MEMBERS)
    assert not re.search(r"<script|<link|<img|<iframe|@import|url\(|\bon\w+=|https?:", html)
    assert "default-src 'none'" in html


def test_every_chart_can_be_read_without_seeing_it() -> None:
    html = page(counted(), "", "", AS_OF_ON, "zh", MEMBERS)
    charts = re.findall(r"<svg.*?</svg>", html, re.S)
    assert len(charts) == 2
    for chart in charts:
        root = ET.fromstring(chart)
        assert root.attrib["role"] == "img"
        told = {node.attrib["id"]: node.text for node in root if "id" in node.attrib}
        title, description = (told[name] for name in root.attrib["aria-labelledby"].split())
        assert title
        assert description
        assert "已认证" in description or "生存（强）" in description
    names = re.findall(r'\bid="([^"]+)"', html)
    assert len(names) == len(set(names))


def test_bars_are_true_to_scale_and_hold_strange_labels() -> None:
    bars = [Bar("a<b", 30, "30 & more", "#000000"), Bar("c", 10, "10", "#111111"), Bar("none", 0, "0", "#222222")]
    root = ET.fromstring(stacked("x", "t", bars, 400))
    widths = [float(node.attrib["width"]) for node in root if node.attrib.get("fill", "#fff") != "#fff"]
    assert widths == [300, 100]
    root = ET.fromstring(rows("y", "t", bars, 400))
    lengths = [
        float(node.attrib["width"]) for node in root if node.attrib.get("fill") in ("#000000", "#111111", "#222222")
    ]
    assert lengths[0] == pytest.approx(3 * lengths[1], abs=0.02)
    assert lengths[2] == 0
    assert ET.fromstring(stacked("z", "t", [])).tag == "svg"


def test_a_share_is_a_hundred_only_where_it_is() -> None:
    cube = pl.DataFrame(
        [(1, 420000, 1, 1, 99_999, 0, 0, 0, 0, 0, 0), (1, 420000, 5, 4, 1, 0, 0, 0, 0, 0, 0)],
        schema=dict.fromkeys(_KEYS, pl.Int32) | dict.fromkeys(_SUMS, pl.Int64),
        orient="row",
    )
    said = words_of(page(Counts(cube, {}, {}, {}, 0, 1), "", "", AS_OF_ON, "zh", {}))
    assert "99.9%" in said
    assert "100.0%" not in said
    assert "<0.1%" in said


def test_an_empty_roster_has_a_page() -> None:
    assert "全部获得答复" in page(Counting().counts({}, 0), "", "", AS_OF_ON, "zh", {})


def fullest() -> Counts:
    """Everything that a page can be full of: 310 million people of every province, benefit and state."""
    states = [(1, 1), (2, 2), (3, 3), (4, 5), (4, 6), (4, 7), (5, 4), (2, 8), (0, 0)]
    cells = [
        (
            benefit,
            province,
            certification,
            status,
            980_000 if status == 1 else 40_000,
            5,
            10,
            40,
            9 * 10**9,
            10**7,
            899 * 10**7,
        )
        for benefit in range(1, 8)
        for province in PROVINCES
        for certification, status in states
    ]
    schema = dict.fromkeys(_KEYS, pl.Int32) | dict.fromkeys(_SUMS, pl.Int64)
    silent = {f"{member}/{department}": 1000 * department for member in MEMBERS for department in range(1, 10)}
    refusals = {reason: 1000 * reason for reason in (7, 8, 18, 19, 20, 21, 25)}
    cube = pl.DataFrame(cells, schema=schema, orient="row")
    return Counts(cube, refusals, silent, dict.fromkeys(headings.FINDINGS, 12_345), 4321, 200)


CHROMIUM = "usr/bin/chromium"


def has_chromium(root: Path) -> bool:
    return (root / CHROMIUM).is_file()


@pytest.mark.slow
@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_fullest_page_prints_on_one_sheet(tmp_path: Path, language: Language) -> None:
    browser = shutil.which("google-chrome") or str(installed("chromium", ["chromium"], has_chromium) / CHROMIUM)
    html = tmp_path / "page.html"
    html.write_text(
        page(fullest(), "2026年度异地待遇领取人员名册", "社会保险事业管理中心", AS_OF_ON, language, MEMBERS), "utf-8"
    )
    printed = tmp_path / "page.pdf"
    subprocess.run(
        [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-pdf-header-footer",
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--print-to-pdf={printed}",
            html.as_uri(),
        ],
        check=True,
        capture_output=True,
        timeout=300,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    assert len(re.findall(rb"/Type\s*/Page\b", printed.read_bytes())) == 1


def test_who_was_not_asked_about_is_told_apart_from_whom_nobody_there_knows() -> None:
    chunk = next(iter(roster(4, 4)))
    refused = chunk.people.with_columns(
        refusal=pl.lit(f.REFUSAL_REASON_NOT_SERVED, pl.Int16),
        members=pl.Series(["", "", BEIJING, ""]),
        status=pl.lit(0, pl.Int16),
    )
    rows = result_rows(replace(chunk, people=refused), "en", AS_OF_ON, MEMBERS)
    assert [why[:9] for why in rows["not_answered_why"]] == ["not asked", "not asked", "no source", "not asked"]
    counting = Counting()
    counting.add(refused)
    assert counting.counts({}, 0).refusals == {NOBODY_ASKED: 3, f.REFUSAL_REASON_NOT_SERVED: 1}
