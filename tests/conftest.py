"""Shared by all tests: gRPC is held to TLS 1.3, moves bytes as in a gateway, and is quiet about refused handshakes,
before any test module loads it.

Bytecode is kept, whatever the environment says: the tests start hundreds of Python processes, and each would compile
the whole gateway anew. Loggers are not: one kept under the settings of a test would be deaf to all later ones. No
example of a property is held to a time, which tells of the machine. Files are kept in memory (tests/scratch.py), and
no longer than a test that passed. Passphrases are stretched hardly at all: there are thousands. The collector leaves
alone what collecting made, which stays to the end. Nobody trusts the authorities that the machine knows: whoever loads
aiohttp would read all of them, twice.
"""

import functools
import gc
import os
import sys
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import structlog

from certs import require_tls13, sealed_key
from gateway.grpc_engine import settle_engine
from tests import scratch
from tests.by_file import ByFile

sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")  # of no use in a fork that becomes a program
os.environ.setdefault("SSL_CERT_FILE", os.devnull)
gc.disable()  # until all modules are loaded and all tests collected
scratch.choose()
require_tls13()
settle_engine()
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

_configure = structlog.configure


@functools.wraps(_configure)
def _configure_for_one_test(**settings: object) -> None:
    _configure(**(settings | {"cache_logger_on_first_use": False}))  # type: ignore[arg-type]


structlog.configure = _configure_for_one_test


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile | None:
    return ByFile(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_finish() -> None:
    """From here on what is made is thrown away again, most of it at once."""
    gc.freeze()
    gc.enable()
    gc.set_threshold(10_000, 20, 20)


@pytest.fixture(scope="session", autouse=True)
def _passphrases_soon_opened() -> Iterator[None]:
    """In this process; commands that tests start stretch them as ever."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealed_key, "ROUNDS", 2048)
        yield


@pytest.fixture(autouse=True)
def _logging_of_one_test() -> Iterator[None]:
    """A test that sets up logging does so for itself."""
    yield
    if structlog.is_configured():
        structlog.reset_defaults()
