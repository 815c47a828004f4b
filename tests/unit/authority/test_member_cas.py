"""A CA that a member runs itself: accepted for that member alone, believed like the authority's, and taken back."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Sequence

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from certs import keys, profiles
from certs.holders import certificate_pem
from certs.identity import Identity
from gateway.authority import accepting
from gateway.authority.office import Office
from gateway.errors import AccessError, ConfigError, EnvelopeError, RefusedError
from gateway.federation import directory as directory_module
from gateway.federation.directory import Directory
from gateway.federation.presented import presented
from gateway.services.serving import Caller
from tests.mutants import without
from tests.unit.authority.authority_world import ANHUI, FEDERATION, ZHEJIANG, World
from tests.unit.authority.member_ca_world import MemberCa, der

GATEWAY = Identity.gateway(FEDERATION, ZHEJIANG)
UNIT = Identity(FEDERATION, ZHEJIANG, "unit", "jinhua")
ANHUIS = Identity(FEDERATION, ANHUI, "unit", "hefei")


@pytest.fixture
def ca(world: World) -> MemberCa:
    """Of Zhejiang, not accepted yet; Anhui is a member as well."""
    world.office.add(world.entry(ZHEJIANG), world.entry(ANHUI, world.keys_of(ANHUI), region=340000))
    return MemberCa.made(world, ZHEJIANG)


def welcome(directory: Directory, identity: Identity, certificate: bytes) -> bool:
    try:
        Caller(identity, certificate).require_welcome(directory)
    except RefusedError:
        return False
    return True


def speaks(world: World, member_id: str, certificate: bytes) -> bool:
    try:
        world.office.require_peer(member_id, certificate)
    except RefusedError:
        return False
    return True


async def test_what_it_issues_is_believed_from_when_it_is_accepted_until_it_is_taken_back(
    world: World, ca: MemberCa
) -> None:
    made, unit = ca.keys_of(ZHEJIANG), der(ca.tls(UNIT))
    assert not speaks(world, ZHEJIANG, made.tls)
    assert not welcome(await world.directory(), UNIT, unit)

    accepted, version = world.office.accept_ca(ca.pem, ZHEJIANG)
    assert (accepted.name, world.office.version()) == ("external-1", version)
    assert speaks(world, ZHEJIANG, made.tls)
    [listed] = world.office.take([made.publication(1)])
    assert isinstance(listed, int)
    directory, now_ms = await world.directory(), world.clock.now_ms()
    assert welcome(directory, UNIT, unit)
    assert welcome(directory, GATEWAY, made.tls)
    assert directory.verify_key(ZHEJIANG, made.signing.key_id, now_ms)

    assert world.office.revoke_issuing("external-1") == (listed + 1, 0)
    directory = await world.directory()
    assert not speaks(world, ZHEJIANG, made.tls)
    assert not welcome(directory, UNIT, unit)
    assert not welcome(directory, GATEWAY, made.tls)
    with pytest.raises(EnvelopeError):
        directory.verify_key(ZHEJIANG, made.signing.key_id, now_ms)
    with pytest.raises(ConfigError, match="was in force already"):
        world.office.accept_ca(ca.pem, ZHEJIANG)

    here = world.keys_of(ZHEJIANG)  # and the authority's own certificates do, without more ado
    assert speaks(world, ZHEJIANG, here.tls)
    assert isinstance(world.office.take([here.publication(2)])[0], int)
    assert welcome(await world.directory(), GATEWAY, here.tls)


async def test_it_vouches_for_nobody_else_whoever_it_names(world: World, ca: MemberCa) -> None:
    world.office.accept_ca(ca.pem, ZHEJIANG)
    directory = await world.directory()
    anhui = Identity.gateway(FEDERATION, ANHUI)
    unit, gateway = der(ca.tls(ANHUIS)), der(ca.tls(anhui))
    assert not welcome(directory, ANHUIS, unit)
    assert not welcome(directory, anhui, gateway)
    for identity in (Identity.authority(FEDERATION), Identity(FEDERATION, ANHUI, "department", "insurance")):
        with pytest.raises(RefusedError):
            directory.require_believed(der(ca.tls(identity)))
    assert not speaks(world, ANHUI, gateway)
    assert not speaks(world, ZHEJIANG, gateway), "not even for its own member with another's name"
    assert not speaks(world, ZHEJIANG, der(ca.tls(UNIT))), "an agency speaks for no member"
    mutant = without(directory_module, [("belongs_to(certificate, self.federation) == own.member_id", "True")])
    assert directory._issuer(unit, presented(unit)) is None
    assert mutant.Directory._issuer(directory, unit, presented(unit)) == der(ca.certificate), "the binding stops it"


async def test_a_member_that_lists_nothing_is_not_spoken_for_by_another_members_ca(world: World, ca: MemberCa) -> None:
    """Between its admission and its first publication, or after it was readmitted."""
    world.office.accept_ca(ca.pem, ZHEJIANG)
    world.office.readmit(ANHUI, reason=4)
    thief = ca.keys_of(ANHUI)
    assert not speaks(world, ANHUI, thief.tls)
    [refusal] = world.office.take([thief.publication(1)])
    assert isinstance(refusal, AccessError)
    assert (refusal.code, "another member" in refusal.en, "其他成员" in refusal.zh) == ("PEER_MISMATCH", True, True)


async def test_a_key_that_another_members_ca_certified_verifies_nothing_were_it_listed(
    world: World, ca: MemberCa, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.office.accept_ca(ca.pem, ZHEJIANG)
    thief = ca.keys_of(ANHUI)
    monkeypatch.setattr(Office, "_require_own_cas", lambda *_: None)
    assert isinstance(world.office.take([thief.publication(1)])[0], int)
    with pytest.raises(EnvelopeError):
        (await world.directory()).verify_key(ANHUI, thief.signing.key_id, world.clock.now_ms())


def with_serial(ca: MemberCa, identity: Identity, number: int) -> x509.Certificate:
    """A certificate whose number its issuer has chosen."""
    like = ca.tls(identity)
    builder = x509.CertificateBuilder(like.issuer, like.subject, like.public_key(), number)
    builder = builder.not_valid_before(like.not_valid_before_utc).not_valid_after(like.not_valid_after_utc)
    for each in like.extensions:
        builder = builder.add_extension(each.value, each.critical)
    return builder.sign(ca.key, hashes.SHA384())


async def test_a_number_that_is_another_members_too_takes_nothing_back_but_its_own(world: World, ca: MemberCa) -> None:
    """A CA chooses its numbers. Its operator reports his certificate stolen, and means Anhui's."""
    world.office.accept_ca(ca.pem, ZHEJIANG)
    anhui = world.keys_of(ANHUI)
    world.office.take([anhui.publication(1)])
    number = x509.load_der_x509_certificate(anhui.tls).serial_number
    own = with_serial(ca, UNIT, number)
    assert world.office.revoke_pem(certificate_pem(own), reason=1).member_ca == "external-1"
    directory, holder = await world.directory(), Identity.gateway(FEDERATION, ANHUI)
    assert not welcome(directory, UNIT, der(own))
    assert welcome(directory, holder, anhui.tls)
    assert speaks(world, ANHUI, anhui.tls)

    world.office.revoke_issuing("external-1")  # the CA is not known by its key any more
    assert welcome(await world.directory(), holder, anhui.tls)
    assert isinstance(world.office.take([anhui.publication(2)])[0], int)

    assert len(world.office.revoke_serial(f"{number:x}", reason=1).taken) == 1
    assert not welcome(await world.directory(), holder, anhui.tls), "nor does it hide another's revocation"
    assert not speaks(world, ANHUI, anhui.tls)


async def test_single_certificates_of_it_are_taken_back_by_file_or_by_number(world: World, ca: MemberCa) -> None:
    world.office.accept_ca(ca.pem, ZHEJIANG)
    stolen, lost, kept = (ca.tls(UNIT) for _ in range(3))
    gateway = ca.keys_of(ZHEJIANG)
    assert isinstance(world.office.take([gateway.publication(1)])[0], int)
    world.office.revoke_pem(certificate_pem(stolen), reason=1)
    with pytest.raises(ConfigError, match=r"--issuing as well \(external-1\)"):
        world.office.revoke_serial(f"{lost.serial_number:x}", reason=1)
    world.office.revoke_vouched(f"{lost.serial_number:x}", "external-1", reason=1)
    directory = await world.directory()
    assert [welcome(directory, UNIT, der(each)) for each in (stolen, lost, kept)] == [False, False, True]

    world.office.revoke_pem(gateway.tls_pem, reason=1)
    assert not speaks(world, ZHEJIANG, gateway.tls)
    assert not world.office.entry(ZHEJIANG).gateways[0].tls_certificates, "it is listed no more"
    for name in ("external-2", "issuing"):
        with pytest.raises(ConfigError, match=f"called {name}"):
            world.office.revoke_vouched("17", name, reason=1)


def test_a_signing_key_is_barred_with_its_certificate(world: World, ca: MemberCa) -> None:
    world.office.accept_ca(ca.pem, ZHEJIANG)
    made, other = ca.keys_of(ZHEJIANG), ca.keys_of(ZHEJIANG)
    world.office.take([made.publication(1, other)])
    world.office.revoke_key(made.signing.key_id, reason=1)
    assert [each.key_id for each in world.office.entry(ZHEJIANG).signing_keys] == [other.signing.key_id]
    world.office.take([made.publication(2, other)])
    assert [each.key_id for each in world.office.entry(ZHEJIANG).signing_keys] == [other.signing.key_id]


@pytest.mark.parametrize("how", ["readmit", "remove", "superseded"])
async def test_whoever_is_taken_out_or_had_keys_stolen_loses_the_ca_too(world: World, ca: MemberCa, how: str) -> None:
    """A renewal that a thief got there is in no ledger here. Where nothing was stolen, what is listed is taken back."""
    world.office.accept_ca(ca.pem, ZHEJIANG)
    made = ca.keys_of(ZHEJIANG)
    world.office.take([made.publication(1)])
    renewed = ca.keys_of(ZHEJIANG)
    if how == "remove":
        world.office.remove(ZHEJIANG)
        world.office.add(world.entry(ZHEJIANG))
    else:
        world.office.readmit(ZHEJIANG, reason=4 if how == "superseded" else 1)
    assert not speaks(world, ZHEJIANG, made.tls)
    assert not welcome(await world.directory(), GATEWAY, made.tls)
    assert speaks(world, ZHEJIANG, renewed.tls) is (how == "superseded")


def test_it_counts_no_longer_than_it_and_its_certificates_are_valid(world: World, ca: MemberCa) -> None:
    world.office.accept_ca(ca.pem, ZHEJIANG)
    made = ca.keys_of(ZHEJIANG)
    world.clock.advance(31 * 86_400)
    assert not speaks(world, ZHEJIANG, made.tls), "TLS does not ask"
    fresh = ca.keys_of(ZHEJIANG)
    assert speaks(world, ZHEJIANG, fresh.tls)
    world.clock.advance(5 * 365 * 86_400)
    assert not speaks(world, ZHEJIANG, fresh.tls)


def test_who_may_have_certificates_of_its_own_ca_is_waited_for(world: World, ca: MemberCa) -> None:
    world.office.mark_seen({ANHUI: (world.office.version(), 1)})

    def told() -> int:
        [seen] = [each for each in world.office.report({}).members if each.member_id == ZHEJIANG]
        return seen.version

    assert told() == world.office.version(), "shut out: it works with no version at all"
    world.office.accept_ca(ca.pem, ZHEJIANG)
    assert told() == 0


# which are accepted


def signed(
    world: World,
    key: ec.EllipticCurvePrivateKey,
    *,
    permitted: list[x509.GeneralName],
    excluded: Sequence[x509.GeneralName] | None = None,
    path: int = 0,
) -> bytes:
    """A CA with name constraints of its maker's choice."""
    root = world.ca.issuing.root_issuer(None, None)
    builder = profiles._issued(root, x509.Name([]), key.public_key(), world.now, dt.timedelta(days=9))  # type: ignore[arg-type]
    builder = profiles._authority_extensions(builder, key.public_key(), path_length=path)  # type: ignore[arg-type]
    constraints = x509.NameConstraints(permitted, excluded)
    return certificate_pem(builder.add_extension(constraints, critical=True).sign(root.key, hashes.SHA384()))


URI, DNS = x509.UniformResourceIdentifier, x509.DNSName


async def test_one_that_has_expired_is_told_of_no_more_by_the_service(world: World, ca: MemberCa) -> None:
    names = [URI(FEDERATION), DNS(GATEWAY.tls_name)]
    every = [x509.IPAddress(ipaddress.ip_network(each)) for each in ("0.0.0.0/0", "::/0")]
    world.office.accept_ca(signed(world, keys.generate_authority_key(), permitted=names, excluded=every), ZHEJIANG)
    assert len((await world.directory()).member_cas) == 1
    world.clock.advance(10 * 86_400)
    assert world.office.upkeep()
    assert not (await world.directory()).member_cas
    assert not world.office.upkeep()


REACHING_FURTHER: list[tuple[list[x509.GeneralName], str]] = [
    ([URI(FEDERATION), DNS(FEDERATION)], "no DNS names but those of the member"),
    ([URI(FEDERATION), DNS(f"{ANHUI.lower()}.gateway.{FEDERATION}")], "no DNS names but those of the member"),
    ([URI(FEDERATION), DNS(f"x{ZHEJIANG.lower()}.gateway.{FEDERATION}")], "no DNS names but those of the member"),
    ([URI(FEDERATION)], "no DNS names but those of the member"),
    ([URI(FEDERATION), DNS("localhost")], "no DNS names but those of the member"),
    ([DNS(GATEWAY.tls_name)], "outside the names"),
    ([URI(FEDERATION), URI("else.where"), DNS(GATEWAY.tls_name)], "nothing else"),
    ([URI(FEDERATION), DNS(GATEWAY.tls_name), x509.RFC822Name("a.b")], "not known"),
    ([URI(FEDERATION), DNS(GATEWAY.tls_name)], "exclude every IP address"),
]


def test_a_ca_whose_names_reach_further_is_not_accepted(world: World, ca: MemberCa) -> None:
    for permitted, match in REACHING_FURTHER:
        with pytest.raises(ConfigError, match=match) as caught:
            world.office.accept_ca(signed(world, ca.key, permitted=permitted), ZHEJIANG)
        assert "CA" in caught.value.zh or "证书" in caught.value.zh
    assert not world.office.accepted_cas()


def test_only_what_the_root_signed_for_this_member_is_accepted_once(world: World, ca: MemberCa) -> None:
    office, other = world.office, MemberCa.made(world, ANHUI)
    self_signed = profiles.root_certificate(keys.generate_authority_key(), FEDERATION, world.now)
    further = signed(world, keys.generate_authority_key(), permitted=[URI(FEDERATION)], path=1)
    for pem, match in (
        (other.pem, "no DNS names but those of the member"),
        (certificate_pem(self_signed), "does not end in a root"),
        (world.ca.root_pem, "required extension"),
        (certificate_pem(ca.tls(UNIT)), "does not end in a root"),
        (further, "path length"),
        (certificate_pem(world.ca.issuing.current.certificate), "no DNS names but those of the member"),
        (ca.pem + other.pem, "one certificate is expected"),
        (b"nonsense", "not a certificate in PEM"),
    ):
        with pytest.raises(ConfigError, match=match):
            office.accept_ca(pem, ZHEJIANG)
    with pytest.raises(ConfigError, match="no such member"):
        office.accept_ca(ca.pem, "12420000002482285K")
    office.accept_ca(ca.pem, ZHEJIANG)
    again = certificate_pem(
        profiles.member_certificate(
            world.ca.issuing.root_issuer(None, None), ca.key.public_key(), ZHEJIANG, world.now, "again"
        )
    )
    for pem in (ca.pem, again):
        with pytest.raises(ConfigError, match="already"):
            office.accept_ca(pem, ZHEJIANG)
    second = MemberCa.made(world, ZHEJIANG)
    assert office.accept_ca(second.pem, ZHEJIANG)[0].name == "external-2"
    world.clock.advance(5 * 365 * 86_400 + 1)
    with pytest.raises(ConfigError, match="expired"):
        office.accept_ca(other.pem, ANHUI)


def test_they_are_bounded_in_number(world: World, ca: MemberCa, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepting, "MAX_MEMBER_CAS", 1)
    world.office.accept_ca(ca.pem, ZHEJIANG)
    with pytest.raises(ConfigError, match="take one back"):
        world.office.accept_ca(MemberCa.made(world, ANHUI).pem, ANHUI)
    world.office.revoke_issuing("external-1")
    assert world.office.accept_ca(MemberCa.made(world, ANHUI).pem, ANHUI)[0].name == "external-2"


def test_a_request_for_a_ca_is_proven_and_of_the_right_kind(world: World, ca: MemberCa) -> None:
    small = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    pem = small.sign(keys.generate_tls_key(), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    for wrong, match in ((pem, "P-384"), (b"nonsense", "not a certification request"), (b"x" * 100_000, "not a")):
        with pytest.raises(ConfigError, match=match):
            world.office.certify_ca(wrong, ZHEJIANG, None, None)
    with pytest.raises(ConfigError, match="no such member"):
        world.office.certify_ca(pem, "12420000002482285K", None, None)
