"""The templates for the departments: every one is sound, and between them they cover the catalogue."""

from __future__ import annotations

from pathlib import Path

import pytest

import adapters
from adapters.manifest import load_manifest_fully
from adapters.manifest.usual import USUAL_KINDS
from wugan.adapter.v1 import vocabulary_pb2 as words

FOLDER = Path(adapters.__file__).parent / "departments"
TEMPLATES = sorted(FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_a_template_is_sound_and_without_warnings(path: Path) -> None:
    manifest, errors, warnings = load_manifest_fully(path)
    assert manifest is not None, [error.en for error in errors]
    assert not warnings, [warning.en for warning in warnings]
    assert manifest.adapter_id == path.stem
    assert all(records.title for records in manifest.records)
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# "), "a template begins by saying what it is"


def test_every_department_and_kind_of_source_has_a_template() -> None:
    loaded = [load_manifest_fully(path)[0] for path in TEMPLATES]
    manifests = [manifest for manifest in loaded if manifest is not None]
    assert sorted(manifest.department for manifest in manifests) == sorted(set(words.Department.values()) - {0})
    assert {manifest.kind for manifest in manifests} == {"api", "table", "file"}


def test_the_templates_cover_every_evidence_kind_of_the_catalogue() -> None:
    offered: set[int] = set()
    for path in TEMPLATES:
        manifest, _, _ = load_manifest_fully(path)
        assert manifest is not None
        offered |= {item.kind for item in manifest.description().items}
    missing = set(words.EvidenceKind.values()) - {0} - offered
    assert {words.EvidenceKind.Name(kind) for kind in missing} <= {"EVIDENCE_KIND_RESIDENCE_MOVED"}


def test_every_evidence_kind_is_usual_somewhere() -> None:
    assert set(words.EvidenceKind.values()) - {0} == set().union(*USUAL_KINDS.values())
