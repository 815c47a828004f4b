"""What the federation's directory holds against the keys that this gateway uses: revoked, or listed no more.

Owns: asking of the keys in use what every partner asks of them: the rule is `Directory`'s; and refusing to put back
keys that partners refuse. Refuses: reading files or the directory; both are handed in.

While the directory is older than what was published last, only what was taken back counts: it cannot list the new keys
yet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certs.errors import SlotError
from certs.identity import Identity
from certs.slot_journal import KINDS, Generation, Journal, Kind
from gateway.errors import RefusedError
from gateway.federation.directory import Directory

_REMEDIES: Final[dict[Kind, tuple[str, str]]] = {
    "tls": (
        "have this gateway readmitted: `wugan authority member readmit`, then enrol anew",
        "请由管理机构执行 `wugan authority member readmit` 重新准入，再重新登记",
    ),
    "signing": (
        "renew it: `wugan certs rotate --kind signing --urgent`",
        "请更新：`wugan certs rotate --kind signing --urgent`",
    ),
    "encryption": (
        "renew it: `wugan certs rotate --kind encryption --urgent`",
        "请更新：`wugan certs rotate --kind encryption --urgent`",
    ),
}
_ADMIT: Final = (
    "this member is in the federation no more; if that is to change, have it admitted anew: `wugan authority member "
    "add`, then enrol anew",
    "本成员已不在联盟中；如需重新加入，请由管理机构执行 `wugan authority member add` 再次接纳，然后重新登记",
)


@dataclass(frozen=True, slots=True)
class Objection:
    """Why partners refuse a key in use.

    Args:
        kind: of the key.
        name: of the generation.
        en: why, in English.
        zh: the same in Chinese.
        remedy: what to do, in both languages.
    """

    kind: Kind
    name: str
    en: str
    zh: str
    remedy: tuple[str, str]


def objections(
    directory: Directory, member_id: str, journal: Journal, chain: Callable[[Generation], bytes]
) -> tuple[Objection, ...]:
    """What a directory holds against the keys in use, in the order of kinds.

    Args:
        directory: in force.
        member_id: whose keys they are.
        journal: of own keys.
        chain: gives the certificates of a key, PEM, its own first.

    Raises:
        CertsError: as `chain`.
    """
    found: list[Objection] = []
    for current in filter(None, map(journal.current, KINDS)):
        try:
            _require(directory, member_id, journal, current, chain)
        except RefusedError as error:
            # Whose TLS certificate is refused can publish nothing, so no other key of it can be renewed either.
            shut_out = any(each.kind == "tls" for each in found)
            remedy = _REMEDIES["tls" if shut_out else current.kind] if _is_in(directory, member_id) else _ADMIT
            found.append(Objection(current.kind, current.name, error.en, error.zh, remedy))
    return tuple(found)


def _is_in(directory: Directory, member_id: str) -> bool:
    try:
        directory.member(member_id)
    except RefusedError:
        return False
    return True


def require_believed(against: Sequence[Objection], kinds: Sequence[Kind]) -> None:
    """Return when nothing speaks against putting back keys of these kinds.

    Args:
        against: what the directory would hold against the keys in use if they were.
        kinds: of the keys that would be put back.

    Raises:
        SlotError: partners refuse one. A gateway that shows a TLS certificate that was revoked can publish nothing, so
            it could not get out of that by itself.
    """
    for each in against:
        if each.kind in kinds:
            raise SlotError(
                f"{each.name} is not put back, since partners refuse it: {each.en}. The keys in use stay; name the "
                "others with --kind, or rotate",
                f"{each.name} 不予恢复，其他成员将拒绝该密钥：{each.zh}。在用密钥保持不变；"
                "请用 --kind 指定其余种类，或重新轮换",
            )


def _require(
    directory: Directory, member_id: str, journal: Journal, current: Generation, chain: Callable[[Generation], bytes]
) -> None:
    """Return when partners take a key. Raises RefusedError."""
    certificate = b"" if current.kind == "encryption" else _leaf(chain(current))
    if certificate:
        directory.require_believed(certificate)
    if directory.version < journal.publication.version:
        return
    member = directory.member(member_id)
    if current.kind == "tls":
        directory.require_welcome(Identity.gateway(directory.federation, member_id), certificate)
        return
    listed = set(member.signing_keys)
    if current.kind == "encryption":
        listed = {each.key.key_id for each in member.encryption_keys}
    if current.key_id not in listed:
        raise RefusedError(
            "the directory does not list this key (any more): it was revoked, or this gateway was readmitted",
            "成员目录未登记（或已不再登记）此密钥：密钥已被吊销，或本网关已被重新准入",
        )


def _leaf(pem: bytes) -> bytes:
    try:
        return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    except ValueError as error:
        raise RefusedError("its certificate cannot be read", "其证书文件无法读取") from error
