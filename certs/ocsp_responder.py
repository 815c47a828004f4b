"""OCSP (RFC 6960): answers to "is this certificate revoked?", signed by a key that can do nothing else.

Owns: reading a request, finding the certificate in the ledger, and a delegated responder key for each issuing CA, which
lives in memory and is certified for 7 days (section 4.2.2.2). Refuses: requests that are too large, malformed, about
more than one certificate (as RFC 5019 section 2.1.1 allows), or with a nonce of no or more than 128 bytes (RFC 9654);
and questions about another authority's certificates ("unauthorized").

A certificate that the ledger does not hold is "unknown", never "good".
"""

from __future__ import annotations

import datetime as dt
import threading
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp

from certs import keys
from certs.authority import Authority
from certs.issuing import IssuingCa
from certs.profiles import STEP_BACK
from certs.records import PROFILE_OCSP, Record

MAX_REQUEST_BYTES: Final = 4 << 10
MAX_NONCE_BYTES: Final = 128
ANSWER_LIFE: Final = dt.timedelta(minutes=10)
"""For how long an answer may be used. Members need none: they learn of revocations from the directory at once."""

_MALFORMED: Final = ocsp.OCSPResponseStatus.MALFORMED_REQUEST
_UNAUTHORIZED: Final = ocsp.OCSPResponseStatus.UNAUTHORIZED


@dataclass(frozen=True, slots=True)
class OcspAnswer:
    """An answer, DER; `cacheable` when it is good for more than this one asker."""

    der: bytes
    cacheable: bool


@dataclass(frozen=True, slots=True)
class _Responder:
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    made: dt.datetime
    due: dt.datetime


class OcspResponder:
    """Answers for every issuing CA of an authority, retired ones included. Safe for several threads."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self._responders: dict[str, _Responder] = {}
        self._lock = threading.Lock()

    def answer(self, request_der: bytes, now: dt.datetime) -> OcspAnswer:
        """The answer to a request, whatever it is.

        Raises:
            CertsError: the authority is out of order.
        """
        try:
            if len(request_der) > MAX_REQUEST_BYTES:
                raise ValueError("too large")
            request = ocsp.load_der_ocsp_request(request_der)
            serial, nonce = request.serial_number, _nonce(request)
            if serial < 0:  # no certificate has one, and no answer could be made
                raise ValueError("serial number")
            algorithm = request.hash_algorithm
            asked = (request.issuer_name_hash, request.issuer_key_hash)
        except (ValueError, TypeError, NotImplementedError, UnsupportedAlgorithm, x509.DuplicateExtension):
            return _unsuccessful(_MALFORMED)
        self._authority.issuing.refresh()
        ca = next((ca for ca in self._authority.issuing.all if _hashes(ca, algorithm) == asked), None)
        if ca is None:
            return _unsuccessful(_UNAUTHORIZED)
        record = self._authority.ledger.by_serial(serial)
        if record is not None and record.issuing != ca.name:
            record = None
        responder = self._responder(ca, now)
        status, revoked_at, reason = _status(record)
        # Whole seconds: that is what the format has, and an answer must not begin in the future.
        this_update = now.replace(microsecond=0)
        builder = (
            ocsp.OCSPResponseBuilder()
            .add_response_by_hash(
                *asked, serial, algorithm, status, this_update, this_update + ANSWER_LIFE, revoked_at, reason
            )
            .responder_id(ocsp.OCSPResponderEncoding.HASH, responder.certificate)
            .certificates([responder.certificate])
        )
        if nonce is not None:
            builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
        signed = builder.sign(responder.key, hashes.SHA256())
        return OcspAnswer(signed.public_bytes(serialization.Encoding.DER), cacheable=nonce is None)

    def _responder(self, ca: IssuingCa, now: dt.datetime) -> _Responder:
        with self._lock:
            present = self._responders.get(ca.name)
            if present is None or not present.made - STEP_BACK <= now < present.due:
                key = keys.generate_tls_key()
                certificate = self._authority.issue_ocsp(ca, key.public_key(), now=now)
                present = _Responder(key, certificate, now, now + (certificate.not_valid_after_utc - now) / 2)
                self._responders[ca.name] = present
            return present


def _status(
    record: Record | None,
) -> tuple[ocsp.OCSPCertStatus, dt.datetime | None, x509.ReasonFlags | None]:
    if record is None or record.profile == PROFILE_OCSP:
        return ocsp.OCSPCertStatus.UNKNOWN, None, None
    if record.revoked_at is None:
        return ocsp.OCSPCertStatus.GOOD, None, None
    # "Unspecified" is said by saying nothing (RFC 5280 section 5.3.1).
    reason = None if record.reason is x509.ReasonFlags.unspecified else record.reason
    return ocsp.OCSPCertStatus.REVOKED, record.revoked_at, reason


def _nonce(request: ocsp.OCSPRequest) -> bytes | None:
    try:
        nonce = request.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
    except x509.ExtensionNotFound:
        return None
    if not 0 < len(nonce) <= MAX_NONCE_BYTES:
        raise ValueError("nonce")
    return nonce


def _hashes(ca: IssuingCa, algorithm: hashes.HashAlgorithm) -> tuple[bytes, bytes]:
    """How a request names an issuer: its name, and its key without the algorithm (RFC 6960 section 4.1.1)."""
    point = ca.issuer.key.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    return _hash(ca.certificate.subject.public_bytes(), algorithm), _hash(point, algorithm)


def _hash(data: bytes, algorithm: hashes.HashAlgorithm) -> bytes:
    digest = hashes.Hash(algorithm)
    digest.update(data)
    return digest.finalize()


def _unsuccessful(status: ocsp.OCSPResponseStatus) -> OcspAnswer:
    response = ocsp.OCSPResponseBuilder.build_unsuccessful(status)
    return OcspAnswer(response.public_bytes(serialization.Encoding.DER), cacheable=False)
