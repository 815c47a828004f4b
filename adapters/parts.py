"""The record sets of a manifest of dropped files, as what files are read for.

Owns: which columns a file must have, and what makes another reading necessary. Refuses: reading.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from adapters.lacking import Wanting, wanting
from adapters.manifest.model import FileLinks, FileManifest, FileRecords
from adapters.manifest.sources import FileSet
from adapters.mapping import LinkMapper, Mapper
from adapters.values import DateReader

_LINKS = "links"


@dataclass(frozen=True, slots=True)
class Part:
    """One record set or the links, as files.

    Args:
        name: of the record set, or "links".
        files: which files and how they are read.
        mapper: what its rows become.
        newest: reader and column of the date up to which it is complete.
        monitored: whether it is told of whom it changes something.
        wanting: which settings of the manifest want a column.
        digest: changes with anything that changes how a file is read.
    """

    name: str
    files: FileSet
    mapper: Mapper | LinkMapper
    wanting: Wanting
    digest: str
    newest: tuple[str, DateReader] | None = None
    monitored: bool = False

    def columns(self) -> list[str]:
        """Every column that a file must have, the mapper's first."""
        more = [*self.files.key, *([self.newest[0]] if self.newest else [])]
        return [*self.mapper.columns, *(name for name in dict.fromkeys(more) if name not in self.mapper.columns)]


def parts_of(manifest: FileManifest) -> list[Part]:
    """The record sets of a manifest, and its links last."""
    complete = manifest.complete_until

    def digest(settings: FileRecords | FileLinks) -> str:
        read = (settings, manifest.identity_of(settings), manifest.timezone, manifest.regions, complete)
        return hashlib.sha256(repr(read).encode()).hexdigest()[:32]

    parts: list[Part] = []
    for records in manifest.records:
        newest = None
        if complete is not None and complete.date is not None and complete.of == records.name:
            newest = (complete.date.column, DateReader(complete.date, manifest.timezone))
        mapper = Mapper(manifest, records)
        wanted = wanting(manifest, records)
        parts.append(Part(records.name, records.files, mapper, wanted, digest(records), newest, records.changes))
    links = manifest.links
    if links is not None:
        mapper_of_links = LinkMapper(manifest, links)
        parts.append(Part(_LINKS, links.files, mapper_of_links, wanting(manifest, links), digest(links)))
    return parts
