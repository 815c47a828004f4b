"""A small federation for the integration tests: two provinces with all their departments, as real processes."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import grpc

from certs.files import read_public
from certs.grpc_credentials import channel_credentials, channel_options
from certs.keys import load_private_key, load_signing_seed, load_xwing_seed
from gateway.clock import SystemClock
from gateway.config import load_gateway
from gateway.demo.launch import Demo
from gateway.demo.truth import Recipient, read_truth
from gateway.errors import WuganError
from gateway.exchange.keys import DecryptionKey, OwnKeys, SigningKey
from gateway.federation.directory import Directory
from gateway.federation.directory_kept import DIRECTORY, KEEPING
from gateway.federation.directory_trust import DirectoryTrust
from gateway.status import from_rpc_error
from wugan.adapter.v1 import columns_pb2
from wugan.adapter.v1 import vocabulary_pb2 as adapter_words
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words


@dataclass(frozen=True)
class Member:
    """One member as a test plays it: its own keys, certificates and addresses."""

    demo: Demo
    about: dict[str, object]

    @property
    def member_id(self) -> str:
        return str(self.about["member_id"])

    @property
    def folder(self) -> Path:
        return Path(str(self.about["config"])).parent

    @property
    def federation(self) -> str:
        return str(self.about["federation"])

    @property
    def agency(self) -> str:
        return str(self.about["agency"])

    @property
    def region(self) -> int:
        return int(str(self.about["region"]))

    @property
    def units(self) -> list[str]:
        return list(self.about["agencies"])  # type: ignore[call-overload]

    @cached_property
    def own(self) -> OwnKeys:
        """What the member's gateway held when the federation was founded."""
        keys = self.folder / "state" / "keys"
        return OwnKeys.of(
            self.member_id,
            SigningKey.from_seed(load_signing_seed(keys / "signing-1.key.pem")),
            DecryptionKey.from_seed(load_xwing_seed(keys / "encryption-1.key.pem")),
        )

    @property
    def tls_name(self) -> str:
        return f"{self.member_id.lower()}.gateway.demo.wugan.internal"

    def credentials(self, unit: str = "") -> grpc.ChannelCredentials:
        """As the gateway itself, or as one of its agencies."""
        if unit:
            return credentials(self.folder / "units" / unit / "tls")
        keys = self.folder / "state" / "keys"
        return channel_credentials(
            load_private_key(keys / "tls-1.key.pem"),
            read_public(keys / "tls-1.chain.pem"),
            read_public(self.folder / "roots.pem"),
        )


def credentials(folder: Path) -> grpc.ChannelCredentials:
    return channel_credentials(
        load_private_key(folder / "key.pem"),
        read_public(folder / "certificate.pem"),
        read_public(folder / "roots.pem"),
    )


@dataclass(frozen=True)
class SmallWorld:
    """The running demo and what tests ask of it."""

    demo: Demo

    @cached_property
    def members(self) -> list[Member]:
        return [Member(self.demo, about) for about in self.demo.members]

    @cached_property
    def directory(self) -> Directory:
        settings = load_gateway(self.members[0].folder / "gateway.toml")
        trust = DirectoryTrust.of(settings.directory.federation, settings.tls.roots.read_bytes())
        held = json.loads((settings.state_dir / "directory" / KEEPING).read_bytes())
        targets = json.loads(base64.b64decode(held["metadata/targets.json"]))["signed"]
        data = base64.b64decode(held[DIRECTORY])
        return trust.verify(data, version=targets["version"], now_ms=SystemClock().now_ms(), seen=None)

    @cached_property
    def recipients(self) -> list[Recipient]:
        return list(read_truth(self.demo.truth))

    def recipient(self, case: str = "active") -> Recipient:
        """The first person of a case who lives in another province than the one that pays."""
        return next(each for each in self.recipients if each.case == case and each.across)

    def member(self, region: int) -> Member:
        return next(member for member in self.members if member.region == region)

    def logs(self) -> Iterator[Path]:
        yield from (self.demo.folder / "logs").glob("*.log")


@contextlib.asynccontextmanager
async def channel(
    address: str, tls_name: str, with_credentials: grpc.ChannelCredentials
) -> AsyncIterator[grpc.aio.Channel]:
    options = [*channel_options(tls_name), ("grpc.max_send_message_length", -1)]
    async with grpc.aio.secure_channel(address, with_credentials, options=options) as opened:
        yield opened


def question_about(recipient: Recipient, **changed: object) -> exchange_pb2.Question:
    """A whole question about a roster row, as a gateway would send it."""
    question = exchange_pb2.Question(
        context=exchange_pb2.Context(
            unit=recipient.unit,
            official_pseudonym=b"p" * 32,
            purpose=adapter_words.PURPOSE_CERTIFICATION,
            legal_basis="社会保险法 第七十四条",
            case_reference="TEST-1",
        ),
        subjects=columns_pb2.SubjectColumns(id_number=[recipient.present_number], name=[recipient.name]),
        benefit=[words.BenefitType.Value(f"BENEFIT_TYPE_{recipient.benefit}")],
        evidence_limit=10,
    )
    question.MergeFrom(exchange_pb2.Question(**changed))  # type: ignore[arg-type]
    return question


def ours(error: grpc.aio.AioRpcError) -> WuganError:
    """The error of ours that a call ended with."""
    found = from_rpc_error(error)
    assert found is not None, f"no details of ours in {error.code()}: {error.details()}"
    return found
