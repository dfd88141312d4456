"""What is said of a database that cannot be used: what, why, and the command that mends it, in one line."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from newsletter.problems import Misconfigured, Problem, TryLater
from newsletter.store import copies

DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
"""What SQLite answers when the file is not what it wrote (SQLite documentation, "Result and Error Codes")."""


class StoreError(Misconfigured):
    """The database cannot be used. The text says what, why, and the command that mends it."""


class StoreBusy(TryLater):
    """Another process has held the database for longer than anybody waits."""


@contextmanager
def in_words(file: Path | None) -> Iterator[None]:
    """Raise StoreError or StoreBusy in place of what the driver of SQLite says of the file or its disk.

    Other errors, as that a row is there already, are for the caller.
    """
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        # What fails while a connection is made ready comes as the driver raised it.
        cause = error.orig if isinstance(error, DBAPIError) else error
        problem = problem_of(cause, file) if file is not None else None
        if problem is None:
            raise
        raise problem from error


def problem_of(error: BaseException | None, file: Path) -> Problem | None:
    """What an error of SQLite's driver means for the owner; None when it is not about the file or its disk."""
    if is_busy(error):
        return StoreBusy(
            f"{file}: another process keeps the database locked; run the same command again when it is done"
        )
    code = _code(error)
    if code in DAMAGED:
        return StoreError(damaged(file, str(error)))
    mend = {
        sqlite3.SQLITE_FULL: "make room on it, then run the same command again: what was recorded stays",
        sqlite3.SQLITE_READONLY: "make the file and its folder writable for this user, or set data.folder",
        sqlite3.SQLITE_CANTOPEN: "make the file and its folder writable for this user, or set data.folder",
        sqlite3.SQLITE_IOERR: "is the disk full, or does it fail? See to it, then run `newsletter db check`",
    }.get(code)
    return StoreError(f"{file}: {error}; {mend}") if mend else None


def is_busy(error: BaseException | None) -> bool:
    """Whether an error of SQLite's driver says that another one was there first."""
    return _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _code(error: BaseException | None) -> int:
    """The lowest byte is the code, the others say where it came from. Python's own errors have none."""
    return int(getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF


def damaged(file: Path, reason: str) -> str:
    """What is said of a database file that is damaged: the newest backup, and the command that restores it."""
    backup = copies.newest(copies.folder_of(file))
    if backup is None:
        return (
            f"{file}: the database is damaged ({reason}), and there is no backup in {copies.folder_of(file)}; "
            "`newsletter db restore FILE` puts one from elsewhere in its place"
        )
    return (
        f"{file}: the database is damaged ({reason}); `newsletter db restore {backup}` puts the newest backup in its "
        "place, and keeps what is there"
    )
