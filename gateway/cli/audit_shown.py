"""Events of the audit trail as they are shown: for programs, for people on a terminal, and as rows of a file.

Owns: the fields and their order. Refuses: choosing events, and any field that the trail does not hold.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from typing import Any, Final

from gateway import wording
from gateway.access.terms import PURPOSE_NAMES
from gateway.cli.access_common import moment
from gateway.cli.audit_words import explained, kind, outcome
from gateway.cli.language import plain, say
from gateway.cli.member_names import MemberNames
from gateway.store.audit import AuditEvent
from gateway.store.trail import Found
from wugan.federation.v1 import vocabulary_pb2 as words

_RISKY: Final = ("=", "+", "-", "@", "\t", "\r")
"""What spreadsheet programs take for a formula at the beginning of a cell; other members' words stand in some."""
_PURPOSES: Final[dict[int, str]] = {int(number): name for name, number in PURPOSE_NAMES.items()}
_LABELS: Final = {
    "sequence": ("number", "序号"),
    "at": ("time", "时间"),
    "kind": ("kind", "种类"),
    "member": ("member", "成员"),
    "unit": ("unit, or who acted", "经办机构或操作人"),
    "official": ("official (pseudonym), or key", "经办人（假名）或密钥"),
    "purpose": ("purpose", "目的"),
    "legal_basis": ("legal basis", "法律依据"),
    "case_reference": ("case", "业务编号"),
    "message_id": ("message", "消息编号"),
    "subjects": ("people", "人数"),
    "outcome": ("outcome", "结果"),
    "why_zh": ("in words", "说明"),
    "why_en": ("in words", "说明"),
    "decision": ("as recorded", "记录原文"),
    "digest_tag": ("tag of the question", "查询摘要标记"),
    "mac": ("chain", "链值"),
}
FIELDS: Final = tuple(_LABELS)
"""Columns of an export, in this order; `at` is in Asia/Shanghai."""


def data(found: Found) -> dict[str, Any]:
    """An event for programs."""
    event, why = found.event, explained(found.event)
    return {
        "sequence": found.sequence,
        "at": moment(event.at_ms),
        "at_ms": event.at_ms,
        "kind": event.direction,
        "member": event.counterpart,
        "unit": event.unit,
        "official": event.official.hex(),
        "purpose": _PURPOSES.get(event.purpose, str(event.purpose)) if event.purpose else "",
        "legal_basis": event.legal_basis,
        "case_reference": event.case_reference,
        "message_id": event.message_id.hex(),
        "subjects": event.subjects,
        "outcome": _outcome(found),
        "why_zh": why.zh,
        "why_en": why.en,
        "decision": event.decision,
        "digest_tag": found.digest_tag.hex(),
        "mac": found.mac.hex(),
    }


def line(found: Found, members: MemberNames) -> str:
    """An event in a list.

    Args:
        found: it.
        members: what members are called.
    """
    event = found.event
    kind_word = kind(event)
    # What an administrator did is what came of it; an exchange has an outcome of a word.
    outcome_word = explained(event) if event.direction in ("act", "alarm") else outcome(event)
    who = " ".join(part for part in (members.called(event.counterpart), event.unit) if part)
    about = say(f"people: {event.subjects}", f"{event.subjects} 人") if event.subjects else _case(event)
    parts = (
        f"{found.sequence:>8}",
        moment(event.at_ms),
        say(kind_word.en, kind_word.zh),
        who,
        about,
        say(outcome_word.en, outcome_word.zh),
    )
    return plain("  ".join(part for part in parts if part))


def lines(found: Found, members: MemberNames) -> list[str]:
    """Everything of one event.

    Args:
        found: it.
        members: what members are called.
    """
    event, told = found.event, data(found)
    kind_word, outcome_word = kind(event), outcome(event)
    purpose = wording.word(wording.PURPOSES, event.purpose) if event.purpose else None
    told |= {
        "member": members.called(event.counterpart),
        "kind": say(kind_word.en, kind_word.zh),
        "outcome": say(outcome_word.en, outcome_word.zh),
        "purpose": say(purpose.en, purpose.zh) if purpose is not None else "",
        "case_reference": _case(event),
    }
    told.pop(say("why_zh", "why_en"))
    return [
        plain(f"{say(*_LABELS[name])}{say(': ', '：')}{told[name]}")
        for name in FIELDS
        if name in told and told[name] not in ("", 0)
    ]


def csv_head() -> str:
    """The heading of a CSV export, after a byte order mark, as office programs want it; in the user's language."""
    return "\ufeff" + _csv([[say(*_LABELS[name]) + f" ({name})" for name in FIELDS]])


def csv_rows(found: Iterable[Found]) -> str:
    """Rows of a CSV export: RFC 4180; text that begins like a formula gets an apostrophe."""
    return _csv([_safe(told[name]) for name in FIELDS] for told in map(data, found))


def json_rows(found: Iterable[Found]) -> str:
    """Rows of an export in JSON lines."""
    return "".join(json.dumps(data(each), ensure_ascii=False) + "\n" for each in found)


def _case(event: AuditEvent) -> str:
    """What an event is about, as the asker called it; of an administrator's act, which one."""
    number = event.case_reference.removeprefix("act ")
    if event.direction == "act" and number.isdecimal():
        return say(f"act {number}", f"第 {number} 项操作")
    return event.case_reference


def _outcome(found: Found) -> str:
    event = found.event
    if event.outcome:
        try:
            named = words.RefusalReason.Name(words.RefusalReason.ValueType(event.outcome))
        except ValueError:
            return str(event.outcome)
        return named.removeprefix("REFUSAL_REASON_")
    return "" if event.direction in ("act", "alarm") else "ANSWERED"


def _safe(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_RISKY) else value


def _csv(rows: Iterable[list[Any]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue()
