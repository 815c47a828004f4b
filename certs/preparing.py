"""Preparing the keys of a rotation: keys and requests, and what the authority's answers are worth. Waits for the disk.

Owns: what is done before the authority is asked, and after, for all keys together: one turn in a thread each. Refuses:
asking (`rotation`), files (`slots`), and a chain that is not accepted (`requests`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509

from certs.errors import CertsError
from certs.identity import Identity
from certs.keys import PrivateKey
from certs.requests import certification_request, require_chain
from certs.rotation_rules import Policy, unneeded
from certs.slot_journal import Generation, Journal, Kind
from certs.slots import Finished, KeySlots, unix_ms


@dataclass(frozen=True, slots=True)
class Request:
    """What the authority is asked for.

    Args:
        generation: whose certificate it is.
        key: its key.
        csr: the certification request, DER.
    """

    generation: Generation
    key: PrivateKey
    csr: bytes


def under_way(journal: Journal) -> tuple[Generation, ...]:
    """The generations to prepare together now; none if there are none.

    The very first TLS certificate comes alone: the others are asked for with it.
    """
    found = tuple(each for each in journal.generations if each.state == "preparing")
    first = tuple(each for each in found if each.kind == "tls" and journal.current("tls") is None)
    return first or found


def requests(
    slots: KeySlots, generations: Sequence[Generation], identity: Identity, *, serving: bool
) -> tuple[Request, ...]:
    """Make the keys of these generations, where they are not there yet, and requests for those that need certificates.

    Args:
        slots: own keys.
        generations: which.
        identity: whom certificates must name.
        serving: see `certification_request`.

    Raises:
        CertsError: a key cannot be made, kept or read.
    """
    made = []
    for each, key in zip(generations, slots.make(generations), strict=True):
        if not isinstance(key, bytes):
            for_tls = serving and each.kind == "tls"
            csr = certification_request(key, identity, _renewing(slots, each.kind), serving=for_tls)
            made.append(Request(each, key, csr))
    return tuple(made)


def keep(
    slots: KeySlots,
    generations: Sequence[Generation],
    answers: Sequence[tuple[Request, bytes]],
    identity: Identity,
    roots: Sequence[x509.Certificate],
    policy: Policy,
    now_ms: int,
) -> tuple[tuple[Generation, ...], CertsError | None]:
    """Keep what is complete now, in one step: these generations, and why one of the answers is not accepted.

    What needs no certificate waits for the last one that does: a rotation given up before has nothing to take back.

    Args:
        slots: own keys.
        generations: all that were to be prepared.
        answers: what came for the requests, as far as anything came.
        identity: whom certificates must name.
        roots: pinned trust anchors.
        policy: when and how long.
        now_ms: Unix milliseconds.

    Raises:
        CertsError: it cannot be kept.
    """
    finished: dict[str, Finished] = {}
    refused: CertsError | None = None
    now = dt.datetime.fromtimestamp(now_ms / 1000, dt.UTC)
    for request, answer in answers:
        try:
            chain = require_chain(answer, request.key, identity, roots, now)
        except CertsError as error:
            refused = refused or error
            continue
        window = unix_ms(chain[0].not_valid_before_utc), unix_ms(min(each.not_valid_after_utc for each in chain))
        finished[request.generation.name] = Finished(request.generation, chain, *window)
    rest = [each for each in generations if each.name not in finished]
    if all(each.kind == "encryption" for each in rest):
        for each in rest:
            finished[each.name] = Finished(each, (), now_ms, now_ms + policy.encryption_life_ms)
    kept = tuple(each for each in generations if each.name in finished)
    if kept:
        slots.complete([finished[each.name] for each in kept], unneeded(slots.journal, policy, now_ms))
    return kept, refused


def _renewing(slots: KeySlots, kind: Kind) -> x509.Certificate | None:
    current = slots.journal.current(kind)
    return None if current is None else slots.certificates(current)[0]
