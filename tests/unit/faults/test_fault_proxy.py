"""The proxy by which everything else is troubled: it must do what it says, or the other tests prove nothing."""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from tests.faults.proxy import HELD_AT_MOST, FaultProxy, hold_little, reset
from tests.faults.trouble import (
    BLACK_HOLE,
    CORRUPTION,
    GIVE_UP_AFTER,
    HALF_OPEN_BACK,
    HALF_OPEN_THERE,
    NOTHING,
    REFUSED,
    RESET,
    TROUBLES,
    Door,
    Fault,
    Trouble,
)

LONG_S = 60.0
"""Longer than any test may take: what waits for it to pass fails."""


KERNEL_BYTES = 1 << 18
"""What the kernel holds of a connection here: far less than what is sent where one end does not read."""


class Target:
    """A server that gives back what it gets, and remembers it."""

    def __init__(self) -> None:
        self.got = bytearray()
        self.answers = True
        self.ends: list[str] = []
        self.arrived = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hold_little(writer.transport, KERNEL_BYTES)
        try:
            while data := await reader.read(1 << 16):
                self.got += data
                self.arrived.set()
                if self.answers:
                    writer.write(data)
                    await writer.drain()
            self.ends.append("EOF")
        except ConnectionError:
            self.ends.append("reset")
        finally:
            self.arrived.set()
            writer.close()

    async def until_ended(self) -> str:
        async with asyncio.timeout(10):
            while not self.ends:
                self.arrived.clear()
                await self.arrived.wait()
        return self.ends[0]


@contextlib.asynccontextmanager
async def behind_proxy() -> AsyncIterator[tuple[FaultProxy, Target]]:
    target = Target()
    server = await asyncio.start_server(target.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with FaultProxy(f"{host}:{port}", seed=7, kernel_bytes=KERNEL_BYTES) as proxy:
        yield proxy, target
    server.close()


@pytest.fixture
async def echo() -> AsyncIterator[tuple[FaultProxy, Target]]:
    async with behind_proxy() as found:
        yield found


@contextlib.asynccontextmanager
async def client(proxy: FaultProxy) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, _, port = proxy.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    hold_little(writer.transport, KERNEL_BYTES)
    try:
        yield reader, writer
    finally:
        writer.close()


async def said(reader: asyncio.StreamReader, size: int) -> bytes:
    async with asyncio.timeout(20):
        return await reader.readexactly(size)


async def nothing_comes(reader: asyncio.StreamReader) -> None:
    """A round trip of another connection later there is still nothing here."""
    for _ in range(20):
        await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await reader.read(1)


async def test_without_trouble_it_is_as_if_it_were_not_there(echo: tuple[FaultProxy, Target]) -> None:
    proxy, target = echo
    sent = bytes(range(256)) * 8_192
    async with client(proxy) as (reader, writer):
        writer.write(sent)
        assert await said(reader, len(sent)) == sent
        writer.write_eof()
        assert await said(reader, 0) == b""
        assert await reader.read() == b""
    assert bytes(target.got) == sent
    assert (proxy.passed_up, proxy.passed_down, proxy.accepted) == (len(sent), len(sent), 1)
    await proxy.until(lambda: proxy.connections == 0)


async def test_many_connections_do_not_mix(echo: tuple[FaultProxy, Target]) -> None:
    proxy, _ = echo

    async def one(number: int) -> None:
        sent = number.to_bytes(4, "big") * 5_000
        async with client(proxy) as (reader, writer):
            writer.write(sent)
            assert await said(reader, len(sent)) == sent

    await proxy.suffer(Trouble.both(Fault(latency_s=0.001, jitter_s=0.005)))
    await asyncio.gather(*(one(number) for number in range(50)))
    await proxy.until(lambda: proxy.connections == 0)


async def test_latency_holds_every_chunk_up_and_keeps_the_order(echo: tuple[FaultProxy, Target]) -> None:
    proxy, _ = echo
    loop = asyncio.get_running_loop()
    await proxy.suffer(Trouble.both(Fault(latency_s=0.05, jitter_s=0.05)))
    async with client(proxy) as (reader, writer):
        began = loop.time()
        for letter in b"abcdefghij":
            writer.write(bytes([letter]))
            await writer.drain()
            await asyncio.sleep(0.001)
        assert await said(reader, 10) == b"abcdefghij"
        assert loop.time() - began >= 0.1, "there and back"


async def test_what_waits_is_judged_anew_when_the_trouble_changes(echo: tuple[FaultProxy, Target]) -> None:
    proxy, _ = echo
    for trouble in (Fault(latency_s=LONG_S), Fault(dead=True), Fault(loss=0.999, resend_s=LONG_S)):
        async with client(proxy) as (reader, writer):
            await proxy.suffer(Trouble(up=trouble))
            writer.write(b"patience")
            await nothing_comes(reader)
            await proxy.heal()
            assert await said(reader, 8) == b"patience"


async def test_a_drip_lets_all_pass_bit_by_bit(echo: tuple[FaultProxy, Target]) -> None:
    proxy, target = echo
    loop = asyncio.get_running_loop()
    async with client(proxy) as (reader, writer):
        await proxy.suffer(Trouble(up=Fault(bytes_per_s=1_000)))
        began = loop.time()
        writer.write(b"d" * 200)
        assert await said(reader, 1) == b"d"
        assert len(target.got) < 200, "all of it came at once"
        assert await said(reader, 199) == b"d" * 199
        assert loop.time() - began >= 0.15


@pytest.mark.parametrize("trouble", [HALF_OPEN_THERE, HALF_OPEN_BACK], ids=["there", "back"])
async def test_half_open_one_direction_passes_and_the_other_does_not(
    echo: tuple[FaultProxy, Target], trouble: Trouble
) -> None:
    proxy, target = echo
    async with client(proxy) as (reader, writer):
        writer.write(b"1")
        assert await said(reader, 1) == b"1"
        await proxy.suffer(trouble)
        writer.write(b"2")
        if trouble.down.dead:
            await proxy.until(lambda: target.got == b"12" or proxy.passed_up == 2)
        await nothing_comes(reader)
        assert proxy.passed_up == (2 if trouble.down.dead else 1)
        await proxy.heal()
        assert await said(reader, 1) == b"2"


async def test_a_black_hole_accepts_and_tells_nobody_anything(echo: tuple[FaultProxy, Target]) -> None:
    proxy, target = echo
    async with client(proxy) as (reader, writer):
        writer.write(b"before")
        assert await said(reader, 6) == b"before"
        await proxy.suffer(BLACK_HOLE)
        writer.write(b"during")
        async with client(proxy) as (late, late_writer):
            late_writer.write(b"new")
            await proxy.until(lambda: proxy.accepted == 2)
            await nothing_comes(late)
        await nothing_comes(reader)
    await nothing_comes(asyncio.StreamReader())
    assert target.got == b"before"
    assert target.ends == [], "the far end heard that the near one hung up"
    await proxy.heal()
    assert await target.until_ended() == "EOF"
    assert target.got == b"beforeduring", "what was sent before hanging up arrives"
    await proxy.until(lambda: proxy.connections == 0)


async def test_who_waits_in_a_black_hole_goes_on_when_it_is_over(echo: tuple[FaultProxy, Target]) -> None:
    proxy, _ = echo
    await proxy.suffer(BLACK_HOLE)
    async with client(proxy) as (reader, writer):
        writer.write(b"hello")
        await nothing_comes(reader)
        await proxy.heal()
        assert await said(reader, 5) == b"hello"


async def test_reset_ends_what_is_open_and_what_is_new(echo: tuple[FaultProxy, Target]) -> None:
    proxy, target = echo
    async with client(proxy) as (reader, writer):
        writer.write(b"1")
        assert await said(reader, 1) == b"1"
        await proxy.suffer(RESET)
        with pytest.raises(ConnectionResetError):
            await said(reader, 1)
        assert await target.until_ended() == "reset"
    with pytest.raises(ConnectionResetError):
        async with client(proxy) as (reader, writer):
            await said(reader, 1)
    await proxy.heal()
    async with client(proxy) as (reader, writer):
        writer.write(b"2")
        assert await said(reader, 1) == b"2"


async def test_refused_is_refused_by_the_kernel_and_the_port_stays_ours(echo: tuple[FaultProxy, Target]) -> None:
    proxy, _ = echo
    for _ in range(3):
        await proxy.suffer(REFUSED)
        with pytest.raises(OSError) as caught:
            async with client(proxy):
                pass
        assert caught.value.errno == errno.ECONNREFUSED
        await proxy.heal()
        async with client(proxy) as (reader, writer):
            writer.write(b"x")
            assert await said(reader, 1) == b"x"


async def test_a_target_that_is_not_there_is_a_reset(echo: tuple[FaultProxy, Target]) -> None:
    proxy, _ = echo
    async with FaultProxy(proxy.address) as onward:
        await proxy.suffer(REFUSED)
        with pytest.raises(ConnectionResetError):
            async with client(onward) as (reader, _):
                await said(reader, 1)
        await onward.until(lambda: onward.connections == 0)


async def test_what_is_frozen_stays_dead_and_what_is_new_is_not_concerned(echo: tuple[FaultProxy, Target]) -> None:
    proxy, _ = echo
    async with client(proxy) as (old, old_writer):
        old_writer.write(b"1")
        assert await said(old, 1) == b"1"
        proxy.freeze()
        old_writer.write(b"2")
        async with client(proxy) as (reader, writer):
            writer.write(b"3")
            assert await said(reader, 1) == b"3"
        await proxy.suffer(BLACK_HOLE)
        await proxy.heal()
        await nothing_comes(old)


async def test_the_target_may_be_a_socket_in_the_file_system(tmp_path: Path) -> None:
    target = Target()
    server = await asyncio.start_unix_server(target.serve, tmp_path / "socket")
    async with FaultProxy(str(tmp_path / "socket")) as proxy, client(proxy) as (reader, writer):
        writer.write(b"1")
        assert await said(reader, 1) == b"1"
    server.close()


async def test_corruption_flips_one_bit_of_each_chunk(echo: tuple[FaultProxy, Target]) -> None:
    proxy, target = echo
    async with client(proxy) as (reader, writer):
        await proxy.suffer(replace(CORRUPTION, down=NOTHING))
        sent = b"\0" * 1_000
        writer.write(sent)
        got = await said(reader, 1_000)
    assert got == target.got
    assert sum(byte.bit_count() for byte in got) == 1, "one bit of one chunk"


async def test_breaking_off_lets_the_first_bytes_pass_and_resets(echo: tuple[FaultProxy, Target]) -> None:
    proxy, _ = echo
    async with client(proxy) as (reader, writer):
        await proxy.suffer(Trouble(down=Fault(cut_after=100)))
        writer.write(b"c" * 1_000)
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await said(reader, 1_000)
        assert proxy.passed_down == 100


async def test_a_chunk_lost_too_often_ends_the_connection(echo: tuple[FaultProxy, Target]) -> None:
    proxy, _ = echo
    await proxy.suffer(Trouble(up=Fault(loss=1 - 1e-9, resend_s=0.0)))
    async with client(proxy) as (reader, writer):
        writer.write(b"lost")
        with pytest.raises(ConnectionResetError):
            await said(reader, 4)


async def test_no_more_than_the_limit_is_held_up(echo: tuple[FaultProxy, Target]) -> None:
    proxy, target = echo
    target.answers = False
    await proxy.suffer(HALF_OPEN_THERE)
    async with client(proxy) as (_, writer):
        await proxy.suffer(HALF_OPEN_BACK)
        await proxy.suffer(HALF_OPEN_THERE)
        sent = 32 * HELD_AT_MOST
        writer.write(b"f" * sent)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await writer.drain()
        assert writer.transport.get_write_buffer_size() > sent // 4, "the proxy went on reading"
        await proxy.heal()
        await proxy.until(lambda: proxy.passed_up == sent, within_s=30)


async def test_an_end_that_does_not_read_slows_the_other_down(echo: tuple[FaultProxy, Target]) -> None:
    proxy, _ = echo
    async with client(proxy) as (reader, writer):
        sent = 24 * HELD_AT_MOST
        writer.write(b"s" * sent)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await writer.drain()
        assert len(await said(reader, sent)) == sent


@pytest.mark.parametrize("name", TROUBLES)
async def test_after_every_trouble_it_serves_again_and_nothing_stays_open(
    echo: tuple[FaultProxy, Target], name: str
) -> None:
    proxy, _ = echo
    async with proxy.suffering(TROUBLES[name]):
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
            async with client(proxy) as (reader, writer), asyncio.timeout(0.1):
                writer.write(b"t" * 10_000)
                await said(reader, 10_000)
    async with client(proxy) as (reader, writer):
        writer.write(b"well")
        assert await said(reader, 4) == b"well"
    await proxy.until(lambda: proxy.connections == 0)


async def test_closing_it_resets_what_is_open_and_refuses_what_is_new() -> None:
    async with behind_proxy() as (proxy, _):
        async with client(proxy) as (reader, writer):
            writer.write(b"1")
            assert await said(reader, 1) == b"1"
            await proxy.suffer(BLACK_HOLE)
            await proxy.close()
            with pytest.raises(ConnectionResetError):
                await said(reader, 1)
        with pytest.raises(ConnectionRefusedError):
            async with client(proxy):
                pass


async def test_who_hung_up_before_being_let_in_holds_nothing_open() -> None:
    async with FaultProxy() as proxy:
        proxy._accept()  # the event loop makes the protocol, then finds that nobody is there any more
        assert proxy.connections == 0


def test_it_does_the_same_under_uvloop() -> None:
    async def all_troubles() -> None:
        async with behind_proxy() as (proxy, _):
            for trouble in TROUBLES.values():
                async with proxy.suffering(trouble):
                    with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                        async with client(proxy) as (reader, writer), asyncio.timeout(0.1):
                            writer.write(b"t" * 10_000)
                            await said(reader, 10_000)
                async with client(proxy) as (reader, writer):
                    writer.write(b"well")
                    assert await said(reader, 4) == b"well"
            await proxy.until(lambda: proxy.connections == 0)
            await proxy.suffer(REFUSED)
            with pytest.raises(ConnectionRefusedError):
                async with client(proxy):
                    pass
            await proxy.heal()
            async with client(proxy) as (reader, writer):
                await proxy.until(lambda: proxy.connections == 1)
                await proxy.suffer(RESET)
                with pytest.raises(ConnectionResetError):
                    await said(reader, 1)

    uvloop.run(all_troubles())


def test_a_connection_that_is_closed_already_can_be_reset_under_uvloop() -> None:
    async def closed_then_reset() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        transport, _ = await loop.create_connection(asyncio.Protocol, *server.sockets[0].getsockname())
        held = transport.get_extra_info("socket")
        transport.abort()
        await asyncio.sleep(0)  # its descriptor is gone from now on
        assert held.fileno() < 0
        reset(transport)
        server.close()

    uvloop.run(closed_then_reset())


@given(st.floats(0, 1, exclude_max=True), st.floats(0, 0.99), st.floats(0, 1), st.floats(0, 1))
def test_a_delay_is_never_less_than_the_latency_and_bounded(
    luck: float, loss: float, latency_s: float, jitter_s: float
) -> None:
    fault = Fault(latency_s=latency_s, jitter_s=jitter_s, loss=loss, resend_s=0.1)
    delay_s = fault.delay_s(luck)
    assert latency_s <= delay_s <= latency_s + jitter_s + 0.1 * 2**GIVE_UP_AFTER


@given(st.floats(0.01, 0.9), st.integers(1, 5))
def test_a_chunk_is_lost_n_times_in_a_row_with_the_probability_to_the_n(loss: float, times: int) -> None:
    fault = Fault(loss=loss)
    assert fault.times_lost(1 - 0.999 * loss**times) >= times
    assert fault.times_lost(1 - min(1.0, 1.001 * loss**times)) < times


def test_troubles_are_what_their_names_say() -> None:
    assert TROUBLES["refused"].door is Door.REFUSING
    assert TROUBLES["black hole"].up.dead
    assert TROUBLES["black hole"].down.dead
    assert len(set(TROUBLES.values())) == len(TROUBLES)
