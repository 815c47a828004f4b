"""The truth about every recipient, kept aside: what scoring holds the gateways' answers against. Nothing serves it.

Owns: the record, its file (one JSON object a line, mode 0600) and what it is to be right. Refuses: being read by
anything that answers questions. What the evidence of each case cannot tell is said in `gateway.demo.cases`.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from gateway.demo.cases import BY_LABEL, ENDED_BY, Case
from gateway.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Recipient:
    """One row of a paying agency's roster, and the truth behind it.

    Args:
        person: row of the world's people; the same person may be in two rows.
        again: 0 for the first row of a person, 1 for a second one.
        case: label of the case (`gateway.demo.cases`).
        alive: whether the person is alive.
        died_on: "YYYY-MM-DD", "" while alive.
        death_known: whether a department anywhere in the federation has a record of the death that it tells,
            be it only a lead.
        expected: SurvivalStatus without prefix that a perfect reader of the evidence answers, or REFUSED.
        right: every status that is not wrong, `expected` first.
        flags: EntitlementFlags without prefix that the answer must raise.
        unread: whether a department holds a row about the person that it cannot read: the answer must say that it is
            incomplete, and certify nobody; what only this department could tell is in none of the others.
        paying_province: GB/T 2260 code.
        unit: the paying agency's unit id.
        id_number: as the roster has it, quirks and all.
        name: as the roster has it.
        benefit: BenefitType without prefix.
        residence_region: where the agency thinks the person lives (GB/T 2260), 0: it does not know.
        benefit_since: "YYYY-MM-DD", since when it is paid; "": the roster does not say.
        monthly_cents: paid each month, in fen.
        lives_in: province where the person really lives, or lived last.
        present_number: the number under which departments now hold the person.
    """

    person: int
    again: int
    case: str
    alive: bool
    died_on: str
    death_known: bool
    expected: str
    right: tuple[str, ...]
    flags: tuple[str, ...]
    unread: bool
    paying_province: int
    unit: str
    id_number: str
    name: str
    benefit: str
    benefit_since: str
    residence_region: int
    monthly_cents: int
    lives_in: int
    present_number: str

    @property
    def across(self) -> bool:
        """Whether the person lives in another province than the one that pays: only these need the federation."""
        return self.lives_in != self.paying_province

    @property
    def about(self) -> Case:
        """The case: what the evidence can and cannot tell."""
        return BY_LABEL[self.case]

    def is_right(self, status: str) -> bool:
        """Whether this SurvivalStatus (without prefix), or REFUSED, is a right answer."""
        return status in self.right

    def is_intolerable(self, status: str) -> bool:
        """Whether a living person is called dead, which must never happen."""
        return self.alive and status == "DECEASED"

    @property
    def ended_by(self) -> tuple[str, ...]:
        """The facts on record that end or suspend this benefit of a living person: a stop is rightly proposed."""
        return tuple(flag for flag in self.flags if self.benefit in ENDED_BY.get(flag, ()))


_FIELDS = tuple(field.name for field in fields(Recipient))
_MAX_LINE = 8_192


def write_truth(recipients: Iterable[Recipient], path: Path) -> None:
    """Write the truth file, mode 0600, whole or not at all.

    Args:
        recipients: `World.recipients()`.
        path: of the file; its folder exists.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as stream:
            for recipient in recipients:
                stream.write(
                    json.dumps(
                        {name: getattr(recipient, name) for name in _FIELDS}, ensure_ascii=False, separators=(",", ":")
                    )
                    + "\n"
                )
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_truth(path: Path) -> Iterator[Recipient]:
    """The records of a truth file, one by one.

    Raises:
        ConfigError: the file cannot be read, or a line is not a record of this version.
    """
    try:
        with path.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, start=1):
                yield _record(line, path, number)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} cannot be read: run `wugan demo up` first",
            f"无法读取 {path}：请先运行 wugan demo up",
            field="truth",
        ) from error


def _record(line: str, path: Path, number: int) -> Recipient:
    try:
        values = json.loads(line) if len(line) <= _MAX_LINE else None
    except ValueError:
        values = None
    if not isinstance(values, dict) or set(values) != set(_FIELDS) or values["case"] not in BY_LABEL:
        raise ConfigError(
            f"{path}:{number}: not a record of this version; make the demo world anew",
            f"{path}:{number}：不是本版本的记录，请重新生成演示环境",
            field="truth",
        )
    values["right"], values["flags"] = tuple(values["right"]), tuple(values["flags"])
    return Recipient(**values)
