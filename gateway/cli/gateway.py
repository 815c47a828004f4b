"""`wugan gateway`: run this province's gateway, and see how it does."""

from __future__ import annotations

import faulthandler
import gc
from pathlib import Path

import click

from gateway.cli import EXIT_UNREACHABLE, EXIT_USAGE
from gateway.cli.access_common import CONFIG, JSON, ended, fail, tell
from gateway.cli.failing import end, say_failed
from gateway.cli.language import chinese, say


@click.group(help=say("Run this province's gateway.", "运行本省网关。"))
def gateway() -> None:
    """The group."""


@gateway.command(
    help=say(
        "Serve until SIGTERM or Ctrl-C, then let calls in flight end. Exit codes: 0 stopped, 2 wrong configuration, "
        "3 no directory in force, or no database is reached, or another gateway has it or the keys, or the hardware "
        "token is not there: start it again.",
        "启动服务，收到 SIGTERM 或 Ctrl-C 后等待在途请求结束再退出。退出码：0 正常停止，2 配置错误，"
        "3 没有有效的成员目录，或数据库无法连接，或密钥、数据库正被另一网关使用，或密码设备未接入，可重新启动。",
    )
)
@CONFIG
def run(config_file: Path) -> None:
    """Serve until told to stop."""
    from gateway.grpc_engine import settle_engine

    gc.disable()  # what is loaded stays; `gateway.app` enables it again once calls are taken
    settle_engine()  # before anything below loads gRPC
    faulthandler.enable(2)  # its core says nothing by itself (`certs.core_log`): where it died is worth knowing
    from gateway.config import load_gateway
    from gateway.errors import ConfigError, DirectoryError, StoreError, WuganError

    try:
        settings = load_gateway(config_file)
        from gateway import app  # large, and not needed to tell of a wrong setting

        app.run(settings)
    except WuganError as error:
        click.echo(f"wugan: [{error.code}] {say(error.en, error.zh)}", err=True)
        # Started again, it may get its directory, its keys or its database; a supervisor gives up on a wrong setting.
        later = isinstance(error, DirectoryError) or (isinstance(error, ConfigError | StoreError) and error.retryable)
        raise SystemExit(EXIT_UNREACHABLE if later else EXIT_USAGE) from None
    finally:
        gc.enable()


@gateway.command(
    "move-store",
    help=say(
        "Put the store of a gateway that does not run on the PostgreSQL database of store.url_file: every row, or "
        "nothing. Exit codes: 0 moved, 1 what was moved does not verify, 2 wrong configuration, 3 the database is not "
        "reached, or a gateway runs.",
        "将已停止的网关的存储迁移到 store.url_file 所指的 PostgreSQL 数据库：全部迁移，或完全不迁移。"
        "退出码：0 已迁移，1 迁移后校验未通过，2 配置错误，3 数据库无法连接，或网关正在运行。",
    ),
)
@CONFIG
@JSON
def move_store(config_file: Path, json_out: bool) -> None:
    """Move the embedded store to PostgreSQL."""
    from certs.slot_files import is_open
    from gateway.clock import SystemClock
    from gateway.config import load_gateway
    from gateway.log import configure
    from gateway.store.moving import Moved, move

    def work() -> Moved:
        configure("ERROR")
        settings = load_gateway(config_file)
        if is_open(settings.keys_folder):
            raise fail("the gateway runs; stop it first", "网关正在运行，请先停止", EXIT_UNREACHABLE)
        return move(settings, SystemClock())

    moved = ended(work)
    data = {"rows": moved.rows, "audit_sequence": moved.head.sequence, "audit_mac": moved.head.mac.hex()}
    count, sequence, file = sum(moved.rows.values()), moved.head.sequence, moved.file
    tell(
        json_out,
        {**data, "file": str(file)},
        f"moved: {count} rows, the audit trail up to event {sequence}, which verifies; the old file is {file}",
        f"已迁移 {count} 行，审计日志至第 {sequence} 条并通过校验；原文件现为 {file}",
    )


@gateway.command(
    help=say(
        "What is wrong with a running gateway, in words, and what to do: what its health page says "
        "(observability.listen). Exit codes: 0 all is well, 1 something needs attention, 2 something is failing, or "
        "wrong configuration, 3 the gateway is not reached.",
        "用文字说明运行中的网关有何问题及如何处理，与健康页面一致（observability.listen）。"
        "退出码：0 一切正常，1 有事项需关注，2 有故障或配置错误，3 无法连接网关。",
    )
)
@CONFIG
@JSON
def health(config_file: Path, json_out: bool) -> None:
    """Print the health of a gateway."""
    from gateway.cli.health import HealthUnreadError, address_of, read_health, show
    from gateway.config import load_gateway
    from gateway.errors import WuganError

    try:
        report, raw = read_health(address_of(load_gateway(config_file)))
    except HealthUnreadError as error:
        end(error.en, error.zh, EXIT_UNREACHABLE)
    except WuganError as error:
        say_failed(f"[{error.code}] {say(error.en, error.zh)}", EXIT_USAGE, of=error)
        raise SystemExit(EXIT_USAGE) from None
    if json_out:
        click.echo(raw)
    else:
        show(report, chinese=chinese())
    raise SystemExit(int(report.level))
