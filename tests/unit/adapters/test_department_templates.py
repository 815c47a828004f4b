"""The templates for the departments: every one is sound, and between them they cover the catalogue."""

from __future__ import annotations

import contextlib
import re
import shutil
import sqlite3
from pathlib import Path

import pytest

import adapters
from adapters.build import build
from adapters.contract import ChangeFeed
from adapters.manifest import Manifest, load_manifest, load_manifest_fully, parse_manifest
from adapters.manifest.document import Document
from adapters.manifest.model import ApiManifest, TableManifest
from adapters.manifest.usual import USUAL_KINDS
from gateway.rules.kinds import FIRST_EVENT
from tests.unit.adapters.adapters_world import ANNA, BO, ask, holders, rows
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


NOT_FOLLOWED = {"banks": "asked for one person at a time; what is frozen or closed is found when it is asked"}
"""Templates that tell of no changes though they have events, and why."""


def events(manifest: Manifest) -> dict[str, bool]:
    """Record set → whether a row of it may end or change entitlement."""
    return {records.name: any(kind >= FIRST_EVENT for kind in records.evidence.kinds()) for records in manifest.records}


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_a_template_tells_of_changes_in_whatever_ends_or_changes_entitlement(path: Path) -> None:
    """What pays people in another province would otherwise hear of no death, sentence or parole before it asks."""
    manifest = load_manifest(path)
    with_events = events(manifest)
    if path.stem in NOT_FOLLOWED or not any(with_events.values()):
        assert not manifest.description().changes, "then it need not be excepted"
        return
    assert manifest.description().changes
    if isinstance(manifest, ApiManifest):
        return  # one operation tells of all of them
    followed = {records.name: bool(getattr(records, "changes", None)) for records in manifest.records}
    assert followed == with_events, "events are followed; traces, which are many and end nothing, are not"


def test_the_departments_whose_records_alarm_are_followed() -> None:
    told = {path.stem for path in TEMPLATES if load_manifest(path).description().changes}
    assert told >= {"civil-affairs", "public-security", "courts", "justice", "health"}


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_a_withdrawn_record_is_left_out_by_only_and_so_is_told_of(path: Path) -> None:
    """A row that goes without a trace is not seen by a growing column; nor is one that the query itself leaves out."""
    manifest = load_manifest(path)
    if not isinstance(manifest, TableManifest):
        return
    for records in manifest.records:
        if records.changes is None:
            continue
        assert records.only is not None, records.name
        assert records.changes.form == "time", "by the day alone, a second writing on one day would be missed"
        assert records.query is None or "where" not in records.query.lower(), records.name


async def test_both_spouses_of_a_marriage_are_told_of(tmp_path: Path) -> None:
    """The template's own SELECT, on a database that writes the key and the time of writing in its own way."""
    text = (FOLDER / "civil-affairs.yaml").read_text("utf-8")
    place = tmp_path / "marriages.yaml"
    head, _, rest = text.partition("records:\n")
    url = next(line for line in head.splitlines() if line.startswith("  url:"))
    only = rest[rest.index("  - name: marriages") : rest.index("  - name: adoptions")]
    written = f"{head.replace(url, '  url: sqlite:///marriages.db')}records:\n{only}"
    spelt = {
        "CONCAT(id, '-1')": "id || '-1'",
        "CONCAT(id, '-2')": "id || '-2'",
        "form: time": "form: '%Y-%m-%d %H:%M:%S'",
    }
    for theirs, here in spelt.items():
        assert theirs in written, theirs
        written = written.replace(theirs, here)
    place.write_text(written, "utf-8")
    columns = "id, man_id, man_name, woman_id, woman_name, op_type, op_date, reg_area, cert_no, del_flag, update_time"
    with contextlib.closing(sqlite3.connect(tmp_path / "marriages.db")) as database, database:
        database.execute(f"CREATE TABLE hy_register ({columns})")
    built = build(load_manifest(place), tmp_path / "state")
    assert isinstance(built, ChangeFeed)
    cursor = (await built.changes(b"", 1)).cursor
    row = ("7", ANNA, "安", BO, "博", "IA", "2026-11-17", "330100", "J330100-1", "0", "2026-11-18 08:00:00")
    with contextlib.closing(sqlite3.connect(tmp_path / "marriages.db")) as database, database:
        database.execute(f"INSERT INTO hy_register VALUES ({', '.join('?' * len(row))})", row)
    told, more = [], True
    while more:  # one at a time, so that a page ends between the two
        changed = await built.changes(cursor, 1)
        told += changed.id_number
        cursor, more = changed.cursor, changed.more
    assert sorted(told) == sorted([ANNA, BO])
    assert len(rows(await built.lookup(ask(ANNA, BO)))) == 2
    with contextlib.closing(sqlite3.connect(tmp_path / "marriages.db")) as database, database:
        database.execute("UPDATE hy_register SET del_flag = '1', update_time = '2026-11-18 09:00:00'")
    assert sorted((await built.changes(cursor, 10)).id_number) == sorted([ANNA, BO])
    assert rows(await built.lookup(ask(ANNA, BO))) == []
    await built.close()


PAGES = FOLDER.parents[1] / "docs" / "adapters" / "departments"


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_a_page_says_what_its_template_tells_of_changes(path: Path) -> None:
    text = (PAGES / f"{path.stem}.md").read_text("utf-8")
    assert text.count("## Changes") == 1, "whether and how changes are told"
    told = text.partition("## Changes")[2]
    assert "manifest.md#changes" in told
    if load_manifest(path).description().changes:
        assert "`changes" in told
    else:
        assert "tells of no changes" in told


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
