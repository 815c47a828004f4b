"""What is proposed from the departments' own sources, held against the manifests that somebody wrote for them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from adapters.manifest import Manifest, load_manifest, parse_manifest
from adapters.manifest.document import Document
from adapters.proposing import propose
from gateway.demo.systems import materialise, write_manifests
from gateway.demo.world import World

ENDPOINTS = dict.fromkeys(("public-security", "health", "face-authentication"), "http://127.0.0.1:1")
LEFT_OPEN = {"justice", "social-insurance"}
"""Their codes and tables are called by abbreviations: a register, until a person says more."""


@pytest.fixture(scope="module")
def manifests(small_world: World, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Manifest]:
    code = 420000
    config = materialise(small_world, code, tmp_path_factory.mktemp("province"), postgres=False)
    written = write_manifests(small_world.province(code), config, ENDPOINTS)
    return {path.stem: load_manifest(path) for path in written}


def place(records: object) -> str:
    """Where a record set is: its table, or the fixed beginning of its files' names."""
    files = getattr(records, "files", None)
    return files.pattern.partition("*")[0] if files is not None else str(getattr(records, "table", ""))


@pytest.mark.parametrize(
    "name",
    ["civil-affairs", "courts", "banks", "health-insurance", "justice", "transport", "social-insurance"],
)
def test_person_place_and_day_are_where_they_are(name: str, manifests: dict[str, Manifest]) -> None:
    real = manifests[name]
    if real.kind == "file":
        folder = Path(str(real.source.folder))
        samples: list[Path | str] = sorted(path for path in folder.iterdir() if path.stat().st_size > 200)
    else:
        samples = [real.source.url.get_secret_value()]  # type: ignore[union-attr]
    text = propose(*samples)
    proposed, errors, warnings = parse_manifest(Document(text, name))
    assert proposed is not None, [error.en for error in errors]
    assert not warnings, [warning.en for warning in warnings]
    assert proposed.department == real.department
    assert proposed.regions == real.regions
    compared = 0
    for records in real.records:
        found = next((one for one in proposed.records if place(one) == place(records)), None)
        if found is None:
            continue
        compared += 1
        assert proposed.identity_of(found).column == real.identity_of(records).column
        assert proposed.identity_of(found).name == real.identity_of(records).name
        if found.evidence.kinds():
            assert set(found.evidence.kinds()) & set(records.evidence.kinds()), (found.name, text)
            assert found.observed_on is not None
            assert records.observed_on is not None
            assert found.observed_on.column == records.observed_on.column
            if records.available_on is not None:
                assert found.available_on is not None, found.name
        else:
            assert name in LEFT_OPEN or "代码含义" in text or not records.evidence.kinds(), found.name
    assert compared, text


@pytest.mark.parametrize("name", ["public-security", "health", "face-authentication"])
def test_the_database_behind_an_interface_is_understood_as_well(name: str, manifests: dict[str, Manifest]) -> None:
    folder = manifests["civil-affairs"].folder.parent
    (database,) = (folder / name).glob("*.db")
    proposed, errors, _ = parse_manifest(Document(propose(f"sqlite:///{database}"), name))
    assert proposed is not None, [error.en for error in errors]
    assert proposed.department == manifests[name].department


def test_no_number_of_anybody_is_in_any_proposal(manifests: dict[str, Manifest]) -> None:
    folder = manifests["civil-affairs"].folder.parent
    for database in sorted(folder.glob("*/*.db")):
        assert not re.search(r"\d{15}", propose(f"sqlite:///{database}", language="en")), database.name
