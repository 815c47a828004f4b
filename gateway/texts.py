"""The text of a small file as a person saved it: UTF-8, GB 18030 or UTF-16, with or without a mark.

Owns: telling them apart, the same for every file that a command or a form takes whole; and where a file is no text.
Refuses: guessing at bytes that are none of these, since a name read wrongly is another person; files too large to be
held whole (`gateway.roster.decoding`).
"""

from __future__ import annotations

import codecs
from typing import Final

from gateway.errors import ConfigError

MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (b"\x84\x31\x95\x33", "gb18030"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""Marks at the start of a file, and what they say."""


def text_of(data: bytes, name: str) -> str:
    """The text of a file, without its mark.

    Args:
        data: the whole file.
        name: of the file, for the error.

    Raises:
        ConfigError: it is not text in any of these encodings; names the line.
    """
    encodings = ["utf-8", "gb18030"]
    for mark, encoding in MARKS:
        if data.startswith(mark):
            data, encodings = data[len(mark) :], [encoding]
            break
    far = 0
    for encoding in encodings:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError as error:
            # What was right for longest is what the file was meant to be.
            far = max(far, 1 + data[: error.start].decode(encoding, "ignore").count("\n"))
    raise ConfigError(
        f"{name}:{far}: not text in UTF-8 or GB 18030; save the file in one of them",
        f"{name}:{far}：文字编码有误，请以 UTF-8 或 GB 18030 保存文件",
    )
