"""Baseline: a bare two-hop mTLS gRPC echo, nothing but the transport.

`front` takes a call, sends bytes of the federation's size to `back`, and answers with bytes of the agency's size. Same
library, same event loop, same certificates, TLS 1.3 in both directions, message sizes as measured in the real exchange.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from certs.tls13 import require_tls13

METHOD = "/bench.Echo/Call"


def main() -> None:
    """Run one hop until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tls", type=Path, required=True, help="folder with certificate.pem, key.pem and roots.pem")
    parser.add_argument("--ready", type=Path, required=True)
    parser.add_argument("--answer-bytes", type=int, required=True)
    parser.add_argument("--next", default="", help="address of the next hop; empty: this is the last")
    parser.add_argument("--next-name", default="")
    parser.add_argument("--next-bytes", type=int, default=0)
    arguments = parser.parse_args()
    require_tls13()
    uvloop.run(_serve(arguments))


async def _serve(arguments: argparse.Namespace) -> None:
    import grpc

    certificate, key, roots = (
        (arguments.tls / name).read_bytes() for name in ("certificate.pem", "key.pem", "roots.pem")
    )
    answer: bytes = b"a" * arguments.answer_bytes
    forward = b"q" * arguments.next_bytes
    onward: Callable[..., Awaitable[bytes]] | None = None
    if arguments.next:
        channel = grpc.aio.secure_channel(
            arguments.next,
            grpc.ssl_channel_credentials(roots, key, certificate),
            options=[("grpc.ssl_target_name_override", arguments.next_name)],
        )
        onward = channel.unary_unary(METHOD)

    async def call(_request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        if onward is not None:
            await onward(forward, timeout=context.time_remaining())
        return answer

    server = grpc.aio.server()
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(call)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Echo", {"Call": handler}),))
    credentials = grpc.ssl_server_credentials([(key, certificate)], roots, require_client_auth=True)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    scratch = arguments.ready.with_suffix(".part")
    scratch.write_text(json.dumps({"address": f"127.0.0.1:{port}"}))
    scratch.replace(arguments.ready)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await server.stop(0)


if __name__ == "__main__":
    main()
