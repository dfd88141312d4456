"""What SQLite says of a file or its disk is said in one line with its mend, and nothing else is touched."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy.exc import DatabaseError, IntegrityError

from newsletter.store.troubles import StoreBusy, StoreError, in_words, problem_of


def failed(code: int) -> sqlite3.OperationalError:
    """An error of the driver with this code of SQLite's."""
    error = sqlite3.OperationalError("it is so")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "kind", "mend"),
    [
        (sqlite3.SQLITE_BUSY, StoreBusy, "run the same command again when it is done"),
        (sqlite3.SQLITE_BUSY | 2 << 8, StoreBusy, "run the same command again when it is done"),
        (sqlite3.SQLITE_FULL, StoreError, "make room on it"),
        (sqlite3.SQLITE_READONLY, StoreError, "writable for this user"),
        (sqlite3.SQLITE_CANTOPEN, StoreError, "writable for this user"),
        (sqlite3.SQLITE_IOERR, StoreError, "`newsletter db check`"),
        (sqlite3.SQLITE_CORRUPT, StoreError, "`newsletter db restore FILE`"),
        (sqlite3.SQLITE_NOTADB, StoreError, "`newsletter db restore FILE`"),
    ],
)
def test_each_trouble_has_its_mend(code: int, kind: type[Exception], mend: str, tmp_path: Path) -> None:
    with pytest.raises(kind) as caught, in_words(tmp_path / "x.sqlite3"):
        raise DatabaseError("SELECT 1", {}, failed(code))
    said = str(caught.value)
    assert said.startswith(f"{tmp_path / 'x.sqlite3'}: ") and mend in said and "\n" not in said


def test_the_newest_backup_is_named(tmp_path: Path) -> None:
    (tmp_path / "backups").mkdir()
    (tmp_path / "backups" / "one.sqlite3").touch()
    problem = problem_of(failed(sqlite3.SQLITE_CORRUPT), tmp_path / "x.sqlite3")
    assert f"`newsletter db restore {tmp_path}/backups/one.sqlite3`" in str(problem)


def test_what_is_not_about_the_file_is_the_callers(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError), in_words(tmp_path / "x.sqlite3"):
        raise IntegrityError("INSERT", {}, failed(sqlite3.SQLITE_CONSTRAINT))
    with pytest.raises(DatabaseError), in_words(None):
        raise DatabaseError("SELECT 1", {}, failed(sqlite3.SQLITE_FULL))
