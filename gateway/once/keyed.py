"""Certifications as the gate's table knows them: keyed tags and days in one packed column, no text.

Owns: making them of text, cutting them apart, and their order. Refuses: I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gateway.rules.book import RuleBook
from gateway.rules.columns import Index, Int32, same_length
from gateway.store.certifications import NOTHING, Claims
from gateway.store.once_tables import CHECK_BYTES, TAG_BYTES

Texts = Sequence[str]
Tagging = Callable[[str, Iterable[str], int], list[bytes]]
"""(what the texts are, the texts, bytes of a tag) → what stands for them; keyed."""

PACKED: Final = np.dtype(
    [
        ("tag", f"V{TAG_BYTES}"),
        ("person", f"V{TAG_BYTES}"),
        ("name", f"V{CHECK_BYTES}"),
        ("reference", f"V{CHECK_BYTES}"),
        ("benefit", "<i2"),
        ("row", "<i8"),
        ("certified_on", "<i4"),
    ]
)
Packed = NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Certified:
    """Certifications that succeeded: parallel columns in order of rows, and sparse pairs.

    Args:
        unit: the agency.
        run: 16 bytes, the same in every try of one run.
        row: of the roster of the run.
        id_number: normalised.
        name: as the roster has it; "" not known.
        benefit: BenefitType.
        reference: the agency's own id of the registration; "" none.
        certified_on: the day as of which it was certified; the cycle begins there.
        linked: (place, normalised number): further numbers of the person.
        faces: (place, template): the face by which a person was certified; a template id or what stands for one.
    """

    unit: str
    run: bytes
    row: NDArray[np.int64]
    id_number: Texts
    name: Texts
    benefit: Int32
    reference: Texts
    certified_on: Int32
    linked: Sequence[tuple[int, str]] = field(default=())
    faces: Sequence[tuple[int, str]] = field(default=())

    def __len__(self) -> int:
        return len(self.row)

    def __repr__(self) -> str:
        """Nothing of the people, whoever logs it."""
        return f"<Certified by {self.unit}: {len(self)}>"

    def check(self) -> None:
        """Refuse columns of different lengths.

        Raises:
            RefusedError: naming the column.
        """
        lengths = {name: np.empty(len(getattr(self, name))) for name in ("id_number", "name", "reference")}
        same_length(len(self), benefit=self.benefit, certified_on=self.certified_on, **lengths)


class Keying:
    """Makes tags of text.

    Args:
        book: says which benefits exclude each other, how names are compared, and how long a cycle is.
        tagging: keyed by the store.
    """

    def __init__(self, book: RuleBook, tagging: Tagging) -> None:
        self._book = book
        self._tagging = tagging

    def tags(self, id_number: Texts, benefit: Int32) -> list[bytes]:
        """What stands for a normalised number and the class of a benefit."""
        names = self._book.exclusions.names
        classes = self._book.exclusions.of(benefit).tolist()
        return self._tagging("number", [f"{names[c]} {n}" for c, n in zip(classes, id_number, strict=True)], TAG_BYTES)

    def exclusion(self, benefit: int) -> str:
        """The class of a benefit, by name."""
        exclusions = self._book.exclusions
        return exclusions.names[int(exclusions.of(np.array([benefit], np.int32))[0])]

    def pack(self, certified: Certified) -> Packed:
        """The columns without text."""
        packed = np.zeros(len(certified), PACKED)
        packed["tag"] = _void(self.tags(certified.id_number, certified.benefit), TAG_BYTES)
        packed["person"] = _void(self._tagging("person", certified.id_number, TAG_BYTES), TAG_BYTES)
        distinct = dict.fromkeys(certified.name)
        keys = [self._book.name_key(name) for name in distinct]
        checks = dict(zip(distinct, self._checks("name", keys), strict=True))
        packed["name"] = _void([checks[name] for name in certified.name], CHECK_BYTES)
        if any(certified.reference):
            packed["reference"] = _void(self._checks("reference", certified.reference), CHECK_BYTES)
        packed["benefit"] = certified.benefit
        packed["row"] = certified.row
        packed["certified_on"] = certified.certified_on
        return packed

    def pairs(self, certified: Certified) -> tuple[list[tuple[int, bytes]], list[tuple[int, bytes]]]:
        """Tags of further numbers of people, and of faces, with the places of those people."""
        places = [place for place, _ in certified.linked]
        numbers = self.tags([number for _, number in certified.linked], certified.benefit[places])
        shown = [(place, template) for place, template in certified.faces if template]
        faces = self._tagging("face", [template for _, template in shown], TAG_BYTES)
        return (
            list(zip(places, numbers, strict=True)),
            [(place, face) for (place, _), face in zip(shown, faces, strict=True)],
        )

    def claims(self, unit: str, run: bytes, packed: Packed, linked: Any = (), faces: Any = ()) -> Claims:
        """What the table is asked for."""
        until = packed["certified_on"] + np.int32(self._book.grading.cycle_days)
        columns = (packed[name].tolist() for name in ("tag", "person", "name", "reference", "benefit", "certified_on"))
        tag, person, name, reference, benefit, since = columns
        row = packed["row"].tolist()
        return Claims(unit, run, row, tag, person, name, reference, benefit, since, until.tolist(), linked, faces)

    def _checks(self, label: str, texts: Sequence[str]) -> list[bytes]:
        checks = self._tagging(label, texts, CHECK_BYTES)
        return [check if text else NOTHING for check, text in zip(checks, texts, strict=True)]


def in_order(packed: Packed) -> Index:
    """The order of tags, and of rows where they are equal: neighbours stand near each other in the table."""
    halves = np.frombuffer(packed["tag"].tobytes(), ">u8").reshape(-1, 2)
    return np.lexsort((packed["row"], halves[:, 1], halves[:, 0]))


def _void(tags: Sequence[bytes], size: int) -> NDArray[np.void]:
    return np.frombuffer(b"".join(tags), f"V{size}")
