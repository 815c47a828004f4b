"""`wugan adapter self push`: whom a file names, and that nobody in it is left out without a word."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import adapter_self
from wugan.adapter.v1 import registry_pb2

NUMBERS = ("330702195001010017", "330702195001010025", "H1234567(8)")


@pytest.fixture
def pushed(monkeypatch: pytest.MonkeyPatch) -> list[registry_pb2.PushChangesRequest]:
    """What would go to the gateway, call by call."""
    taken: list[registry_pb2.PushChangesRequest] = []

    class Stub:
        async def PushChanges(self, request: registry_pb2.PushChangesRequest, timeout: float) -> None:
            taken.append(request)

    async def called(
        address: str, folder: Path, work: adapter_self.Callable[[Stub], adapter_self.Awaitable[None]]
    ) -> None:
        await work(Stub())

    monkeypatch.setattr(adapter_self, "_called", called)
    return taken


def push(folder: Path, data: bytes | None) -> tuple[int, str]:
    """Exit code and what is said."""
    file = folder / "changed.csv"
    if data is not None:
        file.write_bytes(data)
    given = [] if data is None else [str(file)]
    ran = CliRunner(env={"WUGAN_LANG": "en"}).invoke(
        adapter_self.self_, ["push", *given, "--gateway", "gateway.example:1", "--certs", str(folder)]
    )
    return ran.exit_code, ran.output


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_a_file_as_departments_save_it_names_its_people(
    encoding: str, tmp_path: Path, pushed: list[registry_pb2.PushChangesRequest]
) -> None:
    lines = ["身份证号,姓名", f"{NUMBERS[0]},张建国", "", f'"{NUMBERS[1]}","李桂兰"', NUMBERS[2]]
    assert push(tmp_path, "\r\n".join(lines).encode(encoding)) == (0, "3 people told of\n")
    assert list(pushed[0].people.held_id_number) == list(NUMBERS)
    assert list(pushed[0].people.held_name) == ["张建国", "李桂兰", ""]


def test_more_people_than_one_call_takes_go_in_several(
    tmp_path: Path, pushed: list[registry_pb2.PushChangesRequest]
) -> None:
    data = "".join(f"{number}\n" for number in range(110000195001010000, 110000195001010000 + 5_001)).encode()
    assert push(tmp_path, data) == (0, "5001 people told of\n")
    assert [len(each.people.held_id_number) for each in pushed] == [5_000, 1]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (f"{NUMBERS[0]},张建国\n张三,{NUMBERS[1]}\n".encode(), ":2: begins with no identity number"),
        (b"", "names nobody"),
        (b"\xff\xff\xff", ":1: not text in UTF-8 or GB 18030"),
        (f"{NUMBERS[0]}\n".encode() * ((adapter_self.MAX_PUSH_BYTES // 19) + 1), "larger than"),
    ],
)
def test_a_file_that_is_not_read_whole_is_not_pushed_in_part(
    data: bytes, said: str, tmp_path: Path, pushed: list[registry_pb2.PushChangesRequest]
) -> None:
    code, output = push(tmp_path, data)
    assert (code, said in output, pushed) == (2, True, []), output
    assert not any(number in output for number in NUMBERS)


def test_without_a_file_the_adapters_own_changes_are_looked_at(
    tmp_path: Path, pushed: list[registry_pb2.PushChangesRequest]
) -> None:
    assert push(tmp_path, None) == (0, "the adapter's own changes are looked at now\n")
    assert [len(each.people.held_id_number) for each in pushed] == [0]
