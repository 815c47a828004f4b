"""How soon a gateway that was away is tried again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest

from gateway import channels
from gateway.channels import RECONNECTING, agency_channel
from gateway.config import AgencySettings
from gateway.federation.lines import channel_limits
from gateway.sections.process import ServerSettings

LONGEST_MS = 5_000


def test_an_agency_and_a_partner_try_again_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Left to the library, an agency would find its gateway again up to two minutes after it is back."""
    given: dict[str, Any] = {}

    def secure_channel(target: str, _credentials: object, options: list[tuple[str, Any]]) -> None:
        given.update(options, target=target)

    monkeypatch.setattr(grpc.aio, "secure_channel", secure_channel)
    monkeypatch.setattr(channels, "agency_credentials", lambda _settings: None)
    tls = {name: Path(name) for name in ("private_key", "certificate", "roots")}
    settings = AgencySettings.model_validate({"gateway": "localhost:1", "gateway_name": "name", "tls": tls})
    agency_channel(settings)
    assert given["target"] == "localhost:1"
    for options in (given, dict(channel_limits(1, 30.0))):
        assert options["grpc.max_reconnect_backoff_ms"] <= LONGEST_MS
        assert options["grpc.initial_reconnect_backoff_ms"] <= LONGEST_MS
    assert dict(RECONNECTING).items() <= given.items()
    # As large as the gateway may send, not the 4 MiB of the library.
    assert given["grpc.max_receive_message_length"] == ServerSettings.model_fields["max_message_bytes"].metadata[1].le
