"""How a command says that it failed: a line on standard error; with `--json` one JSON object on standard output.

Owns: the form of that object, and whether it is wanted. Refuses: choosing exit codes and texts.

    {"error": {"message": "...", "reason": "...", "field": "...", "zh": "...", "en": "...", "retryable": false,
    "retry_after_ms": 0}, "exit_code": 1}

`message` is always there, in the user's language. What follows it is there where the error is one of the contract, `zh`
and `en` also where both languages are at hand. Of several errors the first is told so, the others stay lines.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NoReturn

import click

from gateway.cli.language import say

if TYPE_CHECKING:
    from gateway.errors import WuganError

_WANTED: Final = "gateway.cli.failing.json"
_TOLD: Final = "gateway.cli.failing.told"


def note_whether_json(ctx: click.Context, arguments: list[str]) -> None:
    """Look whether a command that is about to be called is to answer in JSON, be it wrong in itself or not."""
    ctx.meta[_WANTED] = "--json" in arguments


def json_wanted() -> bool:
    """Whether the command that runs is to answer in JSON."""
    ctx = click.get_current_context(silent=True)
    return ctx is not None and bool(ctx.meta.get(_WANTED) or ctx.params.get("json_out"))


def say_failed(
    message: str,
    code: int,
    *,
    of: Exception | None = None,
    both: tuple[str, str] | None = None,
    prefix: str = "wugan: ",
) -> None:
    """Say what is wrong, before the command ends.

    Args:
        message: in the user's language.
        code: the exit code it is going to end with.
        of: the error that it is about; of one of ours all is told.
        both: the message in English and Chinese.
        prefix: before the message, where it is read by a person.
    """
    ctx = click.get_current_context(silent=True)
    if ctx is None or not json_wanted() or _TOLD in ctx.meta:
        click.echo(f"{prefix}{message}", err=True)
        return
    ctx.meta[_TOLD] = True
    from gateway.errors import WuganError

    told: dict[str, object] = {"message": message}
    if both is not None:
        told |= {"en": both[0], "zh": both[1]}
    if isinstance(of, WuganError):
        told |= error_json(of)
    try:
        click.echo(json.dumps({"error": told, "exit_code": code}, ensure_ascii=False))
    except OSError:  # which is told next; what was wrong before that is not to be lost
        click.echo(f"{prefix}{message}", err=True)
        raise


def end(en: str, zh: str, code: int, *, of: Exception | None = None) -> NoReturn:
    """Say what is wrong, and end the command."""
    say_failed(say(en, zh), code, of=of, both=(en, zh))
    raise SystemExit(code)


def error_json(error: WuganError) -> dict[str, object]:
    """What went wrong, for programs."""
    return {
        "reason": error.code,
        "field": error.field,
        "zh": error.zh,
        "en": error.en,
        "retryable": error.retryable,
        "retry_after_ms": error.retry_after_ms,
    }
