"""The access policy: default deny, by member, purpose and benefit."""

from __future__ import annotations

import pytest

from gateway.errors import AccessError
from gateway.inquiry.access import AccessPolicy
from wugan.adapter.v1.vocabulary_pb2 import PURPOSE_AUDIT, PURPOSE_CERTIFICATION
from wugan.federation.v1 import vocabulary_pb2 as words

BEIJING, HUBEI = "111100000000212234", "11420000011043226W"
PENSION, DEPENDANT = words.BENEFIT_TYPE_EMPLOYEE_PENSION, words.BENEFIT_TYPE_WORK_DEATH_DEPENDANT


def refusal(policy: AccessPolicy, member: str, purpose: int, *benefits: int) -> str:
    with pytest.raises(AccessError) as caught:
        policy.authorise(member, purpose, benefits)
    return caught.value.code


def test_an_empty_policy_denies_every_member() -> None:
    assert refusal(AccessPolicy([]), BEIJING, PURPOSE_CERTIFICATION, PENSION) == "MEMBER_NOT_PERMITTED"


def test_a_grant_allows_its_member_purpose_and_benefits() -> None:
    policy = AccessPolicy([([BEIJING], ["CERTIFICATION"], ["EMPLOYEE_PENSION"])])
    policy.authorise(BEIJING, PURPOSE_CERTIFICATION, [PENSION, PENSION])


def test_a_grant_to_one_member_is_none_to_another() -> None:
    policy = AccessPolicy([([BEIJING], ["CERTIFICATION"], ["*"])])
    assert refusal(policy, HUBEI, PURPOSE_CERTIFICATION, PENSION) == "MEMBER_NOT_PERMITTED"


def test_a_foreign_purpose_is_named_as_such() -> None:
    policy = AccessPolicy([([BEIJING], ["CERTIFICATION"], ["*"])])
    assert refusal(policy, BEIJING, PURPOSE_AUDIT, PENSION) == "PURPOSE_NOT_PERMITTED"


def test_one_benefit_not_granted_refuses_the_whole_question() -> None:
    policy = AccessPolicy([([BEIJING], ["CERTIFICATION"], ["EMPLOYEE_PENSION"])])
    assert refusal(policy, BEIJING, PURPOSE_CERTIFICATION, PENSION, DEPENDANT) == "BENEFIT_NOT_PERMITTED"


def test_grants_add_up_and_stars_stand_for_all() -> None:
    policy = AccessPolicy(
        [(["*"], ["CERTIFICATION"], ["EMPLOYEE_PENSION"]), ([BEIJING], ["CERTIFICATION"], ["WORK_DEATH_DEPENDANT"])]
    )
    policy.authorise(BEIJING, PURPOSE_CERTIFICATION, [PENSION, DEPENDANT])
    policy.authorise(HUBEI, PURPOSE_CERTIFICATION, [PENSION])
    assert refusal(policy, HUBEI, PURPOSE_CERTIFICATION, DEPENDANT) == "BENEFIT_NOT_PERMITTED"


def test_a_star_never_grants_the_unspecified() -> None:
    policy = AccessPolicy([(["*"], ["*"], ["*"])])
    assert refusal(policy, BEIJING, 0, PENSION) == "PURPOSE_NOT_PERMITTED"
    assert refusal(policy, BEIJING, PURPOSE_CERTIFICATION, 0) == "BENEFIT_NOT_PERMITTED"
