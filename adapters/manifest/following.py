"""How a source is followed: the settings that say of whom it has something new.

Owns: the growing column of a table, the endpoint of an interface that tells changes. Refuses: following by looking at
everything again: a source without either is not monitored. Dropped files need no more than a yes (`FileRecords`).
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from adapters.manifest.fields import EPOCH_MS, EPOCH_S, ISO, Column, Identity
from adapters.manifest.sources import typed_body
from adapters.manifest.vocabulary import Settings, problem

NUMBER = "number"
TIME = "time"
_FALLING = ("Y", "m", "d", "H", "M", "S", "f")


def _form(value: str) -> str:
    if value in {NUMBER, TIME}:
        return value
    used = re.findall(r"%(.)?", value)
    if len(used) < 3 or tuple(used) != _FALLING[: len(used)]:
        raise problem(
            "write number, time, or how the text reads, from the year down, so that it sorts: %Y%m%d%H%M%S",
            "应为 number、time，或文本的格式（由年到秒依次书写，以便排序），如 %Y%m%d%H%M%S",
        )
    return value


class TableChanges(Settings):
    """By what a table's newest rows are told.

    Args:
        column: grows with every row that is written or changed: a number of the row's version, or a time. It needs an
            index.
        key: column that tells rows apart which have the same `column`, e.g. the registration number.
        form: what `column` holds: `number`, `time` (the database's own type), or text in this format, from the year
            down.
        overlap: how far back rows are looked at again, for writers that commit late: numbers, or seconds. Default:
            1000 numbers, 60 seconds.
    """

    column: Column
    key: Column
    form: Annotated[str, StringConstraints(min_length=2, max_length=40), AfterValidator(_form)] = NUMBER
    overlap: int | None = Field(None, ge=0, le=31 * 86_400)

    @property
    def back(self) -> int:
        """The overlap that counts."""
        if self.overlap is not None:
            return self.overlap
        return 1000 if self.form == NUMBER else 60


class ApiChanges(Settings):
    """The operation of an interface that tells of whom it has something new.

    Args:
        path: after the base URL.
        method: GET or POST.
        query: parameters of the address.
        body: JSON body of a POST.
        rows: path of the list of rows in the answer.
        identity: where a row says of whom it is; default: the manifest's.
        style: `cursor`: `$cursor` stands in the request, `next` is the path of the one to go on from; `since`: `$since`
            stands in the request, a time up to which was read, and `$page` where answers have pages.
        first: `$cursor` of the very first request, if the interface needs one to begin now.
        next: as told above.
        more: path of a truth value: there are more at once; without it, a full page means so.
        form: how `$since` is written: epoch_ms, epoch_s, iso or a format.
        overlap_s: how far `$since` goes back behind the last look, for late writers and other clocks.
        size: `$size`, rows in a page at most.
        first_page: number of the first page.
    """

    path: Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^/[^\s?#]*$")]
    method: Literal["GET", "POST"] = "GET"
    query: dict[str, str] = Field({}, max_length=50)
    body: Annotated[object, BeforeValidator(typed_body)] = None
    rows: Column = "data"
    identity: Identity | None = None
    style: Literal["cursor", "since"] = "cursor"
    first: Annotated[str, StringConstraints(max_length=200)] = ""
    next: Column | None = None
    more: Column | None = None
    form: Annotated[str, StringConstraints(min_length=2, max_length=40)] = ISO
    overlap_s: int = Field(60, ge=0, le=31 * 86_400)
    size: int = Field(500, ge=1, le=10_000)
    first_page: int = Field(1, ge=0, le=1)

    @model_validator(mode="after")
    def _complete(self) -> ApiChanges:
        if self.method == "GET" and self.body is not None:
            raise problem("a GET has no body; use `query`", "GET 请求没有 body，请使用 query")
        if (self.style == "cursor") != (self.next is not None):
            raise problem("`next` goes with the style cursor", "next 用于且必须用于 cursor")
        place = "$cursor" if self.style == "cursor" else "$since"
        if place not in " ".join((*self.query.values(), repr(self.body))):
            raise problem(f"the request needs {place}", f"请求中须写 {place}")
        if self.form not in {ISO, EPOCH_S, EPOCH_MS} and not set(re.findall(r"%(.)?", self.form)) >= {"Y", "m", "d"}:
            en = "a form is iso, epoch_s, epoch_ms, or names %Y %m %d"
            raise problem(en, "格式应为 iso、epoch_s、epoch_ms 或含 %Y %m %d")
        return self
