"""Which run a command is about: the one that its folder of results remembers, one that goes on from it, or a new one.

Owns: deciding that, and `run.json`. Refuses: calls (`roster_client`), and comparing files (`roster_live`).
"""

from __future__ import annotations

import dataclasses
import secrets
from pathlib import Path
from typing import Any

from gateway.cli import EXIT_USAGE
from gateway.cli.client import fail
from gateway.cli.language import say
from gateway.cli.roster_client import Remembered, digest_of, new_id, remember, remembered
from gateway.cli.roster_live import Handed, forget_pieces, handed, remember_pieces, whole
from wugan.agency.v1 import roster_pb2


@dataclasses.dataclass(slots=True)
class Going:
    """The run that a command is about.

    Args:
        header: with which the file is handed in.
        handed: how.
        known: what the folder remembers.
        out: the folder.
    """

    header: roster_pb2.RosterHeader
    handed: Handed
    known: Remembered
    out: Path

    def fall_back(self, path: Path) -> None:
        """The gateway cannot go on from the run before as asked: send the file whole, then without that run."""
        if self.handed.made_of:
            self.handed = whole(path, self.handed)
        else:
            self.header.ClearField("continues")
            self.known = dataclasses.replace(self.known, continues="")
        self.fill_in()
        self.known = dataclasses.replace(self.known, sha256=self.header.sha256.hex())
        remember(self.out, self.known)

    def written(self, folder: Path) -> None:
        """The results are written: the next command of a live roster goes on from this run."""
        self.known = dataclasses.replace(self.known, written=True)
        remember(folder, self.known)
        forget_pieces(folder, self.known.run_id)

    def named_members(self, run: roster_pb2.RosterRun) -> dict[str, tuple[str, str]]:
        """Names of all members that this run and those before it asked."""
        members = dict(self.known.members)
        members |= {each.member_id: (each.member_name_zh, each.member_name_en) for each in run.provinces}
        self.known = dataclasses.replace(self.known, members=members)
        return members

    def fill_in(self) -> None:
        """Say in the header which file it is."""
        self.header.size, self.header.sha256 = self.handed.size, self.handed.sha256


def named(header: roster_pb2.RosterHeader, out: Path, path: Path, case_reference: str, *, anew: bool) -> Going:
    """Give a run its id, and remember it.

    Args:
        header: what is asked; gets id, size, digest, case and the run that it goes on from.
        out: folder of results.
        path: of the file.
        case_reference: as given; "": a random one.
        anew: forget what the folder remembers.
    """
    asked = _asked(header)
    known = None if anew else remembered(out)
    if known is not None and known.asked != asked:
        _other(out)
    going_on = known is not None and header.live and known.written
    before = "" if known is None else known.run_id if going_on else known.continues
    file = handed(path, out, before) if header.live else Handed(*digest_of(path), None, ())
    if known is not None and not going_on:
        if known.sha256 != file.sha256.hex():
            file = whole(path, file)
            if known.sha256 != file.sha256.hex():
                _other(out)
        now = known
    else:
        reference = case_reference or f"ROSTER-{secrets.token_hex(6)}"
        members = {} if known is None else known.members
        now = Remembered(new_id(), file.sha256.hex(), asked, reference, before, members=members)
        remember_pieces(out, now.run_id, file.pieces)
        remember(out, now)
    header.run_id = bytes.fromhex(now.run_id)
    header.continues = bytes.fromhex(now.continues)
    header.case_reference = now.case_reference
    going = Going(header, file, now, out)
    going.fill_in()
    return going


def _asked(header: roster_pb2.RosterHeader) -> dict[str, Any]:
    """All that makes another run of the same file."""
    return {
        "purpose": header.purpose,
        "benefit": header.benefit,
        "as_of": header.as_of,
        "evidence": header.evidence_limit,
        "sheet": header.sheet,
        "home": header.ask_about_home,
        "columns": {column.field: column.name for column in header.columns},
        "live": header.live,
    }


def _other(out: Path) -> None:
    fail(
        say(
            f"{out} holds the results of another roster or another question, or of a run that is not over; use another "
            "folder, the same file, or --anew",
            f"{out} 中已有其他名册、其他查询或尚未结束的任务的结果，请使用其他目录、原文件，或加 --anew 重新查询",
        ),
        EXIT_USAGE,
    )
