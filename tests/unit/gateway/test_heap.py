"""The heap of a gateway: few arenas, however many threads read."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from tests.needs import lacking

PROGRAM = """
import ctypes, sys, threading

if sys.argv[1] == "settled":
    from gateway.app.heap import settle_heap
    assert settle_heap()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
together = threading.Barrier(12)

def read():
    together.wait()
    for _ in range(100):
        assert libc.malloc(40_000)
    together.wait()

threads = [threading.Thread(target=read) for _ in range(12)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc.fdopen.restype = ctypes.c_void_p
libc.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
out = libc.fdopen(1, b"w")
libc.malloc_info(0, out)
libc.fflush(ctypes.c_void_p(out))
"""


def _arenas(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
    return len(re.findall("<heap nr=", done.stdout))


def test_threads_share_two_heaps() -> None:
    if "CS_GNU_LIBC_VERSION" not in os.confstr_names:
        lacking("the GNU C library")
    assert _arenas("settled") <= 2
    assert _arenas("as it comes") > 2
