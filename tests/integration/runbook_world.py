"""Two provinces and their authority, enrolled by following docs/operations/enrol.md, each on hosts of its own."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import shlex
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from runbook import Book, Host, Ran, stopped_at_the_end

from gateway.cli import main
from gateway.demo.ports import free_ports

ZHEJIANG, BEIJING = "11330000002482285J", "111100000000212234"
ROOT_PASSPHRASES = ("custodian one", "custodian two", "custodian three")
CA_PASSPHRASE = "root of certificates"
FOUNDING = {"wugan authority init": [each for each in (*ROOT_PASSPHRASES, CA_PASSPHRASE) for _ in range(2)]}
"""What is typed when an authority is founded: everything twice."""
PERSON = ("110102194910010024", "测试甲")
ASK = (
    f"wugan check --config agency.toml --id {PERSON[0]} --name {PERSON[1]} --benefit EMPLOYEE_PENSION --fresh"
    " --purpose CERTIFICATION --region 110000"
)

_MANIFEST = """\
manifest: 1
adapter_id: transport
version: "1"
department: TRANSPORT
regions: [{region}]
kind: table
source:
  url: sqlite:///transport.db
identity: {{column: id_no, name: passenger}}
records:
  - name: journeys
    table: journey
    evidence: RAIL_TRAVEL
    observed_on: {{column: departed, formats: ["%Y%m%d"]}}
    strength: REAL_NAME
    source_reference: ticket_no
"""


@dataclass(frozen=True)
class Province:
    """The hosts of a member; what stands on the pages → what is so there; and what is exported there."""

    member_id: str
    gateway: Host
    agency: Host
    other: Mapping[str, str]
    values: Mapping[str, str]

    @property
    def keys(self) -> Path:
        """The folder of its gateway's keys."""
        return self.gateway.folder / "state" / "keys"


@dataclass(frozen=True)
class Federation:
    """The authority and two provinces; in Beijing they know the person, in Zhejiang they ask."""

    folder: Path
    authority: Host
    zhejiang: Province
    beijing: Province

    @property
    def hosts(self) -> list[Host]:
        return [self.authority, *(host for p in (self.zhejiang, self.beijing) for host in (p.gateway, p.agency))]

    def about(self, province: Province, **values: str) -> dict[str, Host]:
        """The hosts, as far as a page is about this province.

        Args:
            province: which.
            values: variable → what it is here, whatever example the page exports.
        """
        hosts = {"authority": self.authority, "gateway": province.gateway, "agency": province.agency}
        for host in hosts.values():
            host.other, host.values = province.other, {**province.values, **values}
        return hosts

    def start(self) -> None:
        """Start every service that was started on the page."""
        for host in self.hosts:
            if host.service and host.process is None:
                host.start()

    def certificates(self, province: Province, role: str) -> list[dict[str, Any]]:
        """What the authority knows of a member's certificates: those of its "gateway", or its "unit"; oldest first."""
        ran = self.authority.run(f"wugan authority certificates --dir authority --member {province.member_id} --json")
        found = [each for each in json.loads(ran.out)["certificates"] if f"/{role}" in each["holder"]]
        return sorted(found, key=lambda each: str(each["issued_at"]))

    def keys_listed(self, province: Province, kind: str) -> list[str]:
        """Ids of a member's "signing" or "encryption" keys in the directory."""
        ran = self.authority.run("wugan authority member list --dir authority --json")
        [entry] = [each for each in json.loads(ran.out)["members"] if each["member_id"] == province.member_id]
        return [str(each) for each in entry[f"{kind}_keys"]]

    def until_answered(self) -> None:
        """Wait until an agency of Zhejiang is answered again, which takes as long as a directory takes to arrive."""
        until(lambda: within(self.zhejiang.agency, ASK).exit_code == 0, self.tails)

    def until_refused(self, *codes: str) -> None:
        """Wait until an agency of Zhejiang is refused, for one of these reasons."""
        until(lambda: any(f"[{code}]" in within(self.zhejiang.agency, ASK).stderr for code in codes), self.tails)

    def ask(self, ends_with: int = 0) -> Ran:
        """What an agency of Zhejiang is told of a person in Beijing."""
        return self.zhejiang.agency.run(ASK, ends_with)

    def seen(self) -> dict[str, tuple[int, int]]:
        """Member → the directory that its gateway works with, and the one there is."""
        found = {}
        listed = within(self.authority, "wugan authority member list --dir authority")
        assert listed.exit_code == 0, listed.stderr
        for line in listed.stdout.splitlines():
            seen, _, version = line.split()[-1].partition("/")
            found[line.split()[0]] = (int(seen), int(version))
        return found

    def until_all_have_the_directory(self) -> None:
        """Wait until every member's gateway has said that it works with the directory in force."""

        def told() -> bool:
            found = self.seen().values()
            return bool(found) and all(seen == version for seen, version in found)

        until(told, self.tails)

    def tails(self) -> str:
        return "\n".join(f"{host.folder}:\n{host.tail()}" for host in self.hosts)


def until(true: Callable[[], bool], told: Callable[[], str] = str, seconds: float = 120.0) -> None:
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, told()
        time.sleep(0.1)


def within(host: Host, command: str) -> Result:
    """What comes of a command that is run again and again: in this process, since another costs a second each time."""
    words = shlex.split(host.here(command))
    for at, word in enumerate(words):
        if word in ("--config", "--dir"):
            words[at + 1] = str(host.folder / words[at + 1])
    return CliRunner(env={**host.exported, "WUGAN_LANG": "en"}).invoke(main, words[1:])


def bare(folder: Path) -> Federation:
    """The hosts, with nothing on them but the departments' own systems."""
    authority, *members = (f"127.0.0.1:{port}" for port in free_ports(5))
    last = (dt.date.today() + dt.timedelta(days=300)).isoformat()  # noqa: DTZ011  any day to come will do
    everywhere = {"0.0.0.0:8443": authority, "2028-12-31": last}

    def province(name: str, about: Mapping[str, str], addresses: list[str], **other: str) -> Province:
        where = {"gateway.zj.example:7443": addresses[0], "0.0.0.0:7443": addresses[0], "127.0.0.1:7444": addresses[1]}
        gateway, agency = (Host(each, folder / name / each) for each in ("gateway", "agency"))
        values = {**about, "AUTHORITY": authority, "GATEWAY": addresses[0]}
        return Province(about["MEMBER"], gateway, agency, {**everywhere, **where, **other}, values)

    made = Federation(
        folder,
        Host("authority", folder / "authority"),
        province("zhejiang", {"MEMBER": ZHEJIANG, "PARTNER": BEIJING, "UNIT": "330100"}, members[:2]),
        province(
            "beijing",
            {"MEMBER": BEIJING, "PARTNER": ZHEJIANG, "UNIT": "110100"},
            members[2:],
            **{"--region 330000": "--region 110000", "浙江省社会保险中心": "北京市社会保险基金管理中心"},
            **{"Zhejiang Agency": "Beijing Agency"},
        ),
    )
    _department(made.zhejiang.gateway, 330000, [])
    _department(made.beijing.gateway, 110000, [PERSON])
    return made


def _department(gateway: Host, region: int, people: list[tuple[str, str]]) -> None:
    home = gateway.folder / "departments"
    home.mkdir()
    (home / "transport.yaml").write_text(_MANIFEST.format(region=region), "utf-8")
    with contextlib.closing(sqlite3.connect(home / "transport.db")) as database:
        database.execute("create table journey (ticket_no text, id_no text, passenger text, departed text)")
        days = [dt.date.today() - dt.timedelta(days=each) for each in (3, 40, 70)]  # noqa: DTZ011
        rows = [(f"T{at}", *each, f"{day:%Y%m%d}") for each in people for at, day in enumerate(days)]
        database.executemany("insert into journey values (?, ?, ?, ?)", rows)
        database.commit()


def hand_over(of: Host, to: Host, *names: str) -> None:
    """Carry files of the authority's to somebody else."""
    for name in names:
        shutil.move(of.folder / "handover" / name, to.folder / name)


def enrol_gateways(book: Book, made: Federation) -> None:
    """Follow the page up to its fifth step: the authority, then Beijing's gateway, then Zhejiang's."""
    for province in (made.beijing, made.zhejiang):
        hosts = made.about(province)
        book.follow("Enrol a province", hosts)
        if made.authority.process is None:
            book.follow("1.", hosts, typed=FOUNDING)
        sums = book.follow("2.", hosts)[-1].out
        hand_over(made.authority, province.gateway, "roots.pem", "root.json", "token")
        (made.authority.folder / "handover").rmdir()
        assert book.follow("3.", hosts)[0].out == sums, "the sums that were read out"
        book.follow("4.", hosts)
        book.follow("5.", hosts, 0)


def enrol_agency(book: Book, made: Federation, province: Province) -> None:
    """Follow the sixth step, up to the question."""
    hosts = made.about(province)
    book.follow("Enrol a province", hosts)
    book.follow("6.", hosts, 0)
    hand_over(made.authority, province.agency, "unit-token")
    shutil.copy(province.gateway.folder / "roots.pem", province.agency.folder)
    book.follow("6.", hosts, 1)


def copied(made: Federation, folder: Path) -> Federation:
    """The same federation on other disks, nothing running. Only one may run at a time: the addresses are the same."""
    shutil.copytree(made.folder, folder, dirs_exist_ok=True)

    def moved(host: Host) -> Host:
        where = folder / host.folder.relative_to(made.folder)
        return replace(host, folder=where, exported=dict(host.exported), process=None)

    def province(of: Province) -> Province:
        return replace(of, gateway=moved(of.gateway), agency=moved(of.agency))

    return Federation(folder, moved(made.authority), province(made.zhejiang), province(made.beijing))


@contextlib.contextmanager
def running(made: Federation) -> Iterator[Federation]:
    """Everything runs, for the length of the block."""
    with stopped_at_the_end(made.hosts):
        made.start()
        yield made
