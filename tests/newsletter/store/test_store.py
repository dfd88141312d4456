"""The database: durable, one schema, clear words when it cannot be used."""

from __future__ import annotations

import datetime as dt
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import alembic.config
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import CheckConstraint, inspect, text
from sqlmodel import SQLModel

from newsletter.store import MIGRATIONS, Store, StoreError, head, open_store
from newsletter.store.tables import SourceStateRow
from tests.newsletter.store.older import make_newer


def test_the_migrations_make_exactly_the_tables_of_the_code(store: Store) -> None:
    with store.engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), SQLModel.metadata)
    assert found == []


def test_a_second_opening_changes_nothing(store: Store) -> None:
    again = open_store(store.url)
    with again.read() as session:
        assert session.exec(text("SELECT version_num FROM alembic_version")).scalar_one() == head()  # type: ignore[call-overload]
    again.close()


def test_commits_survive_a_power_cut(store: Store) -> None:
    with store.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def test_what_fails_is_written_not_at_all(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.write() as session:
        session.add(SourceStateRow(key="a"))
        session.flush()
        raise ZeroDivisionError
    with store.read() as session:
        assert session.get(SourceStateRow, "a") is None


def test_two_writers_wait_for_each_other(store: Store) -> None:
    def add(name: str) -> None:
        for number in range(10):
            with store.write() as session:
                session.add(SourceStateRow(key=f"{name}{number}"))

    threads = [threading.Thread(target=add, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.read() as session:
        assert len(session.exec(text("SELECT key FROM source_state")).all()) == 40  # type: ignore[call-overload]


def test_a_read_only_database_takes_no_statement_that_writes(store: Store) -> None:
    reader = open_store(store.url, read_only=True)
    with pytest.raises(StoreError, match="readonly"), reader.write() as session:
        session.add(SourceStateRow(key="a"))
    reader.close()


def test_a_missing_database_is_not_made_for_a_reader(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no database yet"):
        open_store(f"sqlite:///{tmp_path}/none.sqlite3", read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_a_newer_schema_is_refused(store: Store, tmp_path: Path) -> None:
    make_newer(tmp_path / "newsletter.sqlite3")
    with pytest.raises(StoreError, match="install the newer program"):
        open_store(store.url)


def test_a_file_that_is_no_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "x.sqlite3").write_bytes(b"this is not a database, " * 100)
    with pytest.raises(StoreError, match="`newsletter db restore FILE` puts one from elsewhere in its place"):
        open_store(f"sqlite:///{tmp_path}/x.sqlite3")


def test_two_processes_that_open_a_new_database_at_once_both_can(tmp_path: Path) -> None:
    problems: list[Exception] = []

    def use() -> None:
        try:
            open_store(f"sqlite:///{tmp_path}/new.sqlite3").close()
        except StoreError as error:
            problems.append(error)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


def test_a_moment_comes_back_in_utc_and_one_without_a_zone_is_refused(store: Store) -> None:
    berlin = dt.datetime(2026, 5, 29, 9, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    with store.write() as session:
        session.add(SourceStateRow(key="a", read_at=berlin))
    with store.read() as session:
        row = session.get(SourceStateRow, "a")
        assert row is not None and row.read_at == berlin and row.read_at.tzinfo == dt.UTC
    with pytest.raises(Exception, match="without time zone"), store.write() as session:
        session.add(SourceStateRow(key="b", read_at=dt.datetime(2026, 5, 29)))


@pytest.mark.parametrize("url", ["postgresql+nosuch://host/x", "nosuch://host/x"])
def test_a_database_without_its_driver_is_said_with_the_mend(url: str) -> None:
    with pytest.raises(StoreError, match="install the extra `postgres`"):
        open_store(url)


def test_what_belongs_beside_a_database_has_a_place(store: Store, tmp_path: Path) -> None:
    assert store.beside == tmp_path and store.file == tmp_path / "newsletter.sqlite3"
    memory = Store("sqlite://", beside=tmp_path / "data")
    assert (memory.file, memory.beside) == (None, tmp_path / "data")
    memory.close()


@pytest.mark.slow
def test_postgresql_gets_exactly_the_tables_of_the_code(either_store: Store) -> None:
    with either_store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), SQLModel.metadata) == []


# From older databases

# Rows as the program wrote them before there were letters.
OLD_ROWS = """
INSERT INTO subscriber (id, identity, identity_hash, address, name, state, state_reason, created_at, follows, frequency,
    format, time_zone) VALUES (41, 'ann@example.com', 'h1', 'Ann@example.com', 'Ann', 'active', 'confirmed',
    '2026-05-04 07:00:00.000000', 'safety', 'every', 'text', 'Europe/Berlin');
INSERT INTO consent (id, subscriber_id, at, text, address, how, network) VALUES (7, 41, '2026-05-04 07:00:00.000000',
    'Yes', 'Ann@example.com', 'form', '192.0.2.7');
INSERT INTO suppression (identity_hash, kind, at, note) VALUES ('h2', 'complaint', '2026-05-04 07:00:00.000000', 'x');
INSERT INTO pepper (id, value) VALUES (1, 'salt and pepper');
"""
TABLES = ("subscriber", "consent", "suppression", "pepper")


def _at(file: Path, revision: str) -> None:
    """Bring the database in a file to a revision, as the store does for the newest."""
    store = Store(f"sqlite:///{file}")
    settings = alembic.config.Config()
    settings.set_main_option("script_location", str(MIGRATIONS))
    with store.engine.connect() as connection, connection.begin():
        settings.attributes["connection"] = connection
        command.upgrade(settings, revision)
    store.close()


def _rows(file: Path) -> dict[str, list[dict[str, object]]]:
    with closing(sqlite3.connect(file)) as database:
        database.row_factory = sqlite3.Row
        found = {table: database.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall() for table in TABLES}
        return {table: [dict(row) for row in rows] for table, rows in found.items()}


def test_a_database_from_before_letters_keeps_every_row_and_gains_their_tables(tmp_path: Path) -> None:
    file = tmp_path / "old.sqlite3"
    _at(file, "0002")
    with closing(sqlite3.connect(file)) as database:
        database.executescript(OLD_ROWS)
    before = _rows(file)
    assert [len(rows) for rows in before.values()] == [1, 1, 1, 1]
    store = open_store(f"sqlite:///{file}")
    new = {"letter", "salt", "attempt", "address_change", "feedback"}
    assert new <= set(inspect(store.engine).get_table_names())
    with store.read() as session:
        assert session.scalar(text("SELECT version_num FROM alembic_version")) == head()
    store.close()
    after = _rows(file)
    for table, rows in before.items():
        assert [row | old for row, old in zip(after[table], rows, strict=True)] == after[table]


def test_ids_that_links_and_mails_name_are_given_once_in_a_migrated_database_too(store: Store) -> None:
    """Comparing schemas does not see this: Alembic leaves AUTOINCREMENT out."""
    with store.read() as session:
        found = session.scalars(text("SELECT name FROM sqlite_master WHERE sql LIKE '%AUTOINCREMENT%'")).all()
    tables = SQLModel.metadata.tables.values()
    wanted = {table.name for table in tables if table.dialect_options["sqlite"]["autoincrement"]}
    assert set(found) == wanted >= {"subscriber", "letter", "address_change"}


def test_every_rule_on_a_column_stands_in_a_migrated_database_too(store: Store) -> None:
    """Nor does it see CHECK constraints."""
    inspector = inspect(store.engine)
    for table in SQLModel.metadata.tables.values():
        wanted = {str(one.name): str(one.sqltext) for one in table.constraints if isinstance(one, CheckConstraint)}
        found = {str(one["name"]): one["sqltext"] for one in inspector.get_check_constraints(table.name)}
        assert found == wanted
