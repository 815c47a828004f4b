"""From a file to a manifest, with every error telling file, line, setting and what to write instead, in two languages.

Owns: the translation of validation errors. Refuses: echoing what was written: a setting may hold a secret.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from adapters.errors import ManifestError
from adapters.manifest.document import Document, Place
from adapters.manifest.model import ApiManifest, FileManifest, Manifest, TableManifest
from adapters.manifest.remote import RemoteManifest
from adapters.manifest.vocabulary import Settings, closest

_KINDS: dict[str, type[TableManifest] | type[ApiManifest] | type[FileManifest] | type[RemoteManifest]] = {
    "table": TableManifest,
    "api": ApiManifest,
    "file": FileManifest,
    "remote": RemoteManifest,
}

_TEXTS = {
    "missing": ("is missing; add it", "缺少该设置项，请补充"),
    "int_parsing": ("is a whole number", "应为整数"),
    "int_type": ("is a whole number", "应为整数"),
    "float_parsing": ("is a number", "应为数字"),
    "float_type": ("is a number", "应为数字"),
    "bool_parsing": ("is true or false", "应为 true 或 false"),
    "bool_type": ("is true or false", "应为 true 或 false"),
    "string_type": ("is text", "应为文本"),
    "string_too_short": ("is empty", "不能为空"),
    "tuple_type": ("is a list", "应为列表"),
    "dict_type": ("is a mapping", "应为“键: 值”"),
    "model_type": ("is a mapping of settings", "应为若干“设置项: 值”"),
}


def load_manifest(path: Path) -> Manifest:
    """The manifest in a file.

    Raises:
        ManifestError: the first thing that is wrong; `load_manifest_fully` tells all.
    """
    manifest, errors, _ = load_manifest_fully(path)
    if manifest is None or errors:
        raise errors[0]
    return manifest


def load_manifest_fully(path: Path) -> tuple[Manifest | None, list[ManifestError], list[ManifestError]]:
    """The manifest in a file if it is sound, everything that is wrong with it, and warnings; in order of lines."""
    try:
        return parse_manifest(Document.read(path))
    except ManifestError as error:
        return None, [error], []


def manifest_of(data: bytes, file: str) -> Manifest:
    """The manifest in a file's bytes; `file` is its name for messages, from whose folder relative paths count.

    Raises:
        ManifestError: the first thing that is wrong.
    """
    manifest, errors, _ = parse_manifest(Document.parse(data, file))
    if manifest is None or errors:
        raise errors[0]
    return manifest


def parse_manifest(document: Document) -> tuple[Manifest | None, list[ManifestError], list[ManifestError]]:
    """As `load_manifest_fully`, of a document already read."""
    kind = document.values.get("kind")
    model = _KINDS.get(kind) if isinstance(kind, str) else None
    if model is None:
        missing = ("is missing; write one of", "缺少，请写") if kind is None else ("is one of", "应为以下之一")
        return (
            None,
            [document.error(("kind",), f"{missing[0]}: {', '.join(_KINDS)}", f"{missing[1]}：{'、'.join(_KINDS)}")],
            [],
        )
    try:
        manifest = model.model_validate(document.values)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        # An entry that is wrong also makes its list too short: only the entry is told.
        details = [one for one in details if not (one["type"] == "too_short" and _told_inside(one, details))]
        return None, sorted((_translate(document, model, one) for one in details), key=lambda e: e.line), []
    manifest.attach(document)
    errors, warnings = manifest.problems()
    return (None if errors else manifest), errors, warnings


def _told_inside(error: ErrorDetails, others: list[ErrorDetails]) -> bool:
    place = error["loc"]
    return any(len(other["loc"]) > len(place) and other["loc"][: len(place)] == place for other in others)


def _translate(document: Document, model: type[Settings], error: ErrorDetails) -> ManifestError:
    place: Place = tuple(part for part in error["loc"] if part != "[key]")
    kind, context = error["type"], error.get("ctx", {})
    if kind == "wugan":
        return document.error(place, str(context["en"]), str(context["zh"]))
    if kind == "extra_forbidden":
        near = closest(str(place[-1]), _siblings(model, place))
        return document.error(
            place,
            "no such setting" + (f"; did you mean {near}?" if near else "; see docs/adapters/manifest.md"),
            "没有此设置项" + (f"，是否应为 {near}？" if near else "，请参照 docs/adapters/manifest.md"),
        )
    if kind == "literal_error":
        expected = str(context.get("expected", ""))
        return document.error(place, f"is one of: {expected}", f"应为以下之一：{expected.replace(' or ', '、')}")
    bounds = {
        "greater_than": ("more than", "大于", "gt"),
        "greater_than_equal": ("at least", "不小于", "ge"),
        "less_than": ("less than", "小于", "lt"),
        "less_than_equal": ("at most", "不大于", "le"),
        "string_too_long": ("no longer than", "长度不超过", "max_length"),
        "too_long": ("of entries at most", "条数不超过", "max_length"),
        "too_short": ("of entries at least", "条数不少于", "min_length"),
    }
    if kind in bounds:
        en, zh, name = bounds[kind]
        return document.error(place, f"is {en} {context.get(name)}", f"应{zh} {context.get(name)}")
    if kind == "string_pattern_mismatch":
        pattern = context.get("pattern")
        return document.error(place, f"does not have the form {pattern}", f"格式应符合 {pattern}")
    en, zh = _TEXTS.get(kind, ("is wrong; see docs/adapters/manifest.md", "有误，请参照 docs/adapters/manifest.md"))
    return document.error(place, en, zh)


def _siblings(model: type[Settings], place: Place) -> list[str]:
    """Settings that may stand where the unknown one stands."""
    current: type[Settings] = model
    for part in place[:-1]:
        if isinstance(part, int):
            continue
        field = next((f for name, f in current.model_fields.items() if part in (name, f.alias)), None)
        inside = _settings_in(field.annotation) if field else None
        if inside is None:
            return []
        current = inside
    return [field.alias or name for name, field in current.model_fields.items()]


def _settings_in(annotation: object) -> type[Settings] | None:
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = _settings_in(inner)
        if found is not None:
            return found
    return None
