"""An authority in a folder, with a clock of its own, and members that join it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path

from stdnum.cn import uscc

from certs import keys
from certs.authority import Authority
from certs.identity import Identity
from gateway.authority.founding import Plan, found
from gateway.authority.office import Office
from gateway.clock import FakeClock, SystemClock
from gateway.exchange.keys import DecryptionKey
from gateway.federation.directory import Directory
from gateway.federation.directory_build import encryption_key, member_entry, signing_key
from gateway.federation.directory_fetch import FolderFetcher
from gateway.federation.directory_trust import DirectoryTrust
from gateway.federation.directory_tuf import DirectoryTuf
from gateway.federation.directory_updater import DirectoryPlace
from wugan.federation.v1 import authority_pb2, directory_pb2

FEDERATION = "test.wugan.internal"
ROOT_PASSPHRASES = (b"one", b"two", b"three")
ZHEJIANG, JINHUA, ANHUI = (
    first + uscc.calc_check_digit(first) for first in ("11330000002482285", "11330700002482285", "12340000002482285")
)
YEAR = dt.timedelta(days=365)


@dataclass
class Keys:
    """What a member makes for itself: TLS key and certificate, signing key and certificate, encryption key."""

    member_id: str
    tls_key: keys.PrivateKey
    tls_pem: bytes
    tls: bytes
    signing: directory_pb2.SigningKey
    encryption: directory_pb2.EncryptionKey

    def publication(self, sequence: int, *others: Keys) -> authority_pb2.KeyPublication:
        every = (self, *others)
        return authority_pb2.KeyPublication(
            member_id=self.member_id,
            sequence=sequence,
            tls_certificates=[each.tls for each in every],
            signing_keys=[each.signing for each in every],
            encryption_keys=[each.encryption for each in every],
        )


@dataclass
class World:
    """The authority."""

    home: Path
    clock: FakeClock = field(default_factory=lambda: FakeClock(SystemClock().now_ms() // 1000 * 1000))
    """Set by the real one, in whole seconds as certificates are: TLS asks no other whether these are still valid."""
    ca: Authority = field(init=False)
    office: Office = field(init=False)

    def __post_init__(self) -> None:
        plan = Plan(FEDERATION, ROOT_PASSPHRASES, threshold=2, listen="127.0.0.1:0", loopback=True)
        self.ca = found(self.home, plan, self.clock)
        self.office = Office(self.home, self.clock)

    @property
    def now(self) -> dt.datetime:
        return dt.datetime.fromtimestamp(self.clock.now_ms() / 1000, dt.UTC)

    def keys_of(self, member_id: str) -> Keys:
        tls_key, signer = keys.generate_tls_key(), keys.generate_signing_key()
        tls = self.ca.issue_gateway_tls(member_id, tls_key.public_key(), now=self.now)
        signing = self.ca.issue_signing(member_id, signer.public_key(), now=self.now)
        public = DecryptionKey.from_seed(keys.generate_xwing_seed()).public_raw
        return Keys(
            member_id,
            tls_key,
            tls.pem,
            tls.der,
            signing_key(signing.der, signing.intermediates_der),
            encryption_key(public, not_before=self.now, not_after=self.now + YEAR),
        )

    def entry(self, member_id: str, *made: Keys, region: int = 330000) -> directory_pb2.Member:
        return member_entry(
            member_id=member_id,
            name_zh="某省社会保险中心",
            name_en=f"Agency of {region}",
            regions=[region],
            gateways=[("127.0.0.1:7443", Identity.gateway(FEDERATION, member_id).tls_name)],
            tls_certificates=[each.tls for each in made],
            signing_keys=[each.signing for each in made],
            encryption_keys=[each.encryption for each in made],
        )

    def reader(self, name: str = "reader") -> DirectoryTuf:
        """A gateway that reads the authority's folder."""
        root = (self.home / "root.json").read_bytes()
        place = DirectoryPlace(str(self.home / "tuf"), root, self.home.parent / f"state-{name}")
        trust = DirectoryTrust.of(FEDERATION, self.ca.root_pem)
        return DirectoryTuf(place, FolderFetcher(), trust, self.clock)

    async def directory(self) -> Directory:
        """What a gateway takes that comes now."""
        reader = self.reader()
        await reader.refresh()
        return reader.current()
