"""The authority's clock runs ahead for a while, as after a boot with a wrong hardware clock, and is put right again."""

from __future__ import annotations

import datetime as dt
import os

import pytest
from cryptography import x509

from certs import keys
from certs.ocsp_responder import OcspResponder
from certs.revocation import Revocation
from certs.server_tls import ServerTls
from gateway.authority.office import Office
from gateway.authority.repository import KEPT
from gateway.clock import FakeClock
from gateway.errors import RefusedError
from tests.unit.authority.authority_world import ANHUI, ZHEJIANG, World
from tests.unit.federation.tuf_world import HOUR_S

DAY_S = 24 * HOUR_S
AHEAD_S = 500 * DAY_S
DAY = dt.timedelta(days=1)


def ahead(world: World, seconds: float = AHEAD_S) -> Office:
    """The same authority, with a clock that is ahead."""
    return Office(world.home, FakeClock(world.clock.now_ms() + round(seconds * 1000)))


async def test_a_publication_with_a_clock_ahead_forgets_no_revocation(world: World) -> None:
    made = world.keys_of(ZHEJIANG)
    world.office.revoke_pem(made.tls_pem, reason=1)
    office = ahead(world)
    office.publish()
    office.upkeep()
    office.close()
    world.office.publish()
    with pytest.raises(RefusedError, match="revoked"):
        (await world.directory()).require_not_revoked(made.tls)


async def test_what_only_the_directory_revokes_is_not_forgotten_either(world: World) -> None:
    """A certificate that a thief of the issuing key made is in no ledger from which it could be had again."""
    thief = World(world.home.parent / "thief")
    made = thief.keys_of(ZHEJIANG)
    thief.office.close()
    with world.office._alone(), world.office._changing():
        certificate = x509.load_der_x509_certificate(made.tls)
        issuer = world.ca.issuing.current.certificate
        world.office._taken_back().add(certificate.serial_number, issuer, certificate.not_valid_after_utc, 1)
    world.office.publish()
    before = set((await world.directory()).revoked)
    office = ahead(world)
    office.publish()
    office.close()
    world.office.publish()
    assert before
    assert set((await world.directory()).revoked) == before


def test_what_a_thief_renewed_to_is_revoked_with_it_by_a_clock_that_is_ahead_too(world: World) -> None:
    from certs.enrolment import Enrolment
    from certs.est_wire import request_body
    from certs.identity import Identity
    from certs.requests import certification_request

    made = world.keys_of(ZHEJIANG)
    request = certification_request(
        keys.generate_tls_key(),
        Identity.gateway("test.wugan.internal", ZHEJIANG),
        x509.load_der_x509_certificate(made.tls),
    )
    body = request_body(x509.load_der_x509_csr(request))
    renewed = Enrolment(world.ca).with_certificate("tls", body, made.tls, world.now)
    office = ahead(world)
    taken = office.revoke_pem(made.tls_pem, reason=1).taken
    office.close()
    assert renewed.serial_number in {each.serial for each in taken}


async def test_a_revocation_with_a_clock_ahead_counts_once_the_clock_is_right(world: World) -> None:
    made = world.keys_of(ZHEJIANG)
    office = ahead(world)
    office.revoke_pem(made.tls_pem, reason=1)
    office.close()
    world.office.upkeep()
    with pytest.raises(RefusedError, match="revoked"):
        (await world.directory()).require_not_revoked(made.tls)


def test_the_ledger_forgets_nobody_because_the_clock_was_ahead(world: World) -> None:
    made = world.keys_of(ZHEJIANG)
    later = world.now + dt.timedelta(seconds=AHEAD_S)
    for _ in range(3):  # as the service does at its start
        world.ca.issue_authority_tls(keys.generate_tls_key().public_key(), now=later)
    assert world.ca.ledger.by_certificate(made.tls) is not None
    assert world.ca.ledger.by_certificate(made.signing.certificate) is not None


def test_an_open_token_outlives_a_clock_that_was_ahead(world: World) -> None:
    world.office.add(world.entry(ZHEJIANG), world.entry(ANHUI, region=340000))
    from certs.identity import Identity

    tokens, holder = world.ca.ledger.tokens, Identity.gateway("test.wugan.internal", ZHEJIANG)
    token = tokens.make(holder, world.now, 7 * DAY)
    tokens.make(holder, world.now + dt.timedelta(seconds=AHEAD_S), 7 * DAY)
    assert token.token_id in {each.token_id for each in tokens.open(world.now)}


def test_a_retired_issuing_ca_is_not_destroyed_by_a_clock_ahead(world: World) -> None:
    world.keys_of(ZHEJIANG)
    world.ca.issuing.roll(now=world.now)
    office = ahead(world)
    assert office.authority.issuing.prune(office.now()) == ()
    office.close()
    assert len(world.ca.issuing.all) == 2


async def test_a_directory_that_was_issued_in_the_future_is_replaced_once_the_clock_is_right(world: World) -> None:
    """Without it gateways take nothing until the time at which it says it was issued."""
    reader = world.reader("long-standing")
    await reader.refresh()
    office = ahead(world, 30 * DAY_S)
    office.publish()
    office.close()
    await reader.refresh()
    assert reader.current().version == 1, "issued in the future, so refused"
    assert world.office.upkeep()
    await reader.refresh()
    assert reader.current().version == 3
    assert not world.office.upkeep()


async def test_a_timestamp_of_the_future_is_replaced_once_the_clock_is_right(world: World) -> None:
    """It would let somebody withhold news for longer than the timestamp lives."""
    office = ahead(world, 14 * HOUR_S)
    office.upkeep()
    office.close()
    assert world.office.upkeep()
    assert (await world.directory()).expires_at_ms <= world.clock.now_ms() + round(DAY_S * 1000)


async def test_the_newest_directory_stays_where_older_files_have_later_times(world: World) -> None:
    for _ in range(KEPT + 3):
        world.office.publish()
    for file in (world.home / "tuf" / "targets").iterdir():
        os.utime(file, (4_000_000_000, 4_000_000_000))  # written while the clock was ahead
    version = world.office.publish()
    assert (await world.directory()).version == version
    assert len(list((world.home / "tuf" / "targets").iterdir())) <= KEPT


async def test_a_directory_that_is_still_being_fetched_stays(world: World) -> None:
    first = world.office.publish()
    world.office.publish()
    named = world.office._repository._in_force.read
    from tuf.api.metadata import Targets

    target = named(Targets, f"{first}.targets.json").signed.targets["directory.pb"]
    assert (world.home / "tuf" / "targets" / f"{target.hashes['sha256']}.directory.pb").exists()


def test_the_services_own_certificate_is_made_anew_once_the_clock_is_right(world: World) -> None:
    tls = ServerTls(world.ca, world.now + 8 * dt.timedelta(hours=1))
    assert tls.renew_if_due(world.now)
    assert not tls.renew_if_due(world.now)
    assert not tls.renew_if_due(world.now - dt.timedelta(seconds=60)), "clocks are set by a little all the time"


def test_a_revocation_list_of_the_future_is_made_anew_once_the_clock_is_right(world: World) -> None:
    lists = Revocation(world.ca)
    future = x509.load_der_x509_crl(lists.crl("issuing", world.now + 30 * DAY))
    now = x509.load_der_x509_crl(lists.crl("issuing", world.now))
    assert now.last_update_utc <= world.now < future.last_update_utc
    assert lists.crl("issuing", world.now) == lists.crl("issuing", world.now)


def test_ocsp_answers_by_a_key_that_is_valid_once_the_clock_is_right(world: World) -> None:
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.x509 import ocsp

    leaf = x509.load_der_x509_certificate(world.keys_of(ZHEJIANG).tls)
    issuer = world.ca.issuing.current.certificate
    request = ocsp.OCSPRequestBuilder().add_certificate(leaf, issuer, hashes.SHA256()).build()
    der, responder = request.public_bytes(serialization.Encoding.DER), OcspResponder(world.ca)
    responder.answer(der, world.now + 30 * DAY)
    answer = ocsp.load_der_ocsp_response(responder.answer(der, world.now).der)
    assert answer.certificates[0].not_valid_before_utc <= world.now
