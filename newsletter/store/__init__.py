"""The database: engine, sessions, the tables of newsletter, and one migration history for all tables.

SQLite in WAL mode is the default. A writer begins with ``BEGIN IMMEDIATE``: a transaction that first reads and then
writes would otherwise fail at once when another writer came between (SQLite documentation, "Isolation In SQLite").
``synchronous=FULL`` makes every commit survive a power cut, which the ledger relies on.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor
from sqlalchemy.exc import DBAPIError, NoSuchModuleError
from sqlalchemy.pool import ConnectionPoolEntry
from sqlmodel import Session, create_engine

from newsletter.problems import Misconfigured

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_SECONDS = 30
"""How long a writer waits for another one before it gives up."""


class StoreError(Misconfigured):
    """The database cannot be used. The text says what, why, and the command that mends it."""


class Store:
    """The database of one newsletter.

    ``url`` is an SQLAlchemy URL. ``read_only`` opens an SQLite file so that no statement can change it.
    ``beside`` is the folder for what belongs beside a database that is no file.
    """

    def __init__(self, url: str, *, read_only: bool = False, beside: Path | None = None) -> None:
        self.url = url
        self.read_only = read_only
        self.file = sqlite_file(url)
        self.beside = self.file.parent if self.file else beside
        self.engine = _engine(url, read_only)

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session that commits at the end, or not at all. It waits for other writers at its begin."""
        with self.begin() as connection, Session(connection, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """As `write`, without what a session costs: for the statements that run for every few messages."""
        with self.engine.connect() as plain:
            connection = plain.execution_options(newsletter_writes=True)
            with connection.begin():
                yield connection

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session over one snapshot; what it holds is thrown away."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def open_store(url: str, *, read_only: bool = False, beside: Path | None = None) -> Store:
    """Open the database, make it when it is missing, and bring its schema up to date. ``beside``: see `Store`.

    Raises StoreError: missing while ``read_only``, newer than this program, not a database, or out of reach.
    """
    file = sqlite_file(url)
    if file is not None:
        if read_only and not file.is_file():
            raise StoreError(f"{file}: there is no database yet; `newsletter build` makes one")
        if not read_only:
            _make_folder(file)
    store = Store(url, read_only=read_only, beside=beside)
    try:
        _bring_up_to_date(store)
    except DBAPIError as error:
        store.close()
        raise StoreError(f"{file or make_url(url).render_as_string()}: {_reason(error)}") from error
    return store


def sqlite_file(url: str) -> Path | None:
    """The file behind an SQLite URL; None for another database, or one in memory."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        return None
    return Path(parsed.database)


def head() -> str:
    """The newest schema that this program knows: the first part of the newest migration's file name."""
    return max(path.stem.split("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def _bring_up_to_date(store: Store) -> None:
    current = _schema_of(store.engine)
    if current == head():
        return
    if current and current > head():
        raise StoreError(
            f"the database has schema {current} and this program knows {head()}; install the newer program again"
        )
    if store.read_only:
        raise StoreError(
            "the database has an older schema; any command that writes, such as `newsletter fetch`, updates it"
        )
    _migrate(store)


def _schema_of(engine: Engine) -> str:
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return ""
        return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one())


def _migrate(store: Store) -> None:
    """Run the migrations in one transaction. Alembic is imported here: it takes longer than most commands."""
    from alembic import command
    from alembic.config import Config as AlembicConfig

    settings = AlembicConfig()
    settings.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with store.engine.connect() as plain:
        connection = plain.execution_options(newsletter_writes=True)
        with connection.begin():
            settings.attributes["connection"] = connection
            command.upgrade(settings, "head")


def _make_folder(file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Readers' addresses stand in it: SQLite gives its -wal and -shm files the mode of the database.
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise StoreError(
            f"{file.parent}: cannot be made ({error.strerror}); set data.folder to another place"
        ) from error


def _engine(url: str, read_only: bool) -> Engine:
    file = sqlite_file(url)
    if make_url(url).get_backend_name() != "sqlite":
        return _server_engine(url)
    target = url if file is None or not read_only else f"sqlite:///file:{_quoted(file)}?mode=ro&uri=true"
    engine = create_engine(target, connect_args={"timeout": BUSY_SECONDS}, hide_parameters=True)
    event.listen(engine, "connect", _prepare_read_only if read_only else _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _server_engine(url: str) -> Engine:
    try:
        return create_engine(url, hide_parameters=True)
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        kind = make_url(url).drivername
        raise StoreError(
            f"data.database_url: the driver for {kind} is not installed ({error}); for PostgreSQL, install the extra "
            "`postgres` and begin the URL with postgresql+psycopg://"
        ) from error


def _quoted(file: Path) -> str:
    """The path as an SQLite URI needs it."""
    return str(file.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _prepare(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    # The driver must not begin transactions of its own: _begin does (SQLAlchemy documentation, "pysqlite").
    connection.isolation_level = None
    cursor = connection.cursor()
    _use_wal(cursor)
    for pragma in ("synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _use_wal(cursor: DBAPICursor) -> None:
    """Switch to WAL, once for the life of the file.

    SQLite does not call its busy handler for this switch (documentation of sqlite3_busy_handler), so two processes
    that make the same database would fail where every other statement waits.
    """
    ends = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.02)


def _prepare_read_only(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    connection.isolation_level = None


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("newsletter_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _reason(error: DBAPIError) -> str:
    reason = str(error.orig)
    if "file is not a database" in reason or "malformed" in reason:
        return f"{reason}; put a backup in its place"
    if "readonly" in reason or "unable to open" in reason:
        return f"{reason}; check the permissions of the file and its folder"
    return reason
