"""Copies of an SQLite database: made whole or not at all, while others write to it, and known again by what is in them.

A copy is one file that stands for itself: it is out of WAL mode, so it can lie on a read-only disk. The keys that sign
the links in mails go with it, in a table of its own: a list without them could not be left by the links in old mails.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from newsletter.problems import Misconfigured, Misused

FOLDER = "backups"
SUFFIX = ".sqlite3"
SIDES = ("-wal", "-shm", "-journal")
"""What SQLite puts beside a database (SQLite documentation, "Temporary Files Used By SQLite")."""
PATIENCE_SECONDS = 60.0
"""How long a copy waits for who keeps its source locked."""

NOTE = "backup_note"
"""The table that only a copy has."""
_OURS = {"alembic_version", "issue", "delivery", "subscriber"}
"""Tables that every database of ours has had since the first schema."""


class CopyError(Misconfigured):
    """A copy could not be made; nothing is left of it."""


class NotOurs(Misused):
    """That file is no whole database of a newsletter."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a database file is: its schema, and of a copy when it was made and the keys that came along."""

    schema: str
    made_at: dt.datetime | None
    link_keys: tuple[str, ...]


def folder_of(file: Path) -> Path:
    """Where the copies of a database are kept: beside it."""
    return file.parent / FOLDER


def newest(folder: Path) -> Path | None:
    """The newest copy in a folder, by when it was written; None when there is none."""
    with contextlib.suppress(OSError):
        found = [path for path in folder.glob(f"*{SUFFIX}") if not path.name.startswith(".") and path.is_file()]
        return max(found, key=lambda path: (path.stat().st_mtime_ns, path.name), default=None)
    return None


def new_name(file: Path, now: dt.datetime, word: str = "") -> Path:
    """A name that no copy of a database has yet: with the moment, in UTC, and a word on what it is for."""
    stem = "-".join(filter(None, (file.stem, f"{now.astimezone(dt.UTC):%Y-%m-%d-%H%M%S}", word)))
    return unused(lambda number: folder_of(file) / f"{stem}{number}{SUFFIX}")


def unused(name: Callable[[str], Path]) -> Path:
    """The first path that nothing has: ``name`` makes it of an empty text, then of ``-2``, ``-3`` and so on."""
    numbers = ("", *(f"-{number}" for number in range(2, 1000)))
    return next(path for path in map(name, numbers) if not path.exists())


def copy(source: Path, target: Path, now: dt.datetime, link_keys: Sequence[str] = ()) -> None:
    """Copy a database, at work or not, to a new file that only its owner may read.

    It is made beside its place, looked through from end to end, on the disk, and then moved there. ``target``'s folder
    is made when it is missing. Raises CopyError.
    """
    if target.exists():
        raise CopyError(f"{target}: is there already, and no backup is written over; name another file")
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with beside(target) as partial:
            fill(source, partial)
            with closing(sqlite3.connect(partial, isolation_level=None)) as made:
                made.execute("PRAGMA journal_mode=DELETE")
                _write_note(made, now, link_keys)
                if found := damage(made):
                    raise CopyError(f"{source}: is damaged ({found}), so no backup was made; run `newsletter db check`")
            publish(partial, target)
    except OSError as error:
        raise CopyError(f"{target}: {error.strerror}; make room there, or name another file") from error
    except sqlite3.Error as error:
        raise CopyError(f"{target}: no backup could be made of {source} ({error}); {_mend(error)}") from error


def _mend(error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return {
        sqlite3.SQLITE_FULL: "make room there, or name another file",
        sqlite3.SQLITE_IOERR: "make room there, or name another file",
        sqlite3.SQLITE_BUSY: "run the same command again",
    }.get(code, "run `newsletter db check`")


def fill(source: Path, target: Path, *, is_still: bool = False) -> None:
    """Copy a database as it is at one moment into another file, whoever writes to it meanwhile.

    ``is_still``: nobody does, and its disk may be read-only. Raises sqlite3.Error, and OperationalError when it stays
    locked for `PATIENCE_SECONDS`.
    """
    ends = time.monotonic() + PATIENCE_SECONDS

    def watch(status: int, remaining: int, total: int) -> None:
        # Python itself tries for ever (documentation of sqlite3.Connection.backup).
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) and time.monotonic() > ends:
            raise sqlite3.OperationalError("database is locked")

    # In one step: another writer would make a copy in several begin again (SQLite documentation, "Backup API").
    with (
        closing(open_still(source) if is_still else _open_live(source)) as origin,
        closing(sqlite3.connect(target)) as made,
    ):
        origin.backup(made, progress=watch)


def look_into(file: Path) -> Contents:
    """What a file holds, once it was looked through from end to end. Raises NotOurs."""
    if not file.is_file():
        raise NotOurs(f"{file}: there is no such file")
    try:
        with closing(open_still(file)) as database:
            found = damage(database)
            if found:
                raise NotOurs(f"{file}: is damaged ({found}); take another backup")
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if not tables >= _OURS:
                raise NotOurs(f"{file}: is a database, and not of a newsletter; name a file of `newsletter db backup`")
            (schema,) = database.execute("SELECT version_num FROM alembic_version").fetchone()
            made_at, keys = _read_note(database) if NOTE in tables else (None, ())
            return Contents(schema, made_at, keys)
    except sqlite3.Error as error:
        raise NotOurs(f"{file}: cannot be read as a database ({error}); take another backup") from error


def damage(database: sqlite3.Connection) -> str:
    """The first damage of a database, in SQLite's words; empty when there is none. Reads all of it."""
    (found,) = database.execute("PRAGMA integrity_check(1)").fetchone()
    return "" if found == "ok" else " ".join(str(found).replace("*** in database main ***", "").split())


def open_still(file: Path) -> sqlite3.Connection:
    """Open a database that nobody writes to, and write nothing beside it: not even its disk must be writable."""
    at_rest = "" if file.with_name(f"{file.name}-wal").exists() else "&immutable=1"
    return sqlite3.connect(f"file:{quoted(file)}?mode=ro{at_rest}", uri=True)


def quoted(file: Path) -> str:
    """The path as an SQLite URI needs it."""
    return str(file.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def publish(partial: Path, target: Path) -> None:
    """Put a file that nobody has open on the disk, then give it its name, which survives a power cut too."""
    sync(partial)
    os.replace(partial, target)
    sync(target.parent)


def sync(path: Path) -> None:
    """Put a file, or the names in a folder, on the disk (fsync(2), NOTES)."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def beside(target: Path) -> Iterator[Path]:
    """A new file beside another, for its owner alone; what is left of it goes at the end."""
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    os.close(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        yield partial
    finally:
        for side in ("", *SIDES):
            partial.with_name(f"{partial.name}{side}").unlink(missing_ok=True)


def _open_live(file: Path) -> sqlite3.Connection:
    """Open a database that others may write to."""
    database = sqlite3.connect(f"file:{quoted(file)}?mode=rw", uri=True, timeout=PATIENCE_SECONDS)
    try:
        database.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        # On a read-only disk nobody writes, and SQLite cannot make what it needs beside a database in WAL mode.
        database.close()
        if os.access(file.parent, os.W_OK):
            raise
        return open_still(file)
    return database


def _write_note(database: sqlite3.Connection, now: dt.datetime, link_keys: Sequence[str]) -> None:
    database.execute(f"DROP TABLE IF EXISTS {NOTE}")
    database.execute(f"CREATE TABLE {NOTE} (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
    values = {"made_at": now.astimezone(dt.UTC).isoformat(timespec="seconds"), "link_keys": " ".join(link_keys)}
    database.executemany(f"INSERT INTO {NOTE} VALUES (?, ?)", values.items())


def _read_note(database: sqlite3.Connection) -> tuple[dt.datetime | None, tuple[str, ...]]:
    values = dict(database.execute(f"SELECT name, value FROM {NOTE}").fetchall())
    try:
        made_at = dt.datetime.fromisoformat(values.get("made_at", ""))
    except ValueError:
        made_at = None
    return made_at, tuple(values.get("link_keys", "").split())
