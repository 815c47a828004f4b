"""A process calls itself while there is much to do, one call at a time, again and again until one is in time."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tempfile
from pathlib import Path

import grpc
import pytest

from gateway.clock import FakeClock
from gateway.resilience.backlog import Backlog
from gateway.services.own_calls import BUSY, OwnCalls, OwnSocket
from gateway.services.own_calls import EVERY_S as OFTEN_S
from tests.unit.services.gateways_world import NOW_MS

EVERY_S = OFTEN_S * 1.01


class World:
    """A clock, calls that take as long as the test says, and how much the thread has worked."""

    def __init__(self, shed_s: float = 0.1) -> None:
        self.clock = FakeClock(NOW_MS)
        self.backlog = Backlog(shed_s)
        for _ in range(300):
            self.backlog.came(0.1)
        self.worked_s = 0.0
        self.calls: list[asyncio.Future[None]] = []
        self.own = OwnCalls(self.clock, self.backlog, lambda: self.worked_s)
        self.own.begin(self.call)

    async def call(self) -> None:
        self.calls.append(asyncio.get_running_loop().create_future())
        await self.calls[-1]

    async def look(self, after_s: float, *, many: bool = False, part: float = 0.0) -> int:
        """Some time later, of which the thread worked a part, a call comes; calls of its own by then."""
        self.clock.advance(after_s)
        self.worked_s += part * after_s
        self.own.look(self.clock.monotonic(), many=many)
        await settled()
        return len(self.calls)

    async def take_up(self, after_s: float) -> None:
        """The last call of its own is taken up so much later."""
        self.clock.advance(after_s)
        self.calls[-1].set_result(None)
        await settled()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_one_a_second_is_made_while_calls_come() -> None:
    world = World()
    for second in range(1, 4):
        assert await world.look(EVERY_S, part=BUSY * 0.9) == second
        await world.take_up(0.0)
        for _ in range(9):
            assert await world.look(EVERY_S * 0.99, part=BUSY * 0.9) == second
        world.clock.advance(0.1)


@pytest.mark.parametrize(("many", "part"), [(True, 0.0), (False, BUSY * 1.1)])
async def test_one_at_a_time_is_made_while_many_calls_are_under_way_or_the_thread_works(
    many: bool, part: float
) -> None:
    world = World()
    assert await world.look(EVERY_S * 0.9, many=many, part=part) == 0
    assert await world.look(EVERY_S, many=many, part=part) == 1
    await world.take_up(0.0)
    assert await world.look(EVERY_S * 0.9, many=many, part=part) == 1
    assert await world.look(EVERY_S * 0.2, many=many, part=part) == 2
    assert await world.look(10.0, many=many, part=part) == 2
    await world.take_up(0.0)
    assert await world.look(EVERY_S, many=many, part=part) == 3


async def test_after_a_late_one_comes_another_until_one_is_in_time() -> None:
    world = World()
    await world.look(EVERY_S, many=True)
    await world.take_up(0.3)
    assert len(world.calls) == 2
    await world.take_up(0.3)
    assert world.backlog.at(world.clock.monotonic())
    assert len(world.calls) == 3
    await world.take_up(0.05)
    assert not world.backlog.at(world.clock.monotonic())
    assert len(world.calls) == 3


def failure(code: grpc.StatusCode) -> grpc.aio.AioRpcError:
    empty = grpc.aio.Metadata()
    return grpc.aio.AioRpcError(code, empty, empty)


async def test_one_that_fails_tells_nothing_and_another_is_made_later() -> None:
    world = World()
    await world.look(EVERY_S, many=True)
    await world.take_up(0.3)
    world.calls[-1].set_exception(failure(grpc.StatusCode.UNAVAILABLE))
    await settled()
    assert not world.backlog.at(world.clock.monotonic() + 10)
    assert await world.look(EVERY_S, many=True) == 3


@pytest.mark.parametrize("code", [grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED])
async def test_one_that_is_dropped_was_late_however_soon(code: grpc.StatusCode) -> None:
    world = World()
    await world.look(EVERY_S, many=True)
    world.calls[-1].set_exception(failure(code))
    await settled()
    world.clock.advance(0.3)
    assert world.backlog.at(world.clock.monotonic())
    async with asyncio.timeout(30):
        while len(world.calls) < 2:
            await asyncio.sleep(0.01)
    await world.take_up(0.0)
    assert not world.backlog.at(world.clock.monotonic())


async def test_nobody_is_refused_because_of_what_is_not_looked_after_any_more() -> None:
    world = World()
    await world.look(EVERY_S, many=True)
    await world.take_up(0.3)
    world.calls[-1].set_exception(RuntimeError("whatever it is"))
    await settled()
    assert not world.backlog.at(world.clock.monotonic() + 10)
    assert await world.look(EVERY_S, many=True) == 3


async def test_how_long_calls_wait_is_known_from_the_last_ones_and_from_the_one_that_still_waits() -> None:
    world = World()
    assert world.own.wait_s == 0
    await world.look(EVERY_S, many=True)
    world.clock.advance(0.06)
    assert world.own.wait_s == pytest.approx(0.06)
    await world.take_up(0.02)
    assert world.own.wait_s == pytest.approx(0.08)
    await world.look(EVERY_S)  # none is made: there is not much to do, and it is not a second ago
    assert world.own.wait_s == pytest.approx(0.08)
    await world.look(10.0)
    await world.take_up(0.001)
    assert world.own.wait_s == pytest.approx(0.001, rel=1e-3)


async def test_nobody_waits_as_far_as_is_known_where_such_a_call_failed_or_none_is_made_any_more() -> None:
    world = World()
    await world.look(EVERY_S, many=True)
    await world.take_up(0.3)  # late, so that there is another
    world.clock.advance(1.0)
    assert world.own.wait_s == pytest.approx(1.0)
    world.calls[-1].set_exception(failure(grpc.StatusCode.UNAVAILABLE))
    await settled()
    assert world.own.wait_s == 0
    assert await world.look(EVERY_S, many=True) == 3
    world.clock.advance(1.0)
    await world.own.end()
    assert world.own.wait_s == 0


async def test_none_is_made_after_the_end_or_where_nothing_is_shed() -> None:
    world = World()
    await world.look(EVERY_S, many=True)
    await world.own.end()
    assert world.calls[-1].cancelled()
    assert await world.look(EVERY_S, many=True) == 1
    assert await World(shed_s=0.0).look(EVERY_S, many=True) == 0


async def test_the_socket_lies_where_nobody_else_may_enter_and_goes_with_the_server() -> None:
    server, own = grpc.aio.server(), OwnSocket()
    assert own.path is None
    assert own.listen(server)
    await server.start()
    assert own.path is not None
    assert own.path.is_socket()
    assert own.path.parent.stat().st_mode & 0o777 == 0o700
    await own.call()
    await own.close()
    await server.stop(None)
    assert not own.path.parent.exists()


async def test_what_a_killed_process_left_behind_is_removed_and_what_others_use_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        monkeypatch.setattr("tempfile.tempdir", scratch)
        left, strange = Path(scratch, "wugan-own-left"), Path(scratch, "wugan-own-new")
        for each in (left, strange):
            each.mkdir()
        with socket.socket(socket.AF_UNIX) as killed:
            killed.bind(str(left / "s"))
        server, used = grpc.aio.server(), OwnSocket()
        assert used.listen(server)
        assert not left.exists()
        await server.start()
        other = OwnSocket()
        assert other.listen(grpc.aio.server())
        await used.call()
        assert strange.exists(), "somebody is about to listen there"
        for each in (used, other):
            await each.close()
        await server.stop(None)


async def test_a_process_that_is_stuck_holds_up_nobody_and_keeps_its_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as stack:
        monkeypatch.setattr("tempfile.tempdir", scratch)
        folder = Path(scratch, "wugan-own-stuck")
        folder.mkdir()
        stuck = stack.enter_context(socket.socket(socket.AF_UNIX))
        stuck.bind(str(folder / "s"))
        stuck.listen(0)
        with contextlib.suppress(BlockingIOError):
            while True:  # until it has no room for another
                waiting = stack.enter_context(socket.socket(socket.AF_UNIX))
                waiting.setblocking(False)
                waiting.connect(str(folder / "s"))
        own = OwnSocket()
        assert own.listen(grpc.aio.server())
        assert folder.exists()
        await own.close()


async def test_a_call_to_a_server_that_has_gone_fails() -> None:
    server = grpc.aio.server()
    own = OwnSocket()
    own.listen(server)
    await server.start()
    await own.call()
    await server.stop(None)
    with pytest.raises(grpc.aio.AioRpcError):
        await own.call()
    await own.close()


async def test_a_server_without_a_folder_for_the_socket_serves_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(**_: object) -> str:
        raise OSError("no space left")

    monkeypatch.setattr("tempfile.mkdtemp", full)
    assert not OwnSocket().listen(grpc.aio.server())


async def test_a_server_whose_socket_would_have_too_long_a_path_serves_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        far = Path(scratch, "f" * 120)
        far.mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(far))
        server, own = grpc.aio.server(), OwnSocket()
        assert not own.listen(server)
        await server.start()
        await own.close()
        await server.stop(None)
        assert not list(far.iterdir())
