"""The people who administer a gateway, and which of them may do what.

Owns: the roles, and the table role × act. The three administrators are separated (三员分立; GB/T 22239-2019, 8.1.5.1 to
8.1.5.3: system, audit and security administrator, each with operations of its own): the system administrator enrols
people, the security administrator decides on access, the audit administrator looks at what was done with it. A
department owner decides on the department's data together with a security administrator; an operator may look.
A person has one role, one name and one key, for good. Refuses: keys and signatures (acts.py).
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from certs.keys import anybody_signs, key_id, raw_public_key
from gateway.errors import PolicyError

SYSTEM: Final = "system"
SECURITY: Final = "security"
AUDIT: Final = "audit"
OWNER: Final = "owner"
OPERATOR: Final = "operator"
SEPARATED: Final = (SYSTEM, SECURITY, AUDIT)
ROLES: Final = (*SEPARATED, OWNER, OPERATOR)

FOUND_PEOPLE: Final = "people.found"
ADD_PERSON: Final = "people.add"
APPROVE_PERSON: Final = "people.approve"
REMOVE_PERSON: Final = "people.remove"
PROPOSE_GRANT: Final = "grant.propose"
APPROVE_GRANT: Final = "grant.approve"
WITHDRAW_GRANT: Final = "grant.withdraw"
PROTECT: Final = "person.protect"
UNPROTECT: Final = "person.unprotect"
CLEAR_ALARM: Final = "alarm.clear"
PROPOSE_ADAPTER: Final = "adapter.propose"
APPROVE_ADAPTER: Final = "adapter.approve"
PROMOTE_ADAPTER: Final = "adapter.promote"
SUSPEND_ADAPTER: Final = "adapter.suspend"
RESUME_ADAPTER: Final = "adapter.resume"
REMOVE_ADAPTER: Final = "adapter.remove"

MAY: Final[dict[str, frozenset[str]]] = {
    FOUND_PEOPLE: frozenset({SYSTEM}),
    ADD_PERSON: frozenset({SYSTEM}),
    APPROVE_PERSON: frozenset({SECURITY, AUDIT}),
    REMOVE_PERSON: frozenset(SEPARATED),
    PROPOSE_GRANT: frozenset({SECURITY}),
    APPROVE_GRANT: frozenset({SECURITY, OWNER}),
    WITHDRAW_GRANT: frozenset({SECURITY, AUDIT, OWNER}),
    PROTECT: frozenset({SECURITY, OWNER}),
    UNPROTECT: frozenset({SECURITY}),
    CLEAR_ALARM: frozenset({AUDIT}),
    PROPOSE_ADAPTER: frozenset({SYSTEM, OWNER}),
    APPROVE_ADAPTER: frozenset({SECURITY, OWNER}),
    PROMOTE_ADAPTER: frozenset({SECURITY, OWNER}),
    SUSPEND_ADAPTER: frozenset({*SEPARATED, OWNER}),
    RESUME_ADAPTER: frozenset({SECURITY, OWNER}),
    REMOVE_ADAPTER: frozenset({SYSTEM, SECURITY, OWNER}),
}
"""Which roles may do what. Who proposed a grant or an adapter may not approve it, and nobody approves a person into
their own role: that is held by the ledger."""

READ_TRAIL: Final = "audit.read"
MAY_LOOK: Final[dict[str, frozenset[str]]] = {READ_TRAIL: frozenset({AUDIT})}
"""What is looked at under a signature, and by which roles. It changes nothing, so it is no act of the ledger; that
somebody looked is in the audit trail."""

TITLES: Final = {
    SYSTEM: ("system administrator", "系统管理员"),
    SECURITY: ("security administrator", "安全保密管理员"),
    AUDIT: ("audit administrator", "安全审计员"),
    OWNER: ("department owner", "部门数据负责人"),
    OPERATOR: ("operator", "操作员"),
}
"""What people call the roles."""
ACTS: Final = {
    FOUND_PEOPLE: ("enrol the first people", "登记首批人员"),
    ADD_PERSON: ("enrol people", "登记人员"),
    APPROVE_PERSON: ("approve people", "批准人员"),
    REMOVE_PERSON: ("remove people", "移除人员"),
    PROPOSE_GRANT: ("propose grants", "提出授权"),
    APPROVE_GRANT: ("approve grants", "批准授权"),
    WITHDRAW_GRANT: ("withdraw grants", "撤回授权"),
    PROTECT: ("protect persons", "设置特别保护"),
    UNPROTECT: ("end the protection of persons", "解除特别保护"),
    CLEAR_ALARM: ("clear alarms", "解除告警"),
    PROPOSE_ADAPTER: ("register adapters", "登记接入程序"),
    APPROVE_ADAPTER: ("approve adapters", "批准接入程序"),
    PROMOTE_ADAPTER: ("make adapters live", "启用接入程序"),
    SUSPEND_ADAPTER: ("suspend adapters", "暂停接入程序"),
    RESUME_ADAPTER: ("resume adapters", "恢复接入程序"),
    REMOVE_ADAPTER: ("remove adapters", "移除接入程序"),
    READ_TRAIL: ("read the audit trail", "查阅审计日志"),
}
"""What people call the acts."""

PROPOSED: Final = "proposed"
ACTIVE: Final = "active"
GONE: Final = "removed"

_NAME: Final = re.compile(r"[\w.-]{1,40}")
_POSSESSION: Final = b"wugan-access-person-v1\x00"


class Person(NamedTuple):
    """Somebody enrolled.

    Args:
        name: of the person, unique for good.
        role: one of ROLES.
        public_key: raw Ed25519 public key, 32 bytes, unique for good.
        state: PROPOSED, ACTIVE or GONE.
        added_by, approved_by: who did.
    """

    name: str
    role: str
    public_key: bytes
    state: str
    added_by: str
    approved_by: str = ""

    @property
    def key_id(self) -> str:
        """Name of the key."""
        return key_id(self.public_key)


class Applicant(NamedTuple):
    """Who asks to be enrolled: a name, a public key, and the proof that the private key is held."""

    name: str
    public_key: bytes
    proof: bytes

    @classmethod
    def of(cls, name: str, key: Ed25519PrivateKey) -> Applicant:
        """The application of the person who holds the key."""
        public = raw_public_key(key.public_key())
        return cls(name, public, key.sign(_POSSESSION + name.encode() + public))

    def text(self) -> str:
        """One line, to be handed to whoever enrols."""
        return f"{self.name} {self.public_key.hex()} {self.proof.hex()}\n"

    @classmethod
    def parse(cls, text: str) -> Applicant:
        """From such a line.

        Raises:
            PolicyError: it is malformed, or the proof is not one.
        """
        parts = text.split()
        try:
            name, public_key, proof = parts
            applicant = cls(name, bytes.fromhex(public_key), bytes.fromhex(proof))
        except ValueError as error:
            raise _no_application() from error
        applicant.check()
        return applicant

    def check(self) -> None:
        """Return when name and proof are in order. Raises PolicyError otherwise."""
        if not _NAME.fullmatch(self.name):
            raise PolicyError(
                "a person's name has 1 to 40 letters, digits, '.', '_' or '-'",
                "人员名称应为 1 至 40 个文字、数字、“.”“_”或“-”",
            )
        if anybody_signs(self.public_key):
            raise _no_application()
        try:
            key = Ed25519PublicKey.from_public_bytes(self.public_key)
            key.verify(self.proof, _POSSESSION + self.name.encode() + self.public_key)
        except (InvalidSignature, ValueError) as error:
            raise _no_application() from error


def _no_application() -> PolicyError:
    return PolicyError(
        "not an application: one line with name, public key and proof, as `wugan access people key` writes it",
        "不是有效的人员申请文件：应为 `wugan access people key` 写出的一行（名称、公钥、证明）",
    )
