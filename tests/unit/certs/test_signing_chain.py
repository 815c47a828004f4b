"""A signing certificate is believed only when every part of the rule of `verify_signing_chain` holds."""

from __future__ import annotations

import datetime as dt
import ipaddress
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from certs import keys, profiles
from certs.chain import load_roots, verify_signing_chain
from certs.errors import ChainError
from certs.identity import ROLE_UNIT, Identity

MEMBER = "11330000002482285J"
OTHER = "12330000002482285F"
FEDERATION = "test.wugan.internal"


def usage(**flags: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        **{
            name: flags.get(name, False)
            for name in (
                "digital_signature",
                "content_commitment",
                "key_encipherment",
                "data_encipherment",
                "key_agreement",
                "key_cert_sign",
                "crl_sign",
                "encipher_only",
                "decipher_only",
            )
        }
    )


def names(*uris: str) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri) for uri in uris])


def swap(value: x509.ExtensionType, critical: bool = True) -> Any:
    """Replace the extension of the same kind, or add it."""
    return lambda held: [(old, flag) for old, flag in held if old.oid != value.oid] + [(value, critical)]


def drop(kind: type[x509.ExtensionType]) -> Any:
    return lambda held: [(old, flag) for old, flag in held if old.oid != kind.oid]


def refused(
    world: Any, leaf: bytes, now: dt.datetime, *, issuing: bytes | None = None, match: str | None = None
) -> None:
    with pytest.raises(ChainError, match=match) as caught:
        verify_signing_chain(leaf, [issuing or world.issuing_der], world.roots, now)
    assert caught.value.zh.startswith("证书链被拒绝")


def test_a_proper_chain_yields_the_member_and_its_key(world: Any, now: dt.datetime, gateway: Identity) -> None:
    issued = world.leaf()
    proven = verify_signing_chain(issued.der, issued.intermediates_der, world.roots, now)
    assert proven.identity == gateway
    assert proven.public_key == world.signing_key.public_key()
    assert proven.not_before == now - profiles.BACKDATE
    assert proven.not_after == now + profiles.SIGNING_LIFETIME


def test_the_forger_can_make_a_proper_leaf(world: Any, now: dt.datetime, gateway: Identity) -> None:
    """Otherwise all refusals below would prove nothing."""
    assert verify_signing_chain(world.forge(), [world.issuing_der], world.roots, now).identity == gateway


def test_a_chain_holds_within_its_dates_and_not_a_second_longer(world: Any, now: dt.datetime) -> None:
    issued = world.leaf()
    second = dt.timedelta(seconds=1)
    begin, end = now - profiles.BACKDATE, now + profiles.SIGNING_LIFETIME
    for at in (begin, end):
        verify_signing_chain(issued.der, issued.intermediates_der, world.roots, at)
    for at in (begin - second, end + second):
        refused(world, issued.der, at, match="expired or not yet valid")


def test_an_expired_issuer_invalidates_a_leaf_that_is_still_valid(world: Any) -> None:
    end = world.issuer.certificate.not_valid_after_utc
    leaf = world.forge(not_after=end + dt.timedelta(days=9))
    refused(world, leaf, end + dt.timedelta(days=1), match="expired")


def test_a_strangers_chain_is_refused(world: Any, foreign: Any, now: dt.datetime) -> None:
    issued = foreign.leaf()
    refused(world, issued.der, now, issuing=foreign.issuing_der, match="root")
    refused(world, issued.der, now)
    refused(world, world.leaf().der, now, issuing=foreign.issuing_der)


def test_a_stranger_under_the_name_of_our_issuer_is_refused(world: Any, foreign: Any, now: dt.datetime) -> None:
    assert foreign.issuer.certificate.subject == world.issuer.certificate.subject
    refused(world, world.forge(issuer=foreign.issuer), now)


def test_the_right_root_is_found_among_several_of_one_name(world: Any, foreign: Any, now: dt.datetime) -> None:
    issued = world.leaf()
    roots = (*foreign.roots, *world.roots)
    assert verify_signing_chain(issued.der, issued.intermediates_der, roots, now).identity.member_id == MEMBER


def test_a_chain_of_another_length_is_refused(world: Any, now: dt.datetime) -> None:
    leaf = world.leaf().der
    root = world.roots[0].public_bytes(serialization.Encoding.DER)
    for intermediates in ([], [world.issuing_der, root], [world.issuing_der] * 2, [root], [leaf]):
        with pytest.raises(ChainError):
            verify_signing_chain(leaf, intermediates, world.roots, now)
    with pytest.raises(ChainError):
        verify_signing_chain(leaf, [world.issuing_der], (), now)


def test_a_leaf_straight_from_the_root_is_refused(world: Any, now: dt.datetime) -> None:
    refused(world, world.forge(issuer=world.root), now)


def test_a_tls_certificate_signs_no_messages(world: Any, now: dt.datetime) -> None:
    issued = world.authority.issue_gateway_tls(MEMBER, keys.generate_tls_key().public_key(), now=now)
    refused(world, issued.der, now)


@pytest.mark.parametrize(
    "purposes",
    [
        [x509.ExtendedKeyUsageOID.CLIENT_AUTH],
        [x509.ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE],
        [profiles.MESSAGE_SIGNING, x509.ExtendedKeyUsageOID.SERVER_AUTH],
    ],
)
def test_another_extended_key_usage_is_refused(
    world: Any, now: dt.datetime, purposes: list[x509.ObjectIdentifier]
) -> None:
    refused(world, world.forge(swap(x509.ExtendedKeyUsage(purposes))), now, match="not meant for message signing")


@pytest.mark.parametrize(
    "kind",
    [
        x509.ExtendedKeyUsage,
        x509.KeyUsage,
        x509.BasicConstraints,
        x509.SubjectAlternativeName,
        x509.AuthorityKeyIdentifier,
    ],
)
def test_a_leaf_without_a_required_extension_is_refused(world: Any, now: dt.datetime, kind: Any) -> None:
    refused(world, world.forge(drop(kind)), now, match="missing")


@pytest.mark.parametrize(
    "flags",
    [
        {"digital_signature": True},
        {"content_commitment": True},
        {"digital_signature": True, "content_commitment": True, "key_cert_sign": True},
    ],
)
def test_another_key_usage_is_refused(world: Any, now: dt.datetime, flags: dict[str, bool]) -> None:
    refused(world, world.forge(swap(usage(**flags))), now, match="key usage")


def test_a_key_usage_that_is_not_critical_is_refused(world: Any, now: dt.datetime) -> None:
    flags = usage(digital_signature=True, content_commitment=True)
    refused(world, world.forge(swap(flags, critical=False)), now, match="must be critical")


def test_an_authoritys_certificate_used_as_leaf_is_refused(world: Any, now: dt.datetime) -> None:
    refused(world, world.forge(swap(x509.BasicConstraints(ca=True, path_length=0))), now, match="authority")
    refused(world, world.issuing_der, now)


def test_a_leaf_used_as_authority_is_refused(world: Any, now: dt.datetime) -> None:
    key = keys.generate_tls_key()
    middle = world.authority.issue_gateway_tls(MEMBER, key.public_key(), now=now)
    issuer = profiles.Issuer(middle.certificate, key, FEDERATION)
    refused(world, world.forge(issuer=issuer), now, issuing=middle.der)


@pytest.mark.parametrize(
    "uri",
    [
        f"spiffe://other.wugan.internal/member/{MEMBER}/gateway",
        f"spiffe://sub.{FEDERATION}/member/{MEMBER}/gateway",
        f"spiffe://evil{FEDERATION}/member/{MEMBER}/gateway",
    ],
)
def test_a_name_outside_the_issuers_constraints_is_refused(world: Any, now: dt.datetime, uri: str) -> None:
    refused(world, world.forge(swap(names(uri))), now, match="outside the names")


@pytest.mark.parametrize(
    "san",
    [
        names(),
        names(f"spiffe://{FEDERATION}/member/{MEMBER}/gateway", f"spiffe://{FEDERATION}/member/{OTHER}/gateway"),
        x509.SubjectAlternativeName([x509.DNSName("11330000002482285j.gateway.test.wugan.internal")]),
        x509.SubjectAlternativeName(
            [
                x509.UniformResourceIdentifier(f"spiffe://{FEDERATION}/member/{MEMBER}/gateway"),
                x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
            ]
        ),
    ],
    ids=["none", "two", "dns", "beside an address"],
)
def test_a_leaf_that_names_not_exactly_one_member_is_refused(
    world: Any, now: dt.datetime, san: x509.SubjectAlternativeName
) -> None:
    refused(world, world.forge(swap(san)), now)


def test_a_malformed_identity_or_one_of_a_unit_is_refused(world: Any, now: dt.datetime) -> None:
    refused(world, world.forge(swap(names(f"spiffe://{FEDERATION}/member/{MEMBER}"))), now)
    unit = Identity(FEDERATION, MEMBER, ROLE_UNIT, "330700")
    refused(world, world.forge(swap(names(unit.uri))), now, match="gateway")


def test_a_key_of_another_kind_is_refused(world: Any, now: dt.datetime) -> None:
    refused(world, world.forge(public_key=keys.generate_tls_key().public_key()), now, match="Ed25519")


def test_an_unknown_critical_extension_is_refused_and_an_uncritical_one_ignored(world: Any, now: dt.datetime) -> None:
    strange = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    refused(world, world.forge(swap(strange)), now, match="critical extension")
    verify_signing_chain(world.forge(swap(strange, critical=False)), [world.issuing_der], world.roots, now)


def test_a_leaf_signed_with_a_weak_digest_is_refused(world: Any, now: dt.datetime) -> None:
    refused(world, world.forge(hash=hashes.SHA224()), now, match="algorithm")


def test_a_leaf_that_names_another_key_of_its_issuer_is_refused(world: Any, now: dt.datetime) -> None:
    wrong = x509.AuthorityKeyIdentifier(bytes(20), None, None)
    refused(world, world.forge(swap(wrong, critical=False)), now, match="another key")


ISSUING_CHANGES: dict[str, Any] = {
    "no authority": swap(x509.BasicConstraints(ca=False, path_length=None)),
    "deeper": swap(x509.BasicConstraints(ca=True, path_length=1)),
    "unlimited": swap(x509.BasicConstraints(ca=True, path_length=None)),
    "uncritical": swap(x509.BasicConstraints(ca=True, path_length=0), critical=False),
    "may not sign": swap(usage(crl_sign=True)),
    "unconstrained": drop(x509.NameConstraints),
    "only dns": swap(x509.NameConstraints([x509.DNSName(FEDERATION)], None)),
    "constraints uncritical": swap(
        x509.NameConstraints([x509.UniformResourceIdentifier(FEDERATION)], None), critical=False
    ),
    "excluded": swap(
        x509.NameConstraints(
            [x509.UniformResourceIdentifier(FEDERATION)], [x509.UniformResourceIdentifier(".wugan.internal")]
        )
    ),
    "subject constrained": swap(
        x509.NameConstraints([x509.UniformResourceIdentifier(FEDERATION), x509.DirectoryName(x509.Name([]))], None)
    ),
    "for tls only": swap(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH])),
}


def reissued(world: Any, change: Any) -> profiles.Issuer:
    """The issuing authority with another certificate for the same key."""
    der = world.forge(change, template=world.issuer.certificate, issuer=world.root)
    return profiles.Issuer(x509.load_der_x509_certificate(der), world.issuer.key, FEDERATION)


@pytest.mark.parametrize("change", ISSUING_CHANGES.values(), ids=ISSUING_CHANGES)
def test_an_issuing_authority_of_another_profile_is_refused(world: Any, now: dt.datetime, change: Any) -> None:
    issuer = reissued(world, change)
    der = issuer.certificate.public_bytes(serialization.Encoding.DER)
    refused(world, world.forge(issuer=issuer), now, issuing=der)


def test_a_subdomain_constraint_permits_what_lies_below_it(world: Any, now: dt.datetime) -> None:
    issuer = reissued(world, swap(x509.NameConstraints([x509.UniformResourceIdentifier(".wugan.internal")], None)))
    der = issuer.certificate.public_bytes(serialization.Encoding.DER)
    assert verify_signing_chain(world.forge(issuer=issuer), [der], world.roots, now).identity.member_id == MEMBER


@pytest.mark.parametrize("length", [0, None, 3])
def test_the_roots_path_length_counts(world: Any, now: dt.datetime, length: int | None) -> None:
    der = world.forge(
        swap(x509.BasicConstraints(ca=True, path_length=length)), template=world.root.certificate, issuer=world.root
    )
    roots = (x509.load_der_x509_certificate(der),)
    issued = world.leaf()
    if length == 0:
        with pytest.raises(ChainError, match="path lengths"):
            verify_signing_chain(issued.der, issued.intermediates_der, roots, now)
    else:
        verify_signing_chain(issued.der, issued.intermediates_der, roots, now)


@given(place=st.integers(0, 1 << 16), change=st.integers(1, 255))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_changed_byte_of_a_leaf_is_accepted(world: Any, now: dt.datetime, place: int, change: int) -> None:
    leaf = bytearray(world.leaf().der)
    leaf[place % len(leaf)] ^= change
    refused(world, bytes(leaf), now)


@pytest.mark.parametrize("back", [1, 40, 200, 400])
def test_an_issuer_verified_before_vouches_for_no_other(world: Any, now: dt.datetime, back: int) -> None:
    issued = world.leaf()
    verify_signing_chain(issued.der, issued.intermediates_der, world.roots, now)
    changed = bytearray(world.issuing_der)
    changed[-back] ^= 1
    refused(world, issued.der, now, issuing=bytes(changed))


def test_a_signature_has_one_form_only(world: Any, now: dt.datetime) -> None:
    """Where its last bits are 0, they may be said to be unused: the same signature in other bytes (X.690, 11.2.2)."""
    tried = 0
    for certificate in (world.leaf().der for _ in range(64)):
        if certificate[-1] & 1:
            continue
        tried += 1
        at = len(certificate) - len(x509.load_der_x509_certificate(certificate).signature) - 1
        assert certificate[at] == 0
        other = bytearray(certificate)
        other[at] = 1
        refused(world, bytes(other), now, match="not in DER")
        break
    assert tried


@given(st.binary(max_size=200), st.binary(max_size=200))
@settings(max_examples=50)
def test_nonsense_is_refused_as_a_chain(leaf: bytes, issuing: bytes) -> None:
    with pytest.raises(ChainError):
        verify_signing_chain(leaf, [issuing], (), dt.datetime(2026, 1, 1, tzinfo=dt.UTC))


def test_an_oversized_certificate_is_refused_unread(world: Any, now: dt.datetime) -> None:
    refused(world, world.leaf().der + bytes(20_000), now, match="too large")


def test_roots_are_read_from_pem_in_bounded_number(world: Any) -> None:
    pem = world.authority.root_pem
    assert load_roots(pem * 2) == world.roots * 2
    for bad in (b"", b"nonsense", pem * 17):
        with pytest.raises(ChainError):
            load_roots(bad)
