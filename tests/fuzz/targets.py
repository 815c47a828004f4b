"""What reads foreign input, each as a function of bytes that ends in silence or in an error meant for that."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

from adapters.blocks import Block, blocks
from adapters.columnar import ColumnMapper
from adapters.conformance import Sample, SampleError
from adapters.errors import AdapterError, ManifestError
from adapters.http import _NotJson, _parse  # the parser of answers, as the client calls it
from adapters.manifest.document import Document
from adapters.manifest.layout import Layout
from adapters.manifest.load import parse_manifest
from adapters.manifest.sources import FileSet
from adapters.mapping import Mapper
from adapters.paths import Json, PathError, columns_of, rows_of
from adapters.rows import FileRejectedError
from adapters.tabular import Table
from adapters.xml_answers import NotXmlError, parse

ALLOWED = (AdapterError, FileRejectedError, NotXmlError, PathError, SampleError)
"""What malformed input may end in."""

Target = Callable[[bytes], None]

MANIFEST = """\
manifest: 1
adapter_id: courts
version: "1"
department: COURTS
regions: [330000]
kind: file
source: {folder: drop}
identity: {column: id, name: name, forms: [lower_x]}
records:
  - name: sentences
    files: {pattern: "x*"}
    evidence: {column: kind, codes: {"1": SENTENCE, "2": COMMUTATION, "9": ignore}}
    observed_on: {column: at, formats: ["%Y%m%d", iso, epoch_ms, excel_serial], empty: ["00000000"]}
    region: {column: area, otherwise: 330000}
    strength: {column: how, codes: {"a": REAL_NAME}, otherwise: WEAK}
    detail: {column: penalty}
    from_on: {column: at, formats: [iso]}
    source_reference: ref
"""
_HEAD = "manifest: 1\nadapter_id: a\nversion: 1\ndepartment: HEALTH\nregions: [330000]\nidentity: {column: id}\n"
_ROWS = "    evidence: OUTPATIENT\n    observed_on: at\n    strength: REAL_NAME\n"
_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDtqJ7zOtqQtYqOo0CpvDXNlMV3HeJDpjrASKGLWdopD"
_OAUTH = "{token_url: https://a.example/t, client_id: a, client_secret: '${S}'}"
SMALL = [
    text.encode()
    for text in (
        f"{_HEAD}kind: table\nsource: {{url: 'sqlite:///a.db'}}\nrecords:\n  - name: r\n    table: t\n{_ROWS}"
        "links: {table: l, identity: {column: o}, linked: n}\n",
        f"{_HEAD}kind: api\nsource: {{base_url: https://a.example, oauth2: {_OAUTH}}}\nrecords:\n  - name: r\n"
        f"    endpoint: {{path: /q, body: {{ids: $ids, p: $page}}, paging: {{style: page}}}}\n{_ROWS}",
        f"{_HEAD}kind: file\nsource:\n  sftp: {{host: h, user: u, password: '${{P}}', folder: f, host_key: {_KEY}}}\n"
        f"records:\n  - name: r\n    files: '*.csv'\n{_ROWS}",
    )
]
"""Short manifests of several kinds: most of a change hits something that means something."""
ROWS = [
    {
        "id": "330702195001010017",
        "name": "张三",
        "kind": "1",
        "at": "20260301",
        "area": "330702",
        "how": "a",
        "penalty": 1,
    },
    {
        "id": "33070219500101002X",
        "name": "买买提·吐尔逊",
        "kind": "2",
        "at": "2026-03-02T08:00:00+08:00",
        "area": "",
        "ref": "b",
    },
    {"id": "330702500101003", "name": "𠮷", "kind": 9, "at": 1_795_000_000_000, "area": None, "how": None, "ref": 1.5},
]
NAMES = ("id", "name", "kind", "at", "area", "how", "penalty", "ref")


class Fuzzed:
    """The targets, and sound inputs for each to begin from.

    Args:
        folder: for files.
        templates: folder of manifests.

    Attributes:
        mapper: of the rows that files and answers hold.
    """

    def __init__(self, folder: Path, templates: Path) -> None:
        self._path = folder / "input"
        manifest, _, _ = parse_manifest(Document(MANIFEST, "manifest"))
        assert manifest is not None
        self.mapper = Mapper(manifest, manifest.records[0])
        self._by_columns = ColumnMapper(self.mapper, ["text"] * len(self.mapper.columns))
        self._layout = Layout.model_validate(
            {"columns": [{"column": name, "width": 20} for name in NAMES], "unit": "bytes"}
        )
        csv = "\r\n".join([",".join(NAMES), *(",".join(str(row.get(name, "")) for name in NAMES) for row in ROWS)])
        lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS)
        fixed = "\n".join("".join(f"{row.get(name, '')!s:20}"[:20] for name in NAMES) for row in ROWS)
        rows = "".join(
            "<row>" + "".join(f"<{k}>{v}</{k}>" for k, v in row.items() if v is not None) + "</row>" for row in ROWS
        )
        xml = (
            '<?xml version="1.0" encoding="UTF-8"?><s:Envelope xmlns:s="urn:s" xmlns:i="urn:i"><s:Body a="1"><data>'
            f"<list>{rows}</list></data></s:Body></s:Envelope>"
        )
        answer = json.dumps({"code": 0, "data": {"list": ROWS, "total": 3}}, ensure_ascii=False)
        sample = "id_number,name,known\n330702195001010017,张三,yes\n"
        self.targets: dict[str, tuple[Target, list[bytes]]] = {
            "xml": (self._xml, [xml.encode(), xml.encode("utf-16"), xml.replace("UTF-8", "GBK").encode("gb18030")]),
            "json": (self._json, [answer.encode(), json.dumps({"data": {"list": [{"id": [[]]}]}}).encode()]),
            "csv": (
                self._csv,
                [csv.encode(), csv.encode("gb18030"), csv.encode("utf-16"), b"\xef\xbb\xbf" + csv.encode()],
            ),
            "columns": (self._columns, [csv.encode(), csv.replace('"', "").encode("gb18030")]),
            "jsonl": (self._jsonl, [lines.encode()]),
            "fixed": (self._fixed, [fixed.encode("gb18030")]),
            "sample": (self._sample, [sample.encode()]),
            "manifest": (
                self._manifest,
                [MANIFEST.encode(), *SMALL, *(path.read_bytes() for path in sorted(templates.glob("*.yaml")))],
            ),
        }

    def _xml(self, data: bytes) -> None:
        self._rows(parse(data), "Envelope.Body.data.list.row")

    def _json(self, data: bytes) -> None:
        body = _parse(data)
        if not isinstance(body, _NotJson):
            self._rows(body, "data.list")

    def _rows(self, body: Json, path: str) -> None:
        rows = list(rows_of(body, path))
        if rows:
            self.mapper.map(columns_of(rows, self.mapper.columns))

    def _csv(self, data: bytes) -> None:
        self._table(data, FileSet(pattern="*", format="csv"))

    def _columns(self, data: bytes) -> None:
        """As a large file is read."""
        self._path.write_bytes(data)
        settings = FileSet(pattern="*", format="csv")
        table = Table(self._path, settings, self.mapper.columns)
        places = [table.header.index(name) for name in self.mapper.columns]
        for block in blocks(self._path, settings, table) or ():
            if isinstance(block, Block):
                self._by_columns.map([block.columns[at] for at in places], references=True)
            else:
                list(block)

    def _jsonl(self, data: bytes) -> None:
        self._table(data, FileSet(pattern="*", format="jsonl"))

    def _fixed(self, data: bytes) -> None:
        self._table(data, FileSet(pattern="*", format="fixed", layout=self._layout))

    def _table(self, data: bytes, settings: FileSet) -> None:
        self._path.write_bytes(data)
        table = Table(self._path, settings, self.mapper.columns)
        places = [table.header.index(name) for name in self.mapper.columns]
        rows = [row.cells for row in table.rows() if not row.wrong]
        if rows:
            self.mapper.map([[cells[at] for cells in rows] for at in places])

    @staticmethod
    def _sample(data: bytes) -> None:
        Sample.parse(data)

    @staticmethod
    def _manifest(data: bytes) -> None:
        try:
            text = io.TextIOWrapper(io.BytesIO(data), "utf-8").read()
        except UnicodeDecodeError:
            return  # as `Document.read` refuses it
        manifest, errors, _ = parse_manifest(Document(text, "manifest"))
        for error in errors:
            assert isinstance(error, ManifestError)
        assert manifest is not None or errors
