"""A province's departments as their manifests see them: where everything is, and the words that all manifests share.

Owns: addresses and the head of a manifest. Refuses: a department's own mapping; that stands beside the department.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.demo.regions import PROVINCES, Province
from gateway.demo.systems.layout import secret_path
from wugan.adapter.v1 import vocabulary_pb2 as words

Settings = dict[str, object]
VERSION = "demo-1"


@dataclass(frozen=True, slots=True)
class Place:
    """A province and how its departments are reached.

    Args:
        province: whose.
        folder: of its departments.
        endpoints: department → address, of those that have one (see the ready file).
    """

    province: Province
    folder: Path
    endpoints: Mapping[str, str]

    def secret(self, name: str) -> Path:
        """File of a credential."""
        return secret_path(self.folder, name)

    def sqlite(self, *parts: str) -> Settings:
        """The source settings of a SQLite file below the folder."""
        return {"url": f"sqlite:///{self.folder.resolve().joinpath(*parts)}"}

    def drop(self, department: str) -> Settings:
        """The source settings of a department's drop folder. Files are dropped whole, so none needs to settle."""
        return {"folder": str(self.folder.resolve() / department / "drop"), "settle_s": "0"}

    def head(self, department: int, kind: str, zh: str, en: str, source: Settings, **more: object) -> Settings:
        """The settings with which every manifest begins."""
        name = words.Department.Name(words.Department.ValueType(department)).removeprefix("DEPARTMENT_")
        return {
            "manifest": "1",
            "adapter_id": name.lower().replace("_", "-"),
            "version": VERSION,
            "title": {"zh": f"{self.province.zh}{zh}", "en": f"{self.province.en} {en}"},
            "department": name,
            "regions": [str(self.province.code)],
            "kind": kind,
            "source": source,
            **more,
        }


def kinds(codes: Mapping[int, str]) -> dict[str, str]:
    """A department's code table, turned round for its manifest: code → evidence kind."""
    return {code: kind_name(kind) for kind, code in codes.items()}


def kind_name(kind: int) -> str:
    """An evidence kind as manifests write it."""
    return words.EvidenceKind.Name(words.EvidenceKind.ValueType(kind)).removeprefix("EVIDENCE_KIND_")


def own_city_codes(prefix: str) -> dict[int, str]:
    """Region → the code that a department of its own mind uses for it."""
    return {place: f"{prefix}{place // 100}" for province in PROVINCES for place in province.prefectures}
