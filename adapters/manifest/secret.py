"""Settings that may hold a secret: kept as written, shown as dots, opened only when an adapter is built.

Owns: `${NAME}` (environment variable) and `file:PATH` (a file of 64 KiB at most, last newline cut). Refuses: appearing
in a repr, a message or a dump, and files that somebody besides their owner can reach.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from pydantic import SecretStr

from certs.private_files import objection, opened

MAX_SECRET_BYTES = 64 * 1024
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_FILE = "file:"


class SecretMissingError(Exception):
    """A variable is not set or a file cannot be read; `en` and `zh` name it, never its value."""

    def __init__(self, en: str, zh: str) -> None:
        super().__init__(en)
        self.en = en
        self.zh = zh


def reveal(setting: SecretStr, folder: Path, *, url: bool = False, environ: Mapping[str, str] = os.environ) -> str:
    """The value of a setting.

    Args:
        setting: as written in the manifest.
        folder: of the manifest, from which a relative `file:` path counts.
        url: whether variables inside a longer text are parts of a URL and so percent-encoded.
        environ: where variables are looked up.

    Raises:
        SecretMissingError: a variable is not set, or a file cannot be read or is open to others.
    """
    text = setting.get_secret_value()
    if text.startswith(_FILE):
        return _read(folder / text.removeprefix(_FILE))
    whole = _VARIABLE.fullmatch(text)

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in environ:
            raise SecretMissingError(f"the environment variable {name} is not set", f"环境变量 {name} 未设置")
        return quote(environ[name], safe="") if url and not whole else environ[name]

    return _VARIABLE.sub(value, text)


def require_private(descriptor: int) -> None:
    """Return when an open file may hold a secret. The rule is that of `certs.private_files`, as for keys.

    Raises:
        SecretMissingError: something speaks against it.
    """
    found = objection(os.fstat(descriptor))
    if found is not None:
        en, zh = (f"; run {found.command} on it", f"，请执行 {found.command}") if found.command else ("", "")
        raise SecretMissingError(f"the secret's file: {found.en}{en}", f"{found.zh}{zh}")


def _read(path: Path) -> str:
    try:
        descriptor = opened(path)
        with open(descriptor, "rb") as stream:  # noqa: PTH123 - what is checked is what is read
            require_private(descriptor)
            data = stream.read(MAX_SECRET_BYTES + 1)
        if len(data) > MAX_SECRET_BYTES:
            raise SecretMissingError("the secret's file is larger than 64 KiB", "密钥文件超过 64 KiB")
        return data.decode().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SecretMissingError("the secret's file cannot be read as text", "无法以文本方式读取密钥文件") from error
