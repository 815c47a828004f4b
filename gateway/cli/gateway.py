"""`wugan gateway`: run this province's gateway, and see how it does."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.cli import EXIT_UNREACHABLE, EXIT_USAGE
from gateway.cli.language import chinese, say


@click.group(help=say("Run this province's gateway.", "运行本省网关。"))
def gateway() -> None:
    """The group."""


@gateway.command(
    help=say(
        "Serve until SIGTERM or Ctrl-C, then let calls in flight end. Exit codes: 0 stopped, 2 wrong configuration, "
        "3 no directory in force: start it again.",
        "启动服务，收到 SIGTERM 或 Ctrl-C 后等待在途请求结束再退出。退出码：0 正常停止，2 配置错误，"
        "3 没有有效的成员目录，可重新启动。",
    )
)
@click.option(
    "--config",
    "config_file",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="gateway.toml",
)
def run(config_file: Path) -> None:
    """Serve until told to stop."""
    from gateway.grpc_engine import settle_engine

    settle_engine()  # before anything below loads gRPC
    from gateway.config import load_gateway
    from gateway.errors import DirectoryError, WuganError

    try:
        settings = load_gateway(config_file)
        from gateway import app  # large, and not needed to tell of a wrong setting

        app.run(settings)
    except WuganError as error:
        click.echo(f"wugan: [{error.code}] {say(error.en, error.zh)}", err=True)
        # Started again, it may get its directory; a supervisor gives up on a wrong setting only.
        raise SystemExit(EXIT_UNREACHABLE if isinstance(error, DirectoryError) else EXIT_USAGE) from None


@gateway.command(
    help=say(
        "What is wrong with a running gateway, in words, and what to do: what its health page says "
        "(observability.listen). Exit codes: 0 all is well, 1 something needs attention, 2 something is failing, or "
        "wrong configuration, 3 the gateway is not reached.",
        "用文字说明运行中的网关有何问题及如何处理，与健康页面一致（observability.listen）。"
        "退出码：0 一切正常，1 有事项需关注，2 有故障或配置错误，3 无法连接网关。",
    )
)
@click.option(
    "--config",
    "config_file",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="gateway.toml",
)
@click.option("--json", "json_out", is_flag=True, help=say("print JSON", "输出 JSON"))
def health(config_file: Path, json_out: bool) -> None:
    """Print the health of a gateway."""
    from gateway.cli.health import HealthUnreadError, address_of, read_health, show
    from gateway.config import load_gateway
    from gateway.errors import WuganError

    try:
        report, raw = read_health(address_of(load_gateway(config_file)))
    except HealthUnreadError as error:
        click.echo(f"wugan: {say(error.en, error.zh)}", err=True)
        raise SystemExit(EXIT_UNREACHABLE) from None
    except WuganError as error:
        click.echo(f"wugan: [{error.code}] {say(error.en, error.zh)}", err=True)
        raise SystemExit(EXIT_USAGE) from None
    if json_out:
        click.echo(raw)
    else:
        show(report, chinese=chinese())
    raise SystemExit(int(report.level))
