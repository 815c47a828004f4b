"""The document lists every figure there is, as it is, and every level and setting that it speaks of exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.observing import metrics
from gateway.observing.instruments import INSTRUMENTS, REGISTRY, Counter, Gauge, Histogram

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "operations" / "observability.md"
VITALS = Path(__file__).resolve().parents[3] / "gateway" / "vitals"
ROW = re.compile(r"^\| `(wugan_\w+)` \| (\w+) \| ([^|]+) \| ([^|]+) \|$", re.M)
KINDS = {Counter: "counter", Gauge: "gauge", Histogram: "histogram"}


def documented() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Kind and labels of each figure in the tables."""
    rows = ROW.findall(DOCUMENT.read_text("utf-8"))
    assert len({row[0] for row in rows}) == len(rows), "a figure is listed twice"
    return {name: (kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels, _ in rows}


def test_every_figure_is_documented_with_its_kind_and_labels_and_no_other() -> None:
    there = {name: (KINDS[type(made)], made.labels) for name, made in INSTRUMENTS.items() if name.startswith("wugan_")}
    assert documented() == there


def test_names_say_what_they_count_and_in_which_unit() -> None:
    for name, made in INSTRUMENTS.items():
        assert name.endswith("_total") == isinstance(made, Counter), name
        assert name.endswith("_seconds") or not isinstance(made, Histogram), name
        assert made.meaning


@pytest.mark.parametrize("name", sorted(name for name in vars(metrics) if name.isupper() and name != "BREAKER"))
def test_every_name_in_the_module_is_an_instrument_that_is_registered(name: str) -> None:
    made = getattr(metrics, name)
    assert INSTRUMENTS[made.name] is made
    assert any(family.name in (made.name, made.name.removesuffix("_total")) for family in REGISTRY.collect())


def test_no_label_can_come_from_a_question() -> None:
    allowed = {"call", "outcome", "partner", "department", "state", "kind", "direction"}
    assert {label for made in INSTRUMENTS.values() for label in made.labels} <= allowed


def named(node: ast.expr, said: list[tuple[str, ast.expr]]) -> Iterator[str]:
    """What a fact is about, with * for whom."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=parts):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in parts)
        case ast.IfExp(body=one, orelse=other):
            yield from (*named(one, said), *named(other, said))
        case ast.Name(id=name):
            for given, value in said:
                if given == name:
                    yield from named(value, said)
        case _:
            raise AssertionError(ast.unparse(node))


def facts_of(source: str) -> set[str]:
    """The facts that are not well, of a module."""
    tree = ast.parse(source)
    said = [
        (target.id, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    ]
    return {
        about
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "HealthFact"
        if ast.unparse(node.args[1]) != "Level.WELL"
        for about in named(node.args[0], said)
    }


def test_every_fact_of_the_health_page_is_documented_and_no_other() -> None:
    there = set().union(*(facts_of(path.read_text("utf-8")) for path in VITALS.glob("*.py")))
    text = DOCUMENT.read_text("utf-8")
    table = re.search(r"^\| fact \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert table is not None
    named_there = [word for row in table[1].splitlines() for word in re.findall(r"`([^`]+)`", row.split("|")[1])]
    assert {re.sub(r"\b[A-Z]+\b", "*", word) for word in named_there} == there
