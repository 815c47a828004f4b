"""The log: one plain JSON object a line, and never an identity number, a row or an exception's text."""

from __future__ import annotations

import enum
import json
import logging
import stat
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong
from hypothesis import given
from hypothesis import strategies as st

from gateway import log
from gateway.clock import FakeClock
from gateway.errors import StoreError

PERSON = "330702195001011234"


@pytest.fixture
def lines(tmp_path: Path) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Logging to a file; gives a function that reads what was logged since the last time."""
    path = tmp_path / "gateway.log"
    handlers, level = logging.getLogger().handlers, logging.getLogger().level
    log.configure("INFO", "json", file=path, clock=FakeClock(1_795_000_000_042))
    read = path.open(encoding="utf-8")
    yield lambda: [json.loads(line) for line in read]
    read.close()
    structlog.reset_defaults()
    logging.getLogger().handlers, logging.getLogger().level = handlers, level


def test_a_line_is_one_json_object_of_plain_values(lines: Callable[[], list[dict[str, Any]]]) -> None:
    structlog.stdlib.get_logger("gateway.x").info(
        "answered", subjects=3, partial=False, took_ms=1.5, why=None, zh="无感\n"
    )
    assert lines() == [
        {
            "at": "2026-11-18T11:06:40.042Z",
            "level": "info",
            "logger": "gateway.x",
            "event": "answered",
            "subjects": 3,
            "partial": False,
            "took_ms": 1.5,
            "why": None,
            "zh": "无感\n",
        }
    ]


def test_lines_below_the_level_are_not_written(lines: Callable[[], list[dict[str, Any]]]) -> None:
    structlog.stdlib.get_logger().debug("detail")
    assert lines() == []


def test_values_that_are_not_plain_are_told_by_type_only(lines: Callable[[], list[dict[str, Any]]]) -> None:
    class Colour(enum.IntEnum):
        RED = 1

    class Word(enum.StrEnum):
        YES = "yes"

    structlog.stdlib.get_logger().info(
        "odd", raw=b"secret", row={"name": "张三"}, many=[PERSON], red=Colour.RED, yes=Word.YES, nan=float("nan")
    )
    found = lines()[0]
    assert found | {"raw": "<bytes>", "row": "<dict>", "many": "<list>", "red": 1, "yes": "yes", "nan": "nan"} == found


def test_reserved_names_are_not_overwritten(lines: Callable[[], list[dict[str, Any]]]) -> None:
    structlog.stdlib.get_logger().info("x", level="debug", at=0)
    found = lines()[0]
    assert found["level"] == "info"
    assert found["level_"] == "debug"
    assert found["at_"] == 0


@pytest.mark.parametrize(
    "value",
    [
        PERSON,
        "33070219500101123x",
        f"about {PERSON}.",
        f"id{PERSON}x",
        "330702 19500101 1234",
        "330702-19500101-123X",
        "３３０７０２１９５００１０１１２３４",
        "330702500101123",
        int(PERSON),
        330702500101123,
    ],
)
def test_what_looks_like_an_identity_number_is_masked(
    lines: Callable[[], list[dict[str, Any]]], value: str | int
) -> None:
    structlog.stdlib.get_logger().info("lookup", value=value, beside="kept")
    found = lines()[0]
    assert log.MASKED in found["value"]
    assert not any(part in found["value"] for part in ("19500101", "500101", "５０"))
    assert found["beside"] == "kept"


@pytest.mark.parametrize(
    "value",
    [
        "11330000002482064X",  # unified social credit codes of members
        "113300000024820647",
        1_795_000_000_042,  # Unix milliseconds
        1_795_000_000_042_123_456,  # and nanoseconds
        "019358d1-7c3b-7e00-8000-1234567890ab",
        "330702195013011234",  # no such month
        "330702195000011234",
    ],
)
def test_what_does_not_look_like_one_is_kept(lines: Callable[[], list[dict[str, Any]]], value: str | int) -> None:
    structlog.stdlib.get_logger().info("lookup", value=value)
    assert lines()[0]["value"] == value


@given(
    region=st.integers(110000, 659999),
    born=st.dates(min_value=date(1900, 1, 1), max_value=date(2026, 1, 1)),
    serial=st.integers(0, 999),
    check=st.sampled_from("0123456789Xx"),
    before=st.text(st.characters(exclude_categories=["Cs", "N"]), max_size=5),
    after=st.text(st.characters(exclude_categories=["Cs", "N"]), max_size=5),
)
def test_every_number_is_masked_in_any_text(
    region: int, born: Any, serial: int, check: str, before: str, after: str
) -> None:
    eighteen = f"{region}{born:%Y%m%d}{serial:03d}{check}"
    fifteen = f"{region}{born:%y%m%d}{serial:03d}"
    for number in (eighteen, fifteen):
        assert log.mask(before + number + after) == before + log.MASKED + after


def test_an_exception_is_logged_as_types_and_places(lines: Callable[[], list[dict[str, Any]]]) -> None:
    try:
        try:
            raise KeyError("张三")
        except KeyError as error:
            raise StoreError(f"about {PERSON}", "张三") from error
    except StoreError:
        structlog.stdlib.get_logger().exception("failed")
    found = lines()[0]
    assert found["level"] == "error"
    assert "gateway.errors.StoreError(INTERNAL) at " in found["exception"]
    assert "from KeyError at gateway/test_structured_log.py:" in found["exception"]
    assert "张三" not in json.dumps(found, ensure_ascii=False)


def test_libraries_are_heard_from_warning_up_without_the_values_of_their_messages(
    lines: Callable[[], list[dict[str, Any]]],
) -> None:
    library = logging.getLogger("some.library")
    library.info("not heard")
    library.warning("cannot look up %s\nsecond line", "张三")
    try:
        raise ValueError("张三")
    except ValueError:
        library.exception("crashed")
    first, second = lines()
    assert (first["level"], first["logger"], first["event"]) == ("warning", "some.library", "cannot look up %s")
    assert second["exception"].startswith("ValueError at ")
    assert "张三" not in json.dumps([first, second], ensure_ascii=False)


def test_what_is_no_http_is_its_senders_mistake_and_does_not_fill_the_log(
    lines: Callable[[], list[dict[str, Any]]],
) -> None:
    server = logging.getLogger("aiohttp.server")
    for error in (BadHttpMessage("no host"), LineTooLong(b"x", 1), ValueError("ours")):
        server.error("Error handling request from %s", "192.0.2.1", exc_info=error)
    (line,) = lines()
    assert line["exception"] == "ValueError"


def test_a_long_value_is_cut(lines: Callable[[], list[dict[str, Any]]]) -> None:
    structlog.stdlib.get_logger().info("long", value="长" * 100_000)
    assert len(lines()[0]["value"]) == log.MAX_VALUE_CHARS + 1


def test_the_file_is_private_and_appended_to(tmp_path: Path, lines: Callable[[], list[dict[str, Any]]]) -> None:
    structlog.stdlib.get_logger().info("one")
    log.configure("INFO", "json", file=tmp_path / "gateway.log")
    structlog.stdlib.get_logger().info("two")
    assert [line["event"] for line in lines()] == ["one", "two"]
    assert stat.S_IMODE((tmp_path / "gateway.log").stat().st_mode) == 0o600


def test_a_line_that_cannot_be_written_is_dropped(tmp_path: Path, lines: Callable[[], list[dict[str, Any]]]) -> None:
    log.configure("INFO", "json", file=Path("/dev/full"))
    structlog.stdlib.get_logger().info("nobody hears")
    log.configure("INFO", "json", file=tmp_path / "gateway.log")
    structlog.stdlib.get_logger().info("heard again")
    assert [line["event"] for line in lines()] == ["heard again"]


def test_the_console_shows_a_line_for_people_and_nothing_that_moves_the_cursor(
    capfd: pytest.CaptureFixture[str], lines: Callable[[], list[dict[str, Any]]]
) -> None:
    log.configure("INFO", "console", clock=FakeClock(1_795_000_000_042))
    structlog.stdlib.get_logger("x").warning("hello\x1b[2J", person=PERSON, text="a\nb")
    assert capfd.readouterr().err == "11:06:40.042 \x1b[33mwarning \x1b[0m hello\ufffd[2J  person=***  text=a\ufffdb\n"


def test_without_a_terminal_lines_are_json(
    capfd: pytest.CaptureFixture[str], lines: Callable[[], list[dict[str, Any]]]
) -> None:
    log.configure()
    structlog.stdlib.get_logger("x").info("hello")
    assert json.loads(capfd.readouterr().err)["event"] == "hello"
