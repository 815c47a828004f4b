"""Malformed manifests, files and answers end in an error meant for that. `make fuzz` makes a million of them."""

from __future__ import annotations

from pathlib import Path

from tests.fuzz.running import run


def test_malformed_input_never_crashes(tmp_path: Path) -> None:
    found = run(tmp_path, 1_500, seed=7)
    assert found.crashes == []
    assert set(found.inputs) == {"xml", "json", "csv", "jsonl", "fixed", "sample", "manifest", "xlsx", "columns"}
    assert all(found.inputs.values())
