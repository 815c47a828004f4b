"""Whose certificate was taken back, by the authority's revocation lists (RFC 5280) in files.

Owns: reading them, anew when they change; which caller they speak against. Refuses: a list that no authority of ours
signed, and everybody when a list is past its time, or when there is none of the CA that issued the caller's
certificate: then nobody knows.
"""

from __future__ import annotations

import datetime as dt
import functools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import structlog
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from adapters.errors import AdapterError
from certs.system_words import cause

LOOK_EVERY_S: Final = 30.0
MAX_LIST_BYTES: Final = 16 << 20
_log = structlog.stdlib.get_logger(__name__)


class RevocationLists:
    """The lists in some files.

    Args:
        files: PEM or DER, one of each issuing CA.
        authorities: files of PEM certificates, among which are those that sign lists.
        now: the time, UTC.
        monotonic: seconds, for how often is looked.

    Raises:
        AdapterError: a list cannot be used.
    """

    def __init__(
        self,
        files: Sequence[Path],
        authorities: Sequence[Path],
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._files = files
        self._authorities = authorities
        self._now = now
        self._monotonic = monotonic
        self._looked_at = monotonic()
        self._stamp = self._stamps()
        self._lists = self._load()

    def revoked(self, certificate: bytes) -> bool:
        """Whether a certificate, PEM, is on a list; so is counted what cannot be judged."""
        self._look()
        try:
            issuer, serial = _named(certificate)
        except ValueError:
            return True
        found = self._lists.get(issuer)
        if found is None:
            _log.warning("no revocation list of the caller's CA; add its file to crl")
            return True
        until, serials = found
        if self._now() > until:
            _log.warning("the revocation list is past its time; fetch it anew", until=until.isoformat())
            return True
        return serial in serials

    def _look(self) -> None:
        now = self._monotonic()
        if now < self._looked_at + LOOK_EVERY_S:
            return
        self._looked_at = now
        stamp = self._stamps()
        if stamp != self._stamp:
            try:
                self._lists, self._stamp = self._load(), stamp
            except AdapterError as error:  # the old ones hold until their time is over
                _log.warning("changed revocation list not used", error=error.en)

    def _stamps(self) -> tuple[object, ...]:
        stamps: list[object] = []
        for path in self._files:
            try:
                status = path.stat()
            except OSError:
                stamps.append(None)
            else:
                stamps.append((status.st_ino, status.st_mtime_ns, status.st_size))
        return tuple(stamps)

    def _load(self) -> dict[bytes, tuple[dt.datetime, frozenset[int]]]:
        signers = [one for path in self._authorities for one in x509.load_pem_x509_certificates(_read(path))]
        lists: dict[bytes, tuple[dt.datetime, frozenset[int]]] = {}
        for path in self._files:
            read = _list(path)
            if not any(_signed(read, signer) for signer in signers):
                raise AdapterError(
                    f"{path}: no revocation list of an authority that is known here",
                    f"{path}：不是已知机构签发的吊销列表",
                )
            until = read.next_update_utc
            if until is None:
                raise AdapterError(f"{path}: a list without an end", f"{path}：吊销列表没有有效期")
            serials = frozenset(each.serial_number for each in read)
            issuer = _issuer(read)
            known = lists.get(issuer)
            if known is None or known[0] < until:
                lists[issuer] = until, serials
        return lists


@functools.lru_cache(maxsize=1_024)
def _named(certificate: bytes) -> tuple[bytes, int]:
    parsed = x509.load_pem_x509_certificate(certificate)
    return _issuer(parsed), parsed.serial_number


def _issuer(signed: x509.Certificate | x509.CertificateRevocationList) -> bytes:
    """Whose signature it bears: the CA's name and, as a new CA may have the name of an old one, its key."""
    try:
        key = signed.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    except x509.ExtensionNotFound:
        key = None
    return signed.issuer.public_bytes() + b"\0" + (key or b"")


def _list(path: Path) -> x509.CertificateRevocationList:
    data = _read(path)
    try:
        return x509.load_pem_x509_crl(data) if data.lstrip().startswith(b"-----") else x509.load_der_x509_crl(data)
    except ValueError as error:
        raise AdapterError(f"{path}: is no revocation list", f"{path}：不是吊销列表") from error


def _signed(read: x509.CertificateRevocationList, signer: x509.Certificate) -> bool:
    if signer.subject != read.issuer:
        return False
    try:
        return read.is_signature_valid(signer.public_key())  # type: ignore[arg-type]
    except (TypeError, ValueError, InvalidSignature):
        return False


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_LIST_BYTES + 1)
    except OSError as error:
        raise AdapterError(
            f"{path}: cannot be read ({cause(error).en})", f"{path}：无法读取（{cause(error).zh}）"
        ) from error
    if len(data) > MAX_LIST_BYTES:
        raise AdapterError(f"{path}: is larger than {MAX_LIST_BYTES} bytes", f"{path}：超过 {MAX_LIST_BYTES} 字节")
    return data
