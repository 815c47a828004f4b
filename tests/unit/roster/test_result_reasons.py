"""Reasons filled in by column read as the rules fill them in one by one."""

from __future__ import annotations

import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.roster import frames
from gateway.roster.results.reasons import MAX_TEMPLATE, sentences
from gateway.rules.wording import fill
from gateway.wording import Language
from tests.unit.roster.result_world import BOOK

TEMPLATES = st.one_of(
    st.sampled_from(
        [text.zh for text in BOOK.reason_texts.values()] + [text.en for text in BOOK.reason_texts.values()]
    ),
    st.lists(
        st.sampled_from(["{department}", "{kind}", "{on}", "{number}", "{", "}", "{other}", "，", "a", "{{on}}"]),
        max_size=6,
    ).map("".join),
    st.text("{on}kind，。人a ", max_size=MAX_TEMPLATE + 20),
)
REASONS = st.fixed_dictionaries(
    {
        "row": st.integers(1, 4),
        "template": TEMPLATES,
        "department": st.sampled_from([0, 1, 5, 10, 99, -3]),
        "kind": st.sampled_from([0, 1, 12, 101, 999]),
        "on": st.one_of(st.integers(-2000, 30_000), st.sampled_from([0, 2**31 - 1, -(2**31), 400_000, -400_000])),
        "number": st.integers(0, 2**32 - 1),
        "month": st.booleans(),
    }
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(REASONS, max_size=12), st.sampled_from(["zh", "en"]))
def test_a_chunk_filled_in_at_once_reads_as_reason_by_reason(
    reasons: list[dict[str, object]], language: Language
) -> None:
    codes = {template: number for number, template in enumerate({str(reason["template"]) for reason in reasons}, 1)}
    texts = pl.DataFrame(
        [{"member": "", "code": code, "name": "", "zh": text, "en": text} for text, code in codes.items()],
        schema=dict(frames.REASON_TEXTS),
    )
    told = pl.DataFrame(
        [
            {
                **{k: v for k, v in reason.items() if k != "template"},
                "member": "",
                "name": "",
                "code": codes[str(reason["template"])],
            }
            for reason in reasons
        ],
        schema=dict(frames.REASONS),
    )
    expected: dict[int, list[str]] = {}
    for reason in reasons:
        values = {name: reason[name] for name in ("department", "kind", "on", "number", "month")}
        text = fill(BOOK, str(reason["template"])[:MAX_TEMPLATE], language, **values)  # type: ignore[arg-type]
        expected.setdefault(int(str(reason["row"])), []).append(text)
    joint = "" if language == "zh" else " "
    found = dict(sentences(told, texts, language).iter_rows())
    assert found == {row: joint.join(dict.fromkeys(parts)) for row, parts in expected.items()}
