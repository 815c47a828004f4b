"""What the commands on a gateway's store have in common: the gateway's store, who acts, and how it is told.

Owns: opening the store beside a running gateway, the options of a signed act, dates of Asia/Shanghai. Refuses: acting
without a person's own key.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from gateway.cli import EXIT_REFUSED, EXIT_UNREACHABLE, EXIT_USAGE
from gateway.cli.failing import say_failed
from gateway.cli.language import plain, say
from gateway.errors import ConfigError, StoreError, WuganError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from gateway.clock import Clock
    from gateway.config import GatewaySettings
    from gateway.inquiry.administering import Administration
    from gateway.store.engine import Store

R = TypeVar("R")
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
SHANGHAI = dt.timezone(dt.timedelta(hours=8))

CONFIG = click.option("--config", "config_file", required=True, type=FILE, help="gateway.toml")
JSON = click.option("--json", "json_out", is_flag=True, help=say("print JSON", "输出 JSON"))
WHY = click.option("--why", required=True, help=say("reason, for the record", "理由（留存备查）"))


class Actor(NamedTuple):
    """Who acts, and the key that signs it."""

    name: str
    key_file: Path
    passphrase_file: Path | None


class Opened(NamedTuple):
    """A gateway's policy, open at a moment."""

    settings: GatewaySettings
    store: Store
    administration: Administration
    now_ms: int


def signed(command: Callable[..., None]) -> Callable[..., None]:
    """The options of a command that a person signs for, and who that is, which it is handed as `actor`."""

    @functools.wraps(command)
    def acting(*, name: str, key_file: Path, passphrase_file: Path | None, **given: Any) -> None:
        command(actor=Actor(name, key_file, passphrase_file), **given)

    made: Callable[..., None] = acting
    for option in (
        click.option(
            "--passphrase-file",
            type=FILE,
            default=None,
            help=say("file with the key's passphrase, mode 0600", "密钥口令文件（权限 0600）"),
        ),
        click.option(
            "--key", "key_file", type=FILE, required=True, help=say("that person's key file", "该人员的密钥文件")
        ),
        click.option("--as", "name", required=True, help=say("who does it, by enrolled name", "操作人（登记名称）")),
        JSON,
        CONFIG,
    ):
        made = option(made)
    return made


@asynccontextmanager
async def opened(config_file: Path) -> AsyncIterator[Opened]:
    """The policy of the gateway with this configuration, whether it runs or not."""
    from gateway.access.terms import thresholds
    from gateway.clock import SystemClock
    from gateway.config import load_gateway
    from gateway.inquiry.administering import Administration
    from gateway.log import configure
    from gateway.store.place import open_store

    configure("ERROR")
    settings, clock = load_gateway(config_file), SystemClock()
    async with open_store(settings, clock) as store:
        administration = Administration(store, settings.member_id, thresholds(settings.access), clock)
        await administration.refresh()
        yield Opened(settings, store, administration, clock.now_ms())


def run(config_file: Path, work: Callable[[Opened], Awaitable[R]]) -> R:
    """What the work returns; an error of ours ends the command with its text and exit code."""

    async def go() -> R:
        async with opened(config_file) as at:
            return await work(at)

    return ended(lambda: asyncio.run(go()))


def in_store(config_file: Path, work: Callable[[Store, Clock], Awaitable[R]]) -> R:
    """The same with the gateway's store alone, whose policy need not be in order."""
    from gateway.clock import SystemClock
    from gateway.config import load_gateway
    from gateway.log import configure
    from gateway.store.place import open_store

    async def go() -> R:
        configure("ERROR")
        settings, clock = load_gateway(config_file), SystemClock()
        async with open_store(settings, clock) as store:
            return await work(store, clock)

    return ended(lambda: asyncio.run(go()))


def ended(work: Callable[[], R]) -> R:
    """The same for work that needs no store."""
    from certs.errors import CertsError

    try:
        return work()
    except CertsError as error:
        raise fail(error.en, error.zh, EXIT_USAGE) from None
    except WuganError as error:
        raise fail(error.en, error.zh, _exit_code(error), of=error) from None


def _exit_code(error: WuganError) -> int:
    if isinstance(error, StoreError) and error.retryable:
        return EXIT_UNREACHABLE
    return EXIT_USAGE if isinstance(error, ConfigError) else EXIT_REFUSED


def fail(en: str, zh: str, code: int, *, of: Exception | None = None) -> SystemExit:
    """Say what is wrong; the exit to raise."""
    say_failed(say(en, zh), code, of=of, both=(en, zh))
    return SystemExit(code)


async def enact(at: Opened, actor: Actor, act: str, body: Mapping[str, Any], *, about: str = "") -> int:
    """A signed act; its number."""
    return await at.administration.enact(act, body, by=actor.name, key=_key(actor), about=about)


async def look(at: Opened, actor: Actor, what: str, body: Mapping[str, Any]) -> None:
    """A signed look at something, on record when this returns."""
    await at.administration.look(what, body, by=actor.name, key=_key(actor))


def _key(actor: Actor) -> Ed25519PrivateKey:
    from certs.keys import load_signing_key, read_passphrase

    passphrase = None if actor.passphrase_file is None else read_passphrase(actor.passphrase_file)
    return load_signing_key(actor.key_file, passphrase=passphrase)


def tell(json_out: bool, data: Mapping[str, Any], en: str, zh: str) -> None:
    """What was done: the data for a program, or a line for a person."""
    click.echo(json.dumps(data, ensure_ascii=False) if json_out else plain(say(en, zh)))


def day_ms(day: dt.datetime) -> int:
    """The beginning of a civil day in Shanghai, Unix milliseconds."""
    return round(day.replace(tzinfo=SHANGHAI).timestamp() * 1000)


def moment(ms: int) -> str:
    """A time as people in Shanghai read it."""
    return dt.datetime.fromtimestamp(ms / 1000, SHANGHAI).strftime("%Y-%m-%d %H:%M:%S")


def local(at: dt.datetime | str) -> str:
    """The same of a time, or of one in ISO 8601; "" for none."""
    if not at:
        return ""
    when = dt.datetime.fromisoformat(at) if isinstance(at, str) else at
    return moment(round(when.timestamp() * 1000))
