"""Why the authority refuses reaches the member's administrator, in both languages."""

from __future__ import annotations

import json

import pytest

from certs import est_client
from gateway.errors import RefusedError
from gateway.federation import authority_client
from gateway.federation.retrying import failed_by
from gateway.observing import calls
from tests.unit.services.gateways_world import status_of
from wugan.federation.v1 import vocabulary_pb2 as words


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("the certificate is revoked\n该证书已被吊销\n", ("the certificate is revoked", "该证书已被吊销")),
        ("no such\x00 label\r\n", ("no such  label", "no such  label")),
        ("证书已被吊销", ("证书已被吊销", "证书已被吊销")),
        ("", ("", "")),
    ],
)
def test_an_est_server_is_understood_in_one_language_or_two(text: str, told: tuple[str, str]) -> None:
    assert est_client.reasons(text) == told


def test_the_authority_is_quoted_in_both_languages() -> None:
    problem = {"title": "STRANGER", "detail": "the certificate\nwas revoked", "detail_zh": "证书已被吊销"}
    assert authority_client.reasons(json.dumps(problem).encode()) == ("the certificate was revoked", "证书已被吊销")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"detail": "x"}', b"\xff", b"[" * 100_000])
def test_where_it_gives_no_reason_that_is_said(body: bytes) -> None:
    assert "its log" in authority_client.reasons(body)[0]


def test_who_asks_can_tell_that_it_is_the_gateway_that_the_other_province_refuses() -> None:
    stranger = RefusedError("was revoked", "已被吊销", reason=words.REFUSAL_REASON_STRANGER)
    error = failed_by(status_of(stranger)).error
    assert (error.code, "this province's gateway" in error.en, "本省网关" in error.zh) == ("STRANGER", True, True)
    assert failed_by(status_of(RefusedError("wrong", "有误"))).error.en == "wrong"


@pytest.mark.parametrize("reason", sorted(calls.BETWEEN_GATEWAYS))
def test_a_message_that_is_not_accepted_there_is_not_taken_for_a_wrong_field(
    reason: words.RefusalReason.ValueType,
) -> None:
    error = failed_by(status_of(RefusedError("rejected", "已拒绝", reason=reason))).error
    assert error.reason == reason
    assert "whatever is asked" in error.en
    assert "本省网关管理员" in error.zh
    assert "rejected" in error.en
    assert "已拒绝" in error.zh
