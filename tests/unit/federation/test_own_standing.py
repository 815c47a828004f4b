"""What the directory holds against the keys in use is told as partners would judge them."""

from __future__ import annotations

from pathlib import Path

import pytest

from certs.slot_journal import Generation, Journal, Publication
from gateway.cli.certs_standing import Judged
from gateway.federation.own_standing import Objection, objections
from tests.unit.authority.authority_world import ANHUI, ZHEJIANG, Keys, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "authority")


@pytest.fixture
def made(world: World) -> Keys:
    made = world.keys_of(ZHEJIANG)
    world.office.add(world.entry(ZHEJIANG, made), world.entry(ANHUI, region=340000))
    return made


async def held_against(world: World, made: Keys, published: int = 1) -> tuple[Objection, ...]:
    chains = {"tls": made.tls_pem, "signing": pem(made.signing.certificate)}
    ids = {"tls": "", "signing": made.signing.key_id, "encryption": made.encryption.key_id}
    current = [
        Generation.model_validate({"kind": kind, "number": 1, "state": "current", "key_id": ids[kind], "made_at_ms": 0})
        for kind in ids
    ]
    journal = Journal(publication=Publication(sequence=1, version=published), generations=tuple(current))
    return objections(await world.directory(), ZHEJIANG, journal, lambda each: chains[each.kind])


def pem(der: bytes) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)


async def test_nothing_is_held_against_keys_that_are_listed(world: World, made: Keys) -> None:
    assert await held_against(world, made) == ()


async def test_a_revoked_key_is_named_with_what_to_do(world: World, made: Keys) -> None:
    world.office.revoke_key(made.encryption.key_id, reason=1)
    [against] = await held_against(world, made)
    assert against.name == "encryption-1"
    assert all("rotate --kind encryption --urgent" in text for text in against.remedy)


async def test_with_a_revoked_tls_certificate_only_readmission_helps(world: World, made: Keys) -> None:
    world.office.readmit(ZHEJIANG, reason=1)
    against = await held_against(world, made)
    assert [each.kind for each in against] == ["tls", "signing", "encryption"]
    assert "revoked" in against[0].en
    assert "吊销" in against[0].zh
    assert {each.remedy for each in against} == {against[0].remedy}
    assert "readmit" in against[0].remedy[0]


async def test_a_directory_that_is_older_than_the_last_publication_is_not_asked_what_it_lists(
    world: World, made: Keys
) -> None:
    other = world.keys_of(ZHEJIANG)
    assert len(await held_against(world, other)) == 3
    assert await held_against(world, other, published=1000) == ()


async def test_a_member_that_was_removed_is_told_so(world: World, made: Keys) -> None:
    world.office.remove(ZHEJIANG, reason=5)
    against = await held_against(world, made)
    assert [each.kind for each in against] == ["tls", "signing", "encryption"]
    assert all("wugan authority member add" in text for each in against for text in each.remedy)


def test_it_is_told_in_the_language_of_the_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    judged = Judged(7, (Objection("tls", "tls-1", "revoked", "已吊销", ("readmit", "重新准入")),))
    for language, words in (
        ("en", ("tls-1", "revoked", "readmit")),
        ("zh", ("tls-1", "已吊销", "重新准入", "第 7 版")),
    ):
        monkeypatch.setenv("WUGAN_LANG", language)
        [line] = judged.lines()
        assert all(word in line for word in words)
        assert judged.told()["refused"][0]["remedy"] == words[2]
        assert Judged(0, ()).lines()
