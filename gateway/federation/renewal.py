"""Renewing own keys while the gateway runs: the rotation, what commands ask for, and what the authority is told.

Owns: these loops and their log lines. Refuses: deciding when a key is renewed (`certs.rotation_rules`).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog

from certs import slot_requests
from certs.chain import load_roots
from certs.errors import CertsError
from certs.identity import Identity
from certs.rotation import Enroller, Event, Rotator, Witness
from certs.rotation_rules import Policy
from certs.slot_journal import Journal, Kind
from certs.slot_requests import Answer, Request
from certs.slots import KeySlots
from certs.yielding import yielding
from gateway.clock import Clock
from gateway.config import GatewaySettings
from gateway.errors import DirectoryError, WuganError
from gateway.federation.authority_client import AuthorityClient, LaterError
from gateway.federation.directory import Directory, DirectorySource
from gateway.federation.issuer_watch import IssuerWatch
from gateway.federation.own_standing import objections, require_believed
from gateway.sections.trust import RotationSettings

AFTER_CRASH_S: Final = 5.0
LONGEST_REFUSED_S: Final = 60.0
"""Longest pause of a gateway that the authority refuses; another directory ends it."""
TELL_AGAIN_S: Final = 20.0
"""The authority is told again after so long: what it had not written down is lost when it is killed, and keys of others
would wait for the next directory."""

_log = structlog.stdlib.get_logger(__name__)
_FAILED = frozenset({"rotation failed", "keys not removed from the token"})


def policy_of(settings: RotationSettings) -> Policy:
    """The policy in the settings."""
    return Policy(
        automatic=settings.automatic,
        at_life=settings.at_life,
        jitter=settings.jitter,
        retire_after_ms=round(settings.retire_after_s * 1000),
        seen_timeout_ms=round(settings.seen_timeout_s * 1000),
        encryption_life_ms=round(settings.encryption_days * 86_400_000),
    )


def make_rotator(
    settings: GatewaySettings,
    slots: KeySlots,
    roots_pem: bytes,
    client: AuthorityClient,
    witness: Witness,
    enroller: Enroller,
    clock: Clock,
    *,
    held: Callable[[], Directory | None],
    changed: Callable[[], Awaitable[None]],
    tell: Callable[[Event], None],
) -> Rotator:
    """The rotation of this gateway's keys. `held` is the directory in force, None where there is none.

    Raises:
        CertsError: the roots are none.
    """

    def believed(journal: Journal, kinds: Sequence[Kind]) -> None:
        directory = held()
        if directory is not None:
            require_believed(objections(directory, settings.member_id, journal, slots.chain), kinds)

    return Rotator(
        slots,
        Identity.gateway(settings.directory.federation, settings.member_id),
        load_roots(roots_pem),
        enroller=enroller,
        publisher=client,
        witness=witness,
        policy=policy_of(settings.rotation),
        now_ms=clock.now_ms,
        draw=random.SystemRandom(),
        changed=changed,
        tell=tell,
        serving=settings.est is not None,
        require_believed=believed,
    )


def in_force(directory: DirectorySource) -> Directory | None:
    """The directory in force, None where there is none."""
    try:
        return directory.current()
    except DirectoryError:
        return None


def log_event(event: Event) -> None:
    """One log line for what a rotation did; what failed is a warning."""
    report = _log.warning if event.what in _FAILED else _log.info
    report(event.what, kinds=", ".join(event.kinds), detail=event.detail)  # a list would not be shown


class Renewal:
    """The loops of a running gateway.

    Args:
        slots: own keys.
        rotator: renews them; None where no authority is configured.
        client: the authority; None as well.
        directory: the directory in force.
        clock: the time.
        poll_s: seconds between looks.
        pace_s: seconds between two steps of a rotation.
        watch: notices another issuing CA; None where no authority is configured.
        watch_s: seconds between its looks.
    """

    def __init__(
        self,
        slots: KeySlots,
        rotator: Rotator | None,
        client: AuthorityClient | None,
        directory: DirectorySource,
        clock: Clock,
        *,
        poll_s: float,
        pace_s: float = 0.0,
        watch: IssuerWatch | None = None,
        watch_s: float = 3600.0,
    ) -> None:
        self._watch = watch
        self._watch_s = watch_s
        self._woken = asyncio.Event()
        self._slots = slots
        self._rotator = rotator
        self._client = client
        self._directory = directory
        self._clock = clock
        self._poll_s = poll_s
        self._pace_s = pace_s
        self._reported = 0
        self._reported_at_s = 0.0

    async def run(self) -> None:
        """Run until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_lasting(lambda: self._every(self._requests)))
            if (rotator := self._rotator) is not None:
                tasks.create_task(_lasting(lambda: rotator.run(self._poll_s, self._pace_s)))
            if self._client is not None:
                tasks.create_task(_lasting(lambda: self._every(self.report, self._woken)))
            if (watch := self._watch) is not None:
                tasks.create_task(_lasting(lambda: self._looking(watch)))

    def wake(self) -> None:
        """Another directory is in force: tell the authority now, and look whether a rotation can go on."""
        self._woken.set()
        if self._rotator is not None:
            self._rotator.wake()

    async def report(self) -> None:
        """Tell the authority with which directory this gateway works, if it does not know, or may not know any more.

        Raises:
            CertsError: it could not be told.
            DirectoryError: there is no directory in force.
        """
        version, now_s = self._directory.current().version, self._clock.monotonic()
        if self._client is not None and (version != self._reported or now_s >= self._reported_at_s + TELL_AGAIN_S):
            await self._client.report_seen(version)
            self._reported, self._reported_at_s = version, now_s

    async def _looking(self, watch: IssuerWatch) -> None:
        while True:
            try:
                await watch.look()
            except CertsError as error:
                _log.warning("issuing CA not compared", reason=error.en)
            await asyncio.sleep(self._watch_s)

    async def _every(self, work: Callable[[], Awaitable[None]], woken: asyncio.Event | None = None) -> None:
        complaint, refused = "", 0
        while True:
            try:
                await work()
                complaint, refused = "", 0
            except (CertsError, WuganError) as error:
                refused = 0 if isinstance(error, LaterError) else refused + 1
                if error.en != complaint:  # once for each reason, not at every look
                    complaint = error.en
                    _log.warning("renewal hindered", reason=error.en)
            pause_s = self._poll_s if not complaint else max(self._poll_s, 1.0)
            if woken is None:
                await asyncio.sleep(pause_s)
                continue
            pause_s = after_refusals_s(pause_s, refused)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await woken.wait()
            woken.clear()

    async def _requests(self) -> None:
        folder = self._slots.folder
        for name, request in await yielding(slot_requests.waiting, folder, self._clock.now_ms()):
            await yielding(slot_requests.answer, folder, name, await self._do(request))

    async def _do(self, request: Request) -> Answer:
        if self._rotator is None:
            return Answer(
                done=False, en="no authority is configured (authority.url)", zh="未配置管理机构 authority.url"
            )
        try:
            if request.action == "roll_back":
                return Answer(done=True, kinds=await self._rotator.roll_back(request.kinds))
            await self._rotator.rotate(request.kinds, request.reason, urgent=request.urgent)
        except CertsError as error:
            return Answer(done=False, en=error.en[:2000], zh=error.zh[:2000])
        return Answer(done=True, kinds=request.kinds)


def after_refusals_s(pause_s: float, refused: int) -> float:
    """The pause before the authority is asked again that refused so many times, one after the other."""
    return max(pause_s, min(2.0 ** min(refused, 16), LONGEST_REFUSED_S)) if refused else pause_s


async def _lasting(loop: Callable[[], Awaitable[None]]) -> None:
    """Run a loop that should never end, again where a fault of ours ends it: keys must be renewed all the same."""
    while True:
        try:
            await loop()
        except Exception as error:  # noqa: BLE001  the last line
            _log.error("renewal crashed", error=type(error).__name__)
        await asyncio.sleep(AFTER_CRASH_S)
