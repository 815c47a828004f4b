"""`wugan authority revoke` and `wugan authority certificates`: taking certificates back, and what there is of them.

Owns: reading options, and saying what was revoked and what its holder still has. Refuses: every decision; they are the
office's.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from gateway.cli.access_common import local
from gateway.cli.authority_options import DIR, FILE, JSON, PASSPHRASE, REASON, REASONS, in_office, tell_version
from gateway.cli.language import plain, say
from gateway.cli.member_names import MemberNames

if TYPE_CHECKING:
    from certs.records import Record
    from gateway.authority.office import Office
    from gateway.authority.revoking import Revoked


LISTED = 10_000
"""Certificates shown at most."""


class Key(NamedTuple):
    """What became of a key."""

    version: int
    listed: bool


_KINDS = {"tls": ("TLS", "TLS"), "signing": ("signing", "签名")}


@click.command(
    help=say(
        "The certificates that were issued and have not expired: serial number, kind, from when, until when, revoked "
        "or not, by holder. In JSON also on what each was issued: a token, or the certificate that it renews.",
        "列出已签发且未过期的证书：序列号、类型、签发与到期时间、是否吊销，按持有者分组。"
        "JSON 另含签发依据：令牌，或其所续期的证书。",
    )
)
@DIR
@click.option("--member", "member_id", help=say("of this member only (GB 32100)", "仅列出该成员（统一社会信用代码）"))
@PASSPHRASE
@JSON
def certificates(folder: Path, member_id: str | None, passphrase_file: Path | None, json_out: bool) -> None:
    """List the certificates."""
    from certs.identity import require_member_id

    def work(office: Office) -> tuple[tuple[Record, ...], MemberNames]:
        member = require_member_id(member_id) if member_id is not None else ""
        names = MemberNames({each.member_id: (each.name_zh, each.name_en) for each in office.members()})
        return office.authority.ledger.unexpired(office.now(), member_id=member, limit=LISTED), names

    found, names = in_office(folder, passphrase_file, work)
    if json_out:
        click.echo(json.dumps({"certificates": [_about(each) for each in found]}, ensure_ascii=False, indent=2))
    else:
        _show(found, names)
    if len(found) == LISTED:
        said = say(f"only {LISTED} are shown; name a --member", f"仅显示 {LISTED} 张，请用 --member 指定成员")
        click.echo(said, err=True)


@click.command(
    help=say(
        "Take back a member with all its certificates, one certificate, one key, or an issuing CA. Gateways refuse it "
        "within a second, on open connections too. With a certificate goes what was issued on the strength of it, "
        "because whoever stole its key could renew it, and its holder's open tokens; not where the reason is "
        "`superseded`.",
        "吊销成员（含其全部证书）、单张证书、单个密钥或签发 CA。各网关在一秒内拒绝，已建立的连接亦然。"
        "吊销证书时一并吊销凭其续期签发的证书（窃得密钥者可用其续期），并作废持有者尚未使用的令牌；"
        "原因为 superseded 时除外。",
    )
)
@DIR
@click.option("--member", "member_id", help=say("a member's code", "成员代码"))
@click.option("--certificate", type=FILE, help=say("a certificate, PEM", "证书（PEM）"))
@click.option("--serial", help=say("a certificate's serial number, hexadecimal", "证书序列号（十六进制）"))
@click.option("--key", "key_id", help=say("id of a signing or encryption key", "签名或加密密钥标识"))
@click.option(
    "--issuing",
    help=say(
        "name of a retired issuing CA whose key was stolen, as `issuing list` shows it; what it really issued stays. "
        "Or of a member's own CA: nothing of it stays",
        "密钥被窃的停用签发 CA 名称（见 `issuing list`），其真实签发的证书保留有效；"
        "或成员自有 CA 名称，其所签证书全部失效",
    ),
)
@click.option(
    "--with-renewed/--alone",
    "renewed",
    default=None,
    help=say(
        "with a certificate: what it was renewed to and open tokens as well, or not; by default as the reason suggests",
        "吊销证书时是否一并吊销其续期证书并作废未用令牌；默认依原因而定",
    ),
)
@REASON
@PASSPHRASE
@JSON
def revoke(
    folder: Path,
    member_id: str | None,
    certificate: Path | None,
    serial: str | None,
    key_id: str | None,
    issuing: str | None,
    renewed: bool | None,
    reason: str,
    passphrase_file: Path | None,
    json_out: bool,
) -> None:
    """Revoke something."""
    named = member_id, certificate, serial, key_id, issuing
    of_member_ca = serial is not None and issuing is not None  # its numbers are not known here
    if sum(each is not None for each in named) != (2 if of_member_ca else 1):
        raise click.UsageError(
            say(
                "name one of --member, --certificate, --serial, --key, --issuing; or --serial with --issuing, "
                "the CA of a member",
                "请在 --member、--certificate、--serial、--key、--issuing 中指定一项；"
                "或以 --serial 加 --issuing 指定成员自有 CA 的证书",
            )
        )
    if renewed is not None and certificate is None and serial is None:
        raise click.UsageError(
            say(
                "--with-renewed and --alone go with --certificate or --serial",
                "--with-renewed 与 --alone 仅可与 --certificate 或 --serial 同用",
            )
        )
    if issuing is not None and serial is None:
        _revoke_issuing(folder, passphrase_file, issuing, json_out=json_out)
        return
    number = REASONS[reason]

    def work(office: Office) -> Revoked | Key | int:
        if member_id is not None:
            return office.remove(member_id, reason=number)
        if key_id is not None:
            listed = office.lists_key(key_id)
            version = office.revoke_key(key_id, reason=number)
            return Key(version, listed)
        if certificate is not None:
            return office.revoke_pem(certificate.read_bytes(), reason=number, renewed=renewed)
        if issuing is not None:
            return office.revoke_vouched(serial or "", issuing, reason=number)
        return office.revoke_serial(serial or "", reason=number, renewed=renewed)

    done = in_office(folder, passphrase_file, work)
    if isinstance(done, int):
        tell_version(json_out, done, "revoked", "已吊销")
        return
    if isinstance(done, Key):
        tell_version(json_out, done.version, "revoked", "已吊销", listed=done.listed)
        if not done.listed:
            click.echo(
                say(
                    "No member lists this key now; it never will be. If it should be in use, compare its id.",
                    "目前没有成员公布该密钥，今后也不会列入目录。若该密钥应在使用中，请核对标识。",
                ),
                err=True,
            )
        return
    taken, left = ([_about(each) for each in part] for part in (done.taken, done.left))
    tokens, open_tokens = ([each.token_id for each in part] for part in (done.tokens, done.tokens_left))
    told = {"revoked": taken, "still_valid": left, "tokens_cancelled": tokens, "tokens_open": open_tokens}
    tell_version(json_out, done.version, "revoked", "已吊销", **told)
    if done.member_ca and not json_out:
        click.echo(
            say(
                f"The member's own CA {done.member_ca} issued it. What that issued on the strength of it is not known "
                f"here: ask whoever runs it, or take the CA back (--issuing {done.member_ca}).",
                f"该证书由成员自有 CA {done.member_ca} 签发，凭其续期签发的证书本机构无从得知："
                f"请向该 CA 运行方核实，或撤回该 CA（--issuing {done.member_ca}）。",
            ),
            err=True,
        )
    elif not json_out:
        for each in done.taken:
            click.echo(f"  {_line(each)}")
        if not done.taken:
            click.echo(
                say(
                    "No certificate more than before: it was revoked already, or was not issued here.",
                    "未新增吊销：该证书此前已吊销，或非本机构签发。",
                ),
                err=True,
            )
        if done.left:
            click.echo(
                say(
                    "The same holder still has these; `wugan authority member readmit` takes back all of a gateway:",
                    "该持有者仍有以下有效证书；如需吊销网关全部证书，请使用 wugan authority member readmit：",
                )
            )
            for each in done.left:
                click.echo(f"  {_line(each)}")
        _tell_tokens(done)


def _tell_tokens(done: Revoked) -> None:
    """What became of one-time tokens that the holder has not used yet."""
    taken, left = ("  ".join(each.token_id for each in part) for part in (done.tokens, done.tokens_left))
    if taken:
        click.echo(
            say(
                f"Open tokens of the same holder were taken back too; make a new one for whoever is to enrol: {taken}",
                f"该持有者尚未使用的一次性令牌已一并作废，如需重新登记请另行生成：{taken}",
            )
        )
    if left:
        click.echo(
            say(
                f"The same holder has open tokens, with which it can enrol; `wugan authority token cancel`: {left}",
                f"该持有者仍有尚未使用的一次性令牌，可凭其登记；如需作废请使用 wugan authority token cancel：{left}",
            )
        )


def _revoke_issuing(folder: Path, passphrase_file: Path | None, name: str, *, json_out: bool) -> None:
    """A CA: the reason is always the same."""

    def work(office: Office) -> tuple[int, int, bool]:
        return *office.revoke_issuing(name), any(ca.name == name for ca in office.accepted_cas())

    version, kept, external = in_office(folder, passphrase_file, work)
    tell_version(json_out, version, "revoked", "已吊销", issuing=name, kept=kept)
    if external and not json_out:
        click.echo(
            say(
                "Nothing that it issued counts any more, and nothing of it is listed. The member's gateway, agencies "
                "and departments enrol anew, here with tokens or under another CA that is accepted.",
                "其所签证书全部失效并已移出目录。该成员的网关、经办机构与部门须重新登记："
                "使用本机构令牌，或另行接受新的 CA。",
            )
        )
    elif not json_out:
        click.echo(
            say(
                f"{kept} certificates that it really issued stay in use until they are renewed",
                f"其真实签发的 {kept} 张证书在更新前继续有效",
            )
        )


def _about(record: Record) -> dict[str, Any]:
    """A certificate for programs."""
    return {
        "serial": f"{record.serial:x}",
        "kind": record.profile,
        "holder": _holder(record),
        "issued_at": record.issued_at.isoformat(timespec="seconds"),
        "expires_at": record.expires_at.isoformat(timespec="seconds"),
        "revoked_at": record.revoked_at.isoformat(timespec="seconds") if record.revoked_at else "",
        "reason": record.reason.value if record.reason else "",
        "grounds": record.grounds,
    }


def _show(records: Sequence[Record], names: MemberNames) -> None:
    """Certificates for people, under the names of their holders."""
    holder = ""
    if not records:
        click.echo(say("no certificate that has not expired", "没有未过期的证书"), err=True)
    for each in records:
        if _holder(each) != holder:
            holder = _holder(each)
            name = names.name(each.holder.member_id) if each.holder is not None else ""
            click.echo(plain(f"{holder}  {name}".rstrip()))
        click.echo(f"  {_line(each)}")


def _line(record: Record) -> str:
    kind = say(*_KINDS.get(record.profile, (record.profile, record.profile)))
    state = say("valid", "有效")
    if record.revoked_at is not None:
        reason = record.reason.value if record.reason else ""
        at = local(record.revoked_at)
        state = say(f"revoked {at} {reason}", f"已吊销 {at} {reason}").rstrip()
    issued, expires = local(record.issued_at), local(record.expires_at)
    return f"{record.serial:040x}  {kind}  {issued}  {expires}  {state}"


def _holder(record: Record) -> str:
    return record.holder.uri if record.holder is not None else ""
