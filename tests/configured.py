"""The least that a gateway.toml says, for commands that need one and no running gateway."""

from __future__ import annotations

MEMBER_ID = "11330000002482285J"


def gateway_toml(
    more: str = "", *, member: str = MEMBER_ID, federation: str = "demo.wugan.internal", source: str = "mirror"
) -> str:
    """Text of a gateway.toml in whose folder everything lies.

    Args:
        more: settings that stand before the first section.
        member: whose gateway it is.
        federation: name of the federation.
        source: where the directory comes from.
    """
    return f"""\
member_id = "{member}"
state_dir = "state"
{more}

[server]
federation = "127.0.0.1:0"
agency = "127.0.0.1:0"

[tls]
roots = "roots.pem"

[directory]
federation = "{federation}"
source = "{source}"
root = "root.json"
"""
