"""`wugan authority member`: who is a member.

Owns: reading options, and saying what was done. Refuses: acting before it is clear that a token can be written where
it is to go; every decision is the office's.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.authority_issuing import about_token, make_token, require_free, said_of_token
from gateway.cli.authority_options import (
    DIR,
    JSON,
    MEMBER,
    PASSPHRASE,
    REASON,
    REASONS,
    TOKEN_DAYS,
    TOKEN_FILE,
    in_office,
    tell,
    tell_version,
)
from gateway.cli.language import chinese, plain, say

if TYPE_CHECKING:
    from certs.records import Token
    from gateway.authority.office import Office


@click.group(help=say("Who is a member.", "成员管理。"))
def member() -> None:
    """The group."""


@member.command(
    help=say(
        "Take a member in, or change what is said of it; keys that it has published stay. Where it has none, a "
        "one-time token is made with which its gateway enrols.",
        "登记成员或更改其信息；已发布的密钥保持不变。尚无密钥时，同时签发供其网关登记的一次性令牌。",
    )
)
@DIR
@MEMBER
@click.option("--name-zh", required=True, help=say("its name in Chinese", "中文名称"))
@click.option("--name-en", required=True, help=say("its name in English", "英文名称"))
@click.option(
    "--region",
    "regions",
    type=int,
    multiple=True,
    required=True,
    help=say("GB/T 2260; repeatable", "行政区划代码，可重复"),
)
@click.option(
    "--address", "addresses", multiple=True, required=True, help=say("host:port; repeatable", "网关地址，可重复")
)
@TOKEN_DAYS
@TOKEN_FILE
@PASSPHRASE
@JSON
def add(
    folder: Path,
    member_id: str,
    name_zh: str,
    name_en: str,
    regions: tuple[int, ...],
    addresses: tuple[str, ...],
    days: float,
    token_file: Path | None,
    passphrase_file: Path | None,
    json_out: bool,
) -> None:
    """Add a member; a one-time token for its gateway, if it has published no keys yet."""
    from certs.errors import CertsError
    from certs.identity import Identity
    from gateway.errors import ConfigError
    from gateway.federation.directory_build import member_entry
    from wugan.adapter.v1 import vocabulary_pb2 as adapter_words
    from wugan.federation.v1 import directory_pb2
    from wugan.federation.v1 import vocabulary_pb2 as words

    require_free(token_file)

    def work(office: Office) -> tuple[int, Token | None]:
        try:
            holder = Identity.gateway(office.settings.federation, member_id)
        except CertsError as error:
            raise ConfigError(error.en, error.zh, field="member") from error
        offer = directory_pb2.Offer(
            departments=adapter_words.Department.values()[1:],
            benefits=words.BenefitType.values()[1:],
            purposes=adapter_words.Purpose.values()[1:],
        )
        entry = member_entry(
            member_id=member_id,
            name_zh=name_zh,
            name_en=name_en,
            regions=regions,
            gateways=[(address, holder.tls_name) for address in addresses],
            signing_keys=(),
            encryption_keys=(),
            offer=offer,
        )
        version = office.add(entry)
        has_keys = bool(office.entry(member_id).signing_keys)
        return version, None if has_keys else make_token(office, holder, days, token_file)

    version, made = in_office(folder, passphrase_file, work)
    about: dict[str, Any] = {"member_id": member_id, "version": version}
    en, zh = f"{member_id} is a member; directory {version}", f"{member_id} 已登记；目录第 {version} 版"
    if made is not None:
        about["token"] = about_token(made, token_file)
        said = said_of_token(made, token_file)
        en, zh = f"{en}\n{said[0]}", f"{zh}\n{said[1]}"
    tell(json_out, about, en, zh)


@member.command(
    help=say(
        "Take a member out: it is refused everywhere from the next directory on, and its certificates and tokens, "
        "those of its agencies and departments too, are taken back. `revoke --member` is the same with another reason.",
        "移除成员：自下一版目录起各处均拒绝该成员，并吊销其（含经办机构与部门的）全部证书与令牌。"
        "如需注明其他原因，请使用 revoke --member。",
    )
)
@DIR
@MEMBER
@PASSPHRASE
@JSON
def remove(folder: Path, member_id: str, passphrase_file: Path | None, json_out: bool) -> None:
    """Remove a member."""
    version = in_office(folder, passphrase_file, lambda office: office.remove(member_id))
    tell_version(json_out, version, f"{member_id} is removed", f"{member_id} 已移除", member_id=member_id)


@member.command(
    help=say(
        "Let a member's gateway enrol anew, after its keys were stolen or lost: its certificates are taken back, what "
        "it published is forgotten, and a one-time token is made. Its agencies keep their certificates.",
        "允许成员网关在密钥被盗或丢失后重新登记：吊销其证书，清除其已发布的密钥，并签发一次性令牌。"
        "其经办机构的证书不受影响。",
    )
)
@DIR
@MEMBER
@REASON
@TOKEN_DAYS
@TOKEN_FILE
@PASSPHRASE
@JSON
def readmit(
    folder: Path,
    member_id: str,
    reason: str,
    days: float,
    token_file: Path | None,
    passphrase_file: Path | None,
    json_out: bool,
) -> None:
    """Readmit a member."""
    from certs.identity import Identity

    require_free(token_file)

    def work(office: Office) -> tuple[int, Token]:
        version = office.readmit(member_id, reason=REASONS[reason])
        return version, make_token(office, Identity.gateway(office.settings.federation, member_id), days, token_file)

    version, made = in_office(folder, passphrase_file, work)
    about = {"member_id": member_id, "version": version, "token": about_token(made, token_file)}
    said = said_of_token(made, token_file)
    en, zh = f"{member_id} may enrol anew; directory {version}", f"{member_id} 可重新登记；目录第 {version} 版"
    tell(json_out, about, f"{en}\n{said[0]}", f"{zh}\n{said[1]}")


@member.command(
    "list", help=say("Members, and which directory version each works with.", "成员及其正在使用的目录版本。")
)
@DIR
@PASSPHRASE
@JSON
def list_members(folder: Path, passphrase_file: Path | None, json_out: bool) -> None:
    """List the members."""
    entries, seen, version = in_office(
        folder, passphrase_file, lambda office: (office.members(), office.seen(), office.version())
    )
    versions = {each.member_id: each.version for each in seen.members}
    if json_out:
        listed: list[dict[str, Any]] = [
            {
                "member_id": entry.member_id,
                "name_zh": entry.name_zh,
                "name_en": entry.name_en,
                "regions": list(entry.regions),
                "gateways": [gateway.address for gateway in entry.gateways],
                "signing_keys": [key.key_id for key in entry.signing_keys],
                "encryption_keys": [key.key_id for key in entry.encryption_keys],
                "tls_certificates": sum(len(gateway.tls_certificates) for gateway in entry.gateways),
                "seen": versions.get(entry.member_id, 0),
            }
            for entry in entries
        ]
        click.echo(json.dumps({"version": version, "members": listed}, ensure_ascii=False, indent=2))
        return
    for entry in entries:
        name = plain(entry.name_zh if chinese() else entry.name_en)
        where = " ".join(plain(gateway.address) for gateway in entry.gateways)
        click.echo(f"{entry.member_id}  {name}  {where}  {versions.get(entry.member_id, 0)}/{version}")
    if not entries:
        click.echo(
            say("no members yet: wugan authority member add", "尚无成员，请执行 wugan authority member add"), err=True
        )
    elif any(versions.get(entry.member_id, 0) < version for entry in entries):
        click.echo(
            say(
                "Last on a line: the directory that the gateway works with, and the one in force; 0: it never told. "
                "Behind for long: it does not run, or does not reach the authority, or its certificate was revoked; "
                "its log says which.",
                "行末为网关正在使用的目录版本与现行版本，0 表示从未上报。长时间落后说明网关未运行、无法连接管理机构，"
                "或其证书已吊销，原因见网关日志。",
            ),
            err=True,
        )
