"""One-time tokens: who may enrol, and that a token is used up exactly when its certificate is recorded.

Owns: the tokens of a ledger. Refuses: keeping a token's secret (only its SHA-256 is kept; it is 256 random bits, so
nothing slower is needed), and more open tokens than anybody needs.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import secrets
from collections.abc import Callable
from typing import Final

from cryptography import x509

from certs.errors import EnrolmentError, LedgerError
from certs.identity import Identity
from certs.ledger_file import LedgerFile, to_hex, to_ms, to_time
from certs.records import OpenToken, Record, Token

MAX_OPEN_TOKENS: Final = 10_000
MAX_TOKEN_LIFE: Final = dt.timedelta(days=30)

_MAX_SECRET_CHARS: Final = 128


class Tokens:
    """The tokens of one ledger.

    Args:
        file: the ledger's.
        by_serial: what the ledger says of a serial number.
        lived_until: by which time tokens that have expired are forgotten, given the time.
    """

    def __init__(
        self,
        file: LedgerFile,
        by_serial: Callable[[int], Record | None],
        lived_until: Callable[[dt.datetime], dt.datetime],
    ) -> None:
        self._file = file
        self._by_serial = by_serial
        self._lived_until = lived_until

    def make(self, holder: Identity, now: dt.datetime, lifetime: dt.timedelta) -> Token:
        """A one-time token with which its bearer may enrol once as `holder`.

        Raises:
            LedgerError: too many tokens are open, the lifetime is not within 30 days, or it cannot be written.
        """
        if not dt.timedelta(0) < lifetime <= MAX_TOKEN_LIFE:
            raise LedgerError("a token lives for up to 30 days", "一次性令牌的有效期不得超过 30 天")
        token = Token(secrets.token_hex(8), secrets.token_urlsafe(32), holder, now + lifetime)
        with self._file.writing():
            self._file.run("DELETE FROM tokens WHERE expires_ms < ?", to_ms(self._lived_until(now)))
            (tokens,) = self._file.one("SELECT count(*) FROM tokens WHERE expires_ms >= ?", to_ms(now))
            if tokens >= MAX_OPEN_TOKENS:
                raise LedgerError(
                    f"{tokens} tokens are open; wait until some expire", f"未过期令牌已达 {tokens} 个，请待其过期"
                )
            self._file.run(
                "INSERT INTO tokens (id, secret_hash, holder, member, expires_ms) VALUES (?, ?, ?, ?, ?)",
                token.token_id,
                _secret_hash(token.secret),
                holder.uri,
                holder.member_id,
                to_ms(token.expires_at),
            )
        return token

    def open(self, now: dt.datetime) -> tuple[OpenToken, ...]:
        """The tokens that may still be used, in the order in which they expire."""
        rows = self._file.all(
            "SELECT id, holder, expires_ms FROM tokens WHERE serial IS NULL AND expires_ms > ? ORDER BY expires_ms, id",
            to_ms(now),
        )
        return tuple(
            OpenToken(token_id, Identity.parse(holder), to_time(expires)) for token_id, holder, expires in rows
        )

    def cancel(self, token_id: str) -> bool:
        """Take a token back; answers whether there was one to take."""
        with self._file.writing():
            found = self._file.maybe("SELECT 1 FROM tokens WHERE id = ? AND serial IS NULL", token_id) is not None
            self._file.run("DELETE FROM tokens WHERE id = ? AND serial IS NULL", token_id)
        return found

    def redeem(
        self,
        token_id: str,
        secret: str,
        now: dt.datetime,
        issue: Callable[[Identity, Record | None], x509.Certificate],
    ) -> x509.Certificate:
        """Let `issue` make a certificate for a token's holder and use the token up, both or neither.

        Args:
            token_id: which token.
            secret: its secret.
            now: the time.
            issue: is called with the holder and what the token was used up for, if it was; it answers with a
                certificate that it has recorded, or raises.

        Raises:
            EnrolmentError: no such token, not its secret, or expired: all alike.
            LedgerError: the ledger cannot be used.
        """
        given = _secret_hash(secret[:_MAX_SECRET_CHARS])
        with self._file.writing():
            row = self._file.maybe("SELECT secret_hash, holder, expires_ms, serial FROM tokens WHERE id = ?", token_id)
            expected, holder, expires_ms, serial = row or (bytes(32), "", 0, None)
            if not hmac.compare_digest(expected, given) or to_ms(now) >= expires_ms:
                raise EnrolmentError(
                    "unauthenticated",
                    "the token is not valid, or no longer; ask the authority's administrator for another",
                    "一次性令牌无效或已失效，请向管理机构管理员申请新令牌",
                )
            used = None if serial is None else self._by_serial(int(serial, 16))
            if serial is not None and used is None:
                raise LedgerError("a used token has lost its record", "已用令牌的签发记录缺失")
            certificate = issue(Identity.parse(holder), used)
            self._file.run("UPDATE tokens SET serial = ? WHERE id = ?", to_hex(certificate.serial_number), token_id)
        return certificate

    def cancel_holder(self, holder: Identity) -> None:
        """Take back every token of a holder. Raises LedgerError."""
        self._file.run("DELETE FROM tokens WHERE holder = ?", holder.uri)

    def cancel_member(self, member_id: str) -> None:
        """Take back every token of a member, its agencies and departments. Raises LedgerError."""
        self._file.run("DELETE FROM tokens WHERE member = ?", member_id)


def _secret_hash(secret: str) -> bytes:
    return hashlib.sha256(b"wugan-enrolment-token-v1\x00" + secret.encode("utf-8", "surrogateescape")).digest()
