"""Addresses of interfaces: https, or plain http on this machine.

Owns: that rule. Refuses: anything else, and user names in addresses.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, StringConstraints

from adapters.manifest.vocabulary import problem


def _address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise problem(
            "write https://host[:port][/path] without user, query or fragment", "应为 https://主机[:端口][/路径]"
        )
    if parts.scheme == "http":
        try:
            loopback = parts.hostname == "localhost" or ip_address(parts.hostname).is_loopback
        except ValueError:
            loopback = False
        if not loopback:
            raise problem(
                "plain http is allowed on this machine only; use https", "仅本机地址可用 http，其余请使用 https"
            )
    return value.rstrip("/")


Address: TypeAlias = Annotated[str, StringConstraints(max_length=1000), AfterValidator(_address)]
