"""The settings of the three kinds of source: where the data is and how a record set is found in it.

Owns: addresses, credentials, paging, file handling, and their bounds. Refuses: plain HTTP beyond this machine,
unverified TLS and databases opened for writing: there are no settings for these.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, TypeAlias

from pydantic import (
    BeforeValidator,
    Field,
    SecretStr,
    StringConstraints,
    field_validator,
    model_validator,
)

from adapters.manifest.addresses import Address
from adapters.manifest.credentials import OAuth2, Signing
from adapters.manifest.document import Plain
from adapters.manifest.fields import Column
from adapters.manifest.layout import Layout
from adapters.manifest.sftp import Sftp
from adapters.manifest.vocabulary import Settings, problem

Text: TypeAlias = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
PathText: TypeAlias = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)]


class TableSource(Settings):
    """A database, opened read-only.

    Args:
        url: SQLAlchemy URL; may hold `${VARIABLE}` or be `file:PATH`. A relative SQLite path counts from the manifest.
        schema: of the tables, where not the user's own.
        chunk: numbers asked in one statement; default by database.
    """

    url: SecretStr
    schema_name: Text | None = Field(None, alias="schema")
    chunk: int | None = Field(None, ge=1, le=50_000)


class ClientCertificate(Settings):
    """A certificate with which the adapter shows itself to the interface (mTLS); paths count from the manifest."""

    certificate: PathText
    key: PathText
    passphrase: SecretStr | None = None


class Result(Settings):
    """A result code inside the answer's body, as many interfaces have beside the HTTP status.

    Args:
        field: its path.
        ok: values that mean success.
        nobody: values that mean that nobody was found.
        busy: values that mean "later": asked again, as HTTP 503 is.
    """

    field: Column
    ok: tuple[str, ...] = Field(("0",), min_length=1, max_length=20)
    nobody: tuple[str, ...] = Field((), max_length=20)
    busy: tuple[str, ...] = Field((), max_length=20)


class ApiSource(Settings):
    """An HTTP interface returning JSON or XML.

    Args:
        base_url: https address; http only on this machine.
        headers: sent with every request, e.g. Authorization; values may hold `${VARIABLE}` or be `file:PATH`.
        client_certificate: for mTLS.
        ca: file of the certificate authorities trusted, instead of the machine's.
        format: of the answers. XML becomes a tree of local names, so that `Envelope.Body.queryResponse.row` is a path.
        embedded: path of a text in the answer that holds the real answer, as JSON or XML once more.
        content_type: that an answer must have; by default application/json, or for XML text/xml, application/xml or
            application/soap+xml. Requests with an XML body are sent with it, by default with text/xml.
        oauth2: a token by client credentials is fetched and sent with every request.
        signing: every request is signed.
        result: result code inside the body.
        max_response_bytes: an answer larger than this is refused.
        retries: further tries after a failed connection, 429, 502, 503, 504 or a busy code, while time is left; of ten
            requests one at most.
    """

    base_url: Address
    headers: dict[str, SecretStr] = Field({}, max_length=20)
    client_certificate: ClientCertificate | None = None
    ca: PathText | None = None
    format: Literal["json", "xml"] = "json"
    embedded: Column | None = None
    content_type: Text = "application/json"
    oauth2: OAuth2 | None = None
    signing: Signing | None = None
    result: Result | None = None
    max_response_bytes: int = Field(16 * 2**20, ge=1024, le=256 * 2**20)
    retries: int = Field(2, ge=0, le=10)

    @property
    def content_types(self) -> tuple[str, ...]:
        """Types that an answer may have; the first is what requests with a body of text are sent with."""
        if self.format == "json" or "content_type" in self.model_fields_set:
            return (self.content_type,)
        return ("text/xml", "application/xml", "application/soap+xml")


class Paging(Settings):
    """How an answer is spread over several pages.

    Args:
        style: `page`: numbered, `$page` and `$size` stand in the request; `cursor`: `$cursor` stands in the request and
            `next` is the path of the next one; `link`: `next` is the path of the next page's address, or `header` for
            the Link header of RFC 8288.
        first: number of the first page.
        size: rows a page.
        total: path of the number of rows, `pages`: of pages, `more`: of a truth value; without any of these the first
            page with fewer rows than `size` is the last.
        next: as told above.
        max_pages: more than this is a fault of the source.
    """

    style: Literal["page", "cursor", "link"]
    first: int = Field(1, ge=0, le=1)
    size: int = Field(500, ge=1, le=100_000)
    total: Column | None = None
    pages: Column | None = None
    more: Column | None = None
    next: Column | None = None
    max_pages: int = Field(200, ge=1, le=10_000)

    @model_validator(mode="after")
    def _complete(self) -> Paging:
        if (self.style == "page") == (self.next is not None):
            raise problem("`next` goes with the styles cursor and link", "next 用于且必须用于 cursor 与 link")
        if sum(value is not None for value in (self.total, self.pages, self.more)) > 1:
            raise problem("give one of total, pages, more", "total、pages、more 只写一个")
        return self


def typed_body(value: object) -> object:
    """Numbers and truth values of a body stay such, as the interface expects them."""
    if isinstance(value, Plain):
        return value.typed()
    if isinstance(value, dict):
        return {key: typed_body(inside) for key, inside in value.items()}
    if isinstance(value, list):
        return [typed_body(inside) for inside in value]
    return value


class Endpoint(Settings):
    """One operation of an HTTP interface. `$ids`, `$id`, `$page`, `$size` and `$cursor` are filled in.

    Args:
        path: after the base URL; `$id` may stand in it.
        method: GET or POST.
        ids_per_request: people asked in one request.
        query: parameters of the address; `$ids` is joined by `separator`.
        headers: of this operation besides the source's, e.g. SOAPAction.
        body: JSON body of a POST; a text that is just `$ids` becomes a list. For XML a text, sent as it stands.
        item: for XML: one number within the body; `$ids` becomes as many of these, each with its `$id`.
        separator: between numbers in a parameter.
        rows: path of the list of rows in the answer, `.` for the answer itself; `a[].b`: every `b` of the list `a`.
        paging: where answers have pages.
        not_found_is_nobody: HTTP 404 means that nobody was found. Without it 404 is a fault, as a wrong path is.
    """

    path: Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^/[^\s?#]*$")]
    method: Literal["GET", "POST"] = "POST"
    ids_per_request: int = Field(100, ge=1, le=10_000)
    query: dict[str, str] = Field({}, max_length=50)
    headers: dict[str, Annotated[str, StringConstraints(max_length=500)]] = Field({}, max_length=20)
    body: Annotated[object, BeforeValidator(typed_body)] = None
    item: Annotated[str, StringConstraints(max_length=500)] | None = None
    separator: Annotated[str, StringConstraints(min_length=1, max_length=3)] = ","
    rows: Column = "data"
    paging: Paging | None = None
    not_found_is_nobody: bool = False

    @model_validator(mode="after")
    def _complete(self) -> Endpoint:
        if self.method == "GET" and self.body is not None:
            raise problem("a GET has no body; use `query`", "GET 请求没有 body，请使用 query")
        if self.item is not None and ("$id" not in self.item or not isinstance(self.body, str)):
            raise problem("`item` holds $id, and stands in a body of text", "item 须含 $id，且 body 须为文本")
        if not all(text.isascii() and text.isprintable() for pair in self.headers.items() for text in pair):
            raise problem("a header is plain ASCII text", "请求头应为 ASCII 文本")
        asked = " ".join((self.path, *self.query.values(), *_texts(self.body)))
        if not re.search(r"\$ids?\b", asked):
            raise problem(
                "the request nowhere says who is asked about: put $ids or $id into path, query or body",
                "请求中没有被查询人：请在 path、query 或 body 中写 $ids 或 $id",
            )
        if re.search(r"\$id\b", asked) and self.ids_per_request != 1:
            raise problem("$id asks about one person: set ids_per_request: 1", "使用 $id 时须设 ids_per_request: 1")
        needed = {"page": r"\$page\b", "cursor": r"\$cursor\b"}.get(self.paging.style) if self.paging else None
        if needed and not re.search(needed, asked):
            name = needed[1:-2].replace("\\", "")
            raise problem(f"this paging needs {name} in the request", f"此分页方式要求在请求中写 {name}")
        return self


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for inside in value.values() for text in _texts(inside)]
    if isinstance(value, list):
        return [text for inside in value for text in _texts(inside)]
    return []


class FileSource(Settings):
    """A folder into which the department drops files, here or on an SFTP server.

    Args:
        folder: that folder; a relative path counts from the manifest.
        sftp: or one on a server.
        quarantine: folder for rejected rows; default: `quarantine` in the adapter's state.
        settle_s: a file is picked up once it has not changed for this long.
        scan_every_s: how often the folder is looked at, at most.
        max_file_bytes: a larger file is refused.
    """

    folder: PathText | None = None
    sftp: Sftp | None = None
    quarantine: PathText | None = None
    settle_s: float = Field(2.0, ge=0, le=3600)
    scan_every_s: float = Field(30.0, ge=0, le=86_400)
    max_file_bytes: int = Field(4 * 2**30, ge=1, le=64 * 2**30)

    @model_validator(mode="after")
    def _placed(self) -> FileSource:
        if (self.folder is None) == (self.sftp is None):
            raise problem("give exactly one of: folder, sftp", "须且只能写一个：folder、sftp")
        return self


class FileSet(Settings):
    """Which files are a record set and how they are read.

    Args:
        pattern: of the file names, e.g. `cremation_*.csv`.
        format: by default from the name: .xlsx is a workbook, .jsonl and .ndjson are JSON lines, .parquet is Parquet,
            all else CSV. Lines of fixed width are so by their `layout`.
        encoding: `auto` tells UTF-8, UTF-16 and GB 18030 apart.
        delimiter: of a CSV file; `auto`: comma, tab, semicolon or bar, whichever the header has.
        sheet: of a workbook; default the first.
        header_row: row of the column names, from 1; CSV and workbooks have one.
        layout: of lines of fixed width.
        mode: `snapshot`: the file with the last name holds everything, replacing what came before; `increment`: files
            add up, in order of their names.
        key: columns that identify a row within increments: a later row with the same key replaces the earlier.
        max_bad_share: a file with a larger share of bad rows is rejected as a whole.
        max_loss: so is a snapshot that has less of the rows of the one in force, by a larger share than this.
    """

    pattern: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^/\\]+$")]
    format: Literal["auto", "csv", "xlsx", "jsonl", "parquet", "fixed"] = "auto"
    encoding: Literal["auto", "utf-8", "gb18030", "utf-16"] = "auto"
    delimiter: Literal["auto", ",", "\t", ";", "|"] = "auto"
    sheet: Text | None = None
    header_row: int = Field(1, ge=1, le=100)
    layout: Layout | None = None
    mode: Literal["snapshot", "increment"] = "snapshot"
    key: tuple[Column, ...] = Field((), max_length=8)
    max_bad_share: float = Field(0.05, ge=0, le=1)
    # What is left out of the text of these settings needs no other reading of the files (`adapters.parts`).
    max_loss: float = Field(0.5, ge=0, le=1, repr=False)

    @field_validator("key", mode="before")
    @classmethod
    def _one(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _complete(self) -> FileSet:
        if (self.layout is not None) != (self.format == "fixed"):
            raise problem("`layout` goes with format: fixed", "layout 用于且必须用于 format: fixed")
        if self.key and self.mode == "snapshot":
            raise problem("`key` is for increments; a snapshot replaces all", "key 仅用于 increment")
        return self


def _as_pattern(value: object) -> object:
    return {"pattern": value} if isinstance(value, str) else value


Files: TypeAlias = Annotated[FileSet, BeforeValidator(_as_pattern)]
