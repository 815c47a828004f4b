"""Changes to notices, exactly once: from dropped files that correct each other, from pushes, across restarts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from adapters.build import build
from adapters.manifest import manifest_of
from gateway.errors import RefusedError, StoreError
from tests.unit.notices.notices_world import ANNA, Feed, World, death, findings_of, world
from tests.unit.services.gateways_world import BO, NAMES, NOW_MS
from wugan.federation.v1 import vocabulary_pb2 as words

DECEASED, UNKNOWN = words.SURVIVAL_STATUS_DECEASED, words.SURVIVAL_STATUS_UNKNOWN
MANIFEST = """\
manifest: 1
adapter_id: burials
version: "1"
department: CIVIL_AFFAIRS
regions: [340000]
kind: file
source: {folder: drop, settle_s: 0, scan_every_s: 0}
identity: {column: id, name: name}
records:
  - name: cremations
    files: {pattern: "hz_*.csv", mode: MODE}
    evidence: CREMATION
    observed_on: {column: on, formats: ["%Y%m%d"]}
    strength: REAL_NAME
    source_reference: no
    only: {column: state, except_values: [void]}
    changes: true
"""


class Drop:
    """A department that drops files; what reads them is made anew after each restart, as in a gateway."""

    def __init__(self, folder: Path, mode: str) -> None:
        self.folder = folder
        self.mode = mode
        self.files = 0
        self.now_ms = NOW_MS * 2  # files of today have rested for long
        (folder / "drop").mkdir(exist_ok=True)

    def adapter(self) -> Any:
        text = MANIFEST.replace("MODE", self.mode).encode()
        return build(manifest_of(text, str(self.folder / "m.yaml")), self.folder / "state", self.clock)

    def clock(self) -> int:
        self.now_ms += 1
        return self.now_ms

    def file(self, *lines: Sequence[str]) -> None:
        """A further file: person, day, number of the record, and "void" where it is taken back."""
        self.files += 1
        path = self.folder / "drop" / f"hz_{self.files:03}.csv"
        rows = [",".join((person, NAMES[person], day, no, state)) for person, day, no, state in lines]
        path.write_text("\n".join(["id,name,on,no,state", *rows]) + "\n", "utf-8")


async def settled(w: World) -> None:
    """Everything that there is to tell was told."""
    await w.settle()
    await w.looked_again()


@pytest.mark.parametrize("mode", ["snapshot", "increment, key: [no]"])
async def test_a_file_that_corrects_an_earlier_one_leads_to_a_correcting_notice(tmp_path: Path, mode: str) -> None:
    drop = Drop(tmp_path, mode)
    drop.file((BO, "20260105", "9", ""))
    adapter = drop.adapter()
    try:
        async with world(tmp_path, adapter) as w:
            await w.subscribe(ANNA)
            drop.file((BO, "20260105", "9", ""), (ANNA, "20260520", "1", ""))
            await settled(w)
            assert await w.statuses() == [DECEASED]
        async with world(tmp_path, adapter) as w:  # between the two files the gateway was started again
            drop.file((BO, "20260105", "9", ""), (ANNA, "20260520", "1", "void"))
            await settled(w)
            first, second = await w.told()
            assert first.kept.retracted
            assert second.kept.retracts_from == 1
            assert findings_of(second).status[0] == UNKNOWN
        async with world(tmp_path, adapter) as w:  # the same once more is no news
            drop.file((BO, "20260105", "9", ""), (ANNA, "20260520", "1", "void"))
            await settled(w)
            assert len(await w.told()) == 2
    finally:
        await adapter.close()


async def test_a_corrected_day_takes_the_earlier_notice_back(tmp_path: Path) -> None:
    drop = Drop(tmp_path, "increment, key: [no]")
    adapter = drop.adapter()
    drop.file((BO, "20260105", "9", ""))
    try:
        async with world(tmp_path, adapter) as w:
            await w.subscribe(ANNA)
            drop.file((ANNA, "20260520", "1", ""))
            await settled(w)
            drop.file((ANNA, "20260510", "1", ""))
            await settled(w)
            first, second = await w.told()
            assert first.kept.retracted
            assert second.kept.retracts_from == 1
            assert findings_of(second).decided_on[0] < findings_of(first).decided_on[0]
    finally:
        await adapter.close()


# pushed


async def test_what_a_department_pushes_is_told_once_however_often_it_is_pushed(tmp_path: Path) -> None:
    civil = Feed({ANNA: []})
    async with world(tmp_path, civil) as w:
        await w.subscribe(ANNA)
        civil.people[ANNA] = [death()]  # its own changes say nothing of it
        for _ in range(3):
            await w.following.pushed("civil-affairs", [ANNA, BO], [NAMES[ANNA], NAMES[BO]])
        await settled(w)
        await w.following.pushed("civil-affairs", [ANNA], [""])
        await settled(w)
        assert await w.statuses() == [DECEASED]
        civil.record(ANNA, death())  # and told by its changes, too
        await settled(w)
        assert await w.statuses() == [DECEASED]


async def test_a_push_is_on_the_disk_when_it_is_answered(tmp_path: Path) -> None:
    civil = Feed({ANNA: []})
    async with world(tmp_path, civil) as w:
        await w.subscribe(ANNA)
        civil.people[ANNA] = [death()]
        place = await w.b.store.changes.cursor(civil.about.adapter_id)
        await w.following.pushed(civil.about.adapter_id, [ANNA], [NAMES[ANNA]])
        assert await w.b.store.changes.cursor(civil.about.adapter_id) == place, "its place in the changes stays"
    async with world(tmp_path, civil) as w:
        await settled(w)
        assert await w.statuses() == [DECEASED]


async def test_a_department_pushes_once_at_a_time(tmp_path: Path) -> None:
    civil = Feed({ANNA: []})
    async with world(tmp_path, civil) as w:
        await w.subscribe(ANNA)
        pushes = [w.following.pushed("civil-affairs", [ANNA], [""]) for _ in range(2)]
        first, second = await asyncio.gather(*pushes, return_exceptions=True)
        assert first is None
        assert isinstance(second, RefusedError)
        assert second.retryable
        await w.following.pushed("civil-affairs", [ANNA], [""])


async def test_of_people_nobody_subscribed_for_a_push_leaves_nothing(tmp_path: Path) -> None:
    civil = Feed({ANNA: [], BO: []})
    async with world(tmp_path, civil) as w:
        await w.subscribe(ANNA)
        await w.following.pushed("civil-affairs", [BO, "no number"], [NAMES[BO], ""])
        assert await w.b.store.changes.waiting() == (0, 0)


# stopped anywhere


def cut_after(store: Any, commits: int) -> None:
    """End the process before a commit that comes so many after this one; what was committed before stays."""
    left = commits
    submit = store._writer.submit

    def counted(kind: Any, payload: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise StoreError("cut", "断电", retryable=False)
        return submit(kind, payload)

    store._writer.submit = counted


@pytest.mark.parametrize("cuts", [[0, 1], [2]])
async def test_wherever_it_is_cut_each_change_is_told_exactly_once(tmp_path: Path, cuts: list[int]) -> None:
    folder = tmp_path
    civil = Feed({ANNA: [], BO: []})
    async with world(folder, civil) as w:
        await w.subscribe(ANNA, BO)
    civil.record(ANNA, death())
    civil.record(BO, death())
    for cut in cuts:
        async with world(folder, civil) as w:
            cut_after(w.b.store, cut)
            try:
                await w.look()
                while await w.noticing.once():
                    pass
            except StoreError:
                pass
            finally:
                del cast("Any", w.b.store._writer).submit  # so that the site can be closed
    async with world(folder, civil) as w:
        await settled(w)
        told = await w.told()
        assert sorted(each.id_number for each in told) == sorted([ANNA, BO])
        assert {each.kept.sequence for each in told} == {1}
