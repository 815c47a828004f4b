"""What an event of the audit trail means, in words: the decision as it is written down, read out in both languages.

Owns: the forms in which decisions are written (by `gateway.inquiry.access` and the others that record), and what each
says. Refuses: guessing: a decision in no known form is explained by the outcome alone, and always shown as recorded.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from gateway import wording
from gateway.access import people
from gateway.store.audit import AuditEvent, Direction
from gateway.wording import Word

KINDS: Final[dict[Direction, Word]] = {
    "in": Word("来询", "asked of us"),
    "out": Word("去询", "asked by us"),
    "act": Word("管理操作", "administration"),
    "alarm": Word("告警", "alarm"),
    "again": Word("答复再用", "given again"),
}
_QUOTAS: Final = {
    "day": Word("当日", "today"),
    "day_alone": Word("当日一人所设各授权合计", "today under all grants that one person made"),
    "official_day": Word("该经办人当日", "for this official today"),
    "minute": Word("一分钟内", "in the minute"),
    "second": Word("一秒内", "in the second"),
}
_LEFT: Final = re.compile(r", (-?\d+) left of (\w+)")
_LEFTS: Final = r"(?P<left>(?:, -?\d+ left of \w+)*)"
_POLICY: Final = r"(?:; policy (?P<policy>\d+))?"
_BOTH: Final = re.compile(r"(?P<told>.*) \[(?P<why>.*)\]", re.S)

Said = Callable[[re.Match[str]], Word]


def _quota(name: str) -> Word:
    return _QUOTAS.get(name) or Word(name, name)


def _people(count: str) -> str:
    return f"{count} {'person' if count == '1' else 'people'}"


def _left(found: re.Match[str]) -> Word:
    each = [(count, _quota(name)) for count, name in _LEFT.findall(found["left"] or "")]
    return Word(
        "".join(f"，{quota.zh}尚余 {count} 人" for count, quota in each),
        "".join(f"; {_people(count)} left {quota.en}" for count, quota in each),
    )


def _allowed(found: re.Match[str]) -> Word:
    left = _left(found)
    return Word(
        f"由授权 {found['grant']} 准许，计 {found['people']} 人{left.zh}",
        f"grant {found['grant']} allows it; counted: {_people(found['people'])}{left.en}",
    )


def _full(found: re.Match[str]) -> Word:
    left, quota = _left(found), _quota(found["quota"])
    return Word(
        f"授权 {found['grant']} 的额度（{quota.zh}）不足以查询 {found['people']} 人{left.zh}",
        f"the quota of grant {found['grant']} ({quota.en}) has no room for {_people(found['people'])}{left.en}",
    )


def _used_up(found: re.Match[str]) -> Word:
    quota = _quota(found["quota"])
    return Word(
        f"授权 {found['grant']} 的额度（{quota.zh}）已同时被其他查询用完",
        f"the quota of grant {found['grant']} ({quota.en}) was used up by other questions at the same time",
    )


def signal_words(name: str, seen: object, allowed: object) -> Word:
    """What raised an alarm, e.g. "numbers in sequence (20 seen, 19 allowed)"."""
    signal = wording.signal(name)
    return Word(f"{signal.zh}（发现 {seen}，允许 {allowed}）", f"{signal.en} ({seen} seen, {allowed} allowed)")


def _alarm(found: re.Match[str]) -> Word:
    signal = signal_words(found["signal"], found["seen"], found["allowed"])
    return Word(
        f"疑似批量套取：{signal.zh}；安全审计员解除前限流",
        f"this looks like harvesting: {signal.en}; throttled until an audit administrator clears it",
    )


def _act(found: re.Match[str]) -> Word:
    what = people.ACTS[found["act"]]
    return Word(f"{what[1]}（有本人签名）", f"{what[0]}, under the person's own signature")


def _plainly(zh: str, en: str) -> Said:
    def said(found: re.Match[str]) -> Word:
        named = {name: text or "" for name, text in found.groupdict().items()}
        return Word(zh.format(**named), en.format(**named))

    return said


_FORMS: Final[tuple[tuple[re.Pattern[str], Said], ...]] = tuple(
    (re.compile(form), said)
    for form, said in (
        (
            rf"(?P<grant>g\d+): (?P<people>\d+) people, counted before{_POLICY}",
            _plainly(
                "由授权 {grant} 准许；同一查询的 {people} 人此前已计入额度，不重复计数",
                "grant {grant} allows it; it is a question that came before, counted then",
            ),
        ),
        (rf"(?P<grant>g\d+): (?P<people>\d+) people{_LEFTS}{_POLICY}", _allowed),
        (rf"(?P<grant>g\d+): quota (?P<quota>\w+) has no room for (?P<people>\d+) people{_LEFTS}{_POLICY}", _full),
        (r"(?P<grant>g\d+): quota (?P<quota>\w+) was used up elsewhere", _used_up),
        (
            r"(?P<grant>g\d+): looks like harvesting, an alarm was raised",
            _plainly(
                "授权 {grant} 准许，但疑似批量套取，已告警", "grant {grant} allows it, but it looks like harvesting"
            ),
        ),
        (
            rf"throttled: a harvesting alarm stands{_POLICY}",
            _plainly("批量套取告警未解除，限流中", "held back: an alarm of harvesting stands"),
        ),
        (rf"no grant{_POLICY}", _plainly("没有适用的授权", "no grant in force allows it")),
        (rf"no grant for all regions{_POLICY}", _plainly("没有不限地区的授权", "no grant covers all regions")),
        (
            rf"stopped: an alarm of matching stands{_POLICY}",
            _plainly("名册比对告警未解除，停止比对", "an alarm of comparing rosters stands, so nothing is compared"),
        ),
        (
            r"the access policy cannot be read; everything is refused",
            _plainly("授权策略无法读取，一律拒绝", "the access policy could not be read, so everything was refused"),
        ),
        (
            r"looks like harvesting: (?P<signal>[\w-]+), (?P<seen>\d+) seen, (?P<allowed>\d+) allowed; throttled",
            _alarm,
        ),
        (rf"(?P<act>{'|'.join(map(re.escape, people.ACTS))}); signature [0-9a-f]+(?:; .*)?", _act),
        (
            r"adapter\.(?P<word>[\w-]+) by the department; version (?P<version>.+)",
            _plainly(
                "部门对其接入程序的操作：{word}，版本 {version}",
                "the department's own word on its adapter: {word}, {version}",
            ),
        ),
        (
            r"(?P<where>outbox|inbox): dead delivery dropped: (?P<reason>.*)",
            _plainly(
                "操作员删除了已停止的投递（{where}），理由：{reason}",
                "an operator dropped a dead delivery ({where}), because: {reason}",
            ),
        ),
        (
            r"outbox: delivery to a member that left dropped: (?P<reason>.*)",
            _plainly(
                "操作员删除了等待已退出联盟成员的投递，理由：{reason}",
                "an operator dropped a delivery to a member that has left the federation, because: {reason}",
            ),
        ),
        (r"left", _plainly("留置查询，待对方处理", "the question was left with the other member")),
        (r"late answer", _plainly("迟到答复（最终）", "a late answer, the last one")),
        (r"late answer, not the last", _plainly("迟到答复（尚有后续）", "a late answer; another may follow")),
        (r"given again without asking", _plainly("未再询问，重复使用先前答复", "an earlier answer was given again")),
        (
            r"shown as outdated: the member could not be reached",
            _plainly("对方无法连接，出示先前答复并标明已过时", "an earlier answer was shown, marked as outdated"),
        ),
        (
            r"not answered; asked in another message",
            _plainly("此消息未获答复，已另行发送", "this message was not answered; the question went in another one"),
        ),
        (r"given up by the agency", _plainly("经办机构已放弃等待", "the agency gave up waiting")),
        (r"subscribed to notices", _plainly("订阅变更通知", "notices were subscribed to")),
        (r"subscriptions to notices ended", _plainly("终止变更通知订阅", "subscriptions to notices were ended")),
        (
            r"no such subscription any more",
            _plainly("收到通知，但订阅已不存在", "a notice for no subscription any more"),
        ),
        (r"notice (?P<number>\d+) received", _plainly("收到第 {number} 次变更通知", "notice {number} was received")),
        (r"notice (?P<number>\d+)", _plainly("发出第 {number} 次变更通知", "notice {number} was sent")),
        (r"nothing to tell", _plainly("已核查，无变更可通知", "departments were asked; there was nothing to tell")),
        (
            r"not whole: looked at again later",
            _plainly("部分部门未答复，稍后再查", "some departments were silent; they are asked again later"),
        ),
    )
)
"""Forms that a decision is written in, or the part of it in brackets; the first that fits counts."""


def kind(event: AuditEvent) -> Word:
    """What kind of event it is."""
    return KINDS[event.direction]


def outcome(event: AuditEvent) -> Word:
    """What came of it, short."""
    if event.outcome:
        refusal = wording.word(wording.REFUSALS, event.outcome)
        return Word(f"拒绝：{refusal.zh}", f"refused: {refusal.en}")
    if event.direction in ("act", "alarm"):
        return Word("已记录", "recorded")
    return Word("已答复", "answered")


def explained(event: AuditEvent) -> Word:
    """The decision in words. The outcome alone, where it was written in no form that is known."""
    parts = [outcome(event)] if event.outcome or event.direction in ("in", "out", "again") else []
    both = _BOTH.fullmatch(event.decision)
    for text in both.groups() if both else (event.decision,):
        said = _read(text)
        if said is not None:
            parts.append(said)
    policy = re.search(r"; policy (\d+)\]?$", event.decision)
    if policy is not None:
        parts.append(Word(f"依据第 {policy[1]} 项操作后的授权策略", f"by the policy as of act {policy[1]}"))
    if not parts:
        parts = [outcome(event)]
    return Word("；".join(part.zh for part in parts) + "。", "; ".join(part.en for part in parts) + ".")


def is_known(decision: str) -> bool:
    """Whether a decision, or the part of it in brackets, is in a known form."""
    both = _BOTH.fullmatch(decision)
    return _read(both["why"] if both else decision) is not None


def _read(text: str) -> Word | None:
    for form, said in _FORMS:
        found = form.fullmatch(text)
        if found is not None:
            return said(found)
    return None
