"""The database: engine, sessions, the tables of newsletter, and one migration history for all tables.

SQLite in WAL mode is the default. A writer begins with ``BEGIN IMMEDIATE``: a transaction that first reads and then
writes would otherwise fail at once when another writer came between (SQLite documentation, "Isolation In SQLite").
``synchronous=FULL`` makes every commit survive a power cut, which the ledger relies on.
"""

from __future__ import annotations

import datetime as dt
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor
from sqlalchemy.exc import DBAPIError, NoSuchModuleError
from sqlalchemy.pool import ConnectionPoolEntry
from sqlmodel import Session, create_engine

from newsletter.store import at_work, copies
from newsletter.store.troubles import StoreBusy, StoreError, damaged, in_words, is_busy

__all__ = ["BUSY_SECONDS", "MIGRATIONS", "Store", "StoreBusy", "StoreError", "Updated", "head", "open_store"]

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_SECONDS = 60.0
"""How long a writer waits for another one before it gives up; ``?timeout=`` in the URL says it otherwise."""


@dataclass(frozen=True, slots=True)
class Updated:
    """That a schema was brought up to date: from which to which, and the copy of the database as it was."""

    before: str
    after: str
    backup: Path | None


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
        self.updated: Updated | None = None
        """What opening it did to its schema."""
        self._at_work: int | None = None

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session that commits at the end, or not at all. It waits for other writers at its begin.

        Raises StoreBusy when they take too long, and StoreError when file or disk are not as they should be.
        """
        with self.begin() as connection, Session(connection, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """As `write`, without what a session costs: for the statements that run for every few messages."""
        with in_words(self.file), self.engine.connect() as plain:
            connection = plain.execution_options(newsletter_writes=True)
            with connection.begin():
                yield connection

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session over one snapshot; what it holds is thrown away. Raises as `write` does."""
        with in_words(self.file), Session(self.engine, expire_on_commit=False) as session:
            yield session

    def join(self) -> None:
        """Keep a restore away until `close`."""
        if self.file is not None and self._at_work is None:
            self._at_work = at_work.join(self.file, _busy_seconds(self.url), make=not self.read_only)

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()
        at_work.leave(self._at_work)
        self._at_work = None


def open_store(url: str, *, read_only: bool = False, beside: Path | None = None, thorough: bool = False) -> Store:
    """Open the database, make it when it is missing, and bring its schema up to date. ``beside``: see `Store`.

    ``thorough`` reads all of an SQLite file first, since damage in its middle shows nowhere else (0.2 s for 100 MB).
    Raises StoreError: missing while ``read_only``, newer than this program, damaged, not a database, or out of reach;
    and StoreBusy.
    """
    file = sqlite_file(url)
    if file is not None:
        if read_only and not file.is_file():
            raise StoreError(f"{file}: there is no database yet; `newsletter build` makes one")
        if not read_only:
            _make_folder(file)
    store = Store(url, read_only=read_only, beside=beside)
    try:
        store.join()
        with in_words(file):
            if thorough and file is not None:
                _refuse_damage(store, file)
            update(store)
    except DBAPIError as error:
        store.close()
        raise StoreError(f"{make_url(url).render_as_string()}: {error.orig}") from error
    except BaseException:
        store.close()
        raise
    return store


def _refuse_damage(store: Store, file: Path) -> None:
    """Raise what stands in the way of a long work: a file that may not be written to, and one that is damaged."""
    with store.engine.connect() as connection:
        found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
    if found != "ok":
        raise StoreError(damaged(file, " ".join(str(found).split())))
    if not store.read_only:
        with store.engine.connect() as plain:
            # Only a write tells: SQLite begins a transaction for writing on a read-only file too. It is rolled back.
            plain.execution_options(newsletter_writes=True).exec_driver_sql("PRAGMA user_version=0")


def sqlite_file(url: str) -> Path | None:
    """The file behind an SQLite URL; None for another database, or one in memory."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        return None
    return Path(parsed.database)


def head() -> str:
    """The newest schema that this program knows: the first part of the newest migration's file name."""
    return max(path.stem.split("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def update(store: Store, *, keeps: bool = True) -> None:
    """Bring the schema up to date; of a file a copy is kept, when ``keeps``.

    Raises StoreError for a newer one, and for an older one that may only be read.
    """
    current, place = schema_of(store), store.file or "the database"
    if current == head():
        return
    if current > head():
        raise StoreError(
            f"{place}: has schema {current} and this program knows {head()}; install the newer program again"
        )
    if store.read_only:
        raise StoreError(f"{place}: has schema {current or 'none'}, an older one; `newsletter db migrate` updates it")
    backup = _copy_first(store.file, current) if store.file and current and keeps else None
    _migrate(store)
    store.updated = Updated(current, head(), backup) if current else None


def _copy_first(file: Path, schema: str) -> Path:
    """A copy of a database that is about to be changed as a whole."""
    now = dt.datetime.now(dt.UTC)
    backup = copies.new_name(file, now, f"schema-{schema}")
    try:
        copies.copy(file, backup, now)
    except copies.CopyError as error:
        raise StoreError(f"the database has an older schema and is not updated without a backup: {error}") from error
    return backup


def schema_of(store: Store) -> str:
    """The schema that a database has; empty before the first."""
    with store.engine.connect() as connection:
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
        # Never opened when it is there: closing it would drop the locks of this process's other connections to it
        # (SQLite documentation, "How To Corrupt An SQLite Database File", 2.2).
        if not file.exists():
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
    target = url if file is None or not read_only else f"sqlite:///file:{copies.quoted(file)}?mode=ro&uri=true"
    engine = create_engine(target, connect_args={"timeout": _busy_seconds(url)}, hide_parameters=True)
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


def _busy_seconds(url: str) -> float:
    asked = make_url(url).query.get("timeout", "")
    try:
        return float(asked) if isinstance(asked, str) and asked else BUSY_SECONDS
    except ValueError:
        return BUSY_SECONDS


def _prepare(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    # The driver must not begin transactions of its own: _begin does (SQLAlchemy documentation, "pysqlite").
    connection.isolation_level = None
    cursor = connection.cursor()
    _use_wal(cursor)
    # What is deleted is overwritten: a reader who was erased must not stand in free pages of the file.
    for pragma in ("synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
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
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > ends:
                raise
            time.sleep(0.02)


def _prepare_read_only(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    connection.isolation_level = None


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("newsletter_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
