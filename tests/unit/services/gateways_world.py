"""Three provinces in one process: real keys, directory, stores and servicers, joined by lines instead of sockets.

A line carries what a socket would: serialized messages one way and the other, statuses with their trailing metadata,
the deadline and the identity that TLS would have proved. What is at its other end is a gateway as it runs, or whatever
a test puts there.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import functools
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, cast

import grpc
import numpy as np
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from grpc_status import rpc_status
from stdnum.cn import uscc

from adapters.contract import Adapter, DataItem, Description, Faces, Found, Holders, Links, Lookup
from certs.identity import Identity
from gateway.access.policy import Policy
from gateway.access.terms import BENEFIT_NAMES, EVERYTHING, PURPOSE_NAMES, Quotas, Terms
from gateway.clock import FakeClock
from gateway.errors import WuganError
from gateway.exchange.envelope import Opened, Proof, open_question, seal
from gateway.exchange.keys import FOREVER_MS, DecryptionKey, EncryptionKey, OwnKeys, SigningKey, VerifyKey
from gateway.federation.carrier import DeliveryCarrier
from gateway.federation.check import Checks
from gateway.federation.directory import Directory, Gateway, Member, Windowed
from gateway.federation.late import LateChecks
from gateway.federation.noticed import Noticed
from gateway.federation.partners import Partners
from gateway.federation.subscribing import Subscribing
from gateway.inquiry import quotas
from gateway.inquiry.access import Access
from gateway.inquiry.answering import Account, Inquiry
from gateway.inquiry.asking import Departments
from gateway.inquiry.exchange import Exchange
from gateway.post.door import Door
from gateway.post.inbox import Inbox
from gateway.post.outbox import Outbox
from gateway.sections.lasting import NoticesSettings, OutboxSettings
from gateway.services.agency import AgencyServicer
from gateway.services.federation import FederationServicer
from gateway.services.notices import NoticeService
from gateway.services.rosters import RosterService
from gateway.services.serving import Desk
from gateway.status import to_status
from gateway.store.engine import Store
from tests.unit.adapters.adapters_world import number
from tests.unit.rules.rules_world import BOOK, TODAY, Row, civil, evidence
from wugan.adapter.v1 import columns_pb2
from wugan.adapter.v1 import vocabulary_pb2 as v
from wugan.agency.v1 import agency_pb2
from wugan.federation.v1 import directory_pb2, envelope_pb2, exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

FEDERATION = "test.wugan.internal"
NOW_MS = civil(TODAY) * 86_400_000 + 4 * 3_600_000
ZHEJIANG, ANHUI, FUJIAN = 330000, 340000, 350000
ANNA, BO, CHEN, NEW_ANNA = number(1), number(2), number(3), number(4)
NAMES = {ANNA: "安娜", BO: "鲍博", CHEN: "陈晨", NEW_ANNA: "安娜"}
UNIT = "jinhua"

NO_ROSTERS = cast("RosterService", None)
"""In worlds that have no rosters."""

Handler = Callable[[envelope_pb2.Envelope, "Call"], Awaitable[envelope_pb2.Envelope]]


class Party:
    """A member: its keys, and what the directory says of it."""

    def __init__(self, region: int) -> None:
        code = f"11{region}002482285"
        self.region = region
        self.member_id = code + uscc.calc_check_digit(code)
        self.identity = Identity.gateway(FEDERATION, self.member_id)
        seeds = [hashlib.sha256(f"{region} {use}".encode()).digest() for use in ("signing", "decryption")]
        self.signing = SigningKey.from_seed(seeds[0])
        self.decryption = DecryptionKey.from_seed(seeds[1])
        self.own = OwnKeys.of(self.member_id, self.signing, self.decryption)
        self.encryption = EncryptionKey.from_raw(self.decryption.public_raw)

    @property
    def address(self) -> str:
        return f"gateway-{self.region}:7443"

    def unit(self, name: str = UNIT) -> Identity:
        return Identity(FEDERATION, self.member_id, "unit", name)

    def entry(self) -> Member:
        verify = VerifyKey.from_raw(self.signing.public_raw)
        return Member(
            member_id=self.member_id,
            name_zh=f"某省 {self.region}",
            name_en=f"province {self.region}",
            regions=frozenset({self.region}),
            gateways=(Gateway(self.address, self.identity.tls_name),),
            signing_keys={verify.key_id: Windowed(verify, 0, FOREVER_MS)},
            encryption_keys=(Windowed(self.encryption, 0, FOREVER_MS),),
            offer=directory_pb2.Offer(),
        )


A, B, C = (Party(region) for region in (ZHEJIANG, ANHUI, FUJIAN))


class Listed:
    """A directory source with the directory of these members."""

    def __init__(self, *parties: Party, clock: FakeClock) -> None:
        self._clock = clock
        self._directory = Directory(
            FEDERATION,
            1,
            NOW_MS,
            NOW_MS + 30 * 86_400_000,
            b"",
            tuple(party.entry() for party in parties),
            issuing=CA.listed,
        )

    def current(self) -> Directory:
        self._directory.require_fresh(self._clock.now_ms())
        return self._directory

    async def refresh(self, version: int = 0) -> None:
        return None

    def subscribe(self, changed: Callable[[], None]) -> None:
        return None


class AbortedError(Exception):
    """What `ServicerContext.abort` ends a call with."""

    def __init__(self, code: grpc.StatusCode, details: str, trailing: Iterable[tuple[str, str | bytes]]) -> None:
        super().__init__(details)
        self.code = code
        self.details = details
        self.trailing = tuple(trailing)

    def as_client_sees_it(self) -> grpc.aio.AioRpcError:
        metadata = grpc.aio.Metadata(*self.trailing)
        return grpc.aio.AioRpcError(self.code, grpc.aio.Metadata(), metadata, self.details)


class Call:
    """What a servicer is told of a call: who the handshake proved, and what is left of the deadline."""

    def __init__(
        self,
        peer: Identity | str,
        timeout_s: float | None = None,
        *,
        tls: bytes = b"TLSv1.3",
        certificate: bytes = b"",
    ) -> None:
        uri = peer if isinstance(peer, str) else peer.uri
        self._auth: Mapping[str, Sequence[bytes]] = {
            "ssl_tls_version": [tls],
            "peer_uri": [uri.encode()],
            "x509_pem_cert": [certificate or certificate_of(uri)],
        }
        self._timeout_s = timeout_s

    def auth_context(self) -> Mapping[str, Sequence[bytes]]:
        return self._auth

    def time_remaining(self) -> float | None:
        return self._timeout_s

    def invocation_metadata(self) -> Sequence[tuple[str, str | bytes]]:
        return ()

    async def abort(
        self, code: grpc.StatusCode, details: str = "", trailing_metadata: Iterable[tuple[str, str | bytes]] = ()
    ) -> NoReturn:
        raise AbortedError(code, details, trailing_metadata)

    def as_context(self) -> grpc.aio.ServicerContext[Any, Any]:
        return cast("grpc.aio.ServicerContext[Any, Any]", self)


class _Streaming(Call):
    """What a servicer is told of a call that is answered bit by bit."""

    def __init__(self, peer: Identity, call: StreamCall) -> None:
        super().__init__(peer)
        self._call = call

    async def send_initial_metadata(self, _metadata: object) -> None:
        self._call.let_in()

    async def write(self, envelope: envelope_pb2.Envelope) -> None:
        await self._call.answer(envelope)


@functools.cache
def certificate_of(uri: str) -> bytes:
    """A certificate with that name, PEM, of the CA that the directory of this world tells of."""
    return CA.issue(uri)


class IssuingCa:
    """A CA that issues certificates; that a root stands behind it is TLS's to say."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.identifier = x509.SubjectKeyIdentifier.from_public_key(self.key.public_key())
        made = self._builder(self.key.public_key()).add_extension(self.identifier, critical=False)
        self.certificate = made.sign(self.key, hashes.SHA256())

    @property
    def listed(self) -> dict[bytes, bytes]:
        """As `Directory.issuing` has it."""
        return {self.identifier.digest: self.certificate.public_bytes(serialization.Encoding.DER)}

    def issue(self, uri: str, identifier: x509.SubjectKeyIdentifier | None = None) -> bytes:
        """A certificate with that name, PEM; `identifier`: which key it claims to be signed with."""
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)])
        by = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier or self.identifier)
        builder = self._builder(ec.generate_private_key(ec.SECP256R1()).public_key())
        builder = builder.add_extension(names, critical=False).add_extension(by, critical=False)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    @staticmethod
    def _builder(key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        begin = dt.datetime.fromtimestamp(NOW_MS / 1000, dt.UTC)
        builder = x509.CertificateBuilder(x509.Name([]), x509.Name([]), key, x509.random_serial_number())
        return builder.not_valid_before(begin).not_valid_after(begin + dt.timedelta(days=30))


CA = IssuingCa()


class Line:
    """A channel whose other end is in this process."""

    def __init__(self, caller: Party, handler: Handler) -> None:
        self._caller = caller
        self._handler = handler
        self.closed = False

    def unary_unary(
        self, _path: str, request_serializer: Any, response_deserializer: Any, **_more: object
    ) -> Callable[..., Awaitable[Any]]:
        async def call(request: Any, *, timeout: float | None = None) -> Any:
            sent = envelope_pb2.Envelope.FromString(request_serializer(request))
            try:
                async with asyncio.timeout(timeout):
                    answer = await self._handler(sent, Call(self._caller.identity, timeout))
            except TimeoutError:
                raise rpc_error(grpc.StatusCode.DEADLINE_EXCEEDED) from None
            except AbortedError as error:
                raise error.as_client_sees_it() from None
            return response_deserializer(answer.SerializeToString())

        return call

    def stream_stream(
        self, _path: str, request_serializer: Any, response_deserializer: Any, **_more: object
    ) -> Callable[[], StreamCall]:
        return lambda: StreamCall(self._caller, self._handler, request_serializer, response_deserializer)

    async def channel_ready(self) -> None:
        return None

    async def close(self, _grace: float | None = None) -> None:
        self.closed = True


class StreamCall:
    """A call with a stream each way, as a client has it and as a servicer has it; nothing is sent ahead of the reader.

    What is at the other end is a handler with an attribute `stream`; one without is nobody there.
    """

    def __init__(self, caller: Party, handler: Any, serialize: Any, deserialize: Any) -> None:
        self._up: asyncio.Queue[bytes | None] = asyncio.Queue(1)
        self._down: asyncio.Queue[bytes] = asyncio.Queue(1)
        self._let_in = asyncio.Event()
        self._serialize, self._deserialize = serialize, deserialize
        self._cancelled = False
        self.sent = 0
        stream = getattr(handler, "stream", _no_stream)
        self._task = asyncio.ensure_future(stream(self._requests(), _Streaming(caller.identity, self)))
        self._task.add_done_callback(lambda _: self._let_in.set())

    async def _requests(self) -> AsyncIterator[envelope_pb2.Envelope]:
        while (message := await self._up.get()) is not None:
            yield envelope_pb2.Envelope.FromString(message)

    def let_in(self) -> None:
        self._let_in.set()

    async def answer(self, envelope: envelope_pb2.Envelope) -> None:
        await self._down.put(envelope.SerializeToString())

    async def initial_metadata(self) -> tuple[()]:
        await self._let_in.wait()
        return ()

    def done(self) -> bool:
        return self._task.done() and self._down.empty()

    def cancelled(self) -> bool:
        return self._cancelled

    def cancel(self) -> bool:
        self._cancelled = not self._task.done()
        return self._task.cancel()

    async def write(self, envelope: envelope_pb2.Envelope) -> None:
        put = asyncio.ensure_future(self._up.put(self._serialize(envelope)))
        await asyncio.wait([put, self._task], return_when=asyncio.FIRST_COMPLETED)
        if not put.done():
            put.cancel()
            raise asyncio.InvalidStateError("the call is over")
        self.sent += 1

    async def done_writing(self) -> None:
        await self._up.put(None)

    async def read(self) -> Any:
        got = asyncio.ensure_future(self._down.get())
        try:
            await asyncio.wait([got, self._task], return_when=asyncio.FIRST_COMPLETED)
            if got.done():
                return self._deserialize(got.result())
        finally:
            got.cancel()
        if not self._down.empty():
            return self._deserialize(self._down.get_nowait())
        if self._cancelled or self._task.cancelled():
            raise asyncio.CancelledError
        error = self._task.exception()
        if isinstance(error, AbortedError):
            raise error.as_client_sees_it()
        if error is not None:
            raise error
        return grpc.aio.EOF


async def _no_stream(_requests: object, _context: object) -> None:
    raise rpc_error(grpc.StatusCode.UNAVAILABLE)


def rpc_error(code: grpc.StatusCode, trailing: Iterable[tuple[str, str | bytes]] = ()) -> grpc.aio.AioRpcError:
    """A status as the gRPC library raises it."""
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailing), "of the library")


def status_of(error: WuganError) -> grpc.aio.AioRpcError:
    """An error of ours as it arrives at the other side."""
    status = rpc_status.to_status(to_status(error))
    return AbortedError(status.code, status.details, status.trailing_metadata or ()).as_client_sees_it()


@dataclass
class Federation:
    """What the asking side A reaches, and how A asks."""

    clock: FakeClock = field(default_factory=lambda: FakeClock(NOW_MS))
    handlers: dict[str, Handler] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    parties: tuple[Party, ...] = (A, B, C)

    @property
    def directory(self) -> Listed:
        return Listed(*self.parties, clock=self.clock)

    def channel(self, address: str, tls_name: str) -> grpc.aio.Channel:
        party = next(party for party in self.parties if party.address == address)
        assert tls_name == party.identity.tls_name
        self.lines.append(Line(A, self.handlers.get(address, _nobody_there)))
        return cast("grpc.aio.Channel", self.lines[-1])

    def at(self, party: Party, handler: Handler) -> None:
        """Put something at a member's address."""
        self.handlers[party.address] = handler

    def partners(self, **changed: Any) -> Partners:
        options: dict[str, Any] = {"lifetime_ms": 60_000, "sleep": self.sleep, **changed}
        return Partners(lambda: A.own, self.directory, self.channel, self.clock, **options)

    async def sleep(self, seconds: float) -> None:
        """Waits between tries take no time in tests, but are noted."""
        self.slept.append(seconds)

    def checks(self, store: Store, **changed: Any) -> Checks:
        options: dict[str, Any] = {"max_members": 10, "default_s": 5.0, "reserve_s": 0.05, **changed}
        return Checks(A.member_id, self.partners(), self.directory, self.clock, store, **options)

    def agency(self, store: Store, *, most_bytes: int = 16 << 20, **changed: Any) -> AgencyServicer:
        desk = Desk(self.clock, self.directory.current, federation=FEDERATION, limit=8)
        late, checks = self.late(store), self.checks(store, **changed)
        notices = self.notices(store, checks)
        return AgencyServicer(
            desk, checks, BOOK, self.directory, A.member_id, late, notices, NO_ROSTERS, most_bytes=most_bytes
        )

    def late(self, store: Store) -> LateChecks:
        """A's checks that are left open; what it leaves stays in the outbox, which nobody empties."""
        return LateChecks(store, self._outbox(store), self.clock, longest_ms=30 * 86_400_000, poll_s=0.02)

    def notices(self, store: Store, checks: Checks) -> NoticeService:
        """A's subscriptions; what it leaves stays in the outbox, which nobody empties."""
        given, directory = NoticesSettings(), self.directory
        outbox, deliver_ms = self._outbox(store), 30 * 86_400_000
        subscribing = Subscribing(A.member_id, BOOK, directory, store, outbox, self.clock, given, deliver_ms=deliver_ms)
        noticed = Noticed(store, self.clock, keep_ms=deliver_ms)
        return NoticeService(subscribing, noticed, store.subscriptions, checks.pseudonym, directory, self.clock)

    def _outbox(self, store: Store) -> Outbox:
        carrier = DeliveryCarrier(self.directory, self.channel)
        current = self.directory.current
        settings = OutboxSettings(poll_s=0.02)
        return Outbox(lambda: A.own, current, store.outbox, carrier, self.clock, settings, lifetime_ms=60_000)


async def _nobody_there(_envelope: envelope_pb2.Envelope, _call: Call) -> envelope_pb2.Envelope:
    raise rpc_error(grpc.StatusCode.UNAVAILABLE)


def answering(
    federation: Federation, party: Party, reply: Callable[[exchange_pb2.Question], exchange_pb2.Answer], **changed: Any
) -> Handler:
    """A gateway of the member that answers whatever the test says, sealed as it should be."""

    async def handle(envelope: envelope_pb2.Envelope, _call: Call) -> envelope_pb2.Envelope:
        opened = opened_at(federation, party, envelope)
        answers = [reply(exchange_pb2.Question.FromString(payload)) for payload in opened.payloads]
        payloads = [answer.SerializeToString() for answer in answers]
        return sealed_answer(federation, party, opened, *payloads, **changed)

    return handle


def opened_at(federation: Federation, party: Party, envelope: envelope_pb2.Envelope) -> Opened:
    return open_question(envelope, party.own, federation.directory.current(), now_ms=federation.clock.now_ms())


def sealed_answer(
    federation: Federation, party: Party, question: Opened, *payloads: bytes, **changed: Any
) -> envelope_pb2.Envelope:
    options: dict[str, Any] = {
        "kind": envelope_pb2.MESSAGE_KIND_ANSWER,
        "purpose": question.header.purpose,
        "payloads": payloads,
        "now_ms": federation.clock.now_ms(),
        "lifetime_ms": 60_000,
        "question": question,
        **changed,
    }
    return seal(party.own, A.member_id, A.encryption, **options).envelope


def proof_in(shown: agency_pb2.Proof) -> Proof:
    """The proof that an agency was given."""
    return Proof(**{name: getattr(shown, name) for name in Proof._fields})


class Register:
    """A department written out in the test: who it knows, under which name, and what it has about them."""

    def __init__(
        self,
        people: Mapping[str, Sequence[Row]],
        *,
        department: int = v.DEPARTMENT_HEALTH_INSURANCE,
        names: Mapping[str, str] | None = None,
        links: Mapping[str, str] | None = None,
        faces: Mapping[str, tuple[bytes, int, int]] | None = None,
        error: Exception | None = None,
        regions: tuple[int, ...] = (ANHUI,),
    ) -> None:
        self.people = people
        self.names = NAMES if names is None else names
        self.links = links or {}
        self.faces = faces or {}
        """Token, day and region of the check, by number."""
        self.error = error
        self.asked: list[Lookup] = []
        items = tuple(DataItem(kind, v.STRENGTH_REAL_NAME, 1) for kind in v.EvidenceKind.values()[1:])
        name = (
            v.Department.Name(v.Department.ValueType(department)).removeprefix("DEPARTMENT_").lower().replace("_", "-")
        )
        self.about = Description(name, "1", department, regions, items, links=True)

    def describe(self) -> Description:
        return self.about

    async def lookup(self, question: Lookup) -> Found:
        self.asked.append(question)
        if self.error is not None:
            raise self.error
        held: list[tuple[int, str, str]] = []
        linked: list[tuple[int, str]] = []
        rows: list[Row] = []
        shown: list[tuple[int, bytes, int, int]] = []
        for asked, subjects in question.subjects.rows_by_number().items():
            for subject in subjects if asked in self.people else ():
                held.append((subject, asked, self.names[asked]))
                rows += [row.of(subject) for row in self.people[asked]]
                if asked in self.links:
                    linked.append((subject, self.links[asked]))
                if asked in self.faces and question.faces:
                    shown.append((subject, *self.faces[asked]))
        found = evidence(rows)
        found.department[:] = self.about.department
        found.strength[found.strength == 0] = v.STRENGTH_REAL_NAME
        zeros = np.zeros(len(linked), np.int32)
        return Found(
            Holders(_column(held), [each[1] for each in held], [each[2] for each in held]),
            found,
            Links(_column(linked), [each[1] for each in linked], zeros),
            faces=Faces.newest(shown),
        )

    async def check(self) -> None:
        return None

    async def close(self) -> None:
        return None


def _column(rows: Sequence[tuple[Any, ...]]) -> np.ndarray:
    return np.array([row[0] for row in rows], np.int32)


def terms(**changed: Any) -> Terms:
    """Terms that allow everybody everything at any time, but for what is said."""
    plain: dict[str, Any] = {
        "member": "*",
        "units": None,
        "purposes": frozenset(PURPOSE_NAMES.values()),
        "benefits": frozenset(BENEFIT_NAMES.values()),
        "scope": EVERYTHING,
        "quotas": Quotas(),
        "roster": 0,
        "from_ms": 1,
        "until_ms": 1 << 50,
        "why": "test",
        **changed,
    }
    return Terms(**plain)


def policy(*grants: Terms, **more: Any) -> Policy:
    """A policy of these grants, g1 and so on."""
    return Policy(list(enumerate(grants, 1)), **more)


def access_of(*grants: Terms, clock: FakeClock | None = None, store: Store | None = None, **more: Any) -> Access:
    """Decides by these grants; counts in the store where there is one."""
    counted = quotas.Quotas(store.usage if store else None)
    return Access(clock or FakeClock(NOW_MS), counted, policy(*grants, **more), digest=digest_of)


def digest_of(number: str) -> bytes:
    """What stands for a protected person in these tests."""
    return hashlib.sha256(number.encode()).digest()[:16]


def inquiry(*departments: Adapter, clock: FakeClock | None = None, **changed: Any) -> Inquiry:
    """The answering side of a member with these departments; everybody may ask for everything."""
    options: dict[str, Any] = {"max_subjects": 100, "max_evidence": 50, **changed}
    clock = clock or FakeClock(NOW_MS)
    access = options.pop("access", None) or access_of(terms(), clock=clock)
    book = options.pop("book", BOOK)
    return Inquiry(book, Departments(departments, book.names_match), access, clock, **options)


async def findings_for(
    side: Inquiry, asked: exchange_pb2.Question, time_s: float = 5.0, sender: str = B.member_id
) -> exchange_pb2.Findings:
    """The findings for one question, B's by default; raises what it is refused for."""
    (outcome,) = await side.answer(side.prepare(sender, [asked], time_s, [Account()]))
    if isinstance(outcome, WuganError):
        raise outcome
    return outcome


def gateway_of(
    federation: Federation, party: Party, store: Store, *departments: Adapter, guard: Any = None, **changed: Any
) -> FederationServicer:
    """The federation service of a member, as it runs."""
    exchange = exchange_of(federation, party, store, *departments, guard=guard, **changed)
    desk = Desk(federation.clock, federation.directory.current, federation=FEDERATION, limit=8)
    return FederationServicer(desk, exchange, door_of(federation, party, store))


def door_of(federation: Federation, party: Party, store: Store) -> Door:
    """Where others leave things with a member that deals with none of them."""
    inbox = Inbox(store.inbox, federation.clock, OutboxSettings())
    current, longest_ms = federation.directory.current, 60 * 86_400_000
    return Door(
        lambda: party.own, current, store.inbox, inbox, federation.clock, lifetime_ms=60_000, longest_ms=longest_ms
    )


def exchange_of(
    federation: Federation, party: Party, store: Store, *departments: Adapter, guard: Any = None, **changed: Any
) -> Exchange:
    options: dict[str, Any] = {"lifetime_ms": 60_000, "reserve_s": 0.05, "default_s": 5.0}
    return Exchange(
        lambda: party.own,
        federation.directory.current,
        guard or store.replay,
        inquiry(*departments, clock=federation.clock, **changed),
        store.audit,
        federation.clock,
        **options,
    )


def serving(servicer: FederationServicer) -> Handler:
    """The far end of a line: a gateway as it runs."""

    async def handle(envelope: envelope_pb2.Envelope, call: Call) -> envelope_pb2.Envelope:
        return await servicer.Exchange(envelope, call.as_context())

    async def stream(envelopes: AsyncIterator[envelope_pb2.Envelope], call: Call) -> None:
        await servicer.ExchangeStream(envelopes, call.as_context())

    handle.stream = stream  # type: ignore[attr-defined]
    return handle


def context(**changed: Any) -> exchange_pb2.Context:
    plain: dict[str, Any] = {
        "unit": UNIT,
        "official_pseudonym": b"p" * 32,
        "purpose": v.PURPOSE_DISPUTE_REVIEW,
        "legal_basis": "社会保险法 第七十四条",
        "case_reference": "JH-2026-17",
        **changed,
    }
    return exchange_pb2.Context(**plain)


def question(*numbers: str, evidence_limit: int = 20, as_of_on: int = 0, **changed: Any) -> exchange_pb2.Question:
    """A question about these people under their own names; further arguments are those of the context."""
    asked = numbers or (ANNA,)
    return exchange_pb2.Question(
        context=context(**changed),
        subjects=columns_pb2.SubjectColumns(id_number=asked, name=[NAMES.get(each, "无名") for each in asked]),
        benefit=[words.BENEFIT_TYPE_EMPLOYEE_PENSION] * len(asked),
        evidence_limit=evidence_limit,
        as_of_on=as_of_on,
    )


def findings(
    *status: int, flags: Sequence[int] = (), decided_on: Sequence[int] = (), **more: Any
) -> exchange_pb2.Findings:
    """Findings that fit a question about as many people as there are statuses."""
    zeros = [0] * len(status)
    return exchange_pb2.Findings(
        status=status,  # type: ignore[arg-type]
        flags=flags or zeros,
        decided_on=decided_on or zeros,
        last_trace_on=more.pop("last_trace_on", zeros),
        valid_until_on=more.pop("valid_until_on", zeros),
        as_of_on=civil(TODAY),
        **more,
    )


def request(**changed: Any) -> agency_pb2.CheckRequest:
    plain: dict[str, Any] = {
        "id_number": ANNA,
        "name": NAMES[ANNA],
        "benefit": words.BENEFIT_TYPE_EMPLOYEE_PENSION,
        "purpose": v.PURPOSE_DISPUTE_REVIEW,
        "regions": [ANHUI],
        "legal_basis": "社会保险法 第七十四条",
        "case_reference": "JH-2026-17",
        "official": "official 1",
        "evidence_limit": 20,
        **changed,
    }
    return agency_pb2.CheckRequest(**plain)


@contextlib.asynccontextmanager
async def stored(
    folder: Path, clock: FakeClock | None = None, *, alone: Callable[[], bool] = lambda: False
) -> AsyncIterator[Store]:
    """A store of its own; `alone`: whether there is nobody to share a commit with."""
    key = folder / "store.key"
    async with Store.open(folder / "gateway.db", key=key, clock=clock or FakeClock(NOW_MS), alone=alone) as store:
        yield store
