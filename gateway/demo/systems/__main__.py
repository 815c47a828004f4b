"""The process that runs one province's HTTP interfaces and its PostgreSQL: `python -m gateway.demo.systems --config X`.

Owns: starting all of them, telling where they are (the ready file, written whole), ending them on SIGTERM or SIGINT.
Refuses: logging anything that was asked or answered.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from aiohttp import web

from gateway.demo.systems import face_authentication, health, health_insurance, postgres, public_security, read_config
from gateway.demo.systems.files import write_private
from gateway.demo.systems.interface import Shelf
from gateway.demo.systems.layout import HEALTH_INSURANCE, HttpSystem, SystemsConfig, secret_path
from gateway.errors import ConfigError

_LOG = logging.getLogger("gateway.demo.systems")
_GRACE_S = 2.0

_BUILDERS: dict[str, tuple[Callable[[Shelf, str, int], web.Application], tuple[str, ...]]] = {
    public_security.NAME: (public_security.build, public_security.DATABASE),
    health.NAME: (health.build, health.DATABASE),
    face_authentication.NAME: (face_authentication.build, face_authentication.DATABASE),
}


async def run(config: SystemsConfig) -> None:
    """Run everything until SIGTERM or SIGINT.

    Raises:
        OSError: a port is taken, or a file is missing.
        ConfigError: the settings name a department that has no HTTP interface.
    """
    config.ready_file.unlink(missing_ok=True)
    asked_to_end = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked_to_end.set)
    runners: list[web.AppRunner] = []
    server: postgres.Server | None = None
    try:
        endpoints: dict[str, str] = {}
        for system in config.http:
            runners.append(web.AppRunner(_application(config, system), access_log=None, shutdown_timeout=_GRACE_S))
            endpoints[system.name] = await _listen(runners[-1], system.port)
        if config.postgres:
            source = config.folder.joinpath(*health_insurance.DATABASE)
            server = await asyncio.to_thread(postgres.start, source, health_insurance.SCHEMA)
        if server is not None:
            write_private(secret_path(config.folder, HEALTH_INSURANCE), server.url)
            endpoints[HEALTH_INSURANCE] = server.address
        elif config.postgres:
            _LOG.warning("PostgreSQL cannot run here: health insurance stays on its SQLite file")
        write_private(config.ready_file, json.dumps(endpoints, indent=2) + "\n")
        _LOG.info("ready: %s", ", ".join(f"{name} {address}" for name, address in endpoints.items()))
        await asked_to_end.wait()
        _LOG.info("ending")
    finally:
        config.ready_file.unlink(missing_ok=True)
        for runner in runners:
            await runner.cleanup()
        if server is not None:
            await asyncio.to_thread(server.stop)


def _application(config: SystemsConfig, system: HttpSystem) -> web.Application:
    if system.name not in _BUILDERS:
        raise ConfigError(
            f"{system.name} has no HTTP interface; one of: {', '.join(_BUILDERS)}",
            f"{system.name} 没有 HTTP 接口，应为以下之一：{'、'.join(_BUILDERS)}",
            field="http.name",
        )
    build, database = _BUILDERS[system.name]
    credential = secret_path(config.folder, system.name).read_text(encoding="utf-8")
    return build(Shelf(config.folder.joinpath(*database)), credential, system.delay_ms)


async def _listen(runner: web.AppRunner, port: int) -> str:
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    host, bound = runner.addresses[0][:2]
    return f"http://{host}:{bound}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 ended when asked to; 2 the settings are wrong or something could not be started."""
    parser = argparse.ArgumentParser(prog="python -m gateway.demo.systems", description=__doc__.partition("\n")[0])
    parser.add_argument("--config", type=Path, required=True, help="systems.json of a province")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        asyncio.run(run(read_config(chosen.config)))
    except ConfigError as error:
        _LOG.error("%s", error.en)
        return 2
    except OSError as error:
        _LOG.error("cannot start: %s", error.strerror)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
