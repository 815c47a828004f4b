"""What the commands of `wugan authority` share: options, passphrases, the office, and saying what was done.

Owns: these. Refuses: passphrases on the command line, which other users of the machine can see.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gateway.cli import EXIT_USAGE
from gateway.cli.failing import end
from gateway.cli.language import say

if TYPE_CHECKING:
    from gateway.authority.office import Office

R = TypeVar("R")

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

# CRLReason (RFC 5280 section 5.3.1), as far as an administrator means one.
REASONS = {
    "unspecified": 0,
    "key-compromise": 1,
    "affiliation-changed": 3,
    "superseded": 4,
    "cessation-of-operation": 5,
    "privilege-withdrawn": 9,
}


def crl_number(value: Any) -> int:
    """The number of a revocation list, as OpenSSL shows it: decimal, or hexadecimal after 0x."""
    try:
        number = int(str(value), 0)
    except ValueError:
        number = -1
    if number < 0:
        raise click.BadParameter(say(f"{value!r} is no number of a revocation list", f"{value!r} 不是吊销列表的编号"))
    return number


DIR = click.option(
    "--dir",
    "folder",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help=say("the authority's folder", "管理机构目录"),
)
JSON = click.option("--json", "json_out", is_flag=True, help=say("print JSON", "输出 JSON"))
PASSPHRASE = click.option(
    "--passphrase-file",
    type=FILE,
    help=say("passphrase of the keys in daily use, one line, mode 0600", "日常使用密钥的口令文件（一行，权限 0600）"),
)
MEMBER = click.option("--member", "member_id", required=True, help=say("its code (GB 32100)", "统一社会信用代码"))
CA_PASSPHRASE = click.option(
    "--ca-passphrase-file",
    type=FILE,
    help=say(
        "passphrase of the certificates' root key, mode 0600; asked for without it",
        "证书根密钥口令文件（权限 0600）；未提供时询问",
    ),
)
REASON = click.option(
    "--reason",
    type=click.Choice(list(REASONS)),
    default="unspecified",
    show_default=True,
    help=say("why (RFC 5280)", "吊销原因（RFC 5280）"),
)
TOKEN_DAYS = click.option(
    "--days",
    type=click.FloatRange(0.001, 30),
    default=7.0,
    show_default=True,
    help=say("for how long the token is good", "令牌有效天数"),
)
TOKEN_FILE = click.option(
    "--token-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help=say("write the token there, mode 0600, instead of showing it", "将令牌写入该文件（权限 0600），不在屏幕显示"),
)


def in_office(folder: Path, passphrase_file: Path | None, work: Callable[[Office], R]) -> R:
    """The result of work in the office of a folder; ends the process with 2 where it cannot be done."""
    from gateway.authority.office import Office
    from gateway.clock import SystemClock

    passphrase = line(passphrase_file)

    def opened() -> R:
        office = Office(folder, SystemClock(), passphrase)
        try:
            done = work(office)
            _tell_endings(office)
            return done
        finally:
            office.close()

    return or_exit(opened)


def _tell_endings(office: Office) -> None:
    """Whatever was done, say what ends soon: it is renewed by nobody but people, and the federation stops with it."""
    from gateway.errors import WuganError

    with contextlib.suppress(WuganError):  # what was done is done
        for each in office.endings():
            click.echo(say(f"Note: {each.en}.", f"注意：{each.zh}。"), err=True)


def or_exit(work: Callable[[], R]) -> R:
    """The result of work; ends the process with 2, and what was wrong, where it cannot be done."""
    from certs.errors import CertsError
    from gateway.errors import WuganError

    try:
        return work()
    except (WuganError, CertsError) as error:
        end(error.en, error.zh, EXIT_USAGE, of=error)


def line(path: Path | None) -> bytes | None:
    """The passphrase in a file; ends the process with 2 where others may read it too, or it holds none."""
    from certs.keys import read_passphrase

    return None if path is None else or_exit(lambda: read_passphrase(path))


def ask(what: str, *, new: bool = True) -> bytes:
    """A passphrase from the terminal, twice if it is a new one."""
    text: str = click.prompt(what, hide_input=True, confirmation_prompt=new, err=True)
    return text.encode()


def tell(json_out: bool, told: dict[str, Any], en: str, zh: str) -> None:
    """What was done, for programs or for people."""
    click.echo(json.dumps(told, ensure_ascii=False, indent=2) if json_out else say(en, zh))


def tell_version(json_out: bool, version: int, en: str, zh: str, **more: Any) -> None:
    """The same, with the version of the directory that says so."""
    tell(json_out, {**more, "version": version}, f"{en}; directory {version}", f"{zh}；目录第 {version} 版")
