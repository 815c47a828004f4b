"""What a submission says: the header of a roster, checked and made into a `Submitted`.

Owns: its limits, and what is told of a field that is wrong. Refuses: the file, and other runs (`rosters`).
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from typing import Final

from gateway.clock import civil_day
from gateway.errors import RefusedError
from gateway.exchange.question import check_context
from gateway.federation.questions import is_official
from gateway.roster.run import Submitted
from gateway.sections.lasting import RosterSettings
from wugan.agency.v1 import roster_pb2
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

RUN_ID_BYTES: Final = 16
MAX_FILE_NAME: Final = 200
MAX_COLUMNS_GIVEN: Final = 50
MAX_EVIDENCE: Final = 100


def understood(
    unit: str,
    header: roster_pb2.RosterHeader,
    as_of_on: int,
    *,
    settings: RosterSettings,
    now_ms: int,
    pseudonym: Callable[[str, str], bytes],
) -> Submitted:
    """What a header says; whether a run that it goes on from may be gone on from is for whoever knows that.

    Args:
        unit: whose the roster is.
        header: what is to be done with it.
        as_of_on: civil day as of which to answer; 0: today.
        settings: limits.
        now_ms: Unix time in milliseconds.
        pseudonym: (unit, official) → what stands for the official elsewhere.

    Raises:
        RefusedError: something in it is missing or wrong; `field` says what.
    """
    today = civil_day(now_ms)
    as_of_on = as_of_on or today
    if as_of_on > today:
        raise wrong("as_of", "give today or a day in the past", "请填写今天或以前的日期")
    _check(header, settings)
    context = exchange_pb2.Context(
        unit=unit,
        official_pseudonym=pseudonym(unit, header.official),
        purpose=header.purpose,
        legal_basis=header.legal_basis,
        case_reference=header.case_reference,
    )
    check_context(context)
    deadline_s = min(header.deadline_s or settings.deadline_s, settings.deadline_s)
    if (header.live or header.continues) and as_of_on != today:
        raise wrong("as_of", "a live roster is answered as of today", "持续名册只能按当日答复")
    if header.subscribe and not (header.live or header.continues):
        raise wrong("subscribe", "only a live roster is brought notices", "仅持续名册可订阅状态变更通知")
    return Submitted(
        run_id=header.run_id,
        unit=unit,
        file_name="".join(c for c in header.file_name[:MAX_FILE_NAME] if c.isprintable()),
        form=header.format,
        size=header.size,
        sha256=header.sha256,
        purpose=header.purpose,
        legal_basis=header.legal_basis,
        case_reference=header.case_reference,
        official=context.official_pseudonym,
        benefit=header.benefit,
        columns=tuple((column.field[:100], column.name[:100]) for column in header.columns),
        evidence_limit=header.evidence_limit,
        live=header.live or bool(header.continues),
        continues=header.continues,
        sheet=header.sheet[:100],
        ask_about_home=header.ask_about_home,
        as_of_on=as_of_on,
        chunk_rows=min(header.chunk_rows or settings.chunk_rows, settings.chunk_rows),
        submitted_at_ms=now_ms,
        deadline_ms=now_ms + round(deadline_s * 1000),
        secret=secrets.token_bytes(32),
        subscribe=header.subscribe,
    )


def wrong(field: str, en: str, zh: str, *, retryable: bool = False) -> RefusedError:
    """What to say of a field."""
    return RefusedError(f"{field}: {en}", f"{field}：{zh}", field=field, retryable=retryable)


def _check(header: roster_pb2.RosterHeader, settings: RosterSettings) -> None:
    """Each part of a header for itself."""
    if len(header.run_id) != RUN_ID_BYTES:
        raise wrong("run_id", f"give {RUN_ID_BYTES} random bytes", f"应为 {RUN_ID_BYTES} 字节随机数")
    if len(header.sha256) != hashlib.sha256().digest_size:
        raise wrong("sha256", "give the file's SHA-256", "请填写文件的 SHA-256")
    if header.size > settings.max_bytes:
        raise RefusedError(
            f"size: a roster has at most {settings.max_bytes} bytes; submit it in parts",
            f"size：名册文件至多 {settings.max_bytes} 字节，请分批提交",
            reason=words.REFUSAL_REASON_TOO_LARGE,
            field="size",
        )
    if not is_official(header.official):
        raise wrong("official", "say which official asks, at most 100 characters", "请填写经办人（至多 100 个字符）")
    if len(header.columns) > MAX_COLUMNS_GIVEN:
        raise wrong("columns", f"at most {MAX_COLUMNS_GIVEN}", f"至多 {MAX_COLUMNS_GIVEN} 列")
    if header.benefit not in words.BenefitType.values():
        raise wrong("benefit", "not a type of benefit", "险种无效")
    if header.evidence_limit > MAX_EVIDENCE:
        raise wrong("evidence_limit", f"at most {MAX_EVIDENCE}", f"至多 {MAX_EVIDENCE} 条")
    if header.format not in roster_pb2.RosterFormat.values():
        raise wrong("format", "not a format of rosters", "文件格式无效")
