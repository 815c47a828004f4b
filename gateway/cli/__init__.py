"""The `wugan` command: one module per group, each imported only when it is used.

Exit codes, the same for every command: 0 done; 1 the answer is a refusal or the check failed; 2 wrong usage or
configuration; 3 something could not be reached; 4 something answered nonsense; 130 interrupted.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import importlib
import io
import os
import sys
from typing import Any

import click

from gateway.cli import command_words
from gateway.cli.failing import json_wanted, note_whether_json, say_failed
from gateway.cli.language import say

EXIT_REFUSED = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3
EXIT_FAULTY = 4
EXIT_INTERRUPTED = 130

_NO_TEXT = "gateway.cli.not_text"
_OF_A_DISK = frozenset((errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG))

command_words.speak()


class _LazyGroup(click.Group):
    """Commands by module: help of the whole lists them without importing any."""

    commands_at = {  # noqa: RUF012  a constant table
        "check": ("gateway.cli.check", "check", "Ask about one recipient", "查询一名待遇领取人"),
        "check-many": (
            "gateway.cli.check_many",
            "check_many",
            "Ask about several recipients at a time, for programs",
            "一次查询多名待遇领取人（供程序调用）",
        ),
        "roster": ("gateway.cli.roster", "roster", "Ask about a whole roster", "批量核验整份名册"),
        "late": ("gateway.cli.late", "late", "Late answers to checks left open", "留置查询的迟到答复"),
        "notices": (
            "gateway.cli.notices",
            "notices",
            "Be told when something changes about people",
            "订阅人员状态变更通知",
        ),
        "duplicates": (
            "gateway.cli.duplicates",
            "duplicates",
            "People who draw, or were certified, twice",
            "重复领取与重复认证疑点",
        ),
        "gateway": ("gateway.cli.gateway", "gateway", "Run this province's gateway", "运行本省网关"),
        "certs": ("gateway.cli.certs", "certs", "Own keys and certificates", "管理本网关的密钥与证书"),
        "access": (
            "gateway.cli.access",
            "access",
            "Who may ask what, and who decides it",
            "授权管理：谁可查询什么、由谁决定",
        ),
        "audit": ("gateway.cli.audit", "audit", "Read the audit trail", "查阅与核验审计日志"),
        "outbox": ("gateway.cli.post", "outbox", "What waits to be delivered to others", "待投递给其他成员的消息"),
        "inbox": ("gateway.cli.post", "inbox", "What others left here", "其他成员留置于此的消息"),
        "adapter": (
            "gateway.cli.adapter",
            "adapter",
            "Departments' data: check, register, approve, suspend",
            "部门数据接入：检查、登记、批准、暂停",
        ),
        "quality": ("gateway.cli.quality", "quality", "The quality of departments' data", "部门数据质量"),
        "catalogue": (
            "gateway.cli.catalogue",
            "catalogue",
            "What the benefits need, and who offers it",
            "数据需求清单与缺口",
        ),
        "authority": ("gateway.cli.authority", "authority", "Run the federation's authority", "运行联盟管理机构"),
        "demo": ("gateway.cli.demo", "demo", "A generated federation to try things on", "演示用的模拟联盟"),
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The groups, in the order a newcomer needs them."""
        return list(self.commands_at)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the group when it is called for."""
        found = self.commands_at.get(cmd_name)
        if found is None:
            return None
        command = getattr(importlib.import_module(found[0]), found[1])
        if not isinstance(command, click.Command):
            raise TypeError(f"{found[0]}.{found[1]} is not a command")
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments, and whether errors are to be told in JSON, whatever comes of the rest of them."""
        note_whether_json(ctx, args)
        ctx.meta[_NO_TEXT] = _not_text(args)
        return super().parse_args(ctx, args)

    def main(self, *args: Any, **named: Any) -> Any:
        """Run the command, and see that what it said is written: if it cannot be, that is told where anything can."""
        try:
            try:
                done = super().main(*args, **named)
            except SystemExit:
                _write_out()
                raise
            _write_out()
        except OSError as error:
            if not _of_the_output(error):
                raise
            if error.errno != errno.EPIPE:  # whoever read it has gone: nothing to complain of
                with contextlib.suppress(OSError):
                    click.echo(f"wugan: {say(*_of_a_file(error))}", err=True)
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError, AttributeError):
                    stream.close()  # or the interpreter would try once more, and complain
            raise SystemExit(EXIT_REFUSED if error.errno == errno.EPIPE else EXIT_USAGE) from None
        return done

    def invoke(self, ctx: click.Context) -> Any:
        """Run what was called for; interrupted, it ends as the shell's own commands do, not as one that failed."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise SystemExit(EXIT_INTERRUPTED) from None
        except click.ClickException as error:
            if not json_wanted():
                raise
            say_failed(error.format_message(), error.exit_code)
            raise SystemExit(error.exit_code) from None
        except UnicodeEncodeError:
            # Of files and folders any name will do; of what is sent or kept as text it will not.
            where = ctx.meta[_NO_TEXT]
            if not where:
                raise
            en = f"{where} is not text in UTF-8; set terminal and locale to UTF-8"
            zh = f"{where} 不是 UTF-8 文本，请将终端与区域设置改为 UTF-8"
            say_failed(say(en, zh), EXIT_USAGE, both=(en, zh))
            raise SystemExit(EXIT_USAGE) from None
        except OSError as error:
            # Behind commands that say more about their own files; a socket's error is none of a file.
            if error.filename is None and (error.errno not in _OF_A_DISK or _of_the_output(error)):
                raise
            en, zh = _of_a_file(error)
            say_failed(say(en, zh), EXIT_USAGE, both=(en, zh))
            raise SystemExit(EXIT_USAGE) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One line each, in the user's language."""
        with formatter.section(say("Commands", "命令")):
            formatter.write_dl([(name, say(en, zh)) for name, (_, _, en, zh) in self.commands_at.items()])


@click.group(
    cls=_LazyGroup,
    help=say(
        "Wugan: survival-status verification between provinces, without bothering the person. Exit codes of every "
        "command: 0 done, 1 refused or failed, 2 wrong usage or configuration, 3 not reached, 4 wrong answer.",
        "无感：跨省待遇领取资格核验，让认证于无形。各命令退出码：0 完成，1 被拒绝或未通过，2 用法或配置错误，"
        "3 无法连接，4 答复无效。",
    ),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(package_name="wugan")
def main() -> None:
    """The one entry point.

    What a command loads stays until it ends: looking through it for garbage again and again would be a tenth of what
    a short one costs. A gateway sets limits of its own. And no plug-in of pydantic's is looked for, nor let in.
    """
    gc.set_threshold(100_000, 20, 50)
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    _write_whatever()


def _not_text(arguments: list[str]) -> str:
    """The options before arguments that are no text in this locale, such as GB 18030 where UTF-8 was said; "": none."""
    told: list[str] = []
    for at, argument in enumerate(arguments):
        if any("\udc80" <= char <= "\udcff" for char in argument):
            option = argument.partition("=")[0] if argument.startswith("-") else arguments[at - 1] if at else ""
            told.append(option if option.startswith("-") and option.isascii() else say("an argument", "参数"))
    return say(", ", "、").join(dict.fromkeys(told))


def _of_a_file(error: OSError) -> tuple[str, str]:
    """What the system has against a file, or against writing at all."""
    from certs.system_words import cause

    why = cause(error)
    if _of_the_output(error):
        return (
            f"the output cannot be written ({why.en}); look after the disk that it goes to",
            f"输出无法写入（{why.zh}），请检查输出所在磁盘",
        )
    if error.filename is None:
        return (
            f"a file cannot be read or written ({why.en}); look after the disk",
            f"文件无法读写（{why.zh}），请检查磁盘",
        )
    return (
        f"{error.filename}: cannot be read or written ({why.en}); check path, permissions and disk",
        f"{error.filename}：无法读写（{why.zh}），请检查路径、权限与磁盘",
    )


def _of_the_output(error: OSError) -> bool:
    """Whether it is what a command says that could not be written: by those who say it, or what they left."""
    if error.filename is not None or error.errno not in {*_OF_A_DISK, errno.EPIPE}:
        return False
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = "" if trace is None else str(trace.tb_frame.f_globals.get("__name__"))
    return module == __name__ or module.partition(".")[0] in ("click", "rich")


def _write_out() -> None:
    """Write what was said and is not written yet; left to the interpreter it would fail without a word of ours."""
    with contextlib.suppress(ValueError, AttributeError):  # it is closed, or was from the start
        sys.stdout.flush()


def _write_whatever() -> None:
    """A terminal that lacks a character (GBK has no check mark) shows its number: better than no answer at all."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            with contextlib.suppress(OSError, ValueError):
                stream.reconfigure(errors="backslashreplace")
