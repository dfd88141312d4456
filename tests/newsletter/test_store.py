"""The database: durable, one schema, clear words when it cannot be used."""

from __future__ import annotations

import datetime as dt
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlmodel import SQLModel

from newsletter.store import Store, StoreError, head, open_store
from newsletter.store.answers import StoredAnswers
from newsletter.store.tables import SourceStateRow


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


def test_a_newer_schema_is_refused(store: Store) -> None:
    with closing(sqlite3.connect(store.engine.url.database or "")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
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


def test_an_answer_is_kept_and_found_by_its_hash(store: Store) -> None:
    answers = StoredAnswers(store)
    assert answers.get("a" * 64) is None
    answers.put("a" * 64, {"text": "x"})
    answers.put("a" * 64, {"text": "y"})
    assert StoredAnswers(store).get("a" * 64) == {"text": "y"}
    assert answers.get("a" * 64, dt.timedelta(hours=1)) == {"text": "y"}
    assert answers.get("a" * 64, dt.timedelta(0)) is None


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
