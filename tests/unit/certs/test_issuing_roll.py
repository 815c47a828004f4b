"""Replacing the issuing CA: the new one issues, the old one answers for its leaves until they are gone."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from cryptography import x509

from certs import issuing, keys, profiles
from certs.authority import Authority
from certs.chain import load_roots, verify_signing_chain
from certs.errors import AuthorityError, CertsError, KeyFileError
from certs.files import write_file

FEDERATION = "test.wugan.internal"
MEMBER = "11330000002482285J"


@pytest.fixture
def folder(tmp_path: Path, now: dt.datetime) -> Path:
    Authority.create(tmp_path / "ca", FEDERATION, now=now, root_passphrase=b"root", passphrase=b"daily")
    return tmp_path / "ca"


def opened(folder: Path) -> Authority:
    return Authority.load(folder, passphrase=b"daily")


def test_the_root_key_needs_a_passphrase_but_in_a_demonstration(tmp_path: Path, now: dt.datetime) -> None:
    with pytest.raises(AuthorityError, match="passphrase"):
        Authority.create(tmp_path / "ca", FEDERATION, now=now)
    assert not (tmp_path / "ca").exists()
    Authority.create(tmp_path / "ca", FEDERATION, now=now, loopback=True)


def test_after_a_roll_the_new_one_issues_and_both_chains_are_believed(folder: Path, now: dt.datetime) -> None:
    authority = opened(folder)
    roots = load_roots(authority.root_pem)
    key = keys.generate_signing_key().public_key()
    before = authority.issue_signing(MEMBER, key, now=now)
    made = authority.issuing.roll(now=now, root_passphrase=b"root")
    after = authority.issue_signing(MEMBER, key, now=now)
    assert made.name == "issuing-2"
    assert after.issuing == made.certificate != before.issuing
    assert after.issuing.subject != before.issuing.subject
    for issued in (before, after):
        assert verify_signing_chain(issued.der, issued.intermediates_der, roots, now).identity.member_id == MEMBER


def test_of_two_made_in_the_same_second_the_certificates_tell_which_is_newer(folder: Path, now: dt.datetime) -> None:
    authority = opened(folder)
    for _ in range(3):
        authority.issuing.roll(now=now, root_passphrase=b"root")
    begun = [each.certificate.not_valid_before_utc for each in authority.issuing.all]
    assert begun == sorted(set(begun))
    assert begun[-1] < now
    issued = authority.issue_signing(MEMBER, keys.generate_signing_key().public_key(), now=now)
    leaf = x509.load_der_x509_certificate(issued.der)
    assert begun[-1] <= leaf.not_valid_before_utc < now


def test_a_roll_with_a_clock_that_went_back_is_refused(folder: Path, now: dt.datetime) -> None:
    with pytest.raises(AuthorityError, match="clock"):
        opened(folder).issuing.roll(now=now - dt.timedelta(days=1), root_passphrase=b"root")


def test_a_roll_needs_the_root_key_and_its_passphrase(folder: Path, tmp_path: Path, now: dt.datetime) -> None:
    authority = opened(folder)
    for passphrase in (None, b"daily"):
        with pytest.raises(KeyFileError):
            authority.issuing.roll(now=now, root_passphrase=passphrase)
    (folder / "root-key.pem").rename(tmp_path / "stick.pem")
    with pytest.raises(KeyFileError):
        authority.issuing.roll(now=now, root_passphrase=b"root")
    keys.store_private_key(tmp_path / "other.pem", keys.generate_authority_key())
    with pytest.raises(AuthorityError, match="not the key of root"):
        authority.issuing.roll(now=now, root_key=tmp_path / "other.pem")
    assert authority.issuing.roll(now=now, root_passphrase=b"root", root_key=tmp_path / "stick.pem").number == 2


def test_another_process_that_is_running_issues_from_the_new_one_at_once(folder: Path, now: dt.datetime) -> None:
    running, command = opened(folder), opened(folder)
    command.issuing.roll(now=now, root_passphrase=b"root")
    issued = running.issue_gateway_tls(MEMBER, keys.generate_tls_key().public_key(), now=now)
    assert issued.issuing == command.issuing.current.certificate
    assert [ca.number for ca in running.issuing.all] == [1, 2]


def test_a_retired_one_is_kept_until_its_last_leaf_has_expired_and_then_its_key_is_gone(
    folder: Path, now: dt.datetime
) -> None:
    authority, other = opened(folder), opened(folder)
    authority.issue_gateway_tls(MEMBER, keys.generate_tls_key().public_key(), now=now)
    authority.issuing.roll(now=now, root_passphrase=b"root")
    assert authority.issuing.prune(now + profiles.TLS_LIFETIME) == ()
    later = now + profiles.TLS_LIFETIME + dt.timedelta(days=8)
    for days in range(39):  # the service looks every minute
        authority.ledger.lived_until(now + dt.timedelta(days=days))
    assert authority.issuing.prune(later) == ("issuing",)
    assert not (folder / "issuing-key.pem").exists()
    assert [ca.number for ca in authority.issuing.all] == [2]
    other.issuing.refresh()
    assert [ca.number for ca in other.issuing.all] == [2]
    # Numbers are never given again, so a name stands for one issuing CA for ever.
    assert opened(folder).issuing.roll(now=later, root_passphrase=b"root").number == 3


def test_the_current_one_is_never_destroyed(folder: Path, now: dt.datetime) -> None:
    assert opened(folder).issuing.prune(now + profiles.ISSUING_LIFETIME) == ()


def test_a_crash_in_a_roll_leaves_an_authority_that_works(
    folder: Path, now: dt.datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = opened(folder)

    def crash(*args: object, **kwargs: object) -> None:
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(issuing, "write_file", crash)
        with pytest.raises(RuntimeError):
            authority.issuing.roll(now=now, root_passphrase=b"root")
    assert (folder / "issuing-2-key.pem").exists(), "the crash was not where this test wants it"
    assert opened(folder).issuing.current.number == 1
    assert opened(folder).issuing.prune(now) == ()
    assert not (folder / "issuing-2-key.pem").exists()
    assert opened(folder).issuing.roll(now=now, root_passphrase=b"root").number == 2


def test_a_crash_in_destroying_one_leaves_an_authority_that_works(
    folder: Path, now: dt.datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(folder).issuing.roll(now=now, root_passphrase=b"root")
    real = issuing.remove_file

    def once(path: Path) -> None:
        real(path)
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(issuing, "remove_file", once)
        with pytest.raises(RuntimeError):
            opened(folder).issuing.prune(now)
    assert (folder / "issuing-key.pem").exists()
    assert [ca.number for ca in opened(folder).issuing.all] == [2]
    opened(folder).issuing.prune(now)
    assert not (folder / "issuing-key.pem").exists()


def test_no_more_than_60_at_once(folder: Path, now: dt.datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issuing, "MAX_ISSUING", 2)
    authority = opened(folder)
    authority.issue_gateway_tls(MEMBER, keys.generate_tls_key().public_key(), now=now)
    authority.issuing.roll(now=now, root_passphrase=b"root")
    with pytest.raises(AuthorityError, match="2 issuing"):
        authority.issuing.roll(now=now, root_passphrase=b"root")


def test_an_issuing_ca_of_another_root_is_refused(folder: Path, tmp_path: Path, now: dt.datetime) -> None:
    Authority.create(tmp_path / "other", FEDERATION, now=now, root_passphrase=b"root", passphrase=b"daily")
    for name in ("issuing.pem", "issuing-key.pem"):
        (folder / name).unlink()
        write_file(folder / name, (tmp_path / "other" / name).read_bytes(), mode=0o600, replace=False)
    with pytest.raises(AuthorityError, match="not issued by"):
        opened(folder)


def test_leaves_name_the_place_of_revocation_once_there_is_one(folder: Path, now: dt.datetime) -> None:
    authority = opened(folder)
    plain = authority.issue_gateway_tls(MEMBER, keys.generate_tls_key().public_key(), now=now).certificate
    with pytest.raises(x509.ExtensionNotFound):
        plain.extensions.get_extension_for_class(x509.CRLDistributionPoints)
    opened(folder).set_public_url("http://authority.example:8080")
    authority.issuing.roll(now=now, root_passphrase=b"root")
    leaf = authority.issue_gateway_tls(MEMBER, keys.generate_tls_key().public_key(), now=now).certificate
    points = leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    assert [name.value for point in points for name in point.full_name or ()] == [
        "http://authority.example:8080/crl/issuing-2.crl"
    ]
    access = leaf.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    assert {one.access_location.value for one in access} == {
        "http://authority.example:8080/ocsp",
        "http://authority.example:8080/ca/issuing-2.cer",
    }


@pytest.mark.parametrize(
    "url",
    [
        "https://a.example",
        "http://",
        "http://a.example/",
        "http://a.example/x",
        "http://a b",
        "http://u@a.example",
        "http://a.example:x",
        "http://a.example:0",
        "http://a.example?x",
        "http://a.example\n",
        "http://例",
        "http://" + "a" * 300,
    ],
)
def test_a_public_address_that_is_none_is_refused(folder: Path, url: str) -> None:
    with pytest.raises(CertsError):
        opened(folder).set_public_url(url)
