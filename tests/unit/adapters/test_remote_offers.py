"""What a remote adapter says that it offers, and what was agreed with its department."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from adapters_world import manifest_in

from adapters.contract import DataItem, Description
from adapters.errors import ManifestError, SourceFaultError
from adapters.manifest import RemoteManifest
from adapters.offered import MAX_BATCH, description_of, disagreement, message_of
from wugan.adapter.v1 import adapter_pb2
from wugan.adapter.v1 import vocabulary_pb2 as v

BURIAL = DataItem(v.EVIDENCE_KIND_BURIAL, v.STRENGTH_REAL_NAME, 30)
SUBSIDY = DataItem(v.EVIDENCE_KIND_OLD_AGE_SUBSIDY, v.STRENGTH_IN_PERSON, 5)
ABOUT = Description("burials", "1", v.DEPARTMENT_CIVIL_AFFAIRS, (330700,), (SUBSIDY, BURIAL), True, 500, True)


def test_a_description_arrives_as_it_was_sent() -> None:
    assert description_of(message_of(ABOUT), "burials") == ABOUT


@pytest.mark.parametrize(
    "change",
    [
        lambda message: message.ClearField("adapter_id"),
        lambda message: setattr(message, "adapter_id", "../burials"),
        lambda message: setattr(message, "version", "x" * 65),
        lambda message: message.ClearField("department"),
        lambda message: setattr(message, "department", 99),
        lambda message: message.ClearField("regions"),
        lambda message: message.regions.extend([330700] * 500),
        lambda message: message.regions.append(2**32 - 1),
        lambda message: message.items.extend(list(message.items) * 300),
        lambda message: message.ClearField("max_batch"),
    ],
)
def test_a_description_has_bounds(change: Callable[[adapter_pb2.DescribeResponse], object]) -> None:
    message = message_of(ABOUT)
    change(message)
    with pytest.raises(SourceFaultError, match="burials"):
        description_of(message, "burials")


def test_items_of_kinds_not_known_here_are_left_out_and_batches_bounded() -> None:
    message = message_of(replace(ABOUT, max_batch=2**32 - 1))
    message.items.add(kind=99, strength=v.STRENGTH_LEAD)  # type: ignore[arg-type]
    about = description_of(message, "burials")
    assert about.items == ABOUT.items
    assert about.max_batch == MAX_BATCH


@pytest.mark.parametrize(
    ("offered", "told"),
    [
        (replace(ABOUT, adapter_id="cremations"), "another adapter"),
        (replace(ABOUT, department=v.DEPARTMENT_HEALTH), "another department"),
        (replace(ABOUT, items=(SUBSIDY,)), "agreed: BURIAL"),
        (replace(ABOUT, regions=(330100,)), "region"),
        (replace(ABOUT, links=False), "links"),
        (replace(ABOUT, changes=False), "changes"),
    ],
)
def test_an_adapter_that_offers_less_than_was_agreed_is_at_fault(offered: Description, told: str) -> None:
    problem = disagreement(ABOUT, offered)
    assert problem is not None
    assert told in problem.en


@pytest.mark.parametrize(
    "offered",
    [
        ABOUT,
        replace(ABOUT, version="2", max_batch=7),
        replace(ABOUT, regions=(330000,)),
        replace(ABOUT, regions=(320000, 330700)),
        replace(ABOUT, items=(*ABOUT.items, DataItem(v.EVIDENCE_KIND_CREMATION, 4, 1))),
    ],
)
def test_an_adapter_may_offer_more_than_was_agreed(offered: Description) -> None:
    assert disagreement(ABOUT, offered) is None


TEXT = """\
manifest: 1
adapter_id: burials
version: "1"
department: CIVIL_AFFAIRS
regions: [330700]
kind: remote
source: {address: "burials.example:7443", tls_name: burials.example}
offers:
  items:
    - {evidence: BURIAL, strength: REAL_NAME, freshness_days: 30}
    - {evidence: OLD_AGE_SUBSIDY, strength: IN_PERSON, freshness_days: 5}
  links: true
  changes: true
max_batch: 500
"""


def test_a_manifest_says_what_was_agreed(tmp_path: Path) -> None:
    manifest = manifest_in(tmp_path, TEXT)
    assert isinstance(manifest, RemoteManifest)
    assert manifest.description() == ABOUT
    assert manifest.records == ()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("burials.example:7443", "burials.example", "source.address"),
        ("burials.example:7443", "burials.example:99999", "source.address"),
        ("burials.example:7443", "https://burials.example:7443", "source.address"),
        ("tls_name: burials.example", "tls_name: Burials.example", "source.tls_name"),
        ("tls_name: burials.example", "tls_name: burials.example, ca: roots.pem", "source"),
        ("evidence: OLD_AGE_SUBSIDY", "evidence: BURIAL", "offers.items"),
        ("evidence: BURIAL", "evidence: BURIALS", "did you mean BURIAL"),
        ("max_batch: 500", "identity: {column: id}", "identity"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, old: str, new: str, told: str) -> None:
    with pytest.raises(ManifestError) as caught:
        manifest_in(tmp_path, TEXT.replace(old, new))
    assert told in caught.value.en
