"""A connection to an SFTP server, for one look at its folder.

Owns: coming in (the server known by its pinned key alone), the list of files, and fetching one whole. Refuses: any
other server key, agents, forwarding, configuration of the machine's user, names that are no plain file names, and more
bytes than the list said. When to look, and which files have rested, is for `sftp`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import asyncssh

from adapters import dropping
from adapters.dropping import Dropped, NotYetError, counts
from adapters.errors import SourceDownError
from adapters.manifest.secret import SecretMissingError, require_private
from adapters.manifest.sftp import Sftp
from certs.private_files import opened
from certs.system_words import cause, cut_off

_PIECE: Final = 1 << 20
"""Bytes of one read, which the library asks for in parallel pieces."""
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
        with open(opened(login.key), "rb") as stream:  # noqa: PTH123 - what is checked is what is read
            require_private(stream.fileno())
            data = stream.read(64 * 1024)
        return asyncssh.import_private_key(data, login.passphrase)
    except SecretMissingError as error:
        raise KeyFileError(error.en, error.zh) from error
    except OSError as error:
        raise KeyFileError(
            f"the key's file cannot be read ({cause(error).en})", f"无法读取密钥文件（{cause(error).zh}）"
        ) from error
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        raise KeyFileError(
            "the file holds no private key that opens with this passphrase", "文件中没有可用该口令打开的私钥"
        ) from error


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
class Session:
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
            if entry.attrs.type != asyncssh.FILEXFER_TYPE_REGULAR:
                continue
            if len(entries) >= dropping.MAX_FILES:
                raise dropping.too_many(self.name)
            entries.append(entry)
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


async def enter(login: Login) -> Session:
    """A connection to the server whose key is pinned.

    Raises:
        SourceDownError: one does not come in; the message says what a person can do.
    """
    at, name = login.at, login.name
    try:
        key = private_key(login)
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
                password=login.password,
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
        raise _not_in(login, error, pinned) from error
    return Session(connection, sftp, at, name)


def _not_in(login: Login, error: Exception, pinned: _Pinned) -> SourceDownError:
    """Why one did not come in: what a person can do about it, and nothing the server said."""
    at, name = login.at, login.name
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
        why = cut_off(error)
        en = f"{at.host} port {at.port} is not reached ({why.en})"
        zh = f"无法连接 {at.host} 端口 {at.port}（{why.zh}）"
    return SourceDownError(f"{name}: SFTP: {en}", f"{name}：SFTP：{zh}")


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
