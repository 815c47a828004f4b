"""CA certificates that a server gives again are not read again, and others are."""

from __future__ import annotations

from pathlib import Path

import pytest

from certs import est_client, est_wire
from certs.authority import Authority
from certs.errors import EstError
from tests.unit.certs.conftest import NOW


def test_the_same_answer_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority.create(tmp_path / "ca", "test.wugan.internal", now=NOW, loopback=True)
    issuing = authority.issuing.all[0].certificate
    read: list[bytes] = []
    parse = est_wire.parse_certs_only

    def parsed(body: bytes) -> object:
        read.append(body)
        return parse(body)

    monkeypatch.setattr(est_wire, "parse_certs_only", parsed)
    one, both = (est_wire.certs_only(each) for each in ([authority.root], [authority.root, issuing]))
    est_client._given.cache_clear()
    assert est_client._given(one) == est_client._given(one) == (authority.root,)
    assert set(est_client._given(both)) == {authority.root, issuing}
    assert est_client._given(one) == (authority.root,)
    assert read == [one, both, one], "that of last time alone is kept"
    for _ in range(2):
        with pytest.raises(EstError):
            est_client._given(b"!")
    assert read[3:] == [b"!", b"!"], "what is none is judged each time"
    authority.close()
