"""The manifest of a department that runs its own adapter: where it is, whom it must prove to be, what was agreed.

Owns: the settings of the kind `remote`. Refuses: learning from the adapter what it may tell. What was agreed with the
department stands here, on the gateway's side; an adapter that offers less is faulty, and what it offers beyond is not
used.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, field_validator, model_validator

from adapters.contract import DataItem, Description
from adapters.errors import ManifestError
from adapters.manifest.head import ManifestHead
from adapters.manifest.sources import ClientCertificate, PathText
from adapters.manifest.usual import USUAL_KINDS
from adapters.manifest.vocabulary import KINDS, Kind, Settings, StrengthName, problem

_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\]):([0-9]{1,5})")
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"


def _address(value: str) -> str:
    found = _HOST.fullmatch(value)
    if found is None or not 1 <= int(found[1]) <= 65_535:
        raise problem("write host:port", "应为 主机:端口")
    return value


class RemoteSource(Settings):
    """An adapter that runs at the department.

    Args:
        address: host:port.
        tls_name: DNS name that its certificate must prove, wherever the address leads.
        client_certificate: with which the gateway shows itself; default: its own certificate.
        ca: file of the certificate authorities under which the adapter's certificate must lie; default: the root of the
            federation. Given together with `client_certificate`, or neither.
        max_answer_bytes: a larger answer is refused.
        max_answer_rows: an answer of more rows is refused.
    """

    address: Annotated[str, StringConstraints(strip_whitespace=True, max_length=260), AfterValidator(_address)]
    tls_name: Annotated[str, StringConstraints(max_length=253, pattern=rf"^{_LABEL}(\.{_LABEL})*$")]
    client_certificate: ClientCertificate | None = None
    ca: PathText | None = None
    max_answer_bytes: int = Field(64 * 2**20, ge=2**16, le=2**30)
    max_answer_rows: int = Field(2_000_000, ge=1_000, le=20_000_000)

    @model_validator(mode="after")
    def _complete(self) -> RemoteSource:
        if (self.client_certificate is None) != (self.ca is None):
            raise problem(
                "give client_certificate and ca together, or neither: then the gateway's own are used",
                "client_certificate 与 ca 须同时给出，或都不写（使用网关自身证书）",
            )
        return self


class Item(Settings):
    """One data item (数据项) that was agreed: kind of evidence, its usual strength, days until it is there."""

    evidence: Kind
    strength: StrengthName
    freshness_days: int = Field(0, ge=0, le=3660)


class Offers(Settings):
    """What the department is to offer.

    Args:
        items: kinds of evidence, each once.
        links: old and new numbers of one person.
        changes: it tells of whom it has something new, when it is asked.
        pushes: it tells of that by itself (docs/adapters/registration.md); may be without `changes`.
    """

    items: tuple[Item, ...] = Field((), max_length=200)
    links: bool = False
    changes: bool = False
    pushes: bool = False

    @field_validator("items")
    @classmethod
    def _once(cls, items: tuple[Item, ...]) -> tuple[Item, ...]:
        if len({item.evidence for item in items}) < len(items):
            raise problem("a kind of evidence stands here twice", "证据种类重复")
        return items

    @model_validator(mode="after")
    def _something(self) -> Offers:
        if not self.items and not self.links:
            raise problem("agree on one item at least, or on links", "至少约定一个数据项或号码关联")
        return self


class RemoteManifest(ManifestHead):
    """A department that runs its own adapter."""

    kind: Literal["remote"]
    source: RemoteSource
    offers: Offers

    @property
    def records(self) -> tuple[()]:
        """None: rows are mapped at the department."""
        return ()

    @property
    def monitored(self) -> bool:
        """Whether it tells of whom it has something new."""
        return self.offers.changes or self.offers.pushes

    def description(self) -> Description:
        """What was agreed."""
        items = [DataItem(item.evidence, item.strength, item.freshness_days) for item in self.offers.items]
        return Description(
            adapter_id=self.adapter_id,
            version=self.version,
            department=self.department,
            regions=self.regions,
            items=tuple(sorted(items, key=lambda item: item.kind)),
            links=self.offers.links,
            max_batch=self.max_batch,
            changes=self.offers.changes,
            pushes=self.offers.pushes,
        )

    def problems(self) -> tuple[list[ManifestError], list[ManifestError]]:
        """No errors; warnings of kinds of evidence that the department usually does not have."""
        usual = USUAL_KINDS[self.department]
        words = {number: word for word, number in KINDS.items()}
        return [], [
            self.error(
                ("offers", "items", i),
                f"{words[item.evidence]} is unusual for this department; is it meant?",
                f"该部门通常没有 {words[item.evidence]} 类证据，请确认",
            )
            for i, item in enumerate(self.offers.items)
            if item.evidence not in usual
        ]
