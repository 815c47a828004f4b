"""Administering access: signed acts on their way into the store, and out of it into a policy.

Owns: `Administration`, with which a person changes the policy, and `PolicyWatch`, by which a running gateway notices
that somebody did. Refuses: anything that the ledger refuses; and letting a gateway go on by a policy that cannot be
read: after a few seconds it allows nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from certs.keys import key_id, raw_public_key
from gateway.access import people
from gateway.access.acts import SignedAct, Statement, canonical, sign_act
from gateway.access.ledger import Ledger
from gateway.access.people import Applicant
from gateway.access.policy import Policy
from gateway.access.terms import Thresholds
from gateway.clock import Clock
from gateway.errors import PolicyError, StoreError, WuganError
from gateway.store.acts import START, ActRow, ActsHead
from gateway.store.audit import AuditEvent
from gateway.store.engine import Store

BLIND_S: Final = 5.0
"""How long a gateway goes on by its last policy when it cannot look whether there is a newer one."""

_log = structlog.stdlib.get_logger(__name__)


class Administration:
    """The policy of one gateway, open for reading and for signed changes.

    Args:
        store: the gateway's own.
        member: whose gateway it is.
        thresholds: what needs two persons.
        clock: dates the acts.
    """

    def __init__(self, store: Store, member: str, thresholds: Thresholds, clock: Clock) -> None:
        self._store = store
        self._member = member
        self._thresholds = thresholds
        self._clock = clock
        self._head = START
        self.ledger = Ledger(member, thresholds)

    async def refresh(self) -> bool:
        """Take in the acts there are; whether there were new ones.

        Raises:
            PolicyError, StoreError: the record is broken or cannot be read.
        """
        if not await self._store.acts.changed(self._head):
            return False
        try:
            await self._extend()
        except (PolicyError, StoreError):
            # Whole again or not at all: a restored database may hold other acts than those that were taken in.
            self._head, self.ledger = START, Ledger(self._member, self._thresholds)
            await self._extend()
        return True

    async def _extend(self) -> None:
        rows, head = await self._store.acts.read(self._head)
        await asyncio.to_thread(self._take_in, rows, head)

    def _take_in(self, rows: list[ActRow], head: ActsHead) -> None:
        for row in rows:
            self.ledger.apply(SignedAct(*row))
        self._head = head

    async def enact(
        self, act: str, body: Mapping[str, Any], *, by: str, key: Ed25519PrivateKey, about: str = ""
    ) -> int:
        """Do what a person with a role decided, signed with their key; the number of the act.

        It is in the store, and in the audit trail, when this returns.

        Args:
            act: kind of act (people.py).
            body: what it needs.
            by: the person's name.
            key: the person's key.
            about: the member concerned, for the audit trail.

        Raises:
            PolicyError: the person may not do it, or it makes no sense; nothing was changed.
            StoreError: it could not be kept.
        """
        await self.refresh()
        statement = Statement(act, self._clock.now_ms(), body, by, self._member, self.ledger.number + 1)
        signed = sign_act(statement, key)
        self.ledger.apply(signed)
        kept = taken = False
        try:
            if act == people.CLEAR_ALARM:
                await self._require_alarm(body["alarm"])
            kept = await self._store.acts.append(ActRow(*signed), self._event(statement, signed, key, about))
            if kept:
                rows, head = await self._store.acts.read(self._head)
                await asyncio.to_thread(self._take_in, rows[1:], head)
                taken = True
        finally:
            # Whatever went wrong: what was kept comes back by reading all of it, like everybody else's acts.
            if not taken:
                self._head, self.ledger = START, Ledger(self._member, self._thresholds)
        await self.refresh()
        if not kept:
            raise PolicyError(
                "somebody changed the policy at the same moment; look at it and do it again",
                "授权策略同时被他人修改，请查看后重新操作",
                retryable=True,
            )
        return signed.number

    async def _require_alarm(self, number: object) -> None:
        """Return when there is such an alarm: one that was cleared before it is raised would go by itself, unseen.

        Raises:
            PolicyError: there is none.
            StoreError: they cannot be read.
        """
        if all(alarm.number != number for alarm in await self._store.alarms.read()):
            raise PolicyError(
                "there is no such alarm; see `wugan access alarms`",
                "没有该告警，请查看 `wugan access alarms`",
                field="alarm",
            )

    async def look(self, what: str, body: Mapping[str, Any], *, by: str, key: Ed25519PrivateKey) -> None:
        """Return when a person may look at something, and has signed that they do: it is in the audit trail then.

        Args:
            what: kind of look (people.MAY_LOOK).
            body: what of it.
            by: the person's name.
            key: the person's key.

        Raises:
            PolicyError: the person may not.
            StoreError: it could not be recorded; then nothing is to be shown.
        """
        await self.refresh()
        statement = Statement(what, self._clock.now_ms(), body, by, self._member, 0)
        signed = sign_act(statement, key)
        self.ledger.require_may_look(signed)
        event = self._event(statement, signed, key, "")
        said = f"{event.decision}; {canonical(body).decode()}"
        await self._store.audit.record(event._replace(case_reference="", decision=said))

    def _event(self, statement: Statement, signed: SignedAct, key: Ed25519PrivateKey, about: str) -> AuditEvent:
        public = raw_public_key(key.public_key())
        return AuditEvent(
            at_ms=statement.at_ms,
            direction="act",
            counterpart=about,
            unit=statement.by,
            official=bytes.fromhex(key_id(public)),
            purpose=0,
            legal_basis="",
            case_reference=f"act {signed.number}",
            message_id=b"",
            digest=hashlib.sha256(signed.statement).digest(),
            subjects=0,
            outcome=0,
            decision=f"{statement.act}; signature {signed.signature.hex()}",
        )


async def found_people(administration: Administration, founders: Mapping[str, tuple[str, Ed25519PrivateKey]]) -> None:
    """Enrol the people of the beginning, where all their keys are at hand: founding a demo, tests, measuring.

    Args:
        administration: of a gateway without people.
        founders: name → role and key; the first system administrator signs.
    """
    listed = [{"application": Applicant.of(name, key).text(), "role": role} for name, (role, key) in founders.items()]
    by = next(name for name, (role, _) in founders.items() if role == people.SYSTEM)
    await administration.enact(people.FOUND_PEOPLE, {"people": listed}, by=by, key=founders[by][1])


class PolicyWatch:
    """Keeps a running gateway's policy the one in the store.

    Args:
        administration: reads it.
        use: takes the policy, or None: allow nothing.
        every_s: seconds between looks.
    """

    def __init__(
        self, administration: Administration, use: Callable[[Policy | None], None], clock: Clock, every_s: float
    ) -> None:
        self._administration = administration
        self._use = use
        self._clock = clock
        self._every_s = every_s
        self._seen_at = clock.monotonic()
        self._blind = False
        self._told: tuple[str, str, bool] | None = None

    async def look(self, *, first: bool = False) -> None:
        """Look once. What cannot be read is logged; a broken policy allows nothing, at once."""
        try:
            if await self._administration.refresh() or first or self._blind:
                policy = Policy.of(self._administration.ledger)
                self._use(policy)
                _log.info("access policy taken", version=policy.version)
            self._seen_at, self._blind, self._told = self._clock.monotonic(), False, None
        except WuganError as error:
            if not error.retryable or self._clock.monotonic() - self._seen_at > BLIND_S:
                self._use(None)
                self._blind = True
            told = error.code, error.field, self._blind
            if told != self._told:  # once a second it would fill the disk
                self._told = told
                _log.error("access policy not read", error=error.code, field=error.field, refusing=self._blind)
        except Exception as error:  # noqa: BLE001  whatever it was: by a policy that is not understood nothing is allowed
            self._use(None)
            self._blind = True
            _log.error("access policy not read", error=type(error).__name__, refusing=True)

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(self._every_s)
            await self.look()
