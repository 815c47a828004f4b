"""Proves that the committed stubs and the image are what the .proto files generate, and that the contract breaks
nothing that was promised. Run by `make proto-check`; `make proto` runs the second half with `--breaking`.

What was promised is never regenerated with a change:
  * `proto/baseline.binpb`, the image of the last release, which only `make proto-baseline` moves on;
  * every version of the two images in the history, back to the last breaking release: the newest commit that changed
    one of them and is marked by a `!` (`feat!: ...`). So neither image can be replaced by one that has less. A checkout
    without its history is held against the baseline alone, and that is said.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
BIN = Path(sys.executable).parent
IMAGE = "released.binpb"
BASELINE = "baseline.binpb"
IMAGES = (f"proto/{IMAGE}", f"proto/{BASELINE}")
BREAKS = re.compile(r"[a-z]+(\([^)]*\))?!: ")
"""How the subject of a commit that breaks the contract begins (Conventional Commits)."""


class NoHistoryError(Exception):
    """There is nothing, or not all, to look into; says why."""


def generate(into: Path) -> None:
    """Generate all stubs into a folder, as `make proto` does into proto/."""
    subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"-I{PROTO}",
            f"--plugin=protoc-gen-mypy={BIN / 'protoc-gen-mypy'}",
            f"--plugin=protoc-gen-mypy_grpc={BIN / 'protoc-gen-mypy_grpc'}",
            f"--python_out={into}",
            f"--grpc_python_out={into}",
            f"--mypy_out=quiet:{into}",
            f"--mypy_grpc_out=quiet:{into}",
            *sorted(str(path) for path in PROTO.rglob("*.proto")),
        ],
        check=True,
    )


def main(arguments: list[str]) -> int:
    """Say on standard error whatever is stale or broken; the exit code."""
    if arguments not in ([], ["--breaking"]):
        print("usage: proto_fresh.py [--breaking]", file=sys.stderr)
        return 2
    wrong = broken() if arguments else [*stale(), *broken()]
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


def stale() -> list[str]:
    """Compare a fresh generation with what is committed."""
    with tempfile.TemporaryDirectory() as scratch:
        into = Path(scratch)
        generate(into)
        fresh = {path.relative_to(into): path.read_bytes() for path in into.rglob("*_pb2*.py*")}
        made = into / IMAGE
        _buf("build", "--exclude-source-info", "-o", str(made))
        image = made.read_bytes()
    # Files without a service yield empty gRPC stubs, which are not kept.
    fresh = {name: body for name, body in fresh.items() if "_grpc" not in name.name or b"Stub" in body}
    wrong = [
        f"stale or missing: proto/{name}; run `make proto`"
        for name, body in fresh.items()
        if _read(PROTO / name) != body
    ]
    wrong += [
        f"belongs to no .proto: proto/{path.relative_to(PROTO)}; remove it"
        for path in PROTO.rglob("*_pb2*.py*")
        if "__pycache__" not in path.parts and path.relative_to(PROTO) not in fresh
    ]
    if image != _read(PROTO / IMAGE):
        wrong.append(f"proto/{IMAGE} is not of these .proto files; run `make proto`")
    return wrong


def broken() -> list[str]:
    """Compare the contract with the baseline and, as far as there is a history, with all that was ever committed."""
    if not (PROTO / BASELINE).exists():
        return [f"proto/{BASELINE} is missing: nothing tells what was promised; take it from the history"]
    promised = {f"proto/{BASELINE}": (PROTO / BASELINE).read_bytes()}
    try:
        promised |= versions()
    except NoHistoryError as error:
        print(f"contract held against proto/{BASELINE} alone, not against its history: {error}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(4) as at_once:
        return [
            line for lines in at_once.map(_broken, [Path(scratch)] * len(promised), promised.items()) for line in lines
        ]


def _broken(scratch: Path, promised: tuple[str, bytes]) -> list[str]:
    name, image = promised
    kept = scratch / (re.sub(r"\W", "-", name) + ".binpb")
    kept.write_bytes(image)
    told = _buf("breaking", "--against", str(kept), check=False)
    return [f"breaks {name}: {line}" for line in told.splitlines()]


def versions() -> Mapping[str, bytes]:
    """Every image that a commit since the last breaking release, or that one, held: by the commit and the file.

    Raises:
        NoHistoryError: this is no checkout, or a shallow one.
    """
    if Path(_git("rev-parse", "--show-toplevel").decode().strip()).resolve() != ROOT:
        raise NoHistoryError("this is no checkout of its own")
    if _git("rev-parse", "--is-shallow-repository").strip() != b"false":
        raise NoHistoryError("the checkout is shallow (git fetch --unshallow)")
    changed = [
        line.split("\t", 1)
        for line in _git("log", "--full-history", "--format=%H%x09%s", "--", *IMAGES).decode().splitlines()
    ]
    base = next((commit for commit, subject in changed if BREAKS.match(subject)), None)
    # Not only commits that changed an image: a merge may hold one that neither side had.
    since = ["--ancestry-path", f"{base}..HEAD"] if base else ["HEAD"]
    commits = [*_git("rev-list", *since).decode().split(), *([base] if base else [])]
    wanted = [f"{commit}:{image}" for commit in commits for image in IMAGES]
    found = _git("cat-file", "--batch-check=%(objectname)", given="\n".join(wanted).encode()).decode().splitlines()
    # Of equal images the oldest is named: there it was promised first.
    blobs = {blob: name for name, blob in zip(wanted, found, strict=True) if not blob.endswith(" missing")}
    return {f"{name[:12]}:{name.partition(':')[2]}": _git("cat-file", "blob", blob) for blob, name in blobs.items()}


def _git(*arguments: str, given: bytes = b"") -> bytes:
    try:
        ran = subprocess.run(["git", "-C", str(ROOT), *arguments], input=given, capture_output=True, check=True)
    except FileNotFoundError:
        raise NoHistoryError("there is no git") from None
    except subprocess.CalledProcessError as error:
        told = error.stderr.decode(errors="replace").strip().splitlines()
        raise NoHistoryError(told[0] if told else f"git ended with {error.returncode}") from None
    return ran.stdout


def _buf(*arguments: str, check: bool = True) -> str:
    ran = subprocess.run([BIN / "buf", *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    # 100: there are findings, on standard output.
    if ran.returncode not in ((0,) if check else (0, 100)) or (ran.returncode == 100 and not ran.stdout.strip()):
        raise SystemExit(f"buf {arguments[0]} failed ({ran.returncode})")
    return ran.stdout


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
