"""`wugan adapter serve` and `wugan adapter remote`: what they ask for, and what the gateway is handed."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from adapters.manifest import RemoteManifest, load_manifest
from gateway.cli.adapter import adapter
from gateway.config import AdapterSettings, load

MANIFEST = Path(__file__).parents[3] / "examples" / "adapters" / "burials" / "manifest.yaml"


def run(*arguments: str | Path) -> Result:
    return CliRunner(env={"WUGAN_LANG": "en_GB.UTF-8"}).invoke(adapter, [*map(str, arguments)])


def remote(folder: Path) -> Path:
    printed = run("remote", MANIFEST, "--address", "burials.example:7443", "--tls-name", "burials.example")
    assert printed.exit_code == 0
    path = folder / "remote.yaml"
    path.write_text(printed.output, encoding="utf-8")
    return path


def test_the_gateways_manifest_offers_what_the_departments_does(tmp_path: Path) -> None:
    manifest = load_manifest(remote(tmp_path))
    assert isinstance(manifest, RemoteManifest)
    assert manifest.description() == load_manifest(MANIFEST).description()
    assert (manifest.source.address, manifest.source.tls_name) == ("burials.example:7443", "burials.example")
    assert manifest.title is not None
    assert manifest.title.zh == "市公墓安葬登记"


def test_a_remote_manifest_is_not_served(tmp_path: Path) -> None:
    result = run("serve", remote(tmp_path), "--listen", "127.0.0.1:0", "--certs", tmp_path)
    assert result.exit_code == 2
    assert "kind remote" in result.output


def test_a_remote_manifest_without_a_certificate_of_its_own_is_for_the_gateway_alone(tmp_path: Path) -> None:
    result = run("check", remote(tmp_path))
    assert result.exit_code == 0, "nothing is wrong with it"
    assert "only the running gateway has the certificate" in result.output


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "certificate, listen, private_key, roots"),
        (("--listen", "127.0.0.1:0"), "certificate, private_key, roots"),
        (("--listen", "nowhere", "--certs", "."), "listen"),
    ],
)
def test_what_is_missing_is_named(options: tuple[str, ...], told: str) -> None:
    result = run("serve", MANIFEST, *options)
    assert result.exit_code == 2
    assert f"missing or wrong: {told};" in result.output


def test_certificate_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    result = run("serve", MANIFEST, "--listen", "127.0.0.1:0", "--certs", tmp_path, "--state", tmp_path / "state")
    assert result.exit_code == 2
    assert "certificate.pem" in result.output


def test_settings_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "adapter.toml"
    path.write_text(
        """
        listen = "0.0.0.0:7443"
        state_dir = "state"
        [tls]
        certificate = "certs/certificate.pem"
        private_key = "certs/key.pem"
        roots = "certs/roots.pem"
        """,
        encoding="utf-8",
    )
    settings = load(path, AdapterSettings)
    assert settings.state_dir == tmp_path / "state"
    result = run("serve", MANIFEST, "--config", path)
    assert result.exit_code == 2
    assert str(tmp_path / "certs" / "certificate.pem") in result.output
