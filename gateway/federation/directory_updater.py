"""Fetching the directory by TUF: python-tuf's client, and its errors as ours.

Owns: one look at a repository, from the trusted root to the bytes of the directory, and what is kept of it on the disk:
roots as they come, all else only together with a directory that was believed, so that whatever cannot be taken whole
leaves what was believed before on the disk too. Refuses: every rule of its own, reading what a directory says, and the
clock.
"""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import json
from collections.abc import Iterator, Mapping
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
from tuf.api.metadata import Root, Targets
from tuf.ngclient import Updater, UpdaterConfig
from tuf.ngclient.fetcher import FetcherInterface

from certs.errors import CertsError
from certs.files import PRIVATE, read_public, write_file, write_files
from certs.system_words import cause
from gateway.errors import DirectoryError
from gateway.federation.directory_trust import MAX_DIRECTORY_BYTES

TARGET: Final = "directory.pb"
KEEPING: Final = "keeping.json"
"""Files of a version that are being put in their places: killed in between, a gateway has them all again from here."""
ARRIVING: Final = f"{TARGET}.arriving"
"""Beside it: one that was fetched and is not believed yet; while it is not, it is fetched no second time."""
_TIMESTAMP: Final = "metadata/timestamp.json"
_KEPT: Final = (_TIMESTAMP, "metadata/snapshot.json", "metadata/targets.json", f"targets/{TARGET}")
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
    """What TUF vouches for: the target's bytes, its version, and until when; and what of it is new, by file."""

    data: bytes
    version: int
    expires_ms: int
    signers: frozenset[str]
    unkept: Mapping[Path, bytes]


def fetch(place: DirectoryPlace, fetcher: FetcherInterface, now: dt.datetime) -> Fetched:
    """Whatever is newest, by the rules of TUF. Waits for the network and the disk: to be called in a thread.

    Args:
        place: where it comes from and is kept.
        fetcher: how files are fetched.
        now: the time by which things have expired.

    Raises:
        DirectoryError: nothing could be fetched (retryable), may be believed, or be kept.
    """
    targets = place.state / "targets"
    with _as_ours(place):
        for folder in (place.state, place.state / "metadata", targets):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        updater = KeptUpdater(place, fetcher, now)
        updater.refresh()
        info = updater.get_targetinfo(TARGET)
        if info is None or info.length > MAX_DIRECTORY_BYTES:
            raise _refused("it names no directory, or one that is too large", "元数据未列出成员目录或目录过大")
        arriving = str(targets / ARRIVING)
        held = updater.find_cached_target(info)
        path = held or updater.find_cached_target(info, arriving) or updater.download_target(info, arriving)
        data = read_public(Path(path), limit=MAX_DIRECTORY_BYTES)
        info.verify_length_and_hashes(data)
        unkept = updater.unkept if held else {**updater.unkept, targets / TARGET: data}
        return Fetched(data, updater.targets.version, updater.expires_ms, updater.signers, unkept)


def keep(place: DirectoryPlace, fetched: Fetched) -> None:
    """Keep on the disk what is new: from now on nothing older is believed. Waits for the disk.

    Raises:
        DirectoryError: it cannot be kept.
    """
    if not fetched.unkept:
        return
    with _as_ours(place):
        if len(fetched.unkept) > 1:
            write_file(place.state / KEEPING, _together(place, fetched.unkept), mode=PRIVATE, replace=True)
        write_files(fetched.unkept, mode=PRIVATE, replace=True)
        (place.state / KEEPING).unlink(missing_ok=True)
        (place.state / "targets" / ARRIVING).unlink(missing_ok=True)


def finish(place: DirectoryPlace) -> bool:
    """Put in their places the files of a version whose keeping a kill cut off; whether there were some. They were
    believed before, and are judged again. Waits for the disk.

    Raises:
        DirectoryError: they cannot be kept.
    """
    files = _left(place)
    if not files:
        return False
    with _as_ours(place):
        write_files(files, mode=PRIVATE, replace=True)
        (place.state / KEEPING).unlink(missing_ok=True)
    return True


def _together(place: DirectoryPlace, files: Mapping[Path, bytes]) -> bytes:
    named = {str(path.relative_to(place.state)): data for path, data in files.items()}
    return json.dumps({name: base64.b64encode(data).decode("ascii") for name, data in named.items()}).encode("ascii")


def _left(place: DirectoryPlace) -> dict[Path, bytes]:
    """What a kill left, in its order; none where there is nothing, or where what is in place is newer than that."""
    try:
        told = json.loads(read_public(place.state / KEEPING, limit=MAX_DIRECTORY_BYTES * 2))
        left = {name: base64.b64decode(told[name], validate=True) for name in _KEPT if name in told}
        held = place.state / _TIMESTAMP
        older = held.exists() and _version(left[_TIMESTAMP]) < _version(held.read_bytes())
    except (CertsError, OSError, ValueError, TypeError, KeyError):
        return {}
    return {} if older else {place.state / name: data for name, data in left.items()}


def _version(metadata: bytes) -> int:
    return int(json.loads(metadata)["signed"]["version"])


class KeptUpdater(Updater):
    """python-tuf's client with three changes: the time is given to it, the roots it keeps survive a power cut, and what
    else it would keep is left to whoever judges the directory.
    """

    def __init__(self, place: DirectoryPlace, fetcher: FetcherInterface, now: dt.datetime) -> None:
        self.unkept: dict[Path, bytes] = {}
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

    def _persist_metadata(self, rolename: str, data: bytes) -> None:
        self.unkept[Path(self._dir, f"{rolename}.json")] = data

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
