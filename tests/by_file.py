"""Which process of a run does which tests, under `--dist loadfile`: those of a file are together, in one process.

What a file's tests share, two gateways for most of those in tests/integration, is made once, and not by each process
that steals some of them. So is what files share that are named here.
"""

from __future__ import annotations

from xdist.scheduler import LoadFileScheduling

TOGETHER = ("tests/integration/test_operations_",)
"""Beginnings of files that share something large: two provinces, enrolled."""


class ByFile(LoadFileScheduling):
    """By file, but for those that belong together."""

    def _split_scope(self, nodeid: str) -> str:
        return next((each for each in TOGETHER if nodeid.startswith(each)), super()._split_scope(nodeid))
