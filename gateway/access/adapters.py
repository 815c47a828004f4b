"""Which adapters of departments an administrator lets be asked: what signed acts add up to. I/O-free.

The rule. A version is an adapter's manifest, byte for byte, known by its SHA-256; whoever changes a letter has another
version. It goes through the states of `STEPS`, which is the whole rule of what may follow on what:

    proposed ──approve──▶ shadow ──promote──▶ live
        │                   │  ▲                │ ▲
        │                suspend resume      suspend resume        remove, from every state: for ever
        │                   ▼  │                ▼ │
        └──────────────────▶ suspended ◀────────┘             a version suspended goes back to where it was

Of one adapter one version at most is live and one in shadow: promoting a version removes the one that was live,
approving one removes the one that was in shadow. Who proposed a version may not approve it. What a department itself
proposes over the network is no act: the approval then says so, and is the first that is heard of it here. A version
that was removed never comes back; the department raises its version. A removal may say that the department itself does
not come back (`gone_for_good`).

Owns: this rule and the state it leads to. Refuses: keeping acts, looking at manifests, and what departments say
(`gateway.inquiry.enlisting` joins that with this: they can only take back).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from gateway.access import people
from gateway.access.acts import Statement
from gateway.errors import PolicyError

PROPOSED: Final = "proposed"
SHADOW: Final = "shadow"
LIVE: Final = "live"
SUSPENDED: Final = "suspended"
REMOVED: Final = "removed"
STATES: Final = (PROPOSED, SHADOW, LIVE, SUSPENDED, REMOVED)
STATES_ZH: Final = dict(zip(STATES, ("待批准", "试运行", "已启用", "已暂停", "已移除"), strict=True))

HOST: Final = "host"
"""An administrator proposed it on the gateway's host: its manifest may name files, databases and secrets there."""
DEPARTMENT: Final = "department"
"""The department proposed it over the network: its manifest names an address of the department, and nothing here."""
ORIGINS: Final = (HOST, DEPARTMENT)
OVER_THE_NETWORK: Final = frozenset({"remote"})
"""Kinds of manifest that a department may register itself: they name no file, database, variable or secret here."""

BACK: Final = ""
"""The state it was suspended in."""

STEPS: Final[dict[tuple[str, str], str]] = {
    (PROPOSED, people.APPROVE_ADAPTER): SHADOW,
    (SHADOW, people.PROMOTE_ADAPTER): LIVE,
    (SHADOW, people.SUSPEND_ADAPTER): SUSPENDED,
    (LIVE, people.SUSPEND_ADAPTER): SUSPENDED,
    (SUSPENDED, people.RESUME_ADAPTER): BACK,
    (PROPOSED, people.REMOVE_ADAPTER): REMOVED,
    (SHADOW, people.REMOVE_ADAPTER): REMOVED,
    (LIVE, people.REMOVE_ADAPTER): REMOVED,
    (SUSPENDED, people.REMOVE_ADAPTER): REMOVED,
}
"""(state, act) → the state after it; what is not here is refused."""

DIGEST_BYTES: Final = 32
MAX_REASON: Final = 400
MAX_VERSIONS: Final = 10_000
"""Versions of one adapter, the removed ones included."""
_ADAPTER: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_MAX_PATH: Final = 4096


class Version(NamedTuple):
    """One version of an adapter, and what became of it.

    Args:
        adapter: stable name within the gateway.
        digest: SHA-256 of its manifest.
        version: as the manifest says it, for people.
        kind: of adapter, as the manifest says.
        origin: HOST or DEPARTMENT.
        folder: from which relative paths of the manifest count, on the gateway's host; "" with DEPARTMENT.
        state: one of STATES.
        before: the state it was suspended in, "" otherwise.
        proposed_by, approved_by, changed_by: who did, "" where nobody has.
        proposed_at_ms, changed_at_ms: when.
        number: of the act that brought the state.
        why: reason of that act, or what replaced the version.
        for_good: removed by an act that says so of its department.
    """

    adapter: str
    digest: bytes
    version: str
    kind: str
    origin: str
    folder: str
    state: str
    before: str
    proposed_by: str
    proposed_at_ms: int
    approved_by: str
    changed_by: str
    changed_at_ms: int
    number: int
    why: str
    for_good: bool = False

    @property
    def name(self) -> str:
        """How people write it: the adapter, the version, and the beginning of the digest."""
        return f"{self.adapter} {self.version} ({self.digest.hex()[:8]})"


class Adapters:
    """The versions after some acts. Changed by `apply` alone; an act that is refused changes nothing."""

    def __init__(self) -> None:
        self._versions: dict[str, dict[bytes, Version]] = {}

    def __iter__(self) -> Iterator[Version]:
        """All versions, by adapter, in the order in which they were first heard of."""
        for versions in self._versions.values():
            yield from versions.values()

    def of(self, adapter: str) -> list[Version]:
        """The versions of one adapter."""
        return list(self._versions.get(adapter, {}).values())

    def find(self, adapter: str, digest: bytes) -> Version | None:
        """A version; None: no act is about it."""
        return self._versions.get(adapter, {}).get(digest)

    def apply(self, statement: Statement) -> None:
        """Take in one act, of which it is known who did it and that their role may.

        Raises:
            PolicyError: it does not follow on the state there is; nothing was changed.
        """
        body = statement.body
        adapter, digest, why = _adapter(body), _digest(body), _reason(body)
        known = self.find(adapter, digest)
        if statement.act == people.PROPOSE_ADAPTER or (
            known is None and statement.act == people.APPROVE_ADAPTER and body.get("origin") == DEPARTMENT
        ):
            if known is not None:
                raise _known(known)
            known = self._new(statement, adapter, digest, why)
            if statement.act == people.PROPOSE_ADAPTER:
                self._put(known)
                return
        if known is None:
            raise PolicyError(
                f"no such version of {adapter} is registered; see `wugan adapter list`",
                f"未登记 {adapter} 的该版本，请查看 `wugan adapter list`",
            )
        self._step(statement, known, why)

    def _step(self, statement: Statement, known: Version, why: str) -> None:
        after = STEPS.get((known.state, statement.act))
        if after is None:
            raise PolicyError(
                f"{known.name} is {known.state}; {statement.act} does not follow on that",
                f"{known.name} 当前状态为“{STATES_ZH[known.state]}”，不能执行 {statement.act}",
            )
        if statement.act == people.APPROVE_ADAPTER and known.proposed_by == statement.by:
            raise PolicyError(
                f"{statement.by} proposed {known.name}; it takes another person to approve it",
                f"{known.name} 由 {statement.by} 提出，须由另一人批准",
            )
        for_good = statement.body.get("for_good", False)
        if not isinstance(for_good, bool) or (for_good and after != REMOVED):
            raise PolicyError(
                "only a removal can be for good, and says so by true or false",
                "仅移除操作可注明永久退出，取值为 true 或 false",
                field="for_good",
            )
        after = after or known.before
        changed = known._replace(
            state=after,
            before=known.state if after == SUSPENDED else "",
            approved_by=statement.by if statement.act == people.APPROVE_ADAPTER else known.approved_by,
            changed_by=statement.by,
            changed_at_ms=statement.at_ms,
            number=statement.number,
            why=why,
            for_good=for_good,
        )
        for other in self.of(known.adapter):
            if other.digest != known.digest and after in (other.state, other.before) and after in (SHADOW, LIVE):
                self._put(
                    other._replace(
                        state=REMOVED,
                        before="",
                        changed_by=statement.by,
                        changed_at_ms=statement.at_ms,
                        number=statement.number,
                        why=f"replaced by {changed.version} ({changed.digest.hex()[:8]})",
                    )
                )
        self._put(changed)

    def _new(self, statement: Statement, adapter: str, digest: bytes, why: str) -> Version:
        body = statement.body
        if len(self._versions.get(adapter, ())) >= MAX_VERSIONS:
            raise PolicyError(
                f"{adapter} has had {MAX_VERSIONS} versions; register under another name",
                f"{adapter} 的版本数已达上限 {MAX_VERSIONS}，请使用其他标识登记",
            )
        origin = _text(body, "origin", 16)
        if origin not in ORIGINS or (origin == DEPARTMENT) != (statement.act == people.APPROVE_ADAPTER):
            raise PolicyError("the act says a wrong origin of the adapter", "操作中的接入来源有误", field="origin")
        return Version(
            adapter=adapter,
            digest=digest,
            version=_text(body, "version", 64),
            kind=_text(body, "kind", 16),
            origin=origin,
            folder=_text(body, "folder", _MAX_PATH, empty=True),
            state=PROPOSED,
            before="",
            proposed_by="" if origin == DEPARTMENT else statement.by,
            proposed_at_ms=statement.at_ms,
            approved_by="",
            changed_by=statement.by,
            changed_at_ms=statement.at_ms,
            number=statement.number,
            why=why,
        )

    def _put(self, version: Version) -> None:
        self._versions.setdefault(version.adapter, {})[version.digest] = version


def gone_for_good(versions: Iterable[tuple[Version, int]]) -> frozenset[int]:
    """Departments that administrators removed for good: what these told before, they cannot be asked about any more.

    A version is removed to be replaced as well, by its next one or under another name. So a department is gone only
    where the act that removed its last version says so, every other one of it was removed before, and none is proposed,
    tried, suspended or live. One whose department is not known may be of each.

    Args:
        versions: all that acts are about, and those that departments propose themselves, each with its department
            (wugan.adapter.v1.Department), 0 where that is not known.
    """
    known = list(versions)
    last: dict[int, int] = {}
    for version, department in known:
        if version.for_good and department:
            last[department] = max(version.number, last.get(department, 0))
    return frozenset(
        department
        for department, number in last.items()
        if all(version.state == REMOVED and version.number <= number for version, of in known if of in (department, 0))
    )


def _known(version: Version) -> PolicyError:
    if version.state == REMOVED:
        return PolicyError(
            f"{version.name} was removed, for ever; raise the manifest's version and register that",
            f"{version.name} 已移除且不可恢复，请提高清单的 version 后重新登记",
        )
    return PolicyError(
        f"{version.name} is registered already; it is {version.state}",
        f"{version.name} 已登记，当前状态为“{STATES_ZH[version.state]}”",
    )


def _adapter(body: Any) -> str:
    name = body.get("adapter")
    if not isinstance(name, str) or not _ADAPTER.fullmatch(name):
        raise PolicyError("the act names no adapter", "操作未写明接入标识", field="adapter")
    return name


def _digest(body: Any) -> bytes:
    try:
        digest = bytes.fromhex(body.get("digest", ""))
    except (TypeError, ValueError):
        digest = b""
    if len(digest) != DIGEST_BYTES:
        raise PolicyError("a version is named by its manifest's SHA-256", "版本应以清单的 SHA-256 标识", field="digest")
    return digest


def _reason(body: Any) -> str:
    why = body.get("why")
    if not isinstance(why, str) or not why.strip() or len(why) > MAX_REASON or not why.isprintable():
        raise PolicyError(f"say why, in {MAX_REASON} characters", f"请说明理由（{MAX_REASON} 字内）", field="why")
    return why


def _text(body: Any, name: str, most: int, *, empty: bool = False) -> str:
    value = body.get(name)
    if not isinstance(value, str) or len(value) > most or not value.isprintable() or not (value or empty):
        raise PolicyError(f"the act lacks {name}", f"操作缺少 {name}", field=name)
    return value
