"""Outbox and inbox: how much waits for whom, since when, and what is dead.

Owns: these facts and figures, counted at most every 15 s because counting reads the tables. Refuses: sending, retrying
and dropping (`wugan outbox`, `wugan inbox`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from gateway.errors import DirectoryError, EnvelopeError, StoreError
from gateway.federation.directory import DirectorySource
from gateway.observing import metrics
from gateway.observing.health import HealthFact, Level
from gateway.store.inbox import DEAD, OPEN, InboxTable
from gateway.store.outbox import Backlog, OutboxTable, Trouble
from gateway.vitals.patience import Patient
from gateway.vitals.peers import IN_A_ROW, why
from gateway.vitals.wording import span_of
from gateway.wording import refusal_name
from wugan.federation.v1 import vocabulary_pb2 as words

EVERY_MS: Final = 15_000
OLD_MS: Final = 3_600_000
"""A letter that waits longer than this is told of."""
_LATE: Final = (
    "Ask its administrator what holds up its gateway, or who keeps the network on the way.",
    "请向对方管理员核实其网关为何没有响应，并检查途中网络。",
)
"""What to do where an envelope is not receipted in time: departments and agencies have nothing to do with it."""
_Why = tuple[str, str, str, str]
"""Why nothing is delivered and what to do about it, English and Chinese each."""
_GONE: Final = (
    "it is not in the federation directory any more",
    "成员目录中已没有该成员",
    "If it left the federation, its letters are given up when their time is over, and can be dropped then; if it is to "
    "be a member, ask the authority.",
    "若其已退出联盟，待发消息到期后即停止投递，届时可删除；若其应为成员，请联系联盟管理机构。",
)
"""Nobody was asked: there is no key to seal for, nor an address."""
_NO_KEY: Final = (
    "the directory names no encryption key in force for it",
    "成员目录中没有其有效的加密密钥",
    "Its administrator has to renew its keys: wugan certs status there.",
    "请对方管理员更新其密钥（在对方执行 wugan certs status）。",
)


_UNREAD: Final = HealthFact(
    "letters",
    Level.ATTENTION,
    "What waits in outbox and inbox could not be counted: the database did not answer.",
    "未能统计待发与待处理的消息：数据库没有应答。",
    "It is counted again by itself once the database answers; nothing is lost. See the other lines of this page.",
    "数据库恢复应答后自动统计，消息不会丢失；请先查看本页其他各项。",
)


class LetterVitals:
    """A `HealthSource`: what is left with partners, and what they left here.

    Args:
        outbox: what waits to be sent.
        inbox: what was accepted.
        directory: tells partners' names.
    """

    def __init__(self, outbox: OutboxTable, inbox: InboxTable, directory: DirectorySource) -> None:
        self._outbox = outbox
        self._inbox = inbox
        self._directory = directory
        self._read = Patient(self._look)
        self._read_at_ms = -EVERY_MS
        self._backlog: Sequence[Backlog] = ()
        self._troubles: Mapping[str, Trouble] = {}
        self.undelivered: frozenset[str] = frozenset()
        """Partners for whom letters wait and to whom nothing could be delivered of late."""
        self._shown: set[str] = set()
        self._dead_here = 0

    async def __call__(self, now_ms: int) -> Sequence[HealthFact]:
        """The facts, and the figures with them."""
        if not 0 <= now_ms - self._read_at_ms < EVERY_MS:
            try:
                await self._read()
            except (StoreError, TimeoutError):
                return [_UNREAD]
            self._read_at_ms = now_ms
        self._show(now_ms)
        names = self._names()
        failing = {partner: trouble for partner, trouble in self._troubles.items() if trouble.failures >= IN_A_ROW}
        if not names:  # nothing can be sealed without a directory in force: that is told, and no partner's fault
            failing = {}
        self.undelivered = frozenset(failing)
        facts = [
            fact
            for each in self._backlog
            for fact in _facts(
                each, names.get(each.partner), failing.get(each.partner), self._nobody(each.partner, now_ms), now_ms
            )
        ]
        if self._dead_here:
            facts.append(
                HealthFact(
                    "inbox",
                    Level.ATTENTION,
                    f"Deliveries of partners that could not be dealt with and were given up: {self._dead_here}.",
                    f"有 {self._dead_here} 件其他成员留置于此的消息未能处理，已停止。",
                    "See which and why: wugan inbox list --state dead; then retry or drop them.",
                    "请用 wugan inbox list --state dead 查看原因，再重试（retry）或删除（drop）。",
                )
            )
        return facts

    async def _look(self) -> None:
        """Read the tables."""
        self._backlog = await self._outbox.backlog()
        waited_for = {each.partner for each in self._backlog if each.waiting}
        troubles = await self._outbox.troubles()
        # One for whom nothing waits is not tried, so what was noted of it says nothing of today.
        self._troubles = {partner: trouble for partner, trouble in troubles.items() if partner in waited_for}
        counts = await self._inbox.counts()
        self._dead_here = counts.get(DEAD, 0)
        metrics.INBOX.set(sum(counts.get(state, 0) for state in OPEN), "open")
        metrics.INBOX.set(self._dead_here, "dead")

    def _show(self, now_ms: int) -> None:
        """The figures; those of a partner for whom nothing is left go."""
        there = {each.partner for each in self._backlog}
        for partner in self._shown - there:
            for state in ("waiting", "dead"):
                metrics.OUTBOX.drop(partner, state)
            metrics.OUTBOX_OLDEST.drop(partner)
            metrics.OUTBOX_FAILING.drop(partner)
        self._shown = there
        for each in self._backlog:
            metrics.OUTBOX.set(each.waiting, each.partner, "waiting")
            metrics.OUTBOX.set(each.dead, each.partner, "dead")
            metrics.OUTBOX_OLDEST.set((now_ms - each.oldest_ms) / 1000 if each.oldest_ms else 0, each.partner)
            trouble = self._troubles.get(each.partner)
            failing_ms = 0 if trouble is None else max(0, now_ms - trouble.failing_since_ms)
            metrics.OUTBOX_FAILING.set(failing_ms / 1000, each.partner)

    def _nobody(self, partner: str, now_ms: int) -> _Why | None:
        """Why nothing can so much as be sealed for a partner, by the directory of the moment; None: it can."""
        try:
            directory = self._directory.current()
            directory.encryption_key(partner, now_ms)
        except EnvelopeError:
            return _NO_KEY if partner in directory.member_ids() else _GONE
        except DirectoryError:
            return None
        return None

    def _names(self) -> dict[str, tuple[str, str]]:
        try:
            return {each.member_id: (each.name_en, each.name_zh) for each in self._directory.current().members}
        except DirectoryError:
            return {}


def _facts(
    each: Backlog, names: tuple[str, str] | None, trouble: Trouble | None, nobody: _Why | None, now_ms: int
) -> list[HealthFact]:
    en, zh = names or (each.partner, each.partner)
    facts = []
    if trouble is not None:
        facts.append(_undelivered(each, en, zh, trouble, nobody, now_ms))
    elif each.oldest_ms and now_ms - each.oldest_ms > OLD_MS:
        for_en, for_zh = span_of((now_ms - each.oldest_ms) / 1000)
        facts.append(
            HealthFact(
                f"outbox/{each.partner}",
                Level.ATTENTION,
                f"Letters that wait for {en}: {each.waiting}, the oldest for {for_en}.",
                f"有 {each.waiting} 件待发往{zh}，最早一件已等待 {for_zh}。",
                "They are sent by themselves once it can be reached; see: wugan outbox list.",
                "对方恢复连接后自动发送；可用 wugan outbox list 查看。",
                each.oldest_ms,
            )
        )
    if each.dead:
        facts.append(
            HealthFact(
                f"outbox-dead/{each.partner}",
                Level.ATTENTION,
                f"Letters to {en} given up: {each.dead}.",
                f"有 {each.dead} 件发往{zh}的消息已停止投递。",
                "See which and why: wugan outbox list --state dead; then retry or drop them.",
                "请用 wugan outbox list --state dead 查看原因，再重试（retry）或删除（drop）。",
            )
        )
    return facts


def _undelivered(each: Backlog, en: str, zh: str, trouble: Trouble, nobody: _Why | None, now_ms: int) -> HealthFact:
    because_en, because_zh, do_en, do_zh = nobody or why(refusal_name(trouble.reason))
    if nobody is None and trouble.reason == words.REFUSAL_REASON_DEADLINE_EXCEEDED:
        do_en, do_zh = _LATE
    then = "They are sent by themselves once it can be reached", "恢复后自动发送"
    if nobody is _GONE:
        then = "They are sent by themselves once it is listed again", "重新列入目录后自动发送"
    failing_en, failing_zh = span_of((now_ms - trouble.failing_since_ms) / 1000)
    oldest_en, oldest_zh = span_of((now_ms - each.oldest_ms) / 1000)
    return HealthFact(
        f"outbox/{each.partner}",
        Level.ATTENTION,
        f"Nothing could be delivered to {en} for {failing_en} ({trouble.failures} failures): {because_en}. "
        f"Letters that wait: {each.waiting}, the oldest for {oldest_en}.",
        f"已 {failing_zh}无法向{zh}投递（连续失败 {trouble.failures} 次）：{because_zh}。"
        f"有 {each.waiting} 件待发，最早一件已等待 {oldest_zh}。",
        f"{do_en} {then[0]}; see: wugan outbox list.",
        f"{do_zh}{then[1]}；可用 wugan outbox list 查看。",
        trouble.failing_since_ms,
    )
