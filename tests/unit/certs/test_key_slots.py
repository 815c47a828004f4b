"""The folder of own keys: nobody else's, whole or refused, and gone when it is said to be gone."""

from __future__ import annotations

import contextlib
import json
import os
import random
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from certs import keys, slot_steps
from certs.errors import CertsError, KeyFileError, SlotError
from certs.rotation import key_set
from certs.slot_files import read_journal, require_complete
from certs.slot_journal import KINDS, Generation, Journal, Kind
from certs.slots import KeySlots, opening_keys
from tests.unit.certs.rotation_world import World as Member

T = 1_795_000_000_000


@pytest.fixture
def slots(tmp_path: Path) -> Iterator[KeySlots]:
    with KeySlots.open(tmp_path / "keys") as opened:
        yield opened


def install(slots: KeySlots) -> None:
    slots.install("encryption", keys.generate_xwing_seed(), not_before_ms=T, not_after_ms=T + 1000)
    slots.install("signing", keys.generate_signing_key(), not_before_ms=T, not_after_ms=T + 1000)
    slots.install("tls", keys.generate_tls_key(), not_before_ms=T, not_after_ms=T + 1000)


def test_folder_and_files_are_the_owners_alone(slots: KeySlots) -> None:
    install(slots)
    assert stat.S_IMODE(slots.folder.stat().st_mode) == 0o700
    for path in slots.folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name


@pytest.mark.parametrize("mode", [0o750, 0o701, 0o777])
def test_a_folder_that_others_may_enter_is_refused(tmp_path: Path, mode: int) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys").chmod(mode)
    with pytest.raises(SlotError, match="chmod 700"):
        KeySlots.open(tmp_path / "keys")


def test_a_journal_that_others_may_read_is_refused(slots: KeySlots) -> None:
    install(slots)
    slots.close()
    (slots.folder / "journal.json").chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        KeySlots.open(slots.folder)


def test_what_was_installed_is_there_after_a_restart(slots: KeySlots) -> None:
    install(slots)
    before = [(each, slots.private_key(each)) for each in slots.journal.generations]
    slots.close()
    with KeySlots.open(slots.folder) as again:
        require_complete(again.journal, again.folder)
        for generation, key in before:
            loaded = again.private_key(generation)
            if isinstance(key, bytes):
                assert loaded == key
            else:
                assert not isinstance(loaded, bytes)
                assert loaded.public_key() == key.public_key()
        assert len(opening_keys(again)) == 1


def test_under_a_passphrase_no_file_holds_a_plain_key_and_another_passphrase_opens_none(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    with KeySlots.open(folder, passphrase=b"right") as slots:
        install(slots)
    for path in folder.glob("*.key.pem"):
        assert b"ENCRYPTED" in path.read_bytes(), path.name
    for passphrase in (b"wrong", None):
        with KeySlots.open(folder, passphrase=passphrase) as slots:
            for each in slots.journal.generations:
                with pytest.raises(KeyFileError):
                    slots.private_key(each)
    with KeySlots.open(folder, passphrase=b"right") as slots:
        for each in slots.journal.generations:
            slots.private_key(each)


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_file_from_elsewhere_is_refused(tmp_path: Path, kind: Kind) -> None:
    member = Member(tmp_path)
    member.found()
    other = keys.generate_tls_key() if kind == "tls" else keys.generate_signing_key()
    for each in member.slots.journal.of(kind, "current"):
        if kind == "encryption":
            keys.store_xwing_seed(member.slots.key_path(each), keys.generate_xwing_seed(), replace=True)
        else:
            keys.store_private_key(member.slots.key_path(each), other, replace=True)
    member.reopen()
    for each in member.slots.journal.generations:
        if each.kind != kind:
            member.slots.private_key(each)
            continue
        with pytest.raises(SlotError, match=f"{kind}-1 is another than its journal or certificate says"):
            member.slots.private_key(each)
    member.slots.close()


def test_a_first_key_is_not_installed_over_another(slots: KeySlots) -> None:
    install(slots)
    with pytest.raises(SlotError, match="rotate"):
        slots.install("tls", keys.generate_tls_key(), not_before_ms=T, not_after_ms=T + 1)


def test_a_folder_without_keys_says_how_to_get_some(slots: KeySlots) -> None:
    with pytest.raises(SlotError, match="wugan certs enrol"):
        require_complete(slots.journal, slots.folder)


def test_a_destroyed_key_is_overwritten_before_it_is_unlinked(slots: KeySlots) -> None:
    install(slots)
    (encryption,) = slots.journal.of("encryption", "current")
    path = slots.key_path(encryption)
    with path.open("rb") as held:
        slots.destroy([encryption])
        assert not path.exists()
        assert set(held.read()) == {0}
    with pytest.raises(CertsError):
        slots.private_key(slots.journal.generations[0])


def test_a_key_that_has_a_second_name_left_by_a_crash_survives_the_sweep(slots: KeySlots) -> None:
    install(slots)
    (current,) = slots.journal.of("tls", "current")
    path = slots.key_path(current)
    (slots.folder / f".{path.name}.0123456789abcdef.tmp").hardlink_to(path)
    slots.close()
    with KeySlots.open(slots.folder) as again:
        again.private_key(current)
        assert not list(slots.folder.glob(".*.tmp"))


def test_files_of_nobody_are_removed_and_files_of_others_left(slots: KeySlots) -> None:
    install(slots)
    (slots.folder / "tls-9.key.pem").write_text("left by a crash")
    (slots.folder / "notes.txt").write_text("an administrator's")
    slots.close()
    with KeySlots.open(slots.folder):
        assert not (slots.folder / "tls-9.key.pem").exists()
        assert (slots.folder / "notes.txt").exists()


def test_a_closed_folder_takes_no_more_steps(slots: KeySlots) -> None:
    slots.close()
    with pytest.raises(SlotError, match="closed"):
        slots.record(Journal())


@pytest.mark.parametrize("damage", ["", "{}x", '{"format": 2}', '{"format": 1, "more": 1}', "null", "[]"])
def test_a_damaged_journal_is_refused(slots: KeySlots, damage: str) -> None:
    install(slots)
    slots.close()
    (slots.folder / "journal.json").write_text(damage)
    with pytest.raises(SlotError, match="damaged"):
        KeySlots.open(slots.folder)
    with pytest.raises(SlotError):
        read_journal(slots.folder)
    assert (slots.folder / "tls-1.key.pem").exists(), "nothing is swept by a journal that cannot be read"


@settings(max_examples=200)
@given(st.binary(max_size=300))
def test_no_bytes_make_a_journal_fail_otherwise(data: bytes) -> None:
    with contextlib.suppress(SlotError):
        Journal.parse(data, "journal")


def generation(kind: Kind, number: int, state: str) -> Generation:
    return Generation.model_validate({"kind": kind, "number": number, "state": state, "made_at_ms": T})


@pytest.mark.parametrize(
    "generations",
    [
        [generation("tls", 1, "current"), generation("tls", 2, "current")],
        [generation("tls", 1, "next")],
        [generation("tls", 1, "current"), generation("tls", 1, "retired")],
    ],
    ids=["two current", "next without rotation", "one number twice"],
)
def test_a_journal_that_contradicts_itself_is_refused(generations: list[Generation]) -> None:
    with pytest.raises(ValidationError):
        Journal(generations=tuple(generations))


def test_a_journal_survives_its_file() -> None:
    journal = slot_steps.begun(
        Journal(generations=tuple(generation(kind, 1, "current") for kind in KINDS)),
        KINDS,
        "轮换",
        T,
        urgent=True,
        in_token=frozenset({"signing"}),
        draw=random.Random(1),
    )
    assert Journal.parse(journal.serialized(), "") == journal
    assert json.loads(journal.serialized())["rotation"]["kinds"] == list(KINDS)
    assert [each.label != "" for each in journal.generations if each.state == "preparing"] == [False, True, False]


def test_records_of_destroyed_keys_are_bounded_and_numbers_never_come_back() -> None:
    journal = Journal()
    for _ in range(100):
        made = generation("tls", journal.next_number("tls"), "destroyed")
        journal = journal.replacing([made])
    assert len(journal.generations) == 8
    assert journal.next_number("tls") == 101


def test_a_journal_cannot_be_replaced_where_the_disk_refuses(slots: KeySlots, monkeypatch: pytest.MonkeyPatch) -> None:
    install(slots)
    before = slots.journal

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KeyFileError, match="No space"):
        slots.record(Journal())
    assert slots.journal == before


def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who owns it may put another user's older files in place of newer ones."""
    folder = tmp_path / "others"
    KeySlots.open(folder).close()
    if os.geteuid() == 0:
        os.chown(folder, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    with pytest.raises(SlotError, match="belongs to another user; run: chown") as caught:
        KeySlots.open(folder)
    assert "属于其他用户" in caught.value.zh


@pytest.mark.parametrize("damage", [b"", b"-----BEGIN CERTIFICATE-----\nMIIB", bytes(600), b"\xff\xfe"])
async def test_a_damaged_certificate_file_is_named_and_ends_nothing(tmp_path: Path, damage: bytes) -> None:
    member = Member(tmp_path)
    member.found()
    current = member.slots.journal.current("tls")
    assert current is not None
    path = member.slots.chain_path(current)
    path.write_bytes(damage)
    member.reopen()
    for use in (lambda: member.slots.private_key(current), lambda: key_set(member.slots)):
        with pytest.raises(SlotError, match=path.name) as caught:
            use()
        assert path.name in caught.value.zh
    await member.rotator.rotate(["tls"], "asked")
    with pytest.raises(SlotError, match=path.name):  # what `Rotator.run` tells, and tries again
        await member.rotator.step()
    member.slots.close()
