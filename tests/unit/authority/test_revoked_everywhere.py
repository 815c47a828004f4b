"""What is revoked is revoked everywhere: directory, revocation list, OCSP, renewal; also when it was killed between."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp

from certs import keys, ledger, profiles
from certs.errors import EstError, LedgerError
from certs.est_client import EstClient
from certs.identity import Identity
from certs.ledger import Ledger
from certs.tls_context import client_context
from gateway.authority import run
from gateway.authority.membership import Membership
from gateway.authority.office import Office
from gateway.errors import ConfigError, RefusedError, StoreError
from gateway.federation import directory_entries
from gateway.federation.directory import Directory
from tests.unit.authority.authority_world import ANHUI, FEDERATION, ZHEJIANG, Keys, World

NAME = f"authority.{FEDERATION}"


def csr(key: keys.PrivateKey) -> x509.CertificateSigningRequest:
    return x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())  # type: ignore[arg-type]


class Served:
    """The running authority, as others ask it."""

    def __init__(self, world: World, bound: run.Bound) -> None:
        self.world = world
        self.bound = bound

    def est(self, shown: Keys | None = None) -> EstClient:
        known = () if shown is None else (shown.tls_key, shown.tls_pem)
        context = client_context(self.world.ca.root_pem, *known)
        return EstClient(f"https://{self.bound.https}", context, tls_name=NAME)

    async def crl(self) -> x509.CertificateRevocationList:
        async with aiohttp.ClientSession() as session:
            answer = await session.get(f"http://{self.bound.plain}/crl/issuing.crl")
            assert answer.status == 200
            return x509.load_der_x509_crl(await answer.read())

    async def ocsp(self, pem: bytes) -> ocsp.OCSPCertStatus:
        leaf, issuer = x509.load_pem_x509_certificates(pem)
        asked = ocsp.OCSPRequestBuilder().add_certificate(leaf, issuer, hashes.SHA256()).build()
        body = asked.public_bytes(serialization.Encoding.DER)
        async with aiohttp.ClientSession(headers={"Content-Type": "application/ocsp-request"}) as session:
            answer = await session.post(f"http://{self.bound.plain}/ocsp", data=body)
            return ocsp.load_der_ocsp_response(await answer.read()).certificate_status


@pytest.fixture
async def served(world: World) -> AsyncIterator[Served]:
    settings = world.home / "authority.toml"
    settings.write_text(settings.read_text("utf-8") + 'plain_listen = "127.0.0.1:0"\n', "utf-8")
    async with run.authority(world.home, world.clock) as bound:
        yield Served(world, bound)


async def renewed(served: Served, shown: Keys) -> bool:
    async with served.est(shown) as est:
        try:
            await est.simplereenroll(csr(keys.generate_tls_key()))
        except EstError as error:
            return (error.status, "revoked" in error.en) != (403, True)
        return True


@pytest.mark.parametrize("how", ["pem", "serial", "member", "key"])
async def test_directory_list_ocsp_and_renewal_agree(served: Served, world: World, how: str) -> None:
    made = world.keys_of(ZHEJIANG)
    world.office.add(world.entry(ZHEJIANG, made))
    pem = made.tls_pem
    serial = x509.load_pem_x509_certificate(pem).serial_number
    assert await renewed(served, made)
    assert await served.ocsp(pem) is ocsp.OCSPCertStatus.GOOD
    assert (await served.crl()).get_revoked_certificate_by_serial_number(serial) is None
    if how == "pem":
        world.office.revoke_pem(pem, reason=1)
    elif how == "serial":
        world.office.revoke_serial(f"{serial:x}", reason=1)
    elif how == "member":
        world.office.remove(ZHEJIANG, reason=1)
    else:
        signing = x509.load_der_x509_certificate(made.signing.certificate)
        serial = signing.serial_number
        issuer = x509.load_der_x509_certificate(made.signing.intermediates[0])
        pem = b"".join(each.public_bytes(serialization.Encoding.PEM) for each in (signing, issuer))
        world.office.revoke_key(made.signing.key_id, reason=1)
    directory = await world.directory()
    with pytest.raises(RefusedError, match="revoked"):
        directory.require_not_revoked(x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER))
    entry = (await served.crl()).get_revoked_certificate_by_serial_number(serial)
    assert entry is not None
    assert entry.extensions.get_extension_for_class(x509.CRLReason).value.reason is x509.ReasonFlags.key_compromise
    assert await served.ocsp(pem) is ocsp.OCSPCertStatus.REVOKED
    assert await renewed(served, made) is (how == "key"), "its TLS certificate is another"


async def test_what_a_members_agencies_have_goes_with_it_and_its_tokens(served: Served, world: World) -> None:
    world.office.add(world.entry(ZHEJIANG))
    unit_key = keys.generate_tls_key()
    unit = world.ca.issue_unit_tls(ZHEJIANG, "jinhua", unit_key.public_key(), now=world.now)
    token = world.ca.ledger.tokens.make(Identity.gateway(FEDERATION, ZHEJIANG), world.now, dt.timedelta(days=1))
    world.office.remove(ZHEJIANG)
    with pytest.raises(RefusedError, match="revoked"):
        (await world.directory()).require_not_revoked(unit.der)
    async with served.est() as est:
        with pytest.raises(EstError, match="401"):
            await est.simpleenroll(csr(keys.generate_tls_key()), token.token_id, token.secret)
    assert world.office.remove(ZHEJIANG), "to be repeated, had it been killed"


def test_nobody_has_so_many_certificates_that_it_cannot_be_removed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 6 * ledger.MAX_OF_MEMBER < directory_entries.MAX_REVOCATIONS
    monkeypatch.setattr(directory_entries, "MAX_REVOCATIONS", 8)
    monkeypatch.setattr(ledger, "MAX_OF_MEMBER", 7)
    world.office.add(world.entry(ZHEJIANG))
    with contextlib.suppress(LedgerError):
        for at in range(12):
            world.ca.issue_unit_tls(ZHEJIANG, f"unit-{at}", keys.generate_tls_key().public_key(), now=world.now)
    world.office.remove(ZHEJIANG)
    assert world.office.add(world.entry(ANHUI)), "nor does anything else come to a stop"


def made_up(world: World, serial: int, key_identifier: bytes) -> bytes:
    """A TLS certificate (DER) that names Anhui's gateway, with a serial number and an issuer as its maker likes."""
    key, uri = keys.generate_tls_key(), Identity.gateway(FEDERATION, ANHUI).uri
    issuer = x509.AuthorityKeyIdentifier(key_identifier, None, None)
    builder = x509.CertificateBuilder(x509.Name([]), x509.Name([]), key.public_key(), serial)
    builder = builder.not_valid_before(world.now).not_valid_after(world.now + dt.timedelta(days=30))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=False)
    return (
        builder.add_extension(issuer, critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )


@pytest.mark.parametrize("issuer", ["the same", "another", "one that no signing key shows"])
async def test_a_member_that_lists_the_number_of_anothers_certificate_does_not_keep_it_from_being_revoked(
    world: World, issuer: str
) -> None:
    theirs, mine = world.keys_of(ZHEJIANG), world.keys_of(ANHUI)
    world.office.add(world.entry(ZHEJIANG, theirs), world.entry(ANHUI, mine))
    if issuer == "one that no signing key shows":
        world.office.roll_issuing(None, None)
    revoked = world.ca.issue_unit_tls(ZHEJIANG, "jinhua", keys.generate_tls_key().public_key(), now=world.now)
    identifier = revoked.issuing.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    publication = mine.publication(1)
    named = identifier if issuer == "the same" else bytes(20)
    publication.tls_certificates.append(made_up(world, revoked.certificate.serial_number, named))
    (taken,) = world.office.take([publication])
    assert isinstance(taken, int), "its number is that of no certificate that was revoked yet"
    world.office.revoke_pem(revoked.pem, reason=1)
    with pytest.raises(RefusedError, match="revoked"):
        (await world.directory()).require_not_revoked(revoked.der)
    assert world.office.add(world.entry(ANHUI, mine)), "nor does anything else come to a stop"


async def holding(served: Served, first: Keys, *labels: str) -> list[Keys]:
    """What a holder renews to, one by one, each with the TLS certificate before it."""
    shown, made = first, []
    for label in labels:
        key: Any = keys.generate_tls_key() if label == "tls" else keys.generate_signing_key()
        request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        signed = request.sign(key, hashes.SHA256() if label == "tls" else None)
        async with served.est(shown) as est:
            enrolled = await est.simplereenroll(signed, label)
        leaf = enrolled.certificate.public_bytes(serialization.Encoding.DER)
        made.append(replace(first, tls_key=key, tls_pem=enrolled.pem, tls=leaf))
        shown = made[-1] if label == "tls" else shown
    return made


def refused(directory: Directory, certificate: bytes) -> bool:
    try:
        directory.require_not_revoked(certificate)
    except RefusedError:
        return True
    return False


@pytest.mark.parametrize("how", ["pem", "serial"])
async def test_with_a_stolen_certificate_goes_all_that_was_issued_on_the_strength_of_it(
    served: Served, world: World, how: str
) -> None:
    first = world.keys_of(ZHEJIANG)
    world.office.add(world.entry(ZHEJIANG))
    unit = world.ca.issue_unit_tls(ZHEJIANG, "jinhua", keys.generate_tls_key().public_key(), now=world.now)
    second, signing, third = await holding(served, first, "tls", "signing", "tls")
    other = world.keys_of(ZHEJIANG)
    serial = x509.load_der_x509_certificate(second.tls).serial_number
    if how == "pem":
        done = world.office.revoke_pem(second.tls_pem, reason=1)
    else:
        done = world.office.revoke_serial(f"{serial:x}", reason=1)
    assert done.taken[0].serial == serial
    assert {each.certificate_der for each in done.taken} == {second.tls, signing.tls, third.tls}
    directory = await world.directory()
    assert [refused(directory, each.tls) for each in (first, second, signing, third, other)] == [
        False,
        True,
        True,
        True,
        False,
    ]
    assert not await renewed(served, third)
    assert await renewed(served, first), "of which the thief has not the key"
    assert {each.certificate_der for each in done.left} >= {first.tls, first.signing.certificate, other.tls}
    assert unit.der not in {each.certificate_der for each in done.left}, "another holder's"
    again = world.office.revoke_serial(f"{serial:x}", reason=1)
    assert again.taken == (), "they were taken back before"


@pytest.mark.parametrize(
    ("reason", "wanted", "alone"), [(4, None, True), (4, True, False), (1, False, True), (0, None, False)]
)
async def test_what_was_renewed_stays_only_where_the_reason_or_the_administrator_says_so(
    served: Served, world: World, reason: int, wanted: bool | None, alone: bool
) -> None:
    first = world.keys_of(ZHEJIANG)
    world.office.add(world.entry(ZHEJIANG))
    [second] = await holding(served, first, "tls")
    done = world.office.revoke_pem(first.tls_pem, reason=reason, renewed=wanted)
    assert refused(await world.directory(), second.tls) is not alone
    assert (second.tls in {each.certificate_der for each in done.left}) is alone


@pytest.mark.parametrize(
    ("reason", "wanted", "gone"), [(1, None, True), (0, None, True), (4, None, False), (1, False, False)]
)
async def test_open_tokens_of_a_holder_whose_key_was_stolen_enrol_nobody(
    served: Served, world: World, reason: int, wanted: bool | None, gone: bool
) -> None:
    made = world.keys_of(ZHEJIANG)
    world.office.add(world.entry(ZHEJIANG, made))
    tokens, day = world.ca.ledger.tokens, dt.timedelta(days=1)
    token = tokens.make(Identity.gateway(FEDERATION, ZHEJIANG), world.now, day)
    others = [
        tokens.make(holder, world.now, day).token_id
        for holder in (Identity(FEDERATION, ZHEJIANG, "unit", "jinhua"), Identity.gateway(FEDERATION, ANHUI))
    ]
    done = world.office.revoke_pem(made.tls_pem, reason=reason, renewed=wanted)
    told = done.tokens if gone else done.tokens_left
    assert [each.token_id for each in told] == [token.token_id]
    assert len(done.tokens) + len(done.tokens_left) == 1
    async with served.est() as est:
        if gone:
            with pytest.raises(EstError, match="401"):
                await est.simpleenroll(csr(keys.generate_tls_key()), token.token_id, token.secret)
        else:
            await est.simpleenroll(csr(keys.generate_tls_key()), token.token_id, token.secret)
    assert {each.token_id for each in tokens.open(world.now)} == set(others)


def test_a_token_that_was_made_after_a_revocation_is_not_taken_back_by_its_repetition(world: World) -> None:
    made = world.keys_of(ZHEJIANG)
    world.office.add(world.entry(ZHEJIANG, made))
    world.office.revoke_pem(made.tls_pem, reason=1)
    tokens = world.ca.ledger.tokens
    token = tokens.make(Identity.gateway(FEDERATION, ZHEJIANG), world.now, dt.timedelta(days=1))
    again = world.office.revoke_pem(made.tls_pem, reason=1)
    assert (again.taken, again.tokens) == ((), ())
    assert [each.token_id for each in again.tokens_left] == [token.token_id]


async def test_a_readmitted_gateway_has_nothing_left_not_even_a_token_and_its_agencies_keep_theirs(
    served: Served, world: World
) -> None:
    made = world.keys_of(ZHEJIANG)
    world.office.add(world.entry(ZHEJIANG, made))
    holder = Identity.gateway(FEDERATION, ZHEJIANG)
    unit = world.ca.issue_unit_tls(ZHEJIANG, "jinhua", keys.generate_tls_key().public_key(), now=world.now)
    token = world.ca.ledger.tokens.make(holder, world.now, dt.timedelta(days=1))
    [renewed_to] = await holding(served, made, "tls")
    world.office.readmit(ZHEJIANG, reason=1)
    directory = await world.directory()
    for der in (made.tls, made.signing.certificate, renewed_to.tls):
        assert refused(directory, der)
    assert not refused(directory, unit.der)
    member = directory.member(ZHEJIANG)
    assert (dict(member.signing_keys), member.encryption_keys, member.tls_certificates) == ({}, (), frozenset())
    async with served.est() as est:
        with pytest.raises(EstError, match="401"):
            await est.simpleenroll(csr(keys.generate_tls_key()), token.token_id, token.secret)
    fresh = world.keys_of(ZHEJIANG)
    [version] = world.office.take([fresh.publication(1)])
    assert version == world.office.version(), "it begins to count anew"
    with pytest.raises(ConfigError, match="no such member"):
        world.office.readmit(ANHUI, reason=1)


@pytest.mark.parametrize("how", ["pem", "member"])
async def test_killed_between_ledger_and_directory_it_renews_nothing_and_the_service_completes_it(
    served: Served, world: World, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    made = world.keys_of(ZHEJIANG)
    world.office.add(world.entry(ZHEJIANG, made))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Membership, "change", killed)
        with pytest.raises(KeyboardInterrupt):
            world.office.revoke_pem(made.tls_pem, reason=1) if how == "pem" else world.office.remove(ZHEJIANG)
    (await world.directory()).require_not_revoked(made.tls)
    assert not await renewed(served, made)
    again = Office(world.home, world.clock)
    assert again.upkeep()
    directory = await world.directory()
    with pytest.raises(RefusedError, match="revoked"):
        directory.require_not_revoked(made.tls)
    assert directory.member(ZHEJIANG).tls_certificates == frozenset()
    assert not again.upkeep(), "done once"
    again.close()


def test_a_ledger_that_cannot_be_written_revokes_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made = world.keys_of(ZHEJIANG)
    world.office.add(world.entry(ZHEJIANG, made))

    def full(*_: object) -> None:
        raise LedgerError("the disk is full", "磁盘已满")

    monkeypatch.setattr(Ledger, "revoke", full)
    with pytest.raises(StoreError, match="full"):
        world.office.revoke_pem(made.tls_pem, reason=1)
    assert world.office.version() == 2


async def test_a_certificate_of_a_stolen_issuing_key_is_revoked_in_the_directory(world: World) -> None:
    """It is in no ledger."""
    from certs.holders import certificate_pem

    issuer = world.ca.issuing.current.issuer
    identity = Identity.gateway(FEDERATION, ZHEJIANG)
    forged = profiles.tls_certificate(
        issuer, keys.generate_tls_key().public_key(), identity, world.now, dt.timedelta(1)
    )
    world.office.revoke_pem(certificate_pem(forged), reason=1)
    with pytest.raises(RefusedError, match="revoked"):
        (await world.directory()).require_not_revoked(forged.public_bytes(serialization.Encoding.DER))


async def test_of_a_retired_issuing_ca_it_is_revoked_as_well(world: World) -> None:
    made = world.keys_of(ZHEJIANG)
    world.office.add(world.entry(ZHEJIANG, made))
    world.ca.issuing.roll(now=world.now)
    fresh = world.keys_of(ZHEJIANG)
    for pem in (made.tls_pem, fresh.tls_pem):
        world.office.revoke_pem(pem, reason=4)
    for der in (made.tls, fresh.tls):
        with pytest.raises(RefusedError, match="revoked"):
            (await world.directory()).require_not_revoked(der)


async def test_the_public_address_stands_in_what_is_issued_from_then_on(world: World) -> None:
    settings = world.home / "authority.toml"
    settings.write_text(settings.read_text("utf-8") + 'public_url = "http://ca.example:8080"\n', "utf-8")
    async with run.authority(world.home, world.clock):
        leaf = x509.load_pem_x509_certificate(world.keys_of(ZHEJIANG).tls_pem)
        points = leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
        assert "http://ca.example:8080/crl/issuing.crl" in str(points)
    said = settings.read_text("utf-8")
    settings.write_text(said.replace('public_url = "http://ca.example:8080"\n', ""), "utf-8")
    async with run.authority(world.home, world.clock):
        leaf = x509.load_pem_x509_certificate(world.keys_of(ZHEJIANG).tls_pem)
        with pytest.raises(x509.ExtensionNotFound):
            leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints)
    settings.write_text(said.replace("http:", "https:"), "utf-8")
    with pytest.raises(ConfigError, match="public_url"):
        async with run.authority(world.home, world.clock):
            raise AssertionError


async def test_no_answer_tells_what_software_runs_here_in_which_version(served: Served) -> None:
    context = client_context(served.world.ca.root_pem)
    async with aiohttp.ClientSession() as session:
        for address, path in (("http", "/crl/issuing.crl"), ("http", "/none"), ("https", "/.well-known/est/cacerts")):
            where = served.bound.plain if address == "http" else served.bound.https
            answer = await session.get(f"{address}://{where}{path}", ssl=context, server_hostname=NAME)
            assert answer.status == (404 if path == "/none" else 200)
            assert "Server" not in answer.headers
