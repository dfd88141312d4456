"""Puts a backup in the place of the database, so that nothing is lost by it and nobody is mailed who said no.

What a backup cannot know is what was sent and who left since it was made. The first the witness knows: an older
database sends nothing until the owner trusts it. The second stands in the database whose place it takes, and is carried
over from there.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

import subscribers
from newsletter import deliveries, issues, sending
from newsletter.problems import Problem
from newsletter.slots import Slot
from newsletter.store import Store, at_work, copies, head, update
from newsletter.store.copies import CopyError, NotOurs

FOR_APPROVAL = dt.timedelta(days=1)
"""How long a draft of a backup waits for the owner's approval, where it may be out already."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What came of a restore.

    ``made_at`` is when the backup was made, as far as it says, and ``schema`` the one that it had. ``kept`` is where
    the former database is now. ``noes`` are those carried over from it; None: it could not be asked. ``problem`` is why
    nothing is sent before the owner trusts this database; empty when nothing was sent since the backup was made.
    """

    made_at: dt.datetime | None
    schema: str
    kept: Path | None
    paused: tuple[int, ...]
    noes: int | None
    problem: str
    link_keys: tuple[str, ...]


def restore(backup: Path, file: Path, now: dt.datetime, slots: Sequence[Slot] = ()) -> Restored:
    """Put a backup in the place of a database file; what is there is kept beside it, under a name with the moment.

    Every unfinished issue is paused. ``slots`` are those that would be made up for now: when something may have been
    sent since the backup was made, they are left empty and a draft waits for approval. Raises NotOurs for a file that
    is none of ours, damaged, or of a newer schema, AtWork while another command has the database open, and CopyError
    when the disk does not take it: then nothing has changed.
    """
    contents = copies.look_into(backup)
    if contents.schema > head():
        raise NotOurs(
            f"{backup}: has schema {contents.schema} and this program knows {head()}; install the newer program first"
        )
    if file.exists() and backup.samefile(file):
        raise NotOurs(f"{backup}: is the database itself; name a backup, such as one in {copies.folder_of(file)}")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with at_work.alone(file), copies.beside(file) as partial:
            return _swap(backup, file, partial, contents, now, slots)
    except OSError as error:
        raise CopyError(f"{file}: {error.strerror or error}; make room there. The database is as it was") from error


def _swap(
    backup: Path, file: Path, partial: Path, contents: copies.Contents, now: dt.datetime, slots: Sequence[Slot]
) -> Restored:
    try:
        copies.fill(backup, partial, is_still=True)
    except sqlite3.Error as error:
        raise CopyError(f"{file}: no copy of {backup} could be made there ({error}); make room there") from error
    with closing(Store(f"sqlite:///{partial}")) as store:
        update(store, keeps=False)
        paused, noes = _pause(store), _carry_over(file, store)
        witness = sending.witness_of(Store(f"sqlite:///{file}"))
        is_doubtful = noes is None or witness.is_missing()
        with store.write() as session:
            if is_doubtful or witness.problem(*deliveries.ledger(session)):
                _wait_for_owner(session, slots, contents.made_at, now)
    if is_doubtful:
        # Before the swap: whatever ends this process now, nothing is sent by an old copy.
        witness.distrust()
    kept = _set_aside(file, now)
    copies.publish(partial, file)
    with closing(Store(f"sqlite:///{file}")) as store, store.read() as session:
        problem = witness.problem(*deliveries.ledger(session, lock=False))
    return Restored(contents.made_at, contents.schema, kept, tuple(paused), noes, problem, contents.link_keys)


def _pause(store: Store) -> list[int]:
    """Make of a copy a database, in which nothing goes on by itself. Returns the issues that were paused."""
    with store.write() as session:
        session.connection().exec_driver_sql(f"DROP TABLE IF EXISTS {copies.NOTE}")
        return deliveries.pause_unfinished(session)


def _wait_for_owner(session: Session, slots: Sequence[Slot], made_at: dt.datetime | None, now: dt.datetime) -> None:
    """Have nothing made or sent by itself that may be out already: neither a slot since the backup, nor a draft."""
    draft = issues.draft_number(session)
    if draft is not None:
        issues.ask_approval(session, draft, now + FOR_APPROVAL)
    for slot in slots:
        is_since = made_at is None or slot.at > made_at
        if is_since and issues.in_slot(session, slot.key) is None and issues.empty_slot(session, slot.key) is None:
            issues.leave_empty(session, slot.key, slot.kind, "a backup was restored, and it may be out already", now)


def _carry_over(file: Path, store: Store) -> int | None:
    """Write the noes of the database that is there into the one that takes its place; None when it cannot be asked."""
    if not file.exists() or not file.stat().st_size:
        return None
    try:
        with _asked(file) as newer, store.write() as older:
            return subscribers.carry_over(newer, older)
    except (Problem, SQLAlchemyError):
        return None


@contextmanager
def _asked(file: Path) -> Iterator[Session]:
    with closing(Store(f"sqlite:///{file}", read_only=True)) as store, store.read() as session:
        yield session


def _set_aside(file: Path, now: dt.datetime) -> Path | None:
    """Keep the database that is there under another name too; None when there is none.

    What SQLite still has beside it goes with it: the next file of its name must not find that.
    """
    if not file.exists():
        return None
    name = f"{file.name}.before-restore-{now.astimezone(dt.UTC):%Y-%m-%d-%H%M%S}"
    kept = copies.unused(lambda number: file.with_name(f"{name}{number}"))
    if _is_sound(file):
        # The last one to close a database puts into it all that is beside it; to a damaged one that would do more harm.
        with suppress(sqlite3.Error), closing(sqlite3.connect(file)) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for side in copies.SIDES:
        beside = file.with_name(f"{file.name}{side}")
        if beside.exists():
            os.replace(beside, kept.with_name(f"{kept.name}{side}"))
    try:
        os.link(file, kept)
    except OSError:
        shutil.copy2(file, kept)
    return kept


def _is_sound(file: Path) -> bool:
    try:
        with closing(copies.open_still(file)) as database:
            return not copies.damage(database)
    except sqlite3.Error:
        return False
