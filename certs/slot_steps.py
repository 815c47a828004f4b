"""The steps of a key's life, as journals: each takes a journal and gives the next one. No I/O.

Owns: what changes together. A step is one journal, so after a crash it happened or it did not. Refuses: deciding when a
step may be taken (`rotation_rules`), and steps that do not follow from the journal.

A sequence number of a publication never stands for two sets of keys: whatever changes the set begins a new one.
"""

from __future__ import annotations

import datetime as dt
import math
import random
from collections.abc import Sequence
from typing import Final

from certs.errors import SlotError
from certs.slot_journal import MAX_LISTED, Generation, Journal, Kind, Publication, Rotation

HOLD_MS: Final = 86_400_000
"""After a roll back nothing of that kind is renewed automatically for a day (our choice)."""
_ALREADY: Final = (
    "the keys in use are those of before the last one already; to have new ones, rotate",
    "在用密钥已是上次轮换之前的密钥；如需新密钥，请执行轮换",
)
_NONE_LEFT: Final = (
    "no earlier key is left that could be used: it is destroyed or has expired, or there never was one",
    "没有可恢复使用的旧密钥：已销毁、已过期，或从未有过",
)


def begun(
    journal: Journal,
    kinds: Sequence[Kind],
    reason: str,
    now_ms: int,
    *,
    urgent: bool,
    in_token: frozenset[Kind],
    draw: random.Random,
    unneeded: Sequence[Generation] = (),
    room_at_ms: int | None = None,
) -> Journal:
    """Keys of these kinds are to be renewed; the new ones have names, and are not there yet.

    Args:
        journal: as it is.
        kinds: which, each once.
        reason: why, for people.
        now_ms: Unix milliseconds.
        urgent: see `Rotation`.
        in_token: kinds whose new keys are made in the hardware token.
        draw: gives the moment of the next renewal, and what makes the name of a key in a token unique.
        unneeded: retired keys that the next publication leaves out, so that they take no room.
        room_at_ms: when the next retired key will be one of them, Unix milliseconds; None where that is not known yet.

    An urgent rotation does not wait for room: the oldest retired key of the kind is listed no more, and opens still.

    Raises:
        SlotError: a rotation is under way, or too many keys of a kind are still listed; says until when.
    """
    if journal.rotation is not None:
        listed = ", ".join(journal.rotation.kinds)
        raise SlotError(
            f"a rotation of {listed} is under way; let it end, or roll it back",
            f"{listed} 的轮换正在进行，请等待完成或先回退",
        )
    leaving: list[Generation] = []
    for kind in kinds:
        full = crowded(journal, kind, unneeded, room_at_ms)
        if full is not None and not urgent:
            raise full
        if full is not None:
            leaving.append(_counted(journal, kind, unneeded)[-1])
    if leaving:
        journal = listed_anew(journal, leaving)
    made = []
    for kind in kinds:
        number = journal.next_number(kind)
        label = f"wugan-{kind}-{number}-{draw.getrandbits(64):016x}" if kind in in_token else ""
        spread = draw.uniform(-1, 1)
        made.append(
            Generation(kind=kind, number=number, state="preparing", label=label, made_at_ms=now_ms, spread=spread)
        )
    rotation = Rotation(kinds=tuple(kinds), reason=reason, urgent=urgent, began_at_ms=now_ms)
    return journal.replacing(made, rotation=rotation)


def crowded(journal: Journal, kind: Kind, unneeded: Sequence[Generation], room_at_ms: int | None) -> SlotError | None:
    """Why no key of a kind can be made now, since so many are listed; None where there is room."""
    listed = len(_counted(journal, kind, unneeded))
    if listed < MAX_LISTED:
        return None
    version = journal.publication.version
    what = f"{listed} keys of kind {kind} are listed, the most there may be"
    what_zh = f"已公布 {listed} 个 {kind} 密钥，达到上限"
    if room_at_ms is None:
        return SlotError(
            f"{what}; there is room once every member works with directory {version} and the oldest is needed no more. "
            "If the keys are stolen, rotate with --urgent",
            f"{what_zh}；待各成员均使用第 {version} 版目录且最旧密钥不再需要后方可轮换。若密钥被盗，请加 --urgent",
        )
    at = dt.datetime.fromtimestamp(room_at_ms / 1000, dt.UTC).isoformat(timespec="seconds")
    return SlotError(
        f"{what}; the oldest is needed until {at}, rotate again then. If the keys are stolen, rotate with --urgent",
        f"{what_zh}；最旧密钥需保留至 {at}，请届时再轮换。若密钥被盗，请加 --urgent",
    )


def _counted(journal: Journal, kind: Kind, unneeded: Sequence[Generation]) -> list[Generation]:
    """What takes room in the directory beside the new key of a kind, newest first."""
    return [each for each in journal.of(kind, "current", "retired") if each not in unneeded]


def prepared(journal: Journal, done: Sequence[Generation], unneeded: Sequence[Generation] = ()) -> Journal:
    """These are next. Where they are the last of their rotation, what is listed has changed as well.

    Args:
        journal: as it is.
        done: generations that were under way, complete now.
        unneeded: retired keys that the publication leaves out.
    """
    after = journal.replacing(done)
    if any(each.state == "preparing" for each in after.generations):
        return after
    return listed_anew(after, unneeded)


def listed_anew(journal: Journal, withdrawn: Sequence[Generation] = ()) -> Journal:
    """What is listed has changed and must be published; these are listed no more."""
    told, rotation = _next(journal), journal.rotation
    if rotation is not None and not rotation.sequence:
        rotation = rotation.model_copy(update={"sequence": told.sequence})
    changed = [each.now(state="withdrawn") for each in withdrawn]
    return journal.replacing(changed, publication=told, rotation=rotation)


def published(journal: Journal, version: int, now_ms: int) -> Journal:
    """The directory of this version lists exactly what is to be listed."""
    told = journal.publication.model_copy(update={"version": version, "at_ms": now_ms})
    return journal.replacing((), publication=told)


def settled(journal: Journal, now_ms: int) -> Journal:
    """Every partner works with what was published: what it superseded is used no more from now on."""
    told = journal.publication.model_copy(update={"settled": True})
    uncertain = (e for e in journal.generations if e.state in ("retired", "withdrawn") and e.superseded_at_ms is None)
    return journal.replacing([e.now(superseded_at_ms=now_ms) for e in uncertain], publication=told)


def activated(journal: Journal, kinds: Sequence[Kind], now_ms: int) -> Journal:
    """The next keys of these kinds are in use and those before them retired, all at once.

    Raises:
        SlotError: no rotation is under way.
    """
    rotation = journal.rotation
    if rotation is None:
        raise SlotError("no rotation is under way", "没有正在进行的轮换")
    since = now_ms if journal.publication.settled else None
    changed = []
    for kind in kinds:
        changed += [each.now(state="current") for each in journal.of(kind, "next")]
        changed += [each.now(state="retired", superseded_at_ms=since) for each in journal.of(kind, "current")]
    rest = tuple(kind for kind in rotation.kinds if kind not in kinds)
    return journal.replacing(changed, rotation=rotation.model_copy(update={"kinds": rest}) if rest else None)


def dropped(journal: Journal, kinds: Sequence[Kind], now_ms: int) -> Journal:
    """The rotation under way is given up: as a whole, since its keys are published together.

    Args:
        journal: as it is.
        kinds: those that may be given up.
        now_ms: Unix milliseconds.

    Raises:
        SlotError: there is none, or it is of other kinds too.
    """
    if journal.rotation is None:
        raise SlotError("no rotation is under way", "没有正在进行的轮换")
    if not set(journal.rotation.kinds) <= set(kinds):
        listed = ", ".join(journal.rotation.kinds)
        raise SlotError(
            f"the rotation under way, of {listed}, can only be given up as a whole; for that, roll back without --kind",
            f"正在进行的 {listed} 轮换只能整体放弃；如需放弃，请不带 --kind 执行回退",
        )
    changed: list[Generation] = []
    for kind in journal.rotation.kinds:
        changed += [each.now(state="destroyed") for each in journal.of(kind, "preparing")]
        for each in journal.of(kind, "next"):
            # Partners may have been told of it, and seal to it until they are told otherwise.
            since = None if kind == "encryption" else now_ms
            changed.append(each.now(state="withdrawn", superseded_at_ms=since))
        changed += [each.now(held_until_ms=now_ms + HOLD_MS) for each in journal.of(kind, "current")]
    relisted = any(each.state == "withdrawn" for each in changed)
    return journal.replacing(changed, rotation=None, publication=_next(journal) if relisted else journal.publication)


def put_back(journal: Journal, kinds: Sequence[Kind], now_ms: int) -> tuple[Journal, tuple[Kind, ...]]:
    """The keys before the current ones are in use again; and the kinds for which there was one.

    A TLS or signing key that was in use stays listed like every retired one. An encryption key is listed no more at
    once, because partners seal to the newest they know, and opens what is still sealed to it.

    Raises:
        SlotError: a rotation is under way, or there is nothing to go back to.
    """
    changed: list[Generation] = []
    back: list[Kind] = []
    already = False
    for kind in kinds if journal.rotation is None else ():
        current, before = journal.current(kind), _used_last(journal, kind)
        if current is None or before is None or before.not_after_ms <= now_ms:
            continue
        if before.number > current.number:  # it was itself rolled back: it is not what was before
            already = True
            continue
        sealed_to = kind == "encryption"
        since = None if sealed_to else now_ms
        changed.append(current.now(state="withdrawn" if sealed_to else "retired", superseded_at_ms=since))
        changed.append(before.now(state="current", superseded_at_ms=None, held_until_ms=now_ms + HOLD_MS))
        back.append(kind)
    if not back:
        why = _ALREADY if already else _NONE_LEFT
        raise SlotError(
            f"there is nothing to roll back: no rotation is under way, and {why[0]}",
            f"没有可回退的内容：没有正在进行的轮换，且{why[1]}",
        )
    return journal.replacing(changed, publication=_next(journal)), tuple(back)


def _used_last(journal: Journal, kind: Kind) -> Generation | None:
    """The retired key that was in use last. Not the newest where that was rolled back and another one made since."""

    def since(each: Generation) -> float:
        return math.inf if each.superseded_at_ms is None else each.superseded_at_ms

    return max(journal.of(kind, "retired"), key=since, default=None)


def destroyed(journal: Journal, generations: Sequence[Generation]) -> Journal:
    """These are to have no key any more."""
    return journal.replacing([each.now(state="destroyed") for each in generations])


def _next(journal: Journal) -> Publication:
    return Publication(sequence=journal.publication.sequence + 1)
