"""What loading the gateway does to numpy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.needs import lacking

PROGRAM = "import gateway, numpy, os; print(len(os.listdir('/proc/self/task')))"


def test_the_blas_has_no_threads() -> None:
    """They would spin for a millisecond after each product of matrices."""
    if (os.cpu_count() or 1) < 2 or not Path("/proc/self/task").is_dir():
        lacking("Linux with two processors")
    bare = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=bare, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1"]
