"""The text of a file, in whatever encoding a person saved it."""

from __future__ import annotations

import codecs

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli import files
from gateway.errors import ConfigError
from gateway.texts import MARKS, text_of

LINES = "姓名,证件号码\n㐀𠮷·张三,330702195001010017\n"
GB_MARK = b"\x84\x31\x95\x33"


@pytest.mark.parametrize(
    "data",
    [
        LINES.encode(),
        codecs.BOM_UTF8 + LINES.encode(),
        LINES.encode("gb18030"),
        GB_MARK + LINES.encode("gb18030"),
        codecs.BOM_UTF16_LE + LINES.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + LINES.encode("utf-16-be"),
    ],
    ids=["UTF-8", "UTF-8 with mark", "GB 18030", "GB 18030 with mark", "UTF-16 little", "UTF-16 big"],
)
def test_the_same_text_however_it_was_saved(data: bytes) -> None:
    assert text_of(data, "people.csv") == LINES


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"\xff\xff", 1),
        ("一\n二\n".encode() + b"\xff\xff\n", 3),
        (GB_MARK + "一\n".encode("gb18030") + b"\xff\n", 2),
        (codecs.BOM_UTF16_LE + "一\n二\n".encode("utf-16-le") + b"\x00\xd8", 3),
    ],
)
def test_what_is_no_text_is_refused_with_its_line(data: bytes, line: int) -> None:
    with pytest.raises(ConfigError) as caught:
        text_of(data, "people.csv")
    assert caught.value.en.startswith(f"people.csv:{line}: ")
    assert caught.value.zh.startswith(f"people.csv:{line}：")


@given(st.binary(max_size=64), st.sampled_from([b"", *(mark for mark, _ in MARKS)]))
def test_any_bytes_are_text_without_a_replacement_or_refused(data: bytes, mark: bytes) -> None:
    try:
        text = text_of(mark + data, "f")
    except ConfigError:
        return
    assert (
        any(text.encode(encoding) == data for encoding in ("utf-8", "gb18030", "utf-16-le", "utf-16-be")) or mark == b""
    )


def test_a_command_reads_standard_input_and_refuses_what_is_too_large() -> None:
    with CliRunner().isolation(GB_MARK + LINES.encode("gb18030")):
        assert files.read_text(files.Path("-"), 1 << 20) == LINES
    with CliRunner().isolation(b"x" * 11) as _, pytest.raises(SystemExit) as ended:
        files.read_text(files.Path("-"), 10)
    assert ended.value.code == 2
