"""The documents are true: links lead somewhere, commands and settings exist, and both languages say the same."""

from __future__ import annotations

import asyncio
import re
import shlex
import subprocess
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, TypeAlias, get_args

import click
import pytest
from cryptography import x509
from pydantic.fields import FieldInfo

from certs.slot_files import require_complete
from certs.slot_journal import KINDS
from certs.slots import KeySlots
from gateway.authority.founding import Plan, found
from gateway.authority.settings import AuthorityFile
from gateway.cli import main
from gateway.clock import SystemClock
from gateway.config import AdapterSettings, AgencySettings, GatewaySettings, load_gateway
from gateway.federation.directory_fetch import FolderFetcher
from gateway.federation.directory_trust import DirectoryTrust
from gateway.federation.directory_tuf import DirectoryTuf
from gateway.federation.directory_updater import DirectoryPlace
from gateway.sections.values import Settings

ROOT = Path(__file__).resolve().parents[2]
READMES = (ROOT / "README.md", ROOT / "README.zh-CN.md")
DOCUMENTS = (*READMES, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))
MINIMAL, FULL = ROOT / "examples" / "gateway.toml", ROOT / "examples" / "gateway_full.toml"

FENCE = re.compile(
    r"^(?P<fence>`{3,}|~{3,})[ \t]*(?P<language>[\w-]*)[^\n]*\n(?P<text>.*?)^(?P=fence)[ \t]*$", re.M | re.S
)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^(#{1,6}) +(.+?) *$", re.M)
OURS = re.compile(r"(?:gateway|adapters|certs|proto|tests|docs|examples|bench)/[\w./*-]+(?:::\w+)?$")
SHELLS = ("sh", "bash", "console", "shell")
LEAVES = (click.Choice, click.IntRange, click.FloatRange)


class Block(NamedTuple):
    """A fenced block."""

    language: str
    text: str


def prose(document: Path) -> str:
    """A document without its fenced blocks."""
    return FENCE.sub("", document.read_text("utf-8"))


def blocks(document: Path) -> list[Block]:
    return [Block(found["language"], found["text"]) for found in FENCE.finditer(document.read_text("utf-8"))]


def inline_code(document: Path) -> list[str]:
    return INLINE.findall(prose(document))


def command_lines(text: str) -> Iterator[list[str]]:
    """The commands of a shell block, each as its words, without comment, prompt, variables before it and pipe."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line.removeprefix("$ "), comments=True)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words.pop(0)
        for end, word in enumerate(words):
            if word in ("|", "&&", ";", ">", "&"):
                words = words[:end]
                break
        if words:
            yield words


def commands(document: Path) -> list[list[str]]:
    return [words for block in blocks(document) if block.language in SHELLS for words in command_lines(block.text)]


def slug(heading: str) -> str:
    """The anchor that code hosts make of a heading: small letters, blanks to hyphens, no other punctuation."""
    text = LINK.sub(lambda found: found[0][1 : found[0].index("]")], heading).replace("`", "").strip().lower()
    kept = [c for c in text if c in " -_" or unicodedata.category(c)[0] in "LN" or unicodedata.category(c) == "Mn"]
    return "".join(kept).replace(" ", "-")


def of_documents(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(name, DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS])


# links


@of_documents("document")
def test_every_relative_link_leads_to_something_that_is_there(document: Path) -> None:
    for target in LINK.findall(INLINE.sub("", prose(document))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        led_to = (document.parent / path).resolve() if path else document
        assert led_to.is_relative_to(ROOT), f"{document}: {target} leads out of the project"
        assert led_to.exists(), f"{document}: {target} leads nowhere"
        if anchor and led_to.suffix == ".md":
            headings = [slug(text) for _, text in HEADING.findall(prose(led_to))]
            assert anchor in headings, f"{document}: {target} has no such heading; there are {headings}"


@of_documents("document")
def test_every_file_and_test_that_is_named_exists(document: Path) -> None:
    for span in inline_code(document):
        if not OURS.match(span):
            continue
        path, _, test = span.partition("::")
        found = list(ROOT.glob(path.rstrip("/")))
        assert found, f"{document}: `{span}` is not in the project"
        if test:
            assert re.search(rf"^(async )?def {test}\b", found[0].read_text("utf-8"), re.M), f"{document}: `{span}`"


def test_every_document_is_listed_in_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    listed = {(index.parent / target.partition("#")[0]).resolve() for target in LINK.findall(prose(index))}
    decisions = ROOT / "docs" / "adr"
    for document in (ROOT / "docs").rglob("*.md"):
        if document != index and (document.parent != decisions or document.name == "README.md"):
            assert document in listed, f"docs/README.md does not lead to {document.relative_to(ROOT)}"


def test_every_decision_has_its_own_number_and_is_listed() -> None:
    folder = ROOT / "docs" / "adr"
    listed = {target for target in LINK.findall(prose(folder / "README.md")) if "/" not in target}
    decisions = sorted(path.name for path in folder.glob("*.md") if path.name != "README.md")
    assert listed == set(decisions)
    numbers = [name[:4] for name in decisions if re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", name)]
    assert len(set(numbers)) == len(decisions), f"a number is missing or occurs twice: {decisions}"


# commands


def parse(words: list[str]) -> None:
    """Parse the words after `wugan` as click would, without running anything. Raises click.UsageError."""
    command: click.Command = main
    context = click.Context(main, info_name="wugan")
    arguments = words
    while isinstance(command, click.Group):
        if arguments and arguments[0] in ("--help", "-h", "--version"):
            return
        if not arguments:
            return
        name, *arguments = arguments
        found = command.get_command(context, name)
        if found is None:
            raise click.UsageError(f"no command {name!r} in `{context.command_path}`")
        command = found
        context = click.Context(command, info_name=name, parent=context)
    if "--help" in arguments or "-h" in arguments:
        return
    values, rest, _ = command.make_parser(context).parse_args(list(arguments))
    if rest:
        raise click.UsageError(f"too many arguments: {rest}")
    for parameter in command.get_params(context):
        value = values.get(parameter.name or "")
        texts = [value] if isinstance(value, str) else [*value] if isinstance(value, list | tuple) else []
        if parameter.required and not texts:
            raise click.UsageError(f"missing {parameter.human_readable_name}")
        if isinstance(parameter.type, LEAVES):
            for text in texts:
                if "$" not in text:  # a variable of the shell: only the reader knows its value
                    parameter.type(text, parameter, context)


@of_documents("document")
def test_every_wugan_command_line_parses(document: Path) -> None:
    for words in commands(document):
        if words[0].rpartition("/")[2] == "wugan":
            try:
                parse(words[1:])
            except click.UsageError as error:
                pytest.fail(f"{document.relative_to(ROOT)}: `{shlex.join(words)}`: {error.message}")


@of_documents("document")
def test_every_wugan_command_in_the_text_exists(document: Path) -> None:
    for span in inline_code(document):
        words = span.split()
        if len(words) < 2 or words[0] != "wugan":
            continue
        command: click.Command = main
        for word in words[1:]:
            if not isinstance(command, click.Group) or not re.fullmatch(r"[a-z-]+", word) or word.startswith("-"):
                break
            found = command.get_command(click.Context(command), word)
            assert found is not None, f"{document.relative_to(ROOT)}: `{span}`: there is no {word!r}"
            command = found


@pytest.mark.parametrize(
    "words",
    [
        ["chek"],
        ["demo", "upp"],
        ["check", "--config", "agency.toml"],
        ["gateway", "run", "--config", "gateway.toml", "--port", "1"],
        ["gateway", "run", "--config", "gateway.toml", "surplus"],
        ["check", *["--config", "a", "--id", "1", "--name", "n", "--benefit", "PENSION", "--purpose", "CERTIFICATION"]],
    ],
)
def test_a_wrong_command_line_would_be_found(words: list[str]) -> None:
    with pytest.raises(click.UsageError):
        parse(words)


# log


EVENTS = re.compile(r"^\| (?:log )?event \|[^\n]*\n\|[-|]+\n((?:\|[^\n]*\n)+)", re.MULTILINE)


def explained_events(document: Path) -> Iterator[str]:
    """The log's events that a document explains, each as far as it is quoted."""
    for table in EVENTS.findall(prose(document)):
        for row in table.splitlines():
            yield from (event.removesuffix(" …") for event in INLINE.findall(row.split("|")[1]))


def test_every_event_of_the_log_that_is_explained_is_one() -> None:
    code = "\n".join(
        path.read_text("utf-8") for folder in ("gateway", "adapters", "certs") for path in (ROOT / folder).rglob("*.py")
    )
    explained = [(document, event) for document in DOCUMENTS for event in explained_events(document)]
    assert len(explained) > 80
    unknown = [f"{document.relative_to(ROOT)}: {event}" for document, event in explained if f'"{event}' not in code]
    assert not unknown


# tables


@of_documents("document")
def test_every_row_of_a_table_has_as_many_cells_as_its_heading(document: Path) -> None:
    cells = None
    for line in prose(document).splitlines():
        count = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else None
        assert count is None or cells is None or count == cells, f"{document.relative_to(ROOT)}: {line}"
        cells = count


# make


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text("utf-8"), re.M))


@of_documents("document")
def test_every_make_target_exists(document: Path) -> None:
    spans = [shlex.split(span) for span in inline_code(document) if re.match(r"make [a-zA-Z]", span)]
    for words in [*commands(document), *spans]:
        if words[0] == "make":
            named = [word for word in words[1:] if "=" not in word and not word.startswith("-")]
            unknown = set(named) - make_targets()
            assert not unknown, f"{document.relative_to(ROOT)}: `{shlex.join(words)}`: no target {unknown}"


def test_make_help_explains_every_target() -> None:
    text = (ROOT / "Makefile").read_text("utf-8")
    phony = set(re.findall(r"^\.PHONY: (.*)$", text, re.M)[0].split())
    run = subprocess.run(["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    explained = dict(re.findall(r"^ +([a-z-]+) +(\S.*)$", run.stdout, re.M))
    assert set(explained) == phony, f"`make help` and .PHONY differ: {set(explained) ^ phony}"


# two languages


def test_both_readmes_have_the_same_headings() -> None:
    english, chinese = ([level for level, _ in HEADING.findall(prose(readme))] for readme in READMES)
    assert english == chinese, f"levels of headings differ: {english} and {chinese}"


def test_both_readmes_give_the_same_commands() -> None:
    english, chinese = (
        [list(command_lines(block.text)) for block in blocks(readme) if block.language in SHELLS] for readme in READMES
    )
    assert english == chinese
    assert {("make", "demo"), ("make", "test")} <= {tuple(words) for block in english for words in block}


# settings


@pytest.mark.parametrize("path", [MINIMAL, FULL], ids=lambda path: path.name)
def test_an_example_configuration_loads(path: Path) -> None:
    settings = load_gateway(path)
    assert settings.state_dir == path.parent / "state"


Named: TypeAlias = tuple[str, FieldInfo]


def section_of(field: FieldInfo) -> type[Settings] | None:
    """The section that a field is, or holds many of; None for a plain setting."""
    for kind in (field.annotation, *get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, Settings):
            return kind
    return None


def named_settings(model: type[Settings], raw: Mapping[str, object], where: str = "") -> Iterator[Named]:
    """Every plain setting of a model with its place; asserts that the file names it."""
    for name, field in model.model_fields.items():
        place = f"{where}{name}"
        assert name in raw, f"{FULL.name} does not name {place}"
        section, value = section_of(field), raw[name]
        if section is None:
            yield place, field
        elif isinstance(value, list):
            assert value, f"{FULL.name} shows no example of {place}"
            for one in value:
                yield from named_settings(section, one, f"{place}.")
        else:
            assert isinstance(value, dict)
            yield from named_settings(section, value, f"{place}.")


def test_the_full_example_names_every_setting_with_its_default() -> None:
    raw = tomllib.loads(FULL.read_text("utf-8"))
    for place, field in named_settings(GatewaySettings, raw):
        default = field.get_default()
        if field.is_required() or default in (None, ()):
            continue
        value: object = raw
        for part in place.split("."):
            assert isinstance(value, dict)
            value = value[part]
        default = list(default) if isinstance(default, tuple) else default
        assert value == default, f"{FULL.name}: {place} is {value!r}, but its default is {default!r}"


def test_the_full_example_explains_every_setting() -> None:
    in_grant = False
    for before, line in pairwise(FULL.read_text("utf-8").splitlines()):
        if line.startswith("["):
            in_grant = line.startswith("[[")
        elif re.match(r"[a-z_]+ = ", line) and not in_grant:
            assert before.startswith("#"), f"{FULL.name}: no comment above `{line}`"


@of_documents("document")
def test_settings_shown_in_toml_blocks_exist(document: Path) -> None:
    for block in blocks(document):
        if block.language != "toml":
            continue
        raw = tomllib.loads(block.text)
        models = (GatewaySettings, AgencySettings, AdapterSettings, AuthorityFile)
        unknown = [set(unknown_settings(model, raw)) for model in models]
        assert not all(unknown), f"{document.relative_to(ROOT)}: no such settings: {min(unknown, key=len)}"


def unknown_settings(model: type[Settings], raw: Mapping[str, object], where: str = "") -> Iterator[str]:
    for name, value in raw.items():
        field = model.model_fields.get(name)
        if field is None:
            yield where + name
            continue
        section = section_of(field)
        for one in value if isinstance(value, list) else [value]:
            if section is not None and isinstance(one, dict):
                yield from unknown_settings(section, one, f"{where}{name}.")


# enrolment


def test_the_enrolment_in_the_documents_yields_what_the_minimal_configuration_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [block.text for block in blocks(ROOT / "docs" / "operations" / "gateway.md") if block.language == "python"]
    assert len(steps) == 3
    monkeypatch.chdir(tmp_path)
    clock = SystemClock()
    found(tmp_path / "authority", Plan("demo.wugan.internal", [b"root"], loopback=True), clock)
    for step in steps:
        exec(compile(step, "docs/operations/gateway.md", "exec"), {})

    config = tmp_path / "zhejiang" / "gateway.toml"
    config.write_bytes(MINIMAL.read_bytes())
    settings = load_gateway(config)
    trust = DirectoryTrust.of(settings.directory.federation, settings.tls.roots.read_bytes())
    place = DirectoryPlace(
        str(tmp_path / "authority" / "tuf"), settings.directory.root.read_bytes(), tmp_path / "state-of-directory"
    )
    source = DirectoryTuf(place, FolderFetcher(), trust, clock)
    asyncio.run(source.refresh())
    directory, now_ms = source.current(), clock.now_ms()
    with KeySlots.open(settings.keys_folder) as slots:
        require_complete(slots.journal, slots.folder)
        tls, signing, encryption = (slots.journal.current(kind) for kind in KINDS)
        assert tls is not None
        assert signing is not None
        assert encryption is not None
        assert directory.encryption_key(settings.member_id, now_ms).key_id == encryption.key_id
        assert directory.verify_key(settings.member_id, signing.key_id, now_ms)
        leaf = x509.load_pem_x509_certificate(slots.chain(tls))
        key = slots.private_key(tls)
        assert not isinstance(key, bytes)
        assert leaf.public_key() == key.public_key()
