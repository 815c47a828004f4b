"""Chinese or English: which variable decides, and that an error is told in that language with its exit code."""

from __future__ import annotations

import click
import pytest

from gateway.cli import EXIT_FAULTY, EXIT_REFUSED, EXIT_UNREACHABLE
from gateway.cli.client import fail_with
from gateway.cli.language import chinese, plain, say
from gateway.errors import RefusedError
from wugan.federation.v1 import vocabulary_pb2 as words

NAMES = ("WUGAN_LANG", "LC_ALL", "LC_MESSAGES", "LANG")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def test_english_where_nothing_is_set() -> None:
    assert not chinese()
    assert say("yes", "是") == "yes"


@pytest.mark.parametrize("value", ["zh", "zh_CN.UTF-8", "ZH", "zh-Hans"])
@pytest.mark.parametrize("name", NAMES)
def test_any_of_the_variables_makes_it_chinese(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert say("yes", "是") == "是"


@pytest.mark.parametrize("at", range(len(NAMES) - 1))
def test_the_first_that_is_set_decides(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    for name in NAMES[at + 1 :]:
        monkeypatch.setenv(name, "zh_CN.UTF-8")
    monkeypatch.setenv(NAMES[at], "en_GB.UTF-8")
    assert not chinese()
    monkeypatch.setenv(NAMES[at], "")
    assert chinese()


@pytest.mark.parametrize("reason", words.RefusalReason.values()[1:], ids=words.RefusalReason.Name)
@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_reason_has_an_exit_code_and_a_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], reason: int, language: str
) -> None:
    monkeypatch.setenv("WUGAN_LANG", language)
    with pytest.raises(SystemExit) as caught:
        fail_with(RefusedError("what to do", "怎么办", reason=words.RefusalReason.ValueType(reason)))
    assert caught.value.code in (EXIT_REFUSED, EXIT_UNREACHABLE, EXIT_FAULTY)
    printed = capsys.readouterr()
    assert printed.out == ""
    name = words.RefusalReason.Name(words.RefusalReason.ValueType(reason)).removeprefix("REFUSAL_REASON_")
    assert click.unstyle(printed.err) == f"wugan: [{name}] {'怎么办' if language == 'zh' else 'what to do'}\n"


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (words.REFUSAL_REASON_DEADLINE_EXCEEDED, EXIT_UNREACHABLE),
        (words.REFUSAL_REASON_PARTNER_UNAVAILABLE, EXIT_UNREACHABLE),
        (words.REFUSAL_REASON_OVERLOADED, EXIT_UNREACHABLE),
        (words.REFUSAL_REASON_SHUTTING_DOWN, EXIT_UNREACHABLE),
        (words.REFUSAL_REASON_PARTNER_FAULTY, EXIT_FAULTY),
        (words.REFUSAL_REASON_INVALID_ID_NUMBER, EXIT_REFUSED),
        (words.REFUSAL_REASON_INTERNAL, EXIT_REFUSED),
    ],
)
def test_the_exit_code_says_whether_to_try_again(reason: words.RefusalReason.ValueType, code: int) -> None:
    with pytest.raises(SystemExit) as caught:
        fail_with(RefusedError("", "", reason=reason))
    assert caught.value.code == code


def test_an_error_of_another_province_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        fail_with(RefusedError("\x1b[2J\x1b]0;owned\x07gone\r\nwugan: all is well", ""))
    printed = capsys.readouterr().err
    assert printed.rstrip("\n").isprintable()
    assert printed.count("\n") == 1


@pytest.mark.parametrize(("text", "shown"), [("张三·a b 1", "张三·a b 1"), ("a\x1b[31m\u202eb\n", "a�[31m�b�")])
def test_plain_text_keeps_words_and_drops_what_steers(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_who_is_not_reached_is_told_when_to_try_and_what_else_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WUGAN_LANG", "zh")
    away, busy = words.REFUSAL_REASON_PARTNER_UNAVAILABLE, words.REFUSAL_REASON_OVERLOADED
    for reason, told in (
        (away, "；9 秒后再试；可留置"),
        (busy, "；9 秒后再试"),
        (words.REFUSAL_REASON_UNKNOWN_REGION, ""),
    ):
        error = RefusedError("gone", "不在", reason=reason, retryable=True, retry_after_ms=8_001)
        with pytest.raises(SystemExit):
            fail_with(error, "可留置")
        assert capsys.readouterr().err.rstrip().endswith("不在" + told)
