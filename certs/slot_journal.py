"""The journal of own keys: every generation of every kind, the rotation under way, the last publication.

    preparing ──▶ next ──▶ current ──▶ retired ──▶ withdrawn ──▶ destroyed
                   │                    ▲  │            ▲
                   └── dropped ─────────┼──┼────────────┘        (roll back before activation)
                              current ◀─┘──┘                     (roll back after it)

    preparing   its name is taken; key or certificate may be there already, or not
    next        complete; to be listed, not yet used for sending, but already opens
    current     signs, is shown in TLS handshakes, is sealed to
    retired     still listed and still opens: a message under way may need it
    withdrawn   to be listed no more; still opens until nobody can need it
    destroyed   no file, no object in a token; the record stays for a while

Owns: these records, what makes them consistent, and their bounds. Pure data: no I/O. Refuses: a journal that has two
current keys of a kind, a key under way without a rotation, or anything that it does not know.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from certs.errors import SlotError

Kind: TypeAlias = Literal["tls", "signing", "encryption"]
State: TypeAlias = Literal["preparing", "next", "current", "retired", "withdrawn", "destroyed"]

KINDS: Final[tuple[Kind, ...]] = ("tls", "signing", "encryption")
LISTED: Final = frozenset({"next", "current", "retired"})
"""States in which partners are told of a key."""
OPENING: Final = frozenset({"next", "current", "retired", "withdrawn"})
"""States in which an encryption key still opens what was sealed to it."""

MAX_LISTED: Final = 8
"""Generations of a kind that may be listed at once; a directory takes no more."""
MAX_GENERATIONS: Final = 256
_RECORDS_KEPT: Final = 8
"""Destroyed generations of a kind whose record is kept."""

_Time = Field(ge=0, le=253_402_300_799_000)


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Generation(_Record):
    """One key and, but for encryption keys, its certificate.

    Args:
        kind: what it is for.
        number: counts from 1 within the kind and is never used twice.
        state: see above.
        key_id: of the raw public key, hexadecimal; "" for TLS keys and while preparing.
        label: name of the key in a hardware token; "" for a key in a file.
        made_at_ms: when its name was taken, Unix milliseconds.
        not_before_ms: from when on it may be used; 0 while preparing.
        not_after_ms: until when.
        spread: drawn from -1 to 1 when it was made; moves the time of its renewal.
        superseded_at_ms: since when nobody begins to use it any more; None while that is not certain.
        held_until_ms: no automatic renewal before that: somebody rolled one back.
    """

    kind: Kind
    number: int = Field(ge=1)
    state: State
    key_id: str = Field("", pattern=r"^([0-9a-f]{32})?$")
    label: str = Field("", max_length=128)
    made_at_ms: int = _Time
    not_before_ms: int = Field(0, ge=0)
    not_after_ms: int = Field(0, ge=0)
    spread: float = Field(0.0, ge=-1, le=1)
    superseded_at_ms: int | None = None
    held_until_ms: int = Field(0, ge=0)

    @property
    def name(self) -> str:
        """What files and messages call it, e.g. "tls-3"."""
        return f"{self.kind}-{self.number}"

    def now(self, **changes: Any) -> Generation:
        """The same generation with something changed."""
        return Generation.model_validate({**self.model_dump(), **changes})


class Publication(_Record):
    """What partners were told last.

    Args:
        sequence: grows with every change of what is listed; a number never stands for two sets of keys.
        version: first version of the directory that lists exactly this; 0 until that is known.
        at_ms: when the directory took it.
        settled: whether every partner works with it, or cannot work with an older one any more.
    """

    sequence: int = Field(0, ge=0)
    version: int = Field(0, ge=0)
    at_ms: int = Field(0, ge=0)
    settled: bool = False

    @property
    def wanted(self) -> bool:
        """Whether it has yet to be published."""
        return self.sequence > 0 and self.version == 0


class Rotation(_Record):
    """A renewal under way.

    Args:
        kinds: of the keys that it renews, together.
        reason: why, for people.
        urgent: whether the new keys are used once published, without waiting for partners: the old ones are lost.
        began_at_ms: Unix milliseconds.
        sequence: of the first publication with all its keys; 0 until they are all there.
    """

    kinds: tuple[Kind, ...] = Field(min_length=1, max_length=len(KINDS))
    reason: str = Field(max_length=200)
    urgent: bool = False
    began_at_ms: int = _Time
    sequence: int = Field(0, ge=0)


class Journal(_Record):
    """Everything that must survive a crash, but the keys themselves."""

    format: Literal[1] = 1
    publication: Publication = Publication()
    rotation: Rotation | None = None
    generations: tuple[Generation, ...] = Field((), max_length=MAX_GENERATIONS)

    @model_validator(mode="after")
    def _consistent(self) -> Journal:
        if len({generation.name for generation in self.generations}) != len(self.generations):
            raise ValueError("a generation occurs twice")
        kinds = self.rotation.kinds if self.rotation else ()
        for kind in KINDS:
            if len(list(self.of(kind, "current"))) > 1:
                raise ValueError(f"two current keys of kind {kind}")
            if len(list(self.of(kind, "preparing", "next"))) != (kind in kinds):
                raise ValueError(f"key under way and rotation do not fit for kind {kind}")
        return self

    @classmethod
    def parse(cls, data: bytes, where: str) -> Journal:
        """The journal of a file.

        Raises:
            SlotError: it is none.
        """
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise SlotError(
                f"{where}: the journal of keys is damaged; put the folder back from the newest backup, or enrol anew",
                f"{where}：密钥日志已损坏，请从最新备份恢复整个目录，或重新登记",
            ) from error

    def serialized(self) -> bytes:
        """As written to the file."""
        return self.model_dump_json(indent=1).encode()

    def of(self, kind: Kind, *states: State) -> Iterator[Generation]:
        """The generations of a kind in these states, newest first."""
        fitting = (each for each in self.generations if each.kind == kind and each.state in states)
        return iter(sorted(fitting, key=lambda each: -each.number))

    def current(self, kind: Kind) -> Generation | None:
        """The one in use."""
        return next(self.of(kind, "current"), None)

    def listed(self) -> tuple[Generation, ...]:
        """What partners are to be told of, newest first within a kind."""
        return tuple(each for kind in KINDS for each in self.of(kind, "next", "current", "retired"))

    def left_in_token(self) -> tuple[Generation, ...]:
        """Destroyed for us, but a hardware token has the key still: it was away, or did not let it go."""
        return tuple(each for each in self.generations if each.state == "destroyed" and each.label)

    def next_number(self, kind: Kind) -> int:
        """A number that no generation of the kind had."""
        return 1 + max((each.number for each in self.generations if each.kind == kind), default=0)

    def replacing(self, changed: Iterable[Generation], **fields: Any) -> Journal:
        """The same journal with some generations changed or added, oldest destroyed records dropped."""
        held = {each.name: each for each in self.generations} | {each.name: each for each in changed}
        for kind in KINDS:
            gone = [e for e in held.values() if e.kind == kind and e.state == "destroyed" and not e.label]
            for each in sorted(gone, key=lambda e: -e.number)[_RECORDS_KEPT:]:
                del held[each.name]
        rest = {"publication": self.publication, "rotation": self.rotation} | fields
        return Journal(generations=tuple(held.values()), **rest)
