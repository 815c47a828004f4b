"""`wugan authority root`: the root of the directory's trust.

Owns: reading options and the passphrases of root keys. Refuses: passphrases on the command line.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.authority_options import DIR, FILE, JSON, PASSPHRASE, ask, in_office, or_exit, tell
from gateway.cli.language import say

if TYPE_CHECKING:
    from gateway.authority.office import Office

THRESHOLD = click.option(
    "--threshold",
    type=click.IntRange(1, 16),
    help=say("how many root keys must sign a root; without it more than half", "签署根元数据所需密钥数，默认过半数"),
)


@click.group(help=say("The root of the directory's trust.", "目录信任根。"))
def root() -> None:
    """The group."""


@root.command(
    help=say(
        "Sign a new root with a threshold of the old keys: new root keys, or the same and a later expiry. "
        "With --online the keys in daily use are replaced too: do that after their theft.",
        "使用达到门限数量的旧密钥签署新的根元数据：更换根密钥，或仅延长有效期。"
        "加 --online 时同时更换日常使用的密钥，适用于其泄露之后。",
    )
)
@DIR
@click.option(
    "--old-key",
    "old_keys",
    multiple=True,
    required=True,
    type=FILE,
    help=say("file of a present root key; repeatable", "现有根密钥文件，可重复"),
)
@click.option(
    "--old-passphrases-file",
    type=FILE,
    help=say(
        "a line for each --old-key, mode 0600; asked for without it",
        "与 --old-key 逐一对应，每行一个口令（权限 0600）；未提供时询问",
    ),
)
@click.option(
    "--new-keys", type=click.IntRange(1, 16), help=say("how many new root keys; none: they stay", "新根密钥数量")
)
@click.option(
    "--new-passphrases-file",
    type=FILE,
    help=say(
        "a line for each new root key, mode 0600; asked for without it",
        "每行一个新根密钥口令（权限 0600）；未提供时询问",
    ),
)
@THRESHOLD
@click.option("--online", is_flag=True, help=say("replace the keys in daily use as well", "同时更换日常使用的密钥"))
@PASSPHRASE
@JSON
def rotate(
    folder: Path,
    old_keys: tuple[Path, ...],
    old_passphrases_file: Path | None,
    new_keys: int | None,
    new_passphrases_file: Path | None,
    threshold: int | None,
    online: bool,
    passphrase_file: Path | None,
    json_out: bool,
) -> None:
    """Rotate the root."""
    old = list(zip(old_keys, _old_passphrases(old_passphrases_file, old_keys), strict=True))
    if new_keys:  # before the new custodians think of passphrases
        in_office(folder, passphrase_file, lambda office: office.require_root_keys(old))
    new = root_passphrases(new_passphrases_file, new_keys) if new_keys else []
    wanted = threshold or (new_keys // 2 + 1 if new_keys else None)

    def work(office: Office) -> tuple[int, tuple[Path, ...]]:
        return office.rotate_root(old, new, wanted, online=online), office.root_keys() if new else ()

    version, made = in_office(folder, passphrase_file, work)
    en, zh = f"root {version} is in force", f"根元数据第 {version} 版已生效"
    told = {"root_version": version, "root_keys": [str(file) for file in made]}
    tell(json_out, told, *with_files(en, zh, made))


def with_files(en: str, zh: str, files: tuple[Path, ...]) -> tuple[str, str]:
    """A text in both languages, and which file is which root key: a custodian must know what the passphrase opens."""
    numbered = list(enumerate(files, 1))
    return (
        "\n".join([en, *(f"root key {number}: {file}" for number, file in numbered)]),
        "\n".join([zh, *(f"根密钥 {number}：{file}" for number, file in numbered)]),
    )


def root_passphrases(path: Path | None, count: int) -> list[bytes]:
    """New ones, one for each key, from a file or asked for."""
    if path is not None:
        return _lines(path, count)
    what = say("Passphrase of root key", "根密钥口令")
    return [ask(f"{what} {number}") for number in range(1, count + 1)]


def _old_passphrases(path: Path | None, old: tuple[Path, ...]) -> list[bytes]:
    if path is not None:
        return _lines(path, len(old))
    return [ask(say(f"Passphrase of {each.name}", f"{each.name} 的口令"), new=False) for each in old]


def _lines(path: Path, count: int) -> list[bytes]:
    from certs.files import read_secret

    lines = [line for line in or_exit(lambda: read_secret(path)).splitlines() if line]
    if len(lines) != count:
        raise click.UsageError(
            say(f"{path}: {count} lines are needed, one for each key", f"{path}：应有 {count} 行，每个密钥一行")
        )
    return lines
