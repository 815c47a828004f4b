"""A folder on an SFTP server, as a place into which files are dropped.

Owns: when a file counts, and fetching one whole into a file of mode 0600 that is deleted again when it was read.
Refuses: the connection (`sftp_session`).

The server's clock is not this machine's, and its times are whole seconds: a file has rested when size and time were the
same for as long as set, by our clock, from the first look that saw them so.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from adapters.dropping import Dropped, Look
from adapters.errors import SourceDownError
from adapters.sftp_session import Login, Session, enter

_FIRST_WAIT_S: Final = 60.0
"""A file that the first look finds is waited for up to so long, so that a check need not be repeated."""
Result = TypeVar("Result")


class SftpDrop:
    """A folder on an SFTP server; see `adapters.dropping.Drop`.

    Args:
        login: where, and who one is there.
        spool: folder of this adapter's own, for the file that is just being read; emptied at the start.
        settle_s: how long a file must have rested, seconds.
        now_ms: Unix time in milliseconds.
    """

    def __init__(self, login: Login, spool: Path, settle_s: float, now_ms: Callable[[], int]) -> None:
        logging.getLogger("asyncssh").setLevel(logging.WARNING)  # below that it tells of users and files
        self._login = login
        self._spool = spool
        self._settle_s = settle_s
        self._now_ms = now_ms
        self._seen: dict[str, tuple[str, int]] = {}
        self._looked = False
        self._stopped = False
        self._one = threading.Lock()
        self._lock = threading.Lock()
        self._running: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None = None
        spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in spool.iterdir():
            left.unlink()

    @contextmanager
    def look(self) -> Iterator[Look]:
        """See `Drop`. One at a time: whoever else looks waits."""
        with self._one, asyncio.Runner() as runner:
            # The library leaves tasks behind whose connection was broken; what became of them is nobody's affair.
            runner.get_loop().set_exception_handler(lambda _, __: None)

            def run(job: Coroutine[Any, Any, Result]) -> Result:
                return self._run(runner, job)

            session = run(enter(self._login))
            try:
                files = run(session.files())
                rested = self._rested(files)
                if not self._looked and len(rested) < len(files) and self._settle_s <= _FIRST_WAIT_S:
                    before = {file.name: file.version for file in files}
                    run(asyncio.sleep(self._settle_s))
                    files = run(session.files())
                    rested = {file.name for file in files if before.get(file.name) == file.version}
                self._looked = True
                told = [file if file.name in rested else Dropped(file.name, "", file.size) for file in files]
                yield _SftpLook(told, session, self._spool, run)
            finally:
                with suppress(SourceDownError):
                    run(session.leave())

    def stop(self) -> None:
        """See `Drop`."""
        with self._lock:
            self._stopped = True
            if self._running is not None:
                loop, task = self._running
                loop.call_soon_threadsafe(task.cancel)

    def _rested(self, files: Sequence[Dropped]) -> set[str]:
        """Note what is seen, and since when; what of it has rested."""
        now = self._now_ms()
        until = now - round(self._settle_s * 1000)
        before, self._seen = self._seen, {}
        for file in files:
            known = before.get(file.name)
            self._seen[file.name] = known if known is not None and known[0] == file.version else (file.version, now)
        return {name for name, (_, since) in self._seen.items() if since <= until}

    def _run(self, runner: asyncio.Runner, job: Coroutine[Any, Any, Result]) -> Result:
        async def stoppable() -> Result:
            task = asyncio.current_task()
            assert task is not None  # noqa: S101  it runs
            with self._lock:
                if self._stopped:
                    job.close()
                    raise asyncio.CancelledError
                self._running = asyncio.get_running_loop(), task
            try:
                return await job
            finally:
                with self._lock:
                    self._running = None

        try:
            return runner.run(stoppable())
        except asyncio.CancelledError:
            name = self._login.name
            raise SourceDownError(f"{name}: is closed", f"{name}：已关闭") from None


@dataclass(frozen=True, slots=True)
class _SftpLook:
    files: Sequence[Dropped]
    session: Session
    spool: Path
    run: Callable[[Coroutine[Any, Any, None]], None]

    @contextmanager
    def taken(self, file: Dropped) -> Iterator[Path]:
        # By its suffix the format is known; the rest of the name is the server's and no path here.
        suffix = Path(file.name).suffix
        path = self.spool / ("fetched" + (suffix if suffix[1:].isalnum() and len(suffix) < 16 else ""))
        try:
            self.run(self.session.fetch(file, path))
            yield path
        finally:
            path.unlink(missing_ok=True)

    def unchanged(self, file: Dropped) -> bool:
        """It was looked at after it was fetched."""
        return True
