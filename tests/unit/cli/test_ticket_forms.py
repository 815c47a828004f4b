"""A ticket as it is shown and as `check --json` gives it."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.late import ticket_of
from gateway.cli.report import as_json
from wugan.agency.v1 import agency_pb2


@given(st.binary(min_size=16, max_size=16))
def test_both_forms_name_the_same_check(ticket: bytes) -> None:
    told = str(as_json(agency_pb2.CheckResponse(late_ticket=ticket))["late_ticket"])
    assert ticket_of(ticket.hex()) == ticket
    assert ticket_of(ticket.hex().upper()) == ticket
    assert ticket_of(told) == ticket


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        "0" * 31,
        "0" * 33,
        "zz" * 16,
        base64.b64encode(bytes(15)).decode(),
        base64.b64encode(bytes(17)).decode(),
        "留" * 24,
        "AAAAAAAAAAAAAAAAAAAAAA==x",
        "A" * 22 + "=",
    ],
)
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="ticket"):
        ticket_of(text)
