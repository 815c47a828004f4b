"""Founding a federation in a folder: authority, certificates, keys, directory and every member's configuration.

Owns: what an administrator does by hand when provinces join, done at once. Refuses: starting anything.

    authority/                  the authority (gateway.authority.founding): certificates, TUF repository, record
    members/<region>/           gateway.toml, roots.pem, state/ with keys/; for each agency units/<unit>/agency.toml;
                                people/ with its administrators' keys; they grant every member what the demo asks;
                                departments/ that run their adapter themselves (gateway.demo.departments)
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from certs import keys
from certs.authority import Authority
from certs.files import PUBLIC, read_public, write_file
from certs.identity import Identity
from certs.slots import KeySlots
from gateway.access.people import APPROVE_GRANT, AUDIT, PROPOSE_GRANT, SECURITY, SYSTEM
from gateway.access.terms import thresholds
from gateway.authority.archive import ROOT_JSON
from gateway.authority.founding import Plan
from gateway.authority.founding import found as found_authority
from gateway.authority.office import Office
from gateway.clock import FakeClock, SystemClock
from gateway.config import load_gateway
from gateway.demo.departments import ServedDepartment, equip_department, write_tls
from gateway.demo.ports import free_ports
from gateway.federation.directory_build import encryption_key, member_entry, signing_key
from gateway.inquiry.administering import Administration, found_people
from gateway.store.place import open_store
from wugan.adapter.v1 import vocabulary_pb2 as adapter_words
from wugan.federation.v1 import directory_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

FEDERATION = "demo.wugan.internal"
ROOT_PASSPHRASES = (b"demo one", b"demo two", b"demo three")
"""Of the root keys of a demo, two of which sign a root. In earnest each is known to one custodian only."""
KEY_LIFE = dt.timedelta(days=365)
GRANTS, APPROVES = "li", "zhao"
ADMINISTRATORS = {"wang": SYSTEM, GRANTS: SECURITY, APPROVES: SECURITY, "sun": AUDIT}
"""The people who administer a founded member's access, by name."""


@dataclass(frozen=True, slots=True)
class MemberPlan:
    """A member to be: its code, names, region, agencies (code → name) and the manifests of its departments.

    Those of `manifests` that are also in `served` are asked where the department itself runs its adapter.
    """

    member_id: str
    name_zh: str
    name_en: str
    region: int
    units: tuple[tuple[str, str], ...]
    manifests: tuple[Path, ...]
    served: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class FoundedMember:
    """A member's files and addresses."""

    plan: MemberPlan
    folder: Path
    federation_address: str
    agency_address: str
    departments: tuple[ServedDepartment, ...] = ()

    @property
    def config(self) -> Path:
        """Its gateway.toml."""
        return self.folder / "gateway.toml"

    @property
    def ready_file(self) -> Path:
        """Where its gateway writes its addresses once it is ready."""
        return self.folder / "gateway.ready"

    @property
    def keys(self) -> Path:
        """The folder of its gateway's keys."""
        return self.folder / "state" / "keys"

    def agency_config(self, unit: str) -> Path:
        """The agency.toml of one of its agencies."""
        return self.folder / "units" / unit / "agency.toml"


def found(
    folder: Path,
    plans: Sequence[MemberPlan],
    now: dt.datetime,
    *,
    authority_address: str = "",
    extra: str = "",
    log_level: str = "INFO",
    listed: Mapping[str, Sequence[str]] | None = None,
    roster: int = 0,
) -> list[FoundedMember]:
    """Make a federation of these members in an empty folder.

    Args:
        folder: where; made with mode 0700.
        plans: the members.
        now: time from which certificates and directory are valid.
        authority_address: where the authority will be served; without one the gateways read its folder.
        extra: TOML appended to every gateway.toml.
        log_level: of the gateways.
        listed: member → the addresses that the directory says its gateways have, where these are not the one it
            listens at: what stands before it, a relay or a balancer, or a test's own trouble.
        roster: people that each member grants the others to ask about in all; 0: not said.

    Raises:
        CertsError: a file cannot be written, or a member's code is malformed.
        WuganError: the directory of these members would not be believed.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # The time is given: a federation can be founded on a day gone by. Whole milliseconds are what a clock tells; the
    # authority would otherwise be younger than what it issues, by the rest of one.
    now = now.replace(microsecond=now.microsecond // 1000 * 1000)
    clock = FakeClock(round(now.timestamp() * 1000))
    plan = Plan(FEDERATION, ROOT_PASSPHRASES, threshold=2, loopback=True)
    authority = found_authority(folder / "authority", plan, clock)
    ports = iter(free_ports(sum(2 + len(plan.served) for plan in plans)))
    founded: list[FoundedMember] = []
    entries: list[directory_pb2.Member] = []
    for member_plan in plans:
        home = folder / "members" / str(member_plan.region)
        served = tuple(
            ServedDepartment(path, home / "departments" / path.stem, f"127.0.0.1:{next(ports)}")
            for path in member_plan.served
        )
        outward, inward = f"127.0.0.1:{next(ports)}", f"127.0.0.1:{next(ports)}"
        member = FoundedMember(member_plan, home, outward, inward, served)
        told = (listed or {}).get(member_plan.member_id, (member.federation_address,))
        entries.append(_equip(authority, member, now, told))
        for department in served:
            equip_department(authority, member_plan.member_id, department, now)
        _write_gateway_config(folder, member, authority_address, extra=extra, log_level=log_level)
        for unit, _ in member_plan.units:
            _equip_unit(authority, member, unit, now)
        found_access(member, now, roster)
        founded.append(member)
    office = Office(folder / "authority", clock)
    try:
        office.add(*entries)
    finally:
        office.close()
    return founded


def found_access(member: FoundedMember, now: dt.datetime, roster: int = 0) -> None:
    """Enrol a member's administrators, and let them grant every member what a demo asks: proposed by one security
    administrator, approved by another, as by hand.

    Raises:
        WuganError: a file cannot be written, or the store cannot be made.
    """
    folder = member.folder / "people"
    folder.mkdir(mode=0o700)
    people = {name: (role, keys.generate_signing_key()) for name, role in ADMINISTRATORS.items()}
    for name, (_, key) in people.items():
        keys.store_private_key(folder / f"{name}.pem", key)
    with ThreadPoolExecutor(1) as pool:  # there may be an event loop in this thread already
        pool.submit(asyncio.run, _grant(member, people, now, roster)).result()


async def _grant(
    member: FoundedMember, people: Mapping[str, tuple[str, Ed25519PrivateKey]], now: dt.datetime, roster: int
) -> None:
    now_ms = round(now.timestamp() * 1000)
    terms = {
        "member": "*",
        "units": ["*"],
        "purposes": ["CERTIFICATION", "CHANGE_MONITORING", "OVERPAYMENT_RECOVERY", "DISPUTE_REVIEW"],
        "benefits": ["*"],
        "evidence": ["*"],
        "regions": ["*"],
        "quotas": {"day": 0, "official_day": 0, "minute": 0, "second": 0},
        "roster": roster,
        "from_ms": now_ms,
        "until_ms": now_ms + round(KEY_LIFE.total_seconds() * 1000),
        "why": "agreement of the demonstration federation",
    }
    settings = load_gateway(member.config)
    async with open_store(settings, SystemClock()) as store:
        administration = Administration(store, member.plan.member_id, thresholds(settings.access), SystemClock())
        await found_people(administration, people)
        number = await administration.enact(PROPOSE_GRANT, terms, by=GRANTS, key=people[GRANTS][1], about="*")
        await administration.enact(APPROVE_GRANT, {"grant": number}, by=APPROVES, key=people[APPROVES][1], about="*")


def _equip(
    authority: Authority, member: FoundedMember, now: dt.datetime, addresses: Sequence[str]
) -> directory_pb2.Member:
    """Make a member's keys and certificates; what the directory says of it."""
    plan = member.plan
    tls_name = Identity.gateway(FEDERATION, plan.member_id).tls_name
    signer = keys.generate_signing_key()
    signing = authority.issue_signing(plan.member_id, signer.public_key(), now=now)
    tls_key = keys.generate_tls_key()
    tls = authority.issue_gateway_tls(plan.member_id, tls_key.public_key(), now=now)
    seed = keys.generate_xwing_seed()
    with KeySlots.open(member.keys) as slots:
        slots.install("tls", tls_key, (tls.certificate, tls.issuing))
        slots.install("signing", signer, (signing.certificate, signing.issuing))
        window = _ms(now), _ms(now + KEY_LIFE)
        slots.install("encryption", seed, not_before_ms=window[0], not_after_ms=window[1])
    write_file(member.folder / "roots.pem", authority.root_pem, mode=PUBLIC, replace=False)
    return member_entry(
        member_id=plan.member_id,
        name_zh=plan.name_zh,
        name_en=plan.name_en,
        regions=[plan.region],
        gateways=[(address, tls_name) for address in addresses],
        tls_certificates=[tls.der],
        signing_keys=[signing_key(signing.der, signing.intermediates_der)],
        encryption_keys=[encryption_key(keys.xwing_public_key(seed), not_before=now, not_after=now + KEY_LIFE)],
        offer=directory_pb2.Offer(
            departments=adapter_words.Department.values()[1:],
            benefits=words.BenefitType.values()[1:],
            purposes=adapter_words.Purpose.values()[1:],
        ),
    )


def _equip_unit(authority: Authority, member: FoundedMember, unit: str, now: dt.datetime) -> None:
    """Make an agency's certificate and agency.toml."""
    plan = member.plan
    home = member.folder / "units" / unit
    key = keys.generate_tls_key()
    issued = authority.issue_unit_tls(plan.member_id, unit, key.public_key(), now=now)
    write_tls(home / "tls", authority, key, issued.pem)
    config = f"""\
gateway = "{member.agency_address}"
gateway_name = "{Identity.gateway(FEDERATION, plan.member_id).tls_name}"
official = "demo-official-1"
legal_basis = "社会保险法 第七十四条"
timeout_s = 10.0

[tls]
certificate = "tls/certificate.pem"
private_key = "tls/key.pem"
roots = "tls/roots.pem"
"""
    write_file(home / "agency.toml", config.encode(), mode=PUBLIC, replace=True)


def _write_gateway_config(
    folder: Path, member: FoundedMember, authority_address: str, *, extra: str, log_level: str
) -> None:
    root = read_public(folder / "authority" / ROOT_JSON)
    write_file(member.folder / ROOT_JSON, root, mode=PUBLIC, replace=True)
    source = f"https://{authority_address}/tuf" if authority_address else str((folder / "authority" / "tuf").resolve())
    link = f"""
[authority]
url = "https://{authority_address}"
tls_name = "{Identity.authority(FEDERATION).tls_name}"
"""
    remote = {department.manifest: department.remote for department in member.departments}
    manifests = ", ".join(f'"{remote.get(path, path)}"' for path in member.plan.manifests)
    config = f"""\
member_id = "{member.plan.member_id}"
state_dir = "state"

[server]
federation = "{member.federation_address}"
agency = "{member.agency_address}"
ready_file = "{member.ready_file.name}"

[tls]
roots = "roots.pem"

[directory]
federation = "{FEDERATION}"
source = "{source}"
root = "{ROOT_JSON}"
refresh_s = {30.0 if authority_address else 1.0}
{link if authority_address else ""}
[inquiry]
adapters = [{manifests}]

[quality]
every_s = 2.0

[log]
level = "{log_level}"
{extra}"""
    write_file(member.config, config.encode(), mode=PUBLIC, replace=True)


def _ms(at: dt.datetime) -> int:
    return round(at.timestamp() * 1000)
