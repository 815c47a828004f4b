"""The columns of a roster: which there are, and under which names files have them.

Owns: the fields, and the names in Chinese and English that stand for them. Refuses: what may stand in a cell
(`validating`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final

from gateway.errors import RefusedError

ID_NUMBER: Final = "id_number"
NAME: Final = "name"
BENEFIT: Final = "benefit"

ALIASES: Final[dict[str, tuple[str, ...]]] = {
    ID_NUMBER: (
        *("证件号码", "证件号", "身份证号", "身份证号码", "公民身份号码", "公民身份证号", "社会保障号码", "社会保障号"),
        *("身份证", "居民身份证号", "居民身份证号码", "id number", "id", "identity number", "id card", "number"),
    ),
    NAME: ("姓名", "人员姓名", "领取人姓名", "待遇领取人", "待遇领取人姓名", "full name", "person name"),
    "document_kind": ("证件类型", "证件种类", "证件类别", "document", "document type", "kind of document"),
    "old_id_numbers": (
        "曾用号码",
        "曾用证件号码",
        "原证件号码",
        "旧证件号码",
        "旧身份证号",
        "old id",
        "old ids",
        "old numbers",
    ),
    BENEFIT: ("险种", "待遇类型", "待遇种类", "险种类型", "待遇项目", "benefit type", "type of benefit"),
    "residence_region": (
        *("居住地", "居住地行政区划", "居住地行政区划代码", "居住地区划", "居住地代码", "现居住地", "居住地区"),
        *("常住地", "常住地行政区划代码", "region", "regions", "residence", "residence regions"),
    ),
    "insured_region": (
        "参保地",
        "参保地行政区划",
        "参保地行政区划代码",
        "参保地代码",
        "参保地区",
        "insured",
        "place of insurance",
    ),
    "household_region": (
        *(
            "户籍地",
            "户籍地行政区划",
            "户籍地行政区划代码",
            "户籍地代码",
            "户口所在地",
            "household",
            "registered region",
        ),
    ),
    "past_regions": (
        "曾居住地",
        "曾居住地行政区划代码",
        "原居住地",
        "past residence",
        "past residences",
        "earlier regions",
    ),
    "reference": ("人员编号", "个人编号", "业务编号", "编号", "reference number", "person id", "personal number"),
    "unit": ("经办机构", "经办机构代码", "发放机构", "所属机构", "agency", "paying unit"),
    "grid_unit": ("网格", "社区网格", "所属网格", "网格编号", "村社区", "社区", "村（社区）", "grid", "community"),
    "monthly": (
        *("月待遇", "月待遇金额", "月待遇标准", "待遇标准", "月发放金额", "月养老金", "月领取金额", "待遇金额"),
        *("monthly amount", "monthly yuan", "amount"),
    ),
    "monthly_fen": ("月待遇（分）", "月待遇金额（分）", "monthly amount fen", "monthly cents"),
    "last_paid_on": (
        "最近发放月份",
        "最后发放月份",
        "末次发放月份",
        "已发放至",
        "发放至",
        "最近发放年月",
        "last paid",
        "paid until",
    ),
    "account": ("个人账户余额", "账户余额", "个人账户储存额", "account balance", "personal account"),
    "account_fen": ("个人账户余额（分）", "账户余额（分）", "account balance fen"),
    "entitled_since_on": (
        *("待遇开始日期", "待遇享受开始日期", "享受待遇起始日期", "待遇起始日期", "领取起始年月", "待遇开始年月"),
        *("entitled since", "benefit since", "since"),
    ),
}
"""Field → names by which it is found beside its own, whatever their blanks, brackets and letters' case."""
REQUIRED: Final = (ID_NUMBER, NAME)
MAX_COLUMNS: Final = 200


def key_of(name: str) -> str:
    """What two spellings of a column's name share, whatever their width, case, blanks, underscores and stars."""
    text = unicodedata.normalize("NFKC", name).casefold()
    return re.sub(r"[\s_\-*:：]+", "", text).removeprefix("\ufeff")


_FIELD_OF: Final[dict[str, str]] = {
    key_of(name): field for field, aliases in ALIASES.items() for name in (field, *aliases)
}


def match(header: Sequence[str], given: Mapping[str, str]) -> dict[str, int]:
    """Which column of a file has which field.

    Args:
        header: names of the file's columns.
        given: field → name in the file, where the agency says so; others are found by their usual names.

    Returns:
        Field → position in the file. Columns of no field are left out.

    Raises:
        RefusedError: too many columns, a field is in none or in two, or one that was given is not there.
    """
    if len(header) > MAX_COLUMNS:
        raise _wrong(f"more than {MAX_COLUMNS} columns", f"列数超过 {MAX_COLUMNS}")
    found: dict[str, int] = {}
    by_key = [key_of(name) for name in header]
    for field, name in given.items():
        if field not in ALIASES:
            known = ", ".join(ALIASES)
            raise _wrong(f"there is no field {field!r}; fields are {known}", f"没有字段 {field!r}；可用字段：{known}")
        places = [at for at, key in enumerate(by_key) if key == key_of(name)]
        if len(places) != 1:
            raise _wrong(f"the file has no column {name!r}, or several", f"文件中没有“{name}”列，或有多列重名")
        found[field] = places[0]
    taken = set(found.values())
    for at, key in enumerate(by_key):
        known_field = _FIELD_OF.get(key)
        if known_field is None or at in taken or known_field in given:
            continue
        if known_field in found:
            raise _wrong(
                f"columns {header[found[known_field]]!r} and {header[at]!r} both mean {known_field}; name one of them",
                f"“{header[found[known_field]]}”与“{header[at]}”两列含义相同（{known_field}），请指定其中一列",
            )
        found[known_field] = at
    for field in REQUIRED:
        if field not in found:
            usual = ALIASES[field][0]
            raise _wrong(
                f"no column has the {field}; call it {usual!r} or {field!r}, or say which one it is",
                f"缺少“{usual}”列，请在表头中使用该名称，或指定对应的列",
            )
    return found


def _wrong(en: str, zh: str) -> RefusedError:
    return RefusedError(f"the roster's columns: {en}", f"名册列有误：{zh}", field="columns")
