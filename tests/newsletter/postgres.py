"""A PostgreSQL of the tests' own: a cluster in a temporary folder, reached by a socket in it."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import sqlalchemy
from sqlalchemy.exc import OperationalError

from newsletter.store import open_store

USER = "newsletter"


def missing() -> str:
    """Why there can be no PostgreSQL here; empty when there can."""
    if find_spec("psycopg") is None:
        return "psycopg is not installed (the extra `postgres`)"
    if _program("initdb") is None or _program("postgres") is None:
        return "PostgreSQL is not installed (postgresql)"
    return ""


def _program(name: str) -> str | None:
    """A program of PostgreSQL: Debian keeps them off PATH, in a folder for each version."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return shutil.which(name, path=os.pathsep.join([*map(str, folders), os.environ.get("PATH", "")]))


@dataclass
class Cluster:
    """A running server. Every database is a copy of one that has the schema."""

    folder: Path
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def url(self, database: str) -> str:
        """The address of a database."""
        return f"postgresql+psycopg://{USER}@/{database}?host={self.folder}"

    def database(self) -> str:
        """The address of a new database with the current schema."""
        name = f"test{next(self._numbers)}"
        self._administer(f"CREATE DATABASE {name} TEMPLATE empty")
        return self.url(name)

    def prepare(self) -> None:
        """Make the database that all are copied from."""
        self._administer("CREATE DATABASE empty")
        open_store(self.url("empty")).close()

    def _administer(self, statement: str) -> None:
        engine = sqlalchemy.create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)
        engine.dispose()

    def wait(self, server: subprocess.Popen[bytes]) -> None:
        """Return when the server answers."""
        ends = time.monotonic() + 30
        while True:
            try:
                self._administer("SELECT 1")
                return
            except OperationalError:
                if server.poll() is not None or time.monotonic() > ends:
                    raise
                time.sleep(0.1)


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A server until the end. (It refuses to run as root: then it is the account that the package makes.)"""
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    user = "postgres" if os.getuid() == 0 else None
    if user:
        shutil.chown(folder, user)
    initdb, postgres = _program("initdb"), _program("postgres")
    assert initdb and postgres
    data = str(folder / "data")
    made = [initdb, "-D", data, "-U", USER, "-A", "trust", "--no-sync", "--encoding=UTF8", "--locale=C"]
    subprocess.run(made, user=user, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={folder}", "-c", "fsync=off"]
    server = subprocess.Popen(
        [postgres, "-D", data, *options], user=user, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        found = Cluster(folder)
        found.wait(server)
        found.prepare()
        yield found
    finally:
        server.send_signal(signal.SIGINT)  # fast shutdown (PostgreSQL documentation, "Shutting Down the Server")
        server.wait(30)
        shutil.rmtree(folder, ignore_errors=True)
