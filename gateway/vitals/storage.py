"""The disk and the database: room, what waits to be written, and whether writing works.

Owns: these facts and figures. Refuses: making room.
"""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from gateway.aside import Aside
from gateway.errors import StoreError
from gateway.observing import calls, metrics
from gateway.observing.health import HealthFact, Level
from gateway.vitals.patience import Patient
from gateway.vitals.wording import size_of, span_of

CROWDED: Final = 0.5
"""Part of the writer's queue from which on it is said to be crowded."""
HOPELESS: Final = 0.1
"""Part of the free space asked for, below which the gateway is about to refuse."""

SILENT_S: Final = 5.0
"""Seconds without an answer from which on a database on a server is said not to be reached."""

MEMORY_MS: Final = 600_000
"""Ids of questions are kept for less than this after they came: whatever is refused for longer is out of order."""

_LOOK_AT_DISK: Final = (
    "Check free space, permissions of the state folder and the disk; the log says “store write failed”.",
    "请检查磁盘空间、状态目录权限及磁盘状况；日志中有“store write failed”。",
)
_LOOK_AT_SERVER: Final = (
    "Check the PostgreSQL server, its disk and the network to it; the log says “store write failed” and why.",
    "请检查 PostgreSQL 服务器及其磁盘、网络；日志中有“store write failed”及原因。",
)
_SLOW_DISK: Final = (
    "The disk is too slow for the load: see wugan_store_commit_seconds; move it to a faster one.",
    "磁盘速度跟不上当前负载：请查看 wugan_store_commit_seconds，并将状态目录移至更快的磁盘。",
)
_SLOW_SERVER: Final = (
    "PostgreSQL, or the way to it, is too slow for the load: see wugan_store_commit_seconds.",
    "PostgreSQL 或其网络速度跟不上当前负载：请查看 wugan_store_commit_seconds。",
)


class StorageVitals:
    """A `HealthSource`: where the state is kept.

    Args:
        state: folder of the state.
        database: the file; None: it is on a server.
        waiting: writes under way.
        limit: at how many of them more are refused.
        free_bytes: free space below which the disk is called nearly full.
        size: bytes of the database on its server; raises StoreError.
        closed_until: questions that end before this Unix millisecond are refused, for their ids may be forgotten.
    """

    def __init__(
        self,
        state: Path,
        database: Path | None,
        waiting: Callable[[], int],
        *,
        limit: int,
        free_bytes: int,
        size: Callable[[], Awaitable[int]],
        closed_until: Callable[[], int] = lambda: 0,
    ) -> None:
        self._state = state
        self._database = database
        self._waiting = waiting
        self._limit = limit
        self._free_bytes = free_bytes
        self._size = Patient(size)
        self._closed_until = closed_until
        # Not one of the threads that all share: those may all hang in a database that stands still.
        self._disk = Aside()

    async def __call__(self, now_ms: int) -> Sequence[HealthFact]:
        """The facts, and the figures with them."""
        free, held = await self._disk.do(self._measure)
        waiting = self._waiting()
        metrics.DISK_FREE.set(free)
        away: list[HealthFact] = []
        if self._database is None:
            try:
                held = await self._size()
            except StoreError as error:
                away.append(_away(error.en, error.zh))
            except TimeoutError:
                if (silent_s := self._size.waited_s()) >= SILENT_S:
                    en, zh = span_of(silent_s)
                    away.append(_away(f"it has not answered for {en}", f"已 {zh}没有应答"))
        metrics.STORE_BYTES.set(held)
        metrics.STORE_WAITING.set(waiting)
        facts = [*away, *self._written(now_ms), *self._crowded(waiting), *self._room(free), *self._closed(now_ms)]
        return facts or [
            HealthFact(
                "store",
                Level.WELL,
                f"The database is written without failures; {size_of(free)} of the disk are free.",
                f"数据库写入正常，磁盘剩余空间 {size_of(free)}。",
            )
        ]

    def _measure(self) -> tuple[int, int]:
        """Free bytes, and those of the database with its write-ahead log."""
        held, database = 0, self._database
        if database is not None:
            for path in (database, database.with_name(f"{database.name}-wal")):
                held += path.stat().st_size if path.exists() else 0
        return shutil.disk_usage(self._state).free, held

    def _written(self, now_ms: int) -> Sequence[HealthFact]:
        since = calls.STORE.failing_since
        if since is None:
            return []
        ago_s = calls.now() - since
        en, zh = span_of(ago_s)
        return [
            HealthFact(
                "store/writing",
                Level.FAILING,
                f"The database could not be written for {en}; questions are refused, because nothing is unrecorded.",
                f"数据库已 {zh}无法写入；因无法留存记录，查询均被拒绝。",
                *(_LOOK_AT_SERVER if self._database is None else _LOOK_AT_DISK),
                now_ms - round(ago_s * 1000),
            )
        ]

    def _crowded(self, waiting: int) -> Sequence[HealthFact]:
        if waiting < self._limit * CROWDED:
            return []
        return [
            HealthFact(
                "store/queue",
                Level.ATTENTION,
                f"{waiting} writes wait; from {self._limit} on questions are refused.",
                f"有 {waiting} 项写入在等待，达到 {self._limit} 项后查询将被拒绝。",
                *(_SLOW_SERVER if self._database is None else _SLOW_DISK),
            )
        ]

    def _room(self, free: int) -> Sequence[HealthFact]:
        if free >= self._free_bytes:
            return []
        level = Level.FAILING if free < self._free_bytes * HOPELESS else Level.ATTENTION
        return [
            HealthFact(
                "disk",
                level,
                f"The state folder's disk is nearly full: {size_of(free)} are left. Once full, nothing is answered.",
                f"状态目录所在磁盘即将写满，仅剩 {size_of(free)}；写满后将无法答复任何查询。",
                "Make room, or move the state folder; old backups and logs first.",
                "请清理空间或迁移状态目录，可先清理旧备份与日志。",
            )
        ]

    def _closed(self, now_ms: int) -> Sequence[HealthFact]:
        left_ms = self._closed_until() - now_ms
        if left_ms <= MEMORY_MS:
            return []
        en, zh = span_of(left_ms / 1000)
        return [
            HealthFact(
                "store/closed",
                Level.FAILING,
                f"Questions are refused as expired for {en} more: by a clock that was ahead for long, ids of questions "
                "were forgotten that would be accepted a second time.",
                f"还有 {zh}，其间收到的查询均按过期拒绝：本机时钟曾长时间超前，部分查询编号已被清除，重放将无法识别。",
                "Keep the clock right by NTP; a new store opens the door sooner, after the encryption key was renewed "
                "(docs/operations/gateway.md, “The clock was ahead”).",
                "请确保 NTP 对时正确；如需提前恢复，请先更新加密密钥，再启用新的存储"
                "（见 docs/operations/gateway.md “The clock was ahead”）。",
            )
        ]


def _away(en: str, zh: str) -> HealthFact:
    return HealthFact(
        "store/away",
        Level.FAILING,
        f"The database is not reached: {en}.",
        f"无法使用数据库：{zh}。",
        "Questions are refused until it is back; nothing that was accepted is lost, and nothing has to be restarted.",
        "恢复前查询均被拒绝；已受理的内容不会丢失，恢复后无需重启网关。",
    )
