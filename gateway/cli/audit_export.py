"""Writing the audit trail, or a part of it, to a file for an auditor.

Owns: the file: new, readable by its owner alone, whole or not there. Refuses: replacing one, and holding more of the
trail in memory than a page.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from certs.system_words import cause
from gateway.cli.audit_shown import csv_head, csv_rows, json_rows
from gateway.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from gateway.store.chain import ChainHead
    from gateway.store.engine import Store
    from gateway.store.trail import Found, Sought


class Export(NamedTuple):
    """What was written.

    Args:
        events: how many.
        sha256: of the file.
        last: head of the trail when it was written.
        broken: where the trail does not hold; None: it is whole.
    """

    events: int
    sha256: str
    last: ChainHead
    broken: StoreError | None

    def data(self) -> dict[str, Any]:
        """The same for programs."""
        head = {"sequence": self.last.sequence, "mac": self.last.mac.hex()}
        return {"events": self.events, "sha256": self.sha256, "head": head, "whole": self.broken is None}


async def write(store: Store, sought: Sought, path: Path, page: int) -> Export:
    """Write the events that are looked for, up to the head of this moment.

    Raises:
        ConfigError: the file is there already, or cannot be written.
        StoreError: the trail cannot be read.
    """
    last, broken = await store.audit.head(), None
    try:
        await store.audit.verify_chain([last])
    except StoreError as error:
        if error.retryable:
            raise
        broken = error
    temporary = path.parent / f".{path.name}.{secrets.token_hex(8)}.tmp"
    try:
        with _new(temporary, path) as file:
            events, digest = await _write(store, sought, file, last.sequence, page, csv=path.suffix.lower() == ".csv")
    except FileExistsError as error:
        raise ConfigError(f"{path}: is there already", f"{path}：文件已存在，不会覆盖") from error
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be written ({cause(error).en})", f"{path}：无法写入（{cause(error).zh}）"
        ) from error
    return Export(events, digest, last, broken)


@contextlib.contextmanager
def _new(temporary: Path, path: Path) -> Iterator[IO[bytes]]:
    """A file to be written, which gets its name when the block ends well, unless that is taken."""
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        path.hardlink_to(temporary)
    finally:
        temporary.unlink(missing_ok=True)


async def _write(store: Store, sought: Sought, file: IO[bytes], until: int, page: int, *, csv: bool) -> tuple[int, str]:
    """How many events were written, and the file's digest."""
    digest = hashlib.sha256()

    def put(text: str) -> None:
        data = text.encode()
        digest.update(data)
        file.write(data)

    def put_rows(found: Sequence[Found]) -> None:
        put(csv_rows(found) if csv else json_rows(found))

    if csv:
        put(csv_head())
    events = after = 0
    while found := await store.trail.oldest(sought, after=after, limit=page):
        after = found[-1].sequence
        kept = [each for each in found if each.sequence <= until]
        await asyncio.to_thread(put_rows, kept)
        events += len(kept)
        if len(kept) < len(found):
            break
    return events, digest.hexdigest()
