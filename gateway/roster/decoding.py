"""The text of a file in whatever encoding it came, as UTF-8.

Owns: telling UTF-8, GB 18030 and UTF-16 apart, and marks at the start of a file. What cannot be decoded becomes U+FFFD,
so that the rows it stands in can be refused by number. Refuses: lines and columns.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from typing import Final

from gateway.texts import MARKS

PIECE: Final = 1 << 16
"""Bytes decoded at once: decoding holds the interpreter."""


class Decoding:
    """A file's text in UTF-8, block by block. Each byte up to the first that is not ASCII means the same in both.

    Args:
        blocks: its bytes.
        encoding: as it was told before; "": to be told by the bytes.
    """

    def __init__(self, blocks: Iterable[bytes], encoding: str = "") -> None:
        self._blocks = blocks
        self.encoding = encoding
        """Once all was decoded, what it was; "" where everything was ASCII."""

    def __iter__(self) -> Iterator[bytes]:
        """The text."""
        pending = b""
        decoder = _decoder(self.encoding) if self.encoding else None
        started = bool(self.encoding)
        for block in self._blocks:
            data = pending + block
            pending = b""
            if not started:
                if len(data) < 4:
                    pending = data
                    continue
                started = True
                data, decoder = self._after_mark(data)
            if decoder is None:
                if data.isascii():
                    yield data
                    continue
                decoder = self._told(data)
            yield from _pieces(decoder, data)
        if pending:
            data, decoder = self._after_mark(pending)
            yield from _pieces(decoder or self._told(data, last=True), data)
            return
        if decoder is not None:
            yield decoder.decode(b"", final=True).encode()

    def _after_mark(self, data: bytes) -> tuple[bytes, codecs.IncrementalDecoder | None]:
        for mark, encoding in MARKS:
            if data.startswith(mark):
                self.encoding = encoding
                return data[len(mark) :], _decoder(encoding)
        return data, None

    def _told(self, data: bytes, *, last: bool = False) -> codecs.IncrementalDecoder:
        """UTF-8 where the block is that, apart from a character that is cut at its end; else GB 18030."""
        self.encoding = "utf-8"
        try:
            codecs.getincrementaldecoder("utf-8")("strict").decode(data, final=last)
        except UnicodeDecodeError:
            self.encoding = "gb18030"
        return _decoder(self.encoding)


def _decoder(encoding: str) -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder(encoding)("replace")


def _pieces(decoder: codecs.IncrementalDecoder, data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), PIECE):
        yield decoder.decode(data[start : start + PIECE]).encode()
