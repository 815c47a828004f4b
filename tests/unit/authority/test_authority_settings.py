"""What is wrong in `authority.toml` is said in words of each language."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.authority.settings import load_settings
from gateway.errors import ConfigError

WRONG = {
    "federation": 'federation = "Not a name"',
    "service.public_url": 'federation = "test.wugan.internal"\n[service]\npublic_url = "ftp://ca.example"',
    "service.listen": 'federation = "test.wugan.internal"\n[service]\nlisten = "here"',
    "life.timestamp_h": 'federation = "test.wugan.internal"\n[life]\ntimestamp_h = 0',
}


@pytest.mark.parametrize("field", WRONG)
def test_what_is_wrong_is_said_without_a_word_of_the_other_language(tmp_path: Path, field: str) -> None:
    (tmp_path / "authority.toml").write_text(WRONG[field], "utf-8")
    with pytest.raises(ConfigError) as caught:
        load_settings(tmp_path)
    assert caught.value.field == field
    assert not re.search(r"[\u4e00-\u9fff]", caught.value.en)
    said = caught.value.zh.partition(f"{field}：")[2]
    assert said
    assert not re.search(r"[a-z]+ [a-z]+ [a-z]+", said), said
