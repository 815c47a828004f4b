"""The templates for the departments: every one is sound, and between them they cover the catalogue."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

import adapters
from adapters.build import build
from adapters.manifest import load_manifest, load_manifest_fully, parse_manifest
from adapters.manifest.document import Document
from adapters.manifest.usual import USUAL_KINDS
from tests.unit.adapters.adapters_world import ask, holders, rows
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
    assert not {words.EvidenceKind.Name(kind) for kind in missing}


PAGES = FOLDER.parents[1] / "docs" / "adapters" / "departments"


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_every_department_has_a_page_that_agrees_with_its_template(path: Path) -> None:
    manifest = load_manifest(path)
    text = (PAGES / f"{path.stem}.md").read_text("utf-8")
    told = re.findall(r"^\| `([\w-]+)` \| ([\w, ]+|–) \| (\d+|–) \|", text, re.M)
    expected = []
    for records in manifest.records:
        kinds = [words.EvidenceKind.Name(words.EvidenceKind.ValueType(kind)) for kind in records.evidence.kinds()]
        listed = ", ".join(kind.removeprefix("EVIDENCE_KIND_") for kind in kinds) or "–"
        expected.append((records.name, listed, str(records.freshness_days) if kinds else "–"))
    assert told == expected, f"{path.stem}.md: the table of record sets differs from the template"
    assert f"kind: {manifest.kind}" in text
    for heading in ("## What it holds", "## What goes wrong", "## Mapping"):
        assert heading in text, f"{path.stem}.md has no {heading}"


def test_every_evidence_kind_is_usual_somewhere() -> None:
    assert set(words.EvidenceKind.values()) - {0} == set().union(*USUAL_KINDS.values())


async def test_the_tutorials_example_answers_as_the_tutorial_says(tmp_path: Path) -> None:
    root = FOLDER.parents[1]
    shutil.copytree(root / "examples" / "adapters" / "burials", tmp_path / "burials")
    path = tmp_path / "burials" / "manifest.yaml"
    path.write_text(path.read_text("utf-8").replace("{folder: drop}", "{folder: drop, settle_s: 0}"), "utf-8")
    built = build(load_manifest(path), tmp_path / "state")
    await built.check()
    answer = await built.lookup(ask("33070219410101001X", "330702194101010028", "330702194101010036"))
    assert [(row[0], row[2], row[3]) for row in rows(answer)] == [
        (0, "2026-02-15", "B26-001"),
        (1, "2026-02-20", "B26-002"),
        (2, "2026-03-18", "B26-003"),
    ]
    assert [name for _, _, name in holders(answer)] == ["张建国", "买买提·吐尔逊", "欧阳秀英"]
    await built.close()


def test_the_manifests_in_the_documents_are_sound() -> None:
    for name in ("tutorial.md", "manifest.md"):
        text = (FOLDER.parents[1] / "docs" / "adapters" / name).read_text("utf-8")
        whole = [block for block in re.findall(r"```yaml\n(.*?)```", text, re.S) if block.startswith("manifest: 1")]
        assert whole, f"{name} shows no manifest"
        for block in whole:
            manifest, errors, _ = parse_manifest(Document(block, name))
            assert manifest is not None, [error.en for error in errors]
