"""What an adapter says of itself, and whether it is ready."""

from __future__ import annotations

import re

from adapters.conformance.case import Failed, Noted, Say, case
from adapters.conformance.kit import Kit
from wugan.adapter.v1 import vocabulary_pb2 as words

_DESCRIBE = "adapter.proto: DescribeResponse"
_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_FIRST_REGION, _LAST_REGION = 110_000, 829_999
_MOST_FRESHNESS_DAYS = 3_660
_SMALL_BATCH = 100
_MOST_BATCH = 100_000


@case(
    "description.id",
    Say("It has a stable name and a version", "有稳定的标识和版本号"),
    Say(
        "The name is a-z 0-9 - _ and at most 63 characters, the version at most 64: logs and reports are kept by them.",
        "标识仅含 a-z 0-9 - _，不超过 63 个字符；版本号不超过 64 个字符。日志与报表均按此归集。",
    ),
    _DESCRIBE,
)
async def identity(kit: Kit) -> None:
    """`adapter_id` and `version`."""
    if not _ID.fullmatch(kit.about.adapter_id):
        raise Failed("`adapter_id` has not that form", "adapter_id 格式不符")
    if not 0 < len(kit.about.version.strip()) <= 64:
        raise Failed("`version` is empty or too long", "version 为空或过长")


@case(
    "description.department",
    Say("It names a department of the vocabulary", "部门在词表之内"),
    Say(
        "Two sources count as independent only when their departments differ, so an unknown one counts for nothing.",
        "只有部门不同的来源才算相互独立，未知部门不予计入。",
    ),
    "vocabulary.proto: Department",
)
async def department(kit: Kit) -> None:
    """`department`."""
    if kit.about.department not in set(words.Department.values()) - {0}:
        raise Failed("`department` is none of the vocabulary", "department 不在词表之内")


@case(
    "description.regions",
    Say("It names the regions that it can answer for", "列明可应答的行政区划"),
    Say(
        "At least one six-digit GB/T 2260 code, each once. Without them nobody asks it.",
        "至少一个六位 GB/T 2260 代码，不得重复；缺少则不会被查询。",
    ),
    _DESCRIBE,
)
async def regions(kit: Kit) -> None:
    """`regions`."""
    told = kit.about.regions
    if not told or len(set(told)) != len(told):
        raise Failed("`regions` is empty or names one twice", "regions 为空或有重复")
    if not all(_FIRST_REGION <= region <= _LAST_REGION for region in told):
        raise Failed("`regions` holds what is no code of GB/T 2260", "regions 含非 GB/T 2260 代码")


@case(
    "description.items",
    Say(
        "Its data items are kinds and strengths of the vocabulary, each kind once",
        "数据项的类型与强度均在词表之内且不重复",
    ),
    Say(
        "Evidence of a kind that is not described makes the gateway throw the whole answer away.",
        "未在描述中列出的证据类型会使网关弃用整个应答。",
    ),
    "adapter.proto: DataItem",
)
async def items(kit: Kit) -> None:
    """`items`."""
    told = [item.kind for item in kit.about.items]
    if len(set(told)) != len(told):
        raise Failed("a kind stands there twice", "证据类型重复")
    if not set(told) <= set(words.EvidenceKind.values()) - {0}:
        raise Failed("a kind is none of the vocabulary", "有词表之外的证据类型")
    if not {item.strength for item in kit.about.items} <= set(words.Strength.values()) - {0}:
        raise Failed("a strength is none of the vocabulary", "有词表之外的强度")
    if not all(0 <= item.freshness_days <= _MOST_FRESHNESS_DAYS for item in kit.about.items):
        raise Failed("`freshness_days` is negative or beyond ten years", "freshness_days 为负或超过十年")


@case(
    "description.max_batch",
    Say("It says how many people it takes in one lookup", "说明单次查询的最大人数"),
    Say(
        "From 1 to 100,000. Rosters are asked in batches of thousands: an adapter that takes few makes them slow.",
        "取值 1 至 100,000。名册按数千人一批查询，取值过小会使批量核验变慢。",
    ),
    _DESCRIBE,
)
async def max_batch(kit: Kit) -> None:
    """`max_batch`."""
    told = kit.about.max_batch
    if not 1 <= told <= _MOST_BATCH:
        raise Failed(f"`max_batch` is {told}", f"max_batch 为 {told}")
    if told < _SMALL_BATCH:
        raise Noted(f"it takes only {told} people at once", f"单次仅支持 {told} 人")


@case(
    "description.stable",
    Say("Asked twice, it describes itself in the same way", "两次自我描述一致"),
    Say("What it offers changes with its version and not by itself.", "所提供的内容只随版本改变，不会自行变化。"),
    "adapter.proto: Describe",
)
async def stable(kit: Kit) -> None:
    """`Describe` again, after it was asked about people."""
    await kit.ask(kit.strangers[:1])
    if await kit.described() != kit.about:
        raise Failed("the second description differs from the first", "第二次描述与第一次不同")


@case(
    "description.check",
    Say("It is ready, and still so when asked again", "就绪检查通过，再次检查仍通过"),
    Say(
        "`Check` is asked by monitoring every few seconds: it must be cheap, and leave nothing behind.",
        "监控每隔数秒检查一次就绪状态：检查应开销小且不留残余。",
    ),
    "adapter.proto: Check",
)
async def check(kit: Kit) -> None:
    """`Check`, twice."""
    for _ in range(2):
        await kit.within(kit.adapter.check(), kit.bounds.deadline_s)
