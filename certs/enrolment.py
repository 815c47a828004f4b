"""Who gets which certificate for a certification request, and who gets none.

Owns: the decision, and that the certificate, its record and the end of its token happen together. Refuses: whatever is
not said here.

    first enrolment    a one-time token names the holder; it may be used once, for a "tls" or a "signing" certificate
    renewal            the holder is that of the TLS certificate by which the request came; it must be in the ledger,
                       for TLS, neither expired nor revoked. A gateway renews its "signing" certificate with it too

Whatever names a request itself carries, its alternative names must be those of the holder or absent (RFC 7030 section
4.2.2), in a renewal its subject too; nothing of it but the key goes into the certificate. A token that was used up
yields the same certificate again for the same key, so that an answer lost on the way can be asked for once more.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

from cryptography import x509

from certs import est_wire
from certs.authority import Authority
from certs.errors import EnrolmentError, ProfileError
from certs.holders import proven_key
from certs.identity import ROLE_AUTHORITY, ROLE_GATEWAY, Identity
from certs.records import BY_CERTIFICATE, BY_TOKEN, PROFILE_SIGNING, PROFILE_TLS, LeafProfile, Record

LABELS: Final[dict[str, LeafProfile]] = {"": PROFILE_TLS, PROFILE_TLS: PROFILE_TLS, PROFILE_SIGNING: PROFILE_SIGNING}
"""What the label in an EST path asks for (RFC 7030 section 3.2.2)."""


class Enrolment:
    """Decides on certification requests for one authority. Safe for several threads."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority

    def ca_certificates(self) -> tuple[x509.Certificate, ...]:
        """The root, then the issuing CAs, the current one first (RFC 7030 section 4.1.3).

        Raises:
            CertsError: the authority's folder cannot be read any more.
        """
        self._authority.issuing.refresh()
        return (self._authority.root, *(ca.certificate for ca in reversed(self._authority.issuing.all)))

    def with_token(
        self, profile: LeafProfile, body: bytes, token_id: str, secret: str, now: dt.datetime
    ) -> x509.Certificate:
        """First enrolment.

        Args:
            profile: which kind of certificate.
            body: the certification request, as EST carries it.
            token_id: which token.
            secret: its secret.
            now: the time.

        Raises:
            EnrolmentError: the request or the token is refused; the token is as it was.
            LedgerError: nothing can be recorded; likewise.
        """
        request = est_wire.parse_request(body)

        def issue(holder: Identity, used: Record | None) -> x509.Certificate:
            try:
                _require_named(request, holder, None)
            except EnrolmentError:
                raise _forbidden(
                    f"the token was made for {holder.uri}, and the request is somebody else's; ask for one of your own",
                    f"该令牌签发给 {holder.uri}，与请求方不符，请申请本方的令牌",
                ) from None
            if used is not None:
                return _same_again(request, used, profile)
            return self._issue(profile, holder, request, now, f"{BY_TOKEN}{token_id}")

        return self._authority.ledger.tokens.redeem(token_id, secret, now, issue)

    def with_certificate(
        self, profile: LeafProfile, body: bytes, client_der: bytes | None, now: dt.datetime
    ) -> x509.Certificate:
        """Renewal.

        Args:
            profile: which kind of certificate.
            body: the certification request, as EST carries it.
            client_der: the certificate that the TLS handshake proved, None if there was none.
            now: the time.

        Raises:
            EnrolmentError: the request or the certificate is refused.
            LedgerError: nothing can be recorded.
        """
        if client_der is None:
            raise _forbidden("renewal needs the TLS certificate that is to be renewed", "续期须出示待更新的 TLS 证书")
        request = est_wire.parse_request(body)
        ledger = self._authority.ledger
        # Together: a revocation at this moment comes before or after, and then takes the new certificate too.
        with ledger.together():
            record = ledger.by_certificate(client_der)
            if record is None or record.holder is None or record.profile != PROFILE_TLS:
                raise _forbidden(
                    "this authority does not know that certificate as one for TLS; enrol with a token",
                    "该证书不是本管理机构签发的 TLS 证书，请用令牌登记",
                )
            if record.revoked_at is not None:
                raise _forbidden("the certificate was revoked; enrol with a token", "该证书已被吊销，请用令牌重新登记")
            if now >= record.expires_at:
                raise _forbidden("the certificate has expired; enrol with a token", "该证书已过期，请用令牌重新登记")
            present = x509.load_der_x509_certificate(client_der)
            _require_named(request, record.holder, present)
            return self._issue(profile, record.holder, request, now, f"{BY_CERTIFICATE}{record.serial:x}")

    def _issue(
        self,
        profile: LeafProfile,
        holder: Identity,
        request: x509.CertificateSigningRequest,
        now: dt.datetime,
        grounds: str,
    ) -> x509.Certificate:
        if holder.role == ROLE_AUTHORITY:
            raise _forbidden("the authority's own server does not enrol", "管理机构自身的证书不由此签发")
        if profile == PROFILE_SIGNING and holder.role != ROLE_GATEWAY:
            raise _forbidden("only a member's gateway signs messages", "只有成员网关可以签署消息")
        try:
            return self._authority.issue(profile, holder, request, now, grounds=grounds).certificate
        except ProfileError as error:
            raise EnrolmentError("malformed", error.en, error.zh) from error


def _same_again(request: x509.CertificateSigningRequest, used: Record, profile: LeafProfile) -> x509.Certificate:
    certificate = x509.load_der_x509_certificate(used.certificate_der)
    same = used.profile == profile and used.revoked_at is None
    try:
        same = same and proven_key(request) == certificate.public_key()
    except ProfileError as error:
        raise EnrolmentError("malformed", error.en, error.zh) from error
    if not same:
        raise EnrolmentError(
            "unauthenticated",
            "the token has been used; ask the authority's administrator for another",
            "一次性令牌已被使用，请向管理机构管理员申请新令牌",
        )
    return certificate


def _require_named(request: x509.CertificateSigningRequest, holder: Identity, present: x509.Certificate | None) -> None:
    """The request names nobody but the holder; `present` is the certificate to be renewed."""
    if present is not None and request.subject != x509.Name([]) and request.subject != present.subject:
        raise _forbidden(
            "the request's subject is not that of the certificate to be renewed; leave it empty",
            "请求的主体与待续期的证书不一致，请留空",
        )
    try:
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return
    own: set[x509.GeneralName] = {x509.UniformResourceIdentifier(holder.uri)}
    serving = own | {x509.DNSName(holder.tls_name)} if holder.tls_name else own
    known = set(present.extensions.get_extension_for_class(x509.SubjectAlternativeName).value) if present else own
    # In any order: clients make them of sets, and nothing of them goes into the certificate.
    if set(names) not in (own, serving, known):
        raise _forbidden(
            "the request's alternative names are not those of the certificate to be renewed; leave them out",
            "请求的备用名称与待续期的证书不一致，请勿填写",
        )


def _forbidden(en: str, zh: str) -> EnrolmentError:
    return EnrolmentError("forbidden", en, zh)
