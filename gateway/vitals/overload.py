"""Own overload: that callers were refused because there is too much to do here.

Owns: this fact. Refuses: counting refusals (`gateway.observing.refusals`), and refusing.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.observing.health import HealthFact, Level
from gateway.observing.refusals import CALLS, STREAMS, WINDOW_S, Refusals
from gateway.vitals.wording import span_of


class OverloadVitals:
    """A `HealthSource`: what was refused lately.

    Args:
        refusals: tells it.
    """

    def __init__(self, refusals: Refusals) -> None:
        self._refusals = refusals

    async def __call__(self, now_ms: int) -> Sequence[HealthFact]:
        """The fact, while it is not over."""
        refused = self._refusals.lately()
        if refused is None:
            return []
        calls, streams = refused.counts.get(CALLS, 0), refused.counts.get(STREAMS, 0)
        en = [f"single calls: {calls}"] * (calls > 0) + [f"calls that stay open: {streams}"] * (streams > 0)
        zh = [f"单次调用 {calls} 次"] * (calls > 0) + [f"长连接调用 {streams} 次"] * (streams > 0)
        window_en, window_zh = span_of(WINDOW_S)
        return [
            HealthFact(
                "overload",
                Level.ATTENTION,
                f"This gateway has too much to do. Refused in the last {window_en}: {', '.join(en)}.",
                f"本网关过载，近 {window_zh}已拒绝{'、'.join(zh)}。",
                "Whoever was refused is told when to come back. Have batches asked at other times, or give the gateway "
                "more processors; see docs/partners.md, “When there is too much to do”.",
                "被拒绝方已获知何时重试。请错峰提交批量查询，或为网关增加处理器"
                "（见 docs/partners.md “When there is too much to do”）。",
                now_ms - round(refused.for_s * 1000),
            )
        ]
