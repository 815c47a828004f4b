"""Renewing own keys by a command, while no gateway has them open: the first ones, and later ones.

Owns: opening the slots for one command and taking steps until nothing can be done at once. Refuses: waiting for
partners for ever; what is left is done by the gateway when it runs.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec

from certs.errors import CertsError
from certs.files import read_public
from certs.rotation import Enroller, Event, Rotator
from certs.slots import KeySlots
from gateway.clock import Clock
from gateway.config import GatewaySettings
from gateway.errors import ConfigError
from gateway.federation.authority_client import AuthorityClient, Reports
from gateway.federation.authority_link import AuthorityLink
from gateway.federation.directory_held import held_directory
from gateway.federation.enrolling import EstEnroller, EstPlace, Token
from gateway.federation.live_keys import TlsIdentity, open_slots
from gateway.federation.renewal import make_rotator


@dataclass(frozen=True, slots=True)
class Hand:
    """The slots, and what renews them."""

    slots: KeySlots
    rotator: Rotator

    async def work(self, clock: Clock, wait_s: float) -> bool:
        """Take steps until the rotation is over, or `wait_s` seconds have gone by; whether it is over.

        Raises:
            CertsError: a step failed; the next command, or the gateway, goes on from there.
        """
        end = clock.monotonic() + wait_s
        while self.slots.journal.rotation is not None or self.slots.journal.publication.wanted:
            if not await self.rotator.step():
                if clock.monotonic() >= end:
                    return False
                await asyncio.sleep(0.2)
        return True


@contextlib.asynccontextmanager
async def own_hand(
    settings: GatewaySettings,
    clock: Clock,
    tell: Callable[[Event], None],
    *,
    token: Token | None = None,
    enroller: Enroller | None = None,
) -> AsyncIterator[Hand]:
    """The slots for the length of the block.

    Args:
        settings: of the gateway.
        clock: the time.
        tell: is told of every step.
        token: for a first TLS certificate.
        enroller: instead of the authority's EST server.

    Raises:
        ConfigError: no authority is configured, or the keys cannot be opened: a gateway has them, for instance.
    """
    if settings.authority is None:
        raise ConfigError(
            "no authority is configured; set authority.url and authority.tls_name",
            "未配置管理机构，请设置 authority.url 与 authority.tls_name",
            field="authority",
        )
    slots = await asyncio.to_thread(open_slots, settings)
    closing = contextlib.AsyncExitStack()
    try:
        roots = read_public(settings.tls.roots)
        link = AuthorityLink(lambda: held(slots), roots)
        closing.push_async_callback(link.close)
        client = AuthorityClient(settings.authority, settings.member_id, link)
        place = EstPlace.of(settings, lambda: held(slots), link, roots)
        closing.push_async_callback(place.close)
        issues = enroller or EstEnroller(place, token)
        witness = Reports(client, settings.member_id)
        rotator = make_rotator(
            settings,
            slots,
            roots,
            client,
            witness,
            issues,
            clock,
            held=lambda: held_directory(settings, clock),
            changed=_nobody,
            tell=tell,
        )
        yield Hand(slots, rotator)
    except CertsError as error:
        raise ConfigError(error.en, error.zh) from error
    finally:
        await closing.aclose()
        slots.close()


def held(slots: KeySlots) -> TlsIdentity | None:
    """The TLS identity to talk to the authority with: the current one, the very first one as soon as it is there."""
    for state in ("current", "next"):
        for each in slots.journal.of("tls", state):
            key = slots.private_key(each)
            if isinstance(key, ec.EllipticCurvePrivateKey):
                return TlsIdentity(each.name, key, slots.chain(each))
    return None


async def _nobody() -> None:
    """Nobody uses the keys meanwhile."""
