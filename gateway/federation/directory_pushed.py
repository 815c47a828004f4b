"""The files of a directory version as the push stream carries them: one event before the one that tells the version.

    event: files
    data: {
    data: "root": 1,
    data: "files": {
    data: "metadata/timestamp.json": [
    data: "eyJzaWduYXR1cmVz…",
    …

Put together as those of server-sent events are (WHATWG HTML, section 9.2), the data are one JSON object: the number of
the newest root, and of each file, by its path in the repository, Base64 in pieces. No line is longer than gateways read
that know only the event `version`, and none by itself names one, so that they read on.

Owns: this form, and how long it may be. Refuses: believing anything: what comes is given to python-tuf like what is
fetched, and whatever is not of this form is as good as not sent.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

EVENT: Final = "files"
MAX_EVENT_BYTES: Final = 1 << 20
"""Longest event, its line ends too; of a version that would need more, nothing but the number is told."""
MAX_LINE_BYTES: Final = 4096

_PIECE_BYTES: Final = 3000
"""Of a file in one line: 4,000 characters."""
_MAX_FILES: Final = 16


@dataclass(frozen=True, slots=True)
class Pushed:
    """What was sent with a version.

    Args:
        files: by path in the repository.
        newest_root: no later root was there; None where that was not said.
    """

    files: Mapping[str, bytes] = field(default_factory=dict)
    newest_root: int | None = None

    @property
    def targets(self) -> tuple[bytes, ...]:
        """Those among them that are no metadata."""
        return tuple(data for path, data in self.files.items() if path.startswith("targets/"))

    def event(self) -> bytes:
        """To be sent; empty where it would be too long."""
        files = {
            path: [
                base64.b64encode(data[at : at + _PIECE_BYTES]).decode("ascii")
                for at in range(0, len(data), _PIECE_BYTES)
            ]
            for path, data in self.files.items()
        }
        text = json.dumps({"root": self.newest_root, "files": files}, indent=0)
        event = f"event: {EVENT}\n" + "".join(f"data: {line}\n" for line in text.splitlines()) + "\n"
        return event.encode("ascii") if len(event) <= MAX_EVENT_BYTES else b""

    @classmethod
    def of(cls, data: bytes) -> Pushed:
        """Out of an event's data; nothing where they are of another form."""
        try:
            read = json.loads(data)
            root, files = read["root"], read["files"]
            if type(root) is not int or root < 1 or len(files) > _MAX_FILES:
                return cls()
            return cls({path: _whole(pieces) for path, pieces in files.items()}, root)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return cls()


def _whole(pieces: Any) -> bytes:
    if not isinstance(pieces, list):
        raise TypeError
    try:
        return b"".join(base64.b64decode(piece, validate=True) for piece in pieces)
    except binascii.Error as error:
        raise ValueError from error
