"""Own keys as they are at the moment, for everything that signs, opens, serves and calls.

Owns: making key objects of what the slots hold, and telling whoever shows the TLS certificate when it is another one.
Refuses: deciding which key is current (`certs.rotation`). Readers get a whole set or the next one, never half of each.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import grpc
import structlog
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from certs.chain import certificate_identity
from certs.errors import CertsError, SlotError, SlotHeldError, TokenAwayError
from certs.grpc_credentials import channel_credentials
from certs.keys import PrivateKey, raw_public_key, read_passphrase
from certs.pkcs11 import open_token
from certs.slot_files import require_complete
from certs.slot_journal import Generation
from certs.slots import KeySlots, opening_keys
from certs.yielding import yielding
from gateway.config import GatewaySettings
from gateway.errors import ConfigError, StoreError
from gateway.exchange.keys import DecryptionKey, OwnKeys, SigningKey, key_id
from gateway.exchange.suites import SUITE_1, Sign

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True, repr=False)
class TlsIdentity:
    """What this gateway proves itself with.

    Args:
        name: of the generation, e.g. "tls-3".
        key: private key.
        chain_pem: its certificate, then the issuing CA's.
    """

    name: str
    key: PrivateKey
    chain_pem: bytes


def open_slots(settings: GatewaySettings) -> KeySlots:
    """The folder of own keys, opened by this process alone.

    Raises:
        ConfigError: it, its passphrase or the hardware token cannot be used; retryable: another process has it still,
            or the token is away.
    """
    keys = settings.keys
    try:
        passphrase = None if keys.passphrase_file is None else read_passphrase(keys.passphrase_file)
        token = None
        if keys.pkcs11 is not None:
            pin = functools.partial(read_passphrase, keys.pkcs11.pin_file)
            token = open_token(keys.pkcs11.module, keys.pkcs11.token, pin(), pin)
        return KeySlots.open(settings.keys_folder, passphrase=passphrase, token=token)
    except CertsError as error:
        later = isinstance(error, SlotHeldError | TokenAwayError)
        raise ConfigError(error.en, error.zh, field="keys", retryable=later) from error


class LiveKeys:
    """Own keys, read from the slots once and again whenever they change.

    Args:
        member_id: whose they are.
        slots: where they are kept.
        roots_pem: the federation root.
    """

    def __init__(self, member_id: str, slots: KeySlots, roots_pem: bytes) -> None:
        self._member_id = member_id
        self._slots = slots
        self._roots_pem = roots_pem
        self._opening: dict[str, DecryptionKey] = {}
        self._own: OwnKeys | None = None
        self._tls: TlsIdentity | None = None
        self._shown = ""
        """Name of the TLS identity that every follower took last."""
        self._credentials: grpc.ChannelCredentials | None = None
        self._followers: list[Callable[[TlsIdentity], Awaitable[None]]] = []
        self.unsigned: CertsError | None = None
        """Why the last message could not be signed, for whoever runs this gateway; None: it was."""

    def follow(self, changed: Callable[[TlsIdentity], Awaitable[None]]) -> None:
        """Have this called with every other TLS identity, before the change counts as made."""
        self._followers.append(changed)

    async def refresh(self) -> None:
        """Take what the slots hold now.

        Raises:
            CertsError: a key is missing or cannot be read; what was held before stays in use.
            Exception: what a follower failed with; all of them are told of the TLS identity again the next time.
        """
        own, tls, opening = await yielding(self._load)
        self._own, self._opening = own, opening
        before, self._tls = self._tls, tls
        if before is None or before.name != tls.name:
            self._credentials = channel_credentials(tls.key, tls.chain_pem, self._roots_pem)
        if self._shown != tls.name:
            if before is not None:
                await asyncio.gather(*(follower(tls) for follower in self._followers))
            self._shown = tls.name

    def own(self) -> OwnKeys:
        """For messages: the key to sign with now, and every key that opens."""
        if self._own is None:
            raise StoreError("own keys were not read yet", "尚未读取本方密钥")
        return self._own

    def tls(self) -> TlsIdentity:
        """For TLS, in both directions."""
        if self._tls is None:
            raise StoreError("own keys were not read yet", "尚未读取本方密钥")
        return self._tls

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """For new channels to other gateways."""
        if self._credentials is None:
            raise StoreError("own keys were not read yet", "尚未读取本方密钥")
        return self._credentials

    def _load(self) -> tuple[OwnKeys, TlsIdentity, dict[str, DecryptionKey]]:
        journal = self._slots.journal
        require_complete(journal, self._slots.folder)
        held = {kind: journal.current(kind) for kind in ("tls", "signing")}
        tls, signing = held["tls"], held["signing"]
        if tls is None or signing is None:
            raise AssertionError("unreachable: the journal is complete")
        opening = {
            each.name: self._opening.get(each.name) or _decryption(each, seed)
            for each, seed in opening_keys(self._slots)
        }
        own = OwnKeys.of(self._member_id, self._signing(signing), *opening.values())
        return own, self._identity(tls), opening

    def _identity(self, tls: Generation) -> TlsIdentity:
        key = self._slots.private_key(tls)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise _wrong(tls)
        if self._tls is not None and self._tls.name == tls.name and self._tls.key is key:
            return self._tls
        chain = self._slots.chain(tls)
        whose = certificate_identity(chain).member_id
        if whose != self._member_id:
            raise SlotError(
                f"the keys in {self._slots.folder} are of {whose}; member_id in gateway.toml is {self._member_id}",
                f"{self._slots.folder} 中的密钥属于 {whose}，而 gateway.toml 的 member_id 为 {self._member_id}",
            )
        return TlsIdentity(tls.name, key, chain)

    def _signing(self, generation: Generation) -> SigningKey:
        if self._own is not None and self._own.signing.key_id == generation.key_id:
            return self._own.signing
        key = self._slots.private_key(generation)
        if not isinstance(key, Ed25519PrivateKey):
            raise _wrong(generation)
        public_raw = raw_public_key(key.public_key())
        return SigningKey(SUITE_1, self._watched(key.sign), public_raw, key_id(public_raw))

    def _watched(self, sign: Sign) -> Sign:
        """The same operation; a token that fails is told to whoever runs this gateway, and to nobody else."""

        def signed(data: bytes) -> bytes:
            try:
                signature = sign(data)
            except CertsError as error:
                if self.unsigned is None:
                    _log.error("nothing can be signed", reason=error.en)
                self.unsigned = error
                raise StoreError(
                    "a gateway on the way cannot sign its messages at the moment; it was logged there. Ask again later",
                    "途经的网关暂时无法对报文签名，已记录日志，请稍后重试",
                ) from error
            if self.unsigned is not None:
                self.unsigned = None
                _log.info("signed again")
            return signature

        return signed


def _decryption(generation: Generation, seed: bytes) -> DecryptionKey:
    return DecryptionKey.from_seed(seed, not_before_ms=generation.not_before_ms, not_after_ms=generation.not_after_ms)


def _wrong(generation: Generation) -> SlotError:
    return SlotError(f"{generation.name} holds a key of another kind", f"{generation.name} 的密钥类型不符")
