"""What a remote adapter says that it offers, read from the wire and held against what was agreed with its department.

Owns: the bounds of a description, and the rule that an adapter offers at least what was agreed: a kind of evidence that
the gateway counts on and nobody looks up would be silence taken for good news. What it offers beyond that is not used.
Refuses: asking.
"""

from __future__ import annotations

import re
from typing import Final

from adapters.contract import DataItem, Description
from adapters.errors import SourceFaultError
from wugan.adapter.v1 import adapter_pb2
from wugan.adapter.v1 import vocabulary_pb2 as words

MAX_BATCH: Final = 100_000
"""People in one lookup at most, whatever an adapter says."""
_MAX_REGIONS: Final = 500
_MAX_ITEMS: Final = 500
_MAX_DAYS: Final = 3660
_ID: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_KINDS: Final = frozenset(words.EvidenceKind.values()) - {0}
_STRENGTHS: Final = frozenset(words.Strength.values()) - {0}
_DEPARTMENTS: Final = frozenset(words.Department.values()) - {0}


def description_of(message: adapter_pb2.DescribeResponse, name: str) -> Description:
    """A description that came over the wire. Items of a kind that is not known here are left out.

    Args:
        message: as it came.
        name: of the adapter, for the error.

    Raises:
        SourceFaultError: it is outside of every bound of the contract.
    """
    if not _ID.fullmatch(message.adapter_id):
        raise _fault(name, "its id is not of the form a-z 0-9 - _", "标识格式不正确")
    if not 1 <= len(message.version) <= 64:
        raise _fault(name, "its version is empty or longer than 64 characters", "版本为空或超过 64 个字符")
    if message.department not in _DEPARTMENTS:
        raise _fault(name, "its department is none of the contract", "部门不在约定范围内")
    if not 1 <= len(message.regions) <= _MAX_REGIONS or not all(110_000 <= each < 830_000 for each in message.regions):
        raise _fault(name, "its regions are none, too many, or no GB/T 2260 codes", "行政区划缺失、过多或代码无效")
    if len(message.items) > _MAX_ITEMS:
        raise _fault(name, "it describes too many items", "数据项过多")
    if not message.max_batch:
        raise _fault(name, "it takes batches of nobody: max_batch is 0", "max_batch 为 0")
    items = {
        item.kind: DataItem(item.kind, item.strength, min(item.freshness_days, _MAX_DAYS))
        for item in message.items
        if item.kind in _KINDS and item.strength in _STRENGTHS
    }
    return Description(
        adapter_id=message.adapter_id,
        version=message.version,
        department=message.department,
        regions=tuple(message.regions),
        items=tuple(items[kind] for kind in sorted(items)),
        links=message.links,
        max_batch=min(message.max_batch, MAX_BATCH),
        changes=message.changes,
    )


def message_of(about: Description) -> adapter_pb2.DescribeResponse:
    """A description in wire form."""
    return adapter_pb2.DescribeResponse(
        adapter_id=about.adapter_id,
        version=about.version,
        department=words.Department.ValueType(about.department),
        regions=about.regions,
        items=[
            adapter_pb2.DataItem(
                kind=words.EvidenceKind.ValueType(item.kind),
                strength=words.Strength.ValueType(item.strength),
                freshness_days=item.freshness_days,
            )
            for item in about.items
        ],
        links=about.links,
        max_batch=about.max_batch,
        changes=about.changes,
    )


def disagreement(agreed: Description, offered: Description) -> SourceFaultError | None:
    """What an adapter does not offer of what was agreed, as an error; None: it offers all of it."""
    name = agreed.adapter_id
    listed = ", ".join(sorted(_word(kind) for kind in agreed.kinds - offered.kinds))
    uncovered = [region for region in agreed.regions if not any(_covers(wide, region) for wide in offered.regions)]
    problems = (
        (offered.adapter_id != name, "another adapter answers there", "该地址应答的是另一个接入程序"),
        (offered.department != agreed.department, "it is another department's", "属于另一个部门"),
        (bool(listed), f"it does not offer what was agreed: {listed}", f"未提供约定的数据项：{listed}"),
        (bool(uncovered), "it does not answer for a region that was agreed", "不覆盖约定的行政区划"),
        (agreed.links and not offered.links, "it offers no links, which were agreed", "未提供约定的号码关联"),
        (agreed.changes and not offered.changes, "it does not tell of changes, as was agreed", "未提供约定的变更"),
    )
    return next((_fault(name, en, zh) for wrong, en, zh in problems if wrong), None)


def _covers(wide: int, region: int) -> bool:
    """Whether a region is another or lies in it: a province ends in 0000, a prefecture in 00."""
    size = 10_000 if wide % 10_000 == 0 else 100 if wide % 100 == 0 else 1
    return wide // size == region // size


def _word(kind: int) -> str:
    return words.EvidenceKind.Name(words.EvidenceKind.ValueType(kind)).removeprefix("EVIDENCE_KIND_")


def _fault(name: str, en: str, zh: str) -> SourceFaultError:
    return SourceFaultError(f"{name}: {en}", f"{name}：{zh}")
