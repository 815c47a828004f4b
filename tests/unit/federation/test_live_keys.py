"""Own keys as they are at the moment: whoever shows the certificate is told of another one until it shows it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from structlog.testing import capture_logs

from certs.errors import CertsError, SlotError, TokenAwayError, TokenError
from certs.pkcs11 import TokenKey
from gateway.errors import ConfigError, StoreError
from gateway.federation import live_keys as live_keys_module
from gateway.federation.live_keys import LiveKeys, TlsIdentity
from tests.unit.certs.rotation_world import MEMBER, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    world.found()
    yield world
    world.slots.close()


def live_keys(world: World) -> LiveKeys:
    return LiveKeys(MEMBER, world.slots, (world.folder / "authority" / "root.pem").read_bytes())


class Failing(TokenKey):
    """A key in a token that can be pulled out."""

    def __init__(self, world: World) -> None:
        current = world.slots.journal.current("signing")
        assert current is not None
        key = world.slots.private_key(current)
        assert isinstance(key, Ed25519PrivateKey)
        self.key = key
        self.error: TokenError | None = TokenError("token 'wugan' did not sign", "密码设备 'wugan' 无法签名")

    def public_key(self) -> Ed25519PublicKey:
        return self.key.public_key()

    def sign(self, data: bytes | bytearray | memoryview) -> bytes:
        if self.error is not None:
            raise self.error
        return self.key.sign(data)


class Shower:
    """Shows a certificate once it can."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.shown: list[str] = []

    async def changed(self, tls: TlsIdentity) -> None:
        if self.failures:
            self.failures -= 1
            raise SlotError("not now", "暂不可用")
        self.shown.append(tls.name)


async def activated(world: World) -> None:
    await world.rotator.rotate(["tls"], "asked")
    await world.settle()
    world.federation.look()
    await world.settle()
    assert world.numbers("tls") == {"retired": [1], "current": [2]}


async def test_who_could_not_show_another_certificate_is_told_of_it_again(world: World) -> None:
    live, shower = live_keys(world), Shower(failures=1)
    await live.refresh()
    live.follow(shower.changed)
    await activated(world)
    with pytest.raises(CertsError):
        await live.refresh()
    await live.refresh()
    await live.refresh()
    assert shower.shown == ["tls-2"], "once it is shown, there is nothing to tell"


async def test_a_change_that_did_not_come_into_use_is_made_at_the_next_step(world: World) -> None:
    live, shower = live_keys(world), Shower(failures=2)
    await live.refresh()
    live.follow(shower.changed)
    world._changed = live.refresh  # type: ignore[method-assign]
    world.slots.close()
    world.open()
    live._slots = world.slots
    await world.rotator.rotate(["tls"], "asked")
    await world.settle()
    world.federation.look()
    for _ in range(2):
        with pytest.raises(CertsError):
            await world.settle()
    assert shower.shown == []
    await world.settle()
    assert shower.shown == ["tls-2"]


async def test_why_nothing_can_be_signed_is_told_here_and_to_nobody_else(world: World) -> None:
    live = live_keys(world)
    token = Failing(world)
    world.slots._held["signing-1"] = token
    await live.refresh()
    for _ in range(2):
        with capture_logs() as logs, pytest.raises(StoreError) as failed:
            live.own().signing.sign(b"message")
        assert "token" not in failed.value.en
        assert live.unsigned is token.error
    assert logs == [], "once for each time that it is lost"
    token.error = None
    with capture_logs() as logs:
        live.own().signing.sign(b"message")
    assert live.unsigned is None
    assert [log["event"] for log in logs] == ["signed again"]


@pytest.mark.parametrize(("error", "later"), [(TokenAwayError, True), (TokenError, False)])
def test_a_gateway_whose_token_is_away_may_be_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[TokenError], later: bool
) -> None:
    """By its supervisor: a machine may be up before its token is. With a wrong PIN it may not: the token would lock."""

    def open_token(*_how: object) -> None:
        raise error("token 'wugan' cannot be opened", "无法打开密码设备 'wugan'")

    monkeypatch.setattr(live_keys_module, "open_token", open_token)
    pin = tmp_path / "pin"
    pin.write_text("1234")
    pin.chmod(0o600)
    token = SimpleNamespace(module=Path("vendor.so"), token="wugan", pin_file=pin)
    keys = SimpleNamespace(passphrase_file=None, pkcs11=token)
    with pytest.raises(ConfigError) as caught:
        live_keys_module.open_slots(cast("Any", SimpleNamespace(keys=keys, keys_folder=tmp_path / "keys")))
    assert caught.value.retryable is later
