"""`wugan certs enrol-unit`: the certificate of an agency or of a department's adapter.

Owns: reading options, and saying what was done. Refuses: the gateway's own keys (`wugan certs enrol`).
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from pathlib import Path

import click

from gateway.cli import EXIT_REFUSED, EXIT_UNREACHABLE, EXIT_USAGE
from gateway.cli.failing import end
from gateway.cli.language import say

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(
    "enrol-unit",
    help=say(
        "Enrol an agency, or a department's adapter: make its key, have a certificate issued with a one-time token, "
        "write key.pem, certificate.pem and roots.pem for agency.toml. Safe to repeat with the same token when it was "
        "interrupted. --renew replaces key and certificate, on the strength of the present ones: do it weekly.\n\n"
        "Exit codes: 0 done, 1 refused, 2 wrong usage or files, 3 not reached.",
        "登记经办机构或部门接入程序：生成密钥，凭一次性令牌签发证书，写入 key.pem、certificate.pem 与 roots.pem 供 "
        "agency.toml 使用。中断后可用同一令牌重复执行。--renew 凭现有证书更换密钥与证书，建议每周执行。\n\n"
        "退出码：0 完成，1 被拒绝，2 用法或文件错误，3 无法连接。",
    ),
)
@click.option(
    "--dir",
    "folder",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help=say("folder of the files", "文件所在目录"),
)
@click.option("--authority", "url", required=True, help=say("https://host:port", "管理机构地址 https://主机:端口"))
@click.option("--tls-name", required=True, help=say("name that the authority must prove", "管理机构 TLS 证书名称"))
@click.option("--roots", type=_FILE, help=say("federation root, PEM; for the first time", "联盟根证书（首次）"))
@click.option(
    "--token-file", type=_FILE, help=say("file with the one-time token, mode 0600", "一次性令牌文件，权限 0600")
)
@click.option("--renew", is_flag=True, help=say("renew what is there", "续期现有证书"))
@click.option("--json", "json_out", is_flag=True, help=say("print JSON", "输出 JSON"))
def enrol_unit(
    folder: Path,
    url: str,
    tls_name: str,
    roots: Path | None,
    token_file: Path | None,
    renew: bool,
    json_out: bool,
) -> None:
    """Enrol or renew."""
    from pydantic import ValidationError

    from certs.errors import CertsError, EstError
    from certs.files import read_public
    from certs.keys import read_passphrase
    from gateway.clock import SystemClock
    from gateway.federation.enrolling import Token
    from gateway.federation.holder_files import HolderFiles
    from gateway.sections.trust import AuthoritySettings

    if renew in (token_file is not None, roots is not None):
        raise click.UsageError(
            say("give --token-file and --roots, or --renew", "请提供 --token-file 与 --roots，或使用 --renew")
        )
    try:
        files = HolderFiles(folder, AuthoritySettings(url=url, tls_name=tls_name))
    except ValidationError:
        raise click.UsageError(say("--authority is https://host:port", "--authority 应为 https://主机:端口")) from None
    now = dt.datetime.fromtimestamp(SystemClock().now_ms() / 1000, dt.UTC)
    try:
        if token_file is None or roots is None:
            identity = asyncio.run(files.renew(now))
        else:
            token = Token.parse(read_passphrase(token_file).decode("ascii", "replace"))
            identity = asyncio.run(files.enrol(read_public(roots), token, now))
    except CertsError as error:
        code = EXIT_USAGE if not isinstance(error, EstError) else EXIT_REFUSED if error.status else EXIT_UNREACHABLE
        end(error.en, error.zh, code)
    said = say(f"{identity.uri}: the files are in {folder}", f"{identity.uri}：文件位于 {folder}")
    click.echo(json.dumps({"holder": identity.uri, "folder": str(folder)}, ensure_ascii=False) if json_out else said)
