"""Signatures over metadata that python-tuf verified at the look before are not verified again over the same bytes.

Owns: `Verified`, a memory of what python-tuf's `_load_data` came to: reading metadata and verifying that enough of the
keys that count signed them. Nothing decides this but the bytes, the role they are to be of, and what the root says, and
all of these are compared whole. Refuses: everything else. Versions, expiries, hashes and lengths, which depend on the
time and on other metadata, are judged by python-tuf at every look; what was refused is not remembered.

A look begins with the timestamp and the snapshot held, so that nothing older is believed: half the signatures of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tuf.api.metadata import Root

KNOWN: Final = 8
"""At most, each no longer than metadata may be: what one look needs, and the one before."""

Load = Callable[..., Any]
"""Role, bytes, delegator, name of the role: as `_load_data` of python-tuf's trusted set."""


@dataclass(frozen=True, slots=True)
class _Known:
    role: type[Any]
    data: bytes
    root: Root
    name: str | None
    result: Any


class Verified:
    """What was verified last. For one look at a time."""

    def __init__(self) -> None:
        self._known: deque[_Known] = deque(maxlen=KNOWN)

    def through(self, load: Load) -> Load:
        """The same, but for what it came to before."""

        def loaded(role: type[Any], data: bytes, delegator: Any = None, name: str | None = None) -> Any:
            if not isinstance(delegator, Root) or role is Root:
                return load(role, data, delegator, name)
            for each in self._known:
                same = each.role is role and each.name == name and each.data == data
                if same and (each.root is delegator or each.root == delegator):
                    return each.result
            result = load(role, data, delegator, name)
            self._known.append(_Known(role, data, delegator, name, result))
            return result

        return loaded
