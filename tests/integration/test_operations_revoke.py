"""`docs/operations/revoke.md` as it is followed, and who is refused and who is let in by it."""

from __future__ import annotations

import shutil

import pytest
from runbook import Book
from runbook_world import ASK, BEIJING, Federation, hand_over

from tests.needs import require_tools

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(1800)]

RENEW = 'wugan certs enrol-unit --dir tls --authority "https://$AUTHORITY" --tls-name "authority.$FEDERATION" --renew'


def test_the_page_revokes_what_it_says_and_lets_in_again(
    enrolment: tuple[Book, Federation], federation: Federation
) -> None:
    require_tools("curl", "openssl")
    book, beijing, zhejiang = Book("revoke.md"), federation.beijing, federation.zhejiang
    stolen = beijing.agency.folder / "tls"
    shutil.copytree(stolen, beijing.agency.folder / "thief")
    shutil.copy(stolen / "certificate.pem", federation.authority.folder / "stolen.pem")
    for agency in (beijing.agency, zhejiang.agency):
        agency.run(RENEW)
    [first, second] = federation.certificates(beijing, "unit")
    [old, _] = federation.certificates(zhejiang, "unit")
    hosts = federation.about(beijing, SERIAL=first["serial"], OLD=old["serial"])
    book.follow("Revoke, and let in again", hosts)

    [listed, _] = book.follow("What there is", hosts)
    assert first["serial"] in listed.out

    # one certificate, with what was renewed from it
    revoked = book.follow("One certificate", hosts)
    by_number = next(ran for ran in revoked if '--serial "$SERIAL"' in ran.command)
    assert second["serial"] in by_number.out, "it was renewed from the first"
    now = {each["serial"]: each for each in federation.certificates(beijing, "unit")}
    assert now[first["serial"]]["reason"] == now[second["serial"]]["reason"] == "keyCompromise"
    assert [bool(each["revoked_at"]) for each in federation.certificates(zhejiang, "unit")] == [True, False]
    federation.until_all_have_the_directory()
    assert federation.ask().code == 0, "its own certificate was renewed from the superseded one"

    # one key
    before = federation.keys_listed(beijing, "signing")
    hosts = federation.about(beijing, SERIAL=first["serial"], KEY=before[0])
    book.follow("One key", hosts)
    after = federation.keys_listed(beijing, "signing")
    assert len(after) == 1
    assert after != before
    federation.until_answered()

    # did it take effect
    federation.until_all_have_the_directory()
    refused = book.follow("Did it take effect?", hosts)
    by_check = next(ran for ran in refused if ran.command.startswith("wugan check"))
    assert "STRANGER" in by_check.err
    assert "directory taken" in beijing.gateway.log.read_text("utf-8")
    (beijing.agency.folder / "thief.toml").write_text(
        (beijing.agency.folder / "agency.toml").read_text("utf-8").replace("tls/", "thief/"), "utf-8"
    )
    as_thief = beijing.agency.run(ASK.replace("agency.toml", "thief.toml"), ends_with=1)
    assert "STRANGER" in as_thief.err

    # a gateway is let in again
    held = [each["serial"] for each in federation.certificates(beijing, "gateway") if not each["revoked_at"]]
    book.follow("Let a gateway in again", hosts, 0)
    federation.until_refused("STRANGER", "PARTNER_UNAVAILABLE", "PARTNER_FAULTY")
    hand_over(federation.authority, beijing.gateway, "token")
    book.follow("Let a gateway in again", hosts, 1)
    now = {each["serial"]: each for each in federation.certificates(beijing, "gateway")}
    assert all(now[serial]["revoked_at"] for serial in held)
    assert {each["kind"] for each in now.values() if not each["revoked_at"]} == {"tls", "signing"}
    federation.until_answered()
    federation.until_all_have_the_directory()

    # a member goes, and comes back
    book.follow("A member", hosts)
    assert BEIJING not in federation.seen()
    federation.until_refused("UNKNOWN_REGION")
    assert all(each["revoked_at"] for role in ("gateway", "unit") for each in federation.certificates(beijing, role))
    assert any(not each["revoked_at"] for each in federation.certificates(zhejiang, "gateway")), "others keep theirs"
    enrolling, hosts = enrolment[0], federation.about(beijing)
    shutil.rmtree(federation.authority.folder / "handover")
    enrolling.follow("Enrol a province", hosts)
    enrolling.follow("2.", hosts)
    hand_over(federation.authority, beijing.gateway, "token")
    book.follow("Let a gateway in again", hosts, 1)
    federation.until_answered()
    book.require_done()
