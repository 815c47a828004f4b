"""`wugan authority`: the federation's authority, in a folder.

Owns: founding it, publishing and running; the other commands are modules beside this one. Refuses: passphrases on the
command line, which other users of the machine can see; every decision is the office's.
"""

from __future__ import annotations

from pathlib import Path

import click

from gateway.cli import EXIT_USAGE
from gateway.cli.authority_issuing import issuing, token
from gateway.cli.authority_members import member
from gateway.cli.authority_options import (
    CA_PASSPHRASE,
    DIR,
    FILE,
    JSON,
    PASSPHRASE,
    ask,
    crl_number,
    in_office,
    line,
    or_exit,
    tell,
    tell_version,
)
from gateway.cli.authority_revoking import certificates, revoke
from gateway.cli.authority_root import THRESHOLD, root, root_passphrases, with_files
from gateway.cli.failing import end
from gateway.cli.language import say


@click.group(
    help=say(
        "The federation's authority: members, directory, revocation. Commands work while it runs. "
        "Exit codes: 0 done, 2 wrong usage, folder or key.",
        "联盟管理机构：成员、目录与吊销。服务运行期间亦可执行各命令。退出码：0 完成，2 用法、目录或密钥有误。",
    )
)
def authority() -> None:
    """The group."""


for command in (member, token, issuing, certificates, revoke, root):
    authority.add_command(command)


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
@THRESHOLD
@click.option(
    "--root-passphrases-file",
    type=FILE,
    help=say(
        "a line for each root key, mode 0600; asked for without it",
        "每行一个根密钥口令（权限 0600）；未提供时逐一询问",
    ),
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
    from certs.identity import require_federation
    from gateway.authority.founding import Plan, found
    from gateway.authority.repository import require_numbers
    from gateway.clock import SystemClock

    wanted = threshold or root_keys // 2 + 1
    or_exit(lambda: require_federation(federation))  # before anybody thinks of passphrases
    or_exit(lambda: require_numbers(root_keys, wanted))
    if folder.is_dir() and any(folder.iterdir()):
        end(f"{folder}: not empty; name an empty folder", f"{folder}：目录非空，请指定空目录", EXIT_USAGE)
    plan = Plan(
        federation,
        root_passphrases(root_passphrases_file, root_keys),
        wanted,
        line(passphrase_file),
        line(ca_passphrase_file) or ask(say("Passphrase of the certificates' root key", "证书根密钥口令")),
        listen,
        plain_listen,
        public_url,
    )
    or_exit(lambda: found(folder, plan, SystemClock()))
    made = in_office(folder, passphrase_file, lambda office: office.root_keys())
    about = {
        "federation": federation,
        "version": 1,
        "root": str(folder / "root.json"),
        "roots": str(folder / "root.pem"),
        "root_keys": [str(file) for file in made],
    }
    en = f"{federation}: founded in {folder}; give root.json and root.pem to every member"
    zh = f"{federation}：已在 {folder} 创建；请将 root.json 与 root.pem 交给各成员"
    tell(json_out, about, *with_files(en, zh, made))


@authority.command(
    help=say(
        "Publish the directory anew, changed or not. After a restore from a backup: --above, with the version of the "
        "timestamp that a gateway holds, or gateways take the restored directory for a rollback and refuse it.",
        "重新发布成员目录（无论有无变更）。从备份恢复后须加 --above 并指定某网关所持 timestamp 的版本号，"
        "否则各网关将视其为回滚而拒绝。",
    )
)
@DIR
@click.option(
    "--above",
    type=click.IntRange(0, 1_000_000_000),
    default=0,
    help=say("every version published is higher than this", "所发布的各版本号均高于此值"),
)
@click.option(
    "--crl-above",
    "lists_above",
    type=crl_number,
    default=0,
    metavar="NUMBER",
    help=say(
        "revocation lists from now on have a number higher than this, decimal or 0x…; only where they went by a clock "
        "that was ahead",
        "此后吊销列表的编号均高于此值（十进制或 0x…）；仅在曾按超前的时钟编号时需要",
    ),
)
@PASSPHRASE
@JSON
def publish(folder: Path, above: int, lists_above: int, passphrase_file: Path | None, json_out: bool) -> None:
    """Publish."""
    version = in_office(folder, passphrase_file, lambda office: office.publish(above, lists_above))
    tell_version(json_out, version, "published", "已发布")


@authority.command(
    help=say(
        "Serve the directory, its push stream, what members tell, enrolment (EST), revocation lists and OCSP, until "
        "SIGTERM or Ctrl-C.",
        "运行服务：成员目录、推送、成员上报、证书申领（EST）、吊销列表与 OCSP，直至收到 SIGTERM 或 Ctrl-C。",
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
