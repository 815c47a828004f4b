"""What the run of the suite has in one process, and what that is for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.by_file import TOGETHER, ByFile

INTEGRATION = Path(__file__).parents[1] / "integration"


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("tests/unit/test_a.py::test_x", "tests/unit/test_a.py::test_y[a::b]", True),
        ("tests/unit/test_a.py::test_x", "tests/unit/test_b.py::test_x", False),
        (f"{TOGETHER[0]}a.py::test_x", f"{TOGETHER[0]}b.py::test_x", True),
        (f"{TOGETHER[0]}a.py::test_x", "tests/integration/test_a.py::test_x", False),
    ],
)
def test_tests_of_a_file_are_together_and_files_that_belong_together(one: str, other: str, together: bool) -> None:
    by_file = ByFile.__new__(ByFile)
    assert (by_file._split_scope(one) == by_file._split_scope(other)) is together


def test_whoever_needs_the_enrolled_provinces_is_with_the_others_who_do() -> None:
    """Enrolling takes a dozen seconds, in each process anew."""
    asking = re.compile(r"^(async )?def test_\w+\([^)]*\b(enrolment|federation): ", re.M)
    found = [file.name for file in INTEGRATION.glob("test_*.py") if asking.search(file.read_text("utf-8"))]
    assert len(found) > 3
    assert [name for name in found if not f"tests/integration/{name}".startswith(TOGETHER)] == []
