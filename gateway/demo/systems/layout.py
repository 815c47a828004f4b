"""Where a province's departments keep their things, and what is needed to run them.

Owns: the folders' names, and the settings file with which the province's process of systems is started.
Refuses: anything secret in that file: credentials stand in files of their own.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from gateway.errors import ConfigError

HEALTH_INSURANCE = "health-insurance"


@dataclass(frozen=True, slots=True)
class HttpSystem:
    """One department's HTTP interface.

    Args:
        name: of the department, e.g. "public-security".
        port: on loopback; 0: any free one.
        delay_ms: it waits so long before every answer, to play a slow department.
    """

    name: str
    port: int = 0
    delay_ms: int = 0


@dataclass(frozen=True, slots=True)
class SystemsConfig:
    """Everything that runs for one province.

    Args:
        province: GB/T 2260 code.
        folder: of the province's departments.
        http: the HTTP interfaces.
        postgres: whether health insurance shall be on PostgreSQL if it can run here; else it is a SQLite file.
    """

    province: int
    folder: Path
    http: tuple[HttpSystem, ...]
    postgres: bool = True

    @property
    def path(self) -> Path:
        """The settings file, for `python -m gateway.demo.systems --config PATH`."""
        return self.folder / "systems.json"

    @property
    def ready_file(self) -> Path:
        """Written once everything answers, removed at the end: department → address, as `write_manifests` wants it."""
        return self.folder / "ready.json"

    def to_json(self) -> str:
        """As in the settings file."""
        return json.dumps(asdict(self), default=str, ensure_ascii=False, indent=2) + "\n"


def secret_path(folder: Path, name: str) -> Path:
    """File of a department's credential, mode 0600."""
    return folder / "secrets" / name


def read_config(path: Path) -> SystemsConfig:
    """The settings in a file.

    Raises:
        ConfigError: it cannot be read or is not such a file.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        http = tuple(HttpSystem(str(one["name"]), int(one["port"]), int(one["delay_ms"])) for one in values["http"])
        return SystemsConfig(int(values["province"]), Path(values["folder"]), http, bool(values["postgres"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path} is not a settings file of the demo's departments; make the demo world anew",
            f"{path} 不是演示部门系统的配置文件，请重新生成演示环境",
            field="config",
        ) from error
