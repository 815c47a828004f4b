"""What `wugan gateway run` ends with, which is what a supervisor goes by."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway import app
from gateway import config as settings
from gateway.cli.gateway import gateway
from gateway.errors import ConfigError, DirectoryError, WuganError


@pytest.mark.parametrize(("error", "code"), [(ConfigError("wrong", "有误"), 2), (DirectoryError("none", "没有"), 3)])
def test_without_a_directory_it_is_worth_starting_again_and_with_a_wrong_setting_it_is_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: WuganError, code: int
) -> None:
    def fails(_: object) -> None:
        raise error

    monkeypatch.setattr(settings, "load_gateway", lambda _: None)
    monkeypatch.setattr(app, "run", fails)
    (tmp_path / "gateway.toml").touch()
    ran = CliRunner().invoke(gateway, ["run", "--config", str(tmp_path / "gateway.toml")])
    assert ran.exit_code == code
