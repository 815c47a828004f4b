"""Rotation: from the first intention to the destroyed key, with partners that are slow, and with second thoughts."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from certs import profiles
from certs.authority import Authority
from certs.errors import CertsError, ChainError, RotationError, SlotError
from certs.rotation import KeySet
from certs.rotation_rules import Policy, renewal_at_ms
from certs.slot_journal import KINDS, MAX_LISTED, Kind
from certs.slots import KeySlots
from gateway.cli.certs_shown import no_room
from tests.unit.certs.rotation_world import MEMBER, POLICY, RETIRE_MS, World, instant

OTHER = "12330000002482285F"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    world.found()
    yield world
    world.slots.close()


@pytest.mark.parametrize("kinds", [*((kind,) for kind in KINDS), KINDS], ids=["tls", "signing", "encryption", "all"])
async def test_a_rotation_goes_from_next_to_current_to_retired_to_destroyed(
    world: World, kinds: tuple[Kind, ...]
) -> None:
    await world.rotator.rotate(kinds, "asked")
    await world.settle()
    for kind in KINDS:
        assert world.numbers(kind) == ({"current": [1], "next": [2]} if kind in kinds else {"current": [1]})
    world.federation.look()
    await world.settle()
    for kind in kinds:
        assert world.numbers(kind) == {"retired": [1], "current": [2]}
    world.clock.advance(RETIRE_MS - 1)
    assert await world.settle() == 0, "retired keys were destroyed before their time"
    world.clock.advance(1)
    await world.settle()
    for kind in KINDS:
        assert world.numbers(kind) == {"current": [2 if kind in kinds else 1]}
    world.check_files()


async def test_several_kinds_travel_in_one_publication(world: World) -> None:
    await world.rotator.rotate(KINDS, "asked")
    await world.settle()
    assert world.federation.state()["version"] == 2


async def test_a_new_rotation_takes_out_of_the_directory_what_was_retired_long_enough(world: World) -> None:
    await world.rotator.rotate(["signing"], "asked")
    await world.settle()
    world.federation.look()
    await world.settle()
    world.clock.advance(RETIRE_MS)
    await world.rotator.rotate(["signing"], "asked")
    await world.settle()
    assert world.federation.state()["version"] == 3
    assert world.numbers("signing") == {"current": [2], "next": [3]}


async def test_keys_renewed_faster_than_they_fall_quiet_are_taken_out_with_the_next_renewal(world: World) -> None:
    """Every publication is fetched by every member: none is made for a key that the next one leaves out anyway."""

    async def renewed() -> None:
        await world.rotator.rotate(["signing"], "asked")
        await world.settle()
        world.federation.look()
        await world.settle()

    await renewed()
    world.clock.advance(RETIRE_MS // 2)
    await renewed()
    world.clock.advance(RETIRE_MS // 2)
    assert await world.settle() == 0
    assert world.numbers("signing") == {"retired": [1, 2], "current": [3]}
    await renewed()
    assert world.federation.state()["version"] == 4
    assert world.numbers("signing") == {"retired": [2, 3], "current": [4]}
    world.clock.advance(RETIRE_MS)
    await world.settle()
    assert world.federation.state()["version"] == 5, "the last ones go together"
    world.federation.look()
    await world.settle()
    assert world.numbers("signing") == {"current": [4]}


async def test_no_key_is_used_before_the_slowest_partner_has_seen_it(world: World) -> None:
    await world.rotator.rotate(KINDS, "asked")
    for _ in range(5):
        await world.settle()
        world.clock.advance(3_600_000)
    assert world.numbers("signing") == {"current": [1], "next": [2]}


async def test_a_partner_that_can_only_work_with_an_expired_directory_does_not_count(world: World) -> None:
    await world.rotator.rotate(["signing"], "asked")
    world.federation.older_end_ms = world.clock.at_ms + 5_000
    await world.settle()
    world.clock.advance(4_999)
    assert await world.settle() == 0
    world.clock.advance(1)
    world.federation.look()  # for the check: there is no partner left that has not
    await world.settle()
    assert world.numbers("signing") == {"retired": [1], "current": [2]}


async def test_where_the_directory_does_not_tell_its_end_the_time_out_is_the_administrators(tmp_path: Path) -> None:
    world = World(tmp_path, policy=dataclasses.replace(POLICY, seen_timeout_ms=60_000))
    world.found()
    await world.rotator.rotate(["tls"], "asked")
    await world.settle()
    world.clock.advance(60_000)
    assert await world.rotator.step()
    assert world.slots.journal.publication.settled


async def test_a_lost_key_is_followed_as_soon_as_the_new_one_is_published(world: World) -> None:
    await world.rotator.rotate(["signing"], "stolen", urgent=True)
    while await world.rotator.step():
        pass
    assert world.numbers("signing") == {"retired": [1], "current": [2]}
    world.clock.advance(RETIRE_MS)
    assert not await world.rotator.step(), "partners may still seal and verify by the directory of before"
    world.federation.look()
    await world.settle()
    world.clock.advance(RETIRE_MS)
    await world.settle()
    assert world.numbers("signing") == {"current": [2]}


async def test_an_expired_key_is_followed_without_waiting(world: World) -> None:
    await world.rotator.rotate(["tls", "signing"], "asked")
    await world.settle()
    world.clock.advance(31 * 86_400_000)
    world.policy = POLICY
    while world.slots.journal.current("tls").number == 1 and await world.rotator.step():  # type: ignore[union-attr]
        pass
    assert world.numbers("tls") == {"retired": [1], "current": [2]}
    assert world.numbers("signing") == {"current": [1], "next": [2]}, "the signing key has not expired"


async def test_while_the_authority_cannot_be_reached_nothing_is_lost_and_the_old_keys_serve(world: World) -> None:
    world.enroller.unreachable = True
    await world.rotator.rotate(KINDS, "asked")
    for _ in range(3):
        with pytest.raises(RotationError):
            await world.settle()
    world.check()
    world.reopen()
    world.enroller.unreachable = False
    world.federation.unreachable = True
    with pytest.raises(RotationError):
        await world.settle()
    world.check()
    world.federation.unreachable = False
    await world.complete()
    assert world.numbers("tls") == {"current": [2]}


async def test_a_key_is_made_once_however_often_its_enrolment_fails(world: World) -> None:
    world.enroller.unreachable = True
    await world.rotator.rotate(["tls"], "asked")
    with pytest.raises(RotationError):
        await world.settle()
    path = world.folder / "keys" / "tls-2.key.pem"
    made = path.read_bytes()
    world.reopen()
    world.enroller.unreachable = False
    await world.settle()
    assert path.read_bytes() == made


def asking(world: World, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every sync of the disk and every word with the authority from now on, in order."""
    seen: list[str] = []
    fsync, enrol, publish = os.fsync, world.enroller.enrol, world.federation.publish

    def synced(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        seen.append(re.sub(r"^\.(.+)\.[0-9a-f]{16}\.tmp$", r"\1", name))
        fsync(descriptor)

    async def enrolled(kind: Kind, csr_der: bytes) -> bytes:
        seen.append(f"enrol {kind}")
        await asyncio.sleep(0)
        return await enrol(kind, csr_der)

    async def published(keys: KeySet) -> int:
        seen.append("publish")
        return await publish(keys)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(world.enroller, "enrol", enrolled)
    monkeypatch.setattr(world.federation, "publish", published)
    return seen


async def test_a_rotation_is_four_records_and_its_keys_are_on_the_disk_before_anybody_is_asked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it costs the disk, line by line: gateways rotate while calls wait for the same disk and threads."""
    seen = asking(world, monkeypatch)
    await world.rotator.rotate(KINDS, "asked")
    await world.settle()
    world.federation.look()
    await world.settle()
    assert seen == [
        *["journal.json", "keys"],  # begun
        *["tls-2.key.pem", "signing-2.key.pem", "encryption-2.key.pem", "keys"],
        *["enrol tls", "enrol signing"],
        *["tls-2.chain.pem", "signing-2.chain.pem", "keys"],
        *["journal.json", "keys"],  # all are next, and to be listed
        "publish",
        *["journal.json", "keys"],  # published
        *["journal.json", "keys"],  # seen everywhere, and so in use
    ]


async def test_what_a_publication_leaves_nobody_to_need_is_destroyed_with_its_record(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.rotator.rotate(KINDS, "asked")
    await world.settle()
    world.federation.look()
    await world.settle()
    world.clock.advance(RETIRE_MS)
    await world.rotator.rotate(KINDS, "asked")
    await world.rotator.step()
    seen = asking(world, monkeypatch)
    await world.rotator.step()
    assert seen == [
        "publish",
        *["journal.json", "keys"],
        *["encryption-1.key.pem", "signing-1.key.pem", "tls-1.key.pem"],  # overwritten; certificates are no secret
    ]
    world.check_files()
    assert [each.what for each in world.events][-2:] == ["keys published", "keys destroyed"]
    assert not [each for each in world.slots._held if each.endswith("-1")]


async def test_certificates_are_asked_for_at_the_same_time(world: World) -> None:
    asked: list[Kind] = []
    both, enrol = asyncio.Event(), world.enroller.enrol

    async def waiting(kind: Kind, csr_der: bytes) -> bytes:
        asked.append(kind)
        if len(asked) == 2:
            both.set()
        await both.wait()
        return await enrol(kind, csr_der)

    world.enroller.enrol = waiting  # type: ignore[method-assign]
    await world.rotator.rotate(KINDS, "asked")
    async with asyncio.timeout(10):
        await world.settle()
    assert [each.detail for each in world.events if each.what == "key prepared"] == [
        "tls-2",
        "signing-2",
        "encryption-2",
    ]


async def test_the_first_certificate_comes_before_what_is_asked_for_with_it(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.enroller.refusing = {"tls"}
    await world.rotator.rotate(KINDS, "first")
    with pytest.raises(RotationError, match="no tls certificate"):
        await world.rotator.step()
    world.enroller.refusing = {"signing"}
    await world.rotator.step()
    assert world.numbers("tls") == {"next": [1]}
    assert world.numbers("signing") == {"preparing": [1]}
    world.slots.close()


@pytest.mark.parametrize(("refused", "issued"), [("tls", "signing"), ("signing", "tls")])
async def test_where_one_of_two_certificates_is_refused_the_other_is_kept_and_not_asked_for_again(
    world: World, refused: Kind, issued: Kind
) -> None:
    world.enroller.refusing = {refused}
    await world.rotator.rotate(KINDS, "asked")
    for _ in range(2):
        with pytest.raises(RotationError, match=f"no {refused} certificate"):
            await world.settle()
    assert world.numbers(issued) == {"current": [1], "next": [2]}
    assert world.numbers(refused) == world.numbers("encryption") == {"current": [1], "preparing": [2]}
    assert world.federation.state()["version"] == 1
    keys = {kind: (world.folder / "keys" / f"{kind}-2.key.pem").read_bytes() for kind in KINDS}
    world.reopen()
    world.enroller.refusing = {issued}
    await world.settle()
    assert all(world.numbers(kind) == {"current": [1], "next": [2]} for kind in KINDS)
    assert keys == {kind: (world.folder / "keys" / f"{kind}-2.key.pem").read_bytes() for kind in KINDS}
    world.enroller.refusing.clear()
    await world.complete()


async def test_a_certificate_that_is_not_accepted_does_not_keep_the_other_one_out(world: World) -> None:
    enrol = world.enroller.enrol

    async def forged(kind: Kind, csr_der: bytes) -> bytes:
        world.enroller.member = OTHER if kind == "tls" else MEMBER
        return await enrol(kind, csr_der)

    world.enroller.enrol = forged  # type: ignore[method-assign]
    await world.rotator.rotate(KINDS, "asked")
    with pytest.raises(ChainError, match="someone else"):
        await world.settle()
    assert world.numbers("tls") == {"current": [1], "preparing": [2]}
    assert world.numbers("signing") == {"current": [1], "next": [2]}
    assert not (world.folder / "keys" / "tls-2.chain.pem").exists()


async def test_a_rotation_given_up_while_the_authority_is_away_changes_nothing_for_partners(world: World) -> None:
    world.enroller.unreachable = True
    await world.rotator.rotate(KINDS, "asked")
    with pytest.raises(RotationError):
        await world.settle()
    await world.rotator.roll_back(KINDS)
    assert await world.settle() == 0
    assert world.federation.state()["version"] == 1
    world.check_files()


async def test_a_rotation_prepared_by_an_earlier_version_goes_on(world: World) -> None:
    """That one recorded each key, and then that they are to be listed."""
    await world.rotator.rotate(KINDS, "asked")
    begun = world.slots.journal
    await world.rotator.step()
    world.slots.record(world.slots.journal.replacing((), publication=begun.publication, rotation=begun.rotation))
    world.reopen()
    await world.settle()
    assert world.federation.state()["version"] == 2
    await world.complete()
    assert all(world.numbers(kind) == {"current": [2]} for kind in KINDS)


@pytest.mark.parametrize("kind", ["tls", "signing"])
async def test_a_certificate_for_another_member_is_not_taken(world: World, kind: Kind) -> None:
    world.enroller.member = OTHER
    await world.rotator.rotate([kind], "asked")
    with pytest.raises(ChainError, match="someone else"):
        await world.settle()
    world.check()


async def test_a_certificate_of_a_strange_authority_is_not_taken(world: World, tmp_path: Path) -> None:
    strange = tmp_path / "strange"
    Authority.create(strange, "test.wugan.internal", now=instant(world.clock.at_ms), loopback=True)
    world.enroller._authority = Authority.load(strange)
    await world.rotator.rotate(["tls"], "asked")
    with pytest.raises(ChainError, match="root"):
        await world.settle()


async def test_a_chain_under_another_issuing_authority_is_just_another_rotation(world: World) -> None:
    rolled = world.enroller._authority.issuing.roll(now=instant(world.clock.at_ms))
    await world.rotator.rotate(["tls", "signing"], "the issuing CA has changed")
    await world.complete()
    for kind in ("tls", "signing"):
        current = world.slots.journal.current(kind)
        assert current is not None
        assert x509.load_pem_x509_certificates(world.slots.chain(current))[1] == rolled.issuer.certificate


def _authority_key(path: Path) -> profiles.ec.EllipticCurvePrivateKey:
    from certs.keys import load_private_key

    key = load_private_key(path)
    assert isinstance(key, profiles.ec.EllipticCurvePrivateKey)
    return key


async def test_a_request_for_a_successor_repeats_the_names_of_the_certificate(world: World) -> None:
    """RFC 7030 section 4.2.2."""
    asked: list[x509.CertificateSigningRequest] = []
    enrol = world.enroller.enrol

    async def watched(kind: Kind, csr_der: bytes) -> bytes:
        asked.append(x509.load_der_x509_csr(csr_der))
        return await enrol(kind, csr_der)

    world.enroller.enrol = watched  # type: ignore[method-assign]
    before = x509.load_pem_x509_certificate((world.folder / "keys" / "tls-1.chain.pem").read_bytes())
    await world.rotator.rotate(["tls"], "asked")
    await world.settle()
    assert asked[0].subject == before.subject
    names = [each.extensions.get_extension_for_class(x509.SubjectAlternativeName).value for each in (asked[0], before)]
    assert names[0] == names[1]


async def test_first_keys_are_made_enrolled_published_and_used_at_once(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.rotator.rotate(KINDS, "first")
    while await world.rotator.step():
        pass
    assert all(world.numbers(kind) == {"current": [1]} for kind in KINDS)
    world.check()
    world.slots.close()


# second thoughts


async def test_a_rotation_under_way_can_be_given_up_and_leaves_nothing(world: World) -> None:
    await world.rotator.rotate(KINDS, "asked")
    await world.settle()
    assert set(await world.rotator.roll_back(KINDS)) == set(KINDS)
    world.check()
    assert world.numbers("encryption") == {"current": [1], "withdrawn": [2]}, "partners may have sealed to it"
    await world.complete()
    for kind in KINDS:
        assert world.numbers(kind) == {"current": [1]}
    world.check_files()


async def test_a_rotation_given_up_before_its_certificates_came_leaves_nothing(world: World) -> None:
    world.enroller.unreachable = True
    await world.rotator.rotate(["signing"], "asked")
    with pytest.raises(RotationError):
        await world.settle()
    await world.rotator.roll_back(["signing"])
    assert await world.settle() == 0
    assert world.federation.state()["version"] == 1, "nothing changed for partners"
    world.check_files()


@pytest.mark.parametrize("kind", KINDS)
async def test_what_was_activated_is_put_back_while_the_old_key_exists(world: World, kind: Kind) -> None:
    await world.rotator.rotate([kind], "asked")
    await world.settle()
    world.federation.look()
    await world.settle()
    assert await world.rotator.roll_back(KINDS) == (kind,)
    world.check()
    assert world.numbers(kind)["current"] == [1]
    await world.complete()
    assert world.numbers(kind) == {"current": [1]}
    with pytest.raises(SlotError, match="nothing to roll back"):
        await world.rotator.roll_back(KINDS)


async def test_nothing_is_put_back_once_the_old_key_is_destroyed(world: World) -> None:
    await world.rotator.rotate(["tls"], "asked")
    await world.complete()
    with pytest.raises(SlotError, match="nothing to roll back"):
        await world.rotator.roll_back(["tls"])


@pytest.mark.parametrize("kind", ["tls", "signing"])
async def test_a_second_roll_back_puts_back_what_was_in_use_last_not_what_was_rolled_back_before(
    world: World, kind: Kind
) -> None:
    async def renewed() -> None:
        await world.rotator.rotate([kind], "asked")
        await world.settle()
        world.federation.look()
        await world.settle()

    await renewed()
    await world.rotator.roll_back([kind])
    world.clock.advance(1)
    await renewed()
    assert world.numbers(kind) == {"current": [3], "retired": [1, 2]}
    await world.rotator.roll_back([kind])
    assert world.numbers(kind) == {"current": [1], "retired": [2, 3]}, "2 was given up"
    with pytest.raises(SlotError, match="those of before the last one already"):
        await world.rotator.roll_back([kind])
    world.check()


async def test_who_never_rotated_is_told_that_there_is_no_earlier_key(world: World) -> None:
    with pytest.raises(SlotError, match="no earlier key is left"):
        await world.rotator.roll_back(KINDS)


async def test_a_rotation_of_other_kinds_is_not_given_up_unasked(world: World) -> None:
    await world.rotator.rotate(["tls", "signing"], "asked")
    await world.settle()
    before = world.slots.journal
    for kinds in (["encryption"], ["tls"]):
        with pytest.raises(SlotError, match=r"tls, signing.* as a whole"):
            await world.rotator.roll_back(kinds)
    assert world.slots.journal == before
    assert await world.rotator.roll_back(["signing", "tls"]) == ("tls", "signing")


async def test_an_encryption_key_taken_back_opens_until_nobody_can_have_sealed_to_it(world: World) -> None:
    await world.rotator.rotate(["encryption"], "asked")
    await world.settle()
    await world.rotator.roll_back(["encryption"])
    await world.settle()
    world.clock.advance(10 * RETIRE_MS)
    await world.settle()
    assert world.numbers("encryption") == {"current": [1], "withdrawn": [2]}, (
        "a partner still has the directory with it"
    )
    world.federation.look()
    await world.settle()
    world.clock.advance(RETIRE_MS - 1)
    assert await world.settle() == 0
    world.clock.advance(1)
    await world.settle()
    assert world.numbers("encryption") == {"current": [1]}


async def test_what_was_put_back_is_not_renewed_again_the_same_day(tmp_path: Path) -> None:
    world = World(tmp_path, policy=dataclasses.replace(POLICY, at_life=0.005, jitter=0.0))
    world.found()
    await world.rotator.rotate(["encryption"], "asked")
    await world.settle()
    world.federation.look()
    await world.settle()
    await world.rotator.roll_back(["encryption"])
    world.clock.advance(86_400_000 - 1)
    assert "encryption" not in _due(world)
    world.clock.advance(1)
    assert "encryption" in _due(world)
    world.slots.close()


# by itself


def _due(world: World) -> tuple[Kind, ...]:
    from certs.rotation_rules import due

    return due(world.slots.journal, world.policy, world.clock.at_ms)


async def test_keys_are_renewed_by_themselves_at_two_thirds_of_their_life(world: World) -> None:
    life = 30 * 86_400_000
    world.clock.advance(round(life * 0.60))
    assert await world.settle() == 0
    world.clock.advance(round(life * 0.13))
    world.enroller.unreachable = False
    await world.complete()
    assert world.numbers("tls") == {"current": [2]}
    assert world.numbers("signing") == {"current": [1]}


async def test_nothing_is_renewed_by_itself_where_that_is_switched_off(tmp_path: Path) -> None:
    world = World(tmp_path, policy=Policy(automatic=False))
    world.found()
    world.clock.advance(29 * 86_400_000)
    assert await world.settle() == 0
    world.slots.close()


async def test_the_moment_of_renewal_is_drawn_once_and_moves_by_the_jitter_at_most(world: World) -> None:
    moments = set()
    for _ in range(6):
        await world.rotator.rotate(["encryption"], "asked")
        await world.complete()
        current = world.slots.journal.current("encryption")
        assert current is not None
        moment = renewal_at_ms(current, POLICY) - current.not_before_ms
        life = current.not_after_ms - current.not_before_ms
        assert POLICY.at_life - POLICY.jitter <= moment / life <= POLICY.at_life + POLICY.jitter
        moments.add(moment)
        world.reopen()
        assert world.slots.journal.current("encryption") == current
    assert len(moments) == 6


async def test_a_second_rotation_waits_for_the_first(world: World) -> None:
    await world.rotator.rotate(["tls"], "asked")
    with pytest.raises(SlotError, match="under way"):
        await world.rotator.rotate(["signing"], "asked")


async def test_keys_cannot_be_rotated_faster_than_the_directory_can_list_them(world: World) -> None:
    for _ in range(7):
        await world.rotator.rotate(["signing"], "asked")
        await world.settle()
        world.federation.look()
        await world.settle()
    with pytest.raises(SlotError, match="needed until 20") as refused:
        await world.rotator.rotate(["signing"], "asked")
    assert "需保留至 20" in refused.value.zh
    assert no_room(world.slots.journal, world.policy, world.clock.at_ms) == [(refused.value.en, refused.value.zh)]

    world.clock.advance(RETIRE_MS)  # the next publication leaves them out
    assert no_room(world.slots.journal, world.policy, world.clock.at_ms) == []
    await world.rotator.rotate(["signing"], "asked")


async def test_stolen_keys_are_renewed_however_many_are_listed(world: World) -> None:
    for number in range(10):
        await world.rotator.rotate(["signing"], "stolen", urgent=True)
        while await world.rotator.step():
            world.federation.look()
        assert world.slots.journal.current("signing").number == number + 2
        assert len([each for each in world.slots.journal.listed() if each.kind == "signing"]) <= MAX_LISTED
    assert world.numbers("signing")["withdrawn"] == [1, 2, 3]
    await world.complete()
    assert world.numbers("signing") == {"current": [11]}


async def test_whoever_uses_the_keys_is_told_before_partners_are(world: World) -> None:
    """A partner seals to a new key as soon as it is listed, so it must open before."""
    told: list[int] = []
    publish = world.federation.publish

    async def watched(keys: object) -> int:
        told.append(world.changes)
        return await publish(keys)  # type: ignore[arg-type]

    world.federation.publish = watched  # type: ignore[method-assign, assignment]
    await world.rotator.rotate(["encryption"], "asked")
    await world.settle()
    assert told == [1]


async def test_errors_reach_the_record_and_the_loop_goes_on(world: World) -> None:
    world.enroller.unreachable = True
    await world.rotator.rotate(["tls"], "asked")
    running = asyncio.create_task(world.rotator.run(0.001))
    async with asyncio.timeout(10):
        while sum(event.what == "rotation failed" for event in world.events) < 3:
            await asyncio.sleep(0)
        world.enroller.unreachable = False
        while world.numbers("tls").get("next") != [2]:
            await asyncio.sleep(0.001)
    running.cancel()
    assert MEMBER not in {event.detail for event in world.events}


async def test_a_loop_that_is_woken_and_cancelled_at_the_same_moment_ends(world: World) -> None:
    running = asyncio.create_task(world.rotator.run(3600))
    for _ in range(10):  # until it waits
        await asyncio.sleep(0)
    world.rotator.wake()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(5):
            await running


@pytest.mark.parametrize("urgent", [False, True])
async def test_the_steps_of_a_rotation_are_spread_but_those_of_an_urgent_one_are_not(
    world: World, monkeypatch: pytest.MonkeyPatch, urgent: bool
) -> None:
    from certs import rotation

    sleep, waited = asyncio.sleep, []

    async def noted(seconds: float) -> None:
        waited.append(seconds)
        await sleep(0)

    monkeypatch.setattr(rotation.asyncio, "sleep", noted)
    await world.rotator.rotate(KINDS, "asked", urgent=urgent)
    running = asyncio.create_task(world.rotator.run(0.001, 0.25))
    async with asyncio.timeout(10):
        while world.numbers("signing").get("current") != [2]:
            world.federation.look()
            await sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    # They are prepared, and then published.
    assert waited[:2] == [0.0 if urgent else 0.25] * 2


async def test_a_next_key_that_cannot_be_read_does_not_become_current(world: World) -> None:
    await world.rotator.rotate(["signing"], "asked")
    await world.settle()
    world.reopen()
    (world.folder / "keys" / "signing-2.key.pem").chmod(0o644)
    world.federation.look()
    with pytest.raises(CertsError, match="chmod 600"):
        await world.settle()
    assert world.numbers("signing") == {"current": [1], "next": [2]}


def test_the_folder_belongs_to_one_process_at_a_time(world: World) -> None:
    with pytest.raises(SlotError, match="another process"):
        KeySlots.open(world.folder / "keys")
    world.slots.close()
    KeySlots.open(world.folder / "keys").close()
