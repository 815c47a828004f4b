"""Asking as the demo's agencies do: each recipient through the agency that pays, over mTLS.

Owns: channels to the agencies' gateways and the request made of a roster row. Refuses: knowing more than the row.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from gateway.channels import agency_channel
from gateway.config import load_agency
from gateway.demo.launch import Demo
from gateway.demo.truth import Recipient
from wugan.adapter.v1 import vocabulary_pb2 as adapter_words
from wugan.agency.v1 import agency_pb2, agency_pb2_grpc
from wugan.federation.v1 import vocabulary_pb2 as words

if TYPE_CHECKING:
    Stub = agency_pb2_grpc.AgencyServiceAsyncStub


@contextlib.asynccontextmanager
async def agencies(demo: Demo) -> AsyncIterator[Callable[[Recipient], Stub]]:
    """For a recipient, the stub of the agency that pays; channels are opened once and closed at the end."""
    async with contextlib.AsyncExitStack() as stack:
        stubs: dict[tuple[int, str], Stub] = {}

        def stub(recipient: Recipient) -> Stub:
            key = (recipient.paying_province, recipient.unit)
            if key not in stubs:
                channel = agency_channel(load_agency(demo.agency_config(*key)))
                stack.push_async_callback(channel.close)
                stubs[key] = agency_pb2_grpc.AgencyServiceStub(channel)
            return stubs[key]

        yield stub


def request_for(recipient: Recipient, *, evidence_limit: int = 0) -> agency_pb2.CheckRequest:
    """The question an official asks about a roster row.

    Whoever the roster has at home is asked about everywhere else: the home province needs no federation to ask itself.
    """
    at_home = recipient.residence_region // 10_000 == recipient.paying_province // 10_000
    return agency_pb2.CheckRequest(
        id_number=recipient.id_number,
        name=recipient.name,
        benefit=words.BenefitType.Value(f"BENEFIT_TYPE_{recipient.benefit}"),
        benefit_since=recipient.benefit_since,
        purpose=adapter_words.PURPOSE_CERTIFICATION,
        regions=[recipient.residence_region] if recipient.residence_region and not at_home else [],
        legal_basis="社会保险法 第七十四条",
        case_reference=f"DEMO-{recipient.person}-{recipient.again}",
        official="demo-official-1",
        evidence_limit=evidence_limit,
    )


def status_of(response: agency_pb2.CheckResponse) -> str:
    """The status without prefix."""
    return words.SurvivalStatus.Name(response.status).removeprefix("SURVIVAL_STATUS_")
