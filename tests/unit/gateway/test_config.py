"""Settings: what is wrong is said, with file and setting, in both languages; what is right is frozen and absolute."""

from __future__ import annotations

import ast
import itertools
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway import sections
from gateway.config import MAX_CONFIG_BYTES, load_agency, load_gateway
from gateway.errors import ConfigError
from gateway.setting_words import OUR_OWN

MINIMAL = """\
member_id = "11330000002482285J"
state_dir = "state"

[server]
federation = "127.0.0.1:7443"
agency = "127.0.0.1:7444"

[tls]
roots = "roots.pem"

[messages]

[directory]
federation = "demo.wugan.internal"
source = "https://authority.example:8443/tuf"
root = "root.json"
"""

AGENCY = """\
gateway = "127.0.0.1:7444"
gateway_name = "11330000002482285j.gateway.demo.wugan.internal"

[tls]
certificate = "tls/certificate.pem"
private_key = "tls/key.pem"
roots = "tls/roots.pem"
"""


def written(folder: Path, text: str, name: str = "gateway.toml") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def refusal(folder: Path, text: str) -> ConfigError:
    """The error that a gateway.toml with this text is refused with; it names the file in both languages."""
    path = written(folder, text)
    with pytest.raises(ConfigError) as caught:
        load_gateway(path)
    error = caught.value
    assert str(path) in error.en
    assert str(path) in error.zh
    assert error.code == "INVALID_ARGUMENT"
    assert not error.retryable
    return error


def with_line(section: str, line: str) -> str:
    """The minimal file with one more line in a section."""
    assert f"[{section}]\n" in MINIMAL
    return MINIMAL.replace(f"[{section}]\n", f"[{section}]\n{line}\n")


def test_the_least_that_runs_loads_with_every_default(tmp_path: Path) -> None:
    settings = load_gateway(written(tmp_path, MINIMAL))
    assert settings.server.max_message_bytes == 16 << 20
    assert settings.messages.lifetime_ms == 60_000
    assert settings.inquiry.adapters == ()
    assert settings.inquiry.rules is None
    assert settings.access.two_persons_people_a_day == 1000
    assert settings.log.level == "INFO"


def test_relative_paths_count_from_the_folder_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    written(home, MINIMAL + '\n[inquiry]\nadapters = ["departments/a.yaml"]\nrules = "rules.yaml"\n')
    monkeypatch.chdir(elsewhere)
    settings = load_gateway(Path(os.path.relpath(home / "gateway.toml")))
    assert settings.state_dir == home / "state"
    assert settings.tls.roots == home / "roots.pem"
    assert settings.keys_folder == home / "state" / "keys"
    assert settings.inquiry.adapters == (home / "departments" / "a.yaml",)
    assert settings.inquiry.rules == home / "rules.yaml"
    assert settings.server.ready_file is None


def test_absolute_paths_stay_as_they_are(tmp_path: Path) -> None:
    settings = load_gateway(written(tmp_path, MINIMAL.replace('"state"', '"/var/lib/wugan"')))
    assert settings.state_dir == Path("/var/lib/wugan")


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/operator")
    settings = load_gateway(written(tmp_path, MINIMAL.replace('"state"', '"~/wugan"')))
    assert settings.state_dir == Path("/home/operator/wugan")


@pytest.mark.parametrize("name", ["member_id", "server", "access"])
def test_settings_cannot_be_changed_after_loading(tmp_path: Path, name: str) -> None:
    settings = load_gateway(written(tmp_path, MINIMAL))
    with pytest.raises(ValidationError):
        setattr(settings, name, getattr(settings, name))


def test_a_misspelt_setting_is_an_error_that_names_it(tmp_path: Path) -> None:
    error = refusal(tmp_path, with_line("server", "drain = 3.0"))
    assert error.field == "server.drain"
    assert "server.drain" in error.en
    assert "server.drain" in error.zh


def test_an_unknown_section_is_an_error_that_names_it(tmp_path: Path) -> None:
    assert refusal(tmp_path, MINIMAL + "\n[acces]\ngrants = []\n").field == "acces"


def test_a_missing_setting_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path, MINIMAL.replace('roots = "roots.pem"\n', "")).field == "tls.roots"


def test_every_wrong_setting_is_listed_not_only_the_first(tmp_path: Path) -> None:
    text = with_line("server", "drain_s = -1.0").replace('roots = "roots.pem"\n', "")
    error = refusal(tmp_path, text)
    assert "server.drain_s" in error.en
    assert "tls.roots" in error.en
    assert error.field in ("server.drain_s", "tls.roots")


@pytest.mark.parametrize(
    "member",
    [
        "11330000002482285A",  # wrong check character
        "11330000002482285j",  # small letter
        "1133000000248228",  # too short
        "11330000002482285JJ",  # too long
        "1133000000248228IJ",  # a letter that the standard does not use
        "",
    ],
)
def test_a_wrong_unified_social_credit_code_is_refused(tmp_path: Path, member: str) -> None:
    error = refusal(tmp_path, MINIMAL.replace("11330000002482285J", member))
    assert error.field == "member_id"
    assert "GB 32100" in error.en


@pytest.mark.parametrize(
    "address", ["7443", "127.0.0.1", "127.0.0.1:", ":7443", "127.0.0.1:65536", "127.0.0.1:http", "127.0.0.1:-1", ""]
)
def test_a_bad_address_is_refused_with_an_example(tmp_path: Path, address: str) -> None:
    error = refusal(tmp_path, MINIMAL.replace("127.0.0.1:7443", address))
    assert error.field == "server.federation"
    assert "host:port" in error.en


@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:7443", "gateway.zj.example:65535"])
def test_good_addresses_are_taken(tmp_path: Path, address: str) -> None:
    assert load_gateway(written(tmp_path, MINIMAL.replace("127.0.0.1:7443", address))).server.federation == address


@pytest.mark.parametrize("purpose", ["CERTIFY", "certification", "UNSPECIFIED", "PURPOSE_AUDIT", ""])
def test_a_wrong_purpose_is_refused_and_the_right_ones_listed(tmp_path: Path, purpose: str) -> None:
    error = refusal(tmp_path, f'{MINIMAL}\n[access]\ntwo_persons_purposes = ["AUDIT", "{purpose}"]\n')
    assert error.field == "access.two_persons_purposes.1"
    assert "CERTIFICATION, CHANGE_MONITORING, OVERPAYMENT_RECOVERY, DISPUTE_REVIEW, AUDIT" in error.en
    assert "UNSPECIFIED" not in error.en.partition("write")[2]


def test_a_wrong_kind_of_evidence_is_refused_and_the_right_ones_listed(tmp_path: Path) -> None:
    error = refusal(tmp_path, f'{MINIMAL}\n[access]\ntwo_persons_evidence = ["PRISON"]\n')
    assert error.field == "access.two_persons_evidence.0"
    assert "IMPRISONED" in error.en


def test_grants_are_no_setting_any_more(tmp_path: Path) -> None:
    assert refusal(tmp_path, f'{MINIMAL}\n[[access.grants]]\nmembers = ["*"]\n').field.startswith("access")


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ("server", "max_concurrent_calls = 0"),
        ("server", "max_message_bytes = 1000"),
        ("server", "drain_s = 601"),
        ("messages", "lifetime_ms = 300001"),
        ("directory", "refresh_s = 0"),
    ],
)
def test_values_out_of_range_are_refused(tmp_path: Path, section: str, line: str) -> None:
    name = line.partition(" ")[0]
    assert refusal(tmp_path, with_line(section, line)).field == f"{section}.{name}"


def test_keys_may_lie_elsewhere_under_a_passphrase_and_in_a_token(tmp_path: Path) -> None:
    text = """
[keys]
folder = "elsewhere"
passphrase_file = "passphrase"

[keys.pkcs11]
module = "/usr/lib/softhsm/libsofthsm2.so"
token = "wugan"
pin_file = "pin"
"""
    settings = load_gateway(written(tmp_path, MINIMAL + text))
    assert settings.keys_folder == tmp_path / "elsewhere"
    assert settings.keys.passphrase_file == tmp_path / "passphrase"
    assert settings.keys.pkcs11 is not None
    assert settings.keys.pkcs11.module == Path("/usr/lib/softhsm/libsofthsm2.so")
    assert settings.keys.pkcs11.pin_file == tmp_path / "pin"


@pytest.mark.parametrize("url", ["http://a:1", "https://", "https://a@b", "https://a?b", "a:1", "https://a b"])
def test_the_authority_has_an_https_address(tmp_path: Path, url: str) -> None:
    error = refusal(tmp_path, f'{MINIMAL}\n[authority]\nurl = "{url}"\ntls_name = "a.b"\n')
    assert error.field == "authority.url"


@pytest.mark.parametrize(
    "line",
    ["at_life = 0.0", "at_life = 1.0", "jitter = 0.3", "retire_after_s = 0", "poll_s = 0", "encryption_days = 0"],
)
def test_a_rotation_that_makes_no_sense_is_refused(tmp_path: Path, line: str) -> None:
    error = refusal(tmp_path, f"{MINIMAL}\n[rotation]\n{line}\n")
    assert error.field == f"rotation.{line.partition(' ')[0]}"


def test_a_log_level_is_one_of_four(tmp_path: Path) -> None:
    error = refusal(tmp_path, f'{MINIMAL}\n[log]\nlevel = "TRACE"\n')
    assert error.field == "log.level"


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "nowhere.toml"
    with pytest.raises(ConfigError) as caught:
        load_gateway(path)
    assert str(path) in caught.value.en
    assert "cannot be read" in caught.value.en
    assert str(path) in caught.value.zh


def test_a_folder_instead_of_a_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_gateway(tmp_path)
    assert str(tmp_path) in caught.value.en


def test_a_file_of_another_kind_is_not_read_into_memory(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    with path.open("wb") as file:
        file.truncate(MAX_CONFIG_BYTES + 1)
    with pytest.raises(ConfigError) as caught:
        load_gateway(path)
    assert f"{path}: {MAX_CONFIG_BYTES + 1} bytes is too large" in caught.value.en
    assert "配置文件过大" in caught.value.zh


def test_what_is_not_toml_is_refused_with_its_line(tmp_path: Path) -> None:
    assert "line 2" in refusal(tmp_path, 'member_id = "x"\nstate_dir = \n').en


def test_what_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_bytes('# 配置\nmember_id = "x"\n'.encode("gb18030"))
    with pytest.raises(ConfigError) as caught:
        load_gateway(path)
    assert "not valid TOML" in caught.value.en


def test_a_file_from_windows_with_crlf_is_read(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_bytes(MINIMAL.replace("\n", "\r\n").encode())
    assert load_gateway(path).member_id == "11330000002482285J"


def test_an_agency_loads_with_its_defaults_and_absolute_paths(tmp_path: Path) -> None:
    settings = load_agency(written(tmp_path, AGENCY, "agency.toml"))
    assert settings.timeout_s == 5.0
    assert settings.official == ""
    assert settings.tls.roots == tmp_path / "tls" / "roots.pem"


def test_a_gateway_file_is_no_agency_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_agency(written(tmp_path, MINIMAL))
    assert "gateway_name" in caught.value.en


@hypothesis_settings(max_examples=50)
@given(st.text(max_size=200))
def test_no_text_makes_loading_fail_otherwise_than_with_a_configuration_error(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.mktemp("config") / "gateway.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ConfigError):
        load_gateway(path)


WRONG = {
    "missing": MINIMAL.replace('roots = "roots.pem"\n', ""),
    "unknown": with_line("server", "drain = 3.0"),
    "out of bounds": with_line("server", "drain_s = -1"),
    "no number": with_line("server", 'drain_s = "long"'),
    "no text": MINIMAL.replace('"state"', "7"),
    "no address": MINIMAL.replace('"127.0.0.1:7443"', '"here"'),
    "no code": MINIMAL.replace("11330000002482285J", "nobody"),
    "no link": MINIMAL + '\n[authority]\nurl = "authority"\ntls_name = "authority.example"\n',
    "no word": MINIMAL + '\n[log]\nlevel = "LOUD"\n',
    "no section": MINIMAL.replace("[messages]\n", "").replace("\n[server]", "\nmessages = 1\n[server]", 1),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_in_words_of_each_language(tmp_path: Path, case: str) -> None:
    error = refusal(tmp_path, WRONG[case])
    assert not re.search(r"[\u4e00-\u9fff]", error.en)
    said = error.zh.partition("配置有误：")[2]
    assert said
    for part in said.split("；"):
        assert re.search(r"[\u4e00-\u9fff]", part.partition("：")[2]), part
    for words in ("Field required", "permitted", "Input should"):
        assert words not in error.en + error.zh


def test_every_check_of_ours_has_a_chinese_text() -> None:
    texts = []
    modules = [ast.parse(each.read_text("utf-8")) for each in Path(*sections.__path__).glob("*.py")]
    for node in itertools.chain.from_iterable(ast.walk(each) for each in modules):
        if (
            isinstance(node, ast.Raise)
            and isinstance(node.exc, ast.Call)
            and ast.unparse(node.exc.func) == "ValueError"
        ):
            [said] = node.exc.args
            first = said.values[0] if isinstance(said, ast.JoinedStr) else said
            assert isinstance(first, ast.Constant)
            texts.append(str(first.value))
    assert texts
    for text in texts:
        assert any(text.startswith(start) for start in OUR_OWN), f"no Chinese for {text!r} in gateway/setting_words.py"
