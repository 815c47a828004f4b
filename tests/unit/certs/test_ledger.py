"""The ledger: a token is used up exactly when its certificate is recorded, and nothing is half done."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from certs import keys, ledger, ledger_tokens
from certs.authority import Authority
from certs.errors import EnrolmentError, LedgerError
from certs.identity import Identity
from certs.ledger import Ledger
from certs.ledger_file import LedgerFile
from certs.records import Record

FEDERATION = "test.wugan.internal"
MEMBER, OTHER = "11330000002482285J", "12340000002482285K"
HOUR = dt.timedelta(hours=1)
GATEWAY = Identity.gateway(FEDERATION, MEMBER)


@pytest.fixture
def authority(tmp_path: Path, now: dt.datetime) -> Authority:
    return Authority.create(tmp_path / "ca", FEDERATION, now=now, root_passphrase=b"root")


def leaf(authority: Authority, now: dt.datetime, **kwargs: Any) -> x509.Certificate:
    return authority.issue_gateway_tls(MEMBER, keys.generate_tls_key().public_key(), now=now, **kwargs).certificate


def test_every_certificate_is_on_record_before_it_is_handed_out(authority: Authority, now: dt.datetime) -> None:
    issued = authority.issue_gateway_tls(MEMBER, keys.generate_tls_key().public_key(), now=now)
    record = authority.ledger.by_certificate(issued.der)
    assert record is not None
    assert record.holder == GATEWAY
    assert (record.profile, record.issuing, record.grounds) == ("tls", "issuing", "authority")
    assert record.certificate_der == issued.der
    assert record.issued_at == now
    assert record.revoked_at is None
    assert authority.ledger.by_serial(issued.certificate.serial_number) == record


def test_what_cannot_be_recorded_is_not_issued(authority: Authority, now: dt.datetime) -> None:
    authority.ledger.close()
    with pytest.raises(LedgerError):
        leaf(authority, now)


def test_a_token_works_once(authority: Authority, now: dt.datetime) -> None:
    token = authority.ledger.tokens.make(GATEWAY, now, HOUR)
    seen: list[Record | None] = []

    def issue(holder: Identity, used: Record | None) -> x509.Certificate:
        assert holder == GATEWAY
        seen.append(used)
        if used is not None:
            raise EnrolmentError("unauthenticated", "used", "used")
        return leaf(authority, now)

    first = authority.ledger.tokens.redeem(token.token_id, token.secret, now, issue)
    with pytest.raises(EnrolmentError):
        authority.ledger.tokens.redeem(token.token_id, token.secret, now, issue)
    assert seen[0] is None
    assert seen[1] is not None
    assert seen[1].serial == first.serial_number


def test_a_token_survives_a_failed_enrolment_and_nothing_of_that_stays(authority: Authority, now: dt.datetime) -> None:
    token = authority.ledger.tokens.make(GATEWAY, now, HOUR)

    def fails(holder: Identity, used: Record | None) -> x509.Certificate:
        leaf(authority, now)
        raise RuntimeError("between record and end")

    with pytest.raises(RuntimeError):
        authority.ledger.tokens.redeem(token.token_id, token.secret, now, fails)
    assert authority.ledger.live(now) == ()
    done = authority.ledger.tokens.redeem(token.token_id, token.secret, now, lambda *_: leaf(authority, now))
    assert [record.serial for record in authority.ledger.live(now)] == [done.serial_number]


def test_a_wrong_expired_or_unknown_token_looks_the_same(authority: Authority, now: dt.datetime) -> None:
    token = authority.ledger.tokens.make(GATEWAY, now, HOUR)
    said = set()
    for token_id, secret, at in [
        (token.token_id, "x", now),
        (token.token_id, "", now),
        (token.token_id, "é\udcff" * 5000, now),
        ("unknown", token.secret, now),
        (token.token_id, token.secret, now + HOUR),
    ]:
        with pytest.raises(EnrolmentError) as caught:
            authority.ledger.tokens.redeem(token_id, secret, at, lambda *_: pytest.fail("issued"))
        said.add((caught.value.refusal, caught.value.en))
    assert len(said) == 1


def test_a_token_can_be_taken_back_until_it_is_used(authority: Authority, now: dt.datetime) -> None:
    first = authority.ledger.tokens.make(GATEWAY, now, HOUR)
    second = authority.ledger.tokens.make(GATEWAY, now, HOUR * 2)
    assert [one.token_id for one in authority.ledger.tokens.open(now)] == [first.token_id, second.token_id]
    assert [one.token_id for one in authority.ledger.tokens.open(now + HOUR)] == [second.token_id]
    assert authority.ledger.tokens.cancel(first.token_id)
    assert not authority.ledger.tokens.cancel(first.token_id)
    with pytest.raises(EnrolmentError):
        authority.ledger.tokens.redeem(first.token_id, first.secret, now, lambda *_: pytest.fail("issued"))
    authority.ledger.tokens.redeem(second.token_id, second.secret, now, lambda *_: leaf(authority, now))
    assert authority.ledger.tokens.open(now) == ()
    assert not authority.ledger.tokens.cancel(second.token_id)


def test_the_secret_of_a_token_is_not_in_the_files_nor_in_its_text(
    authority: Authority, tmp_path: Path, now: dt.datetime
) -> None:
    token = authority.ledger.tokens.make(GATEWAY, now, HOUR)
    assert token.secret not in repr(token)
    for path in (tmp_path / "ca").iterdir():
        assert token.secret.encode() not in path.read_bytes(), path


def test_of_many_threads_with_one_token_one_wins(authority: Authority, now: dt.datetime) -> None:
    token = authority.ledger.tokens.make(GATEWAY, now, HOUR)
    start, outcomes = threading.Barrier(6), []

    def issue(holder: Identity, used: Record | None) -> x509.Certificate:
        if used is not None:
            raise EnrolmentError("unauthenticated", "used", "used")
        return leaf(authority, now)

    def race() -> None:
        start.wait()
        try:
            authority.ledger.tokens.redeem(token.token_id, token.secret, now, issue)
            outcomes.append("won")
        except EnrolmentError:
            outcomes.append("lost")

    racers = [threading.Thread(target=race) for _ in range(6)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert sorted(outcomes) == ["lost"] * 5 + ["won"]


def _take_numbers(path: Path, now: dt.datetime, start: Any, found: Any) -> None:
    opened = Ledger(path)
    start.wait(60)
    found.put([opened.revoked_list("issuing", now).number for _ in range(100)])


def test_several_processes_share_one_ledger(authority: Authority, tmp_path: Path, now: dt.datetime) -> None:
    context = multiprocessing.get_context("spawn")
    start, found = context.Barrier(3), context.Queue()
    arguments = (tmp_path / "ca" / "ledger.db", now, start, found)
    workers = [context.Process(target=_take_numbers, args=arguments) for _ in range(2)]
    for worker in workers:
        worker.start()
    start.wait(60)
    mine = [authority.ledger.revoked_list("issuing", now).number for _ in range(100)]
    numbers = sorted([*mine, *found.get(timeout=300), *found.get(timeout=300)])
    for worker in workers:
        worker.join(60)
    first = round(now.timestamp() * 1000)
    assert numbers == list(range(first, first + 300)), "no number of a revocation list may be given twice"


def test_a_revoked_certificate_stays_revoked_with_its_first_reason(authority: Authority, now: dt.datetime) -> None:
    serial = leaf(authority, now).serial_number
    before = authority.ledger.revision()
    first = authority.ledger.revoke(serial, x509.ReasonFlags.key_compromise, now)
    again = authority.ledger.revoke(serial, x509.ReasonFlags.superseded, now + HOUR)
    assert first == again
    assert first is not None
    assert (first.revoked_at, first.reason) == (now, x509.ReasonFlags.key_compromise)
    assert authority.ledger.revision() > before
    assert authority.ledger.revoke(1, x509.ReasonFlags.superseded, now) is None


def test_a_member_that_is_put_out_loses_everything_and_nobody_else_does(authority: Authority, now: dt.datetime) -> None:
    mine = leaf(authority, now)
    authority.issue_unit_tls(MEMBER, "330700", keys.generate_tls_key().public_key(), now=now)
    other = authority.issue_gateway_tls(OTHER, keys.generate_tls_key().public_key(), now=now).certificate
    token = authority.ledger.tokens.make(GATEWAY, now, HOUR)
    revoked = authority.ledger.revoke_member(MEMBER, x509.ReasonFlags.cessation_of_operation, now)
    assert len(revoked) == 2
    assert mine.serial_number in {record.serial for record in revoked}
    assert [record.serial for record in authority.ledger.live(now)] == [other.serial_number]
    with pytest.raises(EnrolmentError):
        authority.ledger.tokens.redeem(token.token_id, token.secret, now, lambda *_: pytest.fail("issued"))


def test_records_go_90_days_after_their_certificate_has_expired(authority: Authority, now: dt.datetime) -> None:
    old = leaf(authority, now, lifetime=dt.timedelta(days=1)).serial_number
    for days in range(90):
        authority.ledger.lived_until(now + dt.timedelta(days=days))
    leaf(authority, now + dt.timedelta(days=90))
    assert authority.ledger.by_serial(old)
    authority.ledger.lived_until(now + dt.timedelta(days=91))
    leaf(authority, now + dt.timedelta(days=92))
    assert authority.ledger.by_serial(old) is None


def test_open_tokens_and_live_certificates_are_bounded(
    authority: Authority, now: dt.datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_tokens, "MAX_OPEN_TOKENS", 2)
    monkeypatch.setattr(ledger, "MAX_LIVE", 2)
    for _ in range(2):
        authority.ledger.tokens.make(GATEWAY, now, HOUR)
        leaf(authority, now)
    with pytest.raises(LedgerError, match="tokens"):
        authority.ledger.tokens.make(GATEWAY, now, HOUR)
    with pytest.raises(LedgerError, match="not expired"):
        leaf(authority, now)
    # Expired ones make room.
    later = now + dt.timedelta(days=31)
    authority.ledger.tokens.make(GATEWAY, later, HOUR)
    leaf(authority, later)


def test_what_a_thief_had_issued_does_not_keep_the_holder_out_once_it_was_revoked(
    authority: Authority, now: dt.datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "MAX_LIVE", 3)
    stolen = [leaf(authority, now).serial_number for _ in range(3)]
    with pytest.raises(LedgerError, match="not expired"):
        leaf(authority, now)
    for serial in stolen:
        authority.ledger.revoke(serial, x509.ReasonFlags.key_compromise, now)
    leaf(authority, now)


def test_what_has_expired_or_was_revoked_takes_no_room_of_a_member(
    authority: Authority, now: dt.datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "MAX_OF_MEMBER", 3)
    made = [leaf(authority, now).serial_number for _ in range(3)]
    with pytest.raises(LedgerError, match="not expired"):
        leaf(authority, now)
    authority.ledger.revoke(made[0], x509.ReasonFlags.superseded, now)
    leaf(authority, now)
    with pytest.raises(LedgerError, match="not expired"):
        leaf(authority, now)
    leaf(authority, now + dt.timedelta(days=31))


def test_what_a_holder_has_is_counted_by_an_index_alone(
    authority: Authority, now: dt.datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise each certificate costs as many looks into the file as its member has certificates."""
    counts: list[tuple[str, tuple[object, ...]]] = []
    one = LedgerFile.one

    def noted(file: LedgerFile, statement: str, *values: object) -> Any:
        counts.append((statement, values))
        return one(file, statement, *values)

    with monkeypatch.context() as patched:
        patched.setattr(LedgerFile, "one", noted)
        leaf(authority, now)
    counted = [(statement, values) for statement, values in counts if "count(*)" in statement]
    assert len(counted) == 2
    for statement, values in counted:
        plan = authority.ledger._file.all(f"EXPLAIN QUERY PLAN {statement}", *values)
        assert all("COVERING INDEX" in row[3] for row in plan), plan


def issued_on(authority: Authority, now: dt.datetime, grounds: str, profile: str = "tls") -> int:
    """Serial number of a certificate of the gateway's, issued on these grounds."""
    key: Any = keys.generate_tls_key() if profile == "tls" else keys.generate_signing_key()
    issued = authority.issue(profile, GATEWAY, key.public_key(), now, grounds=grounds)  # type: ignore[arg-type]
    return issued.certificate.serial_number


def test_what_rests_on_a_certificate_is_found_through_those_in_between(authority: Authority, now: dt.datetime) -> None:
    first = issued_on(authority, now, "token 1")
    second = issued_on(authority, now, f"certificate {first:x}")
    signing = issued_on(authority, now, f"certificate {second:x}", "signing")
    third = issued_on(authority, now + HOUR, f"certificate {second:x}")
    beside = issued_on(authority, now, f"certificate {first:x}")
    issued_on(authority, now, "token 2")

    def serials(of: int, at: dt.datetime = now) -> set[int]:
        return {each.serial for each in authority.ledger.renewed_from(of, at)}

    assert serials(first) == {second, signing, third, beside}
    assert serials(second) == {signing, third}
    assert serials(third) == serials(signing) == serials(1) == set()
    later = now + dt.timedelta(days=40)
    fourth = issued_on(authority, now + dt.timedelta(days=30), f"certificate {third:x}")
    assert serials(first, later) == {signing, fourth}, "through those that have expired as well"


def test_what_there_is_can_be_listed_by_member_and_by_holder(authority: Authority, now: dt.datetime) -> None:
    first = leaf(authority, now).serial_number
    second = leaf(authority, now + HOUR).serial_number
    unit = authority.issue_unit_tls(MEMBER, "jinhua", keys.generate_tls_key().public_key(), now=now)
    other = authority.issue_gateway_tls(OTHER, keys.generate_tls_key().public_key(), now=now)
    authority.ledger.revoke(first, x509.ReasonFlags.key_compromise, now)

    def listed(**of: Any) -> list[int]:
        return [each.serial for each in authority.ledger.unexpired(now + HOUR, **of)]

    assert listed(member_id=MEMBER) == [second, first, unit.certificate.serial_number]
    assert listed()[-1] == other.certificate.serial_number
    assert listed(limit=1) == [second]
    assert [each.serial for each in authority.ledger.held(GATEWAY, now)] == [second]
    assert authority.ledger.unexpired(now + dt.timedelta(days=31)) == ()


def test_a_holders_tokens_are_taken_back_together(authority: Authority, now: dt.datetime) -> None:
    unit = Identity(FEDERATION, MEMBER, "unit", "jinhua")
    for holder in (GATEWAY, GATEWAY, unit):
        authority.ledger.tokens.make(holder, now, HOUR)
    authority.ledger.tokens.cancel_holder(GATEWAY)
    assert [each.holder for each in authority.ledger.tokens.open(now)] == [unit]
    authority.ledger.tokens.cancel_member(MEMBER)
    assert authority.ledger.tokens.open(now) == ()


@pytest.mark.parametrize("life", [dt.timedelta(0), -HOUR, dt.timedelta(days=31)])
def test_a_token_lives_for_up_to_30_days(authority: Authority, now: dt.datetime, life: dt.timedelta) -> None:
    with pytest.raises(LedgerError):
        authority.ledger.tokens.make(GATEWAY, now, life)


def test_the_ledger_is_closed_to_others(authority: Authority, tmp_path: Path, now: dt.datetime) -> None:
    leaf(authority, now)
    files = sorted((tmp_path / "ca").glob("ledger.db*"))
    assert files
    assert all(path.stat().st_mode & 0o077 == 0 for path in files)
    (tmp_path / "ca" / "ledger.db").chmod(0o640)
    with pytest.raises(LedgerError, match="chmod"):
        Authority.load(tmp_path / "ca")


def test_what_is_no_ledger_or_one_of_another_version_is_refused(tmp_path: Path) -> None:
    nonsense, foreign, newer = (tmp_path / name for name in ("nonsense", "foreign", "newer"))
    nonsense.write_bytes(b"nonsense" * 1000)
    for path, statement in ((foreign, "CREATE TABLE x (y)"), (newer, "PRAGMA user_version = 2")):
        with sqlite3.connect(path) as made:
            made.execute(statement)
    for path in (nonsense, foreign, newer, tmp_path):
        if path.is_file():
            path.chmod(0o600)
        with pytest.raises(LedgerError):
            Ledger(path)


def test_a_write_is_on_the_disk_when_it_returns(authority: Authority) -> None:
    with sqlite3.connect(authority.ledger._file.path) as opened:
        assert opened.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert authority.ledger._file.one("PRAGMA synchronous") == (2,)
