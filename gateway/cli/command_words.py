"""What the command line library says, in Chinese: wrong usage, the frame of a help page, prompts.

Owns: the texts, and putting them where the library translates. Refuses: saying anything of our own; that stands where
it is used, both languages side by side.
"""

from __future__ import annotations

import importlib
from typing import Final

from gateway.cli import help_columns
from gateway.cli.language import chinese

MODULES: Final = (
    *("click.core", "click.decorators", "click.exceptions", "click.formatting", "click.parser", "click.termui"),
    "click.types",
)
"""Where the library translates: by a function of this name in each module."""

CHINESE: Final = {
    "Aborted!": "已中止。",
    "Arguments take exactly one parameter declaration, got {length}: {decls}.": "参数声明有误：{decls}",
    "(Did you mean one of: {possibilities}?)": "（是否为其中之一：{possibilities}？）",
    "(dynamic)": "（自动）",
    "Choose from:\n\t{choices}": "可选：\n\t{choices}",
    "Choice({choices})": "可选（{choices}）",
    "Commands": "命令",
    "Confirm the action without prompting.": "不再询问，直接执行。",
    "Could not open file {filename!r}: {message}": "无法打开文件 {filename!r}：{message}",
    "Did you mean {possibility}?": "是否为 {possibility}？",
    "Do you want to continue?": "是否继续？",
    "Error: The two entered values do not match.": "错误：两次输入不一致。",
    "Error: invalid input": "错误：输入无效",
    "Error: {message}": "错误：{message}",
    "Got unexpected extra argument ({args})": "多余的参数（{args}）",
    "Got unexpected extra arguments ({args})": "多余的参数（{args}）",
    "Invalid value for {param_hint}: {message}": "{param_hint} 的值无效：{message}",
    "Invalid value: {message}": "值无效：{message}",
    "Missing argument": "缺少参数",
    "Missing command.": "缺少命令。",
    "Missing option": "缺少选项",
    "Missing parameter": "缺少参数",
    "Missing parameter: {param_name}": "缺少参数：{param_name}",
    "Missing {param_type}": "缺少 {param_type}",
    "No such command {name!r}.": "没有命令 {name!r}。",
    "No such option {name!r}.": "没有选项 {name!r}。",
    "Option {name!r} does not take a value.": "选项 {name!r} 不带值。",
    "Option {name!r} requires an argument.": "选项 {name!r} 须带值。",
    "Option {name!r} requires {nargs} arguments.": "选项 {name!r} 须带 {nargs} 个值。",
    "Argument {name!r} takes {nargs} values.": "参数 {name!r} 须有 {nargs} 个值。",
    "Options": "选项",
    "Positional arguments": "参数",
    "Press any key to continue...": "按任意键继续……",
    "Repeat for confirmation": "请再次输入以确认",
    "Show the version and exit.": "显示版本。",
    "Show this message and exit.": "显示本说明。",
    "Takes {nargs} values but 1 was given.": "应有 {nargs} 个值，只给出 1 个。",
    "Takes {nargs} values but {len} were given.": "应有 {nargs} 个值，给出了 {len} 个。",
    "Try '{command} {option}' for help.": "用法说明：{command} {option}",
    "Usage:": "用法：",
    "Value must be an iterable.": "值应为列表。",
    "default: {default}": "默认：{default}",
    "deprecated": "已停用",
    "directory": "目录",
    "env var: {var}": "环境变量：{var}",
    "file": "文件",
    "path": "路径",
    "required": "必填",
    "unknown error": "未知错误",
    "{len_type} values are required, but {len_value} was given.": "应有 {len_type} 个值，给出了 {len_value} 个。",
    "{len_type} values are required, but {len_value} were given.": "应有 {len_type} 个值，给出了 {len_value} 个。",
    "{name} {filename!r} does not exist.": "{name} {filename!r} 不存在。",
    "{name} {filename!r} is a directory.": "{name} {filename!r} 是目录。",
    "{name} {filename!r} is a file.": "{name} {filename!r} 是文件。",
    "{name} {filename!r} is not executable.": "{name} {filename!r} 不可执行。",
    "{name} {filename!r} is not readable.": "{name} {filename!r} 不可读取。",
    "{name} {filename!r} is not writable.": "{name} {filename!r} 不可写入。",
    "{value!r} does not match the format {format}.": "{value!r} 不符合格式 {format}。",
    "{value!r} does not match the formats {formats}.": "{value!r} 不符合以下任一格式：{formats}。",
    "{value!r} is not a valid UUID.": "{value!r} 不是有效的 UUID。",
    "{value!r} is not a valid boolean. Recognized values: {states}": "{value!r} 不是是否值，可用：{states}",
    "{value!r} is not a valid {number_type}.": "{value!r} 不是有效的数值。",
    "{value!r} is not one of {choices}.": "{value!r} 不在可选值之中：{choices}。",
    "{value!r} is not {choice}.": "{value!r} 应为 {choice}。",
    "{value} is not in the range {range}.": "{value} 不在范围 {range} 之内。",
    "%(prog)s, version %(version)s": "%(prog)s 版本 %(version)s",
}

FOR_PROGRAMMERS: Final = frozenset(
    {
        "Boolean option {decl!r} cannot use the same flag for true/false.",
        "Could not determine name for option with declarations {decls!r}",
        "DeprecationWarning: The command {name!r} is deprecated.{extra_message}",
        "DeprecationWarning: The {param_type} {name!r} is deprecated.{extra_message}",
        "Invalid start character for option ({option})",
        "Name '{name}' defined twice",
        "No options defined but a name was passed ({name}). Did you mean to declare an argument instead? "
        "Did you mean to pass '--{name}'?",
        "Unknown color {colour!r}",
    }
)
"""What only a mistake in our own commands brings about."""


def speak() -> None:
    """Have the library say everything in Chinese where the user reads Chinese.

    It translates by gettext, from a file in a folder of the system and by the locale alone; ours follows WUGAN_LANG as
    well, and needs no file.
    """
    if not chinese():
        return
    for name in MODULES:
        module = importlib.import_module(name)
        for function, put in (("_", _one), ("ngettext", _some)):
            if hasattr(module, function):
                setattr(module, function, put)
    help_columns.by_columns()


def _one(text: str) -> str:
    return CHINESE.get(text, text)


def _some(one: str, more: str, count: int) -> str:
    text = one if count == 1 else more
    return CHINESE.get(text, text)
