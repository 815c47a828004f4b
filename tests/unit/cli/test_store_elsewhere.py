"""What commands say and end with when the store is on a server: away, wrongly addressed, or yet to be moved there."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from certs.slots import KeySlots
from gateway import app
from gateway.cli import main
from gateway.clock import SystemClock
from gateway.config import load_gateway
from gateway.errors import ConfigError, DirectoryError, StoreError, WuganError
from tests.configured import gateway_toml

ADDRESS = "postgresql+psycopg://wugan:geheim@127.0.0.1:{port}/wugan?sslmode=disable"
COMMANDS = ("outbox list", "inbox list", "access people list", "access alarms", "quality show", "adapter list")


@pytest.fixture
def port() -> Iterator[int]:
    """Bound, and nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, port: int) -> Path:
    # A command sets up the log of its own process, which here is that of all other tests.
    monkeypatch.setattr("gateway.log.configure", lambda *_: None)
    path = tmp_path / "gateway.toml"
    path.write_text(gateway_toml() + '\n[store]\nurl_file = "store.url"\n', "utf-8")
    (tmp_path / "store.url").write_text(ADDRESS.format(port=port), "utf-8")
    (tmp_path / "store.url").chmod(0o600)
    return path


def typed(command: str, config: Path, language: str = "en") -> Result:
    return CliRunner(env={"WUGAN_LANG": language}).invoke(main, [*command.split(), "--config", str(config)])


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_without_its_database_says_so_and_may_be_given_again(config: Path, command: str) -> None:
    for language, words in (("en", "connection refused"), ("zh", "连接被拒绝")):
        ran = typed(command, config, language)
        assert ran.exit_code == 3, ran.output
        assert words in ran.stderr
        assert "geheim" not in ran.output
    assert not (config.parent / "state" / "gateway.db").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_of_the_address_that_others_may_read_is_a_wrong_setting(config: Path, command: str) -> None:
    (config.parent / "store.url").chmod(0o644)
    ran = typed(command, config)
    assert ran.exit_code == 2, ran.output
    assert "chmod 600" in ran.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StoreError("the database is away", "数据库无法连接"), 3),
        (StoreError("wrong key", "密钥不匹配", retryable=False), 2),
        (ConfigError("wrong address", "地址有误"), 2),
        (DirectoryError("expired", "已过期"), 3),
    ],
)
def test_a_gateway_ends_so_that_it_is_started_again_where_that_may_help(
    config: Path, monkeypatch: pytest.MonkeyPatch, error: WuganError, code: int
) -> None:
    def run(_settings: object) -> None:
        raise error

    monkeypatch.setattr("gateway.grpc_engine.settle_engine", lambda: None)
    monkeypatch.setattr(app, "run", run)
    ran = typed("gateway run", config, "zh")
    assert ran.exit_code == code
    assert error.zh in ran.stderr


async def test_a_gateway_whose_database_another_took_ends_and_may_be_started_again(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = StoreError("another gateway took the database", "另一网关已接管数据库")

    @asynccontextmanager
    async def gateway(
        _settings: object, _clock: object, replaced: Callable[[StoreError], None]
    ) -> AsyncIterator[dict[str, str]]:
        await asyncio.to_thread(replaced, taken)
        yield {}

    monkeypatch.setattr(app, "gateway", gateway)
    monkeypatch.setattr(app, "_settle_interpreter", lambda: None)
    with pytest.raises(StoreError, match="took the database"):
        await app._serve(load_gateway(config), SystemClock())


def test_a_store_is_moved_only_where_there_is_one_and_its_gateway_is_stopped(config: Path) -> None:
    state = config.parent / "state"
    assert "nothing to move" in typed("gateway move-store", config).stderr
    state.mkdir(mode=0o700)
    (state / "gateway.db").touch(0o600)
    ran = typed("gateway move-store", config)
    assert (ran.exit_code, (state / "gateway.db").is_file()) == (3, True), ran.output
    with KeySlots.open(state / "keys"):
        ran = typed("gateway move-store", config, "zh")
    assert (ran.exit_code, "正在运行" in ran.stderr) == (3, True), ran.output
    (state / "gateway.db.moved").touch()
    assert typed("gateway move-store", config).exit_code == 2
    config.write_text(gateway_toml(), "utf-8")
    ran = typed("gateway move-store", config)
    assert (ran.exit_code, "store.url_file" in ran.stderr) == (2, True), ran.output
