"""Member identities: one spelling each, and no other is taken."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stdnum.cn import uscc

from certs.errors import IdentityError
from certs.identity import (
    ROLE_AUTHORITY,
    ROLE_DEPARTMENT,
    ROLE_GATEWAY,
    ROLE_UNIT,
    Identity,
    is_member_id,
    require_federation,
)

FEDERATION = "demo.wugan.internal"
MEMBER = "11330000002482285J"

members = st.text("0123456789ABCDEFGHJKLMNPQRTUWXY", min_size=9, max_size=9).map(
    lambda tail: (base := "11330000" + tail) + uscc.calc_check_digit(base)
)
labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
identities = st.one_of(
    st.builds(Identity.gateway, st.just(FEDERATION), members),
    st.builds(Identity.authority, st.sampled_from([FEDERATION, "other.wugan.internal"])),
    st.builds(Identity, st.just(FEDERATION), members, st.sampled_from([ROLE_UNIT, ROLE_DEPARTMENT]), labels),
)


@given(identities)
@settings(max_examples=60)
def test_every_identity_survives_its_uri(identity: Identity) -> None:
    assert Identity.parse(identity.uri) == identity


@given(identities, identities)
@settings(max_examples=60)
def test_different_identities_have_different_uris_and_tls_names(one: Identity, other: Identity) -> None:
    assert (one.uri == other.uri) == (one == other)
    if one.tls_name:
        assert (one.tls_name == other.tls_name) == (one == other)


def test_the_uris_and_names_are_as_documented() -> None:
    gateway = Identity.gateway(FEDERATION, MEMBER)
    assert gateway.uri == f"spiffe://demo.wugan.internal/member/{MEMBER}/gateway"
    assert gateway.tls_name == "11330000002482285j.gateway.demo.wugan.internal"
    unit = Identity(FEDERATION, MEMBER, ROLE_UNIT, "330700")
    assert unit.uri == f"spiffe://demo.wugan.internal/member/{MEMBER}/unit/330700"
    assert unit.tls_name == ""
    department = Identity(FEDERATION, MEMBER, ROLE_DEPARTMENT, "health-insurance")
    assert department.uri == f"spiffe://demo.wugan.internal/member/{MEMBER}/department/health-insurance"
    assert department.tls_name == "health-insurance.11330000002482285j.department.demo.wugan.internal"
    authority = Identity.authority(FEDERATION)
    assert authority.uri == "spiffe://demo.wugan.internal/authority"
    assert authority.tls_name == "authority.demo.wugan.internal"


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "https://demo.wugan.internal/member/11330000002482285J/gateway",
        "SPIFFE://demo.wugan.internal/member/11330000002482285J/gateway",
        "spiffe://demo.wugan.internal/member/11330000002482285J",
        "spiffe://demo.wugan.internal/member/11330000002482285J/gateway/",
        "spiffe://demo.wugan.internal/member/11330000002482285J/gateway/x",
        "spiffe://demo.wugan.internal/member/11330000002482285J/gateway?x",
        "spiffe://demo.wugan.internal/member/11330000002482285J/gateway#x",
        "spiffe://demo.wugan.internal/member/11330000002482285J/unit",
        "spiffe://demo.wugan.internal/member/11330000002482285J/unit/",
        "spiffe://demo.wugan.internal/member/11330000002482285J/unit/A",
        "spiffe://demo.wugan.internal/member/11330000002482285J/unit/a/b",
        "spiffe://demo.wugan.internal/member/11330000002482285J/unit/..",
        "spiffe://demo.wugan.internal/member/11330000002482285J/unit/%61",
        "spiffe://demo.wugan.internal/member/11330000002482285J/unit/a\n",
        "spiffe://demo.wugan.internal/member/11330000002482285J/owner/a",
        "spiffe://demo.wugan.internal//member/11330000002482285J/gateway",
        "spiffe://demo.wugan.internal/members/11330000002482285J/gateway",
        "spiffe://demo.wugan.internal/member/11330000002482285j/gateway",
        "spiffe://demo.wugan.internal/member/11330000002482285A/gateway",
        "spiffe://Demo.wugan.internal/member/11330000002482285J/gateway",
        "spiffe://demo.wugan.internal:443/member/11330000002482285J/gateway",
        "spiffe://u@demo.wugan.internal/member/11330000002482285J/gateway",
        "spiffe://internal/member/11330000002482285J/gateway",
        "spiffe://internal/authority",
        "spiffe://demo.wugan.internal/authority/",
        "spiffe://demo.wugan.internal/authority/x",
        "spiffe://demo.wugan.internal/Authority",
        "spiffe://demo.wugan.internal/member//authority",
        "spiffe://demo.wugan.internal/member/11330000002482285J/authority",
    ],
)
def test_any_other_spelling_is_refused(uri: str) -> None:
    with pytest.raises(IdentityError) as caught:
        Identity.parse(uri)
    assert caught.value.zh


@pytest.mark.parametrize(
    "code",
    [
        "",
        "1133000000248228",
        "11330000002482285A",
        "11330000002482285j",
        "１１330000002482285J",
        "11330000002482285J ",
        "1133000000248228OJ",
        "01330000002482285J",
        "11ABCDEF002482285J",
    ],
)
def test_a_wrong_credit_code_is_refused(code: str) -> None:
    assert not is_member_id(code)
    with pytest.raises(IdentityError):
        Identity.gateway(FEDERATION, code)


def test_every_single_wrong_character_of_a_credit_code_is_noticed() -> None:
    for place, right in enumerate(MEMBER):
        for wrong in "0123456789ABCDEFGHJKLMNPQRTUWXY":
            if wrong != right:
                assert not is_member_id(MEMBER[:place] + wrong + MEMBER[place + 1 :])


def test_a_gateway_has_no_name_and_a_unit_needs_one() -> None:
    with pytest.raises(IdentityError):
        Identity(FEDERATION, MEMBER, ROLE_GATEWAY, "x")
    with pytest.raises(IdentityError):
        Identity(FEDERATION, MEMBER, ROLE_UNIT)


def test_the_authority_belongs_to_no_member_and_nobody_else_does_without() -> None:
    for member_id, name in ((MEMBER, ""), ("", "x")):
        with pytest.raises(IdentityError):
            Identity(FEDERATION, member_id, ROLE_AUTHORITY, name)
    for role, name in ((ROLE_GATEWAY, ""), (ROLE_UNIT, "a"), (ROLE_DEPARTMENT, "a")):
        with pytest.raises(IdentityError):
            Identity(FEDERATION, "", role, name)


def test_an_identity_cannot_be_changed() -> None:
    identity = Identity.gateway(FEDERATION, MEMBER)
    with pytest.raises(dataclasses.FrozenInstanceError):
        identity.member_id = "x"  # type: ignore[misc]


@pytest.mark.parametrize(
    "name", ["", "internal", "-a.b", "a-.b", "a..b", "A.b", "a.b.", ".a.b", "x" * 64 + ".b", "a_b.c"]
)
def test_a_federation_is_a_lower_case_domain_name(name: str) -> None:
    with pytest.raises(IdentityError):
        require_federation(name)


def test_a_federation_name_is_bounded() -> None:
    with pytest.raises(IdentityError):
        require_federation(".".join(["abcdefgh"] * 15))
