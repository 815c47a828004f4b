"""Where a gateway's store is, by its settings: the embedded file, or the address in a file of its own."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from gateway.clock import FakeClock
from gateway.config import GatewaySettings, load_gateway
from gateway.errors import ConfigError, StoreError
from gateway.store.place import MAX_URL_BYTES, address_of, database_file, open_store
from gateway.store.postgresql import reached, why
from tests.configured import gateway_toml

SECRET = "geheim"
ADDRESS = f"postgresql+psycopg://wugan:{SECRET}@db.example:5432/wugan?sslmode=verify-full"


def settings_of(folder: Path, address: str | bytes | None = None) -> GatewaySettings:
    """Settings whose file of the address holds this; of the embedded store, where there is none."""
    config = folder / "gateway.toml"
    if address is None:
        config.write_text(gateway_toml(), "utf-8")
        return load_gateway(config)
    config.write_text(gateway_toml() + '\n[store]\nurl_file = "store.url"\n', "utf-8")
    file = folder / "store.url"
    file.write_bytes(address if isinstance(address, bytes) else address.encode())
    file.chmod(0o600)
    return load_gateway(config)


def refused(settings: GatewaySettings) -> ConfigError:
    """What a wrong file is refused with; it names the setting and the file, and quotes nothing."""
    with pytest.raises(ConfigError) as caught:
        open_store(settings, FakeClock())
    error = caught.value
    assert error.field == "store.url_file"
    assert str(settings.store.url_file) in error.en
    assert str(settings.store.url_file) in error.zh
    assert SECRET not in error.en + error.zh
    return error


async def test_without_the_setting_the_store_is_a_file_in_the_state_folder(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    assert address_of(settings) == database_file(settings) == tmp_path / "state" / "gateway.db"
    await open_store(settings, FakeClock()).close()
    assert {path.name for path in (tmp_path / "state").iterdir()} == {"gateway.db", "store.key"}


@pytest.mark.parametrize("text", [ADDRESS, f"{ADDRESS}\n", f"  {ADDRESS}  \r\n", ADDRESS.replace("+psycopg", "")])
def test_the_address_is_read_from_its_file(tmp_path: Path, text: str) -> None:
    settings = settings_of(tmp_path, text)
    address = address_of(settings)
    assert isinstance(address, sa.URL)
    assert (address.host, address.password, address.query["sslmode"]) == ("db.example", SECRET, "verify-full")
    assert database_file(settings) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        SECRET,
        f"sqlite:////var/lib/{SECRET}.db",
        f"mysql+pymysql://u:{SECRET}@h/d",
        f"postgresql+psycopg2://u:{SECRET}@h/d",
        f"postgresql+psycopg://u:{SECRET}@h",
        f"postgresql+psycopg://u:{SECRET}@h:port/d",
        ADDRESS.encode("utf-16"),
        f"{ADDRESS}&application_name={'x' * MAX_URL_BYTES}",
    ],
)
def test_what_is_no_address_of_postgresql_is_refused_and_not_quoted(tmp_path: Path, text: str | bytes) -> None:
    assert "postgresql+psycopg://" in refused(settings_of(tmp_path, text)).en


def test_a_file_that_others_may_read_or_that_is_not_there_is_refused(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, ADDRESS)
    (tmp_path / "store.url").chmod(0o640)
    assert "chmod 600" in refused(settings).en
    (tmp_path / "store.url").unlink()
    assert "cannot be read" in refused(settings).en


@pytest.mark.parametrize(
    ("said", "meaning", "later"),
    [
        ('connection failed: FATAL:  password authentication failed for user "wugan"', "password refused", False),
        ('FATAL:  no pg_hba.conf entry for host "10.1.2.3", user "wugan", no encryption', "password refused", False),
        ('致命错误:  用户 "wugan" Password 认证失败', "password refused", False),
        ('FATAL:  database "wugan" does not exist', "no such database", False),
        ('FATAL:  role "wugan" does not exist', "no such user", False),
        ("SSL error: certificate verify failed", "certificate", False),
        ("server does not support SSL, but SSL was required", "no TLS", False),
        ('root certificate file "/etc/wugan/ca.pem" does not exist', "TLS settings", False),
        ("server closed the connection unexpectedly", "connection broke", True),
        ("SSL SYSCALL error: EOF detected", "connection broke", True),
        ('connection is bad: invalid sslmode value: "nonsense"', "address", False),
        ("connection to server failed: Connection refused", "refused", True),
        ("failed to resolve host 'db.example': [Errno -2] Name or service not known", "host name", True),
        ("connection timeout expired", "timed out", True),
        ("FATAL:  the database system is starting up", "starting", True),
        ("FATAL:  sorry, too many clients already", "too many", True),
        ("something that nobody has seen", "database error", True),
    ],
)
def test_why_a_server_is_not_reached_is_told_in_words_and_whether_a_setting_is_wrong(
    said: str, meaning: str, later: bool
) -> None:
    error = sa.exc.OperationalError("SELECT 1", {}, psycopg.OperationalError(f"{said} {SECRET}"))
    assert meaning in why(error).en
    with pytest.raises(StoreError) as caught, reached():
        raise error
    assert caught.value.retryable is later
    assert SECRET not in caught.value.en + caught.value.zh


@pytest.mark.parametrize("error", [psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidSchemaName])
def test_a_user_without_rights_is_a_matter_of_settings(error: type[psycopg.Error]) -> None:
    with pytest.raises(StoreError) as caught, reached():
        raise sa.exc.ProgrammingError("CREATE TABLE", {}, error("permission denied for schema public"))
    assert not caught.value.retryable
