"""What a department may do to its own adapter over the network: propose a version, suspend, resume, withdraw.

Owns: the bounds of it, and writing it down with a record in the audit trail. Refuses: manifests that name anything of
this host (files, databases, variables, keys: no kind but `remote`, and that with the gateway's own certificate only),
adapters other than the caller's own, and bringing anything into use: that is a signed act of an administrator.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Final

from adapters.errors import ManifestError
from adapters.manifest import Manifest, RemoteManifest, manifest_of
from adapters.manifest.document import MAX_BYTES
from certs.identity import Identity
from gateway.access.adapters import DEPARTMENT, LIVE, MAX_REASON, OVER_THE_NETWORK, PROPOSED, REMOVED, Version
from gateway.access.words import REGISTERED, RESUMED_BY_DEPARTMENT, SUSPENDED_BY_DEPARTMENT, WITHDRAWN, WORDS
from gateway.clock import Clock
from gateway.errors import AccessError, RefusedError
from gateway.inquiry.enlisting import Enlisting
from gateway.store.adapters import Adapters, Document, Said, Word
from gateway.store.audit import AuditEvent
from wugan.federation.v1 import vocabulary_pb2 as words

MAX_WORDS: Final = 20_000
"""What a department may say of one adapter in all; then an administrator looks into it."""


class Applying:
    """See the module.

    Args:
        enlisting: knows the versions there are, and takes up what was said.
        store: where it is kept.
        clock: dates it.
    """

    def __init__(self, enlisting: Enlisting, store: Adapters, clock: Clock) -> None:
        self._enlisting = enlisting
        self._store = store
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()

    async def register(self, peer: Identity, text: bytes, reason: str) -> Version:
        """Propose a version; what is registered already stays as it is.

        Raises:
            RefusedError: the manifest is wrong, or may not be registered so; `field` names the setting.
            AccessError: it is another's adapter.
        """
        _reasoned(reason)
        manifest = await asyncio.to_thread(read_own, text, peer)
        digest = hashlib.sha256(text).digest()
        if self._enlisting.is_fixed(peer.name):
            raise _wrong(
                "manifest.adapter_id",
                "an adapter of this name is in the gateway's configuration; its administrator takes it out first",
                "网关配置文件中已有同名接入，请先由管理员移除",
            )
        async with self._one_at_a_time:
            known = await self.versions(peer)
            for version in known:
                if version.digest == digest and version.state == REMOVED:
                    raise _wrong(
                        "manifest.version",
                        "this version was removed; raise `version` and register it again",
                        "该版本已被移除，请提高 version 后重新登记",
                    )
            document = Document(manifest.adapter_id, text, self._clock.now_ms())
            for version in known:
                if version.digest == digest:
                    await self._store.keep(document)
                    return version
            # One that waited is replaced, unless it is about to be approved: then its act brings the digest with it.
            waiting = [each.digest for each in known if each.state == PROPOSED and not each.number]
            await self._say(peer, digest, REGISTERED, reason, document, waiting)
            return next(each for each in await self.versions(peer) if each.digest == digest)

    async def suspend(self, peer: Identity, reason: str) -> None:
        """Have the adapter not asked.

        Raises:
            RefusedError: no reason, or nothing of it is registered.
        """
        await self._about_all(peer, SUSPENDED_BY_DEPARTMENT, reason)

    async def resume(self, peer: Identity, reason: str) -> None:
        """End that.

        Raises:
            RefusedError: no reason, or nothing of it is registered.
        """
        await self._about_all(peer, RESUMED_BY_DEPARTMENT, reason)

    async def withdraw(self, peer: Identity, digest: bytes, reason: str) -> None:
        """Take a version back for ever.

        Raises:
            RefusedError: there is no such version of it.
        """
        _reasoned(reason)
        async with self._one_at_a_time:
            if all(each.digest != digest or each.state == REMOVED for each in await self.versions(peer)):
                raise _wrong("digest", "no such version is registered", "未登记该版本")
            await self._say(peer, digest, WITHDRAWN, reason)

    async def versions(self, peer: Identity) -> list[Version]:
        """The versions of the caller's own adapter, as they are now."""
        await self._enlisting.look()
        return [each for each in self._enlisting.versions if each.adapter == peer.name and each.origin == DEPARTMENT]

    def require_live(self, peer: Identity) -> None:
        """Return when the caller's adapter is in use.

        Raises:
            AccessError: no version of it is live.
        """
        versions = self._enlisting.versions
        if all(each.adapter != peer.name or each.state != LIVE for each in versions):
            raise AccessError(
                "no version of this adapter is live; nobody is told of what it says",
                "该接入尚无已启用的版本，暂不接收变更",
                reason=words.REFUSAL_REASON_NOT_SERVED,
            )

    async def _about_all(self, peer: Identity, word: int, reason: str) -> None:
        _reasoned(reason)
        async with self._one_at_a_time:
            if all(each.state == REMOVED for each in await self.versions(peer)):
                raise _wrong("", "nothing of this adapter is registered", "该接入尚未登记")
            await self._say(peer, b"", word, reason)

    async def _say(
        self,
        peer: Identity,
        digest: bytes,
        word: int,
        reason: str,
        document: Document | None = None,
        drop: list[bytes] | None = None,
    ) -> None:
        if self._enlisting.said_by(peer.name) >= MAX_WORDS:
            raise RefusedError(
                "this adapter was registered and suspended very often; ask the gateway's administrator",
                "该接入的登记与暂停次数过多，请联系网关管理员",
                reason=words.REFUSAL_REASON_QUOTA_EXCEEDED,
            )
        at_ms = self._clock.now_ms()
        event = AuditEvent(
            at_ms=at_ms,
            direction="act",
            counterpart=peer.member_id,
            unit=f"department/{peer.name}",
            official=b"",
            purpose=0,
            legal_basis="",
            case_reference=f"adapter {peer.name}",
            message_id=b"",
            digest=digest,
            subjects=0,
            outcome=0,
            decision=f"adapter.{WORDS[word]} by the department; version {digest.hex()[:16] or '-'}",
        )
        await self._store.say(
            Said(Word(0, peer.name, digest, word, at_ms, peer.uri, reason), event, document, drop or ())
        )
        await self._enlisting.look()


def read_own(text: bytes, peer: Identity) -> Manifest:
    """The manifest that a department sends of its own adapter.

    Raises:
        RefusedError: it is wrong, or names what it may not.
        AccessError: it is another's.
    """
    if len(text) > MAX_BYTES:
        raise _wrong("manifest", f"at most {MAX_BYTES} bytes", f"不得超过 {MAX_BYTES} 字节")
    try:
        manifest = manifest_of(text, "manifest")
    except ManifestError as error:
        raise RefusedError(
            error.en, error.zh, reason=words.REFUSAL_REASON_INVALID_ARGUMENT, field=f"manifest.{error.setting}"
        ) from error
    if manifest.adapter_id != peer.name:
        raise AccessError(
            f"the certificate is of the adapter {peer.name}; register that one",
            f"证书属于接入标识 {peer.name}，只能登记该接入",
            reason=words.REFUSAL_REASON_PEER_MISMATCH,
            field="manifest.adapter_id",
        )
    problem = unfit(manifest, peer.tls_name)
    if problem is not None:
        raise _wrong(*problem)
    return manifest


def unfit(manifest: Manifest, tls_name: str = "") -> tuple[str, str, str] | None:
    """Why a manifest may not come over the network: the setting, and the words; None: it may."""
    if manifest.kind not in OVER_THE_NETWORK or not isinstance(manifest, RemoteManifest):
        return (
            "manifest.kind",
            f"a manifest of kind {manifest.kind} reads the gateway's host; an administrator registers it there. Over "
            "the network: kind remote (`wugan adapter remote` writes it)",
            f"类型为 {manifest.kind} 的清单会读取网关主机，须由管理员在网关主机登记；经网络只能登记 remote 类型"
            "（可用 `wugan adapter remote` 生成）",
        )
    source = manifest.source
    if source.client_certificate is not None or source.ca is not None:
        return (
            "manifest.source",
            "leave client_certificate and ca out: they are files of the gateway's host",
            "请勿填写 client_certificate 与 ca：它们是网关主机上的文件",
        )
    if tls_name and source.tls_name != tls_name:
        return (
            "manifest.source.tls_name",
            f"is the name of the department's own certificate: {tls_name}",
            f"应为本部门证书中的名称：{tls_name}",
        )
    return None


def _reasoned(reason: str) -> None:
    if not reason.strip() or len(reason) > MAX_REASON or not reason.isprintable():
        raise _wrong("reason", f"say why, in {MAX_REASON} characters", f"请说明理由（{MAX_REASON} 字内）")


def _wrong(field: str, en: str, zh: str) -> RefusedError:
    return RefusedError(
        f"{field}: {en}" if field else en,
        f"{field}：{zh}" if field else zh,
        reason=words.REFUSAL_REASON_INVALID_ARGUMENT,
        field=field,
    )
