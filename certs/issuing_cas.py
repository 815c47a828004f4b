"""An authority's issuing CAs over time: a new one takes over, old ones answer for what they issued, and are destroyed.

Owns: which there are, in step with what other processes of the same folder do; replacing the one that issues, by the
root's key: the old one issues nothing any more, but answers for its leaves until the last has expired; taking an old
one back. Refuses: the files (certs/issuing.py), issuing leaves (certs/authority.py), and a root key that is not the
root's.
"""

from __future__ import annotations

import datetime as dt
import threading
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from certs import issuing, keys, profiles
from certs.errors import AuthorityError
from certs.issuing import IssuingCa
from certs.ledger import LISTED_AFTER_EXPIRY, Ledger

ROOT: Final = "root.pem"
ROOT_KEY: Final = "root-key.pem"
_REVOKED: Final = "issuing revoked"


class IssuingCas:
    """See the module. Safe for several threads.

    Args:
        folder: the authority's.
        root: its root.
        held: the issuing CAs in it, the current one last; at least one.
        ledger: of the authority.
        passphrase: of their keys.
    """

    def __init__(
        self,
        folder: Path,
        root: x509.Certificate,
        held: tuple[IssuingCa, ...],
        ledger: Ledger,
        passphrase: bytes | None,
    ) -> None:
        self._folder = folder
        self._root = root
        self._held = held
        self._ledger = ledger
        self._passphrase = passphrase
        self._refreshing = threading.Lock()

    @property
    def all(self) -> tuple[IssuingCa, ...]:
        """Every one, the current one last."""
        return self._held

    @property
    def current(self) -> IssuingCa:
        """The one that issues."""
        return self._held[-1]

    def refresh(self) -> None:
        """Take notice of issuing CAs that another process added or destroyed.

        Raises:
            CertsError: a file is missing, unreadable or not one of this authority; what was known before is kept.
        """
        with self._refreshing:
            found = issuing.numbers(self._folder)
            known = {ca.number: ca for ca in self._held}
            if found != tuple(known):
                self._held = tuple(
                    known.get(number) or issuing.load(self._folder, number, self._root, self._passphrase)
                    for number in found
                )

    def roll(
        self, *, now: dt.datetime, root_passphrase: bytes | None = None, root_key: Path | None = None
    ) -> IssuingCa:
        """Make another issuing CA, which from now on issues every leaf; the present one is retired.

        Args:
            now: the time, with time zone.
            root_passphrase: of the root's key.
            root_key: the root's key file, where it was carried to; by default in the authority's folder.

        Raises:
            AuthorityError: the key is not the root's, there are 60 issuing CAs already, or the clock is behind.
            KeyFileError: the root's key cannot be read.
            CertsError: the root has expired, or a file cannot be written.
        """
        root = self.root_issuer(root_passphrase, root_key)
        # The ledger's lock keeps another process from making one under the same number.
        with self._ledger.together():
            self.refresh()
            current = self.current
            if len(self._held) == issuing.MAX_ISSUING:
                raise AuthorityError(
                    f"there are {issuing.MAX_ISSUING} issuing CAs; destroy those whose leaves have expired first",
                    f"签发 CA 已达 {issuing.MAX_ISSUING} 个，请先销毁所签证书均已过期的 CA",
                )
            began = _after(current, now)
            made = issuing.add(self._folder, current.number + 1, root, self._passphrase, began)
            self.refresh()
        return made

    def root_issuer(self, passphrase: bytes | None, file: Path | None) -> profiles.Issuer:
        """What signs with the root's key.

        Args:
            passphrase: of the key.
            file: where it was carried to; by default in the authority's folder.

        Raises:
            AuthorityError: the key is not the root's.
            KeyFileError: it cannot be read.
        """
        path = file or self._folder / ROOT_KEY
        key = keys.load_private_key(path, passphrase=passphrase)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != self._root.public_key():
            raise AuthorityError(f"{path}: is not the key of {ROOT}", f"{path}：与 {ROOT} 不匹配")
        issuer = self.current.issuer
        return profiles.Issuer(self._root, key, issuer.federation, issuer.loopback)

    def revoke(self, name: str, now: dt.datetime) -> bool:
        """Take a retired issuing CA back, because somebody else may have its key; whether it was not before.

        What it really issued is in the ledger and can be told from what a thief makes with the key. It goes on
        answering for that (revocation lists, OCSP).

        Raises:
            AuthorityError: there is no such issuing CA, or it is the one that issues: another must be made first.
            LedgerError: it cannot be recorded; then it is not revoked.
        """
        with self._ledger.together():
            self.refresh()
            if name not in {ca.name for ca in self._held}:
                raise AuthorityError(
                    f"there is no issuing CA {name}; see `wugan authority issuing list`",
                    f"没有签发 CA {name}，请查看 `wugan authority issuing list`",
                )
            if name == self.current.name:
                raise AuthorityError(
                    f"{name} is the CA that issues; make another first: `wugan authority issuing roll`",
                    f"{name} 是当前签发 CA，请先执行 `wugan authority issuing roll` 新建签发 CA",
                )
            if self.is_revoked(name):
                return False
            self._ledger.set_state(f"{_REVOKED} {name}", str(round(now.timestamp() * 1000)))
            return True

    def is_revoked(self, name: str) -> bool:
        """Whether an issuing CA was taken back."""
        return bool(self._ledger.state(f"{_REVOKED} {name}"))

    def prune(self, now: dt.datetime) -> tuple[str, ...]:
        """Destroy the keys of retired issuing CAs whose last leaf has expired; answers with their names.

        Expired by the time lived through (`certs.lived_time`): what a clock that is ahead destroyed would be gone, and
        its leaves refused.

        Raises:
            CertsError: a file or the ledger cannot be used.
        """
        gone: list[str] = []
        with self._ledger.together():
            self.refresh()
            lived = self._ledger.lived_until(now)
            for ca in self._held[:-1]:
                last = self._ledger.last_expiry(ca.name)
                # Until the last revocation list that can name a leaf has run out.
                if last is None or last + LISTED_AFTER_EXPIRY < lived:
                    issuing.destroy(self._folder, ca.number)
                    gone.append(ca.name)
            issuing.clear_away(self._folder)
            self.refresh()
        return tuple(gone)


def _after(current: IssuingCa, now: dt.datetime) -> dt.datetime:
    """The time of issue of the CA that follows: its certificate begins later than that of the present one.

    Which of them is newer is read from the certificates by whoever sees both, and their times have whole seconds.
    """
    began = max(now, current.certificate.not_valid_before_utc + profiles.BACKDATE + dt.timedelta(seconds=1))
    if began - profiles.BACKDATE > now:
        raise AuthorityError(
            "the present issuing CA begins in the future; set the clock right first",
            "现用签发 CA 的生效时间晚于当前时间，请先校正时钟",
        )
    return began
