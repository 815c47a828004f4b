"""What every manifest says, whatever its kind: which adapter, whose data, for where, and how much at once.

Owns: these settings, secrets among the others, and errors that know the line. Refuses: knowing a kind.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import BeforeValidator, Field, PrivateAttr, SecretStr, StringConstraints

from adapters.errors import ManifestError
from adapters.manifest.document import Document, Place, setting_name
from adapters.manifest.secret import SecretMissingError, reveal
from adapters.manifest.sources import Text
from adapters.manifest.vocabulary import DepartmentName, Settings, problem

Name: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]


def _format_version(value: object) -> object:
    if value != "1":
        raise problem("this program reads manifests of format 1", "本程序只读取格式版本为 1 的清单")
    return value


FormatVersion: TypeAlias = Annotated[int, BeforeValidator(_format_version)]


class Title(Settings):
    """What people call it."""

    zh: Text
    en: Text


class ManifestHead(Settings):
    """What every manifest says.

    Args:
        manifest: version of this format: 1.
        adapter_id: stable name within the gateway.
        version: of this manifest.
        title: of the source.
        department: whose data it is.
        regions: GB/T 2260 codes for which it can answer.
        max_batch: people in one lookup.
        timeout_s: for one lookup, if the question leaves more; of an interface asked about many people, for each round
            of `concurrency` requests.
        concurrency: lookups the source bears at once.
    """

    manifest: FormatVersion
    adapter_id: Name
    version: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)]
    title: Title | None = None
    department: DepartmentName
    regions: tuple[Annotated[int, Field(ge=110000, le=829999)], ...] = Field(min_length=1, max_length=500)
    max_batch: int = Field(10_000, ge=1, le=100_000)
    timeout_s: float = Field(5.0, gt=0, le=600)
    concurrency: int = Field(4, ge=1, le=64)

    _document: Document | None = PrivateAttr(None)

    @property
    def folder(self) -> Path:
        """From which relative paths of the manifest count."""
        return Path(self._document.file).resolve().parent if self._document else Path.cwd()

    def attach(self, document: Document) -> None:
        """Remember where it was read from, for the lines of later errors."""
        self._document = document

    def error(self, place: Place, en: str, zh: str) -> ManifestError:
        """An error of a setting, with file and line where the manifest was read from a file."""
        if self._document is None:
            name = setting_name(place)
            return ManifestError(f"{name}: {en}", f"{name}: {zh}", setting=name)
        return self._document.error(place, en, zh)

    def reveal(self, setting: SecretStr, place: Place, *, url: bool = False) -> str:
        """The value of a setting that may be secret.

        Raises:
            ManifestError: its variable is not set or its file cannot be read.
        """
        try:
            return reveal(setting, self.folder, url=url)
        except SecretMissingError as error:
            raise self.error(place, error.en, error.zh) from error
