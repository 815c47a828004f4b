"""Signing keys in a hardware token, shown with SoftHSM2: made there, used there, gone from there, never outside."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import random
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from office_world import two_provinces
from runbook import PAGES
from softhsm import LABEL, PIN, SoftHsm, softhsm
from test_rotation_live import Asking, certs, journal, numbers

from certs.errors import SlotError, TokenError
from certs.identity import Identity
from certs.pkcs11 import Pkcs11Token, open_token
from certs.requests import certification_request
from certs.slots import KeySlots
from gateway.demo.founding import FoundedMember
from gateway.errors import ConfigError
from tests.unit.certs.rotation_world import RETIRE_MS, World

PAGE = (PAGES / "rotate.md").read_text("utf-8")
LOST = re.search(r"there is no key .*`wugan certs (rotate --config gateway\.toml [^`]*)`", PAGE)

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def hsm(tmp_path_factory: pytest.TempPathFactory) -> SoftHsm:
    return softhsm(tmp_path_factory.mktemp("hsm"))


@pytest.fixture
def token(hsm: SoftHsm) -> Iterator[Pkcs11Token]:
    opened = open_token(hsm.module, LABEL, PIN.encode())
    yield opened
    opened.close()


@pytest.fixture
def label() -> str:
    return f"test-{random.SystemRandom().getrandbits(64):x}"


def test_a_key_signs_in_the_token_and_cannot_be_taken_out(token: Pkcs11Token, label: str) -> None:
    key = token.make(label)
    signature = key.sign(b"data")
    key.public_key().verify(signature, b"data")
    with pytest.raises(InvalidSignature):
        key.public_key().verify(signature, b"other data")
    with pytest.raises(TokenError, match="cannot be taken out"):
        key.private_bytes_raw()
    with pytest.raises(TokenError, match="cannot be taken out"):
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    assert copy.deepcopy(key) is key


def test_the_token_itself_would_not_give_the_key_away(token: Pkcs11Token, label: str) -> None:
    import pkcs11

    token.make(label)
    private = next(each for each in token._objects(label) if each.object_class == pkcs11.ObjectClass.PRIVATE_KEY)
    assert private[pkcs11.Attribute.SENSITIVE]
    assert not private[pkcs11.Attribute.EXTRACTABLE]
    with pytest.raises(pkcs11.PKCS11Error):
        private[pkcs11.Attribute.VALUE]


def test_a_key_that_could_be_taken_out_is_refused(token: Pkcs11Token, label: str) -> None:
    import pkcs11
    from pkcs11.util.ec import encode_named_curve_parameters

    parameters = {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters("1.3.101.112")}
    token.session.create_domain_parameters(pkcs11.KeyType.EC_EDWARDS, parameters, local=True).generate_keypair(
        mechanism=pkcs11.Mechanism.EC_EDWARDS_KEY_PAIR_GEN,
        store=True,
        label=label,
        private_template={pkcs11.Attribute.EXTRACTABLE: True, pkcs11.Attribute.SENSITIVE: False},
    )
    with pytest.raises(TokenError, match="could be taken out"):
        token.find(label)


def test_a_key_is_made_once_and_found_again(token: Pkcs11Token, label: str) -> None:
    first = token.make(label).public_key()
    assert token.make(label).public_key() == first
    assert token.find(label).public_key() == first
    assert len(token._objects(label)) == 2


def test_a_key_that_a_crash_left_half_made_is_made_anew(token: Pkcs11Token, label: str) -> None:
    import pkcs11

    token.make(label)
    next(e for e in token._objects(label) if e.object_class == pkcs11.ObjectClass.PUBLIC_KEY).destroy()
    token.make(label).sign(b"data")
    assert len(token._objects(label)) == 2


def test_a_destroyed_key_is_gone(token: Pkcs11Token, label: str) -> None:
    token.make(label)
    token.destroy(label)
    token.destroy(label)
    with pytest.raises(TokenError, match="no key"):
        token.find(label)


@contextlib.contextmanager
def away(hsm: SoftHsm) -> Iterator[None]:
    """The token is pulled out for the length of the block; sessions from before are of no use afterwards."""
    import pkcs11

    tokens, elsewhere = hsm.folder / "tokens", hsm.folder / "elsewhere"
    tokens.rename(elsewhere)
    try:
        yield
    finally:
        elsewhere.rename(tokens)
        pkcs11.lib(str(hsm.module)).reinitialize()


def test_a_key_is_not_taken_for_destroyed_while_its_token_is_away(hsm: SoftHsm, label: str) -> None:
    token = open_token(hsm.module, LABEL, PIN.encode())
    token.make(label)
    with away(hsm):
        with pytest.raises(TokenError, match="plugged in"):
            token.destroy(label)
        with pytest.raises(TokenError, match="plugged in"):  # nobody is to be told that the key is lost, either
            token.find(label)
        with pytest.raises(TokenError, match="plugged in"):
            token.make(label)
    again = open_token(hsm.module, LABEL, PIN.encode())
    again.find(label)
    again.destroy(label)
    again.close()


def test_a_token_that_is_put_back_signs_again_without_a_restart(hsm: SoftHsm, label: str) -> None:
    reads: list[bytes] = []

    def pin() -> bytes:
        reads.append(hsm.pin_file.read_bytes().strip())
        return reads[-1]

    token = open_token(hsm.module, LABEL, PIN.encode(), pin)
    key = token.make(label)
    for times in (1, 2):
        with away(hsm), pytest.raises(TokenError, match="plugged in"):
            token.find(label)
        with contextlib.suppress(TokenError):  # noticed here at the latest
            key.sign(b"data")
        wait_until(lambda: signs(key), 10)
        assert len(reads) == times
    token.find(label)
    token.destroy(label)
    token.close()


def test_a_pin_file_that_became_wrong_is_shown_to_the_token_once(hsm: SoftHsm, label: str) -> None:
    shown: list[bytes] = []

    def wrong() -> bytes:
        shown.append(b"0000-wrong")
        return shown[-1]

    token = open_token(hsm.module, LABEL, PIN.encode(), wrong)
    key = token.make(label)
    for _ in range(3):
        with away(hsm):
            pass
        for _ in range(3):
            with pytest.raises(TokenError) as caught:
                key.sign(b"data")
            assert "0000-wrong" not in caught.value.en + caught.value.zh
    assert "no PIN is tried any more" in caught.value.en
    assert len(shown) == 1
    token.close()
    again = open_token(hsm.module, LABEL, PIN.encode())
    again.destroy(label)
    again.close()


def signs(key: Ed25519PrivateKey) -> bool:
    try:
        key.public_key().verify(key.sign(b"data"), b"data")
    except TokenError:
        return False
    return True


def wait_until(happens: Callable[[], bool], within_s: float) -> None:
    until = time.monotonic() + within_s
    while not happens():
        assert time.monotonic() < until
        time.sleep(0.05)


async def test_a_key_that_its_token_still_has_is_told_of_and_destroyed_later(hsm: SoftHsm, tmp_path: Path) -> None:
    world = World(tmp_path, token=open_token(hsm.module, LABEL, PIN.encode()))
    world.found()
    await world.rotator.rotate(["signing"], "asked")
    await world.complete()
    second = world.slots.journal.current("signing")
    assert second is not None
    await world.rotator.rotate(["signing"], "asked")
    await world.settle()
    world.federation.look()
    await world.settle()
    with away(hsm):
        world.clock.advance(RETIRE_MS)
        while await world.rotator.step():
            pass
        told = {(each.what, each.detail) for each in world.events}
        assert ("keys not removed from the token", second.name) in told
        assert ("keys destroyed", second.name) not in told
        (left,) = [each for each in world.slots.journal.generations if each.name == second.name]
        assert left.label == second.label
        assert world.slots.journal.left_in_token() == (left,)
    world.token = open_token(hsm.module, LABEL, PIN.encode())
    world.reopen()
    assert world.slots.journal.left_in_token() == ()
    with pytest.raises(TokenError, match="no key"):
        world.token.find(second.label)
    world.slots.close()


def test_a_request_is_signed_in_the_token(token: Pkcs11Token, label: str) -> None:
    identity = Identity.gateway("test.wugan.internal", "11330000002482285J")
    csr = x509.load_der_x509_csr(certification_request(token.make(label), identity, None))
    assert csr.is_signature_valid
    assert csr.public_key() == token.find(label).public_key()


@pytest.mark.parametrize(("token_label", "pin"), [("another", PIN), (LABEL, "wrong-pin-0000")])
def test_a_token_that_cannot_be_opened_is_refused_without_telling_the_pin(
    hsm: SoftHsm, token_label: str, pin: str
) -> None:
    with pytest.raises(TokenError, match="cannot be opened") as caught:
        open_token(hsm.module, token_label, pin.encode())
    assert pin not in caught.value.en + caught.value.zh
    assert caught.value.__cause__ is None


def test_a_module_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TokenError, match="cannot be opened"):
        open_token(tmp_path / "nothing.so", LABEL, b"")


async def test_signing_keys_rotate_into_the_token_and_out_of_being(token: Pkcs11Token, tmp_path: Path) -> None:
    world = World(tmp_path, token=token)
    world.found()
    assert world.slots.journal.current("signing").label == "", "the first key was a file"  # type: ignore[union-attr]
    await world.rotator.rotate(["signing"], "asked")
    await world.complete()
    second = world.slots.journal.current("signing")
    assert second is not None
    assert second.label.startswith("wugan-signing-2-")
    assert not (tmp_path / "keys" / "signing-2.key.pem").exists()
    await world.rotator.rotate(["signing"], "asked")
    await world.complete()
    with pytest.raises(TokenError):
        token.find(second.label)
    assert [each.label for each in world.slots.journal.generations if each.number == 2 and each.kind == "signing"] == [
        ""
    ]
    world.check_files()


async def test_a_rotation_killed_before_its_key_was_recorded_finds_it_in_the_token(
    token: Pkcs11Token, tmp_path: Path
) -> None:
    world = World(tmp_path, token=token)
    world.found()
    await world.rotator.rotate(["signing"], "asked")
    (preparing,) = world.slots.journal.of("signing", "preparing")
    made = token.make(preparing.label).public_key()
    world.slots._held.clear()
    await world.complete()
    current = world.slots.journal.current("signing")
    assert current is not None
    chain = x509.load_pem_x509_certificate(world.slots.chain(current))
    assert chain.public_key() == made
    world.clock.advance(RETIRE_MS)


async def test_a_key_in_a_token_needs_the_token_configured(token: Pkcs11Token, tmp_path: Path) -> None:
    world = World(tmp_path, token=token)
    world.found()
    await world.rotator.rotate(["signing"], "asked")
    await world.complete()
    world.slots._token = None
    world.slots.close()
    with KeySlots.open(tmp_path / "keys") as slots:
        current = slots.journal.current("signing")
        assert current is not None
        with pytest.raises(SlotError, match=r"keys\.pkcs11"):
            slots.private_key(current)


def with_token(member: FoundedMember, hsm: SoftHsm) -> None:
    text = member.config.read_text("utf-8")
    section = PAGE.partition("```toml\n")[2].partition("```")[0]
    for there, here in (("/usr/lib/softhsm/libsofthsm2.so", hsm.module), ('"pin"', f'"{hsm.pin_file}"')):
        assert section.count(there) == 1, "the page shows another section"
        section = section.replace(there, str(here))
    member.config.write_text(f"{text}\n{section}", "utf-8")


async def test_a_gateway_answers_with_a_key_that_is_in_a_token(hsm: SoftHsm, tmp_path: Path) -> None:
    provinces = two_provinces(tmp_path)
    with_token(provinces.answering, hsm)
    async with provinces.running(), Asking(provinces) as asking:
        await certs(provinces.answering, "rotate", "--kind", "signing", "--wait", "50")
        before = asking.answered
        while asking.answered < before + 10 and not asking.failed:
            await asyncio.sleep(0.01)
    assert asking.failed == []
    assert numbers(provinces.answering)["signing"] == 2
    current = journal(provinces.answering).current("signing")
    assert current is not None
    assert current.label
    assert not list(provinces.answering.keys.glob("signing-2.key.pem"))
    async with provinces.running(), Asking(provinces) as again:  # and after a restart
        while again.answered < 5 and not again.failed:
            await asyncio.sleep(0.01)
    assert again.failed == []


async def test_a_gateway_whose_token_was_lost_goes_on_with_another_by_the_page(hsm: SoftHsm, tmp_path: Path) -> None:
    provinces = two_provinces(tmp_path)
    member = provinces.answering
    with_token(member, hsm)
    async with provinces.running():
        await certs(member, "rotate", "--kind", "signing", "--wait", "50")
    lost = journal(member).current("signing")
    assert lost is not None
    another = open_token(hsm.module, LABEL, PIN.encode())
    another.destroy(lost.label)  # of the same label, and empty
    another.close()
    with pytest.raises(ConfigError, match="there is no key") as caught:
        async with provinces.running():
            pass
    assert not caught.value.retryable
    assert LOST is not None, "the page names no command"
    command, _config, _file, *how = LOST[1].split()
    async with provinces.authority():
        await certs(member, command, *how)
    async with provinces.running(), Asking(provinces) as asking:
        while asking.answered < 5 and not asking.failed:
            await asyncio.sleep(0.01)
    assert asking.failed == []
    current = journal(member).current("signing")
    assert current is not None
    assert current.label not in ("", lost.label)
