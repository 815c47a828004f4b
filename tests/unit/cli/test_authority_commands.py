"""`wugan authority`: what an administrator does, from an empty folder on."""

from __future__ import annotations

import base64
import datetime as dt
import json
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from certs import sealed_key
from certs.authority import Authority
from certs.identity import Identity
from certs.keys import generate_authority_key, generate_tls_key
from certs.revocation import Revocation
from gateway.cli.authority import authority
from gateway.clock import SystemClock
from tests.unit.authority.authority_world import ANHUI, ZHEJIANG, World

FEDERATION = "test.wugan.internal"


class Administrator:
    """Somebody at a terminal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "authority"
        self.roots = self.file("roots.txt", "one\ntwo\nthree\n")
        self.daily = self.file("daily.txt", "daily\n")
        self.ca = self.file("ca.txt", "ca\n")

    def file(self, name: str, text: str) -> Path:
        (self.folder / name).write_text(text)
        (self.folder / name).chmod(0o600)
        return self.folder / name

    def types(self, *words: str, given: str | None = None) -> Result:
        return CliRunner().invoke(authority, [*words, "--dir", str(self.home)], input=given)

    def does(self, *words: str) -> Any:
        """The JSON of a command that works."""
        ran = self.types(*words, "--passphrase-file", str(self.daily), "--json")
        assert ran.exit_code == 0, ran.output
        return json.loads(ran.stdout)

    def founds(self) -> Any:
        secrets = ("--root-passphrases-file", str(self.roots), "--ca-passphrase-file", str(self.ca))
        self.founded = self.does("init", "--federation", FEDERATION, *secrets)
        return self.founded

    def adds(self, member_id: str = ZHEJIANG, region: int = 330000) -> Any:
        names = ("--name-zh", "某省社会保险中心", "--name-en", "Agency")
        where = ("--region", str(region), "--address", "127.0.0.1:7443")
        return self.does("member", "add", "--member", member_id, *names, *where)


@pytest.fixture
def administrator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Administrator:
    monkeypatch.setenv("WUGAN_LANG", "en")
    return Administrator(tmp_path)


@pytest.fixture
def founded(administrator: Administrator) -> Administrator:
    administrator.founds()
    return administrator


def test_an_authority_is_founded_with_two_of_three_root_keys(administrator: Administrator) -> None:
    told = administrator.founds()
    assert told["version"] == 1
    root = json.loads(Path(told["root"]).read_text())["signed"]
    assert (len(root["roles"]["root"]["keyids"]), root["roles"]["root"]["threshold"]) == (3, 2)
    for path in (administrator.home / "tuf-root-keys").iterdir():
        assert b"ENCRYPTED" in path.read_bytes()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    ran = administrator.types(
        "init", "--federation", FEDERATION, "--root-passphrases-file", str(administrator.roots),
        "--ca-passphrase-file", str(administrator.ca),
    )  # fmt: skip
    assert ran.exit_code == 2
    assert "not empty" in ran.stderr


def test_passphrases_are_asked_for_twice_and_not_shown(administrator: Administrator) -> None:
    typed = "secret-a\nsecret-a\nsecret-b\nsecret-b\nsecret-ca\nsecret-ca\n"
    ran = administrator.types("init", "--federation", FEDERATION, "--root-keys", "2", given=typed)
    assert ran.exit_code == 0, ran.output
    assert "secret" not in ran.output


def test_too_few_passphrases_are_wrong_usage(administrator: Administrator) -> None:
    few = administrator.file("few.txt", "one\n")
    ran = administrator.types("init", "--federation", FEDERATION, "--root-passphrases-file", str(few))
    assert ran.exit_code == 2
    assert "3 lines" in ran.stderr


def test_members_are_added_listed_and_removed(founded: Administrator) -> None:
    told = founded.adds()
    assert (told["member_id"], told["version"]) == (ZHEJIANG, 2)
    assert founded.adds(ANHUI, 340000)["version"] == 3
    listed = founded.does("member", "list")
    assert listed["version"] == 3
    assert [(each["member_id"], each["seen"]) for each in listed["members"]] == [(ZHEJIANG, 0), (ANHUI, 0)]
    founded.does("member", "remove", "--member", ZHEJIANG)
    assert [each["member_id"] for each in founded.does("member", "list")["members"]] == [ANHUI]
    assert founded.does("publish")["version"] == 5
    assert founded.does("publish", "--above", "100")["version"] == 101
    assert founded.does("publish")["version"] == 102


def number_of_list(founded: Administrator) -> int:
    authority = Authority.load(founded.home, passphrase=founded.daily.read_text().strip().encode())
    made = x509.load_der_x509_crl(Revocation(authority).crl("issuing", dt.datetime.now(dt.UTC)))
    authority.ledger.close()
    return made.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


@pytest.mark.parametrize("written", [str, hex])
def test_revocation_lists_are_numbered_above_what_is_told(
    founded: Administrator, written: Callable[[int], str]
) -> None:
    seen = number_of_list(founded) + 400 * 86_400_000
    founded.does("publish", "--crl-above", written(seen))
    assert number_of_list(founded) == seen + 1


@pytest.mark.parametrize(("number", "said"), [("-5", "no number"), ("x", "no number"), (str(1 << 127), "127 bits")])
def test_what_is_no_number_of_a_list_is_wrong_usage(founded: Administrator, number: str, said: str) -> None:
    ran = founded.types("publish", f"--crl-above={number}", "--passphrase-file", str(founded.daily))
    assert ran.exit_code == 2
    assert said in ran.stderr


def test_a_member_that_cannot_be_believed_is_refused(founded: Administrator) -> None:
    words = ("member", "add", "--member", ZHEJIANG[:-1] + "A", "--name-zh", "某", "--name-en", "A")
    ran = founded.types(*words, "--region", "330000", "--address", "x:1", "--passphrase-file", str(founded.daily))
    assert ran.exit_code == 2
    assert "social credit code" in ran.stderr


@pytest.mark.parametrize(("federation", "said"), [("bad name", "not a federation name"), (FEDERATION, "not empty")])
def test_what_cannot_be_founded_is_refused_before_passphrases_are_asked_for(
    administrator: Administrator, federation: str, said: str
) -> None:
    if said == "not empty":
        administrator.home.mkdir()
        (administrator.home / "something").touch()
    ran = administrator.types("init", "--federation", federation)
    assert ran.exit_code == 2
    assert said in ran.stderr
    assert "assphrase" not in ran.output


@pytest.mark.parametrize("wrong", ["1234", "", "xyz", "0" * 33, "g" * 32, "--"])
def test_a_key_id_that_is_none_revokes_nothing(founded: Administrator, wrong: str) -> None:
    ran = founded.types("revoke", f"--key={wrong}", "--passphrase-file", str(founded.daily))
    assert ran.exit_code == 2
    assert "32 hexadecimal digits" in ran.stderr
    assert founded.does("publish")["version"] == 2, "nothing was published for it"


def test_whoever_revokes_a_key_that_nobody_lists_is_told_so(founded: Administrator) -> None:
    ran = founded.types("revoke", "--key", "AB" * 16, "--passphrase-file", str(founded.daily))
    assert ran.exit_code == 0
    assert "No member lists this key" in ran.stderr


def test_what_is_revoked_is_named_in_one_way(founded: Administrator, tmp_path: Path) -> None:
    founded.adds()
    clock = SystemClock()
    issuing = Authority.load(founded.home, passphrase=b"daily")
    now = dt.datetime.fromtimestamp(clock.now_ms() / 1000, dt.UTC)
    issued = issuing.issue_unit_tls(ZHEJIANG, "jinhua", generate_tls_key().public_key(), now=now)
    pem = tmp_path / "unit.pem"
    pem.write_bytes(issued.pem)
    assert founded.does("revoke", "--certificate", str(pem), "--reason", "key-compromise")["version"] == 3
    assert founded.types("revoke", "--serial", "5f3c09", "--passphrase-file", str(founded.daily)).exit_code == 2
    assert founded.does("revoke", "--serial", f"{issued.certificate.serial_number:x}")["version"] == 4
    assert founded.does("revoke", "--key", "00" * 16) == {"listed": False, "version": 5}
    assert founded.does("revoke", "--member", ZHEJIANG)["version"] == 6
    for words in ((), ("--serial", "1", "--key", "2")):
        assert founded.types("revoke", *words).exit_code == 2


def test_whoever_revokes_is_told_of_tokens_taken_back_and_of_those_left(founded: Administrator, tmp_path: Path) -> None:
    founded.adds()
    issuing = Authority.load(founded.home, passphrase=b"daily")
    now = dt.datetime.fromtimestamp(SystemClock().now_ms() / 1000, dt.UTC)
    told = []
    for reason in ("superseded", "key-compromise"):
        issued = issuing.issue_unit_tls(ZHEJIANG, "jinhua", generate_tls_key().public_key(), now=now)
        issuing.ledger.tokens.make(Identity(issuing.federation, ZHEJIANG, "unit", "jinhua"), now, dt.timedelta(days=1))
        pem = tmp_path / f"{reason}.pem"
        pem.write_bytes(issued.pem)
        words = ("--certificate", str(pem), "--reason", reason, "--passphrase-file", str(founded.daily))
        told.append(founded.types("revoke", *words).stdout)
    assert "has open tokens" in told[0]
    assert "were taken back too" in told[1]
    assert [each.holder.role for each in issuing.ledger.tokens.open(now)] == ["gateway"]


class Issued:
    """A unit's certificate, one renewed from it, and one beside it."""

    def __init__(self, founded: Administrator) -> None:
        now = dt.datetime.fromtimestamp(SystemClock().now_ms() / 1000, dt.UTC)
        opened = Authority.load(founded.home, passphrase=b"daily")
        unit = Identity(FEDERATION, ZHEJIANG, "unit", "jinhua")

        def issue(grounds: str) -> str:
            issued = opened.issue("tls", unit, generate_tls_key().public_key(), now, grounds=grounds)
            return f"{issued.certificate.serial_number:x}"

        self.first = issue("token 17")
        self.renewed = issue(f"certificate {self.first}")
        self.beside = issue("authority")
        opened.close()


def test_certificates_are_listed_with_what_became_of_them(founded: Administrator) -> None:
    founded.adds()
    issued = Issued(founded)
    founded.does("revoke", "--serial", issued.beside, "--reason", "superseded")
    listed = founded.does("certificates", "--member", ZHEJIANG)["certificates"]
    about = {each["serial"]: each for each in listed}
    assert set(about) == {issued.first, issued.renewed, issued.beside}
    assert about[issued.renewed]["grounds"] == f"certificate {issued.first}"
    assert about[issued.first]["holder"].endswith(f"/member/{ZHEJIANG}/unit/jinhua")
    assert (about[issued.first]["kind"], about[issued.first]["revoked_at"]) == ("tls", "")
    assert about[issued.first]["issued_at"] < about[issued.first]["expires_at"]
    assert about[issued.beside]["revoked_at"]
    assert about[issued.beside]["reason"] == "superseded"
    assert founded.does("certificates", "--member", ANHUI)["certificates"] == []
    assert len(founded.does("certificates")["certificates"]) == 3
    daily = ("--passphrase-file", str(founded.daily))
    said = founded.types("certificates", *daily).stdout
    assert said.count("spiffe://") == 1, "the holder once, its certificates below"
    assert said.count("valid") == 2
    assert "revoked" in said
    typo = founded.types("certificates", "--member", ZHEJIANG[:-1] + "A", *daily)
    assert (typo.exit_code, "social credit code" in typo.stderr) == (2, True)


def test_whoever_revokes_a_certificate_is_told_what_went_with_it_and_what_is_left(founded: Administrator) -> None:
    founded.adds()
    issued = Issued(founded)
    done = founded.does("revoke", "--serial", issued.first, "--reason", "key-compromise")
    assert [each["serial"] for each in done["revoked"]] == [issued.first, issued.renewed]
    assert [each["serial"] for each in done["still_valid"]] == [issued.beside]
    daily = ("--passphrase-file", str(founded.daily))
    said = founded.types("revoke", "--serial", issued.first, *daily).stdout
    assert issued.beside in said
    assert issued.renewed not in said, "it was taken back before"
    assert "readmit" in said


def test_an_administrator_decides_what_goes_with_a_certificate(founded: Administrator) -> None:
    founded.adds()
    issued = Issued(founded)
    done = founded.does("revoke", "--serial", issued.first, "--alone")
    assert [each["serial"] for each in done["revoked"]] == [issued.first]
    assert {each["serial"] for each in done["still_valid"]} == {issued.renewed, issued.beside}
    done = founded.does("revoke", "--serial", issued.first, "--reason", "superseded", "--with-renewed")
    assert [each["serial"] for each in done["revoked"]] == [issued.renewed]
    ran = founded.types("revoke", "--member", ZHEJIANG, "--alone")
    assert (ran.exit_code, "--certificate" in ran.stderr) == (2, True)


def test_a_member_may_enrol_anew_with_a_new_token(founded: Administrator) -> None:
    founded.adds()
    issued = Issued(founded)
    told = founded.does("member", "readmit", "--member", ZHEJIANG, "--reason", "key-compromise")
    assert (told["member_id"], told["version"]) == (ZHEJIANG, 3)
    assert [each["id"] for each in founded.does("token", "list")["tokens"]] == [told["token"]["id"]]
    assert told["token"]["secret"]
    units = founded.does("certificates", "--member", ZHEJIANG)["certificates"]
    assert {each["serial"] for each in units if not each["revoked_at"]} == {issued.first, issued.renewed, issued.beside}
    ran = founded.types("member", "readmit", "--member", ANHUI, "--passphrase-file", str(founded.daily))
    assert (ran.exit_code, "no such member" in ran.stderr) == (2, True)


@pytest.mark.parametrize("missing", [False, True], ids=["taken", "no folder"])
def test_nothing_is_done_where_the_token_cannot_be_written(founded: Administrator, missing: bool) -> None:
    file = founded.folder / "none" / "token" if missing else founded.file("token", "mine\n")
    where = ("--token-file", str(file), "--passphrase-file", str(founded.daily))
    names = ("--name-zh", "某", "--name-en", "A", "--region", "330000", "--address", "127.0.0.1:7443")
    ran = founded.types("member", "add", "--member", ZHEJIANG, *names, *where)
    assert ran.exit_code == 2
    assert founded.does("member", "list") == {"version": 1, "members": []}
    founded.adds()
    issued = Issued(founded)
    assert founded.types("member", "readmit", "--member", ZHEJIANG, *where).exit_code == 2
    assert founded.types("token", "add", "--member", ZHEJIANG, *where).exit_code == 2
    assert founded.does("member", "list")["version"] == 2
    listed = founded.does("certificates")["certificates"]
    assert [each["serial"] for each in listed if each["revoked_at"]] == []
    assert issued.first in {each["serial"] for each in listed}
    assert missing or file.read_text() == "mine\n"
    assert len(founded.does("token", "list")["tokens"]) == 1, "of the member that was added"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_command_speaks_both_languages(
    founded: Administrator, monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    founded.adds()
    issued = Issued(founded)
    monkeypatch.setenv("WUGAN_LANG", language)
    daily = ("--passphrase-file", str(founded.daily))
    said = "".join(
        founded.types(*words, *daily).stdout
        for words in (
            ("certificates",),
            ("revoke", "--serial", issued.first),
            ("member", "readmit", "--member", ZHEJIANG),
            ("publish",),
            ("member", "remove", "--member", ZHEJIANG),
        )
    )
    assert bool(re.search(r"[\u4e00-\u9fff]", said)) is (language == "zh")
    if language == "zh":
        assert "valid" not in said
        assert "revoked" not in said


def test_the_root_is_replaced_by_a_threshold_of_its_keys(founded: Administrator) -> None:
    from tests.unit.federation.tuf_world import opens

    keys = [Path(file) for file in founded.founded["root_keys"]]
    known = dict(zip(keys, ("one", "two", "three"), strict=True))
    assert all(opens(path, passphrase.encode()) for path, passphrase in known.items()), "each custodian knows the file"
    old = [word for path in keys[:2] for word in ("--old-key", str(path))]
    passphrases = founded.file("old.txt", "".join(f"{known[path]}\n" for path in keys[:2]))
    fresh = founded.file("fresh.txt", "a\nb\nc\n")
    more = ("--new-keys", "3", "--new-passphrases-file", str(fresh), "--online")
    told = founded.does("root", "rotate", *old, "--old-passphrases-file", str(passphrases), *more)
    assert told["root_version"] == 2
    made = [Path(file) for file in told["root_keys"]]
    assert all(opens(path, passphrase) for path, passphrase in zip(made, (b"a", b"b", b"c"), strict=True))
    assert set(made).isdisjoint(keys)
    assert founded.does("member", "list")["version"] == 2
    one = founded.file("one.txt", f"{known[keys[0]]}\n")
    ran = founded.types(
        "root", "rotate", *old[:2], "--old-passphrases-file", str(one), "--passphrase-file", str(founded.daily)
    )
    assert ran.exit_code == 2
    assert "fewer were given" in ran.stderr


def test_nobody_thinks_of_new_passphrases_before_the_old_keys_were_found_to_do(founded: Administrator) -> None:
    one = ("--old-key", founded.founded["root_keys"][0], "--new-keys", "3")
    asked = ("root", "rotate", *one, "--passphrase-file", str(founded.daily))
    assert "fewer were given" in founded.types(*asked, given="one\n").stderr
    assert "a wrong passphrase" in founded.types(*asked, given="two\n").stderr


def test_a_folder_or_a_passphrase_that_is_wrong_is_said_to_be(founded: Administrator, tmp_path: Path) -> None:
    assert founded.types("publish").exit_code == 2
    wrong = founded.file("wrong.txt", "wrong\n")
    ran = founded.types("publish", "--passphrase-file", str(wrong))
    assert ran.exit_code == 2
    assert "passphrase" in ran.stderr
    assert CliRunner().invoke(authority, ["publish", "--dir", str(tmp_path / "none")]).exit_code == 2


@pytest.mark.parametrize(("language", "words"), [("en", "chmod 600"), ("zh", "其他用户可访问")])
def test_a_passphrase_file_that_others_can_read_is_refused(
    founded: Administrator, monkeypatch: pytest.MonkeyPatch, language: str, words: str
) -> None:
    monkeypatch.setenv("WUGAN_LANG", language)
    keys = [f"--old-key={path}" for path in founded.founded["root_keys"][:2]]
    daily, lines, ca = (
        founded.file("open", "daily\n"),
        founded.file("lines", "one\ntwo\n"),
        founded.file("ca-open", "ca\n"),
    )
    for path in (daily, lines, ca):
        path.chmod(0o644)
    use = ("--passphrase-file", str(founded.daily))
    for typed in (
        ("publish", "--passphrase-file", str(daily)),
        ("run", "--passphrase-file", str(daily)),
        ("root", "rotate", *keys, "--old-passphrases-file", str(lines), *use),
        ("issuing", "roll", "--ca-passphrase-file", str(ca), *use),
    ):
        ran = founded.types(*typed)
        assert (ran.exit_code, words in ran.stderr) == (2, True), (typed, ran.output)


def test_a_new_member_gets_a_token_which_is_shown_once(founded: Administrator) -> None:
    made = founded.adds()["token"]
    assert made["holder"].endswith(f"/member/{ZHEJIANG}/gateway")
    for unit in ("--unit", "--department"):
        told = founded.does("token", "add", "--member", ZHEJIANG, unit, "jinhua", "--days", "1")
        assert told["secret"]
        assert told["holder"].endswith(f"{unit[2:]}/jinhua")
    listed = founded.does("token", "list")["tokens"]
    assert len(listed) == 3
    assert made["secret"] not in json.dumps(listed)
    founded.does("token", "cancel", "--id", made["id"])
    assert made["id"] not in {each["id"] for each in founded.does("token", "list")["tokens"]}
    assert founded.types("token", "cancel", "--id", made["id"], "--passphrase-file", str(founded.daily)).exit_code == 2


def test_a_token_goes_into_a_file_of_its_own_and_nowhere_else(founded: Administrator) -> None:
    founded.adds()
    file = founded.folder / "token"
    told = founded.does("token", "add", "--member", ZHEJIANG, "--token-file", str(file))
    token_id, _, secret = file.read_text().strip().partition(":")
    assert (told["id"], told["file"]) == (token_id, str(file))
    assert secret not in json.dumps(told)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    words = ("token", "add", "--member", ZHEJIANG, "--token-file", str(file), "--passphrase-file", str(founded.daily))
    assert founded.types(*words).exit_code == 2
    assert len(founded.does("token", "list")["tokens"]) == 2, "none was made in vain"


def test_no_token_for_who_is_no_member(founded: Administrator) -> None:
    ran = founded.types("token", "add", "--member", ANHUI, "--passphrase-file", str(founded.daily))
    assert (ran.exit_code, "no such member" in ran.stderr) == (2, True)


def test_the_issuing_ca_of_a_demonstration_is_rolled_without_a_passphrase(tmp_path: Path) -> None:
    home = World(tmp_path / "authority").home
    ran = CliRunner().invoke(authority, ["issuing", "roll", "--dir", str(home), "--json"])
    assert (ran.exit_code, ran.stderr) == (0, ""), "a key that is not encrypted is refused with any passphrase"
    assert json.loads(ran.stdout) == {"issuing": "issuing-2"}


def test_the_issuing_ca_is_rolled_with_the_roots_passphrase(founded: Administrator) -> None:
    ran = founded.types("issuing", "roll", "--passphrase-file", str(founded.daily), given="wrong\n")
    assert ran.exit_code == 2
    secret = ("--ca-passphrase-file", str(founded.ca))
    assert founded.does("issuing", "roll", *secret) == {"issuing": "issuing-2"}
    listed = founded.does("issuing", "list")["issuing"]
    assert [(each["issuing"], each["current"]) for each in listed] == [("issuing", False), ("issuing-2", True)]
    assert founded.does("revoke", "--issuing", "issuing")["kept"] == 0
    assert [each["revoked"] for each in founded.does("issuing", "list")["issuing"]] == [True, False]
    assert founded.types("revoke", "--issuing", "issuing-2", "--passphrase-file", str(founded.daily)).exit_code == 2
    assert founded.does("issuing", "prune") == {"destroyed": ["issuing"]}, "it never issued a certificate"


@pytest.mark.parametrize(
    "wrong", [("--threshold", "4"), ("--listen", "127.0.0.1"), ("--plain-listen", "x"), ("--public-url", "ca.example")]
)
def test_of_a_founding_with_a_wrong_setting_nothing_is_left(
    administrator: Administrator, wrong: tuple[str, str]
) -> None:
    secrets = ("--root-passphrases-file", str(administrator.roots), "--ca-passphrase-file", str(administrator.ca))
    assert administrator.types("init", "--federation", FEDERATION, *secrets, *wrong).exit_code == 2
    assert not administrator.home.exists()
    administrator.founds()


def test_what_custodians_take_away_is_not_soon_guessed(
    administrator: Administrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealed_key, "ROUNDS", 4096)
    administrator.founds()
    kept = [*(administrator.home / "tuf-root-keys").iterdir(), administrator.home / "root-key.pem"]
    assert len(kept) == 4
    for path in kept:
        der = base64.b64decode("".join(path.read_text().splitlines()[1:-1]))
        assert b"\x02\x02\x10\x00" in der, path


def test_empty_lists_and_a_second_revocation_say_so(founded: Administrator) -> None:
    daily = ("--passphrase-file", str(founded.daily))
    assert "no members yet" in founded.types("member", "list", *daily).stderr
    assert "no open token" in founded.types("token", "list", *daily).stderr
    assert "no certificate" in founded.types("certificates", *daily).stderr
    founded.adds()
    assert "it never told" in founded.types("member", "list", *daily).stderr
    serial = Issued(founded).beside
    assert "already" not in founded.types("revoke", "--serial", serial, *daily).stderr
    assert "revoked already" in founded.types("revoke", "--serial", serial, *daily).stderr


def test_a_members_own_ca_is_signed_accepted_listed_and_taken_back(founded: Administrator) -> None:
    founded.adds()
    key = generate_authority_key()
    made = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA384())
    request, out = founded.folder / "ca.csr", founded.folder / "ca.pem"
    request.write_bytes(made.public_bytes(Encoding.PEM))
    whose, root = ("--member", ZHEJIANG), ("--ca-passphrase-file", str(founded.ca))
    certify = ("issuing", "certify", *whose, "--request", str(request), "--out", str(out))
    assert founded.does(*certify, *root) == {"member": ZHEJIANG, "file": str(out)}
    ran = founded.types(*certify, *root, "--passphrase-file", str(founded.daily))
    assert (ran.exit_code, "not overwritten" in ran.stderr) == (2, True)

    assert founded.does("issuing", "accept", *whose, str(out))["issuing"] == "external-1"
    assert [(each["issuing"], each["member"]) for each in founded.does("issuing", "list")["issuing"]] == [
        ("issuing", ""),
        ("external-1", ZHEJIANG),
    ]
    daily = ("--passphrase-file", str(founded.daily))
    assert f"external-1  external  {x509.load_pem_x509_certificate(out.read_bytes()).not_valid_after_utc:%Y}" in (
        founded.types("issuing", "list", *daily).stdout
    )
    ran = founded.types("revoke", "--serial", "17", "--issuing", "external-1", *daily)
    assert (ran.exit_code, "ask whoever runs it" in ran.stderr) == (0, True)
    ran = founded.types("revoke", "--issuing", "external-1", *daily)
    assert (ran.exit_code, "enrol anew" in ran.stdout) == (0, True)
    assert founded.does("issuing", "list")["issuing"][1]["revoked"]
    ran = founded.types("issuing", "accept", *whose, str(out), *daily)
    assert (ran.exit_code, "already" in ran.stderr) == (2, True)
