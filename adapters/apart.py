"""Reading workbooks and Parquet files in a process of its own, with bounded memory and time.

A workbook of five kilobytes can ask for half a terabyte (two cells, far apart), a Parquet file of a hundred bytes for
a billion rows. The libraries that read them end the process when memory does not suffice: not this one.

Owns: starting that process, its bounds, and rows from its output. Refuses: the formats (`adapters.apart_reading`).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Literal

from adapters.rows import MAX_COLUMNS, FileRejectedError, ReadingEndedError, Row

MEMORY_BYTES = 3 << 30
"""Address space of the reading process; a workbook of a million rows of ten columns takes about one third."""
CPU_S = 900
MAX_ROWS = 200_000_000
_MAX_ROW_BYTES = 4 << 20
_FROM_OUTSIDE = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGTERM})
"""What ends every process of a service or a terminal, this one included, before the gateway stops by itself."""

Format = Literal["xlsx", "parquet"]


def rows_apart(
    form: Format,
    source: Path | bytes,
    settings: Mapping[str, object],
    *,
    memory_bytes: int = MEMORY_BYTES,
    cpu_s: int = CPU_S,
) -> Iterator[Row]:
    """The rows of a file.

    Args:
        form: of the file.
        source: its path, or its content where it stands on no disk.
        settings: what the reading of that format needs to know.
        memory_bytes: the process may have.
        cpu_s: seconds of processor time it may take.

    Raises:
        FileRejectedError: it cannot be read, or not within these bounds.
        ReadingEndedError: the reading was ended from outside.
    """
    path = None if isinstance(source, bytes) else str(source)
    order = {"form": form, "path": path, "memory_bytes": memory_bytes, "cpu_s": cpu_s, **settings}
    environment = {"PYTHONPATH": os.pathsep.join(sys.path), "POLARS_MAX_THREADS": "1", "PATH": os.defpath}
    with subprocess.Popen(  # noqa: S603  our own module, by our own interpreter
        [sys.executable, "-m", "adapters.apart_reading", json.dumps(order)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    ) as process:
        assert process.stdin is not None  # noqa: S101  it was asked for
        assert process.stdout is not None  # noqa: S101  it was asked for
        try:
            with contextlib.suppress(OSError), process.stdin as into:  # it may have ended: its output tells why
                if isinstance(source, bytes):
                    into.write(source)  # it reads all of it before it writes
            rows = 0
            while True:
                line = process.stdout.readline(_MAX_ROW_BYTES)
                if not line.endswith(b"\n") and len(line) < _MAX_ROW_BYTES:  # its output ended, within a row or not
                    if -process.wait() in _FROM_OUTSIDE:
                        raise ReadingEndedError("the reading was ended", "读取被中止")
                    break
                told = _told(line)
                if isinstance(told, dict):
                    if "end" in told:
                        return
                    raise FileRejectedError(str(told.get("en")), str(told.get("zh")), str(told.get("why", "")))
                rows += 1
                if rows > MAX_ROWS or len(told) > MAX_COLUMNS + 1:
                    break
                yield Row(int(str(told[0])), [_cell(cell) for cell in told[1:]])
        finally:
            with contextlib.suppress(OSError):
                process.kill()
    raise FileRejectedError(
        "cannot be read within the bounds of memory and time; send CSV",
        "在内存与时间限制内无法读取，请改用 CSV",
        "bounds",
    )


def _told(line: bytes) -> Sequence[object] | dict[str, object]:
    try:
        told = json.loads(line)
    except ValueError:
        told = None
    if not isinstance(told, (list, dict)) or not told:
        raise FileRejectedError("a row is too long", "有的行过长")
    return told


def _cell(value: object) -> object:
    """A cell as the other process wrote it: dates and times stand in an object of one field."""
    if not isinstance(value, dict):
        return value
    ((kind, text),) = value.items()
    return date.fromisoformat(text) if kind == "d" else datetime.fromisoformat(text)
