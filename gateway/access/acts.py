"""Administrative acts: what a person with a role changed, as a statement signed with that person's key.

Owns: the form of a statement and its signature. A statement is JSON with sorted keys and no blanks, so that there is
one encoding of it; the signature is Ed25519 (RFC 8032) over a tag and the statement. A statement carries the gateway
it is for and its own number, so it counts once and nowhere else. Refuses: judging whether the signer may do so
(ledger.py), and statements that are too large or in any other encoding.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gateway.errors import PolicyError

MAX_STATEMENT_BYTES: Final = 32 << 10
SIGNATURE_BYTES: Final = 64
_TAG: Final = b"wugan-access-act-v1\x00"
_PARTS: Final = frozenset({"act", "at_ms", "body", "by", "gateway", "number"})


class SignedAct(NamedTuple):
    """An act as it is kept."""

    number: int
    statement: bytes
    signature: bytes


class Statement(NamedTuple):
    """What a person states.

    Args:
        act: kind of the act, e.g. "grant.propose".
        at_ms: when, by the clock of whoever signed; for people to read, never to decide on.
        body: what the kind needs.
        by: name of the person.
        gateway: member whose policy is changed.
        number: of the act, one more than the last.
    """

    act: str
    at_ms: int
    body: Mapping[str, Any]
    by: str
    gateway: str
    number: int


def canonical(data: object) -> bytes:
    """The one encoding of JSON data."""
    return json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def sign_act(statement: Statement, key: Ed25519PrivateKey) -> SignedAct:
    """The act, signed.

    Raises:
        PolicyError: the statement is too large, or cannot be encoded.
    """
    try:
        encoded = canonical(statement._asdict())
    except (ValueError, RecursionError) as error:
        raise PolicyError("an act holds what cannot be written down", "内容含无法编码的字符") from error
    if len(encoded) > MAX_STATEMENT_BYTES:
        raise PolicyError("an act may not be as long as that; say less", "内容过长，请精简")
    return SignedAct(statement.number, encoded, key.sign(_TAG + encoded))


def read_act(act: SignedAct) -> Statement:
    """What an act states; its signature is not looked at.

    Raises:
        PolicyError: it is not a statement in the one encoding.
    """
    if len(act.statement) > MAX_STATEMENT_BYTES:
        raise _malformed(act.number)
    try:
        data = json.loads(act.statement)
        same = canonical(data) == act.statement
    except (ValueError, RecursionError) as error:
        raise _malformed(act.number) from error
    if not same or not isinstance(data, dict) or frozenset(data) != _PARTS:
        raise _malformed(act.number)
    statement = Statement(**data)
    texts = (statement.act, statement.by, statement.gateway)
    if (
        not all(isinstance(text, str) for text in texts)
        or type(statement.at_ms) is not int
        or type(statement.number) is not int
        or not isinstance(statement.body, dict)
    ):
        raise _malformed(act.number)
    return statement


def verify_act(act: SignedAct, public_key: bytes) -> None:
    """Return when the signature is that of the key.

    Raises:
        PolicyError: it is not.
    """
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(act.signature, _TAG + act.statement)
    except (InvalidSignature, ValueError) as error:
        raise PolicyError(
            f"act {act.number} is not signed with the key of the person it names; use that person's own key file",
            f"第 {act.number} 项操作的签名与所称人员的密钥不符，请使用本人的密钥文件",
        ) from error


def _malformed(number: int) -> PolicyError:
    return PolicyError(
        f"act {number} of the access policy is malformed; it was not written by this program",
        f"授权记录第 {number} 项格式有误，并非由本程序写入",
    )
