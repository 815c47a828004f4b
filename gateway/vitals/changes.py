"""Changed people of whom those who pay them could not be told for long: how many, since when, and why.

Owns: this fact and its figure, counted at most every 15 s because counting reads the table. Refuses: looking at them
again (`gateway.inquiry.noticing` does, once a day), and knowing who they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from gateway.errors import DirectoryError, StoreError
from gateway.federation.directory import DirectorySource
from gateway.inquiry.holdups import HoldUp
from gateway.observing import metrics
from gateway.observing.health import HealthFact, Level
from gateway.store.changes import Changes, Overdue
from gateway.vitals.patience import Patient
from gateway.vitals.wording import span_of

EVERY_MS: Final = 15_000
NAMED: Final = 2
"""Members named at most."""
REASONS: Final = 4
"""Reasons told at most, those of most people first."""
_WHY: Final = {
    0: ("not looked at yet", "尚未核对"),
    HoldUp.DEPARTMENTS: ("departments do not answer", "部门未答复"),
    HoldUp.OUT_OF_USE: (
        "departments that told earlier news are not in use, so that it cannot be taken back; one that does not come "
        "back is removed by `wugan adapter remove --for-good`",
        "此前通知所依据的部门已停用，无法确认通知是否撤回；若不再接入，请执行 `wugan adapter remove --for-good`",
    ),
    HoldUp.LINKS: (
        "departments that know which numbers belong together do not answer",
        "掌握号码关联关系的部门未答复",
    ),
    HoldUp.POLICY: ("the access policy cannot be read", "授权策略无法读取"),
    HoldUp.GRANT: ("no grant allows the member to be told", "没有允许通知该成员的授权"),
    HoldUp.QUOTA: ("the grant's quota is used up, or an alarm stands", "授权额度已用完，或有告警未解除"),
    HoldUp.OUTBOX: ("too much waits to be sent to the member", "发往该成员的待发消息过多"),
    HoldUp.DIRECTORY: ("the member is not in the directory in force", "该成员不在有效的成员目录中"),
    HoldUp.FAULT: ("a fault of this gateway; the log has it", "本网关内部故障，详见日志"),
}
_UNREAD: Final = HealthFact(
    "changes",
    Level.ATTENTION,
    "Changed people of whom nobody could be told yet could not be counted: the database did not answer.",
    "未能统计尚未通知的变动人员：数据库没有应答。",
    "Counting goes on by itself once the database answers; nothing is lost. See the other lines of this page.",
    "数据库恢复应答后自动统计，不会遗漏；请先查看本页其他各项。",
)


class ChangeVitals:
    """A `HealthSource`: who waits for longer than they should.

    Args:
        changes: those who wait.
        directory: tells members' names.
        overdue_days: after which it is told.
    """

    def __init__(self, changes: Changes, directory: DirectorySource, *, overdue_days: float) -> None:
        self._changes = changes
        self._directory = directory
        self._days = overdue_days
        self._now_ms = 0
        self._read = Patient(self._look)
        self._read_at_ms = -EVERY_MS
        self._overdue: Sequence[Overdue] = ()

    async def __call__(self, now_ms: int) -> Sequence[HealthFact]:
        """The fact, if there is one, and the figure."""
        if not 0 <= now_ms - self._read_at_ms < EVERY_MS:
            self._now_ms = now_ms
            try:
                await self._read()
            except (StoreError, TimeoutError):
                return [_UNREAD]
            self._read_at_ms = now_ms
        return [self._fact(now_ms)] if self._overdue else []

    async def _look(self) -> None:
        """Read the table."""
        self._overdue = await self._changes.overdue(self._now_ms - round(self._days * 86_400_000))
        metrics.CHANGES_OVERDUE.set(sum(each.people for each in self._overdue))

    def _fact(self, now_ms: int) -> HealthFact:
        since_ms = min(each.since_ms for each in self._overdue)
        for_en, for_zh = span_of((now_ms - since_ms) / 1000)
        whom_en, whom_zh = self._whom()
        why_en, why_zh = _reasons(self._overdue)
        return HealthFact(
            "changes/overdue",
            Level.ATTENTION,
            f"Something changed about {whom_en}, and could not be told for more than {self._days:g} days, the first "
            f"for {for_en}: {why_en}.",
            f"{whom_zh}的变动超过 {self._days:g} 天仍未能通知，最早一项已等待 {for_zh}：{why_zh}。",
            "Mend what is named here; other lines of this page say more. They are looked at once a day and told of as "
            "soon as it can be; nothing is lost while the subscription is in force.",
            "请排除上述原因，本页其他各项有详情；系统每天核对一次，可以通知时自动通知，订阅有效期内不会遗漏。",
            since_ms,
        )

    def _whom(self) -> tuple[str, str]:
        """How many people, and who pays them as far as it is known, English and Chinese."""
        members = sorted({member for each in self._overdue for member in each.members})
        paid = sum(each.people for each in self._overdue if each.members)
        others = sum(each.people for each in self._overdue if not each.members)
        en, zh = [], []
        if paid:
            pays = "1 member pays" if len(members) == 1 else f"{len(members)} members pay"
            names_en, names_zh = zip(*(self._name(member) for member in members[:NAMED]), strict=True)
            more_en, more_zh = (" and others", "等") if len(members) > NAMED else ("", "")
            en.append(f"{_people(paid)} whom {pays} ({', '.join(names_en)}{more_en})")
            zh.append(f"{paid} 人（由 {len(members)} 个成员支付：{'、'.join(names_zh)}{more_zh}）")
        if others:
            en.append(f"{_people(others)} of whom it is not known yet whether any member pays them")
            zh.append(f"{others} 人（尚不知是否有成员为其支付）")
        return " and ".join(en), "和 ".join(zh)

    def _name(self, member: str) -> tuple[str, str]:
        try:
            known = {each.member_id: (each.name_en, each.name_zh) for each in self._directory.current().members}
        except DirectoryError:
            known = {}
        return known.get(member, (member, member))


def _people(count: int) -> str:
    return "1 person" if count == 1 else f"{count} people"


def _reasons(overdue: Iterable[Overdue]) -> tuple[str, str]:
    """What holds them up and of how many, English and Chinese."""
    counts: dict[int, int] = {}
    for each in overdue:
        for why in [int(bit) for bit in HoldUp if each.why & bit] or [0]:
            counts[why] = counts.get(why, 0) + each.people
    told = sorted(counts.items(), key=lambda counted: (-counted[1], counted[0]))[:REASONS]
    en = "; ".join(f"{_WHY[why][0]} ({count})" for why, count in told)
    zh = "；".join(f"{_WHY[why][1]}（{count} 人）" for why, count in told)
    return en, zh
