"""Between a gateway and its departments revoked certificates are refused on both sides; keys may have passphrases."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from remote_world import Member, tls_name_of

from adapters import sdk
from adapters.contract import Lookup, Subjects
from adapters.errors import AdapterError, SourceDownError, SourceFaultError
from adapters.revoked import RevocationLists
from certs import keys
from certs.revocation import Revocation
from gateway.clock import FakeClock
from gateway.federation.directory import Directory
from gateway.federation.presented import presented
from gateway.federation.shown import LOOK_EVERY_S, Shown

pytestmark = pytest.mark.integration
WHO = "330702195001010017"


class Graves(sdk.RowAdapter):
    adapter_id, version, department, regions = "burials", "1", "CIVIL_AFFAIRS", (330000,)
    items = (sdk.Item("BURIAL", "REAL_NAME", freshness_days=30),)

    async def rows(self, numbers: object) -> list[sdk.Row]:
        return [sdk.Row(WHO, "张三", "BURIAL", dt.date(2026, 1, 1))]


@pytest.fixture
def member(tmp_path: Path) -> Member:
    return Member(tmp_path / "member")


def serial_of(folder: Path) -> int:
    return x509.load_pem_x509_certificates((folder / "certificate.pem").read_bytes())[0].serial_number


def revocation_list(member: Member, path: Path, *revoked: int) -> Path:
    revocation = Revocation(member.authority)
    for serial in revoked:
        revocation.revoke(serial, x509.ReasonFlags.key_compromise, member.now)
    path.write_bytes(revocation.crl("issuing", member.now))
    return path


def question() -> Lookup:
    return Lookup(Subjects([WHO], ["张三"]), deadline_s=10)


async def test_a_department_refuses_a_gateway_on_its_list(member: Member, tmp_path: Path) -> None:
    there, gateway, stolen = member.department(), member.gateway(), member.gateway(folder="stolen")
    crl = revocation_list(member, tmp_path / "issuing.crl", serial_of(stolen))
    async with sdk.served(Graves(), "127.0.0.1:0", there, crl=[crl]) as address:
        good, bad = member.adapter(address, gateway), member.adapter(address, stolen)
        assert len((await good.lookup(question())).evidence) == 1
        with pytest.raises(SourceFaultError, match="PERMISSION_DENIED"):
            await bad.lookup(question())
        await good.close()
        await bad.close()


async def test_a_department_whose_lists_cannot_be_used_does_not_start(member: Member, tmp_path: Path) -> None:
    there = member.department()
    others = Member(tmp_path / "others")
    foreign = revocation_list(others, tmp_path / "foreign.crl")
    (tmp_path / "none.crl").write_bytes(b"nothing")
    for path in (foreign, tmp_path / "none.crl", tmp_path / "away.crl"):
        with pytest.raises(AdapterError, match=path.name):
            async with sdk.served(Graves(), "127.0.0.1:0", there, crl=[path]):
                pass


def test_a_list_is_read_anew_and_holds_until_its_time_is_over(member: Member, tmp_path: Path) -> None:
    gateway = member.gateway()
    pem = (gateway / "certificate.pem").read_bytes()
    first = pem[: pem.index(b"-----END CERTIFICATE-----") + 26]
    path = revocation_list(member, tmp_path / "issuing.crl")
    clock = [member.now, 0.0]
    lists = RevocationLists(
        [path],
        [gateway / "certificate.pem"],
        now=lambda: clock[0],
        monotonic=lambda: clock[1],  # type: ignore[arg-type,return-value]
    )
    assert not lists.revoked(first)
    assert lists.revoked(b"no certificate")
    path.write_bytes(b"half of a")
    clock[1] = 60.0
    assert not lists.revoked(first), "what cannot be read is not used"
    revocation_list(member, path, serial_of(gateway))
    clock[1] = 120.0
    assert lists.revoked(first)
    clock[0] = member.now + dt.timedelta(days=3)
    assert lists.revoked(first), "past its time nobody knows"
    others = Member(tmp_path / "others")
    of_others = [others.gateway() / "certificate.pem"]
    assert RevocationLists([revocation_list(others, tmp_path / "others.crl")], of_others).revoked(first), (
        "of another CA"
    )


async def test_a_gateway_does_not_ask_a_department_whose_certificate_was_revoked(member: Member) -> None:
    there = member.department()
    roots = member.authority.root_pem
    clock = FakeClock(0)
    revoked: dict[bytes, frozenset[bytes]] = {}
    directory = Directory.__new__(Directory)

    def taken_back(folder: Path) -> None:
        der = x509.load_pem_x509_certificates((folder / "certificate.pem").read_bytes())[0].public_bytes(
            serialization.Encoding.DER
        )
        named = presented(der)
        revoked[named.serial] = frozenset({named.issuer_key})

    issuer = member.authority.issuing.current.certificate
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    issuing = {identifier: issuer.public_bytes(serialization.Encoding.DER)}
    for name, value in (("revoked", revoked), ("issuing", issuing), ("kept", frozenset()), ("member_cas", {})):
        object.__setattr__(directory, name, value)
    shown = Shown(lambda: directory, roots, clock)
    async with sdk.served(Graves(), "127.0.0.1:0", there) as address:
        await shown.require_not_revoked(address, tls_name_of("burials"))
        taken_back(there)
        with pytest.raises(SourceDownError, match="revoked"):
            await shown.require_not_revoked(address, tls_name_of("burials"))
    renewed = member.department(folder="renewed")
    async with sdk.served(Graves(), address, renewed):
        clock.advance(1.5)
        await shown.require_not_revoked(address, tls_name_of("burials"))
        held = issuing.pop(identifier)
        with pytest.raises(SourceDownError):  # its CA was taken back
            await shown.require_not_revoked(address, tls_name_of("burials"))
        issuing[identifier] = held
    clock.advance(LOOK_EVERY_S + 1)
    await shown.require_not_revoked(address, tls_name_of("burials"))  # nobody there: the call itself says so


async def test_a_key_with_a_passphrase_serves_the_sdk(member: Member) -> None:
    there = member.department()
    key = keys.load_private_key(there / "key.pem")
    keys.store_private_key(there / "key.pem", key, passphrase=b"opensesame", replace=True)
    with pytest.raises(AdapterError):
        async with sdk.served(Graves(), "127.0.0.1:0", there):
            pass
    async with sdk.served(Graves(), "127.0.0.1:0", there, passphrase="opensesame") as address:
        adapter = member.adapter(address, member.gateway())
        assert len((await adapter.lookup(question())).evidence) == 1
        await adapter.close()
