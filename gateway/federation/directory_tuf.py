"""The federation directory by TUF: the `DirectorySource` of every gateway.

Owns: looking for a newer directory with python-tuf, in a thread, from a folder or the authority; keeping the trusted
metadata in the state folder, so that what was seen once is never rolled back, across restarts too; and the directory in
force. Refuses: every rule of its own. Who may publish, and what is old, withheld, mixed or cut, is judged by python-tuf
(TUF specification 1.0, section 5); what a directory may say, by `directory_trust`. What the authority pushed is judged
as if it had been fetched, once; where it does not lead to a directory that may be believed, all is fetched.

Where the authority cannot be reached, or what it gives may not be believed, the directory held goes on until the first
of its metadata expires; then no directory is given any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import functools
import hashlib
import operator
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

import structlog
from tuf.ngclient.fetcher import FetcherInterface

from certs.yielding import yielding
from gateway.clock import Clock
from gateway.errors import DirectoryError
from gateway.federation.directory import Directory
from gateway.federation.directory_fetch import HeldFetcher, PushedFetcher
from gateway.federation.directory_pushed import Pushed
from gateway.federation.directory_stream import Announced, DirectoryStream
from gateway.federation.directory_trust import DirectoryTrust, Seen
from gateway.federation.directory_updater import DirectoryPlace, Following

SOONEST_S: Final = 0.25
"""First wait before another try after a failure, seconds; it doubles up to the time between two looks."""

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Held:
    """A directory believed, the keys that signed for it, and its own expiry, whatever its metadata say."""

    directory: Directory
    signers: frozenset[str]
    own_expiry_ms: int


class DirectoryTuf:
    """A `DirectorySource` that follows a TUF repository.

    Args:
        place: where it comes from and is kept.
        fetcher: how files are fetched; used in a thread.
        trust: what this member pins, and the rule for what a directory says.
        clock: tells when something has expired.
    """

    def __init__(
        self,
        place: DirectoryPlace,
        fetcher: FetcherInterface,
        trust: DirectoryTrust,
        clock: Clock,
    ) -> None:
        self._place = place
        self._following = Following(place)
        self._fetcher = fetcher
        self._trust = trust
        self._clock = clock
        self._held: _Held | None = None
        self._complaint = ""
        self._lock = asyncio.Lock()
        self._one_at_a_time = threading.Lock()
        self._announced = 0
        self._pushed = Announced(0)
        self._wake = asyncio.Event()
        self._changed: list[Callable[[], None]] = []

    def current(self) -> Directory:
        """The directory in force.

        Raises:
            DirectoryError: none was taken yet, or it has expired.
        """
        if self._held is None:
            raise DirectoryError(
                "no federation directory was taken yet; check the settings in [directory] and the log",
                "尚未取得联盟成员目录，请检查 [directory] 设置与日志",
            )
        directory, now_ms = self._held.directory, self._clock.now_ms()
        if now_ms >= directory.expires_at_ms:  # asked many times a call, so only what has expired is asked why
            directory.require_fresh(now_ms)
        return directory

    def subscribe(self, changed: Callable[[], None]) -> None:
        """Call `changed` in the event loop whenever another directory is in force, or the one held has expired."""
        self._changed.append(changed)

    async def refresh(self, version: int = 0) -> None:
        """Look for a newer directory; take it if it may be believed, else keep the one held.

        Args:
            version: nothing is looked for where one of this version or a later is held once it is this look's turn; 0:
                in any case.

        Raises:
            DirectoryError: none is held, and none could be taken.
        """
        await self._refresh(lambda held: 0 < version <= held)

    async def _refresh(self, needless: Callable[[int], bool]) -> None:
        """Look, unless the version held once it is this look's turn makes it needless."""
        async with self._lock:
            before = self._held
            if before is not None and needless(before.directory.version):
                return
            try:
                await self._look()
            finally:
                if self._held is not before or (self._held is not None and self._expired()):
                    for changed in self._changed:
                        changed()

    async def follow(self, every_s: float, stream: DirectoryStream | None = None) -> None:
        """Keep the directory fresh; never returns.

        Args:
            every_s: seconds between two looks.
            stream: told by it, look at once.
        """
        told = None if stream is None else asyncio.create_task(stream.follow(self._note))
        failures = 0
        try:
            while True:
                wait_s = every_s if not failures else min(every_s, SOONEST_S * 2 ** min(failures, 20))
                announced = 0
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(wait_s, self._left_s())):
                        await self._wake.wait()
                    announced = self._announced
                self._wake.clear()
                try:
                    # Whoever waits for a version may have been here before, with what was pushed.
                    await self._refresh(functools.partial(operator.eq, announced))
                except DirectoryError as error:
                    _log.error("no directory", reason=error.en)
                except Exception as error:  # noqa: BLE001  whatever it was, the next look may go better
                    self._complaint = type(error).__name__
                    _log.error("looking for the directory failed", error=type(error).__name__)
                behind = self._held is None or self._announced not in (0, self._held.directory.version)
                failures = failures + 1 if self._complaint or behind else 0
        finally:
            if told is not None:
                told.cancel()

    def _note(self, told: Announced) -> None:
        # Another one, not only a higher one: after a recovery from fast-forward versions are lower.
        self._announced = told.version
        if self._held is None or told.version != self._held.directory.version:
            self._pushed = told
            self._wake.set()

    def _left_s(self) -> float:
        """Until the directory held expires, at least a moment; for ever once it has."""
        left_ms = self._held.directory.expires_at_ms - self._clock.now_ms() if self._held else 0
        return left_ms / 1000 + 0.01 if left_ms > 0 else float("inf")

    def _expired(self) -> bool:
        return self._held is None or self._clock.now_ms() >= self._held.directory.expires_at_ms

    async def _look(self) -> None:
        if self._held is None:
            # What was believed before the restart goes on, by the same rules, if the authority cannot be reached.
            with contextlib.suppress(DirectoryError):
                self._held = await yielding(self._take_held)
        # Once: a later look, with nothing pushed since, asks whether it is still the newest. And no lower version: that
        # is late, or comes with a new root and is believed because of it alone.
        pushed, self._pushed = self._pushed, Announced(0)
        newer = self._held is None or pushed.version > self._held.directory.version
        try:
            self._held = await yielding(self._take_newest, pushed.files if newer else b"")
            self._complaint = ""
        except DirectoryError as error:
            if self._held is None:
                raise
            self._complain(error)

    def _complain(self, error: DirectoryError) -> None:
        """Report once for each reason, and again when the directory held has expired."""
        held = self._held.directory if self._held else None
        expired = self._expired()
        complaint = f"{error.en} {expired}"
        if complaint == self._complaint:
            return
        self._complaint = complaint
        log = _log.error if expired or not error.retryable else _log.warning
        log(
            "directory expired and not renewed, nothing is accepted any more" if expired else "directory held goes on",
            reason=error.en,
            version=held.version if held else 0,
            left_s=round((held.expires_at_ms - self._clock.now_ms()) / 1000) if held else 0,
        )

    def _take_held(self) -> _Held:
        """In a thread: from the disk."""
        return self._take(HeldFetcher(self._following.kept.timestamp))

    def _take_newest(self, files: bytes) -> _Held:
        """In a thread: from the files pushed, and where they lead to nothing that may be believed, fetched."""
        pushed = Pushed.of(files) if files else Pushed()
        if files:
            try:
                return self._take(PushedFetcher(pushed, self._place.base, self._fetcher), pushed.targets)
            except DirectoryError as error:
                _log.info("pushed directory not taken", reason=error.en)
        return self._take(self._fetcher, pushed.targets)

    def _take(self, fetcher: FetcherInterface, given: Iterable[bytes] = ()) -> _Held:
        """In a thread: fetch, judge, keep; the directory that is in force then.

        One after the other: a look that was given up goes on in its thread, and must not keep an older version last.
        """
        with self._one_at_a_time:
            return self._take_alone(fetcher, given)

    def _take_alone(self, fetcher: FetcherInterface, given: Iterable[bytes]) -> _Held:
        now = dt.datetime.fromtimestamp(self._clock.now_ms() / 1000, dt.UTC)
        fetched = self._following.fetch(fetcher, now, given)
        held = self._held
        # A version counts as seen as long as one of the keys that vouched for it is in office: when the root has
        # replaced them all, what they signed is void, its version too (TUF specification 1.0, section 5.3.11).
        same = held is not None and held.signers & fetched.signers
        seen = Seen(held.directory.version, held.directory.digest) if held is not None and same else None
        if held is not None and hashlib.sha256(fetched.data).digest() == held.directory.digest:
            self._following.keep(fetched)
            expires_at_ms = min(held.own_expiry_ms, fetched.expires_ms)
            if (expires_at_ms, fetched.signers) == (held.directory.expires_at_ms, held.signers):
                return held
            directory = replace(held.directory, expires_at_ms=expires_at_ms)
            return _Held(directory, fetched.signers, held.own_expiry_ms)
        directory = self._trust.verify(fetched.data, version=fetched.version, now_ms=self._clock.now_ms(), seen=seen)
        self._following.keep(fetched)
        _log.info("directory taken", version=directory.version, members=len(directory.members))
        own_expiry_ms = directory.expires_at_ms
        directory = replace(directory, expires_at_ms=min(own_expiry_ms, fetched.expires_ms))
        return _Held(directory, fetched.signers, own_expiry_ms)
