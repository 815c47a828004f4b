"""When keys are renewed, used, withdrawn and destroyed. Every such decision is made here, without I/O.

Owns: the rules below, as functions of the journal, the policy and the time. Refuses: doing any of it (`rotation`).

 1. A key is renewed when `at_life` of its life is over, earlier or later by up to `jitter` of its life, so that the
    members of a federation that were founded together do not renew together; not while something is under way.
 2. A new key signs, and is shown to partners, only when it was published and every partner works with the directory
    that lists it, or can work with no older one; or when there is nothing to lose by it: the one before has
    expired, is lost (`urgent`), or there was none.
 3. A key that was superseded stays listed, and opens, for `retire_after_ms` from the moment since which nobody begins
    to use it: the longest life of a message, the clocks' disagreement, and calls under way. Then it is left out of the
    next publication: that of the next rotation, or one of its own once no other key is about to follow it.
 4. When the authority issues from another CA than the one that certified a key, the key is renewed too, within the same
    `jitter` of its life from the making of that CA: the CA before may have been replaced for a reason.
 5. A key is destroyed only when it is listed no more, by a directory that was published, and rule 3 is over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from certs.slot_journal import KINDS, Generation, Journal, Kind


@dataclass(frozen=True, slots=True)
class Policy:
    """What an administrator sets.

    Args:
        automatic: whether keys are renewed without being asked.
        at_life: part of its life after which a key is renewed, 0 to 1.
        jitter: part of its life by which that moment is moved at most.
        retire_after_ms: how long a superseded key is kept.
        seen_timeout_ms: how long after a publication partners may still work with an older directory, where the
            directory does not tell.
        encryption_life_ms: life of an encryption key, which has no certificate to say it.
    """

    automatic: bool = True
    at_life: float = 2 / 3
    jitter: float = 0.05
    retire_after_ms: int = 900_000
    seen_timeout_ms: int = 7 * 86_400_000
    encryption_life_ms: int = 90 * 86_400_000


def renewal_at_ms(generation: Generation, policy: Policy) -> int:
    """When a key is to be renewed, Unix milliseconds (rule 1)."""
    life = generation.not_after_ms - generation.not_before_ms
    at = generation.not_before_ms + life * (policy.at_life + policy.jitter * generation.spread)
    return max(round(at), generation.held_until_ms)


def due(journal: Journal, policy: Policy, now_ms: int) -> tuple[Kind, ...]:
    """The kinds to be renewed now without being asked (rule 1)."""
    if not policy.automatic or journal.rotation is not None:
        return ()
    currents = (journal.current(kind) for kind in KINDS)
    return tuple(each.kind for each in currents if each is not None and renewal_at_ms(each, policy) <= now_ms)


def outlived(generation: Generation, policy: Policy, made_at_ms: int, now_ms: int) -> bool:
    """Whether a key that another CA certified is to be renewed now, since the present one issues (rule 4).

    Args:
        generation: the key.
        policy: says how far renewals are spread.
        made_at_ms: from when on the present CA issues, Unix milliseconds.
        now_ms: Unix milliseconds.
    """
    if not policy.automatic or generation.not_before_ms > made_at_ms or now_ms < generation.held_until_ms:
        return False  # certified since: whoever issues from another CA all the same is not asked for ever
    life = generation.not_after_ms - generation.not_before_ms
    return now_ms >= made_at_ms + life * policy.jitter * (1 + generation.spread) / 2


def usable(journal: Journal, now_ms: int) -> tuple[Kind, ...]:
    """The kinds of the rotation under way whose new key may be used now (rule 2)."""
    rotation, told = journal.rotation, journal.publication
    if rotation is None or not rotation.sequence or not told.version:
        return ()
    if told.settled or rotation.urgent:
        return rotation.kinds
    before = ((kind, journal.current(kind)) for kind in rotation.kinds)
    return tuple(kind for kind, each in before if each is None or each.not_after_ms <= now_ms)


def may_settle(told_at_ms: int, older_end_ms: int | None, policy: Policy, now_ms: int) -> bool:
    """Whether partners that have not seen a publication do not count any more (rule 2).

    Args:
        told_at_ms: when it was published.
        older_end_ms: when every older directory has expired, where that is known.
        policy: says how long that takes otherwise.
        now_ms: Unix milliseconds.
    """
    return now_ms >= (told_at_ms + policy.seen_timeout_ms if older_end_ms is None else older_end_ms)


def must_settle(journal: Journal) -> bool:
    """Whether it matters if partners have seen the last publication."""
    if journal.publication.settled or not journal.publication.version:
        return False
    uncertain = (e for e in journal.generations if e.state in ("retired", "withdrawn") and e.superseded_at_ms is None)
    return journal.rotation is not None or next(uncertain, None) is not None


def unneeded(journal: Journal, policy: Policy, now_ms: int) -> tuple[Generation, ...]:
    """Retired keys that need not be listed any more (rule 3)."""
    return tuple(e for e in journal.generations if e.state == "retired" and _quiet(e, policy, now_ms))


def room_at_ms(journal: Journal, policy: Policy, kinds: Sequence[Kind]) -> int | None:
    """When there is a retired key of each of these kinds that need not be listed; None while one is not certain."""
    latest = 0
    for kind in kinds:
        ends = [e.superseded_at_ms for e in journal.of(kind, "retired") if e.superseded_at_ms is not None]
        if not ends:
            return None
        latest = max(latest, min(ends) + policy.retire_after_ms)
    return latest


def worth_telling(journal: Journal, policy: Policy, now_ms: int) -> tuple[Generation, ...]:
    """The same, if they are worth a publication of their own: all retired keys there are (rule 3).

    A publication is fetched by every member. Where keys are renewed more often than they fall quiet, the next renewal
    tells the same at no cost.
    """
    gone = unneeded(journal, policy, now_ms)
    return gone if len(gone) == sum(each.state == "retired" for each in journal.generations) else ()


def destroyable(journal: Journal, policy: Policy, now_ms: int) -> tuple[Generation, ...]:
    """Keys to destroy (rule 5)."""
    if journal.publication.wanted:
        return ()
    return tuple(e for e in journal.generations if e.state == "withdrawn" and _quiet(e, policy, now_ms))


def _quiet(generation: Generation, policy: Policy, now_ms: int) -> bool:
    since = generation.superseded_at_ms
    return since is not None and now_ms >= since + policy.retire_after_ms
