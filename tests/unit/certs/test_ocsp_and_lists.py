"""OCSP answers and revocation lists say what the ledger says, and who may sign them."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from certs import keys, ocsp_responder
from certs.authority import Authority
from certs.errors import IdentityError, RevocationError
from certs.ocsp_responder import OcspResponder
from certs.revocation import HIGHEST_TOLD, LIST_LIFE, REASONS, Revocation

FEDERATION = "test.wugan.internal"
MEMBER = "11330000002482285J"
Status = ocsp.OCSPCertStatus


class Revoking:
    """An authority with one certificate."""

    def __init__(self, folder: Path, now: dt.datetime) -> None:
        self.now = now
        self.authority = Authority.create(folder, FEDERATION, now=now, root_passphrase=b"root")
        self.leaf = self.issue()
        self.issuing = self.authority.issuing.all[0].certificate
        self.revocation = Revocation(self.authority)
        self.responder = OcspResponder(self.authority)

    def issue(self) -> x509.Certificate:
        key = keys.generate_tls_key().public_key()
        return self.authority.issue_gateway_tls(MEMBER, key, now=self.now).certificate

    def ask(self, leaf: x509.Certificate, algorithm: Any = None, nonce: bytes | None = None, later: Any = None) -> Any:
        builder = ocsp.OCSPRequestBuilder().add_certificate(leaf, self.issuing, algorithm or hashes.SHA256())
        if nonce is not None:
            builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
        return self.send(builder.build().public_bytes(serialization.Encoding.DER), later)

    def send(self, request: bytes, later: Any = None) -> Any:
        answer = self.responder.answer(request, self.now + (later or dt.timedelta(0)))
        return ocsp.load_der_ocsp_response(answer.der)

    def crl(self, later: Any = None, name: str = "issuing") -> x509.CertificateRevocationList:
        return x509.load_der_x509_crl(self.revocation.crl(name, self.now + (later or dt.timedelta(0))))


@pytest.fixture
def revoking(tmp_path: Path, now: dt.datetime) -> Revoking:
    return Revoking(tmp_path / "ca", now)


@pytest.mark.parametrize("algorithm", [hashes.SHA1(), hashes.SHA256(), hashes.SHA384()], ids=lambda one: one.name)
def test_a_certificate_is_good_until_it_is_revoked(revoking: Revoking, algorithm: Any) -> None:
    answer = revoking.ask(revoking.leaf, algorithm)
    assert answer.certificate_status is Status.GOOD
    assert answer.this_update_utc == revoking.now
    assert answer.next_update_utc == revoking.now + ocsp_responder.ANSWER_LIFE
    revoking.revocation.revoke(revoking.leaf.serial_number, x509.ReasonFlags.key_compromise, revoking.now)
    answer = revoking.ask(revoking.leaf, algorithm)
    assert answer.certificate_status is Status.REVOKED
    assert answer.revocation_time_utc == revoking.now
    assert answer.revocation_reason is x509.ReasonFlags.key_compromise


def test_a_certificate_that_was_never_issued_is_unknown_and_not_good(revoking: Revoking, tmp_path: Path) -> None:
    twin = Revoking(tmp_path / "twin", revoking.now)
    assert revoking.ask(twin.leaf).certificate_status is Status.UNKNOWN


def test_a_serial_number_of_another_issuing_ca_is_unknown(revoking: Revoking) -> None:
    revoking.authority.issuing.roll(now=revoking.now, root_passphrase=b"root")
    second = revoking.issue()
    first = ocsp.OCSPRequestBuilder().add_certificate(revoking.leaf, revoking.issuing, hashes.SHA256()).build()
    asked = ocsp.OCSPRequestBuilder().add_certificate_by_hash(
        first.issuer_name_hash, first.issuer_key_hash, second.serial_number, hashes.SHA256()
    )
    answer = revoking.send(asked.build().public_bytes(serialization.Encoding.DER))
    assert answer.certificate_status is Status.UNKNOWN
    revoking.issuing = revoking.authority.issuing.current.certificate
    assert revoking.ask(second).certificate_status is Status.GOOD


def test_answers_are_signed_by_a_key_that_may_do_only_that(revoking: Revoking) -> None:
    answer = revoking.ask(revoking.leaf)
    (signer,) = answer.certificates
    signer.verify_directly_issued_by(revoking.issuing)
    key = signer.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(answer.signature, answer.tbs_response_bytes, ec.ECDSA(answer.signature_hash_algorithm))
    assert list(signer.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.OCSP_SIGNING
    ]
    assert signer.extensions.get_extension_for_class(x509.OCSPNoCheck)
    assert not signer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert signer.not_valid_after_utc - revoking.now == dt.timedelta(days=7)


def test_the_responders_key_is_replaced_at_half_of_its_life(revoking: Revoking) -> None:
    first, soon, late = (
        revoking.ask(revoking.leaf, later=dt.timedelta(days=days)).certificates[0] for days in (0, 3, 4)
    )
    assert first == soon != late


def test_a_retired_issuing_cas_leaves_are_answered_in_its_name(revoking: Revoking) -> None:
    revoking.authority.issuing.roll(now=revoking.now, root_passphrase=b"root")
    answer = revoking.ask(revoking.leaf)
    assert answer.certificate_status is Status.GOOD
    answer.certificates[0].verify_directly_issued_by(revoking.issuing)


@given(nonce=st.binary(min_size=1, max_size=128))
def test_a_nonce_comes_back(nonce: bytes, shared: Revoking) -> None:
    answer = shared.ask(shared.leaf, nonce=nonce)
    assert answer.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == nonce


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Revoking:
    return Revoking(tmp_path_factory.mktemp("ocsp") / "ca", dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC))


@pytest.mark.parametrize("nonce", [b"", bytes(129)], ids=["none", "129"])
def test_a_nonce_of_no_or_more_than_128_bytes_is_malformed(revoking: Revoking, nonce: bytes) -> None:
    answer = revoking.ask(revoking.leaf, nonce=nonce)
    assert answer.response_status is ocsp.OCSPResponseStatus.MALFORMED_REQUEST


def test_only_answers_without_nonce_may_be_kept(revoking: Revoking) -> None:
    builder = ocsp.OCSPRequestBuilder().add_certificate(revoking.leaf, revoking.issuing, hashes.SHA256())
    plain = builder.build().public_bytes(serialization.Encoding.DER)
    asked = builder.add_extension(x509.OCSPNonce(b"n"), critical=False).build()
    assert revoking.responder.answer(plain, revoking.now).cacheable
    assert not revoking.responder.answer(asked.public_bytes(serialization.Encoding.DER), revoking.now).cacheable
    assert not revoking.responder.answer(b"", revoking.now).cacheable


@given(request=st.binary(max_size=200))
def test_whatever_is_sent_gets_an_answer(request: bytes, shared: Revoking) -> None:
    assert shared.send(request).response_status is ocsp.OCSPResponseStatus.MALFORMED_REQUEST


@pytest.mark.parametrize(("size", "status"), [(3_000, "SUCCESSFUL"), (5_000, "MALFORMED_REQUEST")])
def test_too_large_a_request_is_malformed(revoking: Revoking, size: int, status: str) -> None:
    extension = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.32473.2"), bytes(size))
    builder = ocsp.OCSPRequestBuilder().add_certificate(revoking.leaf, revoking.issuing, hashes.SHA256())
    request = builder.add_extension(extension, critical=False).build().public_bytes(serialization.Encoding.DER)
    assert revoking.send(request).response_status.name == status


def test_two_questions_in_one_request_are_malformed(revoking: Revoking) -> None:
    builder = ocsp.OCSPRequestBuilder().add_certificate(revoking.leaf, revoking.issuing, hashes.SHA256())
    one = builder.build().public_bytes(serialization.Encoding.DER)
    # SEQUENCE { tbsRequest SEQUENCE { requestList SEQUENCE { request } } }, each shorter than 128 bytes.
    request = one[6:]
    two = b"\x30\x81" + bytes([len(request) * 2]) + request * 2
    two = b"\x30\x81" + bytes([len(two)]) + two
    two = b"\x30\x81" + bytes([len(two)]) + two
    assert one[:1] + one[2:3] + one[4:5] == b"\x30" * 3
    assert revoking.send(two).response_status is ocsp.OCSPResponseStatus.MALFORMED_REQUEST


def test_another_authoritys_certificates_are_not_ours_to_answer_for(revoking: Revoking, tmp_path: Path) -> None:
    twin = Revoking(tmp_path / "twin", revoking.now)
    revoking.issuing = twin.issuing
    assert revoking.ask(twin.leaf).response_status is ocsp.OCSPResponseStatus.UNAUTHORIZED


def test_a_list_names_what_is_revoked_and_is_signed_by_the_issuing_ca(revoking: Revoking) -> None:
    empty = revoking.crl()
    assert list(empty) == []
    revoking.revocation.revoke(revoking.leaf.serial_number, x509.ReasonFlags.superseded, revoking.now)
    crl = revoking.crl()
    key = revoking.issuing.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert crl.is_signature_valid(key)
    assert crl.issuer == revoking.issuing.subject
    (entry,) = crl
    assert entry.serial_number == revoking.leaf.serial_number
    assert entry.revocation_date_utc == revoking.now
    assert entry.extensions.get_extension_for_class(x509.CRLReason).value.reason is x509.ReasonFlags.superseded
    assert crl.next_update_utc == revoking.now + LIST_LIFE


def number(crl: x509.CertificateRevocationList) -> int:
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def test_a_list_is_made_anew_after_a_revocation_and_at_half_of_its_life_and_its_number_grows(
    revoking: Revoking, tmp_path: Path
) -> None:
    hour = dt.timedelta(hours=1)
    first = number(revoking.crl())
    assert number(revoking.crl(hour)) == first
    # By another process.
    other = Revocation(Authority.load(tmp_path / "ca"))
    other.revoke(revoking.leaf.serial_number, x509.ReasonFlags.superseded, revoking.now)
    second = number(revoking.crl(hour))
    assert first < second == number(revoking.crl(hour * 12))
    third = number(revoking.crl(hour * 13))
    assert second < third < number(x509.load_der_x509_crl(other.crl("issuing", revoking.now)))


def restored(home: Path, backup: Path) -> Revocation:
    """What stands at the place of an authority that was lost: its backup."""
    shutil.rmtree(home)
    shutil.copytree(backup, home)
    return Revocation(Authority.load(home))


def test_a_lists_number_is_higher_after_a_restore_than_any_before(revoking: Revoking, tmp_path: Path) -> None:
    """RFC 5280 section 5.2.3: who keeps the highest number would go on with the list of before the loss."""
    home, backup = tmp_path / "ca", tmp_path / "backup"
    hour = dt.timedelta(hours=1)
    revoking.authority.issuing.roll(now=revoking.now, root_passphrase=b"root")
    for name in ("issuing", "issuing-2"):
        revoking.crl(name=name)
    shutil.copytree(home, backup)
    seen = dict.fromkeys(("issuing", "issuing-2"), 0)
    for _ in range(5):
        revoking.revocation.revoke(revoking.leaf.serial_number, x509.ReasonFlags.superseded, revoking.now)
        for name in seen:
            seen[name] = number(revoking.crl(hour, name))
    again = restored(home, backup)
    for name, before in seen.items():
        after = x509.load_der_x509_crl(again.crl(name, revoking.now + hour + dt.timedelta(seconds=1)))
        assert number(after) > before
        assert number(after).bit_length() < 20 * 8


def test_a_lists_number_goes_on_while_the_clock_goes_back(revoking: Revoking) -> None:
    numbers = []
    for days in (0, 400, 0, -30, 1):
        numbers.append(number(revoking.crl(dt.timedelta(days=days))))
        revoking.revocation.revoke(revoking.leaf.serial_number, x509.ReasonFlags.superseded, revoking.now)
        numbers.append(number(revoking.crl(dt.timedelta(days=days))))
    assert numbers == sorted(set(numbers))


def test_lists_are_numbered_above_what_is_told(revoking: Revoking, tmp_path: Path) -> None:
    """Restored from a backup of before a time when the clock was ahead: only who has the lists knows their numbers."""
    home, backup = tmp_path / "ca", tmp_path / "backup"
    shutil.copytree(home, backup)
    year = dt.timedelta(days=365)
    seen = number(revoking.crl(year))
    serving = restored(home, backup)
    assert number(x509.load_der_x509_crl(serving.crl("issuing", revoking.now))) < seen
    Revocation(Authority.load(home)).number_above(seen)  # by a command, while another process serves
    told = number(x509.load_der_x509_crl(serving.crl("issuing", revoking.now)))
    assert told > seen
    serving.number_above(1)
    assert number(x509.load_der_x509_crl(serving.crl("issuing", revoking.now))) > told
    Authority.load(home).issuing.roll(now=revoking.now, root_passphrase=b"root")
    assert number(x509.load_der_x509_crl(serving.crl("issuing-2", revoking.now))) > seen


@pytest.mark.parametrize("above", [-1, HIGHEST_TOLD + 1])
def test_no_number_is_told_that_leaves_no_room(revoking: Revoking, above: int) -> None:
    with pytest.raises(RevocationError, match="number"):
        revoking.revocation.number_above(above)


def test_an_unspecified_reason_is_said_by_saying_none(revoking: Revoking) -> None:
    revoking.revocation.revoke(revoking.leaf.serial_number, x509.ReasonFlags.unspecified, revoking.now)
    (entry,) = revoking.crl()
    with pytest.raises(x509.ExtensionNotFound):
        entry.extensions.get_extension_for_class(x509.CRLReason)
    assert revoking.ask(revoking.leaf).revocation_reason is None


def test_every_issuing_ca_has_its_own_list(revoking: Revoking) -> None:
    revoking.authority.issuing.roll(now=revoking.now, root_passphrase=b"root")
    second = revoking.issue()
    revoking.revocation.revoke(second.serial_number, x509.ReasonFlags.superseded, revoking.now)
    assert list(revoking.crl()) == []
    assert [entry.serial_number for entry in revoking.crl(name="issuing-2")] == [second.serial_number]
    for name in ("issuing-3", "root", "../root", ""):
        with pytest.raises(RevocationError):
            revoking.crl(name=name)
        with pytest.raises(RevocationError):
            revoking.revocation.issuing_certificate(name)


def test_an_entry_is_still_listed_shortly_after_its_certificate_expired(revoking: Revoking) -> None:
    revoking.revocation.revoke(revoking.leaf.serial_number, x509.ReasonFlags.superseded, revoking.now)
    expired = revoking.leaf.not_valid_after_utc - revoking.now
    assert len(list(revoking.crl(expired + dt.timedelta(days=1)))) == 1
    assert len(list(revoking.crl(expired + dt.timedelta(days=8)))) == 0


def test_what_was_not_issued_here_cannot_be_revoked(revoking: Revoking) -> None:
    with pytest.raises(RevocationError, match="serial"):
        revoking.revocation.revoke(12345, x509.ReasonFlags.superseded, revoking.now)
    with pytest.raises(IdentityError):
        revoking.revocation.revoke_member("x", x509.ReasonFlags.superseded, revoking.now)


@pytest.mark.parametrize("reason", [one for one in x509.ReasonFlags if one not in REASONS])
def test_a_hold_and_other_reasons_are_refused(revoking: Revoking, reason: x509.ReasonFlags) -> None:
    with pytest.raises(RevocationError, match="reason"):
        revoking.revocation.revoke(revoking.leaf.serial_number, reason, revoking.now)
