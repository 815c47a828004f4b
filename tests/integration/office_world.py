"""Two provinces and their authority in one process: what rotation needs around it, all of it real."""

from __future__ import annotations

import contextlib
import datetime as dt
import shutil
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bench.federation import ANSWERING, ASKING, MANIFEST, UNIT, fill
from certs.errors import RotationError
from certs.identity import Identity
from certs.slot_journal import Kind
from gateway import app
from gateway.authority import run
from gateway.authority.office import Office
from gateway.clock import SystemClock
from gateway.config import load_gateway
from gateway.demo.founding import FEDERATION, FoundedMember, MemberPlan, found
from gateway.demo.ports import free_ports
from gateway.errors import StoreError
from gateway.federation.enrolling import Token
from wugan.federation.v1 import directory_pb2

AUTHORITY_NAME = Identity.authority(FEDERATION).tls_name
ROTATION = """
[rotation]
retire_after_s = 2.0
poll_s = 0.05
"""


@dataclass
class TwoProvinces:
    """Both members, and the authority; `refuse` makes it take no publication, `peers` is whom it let speak."""

    folder: Path
    home: Path
    asking: FoundedMember
    answering: FoundedMember
    port: int
    refuse: bool = False
    peers: list[tuple[str, bytes]] = field(default_factory=list)

    @contextlib.contextmanager
    def office(self) -> Any:
        """As an administrator's command has it."""
        office = Office(self.home, SystemClock())
        try:
            yield office
        finally:
            office.close()

    def entry(self, member: FoundedMember) -> directory_pb2.Member:
        """What the directory says of a member."""
        with self.office() as office:
            entry: directory_pb2.Member = office.entry(member.plan.member_id)
            return entry

    def token(self, member: FoundedMember) -> Token:
        """A one-time token for its gateway."""
        with self.office() as office:
            holder = Identity.gateway(FEDERATION, member.plan.member_id)
            made = office.make_token(holder, dt.timedelta(hours=1))
            return Token(made.token_id, made.secret)

    def keep_old_keys(self, seconds: float) -> None:
        """Have both, once they run, keep keys so long after the next ones are in use."""
        for member in (self.asking, self.answering):
            text = member.config.read_text("utf-8")
            member.config.write_text(text.replace("retire_after_s = 2.0", f"retire_after_s = {seconds}"), "utf-8")

    def forget_keys(self, member: FoundedMember) -> None:
        """As before it was enrolled."""
        shutil.rmtree(member.keys)
        with self.office() as office:
            office.readmit(member.plan.member_id, reason=4)

    @contextlib.asynccontextmanager
    async def authority(self) -> AsyncIterator[run.Bound]:
        """The authority, for the length of the block."""
        async with run.authority(self.home, SystemClock(), listen=f"127.0.0.1:{self.port}") as bound:
            yield bound

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Both gateways and the authority, for the length of the block."""
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self.authority())
            for member in (self.asking, self.answering):
                await stack.enter_async_context(app.gateway(load_gateway(member.config), SystemClock()))
            yield

    def listen_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let `refuse` and `peers` mean something."""
        take, require_peer = Office.take, Office.require_peer

        def taken(office: Office, publications: Sequence[Any]) -> Any:
            if self.refuse:
                raise StoreError("not now", "暂不受理")
            return take(office, publications)

        def spoken(office: Office, member_id: str, certificate: bytes) -> None:
            require_peer(office, member_id, certificate)
            self.peers.append((member_id, certificate))

        monkeypatch.setattr(Office, "take", taken)
        monkeypatch.setattr(Office, "require_peer", spoken)


def two_provinces(folder: Path, extra: str = "") -> TwoProvinces:
    """Founded; `extra` goes into [rotation], or after it."""
    departments = folder / "departments"
    departments.mkdir(parents=True)
    now = dt.datetime.now(dt.UTC)
    fill(departments / "insurance.db", now.date())
    manifest = departments / "health-insurance.yaml"
    manifest.write_text(MANIFEST, "utf-8")
    plans = [
        MemberPlan(*ASKING, units=((UNIT, "test"),), manifests=()),
        MemberPlan(*ANSWERING, units=(), manifests=(manifest,)),
    ]
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    home = folder / "federation"
    asking, answering = found(home, plans, now, authority_address=address, extra=ROTATION + extra, log_level="WARNING")
    return TwoProvinces(folder, home / "authority", asking, answering, port)


class Refusing:
    """An enroller that is not there."""

    async def enrol(self, _kind: Kind, _csr_der: bytes) -> bytes:
        raise RotationError("the authority cannot be reached", "无法连接签发机构")
