"""How an agency reaches its own gateway: a channel from the settings of agency.toml; and what all connections of ours
have in common: how bytes flow, and how soon a gateway that was away is tried again.

Owns: loading the agency's key and certificate for it. Refuses: knowing what is asked.
"""

from __future__ import annotations

from typing import Final

import grpc

from certs.files import read_public
from certs.grpc_credentials import channel_credentials, channel_options
from certs.keys import load_private_key
from gateway.config import AgencySettings
from gateway.sections.process import LARGEST_MESSAGE_BYTES

FLOW: Final = (
    # The library measures each connection by pings, one for nearly every message, to find out how much may be on its
    # way unread. That wakes both sides once more for each; so much of a stream may be instead, whatever the distance.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 1 << 20),
    # Its own record of every connection and call, which nobody reads.
    ("grpc.enable_channelz", 0),
)
"""Options of channels and servers. 1 MiB under way is 20 MB/s at 50 ms between two provinces."""

RECONNECTING: Final = (
    # A gateway that restarts is found again within a second or so, not within the two minutes of the library.
    ("grpc.initial_reconnect_backoff_ms", 200),
    # Despite its name the time that a handshake may take: between provinces, and with a busy gateway, some.
    ("grpc.min_reconnect_backoff_ms", 3_000),
    ("grpc.max_reconnect_backoff_ms", 5_000),
)
"""Channel options."""


def agency_credentials(settings: AgencySettings) -> grpc.ChannelCredentials:
    """The agency's own credentials.

    Raises:
        CertsError: a key or certificate file cannot be used.
    """
    tls = settings.tls
    return channel_credentials(load_private_key(tls.private_key), read_public(tls.certificate), read_public(tls.roots))


def agency_channel(settings: AgencySettings) -> grpc.aio.Channel:
    """A channel to the agency's gateway, which must prove the name in the settings. Raises as `agency_credentials`."""
    # What its gateway may send is that gateway's affair; left to the library it would be 4 MiB.
    size = ("grpc.max_receive_message_length", LARGEST_MESSAGE_BYTES)
    options = [*channel_options(settings.gateway_name), size, *FLOW, *RECONNECTING]
    return grpc.aio.secure_channel(settings.gateway, agency_credentials(settings), options=options)
