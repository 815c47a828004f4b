"""The directory and own keys: how long they still hold, and what the health page says when it is not long.

Owns: these facts and figures. Refuses: looking for a directory and renewing keys (`federation` does).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from certs.errors import CertsError
from certs.slot_journal import KINDS, Generation, Kind
from certs.slots import KeySlots
from gateway.aside import Aside
from gateway.errors import DirectoryError
from gateway.federation.directory import Directory, DirectorySource
from gateway.federation.own_standing import Objection
from gateway.observing import metrics
from gateway.observing.health import HealthFact, Level
from gateway.vitals.wording import span_of

OVERDUE: Final = 0.85
"""Part of a key's life after which it should have been renewed (`rotation.at_life` and `jitter` come before)."""
DAY_MS: Final = 86_400_000
_NAMES: Final[dict[Kind, tuple[str, str]]] = {
    "tls": ("TLS certificate", "TLS 证书"),
    "signing": ("message-signing certificate", "消息签名证书"),
    "encryption": ("encryption key", "加密密钥"),
}


class DirectoryVitals:
    """A `HealthSource`: the directory in force.

    Args:
        source: gives it.
        left_s: seconds before its expiry from which that is told.
    """

    def __init__(self, source: DirectorySource, left_s: float) -> None:
        self._source = source
        self._left_s = left_s
        self._last: Directory | None = None

    async def __call__(self, now_ms: int) -> Sequence[HealthFact]:
        """The facts, and the figures with them."""
        try:
            self._last = self._source.current()
        except DirectoryError as error:
            held = self._last
            if held is not None:
                self._show(held, now_ms)
            return [
                HealthFact(
                    "directory",
                    Level.FAILING,
                    f"There is no federation directory in force, so every question is refused: {error.en}.",
                    f"没有有效的联盟成员目录，所有查询均被拒绝：{error.zh}。",
                    "Check the way to the authority, and [directory] source; the log says why none was taken.",
                    "请检查与联盟管理机构的网络连接及 [directory] source 设置；日志中有未能取得目录的原因。",
                    0 if held is None else held.expires_at_ms,
                )
            ]
        held = self._last
        self._show(held, now_ms)
        left_s = (held.expires_at_ms - now_ms) / 1000
        en, zh = span_of(left_s)
        if left_s < self._left_s:
            return [
                HealthFact(
                    "directory",
                    Level.ATTENTION,
                    f"The federation directory expires in {en} and was not renewed; then every question is refused.",
                    f"联盟成员目录将在 {zh}后过期且未能更新，届时所有查询都会被拒绝。",
                    "Check whether the federation's authority is reached; tell its administrator.",
                    "请检查能否连接联盟管理机构，并联系其管理员。",
                )
            ]
        count = len(held.members)
        return [
            HealthFact(
                "directory",
                Level.WELL,
                f"The federation directory is in force: version {held.version}, {count} members, for {en} still.",
                f"联盟成员目录有效：版本 {held.version}，成员 {count} 个，剩余有效期 {zh}。",
            )
        ]

    @staticmethod
    def _show(held: Directory, now_ms: int) -> None:
        metrics.DIRECTORY_VERSION.set(held.version)
        metrics.DIRECTORY_AGE.set((now_ms - held.issued_at_ms) / 1000)
        metrics.DIRECTORY_LEFT.set((held.expires_at_ms - now_ms) / 1000)
        metrics.DIRECTORY_MEMBERS.set(len(held.members))


def _refused(objection: Objection) -> HealthFact:
    en, zh = _NAMES[objection.kind]
    do_en, do_zh = objection.remedy
    return HealthFact(
        f"key/refused/{objection.kind}",
        Level.FAILING,
        f"Partners refuse the {en} in use: {objection.en}.",
        f"其他成员将拒绝在用的{zh}：{objection.zh}。",
        f"{do_en[0].upper()}{do_en[1:]}.",
        f"{do_zh}。",
    )


def _unsigned(error: CertsError) -> HealthFact:
    return HealthFact(
        "key/unsigned",
        Level.FAILING,
        f"Nothing can be signed, so nothing is asked or answered: {error.en}.",
        f"无法签名，因此既不能查询也不能答复：{error.zh}。",
        "Plug the hardware token in: it is used again by itself. If it is not within a minute, do what the error says, "
        "then restart the gateway; if the token is lost: docs/operations/rotate.md.",
        "请接入密码设备，接入后自动恢复；一分钟内未恢复的，请按错误提示处理后重启网关；"
        "若设备丢失，见 docs/operations/rotate.md。",
    )


def _left_in_token(names: Sequence[str]) -> HealthFact:
    which = ", ".join(names)
    return HealthFact(
        "key/token",
        Level.ATTENTION,
        f"Keys that are to be no more are still in the hardware token: {which}.",
        f"应销毁的密钥仍在密码设备中：{which}。",
        "Make the hardware token available and restart the gateway; if it is lost: docs/operations/rotate.md.",
        "请恢复密码设备后重启网关；若设备丢失，见 docs/operations/rotate.md。",
    )


class KeyVitals:
    """A `HealthSource`: own keys and certificates.

    Args:
        slots: where they are kept.
        renewed: whether an authority is configured that renews them.
        refused: what the directory in force holds against those in use.
        unsigned: why the last message could not be signed; None: it was.
    """

    def __init__(
        self,
        slots: KeySlots,
        *,
        renewed: bool,
        refused: Callable[[], Sequence[Objection]] = lambda: (),
        unsigned: Callable[[], CertsError | None] = lambda: None,
    ) -> None:
        self._unsigned = unsigned
        self._slots = slots
        self._renewed = renewed
        self._refused = refused
        # Not one of the threads that all share: those may all hang in a database that stands still.
        self._disk = Aside()

    async def __call__(self, now_ms: int) -> Sequence[HealthFact]:
        """The facts, and the figures with them."""
        facts = [_refused(each) for each in await self._disk.do(self._refused)]
        if (error := self._unsigned()) is not None:
            facts.append(_unsigned(error))
        soonest = float("inf")
        journal = self._slots.journal
        if left := journal.left_in_token():
            facts.append(_left_in_token([each.name for each in left]))
        for kind in KINDS:
            held = journal.current(kind)
            if held is None:
                continue
            left_ms = held.not_after_ms - now_ms
            soonest = min(soonest, left_ms)
            metrics.KEY_LEFT.set(left_ms / DAY_MS, kind)
            life_ms = held.not_after_ms - held.not_before_ms
            if left_ms <= life_ms * (1 - OVERDUE):
                facts.append(self._overdue(kind, held, left_ms))
        if not facts and soonest != float("inf"):
            en, zh = span_of(soonest / 1000)
            facts.append(
                HealthFact(
                    "keys",
                    Level.WELL,
                    f"Own keys and certificates are in force; the first expires in {en}.",
                    f"本方密钥与证书有效，最早一项将在 {zh}后到期。",
                )
            )
        return facts

    def _overdue(self, kind: Kind, held: Generation, left_ms: int) -> HealthFact:
        en, zh = _NAMES[kind]
        left_en, left_zh = span_of(abs(left_ms) / 1000)
        do_en, do_zh = (
            (
                "Look for “rotation failed” in the log, then: wugan certs rotate.",
                "请查看日志中的“rotation failed”，然后执行 wugan certs rotate。",
            )
            if self._renewed
            else (
                "No authority is configured, so nothing renews it: enrol anew, or set [authority].",
                "未配置管理机构，密钥不会自动更新：请重新登记，或设置 [authority]。",
            )
        )
        if left_ms <= 0:
            said = f"The {en} expired {left_en} ago; partners refuse it.", f"{zh}已过期 {left_zh}，其他成员将拒绝。"
            return HealthFact(f"key/{kind}", Level.FAILING, *said, do_en, do_zh, held.not_after_ms)
        said = f"The {en} expires in {left_en} and was not renewed.", f"{zh}将在 {left_zh}后到期，尚未更新。"
        return HealthFact(f"key/{kind}", Level.ATTENTION, *said, do_en, do_zh)
