"""`docs/operations/lose-a-key.md` as it is followed; a thief has what was lost, and gets nobody in with it."""

from __future__ import annotations

import json
import shutil

import pytest
from runbook import Book, Host
from runbook_world import ASK, ZHEJIANG, Federation, hand_over

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(1800)]

ROTATE = "wugan certs rotate --config gateway.toml --kind tls --urgent"


def thief_of(victim: Host, *names: str) -> Host:
    """Somebody with copies of these files."""
    thief = Host("thief", victim.folder.parent / f"thief-of-{victim.name}", victim.other, victim.values)
    thief.exported = dict(victim.exported)
    for name in names:
        whole = victim.folder / name
        (shutil.copytree if whole.is_dir() else shutil.copy)(whole, thief.folder / name)
    return thief


def test_the_page_throws_thieves_out_and_gets_the_province_going_again(federation: Federation) -> None:
    book, zhejiang = Book("lose-a-key.md"), federation.zhejiang
    gateway, agency, authority = zhejiang.gateway, zhejiang.agency, federation.authority
    hosts = federation.about(zhejiang)
    book.follow("A key is lost", hosts)

    # the gateway's TLS key: the thief has renewed it already, and published keys of his own
    thief = thief_of(gateway, "gateway.toml", "roots.pem", "root.json")
    shutil.copytree(gateway.folder / "state" / "keys", thief.folder / "state" / "keys")
    (thief.folder / "state" / "keys" / "lock").unlink(missing_ok=True)
    thief.run(ROTATE)
    section = "The gateway's TLS key"
    listed = book.follow(section, hosts, 0)[-1]
    assert listed.out.count("revoked") + listed.out.count("已吊销") == 3, "two that were enrolled, one that was renewed"
    thief.run(ROTATE, ends_with=1)
    hand_over(authority, gateway, "token")
    book.follow(section, hosts, 1)
    federation.until_answered()
    thief.run(ROTATE, ends_with=1)

    # a signing or an encryption key alone
    for kind in ("signing", "encryption"):
        [key] = federation.keys_listed(zhejiang, kind)
        hosts = federation.about(zhejiang, KEY=key)
        gateway.other = {**zhejiang.other, "--kind signing": f"--kind {kind}"}
        [shown, *_] = book.follow("A signing or encryption key alone", hosts)
        assert key in shown.out
        assert key not in federation.keys_listed(zhejiang, kind)
        assert len(federation.keys_listed(zhejiang, kind)) == 1
        federation.until_answered()

    # an agency's key: the thief has renewed it already
    thief = thief_of(agency, "agency.toml", "tls")
    thief.run(
        'wugan certs enrol-unit --dir tls --authority "https://$AUTHORITY" --tls-name "authority.$FEDERATION" --renew'
    )
    assert thief.run(ASK).code == 0
    [oldest, renewed] = federation.certificates(zhejiang, "unit")
    hosts = federation.about(zhejiang, SERIAL=oldest["serial"])
    done = book.follow("An agency's key", hosts, 0)
    said = next(ran.out for ran in done if "revoke" in ran.command)
    assert oldest["serial"] in said
    assert renewed["serial"] in said
    assert "readmit" not in said, "nothing is left of it"
    hand_over(authority, agency, "unit-token")
    book.follow("An agency's key", hosts, 1)
    federation.until_all_have_the_directory()
    assert "STRANGER" in thief.run(ASK, ends_with=1).err
    federation.until_answered()

    # a one-time token
    made = json.loads(authority.run(f"wugan authority token add --dir authority --member {ZHEJIANG} --json").out)
    hosts = federation.about(zhejiang, TOKEN=made["id"])
    book.follow("A one-time token", hosts)
    assert json.loads(authority.run("wugan authority token list --dir authority --json").out) == {"tokens": []}

    # the store key: Beijing asks, because it is Zhejiang's grants that are gone
    asks = ASK.replace("--region 110000", "--region 330100")
    assert federation.beijing.agency.run(asks).code == 0
    book.follow("The store key", hosts, 0)
    gateway.start()
    assert "NOT_PERMITTED" in federation.beijing.agency.run(asks, ends_with=1).err
    gateway.stop()
    book.follow("The store key", hosts, 1)
    assert federation.beijing.agency.run(asks).code == 0
    federation.until_answered()
    book.require_done()
