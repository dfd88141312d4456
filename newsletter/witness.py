"""The witness beside the database: a small file that tells whether the database is the newest of its copies.

It holds the ledger's name, the number of its last hand-over, and the file's own inode. The number is on the disk before
a byte of that hand-over leaves, and after the database has it: whatever a crash loses, a database that is not behind
its witness has all that was ever handed over. One that is behind was restored from an older copy, and whom it means to
mail may have the mail already. A witness with another inode than it says was copied together with its folder, which may
be just as old, or go on elsewhere.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlmodel import Session

from newsletter.problems import Stopped
from newsletter.store.tables import LedgerRow

_LINE = re.compile(rb"newsletter witness: ledger ([0-9a-f]{16}), hand-over (\d{12}), inode (\d{20})\n")
_sync = getattr(os, "fdatasync", os.fsync)
"""The first is quicker, and macOS has it not (Python documentation, "os.fdatasync")."""
_MEND = "`newsletter deliveries trust` goes on with this one, after pausing what is unfinished"


class NotTrusted(Stopped):
    """The database may be an older copy, or one of two that go on. The text says why, and how to go on."""


@dataclass(frozen=True, slots=True)
class _Seen:
    name: str
    handed: int
    inode: int


@dataclass(frozen=True, slots=True)
class Witness:
    """The witness in ``file``; None keeps none (a database in memory).

    ``is_strict``: a ledger that has handed over and has no witness is not trusted. A database that is no file is
    reached from several machines, and the witness of a new one begins with its first hand-over.
    """

    file: Path | None
    is_strict: bool = True

    def check(self, session: Session) -> None:
        """Raise NotTrusted when the database of this session is not the newest that the witness knows.

        Before the first hand-over it makes the witness.
        """
        if self.file is None:
            return
        # The file first: another sender may commit and record a hand-over between the two readings.
        seen = self._read()
        row = ledger_row(session)
        if seen is None and row.handed and self.is_strict:
            raise NotTrusted(
                f"{self.file} is missing or broken, so this database may be an older copy whose readers have their "
                f"mail already; {_MEND}"
            )
        if seen is None:
            self.replace(row.name, row.handed)
            return
        if seen.name != row.name:
            raise NotTrusted(f"{self.file} belongs to another database than the one beside it; {_MEND}")
        if seen.handed > row.handed:
            raise NotTrusted(
                f"this database is an older copy: it ends with hand-over {row.handed}, and {self.file} saw "
                f"{seen.handed}, so readers may have their mail already; {_MEND}"
            )
        if seen.inode != self.file.stat().st_ino:
            raise NotTrusted(
                f"this data folder is a copy: it may be older than what was handed over since, or the other one may "
                f"still go on; {_MEND}"
            )

    def record(self, name: str, handed: int) -> None:
        """Put a hand-over on the disk; return when it is there. Call it after the commit and before a byte leaves."""
        if self.file is None:
            return
        with _locked(self.file) as handle:
            seen = _parse(os.pread(handle, 200, 0))
            if seen is None or seen.name != name or seen.handed < handed:
                _write(handle, name, handed)

    def replace(self, name: str, handed: int) -> None:
        """Begin anew, whatever the file held."""
        if self.file is not None:
            with _locked(self.file) as handle:
                _write(handle, name, handed)

    def handed(self) -> int:
        """The number of the last hand-over that it saw; 0 when it saw none."""
        seen = self._read()
        return seen.handed if seen else 0

    def _read(self) -> _Seen | None:
        try:
            return _parse(self.file.read_bytes()) if self.file else None
        except FileNotFoundError:
            return None


def ledger_row(session: Session) -> LedgerRow:
    """The ledger's only row. Raises LookupError when the schema was made without it."""
    row = session.get(LedgerRow, 1, populate_existing=True)
    if row is None:
        raise LookupError("the database has no row in the table of the ledger")
    return row


def trust(session: Session, witness: Witness) -> LedgerRow:
    """Give the ledger a new name and a number that is not behind; the caller commits, then calls `replace`."""
    row = ledger_row(session)
    row.name, row.handed = secrets.token_hex(8), max(row.handed, witness.handed())
    session.add(row)
    session.flush()
    return row


@contextmanager
def _locked(file: Path) -> Iterator[int]:
    """The file, open for one process at a time: the number only ever grows, whoever writes."""
    is_new = not file.exists()
    handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
    finally:
        os.close(handle)
    if is_new:
        _sync_folder(file.parent)


def _sync_folder(folder: Path) -> None:
    """Make a new name in a folder survive a power cut (fsync(2), NOTES)."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write(handle: int, name: str, handed: int) -> None:
    """One line in one write: well below a sector, which a disk writes whole or not at all."""
    inode = os.fstat(handle).st_ino
    os.pwrite(handle, f"newsletter witness: ledger {name}, hand-over {handed:012}, inode {inode:020}\n".encode(), 0)
    _sync(handle)


def _parse(line: bytes) -> _Seen | None:
    found = _LINE.fullmatch(line)
    return _Seen(found[1].decode(), int(found[2]), int(found[3])) if found else None
