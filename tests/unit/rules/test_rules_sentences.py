"""Several sentences, and statements about imprisonment that come late; DOMAIN section 5, number 10."""

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rules_world import TODAY, civil, graded, row

from wugan.adapter.v1 import vocabulary_pb2 as words

FIXED, LIFE = words.PENALTY_KIND_FIXED_TERM, words.PENALTY_KIND_LIFE


def sentence(since, until=None, *, day=None, detail=FIXED):
    return row("SENTENCE", day or since, detail=detail, since=since, until=until)


LONG = sentence("2015-01-01", "2035-01-01")
SHORT = sentence("2018-01-01", "2020-01-01")
TEN = sentence("2020-01-01", "2030-01-01")
COMMUTED = row("COMMUTATION", "2023-01-01", until="2026-05-01")
RESTATED = row("IMPRISONED", "2024-01-01", since="2020-02-01", until="2030-01-01")


@pytest.mark.parametrize(
    ("rows", "as_of", "flags"),
    [
        # several punishments are combined: none ends another that is longer
        ([LONG, SHORT], "2026-05-27", {"IMPRISONED"}),
        ([LONG, SHORT], "2035-01-01", {"IMPRISONED"}),
        ([LONG, SHORT], "2035-01-02", set()),
        ([LONG, SHORT, row("IMPRISONED", "2018-02-01", since="2018-02-01", until="2020-01-01")], 0, {"IMPRISONED"}),
        ([sentence("2010-01-01", detail=LIFE), SHORT], 0, {"IMPRISONED"}),
        ([SHORT, sentence("2019-06-01", "2028-01-01")], 0, {"IMPRISONED"}),
        # what shortens: a commutation, also of what was combined; a release; a parole
        ([LONG, SHORT, row("COMMUTATION", "2022-01-01", until="2026-05-01")], 0, set()),
        ([LONG, SHORT, row("RELEASE", "2025-01-01", since="2025-01-01")], 0, set()),
        ([LONG, SHORT, row("PAROLE", "2025-01-01", since="2025-01-01")], 0, {"PAROLED"}),
        # after the release the earlier term is over, whatever is left of it on paper
        ([LONG, row("RELEASE", "2017-01-01", since="2017-01-01"), SHORT], 0, set()),
        # a sentence after the commutation adds to what is left
        ([TEN, COMMUTED, sentence("2025-01-01", "2028-01-01")], "2028-01-01", {"IMPRISONED"}),
        ([TEN, COMMUTED, sentence("2025-01-01", "2025-06-01")], "2026-05-01", {"IMPRISONED"}),
        ([TEN, COMMUTED, sentence("2025-01-01", "2025-06-01")], "2026-05-02", set()),
        # the old end, stated again after the commutation, does not undo it: the court's, the prison's, an earlier one's
        ([TEN, COMMUTED, RESTATED], "2026-05-01", {"IMPRISONED"}),
        ([TEN, COMMUTED, RESTATED], "2026-05-02", set()),
        ([replace(RESTATED, observed=civil("2020-02-01")), COMMUTED, RESTATED], "2026-05-02", set()),
        (
            [
                LONG,
                row("COMMUTATION", "2019-01-01", until="2033-01-01"),
                COMMUTED,
                row("IMPRISONED", "2024-01-01", since="2015-02-01", until="2033-01-01"),
            ],
            0,
            set(),
        ),
        # an end that nobody stated before is news: prolonged; so is a return to prison, and being taken in afterwards
        ([TEN, COMMUTED, replace(RESTATED, until=civil("2031-01-01"))], 0, {"IMPRISONED"}),
        ([TEN, COMMUTED, row("RETURNED_TO_PRISON", "2025-01-01", until="2030-01-01")], 0, {"IMPRISONED"}),
        ([TEN, COMMUTED, row("IMPRISONED", "2026-05-10", until="2030-01-01")], 0, {"IMPRISONED"}),
        # a term prolonged when the parole was revoked
        (
            [
                sentence("2020-01-01", "2026-01-01"),
                row("PAROLE", "2024-01-01"),
                row("RETURNED_TO_PRISON", "2025-01-01", until="2028-01-01"),
            ],
            0,
            {"IMPRISONED"},
        ),
        # an imprisonment of no stated end is for the sentence begun by then; for a later one's end it says nothing
        ([row("IMPRISONED", "2018-02-01", since="2017-11-01"), SHORT], 0, set()),
        ([row("IMPRISONED", "2015-02-01"), SHORT], 0, {"IMPRISONED"}),
        ([row("IMPRISONED", "2015-02-01", until="2017-01-01"), row("IMPRISONED", "2015-03-01"), SHORT], 0, set()),
        ([row("IMPRISONED", "2015-02-01"), row("COMMUTATION", "2016-01-01", until="2017-01-01"), SHORT], 0, set()),
        ([row("IMPRISONED", "2015-02-01"), row("RELEASE", "2016-01-01"), SHORT], 0, set()),
        ([row("MEDICAL_RELEASE", "2015-02-01", until="2015-08-01"), SHORT], 0, {"IMPRISONED"}),
        ([COMMUTED, row("IMPRISONED", "2024-01-01")], 0, set()),
        # a sentence that begins later does not fill the time since the last one ended
        ([SHORT, sentence("2026-06-01", "2027-06-01", day="2026-05-01")], "2026-05-20", set()),
        ([SHORT, sentence("2026-06-01", "2027-06-01", day="2026-05-01")], "2026-06-01", {"IMPRISONED"}),
    ],
)
def test_case_10_what_ends_a_term_and_what_does_not(rows, as_of, flags):
    assert graded(*rows, as_of=as_of).flags == flags
    assert graded(*reversed(rows), as_of=as_of).flags == flags


def test_case_10_the_term_told_is_the_commuted_one_also_when_the_old_end_is_stated_again():
    found = graded(TEN, COMMUTED, RESTATED, as_of="2026-05-01")
    assert found.told("TERM_MOVED")[2] == "2026-05-01"
    assert graded(TEN, COMMUTED, RESTATED).told("TERM_ENDED")[2] == "2026-05-01"
    prolonged = replace(RESTATED, until=civil("2031-01-01"))
    assert "TERM_MOVED" not in graded(TEN, COMMUTED, prolonged).codes


days = st.dates(date(2012, 1, 1), date(2026, 6, 30))
ends = st.dates(date(2016, 1, 1), date(2040, 1, 1))
sentences = st.builds(
    lambda day, from_on, ends_on, detail: row(
        "SENTENCE",
        day,
        detail=detail,
        since=from_on,
        until=ends_on if detail == FIXED else None,
    ),
    days,
    days,
    ends,
    st.sampled_from([FIXED, FIXED, LIFE, words.PENALTY_KIND_SUSPENDED_SENTENCE, 0]),
)
prison = st.builds(
    lambda kind, day, ends_on: row(kind, day, since=day, until=None if kind in {"PAROLE", "RELEASE"} else ends_on),
    st.sampled_from(["IMPRISONED", "RETURNED_TO_PRISON", "MEDICAL_RELEASE", "PAROLE", "RELEASE"]),
    days,
    ends,
)
commutations = st.builds(lambda day, ends_on: row("COMMUTATION", day, until=ends_on), days, ends)


def term_known(rows, further):
    """Whether something says when the term ends that the further sentence is not the first to be part of.

    Where nothing does, the first sentence that is heard of is what the imprisonment was for, and its end counts.
    """
    over = max((r.since for r in rows if r.kind == "RELEASE"), default=0)
    terms = {"SENTENCE": {FIXED, LIFE}, "IMPRISONED": {0}, "RETURNED_TO_PRISON": {0}}
    return any(r.detail in terms.get(r.kind, ()) and over < r.since <= min(civil(0), further.since) for r in rows)


@given(st.lists(st.one_of(sentences, prison), max_size=5), sentences)
@settings(max_examples=300, deadline=None)
def test_a_further_sentence_never_frees_anybody(rows, further):
    if term_known(rows, further) and "IMPRISONED" in graded(*rows).flags:
        assert "IMPRISONED" in graded(*rows, further).flags


@given(st.lists(st.one_of(sentences, prison, commutations), max_size=6), sentences, st.dates(date(2026, 5, 1), TODAY))
@settings(max_examples=300, deadline=None)
def test_a_sentence_after_a_commutation_never_frees_anybody_either(rows, further, day):
    if (
        term_known(rows, further)
        and "IMPRISONED" in graded(*rows).flags
        and all(r.kind != "COMMUTATION" or r.observed < civil(day) for r in rows)
    ):
        assert "IMPRISONED" in graded(*rows, replace(further, observed=civil(day))).flags


@given(st.lists(st.one_of(sentences, prison), max_size=4), commutations, prison, days)
@settings(max_examples=200, deadline=None)
def test_an_imprisonment_stated_again_never_undoes_a_commutation(rows, commuted, stated, again):
    """Whoever is out by a commutation stays out when the prison repeats, on a later day, what it said before."""
    stated = replace(
        stated, kind="IMPRISONED", observed=min(stated.observed, commuted.observed), until=civil("2039-01-01")
    )
    stated = replace(stated, since=min(stated.observed, commuted.until))
    rows = [*rows, commuted, stated]
    repeated = replace(stated, observed=max(civil(again), commuted.observed))
    if "IMPRISONED" not in graded(*rows).flags:
        assert "IMPRISONED" not in graded(*rows, repeated).flags


SECOND = sentence("2024-01-01", "2027-01-01")


@pytest.mark.parametrize(
    ("rows", "since"),
    [
        # whoever was out meanwhile, though nobody told of the release, has been inside since the second time only
        ([sentence("2010-01-01", "2012-01-01")], "2024-01-01"),
        ([sentence("2010-01-01", "2012-01-01"), row("IMPRISONED", "2010-02-01")], "2024-01-01"),
        ([row("IMPRISONED", "2010-02-01", until="2012-01-01")], "2024-01-01"),
        ([sentence("2010-01-01", "2030-01-01"), row("COMMUTATION", "2014-01-01", until="2016-01-01")], "2024-01-01"),
        (
            [
                sentence("2010-01-01", "2030-01-01"),
                row("COMMUTATION", "2014-01-01", until="2016-01-01"),
                row("IMPRISONED", "2015-01-01", since="2010-02-01", until="2030-01-01"),
            ],
            "2024-01-01",
        ),
        (
            [sentence("2005-01-01", "2010-01-01"), row("RELEASE", "2009-01-01"), sentence("2012-01-01", "2014-01-01")],
            "2024-01-01",
        ),
        # one time in prison after another without a day outside is one
        ([sentence("2010-01-01", "2023-12-31")], "2010-01-01"),
        ([sentence("2010-01-01", "2023-12-30")], "2024-01-01"),
        ([sentence("2010-01-01", "2012-01-01"), sentence("2011-06-01", "2025-01-01")], "2010-01-01"),
        ([sentence("2010-01-01", "2025-01-01"), sentence("2011-06-01", "2012-01-01")], "2010-01-01"),
        ([sentence("2010-01-01", detail=LIFE)], "2010-01-01"),
        # nobody knows when an imprisonment that no term explains ended
        ([sentence("2010-01-01", "2012-01-01"), row("IMPRISONED", "2013-01-01")], "2013-01-01"),
    ],
)
def test_a_term_that_was_over_is_not_counted_to_the_next_one(rows, since):
    found = graded(*rows, SECOND)
    assert found.flags == {"IMPRISONED"}
    assert found.told("IMPRISONED")[2] == since
    assert graded(*[SECOND, *rows][::-1], *rows).told("IMPRISONED")[2] == since
