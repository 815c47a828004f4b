"""What `wugan certs status` tells of how partners judge the keys in use, by the directory that the gateway holds.

Owns: reading that directory, and the words. Refuses: asking the authority: status works where nothing is reached.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.cli.language import say

if TYPE_CHECKING:
    from certs.slot_journal import Journal
    from gateway.config import GatewaySettings
    from gateway.federation.own_standing import Objection


@dataclass(frozen=True, slots=True)
class Judged:
    """How the keys in use stand.

    Args:
        version: of the directory held; 0 where none is, or it has expired.
        objections: what it holds against them.
    """

    version: int
    objections: tuple[Objection, ...]

    def told(self) -> dict[str, Any]:
        """The same for programs."""
        refused = [
            {"name": each.name, "kind": each.kind, "why": say(each.en, each.zh), "remedy": say(*each.remedy)}
            for each in self.objections
        ]
        return {"directory_held": self.version, "refused": refused}

    def lines(self) -> list[str]:
        """The same for people; nothing where all is well."""
        if not self.version:
            return [
                say(
                    "No directory in force is held here yet, so whether a key was revoked cannot be told; the gateway "
                    "fetches one when it runs.",
                    "本机尚无有效的成员目录，无法判断密钥是否已被吊销；网关运行后自动获取。",
                )
            ]
        return [
            say(
                f"Partners refuse {each.name}, which is in use: {each.en} (directory {self.version}). "
                f"What to do: {each.remedy[0]}.",
                f"其他成员将拒绝在用的 {each.name}：{each.zh}（第 {self.version} 版目录）。"
                f"处理办法：{each.remedy[1]}。",
            )
            for each in self.objections
        ]


def judge(settings: GatewaySettings, journal: Journal) -> Judged:
    """How the keys in use stand in the directory that the gateway holds.

    Raises:
        CertsError: a certificate's file cannot be read.
    """
    from certs.files import read_public
    from gateway.clock import SystemClock
    from gateway.federation.directory_held import held_directory
    from gateway.federation.own_standing import objections
    from gateway.log import configure

    configure("ERROR", "console")
    directory = held_directory(settings, SystemClock())
    if directory is None:
        return Judged(0, ())
    folder = settings.keys_folder
    against = objections(
        directory, settings.member_id, journal, lambda each: read_public(folder / f"{each.name}.chain.pem")
    )
    return Judged(directory.version, against)
