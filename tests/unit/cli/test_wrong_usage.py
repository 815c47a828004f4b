"""Wrong usage is told in the user's language: what the command line library says as well, not only what we do."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from gateway.cli import command_words

CHINESE = re.compile(r"[\u4e00-\u9fff]")
CHECK = ["check", "--id", "x", "--name", "x"]
ASK = [*CHECK, "--benefit", "work_injury", "--purpose", "audit"]
SOURCES = Path(click.__file__).parent

MAKE = """
import json, sys
from click.testing import CliRunner
from gateway.cli import main
made = [CliRunner().invoke(main, line) for line in json.loads(sys.argv[1])]
print(json.dumps([[each.exit_code, each.output] for each in made]))
"""
MISTAKES = {
    "no such command": ["nonsense"],
    "no such option": ["gateway", "run", "--nonsense"],
    "an option is missing": ["gateway", "run"],
    "an option without its value": ["gateway", "run", "--config"],
    "a file is missing": ["gateway", "run", "--config", "/no/such/file"],
    "a folder instead of a file": ["gateway", "run", "--config", "/"],
    "a word that is none": [*CHECK, "--benefit", "nonsense"],
    "out of range": [*CHECK, "--region", "5"],
    "not a number": [*CHECK, "--region", "five"],
    "not a day": ["access", "grant", "--until", "tomorrow"],
    "too many arguments": ["gateway", "run", "one", "two"],
    "an argument is missing": ["late", "show"],
    "an option without the one it goes with": [*ASK, "--config", __file__, "--leave-only"],
}

NO_FILES = {
    "a folder where none can be": (["demo", "up", "--dir", "/proc/here"], "/proc/here"),
    "below a file": (["demo", "show", "--dir", f"{__file__}/here"], f"{__file__}/here"),
}


def python(language: str, *arguments: str | bytes | Path) -> subprocess.CompletedProcess[str]:
    """What a Python of its own says in a language."""
    environment = {**os.environ, "WUGAN_LANG": language, "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


def refused(language: str, *arguments: str | bytes | Path) -> subprocess.CompletedProcess[str]:
    """A command that is refused as wrong usage, and not by a traceback."""
    ran = python(language, "-m", "gateway.cli", *arguments)
    assert ran.returncode == 2, ran.stderr
    assert "Traceback" not in ran.stderr
    return ran


def mistakes(language: str) -> dict[str, tuple[int, str]]:
    """Exit code and what is told, of every mistake: the language is settled when the command loads."""
    ran = python(language, "-c", MAKE, json.dumps(list(MISTAKES.values())))
    assert ran.returncode == 0, ran.stderr
    return {name: (code, text) for name, (code, text) in zip(MISTAKES, json.loads(ran.stdout), strict=True)}


@pytest.fixture(scope="module")
def english() -> dict[str, tuple[int, str]]:
    return mistakes("en")


@pytest.fixture(scope="module")
def chinese() -> dict[str, tuple[int, str]]:
    return mistakes("zh")


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_on_the_command_line_is_told_in_english(english: dict[str, tuple[int, str]], mistake: str) -> None:
    code, text = english[mistake]
    assert code == 2
    assert text.startswith(("Usage:", "Error:"))
    assert "Error: " in text
    assert not CHINESE.search(text)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_on_the_command_line_is_told_in_chinese(chinese: dict[str, tuple[int, str]], mistake: str) -> None:
    code, text = chinese[mistake]
    assert code == 2
    for line in text.splitlines():
        assert not line.strip() or CHINESE.search(line), line
    said = re.sub(r"'[^']*'|--?[a-z-]+|YYYY|[A-Z<>=x0-9\[\]]+", "", text.splitlines()[-1])
    assert not re.search(r"[A-Za-z]{3,}", said), said


@pytest.mark.parametrize(("language", "says"), [("en", "cannot be"), ("zh", "无法")])
@pytest.mark.parametrize("line", NO_FILES)
def test_what_the_system_has_against_a_file_is_told_in_words(line: str, language: str, says: str) -> None:
    arguments, file = NO_FILES[line]
    ran = refused(language, *arguments)
    assert file in ran.stderr
    assert says in ran.stderr


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(
    ("language", "says"), [("en", "--name is not text in UTF-8"), ("zh", "--name 不是 UTF-8 文本")]
)
def test_a_terminal_that_sends_another_encoding_is_told_so(
    tmp_path: Path, language: str, says: str, as_json: bool
) -> None:
    folder = tmp_path / os.fsdecode("省".encode("gb18030"))  # a file may be called so
    folder.mkdir()
    (folder / "agency.toml").write_text(
        'gateway = "127.0.0.1:9"\ngateway_name = "x"\nofficial = "李"\nlegal_basis = "法"\n'
        '[tls]\ncertificate = "c.pem"\nprivate_key = "k.pem"\nroots = "r.pem"\n',
        "utf-8",
    )
    line = [*CHECK[:-1], "张三".encode("gb18030"), "--benefit", "work_injury", "--purpose", "audit"]
    ran = refused(language, *line, "--config", folder / "agency.toml", *["--json"] * as_json)
    assert says in (json.loads(ran.stdout)["error"]["message"] if as_json else ran.stderr)


def test_everything_that_the_library_may_say_has_a_chinese_text_with_the_same_places() -> None:
    missing = []
    for name in command_words.MODULES:
        path = SOURCES / f"{name.rpartition('.')[2]}.py"
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
                continue
            texts = {"_": call.args[:1], "ngettext": call.args[:2]}.get(call.func.id, [])
            for text in texts:
                if not (isinstance(text, ast.Constant) and isinstance(text.value, str)):
                    continue
                if text.value not in command_words.CHINESE and text.value not in command_words.FOR_PROGRAMMERS:
                    missing.append(text.value)
    assert missing == []


@pytest.mark.parametrize("text", command_words.CHINESE)
def test_a_chinese_text_asks_for_nothing_that_the_english_one_does_not_give(text: str) -> None:
    places = set(re.findall(r"\{(\w+)|%\((\w+)\)", command_words.CHINESE[text]))
    assert places <= set(re.findall(r"\{(\w+)|%\((\w+)\)", text))
