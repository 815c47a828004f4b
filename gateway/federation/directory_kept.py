"""What a gateway keeps of the directory that it believes: the files of one version, whole.

    keeping.json              all four in one file, durable before they count
    metadata/timestamp.json   what people look at when the authority is gone; follows when the disk likes

One file is there or is not, so whatever is cut off leaves all of a version or all of the one before; and it costs two
waits for the disk where four files in two folders cost six. Programs of before kept four files, and in the one only
what was being put in their places; they find their way back from it.

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
from certs.files import PRIVATE, read_public, write_file
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
        # The one file may be older where a program of before was killed, and after that kept on as it did.
        counts = _version(whole) >= _version(placed)
        self._files: Mapping[str, bytes] = {**placed, **whole} if counts else placed
        self._of_before = [state / name for name in placed if name != _TIMESTAMP]
        if self.timestamp != placed.get(_TIMESTAMP):  # a power cut left it behind
            with contextlib.suppress(CertsError):  # nothing depends on it
                self._show(lasting=False)

    @property
    def files(self) -> Mapping[str, bytes]:
        """By name in the state folder; not all of them, where some are not there."""
        return self._files

    @property
    def timestamp(self) -> bytes | None:
        """The timestamp metadata; None where they are not there."""
        return self._files.get(_TIMESTAMP)

    def put(self, files: Mapping[str, bytes]) -> bool:
        """Keep these from now on; whether that was to be done, or they are there. Waits for the disk.

        Raises:
            CertsError: they cannot be kept.
        """
        if files == self._files and (self._state / KEEPING).exists():
            return False
        text = json.dumps({name: base64.b64encode(data).decode("ascii") for name, data in files.items()})
        write_file(self._state / KEEPING, text.encode("ascii"), mode=PRIVATE, replace=True)
        before, self._files = self._files, files
        # After fast-forward versions are lower; what was there before must not come back with a power cut and count.
        self._show(lasting=_version(files) < _version(before))
        while self._of_before:
            self._of_before.pop().unlink(missing_ok=True)
        return True

    def _show(self, *, lasting: bool) -> None:
        if self.timestamp is not None:
            write_file(self._state / _TIMESTAMP, self.timestamp, mode=PRIVATE, replace=True, lasting=lasting)


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
