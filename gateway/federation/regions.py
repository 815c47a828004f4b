"""Administrative divisions (行政区划, GB/T 2260), as far as routing needs them.

Owns: the codes and names of the province level, and what a code of the lower levels looks like. Refuses: knowing every
prefecture and county. Those change several times a year and a member may serve one that a list of ours does not have
yet, so any well-formed code under a known province is taken.

A code has six digits: two for the province, two for the prefecture, two for the county. 330000 is Zhejiang, 330700
Jinhua, 330702 Wucheng district of Jinhua.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final


@dataclass(frozen=True, slots=True)
class Province:
    """A division of the province level.

    Args:
        code: GB/T 2260, e.g. 330000.
        zh: Chinese name in its usual short form, e.g. "浙江".
        en: English name, e.g. "Zhejiang".
    """

    code: int
    zh: str
    en: str


_PROVINCES: Final = (
    Province(110000, "北京", "Beijing"),
    Province(120000, "天津", "Tianjin"),
    Province(130000, "河北", "Hebei"),
    Province(140000, "山西", "Shanxi"),
    Province(150000, "内蒙古", "Inner Mongolia"),
    Province(210000, "辽宁", "Liaoning"),
    Province(220000, "吉林", "Jilin"),
    Province(230000, "黑龙江", "Heilongjiang"),
    Province(310000, "上海", "Shanghai"),
    Province(320000, "江苏", "Jiangsu"),
    Province(330000, "浙江", "Zhejiang"),
    Province(340000, "安徽", "Anhui"),
    Province(350000, "福建", "Fujian"),
    Province(360000, "江西", "Jiangxi"),
    Province(370000, "山东", "Shandong"),
    Province(410000, "河南", "Henan"),
    Province(420000, "湖北", "Hubei"),
    Province(430000, "湖南", "Hunan"),
    Province(440000, "广东", "Guangdong"),
    Province(450000, "广西", "Guangxi"),
    Province(460000, "海南", "Hainan"),
    Province(500000, "重庆", "Chongqing"),
    Province(510000, "四川", "Sichuan"),
    Province(520000, "贵州", "Guizhou"),
    Province(530000, "云南", "Yunnan"),
    Province(540000, "西藏", "Tibet"),
    Province(610000, "陕西", "Shaanxi"),
    Province(620000, "甘肃", "Gansu"),
    Province(630000, "青海", "Qinghai"),
    Province(640000, "宁夏", "Ningxia"),
    Province(650000, "新疆", "Xinjiang"),
    Province(710000, "台湾", "Taiwan"),
    Province(810000, "香港", "Hong Kong"),
    Province(820000, "澳门", "Macao"),
)

PROVINCES: Final = {province.code: province for province in _PROVINCES}
"""Every division of the province level, by code."""


def province_of(code: int) -> Province | None:
    """The province a region lies in, or None where the code is not one of GB/T 2260."""
    if not is_region(code):
        return None
    return PROVINCES[code // 10_000 * 10_000]


def is_region(code: int) -> bool:
    """Whether a number is a code of GB/T 2260: a known province, and no county without a prefecture."""
    if code // 10_000 * 10_000 not in PROVINCES:
        return False
    return code // 100 % 100 != 0 or code % 100 == 0


@lru_cache(maxsize=4096)  # every question asks it, of few regions
def enclosing(code: int) -> tuple[int, ...]:
    """A region and those that enclose it, from the narrowest: 330702, 330700, 330000. Empty for an unknown one."""
    if not is_region(code):
        return ()
    return tuple(dict.fromkeys((code, code // 100 * 100, code // 10_000 * 10_000)))


def lies_within(code: int, region: int) -> bool:
    """Whether one region is another or a part of it."""
    return region in enclosing(code)
