"""The largest message that may be sealed still fits the largest that every gateway takes."""

from __future__ import annotations

import pytest

from gateway.exchange import frame
from gateway.exchange.header import LIMITS, MAX_HEADER_BYTES
from gateway.sections.process import ServerSettings
from tests.unit.exchange.exchange_world import World, refused

TAKEN = ServerSettings.model_fields["max_message_bytes"].default


@pytest.mark.parametrize("parts", [1, frame.MAX_PARTS])
def test_the_largest_envelope_fits_a_message_of_any_gateway(parts: int) -> None:
    world = World()
    size, rest = divmod(LIMITS.max_payload_bytes, parts)
    payloads = [bytes(size) for _ in range(parts - 1)] + [bytes(size + rest)]
    asked = world.ask(payloads=payloads)
    taken = asked.envelope.ByteSize()
    assert taken + MAX_HEADER_BYTES - len(asked.envelope.header) <= TAKEN
    assert [len(payload) for payload in world.open_at_b(asked.envelope).payloads] == [len(each) for each in payloads]


def test_one_byte_more_is_refused_before_it_is_sealed() -> None:
    with refused("TOO_LARGE", "payload"):
        World().ask(bytes(LIMITS.max_payload_bytes + 1))


def test_no_gateway_can_be_set_to_take_less() -> None:
    settings = {"federation": "127.0.0.1:1", "agency": "127.0.0.1:2"}
    ServerSettings.model_validate(settings | {"max_message_bytes": TAKEN})
    with pytest.raises(ValueError, match="max_message_bytes"):
        ServerSettings.model_validate(settings | {"max_message_bytes": TAKEN - 1})
