"""Recipients as the results in a folder have them: read by row, without reading all.

Owns: what of a result row decisions need, and the mark of what the run found. Refuses: writing results.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from gateway.errors import ConfigError
from gateway.roster.results.writing import MANIFEST, RESULTS
from gateway.rules.deciding import Source, Standing
from wugan.federation.v1 import vocabulary_pb2 as words

_COLUMNS: Final = (
    "row", "reference", "id_number", "name", "grid_unit", "unit", "benefit", "certification", "status",
    "flags", "decided_on", "effective_on", "monthly_fen", "last_paid_on", "registered", "mark",
)  # fmt: skip
_GROUND: Final = struct.Struct(">hhqqq")
_BATCH: Final = 50_000
_MAX_MANIFEST: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Person:
    """One recipient of the results; days are civil days, 0: none."""

    row: int
    reference: str
    id_number: str
    name: str
    grid_unit: str
    unit: str
    benefit: int
    proposed: Standing
    ground: bytes
    effective_on: int
    monthly_fen: int
    last_paid_on: int
    registered: str
    mark: str


class Results:
    """The results in a folder.

    Args:
        folder: where `gateway.roster.results` wrote them.

    Raises:
        ConfigError: there are none, or they are of another version.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / RESULTS
        manifest = folder / MANIFEST
        try:
            if manifest.stat().st_size > _MAX_MANIFEST:
                raise ValueError(manifest.name)
            read = json.loads(manifest.read_bytes())
            self.as_of_on = int(read["as_of_on"])
            self.digest = bytes.fromhex(read["files"][RESULTS]["sha256"])
            self.rows = int(read["rows"])
            self._scan().collect_schema()
        except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError) as error:
            raise ConfigError(
                f"{folder}: no results of a roster there; give the folder that `wugan roster run --out` wrote",
                f"{folder}：目录中没有名册结果，请指定 `wugan roster run --out` 的输出目录",
                field="folder",
            ) from error

    def by_row(self, rows: Collection[int]) -> dict[int, Person]:
        """The recipients at these rows; rows that there are not are left out."""
        found = self._scan().filter(pl.col("row").is_in(sorted(set(rows)))).collect(engine="streaming")
        return {person.row: person for person in self._people(found)}

    def by_reference(self, reference: str) -> list[Person]:
        """The recipients with the agency's own id."""
        return list(self._people(self._scan().filter(pl.col("reference") == reference).collect(engine="streaming")))

    def everybody(self) -> Iterator[Person]:
        """All recipients, some at a time in memory."""
        for batch in self._scan().collect_batches(chunk_size=_BATCH, maintain_order=True, engine="streaming"):
            yield from self._people(batch)

    def counts(self) -> dict[int, int]:
        """Recipients by what the run proposes."""
        counted = pl.scan_parquet(self._path).group_by("certification").len().collect(engine="streaming")
        return dict(sorted(zip(counted["certification"].to_list(), counted["len"].to_list(), strict=True)))

    def _scan(self) -> pl.LazyFrame:
        return pl.scan_parquet(self._path).select(_COLUMNS)

    def _people(self, frame: pl.DataFrame) -> Iterator[Person]:
        for row in frame.iter_rows(named=True):
            status = row["certification"]
            certified = status == words.CERTIFICATION_STATUS_CERTIFIED
            mark = _GROUND.pack(status, row["status"], row["flags"], row["decided_on"], row["effective_on"])
            yield Person(
                row=row["row"],
                reference=row["reference"],
                id_number=row["id_number"],
                name=row["name"],
                grid_unit=row["grid_unit"],
                unit=row["unit"],
                benefit=row["benefit"],
                proposed=Standing(status, Source.DATA_COMPARISON, self.as_of_on) if certified else Standing(status),
                ground=hashlib.sha256(mark).digest(),
                effective_on=row["effective_on"],
                monthly_fen=row["monthly_fen"],
                last_paid_on=row["last_paid_on"],
                registered=row["registered"],
                mark=row["mark"],
            )
