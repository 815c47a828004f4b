"""`wugan adapter`: prove a department's manifest before the gateway serves it; and what becomes of it then.

The other commands of the group are in adapter_new.py, adapter_admin.py and adapter_show.py. Owns: telling what is wrong
with a manifest or its source, and showing what becomes of one row, masked. Refuses: showing a whole number or name on a
screen.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli import (
    EXIT_FAULTY,
    EXIT_UNREACHABLE,
    EXIT_USAGE,
    adapter_admin,
    adapter_conform,
    adapter_serve,
    adapter_show,
)
from gateway.cli.adapter_new import new
from gateway.cli.adapter_new_from import with_samples
from gateway.cli.adapter_self import self_
from gateway.cli.language import say
from gateway.masking import masked_name, masked_number

if TYPE_CHECKING:
    from adapters.contract import Adapter, Found
    from adapters.errors import AdapterError
    from adapters.found_again import FoundAgain
    from adapters.kinds.common import Lying
    from adapters.manifest import Manifest

_MAX_ROWS_SHOWN = 20


@click.group(help=say("Departments' data: manifests, sources, registration.", "部门数据接入：清单、数据源与登记。"))
def adapter() -> None:
    """The group."""


adapter.add_command(adapter_conform.conform)


@adapter.command(
    help=say(
        "Check MANIFEST: is it sound, does it reach its source, do the fields map? Shows one row, masked. "
        "Exit codes: 0 all is well, 2 the manifest is wrong, 3 the source is not reached, 4 it answers nonsense, or "
        "holds numbers in a form that is not asked for.",
        "检查 MANIFEST：清单是否正确、能否连到数据源、字段能否映射，并显示一行脱敏样例。"
        "退出码：0 正常，2 清单有误，3 无法连接数据源，4 数据源应答有误，或其号码写法未被查询。",
    )
)
@click.argument("manifest", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--id", "numbers", multiple=True, help=say("number to try; repeatable", "试查的身份号码，可重复"))
@click.option("--json", "json_out", is_flag=True, help=say("print JSON", "输出 JSON"))
def check(manifest: Path, numbers: tuple[str, ...], json_out: bool) -> None:
    """Run the three steps and stop at the first that fails."""
    from adapters.manifest import load_manifest_fully
    from adapters.manifest.remote import RemoteManifest
    from gateway.log import configure

    configure("ERROR")  # what the kinds log would stand among what is printed
    report = _Report(json_out)
    loaded, errors, warnings = load_manifest_fully(manifest)
    report.problems("errors", errors)
    report.problems("warnings", warnings)
    if loaded is None:
        report.finish(EXIT_USAGE)
        return
    report.manifest(loaded)
    if isinstance(loaded, RemoteManifest) and loaded.source.client_certificate is None:
        report.not_from_here()
        report.finish(0)
        return
    report.finish(asyncio.run(_try(loaded, numbers, report)))


async def _try(manifest: Manifest, numbers: tuple[str, ...], report: _Report) -> int:
    """Build the adapter, reach its source, map a row; the exit code."""
    from adapters.build import build
    from adapters.errors import AdapterError, ManifestError, SourceDownError
    from adapters.kinds.common import Dropping, FindingAgain

    with tempfile.TemporaryDirectory(prefix="wugan-adapter-") as state:
        try:
            built = build(manifest, Path(state))
        except ManifestError as error:
            report.problems("errors", [error])
            return EXIT_USAGE
        try:
            try:
                await built.check()
            finally:
                if isinstance(built, Dropping):
                    report.files(*await built.lying())
            report.reached()
            if isinstance(built, FindingAgain) and not report.found_again(await built.found_again()):
                return EXIT_FAULTY
            found = await _sample(built, numbers, manifest.timeout_s)
            report.sample(found)
        except SourceDownError as error:
            report.problems("errors", [error])
            return EXIT_UNREACHABLE
        except AdapterError as error:
            report.problems("errors", [error])
            return EXIT_FAULTY
        finally:
            await built.close()
    return 0


async def _sample(built: Adapter, numbers: tuple[str, ...], seconds: float) -> Found | None:
    """What the source knows about the numbers given, or about one that it names itself; None when it names none."""
    from adapters.asked import normal
    from adapters.contract import Lookup, Subjects
    from adapters.kinds.common import Sampling

    wanted = [normal(number) for number in numbers]
    if not wanted and isinstance(built, Sampling):
        number = normal(await built.any_number())
        wanted = [number] if number else []
    if not wanted:
        return None
    return await built.lookup(Lookup(Subjects(wanted, [""] * len(wanted)), deadline_s=seconds))


def _day(day: int) -> str:
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat() if day else ""


adapter.add_command(adapter_serve.serve)
adapter.add_command(adapter_serve.remote)


class _Report:
    """What was found, told as it comes or, as JSON, at the end."""

    def __init__(self, json_out: bool) -> None:
        self._json = json_out
        self._told: dict[str, object] = {}

    def problems(self, kind: str, problems: Sequence[AdapterError]) -> None:
        """Errors or warnings."""
        listed = self._told.setdefault(kind, [])
        for problem in problems:
            if isinstance(listed, list):
                listed.append({"en": problem.en, "zh": problem.zh})
            self._say("✗" if kind == "errors" else "!", problem.en, problem.zh, err=kind == "errors")

    def manifest(self, manifest: Manifest) -> None:
        """The manifest is sound."""
        about = manifest.description()
        self._told["manifest"] = {
            "adapter_id": about.adapter_id,
            "version": about.version,
            "kind": manifest.kind,
            "regions": list(about.regions),
            "evidence": [_kind(item.kind) for item in about.items],
            "links": about.links,
            "changes": about.changes,
            "pushes": about.pushes,
        }
        kinds = ", ".join(_kind(item.kind) for item in about.items) or "-"
        name, count = about.adapter_id, len(manifest.records)
        self._say(
            "✓",
            f"manifest is sound: {name}, kind {manifest.kind}, {count} record sets, evidence: {kinds}",
            f"清单正确：{name}，类型 {manifest.kind}，{count} 个记录集，证据：{kinds}",
        )

        if about.changes or about.pushes:
            self._say("✓", "changes are followed: notices can begin here", "可跟踪变更，能够发起状态变更通知")
        else:
            self._say("!", "changes are not followed: no notice begins here", "未配置变更跟踪，此来源不会发起变更通知")

    def files(self, found: Sequence[Lying], others: int, waiting: int) -> None:
        """What lies where files are dropped."""
        self._told["files"] = [asdict(each) for each in found]
        self._told["files_not_named"], self._told["files_waiting"] = others, waiting
        for each in found:
            rejected = (f", {each.rejected} rejected", f"，拒收 {each.rejected} 个") if each.rejected else ("", "")
            self._say(
                "✓" if each.files and not each.rejected else "!",
                f"{each.records}: {each.files} files, {each.rows} rows, {each.bad} of them bad{rejected[0]}",
                f"{each.records}：文件 {each.files} 个，{each.rows} 行，其中有误 {each.bad} 行{rejected[1]}",
            )
            if each.bad_en:
                self._say("!", f"  {each.bad_en}", f"  {each.bad_zh}")
        if others:
            self._say("!", f"{others} files are named by no record set", f"有 {others} 个文件不属于任何记录集")
        if waiting:
            en = f"{waiting} files have not rested yet (settle_s); check again a little later"
            self._say("!", en, f"有 {waiting} 个文件尚未静置（settle_s），请稍后再检查")

    def not_from_here(self) -> None:
        """Only the gateway can call it."""
        self._told["reached"] = None
        self._say(
            "!",
            "not called from here: only the running gateway has the certificate to call with; it tells how the adapter "
            "does (wugan gateway health)",
            "此处未调用：仅运行中的网关持有调用所用证书，其状态见 wugan gateway health",
        )

    def reached(self) -> None:
        """The source answers in the shape of the manifest."""
        self._told["reached"] = True
        self._say("✓", "the source is reached and has what the manifest names", "数据源可达，且与清单所述结构一致")

    def found_again(self, samples: Sequence[FoundAgain]) -> bool:
        """Whether what stands there for numbers are such, and found when they are asked for; True: all are."""
        from adapters.found_again_words import told_of

        self._told["numbers"] = [asdict(each) for each in samples]
        wrong = [told_of(each) for each in samples]
        for each, errors in zip(samples, wrong, strict=True):
            if errors:
                self.problems("errors", errors)
            elif each.sampled:
                self._say(
                    "✓",
                    f"{each.records}: {each.sampled} of its numbers were asked for, and found again",
                    f"{each.records}：试查其中 {each.sampled} 个号码，均可查到",
                )
        return not any(wrong)

    def sample(self, found: Found | None) -> None:
        """What becomes of a row."""
        if found is None:
            self._say(
                "!",
                "no row to try the mapping on; give --id with a number it knows",
                "无样例可试，请用 --id 提供一个已知号码",
            )
            return
        holders = found.holders
        held = [
            {"subject": row, "id_number": masked_number(number), "name": masked_name(name)}
            for row, number, name in zip(
                holders.subject.tolist(), holders.held_id_number, holders.held_name, strict=True
            )
        ]
        rows = _evidence(found)
        self._told["sample"] = {
            "holders": held,
            "evidence": rows,
            "links": [masked_number(number) for number in found.links.id_number],
            "complete_until_on": _day(found.complete_until_on),
        }
        if not held:
            self._say(
                "!", "the source does not know the number; the mapping was not tried", "数据源查无此号码，未能验证映射"
            )
            return
        if self._json:
            return
        for person in held:
            self._say(
                "✓", f"knows {person['id_number']} {person['name']}", f"有此人：{person['id_number']} {person['name']}"
            )
        if not rows:
            self._say("!", "no evidence about this person", "此人没有证据")
            return
        for row in rows[:_MAX_ROWS_SHOWN]:
            click.echo("    " + "  ".join(f"{name}={value}" for name, value in row.items() if value))

    def finish(self, code: int) -> None:
        """Print the JSON if that is wanted, and end with the exit code."""
        if self._json:
            click.echo(json.dumps({**self._told, "exit_code": code}, ensure_ascii=False))
        raise SystemExit(code)

    def _say(self, mark: str, en: str, zh: str, *, err: bool = False) -> None:
        if not self._json:
            click.echo(f"{mark} {say(en, zh)}", err=err)


def _kind(number: int) -> str:
    from wugan.adapter.v1 import vocabulary_pb2 as words

    return words.EvidenceKind.Name(words.EvidenceKind.ValueType(number)).removeprefix("EVIDENCE_KIND_")


def _evidence(found: Found) -> list[dict[str, object]]:
    from wugan.adapter.v1 import vocabulary_pb2 as words

    evidence = found.evidence
    strengths = {int(number): name.removeprefix("STRENGTH_") for name, number in words.Strength.items()}
    return [
        {
            "kind": _kind(int(evidence.kind[i])),
            "observed_on": _day(int(evidence.observed_on[i])),
            "available_on": _day(int(evidence.available_on[i])),
            "region": int(evidence.region[i]),
            "strength": strengths.get(int(evidence.strength[i]), ""),
            "detail": int(evidence.detail[i]),
            "from_on": _day(int(evidence.from_on[i])),
            "until_on": _day(int(evidence.until_on[i])),
            "has_reference": bool(evidence.source_reference[i]),
        }
        for i in range(len(evidence))
    ]


for _command in (with_samples(new), self_, *adapter_admin.COMMANDS, *adapter_show.COMMANDS):
    adapter.add_command(_command)
