"""A directory is believed only when every part of the rule of `DirectoryTrust` holds."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stdnum.cn import uscc

from certs import keys
from certs.authority import DIRECTORY_TAG, Authority
from certs.identity import Identity
from gateway.clock import FakeClock
from gateway.errors import ConfigError, DirectoryError, EnvelopeError, RefusedError
from gateway.exchange.keys import DecryptionKey, SigningKey
from gateway.federation import directory_trust
from gateway.federation.directory import Directory
from gateway.federation.directory_build import (
    cosign_directory,
    encryption_key,
    member_entry,
    sign_directory,
    signing_key,
)
from gateway.federation.directory_trust import DirectoryTrust, Seen
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
        self.trust = DirectoryTrust.of(FEDERATION, self.authority.root_pem, [self.authority.directory_public_key.hex()])
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
        )

    def sign(self, directory: directory_pb2.Directory) -> bytes:
        data = directory.SerializeToString(deterministic=True)
        signature = directory_pb2.DirectorySignature(
            key_id=self.authority.directory_key_id, signature=self.authority.sign_directory(data)
        )
        return directory_pb2.SignedDirectory(directory=data, signatures=[signature]).SerializeToString()

    def verify(
        self, directory: directory_pb2.Directory, *, now_ms: int = NOW_MS, seen: Seen | None = None
    ) -> Directory:
        return self.trust.verify(self.sign(directory), now_ms=now_ms, seen=seen)


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
    assert directory.gateway_of(ANHUI).address == "127.0.0.1:7443"
    assert directory.gateway_of(ANHUI).tls_name == f"{ANHUI.lower()}.gateway.{FEDERATION}"
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
        directory.gateway_of(unknown)
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


def test_a_directory_signed_by_a_stranger_or_by_nobody_is_refused(world: World, stranger: World) -> None:
    for signed in (
        stranger.sign(world.message()),
        directory_pb2.SignedDirectory(directory=world.message().SerializeToString()).SerializeToString(),
        b"",
    ):
        with pytest.raises(DirectoryError, match="too few"):
            world.trust.verify(signed, now_ms=NOW_MS, seen=None)


def test_a_signature_without_its_domain_is_worth_nothing(world: World) -> None:
    data = world.message().SerializeToString()
    key = keys.load_signing_key(world.folder / "directory-key.pem")
    for signature, good in ((key.sign(data), False), (key.sign(DIRECTORY_TAG + data), True)):
        outer = directory_pb2.SignedDirectory(
            directory=data,
            signatures=[directory_pb2.DirectorySignature(key_id=world.authority.directory_key_id, signature=signature)],
        )
        if good:
            world.trust.verify(outer.SerializeToString(), now_ms=NOW_MS, seen=None)
        else:
            with pytest.raises(DirectoryError, match="too few"):
                world.trust.verify(outer.SerializeToString(), now_ms=NOW_MS, seen=None)


def built(world: World) -> bytes:
    return sign_directory(
        world.authority, world.members, version=7, federation=FEDERATION, issued_at=NOW, expires_at=NOW + DAY
    )


def test_the_threshold_counts_different_pinned_keys(world: World, stranger: World) -> None:
    both = [world.authority.directory_public_key.hex(), stranger.authority.directory_public_key.hex()]
    trust = DirectoryTrust.of(FEDERATION, world.authority.root_pem, both, threshold=2)
    once = built(world)
    for signed in (once, cosign_directory(once, world.authority)):
        with pytest.raises(DirectoryError, match="too few"):
            trust.verify(signed, now_ms=NOW_MS, seen=None)
    assert trust.verify(cosign_directory(once, stranger.authority), now_ms=NOW_MS, seen=None).version == 7


def test_too_many_signatures_are_refused_before_any_is_verified(world: World) -> None:
    outer = directory_pb2.SignedDirectory.FromString(built(world))
    outer.signatures.extend([outer.signatures[0]] * 64)
    with pytest.raises(DirectoryError, match="too many signatures"):
        world.trust.verify(outer.SerializeToString(), now_ms=NOW_MS, seen=None)


@given(place=st.integers(0, 1 << 20), change=st.integers(1, 255))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_changed_byte_of_the_directory_is_accepted(world: World, place: int, change: int) -> None:
    outer = directory_pb2.SignedDirectory.FromString(built(world))
    data = bytearray(outer.directory)
    data[place % len(data)] ^= change
    outer.directory = bytes(data)
    with pytest.raises(DirectoryError):
        world.trust.verify(outer.SerializeToString(), now_ms=NOW_MS, seen=None)


@given(st.binary(max_size=300))
@settings(max_examples=50)
def test_nonsense_is_refused(noise: bytes) -> None:
    trust = DirectoryTrust(FEDERATION, (), {}, 1)
    with pytest.raises(DirectoryError):
        trust.verify(noise, now_ms=NOW_MS, seen=None)


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


@pytest.fixture
def pins(world: World) -> tuple[bytes, str]:
    return world.authority.root_pem, world.authority.directory_public_key.hex()


@pytest.mark.parametrize("signer", ["", "zz" * 32, "00" * 31])
def test_a_signer_that_is_no_key_is_a_configuration_error(pins: tuple[bytes, str], signer: str) -> None:
    with pytest.raises(ConfigError, match="signers"):
        DirectoryTrust.of(FEDERATION, pins[0], [pins[1], signer])


def test_a_threshold_above_the_number_of_different_signers_is_a_configuration_error(pins: tuple[bytes, str]) -> None:
    for threshold in (0, 2):
        with pytest.raises(ConfigError, match="threshold"):
            DirectoryTrust.of(FEDERATION, pins[0], [pins[1], pins[1]], threshold)


def test_roots_and_federation_that_are_none_are_configuration_errors(pins: tuple[bytes, str]) -> None:
    with pytest.raises(ConfigError):
        DirectoryTrust.of(FEDERATION, b"nonsense", [pins[1]])
    with pytest.raises(ConfigError):
        DirectoryTrust.of("Nonsense", pins[0], [pins[1]])


def test_what_is_no_directory_cannot_be_cosigned(world: World) -> None:
    with pytest.raises(DirectoryError):
        cosign_directory(b"\xff", world.authority)
