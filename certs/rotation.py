"""Renewing own keys: prepare, publish, wait until partners have seen it, activate, retire, destroy.

Owns: the order of steps, each taken from what the journal says and safe to repeat, so that whoever was killed at any of
them goes on where it stopped. Refuses: deciding (`rotation_rules`), files (`slots`), and knowing whom it talks to: who
enrols, publishes and has seen is handed in as three protocols. Their failures are `CertsError`s; a step that failed is
tried again.

One publication carries every kind that is renewed at that time, and leaves out what has been retired long enough.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from certs import preparing, rotation_rules, slot_steps
from certs.errors import CertsError
from certs.identity import Identity
from certs.rotation_rules import Policy
from certs.slot_journal import Generation, Journal, Kind
from certs.slots import KeySlots
from certs.yielding import yielding

LONGEST_BACK_OFF_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class SigningEntry:
    """A signing certificate and what stands between it and the root, DER."""

    certificate: bytes
    intermediates: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class EncryptionEntry:
    """A public key to seal to, and when; Unix milliseconds."""

    public_key: bytes
    not_before_ms: int
    not_after_ms: int


@dataclass(frozen=True, slots=True)
class KeySet:
    """Everything that partners are to know of a member's keys.

    Args:
        sequence: the same number always stands for the same set; a higher one for a later set.
        tls_certificates: DER.
        signing: newest first.
        encryption: newest first.
    """

    sequence: int
    tls_certificates: tuple[bytes, ...]
    signing: tuple[SigningEntry, ...]
    encryption: tuple[EncryptionEntry, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """What partners work with.

    Args:
        everywhere: whether all of them work with the version asked about, or a later one.
        older_end_ms: when every older version has expired, Unix milliseconds; None if that is not known.
    """

    everywhere: bool
    older_end_ms: int | None = None


class Enroller(Protocol):
    """A certificate authority, for instance over EST."""

    async def enrol(self, kind: Kind, csr_der: bytes) -> bytes:
        """The chain (PEM) issued for a request; `kind` is "tls" or "signing". Raises CertsError."""
        ...


class Publisher(Protocol):
    """The federation's directory, to be told of own keys."""

    async def publish(self, keys: KeySet) -> int:
        """The first directory version that lists exactly these keys. Safe to repeat. Raises CertsError."""
        ...


class Witness(Protocol):
    """Knows which version of the directory each partner works with."""

    async def seen(self, version: int) -> Seen:
        """Whether all partners work with this version. Raises CertsError."""
        ...


@dataclass(frozen=True, slots=True)
class Event:
    """Something to put on record.

    Args:
        what: e.g. "keys activated".
        kinds: of the keys it is about.
        detail: a name, a version or what went wrong; nothing secret.
    """

    what: str
    kinds: tuple[Kind, ...] = ()
    detail: str = ""


class Rotator:
    """Takes the steps, one at a time.

    Args:
        slots: own keys; nothing else changes them meanwhile.
        identity: whom certificates must name.
        roots: pinned trust anchors.
        enroller: issues certificates.
        publisher: lists keys.
        witness: knows who has seen them.
        policy: when and how long.
        now_ms: the time, Unix milliseconds.
        draw: random source; `random.SystemRandom()` outside of tests.
        changed: called whenever other keys are to be used; returns when they are.
        tell: is told what was done.
        serving: whether first requests for TLS say under which name it serves (`certification_request`).
        require_believed: raises CertsError where partners refuse one of the keys that a journal has in use, of these
            kinds; asked before keys are put back.
    """

    def __init__(
        self,
        slots: KeySlots,
        identity: Identity,
        roots: Sequence[x509.Certificate],
        *,
        enroller: Enroller,
        publisher: Publisher,
        witness: Witness,
        policy: Policy,
        now_ms: Callable[[], int],
        draw: random.Random,
        changed: Callable[[], Awaitable[None]],
        tell: Callable[[Event], None],
        serving: bool = False,
        require_believed: Callable[[Journal, Sequence[Kind]], None] = lambda _journal, _kinds: None,
    ) -> None:
        self._slots = slots
        self._require_believed = require_believed
        self._serving = serving
        self._identity = identity
        self._roots = tuple(roots)
        self._enroller = enroller
        self._publisher = publisher
        self._witness = witness
        self._policy = policy
        self._now_ms = now_ms
        self._draw = draw
        self._changed = changed
        self._tell = tell
        self._in_use = True
        """Whether `changed` came to its end the last time."""
        self._busy = asyncio.Lock()
        self._woken = asyncio.Event()

    async def run(self, poll_s: float, pace_s: float = 0.0) -> None:
        """Take steps for ever.

        Args:
            poll_s: seconds between looks whether one can be taken; more where they fail.
            pace_s: seconds between one step and the next, so that calls are not held up by all of them together; an
                urgent rotation does not wait.
        """
        failures = 0
        while True:
            try:
                more = await self.step()
                failures = 0
            except CertsError as error:
                failures += 1
                more = False
                self._tell(Event("rotation failed", self._under_way(), error.en))
            if more:
                rotation = self._slots.journal.rotation
                await asyncio.sleep(0 if rotation is not None and rotation.urgent else pace_s)
            else:
                slower = min(poll_s * 2 ** min(failures, 16), max(poll_s, LONGEST_BACK_OFF_S))
                await self._pause(slower * self._draw.uniform(0.5, 1) if failures else poll_s)

    def wake(self) -> None:
        """Look now: something happened that may allow a step."""
        self._woken.set()

    async def rotate(self, kinds: Sequence[Kind], reason: str, *, urgent: bool = False) -> None:
        """Begin a rotation; `step` does the rest.

        Raises:
            CertsError: one is under way, or the journal cannot be written.
        """
        async with self._busy:
            await self._begin(tuple(dict.fromkeys(kinds)), reason, urgent=urgent)
        self.wake()

    async def roll_back(self, kinds: Sequence[Kind]) -> tuple[Kind, ...]:
        """Give up the rotation under way, or put back the keys before the current ones; the kinds that changed.

        Raises:
            CertsError: there is nothing to go back to, partners refuse it, other kinds than these would be given up
                too, or the journal cannot be written.
        """
        async with self._busy:
            journal, now_ms = self._slots.journal, self._now_ms()
            if journal.rotation is not None:
                back = journal.rotation.kinds
                after = slot_steps.dropped(journal, kinds, now_ms)
            else:
                after, back = slot_steps.put_back(journal, kinds, now_ms)
                await yielding(self._require_usable, after, back)
            await self._record(after)
            await yielding(self._slots.sweep)
            await self._use()
        self._tell(Event("rotation rolled back", back))
        self.wake()
        return back

    async def step(self) -> bool:
        """Take the next step, if one can be taken now; whether one was.

        Raises:
            CertsError: it failed; nothing is lost, and it may be tried again.
        """
        async with self._busy:
            if not self._in_use:
                await self._use()
            return await self._step(self._slots.journal, self._now_ms())

    async def _step(self, journal: Journal, now_ms: int) -> bool:
        rotation, told = journal.rotation, journal.publication
        if under_way := preparing.under_way(journal):
            await self._prepare(under_way)
        elif rotation is not None and not rotation.sequence:  # prepared by a version that took one step for each key
            await self._record(slot_steps.listed_anew(journal, rotation_rules.unneeded(journal, self._policy, now_ms)))
        elif told.wanted:
            await self._publish(journal)
        elif usable := rotation_rules.usable(journal, now_ms):
            await self._activate(journal, usable, now_ms)
        elif rotation_rules.must_settle(journal) and await self._have_seen(journal, now_ms):
            await self._settle(journal, now_ms)
        elif gone := rotation_rules.destroyable(journal, self._policy, now_ms):
            await self._destroy(gone)
        elif rotation is None and (unneeded := rotation_rules.worth_telling(journal, self._policy, now_ms)):
            await self._record(slot_steps.listed_anew(journal, unneeded))
        elif due := rotation_rules.due(journal, self._policy, now_ms):
            await self._begin(due, "due")
        else:
            return False
        return True

    async def _begin(self, kinds: tuple[Kind, ...], reason: str, *, urgent: bool = False) -> None:
        journal, now_ms, in_token = self._slots.journal, self._now_ms(), self._slots.in_token
        await self._record(
            slot_steps.begun(
                journal,
                kinds,
                reason,
                now_ms,
                urgent=urgent,
                in_token=in_token,
                draw=self._draw,
                unneeded=rotation_rules.unneeded(journal, self._policy, now_ms),
                room_at_ms=rotation_rules.room_at_ms(journal, self._policy, kinds),
            )
        )
        self._tell(Event("rotation begun", kinds, reason))

    async def _prepare(self, generations: Sequence[Generation]) -> None:
        asked = await yielding(preparing.requests, self._slots, generations, self._identity, serving=self._serving)
        enrolments = (self._enroller.enrol(each.generation.kind, each.csr) for each in asked)
        came = await asyncio.gather(*enrolments, return_exceptions=True)
        failures = [each for each in came if isinstance(each, BaseException)]
        answers = [(each, answer) for each, answer in zip(asked, came, strict=True) if isinstance(answer, bytes)]
        kept, refused = await yielding(
            preparing.keep,
            self._slots,
            generations,
            answers,
            self._identity,
            self._roots,
            self._policy,
            self._now_ms(),
        )
        for each in kept:
            self._tell(Event("key prepared", (each.kind,), each.name))
        if failures:
            raise failures[0]
        if refused is not None:
            raise refused

    async def _publish(self, journal: Journal) -> None:
        # What partners may seal to from now on must open here first.
        await self._use()
        version = await self._publisher.publish(await yielding(key_set, self._slots))
        now_ms = self._now_ms()
        told = slot_steps.published(journal, version, now_ms)
        gone = rotation_rules.destroyable(told, self._policy, now_ms)
        await self._record(slot_steps.destroyed(told, gone))
        self._tell(Event("keys published", self._under_way(), f"directory version {version}"))
        if gone:
            await yielding(self._slots.sweep)
            await self._destroyed(gone)

    async def _have_seen(self, journal: Journal, now_ms: int) -> bool:
        told = journal.publication
        seen = await self._witness.seen(told.version)
        return seen.everywhere or rotation_rules.may_settle(told.at_ms, seen.older_end_ms, self._policy, now_ms)

    async def _settle(self, journal: Journal, now_ms: int) -> None:
        settled = slot_steps.settled(journal, now_ms)
        if usable := rotation_rules.usable(settled, now_ms):
            await self._activate(settled, usable, now_ms)
        else:
            await self._record(settled)

    async def _activate(self, journal: Journal, kinds: tuple[Kind, ...], now_ms: int) -> None:
        def recorded() -> None:
            for kind in kinds:  # what cannot be read must not become current
                for each in journal.of(kind, "next"):
                    self._slots.private_key(each)
            self._slots.record(slot_steps.activated(journal, kinds, now_ms))

        await yielding(recorded)
        await self._use()
        self._tell(Event("keys activated", kinds))

    async def _destroy(self, gone: Sequence[Generation]) -> None:
        await yielding(self._slots.destroy, gone)
        await self._destroyed(gone)

    async def _destroyed(self, gone: Sequence[Generation]) -> None:
        await self._use()
        left = {each.name for each in self._slots.journal.left_in_token()}
        if done := [each for each in gone if each.name not in left]:
            self._tell(Event("keys destroyed", *_which(done)))
        if kept := [each for each in gone if each.name in left]:
            self._tell(Event("keys not removed from the token", *_which(kept)))

    async def _use(self) -> None:
        """Have the keys used that the journal says are to be. What fails is done again before the next step: the
        journal has gone on already, and whoever was not told would go on with a key that partners forget.
        """
        self._in_use = False
        await self._changed()
        self._in_use = True

    def _require_usable(self, journal: Journal, kinds: Sequence[Kind]) -> None:
        for each in journal.generations:
            if each.state == "current":
                self._slots.private_key(each)
        self._require_believed(journal, kinds)

    async def _record(self, journal: Journal) -> None:
        await yielding(self._slots.record, journal)

    def _under_way(self) -> tuple[Kind, ...]:
        rotation = self._slots.journal.rotation
        return () if rotation is None else rotation.kinds

    async def _pause(self, seconds: float) -> None:
        # Not `wait_for`: in Python 3.11 it forgets that it was cancelled when it was woken at the same moment.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        self._woken.clear()


def _which(generations: Sequence[Generation]) -> tuple[tuple[Kind, ...], str]:
    """Kinds, and names, for an event."""
    return tuple({each.kind: 0 for each in generations}), ", ".join(each.name for each in generations)


def key_set(slots: KeySlots) -> KeySet:
    """What partners are to be told now.

    Raises:
        CertsError: a key or certificate cannot be read.
    """
    tls: list[bytes] = []
    signing: list[SigningEntry] = []
    encryption: list[EncryptionEntry] = []
    for each in slots.journal.listed():
        if each.kind == "encryption":
            encryption.append(EncryptionEntry(slots.sealed_to(each), each.not_before_ms, each.not_after_ms))
            continue
        chain = slots.certificates(each)
        leaf, *between = (certificate.public_bytes(serialization.Encoding.DER) for certificate in chain)
        if each.kind == "tls":
            tls.append(leaf)
        else:
            signing.append(SigningEntry(leaf, tuple(between)))
    return KeySet(slots.journal.publication.sequence, tuple(tls), tuple(signing), tuple(encryption))
