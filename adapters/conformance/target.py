"""What is proved: something that gives an adapter, and gives it again after a restart.

Owns: how an adapter is opened from a manifest or by a program, and the time zone it starts in. Refuses: knowing what it
does.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from adapters.build import build, system_clock
from adapters.contract import Adapter
from adapters.errors import SourceDownError
from adapters.manifest import Manifest
from certs.system_words import cause

if TYPE_CHECKING:
    from adapters.tls import TlsFiles

START_S: Final = 60.0
"""How long a program that is started may take until it answers."""
_STOP_S: Final = 20.0
_AGAIN_S: Final = 0.1
MAX_BATCH: Final = 100_000
"""People in one lookup, whatever an adapter says."""


class Target(Protocol):
    """Something to be proved.

    Attributes:
        name: as the report calls it.
        local: whether it runs in this process, so that opening it again starts it again.
    """

    @property
    def name(self) -> str:
        """See above."""
        ...

    @property
    def local(self) -> bool:
        """See above."""
        ...

    async def open(self) -> Adapter:
        """The adapter, which can describe itself from now on.

        Raises:
            AdapterError: it cannot be made, or not be reached where that is needed to describe it.
        """
        ...


class ManifestTarget:
    """One of our own kinds, by its manifest.

    Args:
        manifest: which.
        state_dir: folder for its state; the same after a restart.
        now_ms: Unix time in milliseconds.
    """

    def __init__(self, manifest: Manifest, state_dir: Path, now_ms: Callable[[], int] = system_clock) -> None:
        self._manifest = manifest
        self._state_dir = state_dir
        self._now_ms = now_ms
        kind: str = manifest.kind
        self.local = kind != "remote"

    @property
    def name(self) -> str:
        """File of the manifest, or its adapter's id."""
        return self._manifest.adapter_id

    async def open(self) -> Adapter:
        """Build it."""
        return build(self._manifest, self._state_dir, self._now_ms)


class RemoteTarget:
    """An adapter behind `AdapterService`, wherever it runs; opening it again is connecting again.

    Args:
        address: host:port.
        tls_name: DNS name that its certificate must prove.
        files: certificate to call with, its key, and the authorities to believe.
        timeout_s: for one lookup at most.
    """

    local = False

    def __init__(self, address: str, tls_name: str, files: TlsFiles, timeout_s: float) -> None:
        self.name = address
        self._tls_name = tls_name
        self._files = files
        self._timeout_s = timeout_s

    async def open(self) -> Adapter:
        """Connect, and ask what it offers."""
        from adapters.kinds.remote import RemoteAdapter, RemoteLimits
        from adapters.line import Line
        from adapters.tls import FileChannels

        channels = FileChannels(self._files)
        opens = functools.partial(channels.open, self.name, self._tls_name)
        limits = RemoteLimits(timeout_s=self._timeout_s, max_batch=MAX_BATCH)
        return await RemoteAdapter.learned(Line(opens, channels.version), limits, self.name)


class StartedTarget(RemoteTarget):
    """An adapter behind `AdapterService` that is started here by a command, and anew whenever it is opened again.

    The command inherits this process's environment, its time zone among it. Nothing of it goes through a shell.

    Args:
        command: program and arguments.
        address, tls_name, files, timeout_s: as for `RemoteTarget`.
    """

    local = True

    def __init__(self, command: Sequence[str], address: str, tls_name: str, files: TlsFiles, timeout_s: float) -> None:
        super().__init__(address, tls_name, files, timeout_s)
        self._command = command
        self._running: asyncio.subprocess.Process | None = None

    async def open(self) -> Adapter:
        """Start it, wait until it answers, and ask what it offers.

        Raises:
            AdapterError: it cannot be started, ends by itself, or does not answer in time.
        """
        await self.stop()
        try:
            self._running = await asyncio.create_subprocess_exec(*self._command, stdout=asyncio.subprocess.DEVNULL)
        except OSError as error:
            raise SourceDownError(
                f"it cannot be started ({cause(error).en})", f"无法启动（{cause(error).zh}）"
            ) from error
        until = asyncio.get_running_loop().time() + START_S
        while True:
            try:
                return await super().open()
            except SourceDownError:
                if self._running.returncode is not None:
                    code = self._running.returncode
                    raise SourceDownError(
                        f"it ended by itself with exit code {code}", f"启动后自行退出，退出码 {code}"
                    ) from None
                if asyncio.get_running_loop().time() > until:
                    raise
                await asyncio.sleep(_AGAIN_S)

    async def stop(self) -> None:
        """End it: asked first, then made to."""
        running, self._running = self._running, None
        if running is None or running.returncode is not None:
            return
        running.terminate()
        try:
            async with asyncio.timeout(_STOP_S):
                await running.wait()
        except TimeoutError:
            running.kill()
            await running.wait()


class ProgramTarget:
    """An adapter that a program makes: a subclass in Python, or a client of a remote one.

    Args:
        name: for the report.
        make: makes the adapter.
        local: whether the adapter itself, not only the way to it, is made anew by that.
    """

    def __init__(self, name: str, make: Callable[[], Adapter], *, local: bool = True) -> None:
        self.name = name
        self.local = local
        self._make = make

    async def open(self) -> Adapter:
        """Make it."""
        return self._make()


@contextlib.contextmanager
def time_zone(name: str) -> Iterator[None]:
    """Have this process live in another time zone, as a server set up carelessly does."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = name
    time.tzset()
    try:
        yield
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()
