"""AdapterRegistryService: what a department does to its own adapter. No rule lives here.

Owns: who is served (the department's adapter, by its certificate, of this member), and translating. Refuses: letting
one department see or touch another's.
"""

from __future__ import annotations

from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from adapters.contract import MAX_CELL_BYTES
from certs.identity import ROLE_DEPARTMENT, Identity
from gateway.access import adapters as states
from gateway.access.adapters import Version
from gateway.errors import AccessError, RefusedError
from gateway.inquiry.applying import Applying
from gateway.inquiry.following import Following
from gateway.services.serving import Context, Desk
from gateway.store.adapters import Adapters, Standing
from wugan.adapter.v1 import registry_pb2, registry_pb2_grpc
from wugan.federation.v1 import vocabulary_pb2 as words

MAX_PUSHED: Final = 5_000
LIST_AT_MOST: Final = 1_000

_STATES: Final = {
    states.PROPOSED: registry_pb2.REGISTRATION_STATE_PROPOSED,
    states.SHADOW: registry_pb2.REGISTRATION_STATE_SHADOW,
    states.LIVE: registry_pb2.REGISTRATION_STATE_LIVE,
    states.SUSPENDED: registry_pb2.REGISTRATION_STATE_SUSPENDED,
    states.REMOVED: registry_pb2.REGISTRATION_STATE_REMOVED,
}


class RegistryServicer(registry_pb2_grpc.AdapterRegistryServiceServicer):
    """What departments of this member call.

    Args:
        desk: what every call goes through.
        member_id: this member's.
        applying: does it.
        store: how versions do.
        following: takes what is pushed.
    """

    def __init__(self, desk: Desk, member_id: str, applying: Applying, store: Adapters, following: Following) -> None:
        self._desk = desk
        self._member_id = member_id
        self._applying = applying
        self._store = store
        self._following = following

    async def Register(self, request: registry_pb2.RegisterRequest, context: Context) -> registry_pb2.RegisterResponse:
        """Propose a version."""

        async def work(peer: Identity) -> registry_pb2.RegisterResponse:
            self._require(peer)
            version = await self._applying.register(peer, request.manifest, request.reason)
            return registry_pb2.RegisterResponse(registration=_shown(version, None))

        return await self._desk.serve("Register", context, work)

    async def ListRegistrations(
        self, request: registry_pb2.ListRegistrationsRequest, context: Context
    ) -> registry_pb2.ListRegistrationsResponse:
        """The caller's versions."""

        async def work(peer: Identity) -> registry_pb2.ListRegistrationsResponse:
            self._require(peer)
            versions = await self._applying.versions(peer)
            standings = {(each.adapter, each.digest): each for each in await self._store.standings()}
            shown = [each for each in versions if request.removed or each.state != states.REMOVED]
            return registry_pb2.ListRegistrationsResponse(
                registrations=[
                    _shown(each, standings.get((each.adapter, each.digest))) for each in shown[-LIST_AT_MOST:]
                ]
            )

        return await self._desk.serve("ListRegistrations", context, work)

    async def Suspend(self, request: registry_pb2.SuspendRequest, context: Context) -> registry_pb2.SuspendResponse:
        """Have the caller's adapter not asked."""

        async def work(peer: Identity) -> registry_pb2.SuspendResponse:
            self._require(peer)
            await self._applying.suspend(peer, request.reason)
            return registry_pb2.SuspendResponse()

        return await self._desk.serve("Suspend", context, work)

    async def Resume(self, request: registry_pb2.ResumeRequest, context: Context) -> registry_pb2.ResumeResponse:
        """End that."""

        async def work(peer: Identity) -> registry_pb2.ResumeResponse:
            self._require(peer)
            await self._applying.resume(peer, request.reason)
            return registry_pb2.ResumeResponse()

        return await self._desk.serve("Resume", context, work)

    async def WithdrawVersion(
        self, request: registry_pb2.WithdrawVersionRequest, context: Context
    ) -> registry_pb2.WithdrawVersionResponse:
        """Take a version back."""

        async def work(peer: Identity) -> registry_pb2.WithdrawVersionResponse:
            self._require(peer)
            await self._applying.withdraw(peer, request.digest, request.reason)
            return registry_pb2.WithdrawVersionResponse()

        return await self._desk.serve("WithdrawVersion", context, work)

    async def PushChanges(
        self, request: registry_pb2.PushChangesRequest, context: Context
    ) -> registry_pb2.PushChangesResponse:
        """Take in people of whom there is something new."""

        async def work(peer: Identity) -> registry_pb2.PushChangesResponse:
            self._require(peer)
            self._applying.require_live(peer)
            numbers, names = list(request.people.held_id_number), list(request.people.held_name)
            too_long = any(len(cell) > MAX_CELL_BYTES for cell in (*numbers, *names))
            if len(numbers) != len(names) or len(numbers) > MAX_PUSHED or too_long:
                raise RefusedError(
                    f"people: columns of equal length, {MAX_PUSHED} people at most, short cells",
                    f"people：各列长度须一致，至多 {MAX_PUSHED} 人，单元格不得过长",
                    reason=words.REFUSAL_REASON_INVALID_ARGUMENT,
                    field="people",
                )
            await self._following.pushed(peer.name, numbers, names)
            return registry_pb2.PushChangesResponse()

        return await self._desk.serve("PushChanges", context, work)

    def _require(self, peer: Identity) -> None:
        if peer.role != ROLE_DEPARTMENT or peer.member_id != self._member_id:
            raise AccessError(
                "only the adapters of this gateway's own member's departments are served here; use the department's "
                "certificate",
                "此处仅服务本成员各部门的接入程序，请使用本部门证书",
                reason=words.REFUSAL_REASON_PEER_MISMATCH,
            )


def _shown(version: Version, standing: Standing | None) -> registry_pb2.Registration:
    since = Timestamp()
    since.FromMilliseconds(version.changed_at_ms)
    shown = registry_pb2.Registration(
        digest=version.digest,
        version=version.version,
        state=_STATES[version.state],
        since=since,
        reason=version.why,
        suspended_by_department=version.state == states.SUSPENDED and version.changed_by.startswith("spiffe://"),
    )
    if standing is not None:
        if version.state in (states.SHADOW, states.LIVE):
            shown.fault_zh, shown.fault_en = standing.fault_zh, standing.fault_en
        shown.trial.CopyFrom(registry_pb2.Trial(**standing.tally._asdict()))
    return shown
