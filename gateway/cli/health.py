"""Reading the health of a running gateway from its admin server, and printing it.

Owns: finding the address, one bounded GET, the layout on a terminal. Refuses: judging; every word is the gateway's.
"""

from __future__ import annotations

import http.client
import json
from typing import Final

from rich.console import Console
from rich.text import Text

from gateway.cli.access_common import moment
from gateway.cli.language import plain
from gateway.config import GatewaySettings
from gateway.errors import ConfigError, WuganError
from gateway.observing.health import Level, Report

TIMEOUT_S: Final = 5.0
MAX_BYTES: Final = 4 << 20
_MARKS: Final = {
    Level.WELL: ("✓", "green", "in order", "正常"),
    Level.ATTENTION: ("!", "yellow", "attention", "关注"),
    Level.FAILING: ("✗", "bold red", "failing", "故障"),
}


class HealthUnreadError(WuganError):
    """The admin server is not reached, or answers something else."""


def address_of(settings: GatewaySettings) -> tuple[str, int]:
    """Host and port of the gateway's admin server.

    Raises:
        ConfigError: there is none.
        HealthUnreadError: its port is picked at the start, and the gateway does not run.
    """
    listen = settings.observability.listen
    if listen is None:
        raise ConfigError(
            'observability.listen: not set, so the gateway shows no health; set it, e.g. to "127.0.0.1:7445"',
            'observability.listen：未设置，网关不提供健康信息；请设置，例如 "127.0.0.1:7445"',
            field="observability.listen",
        )
    host, _, port = listen.rpartition(":")
    if port == "0":
        port = _picked(settings)
    host = host.strip("[]")
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), int(port)  # noqa: S104  compared, not bound


def _picked(settings: GatewaySettings) -> str:
    """The port in the ready file."""
    try:
        if settings.server.ready_file is None:
            raise ValueError
        return str(json.loads(settings.server.ready_file.read_bytes())["observability"]).rpartition(":")[2]
    except (OSError, ValueError, KeyError) as error:
        raise _unread() from error


def read_health(address: tuple[str, int]) -> tuple[Report, str]:
    """What the gateway tells of itself, and the same as it came.

    Raises:
        HealthUnreadError: it is not reached, or answers something else.
    """
    connection = http.client.HTTPConnection(*address, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/healthz")
        data = connection.getresponse().read(MAX_BYTES)
        text = data.decode("utf-8")
        return Report.from_json(json.loads(text)), text
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _unread() from error
    finally:
        connection.close()


def show(report: Report, *, chinese: bool) -> None:
    """Print it, the worst first."""
    console = Console(highlight=False)
    mark, style, en, zh = _MARKS[report.level]
    console.print(
        Text(
            f"{mark} {plain(report.whose(chinese=chinese))}  {zh if chinese else en}  {moment(report.at_ms)}",
            style=style,
        ),
        soft_wrap=True,
    )
    for fact in report.facts:
        mark, style, en, zh = _MARKS[fact.level]
        line = Text()
        line.append(f"{mark} {zh if chinese else en}  ", style=style)
        line.append(plain(fact.zh if chinese else fact.en))
        console.print(line, soft_wrap=True)
        if fact.do_en:
            console.print(
                Text(f"    → {plain(fact.do_zh if chinese else fact.do_en)}", style="bright_black"), soft_wrap=True
            )
        if fact.since_ms:
            console.print(
                Text(f"    {'始于' if chinese else 'since'} {moment(fact.since_ms)}", style="bright_black"),
                soft_wrap=True,
            )


def _unread() -> HealthUnreadError:
    return HealthUnreadError(
        "the gateway's health is not reached; is it running, and is observability.listen what it was started with?",
        "无法读取网关健康信息；请确认网关正在运行，且 observability.listen 与启动时一致",
    )
