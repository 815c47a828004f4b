"""What a remote adapter answers, taken in message by message: bounded, checked, and made columns.

Owns: the rule which messages are believed. Nothing of an answer is used when a column differs from its neighbours in
length, a row names nobody who was asked, a number is held that was not asked of that person (someone else's record), a
kind is none that the adapter described, a department is not its own, evidence, a link or a face speaks of a person it
does not hold, it holds somebody of whom it says that it cannot read a row (or says so without being asked to), a day
or place is none, a cell is too long, a face comes without face checks or is no token, or the answer has more messages,
bytes or rows than allowed. An answer without its last message is that of a source that did not answer. Refuses: I/O,
and judging people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from adapters.contract import (
    MAX_CELL_BYTES,
    Description,
    Evidence,
    Faces,
    Found,
    Holders,
    Int32,
    Links,
    Lookup,
    Subjects,
)
from adapters.errors import SourceDownError, SourceFaultError
from adapters.faces import FACE_KIND, FACE_TOKEN_BYTES
from adapters.texts import Texts, joined, series_of
from adapters.values import FIRST_DAY, LAST_DAY
from adapters.wanted import only_wanted
from wugan.adapter.v1 import adapter_pb2, columns_pb2
from wugan.adapter.v1 import vocabulary_pb2 as words

COLUMNS_FROM: Final = 256
"""So many rows or more are checked in whole columns."""

_LEAST_ROWS: Final = 10_000
_ROWS_EACH: Final = 1_000
_LEAST_BYTES: Final = 4 << 20
_BYTES_EACH: Final = 64 << 10
_LAST_REGION: Final = 999_999
_STRENGTHS: Final = max(words.Strength.values())


@dataclass(frozen=True, slots=True)
class AnswerLimits:
    """What one answer may have at most, however many people it is about; see `about`.

    Args:
        messages: of its stream.
        payload: bytes of them together.
        rows: of all columns together.
    """

    messages: int = 10_000
    payload: int = 64 << 20
    rows: int = 2_000_000

    def about(self, people: int) -> AnswerLimits:
        """The limits for so many people: an answer about one needs no room for ten thousand."""
        return AnswerLimits(
            self.messages,
            min(self.payload, _LEAST_BYTES + people * _BYTES_EACH),
            min(self.rows, _LEAST_ROWS + people * _ROWS_EACH),
        )


class Incoming:
    """One answer as it comes in.

    Args:
        question: what was asked.
        about: what the adapter said that it offers.
        limits: of the answer.
    """

    def __init__(self, question: Lookup, about: Description, limits: AnswerLimits) -> None:
        self._question = question
        self._subjects = question.subjects
        self._about = about
        self._limits = limits.about(len(question.subjects))
        self._messages = self._payload = self._rows = 0
        self._complete_until_on: int | None = None
        self._holders: list[Holders] = []
        self._links: list[Links] = []
        self._evidence: list[Evidence] = []
        self._faces: list[Faces] = []
        self._unreadable = np.zeros(len(question.subjects), np.bool_)
        self._aliases: dict[int, set[str]] = {}
        for row, number in zip(self._subjects.alias_subject, self._subjects.alias_id_number, strict=True):
            self._aliases.setdefault(row, set()).add(number)

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._payload

    def add(self, data: bytes) -> None:
        """Take in a message.

        Raises:
            SourceFaultError: see the module; nothing of the answer may be used.
        """
        self._messages += 1
        self._payload += len(data)
        if self._messages > self._limits.messages or self._payload > self._limits.payload:
            raise self._fault("its answer is too large", "应答过大")
        if self._complete_until_on is not None:
            raise self._fault("it sent more after its last message", "末条消息之后仍有消息")
        try:
            message = adapter_pb2.LookupResponse.FromString(data)
        except DecodeError as error:
            raise self._fault("it sent what is no message of the contract", "消息不符合接口约定") from error
        self._rows += len(message.holders.subject) + len(message.links.subject) + len(message.evidence.subject)
        self._rows += len(message.faces.subject) + len(message.unreadable_subject)
        if self._rows > self._limits.rows:
            raise self._fault("its answer has too many rows", "应答行数过多")
        if message.HasField("holders"):
            self._add_holders(message.holders)
        if message.HasField("links"):
            self._add_links(message.links)
        if message.HasField("evidence"):
            self._add_evidence(message.evidence)
        if message.HasField("faces"):
            self._add_faces(message.faces)
        if message.unreadable_subject:
            if not self._question.takes_unreadable:
                raise self._fault("it left people out, and was not asked to", "应答擅自未涉及部分人员")
            self._unreadable[self._subject(message.unreadable_subject)] = True
        if message.last:
            self._complete_until_on = self._day(message.complete_until_on)

    def found(self) -> Found:
        """The whole answer, as the stream has ended.

        Raises:
            SourceDownError: it ended before its last message.
            SourceFaultError: it speaks of people whom it does not hold.
        """
        name = self._about.adapter_id
        if self._complete_until_on is None:
            raise SourceDownError(
                f"{name}: the answer ended before its last message; try again later",
                f"{name}：应答在末条消息前中断，请稍后重试",
            )
        holders, links = self._held(), self._linked()
        evidence = Evidence.concatenate(self._evidence)
        known = np.zeros(len(self._subjects), np.bool_)
        known[holders.subject] = True
        faces = Faces.concatenate(self._faces)
        if not (known[evidence.subject].all() and known[links.subject].all() and known[faces.subject].all()):
            raise self._fault("it told of people whom it does not list as known", "应答涉及未列为已知的人员")
        if np.count_nonzero(known & self._unreadable):
            raise self._fault("it told of people whom it says it cannot read about", "应答涉及其声明无法读取的人员")
        return Found(
            holders=holders,
            evidence=only_wanted(self._question, evidence),  # an adapter may tell more than it was asked
            links=links,
            complete_until_on=self._complete_until_on,
            faces=faces.take(faces.observed_on >= self._question.traces_since_on) if self._question.faces else Faces(),
            unreadable=np.flatnonzero(self._unreadable).astype(np.int32),
        )

    def _held(self) -> Holders:
        parts = self._holders
        if len(parts) < 2:
            return parts[0] if parts else Holders()
        return Holders(
            np.concatenate([part.subject for part in parts]),
            joined([part.held_id_number for part in parts]),
            joined([part.held_name for part in parts]),
        )

    def _linked(self) -> Links:
        parts = self._links
        if len(parts) < 2:
            return parts[0] if parts else Links()
        return Links(
            np.concatenate([part.subject for part in parts]),
            joined([part.id_number for part in parts]),
            np.concatenate([part.since_on for part in parts]),
        )

    def _add_holders(self, message: columns_pb2.HolderColumns) -> None:
        rows = self._same_length("holders", message, ("subject", "held_id_number", "held_name"))
        if rows:
            subject = self._subject(message.subject)
            numbers = self._texts(message.held_id_number)
            self._require_own(subject, numbers)
            self._holders.append(Holders(subject, numbers, self._texts(message.held_name)))

    def _require_own(self, subject: Int32, numbers: Sequence[str]) -> None:
        """Every number held is one that was asked of that person."""
        asked = self._subjects.id_number
        if isinstance(numbers, Texts):
            held = numbers.series
            odd = np.flatnonzero((held != _asked_series(self._subjects).gather(subject)).to_numpy())
            subject, numbers = subject[odd], held.gather(odd).to_list()
        for row, number in zip(subject.tolist(), numbers, strict=True):
            if number != asked[row] and number not in self._aliases.get(row, ()):
                raise self._fault(
                    "it returned the record of somebody who was not asked about; nothing was used",
                    "返回了未查询人员的记录，整个结果未予采用",
                )

    def _add_links(self, message: columns_pb2.LinkColumns) -> None:
        rows = self._same_length("links", message, ("subject", "id_number", "since_on"))
        if rows:
            if not self._about.links:
                raise self._fault("it returned links, and described none", "返回了未声明的号码关联")
            self._links.append(
                Links(self._subject(message.subject), self._texts(message.id_number), self._days(message.since_on))
            )

    def _add_evidence(self, message: columns_pb2.EvidenceColumns) -> None:
        names = list(Evidence.INTEGER_COLUMNS)
        without = not self._question.references and not message.source_reference
        rows = self._same_length("evidence", message, names if without else [*names, "source_reference"])
        if not rows:
            return
        kind = self._integers(message.kind, 0, max(self._about.kinds, default=0))
        if not self._described(kind):
            raise self._fault("it returned a kind of evidence that it did not describe", "返回了未声明的证据种类")
        department = self._integers(message.department, self._about.department, self._about.department)
        self._evidence.append(
            Evidence(
                subject=self._subject(message.subject),
                kind=kind,
                department=department,
                region=self._integers(message.region, 0, _LAST_REGION),
                observed_on=self._days(message.observed_on),
                available_on=self._days(message.available_on),
                strength=self._integers(message.strength, 0, _STRENGTHS),
                source_reference=_blank(rows) if without else self._texts(message.source_reference),
                detail=self._integers(message.detail, 0, _LAST_REGION),
                from_on=self._days(message.from_on),
                until_on=self._days(message.until_on),
            )
        )

    def _add_faces(self, message: columns_pb2.FaceColumns) -> None:
        rows = self._same_length("faces", message, ("subject", "token", "observed_on", "region"))
        if not rows:
            return
        if FACE_KIND not in self._about.kinds:
            raise self._fault("it returned faces, and described no face checks", "返回了人脸但未声明人脸认证")
        tokens = list(message.token)
        if {len(token) for token in tokens} != {FACE_TOKEN_BYTES}:
            raise self._fault("it returned a face that is no token", "返回的人脸标记长度有误")
        days, region = self._days(message.observed_on), self._integers(message.region, 0, _LAST_REGION)
        self._faces.append(Faces(self._subject(message.subject), tokens, days, region))

    def _described(self, kind: Int32) -> bool:
        kinds = self._about.kinds
        if len(kind) < COLUMNS_FROM:
            return kinds.issuperset(kind.tolist())
        table = np.zeros(1 + max(kinds, default=0), np.bool_)
        table[list(kinds)] = True
        return bool(table[kind].all())

    def _same_length(self, what: str, message: object, names: Sequence[str]) -> int:
        lengths = {len(getattr(message, name)) for name in names}
        if len(lengths) != 1:
            raise self._fault(f"the columns of its {what} differ in length", "各列长度不一致")
        return lengths.pop()

    def _subject(self, column: Sequence[int]) -> Int32:
        return self._integers(column, 0, len(self._subjects) - 1)

    def _days(self, column: Sequence[int]) -> Int32:
        return self._integers(column, FIRST_DAY, LAST_DAY)

    def _day(self, day: int) -> int:
        if not FIRST_DAY <= day <= LAST_DAY:
            raise self._fault("it returned a number that is out of range", "返回的数值超出范围")
        return day

    def _integers(self, column: Sequence[int], least: int, most: int) -> Int32:
        values: NDArray[Any] = np.array(column)
        if int(values.min()) < least or int(values.max()) > most:
            raise self._fault("it returned a number that is out of range", "返回的数值超出范围")
        return values.astype(np.int32, copy=False)

    def _texts(self, column: Sequence[str]) -> Sequence[str]:
        texts = list(column)
        if len(texts) < COLUMNS_FROM:
            if any(len(cell) * 4 > MAX_CELL_BYTES and len(cell.encode()) > MAX_CELL_BYTES for cell in texts):
                raise self._too_long()
            return texts
        series = series_of(texts)
        if int(series.str.len_bytes().max() or 0) > MAX_CELL_BYTES:  # type: ignore[arg-type]
            raise self._too_long()
        return Texts(series)

    def _too_long(self) -> SourceFaultError:
        return self._fault(f"a cell is longer than {MAX_CELL_BYTES} bytes", f"单元格超过 {MAX_CELL_BYTES} 字节")

    def _fault(self, en: str, zh: str) -> SourceFaultError:
        return SourceFaultError(f"{self._about.adapter_id}: {en}", f"{self._about.adapter_id}：{zh}")


def _asked_series(subjects: Subjects) -> Any:
    """The numbers asked as a column; made once, however many adapters answer."""
    series = subjects.memo.get("id_number")
    if series is None:
        series = subjects.memo["id_number"] = series_of(subjects.id_number)
    return series


def _blank(rows: int) -> Sequence[str]:
    return [""] * rows if rows < COLUMNS_FROM else Texts.blank(rows)
