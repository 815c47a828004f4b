"""Departments that answer and yet are behind: files that do not come or were rejected, changes that cannot be read.

Owns: a fact for each. Nobody would notice otherwise: answers come, from what was taken in before, and notices do not.
Refuses: knowing how lookups do (`peers`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from gateway.inquiry.asking import Departments
from gateway.inquiry.following import Behind
from gateway.observing.health import HealthFact, Level
from gateway.vitals.wording import department_of, span_of

TRIES: Final = 3
"""Changes that could not be read so often in a row are told of."""
MOST: Final = 20
"""Facts at most of either sort; a page with more is not read."""


class SourceVitals:
    """A `HealthSource`: what departments hold and cannot bring up to date, and whose changes cannot be read.

    Args:
        departments: those asked at the moment.
        behind: those whose changes cannot be read, by adapter.
    """

    def __init__(self, departments: Departments, behind: Callable[[], Mapping[str, Behind]]) -> None:
        self._departments = departments
        self._behind = behind

    async def __call__(self, now_ms: int) -> Sequence[HealthFact]:
        """The facts."""
        names = {about.adapter_id: department_of(about) for about in self._departments.descriptions}
        facts = []
        for name, error in sorted(self._departments.troubles.items())[:MOST]:
            if name in names:
                en, zh = names[name]
                facts.append(
                    HealthFact(
                        f"department/{name}/source",
                        Level.ATTENTION,
                        f"The department {en} is answered for from what came before: {error.en}.",
                        f"部门“{zh}”目前依据此前收到的数据答复：{error.zh}。",
                        "Look at it with wugan adapter check and its manifest, then call the department.",
                        "请用 wugan adapter check 检查其清单，并联系该部门。",
                    )
                )
        behind_now = sorted(self._behind().items())
        late = [(name, behind) for name, behind in behind_now if behind.tries >= TRIES and not behind.own]
        for name, behind in late[:MOST]:
            if name in names:
                en, zh = names[name]
                span_en, span_zh = span_of((now_ms - behind.since_ms) / 1000)
                facts.append(
                    HealthFact(
                        f"department/{name}/changes",
                        Level.ATTENTION,
                        f"Changes at the department {en} have not been read for {span_en}: {behind.en}. Other "
                        "provinces are not told of them meanwhile.",
                        f"部门“{zh}”的变动信息已 {span_zh}未能读取：{behind.zh}。其间不会向其他省份发送变动通知。",
                        "Look at it with wugan adapter check and its manifest, then call the department; what changed "
                        "is read once it can be, and nothing is lost.",
                        "请用 wugan adapter check 检查其清单，并联系该部门；恢复后自动补读，不会遗漏。",
                        behind.since_ms,
                    )
                )
        return facts
