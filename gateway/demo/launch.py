"""The demo federation as processes: `up`, `status`, `down`.

Owns: the folder D that a demo lives in, and its state file, which has every process from the moment it was started:
what a killed `up` leaves behind is found by `down`. Refuses: touching a folder that is not a demo's, or that is being
started in. What makes a world and founds a federation, half of all there is, is imported only for that: to look at a
demo, to stop it, or to ask it takes none of it.

    D/demo.json             what runs where: read by status, down, score and show
    D/rosters/…/UNIT.csv    each agency's recipients, as it would hand them in
    D/truth/truth.jsonl     the truth, kept aside: nothing that answers questions reads it
    D/systems/<region>/     the departments' own systems of a province, their data and manifests
    D/federation/           authority, gateways (gateway.demo.founding)
    D/logs/                 one log a process
"""

from __future__ import annotations

import datetime as dt
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.clock import SystemClock, civil_day
from gateway.demo.ports import free_ports
from gateway.demo.processes import Started, start, stop, stopped_on_failure, wait_ready
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.demo.founding import FoundedMember, MemberPlan
    from gateway.demo.regions import Province
    from gateway.demo.systems import SystemsConfig

STATE_FILE = "demo.json"
MARKER = ".wugan-demo"
SERVED = "justice"
"""The department that runs its adapter itself, in the first province; the others are asked by their gateway."""
ATTEMPTS = 3
"""Times that starting is tried anew when a port was taken between choosing and binding it."""
_OBSERVED = """
[observability]
listen = "127.0.0.1:0"
"""
"""A gateway of a demo can be asked what is wrong with it, like any other (`wugan gateway health`)."""


@dataclass(frozen=True, slots=True)
class Demo:
    """A demo as its state file has it; `ready`: it was started to the end."""

    folder: Path
    seed: int
    as_of_on: int
    members: list[dict[str, Any]]
    processes: list[Started]
    ready: bool = True

    @property
    def truth(self) -> Path:
        """The truth file."""
        return self.folder / "truth" / "truth.jsonl"

    def running(self) -> bool:
        """Whether it was started to the end and every process runs."""
        return self.ready and bool(self.processes) and all(process.alive() for process in self.processes)

    def begin(self, name: str, command: Sequence[str], log: Path) -> Started:
        """Start a process, and have the state file know of it at once, whatever becomes of who starts it."""
        process = start(name, command, log)
        self.processes.append(process)
        self.save()
        return process

    def agency_config(self, region: int, unit: str) -> Path:
        """agency.toml of an agency.

        Raises:
            ConfigError: there is no such agency in this demo.
        """
        path = self.folder / "federation" / "members" / str(region) / "units" / unit / "agency.toml"
        if not path.exists():
            raise ConfigError(f"no agency {unit} of {region} here", f"演示环境中没有 {region} 的经办机构 {unit}")
        return path

    def save(self) -> None:
        """Write the state file, whole."""
        data = {
            "seed": self.seed,
            "as_of_on": self.as_of_on,
            "ready": self.ready,
            "members": self.members,
            "processes": [{**asdict(process), "log": str(process.log)} for process in self.processes],
        }
        scratch = self.folder / (STATE_FILE + ".part")
        scratch.write_text(json.dumps(data, ensure_ascii=False, indent=2), "utf-8")
        scratch.replace(self.folder / STATE_FILE)


def load(folder: Path) -> Demo:
    """The demo that lives in a folder.

    Raises:
        ConfigError: there is none.
    """
    try:
        data = json.loads((folder / STATE_FILE).read_text("utf-8"))
        processes = [Started(**{**process, "log": Path(process["log"])}) for process in data["processes"]]
        return Demo(folder, data["seed"], data["as_of_on"], data["members"], processes, data.get("ready", True))
    except FileNotFoundError as error:
        raise ConfigError(
            f"{folder}: no demo lives here; start one with `wugan demo up --dir {folder}`",
            f"{folder}：此处没有演示环境，请先运行 `wugan demo up --dir {folder}`",
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{folder}/{STATE_FILE} cannot be read; remove the folder and start anew",
            f"{folder}/{STATE_FILE} 无法读取，请删除该目录后重新启动",
        ) from error


def up(folder: Path, *, provinces: int, people: int, seed: int, delays_ms: Mapping[str, int] | None = None) -> Demo:
    """Make a world, start its departments and gateways, and return once all of them answer.

    Args:
        folder: where; empty, or of a demo that no longer runs.
        provinces: how many.
        people: how many.
        seed: of the world; the same seed makes the same people.
        delays_ms: HTTP department → milliseconds it waits before every answer, to play a slow one.

    Raises:
        ConfigError: the folder is in use or not a demo's, or something did not start (its log's end is in the message).
    """
    folder = folder.resolve()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(folder):
        return _up(folder, provinces, people, seed, delays_ms)


def _up(folder: Path, provinces: int, people: int, seed: int, delays_ms: Mapping[str, int] | None) -> Demo:
    _clear(folder)
    from gateway.demo.agency_files import write_files
    from gateway.demo.calendar import to_date
    from gateway.demo.systems import materialise
    from gateway.demo.truth import write_truth
    from gateway.demo.world import build_world

    now_ms = SystemClock().now_ms()
    world = build_world(seed, provinces, people, civil_day(now_ms))
    (folder / "truth").mkdir(mode=0o700)
    recipients = list(world.recipients())
    write_truth(recipients, folder / "truth" / "truth.jsonl")
    rosters = write_files(recipients, folder / "rosters", to_date(world.as_of_on).strftime("%Y-%m"))
    systems = folder / "systems"
    configs = [
        materialise(world, province.code, systems / str(province.code), delays_ms=delays_ms)
        for province in world.provinces
    ]
    beginning = Demo(folder, seed, world.as_of_on, [], [], ready=False)
    with stopped_on_failure(beginning.processes):
        plans = _start_systems(beginning, world.provinces, configs)
        now = dt.datetime.fromtimestamp(now_ms / 1000, dt.UTC)
        members = _start_gateways(beginning, plans, now, people)
        demo = replace(beginning, members=[_about(member, rosters) for member in members], ready=True)
        demo.save()
    return demo


def down(folder: Path) -> list[Started]:
    """Stop every process of a demo; those that had to be killed. The data stays until the next `up`.

    Raises:
        ConfigError: no demo lives there, or it is just being started.
    """
    load(folder)
    with _alone(folder):
        return stop(load(folder).processes)


def status(demo: Demo) -> dict[str, Any]:
    """What runs where, for people and programs."""
    from gateway.demo.calendar import iso

    return {
        "running": demo.running(),
        "ready": demo.ready,
        "folder": str(demo.folder),
        "truth": str(demo.truth),
        "seed": demo.seed,
        "as_of": iso(demo.as_of_on),
        "members": demo.members,
        "processes": [
            {"name": process.name, "pid": process.pid, "running": process.alive(), "log": str(process.log)}
            for process in demo.processes
        ],
    }


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Have nobody else start or stop a demo in a folder meanwhile. Whoever is killed lets go by that."""
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f"a demo is just being started or stopped in {folder}; wait for that, or interrupt it",
                f"{folder} 中的演示环境正在启动或停止，请等待其完成，或先将其中断",
            ) from error
        yield
    finally:
        os.close(held)


def _clear(folder: Path) -> None:
    """Make room for a demo: an empty folder, or one that a demo lived in and that nothing runs in any more."""
    if any(folder.iterdir()):
        if not (folder / STATE_FILE).exists() and not (folder / MARKER).exists():
            raise ConfigError(
                f"{folder} is not empty and not a demo's; name another folder",
                f"{folder} 非空且不是演示目录，请指定其他目录",
            )
        if (folder / STATE_FILE).exists() and any(process.alive() for process in load(folder).processes):
            raise ConfigError(
                f"a demo is running in {folder}; stop it with `wugan demo down --dir {folder}`",
                f"{folder} 中已有演示环境在运行，请先运行 `wugan demo down --dir {folder}`",
            )
        # The folder itself stays, it is what is held; and the marker, should this be broken off.
        for each in (each for each in folder.iterdir() if each.name != MARKER):
            if each.is_dir() and not each.is_symlink():
                shutil.rmtree(each)
            else:
                each.unlink()
    (folder / MARKER).write_text("A demo of Wugan lives here; `wugan demo up` empties this folder.\n", "utf-8")


def _start_systems(demo: Demo, provinces: Sequence[Province], configs: Sequence[SystemsConfig]) -> list[MemberPlan]:
    """Start every province's departments; the members that will ask them."""
    from gateway.demo.founding import MemberPlan
    from gateway.demo.systems import write_manifests

    waiting = []
    for province, config in zip(provinces, configs, strict=True):
        command = ("gateway.demo.systems", "--config", str(config.path))
        log = demo.folder / "logs" / f"departments-{province.code}.log"
        process = demo.begin(f"departments {province.en}", command, log)
        waiting.append((process, config.ready_file))
    plans: list[MemberPlan] = []
    for province, config, endpoints in zip(provinces, configs, wait_ready(waiting), strict=True):
        manifests = write_manifests(province, config, endpoints)
        plans.append(
            MemberPlan(
                province.member_id,
                province.zh,
                province.en,
                province.code,
                tuple((agency.unit, agency.zh) for agency in province.agencies),
                tuple(manifests),
                tuple(path for path in manifests if path.stem == SERVED and not plans),
            )
        )
    return plans


def _start_gateways(demo: Demo, plans: Sequence[MemberPlan], now: dt.datetime, roster: int) -> list[FoundedMember]:
    """Found the federation, start its authority and its gateways; on fresh ports if one was taken meanwhile."""
    from gateway.demo.founding import found

    folder, before = demo.folder, len(demo.processes)
    for attempt in range(1, ATTEMPTS + 1):
        address = f"127.0.0.1:{free_ports(1)[0]}"
        members = found(folder / "federation", plans, now, authority_address=address, extra=_OBSERVED, roster=roster)
        try:
            wait_ready([_start_authority(demo, address)])
            waiting: list[tuple[Started, Path]] = []
            for department in (department for member in members for department in member.departments):
                name = department.folder.name
                process = demo.begin(f"adapter of {name}", department.command, folder / "logs" / f"adapter-{name}.log")
                waiting.append((process, department.ready_file))
            for member in members:
                command = ("gateway.cli", "gateway", "run", "--config", str(member.config))
                log = folder / "logs" / f"gateway-{member.plan.region}.log"
                waiting.append((demo.begin(f"gateway {member.plan.name_en}", command, log), member.ready_file))
            wait_ready(waiting)
        except ConfigError:
            if attempt == ATTEMPTS:
                raise
            stop(demo.processes[before:])
            del demo.processes[before:]
            shutil.rmtree(folder / "federation")
            continue
        return members
    raise AssertionError("unreachable: the last attempt returns or raises")


def _start_authority(demo: Demo, address: str) -> tuple[Started, Path]:
    """Start the authority's process; it, and the file it writes once it is ready."""
    home = demo.folder / "federation" / "authority"
    ready = home / "authority.ready"
    where = ("--dir", str(home), "--listen", address, "--ready-file", str(ready))
    command = ("gateway.cli", "authority", "run", *where)
    return demo.begin("authority", command, demo.folder / "logs" / "authority.log"), ready


def _about(member: FoundedMember, rosters: Mapping[tuple[int, str], Path]) -> dict[str, Any]:
    plan = member.plan
    return {
        "member_id": plan.member_id,
        "name_zh": plan.name_zh,
        "name_en": plan.name_en,
        "region": plan.region,
        "federation": member.federation_address,
        "agency": member.agency_address,
        "config": str(member.config),
        "agencies": {unit: str(member.agency_config(unit)) for unit, _ in plan.units},
        "rosters": {unit: str(rosters[plan.region, unit]) for unit, _ in plan.units if (plan.region, unit) in rosters},
    }
