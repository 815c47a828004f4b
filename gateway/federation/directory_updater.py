"""Fetching the directory by TUF: python-tuf's client, and its errors as ours.

Owns: one look at a repository, from the trusted root to the bytes of the directory, and what is kept of it: roots as
they come, all else only together with a directory that was believed (`directory_kept`), so that whatever cannot be
taken whole leaves what was believed before on the disk too. Refuses: every rule of its own, reading what a directory
says, and the clock.
"""

from __future__ import annotations

import contextlib
import copy
import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tuf.api.exceptions import (
    BadVersionNumberError,
    DownloadError,
    ExpiredMetadataError,
    LengthOrHashMismatchError,
    RepositoryError,
    UnsignedMetadataError,
)
from tuf.api.metadata import Root, TargetFile, Targets
from tuf.ngclient import Updater, UpdaterConfig
from tuf.ngclient.fetcher import FetcherInterface

from certs.errors import CertsError
from certs.files import PRIVATE, read_public, write_file
from certs.system_words import cause
from gateway.errors import DirectoryError
from gateway.federation.directory_kept import DIRECTORY, METADATA, TARGET, Kept, metadata_name
from gateway.federation.directory_trust import MAX_DIRECTORY_BYTES
from gateway.federation.directory_verified import Verified

ARRIVING: Final = f"{TARGET}.arriving"
"""Beside it: one that was fetched and is not believed yet; while it is not, it is fetched no second time."""
_LIMITS: Final = UpdaterConfig(max_root_rotations=1024, root_max_length=256 << 10, targets_max_length=256 << 10)


@dataclass(frozen=True, slots=True)
class DirectoryPlace:
    """Where a directory comes from and is kept.

    Args:
        base: address or folder with `metadata/` and `targets/` in it.
        root: the TUF root metadata that this member was given: everything is believed because of it.
        state: folder for trusted metadata; made with mode 0700. Only this gateway writes there.
    """

    base: str
    root: bytes
    state: Path


@dataclass(frozen=True, slots=True)
class Fetched:
    """What TUF vouches for: the target's bytes, its version, and until when; and all of that as it is to be kept."""

    data: bytes
    version: int
    expires_ms: int
    signers: frozenset[str]
    files: Mapping[str, bytes]


class Following:
    """One repository, looked at again and again, by one at a time. Waits for the network and the disk: for a thread.

    Args:
        place: where it comes from and is kept.
    """

    def __init__(self, place: DirectoryPlace) -> None:
        self._place = place
        self._kept: Kept | None = None
        self._first: KeptUpdater | None = None

    @property
    def kept(self) -> Kept:
        """What is held on the disk, read once."""
        if self._kept is None:
            self._kept = Kept(self._place.state)
        return self._kept

    def fetch(self, fetcher: FetcherInterface, now: dt.datetime, given: Iterable[bytes] = ()) -> Fetched:
        """Whatever is newest, by the rules of TUF.

        Args:
            fetcher: how files are fetched.
            now: the time by which things have expired.
            given: what came already and may be the directory that is named.

        Raises:
            DirectoryError: nothing could be fetched (retryable), may be believed, or be kept.
        """
        with _as_ours(self._place):
            self._make_folders()
            self._first = self._first or KeptUpdater(self._place, fetcher)
            updater = self._first.look(self.kept.files, fetcher, now)
            updater.refresh()
            info = updater.get_targetinfo(TARGET)
            if info is None or info.length > MAX_DIRECTORY_BYTES:
                raise _refused("it names no directory, or one that is too large", "元数据未列出成员目录或目录过大")
            held = self.kept.files.get(DIRECTORY)
            data = _the_one(info, given if held is None else (held, *given))
            if data is None:
                arriving = str(self._place.state / "targets" / ARRIVING)
                path = updater.find_cached_target(info, arriving) or updater.download_target(info, arriving)
                data = read_public(Path(path), limit=MAX_DIRECTORY_BYTES)
                info.verify_length_and_hashes(data)
            files = {**self.kept.files, **updater.unkept, DIRECTORY: data}
            return Fetched(data, updater.targets.version, updater.expires_ms, updater.signers, files)

    def keep(self, fetched: Fetched) -> None:
        """Keep on the disk what is new: from now on nothing older is believed.

        Raises:
            DirectoryError: it cannot be kept.
        """
        with _as_ours(self._place):
            if self.kept.put(fetched.files):
                (self._place.state / "targets" / ARRIVING).unlink(missing_ok=True)

    def _make_folders(self) -> None:
        state = self._place.state
        if not (state / "metadata").is_dir() or not (state / "targets").is_dir():
            for folder in (state, state / "metadata", state / "targets"):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._first = None  # which keeps the pinned root


def _the_one(info: TargetFile, given: Iterable[bytes]) -> bytes | None:
    """That which TUF vouches for, by its length and hashes; None where none is."""
    for data in given:
        with contextlib.suppress(LengthOrHashMismatchError):
            info.verify_length_and_hashes(data)
            return data
    return None


class KeptUpdater(Updater):
    """python-tuf's client with four changes: the time is given to it, the roots it keeps survive a power cut, all else
    is held, and kept, by whoever judges the directory, and what it verified at one look it does not verify again.

    One is made from the pinned root, which python-tuf verifies then. Each look is by one of its own (`look`) that
    begins with this root: the pinned bytes are the same ones, and nothing changes a root that was verified.
    """

    def __init__(self, place: DirectoryPlace, fetcher: FetcherInterface) -> None:
        self.unkept: dict[str, bytes] = {}
        self._held: Mapping[str, bytes] = {}
        self._verified = Verified()
        super().__init__(
            metadata_dir=str(place.state / "metadata"),
            metadata_base_url=f"{place.base.rstrip('/')}/metadata/",
            target_dir=str(place.state / "targets"),
            target_base_url=f"{place.base.rstrip('/')}/targets/",
            fetcher=fetcher,
            config=_LIMITS,
            bootstrap=place.root,
        )

    def look(self, held: Mapping[str, bytes], fetcher: FetcherInterface, now: dt.datetime) -> KeptUpdater:
        """One for one look.

        Args:
            held: metadata believed before, by file.
            fetcher: how files are fetched.
            now: the time by which things have expired.
        """
        look = copy.copy(self)
        look.unkept, look._held, look._fetcher = {}, held, fetcher
        trusted = self._trusted_set
        same = {id(each): each for each in (trusted.root, trusted.reference_time)}
        look._trusted_set = trusted = copy.deepcopy(trusted, same)
        trusted.reference_time = now
        trusted._load_data = self._verified.through(trusted._load_data)
        return look

    @property
    def targets(self) -> Targets:
        """The targets metadata believed."""
        return self._trusted_set.targets

    @property
    def signers(self) -> frozenset[str]:
        """Ids of the keys that the root puts in charge of the targets."""
        return frozenset(self._trusted_set.root.roles[Targets.type].keyids)

    @property
    def expires_ms(self) -> int:
        """When the first of the metadata expires, Unix milliseconds."""
        trusted = self._trusted_set
        first = min(part.expires for part in (trusted.root, trusted.timestamp, trusted.snapshot, trusted.targets))
        return round(first.timestamp() * 1000)

    def _load_local_metadata(self, rolename: str) -> bytes:
        if (data := self._held.get(metadata_name(rolename))) is None:
            raise FileNotFoundError(rolename)  # what python-tuf expects of a file that is not there
        return data

    def _persist_metadata(self, rolename: str, data: bytes) -> None:
        if (name := metadata_name(rolename)) in METADATA:
            self.unkept[name] = data

    def _update_root_symlink(self) -> None:
        link = Path(self._dir, "root.json")
        with contextlib.suppress(OSError):
            if link.readlink() == Path("root_history", f"{self._trusted_set.root.version}.root.json"):
                return
        super()._update_root_symlink()

    def _persist_file(self, filename: str, data: bytes) -> None:
        path = Path(filename)
        with contextlib.suppress(OSError):
            if path.read_bytes() == data:
                return
        write_file(path, data, mode=PRIVATE, replace=True)


@contextlib.contextmanager
def _as_ours(place: DirectoryPlace) -> Iterator[None]:
    """Errors of python-tuf, of files and of the disk, as ones of ours."""
    try:
        yield
    except DownloadError as error:
        raise _not_reached() from error
    except RepositoryError as error:
        raise _broken(error) from error
    except CertsError as error:
        raise DirectoryError(error.en, error.zh) from error
    except OSError as error:
        raise DirectoryError(
            f"{place.state}: the directory cannot be kept ({cause(error).en}); check folder and free space",
            f"{place.state}：成员目录无法保存（{cause(error).zh}），请检查目录与剩余空间",
        ) from error


def _broken(error: RepositoryError) -> DirectoryError:
    """Which of TUF's rules was broken, what that may mean, and what to do."""
    name = type(error).__name__
    match error:
        case ExpiredMetadataError() if f"{Root.type}.json" in str(error):
            return _refused(
                "its root has expired: the custodians of the authority's root keys have to renew it "
                "(`wugan authority root rotate`)",
                "其根元数据已过期，须由管理机构的根密钥保管人续期（`wugan authority root rotate`）",
            )
        case ExpiredMetadataError():
            return _refused(
                "its metadata have expired, so something newer is withheld or the authority has stopped",
                "其元数据已过期，可能有更新被扣留，或管理机构已停止服务",
            )
        case BadVersionNumberError():
            return _refused(
                f"its metadata are older than what was seen before ({name}): an old copy is played back, or the "
                "authority was restored from a backup and has to publish above (`wugan authority publish --above`)",
                f"其元数据早于此前所见（{name}）：疑似回滚；若管理机构刚从备份恢复，"
                "须由其执行 `wugan authority publish --above`",
            )
        case LengthOrHashMismatchError():
            return _refused(
                f"its parts do not belong together ({name}): copy the mirror again, whole; if it comes from the "
                "authority, somebody changes it on the way",
                f"其各部分不属于同一版本（{name}）：请重新完整复制镜像；若直接取自管理机构，说明途中被人改动",
            )
        case UnsignedMetadataError():
            return _refused(
                f"its metadata are not signed by enough of the keys that count ({name}): it is another authority's or "
                "forged, or was restored to before the root was rotated; compare root.json with the authority",
                f"其元数据未由足够数量的有效密钥签署（{name}）：来自其他管理机构、系伪造，"
                "或已恢复到根密钥轮换之前，请与管理机构核对 root.json",
            )
    return _refused(
        f"its metadata break the rules of TUF ({name}); compare root.json with the authority",
        f"其元数据不符合 TUF 规则（{name}），请与管理机构核对 root.json",
    )


def _not_reached() -> DirectoryError:
    return DirectoryError(
        "the federation directory could not be fetched; check [directory] source and whether the authority is reached",
        "无法获取联盟成员目录，请检查 [directory] source 设置及与管理机构的连接",
        retryable=True,
    )


def _refused(en: str, zh: str) -> DirectoryError:
    return DirectoryError(f"directory refused: {en}", f"拒绝该成员目录：{zh}")
