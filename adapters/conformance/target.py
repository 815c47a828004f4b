"""What is proved: something that gives an adapter, and gives it again after a restart.

Owns: how an adapter is opened from a manifest or by a program, and the time zone it starts in. Refuses: knowing what it
does.
"""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from adapters.build import build, system_clock
from adapters.contract import Adapter
from adapters.manifest import Manifest

if TYPE_CHECKING:
    from adapters.tls import TlsFiles

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
