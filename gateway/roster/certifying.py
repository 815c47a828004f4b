"""A run's certifications claimed at the once-only gate (一人只能认证成功一次), in columns.

Owns: which people of a run are claimed (those it certifies, for certification and as of today, with the further numbers
that the file has of them and the faces under which they were checked), that a run which goes on claims the same and is
refused the same, and what becomes of those who are refused: they are a doubt (SUSPECT), with a row in the table
`duplicates`. The parts:

    once        the rows that were refused, once everybody is claimed
    result-…    of chunks with such rows, written anew

Refuses: the gate's rules (`gateway.once`, `gateway.store.claimed`), and claiming for a past day.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gateway.clock import civil_day
from gateway.once.claiming import Claiming
from gateway.once.gate import Gate, Refused
from gateway.once.keyed import Certified
from gateway.roster.frames import DUPLICATES, PEOPLE, from_arrow, to_arrow
from gateway.roster.packing import pack, unpack
from gateway.roster.run import RunFolder, Submitted, chunk_part, result_part
from gateway.rules.book import RuleBook
from gateway.store.claimed import Packed
from gateway.store.tagging import Texts
from wugan.adapter.v1 import vocabulary_pb2 as adapter_words
from wugan.federation.v1 import vocabulary_pb2 as words

ONCE: Final = "once"
_COLUMNS: Final = ["row", "id_number", "name", "benefit", "reference", "certification"]
_IDEOGRAPHS: Final = "^[\u4e00-\u9fff]+$"
CERTIFIED: Final = words.CERTIFICATION_STATUS_CERTIFIED

InPool = Callable[..., Awaitable[Any]]


def claims(run: Submitted) -> bool:
    """Whether what a run certifies counts."""
    today = run.as_of_on >= civil_day(run.submitted_at_ms)
    return today and run.purpose == adapter_words.PURPOSE_CERTIFICATION


class Certifying:
    """See the module.

    Args:
        run: what was submitted.
        folder: its parts; the results of all chunks are there.
        gate: where it is claimed.
        book: how names are compared.
        scratch: a private folder.
    """

    def __init__(self, run: Submitted, folder: RunFolder, gate: Gate, book: RuleBook, scratch: Path) -> None:
        self._run = run
        self._folder = folder
        self._gate = gate
        self._book = book
        self._scratch = scratch
        self._last_rows: list[int] = []
        """Last row of each chunk."""

    async def go(self, chunks: int, in_pool: InPool) -> None:
        """Claim everybody, and put down who was refused; does nothing where that was done.

        Raises:
            StoreError: something could not be read or written; to be done again.
        """
        if await in_pool(self._folder.parts.has, ONCE):
            refused = from_arrow(await in_pool(self._folder.parts.read, ONCE))
        else:
            refused = await self._claim(chunks, in_pool)
            await in_pool(self._folder.parts.write, ONCE, to_arrow(refused))
        if refused.height:
            await in_pool(self._mark, refused, chunks)

    async def _claim(self, chunks: int, in_pool: InPool) -> pl.DataFrame:
        unit, run = self._run.unit, self._run.run_id
        found: list[tuple[int, Refused]] = []
        self._last_rows = []
        async with Claiming(self._gate, unit, run, self._scratch) as claiming:
            for number in range(chunks):
                linked, packed, faces = await in_pool(self._certified, number)
                if linked is not None:
                    await claiming.add(linked)
                if len(packed):
                    await claiming.add_packed(packed, faces)
            async for part in claiming.finish(self._people):
                found += part
        found.sort()
        columns = [(row, each.kind, each.unit, each.member, each.certified_on) for row, each in found]
        return pl.DataFrame(columns, schema=dict(DUPLICATES), orient="row")

    def _certified(self, number: int) -> tuple[Certified | None, Packed, Packed | None]:
        """Those whom a chunk certifies: with further numbers, and the others; and the faces of these."""
        people, faces = self._result(number)
        rows = people["row"]
        self._last_rows.append(int(rows[-1]) if len(rows) else (self._last_rows or [0])[-1])
        people = people.filter(pl.col("certification") == CERTIFIED)
        planned = from_arrow(unpack(self._folder.parts.read(chunk_part(number)))["rows"], ["row", "aliases"])
        several = planned.filter(pl.col("aliases").list.len() > 0)
        linked = None
        if several.height:
            those = people.join(several, on="row", how="inner", maintain_order="left")
            people = people.join(several, on="row", how="anti", maintain_order="left")
            if those.height:
                pairs = [(at, alias) for at, aliases in enumerate(those["aliases"].to_list()) for alias in aliases]
                linked = self._as_certified(those, pairs, faces)
        packed = self._gate.keying.packed(
            id_number=texts(people["id_number"]),
            name_key=texts(name_keys(self._book, people["name"])),
            reference=texts(people["reference"]),
            benefit=people["benefit"].to_numpy(),
            row=people["row"].to_numpy(),
            certified_on=np.full(people.height, self._run.as_of_on, np.int32),
        )
        place, token = _placed(people, faces)
        return linked, packed, self._gate.keying.faces(packed, place, token) if len(place) else None

    def _people(self, rows: NDArray[np.int64]) -> Certified:
        """Some people of the run, in order of rows."""
        chunks = np.searchsorted(np.array(self._last_rows), rows)
        wanted = pl.DataFrame({"row": rows})
        parts = [
            wanted.join(self._result(number)[0], on="row", how="inner", maintain_order="left")
            for number in np.unique(chunks).tolist()
        ]
        return self._as_certified(pl.concat(parts), [])

    def _as_certified(
        self, people: pl.DataFrame, linked: list[tuple[int, str]], faces: pl.DataFrame | None = None
    ) -> Certified:
        place, token = _placed(people, faces)
        return Certified(
            self._run.unit,
            self._run.run_id,
            people["row"].to_numpy(),
            people["id_number"].to_list(),
            people["name"].to_list(),
            people["benefit"].to_numpy(),
            people["reference"].to_list(),
            np.full(people.height, self._run.as_of_on, np.int32),
            linked=linked,
            faces=list(zip(place.tolist(), token, strict=True)),
        )

    def _result(self, number: int) -> tuple[pl.DataFrame, pl.DataFrame | None]:
        """Of a chunk the people, and the faces by which some were certified."""
        blobs = unpack(self._folder.parts.read(result_part(number)))
        if "people" not in blobs:
            return pl.DataFrame(schema=dict(PEOPLE)).select(_COLUMNS), None
        faces = from_arrow(blobs["faces"]) if "faces" in blobs else None
        return from_arrow(blobs["people"], _COLUMNS), faces

    def _mark(self, refused: pl.DataFrame, chunks: int) -> None:
        """Make a doubt of those who were refused, in the results of their chunks."""
        verify_by = self._run.as_of_on + self._book.verify_within_days
        for number, blobs in self._chunks_of(refused, chunks):
            people = from_arrow(blobs["people"])
            those = pl.col("row").is_in(refused["row"].implode())
            doubt = pl.lit(words.CERTIFICATION_STATUS_SUSPECT, people.schema["certification"])
            marked = people.with_columns(
                certification=pl.when(those).then(doubt).otherwise("certification"),
                verify_by_on=pl.when(those).then(pl.lit(verify_by, pl.Int32)).otherwise("verify_by_on"),
            )
            blobs["people"] = to_arrow(marked)
            blobs["duplicates"] = to_arrow(refused.join(people.select("row"), on="row", how="semi"))
            self._folder.parts.write(result_part(number), pack(blobs))

    def _chunks_of(self, refused: pl.DataFrame, chunks: int) -> Iterator[tuple[int, dict[str, bytes]]]:
        """The chunks that hold these rows, those left out that were marked before."""
        left = refused["row"]
        for number in range(chunks):
            if not len(left):
                return
            blobs = unpack(self._folder.parts.read(result_part(number)))
            if "people" not in blobs:
                continue
            rows = from_arrow(blobs["people"], ["row"])["row"]
            if len(rows) and rows[-1] >= left[0]:
                left = left.filter(left > rows[-1])
                if "duplicates" not in blobs:
                    yield number, blobs


def _placed(people: pl.DataFrame, faces: pl.DataFrame | None) -> tuple[NDArray[np.int64], list[bytes]]:
    """Faces of some people, and the place of each among them."""
    if faces is None or not faces.height or not people.height:
        return np.zeros(0, np.int64), []
    found = faces.join(people.select("row").with_row_index("place"), on="row", how="inner", maintain_order="left")
    return found["place"].to_numpy().astype(np.int64), found["token"].to_list()


def texts(column: pl.Series) -> Texts:
    """A column of text without an object for each."""
    joined = column.str.join("")
    return Texts((joined[0] or "").encode() if len(joined) else b"", column.str.len_bytes().to_numpy().astype(np.int64))


def name_keys(book: RuleBook, names: pl.Series) -> pl.Series:
    """What names are compared by: most are ideographs that no rule replaces, and stand for themselves."""
    plain = names.str.contains(_IDEOGRAPHS) & ~names.str.contains_any(book.replaced_ideographs)
    if plain.all():
        return names
    others = names.filter(~plain).unique()
    keys = [book.name_key(name) for name in others.to_list()]
    return names.replace(others, pl.Series(keys, dtype=pl.String))
