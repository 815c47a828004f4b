"""Registered adapters that are to be asked and cannot be: for who looks at the gateway.

Owns: a fact for each of them. Refuses: knowing how those do that are asked (`peers`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from gateway.observing.health import HealthFact, Level

MOST: Final = 20
"""Facts at most; a page with more is not read."""


class AdapterVitals:
    """A `HealthSource`: versions that could not be built.

    Args:
        faults: why, English and Chinese, by the adapter's name.
    """

    def __init__(self, faults: Callable[[], Mapping[str, tuple[str, str]]]) -> None:
        self._faults = faults

    async def __call__(self, now_ms: int) -> Sequence[HealthFact]:
        """The facts."""
        return [
            HealthFact(
                f"adapter/{name}",
                Level.ATTENTION,
                f"The registered adapter {name} is not in use: {en}",
                f"已登记的接入 {name} 未能启用：{zh}",
                "Mend what it says, or register another version; it is tried again every minute: wugan adapter show.",
                "请按提示修正，或登记新版本；系统每分钟自动重试，可用 wugan adapter show 查看。",
            )
            for name, (en, zh) in sorted(self._faults().items())[:MOST]
        ]
