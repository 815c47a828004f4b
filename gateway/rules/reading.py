"""Reading a YAML document strictly: typed values, their paths, and errors that name both.

Owns: the refusal of unknown, missing, repeated, mistyped and out-of-range settings. Refuses: files, and meaning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from gateway.errors import ConfigError

MAX_BYTES = 1 << 20


# libyaml where the wheel has it: ten times as fast, which is felt at every start.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _load(text: str) -> object:
    """Safe YAML in which a key may stand only once in its mapping."""
    loader = _LOADER(text)
    try:
        node = loader.get_single_node()
        _refuse_repetitions(node, set())
        return None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()


def _refuse_repetitions(node: yaml.Node | None, seen: set[int]) -> None:
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for part in node.value:
            _refuse_repetitions(part, seen)
    elif isinstance(node, yaml.MappingNode):
        keys: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.value in keys:
                raise yaml.MarkedYAMLError(problem="a setting stands here twice", problem_mark=key.start_mark)
            keys.add(key.value)
            _refuse_repetitions(value, seen)


class Section:
    """One mapping of the document. Every `take_…` removes a setting; `close` refuses what is left."""

    def __init__(self, values: Mapping[str, object], path: str, origin: str) -> None:
        self._values = dict(values)
        self.path = path
        self._origin = origin

    @staticmethod
    def parse(data: bytes, origin: str) -> Section:
        """The document as one section.

        Raises:
            ConfigError: too large, not UTF-8, not YAML, or not a mapping.
        """
        if len(data) > MAX_BYTES:
            raise ConfigError(
                f"{origin}: {len(data)} bytes is too large for a rule file (at most {MAX_BYTES})",
                f"{origin}：规则文件过大（{len(data)} 字节，上限 {MAX_BYTES} 字节）",
            )
        try:
            values = _load(data.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise ConfigError(f"{origin}: not UTF-8; save it as UTF-8", f"{origin}：不是 UTF-8 编码") from error
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            mark = getattr(error, "problem_mark", None)
            where = f"{origin}:{mark.line + 1}" if mark is not None else origin
            what = getattr(error, "problem", None) or "not valid YAML"
            raise ConfigError(f"{where}: {what}", f"{where}：不是有效的 YAML") from error
        root = Section({}, "", origin)
        return Section(root.mapping(values, ""), "", origin)

    def __iter__(self) -> Iterator[str]:
        """Names of the settings not taken yet."""
        return iter(list(self._values))

    def wrong(self, name: str, en: str, zh: str) -> ConfigError:
        """The error for a setting of this section, to be raised."""
        path = self.at(name)
        return ConfigError(f"{self._origin}: {path}: {en}", f"{self._origin}：{path}：{zh}", field=path)

    def at(self, name: str) -> str:
        """Path of a setting of this section."""
        return f"{self.path}.{name}" if self.path and name else self.path or name

    def mapping(self, value: object, name: str) -> dict[str, object]:
        """`value` as a mapping with text keys."""
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise self.wrong(name, "write settings as `name: value`", "应为“名称: 值”的形式")
        return value

    def _take(self, name: str) -> object:
        if name not in self._values:
            raise self.wrong(name, "is missing", "缺少该设置")
        return self._values.pop(name)

    def section(self, name: str) -> Section:
        """A subsection."""
        value = self._take(name)
        return Section(self.mapping(value, name), self.at(name), self._origin)

    def sections(self, name: str) -> list[Section]:
        """A list of subsections, at least one."""
        value = self._take(name)
        if not isinstance(value, list) or not value:
            raise self.wrong(name, "write a list with at least one entry", "应为至少含一项的列表")
        return [
            Section(self.mapping(part, f"{name}[{i}]"), self.at(f"{name}[{i}]"), self._origin)
            for i, part in enumerate(value)
        ]

    def integer(self, name: str, low: int, high: int, default: int | None = None) -> int:
        """A whole number within bounds."""
        if default is not None and name not in self._values:
            return default
        value = self._take(name)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.wrong(name, f"write a whole number from {low} to {high}", f"应为 {low} 至 {high} 的整数")
        return value

    def boolean(self, name: str, default: bool | None = None) -> bool:
        """True or false."""
        if default is not None and name not in self._values:
            return default
        value = self._take(name)
        if not isinstance(value, bool):
            raise self.wrong(name, "write true or false", "应为 true 或 false")
        return value

    def text(self, name: str, longest: int = 500) -> str:
        """Text, not empty."""
        value = self._take(name)
        if not isinstance(value, str) or not value.strip() or len(value) > longest:
            raise self.wrong(name, f"write text of 1 to {longest} characters", f"应为 1 至 {longest} 个字符的文本")
        return value

    def choice(self, name: str, choices: Mapping[str, int], default: int | None = None) -> int:
        """The number of one of several names."""
        if default is not None and name not in self._values:
            return default
        return self.one_of(self._take(name), name, choices)

    def choices(self, name: str, choices: Mapping[str, int]) -> tuple[int, ...]:
        """The numbers of a list of names, which may be empty."""
        value = self._take(name)
        if not isinstance(value, list):
            raise self.wrong(name, "write a list of names", "应为名称列表")
        return tuple(self.one_of(part, name, choices) for part in value)

    def one_of(self, value: object, name: str, choices: Mapping[str, int]) -> int:
        """The number of `value` among `choices`."""
        if not isinstance(value, str) or value not in choices:
            known = ", ".join(choices)
            raise self.wrong(name, f"write one of {known}", f"应为下列之一：{known}")
        return choices[value]

    def close(self) -> None:
        """Refuse settings that nobody took."""
        for name in self._values:
            raise self.wrong(name, "no such setting; check the spelling", "没有该设置，请检查拼写")
