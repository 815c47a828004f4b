"""A proposed manifest as text: settings, and beside each the reason and how sure it is.

Owns: layout and quoting. Refuses: deciding.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Final

from adapters.proposing.guesses import Department, Guess, Sure, Understood
from adapters.proposing.meaning import personal
from adapters.proposing.shapes import AMBIGUOUS
from adapters.proposing.words import PENALTIES
from wugan.adapter.v1 import vocabulary_pb2 as words

_SURE: Final = {
    Sure.HIGH: ("高", "high"),
    Sure.MEDIUM: ("中", "medium"),
    Sure.LOW: ("低", "low"),
}
_PLAIN: Final = re.compile(r"[A-Za-z_\u4e00-\u9fff][A-Za-z0-9_\u4e00-\u9fff.-]*")
_WORD: Final = re.compile(r"[A-Za-z_]{2,}|[\u4e00-\u9fff]+")
"""What a code may be without quotes."""
_RESERVED: Final = frozenset({"null", "true", "false", "yes", "no", "on", "off", "none"})
_MANY_BAD: Final = 0.04


class _Text:
    """Lines with comments at their end."""

    def __init__(self, language: str) -> None:
        self.zh = language == "zh"
        self.lines: list[str] = []

    def say(self, en: str, zh: str) -> str:
        return zh if self.zh else en

    def line(self, text: str, guess: Guess | None = None) -> None:
        self.lines.append(text if guess is None else f"{text}{self.why(guess)}")

    def doubt(self, indent: str, en: str, zh: str) -> None:
        self.lines.append(f"{indent}# {self.mark}{self.say(en, zh)}")

    def why(self, guess: Guess) -> str:
        sure = _SURE[guess.sure][0 if self.zh else 1]
        mark = self.mark if guess.sure < Sure.HIGH else ""
        return f"   # [{sure}] {mark}{self.say(guess.en, guess.zh)}"

    @property
    def mark(self) -> str:
        """What every doubt bears."""
        return self.say("请核对 check: ", "请核对：")


def write(department: Department, adapter_id: str, language: str) -> str:
    """The manifest of a department."""
    text = _Text(language)
    name = words.Department.Name(words.Department.ValueType(department.number)).removeprefix("DEPARTMENT_")
    first = department.records[0]
    rows = sum(record.sample.rows for record in department.records)
    text.line(
        text.say(
            f"# A proposal, made of {rows} rows. Correct what is marked 请核对, then: wugan adapter check FILE",
            f"# 依据 {rows} 行样本生成的建议。请更正标有“请核对”之处，再运行 wugan adapter check 文件名",
        )
    )
    text.line(text.say("# Every setting: docs/adapters/manifest.md", "# 各设置项说明见 docs/adapters/manifest.md"))
    text.line("manifest: 1")
    text.line(f"adapter_id: {adapter_id or name.lower().replace('_', '-')}")
    text.line('version: "1"')
    text.line(f"department: {name}", department.why)
    text.line(f"regions: [{', '.join(str(code) for code in department.regions)}]")
    if not department.regions_told:
        text.doubt(
            "",
            "the sample does not tell the place; write for which regions it can answer",
            "样本未说明地区，请填写可答复的行政区划",
        )
    text.line(f"kind: {first.sample.kind}")
    _source(text, first)
    text.line(f"identity: {_identity(first)}", first.identity)
    _links(text, department.records)
    text.line("records:")
    used: set[str] = set()
    for record in department.records:
        _record(text, record, first, used)
    return "\n".join(text.lines) + "\n"


def _source(text: _Text, record: Understood) -> None:
    source = record.sample.source
    if record.sample.kind == "api":
        text.line("source:")
        text.line("  base_url: https://department.example/share")
        text.doubt("  ", "address and credentials of the interface", "接口地址与凭证")
        if "result" in record.sample.place:
            text.line(f"  result: {_flow(record.sample.place['result'])}")
        return
    text.line(f"source: {_flow(source)}")
    if record.sample.kind == "file":
        text.doubt("", "the folder into which the department drops files", "部门投递文件的文件夹")
    else:
        text.doubt(
            "",
            "use a user that may only read; the password comes from the environment",
            "请使用只读账户，口令取自环境变量",
        )


def _identity(record: Understood) -> str:
    settings: dict[str, object] = {"column": record.identity.value}
    if record.name is not None:
        settings["name"] = record.name.value
    forms = record.shapes[record.identity.value].forms
    if forms:
        settings["forms"] = list(forms)
    return _flow(settings)


def _links(text: _Text, records: Iterable[Understood]) -> None:
    for record in records:
        if record.links is None:
            continue
        old, new = record.links
        text.doubt("", "two numbers of one person: the old and the new one", "同一人的新旧号码")
        text.line("links:")
        for line in _where(record):
            text.line(f"  {line}")
        text.line(f"  identity: {_flow({'column': old})}")
        text.line(f"  linked: {_quoted(new)}")
        return


def _where(record: Understood) -> list[str]:
    """The settings that say where a record set's rows are."""
    place = record.sample.place
    if record.sample.kind == "table":
        return [f"table: {_quoted(str(place['table']))}"]
    if record.sample.kind == "file":
        return [f"files: {_flow(place)}"]
    cursor = {"cursor": "$cursor"} if "next" in place else {}
    pages = {"pageNo": "$page", "pageSize": "$size"} if "total" in place and not cursor else {}
    endpoint: dict[str, object] = {"path": "/query", "body": {"ids": "$ids", **cursor, **pages}, "rows": place["rows"]}
    if cursor:
        endpoint["paging"] = {"style": "cursor", "next": place["next"]}
    elif pages:
        endpoint["paging"] = {"style": "page", "total": place["total"]}
    return [f"endpoint: {_flow(endpoint)}"]


def _record(text: _Text, record: Understood, first: Understood, used: set[str]) -> None:
    text.line(f"  - name: {_name(record, used)}")
    pad = "    "
    for line in _where(record):
        text.line(pad + line)
    for en, zh in record.sample.remarks:
        text.doubt(pad, en, zh)
    if record.sample.kind == "api":
        text.doubt(pad, "path and body of the request", "请求路径与请求体")
    if record is not first and _identity(record) != _identity(first):
        text.line(f"{pad}identity: {_identity(record)}", record.identity)
    elif record.name is not None and record is first:
        text.line(f"{pad}# {text.say('name', '姓名列')}{text.why(record.name)}")
    _evidence(text, record, pad)
    for column, codes in record.unread.items():
        table = ", ".join(f"{_quoted(code, code=True)}: ?" for code in codes)
        text.doubt(pad, f"what do the codes of {column} mean: {{{table}}}", f"{column} 的代码含义：{{{table}}}")
    if record.kind is None:
        _commented(text, record, pad)
        _unused(text, record, pad)
        return
    _date(text, record, "observed_on", record.observed, pad)
    _date(text, record, "available_on", record.available, pad)
    _region(text, record, pad)
    strength = words.Strength.Name(words.Strength.ValueType(record.kind.strength)).removeprefix("STRENGTH_")
    sure = Guess(
        "", Sure.LOW, "usual for this evidence; how was the person known?", "为此类证据的通常强度，请确认核验方式"
    )
    text.line(f"{pad}strength: {strength}", sure)
    _detail(text, record, pad)
    _date(text, record, "from_on", record.since, pad)
    _date(text, record, "until_on", record.until, pad)
    if record.reference is not None:
        text.line(f"{pad}source_reference: {_quoted(record.reference.value)}", record.reference)
    if record.only is not None:
        column, values, keep, sureness = record.only
        setting = {"column": column, ("values" if keep else "except_values"): list(values)}
        text.line(f"{pad}only: {_flow(setting)}", Guess("", sureness, "rows that count", "仅计有效记录"))
    if record.freshness_told:
        why = Guess("", Sure.MEDIUM, "19 of 20 rows were there by then", "样本中 95% 的记录在此天数内可用")
    else:
        why = Guess("", Sure.LOW, "to be agreed", "须与部门约定")
    text.line(f"{pad}freshness_days: {record.freshness_days}", why)
    _unused(text, record, pad)


def _commented(text: _Text, record: Understood, pad: str) -> None:
    """What would go with evidence, ready for whoever knows which evidence it is."""
    held, text.lines = text.lines, []
    _date(text, record, "observed_on", record.observed, pad)
    _date(text, record, "available_on", record.available, pad)
    _region(text, record, pad)
    if record.reference is not None:
        text.line(f"{pad}source_reference: {_quoted(record.reference.value)}", record.reference)
    told, text.lines = text.lines, held
    if told:
        text.line(f"{pad}# {text.say('with evidence also', '写明证据后一并启用')}:")
        text.lines += [f"{pad}# {line.strip()}" for line in told]


def _evidence(text: _Text, record: Understood, pad: str) -> None:
    if record.kind is None or record.kind_why is None:
        why = Guess("", Sure.LOW, "not told: so far a register that knows people", "未能判断，暂作仅登记人员的名册")
        text.line(f"{pad}evidence: none", why)
        return
    if record.codes is None:
        text.line(f"{pad}evidence: {_kind(record.kind.kind)}", record.kind_why)
        return
    column, table = record.codes
    text.line(f"{pad}evidence:")
    text.line(f"{pad}  column: {_quoted(column)}", record.kind_why)
    text.line(f"{pad}  codes:")
    for code, word in table.items():
        if word == "ignore":
            note = text.say("says nothing to us", "含义不明，暂不计")
            text.line(f"{pad}    {_quoted(code, code=True)}: ignore   # {text.mark}{note}")
        else:
            text.line(f"{pad}    {_quoted(code, code=True)}: {word}")
    text.line(f"{pad}  unknown: ignore")


def _date(text: _Text, record: Understood, setting: str, guess: Guess | None, pad: str) -> None:
    if guess is None:
        return
    shape = record.shapes[guess.value]
    value: object = guess.value
    if (shape.formats and shape.formats != ("iso",)) or shape.empty:
        value = {"column": guess.value, "formats": list(shape.formats or ("iso",))}
        if shape.empty:
            value["empty"] = list(shape.empty)
    text.line(f"{pad}{setting}: {_flow(value)}", guess)
    if set(shape.formats) & AMBIGUOUS:
        text.doubt(pad, "these numbers may mean something else", "此类数字亦可能另有含义")
    if shape.undated > _MANY_BAD:
        share = round(100 * shape.undated)
        text.doubt(pad, f"{share} % of the values are no dates", f"{share}% 的值不是日期")


def _region(text: _Text, record: Understood, pad: str) -> None:
    if record.region is None:
        return
    setting: dict[str, object] = {"column": record.region.value}
    if record.region_codes:
        setting["codes"] = record.region_codes
    elif record.shapes[record.region.value].region < 1 and record.province:
        setting["otherwise"] = record.province
    text.line(f"{pad}region: {_flow(setting)}", record.region)


def _detail(text: _Text, record: Understood, pad: str) -> None:
    if record.penalty is not None:
        known = {code: PENALTIES[code] for code in record.shapes[record.penalty.value].codes if code in PENALTIES}
        text.line(f"{pad}detail: {_flow({'column': record.penalty.value, 'codes': known})}", record.penalty)
    elif record.other_place is not None:
        text.line(f"{pad}detail: {_flow({'column': record.other_place.value})}", record.other_place)


def _unused(text: _Text, record: Understood, pad: str) -> None:
    """The columns that nothing was made of, so that a person sees what was passed over."""
    used = {
        guess.value
        for guess in (
            record.identity, record.name, record.observed, record.available, record.region, record.reference,
            record.since, record.until, record.penalty, record.other_place,
        )
        if guess is not None
    }  # fmt: skip
    used |= {record.codes[0]} if record.codes else set()
    used |= {record.only[0]} if record.only else set()
    left = [name for name in record.shapes if name not in used]
    if left:
        text.line(f"{pad}# {text.say('not used', '未使用的列')}: {', '.join(_left(text, name) for name in left[:40])}")


def _left(text: _Text, name: str) -> str:
    what = personal(name)
    return _shown(name) + (f" ({text.say(*what)})" if what else "")


def _shown(name: str) -> str:
    return name.replace("\n", " ")[:60]


def _name(record: Understood, used: set[str]) -> str:
    label = re.sub(r"[^a-z0-9]+", "-", re.sub(r"\d{4,}", "", record.sample.label.lower())).strip("-_")[:40]
    kind = _kind(record.kind.kind).lower().replace("_", "-") if record.kind else "register"
    base = label if re.fullmatch(r"[a-z][a-z0-9-]*", label) and label != "links" else kind
    name, number = base, 1
    while name in used:
        number += 1
        name = f"{base}-{number}"
    used.add(name)
    return name


def _kind(kind: int) -> str:
    return words.EvidenceKind.Name(words.EvidenceKind.ValueType(kind)).removeprefix("EVIDENCE_KIND_")


def _quoted(text: str, *, code: bool = False) -> str:
    """A text as YAML reads it back: plain where that is safe. Codes are quoted always unless they are words."""
    plain = _WORD if code else _PLAIN
    if plain.fullmatch(text) and text.lower() not in _RESERVED:
        return text
    return json.dumps(text, ensure_ascii=False)


def _flow(value: object) -> str:
    """A value in YAML's flow style."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_quoted(str(key), code=True)}: {_flow(one)}" for key, one in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_flow(one) for one in value) + "]"
    return str(value) if isinstance(value, int) else _quoted(str(value))
