"""`wugan access people`: the people who administer a gateway, their roles and keys.

Owns: their keys' files, enrolling, approving and removing. Refuses: showing or copying a private key.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.access import people as roles
from gateway.cli import EXIT_USAGE
from gateway.cli.access_common import CONFIG, FILE, JSON, Actor, Opened, enact, ended, fail, run, signed, tell
from gateway.cli.language import plain, say

if TYPE_CHECKING:
    from gateway.access.people import Applicant

_MAX_APPLICATION = 4096


@click.group(
    help=say(
        "People, roles and keys. Nobody holds two of the separated roles, nobody both grants and approves.",
        "人员、角色与密钥。三员分立，一人不得兼任；授权与批准不得为同一人。",
    )
)
def people() -> None:
    """The group."""


@people.command(
    help=say(
        "Make a key pair for NAME: NAME.pem stays with that person, NAME.pub goes to whoever enrols.",
        "为 NAME 生成密钥：NAME.pem 由本人保管，NAME.pub 交给登记人。",
    )
)
@click.argument("name")
@click.option(
    "--out",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    help=say("folder; default: this one", "目录，默认当前目录"),
)
@click.option(
    "--passphrase-file",
    type=FILE,
    default=None,
    help=say("encrypt the key with the passphrase in it; mode 0600", "以该文件中的口令加密密钥（权限 0600）"),
)
@JSON
def key(name: str, out: Path, passphrase_file: Path | None, json_out: bool) -> None:
    """Make a key pair and an application."""
    from certs import keys
    from certs.files import PUBLIC, write_file
    from gateway.access.people import Applicant

    def work() -> Applicant:
        made = keys.generate_signing_key()
        applicant = Applicant.of(name, made)
        applicant.check()
        passphrase = None if passphrase_file is None else keys.read_passphrase(passphrase_file)
        keys.store_private_key(out / f"{name}.pem", made, passphrase=passphrase, by_heart=True)
        write_file(out / f"{name}.pub", applicant.text().encode(), mode=PUBLIC, replace=False)
        return applicant

    made = keys.key_id(ended(work).public_key)
    tell(
        json_out,
        {"name": name, "key_id": made},
        f"{out / name}.pem: keep it to yourself; {out / name}.pub: hand it over. Key {made}",
        f"{out / name}.pem 请自行妥善保管；{out / name}.pub 请交给登记人。密钥编号 {made}",
    )


def _application(path: Path) -> Applicant:
    from gateway.access.people import Applicant

    try:
        with path.open(encoding="utf-8") as file:
            return Applicant.parse(file.read(_MAX_APPLICATION))
    except (OSError, UnicodeDecodeError):
        raise fail(f"{path}: cannot be read", f"{path}：无法读取", EXIT_USAGE) from None


@people.command(
    help=say(
        "Enrol the people of the beginning, once: each of the three separated roles at least. Signed by a system "
        "administrator among them.",
        "首次登记管理人员（仅一次）：三员各至少一人，由其中的系统管理员签署。",
    )
)
@click.option("--system", multiple=True, type=FILE, help=say("application of a system administrator", "系统管理员申请"))
@click.option("--security", multiple=True, type=FILE, help=say("of a security administrator", "安全保密管理员申请"))
@click.option("--audit", multiple=True, type=FILE, help=say("of an audit administrator", "安全审计员申请"))
@click.option("--owner", multiple=True, type=FILE, help=say("of a department owner", "部门数据负责人申请"))
@click.option("--operator", multiple=True, type=FILE, help=say("of an operator", "操作员申请"))
@signed
def found(
    config_file: Path,
    json_out: bool,
    actor: Actor,
    **files: tuple[Path, ...],
) -> None:
    """Enrol the first people."""
    applicants = ended(lambda: [(role, _application(path)) for role in roles.ROLES for path in files[role]])
    listed = [{"application": applicant.text(), "role": role} for role, applicant in applicants]

    async def work(at: Opened) -> None:
        await enact(at, actor, roles.FOUND_PEOPLE, {"people": listed})

    run(config_file, work)
    tell(json_out, {"people": len(listed)}, f"{len(listed)} people enrolled", f"已登记 {len(listed)} 人")


@people.command(
    help=say(
        "Enrol the person of the application FILE; it counts once approved.", "登记申请文件 FILE 中的人员，批准后生效。"
    )
)
@click.argument("file", type=FILE)
@click.option("--role", type=click.Choice(roles.ROLES), required=True, help=say("role", "角色"))
@signed
def add(config_file: Path, json_out: bool, actor: Actor, file: Path, role: str) -> None:
    """Add a person."""
    applicant = ended(lambda: _application(file))

    async def work(at: Opened) -> None:
        body = {"application": applicant.text(), "role": role}
        await enact(at, actor, roles.ADD_PERSON, body)

    run(config_file, work)
    tell(
        json_out,
        {"name": applicant.name, "role": role, "state": roles.PROPOSED},
        f"{applicant.name} is proposed as {roles.TITLES[role][0]}; another administrator has to approve it",
        f"{applicant.name} 已登记为{roles.TITLES[role][1]}，须由另一名管理员批准",
    )


@people.command(help=say("Approve PERSON, whom a system administrator enrolled.", "批准系统管理员登记的人员 PERSON。"))
@click.argument("person")
@signed
def approve(config_file: Path, json_out: bool, actor: Actor, person: str) -> None:
    """Approve a person."""
    _on_person(config_file, actor, roles.APPROVE_PERSON, person)
    tell(json_out, {"name": person, "state": roles.ACTIVE}, f"{person} is approved", f"{person} 已批准")


@people.command(help=say("Remove PERSON at once, for ever.", "立即移除人员 PERSON，不可恢复。"))
@click.argument("person")
@signed
def remove(config_file: Path, json_out: bool, actor: Actor, person: str) -> None:
    """Remove a person."""
    _on_person(config_file, actor, roles.REMOVE_PERSON, person)
    tell(json_out, {"name": person, "state": roles.GONE}, f"{person} is removed", f"{person} 已移除")


def _on_person(config_file: Path, actor: Actor, act: str, person: str) -> None:
    async def work(at: Opened) -> None:
        await enact(at, actor, act, {"name": person})

    run(config_file, work)


@people.command("list", help=say("List people, roles and key ids.", "列出人员、角色与密钥编号。"))
@CONFIG
@JSON
def list_(config_file: Path, json_out: bool) -> None:
    """List people."""

    async def work(at: Opened) -> list[dict[str, Any]]:
        return [
            {
                "name": each.name,
                "role": each.role,
                "state": each.state,
                "key_id": each.key_id,
                "added_by": each.added_by,
            }
            for each in at.administration.ledger.people.values()
        ]

    from gateway.cli.access_shown import state

    listed = run(config_file, work)
    if json_out:
        click.echo(json.dumps(listed, ensure_ascii=False))
        return
    for each in listed:
        role = say(*roles.TITLES[each["role"]])
        click.echo(
            plain(f"{_wide(each['name'], 16)} {_wide(role, 24)} {_wide(state(each['state']), 9)} {each['key_id']}")
        )
    if not listed:
        click.echo(say("nobody is enrolled yet", "尚未登记任何人员"))


def _wide(text: str, columns: int) -> str:
    """The text with blanks up to so many columns; a Chinese character takes two."""
    from rich.cells import cell_len

    return text + " " * (columns - cell_len(text))
