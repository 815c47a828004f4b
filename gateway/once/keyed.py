"""Certifications as the gate's table knows them: keyed tags and days in one packed column, no text.

Owns: making them of text, in columns, and their order. Refuses: I/O.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gateway.rules.book import RuleBook
from gateway.rules.columns import Index, Int32, same_length
from gateway.store.certifications import Claims
from gateway.store.claimed import PACKED, Packed
from gateway.store.once_tables import CHECK_BYTES, TAG_BYTES
from gateway.store.tagging import Tags, Texts


class Tagging(Protocol):
    """What stands for texts, and for what stands for them; keyed. `gateway.store.engine.Store` has it."""

    def once_tags(self, label: str, texts: Texts) -> Tags:
        """Tags of texts of a kind."""
        ...

    def once_again(self, label: str, made: Tags) -> Tags:
        """Tags of tags."""
        ...


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
        faces: (place, token): the face by which a person was certified (`adapters.faces`).
    """

    unit: str
    run: bytes
    row: NDArray[np.int64]
    id_number: Sequence[str]
    name: Sequence[str]
    benefit: Int32
    reference: Sequence[str]
    certified_on: Int32
    linked: Sequence[tuple[int, str]] = field(default=())
    faces: Sequence[tuple[int, bytes]] = field(default=())

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

    def tags(self, id_number: Sequence[str], benefit: Int32) -> list[bytes]:
        """What stands for normalised numbers and the classes of benefits."""
        found: list[bytes] = self._claimed_as(self.persons(Texts.of(id_number)), benefit).tolist()
        return found

    def persons(self, id_number: Texts) -> Tags:
        """What stands for normalised numbers."""
        return self._tagging.once_tags("person", id_number)

    def exclusion(self, benefit: int) -> str:
        """The class of a benefit, by name."""
        exclusions = self._book.exclusions
        return exclusions.names[int(exclusions.of(np.array([benefit], np.int32))[0])]

    def pack(self, certified: Certified) -> Packed:
        """The columns without text."""
        keys = {name: self._book.name_key(name) for name in dict.fromkeys(certified.name)}
        return self.packed(
            id_number=Texts.of(certified.id_number),
            name_key=Texts.of([keys[name] for name in certified.name]),
            reference=Texts.of(certified.reference),
            benefit=certified.benefit,
            row=certified.row,
            certified_on=certified.certified_on,
        )

    def packed(
        self,
        *,
        id_number: Texts,
        name_key: Texts,
        reference: Texts,
        benefit: Int32,
        row: NDArray[np.int64],
        certified_on: Int32,
    ) -> Packed:
        """The same of columns of text: names as they are compared, otherwise as in `Certified`."""
        packed = np.zeros(len(row), PACKED)
        packed["person"] = self.persons(id_number)
        packed["tag"] = self._claimed_as(packed["person"], benefit)
        packed["name"] = self._checks("name", name_key)
        packed["reference"] = self._checks("reference", reference)
        packed["benefit"] = benefit
        packed["row"] = row
        packed["certified_on"] = certified_on
        return packed

    def pairs(self, certified: Certified) -> tuple[list[tuple[int, bytes]], list[tuple[int, bytes]]]:
        """Tags of further numbers of people, and of faces, with the places of those people."""
        places = [place for place, _ in certified.linked]
        numbers = self.tags([number for _, number in certified.linked], certified.benefit[places])
        shown = [(place, token) for place, token in certified.faces if token]
        faces = self._faces([token for _, token in shown]).tolist()
        return (
            list(zip(places, numbers, strict=True)),
            [(place, face) for (place, _), face in zip(shown, faces, strict=True)],
        )

    def faces(self, packed: Packed, place: Index, token: Sequence[bytes]) -> Packed:
        """Faces by which some of these people were certified: the same columns, tags of the faces instead of theirs."""
        shown = packed[place]
        shown["tag"] = self._faces(token)
        return shown

    def face_tags(self, token: Sequence[bytes], benefit: Int32) -> list[bytes]:
        """What stands for faces and the classes of benefits drawn under them."""
        found: list[bytes] = self._claimed_as(self._faces(token), benefit, "face/").tolist()
        return found

    def _faces(self, token: Sequence[bytes]) -> Tags:
        return self._tagging.once_tags("face", Texts.of([each.hex() for each in token]))

    def claims(self, unit: str, run: bytes, packed: Packed, linked: Any = (), faces: Any = ()) -> Claims:
        """What the table is asked for."""
        until = packed["certified_on"] + np.int32(self._book.grading.cycle_days)
        columns = (packed[name].tolist() for name in ("tag", "person", "name", "reference", "benefit", "certified_on"))
        tag, person, name, reference, benefit, since = columns
        row = packed["row"].tolist()
        return Claims(unit, run, row, tag, person, name, reference, benefit, since, until.tolist(), linked, faces)

    def _claimed_as(self, person: Tags, benefit: Int32, kind: str = "") -> Tags:
        """What stands for a person, or a face, and the class of a benefit."""
        exclusions = self._book.exclusions
        classes = exclusions.of(benefit)
        found = np.zeros(len(person), f"V{TAG_BYTES}")
        for number in np.unique(classes).tolist():
            mine = np.flatnonzero(classes == number)
            found[mine] = self._tagging.once_again(kind + exclusions.names[number], person[mine])
        return found

    def _checks(self, label: str, texts: Texts) -> NDArray[np.void]:
        """The first bytes of the tag; nothing where there is no text."""
        made = self._tagging.once_tags(label, texts).view(np.uint8).reshape(-1, TAG_BYTES)[:, :CHECK_BYTES].copy()
        made[texts.length == 0] = 0
        return made.view(f"V{CHECK_BYTES}").reshape(-1)


def in_order(packed: Packed) -> Index:
    """The order of tags, and of rows where they are equal: neighbours stand near each other in the table."""
    halves = np.frombuffer(packed["tag"].tobytes(), ">u8").reshape(-1, 2)
    return np.lexsort((packed["row"], halves[:, 1], halves[:, 0]))
