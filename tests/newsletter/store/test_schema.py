"""A schema that is not the code's is described in a few words."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from newsletter.store import Store, copies, open_store
from newsletter.store.schema import differences
from tests.newsletter.makers import DAY


def test_a_database_and_a_copy_of_it_are_as_they_should_be(store: Store, tmp_path: Path) -> None:
    assert store.file is not None and differences(store) == []
    copies.copy(store.file, tmp_path / "copy.sqlite3", DAY, ("k" * 43,))
    with closing(Store(f"sqlite:///{tmp_path}/copy.sqlite3")) as copy:
        assert differences(copy) == []


def test_what_is_missing_or_too_much_is_named(store: Store) -> None:
    assert store.file is not None
    with closing(sqlite3.connect(store.file)) as database:
        database.executescript(
            "DROP INDEX ix_delivery_due; DROP TABLE correction; CREATE TABLE mine (id INTEGER);"
            "ALTER TABLE sending DROP COLUMN audience; ALTER TABLE issue ADD COLUMN more TEXT"
        )
    again = open_store(store.url)
    assert sorted(differences(again)) == [
        "column issue.more is there and should not be",
        "column sending.audience is missing",
        "index ix_correction_issue_id is missing",
        "index ix_delivery_due is missing",
        "table correction is missing",
        "table mine is there and should not be",
    ]
    again.close()
