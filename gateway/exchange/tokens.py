"""Tokens of people: how a subscriber names whom it pays without writing down a number.

    token      = HMAC-SHA256(secret, "wugan-notice-token-v1" 0x00 || normalised number), its first 16 bytes
    name check = HMAC-SHA256(secret, "wugan-notice-name-v1" 0x00 || token || name as it is compared), its first 16 bytes

The secret is random and belongs to one pair of members, so two members cannot compare what they were sent. The name
check is bound to the token: people of the same name do not look alike. Owns: this layout. Refuses: hiding a number from
whoever holds the secret and guesses it; docs/threat-model.md says what that means.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Iterable
from typing import Final, NamedTuple

TOKEN_BYTES: Final = 16
CHECK_BYTES: Final = 16
SECRET_BYTES: Final = 32
KEY_ID_BYTES: Final = 16
_TOKEN: Final = b"wugan-notice-token-v1\x00"
_NAME: Final = b"wugan-notice-name-v1\x00"


class PairKey(NamedTuple):
    """The key of a subscriber and one other member; `key_id` tells keys apart and means nothing."""

    key_id: bytes
    secret: bytes

    @staticmethod
    def fresh() -> PairKey:
        """A new one."""
        return PairKey(os.urandom(KEY_ID_BYTES), os.urandom(SECRET_BYTES))

    def token(self, number: str) -> bytes:
        """What stands for a normalised number."""
        return hmac.digest(self.secret, _TOKEN + number.encode(), "sha256")[:TOKEN_BYTES]

    def tokens(self, numbers: Iterable[str]) -> list[bytes]:
        """Of many."""
        secret, digest = self.secret, hmac.digest
        return [digest(secret, _TOKEN + number.encode(), "sha256")[:TOKEN_BYTES] for number in numbers]

    def name_check(self, token: bytes, name_key: str) -> bytes:
        """What a name is checked by; `name_key` as `RuleBook.name_key` makes it."""
        return hmac.digest(self.secret, _NAME + token + name_key.encode(), "sha256")[:CHECK_BYTES]

    def __repr__(self) -> str:
        """Without the secret."""
        return f"<PairKey {self.key_id.hex()}>"


def cut(joined: bytes, size: int) -> list[bytes]:
    """Equal pieces that stand one after another.

    Raises:
        ValueError: the last one is not whole.
    """
    if len(joined) % size:
        raise ValueError("the last piece is not whole")
    return [joined[at : at + size] for at in range(0, len(joined), size)]
