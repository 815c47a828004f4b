"""What the commands of `wugan audit` are given: which events are looked for, and heads of the chain noted elsewhere.

Owns: reading them. Refuses: what is no time, no code, no head; and reading more of a log than its heads.
"""

from __future__ import annotations

import datetime as dt
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import click

from certs.system_words import cause
from gateway.cli import EXIT_USAGE
from gateway.cli.access_common import SHANGHAI, fail
from gateway.cli.language import say

if TYPE_CHECKING:
    from gateway.store.chain import ChainHead

F = TypeVar("F", bound=Callable[..., None])
KINDS: Final = ("in", "out", "again", "act", "alarm")
ANSWERED: Final = "answered"
REFUSED: Final = "refused"
MAX_HEADS: Final = 100_000
_MAX_LINE: Final = 1 << 16
_MAC_BYTES: Final = 32
_TEXT: Final = 200
_FORMS: Final = (
    ("%Y-%m-%d", 86_400_000),
    ("%Y-%m-%dT%H:%M", 60_000),
    ("%Y-%m-%d %H:%M", 60_000),
    ("%Y-%m-%dT%H:%M:%S", 1000),
    ("%Y-%m-%d %H:%M:%S", 1000),
)


class Span(NamedTuple):
    """A day, minute or second that was named, Unix milliseconds; the end excluded."""

    begin_ms: int
    end_ms: int


class Moment(click.ParamType[Span]):
    """A day, or a time of day, of Asia/Shanghai."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Span:
        """The span named."""
        if isinstance(value, Span):
            return value
        found = _span(str(value))
        if found is not None:
            return found
        return self.fail(
            say("write 2026-11-26 or 2026-11-26T08:30", "时间应写作 2026-11-26 或 2026-11-26T08:30"), param, ctx
        )


def _span(text: str) -> Span | None:
    for form, length_ms in _FORMS:
        try:
            at = dt.datetime.strptime(text, form).replace(tzinfo=SHANGHAI)
        except ValueError:
            continue
        if at.year >= 1971:
            begin_ms = round(at.timestamp() * 1000)
            return Span(begin_ms, begin_ms + length_ms)
    return None


class Outcome(click.ParamType["tuple[bool | None, int]"]):
    """answered, refused, or a reason for refusal."""

    name = "outcome"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[bool | None, int]:
        """Whether refused ones, and which."""
        from wugan.federation.v1 import vocabulary_pb2 as words

        if isinstance(value, tuple):
            return value
        text = str(value).lower()
        if text in (ANSWERED, REFUSED):
            return text == REFUSED, 0
        named = f"REFUSAL_REASON_{text.upper().replace('-', '_')}"
        if named not in dict(words.RefusalReason.items()) or not words.RefusalReason.Value(named):
            self.fail(
                say(
                    "write answered, refused, or a reason such as QUOTA_EXCEEDED",
                    "应为 answered、refused 或拒绝原因（如 QUOTA_EXCEEDED）",
                ),
                param,
                ctx,
            )
        return None, words.RefusalReason.Value(named)


class Head(click.ParamType["ChainHead"]):
    """NUMBER:CHAIN, as `wugan audit verify` prints it."""

    name = "head"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> ChainHead:
        """The head."""
        from gateway.store.chain import ChainHead

        if isinstance(value, ChainHead):
            return value
        number, _, chain = str(value).partition(":")
        found = _head(int(number) if number.isdecimal() and len(number) < 19 else -1, chain)
        if found is None:
            self.fail(
                say("write a head as 1234:, and 64 hexadecimal digits", "链头形如 1234:，后接 64 位十六进制数"),
                param,
                ctx,
            )
        return found


def seeking(command: F) -> F:
    """The options that say which events are looked for; they reach the command as `sought`."""

    @functools.wraps(command)
    def with_sought(
        *,
        since: Span | None,
        until: Span | None,
        direction: str | None,
        outcome: tuple[bool | None, int] | None,
        member: str,
        unit: str,
        official: str,
        purpose: str | None,
        case_reference: str,
        message: str,
        **others: Any,
    ) -> None:
        from gateway.access.terms import PURPOSE_NAMES
        from gateway.store.trail import Sought

        refused, reason = outcome or (None, 0)
        if purpose is not None and purpose.upper() not in PURPOSE_NAMES:
            known = ", ".join(PURPOSE_NAMES)
            raise fail(f"--purpose: one of {known}", f"--purpose：应为 {known} 之一", EXIT_USAGE)
        for name, text in (("--member", member), ("--unit", unit), ("--case", case_reference)):
            if len(text) > _TEXT:
                raise fail(f"{name}: too long", f"{name}：过长", EXIT_USAGE)
        command(
            **others,
            sought=Sought(
                since_ms=since.begin_ms if since else 0,
                until_ms=until.end_ms if until else 0,
                direction=direction,  # type: ignore[arg-type]  # one of the choices
                refused=refused,
                reason=reason,
                member=member,
                unit=unit,
                case_reference=case_reference,
                official=hexadecimal(official, None, "--official") if official else b"",
                purpose=PURPOSE_NAMES[purpose.upper()] if purpose else 0,
                message_id=hexadecimal(message, 16, "--message") if message else b"",
            ),
        )

    made: Any = with_sought
    for option in (
        click.option("--message", default="", help=say("of this message, 32 hexadecimal digits", "消息编号")),
        click.option("--case", "case_reference", default="", help=say("of this case reference", "业务编号")),
        click.option("--purpose", default=None, help=say("of this purpose, e.g. CERTIFICATION", "查询目的")),
        click.option(
            "--official",
            default="",
            help=say("of this official's pseudonym, or key, hexadecimal", "经办人假名或密钥编号（十六进制）"),
        ),
        click.option("--unit", default="", help=say("of this unit, or person who acted", "经办机构，或操作人")),
        click.option("--member", default="", help=say("with this member, by its code", "对方成员（统一社会信用代码）")),
        click.option(
            "--outcome",
            type=Outcome(),
            default=None,
            help=say("answered, refused, or a reason such as QUOTA_EXCEEDED", "answered、refused 或具体拒绝原因"),
        ),
        click.option(
            "--kind",
            "direction",
            type=click.Choice(KINDS),
            default=None,
            help=say(
                "asked of us, asked by us, given again, administration, alarm", "来询、去询、答复再用、管理操作、告警"
            ),
        ),
        click.option(
            "--until",
            type=Moment(),
            default=None,
            help=say("to the end of this day or minute", "截至（含当日或该分钟）"),
        ),
        click.option("--since", type=Moment(), default=None, help=say("from this day or minute on", "起始日期或时间")),
    ):
        made = option(made)
    return made  # type: ignore[no-any-return]


def hexadecimal(text: str, length: int | None, option: str) -> bytes:
    """Bytes written in hexadecimal; ends the command where they are not."""
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if not 0 < len(found) <= 33 or (length is not None and len(found) != length):
        raise fail(f"{option}: hexadecimal digits, as list shows them", f"{option}：应为所示的十六进制数", EXIT_USAGE)
    return found


def noted(path: Path) -> list[ChainHead]:
    """The heads that a gateway wrote into its log, one JSON object a line.

    Ends the command where the file cannot be read, or holds none: comparing with nothing proves nothing.
    """
    found: list[ChainHead] = []
    try:
        with path.open("rb") as lines:
            while line := lines.readline(_MAX_LINE):
                if b"audit_mac" not in line:
                    continue
                head = _logged(line)
                if head is not None and (not found or found[-1] != head):
                    found.append(head)
                    if len(found) > MAX_HEADS:
                        raise fail(f"{path}: too many heads", f"{path}：链头过多", EXIT_USAGE)
    except OSError as error:
        why = cause(error)
        raise fail(f"{path}: {why.en}", f"{path}：无法读取（{why.zh}）", EXIT_USAGE) from None
    if not found:
        raise fail(
            f"{path}: holds no head; it stands behind `store opened`, in JSON logs",
            f"{path}：不含链头；链头记录于 JSON 日志的 `store opened` 事件",
            EXIT_USAGE,
        )
    return found


def _logged(line: bytes) -> ChainHead | None:
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict):
        return None
    sequence, mac = told.get("audit_sequence"), told.get("audit_mac")
    return _head(sequence, mac) if type(sequence) is int and isinstance(mac, str) else None


def _head(sequence: int, chain: str) -> ChainHead | None:
    from gateway.store.chain import ChainHead

    try:
        mac = bytes.fromhex(chain)
    except ValueError:
        return None
    return ChainHead(sequence, mac) if 0 <= sequence < 1 << 62 and len(mac) == _MAC_BYTES else None
