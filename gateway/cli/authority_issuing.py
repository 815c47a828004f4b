"""`wugan authority token` and `wugan authority issuing`: who may enrol, and what issues.

Owns: reading options, and saying what was done. Refuses: showing a token's secret a second time; nobody knows it then.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.access_common import local
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
    tell_version,
)
from gateway.cli.language import say

if TYPE_CHECKING:
    from certs.identity import Identity
    from certs.records import Token
    from gateway.authority.office import Office


ROOT_KEY = click.option(
    "--root-key", type=FILE, help=say("where the root's key was carried to", "证书根密钥文件，默认为机构目录中的文件")
)


@click.group(help=say("One-time tokens: who may enrol.", "一次性令牌：谁可以登记。"))
def token() -> None:
    """The group."""


@token.command(
    help=say(
        "Hand out a one-time token: for a member's gateway, or with --unit or --department for an agency or an adapter "
        "of it. It is shown once.",
        "签发一次性令牌：默认用于成员网关，--unit 或 --department 用于其经办机构或部门接入程序。令牌仅显示一次。",
    )
)
@DIR
@MEMBER
@click.option("--unit", help=say("code of an agency of the member", "经办机构代码"))
@click.option("--department", help=say("id of a department's adapter of the member", "部门接入标识"))
@TOKEN_DAYS
@TOKEN_FILE
@PASSPHRASE
@JSON
def add(
    folder: Path,
    member_id: str,
    unit: str | None,
    department: str | None,
    days: float,
    token_file: Path | None,
    passphrase_file: Path | None,
    json_out: bool,
) -> None:
    """Make a token."""
    from certs.identity import ROLE_DEPARTMENT, ROLE_UNIT, Identity

    if unit is not None and department is not None:
        raise click.UsageError(say("name --unit or --department, not both", "--unit 与 --department 只能指定其一"))
    require_free(token_file)

    def work(office: Office) -> Token:
        federation = office.settings.federation
        holder = Identity.gateway(federation, member_id)
        if unit is not None:
            holder = Identity(federation, member_id, ROLE_UNIT, unit)
        elif department is not None:
            holder = Identity(federation, member_id, ROLE_DEPARTMENT, department)
        return make_token(office, holder, days, token_file)

    made = in_office(folder, passphrase_file, work)
    about = about_token(made, token_file)
    tell(json_out, about, *said_of_token(made, token_file))


@token.command("list", help=say("Tokens that may still be used.", "尚可使用的令牌。"))
@DIR
@PASSPHRASE
@JSON
def list_tokens(folder: Path, passphrase_file: Path | None, json_out: bool) -> None:
    """List the open tokens."""
    found = in_office(folder, passphrase_file, lambda office: office.authority.ledger.tokens.open(office.now()))
    if json_out:
        listed = [
            {"id": each.token_id, "holder": each.holder.uri, "expires_at": _time(each.expires_at)} for each in found
        ]
        click.echo(json.dumps({"tokens": listed}, indent=2))
        return
    if not found:
        click.echo(say("no open token: each was used, has expired or was cancelled", "没有可用的令牌"), err=True)
    for each in found:
        click.echo(f"{each.token_id}  {each.holder.uri}  {local(each.expires_at)}")


@token.command(help=say("Take a token back that was not used yet.", "取消尚未使用的令牌。"))
@DIR
@click.option("--id", "token_id", required=True, help=say("its id", "令牌标识"))
@PASSPHRASE
@JSON
def cancel(folder: Path, token_id: str, passphrase_file: Path | None, json_out: bool) -> None:
    """Cancel a token."""
    found = in_office(folder, passphrase_file, lambda office: office.authority.ledger.tokens.cancel(token_id))
    if not found:
        raise click.UsageError(say("there is no open token of that id", "没有该标识的未使用令牌"))
    tell(json_out, {"id": token_id, "state": "cancelled"}, "cancelled", "已取消")


@click.group(help=say("The CAs that issue certificates.", "签发 CA 管理。"))
def issuing() -> None:
    """The group."""


@issuing.command(
    help=say(
        "Make another issuing CA, which issues from now on. Gateways notice within the hour and renew their "
        "certificates by themselves, spread over a day and a half for TLS, twenty days for signing; the one before "
        "answers for its certificates until the last has expired.",
        "新建签发 CA，此后由其签发证书。各网关在一小时内获知并自行更新证书（TLS 分散在一天半内，签名分散在二十天内）；"
        "原签发 CA 保留至其证书全部过期。",
    )
)
@DIR
@CA_PASSPHRASE
@ROOT_KEY
@PASSPHRASE
@JSON
def roll(
    folder: Path,
    ca_passphrase_file: Path | None,
    root_key: Path | None,
    passphrase_file: Path | None,
    json_out: bool,
) -> None:
    """Roll the issuing CA."""
    secret = _root_passphrase(ca_passphrase_file, folder, root_key)
    made = in_office(
        folder,
        passphrase_file,
        lambda office: office.roll_issuing(root_key, secret),
    )
    tell(json_out, {"issuing": made.name}, f"{made.name} issues from now on", f"此后由 {made.name} 签发")


@issuing.command(
    help=say(
        "Accept a CA that a member runs itself, under the federation's root: what it issues for this member is "
        "believed from now on, and nothing that it issues for anybody else. `revoke --issuing` takes it back, with all "
        "that it issued.",
        "接受成员自行运行、由联盟根签发的 CA：此后其为该成员签发的证书有效，为其他身份签发的一律不予采信。"
        "可用 `revoke --issuing` 撤回，其所签证书随之全部失效。",
    )
)
@DIR
@MEMBER
@click.argument("certificate", type=FILE)
@PASSPHRASE
@JSON
def accept(folder: Path, member_id: str, certificate: Path, passphrase_file: Path | None, json_out: bool) -> None:
    """Accept a member's CA."""
    made, version = in_office(
        folder, passphrase_file, lambda office: office.accept_ca(certificate.read_bytes(), member_id)
    )
    tell_version(
        json_out,
        version,
        f"{made.name} may certify {member_id}",
        f"{made.name} 可为 {member_id} 签发证书",
        issuing=made.name,
        member=member_id,
    )


@issuing.command(
    help=say(
        "Sign the certificate of a CA that a member runs itself, with the root's key: it can certify this member's "
        "gateway, agencies and departments, no other server and no further CA. It counts once it is accepted.",
        "用证书根密钥为成员自行运行的 CA 签发证书：只能为该成员的网关、经办机构与部门签发，不得为其他服务器或下级 CA "
        "签发。须经 `issuing accept` 接受后方可采信。",
    )
)
@DIR
@MEMBER
@click.option(
    "--request", required=True, type=FILE, help=say("the CA's certification request, PEM", "该 CA 的证书请求（PEM）")
)
@click.option(
    "--out",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help=say("where the certificate is written", "证书输出文件"),
)
@CA_PASSPHRASE
@ROOT_KEY
@PASSPHRASE
@JSON
def certify(
    folder: Path,
    member_id: str,
    request: Path,
    out: Path,
    ca_passphrase_file: Path | None,
    root_key: Path | None,
    passphrase_file: Path | None,
    json_out: bool,
) -> None:
    """Sign a member's CA."""
    from certs.files import PUBLIC, write_file
    from certs.holders import certificate_pem

    require_free(out)
    secret = _root_passphrase(ca_passphrase_file, folder, root_key)

    def work(office: Office) -> None:
        made = office.certify_ca(request.read_bytes(), member_id, root_key, secret)
        write_file(out, certificate_pem(made), mode=PUBLIC, replace=False)

    in_office(folder, passphrase_file, work)
    tell(json_out, {"member": member_id, "file": str(out)}, f"signed: {out}", f"已签发：{out}")


@issuing.command(
    "list",
    help=say(
        "The issuing CAs, the current one last; then those that members run.",
        "签发 CA 列表，当前的在最后；其后为成员自有 CA。",
    ),
)
@DIR
@PASSPHRASE
@JSON
def list_issuing(folder: Path, passphrase_file: Path | None, json_out: bool) -> None:
    """List the issuing CAs."""
    from cryptography.x509 import load_der_x509_certificate

    def work(office: Office) -> list[dict[str, Any]]:
        authority = office.authority
        return [
            {
                "issuing": each.name,
                "current": each is authority.issuing.current,
                "revoked": authority.issuing.is_revoked(each.name),
                "valid_until": _time(each.certificate.not_valid_after_utc),
                "last_certificate_until": _time(last) if (last := authority.ledger.last_expiry(each.name)) else "",
                "member": "",
            }
            for each in authority.issuing.all
        ] + [
            {
                "issuing": each.name,
                "current": False,
                "revoked": bool(each.revoked_ms),
                "valid_until": _time(load_der_x509_certificate(each.certificate).not_valid_after_utc),
                "last_certificate_until": "",
                "member": each.member_id,
            }
            for each in office.accepted_cas()
        ]

    found = in_office(folder, passphrase_file, work)
    if json_out:
        click.echo(json.dumps({"issuing": found}, indent=2))
        return
    for each in found:
        state = say("current", "当前") if each["current"] else say("retired", "已停用")
        state = say("external", "外部") if each["member"] else state
        state = say("revoked", "已吊销") if each["revoked"] else state
        last = each["member"] or local(each["last_certificate_until"])
        click.echo(f"{each['issuing']}  {state}  {local(each['valid_until'])}  {last}")


@issuing.command(
    help=say(
        "Destroy retired issuing CAs whose certificates have all expired. The running service does it once a day.",
        "销毁证书均已过期的停用签发 CA。服务运行时每日自动执行。",
    )
)
@DIR
@PASSPHRASE
@JSON
def prune(folder: Path, passphrase_file: Path | None, json_out: bool) -> None:
    """Prune the issuing CAs."""
    gone = in_office(folder, passphrase_file, lambda office: office.authority.issuing.prune(office.now()))
    names = ", ".join(gone)
    tell(json_out, {"destroyed": list(gone)}, f"destroyed: {names or 'none'}", f"已销毁：{names or '无'}")


def _root_passphrase(file: Path | None, folder: Path, root_key: Path | None) -> bytes | None:
    """From the file, or asked for; None for a demonstration's key, which has none."""
    from certs.issuing_cas import ROOT_KEY as NAME

    given, key = line(file), root_key or folder / NAME
    with contextlib.suppress(OSError):  # told of by whoever reads it
        if given is None and key.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----"):
            return None
    return given or ask(say("Passphrase of the certificates' root key", "证书根密钥口令"), new=False)


def require_free(file: Path | None) -> None:
    """Return when a token can be written to a file; ends the process with 2, and what is wrong, where it cannot.

    To be called before anything is done: what was revoked or added is not undone because a file was in the way.
    """
    from gateway.errors import ConfigError

    def check() -> None:
        if file is not None and file.exists():
            raise ConfigError(f"{file}: is there already and is not overwritten", f"{file}：文件已存在，不会覆盖")
        if file is not None and not file.parent.is_dir():
            raise ConfigError(f"{file.parent}: there is no such folder", f"{file.parent}：目录不存在")

    or_exit(check)


def make_token(office: Office, holder: Identity, days: float, file: Path | None) -> Token:
    """A token for a holder, written to a file where one is named."""
    from certs.files import PRIVATE, write_file

    made = office.make_token(holder, dt.timedelta(days=days))
    if file is not None:
        write_file(file, f"{made.token_id}:{made.secret}\n".encode(), mode=PRIVATE, replace=False)
    return made


def about_token(made: Token, file: Path | None) -> dict[str, str]:
    """A token for programs; its secret only where it is in no file."""
    about = {"id": made.token_id, "holder": made.holder.uri, "expires_at": _time(made.expires_at)}
    return {**about, "secret": made.secret} if file is None else {**about, "file": str(file)}


def said_of_token(made: Token, file: Path | None) -> tuple[str, str]:
    """The same for people, in both languages."""
    what = f"{made.token_id}:{made.secret}" if file is None else str(file)
    until = local(made.expires_at)
    return f"one-time token, until {until}: {what}", f"一次性令牌（有效期至 {until}）：{what}"


def _time(at: dt.datetime) -> str:
    return at.isoformat(timespec="seconds")
