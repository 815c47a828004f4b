"""`wugan gateway`: run this province's gateway."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.cli import EXIT_USAGE
from gateway.cli.language import say


@click.group(help=say("Run this province's gateway.", "运行本省网关。"))
def gateway() -> None:
    """The group."""


@gateway.command(
    help=say(
        "Serve until SIGTERM or Ctrl-C, then let calls in flight end. Exit codes: 0 stopped, 2 wrong configuration.",
        "启动服务，收到 SIGTERM 或 Ctrl-C 后等待在途请求结束再退出。退出码：0 正常停止，2 配置错误。",
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
    from gateway import app
    from gateway.config import load_gateway
    from gateway.errors import WuganError

    try:
        app.run(load_gateway(config_file))
    except WuganError as error:
        click.echo(f"wugan: [{error.code}] {say(error.en, error.zh)}", err=True)
        raise SystemExit(EXIT_USAGE) from None
