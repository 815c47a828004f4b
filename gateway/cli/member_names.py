"""What other members are called, for commands that an official runs beside a gateway.

Owns: names by the directory that the gateway holds. Refuses: needing them: where there is no directory to be believed,
members have their codes, as everywhere that programs read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gateway.cli.language import say


class MemberNames:
    """Names by member code.

    Args:
        names: member → its name in Chinese and in English.
        known: whether these are all members, by a directory that is in force.
    """

    def __init__(self, names: Mapping[str, tuple[str, str]], *, known: bool = False) -> None:
        self._names = names
        self.known = known
        """Whether it can be told who has left."""

    @classmethod
    def of(cls, config_file: Path) -> MemberNames:
        """Those that the gateway with this configuration knows. Not to be called from an event loop.

        Raises:
            ConfigError: the configuration cannot be used.
        """
        from gateway.clock import SystemClock
        from gateway.config import load_gateway
        from gateway.federation.directory_held import held_directory
        from gateway.log import configure

        configure("ERROR")  # what reading a directory logs would stand among what is printed
        directory = held_directory(load_gateway(config_file), SystemClock())
        members = () if directory is None else directory.members
        return cls(
            {member.member_id: (member.name_zh, member.name_en) for member in members}, known=directory is not None
        )

    def has_left(self, member: str) -> bool | None:
        """Whether a member is not in the federation any more; None: there is no directory to be believed about it."""
        return member not in self._names if self.known else None

    def called(self, member: str) -> str:
        """A member for people: its name with its code; the code alone where it has no known name."""
        zh, en = self._names.get(member, ("", ""))
        return called(member, zh, en)

    def name(self, member: str) -> str:
        """Its name alone; "" where it is not known."""
        zh, en = self._names.get(member, ("", ""))
        return say(en, zh)

    def fields(self, member: str) -> dict[str, str]:
        """Its names for programs; "" where they are not known."""
        zh, en = self._names.get(member, ("", ""))
        return {"member_name_zh": zh, "member_name_en": en}


def called(member: str, zh: str, en: str) -> str:
    """A member for people, by its names."""
    name = say(en, zh)
    if not name or name == member:
        return member
    return say(f"{name} ({member})", f"{name}（{member}）")
