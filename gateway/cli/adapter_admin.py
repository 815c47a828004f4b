"""`wugan adapter register|approve|promote|suspend|resume|remove` on the gateway's own host: signed acts.

Owns: these commands as administrators use them, on the gateway's store beside the running gateway. Refuses: bringing
into use what nobody else approved, and reaching the department's data: `wugan adapter check` does that.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from certs.system_words import cause
from gateway.access import adapters as states
from gateway.access import people as roles
from gateway.cli import EXIT_REFUSED, EXIT_USAGE
from gateway.cli.access_common import WHY, Actor, Opened, enact, fail, run, signed, tell
from gateway.cli.adapter_common import ADAPTER, DIGEST, Registered, chosen, only, registered
from gateway.cli.language import say

if TYPE_CHECKING:
    from adapters.manifest import Manifest
    from gateway.access.adapters import Version


LOOKED_AT = 16
"""Characters of a digest by which somebody says which version of a department they looked at."""


@click.command(
    help=say(
        "Register MANIFEST: propose it to whoever approves. It is kept byte for byte; change a letter, and it is "
        "another version.",
        "登记 MANIFEST：提交待批准。清单按字节留存，改动一个字即为新版本。",
    )
)
@click.argument("manifest", type=click.Path(dir_okay=False, path_type=Path))
@WHY
@signed
def register(config_file: Path, json_out: bool, actor: Actor, manifest: Path, why: str) -> None:
    """Register on this host."""
    from gateway.clock import SystemClock
    from gateway.store.adapters import Document

    loaded, text = read_manifest(manifest)
    folder = str(manifest.resolve().parent)

    async def work(at: Opened) -> bytes:
        if loaded.adapter_id in _configured(at):
            raise fail(
                f"gateway.toml names an adapter {loaded.adapter_id} already; take it out of inquiry.adapters first",
                f"gateway.toml 已配置接入标识 {loaded.adapter_id}，请先从 inquiry.adapters 中移除",
                EXIT_REFUSED,
            )
        document = Document(loaded.adapter_id, text, SystemClock().now_ms())
        body = {
            "adapter": loaded.adapter_id,
            "digest": document.digest.hex(),
            "version": loaded.version,
            "kind": loaded.kind,
            "origin": states.HOST,
            "folder": folder,
            "why": why,
        }
        await at.store.adapters.keep(document)
        await enact(at, actor, roles.PROPOSE_ADAPTER, body)
        return document.digest

    digest = run(config_file, work).hex()
    tell(
        json_out,
        {"adapter": loaded.adapter_id, "version": loaded.version, "digest": digest, "state": states.PROPOSED},
        f"{loaded.adapter_id} {loaded.version} ({digest[:8]}) is proposed; another person approves it with "
        f"`wugan adapter approve {loaded.adapter_id}`",
        f"{loaded.adapter_id} {loaded.version}（{digest[:8]}）已提交，须由另一人执行 "
        f"`wugan adapter approve {loaded.adapter_id}` 批准",
    )


@click.command(
    help=say(
        "Approve the proposed version of ADAPTER. It is then asked beside the live ones, and counts for nothing yet.",
        "批准 ADAPTER 的待批准版本。此后进入试运行：与在用来源并行查询，结果不参与核验。",
    )
)
@ADAPTER
@DIGEST
@WHY
@signed
def approve(
    config_file: Path,
    json_out: bool,
    actor: Actor,
    adapter: str,
    digest: str,
    why: str,
) -> None:
    """Approve."""

    async def work(at: Opened) -> Version:
        known = await registered(at)
        version = only(chosen(known.versions, adapter, digest, [states.PROPOSED]))
        body = _named(version, why)
        if version.origin == states.DEPARTMENT:
            if len(digest) < LOOKED_AT:
                # The department may replace what it proposed: what is approved is what was looked at.
                raise fail(
                    f"a department proposed it; look at it with `wugan adapter show {adapter} --manifest`, and say "
                    f"which version you approve: --digest {version.digest.hex()[:LOOKED_AT]}",
                    f"该版本由部门提交，请先用 `wugan adapter show {adapter} --manifest` 核对，再注明所批准的版本："
                    f"--digest {version.digest.hex()[:LOOKED_AT]}",
                    EXIT_USAGE,
                )
            described = await _document(at, version)
            body |= {"version": described.version, "kind": described.kind, "folder": ""}
            body["origin"] = states.DEPARTMENT
        await enact(at, actor, roles.APPROVE_ADAPTER, body)
        return await _again(at, version)

    version = run(config_file, work)
    tell(
        json_out,
        _told([version]),
        f"{version.name} is approved and in shadow: asked beside, counting for nothing. See how it does with "
        f"`wugan adapter show {adapter}`, then `wugan adapter promote {adapter}`",
        f"{version.name} 已批准，进入试运行。请用 `wugan adapter show {adapter}` 查看表现，再执行 "
        f"`wugan adapter promote {adapter}`",
    )


@click.command(
    help=say(
        "Make the shadow version of ADAPTER live; the version that was live is removed.",
        "将 ADAPTER 的试运行版本正式启用；原启用版本随即移除。",
    )
)
@ADAPTER
@DIGEST
@click.option(
    "--untried",
    is_flag=True,
    help=say("also one that has answered no question yet", "即使试运行期间尚未答复任何查询"),
)
@WHY
@signed
def promote(
    config_file: Path,
    json_out: bool,
    actor: Actor,
    adapter: str,
    digest: str,
    untried: bool,
    why: str,
) -> None:
    """Promote."""

    async def work(at: Opened) -> Version:
        known = await registered(at)
        version = only(chosen(known.versions, adapter, digest, [states.SHADOW]))
        if not untried:
            _require_tried(known, version)
        await enact(at, actor, roles.PROMOTE_ADAPTER, _named(version, why))
        return await _again(at, version)

    version = run(config_file, work)
    tell(json_out, _told([version]), f"{version.name} is live", f"{version.name} 已正式启用")


@click.command(
    help=say(
        "Suspend ADAPTER at once: it is not asked until somebody resumes it. Questions under way end as they began.",
        "立即暂停 ADAPTER：恢复前不再查询；进行中的查询不受影响。",
    )
)
@ADAPTER
@DIGEST
@WHY
@signed
def suspend(
    config_file: Path,
    json_out: bool,
    actor: Actor,
    adapter: str,
    digest: str,
    why: str,
) -> None:
    """Suspend."""
    wanted = [states.SHADOW, states.LIVE]
    done = _each(config_file, actor, roles.SUSPEND_ADAPTER, (adapter, digest, wanted), why)
    tell(json_out, _told(done), f"{adapter} is suspended", f"{adapter} 已暂停")


@click.command(help=say("Resume ADAPTER, where it was suspended.", "恢复已暂停的 ADAPTER，回到暂停前的状态。"))
@ADAPTER
@DIGEST
@WHY
@signed
def resume(
    config_file: Path,
    json_out: bool,
    actor: Actor,
    adapter: str,
    digest: str,
    why: str,
) -> None:
    """Resume."""
    wanted = [states.SUSPENDED]
    done = _each(config_file, actor, roles.RESUME_ADAPTER, (adapter, digest, wanted), why)
    held = [each for each in done if each.state == states.SUSPENDED]
    if held:
        tell(
            json_out,
            _told(done),
            f"{adapter} is resumed here, but its department suspended it, too: it is asked once that resumes it",
            f"{adapter} 在本方已恢复，但部门自身仍处于暂停状态，待部门恢复后方可查询",
        )
        return
    tell(json_out, _told(done), f"{adapter} is resumed", f"{adapter} 已恢复")


@click.command(help=say("Remove ADAPTER, or one version of it, for ever.", "移除 ADAPTER（或其某一版本），不可恢复。"))
@ADAPTER
@DIGEST
@click.option(
    "--for-good",
    is_flag=True,
    help=say(
        "its department does not come back, under no other name either: what it told subscribers may be taken back "
        "when the others find less. Never where it is to be replaced",
        "该部门不再接入（亦不以其他标识接入）：其他部门查无相应记录时，可撤回此前据其发出的通知。拟更换接入时切勿使用",
    ),
)
@WHY
@signed
def remove(
    config_file: Path,
    json_out: bool,
    actor: Actor,
    adapter: str,
    digest: str,
    for_good: bool,
    why: str,
) -> None:
    """Remove."""
    wanted = [states.PROPOSED, states.SHADOW, states.LIVE, states.SUSPENDED]
    if not for_good:
        done = _each(config_file, actor, roles.REMOVE_ADAPTER, (adapter, digest, wanted), why)
        tell(json_out, _told(done), f"{adapter} is removed", f"{adapter} 已移除")
        return
    # What its department withdrew is removed by its word alone: an administrator's act is still to come.
    which = adapter, digest, [*wanted, states.REMOVED]
    done = _each(config_file, actor, roles.REMOVE_ADAPTER, which, why, for_good=True)
    tell(
        json_out,
        _told(done),
        f"{adapter} is removed for good. Unless its department has another adapter, registered or in gateway.toml, "
        "what it told subscribers does not hold back any more what the others find",
        f"{adapter} 已永久移除。除非该部门另有接入（已登记或在 gateway.toml 中），"
        "此前据其发出的通知不再阻止按其他部门的结果更正",
    )


def _each(
    config_file: Path, actor: Actor, act: str, which: tuple[str, str, Sequence[str]], why: str, **more: bool
) -> list[Version]:
    """The same act on every version that is meant; `more`: what else it says."""

    async def work(at: Opened) -> list[Version]:
        ledger = at.administration.ledger
        found = chosen((await registered(at)).versions, *which)
        # What only a department said of a version is not undone by an act: on that record there may be nothing to do.
        able = [each for each in found if _able(ledger.adapters.find(each.adapter, each.digest), act)]
        if not able and more:
            raise fail(
                f"{found[0].adapter} was removed already; register its manifest with a higher version, and remove "
                "that --for-good",
                f"{found[0].adapter} 此前已移除；请提高清单的 version 重新登记，再以 --for-good 移除该版本",
                EXIT_REFUSED,
            )
        if not able:
            raise fail(
                f"that is the department's to undo: {found[0].changed_by} did it; {found[0].why}",
                f"须由部门自行处理：由 {found[0].changed_by} 操作，理由：{found[0].why}",
                EXIT_REFUSED,
            )
        for version in able:
            await enact(at, actor, act, {**_named(version, why), **more})
        return [await _again(at, version) for version in able]

    return run(config_file, work)


def _able(version: Version | None, act: str) -> bool:
    return version is not None and (version.state, act) in states.STEPS


def _named(version: Version, why: str) -> dict[str, Any]:
    return {"adapter": version.adapter, "digest": version.digest.hex(), "why": why}


async def _again(at: Opened, version: Version) -> Version:
    """The version as it is now."""
    known = await registered(at)
    return next(each for each in known.versions if (each.adapter, each.digest) == (version.adapter, version.digest))


async def _document(at: Opened, version: Version) -> Manifest:
    from adapters.errors import ManifestError
    from adapters.manifest import manifest_of
    from gateway.inquiry.applying import unfit

    text = await at.store.adapters.document(version.digest)
    try:
        manifest = manifest_of(text or b"", version.adapter)
    except ManifestError as error:
        raise fail(error.en, error.zh, EXIT_REFUSED) from None
    problem = unfit(manifest)
    if problem is not None or manifest.adapter_id != version.adapter:
        _, en, zh = problem or ("", "it is another adapter's", "并非该接入的清单")
        raise fail(
            f"this manifest may not be registered over the network: {en}", f"该清单不得经网络登记：{zh}", EXIT_REFUSED
        )
    return manifest


def _require_tried(known: Registered, version: Version) -> None:
    standing = known.standing(version)
    if standing is not None and standing.fault_en:
        raise fail(
            f"{version.name} is not in use: {standing.fault_en}",
            f"{version.name} 未能启用：{standing.fault_zh}",
            EXIT_REFUSED,
        )
    if standing is None or not standing.tally.answered:
        raise fail(
            f"{version.name} has answered no question yet; wait for its trial, or promote it with --untried",
            f"{version.name} 试运行期间尚未答复任何查询；请等待，或加 --untried",
            EXIT_REFUSED,
        )


def _configured(at: Opened) -> set[str]:
    """Names of the adapters of the configuration, as far as their manifests can be read."""
    from adapters.manifest import load_manifest_fully

    loaded = (load_manifest_fully(path)[0] for path in at.settings.inquiry.adapters)
    return {manifest.adapter_id for manifest in loaded if manifest is not None}


def read_manifest(path: Path) -> tuple[Manifest, bytes]:
    """A manifest that is sound, and its bytes.

    Raises:
        SystemExit: it is not; every error was told.
    """
    from adapters.errors import ManifestError
    from adapters.manifest import parse_manifest
    from adapters.manifest.document import MAX_BYTES, Document

    try:
        with path.open("rb") as stream:
            text = stream.read(MAX_BYTES + 1)
        loaded, errors, _ = parse_manifest(Document.parse(text, str(path)))
    except OSError as error:
        raise fail(
            f"{path}: cannot be read ({cause(error).en})", f"{path}：无法读取（{cause(error).zh}）", EXIT_USAGE
        ) from None
    except ManifestError as error:
        loaded, errors = None, [error]
    if loaded is None:
        for each in errors:
            fail(each.en, each.zh, EXIT_USAGE)
        raise SystemExit(EXIT_USAGE)
    return loaded, text


def _told(versions: Sequence[Version]) -> dict[str, Any]:
    return {
        "versions": [
            {
                "adapter": each.adapter,
                "version": each.version,
                "digest": each.digest.hex(),
                "state": each.state,
            }
            for each in versions
        ]
    }


COMMANDS = (register, approve, promote, suspend, resume, remove)
