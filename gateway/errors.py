"""Every error the gateway raises, in one tree.

    WuganError
    ├── ConfigError            a file the operator wrote is wrong
    ├── RefusedError           a question, or one person of it, is refused; carries a RefusalReason
    │   ├── EnvelopeError      the envelope cannot be opened, verified or accepted
    │   └── AccessError        the asker may not ask this
    ├── PolicyError            an administrative act is malformed, or not this person's to do
    ├── DirectoryError         the federation directory is missing, expired, forged or rolled back
    ├── PartnerError           another province's gateway could not be asked or answered wrongly
    │   └── HandshakeError     no TLS connection to it came about
    ├── SourceError            a department's adapter could not be asked or answered wrongly
    └── StoreError             the gateway's own storage failed

Each carries `reason` (a RefusalReason of the contract), `field`, a message in Chinese and in English that says what was
wrong and what to do, and `retryable`. Messages never hold an identity number, a name or a key. Errors of other packages
(grpc, SQLAlchemy, cryptography, `adapters.errors`, `certs.errors`) are wrapped at the boundary where they arise.
"""

from __future__ import annotations

from typing import ClassVar

from wugan.federation.v1 import vocabulary_pb2 as words

Reason = words.RefusalReason


class WuganError(Exception):
    """Base of the tree.

    Args:
        en: what was wrong and what to do, in English, without personal data.
        zh: the same in Chinese.
        reason: the RefusalReason an asker sees.
        field: path of the offending field or setting, "" where there is none.
        retryable: whether the same call may succeed later.
        retry_after_ms: when retryable, not before.
    """

    default_reason: ClassVar[words.RefusalReason.ValueType] = words.REFUSAL_REASON_INTERNAL
    default_retryable: ClassVar[bool] = False

    def __init__(
        self,
        en: str,
        zh: str,
        *,
        reason: words.RefusalReason.ValueType | None = None,
        field: str = "",
        retryable: bool | None = None,
        retry_after_ms: int = 0,
    ) -> None:
        super().__init__(en)
        self.en = en
        self.zh = zh
        self.reason = self.default_reason if reason is None else reason
        self.field = field
        self.retryable = self.default_retryable if retryable is None else retryable
        self.retry_after_ms = retry_after_ms

    @property
    def code(self) -> str:
        """Stable name of the reason, e.g. "ENVELOPE_EXPIRED"."""
        return words.RefusalReason.Name(self.reason).removeprefix("REFUSAL_REASON_")


class ConfigError(WuganError):
    """A configuration, policy, rule or directory file is wrong; `field` names the setting, the message the file."""

    default_reason = words.REFUSAL_REASON_INVALID_ARGUMENT


class RefusedError(WuganError):
    """A question, or one person of it, is refused."""

    default_reason = words.REFUSAL_REASON_INVALID_ARGUMENT


class EnvelopeError(RefusedError):
    """The envelope cannot be opened, verified or accepted."""

    default_reason = words.REFUSAL_REASON_ENVELOPE_REJECTED


class AccessError(RefusedError):
    """The asker may not ask this."""

    default_reason = words.REFUSAL_REASON_MEMBER_NOT_PERMITTED


class PolicyError(WuganError):
    """An administrative act is malformed, unsigned, or not this person's to do; or the record of acts is broken."""

    default_reason = words.REFUSAL_REASON_INVALID_ARGUMENT


class DirectoryError(WuganError):
    """The federation directory is missing, expired, forged or rolled back."""

    default_reason = words.REFUSAL_REASON_DIRECTORY_EXPIRED


class PartnerError(WuganError):
    """Another province's gateway could not be asked, or answered wrongly."""

    default_reason = words.REFUSAL_REASON_PARTNER_UNAVAILABLE
    default_retryable = True


class LostError(PartnerError):
    """Nobody knows what became of a question: the gateway was not reached, the call broke off, or the time was up."""


class HandshakeError(PartnerError):
    """No TLS connection to another province's gateway came about: one of the two does not accept what it was shown."""


class SourceError(WuganError):
    """A department's adapter could not be asked, or answered wrongly."""

    default_reason = words.REFUSAL_REASON_INTERNAL
    default_retryable = True


class StoreError(WuganError):
    """The gateway's own storage failed; nothing that was accepted is lost, and nothing was answered."""

    default_retryable = True
