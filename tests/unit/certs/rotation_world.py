"""A member that renews its keys, with a real authority and a federation that is a file.

The federation remembers every set of keys that was published, and which version its partners work with; it holds the
member to the rules of publication (`certs.slot_journal`), and `check` to the promises of rotation.
"""

from __future__ import annotations

import datetime as dt
import json
import random
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cryptography import x509

from certs import keys
from certs.authority import Authority
from certs.chain import load_roots
from certs.errors import RotationError
from certs.identity import Identity
from certs.rotation import Event, KeySet, Rotator, Seen, key_set
from certs.rotation_rules import Policy
from certs.slot_journal import KINDS, Kind
from certs.slots import KeySlots

FEDERATION = "test.wugan.internal"
MEMBER = "11330000002482285J"
IDENTITY = Identity.gateway(FEDERATION, MEMBER)
START_MS = 1_795_000_000_000
RETIRE_MS = 600_000
POLICY = Policy(retire_after_ms=RETIRE_MS)


def instant(at_ms: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC)


class Clock:
    def __init__(self, at_ms: int = START_MS) -> None:
        self.at_ms = at_ms

    def __call__(self) -> int:
        return self.at_ms

    def advance(self, ms: int) -> None:
        self.at_ms += ms


class Federation:
    """Publisher and witness. Every partner works with one of the versions from `seen` to `version`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.unreachable = False
        self.older_end_ms: int | None = None
        if not path.exists():
            self._save({"version": 0, "sequence": 0, "seen": 0, "sets": {}})

    def state(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(self._path.read_text())
        return loaded

    def _save(self, state: dict[str, Any]) -> None:
        part = self._path.with_suffix(".part")
        part.write_text(json.dumps(state))
        part.replace(self._path)

    def found(self, told: KeySet) -> None:
        """What the directory says from the beginning."""
        self._save({"version": 1, "sequence": told.sequence, "seen": 1, "sets": {"1": _plain(told)}})

    async def publish(self, keys: KeySet) -> int:
        self._require_reachable()
        state, told = self.state(), _plain(keys)
        if keys.sequence < state["sequence"]:
            raise RotationError("a later set of keys was taken already", "已接受更新的密钥集合")
        if keys.sequence == state["sequence"]:
            assert state["sets"][str(state["version"])] == told, "one sequence number, two sets of keys"
            return int(state["version"])
        version = state["version"] + 1
        sets = state["sets"] | {str(version): told}
        self._save(state | {"version": version, "sequence": keys.sequence, "sets": sets})
        return int(version)

    async def seen(self, version: int) -> Seen:
        self._require_reachable()
        return Seen(self.state()["seen"] >= version, self.older_end_ms)

    def look(self) -> None:
        """Every partner takes the newest directory."""
        state = self.state()
        self._save(state | {"seen": state["version"]})

    def in_use(self) -> list[dict[str, Any]]:
        """The sets of keys that a partner may go by at this moment."""
        state = self.state()
        return [state["sets"][str(version)] for version in range(max(state["seen"], 1), state["version"] + 1)]

    def _require_reachable(self) -> None:
        if self.unreachable:
            raise RotationError("the authority cannot be reached", "无法连接签发机构")


def _plain(told: KeySet) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(asdict(told), default=lambda value: value.hex()))
    del plain["sequence"]
    return plain


class InProcess:
    """The authority itself as enroller."""

    def __init__(self, folder: Path, now_ms: Callable[[], int]) -> None:
        self._authority = Authority.load(folder)
        self._now_ms = now_ms
        self.unreachable = False
        self.refusing: set[Kind] = set()
        self.member = MEMBER

    async def enrol(self, kind: Kind, csr_der: bytes) -> bytes:
        if kind in self.refusing:
            raise RotationError(f"no {kind} certificate for you", f"不签发 {kind} 证书")
        if self.unreachable:
            raise RotationError("the authority cannot be reached", "无法连接签发机构")
        csr, now = x509.load_der_x509_csr(csr_der), instant(self._now_ms())
        issue = self._authority.issue_gateway_tls if kind == "tls" else self._authority.issue_signing
        return issue(self.member, csr, now=now).pem


class World:
    """One member: its slots, its rotator, its federation."""

    def __init__(self, folder: Path, *, policy: Policy = POLICY, clock: Clock | None = None, token: Any = None) -> None:
        self.folder = folder
        self.clock = clock or Clock()
        if not (folder / "authority").exists():
            Authority.create(
                folder / "authority", FEDERATION, now=instant(self.clock.at_ms - 86_400_000), loopback=True
            )
        self.roots = load_roots((folder / "authority" / "root.pem").read_bytes())
        self.enroller = InProcess(folder / "authority", self.clock)
        self.federation = Federation(folder / "federation.json")
        self.policy = policy
        self.token = token
        self.events: list[Event] = []
        self.changes = 0
        self.draw = random.Random(7)
        self.open()

    def open(self) -> None:
        self.slots = KeySlots.open(self.folder / "keys", token=self.token)
        self.rotator = Rotator(
            self.slots,
            IDENTITY,
            self.roots,
            enroller=self.enroller,
            publisher=self.federation,
            witness=self.federation,
            policy=self.policy,
            now_ms=self.clock,
            draw=self.draw,
            changed=self._changed,
            tell=self.events.append,
        )

    def reopen(self) -> None:
        """As after a restart."""
        self.slots.close()
        self.open()

    async def _changed(self) -> None:
        self.changes += 1

    def found(self) -> None:
        """First keys, known to everybody."""
        authority = Authority.load(self.folder / "authority")
        now = instant(self.clock.at_ms)
        for kind in KINDS:
            if kind == "encryption":
                window = self.clock.at_ms, self.clock.at_ms + self.policy.encryption_life_ms
                self.slots.install(kind, keys.generate_xwing_seed(), not_before_ms=window[0], not_after_ms=window[1])
                continue
            key = keys.generate_tls_key() if kind == "tls" else keys.generate_signing_key()
            issue = authority.issue_gateway_tls if kind == "tls" else authority.issue_signing
            issued = issue(MEMBER, key.public_key(), now=now)
            self.slots.install(kind, key, (issued.certificate, issued.issuing))
        self.federation.found(key_set(self.slots))

    async def settle(self) -> int:
        """Take every step that can be taken now; how many there were."""
        steps = 0
        while await self.rotator.step():
            self.check()
            steps += 1
            assert steps < 100, "it goes round in circles"
        return steps

    async def complete(self) -> None:
        """Take steps, with partners that look and time that passes, until nothing is under way."""
        await self.settle()
        for _ in range(3):
            self.federation.look()
            await self.settle()
            self.clock.advance(RETIRE_MS)
            await self.settle()
        self.federation.look()
        await self.settle()

    def numbers(self, kind: Kind) -> dict[str, list[int]]:
        """Numbers of living generations by state."""
        found: dict[str, list[int]] = {}
        for each in self.slots.journal.generations:
            if each.kind == kind and each.state != "destroyed":
                found.setdefault(each.state, []).append(each.number)
        return found

    def check(self) -> None:
        """The promises: a current key always, none that a partner does not know, and whatever is sealed opens."""
        journal = self.slots.journal
        opening = {
            keys.xwing_public_key(keys.load_xwing_seed(self.slots.key_path(each))).hex()
            for each in journal.generations
            if each.kind == "encryption" and each.state in ("next", "current", "retired", "withdrawn")
        }
        current = {kind: journal.current(kind) for kind in KINDS}
        for kind, each in current.items():
            assert each is not None, f"no current {kind} key"
            self.slots._load(each)
        tls, signing = (_leaf(self.slots.chain(each)) for each in (current["tls"], current["signing"]) if each)
        for known in self.federation.in_use():
            assert tls in known["tls_certificates"], "TLS with a certificate that a partner does not know"
            assert signing in {each["certificate"] for each in known["signing"]}, "signing with an unknown key"
            newest = max(known["encryption"], key=lambda each: each["not_before_ms"])
            assert newest["public_key"] in opening, "a partner seals to a key that does not open any more"

    def check_files(self) -> None:
        """Nothing lies about that no living generation owns."""
        expected = {"journal.json", "lock"}
        for each in self.slots.journal.generations:
            if each.state != "destroyed":
                expected |= {self.slots.chain_path(each).name} if each.kind != "encryption" else set()
                expected |= {self.slots.key_path(each).name} if not each.label else set()
        assert {path.name for path in (self.folder / "keys").iterdir()} == expected


def _leaf(chain: bytes) -> str:
    certificate = x509.load_pem_x509_certificate(chain)
    return certificate.public_bytes(keys.serialization.Encoding.DER).hex()
