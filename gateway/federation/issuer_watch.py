"""Noticing that the authority issues from another CA, and having own certificates renewed under it.

Owns: asking the authority's EST server for its CA certificates, and comparing them with those that certified the keys
in use. Refuses: believing them: only a CA that a pinned root issued counts, and all that follows is a rotation like any
other. When a key is renewed is decided in `certs.rotation_rules`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from cryptography import x509

from certs import rotation_rules
from certs.chain import issued_by, load_roots
from certs.rotation import Rotator
from certs.rotation_rules import Policy
from certs.slot_journal import Kind
from certs.slots import KeySlots
from certs.yielding import yielding

REASON: Final = "new issuing CA"
_CERTIFIED: Final[tuple[Kind, ...]] = ("tls", "signing")


class CaCertificates(Protocol):
    """Asks the authority."""

    async def __call__(self) -> tuple[x509.Certificate, ...]:
        """Its CA certificates, unverified. Raises CertsError."""
        ...


class IssuerWatch:
    """Compares now and then.

    Args:
        ask: the authority's CA certificates.
        slots: own keys.
        rotator: renews them.
        roots_pem: pinned trust anchors.
        policy: when keys are renewed.
        now_ms: the time, Unix milliseconds.

    Raises:
        CertsError: the roots are none.
    """

    def __init__(
        self,
        ask: CaCertificates,
        slots: KeySlots,
        rotator: Rotator,
        roots_pem: bytes,
        policy: Policy,
        now_ms: Callable[[], int],
    ) -> None:
        self._ask = ask
        self._slots = slots
        self._rotator = rotator
        self._roots = load_roots(roots_pem)
        self._policy = policy
        self._now_ms = now_ms

    async def look(self) -> tuple[Kind, ...]:
        """Ask, and begin a rotation of the keys that are to be renewed, unless one is under way; their kinds.

        Raises:
            CertsError: the authority cannot be reached, or a rotation cannot be begun.
        """
        kinds = await yielding(self._to_renew, await self._ask())
        if kinds and self._slots.journal.rotation is None:
            await self._rotator.rotate(kinds, REASON)
            return kinds
        return ()

    def _to_renew(self, given: Sequence[x509.Certificate]) -> tuple[Kind, ...]:
        issuing = newest(given, self._roots)
        if issuing is None or self._slots.journal.rotation is not None:
            return ()
        return tuple(kind for kind in _CERTIFIED if self._outlived(kind, issuing))

    def _outlived(self, kind: Kind, issuing: x509.Certificate) -> bool:
        current = self._slots.journal.current(kind)
        if current is None:
            return False
        leaf = self._slots.certificates(current)[0]
        made_at_ms = round(issuing.not_valid_before_utc.timestamp() * 1000)
        return not issued_by(leaf, issuing) and rotation_rules.outlived(
            current, self._policy, made_at_ms, self._now_ms()
        )


def newest(given: Sequence[x509.Certificate], roots: Sequence[x509.Certificate]) -> x509.Certificate | None:
    """The CA that was made last of those that a root issued."""
    # The last first: an authority may have sixty, and each costs a signature.
    for each in sorted(given, key=lambda each: each.not_valid_before_utc, reverse=True):
        if each not in roots and any(issued_by(each, root) for root in roots):
            return each
    return None
