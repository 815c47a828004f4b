"""The conformance kit over the kind `table` on a real MariaDB server: `python -m tests.mariadb`.

The server is Debian's (`apt-get install mariadb-server`), started in a folder of its own on a free port, and stopped in
the end. It is no part of `make test`: to fetch and set up the server takes longer than what it proves is worth each
time.
Prints one JSON object; exit code 1 where a case is not passed.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pymysql

from adapters.database import Database, DatabaseError, Work
from tests.unit.adapters import conformance_sources as sources
from tests.unit.adapters.adapters_world import BO

_ROW = ", ".join(["%s"] * len(sources.COLUMNS))


@contextmanager
def server(folder: Path) -> Iterator[int]:
    """A server for the length of the block; its port. Who may come in: `reader`, from this machine."""
    data, program = folder / "data", shutil.which("mariadbd") or "/usr/sbin/mariadbd"
    me = subprocess.run(["id", "-un"], check=True, capture_output=True, text=True).stdout.strip()
    make = [
        "mariadb-install-db",
        "--no-defaults",
        f"--datadir={data}",
        f"--user={me}",
        "--auth-root-authentication-method=normal",
    ]
    subprocess.run(make, check=True, capture_output=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    options = [f"--datadir={data}", f"--user={me}", f"--port={port}", "--bind-address=127.0.0.1"]
    options += [f"--socket={folder / 'socket'}", f"--pid-file={folder / 'pid'}", "--character-set-server=utf8mb4"]
    with subprocess.Popen([program, "--no-defaults", *options], stderr=subprocess.DEVNULL) as running:
        try:
            until = time.monotonic() + 60
            while True:
                try:
                    root(port).close()
                    break
                except pymysql.OperationalError:
                    if time.monotonic() > until:
                        raise
                    time.sleep(0.1)
            yield port
        finally:
            running.terminate()


def root(port: int, database: str | None = None) -> pymysql.Connection[pymysql.cursors.Cursor]:
    return pymysql.connect(
        host="127.0.0.1", port=port, user="root", database=database, autocommit=True, charset="utf8mb4"
    )


async def run(folder: Path) -> dict[str, object]:
    """What came of it."""
    with server(folder) as port, closing(root(port)) as db:
        kinds = {"seq": "BIGINT", "id": "CHAR(18)"}
        columns = ", ".join(f"`{name}` {kinds.get(name, 'VARCHAR(600)')}" for name in sources.COLUMNS)
        cursor = db.cursor()
        for sql in (
            "CREATE DATABASE share CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
            "CREATE USER reader@localhost IDENTIFIED BY 'reads'",
            "CREATE USER reader@'127.0.0.1' IDENTIFIED BY 'reads'",
            "GRANT ALL ON share.* TO reader@localhost",
            "GRANT ALL ON share.* TO reader@'127.0.0.1'",
            "USE share",
            f"CREATE TABLE stays ({columns}, INDEX by_id (id))",
            "CREATE TABLE pairs (old CHAR(18), new CHAR(18))",
        ):
            cursor.execute(sql)
        cursor.executemany(f"INSERT INTO stays VALUES ({_ROW})", sources.ROWS)
        cursor.executemany("INSERT INTO pairs VALUES (%s, %s)", sources.PAIRS)
        made = len(sources.ROWS)

        async def stir() -> Sequence[str]:
            nonlocal made
            made += 1
            cursor.execute(f"INSERT INTO stays VALUES ({_ROW})", sources.another(made))
            return [BO]

        url = f"mysql+pymysql://reader:reads@127.0.0.1:{port}/share"
        report = await sources.report_on(folder, sources.table_text(url), stir)
        cursor.execute("SELECT VERSION()")
        version = cursor.fetchone()
        return {
            "server": str(version[0]) if version else "",
            "conforms": report.conforms,
            "passed": len(report.results) - len(sources.not_passed(report)),
            "not_passed": sources.not_passed(report),
            **bounds(url, folder),
        }


def bounds(url: str, folder: Path) -> dict[str, object]:
    """That a session may not write, and that a statement that takes too long is ended."""
    database = Database(url, folder=folder, schema=None, chunk=None, timeout_s=0.5)
    told: dict[str, object] = {}
    for name, sql in (("write", "INSERT INTO pairs VALUES ('1', '2')"), ("slow", "SELECT SLEEP(20) FROM pairs")):
        began = time.monotonic()
        try:
            database._run(sql, (), Work())
            told[name] = "was let"
        except DatabaseError as error:
            told[name] = f"refused ({error.kind}) in {time.monotonic() - began:.1f} s"
    database.close()
    return told


def main() -> None:
    """Print it."""
    with tempfile.TemporaryDirectory(prefix="wugan-mariadb-") as scratch:
        Path(scratch).chmod(0o755)
        told = asyncio.run(run(Path(scratch)))
    print(json.dumps(told, ensure_ascii=False), flush=True)
    good = told["conforms"] and not told["not_passed"] and "was let" not in told.values()
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
