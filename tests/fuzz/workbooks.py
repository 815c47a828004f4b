"""Malformed workbooks, read as a dropped one is, in a process of its own with little memory.

A library that runs out of memory ends its process; the intake takes that for a file that asks for too much, and so does
this. Owns: sound workbooks to begin from, members and bytes of them changed, and the process. `python -m
tests.fuzz.workbooks` is that process: inputs come with their length before them, and for each goes back how it ended
and the processor time it took.
"""

from __future__ import annotations

import io
import json
import random
import resource
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Sequence

from adapters.rows import FileRejectedError

MEMORY_BYTES = 512 << 20
_NS = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
_REL = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PKG = "http://schemas.openxmlformats.org/package/2006"
READ, REFUSED, CRASHED = b"r", b"f", b"c"


class WorkbookCrashError(Exception):
    """The reader raised what it should not."""


def members(names: Sequence[str], rows: Sequence[dict[str, object]]) -> dict[str, bytes]:
    """The members of a sound workbook of these rows, with every sort of cell."""
    texts: list[str] = [*names]
    lines = []
    for number, row in enumerate([None, *rows], 1):
        cells = []
        for at, name in enumerate(names):
            where = f"{chr(ord('A') + at)}{number}"
            value = name if row is None else row.get(name)
            if isinstance(value, str):
                if value not in texts:
                    texts.append(value)
                cells.append(f'<c r="{where}" t="s"><v>{texts.index(value)}</v></c>')
            elif value is not None:
                cells.append(f'<c r="{where}" s="1"><v>{value}</v></c>')
        cells.append(f'<c r="J{number}" t="inlineStr"><is><t>x</t></is></c><c r="K{number}" t="b"><v>1</v></c>')
        lines.append(f'<row r="{number}">{"".join(cells)}</row>')
    shared = "".join(f"<si><t>{text}</t></si>" for text in texts)
    relations = f'xmlns="{_PKG}/relationships"'
    targets = {"worksheet": "worksheets/sheet1.xml", "sharedStrings": "sharedStrings.xml", "styles": "styles.xml"}
    within = "".join(
        f'<Relationship Id="r{at}" Type="{_REL}/{kind}" Target="{target}"/>'
        for at, (kind, target) in enumerate(targets.items(), 1)
    )
    count = f'count="{len(texts)}" uniqueCount="{len(texts)}"'
    made = {
        "[Content_Types].xml": f'<Types xmlns="{_PKG}/content-types">'
        '<Default Extension="xml" ContentType="application/xml"/></Types>',
        "_rels/.rels": f"<Relationships {relations}>"
        f'<Relationship Id="r1" Type="{_REL}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook {_NS} xmlns:r="{_REL}"><sheets>'
        '<sheet name="名单" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f"<Relationships {relations}>{within}</Relationships>",
        "xl/worksheets/sheet1.xml": f'<worksheet {_NS}><dimension ref="A1:K9"/><sheetData>{"".join(lines)}</sheetData>'
        '<mergeCells><mergeCell ref="A5:B6"/></mergeCells></worksheet>',
        "xl/sharedStrings.xml": f"<sst {_NS} {count}>{shared}</sst>",
        "xl/styles.xml": f"<styleSheet {_NS}><cellXfs>"
        '<xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="22"/></cellXfs></styleSheet>',
    }
    return {name: text.encode() for name, text in made.items()}


def packed(parts: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> bytes:
    """A workbook of these members."""
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w", how) as archive:
        for name, data in parts.items():
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), data, how)
    return into.getvalue()


class Workbooks:
    """Makes malformed workbooks and has them read.

    Args:
        parts: members of a sound one.
    """

    def __init__(self, parts: dict[str, bytes]) -> None:
        self._parts = parts
        self._whole = [packed(parts), packed(parts, zipfile.ZIP_DEFLATED)]
        self._reader: subprocess.Popen[bytes] | None = None
        self.ended = 0
        """How often the reading process was ended by its own bounds."""

    def make(self, random_: random.Random, malformed: Callable[[random.Random, Sequence[bytes]], bytes]) -> bytes:
        """One input: bytes of the archive changed, or members, or, seldom, a member of 64 MiB that packs to nothing."""
        chosen = random_.randrange(4_000)
        if chosen < 1_000:
            return malformed(random_, self._whole)
        parts = dict(self._parts)
        for _ in range(random_.choice((1, 1, 2))):
            name = random_.choice(
                (*parts, "xl/worksheets/sheet1.xml", "xl/worksheets/sheet1.xml", "xl/sharedStrings.xml")
            )
            if random_.random() < 0.03:
                parts.pop(name, None)
            elif name in parts:
                parts[name] = malformed(random_, [parts[name]])
        if chosen == 3_999:
            name = random_.choice(list(parts))
            parts[name] += b" " * (64 << 20)
            return packed(parts, zipfile.ZIP_DEFLATED)
        return packed(parts, zipfile.ZIP_DEFLATED if chosen < 1_500 else zipfile.ZIP_STORED)

    def read(self, data: bytes) -> float:
        """Have one read; the processor time it took there, in seconds.

        Raises:
            FileRejectedError: it was refused, by its reader or by the bounds.
            WorkbookCrashError: its reader raised something else.
        """
        if self._reader is None:
            self._reader = subprocess.Popen(
                [sys.executable, "-m", "tests.fuzz.workbooks"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        reader = self._reader
        assert reader.stdin is not None
        assert reader.stdout is not None
        reader.stdin.write(struct.pack("<I", len(data)) + data)
        reader.stdin.flush()
        told = reader.stdout.read(9)
        if len(told) < 9:
            reader.wait()
            self._reader = None
            self.ended += 1
            raise FileRejectedError("bounds", "bounds", "bounds")
        (took,) = struct.unpack("<d", told[1:])
        if told[:1] == CRASHED:
            raise WorkbookCrashError
        return float(took)

    def close(self) -> None:
        """End the process."""
        if self._reader is not None:
            assert self._reader.stdin is not None
            self._reader.stdin.close()
            self._reader.wait()
            self._reader = None


def _serve() -> None:
    """The reading process."""
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from adapters.apart import _cell
    from adapters.apart_reading import _RejectedError, _told, _workbook
    from tests.fuzz.targets import NAMES, Fuzzed

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    with TemporaryDirectory() as scratch:
        mapper = Fuzzed(Path(scratch), Path(__file__).resolve().parents[2] / "adapters" / "departments").mapper
    dump = json.JSONEncoder(ensure_ascii=True, default=_told, check_circular=False).encode
    from_, to = sys.stdin.buffer, sys.stdout.buffer
    while head := from_.read(4):
        data = from_.read(struct.unpack("<I", head)[0])
        began = time.process_time()
        rows: list[list[object]] = []

        def write(number: int, cells: Sequence[object], rows: list[list[object]] = rows) -> None:
            line = dump([number, *cells])
            if len(rows) < 100:
                rows.append([_cell(cell) for cell in json.loads(line)[1:]])

        how = READ
        try:
            _workbook(io.BytesIO(data), None, write)
            whole = [row for row in rows[1:] if len(row) >= len(NAMES)]
            if whole:
                mapper.map([[row[at] for row in whole] for at in range(len(NAMES))])
        except (_RejectedError, MemoryError):
            how = REFUSED
        except BaseException:  # noqa: BLE001  whatever it is is told
            how = CRASHED
        to.write(how + struct.pack("<d", time.process_time() - began))
        to.flush()


if __name__ == "__main__":
    _serve()
