"""One rule for files that hold secrets, whoever reads them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from adapters.manifest.secret import SecretMissingError, reveal
from certs.errors import KeyFileError
from certs.files import read_secret
from certs.private_files import objection

ME = 4711


def status(mode: int, owner: int) -> os.stat_result:
    return os.stat_result((mode, 0, 0, 1, owner, owner, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("mode", "owner", "command"),
    [
        (stat.S_IFREG | 0o600, ME, None),
        (stat.S_IFREG | 0o400, 0, None),
        (stat.S_IFREG | 0o640, ME, "chmod 600"),
        (stat.S_IFREG | 0o601, 0, "chmod 600"),
        (stat.S_IFREG | 0o600, ME + 1, f"chown {ME}"),
        (stat.S_IFIFO | 0o600, ME, ""),
        (stat.S_IFDIR | 0o700, ME, ""),
    ],
)
def test_a_secret_lies_in_a_regular_file_of_ours_that_nobody_else_reaches(
    monkeypatch: pytest.MonkeyPatch, mode: int, owner: int, command: str | None
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: ME)
    found = objection(status(mode, owner))
    assert (None if found is None else found.command) == command
    assert found is None or (found.en and found.zh)


@pytest.mark.parametrize("what", ["open to others", "another user's", "a pipe"])
def test_keys_and_secrets_of_manifests_are_refused_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    path, fstat = tmp_path / "secret", os.fstat
    if what == "a pipe":
        os.mkfifo(path, 0o600)
    else:
        path.write_text("hunter2\n")
        path.chmod(0o640 if what == "open to others" else 0o600)
    if what == "another user's":
        monkeypatch.setattr(os, "fstat", lambda descriptor: status(fstat(descriptor).st_mode, ME))
        monkeypatch.setattr(os, "geteuid", lambda: ME + 1)
    with pytest.raises(KeyFileError) as of_keys:
        read_secret(path)
    with pytest.raises(SecretMissingError) as of_manifests:
        reveal(SecretStr("file:secret"), tmp_path)
    found = objection(path.stat()) if what != "another user's" else objection(status(stat.S_IFREG | 0o600, ME))
    assert found is not None
    for error in (of_keys.value, of_manifests.value):
        assert found.en in error.en
        assert found.zh in error.zh
        assert found.command in error.en
        assert found.command in error.zh
