"""Parts of a roster run on the disk: the last written counts, whoever else writes the same at that moment."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gateway.store.keys import StoreKeys
from gateway.store.parts import Parts

WRITERS = 4


def test_a_part_that_several_write_at_once_is_that_of_one_of_them(tmp_path: Path) -> None:
    keys = StoreKeys(bytes(32))
    for number in range(10):
        folder = Parts(tmp_path, keys).folder(f"run-{number}")
        together = threading.Barrier(WRITERS)

        def write(content: bytes, folder=folder, together=together) -> int:  # type: ignore[no-untyped-def]
            together.wait()
            return folder.write("result-1", content)

        with ThreadPoolExecutor(WRITERS) as pool:
            contents = [bytes([writer]) * 4096 for writer in range(WRITERS)]
            list(pool.map(write, contents))
        assert folder.read("result-1") in contents
        assert folder.names() == ["result-1"]
