"""Registered adapters brought into use, changed and taken out while the gateway answers.

Owns: the loop that keeps the hand of `Departments` what the acts of administrators and the words of departments come
to; building a version's adapter from its manifest, and telling why that fails. Adapters of the configuration are in the
hand always, and first. Refuses: stopping for a manifest that is wrong: that version is not asked and says why, and all
others are; deciding who may register what; and asking anybody.

The rule. The hand is exchanged whole (`sources`), so no question in flight notices. A version that is asked already is
not built again, whatever else changes; one that moves from shadow to live keeps its adapter, with what it has read. An
adapter of the configuration takes its name: a registered one of that name is not asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import structlog

from adapters.contract import Adapter
from adapters.errors import AdapterError
from adapters.manifest import manifest_of
from gateway.access.adapters import LIVE, PROPOSED, REMOVED, SHADOW, Version, gone_for_good
from gateway.access.policy import Policy
from gateway.access.words import Said, heard, together
from gateway.clock import Clock
from gateway.errors import StoreError
from gateway.inquiry.sources import Source, Sources
from gateway.log import Standstill, described
from gateway.store.adapters import Adapters, Standing

AGAIN_S: Final = 60.0
"""After so long a version that could not be built is tried again: a file or a variable may be there by then."""
MAX_REGISTERED: Final = 1_000
"""Registered adapters asked at once; a province has some dozens."""

_log = structlog.stdlib.get_logger(__name__)

Key = tuple[str, bytes]
Build = Callable[[Version, bytes], Callable[[], Adapter]]
"""(version, its manifest) → what makes the adapter, in the event loop. Both raise AdapterError; the first may block."""


class Fault(NamedTuple):
    """Why a version could not be built, and when it was tried."""

    en: str
    zh: str
    at: float


class Enlisting:
    """See the module.

    Args:
        sources: whose hand is kept.
        fixed: those of the configuration.
        store: where manifests, words and standings are.
        build: makes an adapter.
        forget: told of versions that were removed, whose files need not be kept any more; may block.
        clock: times the tries.
        poll_s: seconds between looks.
    """

    def __init__(
        self,
        sources: Sources,
        fixed: Sequence[Source],
        store: Adapters,
        build: Build,
        clock: Clock,
        *,
        poll_s: float,
        forget: Callable[[Sequence[Version]], None] = lambda _: None,
    ) -> None:
        self._sources = sources
        self._fixed = list(fixed)
        self._names = {source.about.adapter_id for source in fixed}
        self._store = store
        self._build = build
        self._forget = forget
        self._clock = clock
        self._standstill = Standstill()
        self._poll_s = poll_s
        self._decided: Sequence[Version] = ()
        self._said: dict[str, Said] = {}
        self._heard_to = 0
        self._in_use: dict[Key, Source] = {}
        self._parting: dict[Key, Source] = {}
        self._faults: dict[Key, Fault] = {}
        self._stages: dict[Key, str] | None = None
        self._forgotten: set[bytes] = set()
        self._woken = asyncio.Event()
        self._looking = asyncio.Lock()
        self._seen: tuple[Sequence[Version], int] | None = None
        self._departments: dict[bytes, int] = {}
        self._gone: frozenset[int] = frozenset()
        self.versions: list[Version] = []
        """All versions as they are by both records, at the last look."""

    def take(self, policy: Policy | None) -> None:
        """Take what administrators decided; None, where that cannot be read: it stays as it was.

        Nobody is answered without a policy, so nobody is asked either.
        """
        if policy is not None and policy.adapters != self._decided:
            self._decided = policy.adapters
            self._woken.set()

    def wake(self) -> None:
        """Look now: a department said something."""
        self._woken.set()

    @property
    def gone(self) -> frozenset[int]:
        """Departments that administrators removed for good (`gateway.access.adapters.gone_for_good`), and of which the
        configuration has no adapter; nobody while something was decided that was not looked at yet.
        """
        return self._gone if self._seen is not None and self._seen[0] == self._decided else frozenset()

    def is_fixed(self, adapter: str) -> bool:
        """Whether the configuration has an adapter of this name."""
        return adapter in self._names

    def said_by(self, adapter: str) -> int:
        """How much a department said of its adapter in all."""
        return self._said[adapter].count if adapter in self._said else 0

    def faults(self) -> dict[str, tuple[str, str]]:
        """Why adapters are not asked though they are to be, English and Chinese, by name."""
        return {adapter: (fault.en, fault.zh) for (adapter, _), fault in self._faults.items()}

    async def run(self) -> None:
        """Look again and again until cancelled."""
        while True:
            self._woken.clear()
            await self.once()
            try:
                async with asyncio.timeout(self._poll_s):
                    await self._woken.wait()
            except TimeoutError:
                pass

    async def once(self) -> None:
        """Look once; what goes wrong is logged, and stops nobody from starting."""
        try:
            await self.look()
            self._standstill.ends()
        except StoreError as error:
            if self._standstill.begins():
                _log.warning("registered adapters not looked at", fault=described(error))
        except Exception as error:  # noqa: BLE001  a loop that ends would never be noticed
            _log.error("registered adapters not looked at", error=type(error).__name__)

    async def look(self) -> None:
        """Make the hand what it is to be now.

        Raises:
            StoreError: the store could not be read or written; the hand is as it was, or as it is to be.
        """
        async with self._looking:
            await self._look()

    async def _look(self) -> None:
        if self._stages is None:
            self._stages = {(each.adapter, each.digest): _told(each) for each in await self._store.standings()}
        await self._hear()
        seen = self._decided, self._heard_to
        if seen == self._seen and not self._faults:
            return  # as nearly always
        self.versions = together(self._decided, self._said)
        wanted = {(each.adapter, each.digest): each for each in self.versions if each.state in (LIVE, SHADOW)}
        used: dict[Key, Source] = {}
        for key, version in list(wanted.items())[:MAX_REGISTERED]:
            source = self._in_use.get(key) or self._parted(key) or await self._built(key, version)
            if source is not None:
                used[key] = source
        for key in [key for key in self._faults if key not in wanted]:
            del self._faults[key]
        stages = {key: wanted[key].state for key in used}
        if used != self._in_use or stages != {key: self._stages.get(key) for key in used}:
            parting = {**self._parting, **{key: source for key, source in self._in_use.items() if key not in used}}
            live = [*self._fixed, *(source for key, source in used.items() if stages[key] == LIVE)]
            self._sources.use(live, [source for key, source in used.items() if stages[key] == SHADOW])
            self._in_use = used
            # One that comes back while somebody still asks it is the same: it may hold files that are one adapter's.
            self._parting = {key: source for key, source in parting.items() if self._sources.is_open(source)}
            names = sorted(f"{key[0]} ({key[1].hex()[:8]}) {stage}" for key, stage in stages.items())
            _log.info("adapters exchanged", registered=names)
        await self._tell(stages, self._stages)
        await self._forget_removed()
        self._gone = await self._find_gone()
        self._seen = seen

    def _parted(self, key: Key) -> Source | None:
        source = self._parting.get(key)
        return source if source is not None and self._sources.is_open(source) else None

    async def _hear(self) -> None:
        words = await self._store.words(self._heard_to)
        self._said = heard(words, self._said)
        if words:
            self._heard_to = words[-1].number

    async def _built(self, key: Key, version: Version) -> Source | None:
        """The source of a version, made now; None: it cannot be made, or was tried a moment ago."""
        before = self._faults.get(key)
        if before is not None and self._clock.monotonic() - before.at < AGAIN_S:
            return None
        try:
            text = await self._document(version)
            if version.adapter in self._names:
                raise AdapterError(
                    f"the configuration has an adapter named {version.adapter}; take one of the two away",
                    f"配置文件中已有接入标识 {version.adapter}，请保留其一",
                )
            if text is None:
                raise AdapterError("its manifest is not kept any more; register it again", "清单已不存在，请重新登记")
            await self._sources.settled()  # one that just went may hold the same files
            make = await asyncio.to_thread(self._build, version, text)
            source = self._sources.source(make(), version.digest)
        except AdapterError as error:
            fault = Fault(error.en, error.zh, self._clock.monotonic())
        except Exception as error:  # noqa: BLE001  whatever a manifest brings about harms its own adapter only
            name = type(error).__name__
            fault = Fault(f"it cannot be built ({name})", f"无法构建（{name}）", self._clock.monotonic())
        else:
            self._faults.pop(key, None)
            return source
        self._faults[key] = fault
        _log.error("registered adapter not in use", adapter=version.adapter, fault=fault.en)
        return None

    async def _document(self, version: Version) -> bytes | None:
        """The manifest of a version; one that cannot be read is that version's fault and nobody else's."""
        try:
            return await self._store.document(version.digest)
        except StoreError as error:
            _log.error("manifest not read", adapter=version.adapter, fault=described(error))
            raise AdapterError(
                "its manifest cannot be read from the database: it was changed or damaged; register it again",
                "无法从数据库读取其清单：内容被改动或损坏，请重新登记",
            ) from error

    async def _find_gone(self) -> frozenset[int]:
        """Who is gone, by what administrators decided and departments propose: a department's word removes nothing."""
        if not any(each.for_good for each in self._decided):
            return frozenset()
        proposed = [each for each in self.versions if each.state == PROPOSED and not each.number]
        found = [(each, await self._department(each)) for each in (*self._decided, *proposed)]
        return gone_for_good(found) - {source.about.department for source in self._fixed}

    async def _department(self, version: Version) -> int:
        """Whose a version is, by its manifest; 0: it cannot be read.

        Raises:
            StoreError: the database does not answer.
        """
        known = self._departments.get(version.digest)
        if known is None:
            try:
                text = await self._store.document(version.digest)
                known = (await asyncio.to_thread(manifest_of, text or b"", version.adapter)).department
            except StoreError as error:
                if error.retryable:
                    raise
                known = 0
            except AdapterError:
                known = 0
            self._departments[version.digest] = known
        return known

    async def _tell(self, stages: dict[Key, str], before: dict[Key, str]) -> None:
        """Write what changed of how versions stand."""
        at_ms = self._clock.now_ms()
        now = {key: Standing(*key, at_ms, stage) for key, stage in stages.items()}
        now |= {key: Standing(*key, at_ms, "", fault.en, fault.zh) for key, fault in self._faults.items()}
        told = {key: _told(standing) for key, standing in now.items()}
        changed = [key for key in {*told, *before} if told.get(key, "") != before.get(key, "")]
        await self._store.stand([now.get(key) or Standing(*key, at_ms, "") for key in changed])
        self._stages = told

    async def _forget_removed(self) -> None:
        gone = [each for each in self.versions if each.state == REMOVED and each.digest not in self._forgotten]
        if gone:
            await self._sources.settled()
            self._forgotten.update(each.digest for each in gone)
            await asyncio.to_thread(self._forget, gone)


def _told(standing: Standing) -> str:
    """How a version stands, in one text."""
    return standing.stage or (f"!{standing.fault_en}" if standing.fault_en else "")
