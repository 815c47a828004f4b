"""What several sections are made of: their base, names from the contract, addresses and links."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated
from urllib.parse import urlsplit

from google.protobuf.descriptor import EnumDescriptor
from pydantic import AfterValidator, BaseModel, ConfigDict

from certs.identity import is_member_id
from wugan.adapter.v1 import vocabulary_pb2 as adapter_words

ANY = "*"


def _one_of(what: str, enum: EnumDescriptor, prefix: str) -> Callable[[str], str]:
    """A check that a name is "*" or one of the contract's, without prefix."""
    known = [value.name.removeprefix(prefix) for value in enum.values if value.number]

    def check(name: str) -> str:
        if name != ANY and name not in known:
            raise ValueError(f'unknown {what}; write "*" or one of {", ".join(known)}')
        return name

    return check


Purpose = Annotated[str, AfterValidator(_one_of("purpose", adapter_words.Purpose.DESCRIPTOR, "PURPOSE_"))]
Evidence = Annotated[
    str, AfterValidator(_one_of("evidence kind", adapter_words.EvidenceKind.DESCRIPTOR, "EVIDENCE_KIND_"))
]


def _address(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError('write "host:port", for example "127.0.0.1:7443" or "[::1]:7443"; port 0 picks a free one')
    return text


def member_code(text: str) -> str:
    """A unified social credit code (GB 32100), as pydantic checks one."""
    if not is_member_id(text):
        raise ValueError("not a unified social credit code (GB 32100): 18 characters in capitals, last one a check")
    return text


def _url(text: str) -> str:
    parts = urlsplit(text)
    if (
        re.search(r"\s", text)
        or parts.scheme != "https"
        or not parts.hostname
        or parts.query
        or parts.fragment
        or parts.username
    ):
        raise ValueError('write "https://host:port", or with a path')
    return text.rstrip("/")


def _collector(text: str) -> str:
    parts = urlsplit(text)
    loopback = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/") or parts.username:
        raise ValueError('write "https://host:port", or "http://127.0.0.1:port" for a collector on this machine')
    if parts.scheme == "http" and not loopback:
        raise ValueError("http is for a collector on this machine only; write https")
    return text.rstrip("/")


Address = Annotated[str, AfterValidator(_address)]
Url = Annotated[str, AfterValidator(_url)]
Collector = Annotated[str, AfterValidator(_collector)]


class Settings(BaseModel):
    """Base of all sections: unknown settings are errors, nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)
