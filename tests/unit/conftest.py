"""For all unit tests: an event loop that a slow machine does not hurry."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from tests.patient_loop import PatientLoop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"patient": PatientLoop}
