"""What a command asks of the gateway that has the keys open: files in a folder beside them.

    keys/requests/<id>.ask       one request, JSON, written whole
    keys/requests/<id>.answer    what became of it

Owns: these files, their form and their bounds. Refuses: requests of anybody but the owner of the folder, more than a
few at a time, and old ones: what was asked of a gateway that did not run is not done when it starts again.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from certs.errors import CertsError, SlotError
from certs.files import PRIVATE, read_secret, write_file
from certs.private_files import open_to_others
from certs.slot_journal import KINDS, Kind
from certs.system_words import cause

MAX_WAITING: Final = 16
MAX_AGE_MS: Final = 60_000

_ID: Final = re.compile(r"[0-9a-f]{32}")


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Request(_Message):
    """One request.

    Args:
        action: what to do.
        kinds: to which keys.
        reason: why, for people.
        urgent: see `slot_journal.Rotation`.
        asked_at_ms: Unix milliseconds.
    """

    action: Literal["rotate", "roll_back"]
    kinds: tuple[Kind, ...] = Field(KINDS, min_length=1, max_length=len(KINDS))
    reason: str = Field("asked", max_length=200)
    urgent: bool = False
    asked_at_ms: int = Field(ge=0)


class Answer(_Message):
    """What became of a request: it was begun, or why not."""

    done: bool
    kinds: tuple[Kind, ...] = ()
    en: str = Field("", max_length=2000)
    zh: str = Field("", max_length=2000)


def ask(folder: Path, request: Request) -> str:
    """Leave a request; its id.

    Raises:
        CertsError: it cannot be written, or too many are waiting.
    """
    box = _box(folder)
    try:
        box.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise SlotError(
            f"{box}: cannot be made ({cause(error).en})", f"{box}：无法创建（{cause(error).zh}）"
        ) from error
    if len(list(_ids(box, ".ask"))) >= MAX_WAITING:
        raise SlotError(
            "too many requests are waiting; is the gateway running?", "等待处理的请求过多，请确认网关在运行"
        )
    name = secrets.token_hex(16)
    # Not synced: after a power cut whoever asked is gone, and what was asked is not done (`MAX_AGE_MS`).
    write_file(box / f"{name}.ask", request.model_dump_json().encode(), mode=PRIVATE, replace=False, lasting=False)
    return name


def answer_of(folder: Path, name: str) -> Answer | None:
    """What became of a request, taken away; None while it waits.

    Raises:
        CertsError: the answer is none.
    """
    path = _box(folder) / f"{name}.answer"
    if not path.exists():
        return None
    try:
        answer = Answer.model_validate_json(read_secret(path))
    except ValidationError as error:
        raise SlotError(f"{path}: not an answer", f"{path}：不是有效的答复") from error
    path.unlink(missing_ok=True)
    return answer


def give_up(folder: Path, name: str) -> None:
    """Take a request back, where it still waits."""
    (_box(folder) / f"{name}.ask").unlink(missing_ok=True)


def waiting(folder: Path, now_ms: int) -> list[tuple[str, Request]]:
    """The requests to be dealt with; what is none, or too old, is removed.

    Raises:
        SlotError: others may leave requests there.
    """
    box = _box(folder)
    try:
        if open_to_others(box.stat()):
            raise SlotError(
                f"{box}: group or others may leave requests; run: chmod 700 {box}",
                f"{box}：同组或其他用户可提交请求，请执行：chmod 700 {box}",
            )
    except FileNotFoundError:
        return []
    found: list[tuple[str, Request]] = []
    for name in list(_ids(box, ".ask"))[:MAX_WAITING]:
        path = box / f"{name}.ask"
        try:
            request = Request.model_validate_json(read_secret(path))
        except (CertsError, ValidationError):
            path.unlink(missing_ok=True)
            continue
        if abs(now_ms - request.asked_at_ms) > MAX_AGE_MS:
            path.unlink(missing_ok=True)
            continue
        found.append((name, request))
    return sorted(found, key=lambda each: each[1].asked_at_ms)


def answer(folder: Path, name: str, what: Answer) -> None:
    """Say what became of a request.

    Raises:
        KeyFileError: it cannot be written.
    """
    box = _box(folder)
    for old in list(_ids(box, ".answer"))[: -MAX_WAITING or None]:
        (box / f"{old}.answer").unlink(missing_ok=True)
    # Not synced: it is of use only to a command that waits now.
    write_file(box / f"{name}.answer", what.model_dump_json().encode(), mode=PRIVATE, replace=True, lasting=False)
    (box / f"{name}.ask").unlink(missing_ok=True)


def _box(folder: Path) -> Path:
    return folder / "requests"


def _ids(box: Path, suffix: str) -> Iterator[str]:
    """Oldest first."""
    with os.scandir(box) as entries:
        found = [entry for entry in entries if entry.name.endswith(suffix)]
        aged = sorted(found, key=lambda entry: entry.stat(follow_symlinks=False).st_mtime_ns)
    for entry in aged:
        name = entry.name.removesuffix(suffix)
        if _ID.fullmatch(name):
            yield name
