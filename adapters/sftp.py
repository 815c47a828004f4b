"""A folder on an SFTP server, as a place into which files are dropped.

Owns: coming in (the server known by its pinned key alone), the list of files, and fetching one whole into a file of
mode 0600 that is deleted again when it was read. Refuses: any other server key, agents, forwarding, configuration of
the machine's user, names that are no plain file names, and more bytes than the list said.

The server's clock is not this machine's, and its times are whole seconds: a file has rested when size and time were the
same for as long as set, by our clock, from the first look that saw them so.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import asyncssh

from adapters.dropping import MAX_FILES, Dropped, Look, NotYetError, counts
from adapters.errors import SourceDownError
from adapters.manifest.sftp import Sftp
from certs.system_words import cause, cut_off

_PIECE: Final = 1 << 20
"""Bytes of one read, which the library asks for in parallel pieces."""
_FIRST_WAIT_S: Final = 60.0
"""A file that the first look finds is waited for up to so long, so that a check need not be repeated."""
_SIGNATURES: Final = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Login:
    """Who one is at a server.

    Args:
        at: the settings.
        name: of the adapter, for errors.
        key: file of the private key, if one is used.
        passphrase, password: opened.
    """

    at: Sftp
    name: str
    key: Path | None = None
    passphrase: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)


class KeyFileError(Exception):
    """The private key cannot be used; `en` and `zh` tell why."""

    def __init__(self, en: str, zh: str) -> None:
        super().__init__(en)
        self.en = en
        self.zh = zh


def private_key(login: Login) -> asyncssh.SSHKey | None:
    """The key of a login, None where a password is used.

    Raises:
        KeyFileError: its file is not there, is open to others, or does not read.
    """
    if login.key is None:
        return None
    try:
        with login.key.open("rb") as stream:
            if os.fstat(stream.fileno()).st_mode & 0o077:
                raise KeyFileError(
                    "others may read the key's file; chmod 600", "其他用户可读取密钥文件，请执行 chmod 600"
                )
            data = stream.read(64 * 1024)
        return asyncssh.import_private_key(data, login.passphrase)
    except OSError as error:
        raise KeyFileError(
            f"the key's file cannot be read ({cause(error).en})", f"无法读取密钥文件（{cause(error).zh}）"
        ) from error
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        raise KeyFileError(
            "the file holds no private key that opens with this passphrase", "文件中没有可用该口令打开的私钥"
        ) from error


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

            session = run(self._enter())
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

    async def _enter(self) -> _Session:
        at, name = self._login.at, self._login.name
        try:
            key = private_key(self._login)
        except KeyFileError as error:
            raise SourceDownError(f"{name}: {error.en}", f"{name}：{error.zh}") from error
        kinds = [kind for pinned in at.host_key for kind in _SIGNATURES.get(pinned.split()[0], (pinned.split()[0],))]
        pinned = _Pinned([asyncssh.import_public_key(text) for text in at.host_key])
        try:
            async with asyncio.timeout(at.timeout_s):
                connection, _ = await asyncssh.create_connection(
                    lambda: pinned,
                    at.host,
                    at.port,
                    config=None,
                    known_hosts=([], [], []),
                    server_host_key_algs=list(dict.fromkeys(kinds)),
                    x509_trusted_certs=None,
                    username=at.user,
                    client_keys=None if key is None else [key],
                    password=self._login.password,
                    preferred_auth="password" if key is None else "publickey",
                    disable_trivial_auth=True,
                    agent_path=None,
                    gss_host=None,
                    compression_algs=None,
                    env=[],
                    send_env=[],
                )
                sftp = await connection.start_sftp_client()
        except (OSError, asyncssh.Error) as error:
            raise self._not_in(error, pinned) from error
        return _Session(connection, sftp, at, name)

    def _not_in(self, error: Exception, pinned: _Pinned) -> SourceDownError:
        """Why one did not come in: what a person can do about it, and nothing the server said."""
        at, name = self._login.at, self._login.name
        if pinned.shown:
            en = (
                f"the server shows another key than source.sftp.host_key: {pinned.shown}. Nothing was sent. If the "
                "department confirms that it changed its key, write the new one"
            )
            zh = (
                f"服务器出示的公钥与 source.sftp.host_key 不符：{pinned.shown}。未发送任何内容。"
                "如部门确认已更换密钥，请改写为新公钥"
            )
        elif isinstance(error, asyncssh.KeyExchangeFailed):
            en = "the server shows no key of the kind of source.sftp.host_key, or knows no cipher that is safe"
            zh = "服务器没有 source.sftp.host_key 所列类型的密钥，或不支持安全的加密算法"
        elif isinstance(error, asyncssh.PermissionDenied):
            how = ("key", "密钥") if at.password is None else ("password", "口令")
            en = f"the server does not let {at.user} in with this {how[0]}"
            zh = f"服务器拒绝用户 {at.user} 以该{how[1]}登录"
        elif isinstance(error, TimeoutError):
            en, zh = f"{at.host} port {at.port} does not answer in time", f"{at.host} 端口 {at.port} 未在时限内应答"
        elif isinstance(error, asyncssh.ChannelOpenError):
            en, zh = "the server offers no SFTP to this user", "服务器未向该用户提供 SFTP"
        else:
            kind = type(error).__name__
            en, zh = f"{at.host} port {at.port} is not reached ({kind})", f"无法连接 {at.host} 端口 {at.port}（{kind}）"
        return SourceDownError(f"{name}: SFTP: {en}", f"{name}：SFTP：{zh}")


class _Pinned(asyncssh.SSHClient):
    """Believes these keys alone, and remembers which other one was shown."""

    def __init__(self, keys: Sequence[asyncssh.SSHKey]) -> None:
        self._keys = keys
        self.shown = ""

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        if key in self._keys:
            return True
        self.shown = f"{key.get_algorithm()} {key.get_fingerprint()}"
        return False


@dataclass(slots=True)
class _Session:
    """A connection, for one look."""

    connection: asyncssh.SSHClientConnection
    sftp: asyncssh.SFTPClient
    at: Sftp
    name: str
    paths: dict[str, bytes] = field(default_factory=dict)

    async def files(self) -> list[Dropped]:
        """What lies in the folder, in order of names.

        Raises:
            SourceDownError: it cannot be told.
        """
        found: dict[str, Dropped] = {}
        try:
            entries = await self._within(self.at.timeout_s, self._entries())
        except (OSError, asyncssh.Error) as error:
            raise self._failed(error, "the folder", "目录") from error
        for entry in entries:
            name, attrs = _name(entry.filename), entry.attrs
            if name and attrs.type == asyncssh.FILEXFER_TYPE_REGULAR and attrs.size is not None:
                found.setdefault(name, Dropped(name, _version(attrs), attrs.size))
                self.paths[name] = self.at.folder.encode().rstrip(b"/") + b"/" + _bytes(entry.filename)
        return [found[name] for name in sorted(found)]

    async def fetch(self, file: Dropped, into: Path) -> None:
        """The whole file, if it is still that version.

        Raises:
            NotYetError: it is another.
            SourceDownError: it cannot be read.
        """
        path, read, at = self.paths[file.name], 0, self.at
        until = asyncio.get_running_loop().time() + at.transfer_s
        descriptor = os.open(into, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as local:
                remote = await self._within(at.timeout_s, self.sftp.open(path, "rb"))
                while True:
                    left_s = until - asyncio.get_running_loop().time()
                    piece = _bytes(await self._within(min(at.timeout_s, left_s), remote.read(_PIECE)))
                    read += len(piece)
                    if not piece or read > file.size:
                        break
                    local.write(piece)
            await self._within(at.timeout_s, remote.close())
            now = await self._within(at.timeout_s, self.sftp.stat(path))
        except asyncssh.SFTPNoSuchFile as error:
            raise NotYetError from error
        except (OSError, asyncssh.Error) as error:
            raise self._failed(error, "a file", "文件") from error
        if read != file.size or _version(now) != file.version:
            raise NotYetError

    async def _entries(self) -> list[asyncssh.SFTPName]:
        entries: list[asyncssh.SFTPName] = []
        async for entry in self.sftp.scandir(self.at.folder.encode()):
            entries.append(entry)
            if len(entries) >= MAX_FILES:
                break
        return entries

    async def _within(self, seconds: float, job: Awaitable[Result]) -> Result:
        """What comes of a request; who does not answer it in time is not asked anything any more."""
        task = asyncio.ensure_future(job)
        try:
            done, _ = await asyncio.wait([task], timeout=max(seconds, 0))
            if not done:
                raise TimeoutError
            return task.result()
        finally:
            if not task.done():
                # Only this ends it: cancelled, the library would ask the server to close the file, and wait for that.
                self.connection.abort()
                task.cancel()
                task.add_done_callback(_heard)

    async def leave(self) -> None:
        """End it; who does not answer is left."""
        self.sftp.exit()
        self.connection.abort()
        with suppress(TimeoutError, OSError, asyncssh.Error):
            async with asyncio.timeout(1):
                await self.connection.wait_closed()

    def _failed(self, error: Exception, en: str, zh: str) -> SourceDownError:
        if isinstance(error, TimeoutError):
            why = "does not come in time", "未在时限内传完"
        elif isinstance(error, asyncssh.SFTPNoSuchFile):
            why = "is not there", "不存在"
        elif isinstance(error, asyncssh.SFTPPermissionDenied):
            why = "may not be read", "无权读取"
        else:
            why = f"cannot be read ({type(error).__name__})", f"无法读取（{cut_off(error).zh}）"
        return SourceDownError(f"{self.name}: SFTP: {en} {why[0]}", f"{self.name}：SFTP：{zh}{why[1]}")


@dataclass(frozen=True, slots=True)
class _SftpLook:
    files: Sequence[Dropped]
    session: _Session
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


def _heard(task: asyncio.Future[Any]) -> None:
    """How a request ended that nobody waits for any more is nobody's affair."""
    if not task.cancelled():
        task.exception()


def _version(attrs: asyncssh.SFTPAttrs) -> str:
    """Size and time of a file; where the server gives finer times than seconds, they count."""
    return f"{attrs.size}:{attrs.mtime}:{attrs.mtime_ns or 0}"


def _bytes(name: bytes | str) -> bytes:
    return name if isinstance(name, bytes) else name.encode()


def _name(filename: bytes | str) -> str:
    """A file's name as people see it; "" for what is none, or is not meant to be read."""
    data = _bytes(filename)
    for encoding in ("utf-8", "gb18030"):
        try:
            name = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        good = name.isprintable() and "/" not in name and len(name) <= 255
        return name if good and counts(name) else ""
    return ""
