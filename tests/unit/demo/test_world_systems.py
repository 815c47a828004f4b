from __future__ import annotations

import csv
import json
import sqlite3
import stat
from pathlib import Path

import pytest

from adapters.manifest import load_manifest_fully
from gateway.demo.cases import CASES
from gateway.demo.systems import DEPARTMENTS, SystemsConfig, materialise, read_config, write_manifests
from gateway.demo.world import World
from gateway.errors import ConfigError

ENDPOINTS = {
    "public-security": "http://127.0.0.1:1001",
    "health": "http://127.0.0.1:1002",
    "face-authentication": "http://127.0.0.1:1003",
}


@pytest.fixture(scope="module")
def filled(town: World, tmp_path_factory: pytest.TempPathFactory) -> SystemsConfig:
    return materialise(town, 330000, tmp_path_factory.mktemp("zhejiang"), postgres=False)


def data_files(folder: Path) -> dict[str, bytes]:
    """What departments hold; workbooks carry the time of writing, credentials are drawn anew."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix in {".db", ".csv"}
    }


def test_the_same_world_fills_the_same_bytes(small_world: World, tmp_path: Path) -> None:
    first, second = (
        data_files(materialise(small_world, 420000, tmp_path / name).folder) for name in ("first", "second")
    )
    assert first == second
    assert len(first) >= 10


def test_nothing_of_it_is_open_to_others(filled: SystemsConfig) -> None:
    for path in filled.folder.rglob("*"):
        if path.is_file():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_the_settings_come_back_as_they_were_written(filled: SystemsConfig) -> None:
    assert read_config(filled.path) == filled


@pytest.mark.parametrize("text", ["", "{}", '{"province": 1, "folder": "x", "http": [{}], "postgres": true}'])
def test_other_files_are_no_settings(tmp_path: Path, text: str) -> None:
    (tmp_path / "systems.json").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError):
        read_config(tmp_path / "systems.json")


def test_the_settings_hold_no_credential(filled: SystemsConfig) -> None:
    text = filled.path.read_text(encoding="utf-8")
    secrets = [path.read_text(encoding="utf-8") for path in (filled.folder / "secrets").iterdir()]
    assert len(secrets) == 3
    assert not [secret for secret in secrets if secret in text]


def test_no_department_knows_the_truth(filled: SystemsConfig) -> None:
    held = b"".join(data_files(filled.folder).values())
    assert not [case.label for case in CASES if case.label.encode() in held and "_" in case.label]


def test_civil_affairs_writes_gb18030_with_a_bom_and_some_spoilt_rows(filled: SystemsConfig) -> None:
    file = next((filled.folder / "civil-affairs" / "drop").glob("高龄津贴_*.csv"))
    data = file.read_bytes()
    assert data.startswith(b"\x84\x31\x95\x33")
    header, *rows = csv.reader(data.decode("gb18030").removeprefix("\ufeff").splitlines())
    assert header[2] == "身份证号"
    spoilt = [row for row in rows if len(row) < len(header) or not row[2] or "13月" in row[3]]
    assert spoilt
    assert len(spoilt) < len(rows) * 0.1


def test_health_insurance_writes_a_small_x_and_marks_reversals(filled: SystemsConfig) -> None:
    with sqlite3.connect(filled.folder / "health-insurance" / "settlement.db") as database:
        numbers = [number for (number,) in database.execute("SELECT psn_certno FROM setl_d")]
        flags = {flag for (flag,) in database.execute("SELECT DISTINCT vali_flag FROM setl_d")}
    assert any(number.endswith("x") for number in numbers)
    assert not any(number.endswith("X") for number in numbers)
    assert flags == {"0", "1"}


def test_old_citizen_cards_stand_under_fifteen_digits(filled: SystemsConfig) -> None:
    with sqlite3.connect(filled.folder / "transport" / "keyun.db") as database:
        lengths = {length for (length,) in database.execute("SELECT DISTINCT length(zjhm) FROM smk_jyjl")}
    assert lengths == {15, 18}


def test_every_manifest_is_sound_and_usual(town: World, filled: SystemsConfig) -> None:
    manifests = write_manifests(town.province(330000), filled, ENDPOINTS)
    assert [path.stem for path in manifests] == list(DEPARTMENTS)
    for path in manifests:
        manifest, errors, warnings = load_manifest_fully(path)
        assert manifest is not None
        assert [error.en for error in errors + warnings] == []
        assert manifest.adapter_id == path.stem
        assert manifest.regions == (330000,)


def test_health_insurance_is_where_the_ready_file_says(town: World, filled: SystemsConfig) -> None:
    def url(endpoints: dict[str, str]) -> str:
        paths = write_manifests(town.province(330000), filled, endpoints)
        return next(path for path in paths if path.stem == "health-insurance").read_text(encoding="utf-8")

    assert "sqlite:///" in url(ENDPOINTS)
    assert "file:" in url({**ENDPOINTS, "health-insurance": "127.0.0.1:5432"})


def test_slow_departments_are_in_the_settings(small_world: World, tmp_path: Path) -> None:
    config = materialise(small_world, 110000, tmp_path, delays_ms={"health": 1_500})
    stored = json.loads(config.path.read_text(encoding="utf-8"))
    assert {one["name"]: one["delay_ms"] for one in stored["http"]}["health"] == 1_500


def test_a_province_of_another_world_is_refused(small_world: World, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        materialise(small_world, 540000, tmp_path / "tibet")
    assert not (tmp_path / "tibet").exists()
