"""Fetching the directory by TUF: python-tuf's client, and its errors as ours.

Owns: one look at a repository, from the trusted root to the bytes of the directory, and what is kept of it on the disk.
Refuses: every rule of its own, reading what a directory says, and the clock.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tuf.api.exceptions import DownloadError, ExpiredMetadataError, RepositoryError
from tuf.api.metadata import Targets
from tuf.ngclient import Updater, UpdaterConfig
from tuf.ngclient.fetcher import FetcherInterface

from certs.errors import CertsError
from certs.files import PRIVATE, read_public, write_file
from certs.system_words import cause
from gateway.errors import DirectoryError
from gateway.federation.directory_trust import MAX_DIRECTORY_BYTES

TARGET: Final = "directory.pb"
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
    """What TUF vouches for: the target's bytes, its version, and until when."""

    data: bytes
    version: int
    expires_ms: int
    signers: frozenset[str]


def fetch(place: DirectoryPlace, fetcher: FetcherInterface, now: dt.datetime) -> Fetched:
    """Whatever is newest, by the rules of TUF. Waits for the network and the disk: to be called in a thread.

    Args:
        place: where it comes from and is kept.
        fetcher: how files are fetched.
        now: the time by which things have expired.

    Raises:
        DirectoryError: nothing could be fetched (retryable), may be believed, or be kept.
    """
    metadata, targets = place.state / "metadata", place.state / "targets"
    try:
        for folder in (place.state, metadata, targets):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        updater = KeptUpdater(place, fetcher, now)
        updater.refresh()
        info = updater.get_targetinfo(TARGET)
        if info is None or info.length > MAX_DIRECTORY_BYTES:
            raise _refused("it names no directory, or one that is too large", "元数据未列出成员目录或目录过大")
        path = Path(updater.find_cached_target(info) or updater.download_target(info))
        data = read_public(path, limit=MAX_DIRECTORY_BYTES)
        info.verify_length_and_hashes(data)
        return Fetched(data, updater.targets.version, updater.expires_ms, updater.signers)
    except DownloadError as error:
        raise _not_reached() from error
    except ExpiredMetadataError as error:
        raise _refused(
            "its metadata have expired, so something newer is withheld or the authority has stopped",
            "其元数据已过期，可能有更新被扣留，或管理机构已停止服务",
        ) from error
    except RepositoryError as error:
        raise _refused(
            f"its metadata break the rules of TUF ({type(error).__name__})",
            f"其元数据不符合 TUF 规则（{type(error).__name__}）",
        ) from error
    except CertsError as error:
        raise DirectoryError(error.en, error.zh) from error
    except OSError as error:
        raise DirectoryError(
            f"{place.state}: the directory cannot be kept ({cause(error).en}); check folder and free space",
            f"{place.state}：成员目录无法保存（{cause(error).zh}），请检查目录与剩余空间",
        ) from error


class KeptUpdater(Updater):
    """python-tuf's client with two changes: the time is given to it, and what it keeps survives a power cut."""

    def __init__(self, place: DirectoryPlace, fetcher: FetcherInterface, now: dt.datetime) -> None:
        super().__init__(
            metadata_dir=str(place.state / "metadata"),
            metadata_base_url=f"{place.base.rstrip('/')}/metadata/",
            target_dir=str(place.state / "targets"),
            target_base_url=f"{place.base.rstrip('/')}/targets/",
            fetcher=fetcher,
            config=_LIMITS,
            bootstrap=place.root,
        )
        self._trusted_set.reference_time = now

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

    def _persist_file(self, filename: str, data: bytes) -> None:
        path = Path(filename)
        with contextlib.suppress(OSError):
            if path.read_bytes() == data:
                return
        write_file(path, data, mode=PRIVATE, replace=True)


def _not_reached() -> DirectoryError:
    return DirectoryError(
        "the federation directory could not be fetched; check [directory] source and whether the authority is reached",
        "无法获取联盟成员目录，请检查 [directory] source 设置及与管理机构的连接",
        retryable=True,
    )


def _refused(en: str, zh: str) -> DirectoryError:
    return DirectoryError(f"directory refused: {en}", f"拒绝该成员目录：{zh}")
