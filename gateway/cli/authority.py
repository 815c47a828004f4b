"""`wugan authority`: the federation's authority, in a folder.

Owns: reading options and passphrases, and saying what was done. Refuses: passphrases on the command line, which other
users of the machine can see; every decision is the office's.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.authority_issuing import about_token, issuing, make_token, said_of_token, token
from gateway.cli.authority_options import (
    CA_PASSPHRASE,
    DIR,
    FILE,
    JSON,
    MEMBER,
    PASSPHRASE,
    TOKEN_DAYS,
    TOKEN_FILE,
    ask,
    in_office,
    line,
    or_exit,
    tell,
)
from gateway.cli.language import chinese, plain, say

if TYPE_CHECKING:
    from certs.records import Token
    from gateway.authority.office import Office

# CRLReason (RFC 5280 section 5.3.1), as far as an administrator means one.
_REASONS = {
    "unspecified": 0,
    "key-compromise": 1,
    "affiliation-changed": 3,
    "superseded": 4,
    "cessation-of-operation": 5,
    "privilege-withdrawn": 9,
}
_THRESHOLD = click.option(
    "--threshold",
    type=click.IntRange(1, 16),
    help=say("how many root keys must sign a root; without it more than half", "签署根元数据所需密钥数，默认过半数"),
)
_REASON = click.option(
    "--reason",
    type=click.Choice(list(_REASONS)),
    default="unspecified",
    show_default=True,
    help=say("why (RFC 5280)", "吊销原因（RFC 5280）"),
)


@click.group(
    help=say(
        "The federation's authority: members, directory, revocation. Commands work while it runs. "
        "Exit codes: 0 done, 2 wrong usage, folder or key.",
        "联盟管理机构：成员、目录与吊销。服务运行期间亦可执行各命令。退出码：0 完成，2 用法、目录或密钥有误。",
    )
)
def authority() -> None:
    """The group."""


authority.add_command(token)
authority.add_command(issuing)


@authority.command(
    help=say(
        "Found an authority in an empty folder. Hand root.json and root.pem to every member, over a channel that "
        "is trusted; take the keys in tuf-root-keys/ away, one a custodian.",
        "在空目录中创建管理机构。请通过可信渠道将 root.json 与 root.pem 交给各成员，"
        "并将 tuf-root-keys/ 中的密钥分别交保管人离线保存。",
    )
)
@DIR
@click.option("--federation", required=True, help=say("its name, a DNS name", "联盟名称（域名）"))
@click.option(
    "--root-keys",
    type=click.IntRange(1, 16),
    default=3,
    show_default=True,
    help=say("how many root keys", "根密钥数量"),
)
@_THRESHOLD
@click.option(
    "--root-passphrases-file",
    type=FILE,
    help=say("a line for each root key; asked for without it", "每行一个根密钥口令；未提供时逐一询问"),
)
@CA_PASSPHRASE
@PASSPHRASE
@click.option("--listen", default="0.0.0.0:8443", show_default=True, help=say("where it will listen", "服务监听地址"))
@click.option(
    "--plain-listen",
    default="",
    help=say("where it will serve revocation lists and OCSP over plain HTTP", "以 HTTP 提供吊销列表与 OCSP 的监听地址"),
)
@click.option(
    "--public-url",
    default="",
    help=say('"http://host:port" of that, named in certificates', "上述服务的公开地址，写入证书"),
)
@JSON
def init(
    folder: Path,
    federation: str,
    root_keys: int,
    threshold: int | None,
    root_passphrases_file: Path | None,
    ca_passphrase_file: Path | None,
    passphrase_file: Path | None,
    listen: str,
    plain_listen: str,
    public_url: str,
    json_out: bool,
) -> None:
    """Found an authority."""
    from gateway.authority.founding import Plan, found
    from gateway.clock import SystemClock

    plan = Plan(
        federation,
        _root_passphrases(root_passphrases_file, root_keys),
        threshold or root_keys // 2 + 1,
        line(passphrase_file),
        line(ca_passphrase_file) or ask(say("Passphrase of the certificates' root key", "证书根密钥口令")),
        listen,
        plain_listen,
        public_url,
    )
    or_exit(lambda: found(folder, plan, SystemClock()))
    tell(
        json_out,
        {"federation": federation, "version": 1, "root": str(folder / "root.json"), "roots": str(folder / "root.pem")},
        f"{federation}: founded in {folder}; give root.json and root.pem to every member",
        f"{federation}：已在 {folder} 创建；请将 root.json 与 root.pem 交给各成员",
    )


@authority.group(help=say("Who is a member.", "成员管理。"))
def member() -> None:
    """The group."""


@member.command(
    help=say(
        "Take a member in, or change what is said of it; keys that it has published stay. Where it has none, a "
        "one-time token is made with which its gateway enrols.",
        "登记成员或更改其信息；已发布的密钥保持不变。尚无密钥时，同时签发供其网关注册的一次性令牌。",
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
    _tell_version(json_out, version, f"{member_id} is removed", f"{member_id} 已移除", member_id=member_id)


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
@_REASON
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

    def work(office: Office) -> tuple[int, Token]:
        version = office.readmit(member_id, reason=_REASONS[reason])
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


@authority.command(help=say("Publish the directory anew, changed or not.", "重新发布成员目录（无论有无变更）。"))
@DIR
@PASSPHRASE
@JSON
def publish(folder: Path, passphrase_file: Path | None, json_out: bool) -> None:
    """Publish."""
    version = in_office(folder, passphrase_file, lambda office: office.publish())
    _tell_version(json_out, version, "published", "已发布")


@authority.command(
    help=say(
        "Take back a member with all its certificates, one certificate, or one key. Gateways refuse it within a "
        "second, on open connections too.",
        "吊销成员（含其全部证书）、单张证书或单个密钥。各网关在一秒内拒绝，已建立的连接亦然。",
    )
)
@DIR
@click.option("--member", "member_id", help=say("a member's code", "成员代码"))
@click.option("--certificate", type=FILE, help=say("a certificate, PEM", "证书（PEM）"))
@click.option("--serial", help=say("a certificate's serial number, hexadecimal", "证书序列号（十六进制）"))
@click.option("--key", "key_id", help=say("id of a signing or encryption key", "签名或加密密钥标识"))
@_REASON
@PASSPHRASE
@JSON
def revoke(
    folder: Path,
    member_id: str | None,
    certificate: Path | None,
    serial: str | None,
    key_id: str | None,
    reason: str,
    passphrase_file: Path | None,
    json_out: bool,
) -> None:
    """Revoke something."""
    if sum(each is not None for each in (member_id, certificate, serial, key_id)) != 1:
        raise click.UsageError(
            say(
                "name one of --member, --certificate, --serial, --key",
                "请在 --member、--certificate、--serial、--key 中指定一项",
            )
        )
    number = _REASONS[reason]

    def work(office: Office) -> int:
        if member_id is not None:
            return office.remove(member_id, reason=number)
        if key_id is not None:
            return office.revoke_key(key_id, reason=number)
        if certificate is not None:
            return office.revoke_pem(certificate.read_bytes(), reason=number)
        return office.revoke_serial(serial or "", reason=number)

    version = in_office(folder, passphrase_file, work)
    _tell_version(json_out, version, "revoked", "已吊销")


@authority.command(
    help=say(
        "Serve the directory, its push stream, what members tell, enrolment (EST), revocation lists and OCSP, until "
        "SIGTERM or Ctrl-C.",
        "运行服务：成员目录、推送、成员上报、证书注册（EST）、吊销列表与 OCSP，直至收到 SIGTERM 或 Ctrl-C。",
    )
)
@DIR
@click.option("--listen", help=say("host:port; as in authority.toml without it", "监听地址，默认取自 authority.toml"))
@click.option(
    "--ready-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help=say("JSON, once it is ready", "就绪文件（JSON）"),
)
@click.option(
    "--log-level",
    type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"]),
    default="INFO",
    help=say("least level logged", "日志级别"),
)
@PASSPHRASE
def run(
    folder: Path, listen: str | None, ready_file: Path | None, log_level: str, passphrase_file: Path | None
) -> None:
    """Serve until told to stop."""
    from gateway.authority.run import run as serve

    passphrase = line(passphrase_file)
    or_exit(lambda: serve(folder, passphrase, listen, ready_file, log_level))


@authority.group(help=say("The root of the directory's trust.", "目录信任根。"))
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
    help=say("a line for each --old-key; asked for without it", "与 --old-key 逐一对应，每行一个口令；未提供时询问"),
)
@click.option(
    "--new-keys", type=click.IntRange(1, 16), help=say("how many new root keys; none: they stay", "新根密钥数量")
)
@click.option(
    "--new-passphrases-file",
    type=FILE,
    help=say("a line for each new root key; asked for without it", "每行一个新根密钥口令；未提供时询问"),
)
@_THRESHOLD
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
    old = list(zip(old_keys, _root_passphrases(old_passphrases_file, len(old_keys), new=False), strict=True))
    new = _root_passphrases(new_passphrases_file, new_keys) if new_keys else []
    wanted = threshold or (new_keys // 2 + 1 if new_keys else None)
    version = in_office(folder, passphrase_file, lambda office: office.rotate_root(old, new, wanted, online=online))
    tell(json_out, {"root_version": version}, f"root {version} is in force", f"根元数据第 {version} 版已生效")


def _root_passphrases(path: Path | None, count: int, *, new: bool = True) -> list[bytes]:
    """One for each key, from a file or asked for."""
    if path is None:
        what = say("Passphrase of root key", "根密钥口令")
        return [ask(f"{what} {number}", new=new) for number in range(1, count + 1)]
    lines = [line for line in path.read_bytes().splitlines() if line]
    if len(lines) != count:
        raise click.UsageError(
            say(f"{path}: {count} lines are needed, one for each key", f"{path}：应有 {count} 行，每个密钥一行")
        )
    return lines


def _tell_version(json_out: bool, version: int, en: str, zh: str, **more: str) -> None:
    tell(json_out, {**more, "version": version}, f"{en}; directory {version}", f"{zh}；目录第 {version} 版")
