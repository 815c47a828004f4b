"""What is wrong with a setting, in both languages.

Owns: the texts for what the library of settings finds (pydantic names its findings by type), and the Chinese for what
our own checks say. Refuses: showing what stood in the file: it may be a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from certs.errors import CertsError

_TEXTS: Final = {
    "missing": ("is missing", "缺少此项"),
    "extra_forbidden": ("no such setting", "没有此设置项"),
    "string_type": ("is a text, in quotes", "应为文本，请加引号"),
    "int_type": ("is a whole number", "应为整数"),
    "int_parsing": ("is a whole number", "应为整数"),
    "int_from_float": ("is a whole number", "应为整数"),
    "float_type": ("is a number", "应为数值"),
    "float_parsing": ("is a number", "应为数值"),
    "finite_number": ("is a finite number", "应为有限数值"),
    "bool_type": ("is true or false", "应为 true 或 false"),
    "bool_parsing": ("is true or false", "应为 true 或 false"),
    "path_type": ("is a path, in quotes", "应为路径，请加引号"),
    "tuple_type": ("is a list", "应为列表"),
    "model_type": ("is a section with settings of its own", "应为一节设置"),
    "dict_type": ("is a section with settings of its own", "应为一节设置"),
    "literal_error": ("is one of: {expected}", "应为以下之一：{expected}"),
    "greater_than": ("is more than {gt}", "应大于 {gt}"),
    "greater_than_equal": ("is at least {ge}", "应不小于 {ge}"),
    "less_than": ("is less than {lt}", "应小于 {lt}"),
    "less_than_equal": ("is at most {le}", "应不大于 {le}"),
    "string_too_long": ("has at most {max_length} characters", "不超过 {max_length} 个字符"),
    "string_too_short": ("has at least {min_length} characters", "不少于 {min_length} 个字符"),
    "string_pattern_mismatch": ("has the form {pattern}", "格式应符合 {pattern}"),
    "too_long": ("has at most {max_length} entries", "不超过 {max_length} 条"),
    "too_short": ("has at least {min_length} entries", "不少于 {min_length} 条"),
}

OUR_OWN: Final = {
    "unknown ": '未知的词，请填写 "*" 或约定的词',
    'write "host:port"': '格式应为 "主机:端口"，例如 "127.0.0.1:7443" 或 "[::1]:7443"，端口 0 表示任选空闲端口',
    "not a unified social credit code": "不是有效的统一社会信用代码（GB 32100）：应为 18 位大写字符且校验码正确",
    'write "https://host:port", or with a path': '格式应为 "https://主机:端口"，可带路径',
    'write "https://host:port", or "http://127.0.0.1:port"': '格式应为 "https://主机:端口"，本机收集器可用 http',
    "http is for a collector on this machine only": "http 仅限本机收集器，请使用 https",
}
"""The Chinese for a text of our own checks, by how the text begins (gateway/sections/values.py)."""


def told(kind: str, message: str, context: Mapping[str, Any]) -> tuple[str, str]:
    """What is wrong, in English and Chinese.

    Args:
        kind: the type of the finding.
        message: the library's own English text, for what has no text here.
        context: what the finding is about: bounds, permitted words, and the error of a check of ours.
    """
    if kind in _TEXTS:
        en, zh = _TEXTS[kind]
        return en.format_map(context), zh.format_map({**context, "expected": _listed(context)})
    came_of = getattr(context.get("error"), "__cause__", None)
    if isinstance(came_of, CertsError):  # which says it in both languages
        return came_of.en, came_of.zh
    text = message.removeprefix("Value error, ")
    return text, next((zh for start, zh in OUR_OWN.items() if text.startswith(start)), f"有误（{text}）")


def _listed(context: Mapping[str, Any]) -> str:
    """Permitted words, as a list in Chinese."""
    return str(context.get("expected", "")).replace(", ", "、").replace(" or ", "、")
