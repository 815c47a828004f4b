"""The C library's heap of a gateway: what worker threads freed goes back to the system.

Owns: three parameters of glibc's allocator, set before there are threads. Refuses: Python's own objects, which have an
allocator of theirs, and other C libraries, whose heaps are as they are.

Large questions are read from departments in a dozen threads. By default each thread gets a heap of its own that keeps
what was once in it, and the larger the pieces that were freed, the larger the pieces that are kept: a gateway that is
through with a roster would go on holding half as much again as it needs.
"""

from __future__ import annotations

import ctypes
import os
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_ARENA_MAX: Final = -8
"""Parameters of mallopt(3), by glibc's malloc.h."""

_ARENAS: Final = 2
_KEPT_BYTES: Final = 131_072
"""glibc's own defaults before it adapts them: larger pieces come from the system and go back to it."""


def settle_heap() -> bool:
    """Set the parameters; whether there was a heap of glibc's to set them for."""
    try:
        glibc = os.confstr("CS_GNU_LIBC_VERSION")
    except (AttributeError, OSError, ValueError):
        return False
    if not glibc:
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = ((_ARENA_MAX, _ARENAS), (_MMAP_THRESHOLD, _KEPT_BYTES), (_TRIM_THRESHOLD, _KEPT_BYTES))
    done = [mallopt(name, value) for name, value in settings]
    return done == [1, 1, 1]
