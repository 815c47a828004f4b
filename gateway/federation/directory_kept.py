"""What a gateway keeps of the directory that it believes: the files of one version, whole.

    keeping.json            all four in one file, durable before they count
    metadata/<role>.json    the same for people and for programs of before, as is targets/directory.pb

One file is there or is not, so whatever is cut off leaves all of a version or all of the one before; and it costs two
waits for the disk where four files in two folders cost six. The others are whole or absent to whoever looks, and follow
when the disk likes; until then they are older than the one that counts, and never newer.

Owns: these files, and which of them count when they do not agree. Refuses: believing them. They are judged anew by
python-tuf at every look, as what is fetched is.
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tuf.api.metadata import Snapshot, Targets, Timestamp

from certs.errors import CertsError
from certs.files import PRIVATE, read_public, write_file, write_files
from gateway.federation.directory_trust import MAX_DIRECTORY_BYTES

TARGET: Final = "directory.pb"
DIRECTORY: Final = f"targets/{TARGET}"
KEEPING: Final = "keeping.json"


def metadata_name(role: str) -> str:
    """The file of a role's metadata, in the state folder."""
    return f"metadata/{role}.json"


METADATA: Final = tuple(map(metadata_name, (Timestamp.type, Snapshot.type, Targets.type)))
_TIMESTAMP: Final = METADATA[0]
_FILES: Final = (*METADATA, DIRECTORY)


class Kept:
    """The files of the version held, read from the disk once: only this gateway writes there.

    Args:
        state: their folder.
    """

    def __init__(self, state: Path) -> None:
        self._state = state
        placed = {name: data for name in _FILES if (data := _read(state / name)) is not None}
        whole = _whole(_read(state / KEEPING))
        # In a folder of a program of before it may be what a kill left long ago.
        counts = _version(whole) >= _version(placed)
        self._files: Mapping[str, bytes] = {**placed, **whole} if counts else placed
        with contextlib.suppress(CertsError):  # those that a power cut left behind; nothing depends on them
            self._place(placed)

    @property
    def files(self) -> Mapping[str, bytes]:
        """By name in the state folder; not all of them, where some are not there."""
        return self._files

    @property
    def timestamp(self) -> bytes | None:
        """The timestamp metadata; None where they are not there."""
        return self._files.get(_TIMESTAMP)

    def put(self, files: Mapping[str, bytes]) -> bool:
        """Keep these from now on; whether they are others than before. Waits for the disk.

        Raises:
            CertsError: they cannot be kept.
        """
        if files == self._files:
            return False
        text = json.dumps({name: base64.b64encode(data).decode("ascii") for name, data in files.items()})
        write_file(self._state / KEEPING, text.encode("ascii"), mode=PRIVATE, replace=True)
        before, self._files = self._files, files
        # After fast-forward versions are lower; what was there before must not come back with a power cut and count.
        self._place(before, lasting=_version(files) < _version(before))
        return True

    def _place(self, there: Mapping[str, bytes], *, lasting: bool = False) -> None:
        """Put those in their places that are not there."""
        others = {self._state / name: data for name, data in self._files.items() if there.get(name) != data}
        write_files(others, mode=PRIVATE, replace=True, lasting=lasting)


def _read(path: Path) -> bytes | None:
    try:
        return read_public(path, limit=2 * MAX_DIRECTORY_BYTES)
    except CertsError:
        return None


def _whole(text: bytes | None) -> dict[str, bytes]:
    """What is in the one file; nothing where it is not there or is damaged."""
    try:
        told = json.loads(text or b"")
        return {name: base64.b64decode(told[name], validate=True) for name in _FILES if name in told}
    except (ValueError, TypeError, RecursionError):
        return {}


def _version(files: Mapping[str, bytes]) -> int:
    """Of the timestamp; 0 where there is none."""
    try:
        return int(json.loads(files[_TIMESTAMP])["signed"]["version"])
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return 0
