"""The key of an issuing CA was stolen: what a thief makes with it is refused, what the CA really issued goes on."""

from __future__ import annotations

import asyncio
import datetime as dt
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from certs import keys, profiles
from certs.errors import AuthorityError
from certs.holders import certificate_pem
from certs.identity import Identity
from certs.issuing import IssuingCa
from certs.slot_journal import Generation, Journal, Publication
from gateway.authority.membership import Membership
from gateway.authority.office import Office
from gateway.errors import ConfigError, EnvelopeError, RefusedError
from gateway.federation import directory as directory_module
from gateway.federation.directory import Directory
from gateway.federation.directory_build import signing_key
from gateway.federation.own_standing import objections
from gateway.services.serving import Caller, Desk
from gateway.status import from_rpc_error
from tests.mutants import without
from tests.unit.authority.authority_world import FEDERATION, ZHEJIANG, Keys, World
from tests.unit.services.gateways_world import AbortedError, Call

UNIT = Identity(FEDERATION, ZHEJIANG, "unit", "jinhua")
GATEWAY = Identity.gateway(FEDERATION, ZHEJIANG)


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def forged(world: World, ca: IssuingCa, identity: Identity = UNIT) -> x509.Certificate:
    """What somebody makes who has the CA's key: in no ledger."""
    key = keys.generate_tls_key().public_key()
    return profiles.tls_certificate(ca.issuer, key, identity, world.now, dt.timedelta(days=30))


def rolled(world: World) -> IssuingCa:
    """The CA whose key was stolen; another issues now."""
    (stolen,) = world.ca.issuing.all
    world.office.roll_issuing(None, None)
    world.ca.issuing.refresh()
    return stolen


def welcome(directory: Directory, certificate: x509.Certificate | bytes, identity: Identity = UNIT) -> bool:
    shown = certificate if isinstance(certificate, bytes) else der(certificate)
    try:
        Caller(identity, shown).require_welcome(directory)
    except RefusedError:
        return False
    return True


async def test_an_agency_of_a_stolen_key_is_out_and_those_really_issued_go_on(world: World) -> None:
    world.office.add(world.entry(ZHEJIANG))
    before = world.ca.issue_unit_tls(ZHEJIANG, "jinhua", keys.generate_tls_key().public_key(), now=world.now)
    taken = world.ca.issue_unit_tls(ZHEJIANG, "jinhua", keys.generate_tls_key().public_key(), now=world.now)
    stolen = rolled(world)
    after = world.ca.issue_unit_tls(ZHEJIANG, "jinhua", keys.generate_tls_key().public_key(), now=world.now)
    thief = forged(world, stolen)
    directory = await world.directory()
    assert [welcome(directory, each) for each in (before.der, taken.der, after.der, thief)] == [True] * 4

    world.office.revoke_serial(f"{taken.certificate.serial_number:x}", reason=1)
    version, kept = world.office.revoke_issuing(stolen.name)
    directory = await world.directory()
    assert (directory.version, kept) == (version, 1)
    assert [welcome(directory, each) for each in (before.der, taken.der, after.der, thief)] == [
        True,
        False,
        True,
        False,
    ]
    assert world.office.revoke_issuing(stolen.name)[1] == 1, "to be repeated, had it been killed"


async def test_it_is_refused_at_its_next_call_and_its_open_call_ends(world: World) -> None:
    world.office.add(world.entry(ZHEJIANG))
    stolen = rolled(world)
    reader = world.reader()
    await reader.refresh()
    desk = Desk(world.clock, reader.current, federation=FEDERATION, limit=4)
    reader.subscribe(desk.recheck)
    call = Call(UNIT, certificate=certificate_pem(forged(world, stolen))).as_context()

    async def well(_peer: Identity) -> str:
        return "done"

    async def open_ended(_peer: Identity) -> None:
        await asyncio.Event().wait()

    held = asyncio.create_task(desk.attend(call, open_ended))
    assert await desk.serve("Check", call, well) == "done"
    assert not held.done()
    world.office.revoke_issuing(stolen.name)
    await reader.refresh()
    for ended in (held, desk.serve("Check", call, well)):
        with pytest.raises(AbortedError) as caught:
            await ended
        arrived = from_rpc_error(caught.value.as_client_sees_it())
        assert arrived is not None
        assert (arrived.code, "CA" in arrived.en, "CA" in arrived.zh) == ("STRANGER", True, True)


async def test_claiming_another_cas_key_does_not_help(world: World) -> None:
    world.office.add(world.entry(ZHEJIANG))
    stolen = rolled(world)
    world.office.revoke_issuing(stolen.name)
    current = world.ca.issuing.current
    mixed = replace(stolen.issuer, certificate=current.certificate)
    key = keys.generate_tls_key().public_key()
    liar = profiles.tls_certificate(mixed, key, UNIT, world.now, dt.timedelta(days=30))
    directory = await world.directory()
    assert not welcome(directory, liar)
    mutant = without(directory_module, [("not issued_by(certificate, issuer)", "False")])
    mutant.Directory.require_certified(directory, der(liar))  # it is the signature that stops it


async def test_naming_no_issuer_does_not_help(world: World) -> None:
    world.office.add(world.entry(ZHEJIANG))
    stolen = rolled(world)
    plain = (
        x509.CertificateBuilder(stolen.certificate.subject, x509.Name([]), stolen.issuer.key.public_key(), 7)
        .not_valid_before(world.now)
        .not_valid_after(world.now + dt.timedelta(days=1))
        .sign(stolen.issuer.key, hashes.SHA384())
    )
    assert not welcome(await world.directory(), plain), "not even before it is revoked"


async def objected(world: World, made: Keys) -> tuple[str, ...]:
    """Kinds of the keys that this gateway says partners refuse."""
    chains = {"tls": made.tls_pem, "signing": certificate_pem(x509.load_der_x509_certificate(made.signing.certificate))}
    ids = {"tls": "", "signing": made.signing.key_id}
    current = [
        Generation.model_validate({"kind": kind, "number": 1, "state": "current", "key_id": ids[kind], "made_at_ms": 0})
        for kind in ids
    ]
    journal = Journal(publication=Publication(sequence=1, version=1), generations=tuple(current))
    against = objections(await world.directory(), ZHEJIANG, journal, lambda each: chains[each.kind])
    return tuple(each.kind for each in against)


async def test_revoking_a_ca_interrupts_no_gateway_and_one_that_lists_nothing_enrols_anew(world: World) -> None:
    made = world.keys_of(ZHEJIANG)
    world.office.add(world.entry(ZHEJIANG, made))
    stolen = rolled(world)
    world.office.revoke_issuing(stolen.name)
    directory = await world.directory()
    thief = forged(world, stolen, GATEWAY)
    assert [welcome(directory, each, GATEWAY) for each in (made.tls, thief)] == [True, False]
    assert directory.verify_key(ZHEJIANG, made.signing.key_id, world.clock.now_ms())
    assert await objected(world, made) == ()
    world.office.readmit(ZHEJIANG, reason=4)
    fresh = world.keys_of(ZHEJIANG)
    directory = await world.directory()
    assert [welcome(directory, each, GATEWAY) for each in (made.tls, fresh.tls, der(thief))] == [False, True, False]


def thiefs(world: World, stolen: IssuingCa) -> Keys:
    """A gateway's keys, certified by a thief."""
    tls, signer = keys.generate_tls_key(), keys.generate_signing_key()
    shown = profiles.tls_certificate(stolen.issuer, tls.public_key(), GATEWAY, world.now, dt.timedelta(days=30))
    signs = profiles.signing_certificate(stolen.issuer, signer.public_key(), GATEWAY, world.now, dt.timedelta(days=30))
    return replace(
        world.keys_of(ZHEJIANG),
        tls_key=tls,
        tls_pem=certificate_pem(shown),
        tls=der(shown),
        signing=signing_key(der(signs), [der(stolen.certificate)]),
    )


async def test_what_a_thief_had_listed_counts_no_more_than_what_he_shows(world: World) -> None:
    """Who has a gateway's TLS key besides the issuing key publishes in its name what is in no ledger."""
    made = world.keys_of(ZHEJIANG)
    world.office.add(world.entry(ZHEJIANG, made))
    stolen = rolled(world)
    thief = thiefs(world, stolen)
    world.office.take([made.publication(1, thief)])
    directory = await world.directory()
    assert [welcome(directory, each, GATEWAY) for each in (made.tls, thief.tls)] == [True, True], "nobody knows yet"

    world.office.revoke_issuing(stolen.name)
    directory = await world.directory()
    assert [welcome(directory, each, GATEWAY) for each in (made.tls, thief.tls)] == [True, False]
    now_ms = world.clock.now_ms()
    assert directory.verify_key(ZHEJIANG, made.signing.key_id, now_ms)
    with pytest.raises(EnvelopeError):
        directory.verify_key(ZHEJIANG, thief.signing.key_id, now_ms)
    assert (await objected(world, made), await objected(world, thief)) == ((), ("tls", "signing"))


def test_the_authority_is_spoken_to_with_what_it_issued_alone_whatever_is_listed(world: World) -> None:
    made = world.keys_of(ZHEJIANG)
    world.office.add(world.entry(ZHEJIANG, made))
    thief = thiefs(world, world.ca.issuing.current)
    world.office.take([made.publication(1, thief)])
    world.office.require_peer(ZHEJIANG, made.tls)
    with pytest.raises(RefusedError, match="not that of a member's gateway"):
        world.office.require_peer(ZHEJIANG, thief.tls)


def test_a_member_that_lists_nothing_is_spoken_for_by_what_was_really_issued_alone(world: World) -> None:
    """Else a thief would publish keys of his own for a province between its admission and its first publication."""
    world.office.add(world.entry(ZHEJIANG))
    thief = forged(world, world.ca.issuing.current, GATEWAY)
    with pytest.raises(RefusedError, match="not that of a member's gateway"):
        world.office.require_peer(ZHEJIANG, der(thief))
    world.office.require_peer(ZHEJIANG, world.keys_of(ZHEJIANG).tls)


def test_the_ca_that_issues_is_not_taken_back_before_there_is_another(world: World) -> None:
    with pytest.raises(ConfigError, match="issuing roll"):
        world.office.revoke_issuing("issuing")
    with pytest.raises(ConfigError, match="no issuing CA issuing-7"):
        world.office.revoke_issuing("issuing-7")
    with pytest.raises(AuthorityError):
        world.ca.issuing.revoke("", world.now)
    assert world.office.version() == 1


async def test_killed_between_ledger_and_directory_the_service_completes_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.office.add(world.entry(ZHEJIANG))
    stolen = rolled(world)
    thief = forged(world, stolen)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Membership, "change", killed)
        with pytest.raises(KeyboardInterrupt):
            world.office.revoke_issuing(stolen.name)
    assert welcome(await world.directory(), thief)
    again = Office(world.home, world.clock)
    assert again.upkeep()
    assert not welcome(await world.directory(), thief)
    assert not again.upkeep(), "done once"
    again.close()


async def test_cas_that_came_or_went_otherwise_are_told_of_by_the_service(world: World) -> None:
    world.office.add(world.entry(ZHEJIANG))
    world.ca.issuing.roll(now=world.now)
    assert len((await world.directory()).issuing) == 1
    assert world.office.upkeep()
    assert len((await world.directory()).issuing) == 2
    assert world.ca.issuing.prune(world.now) == ("issuing",), "it never issued anything"
    assert world.office.upkeep()
    [left] = (await world.directory()).issuing.values()
    assert left == der(world.ca.issuing.current.certificate)
    assert not world.office.upkeep()
