"""What the audit trail says of a decision is read out in words, in the form in which it is really written."""

from __future__ import annotations

import pytest

from gateway.access.terms import Quotas
from gateway.cli.audit_words import explained, is_known, signal_words
from gateway.inquiry.answering import Account
from gateway.store.alarms import Alarm, _event
from tests.unit.services.gateways_world import A, access_of, question, terms
from tests.unit.store.store_world import event
from wugan.federation.v1 import vocabulary_pb2 as words


def test_whatever_access_decides_is_known_and_explained() -> None:
    access = access_of(terms(quotas=Quotas(day=2)))
    account, told = Account(), question()
    explanations = []
    for asked in (told, told, question("330702195001010017", "330702195001010033")):
        account.decision = access.authorise(A.member_id, asked)
        explanations.append(account.of("" if account.decision.refused is None else account.decision.refused.en))
    account.decision = access_of().authorise(A.member_id, told)
    explanations.append(account.of("nobody is allowed"))
    access.use(None)
    account.decision = access.authorise(A.member_id, told)
    explanations.append(account.of("refused"))
    assert [text for text in explanations if not is_known(text)] == []
    allowed = explained(event(decision=explanations[0]))
    assert allowed.en.startswith("answered; grant g1 allows it; counted: 1 person; 1 person left today")
    assert allowed.zh.startswith("已答复；由授权 g1 准许，计 1 人，当日尚余 1 人")
    full = explained(event(outcome=words.REFUSAL_REASON_QUOTA_EXCEEDED, decision=explanations[2]))
    assert "has no room for 2 people" in full.en
    assert full.zh.startswith("拒绝：超出查询额度；授权 g1 的额度（当日）不足以查询 2 人")


@pytest.mark.parametrize("signal", ["sequential", "roster", "odd-hours", "unknown", "overlap"])
def test_an_alarm_says_what_it_saw(signal: str) -> None:
    raised = _event(Alarm(0, 1, A.member_id, "jinhua", signal, 25, 20))
    said = explained(raised)
    assert is_known(raised.decision)
    assert "25 seen, 20 allowed" in said.en
    assert signal not in said.zh


@pytest.mark.parametrize(
    ("decision", "en"),
    [
        ("late answer [g7: 2 people, counted before; policy 9]", "a late answer, the last one; grant g7 allows it"),
        ("grant.withdraw; signature 00ff", "withdraw grants, under the person's own signature"),
        ("outbox: dead delivery dropped: sent by post {x}", "because: sent by post {x}"),
        ("outbox: delivery to a member that left dropped: it merged", "has left the federation, because: it merged"),
        ("notice 3 [g7: 1 people; policy 9]", "notice 3 was sent; grant g7 allows it; counted: 1 person; by the"),
        ("given up by the agency", "the agency gave up waiting"),
    ],
)
def test_other_forms_are_read_out_too(decision: str, en: str) -> None:
    assert en in explained(event(decision=decision)).en


def test_what_is_in_no_known_form_is_not_guessed_at() -> None:
    assert not is_known("g7 allowed 12 people")
    assert explained(event(decision="g7 allowed 12 people", outcome=999)).en == "refused: (999)."


def test_a_list_of_alarms_says_in_words_what_was_seen() -> None:
    assert signal_words("sequential", 20, 19).zh == "号码连续（发现 20，允许 19）"
    assert signal_words("sequential", 20, 19).en == "numbers in sequence (20 seen, 19 allowed)"
