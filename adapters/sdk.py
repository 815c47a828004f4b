"""The SDK: a department's own program as an adapter, in ten lines.

    from datetime import date
    from adapters import sdk

    class Burials(sdk.RowAdapter):
        adapter_id, version, department, regions = "burials", "1", "CIVIL_AFFAIRS", [330700]
        items = [sdk.Item("BURIAL", "REAL_NAME", freshness_days=30)]

        async def rows(self, numbers):
            return [sdk.Row(number, "张三", "BURIAL", date(2026, 2, 14)) for number in numbers if number in OURS]

    sdk.serve(Burials(), listen="0.0.0.0:7443", certs="certs")

`RowAdapter` takes a row for each thing that is known; `ColumnAdapter` whole columns, for many people at once. Either is
asked for distinct, normalised numbers, and tells only of these: anybody else's row spoils the answer. `serve` does
everything else: mutual TLS, deadlines, streams, health.

Owns: this front. Refuses: judging people, and answering in part: what cannot be told whole is raised as
`SourceDownError` (try again) or `SourceFaultError` (somebody must look).
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, cast

from adapters.asked import Asked
from adapters.contract import Adapter, Changed, DataItem, Description, Found, Lookup
from adapters.errors import SourceDownError, SourceFaultError
from adapters.faces import face_token
from adapters.manifest.vocabulary import DEPARTMENTS, KINDS, STRENGTHS, closest
from adapters.sdk_columns import found_in_columns, found_in_rows

if TYPE_CHECKING:
    from adapters.serving.running import ServingOptions

__all__ = [
    "Changed",
    "ColumnAdapter",
    "Item",
    "Row",
    "RowAdapter",
    "SourceDownError",
    "SourceFaultError",
    "face_token",
    "serve",
    "served",
]


@dataclass(frozen=True, slots=True)
class Item:
    """A data item (数据项) of the department.

    Args:
        kind: of evidence, as in the manifest: "BURIAL".
        strength: how well the department usually knows the person: "REAL_NAME".
        freshness_days: agreed days from the event until the department has it.
    """

    kind: str
    strength: str
    freshness_days: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that is known about somebody.

    Args:
        number: under which the department holds the person: one of those asked.
        name: in its register, "" where it has none.
        kind: of evidence; "" where nothing is known but that the person is registered here.
        observed_on: the day it happened; required with `kind`.
        available_on: the day the department had it.
        strength: how well it knew the person; default: as its item says.
        region: GB/T 2260 code; default: the adapter's region if it has just one.
        reference: the department's own, for disputes: at most 256 bytes, never the number or name.
        detail: penalty kind or region, for the kinds that have one.
        from_on, until_on: for the kinds that have them.
        face: of a face check, `face_token(platform, template)`: what stands for the face platform's template.
    """

    number: str
    name: str = ""
    kind: str = ""
    observed_on: date | None = None
    available_on: date | None = None
    strength: str = ""
    region: int = 0
    reference: str = ""
    detail: int = 0
    from_on: date | None = None
    until_on: date | None = None
    face: bytes = b""


Rows: TypeAlias = Iterable[Row] | Awaitable[Iterable[Row]] | AsyncIterable[Row]


class _Own(ABC):
    """What a subclass says of itself, as class attributes.

    Attributes:
        adapter_id: a-z 0-9 -, the name in its certificate.
        version: raise it with every change.
        department: as in the manifest, e.g. "CIVIL_AFFAIRS".
        regions: GB/T 2260 codes for which it can answer.
        items: what it offers.
        max_batch: people in one question at most.
    """

    adapter_id: ClassVar[str]
    version: ClassVar[str]
    department: ClassVar[str]
    regions: ClassVar[Sequence[int]]
    items: ClassVar[Sequence[Item]]
    max_batch: ClassVar[int] = 10_000
    _about: Description | None = None

    def describe(self) -> Description:
        """What it offers.

        Raises:
            SourceFaultError: a word is none of the contract.
        """
        if self._about is None:
            items = [
                DataItem(number_of(KINDS, item.kind), number_of(STRENGTHS, item.strength), item.freshness_days)
                for item in self.items
            ]
            self._about = Description(
                adapter_id=self.adapter_id,
                version=self.version,
                department=number_of(DEPARTMENTS, self.department),
                regions=tuple(self.regions),
                items=tuple(sorted(items, key=lambda item: item.kind)),
                max_batch=self.max_batch,
                changes=callable(getattr(self, "changes", None)),
            )
        return self._about

    def complete_until(self) -> date | None:
        """The day up to which the data is complete; None: not known."""
        return None

    async def check(self) -> None:  # noqa: B027  need not be overridden
        """Return when the data is reached; raise `SourceDownError` or `SourceFaultError` otherwise."""

    async def close(self) -> None:  # noqa: B027  need not be overridden
        """Release what was opened."""


class RowAdapter(_Own):
    """An adapter that tells what it knows row by row. Subclass it, and write `rows`."""

    @abstractmethod
    def rows(self, numbers: Sequence[str]) -> Rows:
        """What is known about these people: a list, or asynchronously, or one after another.

        A plain function runs in a thread of its own, so that it may ask a database and wait.

        Args:
            numbers: distinct, normalised identity numbers.
        """

    async def lookup(self, question: Lookup) -> Found:
        """See `adapters.contract.Adapter`."""
        asked, about = Asked.of(question.subjects), self.describe()
        rows: list[Row]
        if inspect.iscoroutinefunction(self.rows):
            rows = list(await cast(Awaitable[Iterable[Row]], self.rows(asked.numbers)))
        elif inspect.isasyncgenfunction(self.rows):
            rows = [row async for row in cast(AsyncIterable[Row], self.rows(asked.numbers))]
        else:
            rows = await asyncio.to_thread(lambda: list(cast(Iterable[Row], self.rows(asked.numbers))))
        return await _mapped(len(rows), lambda: found_in_rows(rows, question, about, self.complete_until()))


class ColumnAdapter(_Own):
    """An adapter that tells what it knows in whole columns. Subclass it, and write `columns`."""

    @abstractmethod
    def columns(self, numbers: Sequence[str]) -> Mapping[str, Any] | Awaitable[Mapping[str, Any]]:
        """What is known about these people: the fields of `Row` by name, each a column, or one value for all rows.

        Columns are lists, numpy arrays or polars series of equal length; days are `date`, `datetime64` or days since
        1970-01-01; kinds and strengths are words, or numbers of the contract. A row with kind "" or 0 says only that
        the person is registered here. `number` is required. A plain function runs in a thread of its own.

        Args:
            numbers: distinct, normalised identity numbers.
        """

    async def lookup(self, question: Lookup) -> Found:
        """See `adapters.contract.Adapter`."""
        asked, about = Asked.of(question.subjects), self.describe()
        columns: Mapping[str, Any]
        if inspect.iscoroutinefunction(self.columns):
            columns = await cast(Awaitable[Mapping[str, Any]], self.columns(asked.numbers))
        else:
            columns = await asyncio.to_thread(lambda: cast(Mapping[str, Any], self.columns(asked.numbers)))
        rows = len(columns.get("number", ()))
        return await _mapped(rows, lambda: found_in_columns(columns, question, about, self.complete_until()))


async def _mapped(rows: int, work: Any) -> Found:
    found: Found = work() if rows < 500 else await asyncio.to_thread(work)
    return found


def number_of(known: Mapping[str, int], word: str) -> int:
    """The number of a word of the contract.

    Raises:
        SourceFaultError: it is none.
    """
    number = known.get(word)
    if number is None:
        near = closest(word.upper(), list(known))
        raise SourceFaultError(
            f"{word!r} is no word of the contract" + (f"; did you mean {near}?" if near else ""),
            f"{word!r} 不是接口约定的取值" + (f"，是否应为 {near}？" if near else ""),
        )
    return number


@contextlib.asynccontextmanager
async def served(
    adapter: Adapter,
    listen: str,
    certs: str | Path,
    *,
    caller: str = "",
    ready_file: str | Path | None = None,
    passphrase: str = "",
    crl: Sequence[str | Path] = (),
) -> AsyncIterator[str]:
    """An adapter that is served for the length of the block; yields its address. Arguments and errors as `serve`."""
    from adapters.serving.running import served as serving

    async with serving(adapter, _options(listen, certs, caller, ready_file, passphrase, crl)) as address:
        yield address


def serve(
    adapter: Adapter,
    listen: str,
    certs: str | Path,
    *,
    caller: str = "",
    ready_file: str | Path | None = None,
    passphrase: str = "",
    crl: Sequence[str | Path] = (),
) -> None:
    """Serve an adapter over mutual TLS until SIGTERM or Ctrl-C; questions under way then end.

    Args:
        adapter: a `RowAdapter`, a `ColumnAdapter`, or anything else that is an adapter.
        listen: host:port.
        certs: folder with certificate.pem (own, then the CA's), key.pem (mode 0600) and roots.pem, as
            `wugan certs enrol-unit` makes it and renews it; what is renewed there is used at once.
        caller: URI name in the certificate of the gateway that may call; "": the gateway of own certificate's member.
        ready_file: holds the address exactly as long as calls are taken.
        passphrase: of the key, where it has one; read it from a file or a variable.
        crl: files of the authority's revocation lists; a caller on one of them is refused.

    Raises:
        AdapterError: a file cannot be used, or the address cannot be bound.
    """
    from adapters.serving.running import run

    adapter.describe()  # a word that is none of the contract is told now, and not at the first call
    asyncio.run(run(adapter, _options(listen, certs, caller, ready_file, passphrase, crl)))


def _options(
    listen: str,
    certs: str | Path,
    caller: str,
    ready_file: str | Path | None,
    passphrase: str,
    crl: Sequence[str | Path],
) -> ServingOptions:
    from adapters.serving.running import ServingOptions
    from adapters.tls import TlsFiles

    folder = Path(certs)
    files = TlsFiles(folder / "certificate.pem", folder / "key.pem", folder / "roots.pem", passphrase.encode() or None)
    lists = tuple(map(Path, crl))
    return ServingOptions(listen, files, caller, ready_file=Path(ready_file) if ready_file else None, crl=lists)
