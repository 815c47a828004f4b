"""What a machine lacks skips a test, but fails it in CI; there is one place that skips."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.needs import lacking, require_tools

TESTS = Path(__file__).resolve().parents[1]
SKIPS = re.compile(r"pytest\.(?:skip|importorskip|xfail)\(|mark\.(?:skip|skipif|xfail)\b")


def test_what_is_lacking_fails_in_ci_and_skips_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="CI has to have it"):
        lacking("a compiler")
    with pytest.raises(pytest.fail.Exception, match="no-such-program"):
        require_tools("no-such-program")
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="a compiler"):
        lacking("a compiler")
    require_tools("sh")


def test_no_test_skips_otherwise() -> None:
    own = {TESTS / "needs.py", Path(__file__).resolve()}
    found = [str(path) for path in TESTS.rglob("*.py") if path not in own and SKIPS.search(path.read_text("utf-8"))]
    assert not found, "use tests.needs.lacking, which fails in CI"
