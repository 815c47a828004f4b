"""`wugan adapter serve` and `wugan adapter remote`: an adapter that runs next to the department's data.

Owns: reading options, and the manifest that the province's gateway needs for it. Refuses: serving without mTLS, and
serving what is itself remote.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli import EXIT_UNREACHABLE, EXIT_USAGE
from gateway.cli.language import say

if TYPE_CHECKING:
    from adapters.manifest import Manifest
    from gateway.config import AdapterSettings

_MANIFEST = click.argument("manifest", type=click.Path(dir_okay=False, path_type=Path))
_PATH = click.Path(path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_CERTS = click.option(
    "--certs",
    type=click.Path(file_okay=False, path_type=Path),
    help=say("folder made by `wugan certs enrol-unit`", "由 wugan certs enrol-unit 生成的目录"),
)


@click.command(
    help=say(
        "Serve MANIFEST (kind table, api or file) to the province's gateway over mutual TLS, until SIGTERM or Ctrl-C; "
        "lookups under way then end. Settings come from --config (adapter.toml), or from the options. A certificate "
        "that is renewed in its files is shown from then on. Exit codes: 0 stopped, 2 wrong manifest, files or "
        "address, 3 the source is not reached at the start (with --check).",
        "在部门数据所在处运行接入服务：通过双向 TLS 向本省网关提供 MANIFEST（table、api 或 file 类型），收到 SIGTERM "
        "或 Ctrl-C 后等待在途查询结束再退出。设置取自 --config（adapter.toml）或命令选项。证书文件更新后自动启用。"
        "退出码：0 正常停止，2 清单、文件或地址有误，3 启动时数据源不可达（使用 --check 时）。",
    ),
)
@_MANIFEST
@click.option(
    "--config",
    "config_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=say("settings: adapter.toml", "配置文件 adapter.toml"),
)
@click.option("--listen", help=say("host:port", "监听地址 主机:端口"))
@_CERTS
@click.option("--cert", type=_PATH, help=say("own certificate, then the CA's, PEM", "本方证书及签发 CA 证书（PEM）"))
@click.option("--key", type=_PATH, help=say("its private key, mode 0600", "证书私钥，权限 0600"))
@click.option("--roots", type=_PATH, help=say("authorities of the caller's certificate", "信任的根证书"))
@click.option(
    "--caller",
    help=say(
        "URI name of the one gateway that may call; default: the gateway of own certificate's member",
        "唯一允许调用的网关的 URI 名称；默认为本证书所属成员的网关",
    ),
)
@click.option(
    "--crl",
    type=_PATH,
    multiple=True,
    help=say("file of a revocation list of the authority; repeatable", "管理机构的吊销列表文件，可重复"),
)
@click.option("--state", type=_PATH, help=say("folder for what the adapter keeps", "状态目录"))
@click.option("--ready-file", type=_PATH, help=say("written when calls are taken", "就绪文件"))
@click.option("--check", is_flag=True, help=say("first see whether the source is reached", "启动前先检查数据源"))
def serve(
    manifest: Path,
    config_file: Path | None,
    listen: str | None,
    certs: Path | None,
    cert: Path | None,
    key: Path | None,
    roots: Path | None,
    caller: str | None,
    crl: tuple[Path, ...],
    state: Path | None,
    ready_file: Path | None,
    check: bool,
) -> None:
    """Serve until told to stop."""
    from adapters.errors import AdapterError, SourceDownError
    from gateway.errors import WuganError
    from gateway.log import configure

    given: dict[str, object] = {
        "listen": listen,
        "tls": {
            "certificate": cert or (certs and certs / "certificate.pem"),
            "private_key": key or (certs and certs / "key.pem"),
            "roots": roots or (certs and certs / "roots.pem"),
        },
        "caller": caller,
        "crl": crl or None,
        "state_dir": state,
        "ready_file": ready_file,
    }
    try:
        settings = _settings(config_file, given)
        configure(settings.log.level, settings.log.format)
        _run(_servable(manifest), manifest, settings, check=check)
    except (WuganError, AdapterError) as error:
        click.echo(f"wugan: {say(error.en, error.zh)}", err=True)
        raise SystemExit(EXIT_UNREACHABLE if isinstance(error, SourceDownError) else EXIT_USAGE) from None


@click.command(
    help=say(
        "Print the manifest of kind remote that the province's gateway needs to ask the adapter that serves MANIFEST: "
        "what is agreed stands in it. The department hands it over; the gateway's administrator reads it.",
        "输出本省网关查询该接入服务所需的 remote 类型清单，其中列明约定的数据项。由部门提交，网关管理员审阅。",
    ),
)
@_MANIFEST
@click.option("--address", required=True, help=say("host:port at which the gateway reaches it", "网关访问地址"))
@_CERTS
@click.option("--tls-name", help=say("name in its certificate, where --certs is not given", "证书中的 DNS 名称"))
def remote(manifest: Path, address: str, certs: Path | None, tls_name: str | None) -> None:
    """Print it."""
    from adapters.errors import AdapterError
    from adapters.manifest.handing import remote_manifest
    from adapters.tls import own_tls_name

    if (certs is None) == (tls_name is None):
        raise click.UsageError(say("give --certs or --tls-name", "请提供 --certs 或 --tls-name"))
    try:
        name = tls_name or own_tls_name(certs / "certificate.pem" if certs else Path())
        click.echo(remote_manifest(_servable(manifest), address, name), nl=False)
    except AdapterError as error:
        click.echo(f"wugan: {say(error.en, error.zh)}", err=True)
        raise SystemExit(EXIT_USAGE) from None


def _servable(path: Path) -> Manifest:
    from adapters.errors import ManifestError
    from adapters.manifest import RemoteManifest, load_manifest

    manifest = load_manifest(path)
    if isinstance(manifest, RemoteManifest):
        raise ManifestError(
            f"{path}: is of kind remote, which a gateway asks; serve the manifest that it stands for",
            f"{path}：remote 类型由网关使用，请对其所指的部门清单执行本命令",
        )
    return manifest


def _settings(config_file: Path | None, given: dict[str, object]) -> AdapterSettings:
    """What the file says, and the options in its place where they say something."""
    from pydantic import ValidationError

    from gateway.config import AdapterSettings, load
    from gateway.errors import ConfigError

    said = {name: value for name, value in given.items() if value is not None}
    said["tls"] = {name: value for name, value in dict(given["tls"]).items() if value is not None}  # type: ignore[call-overload]
    if config_file is not None:
        settings = load(config_file, AdapterSettings)
        tls = settings.tls.model_copy(update=said.pop("tls"))  # type: ignore[arg-type]
        return AdapterSettings.model_validate({**settings.model_dump(exclude={"tls"}), **said, "tls": tls.model_dump()})
    try:
        return AdapterSettings.model_validate(said)
    except ValidationError as error:
        names = ", ".join(sorted({str(problem["loc"][-1]) for problem in error.errors(include_input=False)}))
        raise ConfigError(
            f"missing or wrong: {names}; give --config, or --listen with --certs (or --cert, --key, --roots)",
            f"缺少或有误：{names}；请提供 --config，或 --listen 与 --certs（或 --cert、--key、--roots）",
        ) from None


def _run(manifest: Manifest, path: Path, settings: AdapterSettings, *, check: bool) -> None:
    import uvloop

    from adapters.build import build
    from adapters.serving.running import ServingOptions, run
    from adapters.serving.servicer import ServingLimits
    from adapters.tls import TlsFiles
    from certs.errors import CertsError
    from certs.keys import read_passphrase
    from gateway.errors import ConfigError

    try:
        secret = None if settings.passphrase_file is None else read_passphrase(settings.passphrase_file)
    except CertsError as error:
        raise ConfigError(error.en, error.zh, field="passphrase_file") from error
    adapter = build(manifest, settings.state_dir or path.resolve().parent / "adapter-state")
    options = ServingOptions(
        settings.listen,
        TlsFiles(settings.tls.certificate, settings.tls.private_key, settings.tls.roots, secret),
        settings.caller,
        ServingLimits(at_once=settings.at_once),
        settings.ready_file,
        settings.crl,
    )

    async def served() -> None:
        if check:
            try:
                await adapter.check()
            except BaseException:
                await adapter.close()
                raise
        await run(adapter, options)

    uvloop.run(served())
