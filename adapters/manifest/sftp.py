"""A folder on an SFTP server into which a department drops files: the settings.

Owns: where it is, who one is there, and by which key the server is known. Refuses: a server whose key is not written
down, and passwords in the manifest itself.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, StringConstraints, model_validator

from adapters.manifest.vocabulary import Settings, problem

HOST_KEY_KINDS = (*("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa"),)
_HIDDEN = re.compile(r"(\$\{[A-Za-z_][A-Za-z0-9_]*\}|file:.+)")


def _host_key(value: str) -> str:
    parts = value.split()
    kind, blob = (parts[0], parts[1]) if len(parts) in {2, 3} else ("", "")
    try:
        data = base64.b64decode(blob, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if kind not in HOST_KEY_KINDS or not data.startswith(len(kind).to_bytes(4, "big") + kind.encode()):
        raise problem(
            "is not a server's public key, like `ssh-ed25519 AAAA…` (from ssh-keyscan, without the host's name); "
            f"of the kinds {', '.join(HOST_KEY_KINDS)}",
            "不是服务器公钥，应如 `ssh-ed25519 AAAA…`（取自 ssh-keyscan，不含主机名）；"
            f"类型为 {'、'.join(HOST_KEY_KINDS)}",
        )
    return f"{kind} {blob}"


def _hidden(value: SecretStr) -> SecretStr:
    if not _HIDDEN.fullmatch(value.get_secret_value()):
        raise problem(
            "a password does not stand in the manifest: write ${VARIABLE} or file:PATH",
            "口令不写在清单中，请写 ${变量名} 或 file:路径",
        )
    return value


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Hidden: TypeAlias = Annotated[SecretStr, AfterValidator(_hidden)]
HostKey: TypeAlias = Annotated[str, StringConstraints(max_length=4096), AfterValidator(_host_key)]


class Sftp(Settings):
    """A folder on an SFTP server.

    Args:
        host: name or address of the server.
        port: of the server.
        user: who one is there.
        key: file of the private key, mode 0600; a relative path counts from the manifest.
        passphrase: of the key; `${VARIABLE}` or `file:PATH`.
        password: instead of a key; `${VARIABLE}` or `file:PATH`.
        host_key: the server's public key, or several while it changes; no other is believed.
        folder: on the server; a relative path counts from where the user comes in.
        timeout_s: for coming in, for the list of files, and for each piece of one.
        transfer_s: for one file.
    """

    host: Annotated[str, StringConstraints(max_length=253, pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9._:-]*[A-Za-z0-9])?$")]
    port: int = Field(22, ge=1, le=65535)
    user: Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\s\x00-\x1f\x7f]+$")]
    key: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)] | None = None
    passphrase: Hidden | None = None
    password: Hidden | None = None
    host_key: Annotated[tuple[HostKey, ...], BeforeValidator(_listed)] = Field(min_length=1, max_length=8)
    folder: Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=r"^[^\x00-\x1f\x7f]+$")]
    timeout_s: float = Field(20.0, gt=0, le=300)
    transfer_s: float = Field(1800.0, gt=0, le=86_400)

    @model_validator(mode="after")
    def _complete(self) -> Sftp:
        if (self.key is None) == (self.password is None):
            raise problem("give exactly one of: key, password", "须且只能写一个：key、password")
        if self.passphrase is not None and self.key is None:
            raise problem("`passphrase` goes with `key`", "passphrase 须与 key 同用")
        return self
