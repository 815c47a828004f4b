"""The help of every command, in both languages: there is one, it says what it should, and it names the exit codes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import unicodedata

import pytest

WALK = """
import json, click
from click.testing import CliRunner
from gateway.cli import main

def walk(command, path):
    outcome = CliRunner().invoke(main, [*path, "--help"])
    told[" ".join(path)] = [outcome.exit_code, outcome.output]
    options[" ".join(path)] = [p.help or "" for p in command.params if isinstance(p, click.Option) and p.name != "help"]
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            walk(command.get_command(context, name), [*path, name])

told, options = {}, {}
walk(main, [])
print(json.dumps([told, options]))
"""
CHINESE = re.compile(r"[\u4e00-\u9fff]")
COMMANDS = {
    "",
    "check",
    "roster",
    "roster decide",
    "roster decisions",
    "notices",
    "notices subscribe",
    "notices unsubscribe",
    "notices list",
    "notices watch",
    "gateway",
    "gateway run",
    "gateway health",
    "certs",
    "certs status",
    "certs rotate",
    "certs rollback",
    "certs enrol",
    "access",
    "access grant",
    "access approve",
    "access withdraw",
    "access list",
    "access explain",
    "access protect",
    "access unprotect",
    "access alarms",
    "access clear",
    "access people",
    "access people key",
    "access people found",
    "access people add",
    "access people approve",
    "access people remove",
    "access people list",
    "audit",
    "audit list",
    "audit show",
    "audit verify",
    "audit export",
    "adapter",
    "adapter check",
    "adapter new",
    "adapter register",
    "adapter approve",
    "adapter promote",
    "adapter suspend",
    "adapter resume",
    "adapter remove",
    "adapter list",
    "adapter show",
    "adapter self",
    "adapter self register",
    "adapter self list",
    "adapter self suspend",
    "adapter self resume",
    "adapter self withdraw",
    "adapter self push",
    "authority",
    "authority init",
    "authority member",
    "authority member add",
    "authority member remove",
    "authority member list",
    "authority publish",
    "authority revoke",
    "authority run",
    "authority root",
    "authority root rotate",
    "demo",
    "demo up",
    "demo status",
    "demo down",
    "demo score",
    "demo show",
}
WITH_CODES = {
    *("", "check", "gateway run", "adapter check", "demo status", "demo score"),
    *("certs status", "certs rotate", "certs rollback", "certs enrol"),
    *("access", "access explain", "audit"),
}
Walk = tuple[dict[str, tuple[int, str]], dict[str, list[str]]]


def walk(language: str) -> Walk:
    """Every command's exit code and help, and the help of its options; the language is settled when a command loads."""
    environment = {**os.environ, "WUGAN_LANG": language, "PYTHONIOENCODING": "utf-8", "COLUMNS": "80"}
    ran = subprocess.run(
        [sys.executable, "-c", WALK], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert ran.returncode == 0, ran.stderr
    told, options = json.loads(ran.stdout)
    return told, options


@pytest.fixture(scope="module")
def english() -> Walk:
    return walk("en")


@pytest.fixture(scope="module")
def chinese() -> Walk:
    return walk("zh")


def test_the_tree_of_commands_is_the_same_in_both_languages(english: Walk, chinese: Walk) -> None:
    assert set(chinese[0]) == set(english[0])
    assert set(english[0]) >= COMMANDS


def test_every_help_is_shown_in_english_without_a_chinese_word(english: Walk) -> None:
    for command, (code, text) in english[0].items():
        assert code == 0, command
        assert text.startswith("Usage:"), command
        assert not CHINESE.search(text), command


def test_every_help_is_shown_in_chinese(chinese: Walk) -> None:
    for command, (code, text) in chinese[0].items():
        assert code == 0, command
        assert CHINESE.search(text), f"wugan {command} --help says nothing in Chinese"
        assert not re.search("Usage:|Options:|Commands:|Show this|required|default:", text), command


def test_every_option_is_explained_in_both_languages(english: Walk, chinese: Walk) -> None:
    file_names = {"gateway.toml", "adapter.toml"}
    for command, texts in chinese[1].items():
        for text in texts:
            assert text in file_names or CHINESE.search(text), f"wugan {command}: an option says only {text!r}"
    for command, texts in english[1].items():
        assert all(texts), f"wugan {command}: an option without help"


@pytest.mark.parametrize("command", sorted(WITH_CODES))
def test_exit_codes_are_documented_where_a_script_needs_them(english: Walk, chinese: Walk, command: str) -> None:
    assert re.search(r"exit code", english[0][command][1], re.IGNORECASE)
    assert "退出码" in chinese[0][command][1]


def columns(text: str) -> int:
    """How many columns of a terminal a text takes: a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def test_every_command_in_a_chinese_list_is_told_of_by_a_whole_sentence(chinese: Walk) -> None:
    listed = 0
    for command, (_, text) in chinese[0].items():
        _, found, rest = text.partition("\n命令:\n")
        told = re.findall(r"^  [a-z-]+ +(\S.*)$", rest, re.MULTILINE) if found else []
        assert all(CHINESE.search(line) for line in told), f"wugan {command} --help: {told}"
        assert "..." not in rest, f"wugan {command} --help cuts a text off"
        listed += len(told)
    assert listed > 100


def test_no_line_of_chinese_help_is_wider_than_the_terminal(chinese: Walk) -> None:
    for command, (_, text) in chinese[0].items():
        for line in text.splitlines():
            assert columns(line) <= 80 or not CHINESE.search(line), f"wugan {command} --help: {line!r}"


def test_no_line_of_chinese_help_begins_with_what_ends_a_clause(chinese: Walk) -> None:
    for command, (_, text) in chinese[0].items():
        for line in text.splitlines():
            assert not line.lstrip().startswith(tuple("，。；：、）”")), f"wugan {command} --help: {line!r}"


def test_the_texts_of_chinese_options_stand_under_each_other(chinese: Walk) -> None:
    for command in ("check", "notices watch", "certs enrol", "outbox drop"):
        begin = {
            columns(found[1])
            for found in re.finditer(
                r"^(  --[a-z-]+ (?:[A-Z文件目录路径]\S*)?(?: RANGE)? +)\S", chinese[0][command][1], re.M
            )
        }
        assert len(begin) == 1, f"wugan {command} --help: the texts begin in columns {begin}"


def test_what_is_one_thing_has_one_name_in_chinese(chinese: Walk) -> None:
    """As in docs/glossary.md: enrolling is 登记, harvesting 批量套取, a case reference 业务编号."""
    told = "\n".join(
        [text for _, text in chinese[0].values()] + [text for each in chinese[1].values() for text in each]
    )
    assert not re.search("注册|案号|异常批量|签发机构", told)
