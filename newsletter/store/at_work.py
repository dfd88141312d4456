"""Who is at work with a database file: every command shares a lock beside it, and a restore needs it for itself.

SQLite's own locks cannot say: they are not held between two statements, and a damaged file takes none. This one is
held from opening to closing, and goes with the process (flock(2)).
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from newsletter.problems import Stopped, TryLater

LOCK_SUFFIX = ".lock"


class AtWork(Stopped):
    """Another command has the database open."""


class BeingRestored(TryLater):
    """A backup is being put in the place of the database."""


def join(file: Path, wait_seconds: float, *, make: bool) -> int | None:
    """Be at work with a database until `leave` gets what this returns. ``make``: also where nobody was before.

    None when nothing can or need be held. Raises BeingRestored when a restore takes longer than that.
    """
    try:
        handle = os.open(_lock_of(file), os.O_RDONLY | (os.O_CREAT if make else 0), 0o600)
    except OSError:
        # On a read-only disk: there nothing can be restored either.
        return None
    ends = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return handle
        except BlockingIOError as error:
            if time.monotonic() > ends:
                os.close(handle)
                raise BeingRestored(f"{file}: a backup is being restored; run the same command again later") from error
            time.sleep(0.05)


def leave(handle: int | None) -> None:
    """End what `join` began."""
    if handle is not None:
        os.close(handle)


@contextmanager
def alone(file: Path) -> Iterator[None]:
    """Keep everybody else from a database, until the end. Raises AtWork when somebody has it open."""
    handle = os.open(_lock_of(file), os.O_RDONLY | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise AtWork(
            f"{file}: another command is at work with the database, such as `newsletter run` or `serve`; stop it "
            "(`systemctl stop newsletter newsletter-web`), then run the same command again"
        ) from error
    finally:
        os.close(handle)


def _lock_of(file: Path) -> Path:
    return file.with_name(f"{file.name}{LOCK_SUFFIX}")
