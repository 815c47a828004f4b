"""`docs/operations/rotate.md` as it is followed, at a running gateway, and a new issuing CA at the authority."""

from __future__ import annotations

import json

import pytest
from cryptography import x509
from runbook import Book, Host
from runbook_world import CA_PASSPHRASE, Federation, until

from certs.slot_files import read_journal
from certs.slot_journal import KINDS

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(1800)]


def current(gateway: Host) -> dict[str, int]:
    """Number of the current key of each kind, as `wugan certs status` says it."""
    keys = json.loads(gateway.run("wugan certs status --config gateway.toml --json").out)["keys"]
    return {each["kind"]: int(each["name"].rpartition("-")[2]) for each in keys if each["state"] == "current"}


def test_the_page_rotates_on_command_and_by_itself_and_takes_it_back(federation: Federation) -> None:
    book, zhejiang = Book("rotate.md"), federation.zhejiang
    gateway, hosts = zhejiang.gateway, federation.about(federation.zhejiang)
    gateway.stop()
    with (gateway.folder / "gateway.toml").open("a", encoding="utf-8") as settings:
        settings.write("\n[rotation]\nissuer_poll_s = 0.2\njitter = 0.0\n")  # so that it need not be waited for
    gateway.start()

    book.follow("What is there", hosts)
    assert current(gateway) == dict.fromkeys(KINDS, 1)
    book.follow("Rotation", hosts)
    assert current(gateway) == {"tls": 3, "signing": 3, "encryption": 2}
    federation.ask()

    book.follow("A new issuing CA", hosts, typed={"wugan authority issuing roll": [CA_PASSPHRASE]})
    until(lambda: current(gateway) == {"tls": 4, "signing": 4, "encryption": 2}, federation.tails)
    until(lambda: read_journal(zhejiang.keys).rotation is None, federation.tails)
    issuing = x509.load_pem_x509_certificate((federation.authority.folder / "authority" / "issuing-2.pem").read_bytes())
    for kind in ("tls", "signing"):
        leaf = x509.load_pem_x509_certificate((zhejiang.keys / f"{kind}-4.chain.pem").read_bytes())
        leaf.verify_directly_issued_by(issuing)
    federation.ask()

    book.follow("Second thoughts", hosts)
    assert current(gateway) == {"tls": 3, "signing": 3, "encryption": 1}
    federation.ask()
    book.require_done()
