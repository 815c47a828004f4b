"""Federations for all integration tests of a process: one as `wugan demo up` starts it, one enrolled by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import runbook_world
from federation_world import SmallWorld
from runbook import Book, stopped_at_the_end
from runbook_world import Federation

from gateway.demo import launch


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallWorld]:
    """Two provinces, all departments, one person at least of nearly every case."""
    folder = tmp_path_factory.mktemp("federation") / "demo"
    demo = launch.up(folder, provinces=2, people=150, seed=11)
    try:
        yield SmallWorld(demo)
    finally:
        launch.down(folder)


@pytest.fixture(scope="session")
def enrolment(tmp_path_factory: pytest.TempPathFactory) -> tuple[Book, Federation]:
    """The page docs/operations/enrol.md, followed but for what is looked at in the end, and what came of it."""
    book, made = Book("enrol.md"), runbook_world.bare(tmp_path_factory.mktemp("enrolled"))
    with stopped_at_the_end(made.hosts):
        runbook_world.enrol_gateways(book, made)
        made.until_all_have_the_directory()
        for province in (made.beijing, made.zhejiang):
            runbook_world.enrol_agency(book, made, province)
    return book, made


@pytest.fixture
def federation(enrolment: tuple[Book, Federation], tmp_path: Path) -> Iterator[Federation]:
    """Two enrolled provinces and their authority, running: as they were just after they were enrolled."""
    with runbook_world.running(runbook_world.copied(enrolment[1], tmp_path / "federation")) as made:
        yield made
