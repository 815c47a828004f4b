"""The disk and the database: room, what waits to be written, and whether writing works.

Owns: these facts and figures. Refuses: making room.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from gateway.observing import calls, metrics
from gateway.observing.health import HealthFact, Level
from gateway.vitals.wording import size_of, span_of

CROWDED: Final = 0.5
"""Part of the writer's queue from which on it is said to be crowded."""
HOPELESS: Final = 0.1
"""Part of the free space asked for, below which the gateway is about to refuse."""


class StorageVitals:
    """A `HealthSource`: where the state is kept.

    Args:
        state: folder of the state.
        database: the file, where it is one.
        waiting: writes under way.
        limit: at how many of them more are refused.
        free_bytes: free space below which the disk is called nearly full.
    """

    def __init__(self, state: Path, database: Path, waiting: Callable[[], int], *, limit: int, free_bytes: int) -> None:
        self._state = state
        self._database = database
        self._waiting = waiting
        self._limit = limit
        self._free_bytes = free_bytes

    async def __call__(self, now_ms: int) -> Sequence[HealthFact]:
        """The facts, and the figures with them."""
        free, held = await asyncio.to_thread(self._measure)
        waiting = self._waiting()
        metrics.DISK_FREE.set(free)
        metrics.STORE_BYTES.set(held)
        metrics.STORE_WAITING.set(waiting)
        facts = [*self._written(now_ms), *self._crowded(waiting), *self._room(free)]
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
        held = 0
        for suffix in ("", "-wal"):
            path = self._database.with_name(self._database.name + suffix)
            held += path.stat().st_size if path.exists() else 0
        return shutil.disk_usage(self._state).free, held

    @staticmethod
    def _written(now_ms: int) -> Sequence[HealthFact]:
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
                "Check free space, permissions of the state folder and the disk; the log says “store write failed”.",
                "请检查磁盘空间、状态目录权限及磁盘状况；日志中有“store write failed”。",
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
                f"{waiting} writes wait for the disk; from {self._limit} on questions are refused.",
                f"有 {waiting} 项写入在等待，达到 {self._limit} 项后查询将被拒绝。",
                "The disk is too slow for the load: see wugan_store_commit_seconds; move it to a faster one.",
                "磁盘速度跟不上当前负载：请查看 wugan_store_commit_seconds，并将状态目录移至更快的磁盘。",
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
