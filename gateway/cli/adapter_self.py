"""`wugan adapter self`: what a department does to its own adapter, at the gateway of its province, over the network.

Owns: the channel with the department's certificate, and telling what the gateway says. Refuses: acting on any other
adapter: the certificate says which one it is.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gateway.cli import EXIT_UNREACHABLE, EXIT_USAGE
from gateway.cli.access_common import FILE, JSON, WHY, ended, fail, moment, tell
from gateway.cli.adapter_common import STATES
from gateway.cli.files import read_text
from gateway.cli.language import plain, say

if TYPE_CHECKING:
    from wugan.adapter.v1 import registry_pb2, registry_pb2_grpc

R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., None])

MAX_PUSH_BYTES = 16 << 20
PUSHED_AT_ONCE = 5_000
"""People in one call, as the contract allows (registry.proto)."""
_NUMBER = re.compile(r"(?=.*[0-9])[0-9A-Za-z()（）/-]{7,40}")
"""What may be the number of an identity document of whatever kind."""


@click.group(
    "self",
    help=say(
        "A department's own adapter, at the gateway of its province, with the department's certificate. Exit codes: 0 "
        "done, 1 refused, 2 wrong usage, 3 the gateway is not reached.",
        "部门使用本部门证书，在本省网关上登记、暂停、恢复、撤回自己的接入。退出码：0 完成，1 被拒绝，2 用法错误，"
        "3 无法连接网关。",
    ),
)
def self_() -> None:
    """The group."""


def reaching(command: F) -> F:
    """The options by which the gateway is reached."""
    for option in (
        JSON,
        click.option(
            "--certs",
            "folder",
            required=True,
            type=click.Path(exists=True, file_okay=False, path_type=Path),
            help=say("folder made by `wugan certs enrol-unit`", "由 wugan certs enrol-unit 生成的目录"),
        ),
        click.option(
            "--gateway", "address", required=True, help=say("host:port of the gateway's agency side", "网关经办侧地址")
        ),
    ):
        command = option(command)
    return command


@self_.command(help=say("Propose the version that MANIFEST (kind remote) is.", "提交 MANIFEST（remote 类型）待批准。"))
@click.argument("manifest", type=FILE)
@WHY
@reaching
def register(address: str, folder: Path, json_out: bool, manifest: Path, why: str) -> None:
    """Register."""
    from wugan.adapter.v1 import registry_pb2

    request = registry_pb2.RegisterRequest(manifest=manifest.read_bytes(), reason=why)
    answer = _call(address, folder, lambda stub: stub.Register(request, timeout=30))
    told = _described(answer.registration)
    tell(json_out, told, _line(told), _line(told))


@self_.command("list", help=say("List the versions, their state and how trials go.", "列出各版本、状态与试运行情况。"))
@click.option("--all", "everything", is_flag=True, help=say("removed versions, too", "包括已移除的版本"))
@reaching
def list_(address: str, folder: Path, json_out: bool, everything: bool) -> None:
    """List."""
    from wugan.adapter.v1 import registry_pb2

    request = registry_pb2.ListRegistrationsRequest(removed=everything)
    answer = _call(address, folder, lambda stub: stub.ListRegistrations(request, timeout=30))
    listed = [_described(each) for each in answer.registrations]
    if json_out:
        click.echo(json.dumps(listed, ensure_ascii=False))
        return
    for told in listed:
        click.echo(plain(_line(told)))
    if not listed:
        click.echo(say("nothing is registered", "尚未登记"))


@self_.command(help=say("Have the adapter not asked from now on.", "暂停接入：自此不再查询。"))
@WHY
@reaching
def suspend(address: str, folder: Path, json_out: bool, why: str) -> None:
    """Suspend."""
    from wugan.adapter.v1 import registry_pb2

    request = registry_pb2.SuspendRequest(reason=why)
    _call(address, folder, lambda stub: stub.Suspend(request, timeout=30))
    tell(json_out, {"state": "suspended"}, "the adapter is suspended", "接入已暂停")


@self_.command(
    help=say(
        "Have the adapter asked again, unless an administrator suspended it, too.", "恢复接入（管理员另行暂停的除外）。"
    )
)
@WHY
@reaching
def resume(address: str, folder: Path, json_out: bool, why: str) -> None:
    """Resume."""
    from wugan.adapter.v1 import registry_pb2

    request = registry_pb2.ResumeRequest(reason=why)
    _call(address, folder, lambda stub: stub.Resume(request, timeout=30))
    tell(json_out, {"state": "resumed"}, "the adapter is resumed", "接入已恢复")


@self_.command(help=say("Take the version with DIGEST back, for ever.", "撤回摘要为 DIGEST 的版本，不可恢复。"))
@click.argument("digest")
@WHY
@reaching
def withdraw(address: str, folder: Path, json_out: bool, digest: str, why: str) -> None:
    """Withdraw."""
    from wugan.adapter.v1 import registry_pb2

    async def work(stub: registry_pb2_grpc.AdapterRegistryServiceAsyncStub) -> bytes:
        listed = await stub.ListRegistrations(registry_pb2.ListRegistrationsRequest(), timeout=30)
        found = [each.digest for each in listed.registrations if each.digest.hex().startswith(digest.lower())]
        if len(found) != 1:
            raise fail(
                f"{len(found)} versions have a digest that begins so; see `wugan adapter self list`",
                f"摘要以此开头的版本有 {len(found)} 个，请查看 `wugan adapter self list`",
                EXIT_USAGE,
            )
        await stub.WithdrawVersion(registry_pb2.WithdrawVersionRequest(digest=found[0], reason=why), timeout=30)
        return found[0]

    gone = _call(address, folder, work).hex()
    tell(json_out, {"digest": gone, "state": "removed"}, f"{gone[:8]} is withdrawn", f"{gone[:8]} 已撤回")


@self_.command(
    help=say(
        "Tell of people of whom there is something new: one number a line in FILE ('-': standard input), and the name "
        "after a comma, in UTF-8 or GB 18030. Without FILE: the adapter's own changes are looked at now.",
        "推送有变更的人员：FILE 每行一个号码，逗号后为姓名（“-”为标准输入），UTF-8 或 GB 18030；"
        "不给 FILE 则请网关立即读取接入的变更。",
    )
)
@click.argument("file", required=False, type=click.Path(allow_dash=True, dir_okay=False, path_type=Path))
@reaching
def push(address: str, folder: Path, json_out: bool, file: Path | None) -> None:
    """Push."""
    from wugan.adapter.v1 import registry_pb2

    people = [] if file is None else _people(file)

    async def work(stub: registry_pb2_grpc.AdapterRegistryServiceAsyncStub) -> None:
        for start in range(0, max(1, len(people)), PUSHED_AT_ONCE):
            request = registry_pb2.PushChangesRequest()
            for number, name in people[start : start + PUSHED_AT_ONCE]:
                request.people.held_id_number.append(number)
                request.people.held_name.append(name)
            await stub.PushChanges(request, timeout=30)

    _call(address, folder, work)
    count = len(people)
    if file is None:
        tell(json_out, {"people": 0}, "the adapter's own changes are looked at now", "网关将立即读取该接入的变更")
    else:
        tell(json_out, {"people": count}, f"{count} people told of", f"已推送 {count} 人")


def _people(file: Path) -> list[tuple[str, str]]:
    """Number and name of each line of a file; ends the command where one is not read, instead of leaving somebody out.

    A first line without any digit is a heading.
    """
    text = read_text(file, MAX_PUSH_BYTES)
    people = []
    for count, line in enumerate(text.splitlines(), 1):
        number, _, name = (cell.strip().strip('"').strip() for cell in line.partition(","))
        if not line.strip() or (count == 1 and not any(letter.isdigit() for letter in number)):
            continue
        if not _NUMBER.fullmatch(number):
            raise fail(
                f"{file}:{count}: begins with no identity number; nobody was told of",
                f"{file}:{count}：行首不是证件号码，未推送任何人员",
                EXIT_USAGE,
            )
        people.append((number, name))
    if not people:
        raise fail(f"{file}: names nobody", f"{file}：没有人员", EXIT_USAGE)
    return people


def _call(
    address: str,
    folder: Path,
    work: Callable[[registry_pb2_grpc.AdapterRegistryServiceAsyncStub], Awaitable[R]],
) -> R:
    """What a call returns; an error of ours ends the command."""
    return ended(lambda: asyncio.run(_called(address, folder, work)))


async def _called(
    address: str,
    folder: Path,
    work: Callable[[registry_pb2_grpc.AdapterRegistryServiceAsyncStub], Awaitable[R]],
) -> R:
    import grpc

    from certs.chain import certificate_identity
    from certs.files import read_public
    from certs.grpc_credentials import channel_credentials, channel_options
    from certs.identity import Identity
    from certs.keys import load_private_key
    from gateway.status import from_rpc_error
    from wugan.adapter.v1 import registry_pb2_grpc

    certificate = read_public(folder / "certificate.pem")
    own = certificate_identity(certificate)
    credentials = channel_credentials(
        load_private_key(folder / "key.pem"), certificate, read_public(folder / "roots.pem")
    )
    name = Identity.gateway(own.federation, own.member_id).tls_name
    async with grpc.aio.secure_channel(address, credentials, options=channel_options(name)) as channel:
        try:
            return await work(registry_pb2_grpc.AdapterRegistryServiceStub(channel))
        except grpc.aio.AioRpcError as error:
            ours = from_rpc_error(error)
            if ours is not None:
                raise ours from None
            raise fail(
                f"the gateway at {address} cannot be reached ({error.code().name}); is it running, and do certificate "
                "and root belong together?",
                f"无法连接网关 {address}（{error.code().name}），请确认其正在运行，且证书与根证书匹配",
                EXIT_UNREACHABLE,
            ) from None


def _described(each: registry_pb2.Registration) -> dict[str, Any]:
    from wugan.adapter.v1 import registry_pb2

    state = registry_pb2.RegistrationState.Name(each.state).removeprefix("REGISTRATION_STATE_").lower()
    told: dict[str, Any] = {
        "version": each.version,
        "digest": each.digest.hex(),
        "state": state,
        "since": moment(each.since.ToMilliseconds()),
        "why": each.reason,
        "suspended_by_department": each.suspended_by_department,
    }
    if each.fault_en:
        told["fault"] = {"en": each.fault_en, "zh": each.fault_zh}
    if each.trial.asked:
        told["trial"] = {field.name: value for field, value in each.trial.ListFields()}
    return told


def _line(told: dict[str, Any]) -> str:
    state = say(*STATES.get(told["state"], (told["state"], told["state"])))
    fault = say(told["fault"]["en"], told["fault"]["zh"]) if "fault" in told else ""
    return (
        f"{told['version'] or '-':10} {told['digest'][:8]}  {state}  {told['since']}  {told['why']}  {fault}".rstrip()
    )
