"""`make proto-check` on a copy of the contract from which something is taken, with all generated anew by hand."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import proto_fresh
from tests.needs import require_tools

CHANGED = Path("proto/wugan/federation/v1/exchange.proto")
FIELD = "  bytes trace = 15;\n"
ADDED = "  bytes added_for_a_test = 900;\n"


class Generated:
    """What the generators make of a contract, made once for all tests: of the same .proto files it is the same.

    A run of them takes longer than everything else here, and the tests are about a handful of contracts.
    """

    def __init__(self) -> None:
        self.made: dict[bytes, dict[Path, bytes]] = {}

    def by(self, script: Any) -> Callable[[Path], None]:
        """A script's own `generate`, run where its .proto files are none that were seen before."""
        generate = script.generate

        def remembering(into: Path) -> None:
            contract = sorted((str(path.relative_to(script.PROTO)), path) for path in script.PROTO.rglob("*.proto"))
            digest = hashlib.sha256(repr([(name, path.read_bytes()) for name, path in contract]).encode()).digest()
            if digest not in self.made:
                with tempfile.TemporaryDirectory() as scratch:
                    generate(Path(scratch))
                    files = [path for path in Path(scratch).rglob("*") if path.is_file()]
                    self.made[digest] = {path.relative_to(scratch): path.read_bytes() for path in files}
            for name, body in self.made[digest].items():
                (into / name).parent.mkdir(parents=True, exist_ok=True)
                (into / name).write_bytes(body)

        return remembering


class Copy:
    """The contract elsewhere, as a checkout or without one."""

    def __init__(self, root: Path, generated: Generated) -> None:
        self.root = root
        self.generated = generated
        shutil.copytree(proto_fresh.PROTO, root / "proto", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(proto_fresh.ROOT / "buf.yaml", root)
        (root / "tests").mkdir()
        shutil.copy(proto_fresh.__file__, root / "tests")

    @property
    def script(self) -> Any:
        spec = importlib.util.spec_from_file_location("copied_proto_fresh", self.root / "tests" / "proto_fresh.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert self.root == module.ROOT
        module.generate = self.generated.by(module)  # type: ignore[attr-defined]
        return module

    def check(self) -> int:
        code: int = self.script.main([])
        return code

    def git(self, *arguments: str) -> None:
        who = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
        subprocess.run(["git", "-C", self.root, *who, *arguments], check=True, capture_output=True)

    def commit(self, subject: str) -> None:
        require_tools("git")
        if not (self.root / ".git").exists():
            self.git("init", "--quiet", "--initial-branch=main")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", subject)

    def change(self, old: str, new: str) -> None:
        """Change the .proto file, and generate stubs and image anew."""
        path = self.root / CHANGED
        text = path.read_text("utf-8")
        assert text.count(old) == 1
        path.write_text(text.replace(old, new), "utf-8")
        script = self.script
        script.generate(script.PROTO)
        for stub in script.PROTO.rglob("*_pb2_grpc.py*"):
            if b"Stub" not in stub.read_bytes():
                stub.unlink()
        script._buf("build", "--exclude-source-info", "-o", str(script.PROTO / script.IMAGE))

    def grow(self) -> None:
        self.change(FIELD, FIELD + ADDED)

    def shrink(self) -> None:
        self.change(FIELD, "")

    def exchange_the_baseline(self) -> None:
        shutil.copy(self.root / "proto" / proto_fresh.IMAGE, self.root / "proto" / proto_fresh.BASELINE)


@pytest.fixture(scope="module")
def generated() -> Generated:
    return Generated()


@pytest.fixture
def contract(tmp_path: Path, generated: Generated) -> Copy:
    return Copy(tmp_path.resolve(), generated)


def test_as_it_is_all_is_well_with_a_history_and_without(contract: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    assert contract.check() == 0
    assert "not against its history" in capsys.readouterr().err
    contract.commit("feat: contract")
    assert contract.check() == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize("history", [False, True])
def test_a_field_taken_out_is_found_however_thoroughly_all_is_generated_anew(
    contract: Copy, capsys: pytest.CaptureFixture[str], history: bool, committed: bool
) -> None:
    if history:
        contract.commit("feat: contract")
    contract.shrink()
    if history and committed:
        contract.commit("fix: nobody needs that")
    assert contract.check() == 1
    told = capsys.readouterr().err
    assert "breaks proto/baseline.binpb: " in told
    assert "stale" not in told


@pytest.mark.parametrize("committed", [False, True])
def test_with_a_history_the_baseline_cannot_be_exchanged_for_one_that_has_less(
    contract: Copy, capsys: pytest.CaptureFixture[str], committed: bool
) -> None:
    contract.commit("feat: contract")
    contract.shrink()
    contract.exchange_the_baseline()
    if committed:
        contract.commit("fix: nobody needs that")
    assert contract.check() == 1
    assert "proto/baseline.binpb: " in capsys.readouterr().err


def test_what_was_added_since_the_baseline_cannot_be_taken_back(
    contract: Copy, capsys: pytest.CaptureFixture[str]
) -> None:
    contract.commit("feat: contract")
    contract.grow()
    contract.commit("feat: more")
    assert contract.check() == 0
    contract.change(ADDED, "")
    contract.commit("fix: less")
    assert contract.check() == 1
    assert "breaks proto/baseline.binpb" not in capsys.readouterr().err


def test_a_breaking_release_is_one_commit_marked_as_that_with_a_baseline_of_its_own(contract: Copy) -> None:
    contract.commit("feat: contract")
    contract.shrink()
    contract.commit("feat!: less")
    assert contract.check() == 1  # the mark alone is not enough
    contract.exchange_the_baseline()
    contract.commit("chore: baseline")
    assert contract.check() == 1  # nor is the baseline without the mark
    contract.git("commit", "--quiet", "--amend", "--message", "feat!: less, and the baseline with it")
    assert contract.check() == 0
    contract.change("message Question {\n", "message Question {\n" + ADDED)
    contract.commit("feat: more")
    assert contract.check() == 0


def test_a_merge_is_held_against_what_both_sides_promised(contract: Copy) -> None:
    contract.commit("feat: contract")
    contract.git("checkout", "--quiet", "-b", "side")
    contract.grow()
    contract.commit("feat: more")
    contract.git("checkout", "--quiet", "main")
    contract.git("merge", "--quiet", "--no-ff", "--no-commit", "side")
    contract.change(ADDED, "")
    contract.commit("Merge branch 'side', without it")
    assert contract.check() == 1


def test_a_shallow_checkout_says_what_it_is_not_held_against(
    contract: Copy, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    contract.commit("feat: contract")
    contract.grow()
    contract.commit("feat: more")
    shallow = tmp_path_factory.mktemp("shallow") / "copy"
    subprocess.run(["git", "clone", "--quiet", "--depth=1", f"file://{contract.root}", shallow], check=True)
    contract.root = shallow.resolve()
    assert contract.check() == 0
    assert "shallow" in capsys.readouterr().err


def test_a_missing_baseline_is_no_baseline_that_all_agrees_with(
    contract: Copy, capsys: pytest.CaptureFixture[str]
) -> None:
    (contract.root / "proto" / proto_fresh.BASELINE).unlink()
    assert contract.check() == 1
    assert "is missing" in capsys.readouterr().err
