"""Another issuing CA is noticed, and only one that the pinned root made."""

from __future__ import annotations

import datetime as dt
import random
from pathlib import Path

import pytest
from cryptography import x509

from certs import keys
from certs.authority import Authority
from certs.rotation_rules import Policy, outlived
from certs.slot_journal import Generation
from certs.slot_steps import begun
from certs.slots import KeySlots
from gateway.federation.issuer_watch import IssuerWatch, newest

MEMBER = "11330000002482285J"
NOW = dt.datetime(2026, 7, 1, tzinfo=dt.UTC)
HOUR_MS = 3_600_000


class Rotator:
    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []

    async def rotate(self, kinds: tuple[str, ...], _reason: str) -> None:
        self.asked.append(tuple(kinds))


class World:
    """A gateway whose keys were certified by the first issuing CA."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority.create(folder / "ca", "test.wugan.internal", now=NOW, root_passphrase=b"root")
        self.slots = KeySlots.open(folder / "keys")
        tls_key, signer = keys.generate_tls_key(), keys.generate_signing_key()
        tls = self.authority.issue_gateway_tls(MEMBER, tls_key.public_key(), now=NOW)
        signing = self.authority.issue_signing(MEMBER, signer.public_key(), now=NOW)
        self.slots.install("tls", tls_key, (tls.certificate, tls.issuing))
        self.slots.install("signing", signer, (signing.certificate, signing.issuing))
        self.rotator = Rotator()
        self.now_ms = round(NOW.timestamp() * 1000) + HOUR_MS
        self.given: tuple[x509.Certificate, ...] | None = None

    def watch(self, policy: Policy) -> IssuerWatch:
        async def ask() -> tuple[x509.Certificate, ...]:
            known = tuple(each.certificate for each in self.authority.issuing.all)
            return self.given if self.given is not None else (self.authority.root, *known)

        roots = self.authority.root_pem
        return IssuerWatch(ask, self.slots, self.rotator, roots, policy, lambda: self.now_ms)  # type: ignore[arg-type]

    def roll(self) -> None:
        self.authority.issuing.roll(now=NOW + dt.timedelta(hours=1), root_passphrase=b"root")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


AT_ONCE = Policy(jitter=0.0)


async def test_nothing_is_renewed_while_the_ca_is_the_same(world: World) -> None:
    assert await world.watch(AT_ONCE).look() == ()
    world.given = ()
    assert await world.watch(AT_ONCE).look() == ()


async def test_both_certificates_are_renewed_under_a_new_one(world: World) -> None:
    world.roll()
    assert await world.watch(AT_ONCE).look() == ("tls", "signing")
    assert world.rotator.asked == [("tls", "signing")]


async def test_a_ca_of_another_root_is_not_believed(world: World, tmp_path: Path) -> None:
    other = World(tmp_path / "other")
    other.roll()
    world.given = tuple(each.certificate for each in other.authority.issuing.all)
    assert await world.watch(AT_ONCE).look() == ()
    assert newest((world.authority.root,), (world.authority.root,)) is None, "the root itself issues no leaf"


async def test_not_while_a_rotation_is_under_way_and_not_where_nothing_is_automatic(world: World) -> None:
    world.roll()
    assert await world.watch(Policy(jitter=0.0, automatic=False)).look() == ()
    journal = begun(
        world.slots.journal, ("tls",), "asked", world.now_ms, urgent=False, in_token=(), draw=random.Random(1)
    )
    world.slots.record(journal)
    assert await world.watch(AT_ONCE).look() == ()


def test_renewals_are_spread_over_the_jitter_and_asked_for_once() -> None:
    life = 1000 * HOUR_MS
    key = Generation(
        number=1, kind="tls", state="current", not_before_ms=0, not_after_ms=life, spread=0.0, made_at_ms=0
    )
    policy, made_at = Policy(jitter=0.1), HOUR_MS
    due = [
        next(at for at in range(0, life, HOUR_MS) if outlived(replace_spread(key, spread), policy, made_at, at))
        for spread in (-1.0, 0.0, 1.0)
    ]
    assert due == [made_at, made_at + 50 * HOUR_MS, made_at + 100 * HOUR_MS]
    since = key.model_copy(update={"not_before_ms": made_at + 1})
    assert not outlived(since, policy, made_at, life), "whoever issues from an old CA is not asked again and again"


def replace_spread(key: Generation, spread: float) -> Generation:
    return key.model_copy(update={"spread": spread})
