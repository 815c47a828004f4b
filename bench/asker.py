"""A member of the federation whose gateway a benchmark plays: it has keys, any number of TLS certificates, and asks B.

Owns: its admission, and its sealed questions. It lists no TLS certificate in the directory, so that every one that
names it is good, until it is taken back.
"""

from __future__ import annotations

import datetime as dt
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from bench.federation import TwoProvinces, people
from certs import keys
from certs.files import PUBLIC, write_file
from certs.grpc_credentials import channel_credentials
from certs.identity import Identity
from certs.keys import raw_public_key
from gateway.authority.office import Office
from gateway.clock import SystemClock
from gateway.demo.founding import FEDERATION, FoundedMember
from gateway.exchange.envelope import Sealed, open_answer, seal
from gateway.exchange.keys import DecryptionKey, EncryptionKey, OwnKeys, SigningKey, VerifyKey
from gateway.federation.directory_build import encryption_key, member_entry, signing_key
from wugan.adapter.v1 import columns_pb2
from wugan.adapter.v1 import vocabulary_pb2 as adapter_words
from wugan.federation.v1 import directory_pb2, envelope_pb2, exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

MEMBER_ID = "1132000001400018P8"
LIFE = dt.timedelta(days=30)


class Asker:
    """The member; also the directory by which its questions are sealed and B's answers verified.

    Made by `admitted`.
    """

    def __init__(self, provinces: TwoProvinces, entry: directory_pb2.Member, own: OwnKeys) -> None:
        self._provinces = provinces
        self._own = own
        self._answering = provinces.answering.plan.member_id
        self._tls_key = keys.generate_tls_key()
        self._recipient = EncryptionKey.from_raw(entry.encryption_keys[0].public_key)
        self._verification: dict[str, VerifyKey] = {}
        for each in entry.signing_keys:
            public_key = x509.load_der_x509_certificate(each.certificate).public_key()
            if isinstance(public_key, Ed25519PublicKey):
                self._verification[each.key_id] = VerifyKey.from_raw(raw_public_key(public_key))
        self._people: Iterator[tuple[str, str]] = itertools.cycle(people())

    @classmethod
    def admitted(cls, provinces: TwoProvinces) -> Asker:
        """Make its keys, and have it taken into the directory."""
        office = Office(provinces.authority, SystemClock())
        try:
            now = office.now()
            signer, seed = keys.generate_signing_key(), keys.generate_xwing_seed()
            issued = office.authority.issue_signing(MEMBER_ID, signer.public_key(), now=now)
            office.add(
                member_entry(
                    member_id=MEMBER_ID,
                    name_zh="江苏省",
                    name_en="Jiangsu",
                    regions=[320000],
                    gateways=[("127.0.0.1:9", Identity.gateway(FEDERATION, MEMBER_ID).tls_name)],
                    signing_keys=[signing_key(issued.der, issued.intermediates_der)],
                    encryption_keys=[encryption_key(keys.xwing_public_key(seed), not_before=now, not_after=now + LIFE)],
                    offer=directory_pb2.Offer(),
                )
            )
            own = OwnKeys.of(
                MEMBER_ID,
                SigningKey.from_seed(signer.private_bytes_raw()),
                DecryptionKey.from_seed(seed),
            )
            return cls(provinces, office.entry(provinces.answering.plan.member_id), own)
        finally:
            office.close()

    def certificates(self, folder: Path, count: int) -> list[Path]:
        """So many TLS certificates for its gateway, as files, each with its issuer."""
        office = Office(self._provinces.authority, SystemClock())
        try:
            made = []
            for number in range(count):
                issued = office.authority.issue_gateway_tls(MEMBER_ID, self._tls_key.public_key(), now=office.now())
                made.append(folder / f"asker-{number}.pem")
                write_file(made[-1], issued.pem, mode=PUBLIC, replace=False)
            return made
        finally:
            office.close()

    def credentials(self, certificate: Path) -> grpc.ChannelCredentials:
        """For a channel to another member's gateway."""
        roots = self._provinces.asking.folder / "roots.pem"
        return channel_credentials(self._tls_key, certificate.read_bytes(), roots.read_bytes())

    @staticmethod
    def tls_name(member: FoundedMember) -> str:
        """Which name a member's gateway must prove."""
        return Identity.gateway(FEDERATION, member.plan.member_id).tls_name

    def question(self) -> Sealed:
        """A question about the next person, sealed to B."""
        number, name = next(self._people)
        question = exchange_pb2.Question(
            context=exchange_pb2.Context(
                unit="320100",
                official_pseudonym=os.urandom(32),
                purpose=adapter_words.PURPOSE_CERTIFICATION,
                legal_basis="社会保险法 第七十四条",
                case_reference="BENCH-2",
            ),
            subjects=columns_pb2.SubjectColumns(id_number=[number], name=[name]),
            benefit=[words.BENEFIT_TYPE_EMPLOYEE_PENSION],
            evidence_limit=5,
        )
        return seal(
            self._own,
            self._answering,
            self._recipient,
            kind=envelope_pb2.MESSAGE_KIND_QUESTION,
            purpose=adapter_words.PURPOSE_CERTIFICATION,
            payloads=[question.SerializeToString()],
            now_ms=SystemClock().now_ms(),
            lifetime_ms=60_000,
        )

    def require_answered(self, question: Sealed, envelope: envelope_pb2.Envelope) -> None:
        """Return when an answer opens, verifies, and is no refusal."""
        opened = open_answer(envelope, self._own, self, now_ms=SystemClock().now_ms(), question=question)
        answer = exchange_pb2.Answer.FromString(opened.payloads[0])
        if not answer.HasField("findings"):
            raise AssertionError(f"refused: {answer.refusal.message_en}")

    def verify_key(self, _member_id: str, key_id: str, _at_ms: int) -> VerifyKey:
        """B's key."""
        return self._verification[key_id]

    def encryption_key(self, _member_id: str, _at_ms: int) -> EncryptionKey:
        """B's key."""
        return self._recipient
