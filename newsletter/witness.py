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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from newsletter.problems import Stopped
from newsletter.store import copies

_LINE = re.compile(rb"newsletter witness: ledger ([0-9a-f]{16}), hand-over (\d{12}), inode (\d{20})\n")
_RESTORED = b"newsletter witness: restored\n"
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

    def check(self, name: str, handed: int) -> None:
        """Raise NotTrusted when a ledger of this name and last hand-over is not the newest that the witness knows.

        No other sending may be able to hand over while this is asked. Before the first hand-over it makes the witness.
        """
        problem = self.problem(name, handed)
        if problem:
            raise NotTrusted(f"{problem}; {_MEND}")
        if self.file is not None and not self.file.exists():
            self.replace(name, handed)

    def problem(self, name: str, handed: int) -> str:
        """Why such a ledger is not to be trusted; empty when it is."""
        if self.file is None:
            return ""
        if self._line() == _RESTORED:
            return "this database was restored from a backup, and nobody knows what was sent or who left since"
        seen = self._read()
        if seen is None:
            if not handed or (not self.is_strict and not self.file.exists()):
                return ""
            return f"{self.file} is missing or broken: this may be an older copy, whose readers have their mail already"
        if seen.name != name:
            return f"{self.file} belongs to another database than the one beside it"
        if seen.handed > handed:
            return (
                f"this database is an older copy: it ends with hand-over {handed}, and {self.file} saw {seen.handed}, "
                "so readers may have their mail already"
            )
        if seen.inode != self.file.stat().st_ino:
            return "this data folder is a copy: it may be older than what was sent since, or the other one may go on"
        return ""

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

    def is_missing(self) -> bool:
        """Whether there is none that says anything of a ledger, though one could be kept."""
        return self.file is not None and self._read() is None

    def distrust(self) -> None:
        """Let no ledger be trusted until `replace`: a backup comes in, and what was sent since is on no record."""
        if self.file is not None:
            with _locked(self.file) as handle:
                os.ftruncate(handle, 0)
                os.pwrite(handle, _RESTORED, 0)
                _sync(handle)

    def handed(self) -> int:
        """The number of the last hand-over that it saw; 0 when it saw none."""
        seen = self._read()
        return seen.handed if seen else 0

    def _read(self) -> _Seen | None:
        return _parse(self._line())

    def _line(self) -> bytes:
        try:
            return self.file.read_bytes() if self.file else b""
        except FileNotFoundError:
            return b""


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
        copies.sync(file.parent)


def _write(handle: int, name: str, handed: int) -> None:
    """One line in one write: well below a sector, which a disk writes whole or not at all."""
    inode = os.fstat(handle).st_ino
    os.pwrite(handle, f"newsletter witness: ledger {name}, hand-over {handed:012}, inode {inode:020}\n".encode(), 0)
    _sync(handle)


def _parse(line: bytes) -> _Seen | None:
    found = _LINE.fullmatch(line)
    return _Seen(found[1].decode(), int(found[2]), int(found[3])) if found else None
