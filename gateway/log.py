"""Structured logs: one JSON object a line, without personal data.

Owns: how a line is made and where it goes, and the last line of defence: whatever in a finished line looks like an
identity number is masked, values that are not plain are replaced by the name of their type, and exceptions are logged
as types and places, never with their texts, which may quote a row. The first line of defence is not to log such things.
Refuses: rotation and shipping, which are the supervisor's; and failing: a line that cannot be written is dropped.

Libraries that use the standard `logging` come through here too, from WARNING up and without the values of their
messages: only the message's template is known to hold no data.
"""

from __future__ import annotations

import logging
import math
import os
import re
import sys
import traceback
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from json.encoder import encode_basestring
from pathlib import Path
from typing import Any, Literal

import structlog

from gateway.clock import Clock, SystemClock
from gateway.errors import WuganError

Style = Literal["auto", "json", "console"]
Plain = str | int | float | bool | None

MASKED = "***"
MAX_VALUE_CHARS = 2048
MAX_FRAMES = 12
MAX_CAUSES = 4

_DIGIT = "[0-9０-９]"
_NUMBER = (
    f"{_DIGIT}{{6}}(?:"
    f"[ -]?(?:[1１][89８９]|[2２][0０]){_DIGIT}{{2}}[01０１]{_DIGIT}[0-3０-３]{_DIGIT}"
    f"[ -]?{_DIGIT}{{3}}[0-9０-９XxＸｘ]"
    f"|{_DIGIT}{{2}}[01０１]{_DIGIT}[0-3０-３]{_DIGIT}{{4}})(?!{_DIGIT})"
)
_MAY_HOLD_NUMBER = re.compile(_NUMBER)
"""Without a look behind, which halves the time of going through a line that holds none."""
_LOOKS_LIKE_NUMBER = re.compile(f"(?<!{_DIGIT}){_NUMBER}")
_SEPARATORS = str.maketrans("", "", " -")
_NO_HTTP = "aiohttp.http_exceptions"
_COLOURS = {
    "debug": "\x1b[2m",
    "info": "\x1b[32m",
    "warning": "\x1b[33m",
    "error": "\x1b[31m",
    "critical": "\x1b[31;1m",
}
_RESET = "\x1b[0m"
_CONTROL = dict.fromkeys((*range(32), 127, *range(128, 160), 0x2028, 0x2029), "\N{REPLACEMENT CHARACTER}")
_WORDS: dict[bool | None, str] = {None: "null", True: "true", False: "false"}
_PLAIN = frozenset({str, int, bool, type(None)})


def configure(
    level: str = "INFO", style: Style = "auto", *, file: Path | None = None, clock: Clock | None = None
) -> None:
    """Set up logging for this process; call it once, before the first line is logged.

    Args:
        level: least level written, DEBUG, INFO, WARNING or ERROR.
        style: "json", "console" (for people), or "auto": console on a terminal, JSON otherwise.
        file: where to append (mode 0600); None: standard error.
        clock: dates the lines.

    Raises:
        OSError: the file cannot be opened.
    """
    number = logging.getLevelNamesMapping()[level]
    handle = _stderr() if file is None else os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for_people = style == "console" or (style == "auto" and os.isatty(handle))
    renderer = _Renderer(clock or SystemClock(), _console if for_people else _json)
    structlog.configure(
        processors=[renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *names: _Lines(handle, str(names[0]) if names else ""),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers = [_Libraries(handle, renderer)]
    root.setLevel(max(number, logging.WARNING))


class Standstill:
    """What does not get on says so once, and not again before it did: what it waits for may be away all night."""

    __slots__ = ("_told",)

    def __init__(self) -> None:
        self._told = False

    def begins(self) -> bool:
        """It did not get on; whether that is news."""
        news, self._told = not self._told, True
        return news

    def ends(self) -> bool:
        """It got on; whether that is news."""
        news, self._told = self._told, False
        return news


def mask(text: str) -> str:
    """The text with everything masked that looks like a resident identity number, of 18 or 15 digits (GB 11643).

    Looks like: the right length, also in full-width digits or with blanks between its parts, and a possible date of
    birth at its place. The check digit is not asked for: a mistyped number still points at a person.
    """
    return text if _MAY_HOLD_NUMBER.search(text) is None else _LOOKS_LIKE_NUMBER.sub(_masked, text)


def described(error: BaseException) -> str:
    """An exception as types and places: what it says may be somebody's data, where it happened is ours."""
    parts: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(parts) < MAX_CAUSES:
        kind = type(cause)
        name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        if isinstance(cause, WuganError):
            name += f"({cause.code})"
        frames = traceback.extract_tb(cause.__traceback__)[-MAX_FRAMES:]
        places = [f"{'/'.join(Path(frame.filename).parts[-2:])}:{frame.lineno} {frame.name}" for frame in frames]
        parts.append(f"{name} at {' > '.join(places)}" if places else name)
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return " from ".join(parts)


def _masked(match: re.Match[str]) -> str:
    text = match[0].translate(_SEPARATORS)
    born = text[10:14] if len(text) == 18 else text[8:12]
    return MASKED if 1 <= int(born[:2]) <= 12 and 1 <= int(born[2:]) <= 31 else match[0]


class _Renderer:
    """Makes a line of an event; the only processor."""

    def __init__(self, clock: Clock, write: Callable[[Mapping[str, Plain]], str]) -> None:
        self._clock = clock
        self._write = write
        self._second = -1
        self._stamp = ""

    def __call__(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
        now_ms = self._clock.now_ms()
        second, millisecond = divmod(now_ms, 1000)
        if second != self._second:
            self._stamp = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
            self._second = second
        values: dict[str, Plain] = {
            "at": f"{self._stamp}.{millisecond:03d}Z",
            "level": "error" if method == "exception" else method,
            "logger": logger.name,
            "event": _plain(event.pop("event", "")),
        }
        fault = event.pop("exc_info", None)
        for name, value in event.items():
            values[name if name not in values else name + "_"] = value if type(value) in _PLAIN else _plain(value)
        if fault:
            values["exception"] = _fault(fault)
        line = self._write(values)
        if len(line) > MAX_VALUE_CHARS:
            line = self._write({name: _short(value) for name, value in values.items()})
        if _MAY_HOLD_NUMBER.search(line) is not None:
            line = self._write({name: _without_number(value) for name, value in values.items()})
        return line


def _plain(value: object) -> Plain:
    """A value as one of JSON's plain ones; anything else is told by its type only."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else repr(float(value))
    return f"<{type(value).__name__}>"


def _short(value: Plain) -> Plain:
    if isinstance(value, str) and len(value) > MAX_VALUE_CHARS:
        return value[:MAX_VALUE_CHARS] + "…"
    return value


def _without_number(value: Plain) -> Plain:
    text = str(value)
    masked = mask(text)
    return value if masked == text else masked


def _fault(given: object) -> str:
    """What `exc_info` may be: an exception, the triple of sys.exc_info(), or True for the one being handled."""
    if isinstance(given, tuple):
        given = given[1] if len(given) == 3 else None
    error = given if isinstance(given, BaseException) else sys.exception()
    return "none" if error is None else described(error)


def _json(values: Mapping[str, Plain]) -> str:
    """A JSON object of plain values; in half the time of an encoder that is ready for anything."""
    parts = []
    for name, value in values.items():
        if type(value) is str:
            parts.append(f"{encode_basestring(name)}:{encode_basestring(value)}")
        elif value is None or type(value) is bool:
            parts.append(f"{encode_basestring(name)}:{_WORDS[value]}")
        else:
            parts.append(f"{encode_basestring(name)}:{value!r}")
    return f"{{{','.join(parts)}}}"


def _console(values: Mapping[str, Plain]) -> str:
    """A line for people: time, level, event, then the rest as name=value; a value cannot move the cursor."""
    level = str(values["level"])
    rest = [f"{name}={value}" for name, value in values.items() if name not in ("at", "level", "logger", "event")]
    text = "  ".join([str(values["event"]), *rest]).translate(_CONTROL)
    return f"{str(values['at'])[11:-1]} {_COLOURS.get(level, '')}{level:<8}{_RESET} {text}"


class _Lines:
    """Where finished lines go: one write a line, straight to the descriptor, so that lines of threads do not mix."""

    __slots__ = ("_handle", "critical", "debug", "error", "exception", "info", "msg", "name", "warning")

    def __init__(self, handle: int, name: str) -> None:
        self._handle = handle
        self.name = name
        self.debug = self.info = self.warning = self.error = self.critical = self.exception = self.msg = self.write

    def write(self, line: str) -> None:
        """Append a line; one that cannot be written is dropped, because a full disk must not stop the gateway."""
        data = (line + "\n").encode("utf-8", "replace")
        try:
            while data:
                data = data[os.write(self._handle, data) :]
        except OSError:
            return


class _Libraries(logging.Handler):
    """Takes in what libraries log through `logging`: the template, the place, the kind of exception."""

    def __init__(self, handle: int, renderer: _Renderer) -> None:
        super().__init__()
        self._target = handle
        self._renderer = renderer

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; none of a request that is no HTTP: whoever reaches a port can send as many as they like."""
        error = record.exc_info[1] if record.exc_info else None
        if type(error).__module__ == _NO_HTTP:
            return
        template = str(record.msg).partition("\n")[0]
        lines = _Lines(self._target, record.name)
        event: dict[str, Any] = {"event": template, "place": f"{record.module}:{record.lineno}"}
        if error is not None:
            event["exc_info"] = error
        lines.write(self._renderer(lines, record.levelname.lower(), event))


def _stderr() -> int:
    try:
        return sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):
        return 2
