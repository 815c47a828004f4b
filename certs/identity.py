"""Who a certificate names: a member of the federation and in which role, or the federation's authority.

Owns: their SPIFFE ids (SPIFFE-ID 1.0), the DNS names in their TLS certificates, and the check of unified
social credit codes (GB 32100-2015). Refuses: any other spelling of the same identity. There is exactly one, so that
comparing two identities is comparing two texts.

    spiffe://<federation>/member/<USCC>/gateway                  the member's gateway, and its message-signing key
    spiffe://<federation>/member/<USCC>/unit/<unit-code>         an agency of the member
    spiffe://<federation>/member/<USCC>/department/<adapter-id>  a department's own adapter
    spiffe://<federation>/authority                              the authority's server; belongs to no member
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Final, Literal, cast

from stdnum.cn import uscc

from certs.errors import IdentityError

MAX_NAME_CHARS = 63
"""Longest unit code or adapter id: one DNS label (RFC 1035 section 2.3.4)."""

MAX_FEDERATION_CHARS = 128
"""Longest federation name: leaves room for the labels put before it in a DNS name of at most 253 characters."""

_SCHEME = "spiffe://"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_FEDERATION = re.compile(rf"{_LABEL}(?:\.{_LABEL})+")
_NAME = re.compile(_LABEL)
# GB 32100: registering department, kind of organisation, six digits of GB/T 2260, nine of GB 11714, check character;
# the letters I, O, S, V and Z are not used.
_USCC = re.compile(r"[1-9A-HJ-NPQRTUWXY][0-9A-HJ-NPQRTUWXY][0-9]{6}[0-9A-HJ-NPQRTUWXY]{10}")


Role = Literal["gateway", "unit", "department", "authority"]
"""What the holder of a certificate is to its member, or the authority; the word used in its SPIFFE id."""

ROLE_GATEWAY: Final = "gateway"
ROLE_UNIT: Final = "unit"
ROLE_DEPARTMENT: Final = "department"
ROLE_AUTHORITY: Final = "authority"


def is_member_id(text: str) -> bool:
    """Whether a text is a unified social credit code, in capitals, with the right check character (GB 32100-2015)."""
    return bool(_USCC.fullmatch(text)) and _checks(text)


@functools.lru_cache(maxsize=4096)
def _checks(code: str) -> bool:
    """Whether the check character of such a code, of 18 characters, is right. The same few are asked about again and
    again, with every certificate that is read, and computing it takes longer than reading one.
    """
    return bool(uscc.calc_check_digit(code[:17]) == code[17])


def require_member_id(text: str) -> str:
    """The same text.

    Raises:
        IdentityError: it is not a unified social credit code.
    """
    if not is_member_id(text):
        raise IdentityError(
            "not a unified social credit code: 18 characters in capitals with a valid check character (GB 32100)",
            "不是有效的统一社会信用代码：应为 18 位大写字符且校验码正确（GB 32100）",
        )
    return text


def require_federation(text: str) -> str:
    """The same text.

    Raises:
        IdentityError: it is not a lower-case DNS name of two labels or more.
    """
    if len(text) > MAX_FEDERATION_CHARS or not _FEDERATION.fullmatch(text):
        raise IdentityError(
            'not a federation name: write a lower-case DNS name such as "demo.wugan.internal", '
            f"at most {MAX_FEDERATION_CHARS} characters",
            f"联盟名称无效：应为小写 DNS 域名，例如 “demo.wugan.internal”，不超过 {MAX_FEDERATION_CHARS} 个字符",
        )
    return text


@dataclass(frozen=True, slots=True)
class Identity:
    """One identity; an instance is always valid.

    Args:
        federation: trust domain, e.g. "demo.wugan.internal".
        member_id: unified social credit code; empty for the authority, and for nobody else.
        role: what it is to the member.
        name: unit code or adapter id, a lower-case DNS label; empty for the gateway and the authority.

    Raises:
        IdentityError: a part is malformed.
    """

    federation: str
    member_id: str
    role: Role
    name: str = ""

    def __post_init__(self) -> None:
        require_federation(self.federation)
        if self.role == ROLE_AUTHORITY:
            if self.member_id or self.name:
                raise IdentityError(
                    "the authority's identity has no member and no name", "管理机构身份不带成员标识与名称"
                )
            return
        require_member_id(self.member_id)
        if self.role == ROLE_GATEWAY:
            if self.name:
                raise IdentityError("a gateway's identity has no name of its own", "网关身份不带名称")
        elif not _NAME.fullmatch(self.name):
            raise IdentityError(
                f"not a {self.role} name: write 1 to {MAX_NAME_CHARS} lower-case letters, digits and inner hyphens",
                f"{self.role} 名称无效：应为 1 至 {MAX_NAME_CHARS} 个小写字母、数字或中间的连字符",
            )

    @property
    def uri(self) -> str:
        """The SPIFFE id, e.g. "spiffe://demo.wugan.internal/member/11330000002482285E/gateway"."""
        if self.role == ROLE_AUTHORITY:
            return f"{_SCHEME}{self.federation}/authority"
        path = f"/{self.name}" if self.name else ""
        return f"{_SCHEME}{self.federation}/member/{self.member_id}/{self.role}{path}"

    @property
    def tls_name(self) -> str:
        """DNS name under which it is a TLS server, "" for a unit, which never is one.

        The name is made of the identity, so a client that asks the TLS stack for this name has proven the member,
        wherever the address led.
        """
        match self.role:
            case "gateway":
                return f"{self.member_id.lower()}.gateway.{self.federation}"
            case "department":
                return f"{self.name}.{self.member_id.lower()}.department.{self.federation}"
            case "authority":
                return f"authority.{self.federation}"
            case _:
                return ""

    @classmethod
    def gateway(cls, federation: str, member_id: str) -> Identity:
        """The identity of a member's gateway."""
        return cls(federation, member_id, ROLE_GATEWAY)

    @classmethod
    def authority(cls, federation: str) -> Identity:
        """The identity of the federation's authority, as a server."""
        return cls(federation, "", ROLE_AUTHORITY)

    @classmethod
    def parse(cls, uri: str) -> Identity:
        """The identity that a SPIFFE id spells.

        Raises:
            IdentityError: it is not one of ours, or not in its one spelling.
        """
        if not uri.startswith(_SCHEME):
            raise _not_ours()
        federation, *path = uri[len(_SCHEME) :].split("/")
        match path:
            case ["member", member_id, "gateway"]:
                return cls(federation, member_id, ROLE_GATEWAY)
            case ["member", member_id, ("unit" | "department") as role, name]:
                return cls(federation, member_id, cast(Role, role), name)
            case ["authority"]:
                return cls.authority(federation)
            case _:
                raise _not_ours()


def _not_ours() -> IdentityError:
    return IdentityError(
        "not a member identity: expected spiffe://<federation>/member/<USCC>/gateway, /unit/<code>, "
        "/department/<id> or spiffe://<federation>/authority",
        "不是成员身份标识：应为 spiffe://<联盟>/member/<统一社会信用代码>/gateway、/unit/<代码> 或 /department/<标识>，"
        "或 spiffe://<联盟>/authority",
    )
