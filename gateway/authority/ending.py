"""What of the authority only people can see to: what ends soon and does not renew itself (the directory's root, CAs),
and a clock that is behind.

Owns: when that is told, and the words. Refuses: renewing, and the clock.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final

ROOT_TOLD: Final = dt.timedelta(days=60)
"""So long before its end the directory's root is told of, or a sixth of its life before, whichever is later: the
custodians have to come together (our choice, like those below)."""
ISSUING_TOLD: Final = dt.timedelta(days=180)
ANCHOR_TOLD: Final = dt.timedelta(days=400)
"""No certificate outlives the root; a signing certificate lives for so long."""


@dataclass(frozen=True, slots=True)
class Ending:
    """Something that ends soon, or has ended; or is wrong.

    Args:
        en: what, when, and what to do, in English.
        zh: the same in Chinese.
        over: whether it has ended, or is wrong already.
    """

    en: str
    zh: str
    over: bool


def endings(
    now: dt.datetime, root: dt.datetime, root_life: dt.timedelta, issuing: tuple[str, dt.datetime], anchor: dt.datetime
) -> tuple[Ending, ...]:
    """What is to be told now.

    Args:
        now: the time.
        root: when the directory's root ends.
        root_life: for how long one is made.
        issuing: name and end of the CA that issues.
        anchor: when the root of certificates ends.
    """
    name, issuing_end = issuing
    told = (
        (
            root,
            min(ROOT_TOLD, root_life / 6),
            "the root of the directory",
            "no gateway believes the directory from then on and all stop: its custodians renew it with "
            "`wugan authority root rotate`",
            "目录根元数据",
            "届时各网关将不再接受成员目录，业务全部停止；请由根密钥保管人执行 `wugan authority root rotate` 续期",
        ),
        (
            issuing_end,
            ISSUING_TOLD,
            f"the issuing CA {name}",
            "no certificate it issues outlives it: make another with `wugan authority issuing roll`",
            f"签发 CA {name}",
            "其所签证书的有效期均不超过该时间；请执行 `wugan authority issuing roll` 新建签发 CA",
        ),
        (
            anchor,
            ANCHOR_TOLD,
            "the root of certificates",
            "nothing outlives it: found the federation anew before",
            "证书根",
            "所有证书的有效期均不超过该时间；请在此之前重新创建联盟",
        ),
    )
    return tuple(
        _ending(at, at <= now, en, to_do, zh, to_do_zh)
        for at, before, en, to_do, zh, to_do_zh in told
        if at - now < before
    )


def behind(later: dt.datetime) -> Ending:
    """The clock is behind a time that was lived through before."""
    time = later.isoformat(timespec="seconds")
    return Ending(
        f"this machine's clock is behind, or was ahead before: it was {time} already; set it right. What is "
        "published by a clock that is behind has expired at the gateways, and all stop with the directory they hold",
        f"本机时钟偏慢，或此前曾偏快：此前已到 {time}；请校正时钟。时钟偏慢时所发布的目录在各网关看来已过期，"
        "其现有目录到期后业务将停止",
        True,
    )


def _ending(at: dt.datetime, over: bool, en: str, to_do: str, zh: str, to_do_zh: str) -> Ending:
    time = at.isoformat(timespec="seconds")
    verb, verb_zh = ("has ended", "已到期") if over else ("ends", "即将到期")
    return Ending(f"{en} {verb} ({time}); {to_do}", f"{zh}{verb_zh}（{time}）；{to_do_zh}", over)
