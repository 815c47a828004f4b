"""A store key that does not fit is wrong configuration, and is told apart from a refusal by the exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.access_office import Office

WRONG = {"en": "restore the right key file", "zh": "请恢复正确的密钥文件"}
MISSING = {"en": "is missing; restore it from its backup", "zh": "存储密钥文件缺失，请从备份恢复"}


def test_a_store_key_that_is_another_one_or_missing_ends_a_command_with_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    office = Office(tmp_path)
    key = tmp_path / "state" / "store.key"
    key.write_bytes(bytes(32))
    for said in (WRONG, MISSING):
        for language, words in said.items():
            monkeypatch.setenv("WUGAN_LANG", language)
            ran = office.types("list", "--config", str(office.config))
            assert (ran.exit_code, words in ran.stderr, str(key.parent) in ran.stderr) == (2, True, True), ran.output
        key.unlink(missing_ok=True)
