"""What is asked for with a certificate is asked for one after another."""

from __future__ import annotations

import asyncio
import ssl
from types import SimpleNamespace
from typing import Any, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from certs import keys
from certs.errors import EstError
from gateway.federation.enrolling import EstEnroller

CONTEXT = cast("ssl.SSLContext", object())
CSR = (
    x509.CertificateSigningRequestBuilder()
    .subject_name(x509.Name([]))
    .sign(keys.generate_tls_key(), hashes.SHA256())
    .public_bytes(serialization.Encoding.DER)
)


class Authority:
    """Fails if it is told to; counts who is there at once."""

    def __init__(self) -> None:
        self.failing = False
        self.present = self.most = 0

    async def answer(self) -> Any:
        self.present += 1
        self.most = max(self.most, self.present)
        for _ in range(3):
            await asyncio.sleep(0)
        self.present -= 1
        if self.failing:
            raise EstError("refused (status 403): revoked", "已拒绝")
        return SimpleNamespace(pem=b"chain")

    def enroller(self) -> EstEnroller:
        async def context() -> ssl.SSLContext:
            return CONTEXT

        def client(_context: ssl.SSLContext, *_more: object) -> Any:
            async def simplereenroll(_request: object, _label: str) -> Any:
                return await self.answer()

            return SimpleNamespace(simplereenroll=simplereenroll, issuers=())

        link = SimpleNamespace(context=context, session=None)
        return EstEnroller(cast("Any", SimpleNamespace(link=link, label=str, client=client)))


async def test_renewals_go_one_after_the_other_whatever_becomes_of_them() -> None:
    authority = Authority()
    enroller = authority.enroller()
    assert await asyncio.gather(enroller.enrol("tls", CSR), enroller.enrol("signing", CSR)) == [b"chain", b"chain"]
    authority.failing = True
    came = await asyncio.gather(*(enroller.enrol("tls", CSR) for _ in range(2)), return_exceptions=True)
    assert [type(each) for each in came] == [EstError, EstError]
    assert authority.most == 1
