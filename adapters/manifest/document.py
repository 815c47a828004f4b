"""Reading a manifest's YAML into plain values that remember on which line they stand.

Owns: the bounds of what is read (size, depth, nodes), the refusal of anchors, tags and duplicate keys, and the line of
every setting. Refuses: guessing types. Every scalar stays the text that was written, so a code `01` stays "01" and `no`
stays "no"; the model of the setting decides what it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, TypeAlias, cast

import yaml

from adapters.errors import ManifestError
from certs.system_words import cause

MAX_BYTES = 256 * 1024
MAX_DEPTH = 24
MAX_NODES = 20_000
_TAG = "tag:yaml.org,2002:"
_KNOWN_TAGS = {_TAG + name for name in ("str", "int", "float", "bool", "null", "timestamp", "map", "seq", "merge")}

Place: TypeAlias = tuple[str | int, ...]
"""Keys and list positions from the top of the document down to a setting."""


class Plain(str):
    """An unquoted scalar: text like any other, that also knows what YAML would have made of it."""

    tag: str

    __slots__ = ("tag",)

    def typed(self) -> int | float | bool | str:
        """The value as YAML reads it; what is no number and no truth value stays text."""
        try:
            if self.tag == _TAG + "int":
                return int(self, 0) if not self.lstrip("+-").startswith("0") else int(self, 10)
            if self.tag == _TAG + "float":
                return float(self)
        except ValueError:
            return str(self)
        if self.tag == _TAG + "bool":
            return self.lower() in {"true", "yes", "on"}
        return str(self)


class _RefusedError(Exception):
    """The text is YAML, but not of the kind that is read here."""

    def __init__(self, event: yaml.Event, en: str, zh: str) -> None:
        super().__init__(en)
        self.line = event.start_mark.line + 1 if event.start_mark else 1
        self.en = en
        self.zh = zh


_Parser: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Reads events, by the library in C where there is one: a tenth of the time."""
_RESOLVER: Final = yaml.resolver.Resolver()


class _Composer:
    """Nodes from a text's events, within bounds and without anchors.

    Args:
        text: YAML.

    Raises:
        _RefusedError, yaml.YAMLError: what it is not.
    """

    def __init__(self, text: str) -> None:
        self._events = iter(yaml.parse(text, Loader=_Parser))
        self._nodes = 0

    def only(self) -> yaml.Node | None:
        """The node of the one document there is; None where there is none."""
        next(self._events)
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        node = self._node(next(self._events), 0)
        next(self._events)
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            raise _RefusedError(event, "more than one document; write one", "含多个文档，只能有一个")
        return node

    def _node(self, event: Any, depth: int) -> yaml.Node:
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise _RefusedError(event, "YAML anchors and aliases are not used here", "清单中不使用 YAML 锚点和别名")
        self._nodes += 1
        if depth >= MAX_DEPTH or self._nodes > MAX_NODES:
            raise _RefusedError(event, "nested too deeply, or too many settings", "嵌套过深或设置项过多")
        # Those of the parser in C, and to the nodes as good as those of the other.
        start, end = event.start_mark, event.end_mark
        tag: str | None
        if isinstance(event, yaml.ScalarEvent):
            tag = event.tag
            if tag is None or tag == "!":
                tag = _RESOLVER.resolve(yaml.ScalarNode, event.value, event.implicit)  # type: ignore[no-untyped-call]
            return yaml.ScalarNode(tag, event.value, start, end, event.style or None)  # in C "" is plain
        if isinstance(event, yaml.SequenceStartEvent):
            items = []
            while not isinstance(inside := next(self._events), yaml.SequenceEndEvent):
                items.append(self._node(inside, depth + 1))
            return yaml.SequenceNode(event.tag or _TAG + "seq", items, start, end)
        pairs = []
        while not isinstance(inside := next(self._events), yaml.MappingEndEvent):
            key = self._node(inside, depth + 1)
            pairs.append((key, self._node(next(self._events), depth + 1)))
        return yaml.MappingNode(event.tag or _TAG + "map", pairs, start, end)


class Document:
    """The values of one YAML file, and where each stands.

    Args:
        text: the file's text.
        file: its name for messages.

    Raises:
        ManifestError: not YAML, not a mapping, out of bounds, an anchor, a foreign tag or a key written twice.
    """

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self._lines: dict[Place, int] = {}
        try:
            node = _Composer(text).only()
        except _RefusedError as error:
            raise ManifestError(error.en, error.zh, file=file, line=error.line) from error
        except yaml.MarkedYAMLError as error:
            raise self._not_yaml(error) from error
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise ManifestError(
                "this is not YAML text; write the manifest as UTF-8 YAML",
                "不是 YAML 文本，请以 UTF-8 编码的 YAML 书写清单",
                file=file,
                line=1,
            ) from error
        if not isinstance(node, yaml.MappingNode):
            raise ManifestError(
                "a manifest is a mapping of settings; see docs/adapters/manifest.md",
                "清单应为若干“设置项: 值”，请参照 docs/adapters/manifest.md",
                file=file,
                line=1,
            )
        self.values = cast("dict[str, object]", self._value(node, ()))

    @classmethod
    def read(cls, path: Path) -> Document:
        """The document of a file.

        Raises:
            ManifestError: the file cannot be read, is larger than `MAX_BYTES`, or is wrong as in the class.
        """
        try:
            with path.open("rb") as stream:
                data = stream.read(MAX_BYTES + 1)
        except OSError as error:
            raise ManifestError(
                f"the manifest cannot be read: {cause(error).en}",
                f"无法读取清单文件：{cause(error).zh}",
                file=str(path),
            ) from error
        return cls.parse(data, str(path))

    @classmethod
    def parse(cls, data: bytes, file: str) -> Document:
        """The document of a file's bytes.

        Raises:
            ManifestError: larger than `MAX_BYTES`, not UTF-8, or wrong as in the class.
        """
        if len(data) > MAX_BYTES:
            raise ManifestError(
                f"the manifest is larger than {MAX_BYTES // 1024} KiB",
                f"清单文件超过 {MAX_BYTES // 1024} KiB",
                file=file,
            )
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise ManifestError(
                "the manifest is not UTF-8; save it as UTF-8",
                "清单文件不是 UTF-8 编码，请另存为 UTF-8",
                file=file,
                line=line,
            ) from error
        return cls(text, file)

    def line(self, place: Place) -> int:
        """The line of a setting, or of the nearest setting around it that is there."""
        while place and place not in self._lines:
            place = place[:-1]
        return self._lines.get(place, 1)

    def error(self, place: Place, en: str, zh: str) -> ManifestError:
        """An error that names the file, the line and the setting."""
        setting = setting_name(place)
        prefix = f"{setting}: " if setting else ""
        return ManifestError(prefix + en, prefix + zh, file=self.file, line=self.line(place), setting=setting)

    def _value(self, node: yaml.Node, place: Place) -> object:
        self._lines.setdefault(place, node.start_mark.line + 1)
        if node.tag not in _KNOWN_TAGS:
            raise self.error(place, "YAML tags are not used in manifests; remove it", "清单中不使用 YAML 标签，请删除")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*place, i)) for i, item in enumerate(node.value)]
        if node.tag == _TAG + "null":
            return None
        if isinstance(node, yaml.ScalarNode) and node.style is None:
            plain = Plain(node.value)
            plain.tag = node.tag
            return plain
        return str(node.value)

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, object]:
        values: dict[str, object] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self.error(place, "a setting's name is plain text", "设置项名称应为普通文本")
            name = str(key.value)
            inside = (*place, name)
            if name in values:
                self._lines[inside] = key.start_mark.line + 1
                raise self.error(inside, "written twice; keep one", "重复书写，请只保留一处")
            self._lines[inside] = key.start_mark.line + 1
            values[name] = self._value(value, inside)
        return values

    def _not_yaml(self, error: yaml.MarkedYAMLError) -> ManifestError:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        # The parser's own words quote the text around the fault, which may be a secret: only the place is told.
        return ManifestError(
            "not valid YAML here; check indentation, quotes and colons",
            "此处不是有效的 YAML，请检查缩进、引号和冒号",
            file=self.file,
            line=line,
        )


def setting_name(place: Place) -> str:
    """A place as a person writes it: records[2].observed_on.column."""
    name = ""
    for part in place:
        name += f"[{part}]" if isinstance(part, int) else f".{part}" if name else part
    return name
