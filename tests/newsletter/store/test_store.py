"""Facts about the way from an older database to the newest: no row is lost, and no rule that the code counts on."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import CheckConstraint, inspect, text
from sqlmodel import SQLModel

from newsletter.store import MIGRATIONS, Store, head, open_store

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
    settings = Config()
    settings.set_main_option("script_location", str(MIGRATIONS))
    with store.engine.connect() as connection, connection.begin():
        settings.attributes["connection"] = connection
        command.upgrade(settings, revision)
    store.close()


def _rows(file: Path) -> dict[str, list[tuple[object, ...]]]:
    with closing(sqlite3.connect(file)) as database:
        return {table: database.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall() for table in TABLES}


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
    assert _rows(file) == before


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
