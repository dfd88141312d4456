"""Copies of the database: whole or not at all, private, and known again."""

from __future__ import annotations

import datetime as dt
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from newsletter.store import Store, copies, head
from newsletter.store.tables import SourceStateRow
from tests.newsletter.makers import DAY


def rows(file: Path) -> int:
    """How many sources a database file knows."""
    with closing(sqlite3.connect(file)) as database:
        return int(database.execute("SELECT count(*) FROM source_state").fetchone()[0])


def put(store: Store, *keys: str) -> None:
    """Let the database know these sources."""
    with store.write() as session:
        session.add_all(SourceStateRow(key=key) for key in keys)


def file_of(store: Store) -> Path:
    """The database's file."""
    assert store.file is not None
    return store.file


def test_a_copy_is_one_private_file_that_stands_for_itself(store: Store, tmp_path: Path) -> None:
    put(store, "a", "b")
    target = tmp_path / "new" / "folder" / "copy.sqlite3"
    copies.copy(file_of(store), target, DAY, ("k" * 43, "o" * 43))
    assert [path.name for path in target.parent.iterdir()] == ["copy.sqlite3"]
    assert target.stat().st_mode & 0o777 == 0o600 and target.parent.stat().st_mode & 0o777 == 0o700
    assert copies.look_into(target) == copies.Contents(head(), DAY, ("k" * 43, "o" * 43))
    with closing(sqlite3.connect(target)) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert rows(target) == 2


def test_a_copy_can_be_read_where_nothing_can_be_written(store: Store, tmp_path: Path) -> None:
    copies.copy(file_of(store), tmp_path / "copy.sqlite3", DAY)
    before = sorted(path.name for path in tmp_path.iterdir())
    with closing(copies.open_still(tmp_path / "copy.sqlite3")) as database:
        assert copies.damage(database) == ""
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            database.execute("DELETE FROM source_state")
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_no_copy_is_written_over(store: Store, tmp_path: Path) -> None:
    (tmp_path / "mine.sqlite3").write_text("mine")
    with pytest.raises(copies.CopyError, match="is there already, and no backup is written over; name another file"):
        copies.copy(file_of(store), tmp_path / "mine.sqlite3", DAY)
    assert (tmp_path / "mine.sqlite3").read_text() == "mine"


def test_names_are_dated_and_never_the_same(store: Store) -> None:
    file, berlin = file_of(store), DAY.astimezone(dt.timezone(dt.timedelta(hours=2)))
    first = copies.new_name(file, berlin)
    assert first.parent == file.parent / "backups" and first.name == f"newsletter-{DAY:%Y-%m-%d-%H%M%S}.sqlite3"
    copies.copy(file, first, DAY)
    assert copies.new_name(file, DAY).name == f"newsletter-{DAY:%Y-%m-%d-%H%M%S}-2.sqlite3"
    assert copies.new_name(file, DAY, "schema-0007").name.endswith("-schema-0007.sqlite3")


def test_the_newest_is_the_one_written_last(tmp_path: Path) -> None:
    assert copies.newest(tmp_path / "none") is None
    for number, name in enumerate(("b.sqlite3", "c.sqlite3", "a.sqlite3", ".d.sqlite3", "e.txt")):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (number, number))
    assert copies.newest(tmp_path) == tmp_path / "a.sqlite3"


def test_a_copy_of_a_damaged_database_is_none_and_leaves_nothing(store: Store, tmp_path: Path) -> None:
    put(store, *map(str, range(2000)))
    store.close()
    hole(file_of(store))
    with pytest.raises(copies.CopyError, match=r"newsletter db check"):
        copies.copy(file_of(store), tmp_path / "backups" / "copy.sqlite3", DAY)
    assert list((tmp_path / "backups").iterdir()) == []


def hole(file: Path) -> None:
    """Zero what stands in the middle of a file."""
    size = file.stat().st_size
    with file.open("r+b") as handle:
        handle.seek(size // 2 // 4096 * 4096)
        handle.write(bytes(4 * 4096))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "there is no such file"),
        (b"", "is a database, and not of a newsletter"),
        (b"no database, " * 1000, "cannot be read as a database"),
    ],
)
def test_what_is_none_of_ours_is_said_to_be(content: bytes | None, why: str, tmp_path: Path) -> None:
    file = tmp_path / "x.sqlite3"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(copies.NotOurs, match=why):
        copies.look_into(file)


def test_a_database_of_others_and_a_damaged_copy_are_refused(store: Store, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "other.sqlite3")) as other:
        other.execute("CREATE TABLE issue (id INTEGER)")
    with pytest.raises(copies.NotOurs, match="not of a newsletter"):
        copies.look_into(tmp_path / "other.sqlite3")
    put(store, *map(str, range(2000)))
    copies.copy(file_of(store), tmp_path / "copy.sqlite3", DAY)
    hole(tmp_path / "copy.sqlite3")
    with pytest.raises(copies.NotOurs, match=r"damaged|malformed"):
        copies.look_into(tmp_path / "copy.sqlite3")


WRITER = """
import itertools, sqlite3, sys
database = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
print("begun", flush=True)
for number in itertools.count():
    database.execute("BEGIN IMMEDIATE")
    for half in "ab":
        database.execute(
            "INSERT INTO source_state (key, etag, last_modified, body_hash, is_gone, failures, last_error)"
            " VALUES (?, '', '', '', 0, 0, '')", (f"w{number}{half}",))
    database.execute("COMMIT")
"""


def test_a_copy_taken_while_another_process_writes_holds_whole_transactions(store: Store, tmp_path: Path) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, file_of(store)], stdout=subprocess.PIPE)
    try:
        assert writer.stdout is not None and writer.stdout.readline() == b"begun\n"
        for number in range(5):
            copies.copy(file_of(store), tmp_path / f"{number}.sqlite3", DAY)
    finally:
        writer.kill()
        writer.communicate()
    counts = [rows(tmp_path / f"{number}.sqlite3") for number in range(5)]
    assert all(count % 2 == 0 for count in counts) and counts == sorted(counts) and counts[-1] > 0
