"""What is said of numbers that stand in a department's table in another form than they are asked for.

Owns: the words, in both languages, and what to put into the manifest or into the department's view. Refuses: showing a
number, masked or not: the form is what matters.
"""

from __future__ import annotations

from typing import Final

from adapters.errors import SourceFaultError
from adapters.found_again import FoundAgain, Unfound

_STANDING: Final = {
    "not_text": ("as numbers instead of text", "以数值而非文本存放"),
    "trailing_blanks": ("with blanks behind them", "尾部带空格"),
    "legacy_15": ("with 15 digits", "为 15 位旧号码"),
    "lower_x": ("with a small x", "末位为小写 x"),
    "full_width": ("in full-width characters", "为全角字符"),
    "other": (
        "in another way than they are asked for (blanks, marks or small letters within)",
        "写法与查询时不同（夹有空格、符号或小写字母）",
    ),
}


def told_of(sample: FoundAgain) -> list[SourceFaultError]:
    """One error for each form in which numbers of a record set would not be found; or that they are no numbers."""
    if sample.sampled and not sample.numbers:
        return [
            SourceFaultError(
                f"{sample.records}: none of the {sample.sampled} values in its column of numbers can be a document's"
                " number; name the right column under `identity` in the manifest",
                f"{sample.records}：号码列抽查的 {sample.sampled} 个值均不可能是证件号码，"
                "请在清单 identity 中填写正确的列名",
            )
        ]
    return [SourceFaultError(*_texts(sample, unfound)) for unfound in sample.unfound]


def _texts(sample: FoundAgain, unfound: Unfound) -> tuple[str, str]:
    words = [_STANDING[each.value] for each in unfound.standing]
    en = " and ".join(word for word, _ in words)
    zh = "，且".join(word for _, word in words)
    if unfound.forms:
        forms = ", ".join(unfound.forms)
        todo = (
            f"add to `forms` under `identity` in the manifest: {forms}",
            f"请在清单 identity 的 forms 中加入：{forms}",
        )
    else:
        todo = (
            "no form of the manifest asks for that: have the department offer a view, with an index, in which the"
            " number is text of 18 half-width characters with a large X and nothing around it",
            "清单没有对应写法：请部门提供带索引的视图，使号码为 18 位半角文本、末位 X 大写、前后无其他字符",
        )
    return (
        f"{sample.records}: {unfound.count} of {sample.sampled} numbers that stand there would not be found, and their"
        f" people not be known: they stand there {en}; {todo[0]}",
        f"{sample.records}：抽查的 {sample.sampled} 个号码中有 {unfound.count} 个查不到，其人会被当作查无此人："
        f"{zh}；{todo[1]}",
    )
