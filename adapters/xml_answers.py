"""XML answers, SOAP among them, as the tree that paths lead into.

Owns: elements to fields (local names, without namespaces), repeated ones to lists, and the bounds. Refuses: document
types, and with them every entity but the five of XML; what is nested too deeply or has too many elements.
"""

from __future__ import annotations

import re
from xml.parsers import expat
from xml.sax.saxutils import escape

from adapters.paths import Json

MAX_DEPTH = 64
MAX_ELEMENTS = 4_000_000
_INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
_DECLARED = re.compile(rb"^\s*<\?xml[^>]*?encoding\s*=\s*[\"']([A-Za-z0-9._-]{1,40})[\"'][^>]*?\?>")
_GB = frozenset({"gb2312", "gbk", "gb18030", "cp936", "x-gbk"})
"""Encodings that the parser does not know; GB 18030 reads all of them."""

__all__ = ["NotXmlError", "escape", "parse"]


class NotXmlError(Exception):
    """What came is no XML, or more than is read here; names no content."""


class _Open:
    """An element whose end has not come."""

    __slots__ = ("fields", "name", "nil", "texts")

    def __init__(self, name: str) -> None:
        self.name = name
        self.fields: dict[str, Json] = {}
        self.texts: list[str] = []
        self.nil = False


class _Tree:
    def __init__(self) -> None:
        self.root: dict[str, Json] = {}
        self._open: list[_Open] = []
        self._elements = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        if len(self._open) >= MAX_DEPTH or self._elements > MAX_ELEMENTS:
            raise NotXmlError("nested too deeply, or too many elements")
        element = _Open(_local(name))
        for key, value in attributes.items():
            space, _, local = key.rpartition(" ")
            if space == _INSTANCE:  # xsi:type tells nothing; xsi:nil that there is nothing
                element.nil = element.nil or (local == "nil" and value.strip() in ("true", "1"))
            else:
                element.fields["@" + local] = value
        self._open.append(element)

    def text(self, data: str) -> None:
        if self._open:
            self._open[-1].texts.append(data)

    def end(self, _: str) -> None:
        element = self._open.pop()
        text = "".join(element.texts).strip()
        value: Json
        if element.nil:
            value = None
        elif element.fields:
            if text:
                element.fields["#text"] = text
            value = element.fields
        else:
            value = text or None
        fields = self._open[-1].fields if self._open else self.root
        if element.name not in fields:
            fields[element.name] = value
            return
        before = fields[element.name]
        if isinstance(before, list):
            before.append(value)
        else:
            fields[element.name] = [before, value]

    def refuse(self, *_: object) -> None:
        raise NotXmlError("a document type is refused")


def _local(name: str) -> str:
    return name.rpartition(" ")[2]


def parse(data: bytes, charset: str | None = None) -> Json:
    """The tree of a document: an element without children is its text, or None; others are objects.

    Attributes are fields whose names begin with `@`; text beside them is `#text`.

    Args:
        data: the document.
        charset: as HTTP tells it, before what the document says (RFC 7303, 3.2).

    Raises:
        NotXmlError: it is none, or beyond the bounds.
    """
    declared = _DECLARED.match(data)
    name = (charset or (declared[1].decode() if declared else "")).lower()
    encoding = None if charset is None else charset
    if name in _GB:
        try:
            data, encoding = data.decode("gb18030").encode(), "utf-8"
        except UnicodeDecodeError as error:
            raise NotXmlError("not in the encoding that it names") from error
    tree = _Tree()
    try:
        parser = expat.ParserCreate(encoding, " ")
        parser.buffer_text = True
        parser.StartElementHandler = tree.start
        parser.EndElementHandler = tree.end
        parser.CharacterDataHandler = tree.text
        parser.StartDoctypeDeclHandler = tree.refuse
        parser.EntityDeclHandler = tree.refuse
        parser.Parse(data, True)
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise NotXmlError("not well-formed") from error
    return tree.root
