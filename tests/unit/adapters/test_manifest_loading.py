"""Manifests: what is accepted, and how the rest is refused: file, line, setting, both languages, no secret."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.build import build
from adapters.errors import ManifestError
from adapters.manifest import document, load_manifest, load_manifest_fully, parse_manifest
from adapters.manifest.document import MAX_BYTES, Document, Plain
from tests.unit.adapters.adapters_world import manifest_in
from wugan.adapter.v1 import vocabulary_pb2 as words

SOUND = """\
manifest: 1
adapter_id: civil-affairs
version: 1.10
department: CIVIL_AFFAIRS
regions: [330000]
kind: table
source:
  url: sqlite:///civil.db
identity: {column: id_no, name: full_name}
records:
  - name: cremations
    table: cremation
    evidence: CREMATION
    observed_on: {column: cremated, formats: ["%Y%m%d"]}
    strength: REAL_NAME
    freshness_days: 15
  - name: subsidies
    table: subsidy
    evidence: {column: kind, codes: {01: OLD_AGE_SUBSIDY, no: ignore}}
    observed_on: paid
    strength: {column: way, codes: {1: IN_PERSON}, otherwise: ACCOUNT}
"""


def first_error(text: str) -> ManifestError:
    try:
        _, errors, _ = parse_manifest(Document(text, "m.yaml"))
    except ManifestError as error:
        return error
    assert errors, "the manifest was accepted"
    return errors[0]


def changed(old: str, new: str) -> ManifestError:
    assert old in SOUND
    return first_error(SOUND.replace(old, new, 1))


def test_a_sound_manifest_describes_what_it_offers(tmp_path: Path) -> None:
    about = manifest_in(tmp_path, SOUND).description()
    assert (about.adapter_id, about.version, about.regions) == ("civil-affairs", "1.10", (330000,))
    assert about.department == words.DEPARTMENT_CIVIL_AFFAIRS
    offered = {item.kind: (item.strength, item.freshness_days) for item in about.items}
    assert offered == {
        words.EVIDENCE_KIND_CREMATION: (words.STRENGTH_REAL_NAME, 15),
        words.EVIDENCE_KIND_OLD_AGE_SUBSIDY: (words.STRENGTH_ACCOUNT, 0),
    }


def test_codes_stay_the_text_that_was_written(tmp_path: Path) -> None:
    codes = manifest_in(tmp_path, SOUND).records[1].evidence.codes
    assert codes == {"01": words.EVIDENCE_KIND_OLD_AGE_SUBSIDY, "no": 0}


@pytest.mark.parametrize(
    ("old", "new", "line", "setting", "says"),
    [
        ("department: CIVIL_AFFAIRS", "department: CIVIL_AFAIRS", 4, "department", "did you mean CIVIL_AFFAIRS"),
        ("kind: table", "kind: tables", 6, "kind", "one of"),
        ("kind: table\n", "", 1, "kind", "missing"),
        ("evidence: CREMATION", "evidence: CREMATON", 13, "records[0].evidence.fixed", "did you mean CREMATION"),
        ("    table: cremation\n", "", 11, "records[0]", "exactly one of: table, query"),
        ("freshness_days: 15", "freshnes_days: 15", 16, "records[0].freshnes_days", "did you mean freshness_days"),
        ("freshness_days: 15", "freshness_days: soon", 16, "records[0].freshness_days", "whole number"),
        ('"%Y%m%d"', '"%d.%m.%y"', 14, "records[0].observed_on.formats[0]", "date format"),
        ('"%Y%m%d"', '"%Y%m"', 14, "records[0].observed_on.formats[0]", "whole day"),
        ("  url: sqlite:///civil.db", "  uri: x", 7, "source.url", "missing"),
        ("regions: [330000]", "regions: [33]", 5, "regions[0]", "at least 110000"),
        ("manifest: 1", "manifest: 2", 1, "manifest", "format 1"),
        ("name: subsidies", "name: cremations", 17, "records[1].name", "used twice"),
        ("name: subsidies", "name: links", 17, "records[1].name", "kept for"),
        ("    strength: REAL_NAME\n", "", 11, "records[0]", "needs a `strength`"),
        (
            "observed_on: paid",
            "observed_on: paid\n    source_reference: id_no",
            21,
            "records[1].source_reference",
            "never",
        ),
        ("identity: {", "timezone: Mars/Base\nidentity: {", 9, "timezone", "time zone"),
        ("manifest: 1", "manifest: 1\nversion: 3", 4, "version", "twice"),
        ("table: cremation", "query: DELETE FROM cremation", 11, "records[0]", "one SELECT"),
    ],
)
def test_an_error_names_line_setting_and_remedy(old: str, new: str, line: int, setting: str, says: str) -> None:
    error = changed(old, new)
    assert (error.line, error.setting) == (line, setting)
    assert says in error.en
    assert error.en.startswith(f"m.yaml:{line}: {setting}: ")
    assert any("\u4e00" <= char <= "\u9fff" for char in error.zh), "no Chinese text"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: &x 1\nb: *x\n", "anchors"),
        ("a: !!python/object/apply:os.system [id]\n", "tags"),
        ("a: [" * 50 + "]" * 50, "nested"),
        ("[" * 100_000, "nested"),
        ("a: b: c", "not valid YAML"),
        ("- 1\n- 2\n", "mapping"),
        ("", "mapping"),
        ("{? [1, 2] : 3}", "plain text"),
        ("a: \x00", "not YAML"),
        ("? ", "kind"),
    ],
)
def test_what_is_not_a_plain_mapping_is_refused(text: str, says: str) -> None:
    assert says in first_error(text).en


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(ManifestError, match="larger than"):
        load_manifest(path)


def test_a_file_that_is_not_utf8_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_bytes(SOUND.replace("civil.db", "民政.db").encode("gb18030"))
    with pytest.raises(ManifestError, match=r"m\.yaml:8: .*UTF-8"):
        load_manifest(path)


def test_a_missing_file_is_a_manifest_error(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be read"):
        load_manifest(tmp_path / "none.yaml")


def test_evidence_of_another_department_is_warned_of_but_allowed(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(SOUND.replace("evidence: CREMATION", "evidence: HOTEL_STAY"), encoding="utf-8")
    manifest, errors, warnings = load_manifest_fully(path)
    assert manifest is not None
    assert not errors
    assert [warning.line for warning in warnings] == [13]
    assert "HOTEL_STAY" in warnings[0].en


SECRET = "hunter2-very-secret"


def test_a_secret_is_never_shown(tmp_path: Path) -> None:
    text = SOUND.replace("sqlite:///civil.db", f"postgresql+psycopg://u:{SECRET}@h/d")
    manifest = manifest_in(tmp_path, text)
    assert SECRET not in repr(manifest)
    assert SECRET not in manifest.model_dump_json()
    for broken in (text.replace("kind: table", "kind: file"), text.replace("  url: ", "  schema: 1\n  uri: ")):
        _, errors, _ = parse_manifest(Document(broken, "m.yaml"))
        assert errors
        assert SECRET not in " ".join(error.en + error.zh + repr(error) for error in errors)
    assert SECRET not in str(first_error(f"a: [{SECRET}"))


async def test_a_secret_comes_from_the_environment_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = manifest_in(tmp_path, SOUND.replace("sqlite:///civil.db", "${CIVIL_URL}"))
    with pytest.raises(ManifestError, match=r"manifest\.yaml:8: source\.url: the environment variable CIVIL_URL"):
        build(manifest, tmp_path)
    monkeypatch.setenv("CIVIL_URL", "sqlite:///civil.db")
    await build(manifest, tmp_path).close()
    (tmp_path / "url.secret").write_text("sqlite:///civil.db\n")
    (tmp_path / "url.secret").chmod(0o640)
    from_file = manifest_in(tmp_path, SOUND.replace("sqlite:///civil.db", "file:url.secret"))
    with pytest.raises(ManifestError, match=r"manifest\.yaml:8: source\.url: .*chmod 600") as refused:
        build(from_file, tmp_path)
    assert "chmod 600" in refused.value.zh
    (tmp_path / "url.secret").chmod(0o600)
    await build(from_file, tmp_path).close()


def test_a_password_inside_a_url_is_encoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = manifest_in(tmp_path, SOUND.replace("sqlite:///civil.db", "postgresql+psycopg://u:${PW}@h/d"))
    monkeypatch.setenv("PW", "a@b/c")
    assert manifest.kind == "table"
    revealed = manifest.reveal(manifest.source.url, ("source", "url"), url=True)
    assert revealed == "postgresql+psycopg://u:a%40b%2Fc@h/d"


def test_plain_http_is_for_this_machine_only() -> None:
    text = SOUND.replace("kind: table", "kind: api").replace("url: sqlite:///civil.db", "base_url: http://10.0.0.1")
    assert "https" in first_error(text).en


@settings(max_examples=150, deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=80), st.integers(0, len(SOUND)), st.integers(0, 40))
def test_a_damaged_manifest_is_accepted_or_refused_but_never_crashes(junk: str, at: int, gone: int) -> None:
    text = SOUND[:at] + junk + SOUND[at + gone :]
    try:
        manifest, errors, _ = parse_manifest(Document(text, "m.yaml"))
    except ManifestError as error:
        manifest, errors = None, [error]
    assert (manifest is None) == bool(errors)
    assert all(error.line >= 1 for error in errors)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("50", 50),
        ("0.5", 0.5),
        ("true", True),
        ("no", False),
        ("010", 10),
        ('"50"', "50"),
        ("'true'", "true"),
        ("a", "a"),
    ],
)
def test_a_value_of_free_form_is_as_yaml_reads_it_and_quoted_text_stays_text(written: str, meant: object) -> None:
    value = Document(f"body: {{limit: {written}}}", "m.yaml").values["body"]
    assert isinstance(value, dict)
    limit = value["limit"]
    found = limit.typed() if isinstance(limit, Plain) else limit
    assert (found, type(found)) == (meant, type(meant))


def _told(value: object) -> object:
    """A value with what YAML would have made of it."""
    if isinstance(value, dict):
        return {key: _told(inside) for key, inside in value.items()}
    if isinstance(value, list):
        return [_told(inside) for inside in value]
    return (str(value), value.tag) if isinstance(value, Plain) else value


@given(st.text(max_size=200) | st.from_regex(r"([a-c]: [\[{\"'0-9a-z, ]*\n)+", fullmatch=True))
def test_the_parser_in_c_reads_what_the_other_reads(text: str) -> None:
    def read() -> object:
        try:
            return _told(Document(text, "m.yaml").values)
        except ManifestError:
            return None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(document, "_Parser", yaml.SafeLoader)
        slow = read()
    assert read() == slow
