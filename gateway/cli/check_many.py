"""`wugan check-many`: questions in, a line each; answers out, a line each, as they come. For programs.

Owns: what a line may hold, and what is said of one that holds something else. Refuses: whole rosters, which outlive the
command (`wugan roster`).
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import click
from google.protobuf import json_format

from gateway.cli import EXIT_FAULTY, EXIT_REFUSED, EXIT_UNREACHABLE, EXIT_USAGE
from gateway.cli.agency_options import AS_OF, BASIS, CASE, CONFIG, OFFICIAL
from gateway.cli.failing import error_json
from gateway.cli.language import say
from gateway.config import AgencySettings
from gateway.errors import ConfigError, RefusedError, WuganError
from wugan.agency.v1 import agency_pb2

if TYPE_CHECKING:
    from gateway.cli.leaving import ForSure
    from gateway.many.client import ManyClient

MOST_BYTES: Final = 64 << 10
"""Of one line."""
MOST_AT_ONCE: Final = 1024
MOST_NAME: Final = 40
"""Characters of a field's name that is told of."""
_DEPTH: Final = 8

_NAMED: Final = {"benefit": "BENEFIT_TYPE_", "purpose": "PURPOSE_", "document_kind": "DOCUMENT_KIND_"}
_WORST_FIRST: Final = (EXIT_FAULTY, EXIT_UNREACHABLE, EXIT_REFUSED)


@click.command(
    "check-many",
    help=say(
        "Ask about several recipients at a time: JSON lines in, JSON lines out. A line has the fields of CheckRequest "
        "(proto/wugan/agency/v1/agency.proto), benefit and purpose by their short names, and a `ref` of yours if you "
        "like; what is missing is taken from the options and agency.toml. Answers come as soon as they are there, each "
        'with the number of its line: {"line": 1, "ref": "…", "answer": {…}} or {"line": 2, "error": {…}}. A '
        'line with leave_open_s is left where no answer comes; an error then says "left": "no" or "unknown". Exit '
        "codes: 0 all answered, 1 some were refused, 2 wrong usage, 3 some were not reached or not in time, 4 wrong "
        "answers.",
        "一次查询多名待遇领取人：逐行读入 JSON，逐行输出 JSON。每行填写 CheckRequest 的字段"
        "（见 proto/wugan/agency/v1/agency.proto），险种与查询目的用简称，可另附自定义的 ref；缺少的内容取自选项与 "
        'agency.toml。答复随到随出，并注明行号：{"line": 1, "ref": "…", "answer": {…}} 或 {"line": 2, "error": {…}}。'
        '填有 leave_open_s 的行未获答复时予以留置；出错时另注明 "left"："no"（未留置）或 "unknown"（不确定）。'
        "退出码：0 全部已答复，1 部分被拒绝，2 用法错误，3 部分无法连接或超时，4 答复无效。",
    ),
)
@CONFIG
@click.option(
    "--in",
    "lines",
    type=click.File("rb"),
    default="-",
    help=say("file with the questions (default: standard input)", "查询文件（默认为标准输入）"),
)
@click.option("--benefit", default="", help=say("where a line names none", "行内未填时的险种"))
@click.option("--purpose", default="", help=say("where a line names none", "行内未填时的查询目的"))
@BASIS
@CASE
@OFFICIAL
@AS_OF
@click.option(
    "--at-once",
    type=click.IntRange(1, MOST_AT_ONCE),
    default=256,
    show_default=True,
    help=say("questions that wait for their answers at a time", "同时等待答复的查询数"),
)
@click.option("--timeout", type=click.FloatRange(0.05, 600), help=say("seconds for each", "每个查询的时限（秒）"))
def check_many(
    config_file: Path,
    lines: IO[bytes],
    benefit: str,
    purpose: str,
    basis: str,
    case_reference: str,
    official: str,
    as_of: str,
    at_once: int,
    timeout: float | None,
) -> None:
    """Read, ask, print, and end with the worst that happened."""
    from gateway.cli.client import fail
    from gateway.config import load_agency

    try:
        settings = load_agency(config_file)
    except ConfigError as error:
        fail(say(error.en, error.zh), EXIT_USAGE, of=error)
    otherwise = {
        "benefit": benefit,
        "purpose": purpose,
        "legal_basis": basis or settings.legal_basis,
        "case_reference": case_reference or f"CLI-{secrets.token_hex(6)}",
        "official": official or settings.official,
        "as_of": as_of,
    }
    raise SystemExit(asyncio.run(_ask(settings, lines, otherwise, at_once, timeout or settings.timeout_s)))


async def _ask(
    settings: AgencySettings, lines: IO[bytes], otherwise: Mapping[str, str], at_once: int, time_s: float
) -> int:
    """Ask all; the exit code."""
    from gateway.cli.client import code_of, opened
    from gateway.cli.leaving import ForSure
    from gateway.cli.report import as_json
    from gateway.clock import SystemClock
    from gateway.many.client import ManyClient

    room, codes = asyncio.Semaphore(at_once), set[int]()

    async def one(number: int, line: bytes) -> None:
        told: dict[str, object] = {"line": number}
        for_sure: ForSure | None = None
        try:
            request, ref = question_in(line, otherwise)
            if ref:
                told["ref"] = ref
            for_sure = ForSure(request) if request.leave_open_s else None
            told["answer"] = as_json(await _answer(many, request, time_s, for_sure))
        except WuganError as error:
            codes.add(code_of(error))
            told["error"] = error_json(error)
            if for_sure is not None:
                told["left"] = "unknown" if for_sure.unknown else "no"
        finally:
            room.release()
        click.echo(json.dumps(told, ensure_ascii=False))

    async with opened(settings) as channel, asyncio.TaskGroup() as tasks:
        many = ManyClient(channel, SystemClock())
        try:
            async for number, line in _numbered(lines, room):
                tasks.create_task(one(number, line))
            for _ in range(at_once):
                await room.acquire()
        finally:
            await many.close()
    return next((code for code in _WORST_FIRST if code in codes), 0)


async def _answer(
    many: ManyClient, request: agency_pb2.CheckRequest, time_s: float, for_sure: ForSure | None
) -> agency_pb2.CheckResponse:
    """The answer, or the ticket of what was left, which is made sure of if it was to be. Raises WuganError."""
    try:
        return await many.check(request, time_s)
    except WuganError as error:
        if for_sure is None:
            raise
        return await for_sure.leave_over(many.check, error)


async def _numbered(lines: IO[bytes], room: asyncio.Semaphore) -> AsyncIterator[tuple[int, bytes]]:
    """Lines that are not blank, from 1, once there is room for the next; of one that is too long its beginning."""
    number = 0
    while True:
        await room.acquire()
        line = await asyncio.to_thread(lines.readline, MOST_BYTES + 1)
        number += 1
        end = line
        while end and not end.endswith(b"\n") and len(end) > MOST_BYTES:  # the rest of it
            end = await asyncio.to_thread(lines.readline, MOST_BYTES + 1)
        if not line:
            room.release()
            return
        if line.isspace():
            room.release()
        else:
            yield number, line


def question_in(line: bytes, otherwise: Mapping[str, str]) -> tuple[agency_pb2.CheckRequest, str]:
    """The question of a line and its `ref`.

    Args:
        line: JSON.
        otherwise: field → what it is where the line does not say; "": nothing.

    Raises:
        RefusedError: it is no question; says what is wrong with it, without its contents.
    """
    if len(line) > MOST_BYTES:
        raise _wrong(f"a line has at most {MOST_BYTES} bytes", f"每行至多 {MOST_BYTES} 字节")
    try:
        told: Any = json.loads(line)
    except (ValueError, RecursionError):
        raise _wrong("the line is no JSON in UTF-8", "该行不是 UTF-8 编码的 JSON") from None
    if not isinstance(told, dict):
        raise _wrong("a line is one JSON object", "每行应为一个 JSON 对象")
    ref = told.pop("ref", "")
    if not isinstance(ref, str | int) or len(str(ref)) > 200:
        raise _wrong("ref: a text of at most 200 characters, or a number", "ref：至多 200 个字符的文本或数字")
    for name, value in otherwise.items():
        if value and name not in told:
            told[name] = value
    for name, prefix in _NAMED.items():
        short = told.get(name)
        if isinstance(short, str) and not short.startswith(prefix):
            told[name] = prefix + short.upper()
    try:
        return json_format.ParseDict(told, agency_pb2.CheckRequest(), max_recursion_depth=_DEPTH), str(ref)
    except json_format.ParseError:
        raise _wrong(_unfit(told, "en"), _unfit(told, "zh")) from None


def _unfit(told: Mapping[str, Any], language: str) -> str:
    """Which fields are wrong. The library's own words may hold what was in them."""
    wrong = [name for name in told if not _fits(name, told[name])]
    names = [name if name.isidentifier() and len(name) <= MOST_NAME else "…" for name in wrong[:5]]
    shown = ", ".join(names) or "…"
    if language == "en":
        return f"{shown}: not such a field of CheckRequest, or not such a value"
    return f"{shown}：CheckRequest 没有该字段，或取值无效"


def _fits(name: str, value: Any) -> bool:
    try:
        json_format.ParseDict({name: value}, agency_pb2.CheckRequest(), max_recursion_depth=_DEPTH)
    except json_format.ParseError:
        return False
    return True


def _wrong(en: str, zh: str) -> RefusedError:
    return RefusedError(en, zh)
