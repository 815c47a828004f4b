"""A run at rest: what was submitted, and the parts of it in its folder.

    run                       what was submitted, by whom
    state                     how it ended, once it has
    input-000000 …            the file, in blocks
    chunk-000000 …            rows that may be asked about, with whom to ask, and rows that are wrong
    read                      how many chunks and rows there are, once the whole file is read
    answer-000000-0-MEMBER …  a member's signed answer about a chunk; refused-… where it has none, for good;
                              partly-… as long as it lacks departments that are asked again
    moves-000000 …            who is to be asked about elsewhere, because an answer says that they moved
    links-000000 …            who is to be asked about once more, under numbers that another member links
    result-000000 …           the tables of a chunk's results

and of a live run (`ledger`, `matching`, `composing`) also

    composition               of which pieces of the file before the file is made; `input-…` is what is new in it
    changed-000000 …, plan    rows that are new, and what is to be done with each
    pieces, ledger, places    what the next run must know

Owns: the names, and that each part says what is done and need not be done again. Refuses: doing it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self

from gateway.errors import RefusedError, StoreError, WuganError
from gateway.exchange.envelope import Proof
from gateway.exchange.question import QUESTION_ID_BYTES
from gateway.federation.partners import PartnerAnswer
from gateway.store.parts import PartFolder
from wugan.agency.v1 import agency_pb2, roster_pb2
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

WAITING: Final = roster_pb2.ROSTER_STATE_WAITING
RUNNING: Final = roster_pb2.ROSTER_STATE_RUNNING
DONE: Final = roster_pb2.ROSTER_STATE_DONE
FAILED: Final = roster_pb2.ROSTER_STATE_FAILED
CANCELLED: Final = roster_pb2.ROSTER_STATE_CANCELLED
INPUT_BLOCK: Final = 1 << 22
"""Bytes of the file in one part."""
_LENGTH_BYTES: Final = 4


MOVED: Final = 1
LINKED: Final = 2
PHASES: Final = 3
_FURTHER: Final = {MOVED: "moves", LINKED: "links"}


class Ask(NamedTuple):
    """A question of a run: about those of a chunk who are to be asked about at a member.

    Args:
        chunk: number of the chunk.
        phase: 0: as the file says where they are; `MOVED`: as an answer says where they moved; `LINKED`: once more,
            under numbers that answers of others link.
        member: who is asked.
    """

    chunk: int
    phase: int
    member: str

    @property
    def part(self) -> str:
        """End of the names of its parts."""
        return f"{self.chunk:06d}-{self.phase}-{self.member}"


@dataclass(frozen=True, slots=True)
class Refusal:
    """That a question has no answer, for good, and why."""

    reason: int
    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class Submitted:
    """What was submitted. Times are Unix milliseconds, days civil days; the rest as in RosterHeader."""

    run_id: bytes
    unit: str
    file_name: str
    form: int
    size: int
    sha256: bytes
    purpose: int
    legal_basis: str
    case_reference: str
    official: bytes
    benefit: int
    columns: tuple[tuple[str, str], ...]
    evidence_limit: int
    live: bool
    continues: bytes
    sheet: str
    ask_about_home: bool
    as_of_on: int
    chunk_rows: int
    submitted_at_ms: int
    deadline_ms: int
    secret: bytes
    subscribe: bool = False

    def to_json(self) -> bytes:
        """For the part `run`."""
        plain = {
            name: value.hex() if isinstance(value, bytes) else value for name, value in dataclasses.asdict(self).items()
        }
        return json.dumps(plain, ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """The reverse.

        Raises:
            StoreError: it was written by another version.
        """
        try:
            plain: dict[str, Any] = json.loads(data)
            for name in ("run_id", "sha256", "official", "continues", "secret"):
                plain[name] = bytes.fromhex(plain[name])
            plain["columns"] = tuple((field, name) for field, name in plain["columns"])
            return cls(**plain)
        except (ValueError, TypeError, KeyError) as error:
            raise StoreError(
                "a kept roster is of another version; submit it anew",
                "已保存的名册版本不符，请重新提交",
                retryable=False,
            ) from error

    @property
    def context(self) -> exchange_pb2.Context:
        """Under which every question of the run is asked."""
        return exchange_pb2.Context(
            unit=self.unit,
            official_pseudonym=self.official,
            purpose=self.purpose,  # type: ignore[arg-type]  # it was checked
            legal_basis=self.legal_basis,
            case_reference=self.case_reference,
        )

    def question_id(self, ask: Ask) -> bytes:
        """The same in every try of a question, also after a restart: its people count once."""
        return hashlib.blake2b(ask.part.encode(), key=self.secret, digest_size=QUESTION_ID_BYTES).digest()


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended: its state, when, and why it failed; how much there was to it; whose parts its results need."""

    state: int
    at_ms: int
    zh: str = ""
    en: str = ""
    figures: dict[str, Any] = dataclasses.field(default_factory=dict)
    sources: list[str] = dataclasses.field(default_factory=list)

    def to_json(self) -> bytes:
        """For the part `state`."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """The reverse."""
        return cls(**json.loads(data))


class RunFolder:
    """The parts of one run. Everything here blocks.

    Args:
        parts: its folder.
    """

    def __init__(self, parts: PartFolder) -> None:
        self.parts = parts

    def submitted(self) -> Submitted | None:
        """What was submitted; None where the submission did not come to its end."""
        return Submitted.from_json(self.parts.read("run")) if self.parts.has("run") else None

    def ended(self) -> Ended | None:
        """How it ended; None: it has not."""
        return Ended.from_json(self.parts.read("state")) if self.parts.has("state") else None

    def blocks(self) -> Iterator[bytes]:
        """The file."""
        number = 0
        while self.parts.has(name := input_part(number)):
            yield self.parts.read(name)
            number += 1

    def read(self) -> tuple[int, int] | None:
        """(chunks, rows) of the file; None as long as it is not read to its end."""
        if not self.parts.has("read"):
            return None
        chunks, rows = json.loads(self.parts.read("read"))
        return int(chunks), int(rows)

    def asks(self) -> dict[Ask, str]:
        """The questions that were dealt with: "answer", "refused", or "partly" where departments are asked again."""
        found: dict[Ask, str] = {}
        for name in self.parts.names():  # "partly" comes after "answer", which counts
            kind, _, rest = name.partition("-")
            if kind in ("answer", "refused", "partly"):
                chunk, phase, member = rest.split("-", 2)
                found.setdefault(Ask(int(chunk), int(phase), member), kind)
        return found

    def keep(self, ask: Ask, answer: PartnerAnswer, at_ms: int, *, partly: bool = False) -> None:
        """Keep a signed answer; `partly`: until a better one comes, or it is accepted."""
        about = json.dumps({"at_ms": at_ms, "message_id": answer.message_id.hex()}).encode()
        proof = agency_pb2.Proof(**answer.proof._asdict()).SerializeToString()
        data = len(about).to_bytes(_LENGTH_BYTES) + about + proof
        self.parts.write(f"{'partly' if partly else 'answer'}-{ask.part}", data)
        if not partly:
            self.parts.remove(f"partly-{ask.part}")

    def accept(self, ask: Ask) -> None:
        """An answer that lacks departments is the one that counts."""
        self.parts.write(f"answer-{ask.part}", self.parts.read(f"partly-{ask.part}"))
        self.parts.remove(f"partly-{ask.part}")

    def refuse(self, ask: Ask, error: WuganError) -> Refusal:
        """Keep that there is no answer."""
        refusal = Refusal(int(error.reason), error.zh, error.en)
        self.parts.write(f"refused-{ask.part}", json.dumps(dataclasses.asdict(refusal), ensure_ascii=False).encode())
        return refusal

    def reply(self, ask: Ask) -> PartnerAnswer | Refusal:
        """What came of a question that was dealt with."""
        if self.parts.has(f"refused-{ask.part}"):
            return Refusal(**json.loads(self.parts.read(f"refused-{ask.part}")))
        whole = self.parts.has(f"answer-{ask.part}")
        data = self.parts.read(f"{'answer' if whole else 'partly'}-{ask.part}")
        end = _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES])
        about = json.loads(data[_LENGTH_BYTES:end])
        proof = agency_pb2.Proof.FromString(data[end:])
        findings = exchange_pb2.Answer.FromString(proof.payload).findings
        return PartnerAnswer(ask.member, findings, bytes.fromhex(about["message_id"]), proof_of(proof))


def proof_of(message: agency_pb2.Proof) -> Proof:
    """A proof out of the message in which it is kept."""
    return Proof(**{name: getattr(message, name) for name in Proof._fields})


def input_part(number: int) -> str:
    """Name of a block of the file."""
    return f"input-{number:06d}"


def chunk_part(number: int) -> str:
    """Name of a chunk's rows."""
    return f"chunk-{number:06d}"


def result_part(number: int) -> str:
    """Name of a chunk's results."""
    return f"result-{number:06d}"


def further_part(number: int, phase: int) -> str:
    """Name of what is asked besides about a chunk, because of its answers."""
    return f"{_FURTHER[phase]}-{number:06d}"


def no_such_run() -> RefusedError:
    """What a unit is told of a run that is not there, or not its own."""
    return RefusedError(
        "run_id: this unit has no such run, or it was deleted; submit the roster anew",
        "run_id：本机构没有该名册任务，或已被删除，请重新提交",
        reason=words.REFUSAL_REASON_INVALID_ARGUMENT,
        field="run_id",
    )


def not_live() -> RefusedError:
    """What a unit is told that wants to go on from what cannot be gone on from."""
    return RefusedError(
        "continues: this run was not live, is not done, or is not kept any more; submit the roster without it",
        "continues：所接续的任务不是持续任务、尚未完成或已不再保存，请不带该项重新提交",
        reason=words.REFUSAL_REASON_INVALID_ARGUMENT,
        field="continues",
    )
