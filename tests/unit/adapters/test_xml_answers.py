"""XML answers as trees: fields, lists, attributes, and nothing but a tree or a refusal, whatever comes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.xml_answers import MAX_DEPTH, NotXmlError, parse


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("<a/>", {"a": None}),
        ("<a> x </a>", {"a": "x"}),
        ("<a><b>1</b><b>2</b><c/></a>", {"a": {"b": ["1", "2"], "c": None}}),
        ("<a><b><c>1</c></b><b/></a>", {"a": {"b": [{"c": "1"}, None]}}),
        ("<n:a xmlns:n='u' n:k='v' l='w'>t</n:a>", {"a": {"@k": "v", "@l": "w", "#text": "t"}}),
        ("<a>1&lt;2<![CDATA[<&]]></a>", {"a": "1<2<&"}),
        ("<a>x<b/>y</a>", {"a": {"b": None, "#text": "xy"}}),
    ],
)
def test_an_element_is_a_field(text: str, tree: object) -> None:
    assert parse(text.encode()) == tree


def test_the_bounds_are_where_they_are_said_to_be() -> None:
    assert parse(b"<a>" * MAX_DEPTH + b"</a>" * MAX_DEPTH)
    with pytest.raises(NotXmlError):
        parse(b"<a>" * (MAX_DEPTH + 1) + b"</a>" * (MAX_DEPTH + 1))


_PARTS = st.sampled_from(
    [
        "<a>",
        "</a>",
        "<b/>",
        "<!DOCTYPE a>",
        "<!ENTITY x 'y'>",
        "&x;",
        "&amp;",
        "<?xml version='1.0'?>",
        "<![CDATA[",
        "]]>",
    ]
)


@settings(max_examples=150, deadline=None)
@given(
    data=st.binary(max_size=200)
    | st.lists(_PARTS | st.text(max_size=9), max_size=12).map(lambda p: "".join(p).encode("utf-8", "replace")),
    charset=st.none() | st.sampled_from(["utf-8", "gbk", "utf-16", "latin-1", "", "\x00", "no-such"]),
)
def test_whatever_comes_is_a_tree_or_refused(data: bytes, charset: str | None) -> None:
    try:
        tree = parse(data, charset)
    except NotXmlError:
        return
    json.dumps(tree)
    assert isinstance(tree, dict)
