"""With `--json` an error is one JSON object on standard output, whichever command fails and at whatever."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from certs.errors import CertsError
from gateway.cli import EXIT_FAULTY, EXIT_REFUSED, EXIT_UNREACHABLE, EXIT_USAGE, client, main
from gateway.cli.access_common import fail
from gateway.cli.authority_options import or_exit
from gateway.cli.language import say
from gateway.errors import PartnerError, RefusedError
from wugan.federation.v1 import vocabulary_pb2 as words

SOMEBODY = ["--id", "310106194407088572", "--name", "某人", "--benefit", "work_injury", "--purpose", "audit"]
WRONG_SETTINGS = {
    "check": ["check", "--config", "FILE", *SOMEBODY],
    "late list": ["late", "list", "--config", "FILE"],
    "notices list": ["notices", "list", "--config", "FILE"],
    "roster list": ["roster", "list", "--config", "FILE"],
    "duplicates list": ["duplicates", "list", "--config", "FILE"],
    "outbox list": ["outbox", "list", "--config", "FILE"],
    "certs status": ["certs", "status", "--config", "FILE"],
    "catalogue gaps": ["catalogue", "gaps", "--config", "FILE"],
    "gateway health": ["gateway", "health", "--config", "FILE"],
    "adapter list": ["adapter", "list", "--config", "FILE"],
}


def run(arguments: list[str]) -> tuple[int, str, str]:
    ran = CliRunner().invoke(main, arguments)
    assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
    return ran.exit_code, ran.stdout, ran.stderr


def error_in(arguments: list[str], code: int) -> dict[str, Any]:
    """The error that a command tells with --json; the exit code is the one without it."""
    plain_code, plain_out, plain_err = run(arguments)
    assert (plain_code, plain_out) == (code, "")
    assert plain_err
    told_code, out, err = run([*arguments, "--json"])
    assert (told_code, err) == (code, "")
    told = json.loads(out)
    assert told["exit_code"] == code
    error: dict[str, Any] = told["error"]
    assert error["message"].strip()
    assert error["message"] in plain_err
    return error


@pytest.mark.parametrize("arguments", WRONG_SETTINGS.values(), ids=WRONG_SETTINGS)
def test_wrong_settings(arguments: list[str], tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text("nonsense = 1\n", "utf-8")
    error = error_in([str(file) if each == "FILE" else each for each in arguments], EXIT_USAGE)
    assert error["reason"] == "INVALID_ARGUMENT"
    assert error["en"]
    assert error["zh"]
    assert not error["retryable"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "--config", "/no/such/file", *SOMEBODY],
        ["check", "--config", "/no/such/file"],
        ["late", "list"],
        ["late", "show", "--nonsense"],
        ["nonsense"],
    ],
)
def test_wrong_usage(arguments: list[str]) -> None:
    told_code, out, err = run([*arguments, "--json"])
    assert (told_code, err) == (EXIT_USAGE, "")
    assert json.loads(out)["exit_code"] == EXIT_USAGE
    assert run(arguments)[0] == EXIT_USAGE


def test_a_file_that_cannot_be_written() -> None:
    code, out, err = run(["demo", "show", "--dir", f"{__file__}/here", "--json"])
    assert (code, err) == (EXIT_USAGE, "")
    error = json.loads(out)["error"]
    assert __file__ in error["en"]
    assert __file__ in error["zh"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RefusedError("no", "否", field="name", reason=words.REFUSAL_REASON_TOO_LARGE), EXIT_REFUSED),
        (PartnerError("away", "无法连接", retry_after_ms=5000), EXIT_UNREACHABLE),
        (PartnerError("nonsense", "无效", reason=words.REFUSAL_REASON_PARTNER_FAULTY, retryable=False), EXIT_FAULTY),
    ],
)
def test_what_the_gateway_refuses_is_told_in_full(
    error: RefusedError | PartnerError, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    @click.command("refused")
    @click.option("--json", "json_out", is_flag=True)
    def refused(json_out: bool) -> None:
        client.fail_with(error)

    monkeypatch.setattr(type(main), "get_command", lambda *_: refused)
    told = error_in(["refused"], code)
    assert {name: told[name] for name in ("reason", "field", "en", "zh", "retryable", "retry_after_ms")} == {
        "reason": error.code,
        "field": error.field,
        "en": error.en,
        "zh": error.zh,
        "retryable": error.retryable,
        "retry_after_ms": error.retry_after_ms,
    }


def test_of_several_errors_one_is_an_object_so_that_all_of_the_output_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command("several")
    @click.option("--json", "json_out", is_flag=True)
    def several(json_out: bool) -> None:
        fail("first", "其一", EXIT_USAGE)
        raise fail("second", "其二", EXIT_USAGE)

    monkeypatch.setattr(type(main), "get_command", lambda *_: several)
    code, out, err = run(["several", "--json"])
    assert (code, json.loads(out)["error"]["en"]) == (EXIT_USAGE, "first")
    assert err == f"wugan: {say('second', '其二')}\n"


def test_an_error_that_is_none_of_the_contract_has_both_languages(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise CertsError("no key", "没有密钥")

    @click.command("broken")
    @click.option("--json", "json_out", is_flag=True)
    def command(json_out: bool) -> None:
        or_exit(broken)

    monkeypatch.setattr(type(main), "get_command", lambda *_: command)
    assert error_in(["broken"], EXIT_USAGE) == {"message": say("no key", "没有密钥"), "en": "no key", "zh": "没有密钥"}
