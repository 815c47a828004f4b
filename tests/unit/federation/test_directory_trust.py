"""A directory is believed only when every part of the rule of `DirectoryTrust` holds."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st
from stdnum.cn import uscc

from certs import keys, profiles
from certs.authority import Authority
from certs.identity import Identity
from gateway.clock import FakeClock
from gateway.errors import ConfigError, DirectoryError, EnvelopeError, RefusedError
from gateway.exchange.keys import DecryptionKey, SigningKey
from gateway.federation import directory_entries, directory_trust
from gateway.federation.directory import Directory
from gateway.federation.directory_build import directory as built_directory
from gateway.federation.directory_build import encryption_key, member_entry, revocation, signing_key
from gateway.federation.directory_trust import DirectoryTrust, Seen
from gateway.federation.presented import presented
from tests.mutants import Change, without
from wugan.federation.v1 import directory_pb2, envelope_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

FEDERATION = "test.wugan.internal"
ZHEJIANG, JINHUA, ANHUI = (
    first + uscc.calc_check_digit(first) for first in ("11330000002482285", "11330700002482285", "12340000002482285")
)
NOW_MS = FakeClock().now_ms()
NOW = dt.datetime.fromtimestamp(NOW_MS / 1000, dt.UTC)
DAY = dt.timedelta(days=1)
DAY_MS = 86_400_000


class World:
    """An authority and three members: Zhejiang, its prefecture Jinhua, and Anhui."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority.create(folder, FEDERATION, now=NOW, root_passphrase=b"root")
        self.trust = DirectoryTrust.of(FEDERATION, self.authority.root_pem)
        self.signers: dict[str, SigningKey] = {}
        self.openers: dict[str, DecryptionKey] = {}
        self.members = [
            self.member(ZHEJIANG, 330000),
            self.member(JINHUA, 330700),
            self.member(ANHUI, 340000),
        ]

    def member(self, member_id: str, region: int) -> directory_pb2.Member:
        key = keys.generate_signing_key()
        self.signers[member_id] = SigningKey.from_seed(key.private_bytes_raw())
        self.openers[member_id] = DecryptionKey.from_seed(keys.generate_xwing_seed())
        issued = self.authority.issue_signing(member_id, key.public_key(), now=NOW)
        return member_entry(
            member_id=member_id,
            name_zh="某省社会保险中心",
            name_en=f"Agency of {region}",
            regions=[region],
            gateways=[("127.0.0.1:7443", Identity.gateway(FEDERATION, member_id).tls_name)],
            signing_keys=[signing_key(issued.der, issued.intermediates_der)],
            encryption_keys=[
                encryption_key(self.openers[member_id].public_raw, not_before=NOW - DAY, not_after=NOW + 90 * DAY)
            ],
        )

    def message(self) -> directory_pb2.Directory:
        return directory_pb2.Directory(
            version=7,
            issued_at_ms=NOW_MS,
            expires_at_ms=NOW_MS + 30 * DAY_MS,
            federation=FEDERATION,
            members=self.members,
            issuing_cas=[ca.certificate.public_bytes(serialization.Encoding.DER) for ca in self.authority.issuing.all],
        )

    def verify(
        self, directory: directory_pb2.Directory, *, now_ms: int = NOW_MS, seen: Seen | None = None
    ) -> Directory:
        data = directory.SerializeToString(deterministic=True)
        return self.trust.verify(data, version=directory.version, now_ms=now_ms, seen=seen)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("authority") / "ca")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Another authority and members of the same names."""
    return World(tmp_path_factory.mktemp("stranger") / "ca")


@pytest.fixture
def message(world: World) -> directory_pb2.Directory:
    return world.message()


def refused(world: World, directory: directory_pb2.Directory, match: str, **arguments: Any) -> None:
    with pytest.raises(DirectoryError, match=match) as caught:
        world.verify(directory, **arguments)
    assert caught.value.zh.startswith("拒绝该成员目录")


def test_a_proper_directory_tells_members_gateways_regions_and_keys(world: World) -> None:
    directory = world.verify(world.message())
    assert directory.member_ids() == (ZHEJIANG, JINHUA, ANHUI)
    assert [member.member_id for member in directory.others(ZHEJIANG)] == [JINHUA, ANHUI]
    assert directory.member(ANHUI).gateways[0].address == "127.0.0.1:7443"
    assert directory.member(ANHUI).gateways[0].tls_name == f"{ANHUI.lower()}.gateway.{FEDERATION}"
    assert directory.member(JINHUA).name_en == "Agency of 330700"


def test_its_keys_verify_and_open_what_the_members_make(world: World) -> None:
    directory = world.verify(world.message())
    for member, signer in world.signers.items():
        directory.verify_key(member, signer.key_id, NOW_MS).verify(signer.sign(b"data"), b"data")
        sealed = directory.encryption_key(member, NOW_MS).encrypt(b"data", b"info")
        assert world.openers[member].decrypt(sealed, b"info") == b"data"


def test_key_objects_are_made_once(world: World) -> None:
    directory = world.verify(world.message())
    assert directory.encryption_key(ANHUI, NOW_MS) is directory.encryption_key(ANHUI, NOW_MS + 1)
    key_id = world.signers[ANHUI].key_id
    assert directory.verify_key(ANHUI, key_id, NOW_MS) is directory.verify_key(ANHUI, key_id, NOW_MS + 1)


@pytest.mark.parametrize(
    ("region", "members"),
    [
        (330702, [JINHUA]),
        (330700, [JINHUA]),
        (330600, [ZHEJIANG]),
        (330602, [ZHEJIANG]),
        (330000, [ZHEJIANG]),
        (340102, [ANHUI]),
        (110101, []),
        (0, []),
        (999999, []),
    ],
)
def test_the_narrowest_region_that_a_member_names_decides(world: World, region: int, members: list[str]) -> None:
    assert world.verify(world.message()).members_serving(region) == members


def test_a_question_coarser_than_the_directory_goes_to_all_that_serve_a_part(world: World) -> None:
    message = world.message()
    del message.members[0]
    assert world.verify(message).members_serving(330000) == [JINHUA]


def test_strangers_have_no_keys_and_no_gateway(world: World) -> None:
    directory = world.verify(world.message())
    unknown = "11110000002482285X"
    attempts: list[Callable[[], object]] = [
        lambda: directory.verify_key(unknown, world.signers[ANHUI].key_id, NOW_MS),
        lambda: directory.verify_key(ZHEJIANG, world.signers[ANHUI].key_id, NOW_MS),
        lambda: directory.verify_key(ZHEJIANG, "00" * 16, NOW_MS),
        lambda: directory.encryption_key(unknown, NOW_MS),
    ]
    for attempt in attempts:
        with pytest.raises(EnvelopeError) as caught:
            attempt()
        assert caught.value.reason == words.REFUSAL_REASON_STRANGER
    with pytest.raises(RefusedError) as refusal:
        directory.member(unknown)
    assert refusal.value.code == "STRANGER"


def test_keys_are_given_within_their_time_only(world: World, message: directory_pb2.Directory) -> None:
    key = message.members[0].signing_keys[0]
    key.not_after_ms = NOW_MS + 1000
    message.members[0].encryption_keys[0].not_after_ms = NOW_MS + 1000
    directory = world.verify(message)
    directory.verify_key(ZHEJIANG, key.key_id, NOW_MS + 1000)
    directory.encryption_key(ZHEJIANG, NOW_MS + 1000)
    for attempt in (
        lambda: directory.verify_key(ZHEJIANG, key.key_id, NOW_MS + 1001),
        lambda: directory.verify_key(ZHEJIANG, key.key_id, key.not_before_ms - 1),
        lambda: directory.encryption_key(ZHEJIANG, NOW_MS + 1001),
    ):
        with pytest.raises(EnvelopeError):
            attempt()


def test_the_newest_valid_encryption_key_is_taken(world: World, message: directory_pb2.Directory) -> None:
    newer = DecryptionKey.from_seed(keys.generate_xwing_seed())
    later = NOW + DAY
    message.members[0].encryption_keys.append(
        encryption_key(newer.public_raw, not_before=later, not_after=later + 9 * DAY)
    )
    directory = world.verify(message)
    assert directory.encryption_key(ZHEJIANG, NOW_MS).key_id == world.openers[ZHEJIANG].key_id
    assert directory.encryption_key(ZHEJIANG, NOW_MS + DAY_MS).key_id == newer.key_id


def test_an_expired_directory_is_refused_and_one_that_expires_gives_no_more_keys(world: World) -> None:
    message = world.message()
    directory = world.verify(message, now_ms=message.expires_at_ms - 1)
    refused(world, message, "expired", now_ms=message.expires_at_ms)
    with pytest.raises(DirectoryError) as caught:
        directory.encryption_key(ANHUI, message.expires_at_ms)
    assert caught.value.code == "DIRECTORY_EXPIRED"
    with pytest.raises(DirectoryError):
        directory.verify_key(ANHUI, world.signers[ANHUI].key_id, message.expires_at_ms)


def test_a_lower_version_is_refused(world: World) -> None:
    refused(world, world.message(), "rollback", seen=Seen(8, bytes(32)))


def test_a_second_directory_of_one_version_is_refused_and_the_same_one_taken(world: World) -> None:
    directory = world.verify(world.message())
    seen = Seen(directory.version, directory.digest)
    assert world.verify(world.message(), seen=seen).digest == directory.digest
    changed = world.message()
    changed.expires_at_ms += 1
    refused(world, changed, "another directory of this version", seen=seen)


def test_a_directory_from_the_future_is_refused(world: World, message: directory_pb2.Directory) -> None:
    message.issued_at_ms = NOW_MS + 120_000
    world.verify(message)
    message.issued_at_ms += 1
    refused(world, message, "in the future")


@pytest.mark.parametrize(
    "change",
    [
        lambda d: setattr(d, "expires_at_ms", d.issued_at_ms),
        lambda d: setattr(d, "expires_at_ms", d.issued_at_ms + 367 * DAY_MS),
        lambda d: setattr(d, "issued_at_ms", 0),
        lambda d: setattr(d, "issued_at_ms", -(1 << 62)),
        lambda d: setattr(d, "expires_at_ms", (1 << 63) - 1),
    ],
)
def test_dates_that_make_no_sense_are_refused(
    world: World, message: directory_pb2.Directory, change: Callable[[Any], None]
) -> None:
    change(message)
    refused(world, message, "no sense")


def test_another_federations_directory_is_refused(world: World, message: directory_pb2.Directory) -> None:
    message.federation = "other.wugan.internal"
    refused(world, message, "another federation")


def test_a_version_other_than_that_of_the_metadata_is_refused(world: World) -> None:
    data = world.message().SerializeToString()
    for version in (6, 8):
        with pytest.raises(DirectoryError, match="metadata"):
            world.trust.verify(data, version=version, now_ms=NOW_MS, seen=None)


def test_what_is_built_is_believed(world: World) -> None:
    data = built_directory(world.members, version=7, federation=FEDERATION, issued_at=NOW, expires_at=NOW + DAY)
    assert world.trust.verify(data, version=7, now_ms=NOW_MS, seen=None).version == 7


@given(st.binary(max_size=300))
@settings(max_examples=50)
def test_nonsense_is_refused(noise: bytes) -> None:
    trust = DirectoryTrust(FEDERATION, ())
    with pytest.raises(DirectoryError):
        trust.verify(noise, version=1, now_ms=NOW_MS, seen=None)


def test_a_directory_too_large_is_refused_unread(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory_trust, "MAX_DIRECTORY_BYTES", 1000)
    refused(world, world.message(), "too large")


Member = directory_pb2.Member


def repeat(member: Member, field: str, times: int) -> None:
    values = getattr(member, field)
    values.extend(list(values) * times)


CHANGES: dict[str, tuple[Callable[[Member], Any], str]] = {
    "id": (lambda m: setattr(m, "member_id", ZHEJIANG[:-1] + "A"), "unified social credit code"),
    "no chinese name": (lambda m: setattr(m, "name_zh", ""), "name"),
    "no english name": (lambda m: setattr(m, "name_en", ""), "name"),
    "control character": (lambda m: setattr(m, "name_en", "\x1b[31mred"), "name"),
    "long name": (lambda m: setattr(m, "name_en", "x" * 257), "name"),
    "unknown region": (lambda m: m.regions.append(990000), "region"),
    "county without prefecture": (lambda m: m.regions.append(330001), "region"),
    "too many regions": (lambda m: m.regions.extend([330000] * 4096), "region"),
    "no gateway": (lambda m: m.ClearField("gateways"), "no gateway"),
    "too many gateways": (lambda m: repeat(m, "gateways", 16), "gateway"),
    "no port": (lambda m: setattr(m.gateways[0], "address", "127.0.0.1"), "address"),
    "port 0": (lambda m: setattr(m.gateways[0], "address", "127.0.0.1:0"), "address"),
    "port too high": (lambda m: setattr(m.gateways[0], "address", "127.0.0.1:65536"), "address"),
    "scheme": (lambda m: setattr(m.gateways[0], "address", "unix:///run/x:1"), "address"),
    "other tls name": (lambda m: setattr(m.gateways[0], "tls_name", "localhost"), "TLS name"),
    "too many keys": (lambda m: repeat(m, "signing_keys", 8), "too many keys"),
    "too many encryption keys": (lambda m: repeat(m, "encryption_keys", 8), "too many keys"),
    "signing key twice": (lambda m: repeat(m, "signing_keys", 1), "occurs twice"),
    "encryption key twice": (lambda m: repeat(m, "encryption_keys", 1), "occurs twice"),
    "signing key id": (lambda m: setattr(m.signing_keys[0], "key_id", "00" * 16), "another key's id"),
    "encryption key id": (lambda m: setattr(m.encryption_keys[0], "key_id", "00" * 16), "another key's id"),
    "no suite": (lambda m: setattr(m.signing_keys[0], "suite", 0), "suite"),
    "suite not in force": (lambda m: setattr(m.encryption_keys[0], "suite", envelope_pb2.SUITE_SM), "suite"),
    "unknown suite": (lambda m: setattr(m.encryption_keys[0], "suite", 99), "suite"),
    "window reversed": (lambda m: setattr(m.signing_keys[0], "not_after_ms", 1), "ends before"),
    "window of all time": (lambda m: setattr(m.encryption_keys[0], "not_after_ms", (1 << 63) - 1), "ends before"),
    "outlives certificate": (lambda m: setattr(m.signing_keys[0], "not_after_ms", NOW_MS + 500 * DAY_MS), "outlives"),
    "before certificate": (lambda m: setattr(m.signing_keys[0], "not_before_ms", NOW_MS - DAY_MS), "not yet valid"),
    "no certificate": (lambda m: setattr(m.signing_keys[0], "certificate", b""), "certificate"),
    "no issuer": (lambda m: m.signing_keys[0].ClearField("intermediates"), "issuing"),
    "short public key": (lambda m: setattr(m.encryption_keys[0], "public_key", bytes(1215)), "key"),
    "long offer": (lambda m: m.offer.kinds.extend([1] * 257), "offers too many"),
}


@pytest.mark.parametrize(("change", "match"), CHANGES.values(), ids=CHANGES)
def test_one_bad_member_makes_the_directory_unbelievable(
    world: World, message: directory_pb2.Directory, change: Callable[[Member], None], match: str
) -> None:
    change(message.members[0])
    refused(world, message, match)


def test_a_member_that_occurs_twice_is_refused(world: World, message: directory_pb2.Directory) -> None:
    message.members.append(message.members[0])
    refused(world, message, "twice")


def test_a_strangers_certificate_is_refused(world: World, stranger: World, message: directory_pb2.Directory) -> None:
    message.members[0].signing_keys[0].CopyFrom(stranger.members[0].signing_keys[0])
    refused(world, message, "root")


def test_another_members_signing_key_is_refused(world: World, message: directory_pb2.Directory) -> None:
    message.members[0].signing_keys[0].CopyFrom(world.members[2].signing_keys[0])
    refused(world, message, "names someone else")


def test_another_members_encryption_key_is_refused(world: World, message: directory_pb2.Directory) -> None:
    message.members[2].encryption_keys[0].CopyFrom(world.members[0].encryption_keys[0])
    refused(world, message, "occurs twice")


IDENTITY_NAMED = ("if leaf.identity != identity:", "if False:")
KEY_ONCE = ("if name in taken:", "if False:")


@pytest.mark.parametrize("defences", [[IDENTITY_NAMED], [KEY_ONCE], [IDENTITY_NAMED, KEY_ONCE]])
def test_with_its_defences_off_a_member_can_claim_anothers_signing_key(
    world: World, message: directory_pb2.Directory, defences: list[Change]
) -> None:
    """Unknown key share: either defence stops it, and with both off it would succeed."""
    victim = world.members[2].signing_keys[0]
    message.members[0].signing_keys[0].CopyFrom(victim)
    mutant = without(directory_entries, defences)
    judged = []
    try:
        for entry in message.members:
            judged.append(mutant.judge(entry, b"", FEDERATION, world.trust.roots))
        mutant.require_together([each.outline for each in judged], message.revocations)
    except DirectoryError:
        assert len(defences) == 1
    else:
        assert len(defences) == 2
        assert victim.key_id in judged[0].member.signing_keys


def test_a_tls_certificate_is_no_signing_key(world: World, message: directory_pb2.Directory) -> None:
    issued = world.authority.issue_gateway_tls(ZHEJIANG, keys.generate_tls_key().public_key(), now=NOW)
    message.members[0].signing_keys[0].certificate = issued.der
    message.members[0].signing_keys[0].not_after_ms = NOW_MS + DAY_MS
    refused(world, message, "signing")
    with pytest.raises(DirectoryError, match="Ed25519"):
        signing_key(issued.der, issued.intermediates_der)
    with pytest.raises(DirectoryError, match="Ed25519"):
        signing_key(b"nonsense", ())


def test_an_empty_directory_of_version_0_is_refused(world: World, message: directory_pb2.Directory) -> None:
    message.version = 0
    refused(world, message, "version")


def test_too_many_members_are_refused(
    world: World, message: directory_pb2.Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory_trust, "MAX_MEMBERS", 2)
    refused(world, message, "number of members")


def test_a_directory_cannot_be_changed(world: World) -> None:
    directory = world.verify(world.message())
    with pytest.raises(AttributeError):
        directory.version = 8  # type: ignore[misc]


def test_roots_and_federation_that_are_none_are_configuration_errors(world: World) -> None:
    with pytest.raises(ConfigError):
        DirectoryTrust.of(FEDERATION, b"nonsense")
    with pytest.raises(ConfigError):
        DirectoryTrust.of("Nonsense", world.authority.root_pem)


# TLS certificates


def tls(world: World, member_id: str) -> bytes:
    return world.authority.issue_gateway_tls(member_id, keys.generate_tls_key().public_key(), now=NOW).der


def test_a_gateway_is_taken_with_a_listed_certificate_only(world: World, message: directory_pb2.Directory) -> None:
    old, new, strange = (tls(world, ZHEJIANG) for _ in range(3))
    message.members[0].gateways[0].tls_certificates.extend([old, new])
    directory = world.verify(message)
    directory.require_listed(ZHEJIANG, old)
    directory.require_listed(ZHEJIANG, new)
    with pytest.raises(RefusedError) as caught:
        directory.require_listed(ZHEJIANG, strange)
    assert caught.value.code == "STRANGER"


def test_while_none_is_listed_any_certificate_of_the_member_will_do(world: World) -> None:
    directory = world.verify(world.message())
    directory.require_listed(ZHEJIANG, tls(world, ZHEJIANG))
    with pytest.raises(RefusedError):
        directory.require_listed("11110000002482285X", tls(world, ZHEJIANG))


@pytest.mark.parametrize("kind", ["another member's", "a unit's", "nonsense"])
def test_a_tls_certificate_that_does_not_name_the_gateway_is_refused(
    world: World, message: directory_pb2.Directory, kind: str
) -> None:
    unit = world.authority.issue_unit_tls(ZHEJIANG, "jinhua", keys.generate_tls_key().public_key(), now=NOW).der
    wrong = {"another member's": tls(world, ANHUI), "a unit's": unit, "nonsense": b"nonsense"}[kind]
    message.members[0].gateways[0].tls_certificates.append(wrong)
    refused(world, message, "does not name its gateway")


def test_too_many_tls_certificates_are_refused(world: World, message: directory_pb2.Directory) -> None:
    message.members[0].gateways[0].tls_certificates.extend([tls(world, ZHEJIANG)] * 17)
    refused(world, message, "too many TLS certificates")


# revocation


def issuing(world: World) -> bytes:
    pem = (world.folder / "issuing.pem").read_bytes()
    return x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)


def test_issuing_cas_are_those_of_the_root_each_once_and_whoever_shows_another_is_refused(
    world: World, stranger: World, message: directory_pb2.Directory
) -> None:
    unit = world.authority.issue_unit_tls(ZHEJIANG, "jinhua", keys.generate_tls_key().public_key(), now=NOW).der
    del message.issuing_cas[:]
    nobody = world.verify(message)
    with pytest.raises(RefusedError) as caught:
        nobody.require_certified(unit)
    assert caught.value.code == "STRANGER", "a directory that tells of no CA lets nobody in by one"
    message.kept_certificates.append(presented(unit).fingerprint)
    world.verify(message).require_certified(unit)
    del message.kept_certificates[:]
    message.issuing_cas.append(issuing(world))
    world.verify(message).require_certified(unit)
    with pytest.raises(RefusedError):
        world.verify(message).require_certified(tls(stranger, ZHEJIANG))
    root = world.authority.root.public_bytes(serialization.Encoding.DER)
    for wrong, match in (
        ([issuing(world)] * 2, "occurs twice"),
        ([issuing(stranger)], "not issued by the federation's root"),
        ([root], "not issued by the federation's root"),
        ([unit], "not issued by the federation's root"),
        ([b"nonsense"], "is no certificate"),
        ([b"x" * 100_000], "is no certificate"),
        ([issuing(world)] * 65, "too many issuing CAs"),
    ):
        del message.issuing_cas[:]
        message.issuing_cas.extend(wrong)
        refused(world, message, match)
    del message.issuing_cas[:]
    message.kept_certificates.append(b"short")
    refused(world, message, "kept certificates")


def test_cas_of_members_are_the_roots_each_once_and_of_one_member(
    world: World, stranger: World, message: directory_pb2.Directory
) -> None:
    key, root = keys.generate_authority_key().public_key(), world.authority.issuing.root_issuer(b"root", None)
    own = profiles.member_certificate(root, key, ANHUI, NOW, "1").public_bytes(serialization.Encoding.DER)
    message.member_cas.add(certificate=own, member_id=ANHUI)
    assert [(ca.certificate, ca.member_id) for ca in world.verify(message).member_cas.values()] == [(own, ANHUI)]
    for wrong, match in (
        ([(own, ANHUI), (own, JINHUA)], "occurs twice"),
        ([(issuing(world), ANHUI)], "occurs twice"),
        ([(issuing(stranger), ANHUI)], "not issued by the federation's root"),
        ([(b"nonsense", ANHUI)], "is no certificate"),
        ([(own, "")], "is no member's"),
        ([(own, ANHUI)] * 129, "too many CAs of members"),
    ):
        del message.member_cas[:]
        for certificate, member_id in wrong:
            message.member_cas.add(certificate=certificate, member_id=member_id)
        refused(world, message, match)


def take_back(world: World, directory: directory_pb2.Directory, certificate: bytes, issuer: bytes = b"") -> None:
    number = x509.load_der_x509_certificate(certificate).serial_number
    directory.revocations.append(revocation(number, issuer or issuing(world), revoked_at=NOW, reason=1))


def test_a_revoked_certificate_is_refused_and_others_are_not(world: World, message: directory_pb2.Directory) -> None:
    revoked, other = tls(world, ZHEJIANG), tls(world, ZHEJIANG)
    take_back(world, message, revoked)
    directory = world.verify(message)
    directory.require_not_revoked(other)
    with pytest.raises(RefusedError) as caught:
        directory.require_not_revoked(revoked)
    assert caught.value.code == "STRANGER"


def test_a_revocation_is_of_the_issuer_that_it_names(world: World, message: directory_pb2.Directory) -> None:
    for certificate in (tls(world, ZHEJIANG), tls(world, ZHEJIANG)):
        take_back(world, message, certificate)
        shown = presented(certificate)
        assert world.verify(message).revoked[shown.serial] == {shown.issuer_key} != {b""}


def test_the_same_number_of_another_issuer_is_not_revoked(
    world: World, stranger: World, message: directory_pb2.Directory
) -> None:
    certificate = tls(world, ZHEJIANG)
    take_back(world, message, certificate, issuing(stranger))
    directory = world.verify(message)
    with pytest.raises(RefusedError):
        # No member's chain shows that issuer, so it cannot be told apart: the number alone decides.
        directory.require_not_revoked(certificate)
    shown = presented(certificate)
    elsewhere = replace(directory, revoked={shown.serial: frozenset({b"another key"})})
    elsewhere.require_not_revoked(certificate)


def test_a_certificate_that_is_listed_and_revoked_makes_the_directory_unbelievable(
    world: World, message: directory_pb2.Directory
) -> None:
    certificate = tls(world, ANHUI)
    message.members[2].gateways[0].tls_certificates.append(certificate)
    world.verify(message)
    take_back(world, message, certificate)
    refused(world, message, "listed and revoked")
    for listed in (world.members[0].signing_keys[0].certificate,):
        again = world.message()
        take_back(world, again, listed)
        refused(world, again, "listed and revoked")


@pytest.mark.parametrize(
    "change",
    [
        {"serial_number": b""},
        {"serial_number": b"\0\1"},
        {"serial_number": b"x" * 21},
        {"issuer_sha256": b"x"},
        {"reason": 7},
        {"reason": 11},
        {"revoked_at_ms": 0},
    ],
)
def test_a_malformed_revocation_is_refused(
    world: World, message: directory_pb2.Directory, change: dict[str, Any]
) -> None:
    take_back(world, message, tls(world, ANHUI))
    for name, value in change.items():
        setattr(message.revocations[0], name, value)
    refused(world, message, "revocation")


def test_a_certificate_revoked_twice_is_refused(world: World, message: directory_pb2.Directory) -> None:
    certificate = tls(world, ANHUI)
    take_back(world, message, certificate)
    take_back(world, message, certificate)
    refused(world, message, "twice")


@pytest.mark.parametrize("noise", [b"", b"nonsense", b"\x30" * (17 << 10)])
def test_what_is_no_certificate_is_refused_as_a_strangers(world: World, noise: bytes) -> None:
    directory = world.verify(world.message())
    with pytest.raises(RefusedError) as caught:
        directory.require_not_revoked(noise)
    assert caught.value.code == "STRANGER"


# not judging the same twice


def test_only_members_whose_entry_changed_are_judged_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[str] = []

    def counting(entry: directory_pb2.Member, *rest: Any) -> directory_entries.Judged:
        judged.append(entry.member_id)
        return directory_entries.judge(entry, *rest)

    monkeypatch.setattr(directory_trust, "judge", counting)
    trust = DirectoryTrust.of(FEDERATION, world.authority.root_pem)
    message = world.message()

    def verify() -> None:
        trust.verify(message.SerializeToString(), version=7, now_ms=NOW_MS, seen=None)

    verify()
    assert judged == [ZHEJIANG, JINHUA, ANHUI]
    message.members[1].name_en = "another name"
    verify()
    assert judged[3:] == [JINHUA]


def test_what_is_not_judged_again_is_still_held_against_the_others(
    world: World, message: directory_pb2.Directory
) -> None:
    world.verify(message)
    message.members[2].encryption_keys[0].CopyFrom(world.members[0].encryption_keys[0])
    refused(world, message, "occurs twice")


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What of entries was judged: keys by what they are for, certificates that were asked whom they name."""
    judged: list[str] = []

    def counting(name: str, word: str) -> None:
        of = getattr(directory_entries, name)

        def counted(*args: Any) -> Any:
            judged.append(word)
            return of(*args)

        monkeypatch.setattr(directory_entries, name, counted)

    counting("_signing_key", "signing")
    counting("_encryption_key", "encryption")
    counting("parse_identity", "tls")
    return judged


def renewed(world: World, message: directory_pb2.Directory) -> None:
    """Zhejiang has another key of each kind beside those that it had."""
    entry = message.members[0]
    key = keys.generate_signing_key()
    issued = world.authority.issue_signing(ZHEJIANG, key.public_key(), now=NOW)
    entry.signing_keys.append(signing_key(issued.der, issued.intermediates_der))
    opener = DecryptionKey.from_seed(keys.generate_xwing_seed())
    entry.encryption_keys.append(encryption_key(opener.public_raw, not_before=NOW, not_after=NOW + DAY))
    entry.gateways[0].tls_certificates.append(tls(world, ZHEJIANG))


def test_of_an_entry_that_changed_only_that_is_judged_which_changed(world: World, parts: list[str]) -> None:
    trust, message = DirectoryTrust.of(FEDERATION, world.authority.root_pem), world.message()

    def verify() -> Directory:
        return trust.verify(message.SerializeToString(), version=7, now_ms=NOW_MS, seen=None)

    renewed(world, message)
    before = verify().member(ZHEJIANG)
    assert sorted(parts) == sorted(["signing"] * 4 + ["encryption"] * 4 + ["tls"])
    parts.clear()
    renewed(world, message)
    after = verify().member(ZHEJIANG)
    assert parts == ["signing", "encryption", "tls"]
    assert (len(after.signing_keys), len(after.encryption_keys), len(after.tls_certificates)) == (3, 3, 2)
    assert after.signing_keys.items() > before.signing_keys.items()
    fresh = DirectoryTrust.of(FEDERATION, world.authority.root_pem).verify(
        message.SerializeToString(), version=7, now_ms=NOW_MS, seen=None
    )
    assert fresh.member(ZHEJIANG).signing_keys.keys() == after.signing_keys.keys()
    assert [(held.key.key_id, held.not_after_ms) for held in fresh.member(ZHEJIANG).encryption_keys] == [
        (held.key.key_id, held.not_after_ms) for held in after.encryption_keys
    ]


def test_what_a_directory_does_not_list_any_more_is_forgotten_and_a_refused_one_changes_nothing(
    world: World, parts: list[str]
) -> None:
    trust, message = DirectoryTrust.of(FEDERATION, world.authority.root_pem), world.message()

    def verify(directory: directory_pb2.Directory) -> None:
        trust.verify(directory.SerializeToString(), version=7, now_ms=NOW_MS, seen=None)

    renewed(world, message)
    verify(message)
    parts.clear()
    bad = directory_pb2.Directory()
    bad.CopyFrom(message)
    renewed(world, bad)
    take_back(world, bad, bad.members[0].signing_keys[-1].certificate)
    for _ in range(2):
        with pytest.raises(DirectoryError, match="listed and revoked"):
            verify(bad)
    assert parts == ["signing", "encryption", "tls"] * 2
    parts.clear()
    verify(world.message())
    verify(message)
    assert parts == ["signing", "encryption", "tls"]
    parts.clear()
    without_it = world.message()
    del without_it.members[0]
    verify(without_it)
    verify(message)
    assert sorted(parts) == sorted(["signing", "encryption"] * 2 + ["tls"])


@pytest.mark.parametrize("what", ["signing_keys", "encryption_keys", "tls"])
def test_what_was_judged_of_one_member_does_not_count_for_another(world: World, what: str) -> None:
    """Word for word, in an entry of Jinhua that changed in nothing else."""
    message = world.message()
    renewed(world, message)
    world.verify(message)
    zhejiang, jinhua = message.members[:2]
    match what:
        case "tls":
            jinhua.gateways[0].tls_certificates.append(zhejiang.gateways[0].tls_certificates[0])
            refused(world, message, "does not name its gateway")
        case "signing_keys":
            jinhua.signing_keys.append(zhejiang.signing_keys[0])
            refused(world, message, "names someone else")
        case "encryption_keys":
            jinhua.encryption_keys.append(zhejiang.encryption_keys[0])
            refused(world, message, "occurs twice")


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        (lambda entry: setattr(entry.signing_keys[0], "not_after_ms", NOW_MS + 9_999 * DAY_MS), "outlives"),
        (lambda entry: setattr(entry.signing_keys[0], "not_before_ms", 1), "expired or not yet valid"),
        (lambda entry: setattr(entry.signing_keys[0], "key_id", "0" * 32), "another key's id"),
        (lambda entry: setattr(entry.signing_keys[0], "suite", 9), "suite"),
        (lambda entry: entry.signing_keys[0].intermediates.append(b"x"), "exactly one issuing"),
        (lambda entry: setattr(entry.signing_keys[0], "certificate", b"x"), "malformed"),
        (lambda entry: setattr(entry.encryption_keys[0], "key_id", "0" * 32), "another key's id"),
        (lambda entry: setattr(entry.encryption_keys[0], "not_after_ms", 1), "ends before it begins"),
        (lambda entry: setattr(entry.encryption_keys[0], "public_key", b"x"), "key"),
        (lambda entry: setattr(entry.gateways[0], "tls_name", "x"), "TLS name"),
        (lambda entry: entry.gateways[0].tls_certificates.append(b"x"), "does not name its gateway"),
    ],
)
def test_whatever_changes_of_what_was_judged_is_judged_anew(
    world: World, changed: Callable[[directory_pb2.Member], object], match: str
) -> None:
    message = world.message()
    renewed(world, message)
    world.verify(message)
    changed(message.members[0])
    refused(world, message, match)


@pytest.mark.parametrize("touched", [False, True], ids=["the entry is the same", "another key is new in it"])
def test_what_is_not_judged_again_falls_with_its_certificate_its_ca_and_the_time(world: World, touched: bool) -> None:
    message = world.message()
    renewed(world, message)
    key = message.members[0].signing_keys[0]
    assert world.verify(message).verify_key(ZHEJIANG, key.key_id, NOW_MS)

    def next_one() -> directory_pb2.Directory:
        following = directory_pb2.Directory()
        following.CopyFrom(message)
        if touched:
            renewed(world, following)
        return following

    for certificate in (key.certificate, message.members[0].gateways[0].tls_certificates[0]):
        revoked = next_one()
        take_back(world, revoked, certificate)
        refused(world, revoked, "listed and revoked")
    without_ca = next_one()
    del without_ca.issuing_cas[:]
    assert key.key_id not in world.verify(without_ca).member(ZHEJIANG).signing_keys
    kept = next_one()
    del kept.issuing_cas[:]
    kept.kept_certificates.append(presented(key.certificate).fingerprint)
    assert [*world.verify(kept).member(ZHEJIANG).signing_keys] == [key.key_id]
    later = next_one()
    later.issued_at_ms = key.not_after_ms + 1
    later.expires_at_ms = later.issued_at_ms + DAY_MS
    expired = world.verify(later, now_ms=later.issued_at_ms)
    with pytest.raises(EnvelopeError):
        expired.verify_key(ZHEJIANG, key.key_id, later.issued_at_ms)
