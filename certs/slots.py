"""A folder of own keys in slots, with a journal that makes every step survive a crash.

    keys/                 mode 0700
      journal.json        what there is and what is under way (`slot_journal`); replaced whole, before every side effect
      lock                held (flock) by the one process that changes anything here
      tls-3.key.pem       mode 0600, PKCS#8; an encryption key as a seed (`seed_armour`); encrypted under a passphrase
      tls-3.chain.pem     its certificate, then the issuing CA's

Owns: the files and the lock. Refuses: deciding which step is taken (`rotation_rules`, `slot_steps`), talking to anybody
(`rotation`), a folder or a key that others can reach, and two processes.

What leaves something behind is first written to the journal. So at any moment the folder holds what the journal says,
or more: what no living generation owns is removed when the folder is opened.

A private key in a hardware token is named by its label in the journal and never leaves the token (`Token`).
"""

from __future__ import annotations

import datetime as dt
import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from certs import keys, slot_steps
from certs.errors import CertsError, SlotError
from certs.files import PRIVATE, PUBLIC, read_public, write_file, write_files
from certs.private_files import of_another, open_to_others
from certs.requests import chain_pem
from certs.slot_files import JOURNAL, LOCK, read_journal, remove, shred, take
from certs.slot_journal import OPENING, Generation, Journal, Kind
from certs.system_words import cause

_OURS: Final = re.compile(r"(?:(?P<name>(?:tls|signing|encryption)-[0-9]{1,9})\.(?P<what>key|chain)\.pem|\..+\.tmp)")

Key = keys.PrivateKey | bytes
"""A private key; bytes are the seed of an encryption key."""

_MAKERS: Final[Mapping[Kind, Callable[[], Key]]] = {
    "tls": keys.generate_tls_key,
    "signing": keys.generate_signing_key,
    "encryption": keys.generate_xwing_seed,
}


@dataclass(frozen=True, slots=True)
class Finished:
    """What a generation under way needs to be next.

    Args:
        generation: which.
        chain: its certificate (`requests.require_chain`), then the issuing CA's; none for an encryption key.
        not_before_ms: from when on it may be used, Unix milliseconds.
        not_after_ms: until when.
    """

    generation: Generation
    chain: tuple[x509.Certificate, ...]
    not_before_ms: int
    not_after_ms: int


class Token(Protocol):
    """A hardware key store. Its keys are found by label and never leave it."""

    def make(self, label: str) -> Ed25519PrivateKey:
        """The Ed25519 key of that label, made if there is none. Raises TokenError."""
        ...

    def find(self, label: str) -> Ed25519PrivateKey:
        """The Ed25519 key of that label. Raises TokenError."""
        ...

    def destroy(self, label: str) -> None:
        """Return when there is no key of that label. Raises TokenError."""
        ...

    def close(self) -> None:
        """Log out."""
        ...


class KeySlots:
    """The folder, opened by the one process that may change it. Made by `open`.

    No method is called while another one runs; none waits for anything but the disk and the token.
    """

    def __init__(
        self, folder: Path, lock: int, journal: Journal, passphrase: bytes | None, token: Token | None
    ) -> None:
        self._folder = folder
        self._lock = lock
        self._journal = journal
        self._passphrase = passphrase
        self._token = token
        self._held: dict[str, Key] = {}
        self._chains: dict[str, tuple[bytes, tuple[x509.Certificate, ...]]] = {}
        self._sealed_to: dict[str, bytes] = {}
        """Of living generations, by name, as `_held`: no number is used twice, and what has one does not change."""
        self._writing = threading.Lock()

    @classmethod
    def open(cls, folder: Path, *, passphrase: bytes | None = None, token: Token | None = None) -> KeySlots:
        """Open the folder, made if it is not there, and remove what a crash left.

        Args:
            folder: where.
            passphrase: of the files; the same as when they were made.
            token: where new signing keys are made, and those with a label found.

        Raises:
            SlotError: another process has it, others can reach it, or the journal is damaged.
            CertsError: a file cannot be read or written.
        """
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = folder.stat()
            if of_another(status):
                raise SlotError(
                    f"{folder}: the folder of keys belongs to another user; run: chown -R {os.geteuid()} {folder}",
                    f"{folder}：密钥目录属于其他用户，请执行：chown -R {os.geteuid()} {folder}",
                )
            if open_to_others(status):
                raise SlotError(
                    f"{folder}: group or others may enter the folder of keys; run: chmod 700 {folder}",
                    f"{folder}：同组或其他用户可进入密钥目录，请执行：chmod 700 {folder}",
                )
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE)
        except OSError as error:
            raise SlotError(
                f"{folder}: cannot be used as the folder of keys ({cause(error).en})",
                f"{folder}：无法用作密钥目录（{cause(error).zh}）",
            ) from error
        try:
            take(lock, folder)
            slots = cls(folder, lock, read_journal(folder), passphrase, token)
            slots.sweep()
        except BaseException:
            os.close(lock)
            raise
        return slots

    def close(self) -> None:
        """Let another process have the folder; forget the keys."""
        with self._writing:
            for memory in self._memories:
                memory.clear()
            if self._lock >= 0:
                os.close(self._lock)
                self._lock = -1
                if self._token is not None:
                    self._token.close()

    def __enter__(self) -> KeySlots:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    @property
    def in_token(self) -> frozenset[Kind]:
        """Kinds whose new keys are made in a hardware token."""
        return frozenset() if self._token is None else frozenset({"signing"})

    @property
    def folder(self) -> Path:
        """Where it is."""
        return self._folder

    @property
    def passphrase(self) -> bytes | None:
        """Of its files."""
        return self._passphrase

    @property
    def journal(self) -> Journal:
        """What the disk says."""
        return self._journal

    def key_path(self, generation: Generation) -> Path:
        """The file of a private key that is in no token."""
        return self._folder / f"{generation.name}.key.pem"

    def chain_path(self, generation: Generation) -> Path:
        """The file of a certificate and its issuer's."""
        return self._folder / f"{generation.name}.chain.pem"

    def private_key(self, generation: Generation) -> Key:
        """The private key of a generation; read once.

        Raises:
            CertsError: it cannot be had.
        """
        if generation.name not in self._held:
            self._held[generation.name] = self._load(generation)
        return self._held[generation.name]

    def sealed_to(self, generation: Generation) -> bytes:
        """The public key of an encryption key; derived once.

        Raises:
            CertsError: the key cannot be had.
            SlotError: it is no encryption key.
        """
        if generation.name not in self._sealed_to:
            seed = self.private_key(generation)
            if not isinstance(seed, bytes):
                raise SlotError(f"{generation.name} is no encryption key", f"{generation.name} 不是加密密钥")
            self._sealed_to[generation.name] = keys.xwing_public_key(seed)
        return self._sealed_to[generation.name]

    def chain(self, generation: Generation) -> bytes:
        """PEM: the certificate of a generation, then what stands between it and the root; read once.

        Raises:
            KeyFileError: it cannot be read.
            SlotError: it is damaged.
        """
        return self._chain(generation)[0]

    def certificates(self, generation: Generation) -> tuple[x509.Certificate, ...]:
        """The same as certificates.

        Raises:
            KeyFileError: as `chain`.
            SlotError: as `chain`.
        """
        return self._chain(generation)[1]

    def _chain(self, generation: Generation) -> tuple[bytes, tuple[x509.Certificate, ...]]:
        found = self._chains.get(generation.name)
        if found is None:
            found = self._chains[generation.name] = self._read_chain(generation)
        return found

    def _read_chain(self, generation: Generation) -> tuple[bytes, tuple[x509.Certificate, ...]]:
        path = self.chain_path(generation)
        data = read_public(path)
        try:
            return data, tuple(x509.load_pem_x509_certificates(data))
        except ValueError as error:
            raise SlotError(
                f"{path}: is damaged, no certificates in PEM; put the folder back whole, as it was, or have this "
                "gateway readmitted (`wugan authority member readmit`)",
                f"{path}：文件已损坏，不是 PEM 证书，请整体恢复该目录，或由管理机构重新准入本网关"
                "（`wugan authority member readmit`）",
            ) from error

    def install(
        self,
        kind: Kind,
        key: Key,
        chain: Sequence[x509.Certificate] = (),
        *,
        not_before_ms: int = 0,
        not_after_ms: int = 0,
    ) -> Generation:
        """Put a first key into use, without an authority: when a federation is founded, and in tests.

        Args:
            kind: what it is for.
            key: the private key.
            chain: its certificate, then the issuing CA's.
            not_before_ms: from when on it may be used, Unix milliseconds; that of the certificate where there is one.
            not_after_ms: until when, likewise.

        Raises:
            SlotError: there is a current key of that kind.
            CertsError: a file cannot be written.
        """
        if chain:
            not_before_ms, not_after_ms = (
                unix_ms(chain[0].not_valid_before_utc),
                unix_ms(chain[0].not_valid_after_utc),
            )
        if self._journal.current(kind) is not None:
            raise SlotError(f"there is a current {kind} key already; rotate it", f"已有当前 {kind} 密钥，请使用轮换")
        made = Generation(
            kind=kind, number=self._journal.next_number(kind), state="destroyed", made_at_ms=not_before_ms
        )
        # Until the last write below the generation counts as destroyed, so a crash leaves nothing behind.
        self.record(self._journal.replacing([made]))
        self._store(made, key, replace=True)
        if chain:
            self._chains.pop(made.name, None)
            write_file(self.chain_path(made), chain_pem(chain), mode=PUBLIC, replace=True)
        made = made.now(state="current", key_id=_key_id(key), not_before_ms=not_before_ms, not_after_ms=not_after_ms)
        self.record(self._journal.replacing([made]))
        return made

    def make(self, generations: Sequence[Generation]) -> tuple[Key, ...]:
        """The keys of generations under way, made where they are not there yet; all are on the disk when this returns.

        Raises:
            CertsError: one cannot be made or kept; those that were stay.
        """
        made: dict[Generation, Key] = {}
        for each in generations:
            if each.label:
                self._held[each.name] = self._require_token(each).make(each.label)
            elif not self.key_path(each).exists():
                made[each] = _MAKERS[each.kind]()
        if made:
            for each in made:
                self._sealed_to.pop(each.name, None)
            write_files({self.key_path(e): self._encoded(key) for e, key in made.items()}, mode=PRIVATE, replace=False)
            self._held.update({each.name: key for each, key in made.items()})
        return tuple(self.private_key(each) for each in generations)

    def complete(self, finished: Sequence[Finished], unneeded: Sequence[Generation] = ()) -> None:
        """Give generations under way their certificates and time of use: they are next (`slot_steps.prepared`).

        Args:
            finished: which.
            unneeded: what is listed no more once they all are.

        Raises:
            CertsError: a file cannot be written.
        """
        chains = {self.chain_path(each.generation): chain_pem(each.chain) for each in finished if each.chain}
        if chains:
            for each in finished:
                self._chains.pop(each.generation.name, None)
            write_files(chains, mode=PUBLIC, replace=True)
        done = []
        for each in finished:
            key_id = self._key_id(each.generation, self.private_key(each.generation))
            done.append(
                each.generation.now(
                    state="next", key_id=key_id, not_before_ms=each.not_before_ms, not_after_ms=each.not_after_ms
                )
            )
        self.record(slot_steps.prepared(self._journal, done, unneeded))

    def record(self, journal: Journal) -> None:
        """Take a step (`slot_steps`): the journal is on the disk when this returns.

        Raises:
            CertsError: it cannot be written, or the folder was closed; nothing has changed.
        """
        with self._writing:
            if self._lock < 0:
                raise SlotError("the folder of keys was closed", "密钥目录已关闭")
            write_file(self._folder / JOURNAL, journal.serialized(), mode=PRIVATE, replace=True)
            self._journal = journal

    def destroy(self, generations: Sequence[Generation]) -> None:
        """Destroy keys for good: overwritten, unlinked, removed from the token, unless it is away (`sweep`).

        Raises:
            CertsError: the journal cannot be written, or a file not removed.
        """
        self.record(slot_steps.destroyed(self._journal, generations))
        self.sweep()

    def sweep(self) -> None:
        """Remove what no living generation owns.

        What a token does not let go (`Journal.left_in_token`) is tried again at the next call.

        Keys are overwritten; certificates are no secret.

        Raises:
            SlotError: a file cannot be removed.
        """
        living = {each.name for each in self._journal.generations if each.state != "destroyed"}
        for memory in self._memories:
            for name in list(memory):
                if name not in living:
                    memory.pop(name, None)
        for path in sorted(self._folder.iterdir()):
            match = _OURS.fullmatch(path.name)
            if match and match["name"] not in living:
                remove(path) if match["what"] == "chain" else shred(path)
        if self._token is None:
            return
        gone = []
        for each in self._journal.left_in_token():
            try:
                self._token.destroy(each.label)
            except CertsError:
                continue
            gone.append(each.now(label=""))
        if gone:
            self.record(self._journal.replacing(gone))

    @property
    def _memories(self) -> tuple[dict[str, Any], ...]:
        return self._held, self._chains, self._sealed_to

    def _load(self, generation: Generation) -> Key:
        key = self._read(generation)
        if not self._is_of(generation, key):
            raise SlotError(
                f"{self._folder}: the key of {generation.name} is another than its journal or certificate says; put "
                "the folder back whole, as it was, or have this gateway readmitted (`wugan authority member readmit`)",
                f"{self._folder}：{generation.name} 的密钥与日志或证书所载不符，请整体恢复该目录，"
                "或由管理机构重新准入本网关（`wugan authority member readmit`）",
            )
        return key

    def _is_of(self, generation: Generation, key: Key) -> bool:
        """Whether a key is the one that was made for a generation: nobody believes what another one signs or shows."""
        if generation.key_id and generation.key_id != _key_id(key):
            return False
        if isinstance(key, bytes) or not self.chain_path(generation).exists():
            return True
        return self.certificates(generation)[0].public_key() == key.public_key()

    def _read(self, generation: Generation) -> Key:
        if generation.label:
            return self._require_token(generation).find(generation.label)
        path = self.key_path(generation)
        if generation.kind == "encryption":
            return keys.load_xwing_seed(path, passphrase=self._passphrase)
        return keys.load_private_key(path, passphrase=self._passphrase)

    def _store(self, generation: Generation, key: Key, *, replace: bool) -> None:
        write_file(self.key_path(generation), self._encoded(key), mode=PRIVATE, replace=replace)
        self._sealed_to.pop(generation.name, None)
        self._held[generation.name] = key

    def _encoded(self, key: Key) -> bytes:
        if isinstance(key, bytes):
            return keys.xwing_seed_file(key, passphrase=self._passphrase)
        return keys.private_key_file(key, passphrase=self._passphrase)

    def _key_id(self, generation: Generation, key: Key) -> str:
        return keys.key_id(self.sealed_to(generation)) if isinstance(key, bytes) else _key_id(key)

    def _require_token(self, generation: Generation) -> Token:
        if self._token is None:
            raise SlotError(
                f"{generation.name} is in a hardware token; configure it (keys.pkcs11)",
                f"{generation.name} 存放在硬件密码设备中，请配置 keys.pkcs11",
            )
        return self._token


def opening_keys(slots: KeySlots) -> list[tuple[Generation, bytes]]:
    """Every encryption key that still opens, with its seed.

    Raises:
        CertsError: one cannot be had.
    """
    found = []
    for each in slots.journal.generations:
        if each.kind == "encryption" and each.state in OPENING:
            seed = slots.private_key(each)
            if isinstance(seed, bytes):
                found.append((each, seed))
    return found


def _key_id(key: Key) -> str:
    """As envelopes and directory name it; TLS keys have none."""
    if isinstance(key, bytes):
        return keys.key_id(keys.xwing_public_key(key))
    if isinstance(key, Ed25519PrivateKey):
        return keys.key_id(key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw))
    return ""


def unix_ms(at: dt.datetime) -> int:
    """A time as the journal has it: Unix milliseconds."""
    return round(at.timestamp() * 1000)
