"""Provinces on loopback, as real processes, for the benchmarks: one asks, others answer from one table adapter each.

Owns: founding and starting them in a scratch folder, with their authority where it is wanted, and the requests an
agency of A sends. The people are made up; their numbers have the form and check digit of GB 11643.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stdnum.cn import ric

from gateway.demo.founding import FoundedMember, MemberPlan, found
from gateway.demo.ports import free_ports
from gateway.demo.processes import Started, start, stop, stopped_on_failure, wait_ready
from wugan.adapter.v1 import vocabulary_pb2 as adapter_words
from wugan.agency.v1 import agency_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

PEOPLE = 2_000
VISITS = 6
UNIT = "110100"
ANY_HOUR = "\n[access.harvest]\nodd_people = 1000000000\n"
"""A bench asks more in a minute than agencies do in a night, and may be run at night: that is no harvesting."""
ASKING = ("111100000000212234", "北京市", "Beijing", 110000)
ANSWERING = ("11330000002482285J", "浙江省", "Zhejiang", 330000)
NEIGHBOURS = (
    ANSWERING,
    ("11340000002482285N", "安徽省", "Anhui", 340000),
    ("11350000002482285T", "福建省", "Fujian", 350000),
    ("11360000002482285Y", "江西省", "Jiangxi", 360000),
    ("113700000024822853", "山东省", "Shandong", 370000),
)
"""Members that may answer; each of them knows everybody."""

MANIFEST = """\
manifest: 1
adapter_id: health-insurance
version: "1"
department: HEALTH_INSURANCE
regions: [330000]
kind: table
source:
  url: sqlite:///insurance.db
identity: {column: psn_no, name: psn_name}
records:
  - name: visits
    table: visit
    evidence: OUTPATIENT
    observed_on: {column: visited, formats: ["%Y%m%d"]}
    available_on: {column: settled, formats: ["%Y%m%d"]}
    strength: REAL_NAME
    source_reference: bill_no
"""


@dataclass(frozen=True, slots=True)
class TwoProvinces:
    """The running federation.

    Args:
        asking: the member that asks.
        answering: the member that answers.
        authority: the authority's folder.
        processes: gateway of the one, of the other, and the authority's where it runs.
    """

    asking: FoundedMember
    answering: FoundedMember
    authority: Path
    processes: list[Started]

    @property
    def agency_config(self) -> Path:
        """The asking agency's agency.toml."""
        return self.asking.agency_config(UNIT)

    @property
    def tls_folder(self) -> Path:
        """Folder with the asking agency's certificate.pem, key.pem and roots.pem."""
        return self.agency_config.parent / "tls"


@dataclass(frozen=True, slots=True)
class Provinces:
    """A running federation of one member that asks and several that answer, in the order of `NEIGHBOURS`."""

    asking: FoundedMember
    answering: Sequence[FoundedMember]
    authority: Path
    processes: list[Started]

    @property
    def agency_config(self) -> Path:
        """The asking agency's agency.toml."""
        return self.asking.agency_config(UNIT)


def people() -> list[tuple[str, str]]:
    """Number and name of everyone that B's department knows."""
    made = []
    for serial in range(PEOPLE):
        body = f"330702{1940 + serial % 20}{1 + serial % 12:02d}{1 + serial % 28:02d}{serial % 1000:03d}"
        made.append((body + ric.calc_check_digit(body + "0"), f"测试{serial:04d}"))
    return list(dict(made).items())


def requests(*regions: int, fresh: bool = False, case: str = "BENCH-1") -> list[bytes]:
    """One serialized request for each of them, as living in these regions; B's where none is given.

    `fresh`: to be asked anew, whatever was answered before.
    """
    return [
        agency_pb2.CheckRequest(
            id_number=number,
            name=name,
            benefit=words.BENEFIT_TYPE_EMPLOYEE_PENSION,
            purpose=adapter_words.PURPOSE_CERTIFICATION,
            regions=regions or (330700,),
            legal_basis="社会保险法 第七十四条",
            case_reference=case,
            official="bench",
            evidence_limit=5,
            fresh=fresh,
        ).SerializeToString()
        for number, name in people()
    ]


@contextlib.contextmanager
def two_provinces(
    folder: Path,
    extra: str = "",
    *,
    units: Sequence[str] = (UNIT,),
    authority: bool = False,
    manifests: Sequence[Path] = (),
    roster: int = 0,
) -> Iterator[TwoProvinces]:
    """Found and start both; stop them at the end. As `provinces`."""
    with provinces(
        folder, extra=extra, units=units, authority=authority, manifests=manifests, roster=roster
    ) as running:
        yield TwoProvinces(running.asking, running.answering[0], running.authority, running.processes)


@contextlib.contextmanager
def provinces(
    folder: Path,
    answering: int = 1,
    *,
    listed: Mapping[str, Sequence[str]] | None = None,
    extra: str = "",
    units: Sequence[str] = (UNIT,),
    authority: bool = False,
    manifests: Sequence[Path] = (),
    roster: int = 0,
) -> Iterator[Provinces]:
    """Found and start one that asks and so many that answer; stop them at the end.

    Args:
        folder: where; made.
        answering: how many answer.
        listed: as in `found`.
        extra: TOML appended to every gateway.toml.
        units: agencies of the one that asks.
        authority: whether the authority runs too; without it the gateways read its folder.
        manifests: of the departments of each that answers; without any, each has one of its own.
        roster: people that each grants the others to ask about in all; 0: not said.
    """
    now = dt.datetime.now(dt.UTC)
    departments = folder / "departments"
    departments.mkdir(parents=True)
    if not manifests:
        fill(departments / "insurance.db", now.date())
    plans = [MemberPlan(*ASKING, units=tuple((unit, "bench") for unit in units), manifests=())]
    for neighbour in NEIGHBOURS[:answering]:
        region = neighbour[-1]
        own = tuple(manifests)
        if not own:
            own = (departments / f"health-insurance-{region}.yaml",)
            own[0].write_text(MANIFEST.replace("[330000]", f"[{region}]"), "utf-8")
        plans.append(MemberPlan(*neighbour, units=(), manifests=own))
    address = f"127.0.0.1:{free_ports(1)[0]}" if authority else ""
    home = folder / "federation"
    extra = ANY_HOUR + extra
    members = found(
        home, plans, now, authority_address=address, extra=extra, log_level="WARNING", listed=listed, roster=roster
    )
    processes: list[Started] = []
    with stopped_on_failure(processes):
        serving = [start_authority(home / "authority", address)] if authority else []
        processes += serving
        for position, member in enumerate(members):
            processes.insert(position, start_gateway(member))
        wait_ready([(process, member.ready_file) for process, member in zip(processes, members, strict=False)])
    try:
        yield Provinces(members[0], members[1:], home / "authority", processes)
    finally:
        stop(processes)


def start_authority(home: Path, address: str) -> Started:
    """Start the authority, and wait until it serves."""
    ready = home / "authority.ready"
    where = ("--dir", str(home), "--listen", address, "--ready-file", str(ready), "--log-level", "WARNING")
    process = start("authority", ("gateway.cli", "authority", "run", *where), home / "authority.log")
    with stopped_on_failure([process]):
        wait_ready([(process, ready)])
    return process


def start_gateway(
    member: FoundedMember, environment: Mapping[str, str] | None = None, module: str = "gateway.cli"
) -> Started:
    """Start one member's gateway; `environment` is added to ours, `module` is what is run."""
    command = (module, "gateway", "run", "--config", str(member.config))
    return start(f"gateway {member.plan.name_en}", command, member.folder / "gateway.log", environment)


def fill(path: Path, today: dt.date) -> None:
    """Make the department's database: everyone's visits up to a day."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("create table visit (bill_no text, psn_no text, psn_name text, visited text, settled text)")
        rows = []
        for serial, (number, name) in enumerate(people()):
            for visit in range(VISITS):
                day = today - dt.timedelta(days=3 + visit * 23 + serial % 17)
                stamp = f"{day:%Y%m%d}"
                rows.append((f"B{serial:05d}{visit}", number, name, stamp, stamp))
        database.executemany("insert into visit values (?, ?, ?, ?, ?)", rows)
        database.execute("create index visit_psn on visit (psn_no)")
        database.commit()
