"""Proves that the committed stubs are what the .proto files generate, and that all of the contract, what came last
included, stands in the image that `buf breaking` holds it against. Run by `make proto-check`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
IMAGE = "released.binpb"


def generate(into: Path) -> None:
    """Generate all stubs into a folder, as `make proto` does into proto/."""
    bin_dir = Path(sys.executable).parent
    subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"-I{PROTO}",
            f"--plugin=protoc-gen-mypy={bin_dir / 'protoc-gen-mypy'}",
            f"--plugin=protoc-gen-mypy_grpc={bin_dir / 'protoc-gen-mypy_grpc'}",
            f"--python_out={into}",
            f"--grpc_python_out={into}",
            f"--mypy_out=quiet:{into}",
            f"--mypy_grpc_out=quiet:{into}",
            *sorted(str(path) for path in PROTO.rglob("*.proto")),
        ],
        check=True,
    )


def main() -> int:
    """Compare a fresh generation with what is committed; list every stale or missing stub."""
    with tempfile.TemporaryDirectory() as scratch:
        into = Path(scratch)
        generate(into)
        fresh = {path.relative_to(into): path.read_bytes() for path in into.rglob("*_pb2*.py*")}
    # Files without a service yield empty gRPC stubs, which are not kept.
    fresh = {name: body for name, body in fresh.items() if "_grpc" not in name.name or b"Stub" in body}
    stale = [str(name) for name, body in fresh.items() if _read(PROTO / name) != body]
    extra = [
        str(path.relative_to(PROTO))
        for path in PROTO.rglob("*_pb2*.py*")
        if "__pycache__" not in path.parts and path.relative_to(PROTO) not in fresh
    ]
    for name in stale:
        print(f"stale or missing: proto/{name}; run `make proto`", file=sys.stderr)
    for name in extra:
        print(f"belongs to no .proto: proto/{name}; remove it", file=sys.stderr)
    if _image() != (PROTO / IMAGE).read_bytes():
        print(f"proto/{IMAGE} is not of these .proto files; run `make proto`", file=sys.stderr)
        return 1
    return 1 if stale or extra else 0


def _image() -> bytes:
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / IMAGE
        buf = Path(sys.executable).parent / "buf"
        subprocess.run([buf, "build", "--exclude-source-info", "-o", made], cwd=ROOT, check=True)
        return made.read_bytes()


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


if __name__ == "__main__":
    raise SystemExit(main())
