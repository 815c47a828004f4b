"""What is wrong with a row that cannot be used: setting of the manifest, English, Chinese, as it stands in quarantine.

Owns: these texts, which both ways of mapping (`adapters.mapping`, `adapters.columnar`) give alike. Refuses: judging.
"""

from __future__ import annotations

from typing import Final

NO_KIND: Final = "evidence: code not in the table / 代码不在对照表中"
NO_DAY: Final = "observed_on: missing / 缺少日期"
NO_DETAIL: Final = "detail: out of range / 超出范围"
NO_PERIOD: Final = "until_on: before from_on / 早于起始日期"
LONG_REFERENCE: Final = "source_reference: too long / 过长"
TELLING_REFERENCE: Final = "source_reference: holds the identity number / 含有身份号码"
LONG_FACE: Final = "face: too long / 过长"
LONG_NAME: Final = "identity.name: too long / 过长"


def unread(setting: str) -> str:
    """That a cell does not read as the setting of the manifest says."""
    if setting.endswith("_on"):
        return f"{setting}: does not read as a date / 无法按所列格式读为日期"
    return f"{setting}: code not in the table / 代码不在对照表中"


def both(number: int, reason: str) -> tuple[str, str]:
    """Where a bad row stands and why it is one, in English and in Chinese."""
    en, _, zh = reason.rpartition(" / ")
    setting, colon, _ = en.partition(": ")
    return f"row {number}: {en}", f"第 {number} 行：{setting + '：' if colon else ''}{zh}"
