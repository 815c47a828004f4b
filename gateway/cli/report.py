"""An answer as a person wants to read it: status first, then why, then the evidence on a time line.

Owns: the layout on a terminal and the JSON form. Refuses: deciding anything; every word of judgement is the answer's.
"""

from __future__ import annotations

import base64
import datetime as dt
from collections import Counter

from google.protobuf import json_format
from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from gateway import wording
from gateway.cli.access_common import moment
from gateway.cli.language import chinese, plain, say
from gateway.cli.tables import lines_of, listing
from gateway.wording import Word, word
from wugan.agency.v1 import agency_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

_COLOURS = {
    words.SURVIVAL_STATUS_ALIVE_STRONG: "green",
    words.SURVIVAL_STATUS_ALIVE_MEDIUM: "green",
    words.SURVIVAL_STATUS_ALIVE_WEAK: "yellow",
    words.SURVIVAL_STATUS_DECEASED: "red",
    words.SURVIVAL_STATUS_DECEASED_SUSPECTED: "magenta",
    words.SURVIVAL_STATUS_MISSING: "magenta",
    words.SURVIVAL_STATUS_CONFLICT: "bright_red",
    words.SURVIVAL_STATUS_UNKNOWN: "bright_black",
}
_EVENTS_FROM = 100
"""Evidence kinds from here on are events; see EvidenceKind."""
_NARROW = 76
"""Columns below which the time line has four columns only, and the rest of each row below its evidence."""
_ROOMY = 100
"""Columns from which there is room between the columns of the time line."""
_FRAME = 4
"""Columns that the frame takes."""
_NOBODY_KNOWS = "UNKNOWN_PERSON"
_NOBODY_ANSWERED = "NOBODY_ANSWERED"


def named(table: dict[int, Word], number: int) -> str:
    """The word for a number in the user's language."""
    found = word(table, number)
    return found.zh if chinese() else found.en


def as_json(response: agency_pb2.CheckResponse) -> dict[str, object]:
    """The answer as the contract's own JSON mapping, digests in hexadecimal."""
    answer: dict[str, object] = json_format.MessageToDict(
        response, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    provinces = answer["answers"]
    for province in provinces if isinstance(provinces, list) else []:
        province["rules_digest"] = base64.b64decode(province["rules_digest"]).hex()
    return answer


def _status(response: agency_pb2.CheckResponse) -> str:
    """The status in words. Where no department of any province answered, nobody said that the person is not known."""
    if not response.status:
        return say("not answered yet", "尚无答复")
    told = {reason.name for reason in response.reasons}
    if response.status == words.SURVIVAL_STATUS_UNKNOWN and _NOBODY_ANSWERED in told and _NOBODY_KNOWS not in told:
        return say("nobody answered", "无部门答复")
    return named(wording.STATUSES, response.status)


def show(console: Console, response: agency_pb2.CheckResponse, *, title: str = "", note: str = "") -> None:
    """Print one answer."""
    colour = _COLOURS.get(response.status, "white")
    head = Text()
    unanswered = not response.status
    head.append(_status(response), style=f"bold {colour}")
    for flag in response.flags:
        head.append("  ")
        head.append(f" {named(wording.FLAGS, flag)} ", style="reverse")
    if not unanswered:
        head.append("   → ")
        head.append(named(wording.PROPOSALS, response.proposal), style="bold")
    if response.effective_month:
        head.append(say(f" from {response.effective_month}", f"（自 {response.effective_month} 起）"))
    parts: list[Text | Table] = [head]
    if note:
        noted = _broken(note, console.width - _FRAME)
        noted.stylize("italic bright_black")
        parts.append(noted)
    parts.append(_facts(response))
    if response.stale:
        parts.append(_outdated(response, console.width - _FRAME))
    known = response.status != words.SURVIVAL_STATUS_UNKNOWN
    for reason in response.reasons:
        if known and reason.name in (_NOBODY_KNOWS, _NOBODY_ANSWERED):
            continue  # one of several provinces, which says so in its own line below
        parts.append(_broken("• " + plain(reason.zh if chinese() else reason.en), console.width - _FRAME))
    if response.evidence:
        parts.append(_timeline(response, console.width))
    if _is_incomplete(response):
        parts.append(
            Text(
                say(
                    "Incomplete: a source did not answer. What it knows is missing here, be it traces or a death.",
                    "信息不完整：有数据来源未答复，其掌握的活动轨迹或死亡记录未计入。",
                ),
                style="yellow",
            )
        )
    if response.from_cache and not response.stale:
        parts.append(_earlier(response))
    parts.append(_sources(response))
    if any(answer.HasField("pending_until") for answer in response.answers):
        ticket = response.late_ticket.hex()
        parts.append(
            Text(
                say(
                    f"Left open under a ticket: wugan late show {ticket} --config …",
                    f"已留置，查看：wugan late show {ticket} --config …",
                ),
                style="cyan",
            )
        )
    console.print(Panel(Group(*parts), title=title or None, title_align="left", border_style=colour))


def _earlier(response: agency_pb2.CheckResponse) -> Text:
    """That answers were given before, and how long ago the oldest was."""
    ago = _ago(response.age_ms // 60_000)
    return Text(
        say(f"Answered before, {ago}; ask anew with --fresh.", f"使用{ago}已取得的答复；如需重新查询请加 --fresh。"),
        style="bright_black",
    )


def _outdated(response: agency_pb2.CheckResponse, width: int) -> Text:
    """Whose answers are outdated, of when the oldest is, and what to do about it."""
    stale = [answer for answer in response.answers if answer.stale]
    names = say(", ", "、").join(plain(say(answer.member_name_en, answer.member_name_zh)) for answer in stale)
    ago = _ago(response.age_ms // 60_000)
    made = min((answer.made_at.ToMilliseconds() for answer in stale), default=0)
    at = moment(made)[:16]
    left = any(answer.HasField("pending_until") for answer in stale)
    told = say(
        f"Outdated: no answer from {names} now. What was answered {ago} ({at}) is shown; what changed since is not. ",
        f"过期答复：{names}目前未能答复，以下为其{ago}（{at}）的答复，此后的变化未计入。",
    )
    told += (
        say("Its new answer comes late.", "新答复到达后可查看。")
        if left
        else say("Ask again later.", "请稍后重新查询。")
    )
    text = _broken(told, width)
    text.stylize("bold yellow")
    return text


def _is_incomplete(response: agency_pb2.CheckResponse) -> bool:
    """Whether what somebody knows is missing; not where all there is to say is that an answer is outdated."""
    if not response.partial or not response.stale:
        return response.partial
    silent = any(source.outcome != words.SOURCE_OUTCOME_ANSWERED for source in response.sources)
    return silent or any(answer.refusal for answer in response.answers)


def _ago(minutes: int) -> str:
    if not minutes:
        return say("less than a minute ago", "不到 1 分钟前")
    return say(f"{minutes} min ago", f" {minutes} 分钟前") if minutes < 120 else _hours(minutes // 60)


def _hours(hours: int) -> str:
    return say(f"{hours} h ago", f" {hours} 小时前")


def _facts(response: agency_pb2.CheckResponse) -> Text:
    facts = [(say("as of", "截至"), response.as_of)]
    if response.benefit_since:
        facts.append((say("benefit since", "待遇开始"), plain(response.benefit_since)))
    if response.decided_on:
        facts.append((say("decided by an event of", "依据事件日期"), response.decided_on))
    if response.last_trace_on:
        facts.append((say("newest trace", "最近活动"), response.last_trace_on))
    if response.valid_until:
        facts.append((say("rely on it until", "有效至"), response.valid_until))
    if response.linked_id_numbers:
        facts.append((say("further numbers", "关联号码"), plain(", ".join(response.linked_id_numbers))))
    return Text("   ".join(f"{name} {value}" for name, value in facts), style="bright_black")


def _broken(text: str, width: int) -> Text:
    """A sentence of ours or of another party in lines; the library breaks English, but takes Chinese for one word."""
    return Text("\n".join(lines_of(text, max(width, 20))) if chinese() else text)


def _timeline(response: agency_pb2.CheckResponse, width: int) -> Table:
    narrow = width < _NARROW
    headings = [say("date", "日期"), "", say("evidence", "证据"), say("department", "部门")]
    rest = [say("strength", "强度"), say("region", "地区"), say("known since", "入库日期")]
    table = listing(*headings) if narrow else listing(*headings, *rest)
    table.columns[0].no_wrap = table.columns[1].no_wrap = True
    if not narrow:
        strength, region, since = table.columns[4:]
        region.no_wrap = True
        if not chinese():  # room for the longest words of the others in 80 columns
            strength.max_width, since.width = 9, 10
            if width < _ROOMY:
                table.padding = (0, 1, 0, 0)
    for row in response.evidence:
        event = row.kind >= _EVENTS_FROM
        kind = named(wording.KINDS, row.kind)
        if row.from_on or row.until_on:
            kind += f" {row.from_on}–{row.until_on}"
        cells = [named(wording.STRENGTHS, row.strength), str(row.region or ""), row.available_on]
        if narrow:
            cells[2] = cells[2] and say(f"known since {cells[2]}", f"入库 {cells[2]}")
            kind, cells = "\n".join([kind, "  ".join(cell for cell in cells if cell)]), []
        table.add_row(
            row.observed_on,
            "◆" if event else "·",
            kind,
            named(wording.DEPARTMENTS, row.department),
            *cells,
            style="bold" if event else "",
        )
    return table


def _sources(response: agency_pb2.CheckResponse) -> Text:
    line = Text(style="bright_black")
    names = {
        answer.member_id: (answer.member_name_zh if chinese() else answer.member_name_en) for answer in response.answers
    }
    for answer in response.answers:
        line.append(plain(names[answer.member_id]) + say(": ", "："))
        if answer.refusal:
            line.append(plain(answer.message_zh if chinese() else answer.message_en), style="yellow")
        else:
            if len(response.answers) > 1 and answer.status:
                line.append(named(wording.STATUSES, answer.status) + say(", ", "，"))
            line.append(say("signed answer", "已签名答复"))
            line.append(plain(say(f", rules {answer.rules_version}", f"，规则 {answer.rules_version}")))
        if answer.late:
            line.append(say(", came late", "，迟到答复"))
        if answer.HasField("pending_until"):
            until = answer.pending_until.ToDatetime(dt.timezone(dt.timedelta(hours=8))).strftime("%Y-%m-%d %H:%M")
            words_of_it = f", left with it until {until}, no need to ask again", f"，留置至 {until}，无需重新查询"
            line.append(say(*words_of_it), style="cyan")
        _add_whether_earlier(line, answer)
        if answer.linked_unasked and (why := plain(say(answer.message_en, answer.message_zh))):
            line.append(say(f", {why}", f"，{why}"), style="bold yellow")
        if answer.followed:
            line.append(say(", asked because the person moved there", "，因已迁往该省而查询"))
        asked = [source for source in response.sources if source.member_id == answer.member_id]
        adapters = Counter(source.department for source in asked)
        for source in asked:
            well = source.outcome == words.SOURCE_OUTCOME_ANSWERED
            line.append(" ")
            line.append("✓" if well else "✗", style="green" if well else "bold yellow")
            line.append(named(wording.DEPARTMENTS, source.department))
            if adapters[source.department] > 1 and source.adapter_id:
                line.append(plain(say(f" ({source.adapter_id})", f"（{source.adapter_id}）")))
            if not well:
                outcome = named(wording.OUTCOMES, source.outcome)
                line.append(say(f" ({outcome})", f"（{outcome}）"), style="yellow")
        line.append("\n")
    line.rstrip()
    return line


def _add_whether_earlier(line: Text, answer: agency_pb2.ProvinceAnswer) -> None:
    """That a province's answer was given before; of one that is outdated, why there is no newer one."""
    if answer.stale:
        line.append(say(", outdated", "，过期答复"), style="bold yellow")
        if why := plain(say(answer.message_en, answer.message_zh)):
            line.append(say(f" ({why})", f"（{why}）"), style="yellow")
    elif answer.from_cache:
        line.append(say(", from before", "，此前取得"))
