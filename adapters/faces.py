"""Faces as they leave a department: tokens, by which one face under two people is seen (一张脸只能认证通过一个待遇).

    token    SHA-256("wugan-face-v1" 0x00 || platform || 0x00 || template), its first 16 bytes

`platform` names the face platform as all members that use it have agreed (a-z 0-9 . -); a platform's template ids mean
something only there. `template` is its id of the enrolled face, UTF-8.

Owns: this layout, and which checks count. Refuses: pictures, features and template ids beyond this place: the gateway
never sees them. A check counts where the person was there by the record (IN_PERSON): where a relative showed their own
face for somebody, that face belongs to nobody who draws.
"""

from __future__ import annotations

import hashlib
from typing import Final

from wugan.adapter.v1 import vocabulary_pb2 as words

FACE_TOKEN_BYTES: Final = 16
FACE_KIND: Final = words.EVIDENCE_KIND_FACE_CHECK
FACE_STRENGTH: Final = words.STRENGTH_IN_PERSON
PLATFORM: Final = r"[a-z0-9][a-z0-9.-]{0,63}"
"""What a platform may be called."""
_TOKEN: Final = b"wugan-face-v1\x00"


def face_token(platform: str, template: str) -> bytes:
    """What stands for a platform's template, the same wherever it is made."""
    return hashlib.sha256(_TOKEN + platform.encode() + b"\x00" + template.encode()).digest()[:FACE_TOKEN_BYTES]
